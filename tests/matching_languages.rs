//! Packages of languages against real records: what is affected is found, the version that fixes it is clean.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use clarity::advisories::matching::{Matches, Texts, match_sbom, wanted};
use clarity::advisories::{OsvSource, load};
use clarity::package::{Package, PackageType};
use clarity::packages::{self, ReadContext};
use clarity::sbom::Sbom;
use clarity::severity::Severity;
use clarity::tree::squash::Stacked;
use clarity::tree::{Budget, Directory, Limits};

fn package(package_type: PackageType, name: &str, version: &str) -> Package {
    Package::new(package_type, name, version)
}

fn matches(packages: Vec<Package>) -> Matches {
    matches_of(&Sbom { distro: None, packages, gaps: Vec::new() })
}

fn matches_of(sbom: &Sbom) -> Matches {
    let source = OsvSource::open(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/osv")).expect("records");
    let index = load(&source, &wanted([sbom])).expect("readable records");
    assert_eq!(index.notes(), [""; 0]);
    match_sbom(sbom, &index, Texts::Left)
}

/// Lines of `name version: vulnerability fixed, …`, nothing after the colon for what is clean.
#[track_caller]
fn assert_found(package_type: PackageType, lines: &str) {
    let mut packages = Vec::new();
    let mut expected = BTreeSet::new();
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (subject, found) = line.split_once(": ").unwrap_or((line.trim_end_matches(':'), ""));
        let (name, version) = subject.split_once(' ').expect("a version");
        packages.push(package(package_type, name, version));
        let found = found.split(", ").filter(|found| !found.is_empty());
        expected.extend(found.map(|found| format!("{subject}: {found}")));
    }
    let matches = matches(packages);
    let finding = |finding: &clarity::finding::Finding| {
        let fixed = finding.fixed.as_deref().unwrap_or("-");
        format!("{} {}: {} {fixed}", finding.package, finding.installed, finding.vulnerability)
    };
    let found: BTreeSet<String> = matches.findings.iter().map(finding).collect();
    assert_eq!(found, expected);
    assert_eq!(found.len(), matches.findings.len(), "one finding for each vulnerability of a package");
    assert_eq!(matches.without_data, [""; 0]);
}

#[test]
fn python_packages_are_affected_up_to_their_fix() {
    assert_found(
        PackageType::Pypi,
        "
        Django 2.2.3: CVE-2019-14234 2.2.4
        django 2.2.4:
        django 2.0:
        Jinja2 2.10: CVE-2019-10906 2.10.1, CVE-2020-28493 2.11.3
        jinja2 2.10.1: CVE-2020-28493 2.11.3
        Jinja2 3.1.4:
        requests 2.30.0: CVE-2023-32681 2.31.0
        requests 2.31.0:
        urllib3 1.24.2: CVE-2019-11236 1.24.3, CVE-2021-33503 1.26.5
        urllib3 1.26.5:
        Flask 2.3.0: CVE-2023-30861 2.3.2
        Flask 2.2.5:
        Flask 2.3.0rc1:
        Werkzeug 3.0.0: CVE-2023-46136 3.0.1
        Werkzeug 2.3.8:
        PyYAML 5.2b1: CVE-2020-14343 5.4
        PyYAML 5.1.2: CVE-2019-20477 5.2b1, CVE-2020-14343 5.4
        PyYAML 6.0.1:
        certifi 2022.12.07: CVE-2023-37920 2023.7.22
        certifi 2023.07.22:
        setuptools 65.5.0: CVE-2022-40897 65.5.1
        setuptools 65.5.1.post0:
        left-pad 1.0:
        ",
    );
}

#[test]
fn node_packages_are_affected_up_to_their_fix() {
    assert_found(
        PackageType::Npm,
        "
        lodash 4.17.15: CVE-2021-23337 4.17.21, CVE-2020-8203 4.17.19
        lodash 4.17.20: CVE-2021-23337 4.17.21
        lodash 4.17.21:
        minimist 0.0.8: CVE-2020-7598 0.2.1, CVE-2021-44906 0.2.4
        minimist 1.2.5: CVE-2021-44906 1.2.6
        minimist 1.2.8:
        node-fetch 2.6.1: CVE-2022-0235 2.6.7
        node-fetch 3.1.1:
        semver 7.5.1: CVE-2022-25883 7.5.2
        semver 6.3.1:
        ansi-regex 5.0.0: CVE-2021-3807 5.0.1
        ansi-regex 2.1.1:
        json5 1.0.1: CVE-2022-46175 1.0.2
        json5 2.2.3:
        express 5.0.0-beta.1: CVE-2024-29041 5.0.0-beta.3
        express 5.0.0-beta.3:
        express 4.18.2: CVE-2024-29041 4.19.2
        tough-cookie 4.1.3-rc.1: CVE-2023-26136 4.1.3
        tough-cookie 4.1.3:
        ",
    );
}

#[test]
fn go_modules_are_affected_up_to_their_fix() {
    assert_found(
        PackageType::Golang,
        "
        golang.org/x/crypto v0.0.0-20190308221718-c2843e01d9a2: CVE-2020-9283 0.0.0-20200220183623-bac4c82f6975, CVE-2023-48795 0.17.0
        golang.org/x/crypto v0.17.0:
        golang.org/x/net v0.16.0: CVE-2023-39325 0.17.0, CVE-2023-45288 0.23.0
        golang.org/x/net v0.23.0:
        golang.org/x/text v0.3.7: CVE-2022-32149 0.3.8
        golang.org/x/text v0.3.8:
        stdlib 1.21.2: CVE-2023-39325 1.21.3, CVE-2023-45288 1.21.9, CVE-2024-24790 1.21.11
        stdlib 1.21rc2: CVE-2023-39325 1.21.3, CVE-2023-45288 1.21.9, CVE-2024-24790 1.21.11
        stdlib go1.22.3: CVE-2024-24790 1.22.4
        stdlib 1.22.4:
        gopkg.in/yaml.v3 v3.0.0-20210107192922-496545a6307b: CVE-2022-28948 3.0.0-20220521103104-8f96da9f5d5e
        gopkg.in/yaml.v3 v3.0.1:
        google.golang.org/grpc v1.57.0: GHSA-m425-mq94-257g 1.57.1
        google.golang.org/grpc v1.56.3:
        github.com/dgrijalva/jwt-go v3.2.0+incompatible: CVE-2020-26160 -
        github.com/dgrijalva/jwt-go/v4 v4.0.0-preview1:
        github.com/docker/docker v20.10.13+incompatible: CVE-2022-24769 20.10.14+incompatible
        github.com/docker/docker v20.10.14+incompatible:
        go.etcd.io/etcd/v3 v3.4.9: GHSA-j86v-2vjr-fg8f 3.4.10
        go.etcd.io/etcd/v3 v3.4.10:
        github.com/cubefs/cubefs v3.3.0: CVE-2023-46738 3.3.1
        github.com/cubefs/cubefs v3.3.1:
        github.com/grafana/grafana 9.1.7: CVE-2022-39201 9.1.8
        github.com/grafana/grafana 10.0.0:
        ",
    );
}

#[test]
fn java_artifacts_are_affected_up_to_their_fix() {
    assert_found(
        PackageType::Maven,
        "
        org.apache.logging.log4j:log4j-core 2.14.1: CVE-2021-44228 2.15.0, CVE-2021-45046 2.16.0, CVE-2021-45105 2.17.0
        org.apache.logging.log4j:log4j-core 2.0-beta9: CVE-2021-44228 2.3.1, CVE-2021-45046 2.12.2, CVE-2021-45105 2.3.1
        org.apache.logging.log4j:log4j-core 2.0-beta8:
        org.apache.logging.log4j:log4j-core 2.17.0:
        org.apache.logging.log4j:log4j-api 2.14.1:
        org.springframework:spring-beans 5.2.19.RELEASE: CVE-2022-22965 5.2.20.RELEASE
        org.springframework:spring-beans 5.2.20.RELEASE:
        org.springframework:spring-beans 5.3.17: CVE-2022-22965 5.3.18
        org.apache.commons:commons-text 1.9: CVE-2022-42889 1.10.0
        org.apache.commons:commons-text 1.10.0:
        com.fasterxml.jackson.core:jackson-databind 2.13.2: CVE-2020-36518 2.13.2.1
        com.fasterxml.jackson.core:jackson-databind 2.12.6.1:
        org.yaml:snakeyaml 1.33: CVE-2022-1471 2.0
        org.yaml:snakeyaml 2.0:
        com.google.guava:guava 31.1-jre: CVE-2023-2976 32.0.0-android
        com.google.guava:guava 32.0.0-jre:
        io.netty:netty-codec 4.1.67.Final: CVE-2021-37136 4.1.68.Final
        io.netty:netty-codec 4.1.68.Final:
        com.h2database:h2 2.0.204: CVE-2021-42392 2.0.206
        com.h2database:h2 1.1.99:
        ",
    );
}

#[test]
fn severities_are_those_of_the_records_and_their_joined_ids_are_shown() {
    let found = matches(vec![
        package(PackageType::Maven, "org.apache.logging.log4j:log4j-core", "2.14.1"),
        package(PackageType::Pypi, "requests", "2.30.0"),
        package(PackageType::Npm, "json5", "1.0.1"),
        package(PackageType::Golang, "stdlib", "1.22.3"),
    ]);
    let severity = |vulnerability: &str| {
        let finding =
            found.findings.iter().find(|finding| finding.vulnerability == vulnerability).expect("found");
        (finding.severity, finding.aliases.join(" "))
    };
    assert_eq!(severity("CVE-2021-44228"), (Severity::Critical, String::new()));
    assert_eq!(severity("CVE-2023-32681"), (Severity::Medium, "PYSEC-2023-74".to_owned()));
    assert_eq!(severity("CVE-2022-46175"), (Severity::High, String::new()));
    assert_eq!(severity("CVE-2024-24790"), (Severity::Unknown, String::new()));
    assert_eq!(found.findings[0].purl, "pkg:maven/org.apache.logging.log4j/log4j-core@2.14.1");
}

#[test]
fn artifact_without_a_group_is_reported_where_it_may_be_affected() {
    let found = matches(vec![
        package(PackageType::Maven, "log4j-core", "2.14.1"),
        package(PackageType::Maven, "log4j-core", "2.17.1"),
        package(PackageType::Golang, "go.etcd.io/etcd", "(devel)"),
        package(PackageType::Golang, "example.com/app", "(devel)"),
    ]);
    assert!(found.findings.is_empty());
    assert_eq!(
        found.without_data,
        [
            "Go packages without a version that can be placed: go.etcd.io/etcd (devel)",
            "Maven packages without a confirmed group: log4j-core 2.14.1",
        ]
    );
}

fn zip_of(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, bytes) in members {
        writer.start_file(*name, zip::write::SimpleFileOptions::default()).expect("to memory");
        writer.write_all(bytes).expect("to memory");
    }
    writer.finish().expect("to memory").into_inner()
}

#[test]
fn jars_in_a_directory_lead_to_the_findings_about_their_artifacts() {
    let root = tempfile::tempdir().expect("a folder");
    let log4j = zip_of(&[(
        "META-INF/maven/org.apache.logging.log4j/log4j-core/pom.properties",
        b"version=2.14.1\r\ngroupId=org.apache.logging.log4j\r\nartifactId=log4j-core\r\n",
    )]);
    let unnamed = zip_of(&[("META-INF/MANIFEST.MF", b"Implementation-Version: 2.0.204\r\n")]);
    let war = zip_of(&[("WEB-INF/lib/log4j-core-2.14.1.jar", &log4j), ("WEB-INF/lib/h2.jar", &unnamed)]);
    std::fs::write(root.path().join("shop-1.0.war"), war).expect("writes");
    let (limits, budget) = (Limits::default(), Budget::new(64 << 20));
    let mut tree = Directory::open(root.path(), &limits).expect("opens");
    let record = packages::read_tree(&mut tree, ReadContext::new(&limits, &budget)).expect("whole");
    let sbom = packages::assemble(&packages::squash(vec![Stacked { record: Arc::new(record), diff_id: None }]));
    assert_eq!(sbom.gaps, []);
    let found = matches_of(&sbom);
    let advisories: Vec<&str> = found.findings.iter().map(|finding| finding.advisory.as_str()).collect();
    assert!(advisories.contains(&"GHSA-jfh8-c2jp-5v3q"), "{advisories:?}");
    for finding in &found.findings {
        assert_eq!(finding.purl, "pkg:maven/org.apache.logging.log4j/log4j-core@2.14.1");
        assert_eq!(finding.locations[0].path, "shop-1.0.war!/WEB-INF/lib/log4j-core-2.14.1.jar");
    }
    assert_eq!(found.without_data, ["Maven packages without a confirmed group: h2 2.0.204"]);
}
