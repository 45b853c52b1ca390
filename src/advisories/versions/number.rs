//! Decimal digits of any length, compared by value.

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
    fn digits_end_where_other_text_begins() {
        assert_eq!(split_digits("12rc1"), ("12", "rc1"));
        assert_eq!(split_digits("é1"), ("", "é1"));
    }
}
