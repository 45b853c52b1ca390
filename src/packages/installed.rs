//! Databases of installed packages as dpkg and apk keep them: paragraphs of fields.

use serde::{Deserialize, Serialize};

use super::ownership::PathSet;

/// Most packages of one database; the largest images have some thousands.
pub(super) const PACKAGES: usize = 100_000;

/// What a database of installed packages says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstalledDatabase {
    /// Installed packages, in the order of the file.
    pub packages: Vec<InstalledPackage>,
    /// Number of paragraphs that name no package or no version and cannot be understood.
    pub damaged: u32,
}

/// One installed package in its database's own words.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstalledPackage {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its architecture.
    pub architecture: Option<String>,
    /// Name of the source package, if it is written.
    pub source: Option<String>,
    /// Version of the source package, if it is written.
    pub source_version: Option<String>,
    /// Licence, if it is written.
    pub license: Option<String>,
    /// Who maintains it.
    pub maintainer: Option<String>,
    /// Its files, where the database itself lists them.
    #[serde(default, skip_serializing_if = "PathSet::is_empty")]
    pub files: PathSet,
}

impl InstalledDatabase {
    /// About how many bytes of memory it takes.
    pub(super) fn weight(&self) -> usize {
        self.packages.iter().map(InstalledPackage::weight).sum()
    }
}

impl InstalledPackage {
    fn weight(&self) -> usize {
        let optional =
            [&self.architecture, &self.source, &self.source_version, &self.license, &self.maintainer];
        let optional: usize = optional.into_iter().flatten().map(String::len).sum();
        size_of::<Self>() + self.name.len() + self.version.len() + optional + self.files.weight()
    }
}
