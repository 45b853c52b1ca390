//! What is laid over findings, from the raw documents to the table: matched for real, on a day that stays.

use std::fs::File;
use std::path::Path;

use clarity::advisories::matching::Texts;
use clarity::advisories::overlays::Kind;
use clarity::advisories::{self, OsvSource, OverlayIndex};
use clarity::documents::{self, Given};
use clarity::report::table::{self, TableOptions};
use clarity::report::{Report, ScanInfo, ignore};
use clarity::sbom;
use jiff::civil::date;

/// An image of Debian with an application of Java.
const IMAGE: &str = r#"{"bomFormat": "CycloneDX", "specVersion": "1.5",
    "metadata": {"component": {"type": "container", "name": "registry.test/shop/cart:1"}},
    "components": [
        {"type": "operating-system", "name": "debian", "version": "12"},
        {"type": "library", "name": "libc6", "version": "2.36-9+deb12u1",
         "purl": "pkg:deb/debian/libc6@2.36-9%2Bdeb12u1?distro=debian-12&upstream=glibc"},
        {"type": "library", "name": "zlib1g", "version": "1:1.2.13.dfsg-1",
         "purl": "pkg:deb/debian/zlib1g@1:1.2.13.dfsg-1?distro=debian-12&upstream=zlib"},
        {"type": "library", "name": "coreutils", "version": "9.1-1",
         "purl": "pkg:deb/debian/coreutils@9.1-1?distro=debian-12"},
        {"type": "library", "name": "libssl3", "version": "3.0.11-1~deb12u1",
         "purl": "pkg:deb/debian/libssl3@3.0.11-1~deb12u1?distro=debian-12&upstream=openssl"},
        {"type": "library", "name": "log4j-core", "version": "2.14.1", "group": "org.apache.logging.log4j",
         "purl": "pkg:maven/org.apache.logging.log4j/log4j-core@2.14.1"}]}"#;

/// The indexes of some documents.
fn overlays(folder: &Path) -> Vec<OverlayIndex> {
    let documents = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/overlays");
    let index = |(kind, name): (Kind, &str)| {
        let path = folder.join(name);
        let compiled = kind.compile(&documents.join(name)).expect(name);
        compiled.write(File::create(&path).expect("a file")).expect("room");
        OverlayIndex::open(&path).expect("an index")
    };
    let kinds = [(Kind::Kev, "kev.json"), (Kind::Epss, "epss.csv"), (Kind::DebianTracker, "debian.json")];
    kinds.map(index).into()
}

fn report() -> Report {
    let document = sbom::read(IMAGE.as_bytes()).expect("a bill of materials");
    let given = vec![Given { file: "cart.json".to_owned(), document }];
    let source = OsvSource::open(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/osv")).expect("a source");
    let index = advisories::load(&source, &documents::wanted(&given)).expect("an index");
    let scan = ScanInfo {
        id: "x".to_owned(),
        generator: "x".to_owned(),
        started: "2026-01-02T03:04:05Z".to_owned(),
        duration_ms: 0,
        scope: "match cart.json".to_owned(),
    };
    let folder = tempfile::tempdir().expect("a folder");
    let index = index.with_overlays(overlays(folder.path()));
    let (report, damaged) = documents::report(given, &index, Texts::Left, scan, date(2026, 1, 2));
    assert!(damaged.is_empty());
    report
}

#[test]
fn table_at_80_columns() {
    let rules = "version: 1\nignore:\n- {package: org.apache.logging.log4j:log4j-core, id: CVE-2021-45105, reason: no lookups in our patterns}\n";
    let rules = ignore::read(rules, "ignore.yaml").expect("rules");
    let report = report().suppressed(&[rules], date(2026, 1, 2));
    let text = table::render(&report, &TableOptions { width: Some(80), ..TableOptions::default() });
    insta::assert_snapshot!(text);
    for line in text.lines() {
        assert!(line.chars().count() <= 80, "{line:?}");
    }
}

#[test]
fn only_exploited_findings_meet_kev() {
    let mut report = report();
    let meets = |report: &Report, threshold: &str| report.exceeds(threshold.parse().expect("a threshold"));
    assert!(meets(&report, "critical,fixable,kev"));
    report.images[0].findings.retain(|finding| finding.exploited.is_none());
    assert!(!report.images[0].findings.is_empty() && !meets(&report, "kev"));
}
