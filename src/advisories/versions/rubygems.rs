//! Versions of Ruby gems: `1.2.3`, `4.0.0.beta1`, `1.15.0-x86_64-linux`.
//!
//! The rules are those of `Gem::Version`: runs of digits and runs of letters are segments, everything else separates
//! them, and a hyphen stands for `.pre.`. A word is less than any number, so that `1.0.beta < 1.0`. Zeros count for
//! nothing at the end and before the first word.

use std::cmp::Ordering;

use super::number::{Number, split_digits};

/// One run of letters or digits. The order of the variants is the rule.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Segment<'a> {
    Word(&'a str),
    Number(Number<'a>),
}

/// How the platforms begin that a gem may be built for. `Gem::Platform`.
const PLATFORMS: [&str; 22] = [
    "aarch64",
    "amd64",
    "arm",
    "arm64",
    "armv5",
    "armv6",
    "armv7",
    "armv8",
    "i386",
    "i486",
    "i586",
    "i686",
    "java",
    "jruby",
    "mswin",
    "mswin32",
    "mswin64",
    "universal",
    "x64",
    "x86",
    "x86_64",
    "ppc64le",
];

/// Compares two versions as `Gem::Version#<=>` does.
pub(super) fn compare(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (segments(a), segments(b));
    let length = a.len().max(b.len());
    for segments in [&mut a, &mut b] {
        segments.resize(length, Segment::Number(Number::default()));
    }
    a.cmp(&b)
}

/// Leaves out the platform that a gem was built for, which lock files write behind its version: it would look like a
/// pre-release.
pub(super) fn without_platform(version: &str) -> &str {
    let Some((release, platform)) = version.split_once('-') else { return version };
    let first = platform.split('-').next().unwrap_or_default();
    if PLATFORMS.contains(&first) { release } else { version }
}

fn segments(version: &str) -> Vec<Segment<'_>> {
    let mut segments = Vec::new();
    for (number, part) in version.split('-').enumerate() {
        if number > 0 {
            segments.push(Segment::Word("pre"));
        }
        let mut rest = part;
        while !rest.is_empty() {
            let (digits, after_digits) = split_digits(rest);
            let letters = after_digits.bytes().take_while(u8::is_ascii_alphabetic).count();
            let (word, after) = after_digits.split_at(letters);
            if !digits.is_empty() {
                segments.push(Segment::Number(Number::new(digits)));
            }
            if !word.is_empty() {
                segments.push(Segment::Word(word));
            }
            rest = after.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
        }
    }
    let first_word = segments.iter().position(|segment| matches!(segment, Segment::Word(_)));
    let words = segments.split_off(first_word.unwrap_or(segments.len()));
    trim(&mut segments);
    segments.extend(words);
    if first_word.is_some() {
        trim(&mut segments);
    }
    segments
}

/// Drops zeros at the end.
fn trim(segments: &mut Vec<Segment<'_>>) {
    while matches!(segments.last(), Some(Segment::Number(number)) if number.is_zero()) {
        segments.pop();
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{assert_ascending, assert_equal};
    use super::*;

    #[test]
    fn words_come_before_the_release() {
        assert_ascending(
            compare,
            &[
                "1.0.0.a",
                "1.0.0.alpha.2",
                "1.0.0.beta1",
                "1.0.0.beta2",
                "1.0.0.beta10",
                "1.0.0-rc1",
                "1.0.0.rc1",
                "1.0.0",
                "1.0.1.pre",
                "1.0.1",
                "1.0.10",
                "1.1",
            ],
        );
    }

    #[test]
    fn zeros_at_the_end_and_before_a_word_do_not_count() {
        assert_equal(compare, &["1", "1.0", "1.0.0", " 1 ", "01"]);
        assert_equal(compare, &["1.beta", "1.0.beta", "1.0.0.beta.0"]);
        assert_equal(compare, &["1.0-2", "1.pre.2"]);
        assert_equal(compare, &["", "0", "0.0"]);
    }

    #[test]
    fn platform_is_no_part_of_the_version() {
        for (version, expected) in [
            ("1.15.0-x86_64-linux", "1.15.0"),
            ("1.15.0-arm64-darwin", "1.15.0"),
            ("9.4.0.0-java", "9.4.0.0"),
            ("1.0.0-rc1", "1.0.0-rc1"),
            ("1.0.0", "1.0.0"),
        ] {
            assert_eq!(without_platform(version), expected);
        }
    }
}
