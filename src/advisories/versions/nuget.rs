//! Versions of .NET packages: `1.2.3.4-Beta.5+metadata`.
//!
//! The rules are those of `NuGet.Versioning`'s default `VersionComparer`: up to four numbers, of which missing ones are
//! zero; then labels, which come before the release and have no case; metadata do not count. A label is a number only
//! if it fits in 32 bits (`int.TryParse`), so that a time (`20240131123456`) is a word.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::semver;

/// One label of a pre-release. `StringComparer.OrdinalIgnoreCase` compares words, in capitals.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Label<'a> {
    Number(i32),
    Word(Cow<'a, str>),
}

/// Compares two versions as `NuGetVersion.CompareTo` does.
pub(super) fn compare(a: &str, b: &str) -> Ordering {
    semver::compare_with(a, b, |a, b| match (a.suffix, b.suffix) {
        (Some(a), Some(b)) => a.split('.').map(Label::new).cmp(b.split('.').map(Label::new)),
        (a, b) => a.is_none().cmp(&b.is_none()),
    })
}

impl<'a> Label<'a> {
    fn new(text: &'a str) -> Self {
        match text.parse() {
            Ok(number) if text.starts_with(|first: char| first.is_ascii_digit()) => Self::Number(number),
            _ if text.bytes().any(|byte| byte.is_ascii_lowercase()) => {
                Self::Word(text.to_ascii_uppercase().into())
            }
            _ => Self::Word(text.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{assert_ascending, assert_equal};
    use super::*;

    #[test]
    fn labels_have_no_case_and_come_before_the_release() {
        assert_equal(compare, &["1.0.0-beta.RC", "1.0.0-BETA.rc", "1.0-Beta.Rc+metadata"]);
        assert_ascending(
            compare,
            &[
                "1.0.0-5",
                "1.0.0-20240131",
                "1.0.0-20240131123456",
                "1.0.0-ALPHA",
                "1.0.0-alpha.1",
                "1.0.0-beta",
                "1.0.0-Preview2",
                "1.0.0-preview3",
                "1.0.0",
            ],
        );
    }

    #[test]
    fn fourth_number_counts_and_missing_ones_are_zero() {
        assert_equal(compare, &["1", "1.0", "1.0.0", "1.0.0.0", "01.00", "1.0.0+a", "1.0.0+b"]);
        assert_ascending(compare, &["1.0.0.0-rc", "1.0.0", "1.0.0.1-rc", "1.0.0.1", "1.0.0.10", "1.0.1"]);
    }
}
