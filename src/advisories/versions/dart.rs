//! Versions of Dart packages: `1.2.3-dev.1+4`.
//!
//! The rules are those of `Version.compareTo` of `pub_semver`: semantic versions, of which the build counts as well. One
//! with a build comes after the one without, and builds are compared as pre-releases are.

use std::cmp::Ordering;

use super::semver;

/// Compares two versions as `Version.compareTo` of `pub_semver` does.
pub(super) fn compare(a: &str, b: &str) -> Ordering {
    semver::compare_with(a, b, |a, b| {
        let builds = || match (a.build, b.build) {
            (Some(a), Some(b)) => semver::compare_identifiers(a, b),
            (a, b) => a.is_some().cmp(&b.is_some()),
        };
        semver::compare_pre_releases(a.suffix, b.suffix).then_with(builds)
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::assert_ascending;
    use super::*;

    /// Written from the source and the tests of `pub_semver`: Dart is to be had nowhere that this project builds.
    #[test]
    fn build_comes_after_the_version_without_one() {
        assert_ascending(
            compare,
            &[
                "1.0.0-alpha",
                "1.0.0-alpha.1",
                "1.0.0-beta.2",
                "1.0.0-beta.11",
                "1.0.0-rc.1",
                "1.0.0-rc.1+build.1",
                "1.0.0",
                "1.0.0+0.3.7",
                "1.0.0+4",
                "1.0.0+10",
                "1.3.7+build",
                "1.3.7+build.2.b8f12d7",
                "1.3.7+build.11.e0f985a",
                "2.0.0",
            ],
        );
    }
}
