//! OSV's names for what a package belongs to: `Debian:12`, `Alpine:v3.19`, `Go`.

mod products;
mod releases;

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use super::versions::Comparator;
use crate::package::{Distro, PackageType, normalized_python_name};

/// Longest name of an ecosystem that is read, in bytes. The longest real one has some 60.
const MAX_LENGTH: usize = 200;

/// The repository of Drupal's modules, which OSV files apart from those of Packagist.
const DRUPAL: &str = "https://packages.drupal.org/8";

/// What stands in the place of a release for the records about malware. They are 98 % of what is known of npm: in a
/// partition of their own, the other records are found without them. No record names such an ecosystem.
const MALWARE: &str = "malware";

/// An ecosystem as in the OSV schema, `affected[].package.ecosystem`: a name and, after a colon, a release.
///
/// A name without a release is an ecosystem of its own: a record for bare `Debian` says nothing about `Debian:12`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ecosystem {
    name: String,
    release: Option<String>,
}

/// Which of a package's names its advisories use. Packages of languages have but one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KnownBy {
    /// That of the source package.
    Source,
    /// Its own.
    Own,
    /// Either.
    Either,
}

/// Text that is no ecosystem.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an OSV ecosystem")]
pub struct EcosystemError(String);

impl Ecosystem {
    /// The name before the first colon: `Debian`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What stands after the first colon: `12`, `v3.19`.
    #[must_use]
    pub fn release(&self) -> Option<&str> {
        self.release.as_deref()
    }

    /// Whether its versions can be ordered here, so that packages can be held against its advisories.
    #[must_use]
    pub fn can_be_matched(&self) -> bool {
        Comparator::of(self).is_some()
    }

    /// The ecosystem that holds what a record with this id says about this one: that of malware has a place of its own.
    /// `MAL-` begins the ids of the public database of malicious packages.
    #[must_use]
    pub fn of_record(self, id: &str) -> Self {
        let is_malware = self.release.is_none() && id.starts_with("MAL-");
        if is_malware { self.malware() } else { self }
    }

    fn malware(self) -> Self {
        Self { release: Some(MALWARE.to_owned()), ..self }
    }

    /// A package's name in the one spelling that is looked up.
    ///
    /// Python's names have many spellings, those of .NET, PHP, Hex, Pub and Bitnami have no case. A Swift package is
    /// named by a URL of Git, of which most records have only the host and the path.
    #[must_use]
    pub fn package_name<'a>(&self, name: &'a str) -> Cow<'a, str> {
        match self.name.as_str() {
            "PyPI" => Cow::Owned(normalized_python_name(name)),
            "NuGet" | "Packagist" | "Hex" | "Pub" | "Bitnami" => Cow::Owned(name.to_lowercase()),
            "SwiftURL" => {
                let name = name.strip_prefix("https://").unwrap_or(name);
                Cow::Owned(name.strip_suffix(".git").unwrap_or(name).to_lowercase())
            }
            _ => Cow::Borrowed(name),
        }
    }

    /// By which of their names and versions its advisories know packages.
    #[must_use]
    pub fn known_by(&self) -> KnownBy {
        match self.name.as_str() {
            "AlmaLinux" | "Red Hat" => KnownBy::Own,
            "Wolfi" | "Chainguard" | "MinimOS" | "Echo" => KnownBy::Either,
            _ => KnownBy::Source,
        }
    }

    /// Whether its advisories are announcements of fixes: a vulnerability that has none is in none of them.
    #[must_use]
    pub fn names_only_what_is_fixed(&self) -> bool {
        matches!(
            self.name.as_str(),
            "AlmaLinux" | "Red Hat" | "Rocky Linux" | "SUSE" | "openSUSE" | "Mageia" | "openEuler"
        )
    }

    /// The ecosystems that hold the packages of a kind in a distribution, never none. The first is the one that each such
    /// image has packages of: without advisories for it there are no data, while the others may be empty.
    ///
    /// # Errors
    /// There is none that is known here; the error is the name to report as without data, in words.
    pub fn all_of(package_type: PackageType, distro: Option<&Distro>) -> Result<Vec<Self>, String> {
        let of_language = match package_type {
            PackageType::Pypi => Some("PyPI"),
            PackageType::Npm => Some("npm"),
            PackageType::Golang => Some("Go"),
            PackageType::Maven => Some("Maven"),
            PackageType::Gem => Some("RubyGems"),
            PackageType::Nuget => Some("NuGet"),
            PackageType::Cargo => Some("crates.io"),
            PackageType::Composer => Some("Packagist"),
            PackageType::Hex => Some("Hex"),
            PackageType::Pub => Some("Pub"),
            PackageType::Bitnami => Some("Bitnami"),
            PackageType::Hackage => Some("Hackage"),
            PackageType::Cran => Some("CRAN"),
            PackageType::Swift => Some("SwiftURL"),
            PackageType::Deb | PackageType::Apk | PackageType::Rpm => None,
        };
        if let Some(name) = of_language {
            let main = Self { name: name.to_owned(), release: None };
            let of_drupal = Self { name: name.to_owned(), release: Some(DRUPAL.to_owned()) };
            let others = (package_type == PackageType::Composer).then_some(of_drupal);
            return Ok([main.clone(), main.malware()].into_iter().chain(others).collect());
        }
        let Some(distro) = distro else {
            return Err(format!("{} packages of an unknown distribution", package_type.as_str()));
        };
        let names = releases::ecosystems(package_type, distro)?;
        names.iter().map(|name| name.parse()).collect::<Result<_, _>>().map_err(|_| describe(distro))
    }
}

/// A distribution in words, for those without an ecosystem: `fedora 40`, `debian without a release (trixie/sid)`.
pub(super) fn describe(distro: &Distro) -> String {
    let id = if distro.id.is_empty() { "unknown distribution" } else { &distro.id };
    let codename = distro.version_codename.as_deref().or(distro.pretty_name.as_deref());
    match (&distro.version_id, codename) {
        (Some(version), _) => format!("{id} {version}"),
        (None, Some(codename)) => format!("{id} without a release ({codename})"),
        (None, None) => format!("{id} without a release"),
    }
}

impl FromStr for Ecosystem {
    type Err = EcosystemError;

    fn from_str(text: &str) -> Result<Self, EcosystemError> {
        let wrong = || EcosystemError(text.chars().take(MAX_LENGTH).collect());
        if text.len() > MAX_LENGTH || text.chars().any(char::is_control) {
            return Err(wrong());
        }
        let (name, release) = match text.split_once(':') {
            Some((name, release)) => (name, Some(release)),
            None => (text, None),
        };
        if name.is_empty() || release == Some("") {
            return Err(wrong());
        }
        Ok(Self { name: name.to_owned(), release: release.map(ToOwned::to_owned) })
    }
}

impl fmt::Display for Ecosystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.release {
            Some(release) => write!(f, "{}:{release}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn distro(id: &str, version_id: Option<&str>, codename: Option<&str>) -> Distro {
        Distro {
            id: id.to_owned(),
            version_id: version_id.map(ToOwned::to_owned),
            version_codename: codename.map(ToOwned::to_owned),
            ..Distro::default()
        }
    }

    #[test]
    fn release_is_what_follows_the_first_colon() {
        let ecosystem: Ecosystem = "Red Hat:enterprise_linux:9::baseos".parse().expect("valid");
        assert_eq!((ecosystem.name(), ecosystem.release()), ("Red Hat", Some("enterprise_linux:9::baseos")));
        assert_eq!(ecosystem.to_string(), "Red Hat:enterprise_linux:9::baseos");
        for text in ["", ":12", "Debian:", "De\u{1b}bian", &"x".repeat(201)] {
            assert!(text.parse::<Ecosystem>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn bare_name_is_another_ecosystem_than_its_releases() {
        let bare: Ecosystem = "Debian".parse().expect("valid");
        assert_ne!(bare, "Debian:12".parse().expect("valid"));
    }

    #[test]
    fn malware_has_a_place_of_its_own() {
        for (ecosystem, id, expected) in [
            ("npm", "MAL-2024-1", "npm:malware"),
            ("npm", "GHSA-x", "npm"),
            ("Debian:12", "MAL-2024-1", "Debian:12"),
        ] {
            let ecosystem: Ecosystem = ecosystem.parse().expect("valid");
            assert_eq!(ecosystem.of_record(id).to_string(), expected, "{id}");
        }
        let of_npm = Ecosystem::all_of(PackageType::Npm, None).expect("known");
        assert_eq!(of_npm.iter().map(ToString::to_string).collect::<Vec<_>>(), ["npm", "npm:malware"]);
    }

    #[test]
    fn packages_of_languages_need_no_distribution() {
        for (package_type, expected) in [
            (PackageType::Pypi, "PyPI"),
            (PackageType::Npm, "npm"),
            (PackageType::Golang, "Go"),
            (PackageType::Maven, "Maven"),
            (PackageType::Gem, "RubyGems"),
            (PackageType::Nuget, "NuGet"),
            (PackageType::Cargo, "crates.io"),
            (PackageType::Composer, "Packagist"),
            (PackageType::Hex, "Hex"),
            (PackageType::Pub, "Pub"),
            (PackageType::Bitnami, "Bitnami"),
            (PackageType::Hackage, "Hackage"),
            (PackageType::Cran, "CRAN"),
            (PackageType::Swift, "SwiftURL"),
        ] {
            for distro in [None, Some(distro("fedora", Some("40"), None))] {
                let ecosystems = Ecosystem::all_of(package_type, distro.as_ref());
                assert_eq!(ecosystems.map(|all| all[0].to_string()), Ok(expected.to_owned()));
            }
        }
    }

    #[test]
    fn names_are_looked_up_in_one_spelling() {
        for (ecosystem, name, expected) in [
            ("PyPI", "Zope._Interface", "zope-interface"),
            ("npm", "JSONStream", "JSONStream"),
            ("Go", "github.com/Masterminds/goutils", "github.com/Masterminds/goutils"),
            ("Maven", "org.Example:A_b", "org.Example:A_b"),
            ("RubyGems", "RedCloth", "RedCloth"),
            ("NuGet", "Newtonsoft.Json", "newtonsoft.json"),
            ("crates.io", "Inflector", "Inflector"),
            ("Packagist", "Symfony/HTTP-Kernel", "symfony/http-kernel"),
            ("Hackage", "HTTP", "HTTP"),
            ("SwiftURL", "https://github.com/Apple/swift-nio.git", "github.com/apple/swift-nio"),
        ] {
            let ecosystem: Ecosystem = ecosystem.parse().expect("valid");
            assert_eq!(ecosystem.package_name(name), expected);
        }
    }

    #[test]
    fn distribution_without_an_ecosystem_is_described() {
        for (distro, expected) in [
            (Some(distro("debian", None, Some("trixie"))), "debian without a release (trixie)"),
            (Some(distro("slackware", Some("15.0"), None)), "slackware 15.0"),
            (None, "deb packages of an unknown distribution"),
        ] {
            assert_eq!(Ecosystem::all_of(PackageType::Deb, distro.as_ref()), Err(expected.to_owned()));
        }
    }
}
