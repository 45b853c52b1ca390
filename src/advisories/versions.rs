//! Orders of versions, one comparator a file.
//!
//! Which one holds is a property of the ecosystem alone: what a record calls the type of its range is not to be
//! trusted (Echo publishes dpkg versions as `SEMVER`).

mod apk;
mod bitnami;
mod dart;
mod dpkg;
pub(super) mod go;
mod maven;
mod nuget;
mod number;
mod numbers;
pub(super) mod packagist;
mod pep440;
mod rpm;
mod rubygems;
mod semver;

use std::cmp::Ordering;

use super::ecosystem::Ecosystem;

/// The order of an ecosystem's versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparator {
    /// deb-version(7).
    Dpkg,
    /// apk-tools 3.
    Apk,
    /// rpm, where advisories name the packages that are installed.
    Rpm,
    /// rpm, where advisories name the sources, whose files have no epoch in their names.
    RpmSource,
    /// PEP 440.
    Pep440,
    /// Semantic versions as npm reads them, which are those of Cargo, Hex and Swift as well.
    Semver,
    /// `golang.org/x/mod/semver`.
    Go,
    /// Maven's `ComparableVersion`.
    Maven,
    /// `Gem::Version`.
    RubyGems,
    /// NuGet.Versioning.
    NuGet,
    /// Composer.
    Packagist,
    /// bitnami/go-version: a revision is no pre-release.
    Bitnami,
    /// `pub_semver`, where the build counts.
    Dart,
    /// Nothing but numbers: Hackage and CRAN.
    Numbers,
}

impl Comparator {
    /// The comparator of an ecosystem; none if its versions cannot be ordered here, so it cannot be matched.
    #[must_use]
    pub fn of(ecosystem: &Ecosystem) -> Option<Self> {
        match ecosystem.name() {
            "Debian" | "Ubuntu" | "Echo" => Some(Self::Dpkg),
            "Alpine" | "Wolfi" | "Chainguard" | "MinimOS" | "Alpaquita" | "BellSoft Hardened Containers" => {
                Some(Self::Apk)
            }
            "AlmaLinux" | "Red Hat" => Some(Self::Rpm),
            "Rocky Linux" | "SUSE" | "openSUSE" | "Azure Linux" | "Mageia" | "openEuler" => {
                Some(Self::RpmSource)
            }
            "PyPI" => Some(Self::Pep440),
            "npm" | "crates.io" | "Hex" | "SwiftURL" => Some(Self::Semver),
            "Go" => Some(Self::Go),
            "Maven" => Some(Self::Maven),
            "RubyGems" => Some(Self::RubyGems),
            "NuGet" => Some(Self::NuGet),
            "Packagist" => Some(Self::Packagist),
            "Bitnami" => Some(Self::Bitnami),
            "Pub" => Some(Self::Dart),
            "Hackage" | "CRAN" => Some(Self::Numbers),
            _ => None,
        }
    }

    /// Compares two versions. A total order on whatever text: equal means that neither is newer.
    #[must_use]
    pub fn compare(self, a: &str, b: &str) -> Ordering {
        match self {
            Self::Dpkg => dpkg::compare(a, b),
            Self::Apk => apk::compare(a, b),
            Self::Rpm | Self::RpmSource => rpm::compare(a, b),
            Self::Pep440 => pep440::compare(a, b),
            Self::Semver => semver::compare(a, b),
            Self::Go => go::compare(a, b),
            Self::Maven => maven::compare(a, b),
            Self::RubyGems => rubygems::compare(a, b),
            Self::NuGet => nuget::compare(a, b),
            Self::Packagist => packagist::compare(a, b),
            Self::Bitnami => bitnami::compare(a, b),
            Self::Dart => dart::compare(a, b),
            Self::Numbers => numbers::compare(a, b),
        }
    }

    /// Compares an installed version with one that a record names. Python's builds of one version (`2.0.1+cu118`)
    /// are that version, unless the record names a build itself, and so are Bitnami's revisions and a gem's platforms; an
    /// epoch that only one side of a source package of rpm has says nothing.
    #[must_use]
    pub fn compare_installed(self, installed: &str, named: &str) -> Ordering {
        match self {
            Self::Pep440 if !named.contains('+') => pep440::compare(pep440::public(installed), named),
            Self::RpmSource => rpm::compare_sources(installed, named),
            Self::RubyGems => rubygems::compare(rubygems::without_platform(installed), named),
            Self::Bitnami => bitnami::compare_installed(installed, named),
            _ => self.compare(installed, named),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALL: [Comparator; 14] = [
        Comparator::Dpkg,
        Comparator::Apk,
        Comparator::Rpm,
        Comparator::RpmSource,
        Comparator::Pep440,
        Comparator::Semver,
        Comparator::Go,
        Comparator::Maven,
        Comparator::RubyGems,
        Comparator::NuGet,
        Comparator::Packagist,
        Comparator::Bitnami,
        Comparator::Dart,
        Comparator::Numbers,
    ];

    /// Each version against each other, the order being that of the list.
    #[track_caller]
    pub(super) fn assert_ascending(compare: fn(&str, &str) -> Ordering, versions: &[&str]) {
        for (i, a) in versions.iter().enumerate() {
            for (j, b) in versions.iter().enumerate() {
                assert_eq!(compare(a, b), i.cmp(&j), "{a} against {b}");
            }
        }
    }

    #[track_caller]
    pub(super) fn assert_equal(compare: fn(&str, &str) -> Ordering, versions: &[&str]) {
        for a in versions {
            for b in versions {
                assert_eq!(compare(a, b), Ordering::Equal, "{a} against {b}");
            }
        }
    }

    /// As package managers have them, most of them close to each other, and text that is none.
    fn versions() -> impl Strategy<Value = String> {
        prop_oneof![
            "([01]:)?[0-2](\\.[0-2]){0,2}([a-c]|~rc[0-9]|\\+dfsg)?(-[0-2](~bpo1|\\+deb1[12]u[12]|ubuntu0\\.[12])?)?",
            "[0-2]{1,2}(\\.[0-2]{1,3}){0,2}[a-c]?(_(alpha|rc|p|git|foo)[0-2]{0,2}){0,2}(~[0-9a-f]{1,3})?(-r[0-2])?",
            "([01]:)?[0-2](\\.[0-2]){0,2}([~^](rc|git)?[0-2])?-[0-2](\\.el9(_[0-2])?|\\.module[+_]el8\\.[0-2])?",
            "[0-2](\\.[0-2]){0,2}([.-]?(a|beta|pre|rc)[.]?[0-2]?){0,2}(-(x86_64-linux|java))?",
            "[vV]?[0-2](\\.([0-2]|x)){0,4}[._-]?((stable|RC|b|alpha|patch|p|foo)[.-]?[0-2]{0,2})?([.-]?dev)?",
            "[0-2](\\.[0-2]){0,3}(-([aA]lpha|[rR]c|[0-2]|20240131123456)(\\.[0-2bB]){0,2})?(\\+[0-2a](\\.[0-2])?)?",
            "(dev-(main|1\\.0)|2024[.:-]?01[.:-]?(01|02)([.-][0-2])?|2024010[12])",
            "[v=]?[0-2](\\.[0-2]){0,3}(-(alpha|beta|rc|0)(\\.[0-2]){0,2})?(\\+(incompatible|b[12]))?",
            "([01]!)?[0-2](\\.[0-2]){0,2}((a|b|rc|\\.dev|\\.post|-)[0-2]){0,2}(\\+(cu118|local\\.[12]))?",
            "[0-2](\\.[0-2]){0,2}([.-]?(alpha|M|RC|SNAPSHOT|Final|ga|SP|jre|foo|x)[.-]?[0-2]?){0,2}([.-][0-2])?",
            "v[0-2]\\.[0-2]\\.[0-2]-(0\\.|pre\\.0\\.)?2022072215523[0-2]-a158d28d115[bc]",
            "(go)?1\\.2[0-2](\\.[0-2]|rc[12]|beta1)?",
            "[0-2a.+-]{0,8}",
            "[0-9]{15,25}(\\.[0-9]{18,22})?",
            "\\PC{0,6}",
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]
        #[test]
        fn orders_are_total(a in versions(), b in versions(), c in versions()) {
            for comparator in ALL {
                let compare = |a: &str, b: &str| comparator.compare(a, b);
                prop_assert_eq!(compare(&a, &a), Ordering::Equal);
                prop_assert_eq!(compare(&a, &b), compare(&b, &a).reverse());
                let mut sorted = [&a, &b, &c];
                sorted.sort_by(|x, y| compare(x, y));
                let [x, y, z] = sorted;
                let (first, second) = (compare(x, y), compare(y, z));
                prop_assert_ne!(first, Ordering::Greater);
                prop_assert_ne!(second, Ordering::Greater);
                // Equal with equal is equal, and a step up is not taken back.
                prop_assert_eq!(compare(x, z), first.then(second), "{:?} {} {} {}", comparator, x, y, z);
            }
        }
    }

    #[test]
    fn builds_of_a_python_version_are_that_version() {
        let compare = |installed, named| Comparator::Pep440.compare_installed(installed, named);
        assert_eq!(compare("2.0.1+cu118", "2.0.1"), Ordering::Equal);
        assert_eq!(compare("2.0.1+cu118", "2.0.1+cu117"), Ordering::Greater);
        assert_eq!(compare("2.0.1", "2.0.1+cu117"), Ordering::Less);
        assert_eq!(Comparator::Semver.compare_installed("1.0.0+b", "1.0.0"), Ordering::Equal);
    }

    #[test]
    fn revision_or_platform_of_an_installed_package_does_not_make_it_another_version() {
        let gems = |installed| Comparator::RubyGems.compare_installed(installed, "1.15.0");
        assert_eq!(gems("1.15.0-x86_64-linux"), Ordering::Equal);
        assert_eq!(gems("1.15.0-rc1"), Ordering::Less);
        assert_eq!(Comparator::Bitnami.compare_installed("6.4.2-3", "6.4.2"), Ordering::Equal);
    }
}
