//! What each distribution does in its own way.

use super::*;

const EL8: &str = "1.module_el8.10.0+3858+6ad51f9f";
const NODE_18: Option<&str> = Some("nodejs:18:8100020250506132245:489197e6");

/// A package that its distribution made, `name version` built from `source version`.
fn of_distro(package_type: PackageType, distro: (&str, &str), own: (&str, &str), source: (&str, &str)) -> Sbom {
    let package = package(package_type, own.0, own.1, source);
    Sbom { distro: Some(super::distro(distro.0, Some(distro.1))), packages: vec![package], gaps: Vec::new() }
}

fn alma(name: &str, version: &str) -> Sbom {
    of_distro(PackageType::Rpm, ("almalinux", "8.10"), (name, version), ("source", "1-1.el8"))
}

fn rocky(own: (&str, &str), source: (&str, &str)) -> Sbom {
    of_distro(PackageType::Rpm, ("rocky", "9.3"), own, source)
}

/// Vulnerabilities with their fixes.
fn found(sbom: &Sbom, records: &[serde_json::Value]) -> Vec<String> {
    let found = matches(sbom, records);
    assert_eq!(found.without_data, [""; 0]);
    let finding = |f: &Finding| format!("{} {}", f.vulnerability, f.fixed.as_deref().unwrap_or("-"));
    found.findings.iter().map(finding).collect()
}

#[test]
fn packages_are_found_by_the_names_and_in_the_order_of_their_distribution() {
    use PackageType::{Apk, Deb, Rpm};
    for (package_type, distro, ecosystem, by_own, by_source) in [
        (Deb, ("ubuntu", "22.04"), "Ubuntu:22.04:LTS", false, true),
        (Deb, ("ubuntu", "24.10"), "Ubuntu:24.10", false, true),
        (Deb, ("echo", "1"), "Echo", true, true),
        (Apk, ("wolfi", "20230201"), "Wolfi", true, true),
        (Apk, ("chainguard", "20230214"), "Chainguard", true, true),
        (Apk, ("minimos", "20241031"), "MinimOS", true, true),
        (Apk, ("alpaquita", "23"), "Alpaquita:23", false, true),
        (Apk, ("alpaquita", "stream"), "Alpaquita:stream", false, true),
        (Apk, ("bellsoft-hardened-containers", "25"), "BellSoft Hardened Containers:25", false, true),
        (Rpm, ("rhel", "9.4"), "Red Hat:enterprise_linux:9::baseos", true, false),
        (Rpm, ("sles", "15.6"), "SUSE:Linux Enterprise Module for Basesystem 15 SP6", false, true),
        (Rpm, ("sl-micro", "6.0"), "SUSE:Linux Micro 6.0", false, true),
        (Rpm, ("opensuse-tumbleweed", "20240801"), "openSUSE:Tumbleweed", false, true),
        (Rpm, ("almalinux", "9.4"), "AlmaLinux:9", true, false),
        (Rpm, ("rocky", "9.4"), "Rocky Linux:9", false, true),
        (Rpm, ("azurelinux", "3.0"), "Azure Linux:3", false, true),
        (Rpm, ("mariner", "2.0"), "Azure Linux:2", false, true),
        (Rpm, ("mageia", "9"), "Mageia:9", false, true),
        (Rpm, ("opensuse-leap", "15.6"), "openSUSE:Leap 15.6", false, true),
        (Rpm, ("openeuler", "24.03"), "openEuler:24.03-LTS", false, true),
    ] {
        let version = |number: &str| format!("1.0-{}{number}", if package_type == Apk { "r" } else { "" });
        let [first, second, tenth] = ["1", "2", "10"].map(version);
        let (own, source) = (("libexample1", second.as_str()), ("example", first.as_str()));
        let mut sbom = of_distro(package_type, distro, own, source);
        let system = sbom.distro.as_mut().expect("one");
        system.pretty_name = Some(format!("openEuler {} (LTS)", distro.1)).filter(|_| distro.0 == "openeuler");
        let (unfixed, fixed) = (format!("0 {tenth}"), format!("0 {first}"));
        let finding = format!("CVE-2024-1 {tenth}");
        for (name, is_known) in [(own.0, by_own), (source.0, by_source)] {
            let record = |events| record_of(ecosystem, name, "ADV-CVE-2024-1", events);
            // A record of something else says that there are data, whatever is looked up.
            let other = record_of(ecosystem, "other", "ADV-CVE-2024-2", &unfixed);
            let expected = if is_known { vec![finding.clone()] } else { Vec::new() };
            assert_eq!(found(&sbom, &[record(&unfixed), other.clone()]), expected, "{ecosystem} {name}");
            assert_eq!(found(&sbom, &[record(&fixed), other]), [""; 0], "{ecosystem} {name}");
        }
    }
}

#[test]
fn either_name_is_one_finding_that_says_by_which_it_was_found() {
    let sbom = of_distro(PackageType::Apk, ("wolfi", "1"), ("libcrypto3", "3.1-r1"), ("openssl", "3.1-r1"));
    let of = |name: &str, id: &str| {
        let mut record = record_of("Wolfi", name, id, "0 3.1-r2");
        record["upstream"] = json!(["CVE-2024-1"]);
        record
    };
    for (records, matched_as) in [
        (vec![of("libcrypto3", "CGA-1")], None),
        (vec![of("openssl", "CGA-1")], Some("openssl 3.1-r1")),
        (vec![of("openssl", "CGA-1"), of("libcrypto3", "CGA-2")], Some("openssl 3.1-r1")),
    ] {
        let finding = only(matches(&sbom, &records));
        assert_eq!((finding.vulnerability.as_str(), finding.matched_as.as_deref()), ("CVE-2024-1", matched_as));
    }
    assert!(matches(&sbom, &[record_of("Wolfi", "openssl", "CGA-CVE-2024-1", "0 0")]).findings.is_empty());
}

#[test]
fn advisories_for_those_who_pay_are_not_for_all() {
    let sbom =
        of_distro(PackageType::Deb, ("ubuntu", "16.04"), ("bash", "4.3-14ubuntu1"), ("bash", "4.3-14ubuntu1"));
    let pro = record_of("Ubuntu:Pro:16.04:LTS", "bash", "UBUNTU-CVE-2024-1", "0 4.3-14ubuntu1.4+esm1");
    let base = record_of("Ubuntu:16.04:LTS", "bash", "UBUNTU-CVE-2024-2", "0 4.3-14ubuntu1.4");
    assert_eq!(found(&sbom, &[pro.clone(), base]), ["CVE-2024-2 4.3-14ubuntu1.4"]);
    assert_eq!(matches(&sbom, &[pro]).without_data, ["Ubuntu:16.04:LTS"]);
}

#[test]
fn order_of_versions_is_that_of_the_ecosystem_and_not_of_the_range() {
    let sbom =
        of_distro(PackageType::Deb, ("echo", "1"), ("pip", "25.3+dfsg-1"), ("python-pip", "25.3+dfsg-1"));
    let mut record = record_of("Echo", "python-pip", "ECHO-CVE-2025-1", "0 25.3+dfsg-1+e2");
    record["affected"][0]["ranges"][0]["type"] = json!("SEMVER");
    assert_eq!(found(&sbom, &[record]), ["CVE-2025-1 25.3+dfsg-1+e2"]);
}

#[test]
fn epochs_count_for_binaries_and_for_sources_where_both_have_one() {
    let record = |ecosystem: &str, fixed: &str| {
        [record_of(ecosystem, "openssl", "ADV-CVE-2024-1", &format!("0 {fixed}"))]
    };
    for (version, fixed, is_affected) in [
        ("1:3.0.7-24.el8", "1:3.0.7-25.el8", true),
        ("1:3.0.7-25.el8", "1:3.0.7-25.el8", false),
        ("3.0.7-26.el8", "1:3.0.7-25.el8", true),
        ("3.0.7-26.el8", "0:3.0.7-25.el8", false),
        ("1:1.1-1.el8", "3.0.7-25.el8", false),
    ] {
        let found = matches(&alma("openssl", version), &record("AlmaLinux:8", fixed)).findings;
        assert_eq!(!found.is_empty(), is_affected, "{version} before {fixed}");
    }
    for (version, fixed, is_affected) in [
        ("3.0.7-24.el9", "1:3.0.7-25.el9_3", true),
        ("3.0.7-25.el9_3", "1:3.0.7-25.el9_3", false),
        ("2:3.0.7-24.el9", "1:3.0.7-25.el9_3", false),
    ] {
        let sbom = rocky(("openssl-libs", &format!("1:{version}")), ("openssl", version));
        let found = matches(&sbom, &record("Rocky Linux:9", fixed)).findings;
        assert_eq!(!found.is_empty(), is_affected, "source {version} before {fixed}");
    }
}

#[test]
fn names_and_severities_of_advisories_of_almalinux_stand_where_it_puts_them() {
    let mut advisory = record_of("AlmaLinux:8", "bind-libs", "ALSA-2024:1", "0 32:9.11.36-11.el8_9");
    advisory["summary"] = json!("Important: bind security update");
    advisory["related"] = json!(["CVE-2023-4408", "CVE-2023-50387"]);
    let found = matches(&alma("bind-libs", "32:9.11.36-8.el8"), &[advisory]);
    let findings =
        found.findings.iter().map(|f| (f.vulnerability.as_str(), f.severity, f.severity_source.as_deref()));
    let important = Some("impact: Important");
    assert_eq!(
        findings.collect::<Vec<_>>(),
        [("CVE-2023-4408", Severity::High, important), ("CVE-2023-50387", Severity::High, important)]
    );
}

#[test]
fn of_builds_that_almalinux_names_in_one_advisory_the_lowest_is_fixed() {
    let mut advisory = record_of("AlmaLinux:8", "curl", "ALSA-2024:1", "0 7.61.1-34.el8");
    let lower = record_of("AlmaLinux:8", "curl", "", "0 7.61.1-33.el8_9.5")["affected"][0].clone();
    advisory["affected"].as_array_mut().expect("a list").push(lower);
    advisory["related"] = json!(["CVE-2024-1"]);
    let records = [advisory];
    assert_eq!(found(&alma("curl", "7.61.1-33.el8_9"), &records), ["CVE-2024-1 7.61.1-33.el8_9.5"]);
    assert_eq!(found(&alma("curl", "7.61.1-33.el8_9.5"), &records), [""; 0]);
}

#[test]
fn updates_that_are_no_matter_of_security_are_no_findings() {
    for (ecosystem, sbom, id) in [
        ("AlmaLinux:8", alma("bash", "1-1"), "ALBA-2024:1"),
        ("AlmaLinux:8", alma("bash", "1-1"), "ALEA-2024:1"),
        ("Rocky Linux:9", rocky(("bash", "1-1"), ("bash", "1-1")), "RLBA-2024:1"),
    ] {
        let mut update = record_of(ecosystem, "bash", id, "0 2-1");
        assert_eq!(matches(&sbom, &[update.clone()]), Matches::default(), "{id}");
        update["related"] = json!(["CVE-2024-1"]);
        assert_eq!(found(&sbom, &[update]), ["CVE-2024-1 2-1"], "{id}");
    }
}

#[test]
fn package_of_a_module_is_held_against_its_own_stream() {
    let of_stream = |summary: &str, fixed: &str| {
        let mut record = record_of("AlmaLinux:8", "nodejs", "ALSA-2024:1", &format!("0 {fixed}"));
        record["related"] = json!(["CVE-2024-1"]);
        record["summary"] = json!(summary);
        record
    };
    let fixed_18 = format!("1:18.20.8-{EL8}");
    let fixed_20 = format!("1:20.18.2-{EL8}");
    let undecided = |version: &str| {
        format!(
            "AlmaLinux:8 packages of a module whose stream is not known to be that of an advisory: nodejs {version}"
        )
    };
    let (old_18, new_18) = (format!("1:18.19.1-{EL8}"), fixed_18.clone());
    for (version, label, summary, fixed, findings, is_undecided) in [
        (&old_18, NODE_18, "Important: nodejs:18 security update", &fixed_18, 1, false),
        (&new_18, NODE_18, "Important: nodejs:18 security update", &fixed_18, 0, false),
        (&old_18, NODE_18, "Important: nodejs:20 security update", &fixed_20, 0, false),
        (&old_18, NODE_18, "Important: nodejs security update", &fixed_20, 0, true),
        (&old_18, None, "Important: nodejs:20 security update", &fixed_20, 0, true),
        (&old_18, None, "Important: nodejs:18 security update", &fixed_18, 0, true),
        // Whatever its stream is, it has the fix.
        (&new_18, None, "Important: nodejs:18 security update", &fixed_18, 0, false),
    ] {
        let mut sbom = alma("nodejs", version);
        sbom.packages[0].modularity = label.map(ToOwned::to_owned);
        let found = matches(&sbom, &[of_stream(summary, fixed)]);
        let expected = if is_undecided { vec![undecided(version)] } else { Vec::new() };
        assert_eq!(
            (found.findings.len(), found.without_data),
            (findings, expected),
            "{version} {label:?} {summary}"
        );
    }
}

#[test]
fn builds_of_modules_and_others_do_not_mix() {
    let mut advisory = record_of("AlmaLinux:8", "perl", "ALSA-2024:1", &format!("0 4:5.32.1-{EL8}"));
    advisory["summary"] = json!("Important: perl:5.32 security update");
    let plain = record_of("AlmaLinux:8", "perl", "ALSA-2024:2", "0 4:5.26.3-423.el8");
    let mut sbom = alma("perl", "4:5.26.3-422.el8");
    assert_eq!(found(&sbom, &[advisory.clone(), plain.clone()]), ["ALSA-2024:2 4:5.26.3-423.el8"]);
    sbom = alma("perl", &format!("4:5.24.4-{EL8}"));
    sbom.packages[0].modularity = Some("perl:5.24:8100020250506132245:489197e6".to_owned());
    assert_eq!(found(&sbom, &[advisory, plain]), [""; 0]);
}

#[test]
fn source_of_a_module_is_held_against_its_own_stream() {
    let mut advisory = record_of("Rocky Linux:9", "nodejs", "RLSA-2024:1", "0 1:20.18.2-1.module+el9.5.0+1+a");
    advisory["summary"] = json!("Important: nodejs:20 security update");
    let mut sbom =
        rocky(("nodejs-libs", "1:18.1-1.module+el9.3.0+1+b"), ("nodejs", "18.1-1.module+el9.3.0+1+b"));
    for (label, findings) in [("nodejs:18:9:b", 0), ("nodejs:20:9:b", 1)] {
        sbom.packages[0].modularity = Some(label.to_owned());
        assert_eq!(found(&sbom, std::slice::from_ref(&advisory)).len(), findings, "{label}");
    }
}

#[test]
fn package_of_another_vendor_is_neither_affected_nor_clean() {
    let records = [record_of("AlmaLinux:8", "nginx", "ALSA-2024:1", "0 1:1.20-1.el8")];
    for (vendor, version, findings, without_data) in [
        ("AlmaLinux", "1:1.14-1.el8", 1, vec![]),
        (
            "NGINX, Inc.",
            "1:1.14-1.el8.ngx",
            0,
            vec!["AlmaLinux:8 packages of another vendor: nginx 1:1.14-1.el8.ngx"],
        ),
        (
            "NGINX, Inc.",
            "1:1.26-1.el8.ngx",
            0,
            vec!["AlmaLinux:8 packages of another vendor: nginx 1:1.26-1.el8.ngx"],
        ),
    ] {
        let mut sbom = alma("nginx", version);
        sbom.packages[0].supplier = Some(vendor.to_owned());
        let found = matches(&sbom, &records);
        assert_eq!(found.findings.len(), findings, "{vendor} {version}");
        assert_eq!(found.without_data, without_data, "{vendor} {version}");
        // What no advisory is about is clean, whoever made it.
        sbom.packages[0].name = "other".to_owned();
        assert_eq!(matches(&sbom, &records), Matches::default());
    }
}
