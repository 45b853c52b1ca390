use proptest::prelude::*;

use super::*;

/// Cut down from what Syft writes for an image.
const SYFT: &str = include_str!("syft.cdx.json");
/// Cut down from what Trivy writes for an image: purls without `upstream`, the source in properties.
const TRIVY: &str = include_str!("trivy.cdx.json");
/// Cut down from what cdxgen writes for an image: the code name beside the release, sources as components of their own.
const CDXGEN: &str = include_str!("cdxgen.cdx.json");

fn lines(document: &Document) -> String {
    let Document { sbom, subject, name, unread } = document;
    let distro = sbom.distro.as_ref().and_then(Distro::release).unwrap_or_default();
    let mut lines =
        vec![format!("{} {} {distro}", name.as_deref().unwrap_or("-"), subject.reference.is_some())];
    for package in &sbom.packages {
        let places: Vec<&str> = package.locations.iter().map(|location| location.path.as_str()).collect();
        let at = if places.is_empty() { String::new() } else { format!(" at {}", places.join(", ")) };
        let source = package.source.as_ref().map(|source| format!(" from {} {}", source.name, source.version));
        let kind = package.package_type.as_str();
        let source = source.unwrap_or_default();
        lines.push(format!("{kind} {} {}{source}{at}", package.name, package.version));
    }
    lines.extend(unread.in_words().map(|words| format!("! {words}")));
    lines.join("\n")
}

fn of(text: &str) -> String {
    lines(&read(text.as_bytes()).expect("readable"))
}

#[test]
fn document_of_syft_is_read() {
    insta::assert_snapshot!(of(SYFT), @r"
    registry.test/shop/cart:1.2 true debian-12
    deb libssl3 3.0.11-1~deb12u2 from openssl 3.0.11-1~deb12u2 at var/lib/dpkg/status
    golang stdlib 1.21.5
    maven org.apache.logging.log4j:log4j-core 2.14.1
    ! 1 component is of a type that is not known: generic (redis)
    ");
}

#[test]
fn document_of_trivy_is_read() {
    insta::assert_snapshot!(of(TRIVY), @r"
    registry.test/shop/web:1.4 true debian-12.5
    deb bsdutils 1:2.38.1-5+deb12u1 from util-linux 2.38.1-5+deb12u1
    golang golang.org/x/net v0.17.0 at usr/local/bin/server
    ");
}

#[test]
fn document_of_cdxgen_is_read() {
    insta::assert_snapshot!(of(CDXGEN), @r"
    shop false ubuntu-22.04
    deb libssl3 3.0.2-0ubuntu1.15 from libssl3 3.0.2-0ubuntu1.15
    deb openssl 3.0.2-0ubuntu1.15 from openssl 3.0.2-0ubuntu1.15
    npm @babel/core 7.22.5
    npm @shop/ui 1.0.0
    ! 1 component has no package URL (legacy)
    ! 1 component is of a type that is not known: github (actions/checkout)
    ");
}

#[test]
fn packages_of_another_distribution_are_a_gap_and_no_packages() {
    let purls =
        ["deb/debian/a@1?distro=debian-12", "deb/debian/b@1?distro=debian-12.5", "apk/alpine/c@1?distro=3.19"];
    let components: Vec<_> =
        purls.iter().map(|purl| serde_json::json!({"purl": format!("pkg:{purl}")})).collect();
    let json = serde_json::json!({"bomFormat": "CycloneDX", "components": components});
    let document = read(json.to_string().as_bytes()).expect("readable");
    let names: Vec<&str> = document.sbom.packages.iter().map(|package| package.name.as_str()).collect();
    assert_eq!((names, document.unread.count()), (vec!["a", "b"], 1));
    assert_eq!(
        document.unread.in_words().next().as_deref(),
        Some("1 component is of another distribution: alpine 3.19 (c)")
    );
}

#[test]
fn second_distribution_of_a_document_is_a_gap() {
    let json = br#"{"bomFormat": "CycloneDX", "components": [
        {"type": "operating-system", "name": "debian", "version": "12.5"},
        {"type": "operating-system", "name": "alpine", "version": "3.19.1"}]}"#;
    assert_eq!(
        lines(&read(json).expect("readable")),
        "- false debian-12.5\n! 1 component is of another distribution: alpine 3.19.1 (alpine)"
    );
}

#[test]
fn version_that_the_document_leaves_out_is_told_by_purls() {
    let json = br#"{"bomFormat": "CycloneDX", "components": [{"type": "operating-system", "name": "debian"},
        {"purl": "pkg:deb/debian/a@1?distro=debian-12"}]}"#;
    let distro = read(json).expect("readable").sbom.distro.expect("a distribution");
    assert_eq!(distro.version_id.as_deref(), Some("12"));
}

#[test]
fn package_that_was_found_in_several_places_is_one() {
    let found = |path: &str| {
        let property = serde_json::json!({"name": "syft:location:0:path", "value": path});
        serde_json::json!({"name": "a", "version": "1", "purl": "pkg:npm/a@1", "properties": [property]})
    };
    let components = [found("/b/package.json"), found("/a/package.json"), found("/b/package.json")];
    let json = serde_json::json!({"bomFormat": "CycloneDX", "components": components});
    assert_eq!(
        lines(&read(json.to_string().as_bytes()).expect("readable")),
        "- false \nnpm a 1 at a/package.json, b/package.json"
    );
}

#[test]
fn null_stands_for_nothing() {
    let json = br#"{"bomFormat": "CycloneDX", "specVersion": "1.2", "metadata": null, "components": [
        {"type": "library", "name": "a", "version": "1", "purl": "pkg:npm/a@1", "licenses": null, "properties": null,
         "components": null, "supplier": null}]}"#;
    assert_eq!(lines(&read(json).expect("readable")), "- false \nnpm a 1");
    assert!(read(br#"{"spdxVersion": "SPDX-2.2", "packages": null, "creationInfo": null}"#).is_ok());
}

#[test]
fn other_forms_are_called_by_their_name() {
    for (bytes, message) in [
        (&b""[..], "the document is empty"),
        (b" \n\t", "the document is empty"),
        (b"<?xml version=\"1.0\"?><bom/>", "the document is XML, and not JSON"),
        (b"SPDXVersion: SPDX-2.3\n", "the document is SPDX in its tag-value form, and not JSON"),
        (b"\x1f\x8b\x08\0", "the document is compressed, and not JSON"),
        (b"\xff\xfe{\0}\0", "the document is text in UTF-16, and not JSON"),
        (b"{\"bomFormat\": ", "the document is no JSON"),
        (b"libc6 2.36", "the document is no JSON"),
        (b"[]", "the document is neither CycloneDX nor SPDX"),
        (b"{\"artifacts\": []}", "the document is neither CycloneDX nor SPDX"),
        (b"{\"bomFormat\": 5}", "the document is neither CycloneDX nor SPDX"),
        (b"{\"bomFormat\": \"SPDX\"}", "the document is neither CycloneDX nor SPDX"),
        (b"{\"@context\": \"x\"}", "the document is SPDX \"3\", of which 2.2 and 2.3 are read"),
        (
            b"{\"bomFormat\": \"CycloneDX\", \"specVersion\": \"2.0\"}",
            "the document is CycloneDX \"2.0\", of which 1.2 to 1.6 are read",
        ),
        (b"{\"bomFormat\": \"CycloneDX\", \"components\": 5}", "the document is no CycloneDX JSON"),
        (b"{\"spdxVersion\": \"SPDX-2.3\", \"packages\": {}}", "the document is no SPDX JSON"),
    ] {
        let error = read(bytes).expect_err("refused");
        assert_eq!(error.to_string(), message, "{}", String::from_utf8_lossy(bytes));
    }
}

#[test]
fn byte_order_mark_is_passed_over() {
    assert!(read(b"\xef\xbb\xbf{\"bomFormat\": \"CycloneDX\"}\r\n").is_ok());
}

#[test]
fn documents_made_to_fill_memory_are_refused_before_they_are_read() {
    let many = |item: &str, count: usize| vec![item; count].join(",");
    let document = |list: &str| format!("{{\"bomFormat\": \"CycloneDX\", \"components\": [{list}]}}");
    let error = |text: &str| read(text.as_bytes()).expect_err("refused").to_string();
    assert_eq!(error(&document(&many("{}", 1_000_001))), "the document holds more than 1000000 objects");
    assert_eq!(error(&document(&many("{}", 200_001))), "the document holds more than 200000 components");
    assert_eq!(error(&document(&many("0", 5_000_002))), "the document holds more than 5000000 values");
    let nested =
        format!("{{\"bomFormat\": \"CycloneDX\", \"components\": {}", "[{\"components\": ".repeat(100_000));
    assert_eq!(error(&nested), "the document is no JSON");
    assert_eq!(error(&" {".repeat(33 << 20)), "the document has more than the 64 MiB that are read");
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = read(&bytes);
    }

    #[test]
    fn cut_and_changed_documents_never_panic(
        which in 0..3_usize, at in any::<prop::sample::Index>(), text in "\\PC{0,4}|null|\\[\\]|\\{\\}|[0-9]{1,30}", cut in any::<bool>(),
    ) {
        let mut bytes = [SYFT, TRIVY, CDXGEN][which].as_bytes().to_vec();
        let at = at.index(bytes.len());
        if cut { bytes.truncate(at) } else { drop(bytes.splice(at..=at, text.bytes())) }
        if let Ok(document) = read(&bytes) {
            let _ = lines(&document);
        }
    }

    /// Every component ends as a package, as a gap, or is no software; none is lost.
    #[test]
    fn every_component_is_a_package_or_counted(
        components in prop::collection::vec(("[a-z]{1,6}", "(pkg:(npm|generic|deb/debian)/[a-z]{1,6}@?[0-9]{0,2})?"), 0..20),
    ) {
        let json: Vec<_> = components
            .iter()
            .enumerate()
            .map(|(index, (name, purl))| {
                let purl = if purl.is_empty() { serde_json::Value::Null } else { purl.as_str().into() };
                serde_json::json!({"type": "library", "name": format!("{name}-{index}"), "purl": purl})
            })
            .collect();
        let json = serde_json::json!({"bomFormat": "CycloneDX", "components": json});
        let document = read(json.to_string().as_bytes()).expect("readable");
        prop_assert_eq!(document.sbom.packages.len() + document.unread.count(), components.len());
    }
}
