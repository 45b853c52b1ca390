//! OSV's names for what a package belongs to: `Debian:12`, `Alpine:v3.19`, `Go`.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use crate::package::{Distro, PackageType, normalized_python_name};

/// Longest name of an ecosystem that is read, in bytes. The longest real one has some 60.
const MAX_LENGTH: usize = 200;

/// An ecosystem as in the OSV schema, `affected[].package.ecosystem`: a name and, after a colon, a release.
///
/// A name without a release is an ecosystem of its own: a record for bare `Debian` says nothing about `Debian:12`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ecosystem {
    name: String,
    release: Option<String>,
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

    /// A package's name in the one spelling that is looked up: Python's names have many, all others only their own.
    #[must_use]
    pub fn package_name<'a>(&self, name: &'a str) -> Cow<'a, str> {
        match self.name.as_str() {
            "PyPI" => Cow::Owned(normalized_python_name(name)),
            _ => Cow::Borrowed(name),
        }
    }

    /// The ecosystem that holds the packages of a kind in a distribution.
    ///
    /// # Errors
    /// There is none that is known here; the error is the name to report as without data, in words.
    pub fn of(package_type: PackageType, distro: Option<&Distro>) -> Result<Self, String> {
        let of_language = match package_type {
            PackageType::Pypi => Some("PyPI"),
            PackageType::Npm => Some("npm"),
            PackageType::Golang => Some("Go"),
            PackageType::Maven => Some("Maven"),
            PackageType::Deb | PackageType::Apk | PackageType::Rpm => None,
        };
        if let Some(name) = of_language {
            return Ok(Self { name: name.to_owned(), release: None });
        }
        let Some(distro) = distro else {
            return Err(format!("{} packages of an unknown distribution", package_type.as_str()));
        };
        let release = match (distro.id.as_str(), package_type) {
            ("debian", PackageType::Deb) => debian_release(distro).map(|release| ("Debian", release)),
            ("alpine", PackageType::Apk) => alpine_release(distro).map(|release| ("Alpine", release)),
            ("debian" | "alpine", _) => {
                return Err(format!("{} packages in {}", package_type.as_str(), describe(distro)));
            }
            _ => None,
        };
        let (name, release) = release.ok_or_else(|| describe(distro))?;
        format!("{name}:{release}").parse().map_err(|_| describe(distro))
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

/// `12` of `12` and `12.5`; `6.0` of `6.0.10`, since releases before 7 counted so. None for testing and sid.
fn debian_release(distro: &Distro) -> Option<String> {
    let mut numbers = distro.version_id.as_deref()?.split('.');
    let major: u32 = numbers.next()?.parse().ok()?;
    if major >= 7 {
        return Some(major.to_string());
    }
    let minor: u32 = numbers.next()?.parse().ok()?;
    Some(format!("{major}.{minor}"))
}

/// `v3.19` of `3.19.1`. None for edge, which calls itself by the coming release with `_alpha`.
fn alpine_release(distro: &Distro) -> Option<String> {
    let version = distro.version_id.as_deref()?;
    if version.contains("_alpha") {
        return None;
    }
    let mut numbers = version.split(['.', '_']);
    let major: u32 = numbers.next()?.parse().ok()?;
    let minor: u32 = numbers.next()?.parse().ok()?;
    Some(format!("v{major}.{minor}"))
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
    fn releases_of_debian_and_alpine_are_known() {
        for (package_type, id, version, expected) in [
            (PackageType::Deb, "debian", "12", "Debian:12"),
            (PackageType::Deb, "debian", "12.5", "Debian:12"),
            (PackageType::Deb, "debian", "6.0.10", "Debian:6.0"),
            (PackageType::Apk, "alpine", "3.19.1", "Alpine:v3.19"),
            (PackageType::Apk, "alpine", "3.20.0_rc1", "Alpine:v3.20"),
        ] {
            let ecosystem = Ecosystem::of(package_type, Some(&distro(id, Some(version), None)));
            assert_eq!(ecosystem.map(|e| e.to_string()), Ok(expected.to_owned()));
        }
    }

    #[test]
    fn packages_of_languages_need_no_distribution() {
        for (package_type, expected) in [
            (PackageType::Pypi, "PyPI"),
            (PackageType::Npm, "npm"),
            (PackageType::Golang, "Go"),
            (PackageType::Maven, "Maven"),
        ] {
            for distro in [None, Some(distro("fedora", Some("40"), None))] {
                let ecosystem = Ecosystem::of(package_type, distro.as_ref());
                assert_eq!(ecosystem.map(|e| e.to_string()), Ok(expected.to_owned()));
            }
        }
    }

    #[test]
    fn only_names_of_python_have_several_spellings() {
        for (ecosystem, name, expected) in [
            ("PyPI", "Zope._Interface", "zope-interface"),
            ("npm", "JSONStream", "JSONStream"),
            ("Go", "github.com/Masterminds/goutils", "github.com/Masterminds/goutils"),
            ("Maven", "org.Example:A_b", "org.Example:A_b"),
        ] {
            let ecosystem: Ecosystem = ecosystem.parse().expect("valid");
            assert_eq!(ecosystem.package_name(name), expected);
        }
    }

    #[test]
    fn what_has_no_ecosystem_is_named() {
        for (package_type, distro, expected) in [
            (
                PackageType::Deb,
                Some(distro("debian", None, Some("trixie"))),
                "debian without a release (trixie)",
            ),
            (
                PackageType::Apk,
                Some(distro("alpine", Some("3.21.0_alpha20240807"), None)),
                "alpine 3.21.0_alpha20240807",
            ),
            (PackageType::Deb, Some(distro("ubuntu", Some("24.04"), Some("noble"))), "ubuntu 24.04"),
            (PackageType::Apk, Some(distro("debian", Some("12"), None)), "apk packages in debian 12"),
            (PackageType::Deb, None, "deb packages of an unknown distribution"),
        ] {
            assert_eq!(Ecosystem::of(package_type, distro.as_ref()), Err(expected.to_owned()));
        }
    }
}
