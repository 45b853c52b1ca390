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
        architecture: Some("amd64".to_owned()),
        source: Some(SourcePackage { name: source.0.to_owned(), version: source.1.to_owned() }),
        ..Package::new(package_type, name, version)
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
    match_sbom(sbom, &index(records, sbom), Texts::Left)
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
        (of(Some(distro("ubuntu", Some("24.04"))), deb()), vec!["Ubuntu:24.04:LTS"]),
        (of(Some(distro("rhel", Some("9.4"))), Vec::new()), vec![]),
        (of(Some(distro("amzn", Some("2023"))), Vec::new()), vec!["amzn 2023"]),
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
    assert_eq!(match_sbom(&libc("1"), &Index::empty(), Texts::Left).without_data, ["Debian:12"]);
}

fn of_language(package_type: PackageType, name: &str, version: &str) -> Package {
    Package { architecture: None, source: None, ..package(package_type, name, version, ("", "")) }
}

fn application(packages: Vec<Package>) -> Sbom {
    Sbom { distro: None, packages, gaps: Vec::new() }
}

/// A record with one range, of whatever type, as [`record`] has it.
fn record_of(ecosystem: &str, name: &str, id: &str, events: &str) -> serde_json::Value {
    let mut made = record(id, &[], events);
    made["affected"][0]["package"] = json!({"ecosystem": ecosystem, "name": name});
    made
}

#[test]
fn each_language_is_matched_with_its_own_order_of_versions() {
    let records = [
        record_of("PyPI", "Zope.Interface", "PYSEC-1", "0 5.0"),
        record_of("npm", "@scope/name", "GHSA-1", "0 5.0.0"),
        record_of("Go", "example.com/m/v5", "GO-1", "0 5.0.0"),
        record_of("Maven", "org.example:artifact", "GHSA-2", "0 5.0"),
    ];
    for (package_type, name, affected, fixed) in [
        (PackageType::Pypi, "zope_interface", "5.0.dev1", "5.0.post1"),
        (PackageType::Pypi, "zope.interface", "4.9+local", "5.0+local"),
        (PackageType::Npm, "@scope/name", "5.0.0-rc.1", "5.0.0"),
        (PackageType::Golang, "example.com/m/v5", "v5.0.0-20220722155237-a158d28d115b", "v5.0.0+incompatible"),
        (PackageType::Maven, "org.example:artifact", "5.0-SNAPSHOT", "5.0.0.Final"),
    ] {
        let found = matches(&application(vec![of_language(package_type, name, affected)]), &records);
        let finding = only(found);
        assert_eq!((finding.package.as_str(), finding.matched_as), (name, None));
        let found = matches(&application(vec![of_language(package_type, name, fixed)]), &records);
        assert_eq!(found, Matches::default(), "{name} {fixed}");
    }
}

#[test]
fn purl_of_a_language_has_no_distribution() {
    let mut sbom = debian(vec![of_language(PackageType::Pypi, "Django", "4.0")]);
    let finding = only(matches(&sbom, &[record_of("PyPI", "django", "PYSEC-1", "0 5")]));
    assert_eq!(finding.purl, "pkg:pypi/django@4.0");
    sbom.packages[0].owner = Some("python3-django".to_owned());
    assert_eq!(matches(&sbom, &[record_of("PyPI", "django", "PYSEC-1", "0 5")]), Matches::default());
}

#[test]
fn packages_of_the_distribution_need_no_advisories_of_their_language() {
    let mut owned = of_language(PackageType::Pypi, "Django", "4.0");
    owned.owner = Some("python3-django".to_owned());
    let pypi = "PyPI".parse().expect("valid");
    assert!(!wanted([&debian(vec![owned.clone()])]).holds(&pypi));
    owned.owner = None;
    let wanted = wanted([&debian(vec![owned])]);
    assert!(wanted.holds_package(&pypi, "django") && !wanted.holds_package(&pypi, "Django"));
}

#[test]
fn ecosystems_without_data_are_named_one_by_one() {
    let of_languages = PackageType::ALL.into_iter().filter(|package_type| !package_type.is_of_distribution());
    let packages = of_languages.map(|package_type| of_language(package_type, "g:a", "1"));
    let mut sbom = debian(packages.collect());
    sbom.packages.push(package(PackageType::Deb, "a", "1", ("a", "1")));
    let found = matches(&sbom, &[record_of("npm", "other", "GHSA-1", "0 5")]);
    assert_eq!(
        found.without_data,
        [
            "Bitnami",
            "CRAN",
            "Debian:12",
            "Go",
            "Hackage",
            "Hex",
            "Maven",
            "NuGet",
            "Packagist",
            "Pub",
            "PyPI",
            "RubyGems",
            "SwiftURL",
            "crates.io"
        ]
    );
}

#[test]
fn artifact_without_a_group_is_neither_affected_nor_clean() {
    let records = [record_of("Maven", "org.apache.logging.log4j:log4j-core", "GHSA-1", "2.0 2.15.0")];
    for (name, version, expected) in [
        ("log4j-core", "2.14.1", vec!["Maven packages without a confirmed group: log4j-core 2.14.1"]),
        (
            "log4j-core",
            "${project.version}",
            vec!["Maven packages without a confirmed group: log4j-core ${project.version}"],
        ),
        ("log4j-core", "2.15.0", vec![]),
        ("log4j-api", "2.14.1", vec![]),
    ] {
        let found = matches(&application(vec![of_language(PackageType::Maven, name, version)]), &records);
        assert_eq!(
            (found.findings.len(), found.without_data),
            (0, expected.iter().map(ToString::to_string).collect())
        );
    }
}

#[test]
fn unknown_version_is_no_finding_and_not_clean_where_there_are_advisories() {
    let records = [record_of("Go", "example.com/m", "GO-1", "0 -")];
    for version in ["(devel)", "", "v0.0.0-20250102030405-0123456789ab+dirty"] {
        let of = |name| matches(&application(vec![of_language(PackageType::Golang, name, version)]), &records);
        assert!(of("example.com/m").findings.is_empty());
        let expected = format!("Go packages without a version that can be placed: example.com/m {version}");
        assert_eq!(of("example.com/m").without_data, [expected.trim_end()]);
        assert_eq!(of("example.com/other"), Matches::default());
    }
}

#[test]
fn commit_has_no_place_among_releases_that_are_no_versions_of_a_module() {
    let mut record = record_of("Go", "example.com/m", "GO-1", "0 -");
    let custom = json!([{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "3.3.1"}]}]);
    record["affected"][0]["ecosystem_specific"] = json!({"custom_ranges": custom});
    let of = |version| {
        let found = matches(
            &application(vec![of_language(PackageType::Golang, "example.com/m", version)]),
            &[record.clone()],
        );
        (found.findings.len(), found.without_data.len())
    };
    assert_eq!(of("v3.3.0"), (1, 0));
    assert_eq!(of("3.3.1"), (0, 0));
    assert_eq!(of("v0.0.0-20220722155237-a158d28d115b"), (0, 1));
}

#[test]
fn records_of_several_databases_about_one_thing_are_one_finding() {
    let mut of_github = record_of("PyPI", "a", "GHSA-x", "0 2");
    of_github["aliases"] = json!(["PYSEC-1"]);
    let mut of_python = record_of("PyPI", "a", "PYSEC-1", "0 2");
    of_python["aliases"] = json!(["GHSA-x"]);
    let finding =
        only(matches(&application(vec![of_language(PackageType::Pypi, "a", "1")]), &[of_github, of_python]));
    assert_eq!((finding.vulnerability.as_str(), finding.aliases), ("GHSA-x", vec!["PYSEC-1".to_owned()]));
}

#[test]
fn listed_versions_are_compared_and_not_spelled() {
    let mut record = record_of("npm", "a", "MAL-2024-1", "0 -");
    record["affected"][0] =
        json!({"package": {"ecosystem": "npm", "name": "a"}, "versions": ["1.2.3", "1.2.4"]});
    let of =
        |version| matches(&application(vec![of_language(PackageType::Npm, "a", version)]), &[record.clone()]);
    let finding = only(of("v1.2.4"));
    assert_eq!(
        (finding.range.as_str(), finding.severity, finding.fixed),
        ("= 1.2.4", Severity::Critical, None)
    );
    assert!(of("1.2.5").findings.is_empty());
}

mod distributions;
mod languages;
mod products;
