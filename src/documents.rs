//! From bills of materials to a report, without a cluster: the same matching and the same report as a scan's. Pure.

use std::collections::BTreeSet;

use jiff::civil::Date;

use crate::advisories::matching::{self, Matches, Texts};
use crate::advisories::overlays::end_of_life::end_of_life;
use crate::advisories::{Ecosystem, Index, Wanted, caveats};
use crate::coverage::State;
use crate::report::{ContainerReport, DOCUMENT, Filter, ImageReport, REPORT_VERSION, Report, ScanInfo};
use crate::sbom::{Document, Gap};

/// Most gaps of a document that are named; the others are only counted.
const GAPS_NAMED: usize = 3;

/// A bill of materials and where it came from.
#[derive(Clone, Debug)]
pub struct Given {
    /// The file, as the person named it.
    pub file: String,
    /// What it says.
    pub document: Document,
}

/// The advisories that are needed.
#[must_use]
pub fn wanted(given: &[Given]) -> Wanted {
    matching::wanted(given.iter().map(|given| &given.document.sbom))
}

/// Holds the packages of all documents against an index: one image for each document, and one entry of kind
/// [`DOCUMENT`] that uses it. The day decides which releases are no longer tracked. Also gives the ecosystems whose index turned out to be damaged.
#[must_use]
pub fn report(
    mut given: Vec<Given>,
    index: &Index,
    texts: Texts,
    scan: ScanInfo,
    today: Date,
) -> (Report, BTreeSet<Ecosystem>) {
    given.sort_by(|a, b| a.file.cmp(&b.file));
    let mut damaged = BTreeSet::new();
    let image = |given: &Given| {
        let mut matches = matching::match_sbom(&given.document.sbom, index, texts);
        damaged.append(&mut matches.damaged);
        image(&given.document, matches, today)
    };
    let images: Vec<ImageReport> = given.iter().map(image).collect();
    let containers = given.into_iter().zip(&images).enumerate().map(|(number, (given, image))| {
        let reference = || image.reference.as_ref().map(ToString::to_string);
        ContainerReport {
            namespace: String::new(),
            workload: given.file.clone(),
            pod: String::new(),
            container: String::new(),
            kind: DOCUMENT.to_owned(),
            image: given.document.name.or_else(reference).unwrap_or(given.file),
            state: image.state.clone(),
            image_index: Some(number),
        }
    });
    let used = index.info();
    let report = Report {
        version: REPORT_VERSION,
        scan,
        containers: containers.collect(),
        images,
        notes: index.notes().into_iter().chain(caveats(&used)).collect(),
        advisories: used,
        filter: Filter::default(),
    };
    (report, damaged)
}

fn image(document: &Document, matches: Matches, today: Date) -> ImageReport {
    let Document { sbom, subject, name: _, unread } = document;
    let gaps: Vec<String> = unread.in_words().chain(in_words(&sbom.gaps)).collect();
    ImageReport {
        reference: subject.reference.clone(),
        digest: subject.manifest.clone(),
        platform: subject.platform.clone(),
        state: if gaps.is_empty() { State::Scanned } else { State::Partial(gaps.join("; ")) },
        read_by: None,
        distro: sbom.distro.clone(),
        packages: sbom.packages.len(),
        findings: matches.findings,
        not_shown: 0,
        without_data: matches.without_data,
        end_of_life: sbom.distro.as_ref().and_then(|distro| end_of_life(distro, today)),
        registry: Vec::new(),
    }
}

/// What the document itself says was not read.
fn in_words(gaps: &[Gap]) -> impl Iterator<Item = String> {
    let named = gaps.iter().take(GAPS_NAMED).map(|gap| format!("{}: {}", gap.path, gap.reason));
    let more = gaps.len().saturating_sub(GAPS_NAMED);
    named.chain((more > 0).then(|| format!("{more} more that the document names")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sbom;

    fn given(file: &str, json: &serde_json::Value) -> Given {
        let document = sbom::read(json.to_string().as_bytes()).expect("readable");
        Given { file: file.to_owned(), document }
    }

    const TODAY: Date = jiff::civil::date(2026, 1, 2);

    fn scan() -> ScanInfo {
        ScanInfo {
            id: "x".to_owned(),
            generator: "x".to_owned(),
            started: "x".to_owned(),
            duration_ms: 0,
            scope: "match a".to_owned(),
        }
    }

    #[test]
    fn a_document_is_an_image_and_the_entry_that_uses_it() {
        let of_image = given(
            "b.json",
            &serde_json::json!({"bomFormat": "CycloneDX",
                "metadata": {"component": {"type": "container", "name": "registry.test/shop/cart:1"}}}),
        );
        let of_folder = given(
            "a.json",
            &serde_json::json!({"bomFormat": "CycloneDX",
                "metadata": {"component": {"type": "file", "name": "./src"}},
                "components": [{"type": "library", "name": "left"}]}),
        );
        let (report, _) = report(vec![of_image, of_folder], &Index::empty(), Texts::Left, scan(), TODAY);
        let entries: Vec<_> = report
            .containers
            .iter()
            .map(|entry| {
                (entry.workload.as_str(), entry.image.as_str(), entry.state.as_str(), entry.image_index)
            })
            .collect();
        assert_eq!(
            entries,
            [
                ("a.json", "./src", "partial", Some(0)),
                ("b.json", "registry.test/shop/cart:1", "scanned", Some(1))
            ]
        );
        assert_eq!(report.images[0].state.reason(), Some("1 component has no package URL (left)"));
        assert_eq!(report.images[0].reference, None);
        assert!(report.images[1].reference.is_some() && report.is_of_documents());
        let text = crate::report::json::render(&report);
        assert_eq!(serde_json::from_str::<Report>(&text).expect("a report"), report);
    }

    #[test]
    fn gaps_that_the_document_names_make_it_partial() {
        let property = |number: usize, name: &str| serde_json::json!({"name": format!("kubectl-clarity:gap:{number}:{name}"), "value": format!("{name}{number}")});
        let properties: Vec<_> =
            (0..5).flat_map(|number| [property(number, "path"), property(number, "reason")]).collect();
        let json = serde_json::json!({"bomFormat": "CycloneDX", "metadata": {"properties": properties}});
        let (report, _) = report(vec![given("a.json", &json)], &Index::empty(), Texts::Left, scan(), TODAY);
        assert_eq!(
            report.images[0].state.reason(),
            Some("path0: reason0; path1: reason1; path2: reason2; 2 more that the document names")
        );
        assert!(!report.is_complete());
    }
}
