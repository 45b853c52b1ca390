//! Findings held against a second opinion: for a made root of a few hundred packages they must be exactly what a
//! plain reading of the records by `dpkg --compare-versions` gives.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use clarity::advisories::matching::{Texts, match_sbom, wanted};
use clarity::advisories::{Index, OsvSource, load};
use clarity::package::{Distro, Package, PackageType, SourcePackage};
use clarity::sbom::Sbom;

use records::{Implied, Installed, Said, dpkg_less, implied, records};

#[path = "cluster/records.rs"]
mod records;

/// Binary packages of some sources in `tests/osv`; others are named as their source is.
const BINARIES: [(&str, &[&str]); 8] = [
    ("glibc", &["libc6", "libc-bin"]),
    ("openssl", &["openssl", "libssl1.1", "libssl3"]),
    ("util-linux", &["util-linux", "mount", "libblkid1", "libmount1", "libuuid1", "bsdutils"]),
    ("zlib", &["zlib1g"]),
    ("curl", &["curl", "libcurl4"]),
    ("systemd", &["libsystemd0", "libudev1"]),
    ("perl", &["perl-base"]),
    ("nginx", &["nginx", "nginx-common"]),
];

fn index(sbom: &Sbom) -> Index {
    let source = OsvSource::open(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/osv")).expect("records");
    let index = load(&source, &wanted([sbom])).expect("readable records");
    assert_eq!(index.notes(), [""; 0]);
    index
}

/// A dpkg status of a few hundred packages: every source of the records at versions around its fixes, and as many
/// that no record knows.
fn status(said: &[Said]) -> String {
    let mut versions: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for said in said {
        let versions = versions.entry(&said.source).or_default();
        for fixed in said.pairs.iter().filter_map(|(_, fixed)| fixed.as_ref()) {
            versions.extend([
                fixed.clone(),
                format!("{fixed}~rc1"),
                format!("{fixed}+b1"),
                format!("0~{}", fixed.len()),
            ]);
        }
        versions.insert("1:0.1-1".to_owned());
    }
    let mut status = String::new();
    let mut stanza = |name: &str, version: &str, source: &str| {
        let fields = [
            format!("Package: {name}"),
            "Status: install ok installed".to_owned(),
            "Architecture: amd64".to_owned(),
            format!("Source: {source} ({version})"),
            format!("Version: {version}+b7"),
        ];
        status.push_str(&fields.join("\n"));
        status.push_str("\n\n");
    };
    for (position, (source, versions)) in versions.iter().enumerate() {
        let binaries = BINARIES.iter().find(|(name, _)| name == source).map(|(_, binaries)| *binaries);
        for (number, version) in versions.iter().enumerate() {
            let binaries = binaries.unwrap_or(std::slice::from_ref(source));
            // A name stands for one package only, as in a real root.
            let name = format!("{}-{number}", binaries[number % binaries.len()]);
            stanza(&name, version, source);
        }
        stanza(&format!("unknown-{position}"), "1.0-1", &format!("unknown-{position}"));
    }
    status
}

fn packages(status: &str) -> Vec<Package> {
    let stanzas = status.split("\n\n").filter(|stanza| !stanza.is_empty());
    let field = |stanza: &str, name: &str| {
        let line = stanza.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
        line.expect("every stanza has it").to_owned()
    };
    let package = |stanza: &str| {
        let source = field(stanza, "Source");
        let (name, version) = source.split_once(" (").expect("with a version");
        Package {
            architecture: Some(field(stanza, "Architecture")),
            source: Some(SourcePackage {
                name: name.to_owned(),
                version: version.trim_end_matches(')').to_owned(),
            }),
            ..Package::new(PackageType::Deb, field(stanza, "Package"), field(stanza, "Version"))
        }
    };
    stanzas.map(package).collect()
}

fn installed(package: &Package) -> Installed {
    let source = package.source.clone().expect("every package has one");
    Installed { name: package.name.clone(), source: source.name, source_version: source.version }
}

#[test]
fn findings_are_what_dpkg_and_the_records_imply() {
    let mut compared = 0;
    for release in ["11", "12"] {
        let said = records(&format!("Debian:{release}"));
        let packages = packages(&status(&said));
        assert!(packages.len() > 100, "{} packages", packages.len());

        let installed: Vec<Installed> = packages.iter().map(installed).collect();
        let expected = implied(&said, &installed, dpkg_less);

        let distro =
            Distro { id: "debian".to_owned(), version_id: Some(release.to_owned()), ..Distro::default() };
        let sbom = Sbom { distro: Some(distro), packages, gaps: Vec::new() };
        let matches = match_sbom(&sbom, &index(&sbom), Texts::Left);
        assert_eq!(matches.without_data, [""; 0]);
        let mut found = Implied::new();
        for finding in &matches.findings {
            let mut ids = BTreeSet::from([finding.advisory.clone()]);
            ids.extend(finding.aliases.iter().cloned());
            let key = (finding.package.clone(), finding.vulnerability.clone());
            assert!(found.insert(key, ids).is_none(), "a second finding of {finding:?}");
        }
        assert_eq!(found, expected);
        compared += found.len();
    }
    assert!(compared > 1000, "only {compared} findings");
}

#[test]
fn fixed_version_of_a_finding_is_clean() {
    for release in ["11", "12"] {
        let said = records(&format!("Debian:{release}"));
        let distro =
            Distro { id: "debian".to_owned(), version_id: Some(release.to_owned()), ..Distro::default() };
        let sbom = Sbom { distro: Some(distro), packages: packages(&status(&said)), gaps: Vec::new() };
        let index = index(&sbom);
        for finding in match_sbom(&sbom, &index, Texts::Left).findings {
            let Some(fixed) = &finding.fixed else { continue };
            let package = sbom.packages.iter().find(|package| package.name == finding.package).expect("found");
            let mut upgraded = package.clone();
            upgraded.source.as_mut().expect("every package has one").version.clone_from(fixed);
            let after = Sbom { packages: vec![upgraded], ..sbom.clone() };
            let left = match_sbom(&after, &index, Texts::Left).findings;
            // A record without a fix may still be about it.
            let is_left =
                left.iter().any(|left| left.vulnerability == finding.vulnerability && left.fixed.is_some());
            assert!(!is_left, "{finding:?}");
        }
    }
}

#[test]
fn alpine_image_has_its_known_vulnerabilities() {
    let package = |name: &str, version: &str, origin: &str| Package {
        architecture: Some("x86_64".to_owned()),
        source: Some(SourcePackage { name: origin.to_owned(), version: version.to_owned() }),
        ..Package::new(PackageType::Apk, name, version)
    };
    let distro = Distro { id: "alpine".to_owned(), version_id: Some("3.19.1".to_owned()), ..Distro::default() };
    let packages = vec![
        package("busybox", "1.36.1-r15", "busybox"),
        package("libcrypto3", "3.1.4-r5", "openssl"),
        package("musl", "1.2.4_git20230717-r4", "musl"),
        package("zlib", "1.3.1-r0", "zlib"),
    ];
    let sbom = Sbom { distro: Some(distro), packages, gaps: Vec::new() };
    let findings = match_sbom(&sbom, &index(&sbom), Texts::Left).findings;
    let found: Vec<(&str, &str, Option<&str>)> =
        findings.iter().map(|f| (f.package.as_str(), f.vulnerability.as_str(), f.fixed.as_deref())).collect();
    assert_eq!(
        found,
        [
            ("libcrypto3", "CVE-2024-6119", Some("3.1.7-r0")),
            ("busybox", "CVE-2023-42363", Some("1.36.1-r17")),
            ("busybox", "CVE-2023-42366", Some("1.36.1-r16")),
            ("musl", "CVE-2025-26519", Some("1.2.4_git20230717-r5")),
        ]
    );
}
