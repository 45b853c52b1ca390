//! Versions of Alpine's apk: `1.2.3b_rc1~c0ffee-r4`.
//!
//! The rules are those of apk-tools 3 (`src/version.c`), its table of facts is `test/version.data`. A version is a
//! sequence of tokens: a first number, more numbers after dots, one letter, suffixes with an optional number, the
//! hash of a commit after `~`, and the revision after `-r`. Two versions are compared token by token. Where their
//! tokens are of different kinds, the kind that may come later in a version is the lesser one, so that the version
//! that goes on is the greater one (`1.0 < 1.0-r0 < 1.0_p1 < 1.0a < 1.0.1`), except that a suffix of a pre-release
//! is less than everything else (`1.0_rc1 < 1.0`).
//!
//! [`Token`] has these rules as its derived order, so comparing versions is comparing sequences lexicographically,
//! which is a total order whatever the text is.

use std::cmp::Ordering;

use super::number::Number;

/// Suffixes of a pre-release, least first.
const PRE: [&str; 4] = ["alpha", "beta", "pre", "rc"];
/// Suffixes of what comes after a release, least first.
const POST: [&str; 5] = ["cvs", "svn", "git", "hg", "p"];

/// One part of a version. The order of the variants is the rule for tokens of different kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Token<'a> {
    PreSuffix(usize),
    /// No version any more; apk calls all such rests equal, here their text decides.
    Invalid(&'a str),
    End,
    Revision(Number<'a>),
    CommitHash(&'a str),
    SuffixNumber(Number<'a>),
    PostSuffix(usize),
    Letter(u8),
    /// A number after a dot; with a leading zero it is compared as text, as in Gentoo's rules: `1.05 < 1.1`.
    /// Since `'0'` is the least digit, all of those come before all of the others.
    ZeroLed(&'a str),
    Digits(Number<'a>),
    FirstDigits(Number<'a>),
}

/// What the next token may be.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Start,
    AfterDigits,
    AfterLetter,
    AfterSuffix,
    AfterSuffixNumber,
    AfterHash,
    AfterRevision,
}

/// Cuts a version into tokens; ends with [`Token::End`] or [`Token::Invalid`].
struct Tokens<'a> {
    rest: &'a str,
    place: Place,
}

/// Compares two versions as `apk version --test` does.
pub(super) fn compare(a: &str, b: &str) -> Ordering {
    let (mut left, mut right) = (Tokens::new(a), Tokens::new(b));
    loop {
        let (l, r) = (left.next_token(), right.next_token());
        let is_last = matches!(l, Token::End | Token::Invalid(_));
        match l.cmp(&r) {
            Ordering::Equal if !is_last => {}
            decided => return decided,
        }
    }
}

impl<'a> Tokens<'a> {
    fn new(version: &'a str) -> Self {
        Self { rest: version, place: Place::Start }
    }

    fn next_token(&mut self) -> Token<'a> {
        let invalid = Token::Invalid(self.rest);
        self.valid_token().unwrap_or(invalid)
    }

    fn valid_token(&mut self) -> Option<Token<'a>> {
        if self.place == Place::Start {
            let digits = self.take_digits()?;
            self.place = Place::AfterDigits;
            return Some(Token::FirstDigits(Number::new(digits)));
        }
        let Some(&first) = self.rest.as_bytes().first() else { return Some(Token::End) };
        match first {
            b'.' if self.place == Place::AfterDigits => {
                self.rest = &self.rest[1..];
                let digits = self.take_digits()?;
                let is_zero_led = digits.starts_with('0');
                Some(if is_zero_led { Token::ZeroLed(digits) } else { Token::Digits(Number::new(digits)) })
            }
            b'a'..=b'z' if self.place == Place::AfterDigits => {
                self.rest = &self.rest[1..];
                self.place = Place::AfterLetter;
                Some(Token::Letter(first))
            }
            b'0'..=b'9' if self.place == Place::AfterSuffix => {
                self.place = Place::AfterSuffixNumber;
                Some(Token::SuffixNumber(Number::new(self.take_digits()?)))
            }
            b'_' if self.place <= Place::AfterSuffixNumber => {
                self.rest = &self.rest[1..];
                let word = self.take_while(u8::is_ascii_lowercase)?;
                self.place = Place::AfterSuffix;
                let position = |suffixes: &[&str]| suffixes.iter().position(|suffix| *suffix == word);
                position(&PRE).map(Token::PreSuffix).or_else(|| position(&POST).map(Token::PostSuffix))
            }
            b'~' if self.place < Place::AfterHash => {
                self.rest = &self.rest[1..];
                self.place = Place::AfterHash;
                self.take_while(u8::is_ascii_hexdigit).map(Token::CommitHash)
            }
            b'-' if self.place < Place::AfterRevision => {
                self.rest = self.rest.strip_prefix("-r")?;
                self.place = Place::AfterRevision;
                Some(Token::Revision(Number::new(self.take_digits()?)))
            }
            _ => None,
        }
    }

    fn take_digits(&mut self) -> Option<&'a str> {
        self.take_while(u8::is_ascii_digit)
    }

    /// Takes the longest, not empty run of ASCII bytes that fit.
    fn take_while(&mut self, fits: impl Fn(&u8) -> bool) -> Option<&'a str> {
        let length = self.rest.bytes().take_while(|b| fits(b)).count();
        let (taken, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        (!taken.is_empty()).then_some(taken)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn assert_ascending(versions: &[&str]) {
        for (i, a) in versions.iter().enumerate() {
            for (j, b) in versions.iter().enumerate() {
                assert_eq!(compare(a, b), i.cmp(&j), "{a} against {b}");
            }
        }
    }

    #[test]
    fn suffixes_order_around_the_release() {
        assert_ascending(&[
            "1.0_alpha",
            "1.0_alpha2",
            "1.0_beta",
            "1.0_pre",
            "1.0_rc",
            "1.0_rc1",
            "1.0_rc9",
            "1.0_rc10",
            "1.0",
            "1.0-r0",
            "1.0-r9",
            "1.0-r10",
            "1.0_cvs",
            "1.0_svn",
            "1.0_git",
            "1.0_git20240101",
            "1.0_hg",
            "1.0_p1",
            "1.0_p9",
            "1.0_p10",
            "1.0a",
            "1.0b",
            "1.0.0",
            "1.0.1",
            "1.1_alpha1",
            "1.1",
        ]);
    }

    #[test]
    fn number_with_a_leading_zero_is_a_fraction() {
        assert_ascending(&["1.0", "1.00", "1.001", "1.01", "1.05", "1.1", "1.5", "1.10"]);
        assert_ascending(&["8.2.0015", "8.2.002"]);
    }

    #[test]
    fn first_number_is_never_a_fraction() {
        assert_ascending(&["1.06-r6", "006", "013", "014-r1", "087-r1", "103"]);
        assert_eq!(compare("007", "7"), Ordering::Equal);
    }

    #[test]
    fn facts_of_apk_tools_hold() {
        for (a, relation, b) in [
            ("2.34", '>', "0.1.0_alpha"),
            ("23_foo", '>', "4_beta"),
            ("1.0", '<', "1.0bc"),
            ("0.1.0_alpha2", '>', "0.1.0_alpha"),
            ("0.1.0_alpha_pre2", '<', "0.1.0_alpha"),
            ("1.0.0_pre20191002222144-r0", '<', "1.0.0_pre20210530193627-r0"),
            ("1.0_p10-r0", '>', "1.0_p9-r0"),
            ("1.3_pre1-r1", '<', "1.3.2"),
            ("1.3-r0", '<', "1.3.1-r0"),
            ("2.3.0b-r4", '>', "0.12.1"),
            ("20050718-r2", '>', "3.9.8-r5"),
            ("2.01.01_alpha10", '>', "0.94"),
            ("0.99.3.20040818", '<', "1.0"),
            ("4.2.52_p2-r1", '<', "4.2.52_p4-r2"),
            ("1.02.07", '<', "1.02.10-r1"),
            ("0.10.0", '<', "0.10.1_rc1"),
            ("0.17", '>', "0.5.0"),
            ("02.08.01b", '<', "4.77"),
            ("1.2.07.8", '<', "1.2.12.04"),
            ("1.07-r1", '<', "1.07.5"),
            ("1.7", '<', "1.7b"),
            ("1.8.5", '<', "1.8.5_p2"),
            ("2.9.11_pre20051101-r3", '>', "2.9.11_pre20051101"),
            ("0.9.28-r2", '<', "0.9.28.1"),
            ("4.5_p1", '<', "4.5_p1-r1"),
            ("3.0.24", '=', "3.0.24"),
        ] {
            let expected = match relation {
                '<' => Ordering::Less,
                '=' => Ordering::Equal,
                _ => Ordering::Greater,
            };
            assert_eq!(compare(a, b), expected, "{a} {relation} {b}");
            assert_eq!(compare(b, a), expected.reverse(), "{b} against {a}");
        }
    }

    #[test]
    fn commit_hash_stands_between_suffix_and_revision() {
        assert_ascending(&["1.0", "1.0-r1", "1.0~1234abc", "1.0~1234abc-r1", "1.0~1234abd", "1.0_git1~aa"]);
    }

    #[test]
    fn numbers_of_any_length_compare_by_value() {
        let long = "9".repeat(60);
        assert_ascending(&["18446744073709551615", "18446744073709551616", &long, &format!("1{long}")]);
    }

    fn versions() -> impl Strategy<Value = String> {
        prop_oneof![
            "[0-9]{1,2}(\\.[0-9]{1,3}){0,2}[a-c]?(_(alpha|rc|p|git|foo)[0-9]{0,2}){0,2}(~[0-9a-f]{1,3})?(-r[0-9])?",
            "[0-9a._~r-]{0,8}",
            "\\PC{0,6}",
        ]
    }

    proptest! {
        #[test]
        fn order_is_total(a in versions(), b in versions(), c in versions()) {
            prop_assert_eq!(compare(&a, &a), Ordering::Equal);
            prop_assert_eq!(compare(&a, &b), compare(&b, &a).reverse());
            let mut sorted = [a, b, c];
            sorted.sort_by(|x, y| compare(x, y));
            prop_assert_ne!(compare(&sorted[0], &sorted[1]), Ordering::Greater);
            prop_assert_ne!(compare(&sorted[1], &sorted[2]), Ordering::Greater);
            prop_assert_ne!(compare(&sorted[0], &sorted[2]), Ordering::Greater);
            if compare(&sorted[0], &sorted[1]) == Ordering::Less || compare(&sorted[1], &sorted[2]) == Ordering::Less {
                prop_assert_eq!(compare(&sorted[0], &sorted[2]), Ordering::Less);
            }
        }
    }
}
