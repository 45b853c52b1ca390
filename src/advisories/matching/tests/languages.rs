//! What each package manager of a language does in its own way.

use super::*;

/// Whether a version of a package is found to be affected by one record about versions from `0` on up to a fix.
#[track_caller]
fn assert_affected(kind: PackageType, name: &str, record: (&str, &str), versions: &[(&str, bool)]) {
    let (ecosystem, fixed) = record;
    let records = [record_of(ecosystem, name, "ADV-CVE-2024-1", &format!("0 {fixed}"))];
    for (version, is_affected) in versions {
        let found = matches(&application(vec![of_language(kind, name, version)]), &records);
        assert_eq!(found.findings.len(), usize::from(*is_affected), "{ecosystem} {version} before {fixed}");
        assert_eq!(found.without_data, [""; 0], "{ecosystem} {version}");
    }
}

#[test]
fn pre_releases_of_a_fix_are_affected_and_the_fix_is_not_in_any_spelling() {
    use PackageType::{Cargo, Composer, Cran, Gem, Hackage, Hex, Nuget, Pub, Swift};
    for (kind, name, record, versions) in [
        (Gem, "rack", ("RubyGems", "3.0.0"), [("3.0.0.rc1", true), ("3.0", false)]),
        (
            Gem,
            "nokogiri",
            ("RubyGems", "1.15.0"),
            [("1.14.9-x86_64-linux", true), ("1.15.0-x86_64-linux", false)],
        ),
        (Nuget, "newtonsoft.json", ("NuGet", "13.0.1"), [("13.0.1-Beta2", true), ("13.0.1.0", false)]),
        (Cargo, "time", ("crates.io", "0.2.23"), [("0.2.23-alpha.1", true), ("0.2.23+build", false)]),
        (Composer, "symfony/http-kernel", ("Packagist", "5.4.20"), [("v5.4.20-RC1", true), ("v5.4.20", false)]),
        (Composer, "symfony/http-kernel", ("Packagist", "5.4.20"), [("5.3.x-dev", true), ("5.4.x-dev", false)]),
        (Hex, "phoenix", ("Hex", "1.6.14"), [("1.6.14-rc.0", true), ("1.6.14", false)]),
        (Pub, "http", ("Pub", "0.13.3+1"), [("0.13.3", true), ("0.13.3+1", false)]),
        (Hackage, "HTTP", ("Hackage", "4000.3.0"), [("4000.3", true), ("4000.3.0", false)]),
        (Cran, "commonmark", ("CRAN", "1.8-1"), [("1.8", true), ("1.8.1", false)]),
        (Swift, "github.com/apple/swift-nio", ("SwiftURL", "2.42.0"), [("2.41.2", true), ("2.42.0", false)]),
    ] {
        assert_affected(kind, name, record, &versions);
    }
}

#[test]
fn names_are_found_whatever_their_case_is_where_they_have_none() {
    for (kind, ecosystem, name, known_as, is_found) in [
        (PackageType::Nuget, "NuGet", "NEWTONSOFT.json", "Newtonsoft.Json", true),
        (PackageType::Composer, "Packagist", "Symfony/Http-Kernel", "symfony/http-kernel", true),
        (PackageType::Swift, "SwiftURL", "github.com/Vapor/vapor", "https://github.com/vapor/vapor.git", true),
        (PackageType::Gem, "RubyGems", "redcloth", "RedCloth", false),
        (PackageType::Cargo, "crates.io", "inflector", "Inflector", false),
    ] {
        let records = [record_of(ecosystem, known_as, "ADV-CVE-2024-1", "0 2.0.0")];
        let found = matches(&application(vec![of_language(kind, name, "1.0.0")]), &records);
        assert_eq!(found.findings.len(), usize::from(is_found), "{name}");
    }
}

#[test]
fn revision_of_bitnami_has_the_fix_of_its_version_and_is_affected_as_it_is() {
    let mut record = record_of("Bitnami", "wordpress", "BIT-wordpress-2024-1", "0 6.4.2");
    record["aliases"] = json!(["CVE-2024-1"]);
    let of = |version, record: &serde_json::Value| {
        let sbom = application(vec![of_language(PackageType::Bitnami, "wordpress", version)]);
        matches(&sbom, std::slice::from_ref(record)).findings.len()
    };
    assert_eq!((of("6.4.1-9", &record), of("6.4.2-0", &record), of("6.4.2", &record)), (1, 0, 0));
    record["affected"][0]["ranges"][0]["events"] = json!([{"introduced": "6.4.0"}, {"last_affected": "6.4.1"}]);
    assert_eq!((of("6.4.0-0", &record), of("6.4.1-9", &record), of("6.4.2-0", &record)), (1, 1, 0));
}

#[test]
fn branch_of_a_php_package_has_no_place_among_its_versions() {
    let records = [record_of("Packagist", "acme/shop", "GHSA-1", "0 2.0")];
    let found =
        matches(&application(vec![of_language(PackageType::Composer, "acme/shop", "dev-feature-1")]), &records);
    let expected = "Packagist packages without a version that can be placed: acme/shop dev-feature-1";
    assert_eq!((found.findings.len(), found.without_data), (0, vec![expected.to_owned()]));
}

#[test]
fn modules_of_drupal_have_a_repository_of_their_own() {
    let of_drupal =
        record_of("Packagist:https://packages.drupal.org/8", "drupal/ctools", "DRUPAL-1", "0 4.1.1");
    let others = record_of("Packagist", "other/other", "GHSA-1", "0 1");
    for (version, findings) in [("4.1.0", 1), ("4.1.1", 0)] {
        let sbom = application(vec![of_language(PackageType::Composer, "drupal/ctools", version)]);
        assert_eq!(matches(&sbom, &[of_drupal.clone(), others.clone()]).findings.len(), findings);
    }
}

#[test]
fn introduced_zero_holds_pre_releases_of_zero_as_well() {
    for (kind, ecosystem, lowest) in [
        (PackageType::Gem, "RubyGems", "0.0.0.alpha"),
        (PackageType::Nuget, "NuGet", "0.0.0-alpha"),
        (PackageType::Composer, "Packagist", "0.0.0-alpha1"),
        (PackageType::Cargo, "crates.io", "0.0.0-alpha"),
        (PackageType::Hex, "Hex", "0.0.0-dev"),
        (PackageType::Pub, "Pub", "0.0.0-dev"),
    ] {
        assert_affected(kind, "a", (ecosystem, "1.0.0"), &[(lowest, true), ("1.0.0", false)]);
    }
}

#[test]
fn malware_is_found_and_is_no_data_about_vulnerabilities() {
    let mut malware = record_of("npm", "colour", "MAL-2024-1", "0 -");
    malware["affected"][0] =
        json!({"package": {"ecosystem": "npm", "name": "colour"}, "versions": ["1.4.1", "1.4.2"]});
    let vulnerability = record_of("npm", "lodash", "GHSA-1", "0 4.17.21");
    let sbom = |version| application(vec![of_language(PackageType::Npm, "colour", version)]);

    let found = matches(&sbom("1.4.1"), &[malware.clone(), vulnerability.clone()]);
    assert_eq!(found.without_data, [""; 0]);
    let finding = only(found);
    assert_eq!((finding.advisory.as_str(), finding.severity), ("MAL-2024-1", Severity::Critical));
    assert_eq!(matches(&sbom("1.4.3"), &[malware.clone(), vulnerability.clone()]), Matches::default());

    let counted = index(&[malware.clone(), vulnerability.clone()], &sbom("1.4.1")).info().ecosystems;
    assert_eq!(counted, BTreeMap::from([("npm".to_owned(), 1), ("npm:malware".to_owned(), 1)]));
    // What knows of no malware is no less of a source.
    assert_eq!(matches(&sbom("1.4.1"), &[vulnerability]), Matches::default());
    // What knows of nothing else says nothing about vulnerabilities.
    let found = matches(&sbom("1.4.1"), &[malware]);
    assert_eq!((found.findings.len(), found.without_data), (1, vec!["npm".to_owned()]));
}
