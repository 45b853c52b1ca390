//! The part of a document that a search is about: reading two components costs a tenth of reading four hundred.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::needles::Needles;

/// The distribution decides how versions are compared.
const SYSTEM: &[u8] = b"\"operating-system\"";

/// Most values of a document that is parted; one with more is refused by whoever reads it whole.
const MAX_VALUES: usize = 5_000_000;

/// A CycloneDX document whose parts are left as they are.
#[derive(Deserialize, Serialize)]
struct Document<'a> {
    #[serde(rename = "bomFormat", borrow)]
    format: &'a RawValue,
    #[serde(rename = "specVersion", borrow, default, skip_serializing_if = "Option::is_none")]
    version: Option<&'a RawValue>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    metadata: Option<&'a RawValue>,
    #[serde(borrow, default)]
    components: Vec<&'a RawValue>,
}

/// The document with the components that may hold what is looked for, and those that say which distribution it is. None
/// if that cannot be told without reading all of it.
pub(super) fn excerpt(document: &[u8], needles: &Needles) -> Option<Vec<u8>> {
    // A list of many small things takes far more memory than its bytes.
    if memchr::memchr_iter(b',', document).count() > MAX_VALUES {
        return None;
    }
    let mut parts: Document<'_> = serde_json::from_slice(document).ok()?;
    // Without one the distribution is told by the packages, all of them.
    let is_system = |part: &&RawValue| memchr::memmem::find(part.get().as_bytes(), SYSTEM).is_some();
    if !parts.components.iter().any(is_system) {
        return None;
    }
    parts.components.retain(|part| needles.may_be_in(part.get().as_bytes()) || is_system(part));
    serde_json::to_vec(&parts).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sbom;

    const SYFT: &[u8] = include_bytes!("../sbom/document/syft.cdx.json");

    #[test]
    fn what_is_looked_for_and_the_distribution_stay() {
        let whole = sbom::read(SYFT).expect("readable").sbom;
        let excerpt = excerpt(SYFT, &Needles::of(["libssl3"], &[])).expect("an excerpt");
        let part = sbom::read(&excerpt).expect("readable").sbom;
        assert_eq!(part.distro, whole.distro);
        let of_name: Vec<_> = whole.packages.into_iter().filter(|package| package.name == "libssl3").collect();
        assert_eq!(part.packages, of_name);
    }

    #[test]
    fn documents_that_cannot_be_parted_are_read_whole() {
        let needles = Needles::of(["a"], &[]);
        for document in [&b"{"[..], b"[]", br#"{"spdxVersion": "SPDX-2.3"}"#, br#"{"bomFormat": "CycloneDX"}"#]
        {
            assert!(excerpt(document, &needles).is_none());
        }
    }
}
