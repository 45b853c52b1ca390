use jiff::civil::date;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::image::Digest;
use crate::report::Report;
use crate::severity::Severity;

/// One image, with the same vulnerability in two packages.
fn report() -> Report {
    let mut report = crate::report::counts::tests::report(&[(Severity::High, true), (Severity::High, true)]);
    let image = &mut report.images[0];
    image.reference = Some("registry.test/shop/cart:1".parse().expect("a reference"));
    image.digest = Some(Digest::of(b"cart"));
    for (finding, purl) in image
        .findings
        .iter_mut()
        .zip(["pkg:npm/%40babel/core@7.1.0", "pkg:deb/debian/libssl3@3.0.1-1?arch=amd64"])
    {
        finding.vulnerability = "CVE-2024-1".to_owned();
        finding.purl = purl.to_owned();
    }
    report
}

/// The reasons for which the two findings are ignored, and the notes.
fn applied(document: &Value) -> ([Option<String>; 2], Vec<String>) {
    let rules = read(&document.to_string(), "v.json").expect("a document");
    let report = report().suppressed(&[rules], date(2026, 1, 2));
    let reason = |place: usize| {
        let ignored = report.images[0].findings[place].ignored.as_ref()?;
        assert_eq!(ignored.source, "v.json");
        Some(ignored.reason.clone())
    };
    ([reason(0), reason(1)], report.notes)
}

fn open(statements: &Value) -> Value {
    json!({"@context": "https://openvex.dev/ns/v0.2.0", "@id": "x", "author": "a",
        "timestamp": "2024-01-01T00:00:00Z", "version": 1, "statements": statements})
}

/// A statement of OpenVEX about products, that they are not affected.
fn not_affected(products: &Value) -> [bool; 2] {
    let document = open(&json!([{"vulnerability": {"name": "CVE-2024-1"}, "products": products,
        "status": "not_affected", "justification": "component_not_present"}]));
    applied(&document).0.map(|reason| reason.is_some())
}

#[test]
fn openvex_is_applied_to_the_products_that_it_names() {
    let of_name = "pkg:oci/cart?repository_url=registry.test/shop/cart";
    let of_digest = format!("pkg:oci/other@{}", Digest::of(b"cart"));
    let of_other_digest = format!("pkg:oci/cart@{}", Digest::of(b"other"));
    for (products, expected) in [
        (json!([{"@id": of_name}]), [true, true]),
        (json!([{"@id": of_digest}]), [true, true]),
        (json!([{"@id": of_digest.replace(':', "%3A").replace("pkg%3A", "pkg:")}]), [true, true]),
        (json!([{"@id": of_other_digest}]), [false, false]),
        (json!([{"@id": "pkg:oci/cart"}]), [false, false]),
        (json!([{"@id": "pkg:docker/shop/cart?repository_url=registry.test"}]), [true, true]),
        (json!([{"@id": of_name, "subcomponents": [{"@id": "pkg:npm/@babel/core"}]}]), [true, false]),
        (json!([{"@id": of_name, "subcomponents": [{"@id": "pkg:npm/other"}]}]), [false, false]),
        (
            json!([{"@id": "https://example.org/cart", "identifiers": {"purl": "pkg:deb/debian/libssl3"}}]),
            [false, true],
        ),
        (json!([{"@id": "pkg:deb/debian/libssl3@3.0.1-1?arch=arm64"}]), [false, false]),
        (
            json!([{"@id": "pkg:golang/example.org/app", "subcomponents": [{"@id": "pkg:deb/debian/libssl3"}]}]),
            [false, false],
        ),
        (json!(["pkg:deb/debian/libssl3"]), [false, true]),
        (json!([{"@id": "https://example.org/cart"}]), [false, false]),
        (json!([]), [false, false]),
    ] {
        assert_eq!(not_affected(&products), expected, "{products}");
    }
}

#[test]
fn status_and_reasons_are_those_of_openvex() {
    for (members, expected) in [
        (
            json!({"status": "not_affected", "justification": "component_not_present", "impact_statement": "not built"}),
            Some("not affected: component_not_present: not built"),
        ),
        (json!({"status": "fixed"}), Some("fixed")),
        (json!({"status": "affected", "action_statement": "update"}), None),
        (json!({"status": "under_investigation"}), None),
        (json!({"status": "whatever"}), None),
    ] {
        let mut statement = json!({"vulnerability": "CVE-2024-1", "products": ["pkg:deb/debian/libssl3"]});
        statement.as_object_mut().expect("an object").extend(members.as_object().expect("members").clone());
        assert_eq!(applied(&open(&json!([statement]))).0[1].as_deref(), expected, "{statement}");
    }
}

#[test]
fn newest_statement_counts() {
    let statement = |status: &str, time: Option<&str>| {
        json!({"vulnerability": {"name": "GHSA-x", "aliases": ["CVE-2024-1"]}, "timestamp": time,
            "products": ["pkg:deb/debian/libssl3"], "status": status})
    };
    let (old, new) = (Some("2023-01-01T00:00:00Z"), Some("2025-01-01T00:00:00Z"));
    for (statements, is_ignored) in [
        (json!([statement("fixed", new), statement("affected", old)]), true),
        (json!([statement("fixed", old), statement("affected", new)]), false),
        (json!([statement("affected", None), statement("fixed", None)]), true),
        (json!([statement("fixed", None), statement("affected", None)]), false),
        (json!([statement("affected", old), statement("fixed", None)]), true),
    ] {
        assert_eq!(applied(&open(&statements)).0[1].is_some(), is_ignored, "{statements}");
    }
}

/// A document of CycloneDX about a subject, in which something is not affected.
fn cyclonedx(subject: &Value, state: &str, reference: &str) -> ([Option<String>; 2], Vec<String>) {
    applied(&json!({"bomFormat": "CycloneDX", "specVersion": "1.5", "metadata": {"component": subject},
        "components": [{"type": "application", "name": "a", "bom-ref": "a",
            "components": [{"type": "library", "name": "libssl3", "bom-ref": "ssl", "purl": "pkg:deb/debian/libssl3@3.0.1-1"}]}],
        "vulnerabilities": [{"id": "CVE-2024-1", "affects": [{"ref": reference}],
            "analysis": {"state": state, "justification": "code_not_reachable", "detail": "never called"}}]}))
}

#[test]
fn cyclonedx_is_applied_to_its_subject_and_to_packages_in_it() {
    let named = |name: &str| json!({"type": "container", "name": name, "bom-ref": "subject"});
    let cart = named("registry.test/shop/cart:1");
    let of_purl = json!({"name": "cart", "purl": "pkg:oci/cart?repository_url=registry.test/shop/cart"});
    for (subject, reference, expected) in [
        (&cart, "ssl", [false, true]),
        (&cart, "subject", [true, true]),
        (&cart, "pkg:npm/%40babel/core@7.1.0", [true, false]),
        (&cart, "urn:cdx:3e671687-395b-41f5-a30f-a58921a69b79/1#pkg%3Anpm%2F%40babel%2Fcore", [true, false]),
        (&cart, "unknown", [false, false]),
        (&of_purl, "ssl", [false, true]),
        (&named("registry.test/shop/other:1"), "ssl", [false, false]),
        (&json!({"type": "container"}), "ssl", [false, false]),
        (&Value::Null, "ssl", [false, true]),
        (&Value::Null, "urn:cdx:3e671687-395b-41f5-a30f-a58921a69b79/1#pkg:npm/%40babel/core", [false, false]),
    ] {
        let (reasons, _) = cyclonedx(subject, "not_affected", reference);
        assert_eq!(reasons.map(|reason| reason.is_some()), expected, "{subject} {reference}");
    }
}

#[test]
fn states_of_cyclonedx_that_suppress_are_four() {
    for (state, word) in [
        ("not_affected", Some("not affected")),
        ("false_positive", Some("false positive")),
        ("resolved", Some("resolved")),
        ("resolved_with_pedigree", Some("resolved")),
        ("exploitable", None),
        ("in_triage", None),
    ] {
        let expected = word.map(|word| format!("{word}: code_not_reachable: never called"));
        assert_eq!(cyclonedx(&Value::Null, state, "ssl").0[1], expected, "{state}");
    }
}

#[test]
fn document_that_comes_to_nothing_is_named() {
    let (_, notes) = cyclonedx(&Value::Null, "not_affected", "unknown");
    assert_eq!(
        notes,
        [
            "nothing that v.json says suppresses a finding",
            "1 statement of v.json about products that are known here neither as image nor as package"
        ]
    );
    assert!(cyclonedx(&Value::Null, "not_affected", "ssl").1.is_empty());
}

#[test]
fn other_documents_are_refused() {
    for (text, message) in [
        ("{}", "it is neither OpenVEX nor CycloneDX"),
        (r#"{"@context": "https://example.org"}"#, "it is neither OpenVEX nor CycloneDX"),
        ("x", "expected value at line 1 column 1"),
        (
            r#"{"bomFormat": "CycloneDX", "vulnerabilities": 1}"#,
            "invalid type: integer `1`, expected a sequence at line 1 column 47",
        ),
    ] {
        assert_eq!(read(text, "v").expect_err(text).to_string(), message);
    }
}

proptest! {
    #[test]
    fn no_document_panics(text in "\\{\"(@context\":\"https://openvex.dev/ns\",\"statements|bomFormat\":\"CycloneDX\",\"vulnerabilities)\":[\\[\\]\\{\\}a-z\":, 0-9]{0,50}\\}|\\PC{0,40}") {
        let _ = read(&text, "v");
    }

    #[test]
    fn no_package_url_panics(text in "pkg:[a-z/@%?=&#:.0-9é]{0,30}") {
        let _ = product::Named::of(&text);
    }
}
