//! CycloneDX 1.5 JSON: the form in which bills of materials are stored, sent, and handed to other tools.
//!
//! Written so that Grype and Trivy read it: purls with `upstream`, an operating-system component, and the properties that
//! Syft and Trivy themselves write for source packages, layers and distributions. What those have no word for stands in
//! properties of our own, under `kubectl-clarity:`. The same bill gives the same bytes: no serial number, and a time only if
//! one is given.

pub(super) mod names;
pub(super) mod properties;
mod read;
mod write;

pub use read::read;
pub(super) use read::{PropertyView, distro, gaps, image_facts, locations, value};
pub use write::{WriteError, write};

use crate::image::{Digest, Platform, Reference};

/// The value of `bomFormat`.
pub(super) const FORMAT: &str = "CycloneDX";
/// Versions that are read: the first with a form in JSON, and those in which nothing that is read has changed.
const VERSIONS: &str = "1.2 to 1.6";

/// What a bill of materials is about, as far as it is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    /// The reference that was read.
    pub reference: Option<Reference>,
    /// Digest of the manifest.
    pub manifest: Option<Digest>,
    /// Digest of the config.
    pub config: Option<Digest>,
    /// The platform that was read.
    pub platform: Option<Platform>,
    /// Diff ids of the layers, bottom to top.
    pub layers: Vec<Digest>,
    /// Names and versions of the catalogers that read it.
    pub analysers: Option<String>,
    /// When it was made, RFC 3339, UTC.
    pub created: Option<String>,
}

#[cfg(test)]
mod tests;
