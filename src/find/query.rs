//! What is looked for.

use std::fmt;
use std::str::FromStr;

use super::range::{Range, RangeError};
use crate::package::{Package, PackageType, normalized_python_name};
use crate::sbom::parts_of_purl;

/// Longest query, in bytes.
const MAX_LENGTH: usize = 1024;

/// How ids of advisories begin, in the databases that OSV brings together.
const PREFIXES: [&str; 27] = [
    "ALBA-", "ALEA-", "ALPINE-", "ALSA-", "ASB-", "BELL-", "BIT-", "CGA-", "CVE-", "DEBIAN-", "DLA-", "DSA-",
    "DTSA-", "ECHO-", "GHSA-", "GO-", "HSEC-", "MAL-", "MGASA-", "OESA-", "PYSEC-", "RHBA-", "RHSA-", "RLSA-",
    "RUSTSEC-", "UBUNTU-", "USN-",
];
/// The same, where the name of a distribution has no capitals.
const SUSE: [&str; 2] = ["SUSE-", "OPENSUSE-"];

/// What is looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Query {
    /// Packages that have a vulnerability, by any id of it or of an advisory about it.
    Vulnerability(String),
    /// Packages of a name.
    Package(PackageQuery),
}

/// Packages of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackageQuery {
    /// Only of this type.
    pub kind: Option<PackageType>,
    /// The name; that of a source package stands for all that were built from it.
    pub name: String,
    /// Only in these versions.
    pub versions: Option<Range>,
}

/// Text that is nothing to look for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// There is nothing in it, or too much.
    #[error("a name has 1 to {MAX_LENGTH} characters")]
    Length,
    /// A package URL of no known type.
    #[error("{0:?} is no package URL of a known type")]
    Purl(String),
    /// The versions cannot be read.
    #[error("cannot read the versions")]
    Versions(#[from] RangeError),
}

impl PackageQuery {
    /// The version that is decisive for a package that it is about by name: its own, or that of its source package.
    #[must_use]
    pub fn version_of<'a>(&self, package: &'a Package) -> Option<&'a str> {
        if self.kind.is_some_and(|kind| kind != package.package_type) {
            return None;
        }
        if is_name(&self.name, &package.name, package.package_type) {
            return Some(&package.version);
        }
        // Whoever writes a package URL means exactly that package.
        let source = package.source.as_ref().filter(|_| self.kind.is_none())?;
        is_name(&self.name, &source.name, package.package_type).then_some(&source.version)
    }
}

/// Whether a name is that of a package, as far as one is told from another by them. The group of an artifact of Maven may be left
/// out.
fn is_name(wanted: &str, name: &str, kind: PackageType) -> bool {
    match kind {
        PackageType::Pypi => normalized_python_name(wanted) == normalized_python_name(name),
        PackageType::Maven if !wanted.contains(':') => {
            name.rsplit(':').next().is_some_and(|artifact| artifact.eq_ignore_ascii_case(wanted))
        }
        _ => name.eq_ignore_ascii_case(wanted),
    }
}

/// Whether it is the id of a vulnerability or an advisory: no package is named so.
fn is_id(text: &str) -> bool {
    let text = text.to_ascii_uppercase();
    let is_known = PREFIXES.iter().chain(&SUSE).any(|prefix| text.starts_with(prefix));
    is_known && text.contains(|c: char| c.is_ascii_digit()) && !text.contains('@')
}

impl FromStr for Query {
    type Err = QueryError;

    /// Reads `CVE-2021-44228`, `pkg:npm/left-pad@1.3.0`, `log4j-core`, `log4j-core@2.14.1`, `log4j-core@>=2.0 <2.17.1`.
    fn from_str(text: &str) -> Result<Self, QueryError> {
        let text = text.trim();
        if text.is_empty() || text.len() > MAX_LENGTH {
            return Err(QueryError::Length);
        }
        if text.starts_with("pkg:") {
            let wrong = || QueryError::Purl(text.chars().take(80).collect());
            let (kind, name, version) = parts_of_purl(text).ok_or_else(wrong)?;
            let versions = if version.is_empty() { None } else { Some(Range::parse(&version)?) };
            return Ok(Self::Package(PackageQuery { kind: Some(kind), name, versions }));
        }
        if is_id(text) {
            return Ok(Self::Vulnerability(text.to_owned()));
        }
        // A scope of npm begins with one.
        let at = text.rfind('@').filter(|at| *at > 0);
        let (name, versions) = match at {
            Some(at) => (&text[..at], Some(Range::parse(&text[at + 1..])?)),
            None => (text, None),
        };
        Ok(Self::Package(PackageQuery { kind: None, name: name.trim().to_owned(), versions }))
    }
}

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Vulnerability(id) => f.write_str(id),
            Self::Package(PackageQuery { kind, name, versions }) => {
                if let Some(kind) = kind {
                    write!(f, "{} ", kind.as_str())?;
                }
                f.write_str(name)?;
                versions.as_ref().map_or(Ok(()), |versions| write!(f, " {versions}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::package::SourcePackage;

    fn query(text: &str) -> Query {
        text.parse().expect(text)
    }

    #[test]
    fn ids_are_told_from_names() {
        for id in [
            "CVE-2021-44228",
            "cve-2021-44228",
            "GHSA-jfh8-c2jp-5v3q",
            "DSA-5576-2",
            "SUSE-SU-2024:1-1",
            "GO-2023-1",
        ] {
            assert_eq!(query(id), Query::Vulnerability(id.to_owned()));
        }
        for name in ["log4j-core", "go-yaml", "usn-parser", "BIT-vector", "libssl3"] {
            assert!(matches!(query(name), Query::Package(_)), "{name}");
        }
    }

    #[test]
    fn names_may_have_versions_and_scopes() {
        for (text, shown) in [
            ("log4j-core", "log4j-core"),
            ("log4j-core@2.14.1", "log4j-core =2.14.1"),
            ("log4j-core@>=2.0 <2.17.1", "log4j-core >=2.0 <2.17.1"),
            ("@babel/core", "@babel/core"),
            ("@babel/core@<7", "@babel/core <7"),
            ("pkg:npm/%40babel/core@7.1.0", "npm @babel/core =7.1.0"),
            ("pkg:maven/org.apache.logging.log4j/log4j-core", "maven org.apache.logging.log4j:log4j-core"),
            ("pkg:pypi/PyYAML", "pypi PyYAML"),
        ] {
            assert_eq!(query(text).to_string(), shown);
        }
        for wrong in ["", " ", "pkg:generic/openssl", "pkg:", "a@", "a@>="] {
            assert!(wrong.parse::<Query>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_name_is_that_of_a_package_its_source_or_its_artifact() {
        let source =
            |name: &str, version: &str| SourcePackage { name: name.to_owned(), version: version.to_owned() };
        let ssl = Package {
            source: Some(source("openssl", "3.0.11")),
            ..Package::new(PackageType::Deb, "libssl3", "1")
        };
        let log4j = Package::new(PackageType::Maven, "org.apache:log4j-core", "2.0");
        let yaml = Package::new(PackageType::Pypi, "PyYAML", "6");
        let version = |text: &str, package: &Package| match query(text) {
            Query::Package(query) => query.version_of(package).map(ToOwned::to_owned),
            Query::Vulnerability(_) => None,
        };
        assert_eq!(version("libssl3", &ssl).as_deref(), Some("1"));
        assert_eq!(version("openssl", &ssl).as_deref(), Some("3.0.11"));
        assert_eq!(version("pkg:deb/openssl", &ssl), None);
        assert_eq!(version("Log4J-core", &log4j).as_deref(), Some("2.0"));
        assert_eq!(version("org.other:log4j-core", &log4j), None);
        assert_eq!(version("pyyaml", &yaml).as_deref(), Some("6"));
        assert_eq!(version("pkg:npm/pyyaml", &yaml), None);
    }

    proptest! {
        #[test]
        fn no_query_panics(text in "(pkg:(npm|deb)/|CVE-)?[@%a-z0-9é:/<>= -]{0,30}") {
            let _ = text.parse::<Query>();
        }
    }
}
