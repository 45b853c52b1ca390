//! Versions of Go modules: `v1.2.3`, `v2.0.0+incompatible`, pseudo-versions such as
//! `v1.2.4-0.20240102030405-0123456789ab`, and releases of Go itself, `go1.21rc2`.
//!
//! Modules have semantic versions, `golang.org/x/mod/semver`: pseudo-versions are pre-releases and `+incompatible` is
//! build metadata, so both fall into their places. OSV writes all of them without the `v`, and Go's release
//! candidates as semantic versions (`1.21.0-rc.2`).

use std::borrow::Cow;
use std::cmp::Ordering;

use super::number::split_digits;
use super::semver;

/// Compares two versions as `semver.Compare` of `golang.org/x/mod` does, for those that are valid there; others have
/// the places that npm's loose rules give them.
pub(super) fn compare(a: &str, b: &str) -> Ordering {
    semver::compare(&semantic(a), &semantic(b))
}

/// Whether a version has a place among the releases of a project that tags them in another way than Go's modules
/// want it: there a commit can be told to come before or after another commit only, and a name (`edge-24.6.2`) before
/// or after another name.
pub(in crate::advisories) fn is_comparable(installed: &str, named: &str) -> bool {
    match (Kind::of(installed), Kind::of(named)) {
        (Kind::Release, named) => named != Kind::Name,
        (Kind::Commit, named) => named == Kind::Commit,
        (Kind::Name, named) => named == Kind::Name,
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Release,
    /// A pseudo-version.
    Commit,
    /// No version.
    Name,
}

impl Kind {
    fn of(version: &str) -> Self {
        if is_pseudo(version) {
            Self::Commit
        } else if version.trim_start_matches('v').starts_with(|first: char| first.is_ascii_digit()) {
            Self::Release
        } else {
            Self::Name
        }
    }
}

/// Whether it stands for a commit and not for a release: it ends with a time and a part of a hash. Go Modules
/// Reference, "Pseudo-versions".
fn is_pseudo(version: &str) -> bool {
    let version = version.split_once('+').map_or(version, |(version, _)| version);
    let Some((rest, hash)) = version.rsplit_once('-') else { return false };
    let time = rest.rsplit(['-', '.']).next().unwrap_or_default();
    let is_hash = hash.len() == 12 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hash && time.len() == 14 && time.bytes().all(|byte| byte.is_ascii_digit())
}

/// A release of Go as a semantic version: `1.21.0-rc.2` of `go1.21rc2`. Everything else as it is.
fn semantic(version: &str) -> Cow<'_, str> {
    let release = version.strip_prefix("go").unwrap_or(version);
    let numbers = release.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b'.').count();
    let (numbers, suffix) = release.split_at(numbers);
    for word in ["beta", "rc"] {
        let Some(number) = suffix.strip_prefix(word) else { continue };
        let (digits, rest) = split_digits(number);
        if !digits.is_empty() && rest.is_empty() {
            return Cow::Owned(format!("{numbers}-{word}.{digits}"));
        }
    }
    Cow::Borrowed(release)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{assert_ascending, assert_equal};
    use super::*;

    #[test]
    fn pseudo_version_lies_between_the_releases_around_its_commit() {
        assert_ascending(
            compare,
            &[
                "v0.0.0-20180904163835-0709b304e793",
                "v0.0.0-20220722155237-a158d28d115b",
                "v0.0.0",
                "v1.2.3",
                "v1.2.4-0.20191109021931-daa7c04131f5",
                "v1.2.4-0.20201109021931-daa7c04131f5",
                "v1.2.4-pre.0.20191109021931-daa7c04131f5",
                "v1.2.4",
                "v2.0.0+incompatible",
                "v10.0.0",
            ],
        );
    }

    #[test]
    fn prefix_and_build_metadata_do_not_count() {
        assert_equal(compare, &["v1.2.3", "1.2.3", "v1.2.3+incompatible", "1.2.3+dirty"]);
        assert_equal(compare, &["go1.21", "1.21", "v1.21.0", "go1.21.0"]);
    }

    #[test]
    fn release_candidates_of_go_come_before_the_release() {
        assert_ascending(
            compare,
            &["1.21.0-0", "go1.21beta1", "go1.21rc2", "go1.21rc10", "go1.21", "go1.21.1", "go1.22rc1"],
        );
        assert_equal(compare, &["go1.21rc2", "1.21rc2", "1.21.0-rc.2"]);
    }

    #[test]
    fn commits_have_no_place_among_releases_and_names_none_among_versions() {
        let (commit, release, name) = ("0.0.0-20220722155237-a158d28d115b", "v1.2.3", "edge-24.6.2");
        for (installed, named, expected) in [
            (commit, commit, true),
            (commit, release, false),
            (commit, name, false),
            (release, commit, true),
            (release, release, true),
            (release, name, false),
            (name, name, true),
            (name, release, false),
        ] {
            assert_eq!(is_comparable(installed, named), expected, "{installed} and {named}");
        }
    }

    #[test]
    fn commits_are_told_from_releases() {
        for pseudo in [
            "v0.0.0-20220722155237-a158d28d115b",
            "0.0.0-20220722155237-a158d28d115b",
            "v1.2.4-0.20191109021931-daa7c04131f5",
            "v1.2.4-pre.0.20191109021931-daa7c04131f5+incompatible",
        ] {
            assert!(is_pseudo(pseudo), "{pseudo}");
        }
        for release in ["v1.2.3", "1.22.0-rc1", "0.0.0-20240109", "v1.0.0-20220722-a158d28d115b", "", "-"] {
            assert!(!is_pseudo(release), "{release}");
        }
    }
}
