//! Decimal digits of any length, compared by value.

use std::cmp::Ordering;

/// A number as text: its value is not bounded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Number<'a> {
    /// Number of digits without leading zeros. It comes first: more digits are a greater number.
    length: usize,
    digits: &'a str,
}

impl<'a> Number<'a> {
    /// The value of ASCII digits; of none it is zero.
    pub(super) fn new(digits: &'a str) -> Self {
        let digits = digits.trim_start_matches('0');
        Self { length: digits.len(), digits }
    }

    pub(super) fn is_zero(self) -> bool {
        self.length == 0
    }
}

/// Cuts off the ASCII digits that a text begins with.
pub(super) fn split_digits(text: &str) -> (&str, &str) {
    let end = text.bytes().take_while(u8::is_ascii_digit).count();
    text.split_at(end)
}

/// One run of digits, or of what is none.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Piece<'a> {
    Word(&'a str),
    Number(Number<'a>),
}

fn pieces(text: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (digits, after) = split_digits(rest);
        if !digits.is_empty() {
            rest = after;
            return Some(Piece::Number(Number::new(digits)));
        }
        let end = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        rest = after;
        (!word.is_empty()).then_some(Piece::Word(word))
    })
}

/// Orders text that is no version: its numbers by value, everything else as it is written.
pub(super) fn compare_text(a: &str, b: &str) -> Ordering {
    pieces(a).cmp(pieces(b)).then_with(|| a.cmp(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn value_counts_and_not_the_length_of_the_text() {
        let long = "9".repeat(60);
        let ascending = ["", "1", "2", "10", "18446744073709551616", &long];
        for (i, a) in ascending.iter().enumerate() {
            for (j, b) in ascending.iter().enumerate() {
                assert_eq!(Number::new(a).cmp(&Number::new(b)), i.cmp(&j), "{a} against {b}");
                let led = format!("00{b}");
                assert_eq!(Number::new(a).cmp(&Number::new(&led)), i.cmp(&j), "{a} against {led}");
            }
        }
        assert!(Number::new("000").is_zero() && !Number::new("0010").is_zero());
    }

    #[test]
    fn numbers_within_text_are_ordered_by_value() {
        for pair in ["", "edge-24.6.2", "edge-24.10.1", "edge-x", "2004d", "2012g"].windows(2) {
            assert_eq!(compare_text(pair[0], pair[1]), Ordering::Less, "{pair:?}");
        }
        assert_ne!(compare_text("a01", "a1"), Ordering::Equal);
    }

    #[test]
    fn digits_end_where_other_text_begins() {
        assert_eq!(split_digits("12rc1"), ("12", "rc1"));
        assert_eq!(split_digits("é1"), ("", "é1"));
    }
}
