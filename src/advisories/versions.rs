//! Orders of versions, one comparator a file.
//!
//! Which one holds is a property of the ecosystem alone: what a record calls the type of its range is not to be
//! trusted (Echo publishes dpkg versions as `SEMVER`).

mod apk;
mod dpkg;

use std::cmp::Ordering;

use super::ecosystem::Ecosystem;

/// The order of an ecosystem's versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparator {
    /// deb-version(7).
    Dpkg,
    /// apk-tools 3.
    Apk,
}

impl Comparator {
    /// The comparator of an ecosystem; none if its versions cannot be ordered here, so it cannot be matched.
    #[must_use]
    pub fn of(ecosystem: &Ecosystem) -> Option<Self> {
        match ecosystem.name() {
            "Debian" => Some(Self::Dpkg),
            "Alpine" => Some(Self::Apk),
            _ => None,
        }
    }

    /// Compares two versions. A total order on whatever text: equal means that neither is newer.
    #[must_use]
    pub fn compare(self, a: &str, b: &str) -> Ordering {
        match self {
            Self::Dpkg => dpkg::compare(a, b),
            Self::Apk => apk::compare(a, b),
        }
    }
}
