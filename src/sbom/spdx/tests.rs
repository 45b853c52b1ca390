use insta::assert_snapshot;
use proptest::prelude::*;

use super::*;
use crate::package::PackageType;
use crate::sbom::{Sbom, document};

/// Cut down from what Syft writes for an image: the subject is described and tied by a relationship.
const SYFT: &str = include_str!("syft.spdx.json");
/// Cut down from what Trivy writes for an image: no upstream in its package URLs, the source in `sourceInfo`.
const TRIVY: &str = include_str!("trivy.spdx.json");

/// A document in lines: what it is about, the distribution, the packages, what is no package.
fn lines(document: &Document) -> String {
    let Document { sbom, subject, name, unread } = document;
    let distro = sbom.distro.as_ref().and_then(Distro::release).unwrap_or_default();
    let mut lines =
        vec![format!("{} {} {distro}", name.as_deref().unwrap_or("-"), subject.reference.is_some())];
    for package in &sbom.packages {
        let source = package.source.as_ref().map(|source| format!(" from {} {}", source.name, source.version));
        lines.push(format!(
            "{} {} {}{}; {}; {}",
            package.package_type.as_str(),
            package.name,
            package.version,
            source.unwrap_or_default(),
            package.licenses.join(", "),
            package.supplier.as_deref().unwrap_or("-"),
        ));
    }
    lines.extend(unread.in_words().map(|words| format!("! {words}")));
    lines.join("\n")
}

fn read(text: &str) -> Document {
    document::read(text.as_bytes()).expect("readable")
}

#[test]
fn document_of_syft_is_read() {
    assert_snapshot!(lines(&read(SYFT)), @r"
    debian:12 true debian-12
    deb bsdutils 1:2.38.1-5+deb12u1 from util-linux 2.38.1-5+deb12u1; ; -
    deb libc6 2.36-9+deb12u7 from glibc 2.36-9+deb12u7; GPL-2.0-only AND LGPL-2.1-only; GNU Libc Maintainers (debian-glibc@lists.debian.org)
    golang stdlib 1.21.5; BSD-3-Clause; -
    ! 1 component is of a type that is not known: generic (openssl)
    ");
}

#[test]
fn document_of_trivy_is_read() {
    assert_snapshot!(lines(&read(TRIVY)), @r"
    registry.test/shop/web:1.4 true debian-12.5
    deb bsdutils 1:2.38.1-5+deb12u1 from util-linux 2.38.1-5+deb12u1; GPL-2.0-only; Util-Linux Maintainers <util-linux@packages.debian.org>
    npm @babel/traverse 7.22.5; MIT; -
    ");
}

#[test]
fn versions_before_and_after_are_refused_by_name() {
    for (version, expected) in [
        ("SPDX-2.1", "the document is SPDX \"2.1\", of which 2.2 and 2.3 are read"),
        ("SPDX-3.0", "the document is SPDX \"3.0\", of which 2.2 and 2.3 are read"),
    ] {
        let error = document::read(TRIVY.replace("SPDX-2.3", version).as_bytes()).expect_err("refused");
        assert_eq!(error.to_string(), expected);
    }
    assert!(document::read(TRIVY.replace("SPDX-2.3", "SPDX-2.2").as_bytes()).is_ok());
}

#[test]
fn subject_without_a_package_url_is_a_gap_where_it_is_all_there_is() {
    let alone = r#"{"spdxVersion": "SPDX-2.3", "documentDescribes": ["SPDXRef-a"],
        "packages": [{"SPDXID": "SPDXRef-a", "name": "a", "primaryPackagePurpose": "LIBRARY"}]}"#;
    let document = read(alone);
    assert_eq!(document.name.as_deref(), Some("a"));
    assert_eq!(document.unread.in_words().collect::<Vec<_>>(), ["1 component has no package URL (a)"]);
}

#[test]
fn what_a_manifest_asks_for_is_no_installed_version() {
    let document = read(
        r#"{"spdxVersion": "SPDX-2.3", "packages": [{"name": "npm:left-pad", "versionInfo": "^1.2.0", "externalRefs":
            [{"referenceType": "purl", "referenceLocator": "pkg:npm/left-pad"}]}]}"#,
    );
    assert_eq!(document.unread.in_words().collect::<Vec<_>>(), ["1 component has no version (npm:left-pad)"]);
}

proptest! {
    #[test]
    fn cut_and_changed_documents_never_panic(
        of_trivy in any::<bool>(), at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>(),
    ) {
        let mut bytes = if of_trivy { TRIVY } else { SYFT }.as_bytes().to_vec();
        let at = at.index(bytes.len());
        if cut { bytes.truncate(at) } else { bytes[at] = byte }
        if let Ok(document) = document::read(&bytes) {
            let _ = lines(&document);
        }
    }
}

/// A bill with everything that one can have.
fn whole() -> (Sbom, Subject) {
    let digest = |byte: u8| crate::image::Digest::from_hash(&[byte; 32]);
    let location = |path: &str| crate::package::Location { path: path.to_owned(), layer: Some(digest(7)) };
    let source =
        |name: &str, version: &str| SourcePackage { name: name.to_owned(), version: version.to_owned() };
    let deb = Package {
        architecture: Some("amd64".to_owned()),
        source: Some(source("util-linux", "2.38.1-5")),
        licenses: vec!["GPL-2.0-or-later".to_owned()],
        supplier: Some("util-linux packagers <util-linux@packages.debian.org>".to_owned()),
        locations: vec![location("var/lib/dpkg/status")],
        ..Package::new(PackageType::Deb, "bsdutils", "1:2.38.1-5")
    };
    let npm = Package {
        owner: Some("node-left-pad".to_owned()),
        locations: vec![location("a=b\\nc"), location("z")],
        ..Package::new(PackageType::Npm, "@scope/left-pad", "1.0.0")
    };
    let mut packages = vec![deb, npm, Package::new(PackageType::Maven, "log4j-core", "")];
    packages.sort();
    let sbom = Sbom {
        distro: Some(Distro {
            id: "debian".to_owned(),
            version_id: None,
            version_codename: Some("sid".to_owned()),
            id_like: vec!["x".to_owned()],
            pretty_name: Some("Debian GNU/Linux trixie/sid".to_owned()),
        }),
        packages,
        gaps: vec![crate::sbom::Gap { path: "opt/big.jar".to_owned(), reason: "it is too large".to_owned() }],
    };
    let subject = Subject {
        reference: Some("registry.test/shop/cart:1.2".parse().expect("a reference")),
        manifest: Some(digest(1)),
        config: Some(digest(2)),
        platform: Some(crate::image::Platform::of_this_program()),
        layers: vec![digest(3), digest(7)],
        analysers: Some("apk-1 dpkg-2".to_owned()),
        created: Some("2026-01-02T03:04:05Z".to_owned()),
    };
    (sbom, subject)
}

#[test]
fn what_is_written_is_read_back_whole() {
    let (sbom, subject) = whole();
    let text = write(&sbom, &subject, None);
    let document = read(&text);
    assert_eq!(
        (document.sbom, document.subject, document.unread),
        (sbom, subject, super::super::Unread::default())
    );
}

#[test]
fn every_id_is_one_of_its_own() {
    let (mut sbom, subject) = whole();
    let mut twice = sbom.packages[0].clone();
    twice.locations.clear();
    sbom.packages.push(twice);
    sbom.packages.push(Package::new(PackageType::Npm, "@scope/left+pad", "1.0.0"));
    let json: serde_json::Value = serde_json::from_str(&write(&sbom, &subject, None)).expect("JSON");
    let packages = json["packages"].as_array().expect("packages");
    let ids: std::collections::BTreeSet<&str> =
        packages.iter().filter_map(|one| one["SPDXID"].as_str()).collect();
    assert_eq!(ids.len(), packages.len());
    assert!(ids.iter().all(|id| id.chars().all(|c| c.is_ascii_alphanumeric() || ".-".contains(c))));
}

#[test]
fn a_bill_of_nothing_is_a_document_too() {
    let text = write(&Sbom::default(), &Subject::default(), Some("./src"));
    let document = read(&text);
    assert_eq!((document.sbom, document.name.as_deref()), (Sbom::default(), Some("./src")));
    assert_eq!(document.unread.count(), 0);
    assert_eq!(write(&Sbom::default(), &Subject::default(), Some("./src")), text, "the same bytes");
}
