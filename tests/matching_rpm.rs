//! Packages of rpm against records of the distributions that they come from: what is affected is found, the version that
//! fixes it is clean.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use clarity::advisories::matching::{Matches, Texts, match_sbom, wanted};
use clarity::advisories::{OsvSource, load};
use clarity::finding::Finding;
use clarity::package::{Distro, Package, PackageType, SourcePackage};
use clarity::packages::{self, ReadContext};
use clarity::sbom::Sbom;
use clarity::severity::Severity;
use clarity::tree::squash::Stacked;
use clarity::tree::{Budget, Directory, Limits};

/// A package as its database says it: `name version source-rpm` and, for those of a module, its label.
fn package(text: &str, vendor: &str) -> Package {
    let mut fields = text.split(' ');
    let mut next = || fields.next().map(ToOwned::to_owned);
    Package {
        package_type: PackageType::Rpm,
        name: next().expect("a name"),
        version: next().expect("a version"),
        architecture: Some("x86_64".to_owned()),
        source: next().as_deref().and_then(SourcePackage::of_source_rpm),
        licenses: Vec::new(),
        supplier: Some(vendor.to_owned()),
        owner: None,
        modularity: next(),
        locations: Vec::new(),
    }
}

fn sbom(distro: (&str, &str), vendor: &str, packages: &[&str]) -> Sbom {
    let (id, version) = distro;
    let distro = Distro { id: id.to_owned(), version_id: Some(version.to_owned()), ..Distro::default() };
    let packages = packages.iter().map(|text| package(text, vendor)).collect();
    Sbom { distro: Some(distro), packages, gaps: Vec::new() }
}

fn matches_of(sbom: &Sbom, records: &Path) -> Matches {
    let index = load(&OsvSource::open(records).expect("records"), &wanted([sbom])).expect("readable records");
    assert_eq!(index.notes(), [""; 0]);
    match_sbom(sbom, &index, Texts::Left)
}

fn matches(sbom: &Sbom) -> Matches {
    matches_of(sbom, &Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/osv"))
}

/// Lines of `package as above: vulnerabilities and their fix`, nothing after the colon for what is clean.
#[track_caller]
fn assert_found(distro: (&str, &str), vendor: &str, lines: &str) {
    let mut expected = BTreeSet::new();
    let mut subjects = Vec::new();
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (subject, found) = line.split_once(": ").unwrap_or((line.trim_end_matches(':'), ""));
        subjects.push(subject);
        let words: Vec<&str> = subject.split(' ').collect();
        if let Some((vulnerabilities, fixed)) = found.rsplit_once(' ') {
            let named =
                vulnerabilities.split(' ').map(|name| format!("{} {}: {name} {fixed}", words[0], words[1]));
            expected.extend(named);
        }
    }
    let matches = matches(&sbom(distro, vendor, &subjects));
    let finding = |f: &Finding| {
        let fixed = f.fixed.as_deref().unwrap_or("-");
        format!("{} {}: {} {fixed}", f.package, f.installed, f.vulnerability)
    };
    let found: BTreeSet<String> = matches.findings.iter().map(finding).collect();
    assert_eq!(found, expected);
    assert_eq!(found.len(), matches.findings.len(), "one finding for each vulnerability of a package");
    assert_eq!(matches.without_data, [""; 0]);
}

#[test]
fn packages_of_almalinux_are_affected_up_to_their_fix() {
    assert_found(
        ("almalinux", "9.1"),
        "AlmaLinux",
        "
        openssl-libs 1:3.0.1-43.el9_0 openssl-3.0.1-43.el9_0.src.rpm: CVE-2022-4203 CVE-2022-4304 CVE-2022-4450 CVE-2023-0215 CVE-2023-0216 CVE-2023-0217 CVE-2023-0286 CVE-2023-0401 1:3.0.1-47.el9_1
        openssl-libs 1:3.0.1-47.el9_1 openssl-3.0.1-47.el9_1.src.rpm:
        openssl-libs 1:3.5.5-6.el9_8 openssl-3.5.5-6.el9_8.src.rpm:
        glibc-minimal-langpack 2.34-40.el9 glibc-2.34-40.el9.src.rpm: CVE-2023-4527 CVE-2023-4806 CVE-2023-4813 CVE-2023-4911 2.34-60.el9_2.7
        glibc-minimal-langpack 2.34-60.el9_2.7 glibc-2.34-60.el9_2.7.src.rpm:
        glibc 2.34-100.el9 glibc-2.34-100.el9.src.rpm:
        curl-minimal 7.76.1-23.el9_2.2 curl-7.76.1-23.el9_2.2.src.rpm: CVE-2023-38545 CVE-2023-38546 7.76.1-23.el9_2.4
        curl-minimal 7.76.1-26.el9_3.2 curl-7.76.1-26.el9_3.2.src.rpm:
        openssh-server 8.7p1-38.el9 openssh-8.7p1-38.el9.src.rpm: CVE-2024-6387 8.7p1-38.el9_4.1
        openssh-server 8.7p1-38.el9_4.1 openssh-8.7p1-38.el9_4.1.src.rpm:
        bash 5.1.8-6.el9_1 bash-5.1.8-6.el9_1.src.rpm:
        ",
    );
}

#[test]
fn packages_of_rocky_are_affected_by_what_is_said_of_their_source() {
    assert_found(
        ("rocky", "9.4"),
        "Rocky Enterprise Software Foundation",
        "
        openssl-fips-provider 1:3.0.1-46.el9 openssl-3.0.1-46.el9.src.rpm: CVE-2022-4203 CVE-2022-4304 CVE-2022-4450 CVE-2023-0215 CVE-2023-0216 CVE-2023-0217 CVE-2023-0286 CVE-2023-0401 1:3.0.1-47.el9_1
        openssl-libs 1:3.0.7-27.el9 openssl-3.0.7-27.el9.src.rpm:
        glibc-minimal-langpack 2.34-40.el9 glibc-2.34-40.el9.src.rpm: CVE-2023-4527 CVE-2023-4806 CVE-2023-4813 CVE-2023-4911 0:2.34-60.el9_2.7
        glibc-common 2.34-100.el9 glibc-2.34-100.el9.src.rpm:
        openssh-clients 8.7p1-38.el9 openssh-8.7p1-38.el9.src.rpm: CVE-2024-6387 0:8.7p1-38.el9_4.1
        openssh-clients 8.7p1-38.el9_4.4 openssh-8.7p1-38.el9_4.4.src.rpm:
        ",
    );
}

#[test]
fn streams_of_a_module_have_advisories_of_their_own() {
    assert_found(
        ("almalinux", "8.9"),
        "AlmaLinux",
        "
        nodejs 1:18.17.1-1.module_el8.8.0+3613+1a2b3c4d nodejs-18.17.1-1.module_el8.8.0+3613+1a2b3c4d.src.rpm nodejs:18:8080020230818132245:63b34585: CVE-2023-38552 CVE-2023-39333 CVE-2023-44487 CVE-2023-45143 1:18.18.2-1.module_el8.8.0+3655+4f9e2d3c
        nodejs 1:16.20.1-1.module_el8.8.0+3600+1a2b3c4d nodejs-16.20.1-1.module_el8.8.0+3600+1a2b3c4d.src.rpm nodejs:16:8080020230718132245:63b34585: CVE-2023-44487 1:16.20.2-3.module_el8.8.0+3654+1b2c3d4e
        npm 1:16.20.2-3.module_el8.8.0+3654+1b2c3d4e nodejs-16.20.2-3.module_el8.8.0+3654+1b2c3d4e.src.rpm nodejs:16:8080020231018132245:63b34585:
        nodejs 1:10.24.0-1.module_el8.3.0+2047+b07ac28e nodejs-10.24.0-1.module_el8.3.0+2047+b07ac28e.src.rpm nodejs:10:8030020210301132245:30b713e6:
        389-ds-base 1.4.0.20-7.module_el8.0.0+200+1a2b3c4d 389-ds-base-1.4.0.20-7.module_el8.0.0+200+1a2b3c4d.src.rpm 389-ds:1.4:8000020190301132245:30b713e6:
        ",
    );
    assert_found(
        ("rocky", "8.4"),
        "Rocky",
        "
        oci-umount 2:2.3.4-1.git87f9237.module+el8.3.0+100+1a2b3c4d oci-umount-2.3.4-1.git87f9237.module+el8.3.0+100+1a2b3c4d.src.rpm container-tools:rhel8:8030020201124:1a2b: CVE-2019-5736 2:2.3.4-2.git87f9237.module+el8.4.0+557+48ba8b2f
        oci-umount 2:2.3.4-1.git87f9237.module+el8.3.0+100+1a2b3c4d oci-umount-2.3.4-1.git87f9237.module+el8.3.0+100+1a2b3c4d.src.rpm container-tools:2.0:8030020201124:1a2b:
        ",
    );
}

#[test]
fn module_without_a_label_is_neither_affected_nor_clean() {
    let version = "1:16.20.1-1.module_el8.8.0+3600+1a2b3c4d";
    let found = matches(&sbom(("almalinux", "8.9"), "AlmaLinux", &[&format!("nodejs {version}")]));
    assert!(found.findings.is_empty());
    let expected =
        "AlmaLinux:8 packages of a module whose stream is not known to be that of an advisory: nodejs ";
    assert_eq!(found.without_data, [format!("{expected}{version}")]);
}

#[test]
fn severity_is_the_impact_or_the_vector_of_the_advisory() {
    let severity = |distro, vendor, package: &str| {
        let found = matches(&sbom(distro, vendor, &[package])).findings;
        let finding = found.first().expect("affected");
        (finding.severity, finding.severity_source.clone().expect("rated"), finding.matched_as.clone())
    };
    let openssh = "openssh-server 8.7p1-38.el9 openssh-8.7p1-38.el9.src.rpm";
    assert_eq!(
        severity(("almalinux", "9.4"), "AlmaLinux", openssh),
        (Severity::High, "impact: Important".to_owned(), None)
    );
    let vector = "CVSS:3.1/AV:N/AC:H/PR:N/UI:N/S:U/C:H/I:H/A:H".to_owned();
    assert_eq!(
        severity(("rocky", "9.4"), "Rocky Enterprise Software Foundation", openssh),
        (Severity::High, vector, Some("openssh 8.7p1-38.el9".to_owned()))
    );
}

#[test]
fn distributions_without_advisories_have_no_data() {
    let package = ["openssl-libs 1:3.0.1-43.el9_0 openssl-3.0.1-43.el9_0.src.rpm"];
    for (id, version) in [("centos", "9"), ("fedora", "40"), ("amzn", "2023"), ("ol", "9.4"), ("photon", "5.0")]
    {
        let found = matches(&sbom((id, version), "somebody", &package));
        assert_eq!((found.findings.len(), found.without_data), (0, vec![format!("{id} {version}")]));
    }
}

fn read(files: &[(&str, &[u8])]) -> Sbom {
    let root = tempfile::tempdir().expect("a folder");
    for (path, content) in files {
        let path = root.path().join(path);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("writes");
        std::fs::write(path, content).expect("writes");
    }
    let (limits, budget) = (Limits::default(), Budget::new(64 << 20));
    let mut tree = Directory::open(root.path(), &limits).expect("opens");
    let record = packages::read_tree(&mut tree, ReadContext::new(&limits, &budget)).expect("whole");
    let sbom = packages::assemble(&packages::squash(vec![Stacked { record: Arc::new(record), diff_id: None }]));
    assert_eq!(sbom.gaps, []);
    sbom
}

#[test]
fn list_of_packages_in_an_image_leads_to_its_findings() {
    let mut list = String::new();
    for (name, version, source) in [
        ("zlib", "1.3-1.azl3", "zlib"),
        ("zlib-devel", "1.3.1-1.azl3", "zlib"),
        ("openssl-libs", "3.3.0-1.azl3", "openssl"),
    ] {
        let source = format!("{source}-{version}.src.rpm");
        writeln!(list, "{name}\t{version}\t1\t1\tMicrosoft Corporation\t(none)\t1\tx86_64\t0\t{source}")
            .expect("to memory");
    }
    let sbom = read(&[
        ("etc/os-release", b"ID=azurelinux\nVERSION_ID=\"3.0\"\n"),
        ("var/lib/rpmmanifest/container-manifest-2", list.as_bytes()),
    ]);
    let records = tempfile::tempdir().expect("a folder");
    let record = r#"{"id": "AZL-1", "upstream": ["CVE-2023-45853"], "affected": [
        {"package": {"ecosystem": "Azure Linux:3", "name": "zlib"},
         "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "1.3.1-1"}]}]}]}"#;
    std::fs::write(records.path().join("AZL-1.json"), record).expect("writes");
    let found = matches_of(&sbom, records.path());
    let findings =
        found.findings.iter().map(|f| format!("{} {} {}", f.purl, f.vulnerability, f.locations[0].path));
    assert_eq!(
        findings.collect::<Vec<_>>(),
        [
            "pkg:rpm/azurelinux/zlib@1.3-1.azl3?arch=x86_64&distro=azurelinux-3.0&upstream=zlib-1.3-1.azl3.src.rpm \
          CVE-2023-45853 var/lib/rpmmanifest/container-manifest-2"
        ]
    );
    assert_eq!(found.without_data, [""; 0]);
}

/// Made by rpm from packages made for it, by no distribution: `bind-libs` is of a module, `hello` is not.
#[test]
fn packages_that_no_distribution_made_are_not_held_against_its_advisories() {
    let sbom = read(&[
        ("etc/os-release", b"ID=\"almalinux\"\nVERSION_ID=\"9.3\"\n"),
        ("var/lib/rpm/rpmdb.sqlite", include_bytes!("../src/packages/rpm/testdata/rpmdb.sqlite")),
    ]);
    let records = tempfile::tempdir().expect("a folder");
    for (number, (name, fixed)) in [
        ("bind-libs", "32:9.16.23-15.module_el9.3.0+1+a"),
        ("hello", "1.2-4.el9"),
        ("kernel-modules", "6.1.0-1.el9"),
    ]
    .into_iter()
    .enumerate()
    {
        let record = format!(
            r#"{{"id": "ALSA-2024:{number}", "related": ["CVE-2024-{number}"], "summary": "Important: bind:9 security update",
            "affected": [{{"package": {{"ecosystem": "AlmaLinux:9", "name": "{name}"}},
            "ranges": [{{"type": "ECOSYSTEM", "events": [{{"introduced": "0"}}, {{"fixed": "{fixed}"}}]}}]}}]}}"#
        );
        std::fs::write(records.path().join(format!("{number}.json")), record).expect("writes");
    }
    let found = matches_of(&sbom, records.path());
    assert!(found.findings.is_empty());
    assert_eq!(
        found.without_data,
        [
            "AlmaLinux:9 packages of another vendor: bind-libs 32:9.16.23-14.el9_3.4, hello 1.2-3.el9, kernel-modules 6.1.0-1.el9"
        ]
    );
    let mut own = sbom;
    own.packages.iter_mut().for_each(|package| package.supplier = Some("AlmaLinux".to_owned()));
    let found = matches_of(&own, records.path());
    let findings =
        found.findings.iter().map(|f| format!("{} {}", f.package, f.fixed.as_deref().unwrap_or("-")));
    assert_eq!(findings.collect::<Vec<_>>(), ["bind-libs 32:9.16.23-15.module_el9.3.0+1+a", "hello 1.2-4.el9"]);
    assert_eq!(found.without_data, [""; 0]);
}
