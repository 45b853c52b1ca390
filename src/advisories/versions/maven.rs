//! Versions of Maven artifacts: `2.0.0-beta9`, `5.3.18.RELEASE`, `31.1-jre`.
//!
//! The rules are those of Maven's "Version Order Specification" (POM reference), the tool is `ComparableVersion` of
//! maven-artifact 3.9. A version is cut at dots, hyphens, and between digits and letters. Zeros and words for "a
//! release" (`ga`, `final`, `release`) count for nothing at the end and before a hyphen. What a version lacks is such
//! a nothing: words that stand for what comes before a release are less than it, all other words are greater, then
//! come numbers after a hyphen, then those after a dot.
//!
//! `ComparableVersion` contradicts itself where a word after a dot is followed by a hyphen or another dot
//! (`1.0.alpha-1 < 1 < 1-1 < 1.0.alpha-1`): there a word is taken as if it followed a hyphen, as the specification
//! has it. [`Token`] has these rules as its derived order, and versions are compared as sequences of tokens, which is
//! a total order whatever the text is.

use std::cmp::Ordering;

use super::number::{Number, split_digits};

/// One part of a version. The order of the variants is the rule for parts of different kinds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Token<'a> {
    /// A word for what comes before a release, by its place in [`BEFORE`].
    Before(usize),
    End,
    /// A service pack.
    Sp,
    /// Any other word.
    Word(String),
    /// A number after a hyphen, or after a word.
    Hyphened(Number<'a>),
    /// A number after a dot, or the first one.
    Dotted(Number<'a>),
}

/// Words for what comes before a release, least first.
const BEFORE: [&str; 5] = ["alpha", "beta", "milestone", "rc", "snapshot"];

/// Compares two versions as `ComparableVersion.compareTo` does.
pub(super) fn compare(a: &str, b: &str) -> Ordering {
    tokens(a).cmp(&tokens(b))
}

/// What separates a part from the one before it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Separator {
    Dot,
    Hyphen,
}

/// Cuts a version into tokens; the last one is [`Token::End`].
fn tokens(version: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let (mut rest, mut separator) = (version, Separator::Dot);
    loop {
        let (digits, after_digits) = split_digits(rest);
        let end = rest.find(|c: char| matches!(c, '.' | '-') || c.is_ascii_digit()).unwrap_or(rest.len());
        let (word, after_word) = rest.split_at(end);
        let mut is_release = false;
        if word.is_empty() {
            // Nothing between two separators is a zero, as no digits are.
            let number = Number::new(digits);
            if separator == Separator::Dot {
                tokens.push(Token::Dotted(number));
            } else {
                trim(&mut tokens);
                tokens.push(Token::Hyphened(number));
            }
            rest = after_digits;
        } else {
            trim(&mut tokens);
            let token = Token::of_word(word, after_word);
            is_release = token.is_none();
            tokens.extend(token);
            rest = after_word;
        }
        // Between digits and letters lies a hyphen that is not written.
        separator = match rest.chars().next() {
            None => break,
            Some('.') if !is_release => Separator::Dot,
            Some(_) => Separator::Hyphen,
        };
        rest = rest.strip_prefix(['.', '-']).unwrap_or(rest);
    }
    trim(&mut tokens);
    tokens.push(Token::End);
    tokens
}

/// Drops what counts for nothing at the end.
fn trim(tokens: &mut Vec<Token<'_>>) {
    let is_nothing = |token: &Token<'_>| match token {
        Token::Dotted(number) | Token::Hyphened(number) => number.is_zero(),
        _ => false,
    };
    while tokens.last().is_some_and(is_nothing) {
        tokens.pop();
    }
}

impl Token<'_> {
    /// None for words that say that it is a release. The short forms are such only before a digit: `1.0b2`.
    fn of_word(word: &str, after: &str) -> Option<Self> {
        let word = word.to_lowercase();
        let is_before_digit = after.starts_with(|next: char| next.is_ascii_digit());
        let name = match word.as_str() {
            "ga" | "final" | "release" => return None,
            "sp" => return Some(Self::Sp),
            "cr" => "rc",
            "a" if is_before_digit => "alpha",
            "b" if is_before_digit => "beta",
            "m" if is_before_digit => "milestone",
            name => name,
        };
        match BEFORE.iter().position(|before| *before == name) {
            Some(position) => Some(Self::Before(position)),
            None => Some(Self::Word(word)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{assert_ascending, assert_equal};
    use super::*;

    #[test]
    fn words_order_around_the_release() {
        assert_ascending(
            compare,
            &[
                "1.0-alpha1",
                "1.0-beta",
                "1.0-beta9",
                "1.0-beta10",
                "1.0-M1",
                "1.0-RC1",
                "1.0-SNAPSHOT",
                "1.0",
                "1.0-SP1",
                "1.0-android",
                "1.0-jre",
                "1.0-1",
                "1.0-2",
                "1.0.1-alpha",
                "1.0.1",
                "1.0.10",
                "1.1",
            ],
        );
    }

    #[test]
    fn zeros_and_words_for_a_release_count_for_nothing() {
        assert_equal(compare, &["1", "1.0", "1.0.0", "1-0", "1.ga", "1.0.Final", "1.0.0.RELEASE", "1.", "01"]);
        assert_equal(compare, &["1.0-foo", "1.0.0-foo.0.0", "1-FOO", "1.foo"]);
        assert_equal(compare, &["1.0-rc1", "1.0.CR1", "1-RC-1", "1.0.0rc1"]);
        assert_equal(compare, &["1.0b2", "1.0-beta-2"]);
        assert_equal(compare, &["1-1.foo-bar1baz-.1", "1-1.foo-bar-1-baz-0.1"]);
    }

    #[test]
    fn number_after_a_dot_is_greater_than_one_after_a_hyphen() {
        assert_ascending(compare, &["1-foo2", "1-foo10", "1.foo.1", "1-1", "1-1.1", "1.0.1", "1.1"]);
    }

    #[test]
    fn word_after_a_dot_is_ordered_as_after_a_hyphen() {
        assert_equal(compare, &["1.0.alpha-1", "1.0-alpha-1"]);
        assert_ascending(compare, &["1.0.alpha-1", "1", "1-1"]);
        assert_ascending(compare, &["1.0", "1.0.Final.1", "1.0.1"]);
    }
}
