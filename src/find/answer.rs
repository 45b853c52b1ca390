//! What was found, and where nobody has looked.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::image::Platform;
use crate::package::{Location, PackageType};
use crate::report::json::escape;
use crate::severity::Severity;

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Answer {
    /// Changes when a reader must.
    pub version: u32,
    /// What was looked for.
    pub query: String,
    /// Images that have it.
    pub images: Vec<Found>,
    /// How many images were looked into.
    pub searched: usize,
    /// Running images that were not looked into.
    pub not_searched: Vec<NotSearched>,
    /// What a person should know.
    pub notes: Vec<String>,
}

/// An image that has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Found {
    /// What it is called.
    pub image: String,
    /// Its digest.
    pub digest: String,
    /// The platform that was read.
    pub platform: Platform,
    /// Who runs it: `namespace/kind/name (container)`; empty if nobody does.
    pub used_by: BTreeSet<String>,
    /// The packages.
    pub hits: Vec<Hit>,
}

/// A package that was looked for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Hit {
    /// Its name.
    pub package: String,
    /// Its version.
    pub version: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: PackageType,
    /// Its package URL.
    pub purl: String,
    /// The source package, where it is known by that.
    pub source: Option<String>,
    /// The package of the distribution that brought it, and speaks for it.
    pub owner: Option<String>,
    /// Where in the image.
    pub locations: Vec<Location>,
    /// How far it is known to be what was looked for.
    pub known: Known,
}

/// How far a package is known to be what was looked for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "known", rename_all = "lowercase")]
pub enum Known {
    /// It is a package of the name, in a version that was asked for.
    Package,
    /// It is a package of the name, and whether its version is meant cannot be told.
    Name,
    /// It has the vulnerability.
    Affected {
        /// The name that people know it by.
        vulnerability: String,
        /// The advisory that says so.
        advisory: String,
        /// How bad.
        severity: Severity,
        /// The version that fixes it.
        fixed: Option<String>,
    },
}

/// A running image that was not looked into.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct NotSearched {
    /// What the pod spec calls it.
    pub image: String,
    /// Who runs it.
    pub used_by: BTreeSet<String>,
    /// Why.
    pub reason: String,
}

impl Answer {
    /// Puts what is found where most look first: what runs in most places, then by name.
    pub fn sort(&mut self) {
        self.images.sort_by(|a, b| {
            let uses = b.used_by.len().cmp(&a.used_by.len());
            uses.then_with(|| (&a.image, &a.digest).cmp(&(&b.image, &b.digest)))
        });
        self.not_searched.sort();
    }

    /// As JSON, indented, with a line feed at the end.
    ///
    /// # Panics
    /// Never: it consists of what JSON can hold.
    #[must_use]
    pub fn json(&self) -> String {
        let json = serde_json::to_string_pretty(self).expect("strings, numbers and lists");
        let mut text = escape(&json);
        text.push('\n');
        text
    }

    /// Whether every running image was looked into.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.not_searched.is_empty()
    }
}
