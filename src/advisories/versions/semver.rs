//! Semantic versions as npm reads them: `1.2.3-rc.1+build`. <https://semver.org>, section 11.
//!
//! What is no semantic version is read as `semver.parse(…, { loose: true })` of npm does, and further: `v` and `=` in
//! front, missing numbers (`1.2`), a fourth one, leading zeros, numbers beyond 2^64, a pre-release without its hyphen
//! (`1.2.3beta`). Text without a number in front is less than all versions and ordered as text.
//!
//! Versions are compared part by part, and each part has a total order, so that of versions is total as well.

use std::cmp::Ordering;

use super::number::{Number, compare_text, split_digits};

/// A version cut into its parts.
pub(super) struct Parts<'a> {
    /// Digits and dots.
    core: &'a str,
    /// What follows the hyphen: a pre-release, for most.
    pub(super) suffix: Option<&'a str>,
    /// What follows the plus, which seldom counts.
    pub(super) build: Option<&'a str>,
}

/// One part of a pre-release: numbers are less than words, and words are compared as ASCII.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Identifier<'a> {
    Number(Number<'a>),
    Word(&'a str),
}

/// Compares two versions as npm's `semver.compare` does.
pub(super) fn compare(a: &str, b: &str) -> Ordering {
    compare_with(a, b, |a, b| compare_pre_releases(a.suffix, b.suffix))
}

/// Compares two versions whose numbers count first; where those are equal, `rest` decides.
pub(super) fn compare_with(a: &str, b: &str, rest: fn(&Parts<'_>, &Parts<'_>) -> Ordering) -> Ordering {
    match (Parts::of(a), Parts::of(b)) {
        (Some(a), Some(b)) => compare_cores(a.core, b.core).then_with(|| rest(&a, &b)),
        (None, None) => compare_text(a, b),
        (a, b) => a.is_some().cmp(&b.is_some()),
    }
}

impl<'a> Parts<'a> {
    /// None of text without a number in front.
    pub(super) fn of(text: &'a str) -> Option<Self> {
        let version = text.trim().trim_start_matches(['v', 'V', '=', ' ', '\t']);
        let core = version.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b'.').count();
        let (core, rest) = version.split_at(core);
        if !core.starts_with(|first: char| first.is_ascii_digit()) {
            return None;
        }
        let (rest, build) = rest.split_once('+').map_or((rest, None), |(rest, build)| (rest, Some(build)));
        let suffix = rest.strip_prefix('-').unwrap_or(rest);
        Some(Self { core, suffix: (!suffix.is_empty()).then_some(suffix), build })
    }
}

/// Number by number; what one has not is zero.
fn compare_cores(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.split('.').map(Number::new), b.split('.').map(Number::new));
    loop {
        let (left, right) = (a.next(), b.next());
        if left.is_none() && right.is_none() {
            return Ordering::Equal;
        }
        let ordering = left.unwrap_or_default().cmp(&right.unwrap_or_default());
        if ordering.is_ne() {
            return ordering;
        }
    }
}

/// A pre-release is less than the release that it leads to.
pub(super) fn compare_pre_releases(a: Option<&str>, b: Option<&str>) -> Ordering {
    match (a, b) {
        (Some(a), Some(b)) => compare_identifiers(a, b),
        (a, b) => a.is_none().cmp(&b.is_none()),
    }
}

/// Identifier by identifier; of two that are equal as far as they go the longer one is greater.
pub(super) fn compare_identifiers(a: &str, b: &str) -> Ordering {
    a.split('.').map(Identifier::new).cmp(b.split('.').map(Identifier::new))
}

impl<'a> Identifier<'a> {
    fn new(text: &'a str) -> Self {
        match split_digits(text) {
            (digits, "") if !digits.is_empty() => Self::Number(Number::new(digits)),
            _ => Self::Word(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{assert_ascending, assert_equal};
    use super::*;

    #[test]
    fn pre_releases_come_before_the_release_in_their_order() {
        assert_ascending(
            compare,
            &[
                "1.0.0-0",
                "1.0.0-1",
                "1.0.0-10",
                "1.0.0-alpha",
                "1.0.0-alpha.1",
                "1.0.0-alpha.beta",
                "1.0.0-beta.2",
                "1.0.0-beta.11",
                "1.0.0-rc.1",
                "1.0.0",
                "1.0.1",
                "1.10.0",
                "18446744073709551616.0.0",
            ],
        );
    }

    #[test]
    fn loose_spellings_are_understood() {
        assert_equal(compare, &["1.2.0", "v1.2", "=v1.2.0", " 1.2.0 ", "1.2.0+build.7", "1.02.0", "1.2.0.0"]);
        assert_equal(compare, &["1.2.3-beta", "1.2.3beta", "1.2.3-beta+7"]);
        assert_ascending(compare, &["1.2.3", "1.2.3.1", "1.2.4"]);
    }

    #[test]
    fn text_without_a_number_is_less_than_all_versions() {
        assert_ascending(compare, &["", "latest", "workspace:*", "0.0.0-0"]);
    }
}
