//! Versions of PHP packages: `v1.2.3-beta2`, `5.4.x-dev`, `dev-main`.
//!
//! The rules are those of Composer: `VersionParser::normalize` brings a version to four numbers and a stability, and
//! PHP's `version_compare` orders the results. `dev`, `alpha`, `beta` and `RC` come before the release, `patch` after it;
//! a branch (`1.x-dev`) is as high as its numbers can be. What Composer refuses is cut up in the same way; words that it
//! does not know come before all that it knows, as they do in `version_compare`.
//!
//! [`Token`] has these rules as its derived order, and versions are compared as sequences of tokens, which is a total
//! order whatever the text is.

use std::cmp::Ordering;

use super::number::{Number, split_digits};

/// One part of a version. The order of the variants is the rule for parts of different kinds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Token<'a> {
    /// No stability that is known.
    Word(String),
    Dev,
    Alpha,
    Beta,
    ReleaseCandidate,
    End,
    Number(Number<'a>),
    Patch,
}

/// How many numbers a version has; missing ones are zero.
const NUMBERS: usize = 4;
/// Longest first number of such a version, in digits: a longer one is a date, which is left as it is.
const LONGEST: usize = 5;
/// What Composer puts in the place of a number that a branch leaves open.
const ANY: &str = "9999999";

/// Compares two versions as Composer does.
pub(super) fn compare(a: &str, b: &str) -> Ordering {
    tokens(a).cmp(&tokens(b))
}

/// Whether it is a branch by its name, which has no place among versions.
pub(in crate::advisories) fn is_branch(version: &str) -> bool {
    let version = version.trim();
    let is_named = version.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("dev-"));
    is_named || ["master", "trunk", "default"].contains(&version)
}

/// Cuts a version into tokens; the last one is [`Token::End`].
fn tokens(version: &str) -> Vec<Token<'_>> {
    let version = version.trim();
    let version = version.split_once('+').map_or(version, |(version, _)| version);
    let led = version.strip_prefix(['v', 'V']).filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    let (mut tokens, mut rest) = numbers(led.unwrap_or(version));
    while let Some(start) = rest.find(|c: char| c.is_ascii_alphanumeric()) {
        let (digits, after_digits) = split_digits(&rest[start..]);
        if !digits.is_empty() {
            tokens.push(Token::Number(Number::new(digits)));
            rest = after_digits;
            continue;
        }
        let letters = after_digits.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (word, after_word) = after_digits.split_at(letters);
        match Token::of_word(word) {
            Some(token) => tokens.push(token),
            // Whatever follows `stable` is left out.
            None => break,
        }
        rest = after_word;
    }
    tokens.push(Token::End);
    tokens
}

/// The numbers in front, made up to four, and what follows them.
fn numbers(version: &str) -> (Vec<Token<'_>>, &str) {
    let mut tokens = Vec::new();
    let (mut rest, mut missing) = (version, "");
    let mut is_date = false;
    loop {
        let (digits, after) = split_digits(rest);
        let open = after.strip_prefix(['x', 'X', '*']).filter(|_| digits.is_empty() && !tokens.is_empty());
        match open {
            Some(after) if !after.starts_with(|c: char| c.is_ascii_alphanumeric()) => {
                tokens.push(Token::Number(Number::new(ANY)));
                (rest, missing) = (after, ANY);
            }
            _ if digits.is_empty() => break,
            _ => {
                is_date |= tokens.is_empty() && digits.len() > LONGEST;
                tokens.push(Token::Number(Number::new(digits)));
                rest = after;
            }
        }
        let next = rest.strip_prefix(['.', ':', '-']);
        let Some(next) =
            next.filter(|next| next.starts_with(|c: char| c.is_ascii_digit() || "xX*".contains(c)))
        else {
            break;
        };
        is_date |= !rest.starts_with('.');
        rest = next;
    }
    if !is_date && !tokens.is_empty() {
        tokens.resize(tokens.len().max(NUMBERS), Token::Number(Number::new(missing)));
    }
    (tokens, rest)
}

impl Token<'_> {
    /// None for `stable`.
    fn of_word(word: &str) -> Option<Self> {
        let word = word.to_ascii_lowercase();
        Some(match word.as_str() {
            "stable" => return None,
            "dev" => Self::Dev,
            "alpha" | "a" => Self::Alpha,
            "beta" | "b" => Self::Beta,
            "rc" => Self::ReleaseCandidate,
            "patch" | "pl" | "p" => Self::Patch,
            _ => Self::Word(word),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{assert_ascending, assert_equal};
    use super::*;

    #[test]
    fn stabilities_order_around_the_release() {
        assert_ascending(
            compare,
            &[
                "dev-main",
                "1.0.0-unheard",
                "1.0.0-dev",
                "1.0.0-alpha",
                "1.0.0-alpha2",
                "1.0.0-alpha10",
                "1.0.0-beta1-dev",
                "1.0.0-beta1",
                "1.0.0-RC1",
                "1.0.0",
                "1.0.0-patch1",
                "1.0.0-patch1.1",
                "1.0.0.1",
                "1.0.1",
                "1.9.9",
                "1.x-dev",
                "2.0.0",
                "20240131",
            ],
        );
    }

    #[test]
    fn spellings_of_one_version_are_equal() {
        assert_equal(compare, &["1", "v1.0", "V1.0.0", "1.0.0.0", " 1.0 ", "1.0.0-stable", "1.0.0+build.7"]);
        assert_equal(compare, &["1.0-b2", "1.0.0beta2", "1.0_BETA.2", "1.0.0-beta-2"]);
        assert_equal(compare, &["1.0-p1", "1.0.0-pl1", "1.0patch1"]);
        assert_equal(compare, &["2.x-dev", "2.X-dev", "2.*-dev", "2.x.x-dev"]);
        assert_equal(compare, &["2024-01-31", "2024:01:31"]);
    }

    #[test]
    fn branches_are_told_from_versions() {
        for (version, expected) in [
            ("dev-main", true),
            ("DEV-1.2", true),
            ("master", true),
            ("1.x-dev", false),
            ("1.0.0-dev", false),
            ("dév", false),
        ] {
            assert_eq!(is_branch(version), expected, "{version}");
        }
    }
}
