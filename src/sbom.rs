//! The software bill of materials of one image: what was found in it, and what could not be read.
//!
//! Its stored and sent form is CycloneDX 1.5 JSON, see [`cyclonedx`]. Those of other tools are read as CycloneDX or SPDX, and
//! both forms are written.

pub mod cyclonedx;
mod document;
mod purl;
pub mod spdx;
mod unread;

use serde::{Deserialize, Serialize};

pub use document::{Document, MAX_BYTES, ReadError, read};
pub use purl::parts_of_purl;
pub use unread::Unread;

use crate::package::{Distro, Package};

/// Everything that one read of an image (or of a directory) found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sbom {
    /// The distribution, if the image has one.
    pub distro: Option<Distro>,
    /// Packages, sorted and without doubles.
    pub packages: Vec<Package>,
    /// What could not be read, and why. Not empty means the image is `partial`.
    pub gaps: Vec<Gap>,
}

/// Something in an image that could not be read: named, never dropped.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Gap {
    /// Path from the image's root.
    pub path: String,
    /// Why, in words for people.
    pub reason: String,
}
