//! Packages and records small enough to be seen through.

use serde_json::json;

use super::super::osv::OsvSource;
use super::super::{Index, load};
use super::*;
use crate::package::SourcePackage;

fn distro(id: &str, version: Option<&str>) -> Distro {
    Distro { id: id.to_owned(), version_id: version.map(ToOwned::to_owned), ..Distro::default() }
}

fn package(package_type: PackageType, name: &str, version: &str, source: (&str, &str)) -> Package {
    Package {
        package_type,
        name: name.to_owned(),
        version: version.to_owned(),
        architecture: Some("amd64".to_owned()),
        source: Some(SourcePackage { name: source.0.to_owned(), version: source.1.to_owned() }),
        licenses: Vec::new(),
        supplier: None,
        owner: None,
        locations: Vec::new(),
    }
}

fn debian(packages: Vec<Package>) -> Sbom {
    Sbom { distro: Some(distro("debian", Some("12"))), packages, gaps: Vec::new() }
}

fn libc(version: &str) -> Sbom {
    debian(vec![package(PackageType::Deb, "libc6", version, ("glibc", version))])
}

/// A record for Debian 12's glibc. Events are written `introduced fixed`, a dash for none.
fn record(id: &str, upstream: &[&str], events: &str) -> serde_json::Value {
    let mut list = Vec::new();
    for (position, version) in events.split(' ').enumerate().filter(|(_, version)| *version != "-") {
        list.push(if position % 2 == 0 { json!({"introduced": version}) } else { json!({"fixed": version}) });
    }
    json!({"id": id, "upstream": upstream, "affected": [{
        "package": {"ecosystem": "Debian:12", "name": "glibc"},
        "ranges": [{"type": "ECOSYSTEM", "events": list}],
    }]})
}

fn index(records: &[serde_json::Value], sbom: &Sbom) -> Index {
    let folder = tempfile::TempDir::new().expect("folder");
    for (number, record) in records.iter().enumerate() {
        std::fs::write(folder.path().join(format!("{number}.json")), record.to_string()).expect("file");
    }
    load(&OsvSource::open(folder.path()).expect("records"), &wanted([sbom])).expect("readable")
}

fn matches(sbom: &Sbom, records: &[serde_json::Value]) -> Matches {
    match_sbom(sbom, &index(records, sbom))
}

#[track_caller]
fn only(matches: Matches) -> Finding {
    assert_eq!(matches.findings.len(), 1, "{:?}", matches.findings);
    matches.findings.into_iter().next().expect("one")
}

#[test]
fn source_package_and_its_version_are_looked_up() {
    let rebuilt = package(PackageType::Deb, "libc6", "2.36-9+b1", ("glibc", "2.36-9"));
    let finding = only(matches(&debian(vec![rebuilt]), &[record("DSA-1-1", &["CVE-2024-1"], "0 2.36-9+a")]));
    assert_eq!((finding.package.as_str(), finding.installed.as_str()), ("libc6", "2.36-9+b1"));
    assert_eq!(finding.matched_as.as_deref(), Some("glibc 2.36-9"));
    assert_eq!(
        finding.purl,
        "pkg:deb/debian/libc6@2.36-9%2Bb1?arch=amd64&distro=debian-12&upstream=glibc%402.36-9"
    );
    assert_eq!(finding.range, ">= 0, < 2.36-9+a");

    let by_binary_name = record("DSA-2-1", &["CVE-2024-2"], "0 9");
    let mut renamed = by_binary_name.clone();
    renamed["affected"][0]["package"]["name"] = json!("libc6");
    assert!(matches(&libc("2.36-9"), &[renamed, record("DSA-3-1", &[], "0 1")]).findings.is_empty());
}

#[test]
fn fixed_version_is_not_affected() {
    let records = [record("DSA-1-1", &["CVE-2024-1"], "0 2.36-9+deb12u4")];
    assert_eq!(matches(&libc("2.36-9+deb12u3"), &records).findings.len(), 1);
    assert!(matches(&libc("2.36-9+deb12u4"), &records).findings.is_empty());
}

#[test]
fn advisory_about_several_vulnerabilities_is_a_finding_for_each() {
    let found = matches(&libc("2.36-1"), &[record("DSA-1-1", &["CVE-2024-1", "CVE-2024-2"], "0 2.36-2")]);
    let names: Vec<_> = found.findings.iter().map(|f| (f.vulnerability.as_str(), f.aliases.len())).collect();
    assert_eq!(names, [("CVE-2024-1", 0), ("CVE-2024-2", 0)]);
}

#[test]
fn of_several_advisories_the_last_fix_counts() {
    let records = [
        record("DSA-1-1", &["CVE-2024-1"], "0 2.36-2"),
        record("DSA-1-2", &["CVE-2024-1"], "0 2.36-3"),
        record("DEBIAN-CVE-2024-1", &["CVE-2024-1"], "0 -"),
    ];
    let finding = only(matches(&libc("2.36-1"), &records));
    assert_eq!((finding.advisory.as_str(), finding.fixed.as_deref()), ("DSA-1-2", Some("2.36-3")));
    assert_eq!(finding.aliases, ["DEBIAN-CVE-2024-1", "DSA-1-1"]);
    assert_eq!(finding.range, ">= 0, < 2.36-3");
}

#[test]
fn within_one_advisory_the_lowest_fix_counts() {
    let mut twice = record("ADV-1", &["CVE-2024-1"], "0 2.36-4");
    let lower = record("ADV-1", &[], "0 2.36-3")["affected"][0].clone();
    twice["affected"].as_array_mut().expect("a list").push(lower);
    assert_eq!(only(matches(&libc("2.36-1"), &[twice])).fixed.as_deref(), Some("2.36-3"));
}

#[test]
fn fix_is_that_of_the_branch_which_is_installed() {
    let records = [record("DSA-1-1", &["CVE-2024-1"], "0 2.31-5 2.36 2.36-7")];
    assert_eq!(only(matches(&libc("2.30-1"), &records)).fixed.as_deref(), Some("2.31-5"));
    assert_eq!(only(matches(&libc("2.36-1"), &records)).fixed.as_deref(), Some("2.36-7"));
    assert!(matches(&libc("2.33-1"), &records).findings.is_empty());
}

#[test]
fn unfixed_vulnerability_has_no_fix_and_keeps_its_source_of_severity() {
    let mut unfixed = record("DEBIAN-CVE-2024-1", &["CVE-2024-1"], "0 -");
    unfixed["affected"][0]["ecosystem_specific"] = json!({"urgency": "unimportant"});
    let finding = only(matches(&libc("2.36-1"), &[unfixed]));
    assert_eq!((finding.fixed, finding.severity), (None, Severity::Negligible));
    assert_eq!(finding.severity_source.as_deref(), Some("Debian urgency: unimportant"));
    assert_eq!(finding.range, ">= 0");
}

#[test]
fn of_several_ratings_the_one_with_the_better_basis_counts() {
    let mut rated = record("DEBIAN-CVE-2024-1", &["CVE-2024-1"], "0 2");
    rated["severity"] = json!([{"type": "CVSS_V3", "score": "CVSS:3.1/AV:L/AC:L/PR:L/UI:N/S:U/C:H/I:H/A:H"}]);
    let mut worded = record("DSA-1-1", &["CVE-2024-1"], "0 2");
    worded["affected"][0]["ecosystem_specific"] = json!({"urgency": "unimportant"});
    assert_eq!(only(matches(&libc("1"), &[rated, worded])).severity, Severity::High);
}

#[test]
fn findings_are_sorted_most_severe_first() {
    let mut high = record("DEBIAN-CVE-2024-9", &[], "0 -");
    high["severity"] = json!([{"type": "CVSS_V3", "score": "CVSS:3.1/AV:L/AC:L/PR:L/UI:N/S:U/C:H/I:H/A:H"}]);
    let found = matches(&libc("1"), &[record("DSA-1-1", &["CVE-2024-1"], "0 -"), high]);
    let names: Vec<_> = found.findings.iter().map(|finding| finding.vulnerability.as_str()).collect();
    assert_eq!(names, ["CVE-2024-9", "CVE-2024-1"]);
}

#[test]
fn bare_ecosystem_matches_no_release() {
    let mut bare = record("DSA-1-1", &["CVE-2024-1"], "0 -");
    bare["affected"][0]["package"]["ecosystem"] = json!("Debian");
    let found = matches(&libc("1"), &[bare]);
    assert_eq!((found.findings.len(), found.without_data), (0, vec!["Debian:12".to_owned()]));
}

#[test]
fn alpine_is_looked_up_by_origin_with_apk_versions() {
    let crypto = package(PackageType::Apk, "libcrypto3", "3.1.4-r9", ("openssl", "3.1.4-r9"));
    let sbom =
        Sbom { distro: Some(distro("alpine", Some("3.19.1"))), packages: vec![crypto], gaps: Vec::new() };
    let record = |fixed: &str| {
        json!({"id": "ALPINE-CVE-2024-1", "affected": [{
            "package": {"ecosystem": "Alpine:v3.19", "name": "openssl"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": fixed}]}],
        }]})
    };
    let finding = only(matches(&sbom, &[record("3.1.4-r10")]));
    assert_eq!((finding.vulnerability.as_str(), finding.package.as_str()), ("CVE-2024-1", "libcrypto3"));
    assert!(matches(&sbom, &[record("0")]).findings.is_empty());
}

#[test]
fn what_has_no_advisories_is_named_and_never_clean() {
    let of = |distro, packages| Sbom { distro, packages, gaps: Vec::new() };
    let deb = || vec![package(PackageType::Deb, "a", "1", ("a", "1"))];
    for (sbom, expected) in [
        (of(Some(distro("debian", None)), deb()), vec!["debian without a release"]),
        (of(Some(distro("debian", Some("13"))), deb()), vec!["Debian:13"]),
        (of(Some(distro("ubuntu", Some("24.04"))), deb()), vec!["ubuntu 24.04"]),
        (of(Some(distro("fedora", Some("40"))), Vec::new()), vec!["fedora 40"]),
        (of(None, deb()), vec!["deb packages of an unknown distribution"]),
        (of(None, Vec::new()), vec![]),
        (of(Some(distro("debian", Some("12"))), Vec::new()), vec![]),
    ] {
        let found = matches(&sbom, &[record("DSA-1-1", &[], "0 -")]);
        assert_eq!(found.without_data, expected, "{:?}", sbom.distro);
        assert!(found.findings.is_empty());
    }
}

#[test]
fn nothing_is_known_without_an_index() {
    assert_eq!(match_sbom(&libc("1"), &Index::empty()).without_data, ["Debian:12"]);
}
