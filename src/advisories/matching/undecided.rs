//! Packages that advisories may be about, where what is known of the package does not tell.
//!
//! They are no findings, and not clean either: they are reported with what has no data.

use std::collections::{BTreeMap, BTreeSet};

use super::super::AffectedVersions;
use super::super::ecosystem::Ecosystem;
use super::super::index::Entry;
use super::super::ranges::Interval;
use super::super::versions::{go, packagist};
use crate::package::{Package, PackageType};

/// How many packages are named; the others are only counted.
const NAMED: usize = 5;
/// Longest name that is shown, in characters.
const MAX_NAME: usize = 120;

/// What a package lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Lack {
    /// The group of an artifact of Maven.
    Group,
    /// The stream of the module of rpm that it was built for, in its own label or in an advisory.
    Stream,
    /// That the distribution made it.
    Vendor,
    /// A version that has a place in the ranges of an advisory.
    Version,
}

/// Such packages of one SBOM.
#[derive(Debug, Default)]
pub(super) struct Undecided {
    packages: BTreeMap<(String, Lack), BTreeSet<String>>,
}

impl Undecided {
    pub(super) fn add(&mut self, ecosystem: &Ecosystem, lack: Lack, package: &Package) {
        let name = format!("{} {}", package.name, package.version);
        let names = self.packages.entry((ecosystem.to_string(), lack)).or_default();
        names.insert(name.trim_end().chars().take(MAX_NAME).collect());
    }

    /// In words, one text for each ecosystem and what is lacking.
    pub(super) fn in_words(&self) -> impl Iterator<Item = String> {
        self.packages.iter().map(|((ecosystem, lack), names)| {
            let lack = match lack {
                Lack::Group => "without a confirmed group",
                Lack::Stream => "of a module whose stream is not known to be that of an advisory",
                Lack::Vendor => "of another vendor",
                Lack::Version => "without a version that can be placed",
            };
            let named: Vec<&str> = names.iter().take(NAMED).map(String::as_str).collect();
            let others = match names.len() - named.len() {
                0 => String::new(),
                others => format!(" and {others} more"),
            };
            format!("{ecosystem} packages {lack}: {}{others}", named.join(", "))
        })
    }
}

/// Whether a package of a language has the version that its name was released with. What Go builds from a folder is
/// `(devel)`, or a commit without any release before it and with changes on top; Python's versioneer writes
/// `0+unknown`; Composer installs branches by their names.
pub(super) fn has_version(package: &Package) -> bool {
    let version = package.version.as_str();
    let is_known = version.bytes().any(|byte| byte.is_ascii_digit()) && !version.ends_with("+unknown");
    match package.package_type {
        PackageType::Deb | PackageType::Apk | PackageType::Rpm => true,
        PackageType::Golang => is_known && !(version.starts_with("v0.0.0-") && version.ends_with("+dirty")),
        PackageType::Composer => is_known && !packagist::is_branch(version),
        _ => is_known,
    }
}

/// Whether a version has a place among those that an advisory names. Without any, all are affected.
pub(super) fn is_decided(entry: &Entry<'_>, version: &str) -> bool {
    let AffectedVersions::Releases(intervals) = &entry.versions else { return true };
    let mut named = intervals.iter().flat_map(Interval::bounds).peekable();
    named.peek().is_none() || named.any(|named| go::is_comparable(version, named))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(package_type: PackageType, name: &str, version: &str) -> Package {
        Package::new(package_type, name, version)
    }

    #[test]
    fn builds_from_a_folder_have_no_version() {
        for (version, expected) in [
            ("(devel)", false),
            ("", false),
            ("v0.0.0-20250102030405-0123456789ab+dirty", false),
            ("v0.0.0-20250102030405-0123456789ab", true),
            ("v1.2.3+dirty", true),
            ("1.24.1", true),
        ] {
            assert_eq!(has_version(&package(PackageType::Golang, "m", version)), expected, "{version}");
        }
        assert!(!has_version(&package(PackageType::Pypi, "p", "0+unknown")));
        assert!(has_version(&package(PackageType::Deb, "p", "unknown")));
        assert!(!has_version(&package(PackageType::Composer, "v/p", "dev-feature-1")));
        assert!(has_version(&package(PackageType::Composer, "v/p", "1.x-dev")));
    }

    #[test]
    fn first_packages_are_named_and_the_others_counted() {
        let mut undecided = Undecided::default();
        let maven: Ecosystem = "Maven".parse().expect("valid");
        for number in 1..8 {
            undecided.add(&maven, Lack::Group, &package(PackageType::Maven, &format!("a{number}"), "1"));
        }
        undecided.add(&"Go".parse().expect("valid"), Lack::Version, &package(PackageType::Golang, "m", ""));
        let words: Vec<String> = undecided.in_words().collect();
        assert_eq!(
            words,
            [
                "Go packages without a version that can be placed: m",
                "Maven packages without a confirmed group: a1 1, a2 1, a3 1, a4 1, a5 1 and 2 more",
            ]
        );
    }
}
