//! Distributions whose advisories are filed under products and their parts.

use super::*;

const BASEOS: &str = "Red Hat:enterprise_linux:9::baseos";
const APPSTREAM: &str = "Red Hat:enterprise_linux:9::appstream";

/// Packages, `name version` built from `source version`.
fn image(distro: (&str, &str), packages: &[(&str, &str, &str)]) -> Sbom {
    let packages = packages.iter().map(|(name, version, source)| {
        let package = package(PackageType::Rpm, name, version, (source, version.trim_start_matches("1:")));
        Package { supplier: None, ..package }
    });
    let packages = packages.collect();
    Sbom { distro: Some(super::distro(distro.0, Some(distro.1))), packages, gaps: Vec::new() }
}

fn rhel(name: &str, version: &str) -> Sbom {
    image(("rhel", "9.4"), &[(name, version, "source")])
}

/// A record that affects a package in some ecosystems, up to a fix of each.
fn record_in(id: &str, name: &str, fixes: &[(&str, &str)]) -> serde_json::Value {
    let affected = fixes
        .iter()
        .map(|(ecosystem, fixed)| record_of(ecosystem, name, "", &format!("0 {fixed}"))["affected"][0].clone());
    json!({"id": id, "upstream": ["CVE-2024-1"], "affected": affected.collect::<Vec<_>>()})
}

/// Says that there are data.
fn other(ecosystem: &str) -> serde_json::Value {
    record_of(ecosystem, "other", "OTHER-1", "0 1")
}

#[test]
fn packages_are_looked_up_in_all_parts_of_a_product() {
    let sbom = rhel("nginx", "1:1.20.1-14.el9");
    for (ecosystem, is_found) in [
        (BASEOS, true),
        (APPSTREAM, true),
        ("Red Hat:enterprise_linux:9::crb", true),
        ("Red Hat:enterprise_linux:8::appstream", false),
        ("Red Hat:rhel_eus:9.4::appstream", false),
        ("Red Hat:openshift:4.16::el9", false),
        ("Red Hat", false),
    ] {
        let record = record_in("RHSA-2024:1", "nginx", &[(ecosystem, "1:1.20.1-16.el9_4.1")]);
        let found = matches(&sbom, &[record, other(BASEOS)]);
        assert_eq!(found.findings.len(), usize::from(is_found), "{ecosystem}");
        assert_eq!(found.without_data, [""; 0], "{ecosystem}");
    }
}

#[test]
fn without_advisories_for_the_main_part_there_are_no_data() {
    let record = record_in("RHSA-2024:1", "nginx", &[(APPSTREAM, "1:1.20.1-16.el9_4.1")]);
    let found = matches(&rhel("nginx", "1:1.20.1-14.el9"), &[record]);
    assert_eq!((found.findings.len(), found.without_data), (1, vec![BASEOS.to_owned()]));
}

#[test]
fn vulnerability_that_several_parts_name_is_one_finding() {
    let fixed = "1:3.0.7-25.el9_3";
    let both = record_in("RHSA-2024:1", "openssl", &[(BASEOS, fixed), (APPSTREAM, fixed)]);
    let later = record_in("RHSA-2024:2", "openssl", &[(APPSTREAM, "1:3.0.7-27.el9")]);
    let finding = only(matches(&rhel("openssl", "1:3.0.7-24.el9"), &[both.clone(), later]));
    assert_eq!((finding.advisory.as_str(), finding.fixed.as_deref()), ("RHSA-2024:2", Some("1:3.0.7-27.el9")));
    assert_eq!(finding.aliases, ["RHSA-2024:1"]);
    assert_eq!(matches(&rhel("openssl", "1:3.0.7-25.el9_3"), &[both]), Matches::default());
}

#[test]
fn package_without_an_epoch_has_the_epoch_zero_that_red_hat_always_writes() {
    let record = [record_in("RHSA-2024:1", "glibc", &[(BASEOS, "0:2.34-100.el9_4.2")])];
    assert_eq!(matches(&rhel("glibc", "2.34-100.el9"), &record).findings.len(), 1);
    assert_eq!(matches(&rhel("glibc", "2.34-100.el9_4.2"), &record), Matches::default());
    let record = [record_in("RHSA-2024:1", "openssl", &[(BASEOS, "1:3.0.7-25.el9_3")])];
    assert_eq!(
        matches(&rhel("openssl", "3.0.7-27.el9"), &record).findings.len(),
        1,
        "an epoch is never guessed"
    );
}

#[test]
fn streams_of_modules_of_red_hat_have_advisories_of_their_own() {
    let module = |version: &str| format!("{version}-1.module+el9.4.0+19519+e25b965a");
    let fixed = format!("1:{}", module("20.18.2"));
    let mut record = record_in("RHSA-2024:1", "nodejs", &[(APPSTREAM, &fixed)]);
    record["summary"] = json!("Red Hat Security Advisory: nodejs:20 security update");
    for (label, findings) in [("nodejs:20:9:b", 1), ("nodejs:18:9:b", 0)] {
        let mut sbom = rhel("nodejs", &format!("1:{}", module("18.1.0")));
        sbom.packages[0].modularity = Some(label.to_owned());
        let found = matches(&sbom, &[record.clone(), other(BASEOS)]);
        assert_eq!((found.findings.len(), found.without_data), (findings, Vec::new()), "{label}");
    }
}

#[test]
fn minor_releases_of_rhel_10_share_their_advisories() {
    let sbom = image(("rhel", "10.1"), &[("kernel", "6.12.0-100.el10", "kernel")]);
    for (ecosystem, is_found) in [
        ("Red Hat:enterprise_linux:10.0", true),
        ("Red Hat:enterprise_linux:10.2", true),
        ("Red Hat:enterprise_linux_eus:10.0", false),
    ] {
        let record = record_in("RHSA-2025:1", "kernel", &[(ecosystem, "0:6.12.0-124.el10_2")]);
        let found = matches(&sbom, &[record, other("Red Hat:enterprise_linux:10.0")]);
        assert_eq!(found.findings.len(), usize::from(is_found), "{ecosystem}");
    }
}

#[test]
fn packages_of_suse_are_looked_up_by_their_source_in_all_modules_of_their_release() {
    let base = "SUSE:Linux Enterprise Module for Basesystem 15 SP4";
    let sbom = image(("sles", "15.4"), &[("libopenssl1_1", "1.1.1l-150400.7.60.2", "openssl-1_1")]);
    let fixed = "1.1.1l-150400.7.63.1";
    for (ecosystem, is_found) in [
        (base, true),
        ("SUSE:Linux Enterprise Module for Legacy 15 SP4", true),
        ("SUSE:Linux Enterprise Server 15 SP4-LTSS", true),
        ("SUSE:Linux Enterprise Server 15 SP5-LTSS", false),
        ("SUSE:Linux Enterprise Module for Basesystem 15 SP5", false),
        ("SUSE:Linux Enterprise Server 16.0", false),
        ("openSUSE:Leap 15.4", false),
    ] {
        let record = record_in("SUSE-SU-2024:1", "openssl-1_1", &[(ecosystem, fixed)]);
        let found = matches(&sbom, &[record, other(base)]);
        assert_eq!(found.findings.len(), usize::from(is_found), "{ecosystem}");
        if let Some(finding) = found.findings.first() {
            assert_eq!(finding.matched_as.as_deref(), Some("openssl-1_1 1.1.1l-150400.7.60.2"));
        }
    }
}
