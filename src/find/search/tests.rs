use std::path::Path;

use super::*;
use crate::advisories::{OsvSource, Wanted, load};

const SYFT: &[u8] = include_bytes!("../../sbom/document/syft.cdx.json");

fn index() -> Index {
    let source = OsvSource::open(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/osv")).expect("records");
    load(&source, &Wanted::all()).expect("an index")
}

fn looked(query: &str) -> (Looked, Vec<String>) {
    let search = Search::new(query.parse().expect(query), index());
    (search.look(SYFT).expect("readable"), search.notes().to_vec())
}

fn names(looked: &Looked) -> Vec<String> {
    looked.hits.iter().map(|hit| format!("{} {}", hit.package, hit.version)).collect()
}

#[test]
fn vulnerability_is_found_by_each_of_its_ids() {
    for id in ["CVE-2021-44228", "cve-2021-44228", "GHSA-jfh8-c2jp-5v3q"] {
        let (looked, notes) = looked(id);
        assert_eq!(names(&looked), ["org.apache.logging.log4j:log4j-core 2.14.1"], "{id}");
        let Known::Affected { vulnerability, fixed, .. } = &looked.hits[0].known else { panic!("affected") };
        assert_eq!((vulnerability.as_str(), fixed.as_deref()), ("CVE-2021-44228", Some("2.15.0")));
        assert_eq!(notes, [format!("{id} is in the advisories of Maven")]);
    }
}

#[test]
fn vulnerability_of_a_source_package_is_found_in_what_was_built_from_it() {
    assert_eq!(names(&looked("CVE-2024-6119").0), ["libssl3 3.0.11-1~deb12u2"]);
}

#[test]
fn an_id_that_no_advisory_has_is_said_to_be_unknown() {
    let (looked, notes) = looked("CVE-1999-0001");
    assert_eq!(looked, Looked::default());
    assert!(notes[0].starts_with("CVE-1999-0001 is in none of the advisories of "), "{}", notes[0]);
}

#[test]
fn packages_are_found_by_name_source_and_version() {
    for (query, expected) in [
        ("log4j-core", 1),
        ("log4j-core@>=2.0 <2.17.1", 1),
        ("log4j-core@>=2.15", 0),
        ("pkg:maven/org.apache.logging.log4j/log4j-core@2.14.1", 1),
        ("openssl", 1),
        ("openssl@<3.0.12", 1),
        ("libssl3@>=3.0.12", 0),
        ("stdlib@<1.21.9", 1),
        ("log4j", 0),
    ] {
        assert_eq!(looked(query).0.hits.len(), expected, "{query}");
    }
}

#[test]
fn a_package_of_no_version_is_named_and_not_taken_for_one() {
    let document = br#"{"bomFormat": "CycloneDX", "components": [
        {"type": "library", "name": "log4j-core", "purl": "pkg:maven/log4j-core"}]}"#;
    let of = |query: &str| Search::new(query.parse().expect(query), index()).look(document).expect("readable");
    assert_eq!(of("log4j-core@<2").hits[0].known, Known::Name);
    assert_eq!(of("log4j-core").hits[0].known, Known::Package);
    let of_vulnerability = of("CVE-2021-44228");
    assert!(of_vulnerability.hits.is_empty() && !of_vulnerability.undecided.is_empty(), "{of_vulnerability:?}");
}

#[test]
fn related_vulnerabilities_are_others() {
    let finding = |vulnerability: &str, aliases: &[&str]| -> Finding {
        serde_json::from_value(
            serde_json::json!({"vulnerability": vulnerability, "advisory": "DSA-1-1", "aliases": aliases,
            "package": "a", "installed": "1", "purl": "pkg:deb/a@1", "fixed": null, "severity": "low",
            "severity_source": null, "matched_as": null, "range": "", "locations": []}),
        )
        .expect("a finding")
    };
    assert!(!is_about(&finding("CVE-1", &["CVE-2"]), "CVE-2"));
    assert!(is_about(&finding("GHSA-1", &["CVE-2"]), "CVE-2"));
    assert!(is_about(&finding("CVE-1", &["GHSA-1"]), "ghsa-1"));
    assert!(is_about(&finding("CVE-1", &[]), "DSA-1-1"));
}

#[test]
fn damaged_documents_are_no_answer() {
    let search = Search::new("log4j-core".parse().expect("a name"), index());
    assert!(search.look(br#"{"bomFormat": "CycloneDX", "name": "log4j-core""#).is_err());
}
