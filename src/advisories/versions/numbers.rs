//! Versions that are nothing but numbers: those of Hackage (`0.11.3.0`, Haskell's `Data.Version`) and of CRAN
//! (`1.2-10`, R's `package_version`, where hyphens and dots mean the same).
//!
//! Number by number; of two that are equal as far as they go the longer one is greater: `1.0 < 1.0.0`.

use std::cmp::Ordering;

use super::number::{Number, compare_text, split_digits};

/// Compares two versions as both do. Text that is none is less than all versions.
pub(super) fn compare(a: &str, b: &str) -> Ordering {
    match (is_version(a), is_version(b)) {
        (true, true) => numbers(a).cmp(numbers(b)),
        (false, false) => compare_text(a, b),
        (a, b) => a.cmp(&b),
    }
}

fn numbers(version: &str) -> impl Iterator<Item = Number<'_>> {
    version.split(['.', '-']).map(Number::new)
}

fn is_version(text: &str) -> bool {
    text.split(['.', '-']).all(|part| matches!(split_digits(part), (digits, "") if !digits.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{assert_ascending, assert_equal};
    use super::*;

    #[test]
    fn longer_version_is_greater() {
        assert_ascending(compare, &["", "1.x", "0.9", "1", "1.0", "1.0.0", "1.0.0.1", "1.2", "1.10", "1.10-1"]);
    }

    #[test]
    fn hyphens_and_leading_zeros_do_not_count() {
        assert_equal(compare, &["1.2.3", "1.2-3", "1-2-3", "1.02.03"]);
    }
}
