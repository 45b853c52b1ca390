//! Versions of Python packages: `1!2.0rc1.post2.dev3+local.4`. PEP 440, now "Version specifiers" of the Python
//! packaging specifications.
//!
//! What is no such version (`2004d`, `1.0-SNAPSHOT`) is less than all that are, as it was for `packaging` before it
//! refused them, and is ordered by its numbers and words.

use std::cmp::Ordering;
use std::str::FromStr as _;

use pep440_rs::Version;

use super::number::compare_text;

/// Compares two versions as `packaging.version.Version` does.
pub(super) fn compare(a: &str, b: &str) -> Ordering {
    match (Version::from_str(a), Version::from_str(b)) {
        (Ok(a), Ok(b)) => a.cmp(&b),
        (Ok(_), Err(_)) => Ordering::Greater,
        (Err(_), Ok(_)) => Ordering::Less,
        (Err(_), Err(_)) => compare_text(a, b),
    }
}

/// Leaves out the local part, `+cu118` of `2.0.1+cu118`: it is a build of the public version, and who names versions
/// without one means all of its builds. Version specifiers, "Exclusive ordered comparison" and those before it.
pub(super) fn public(version: &str) -> &str {
    version.split_once('+').map_or(version, |(public, _)| public)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{assert_ascending, assert_equal};
    use super::*;

    #[test]
    fn parts_of_a_version_have_their_order() {
        assert_ascending(
            compare,
            &[
                "1.0.dev1",
                "1.0a1.dev2",
                "1.0a1",
                "1.0b2",
                "1.0b2.post1.dev1",
                "1.0b2.post1",
                "1.0rc1",
                "1.0",
                "1.0+abc",
                "1.0+abc.5",
                "1.0+5",
                "1.0.post1",
                "1.1.dev1",
                "1.1",
                "1.10",
                "1!0.1",
            ],
        );
    }

    #[test]
    fn spellings_of_one_version_are_equal() {
        assert_equal(compare, &["1.0", "v1", "1.0.0", " 1.0 "]);
        assert_equal(compare, &["1.0rc1", "1.0-c1", "1.0.pre1", "1.0_RC.1", "1.0preview1"]);
        assert_equal(compare, &["1.0.post1", "1.0-1", "1.0.rev1"]);
    }

    #[test]
    fn legacy_version_is_less_than_all_others_and_ordered_by_its_numbers() {
        assert_ascending(compare, &["", "dev-r1", "1.0-SNAPSHOT", "2004d", "2004e", "2012g", "0.dev0"]);
    }

    #[test]
    fn local_part_is_that_after_the_plus() {
        assert_eq!(public("2.0.1+cu118"), "2.0.1");
        assert_eq!(public("2.0.1"), "2.0.1");
    }
}
