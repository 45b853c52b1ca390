//! The orders of versions, held against what the ecosystems' own tools say: `tests/versions`, made by
//! `scripts/version-facts`.

use std::cmp::Ordering;
use std::path::Path;

use clarity::advisories::versions::Comparator;

#[track_caller]
fn assert_agrees(comparator: Comparator, file: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/versions").join(file);
    let text = std::fs::read_to_string(path).expect("facts");
    let mut seen = 0;
    let mut wrong = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let fields: Vec<&str> = line.split('\t').collect();
        let [a, relation, b] = fields[..] else { panic!("{file}: {line:?}") };
        let expected = match relation {
            "<" => Ordering::Less,
            "=" => Ordering::Equal,
            ">" => Ordering::Greater,
            other => panic!("{file}: {other:?}"),
        };
        if comparator.compare(a, b) != expected || comparator.compare(b, a) != expected.reverse() {
            wrong.push(line);
        }
        seen += 1;
    }
    assert!(seen >= 2000, "{file} has only {seen} facts");
    assert!(wrong.is_empty(), "{} of {seen}, for example {:#?}", wrong.len(), &wrong[..wrong.len().min(20)]);
}

#[test]
fn python_versions_are_ordered_as_packaging_orders_them() {
    assert_agrees(Comparator::Pep440, "pypi.txt");
}

#[test]
fn node_versions_are_ordered_as_npm_orders_them() {
    assert_agrees(Comparator::Semver, "npm.txt");
}

#[test]
fn module_versions_are_ordered_as_go_orders_them() {
    assert_agrees(Comparator::Go, "go.txt");
}

#[test]
fn artifact_versions_are_ordered_as_maven_orders_them() {
    assert_agrees(Comparator::Maven, "maven.txt");
}

#[test]
fn package_versions_are_ordered_as_rpm_orders_them() {
    assert_agrees(Comparator::Rpm, "rpm.txt");
}

#[test]
fn package_versions_are_ordered_as_dpkg_orders_them() {
    assert_agrees(Comparator::Dpkg, "dpkg.txt");
}

#[test]
fn gem_versions_are_ordered_as_rubygems_orders_them() {
    assert_agrees(Comparator::RubyGems, "rubygems.txt");
}

#[test]
fn php_versions_are_ordered_as_composer_orders_them() {
    assert_agrees(Comparator::Packagist, "packagist.txt");
}

#[test]
fn dotnet_versions_are_ordered_as_nuget_orders_them() {
    assert_agrees(Comparator::NuGet, "nuget.txt");
}

#[test]
fn crate_versions_are_ordered_as_cargo_orders_them() {
    assert_agrees(Comparator::Semver, "crates.txt");
}

#[test]
fn hex_versions_are_ordered_as_elixir_orders_them() {
    assert_agrees(Comparator::Semver, "hex.txt");
}

#[test]
fn component_versions_are_ordered_as_bitnami_orders_them() {
    assert_agrees(Comparator::Bitnami, "bitnami.txt");
}
