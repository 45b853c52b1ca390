//! The part of a document that a search is about: reading two components costs a tenth of reading four hundred.

use std::ops::Range;
use std::sync::LazyLock;

use memchr::memmem::Finder;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::needles::Needles;

/// The distribution decides how versions are compared.
static SYSTEMS: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"operating-system\""));

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
    // A few looks at all of the document cost less than as many at each of its parts.
    let systems: Vec<usize> = SYSTEMS.find_iter(document).collect();
    let places = needles.places(document);
    let at = |part: &RawValue| {
        let start = part.get().as_ptr().addr().saturating_sub(document.as_ptr().addr());
        start..start + part.get().len()
    };
    let is_system = |part: &RawValue| has_one_in(&systems, at(part));
    // Without one the distribution is told by the packages, all of them.
    if !parts.components.iter().any(|part| is_system(part)) {
        return None;
    }
    parts.components.retain(|part| {
        let may_be = places.as_ref().is_none_or(|places| has_one_in(places, at(part)));
        (may_be && needles.may_be_in(part.get().as_bytes())) || is_system(part)
    });
    serde_json::to_vec(&parts).ok()
}

/// Whether one of some sorted numbers is in a range.
fn has_one_in(sorted: &[usize], range: Range<usize>) -> bool {
    let next = sorted.partition_point(|place| *place < range.start);
    sorted.get(next).is_some_and(|place| range.contains(place))
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
    fn no_more_is_left_out_than_by_a_look_at_each_component() {
        let document: serde_json::Value = serde_json::from_slice(SYFT).expect("JSON");
        let components = document["components"].as_array().expect("a list");
        for name in ["libssl3", "openssl", "e", "no-such-thing", "a}b", "12", "debian"] {
            let needles = Needles::of([name], &[]);
            let excerpt = excerpt(document.to_string().as_bytes(), &needles).expect("an excerpt");
            let excerpt: serde_json::Value = serde_json::from_slice(&excerpt).expect("JSON");
            let of_each = components.iter().filter(|component| {
                needles.may_be_in(component.to_string().as_bytes()) || component["type"] == "operating-system"
            });
            assert_eq!(excerpt["components"], of_each.cloned().collect::<serde_json::Value>(), "{name}");
        }
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
