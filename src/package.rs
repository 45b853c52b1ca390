//! Packages as they are installed in an image, and the distribution that they belong to.

use serde::{Deserialize, Serialize};

/// The distribution of an image, from `os-release`. Field names are those of os-release(5).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Distro {
    /// `ID`, lower case: `debian`, `alpine`, `ubuntu`.
    pub id: String,
    /// `VERSION_ID`, absent on rolling releases.
    pub version_id: Option<String>,
    /// `VERSION_CODENAME`.
    pub version_codename: Option<String>,
    /// `ID_LIKE`, split at white space.
    pub id_like: Vec<String>,
    /// `PRETTY_NAME`, for people.
    pub pretty_name: Option<String>,
}

/// What kind of package it is: the `type` of its purl.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PackageType {
    /// dpkg.
    Deb,
    /// Alpine's apk.
    Apk,
}

/// The source package that a binary package was built from; advisories often name it instead.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SourcePackage {
    /// Name of the source package (dpkg `Source`, apk `origin`).
    pub name: String,
    /// Its version, which may differ from that of the binary package.
    pub version: String,
}

/// Where in the image the evidence of a package lies.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Location {
    /// Path from the image's root, without a leading slash.
    pub path: String,
    /// Diff id of the layer that brought it (the digest of the uncompressed tar); unknown when a mount was read.
    pub layer: Option<crate::image::Digest>,
}

/// One installed package.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Package {
    /// Kind of package.
    pub package_type: PackageType,
    /// Name in the package manager's own words.
    pub name: String,
    /// Version in the package manager's own words, epoch included.
    pub version: String,
    /// Architecture, where the package manager keeps one.
    pub architecture: Option<String>,
    /// The source package, when it is known; for dpkg and apk always filled in.
    pub source: Option<SourcePackage>,
    /// Licences as the package states them; not yet an SPDX expression.
    pub licenses: Vec<String>,
    /// Maintainer or vendor as the package states it.
    pub supplier: Option<String>,
    /// Where the evidence lies.
    pub locations: Vec<Location>,
}

impl PackageType {
    /// The `type` of a purl.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deb => "deb",
            Self::Apk => "apk",
        }
    }
}
