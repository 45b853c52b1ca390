//! The stored form of bills of materials, held against the official schema.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use clarity::image::{Digest, Platform};
use clarity::package::{Distro, Location, Package, PackageType, SourcePackage};
use clarity::sbom::cyclonedx::{Subject, write};
use clarity::sbom::{Gap, Sbom};
use proptest::prelude::*;
use serde_json::{Value, json};

#[path = "schemas/validator.rs"]
mod validator;

use validator::violations;

#[test]
fn documents_that_are_not_of_the_schema_are_found_out() {
    let base = json!({"bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1});
    let with = |name: &str, value: Value| {
        let mut document = base.clone();
        document[name] = value;
        violations(document.to_string().as_bytes()).len()
    };
    assert_eq!(with("version", json!(1)), 0);
    let component = |more: Value| {
        let mut component = json!({"type": "library", "name": "a"});
        component.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        json!([component])
    };
    let license = |license: Value| component(json!({"licenses": [{"license": license}]}));
    assert_eq!(with("components", license(json!({"id": "MIT"}))), 0);
    for (name, wrong) in [
        ("specVersion", json!(1.5)),
        ("packages", json!([])),
        ("metadata", json!({"timestamp": "yesterday"})),
        ("components", license(json!({"id": "Nobody-1.0"}))),
        ("components", component(json!({"type": "package"}))),
        ("components", component(json!({"colour": "red"}))),
    ] {
        assert!(with(name, wrong.clone()) > 0, "{name}: {wrong}");
    }
}

#[test]
fn what_the_scanner_reads_of_a_hostile_image_is_of_the_schema() {
    let root = tempfile::tempdir().expect("a folder");
    let file = |path: &str, content: &str| {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(path, content).expect("written");
    };
    file("etc/os-release", "ID=debian\nVERSION_ID=\"12\\u0007\"\nPRETTY_NAME=\"Debian \u{1b}[31m\"\n");
    let package = |name: &str, version: &str| {
        format!("Package: {name}\nStatus: install ok installed\nArchitecture: amd64\nVersion: {version}\n\n")
    };
    let status: Vec<String> =
        [("libc6", "2.36-9"), ("libc6", "2.36-9"), ("a\u{1}b", "\u{202e}1"), ("é\"\\", "1 2")]
            .map(|(name, version)| package(name, version))
            .into();
    file("var/lib/dpkg/status", &status.concat());
    for (number, license) in
        ["MIT", "Apache-2.0+", "NOASSERTION", "MIT OR", "http://[", "\u{7f}"].iter().enumerate()
    {
        let metadata = format!("Metadata-Version: 2.1\nName: tool{number}\nVersion: 1.0\nLicense: {license}\n");
        file(&format!("usr/lib/python3/dist-packages/tool{number}-1.0.dist-info/METADATA"), &metadata);
    }
    let output = Command::new(env!("CARGO_BIN_EXE_clarity-scan"))
        .args(["dir", "-o", "cyclonedx"])
        .arg(root.path())
        .output()
        .expect("the program starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(violations(&output.stdout), [""; 0]);
    let document: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert!(document["components"].as_array().expect("a list").len() >= 8, "{document:#}");
}

/// Text as it stands in images that mean no good, and as it stands in good ones.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z0-9.+~:-]{0,12}",
        "[ -~]{0,12}",
        "[\\x00-\\x1f\\x7f\u{80}-\u{9f}]{0,6}",
        any::<String>().prop_map(|text| text.chars().take(20).collect()),
        prop::sample::select(vec![
            "http://[",
            "https://a b/%zz",
            "pkg:npm/a@1",
            "../../x",
            "\u{feff}",
            "\u{202e}x"
        ])
        .prop_map(ToOwned::to_owned),
    ]
}

/// Licences: ids, expressions, what looks like them, and anything.
fn license() -> impl Strategy<Value = String> {
    let known = vec!["MIT", "GPL-2.0", "GPL-2.0+", "GPL-2.0-or-later", "BSD-3-Clause", "NOASSERTION", "NONE"];
    let part = prop::sample::select(known.clone());
    prop_oneof![
        prop::sample::select(known).prop_map(ToOwned::to_owned),
        part.clone().prop_map(|id| format!("{id}+")),
        part.clone().prop_map(str::to_lowercase),
        (part.clone(), part.clone()).prop_map(|(one, other)| format!("{one} OR {other}")),
        (part.clone(), part).prop_map(|(one, other)| format!("({one} AND {other}+) WITH LLVM-exception")),
        text(),
    ]
}

fn package() -> impl Strategy<Value = Package> {
    let source = prop::option::of((text(), text())).prop_map(|source| {
        let (name, version) = source?;
        Some(SourcePackage { name, version })
    });
    let location = (text(), any::<bool>())
        .prop_map(|(path, has_layer)| Location { path, layer: has_layer.then(|| Digest::of(b"layer")) });
    (
        prop::sample::select(PackageType::ALL.to_vec()),
        (text(), text()),
        [
            prop::option::of(text()),
            prop::option::of(text()),
            prop::option::of(text()),
            prop::option::of(text()),
        ],
        source,
        prop::collection::vec(license(), 0..4),
        prop::collection::vec(location, 0..3),
    )
        .prop_map(
            |(
                package_type,
                (name, version),
                [architecture, supplier, owner, modularity],
                source,
                licenses,
                locations,
            )| {
                Package {
                    architecture,
                    source,
                    licenses,
                    supplier,
                    owner,
                    modularity,
                    locations,
                    ..Package::new(package_type, name, version)
                }
            },
        )
}

fn distro() -> impl Strategy<Value = Distro> {
    (
        text(),
        [prop::option::of(text()), prop::option::of(text()), prop::option::of(text())],
        prop::collection::vec(text(), 0..3),
    )
        .prop_map(|(id, [version_id, version_codename, pretty_name], id_like)| Distro {
            id,
            version_id,
            version_codename,
            id_like,
            pretty_name,
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn whatever_an_image_says_its_bill_is_of_the_schema(
        distro in prop::option::of(distro()),
        packages in prop::collection::vec(package(), 0..8),
        gaps in prop::collection::vec((text(), text()), 0..3),
        has_subject in any::<bool>(),
        analysers in prop::option::of(text()),
    ) {
        let gaps = gaps.into_iter().map(|(path, reason)| Gap { path, reason }).collect();
        // The same package twice, as an image may have it.
        let packages = packages.iter().take(1).chain(&packages).cloned().collect();
        let subject = if has_subject {
            Subject {
                reference: Some("registry.test/shop/cart:1".parse().expect("a reference")),
                manifest: Some(Digest::of(b"manifest")),
                config: Some(Digest::of(b"config")),
                platform: Some(Platform::of_this_program()),
                layers: vec![Digest::of(b"layer")],
                analysers,
                created: Some("2026-01-02T03:04:05Z".to_owned()),
            }
        } else {
            Subject { analysers, ..Subject::default() }
        };
        let document = write(&Sbom { distro, packages, gaps }, &subject).expect("written");
        prop_assert_eq!(violations(&document), Vec::<String>::new());
        let document: Value = serde_json::from_slice(&document).expect("JSON");
        // The schema says it in words only: every reference stands for one component.
        let references: Vec<&str> =
            document["components"].as_array().into_iter().flatten().filter_map(|one| one["bom-ref"].as_str()).collect();
        prop_assert_eq!(references.iter().collect::<BTreeSet<_>>().len(), references.len());
    }
}
