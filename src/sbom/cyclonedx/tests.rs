use proptest::prelude::*;

use super::*;
use crate::package::{Distro, Location, Package, PackageType, SourcePackage};
use crate::sbom::{Gap, ReadError, Sbom};

fn digest(text: &str) -> Digest {
    Digest::of(text.as_bytes())
}

fn sample() -> Sbom {
    let distro = Distro {
        id: "debian".to_owned(),
        version_id: Some("12".to_owned()),
        version_codename: Some("bookworm".to_owned()),
        id_like: Vec::new(),
        pretty_name: Some("Debian GNU/Linux 12 (bookworm)".to_owned()),
    };
    let libc = Package {
        architecture: Some("amd64".to_owned()),
        source: Some(SourcePackage { name: "glibc".to_owned(), version: "2.36-9+deb12u4".to_owned() }),
        licenses: vec!["GPL-2.0-only".to_owned(), "Some licence".to_owned()],
        supplier: Some("GNU Libc Maintainers <debian-glibc@lists.debian.org>".to_owned()),
        locations: vec![Location { path: "var/lib/dpkg/status".to_owned(), layer: Some(digest("layer")) }],
        ..Package::new(PackageType::Deb, "libc6", "2.36-9+deb12u4")
    };
    let gaps = vec![Gap { path: "app".to_owned(), reason: "cannot be read: permission denied".to_owned() }];
    Sbom { distro: Some(distro), packages: vec![libc], gaps }
}

fn subject() -> Subject {
    Subject {
        reference: Some("registry.test/shop/cart:1".parse().expect("valid")),
        manifest: Some(digest("manifest")),
        config: Some(digest("config")),
        platform: Some(Platform { os: "linux".to_owned(), architecture: "amd64".to_owned(), variant: None }),
        layers: vec![digest("layer"), digest("upper")],
        analysers: Some("os-release/1,dpkg/1,dpkg-copyright/1,apk/1".to_owned()),
        created: Some("2026-01-02T03:04:05Z".to_owned()),
    }
}

#[test]
#[allow(clippy::too_many_lines, reason = "it is a whole document")]
fn the_document_is_what_other_tools_expect() {
    let json = write(&sample(), &subject()).expect("writable");
    let mut json: serde_json::Value = serde_json::from_slice(&json).expect("JSON");
    json["metadata"]["tools"]["components"][0]["version"] = "[version]".into();
    let text = serde_json::to_string_pretty(&json).expect("JSON");
    insta::assert_snapshot!(text, @r#"
    {
      "bomFormat": "CycloneDX",
      "components": [
        {
          "bom-ref": "os:debian-12",
          "description": "Debian GNU/Linux 12 (bookworm)",
          "name": "debian",
          "properties": [
            {
              "name": "syft:distro:id",
              "value": "debian"
            },
            {
              "name": "syft:distro:prettyName",
              "value": "Debian GNU/Linux 12 (bookworm)"
            },
            {
              "name": "syft:distro:versionCodename",
              "value": "bookworm"
            },
            {
              "name": "syft:distro:versionID",
              "value": "12"
            }
          ],
          "type": "operating-system",
          "version": "12"
        },
        {
          "bom-ref": "pkg:deb/debian/libc6@2.36-9%2Bdeb12u4?arch=amd64&distro=debian-12&upstream=glibc",
          "licenses": [
            {
              "license": {
                "id": "GPL-2.0-only"
              }
            },
            {
              "license": {
                "name": "Some licence"
              }
            }
          ],
          "name": "libc6",
          "properties": [
            {
              "name": "syft:package:type",
              "value": "deb"
            },
            {
              "name": "aquasecurity:trivy:SrcName",
              "value": "glibc"
            },
            {
              "name": "aquasecurity:trivy:SrcVersion",
              "value": "2.36-9+deb12u4"
            },
            {
              "name": "syft:location:0:path",
              "value": "var/lib/dpkg/status"
            },
            {
              "name": "syft:location:0:layerID",
              "value": "sha256:dac1d7cfa95021764849fd102524e141488c5e3a90f861dbb5a12d9ac8584f85"
            }
          ],
          "purl": "pkg:deb/debian/libc6@2.36-9%2Bdeb12u4?arch=amd64&distro=debian-12&upstream=glibc",
          "supplier": {
            "name": "GNU Libc Maintainers <debian-glibc@lists.debian.org>"
          },
          "type": "library",
          "version": "2.36-9+deb12u4"
        }
      ],
      "metadata": {
        "component": {
          "name": "registry.test/shop/cart:1",
          "properties": [
            {
              "name": "kubectl-clarity:manifest",
              "value": "sha256:05b3abf2579a5eb66403cd78be557fd860633a1fe2103c7642030defe32c657f"
            },
            {
              "name": "kubectl-clarity:config",
              "value": "sha256:b79606fb3afea5bd1609ed40b622142f1c98125abcfe89a76a661b0e8e343910"
            },
            {
              "name": "kubectl-clarity:platform",
              "value": "linux/amd64"
            }
          ],
          "type": "container",
          "version": "sha256:05b3abf2579a5eb66403cd78be557fd860633a1fe2103c7642030defe32c657f"
        },
        "properties": [
          {
            "name": "kubectl-clarity:analysers",
            "value": "os-release/1,dpkg/1,dpkg-copyright/1,apk/1"
          },
          {
            "name": "kubectl-clarity:gap:0:path",
            "value": "app"
          },
          {
            "name": "kubectl-clarity:gap:0:reason",
            "value": "cannot be read: permission denied"
          },
          {
            "name": "kubectl-clarity:layer:0",
            "value": "sha256:dac1d7cfa95021764849fd102524e141488c5e3a90f861dbb5a12d9ac8584f85"
          },
          {
            "name": "kubectl-clarity:layer:1",
            "value": "sha256:aee610558292023758a4229ddcf75f167c9904313a83cf795232ed7f7e2131c9"
          }
        ],
        "timestamp": "2026-01-02T03:04:05Z",
        "tools": {
          "components": [
            {
              "name": "kubectl-clarity",
              "type": "application",
              "version": "[version]"
            }
          ]
        }
      },
      "specVersion": "1.5",
      "version": 1
    }
    "#);
}

#[test]
fn the_same_bill_gives_the_same_bytes() {
    assert_eq!(
        write(&sample(), &subject()).expect("writable"),
        write(&sample(), &subject()).expect("writable")
    );
}

#[test]
fn subject_comes_back() {
    let json = write(&sample(), &subject()).expect("writable");
    let document = read(&json).expect("readable");
    assert_eq!(document.subject, subject());
    assert_eq!(document.sbom, sample());
    assert_eq!(document.unread.count(), 0);
}

#[test]
fn only_a_java_archive_comes_back_without_a_version() {
    let mut sbom = sample();
    let mut archive = Package { package_type: PackageType::Maven, source: None, ..sbom.packages[0].clone() };
    (archive.name, archive.version, archive.architecture) = ("shop".to_owned(), String::new(), None);
    let nameless = Package { package_type: PackageType::Npm, ..archive.clone() };
    sbom.packages = vec![archive.clone(), nameless];
    let json = write(&sbom, &subject()).expect("writable");
    let text = String::from_utf8_lossy(&json);
    assert!(text.contains("\"purl\":\"pkg:maven/shop\"") || text.contains("\"purl\": \"pkg:maven/shop\""));
    let document = read(&json).expect("readable");
    assert_eq!((document.sbom.packages, document.unread.count()), (vec![archive], 1));
}

#[test]
fn epoch_and_module_of_rpm_are_read_where_other_tools_have_them() {
    let read_one = |version: &str, purl: &str, property: Option<(&str, &str)>| {
        let property = property.map(|(name, value)| serde_json::json!({"name": name, "value": value}));
        let component = serde_json::json!({"type": "library", "name": "nodejs", "version": version, "purl": purl,
            "properties": property.into_iter().collect::<Vec<_>>()});
        let json = serde_json::json!({"bomFormat": "CycloneDX", "components": [component]}).to_string();
        let package = read(json.as_bytes()).expect("readable").sbom.packages.remove(0);
        (package.version, package.modularity.unwrap_or_default())
    };
    let label = "nodejs:18:8100020250506132245:489197e6";
    let found = |version: &str, label: &str| (version.to_owned(), label.to_owned());
    let purl = "pkg:rpm/rocky/nodejs@18-1.el8";
    for property in ["syft:metadata:modularityLabel", "aquasecurity:trivy:Modularitylabel"] {
        assert_eq!(read_one("18-1.el8", purl, Some((property, label))), found("18-1.el8", label));
    }
    let qualified = format!("{purl}?epoch=1&rpmmod={label}");
    assert_eq!(read_one("18-1.el8", &qualified, None), found("1:18-1.el8", label));
    assert_eq!(read_one("1:18-1.el8", &qualified, None), found("1:18-1.el8", label));
    assert_eq!(read_one("18-1.el8", &format!("{purl}?epoch=0"), None), found("18-1.el8", ""));
    let npm = format!("pkg:npm/nodejs@18?epoch=1&rpmmod={label}");
    assert_eq!(read_one("18", &npm, Some(("syft:metadata:modularityLabel", label))), found("18", ""));
}

#[test]
fn a_time_that_is_none_is_refused() {
    let subject = Subject { created: Some("yesterday".to_owned()), ..Subject::default() };
    assert_eq!(write(&sample(), &subject).expect_err("refused").to_string(), "\"yesterday\" is not a time");
}

#[test]
fn documents_of_other_tools_are_read_by_their_purls() {
    let json = br#"{
      "bomFormat": "CycloneDX", "specVersion": "1.6", "serialNumber": "urn:uuid:0",
      "metadata": {"component": {"type": "container", "name": "alpine:3.19", "bom-ref": "x"}},
      "components": [
        {"type": "operating-system", "name": "debian", "version": "12.5"},
        {"type": "library", "name": "libc6", "version": "2.36-9", "licenses": [{"expression": "MIT OR ISC"}],
         "purl": "pkg:deb/debian/libc6@2.36-9?arch=amd64&upstream=glibc%402.36-8&distro=debian-12"},
        {"type": "library", "name": "libssl3", "version": "3.0.11-1",
         "purl": "pkg:deb/debian/libssl3@3.0.11-1?arch=amd64&distro=debian-12",
         "properties": [{"name": "aquasecurity:trivy:SrcName", "value": "openssl"},
                        {"name": "aquasecurity:trivy:SrcVersion", "value": "3.0.11"},
                        {"name": "aquasecurity:trivy:SrcRelease", "value": "1"},
                        {"name": "aquasecurity:trivy:SrcEpoch", "value": "1"}]},
        {"type": "application", "name": "app", "components": [
          {"type": "library", "group": "@babel", "name": "core", "version": "7.1.0", "purl": "pkg:npm/%40babel/core@7.1.0"},
          {"type": "library", "name": "left", "version": "1.0.0", "purl": "pkg:conan/left@1.0.0"},
          {"type": "library", "purl": "pkg:apk/alpine/musl@1.2.4-r2"},
          {"type": "library", "purl": "pkg:rpm/rhel/bash@5.1.8-6.el9?upstream=bash-5.1.8-6.el9.src.rpm"}]}
      ]}"#;
    let document = read(json).expect("readable");
    let packages: Vec<String> = document
        .sbom
        .packages
        .iter()
        .map(|package| {
            let source =
                package.source.as_ref().map(|source| format!(" from {} {}", source.name, source.version));
            format!("{} {}{}", package.name, package.version, source.unwrap_or_default())
        })
        .collect();
    assert_eq!(
        packages,
        [
            "libc6 2.36-9 from glibc 2.36-8",
            "libssl3 3.0.11-1 from openssl 1:3.0.11-1",
            "musl 1.2.4-r2 from musl 1.2.4-r2",
            "bash 5.1.8-6.el9 from bash 5.1.8-6.el9",
            "@babel/core 7.1.0",
        ]
    );
    assert_eq!(document.sbom.packages[0].licenses, ["MIT OR ISC"]);
    assert_eq!(document.sbom.distro.expect("named").version_id.as_deref(), Some("12.5"));
    let unread: Vec<String> = document.unread.in_words().collect();
    assert_eq!(
        unread,
        ["1 component has no package URL (app)", "1 component is of a type that is not known: conan (left)",]
    );
}

#[test]
fn what_is_no_cyclonedx_is_said_so() {
    assert!(matches!(read(b"{\"bomFormat\": \"SPDX\"}"), Err(ReadError::Format)));
    assert!(matches!(read(b"[]"), Err(ReadError::Json { .. })));
    let nested =
        format!("{{\"bomFormat\":\"CycloneDX\",\"components\":{}", "[{\"components\":".repeat(100_000));
    assert!(matches!(read(nested.as_bytes()), Err(ReadError::Json { .. })));
}

fn word() -> impl Strategy<Value = String> {
    // Evidence holds no control characters and no outer white space.
    "[!-~äé漢]([ -~äé漢]{0,12}[!-~äé漢])?"
}

prop_compose! {
    fn package()(
        package_type in prop::sample::select(vec![
            PackageType::Deb, PackageType::Apk, PackageType::Rpm, PackageType::Pypi, PackageType::Npm, PackageType::Golang,
            PackageType::Maven,
        ]),
        name in word(), version in word(), architecture in prop::option::of(word()),
        source in (word(), word()),
        licenses in prop::collection::vec(prop_oneof![word(), Just("MIT".to_owned()), Just("MIT AND ISC".to_owned())], 0..3),
        supplier in prop::option::of(word()),
        owner in prop::option::of(word()),
        modularity in prop::option::of(word()),
        locations in prop::collection::vec((word(), prop::option::of(word())), 0..3),
    ) -> Package {
        // Paths are relative to the root.
        let locations = locations
            .into_iter()
            .map(|(path, layer)| Location { path: format!("a{path}"), layer: layer.map(|l| digest(&l)) });
        let source = SourcePackage { name: source.0, version: source.1 };
        let source = Some(source).filter(|_| package_type.is_of_distribution());
        let locations = locations.collect();
        let modularity = modularity.filter(|_| package_type == PackageType::Rpm);
        Package {
            package_type,
            name,
            version,
            architecture,
            source,
            licenses,
            supplier,
            owner,
            modularity,
            locations,
        }
    }
}

prop_compose! {
    fn distro()(
        id in word(), version_id in prop::option::of(word()), version_codename in prop::option::of(word()),
        id_like in prop::collection::vec(word(), 0..3), pretty_name in prop::option::of(word()),
    ) -> Distro {
        Distro { id, version_id, version_codename, id_like, pretty_name }
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(
        distro in prop::option::of(distro()),
        mut packages in prop::collection::vec(package(), 0..5),
        gaps in prop::collection::vec((word(), word()), 0..12),
    ) {
        packages.sort();
        packages.dedup();
        let gaps = gaps.into_iter().map(|(path, reason)| Gap { path, reason }).collect();
        let sbom = Sbom { distro, packages, gaps };
        let json = write(&sbom, &Subject::default()).expect("writable");
        prop_assert_eq!(read(&json).expect("readable").sbom, sbom);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = read(&bytes);
    }

    #[test]
    fn arbitrary_purls_never_panic(purl in "pkg:(deb|apk)[/@?&=%#a-zA-Z0-9é]{0,30}") {
        let json = serde_json::json!({"bomFormat": "CycloneDX", "components": [{"name": "", "purl": purl}]});
        let document = read(json.to_string().as_bytes()).expect("readable");
        prop_assert_eq!(document.sbom.packages.len() + document.unread.count(), 1);
    }
}
