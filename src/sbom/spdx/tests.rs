use insta::assert_snapshot;
use proptest::prelude::*;

use super::*;
use crate::sbom::document;

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
