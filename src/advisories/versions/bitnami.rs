//! Versions of Bitnami components: `6.4.2-3`, a semantic version and the revision of its packaging.
//!
//! The rules are those of bitnami/go-version: what would be a pre-release elsewhere is a revision, and comes after the
//! version without one.

use std::cmp::Ordering;

use super::semver::{self, Parts};

/// Compares two versions as `Version.Compare` of bitnami/go-version does.
pub(super) fn compare(a: &str, b: &str) -> Ordering {
    semver::compare_with(a, b, |a, b| match (a.suffix, b.suffix) {
        (Some(a), Some(b)) => semver::compare_identifiers(a, b),
        (a, b) => a.is_some().cmp(&b.is_some()),
    })
}

/// Compares an installed version with one that a record names. Records name versions of the component, `last_affected`
/// among them: those stand for all of their revisions.
pub(super) fn compare_installed(installed: &str, named: &str) -> Ordering {
    match Parts::of(named) {
        Some(Parts { suffix: None, .. }) => semver::compare_with(installed, named, |_, _| Ordering::Equal),
        _ => compare(installed, named),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::assert_ascending;
    use super::*;

    #[test]
    fn revision_comes_after_its_version() {
        assert_ascending(compare, &["6.4.1-10", "6.4.2", "6.4.2-0", "6.4.2-2", "6.4.2-10", "6.4.3"]);
    }

    #[test]
    fn version_that_a_record_names_stands_for_all_its_revisions() {
        for (installed, named, expected) in [
            ("6.4.2-0", "6.4.2", Ordering::Equal),
            ("6.4.1-3", "6.4.1", Ordering::Equal),
            ("6.4.1-3", "6.4.1-4", Ordering::Less),
            ("6.4.1", "6.4.1-4", Ordering::Less),
            ("6.4.3-0", "6.4.2", Ordering::Greater),
        ] {
            assert_eq!(compare_installed(installed, named), expected, "{installed} against {named}");
        }
    }
}
