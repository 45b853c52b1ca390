//! Whole tables, since a person reads them whole.

mod overlaid;

use insta::assert_snapshot;

use super::*;
use crate::image::registered::{DigestNow, Registered, TagNow};
use crate::image::{Digest, Platform};
use crate::package::Distro;
use crate::report::{
    AdvisoryInfo, ContainerReport, DOCUMENT, Filter, Finding, ImageReport, REPORT_VERSION, ReadBy, ScanInfo,
    State,
};
use crate::severity::Severity;

fn wide() -> TableOptions {
    TableOptions { width: Some(200), ..narrow() }
}

fn narrow() -> TableOptions {
    TableOptions { width: Some(80), color: false, all: false }
}

fn container(
    workload: &str,
    pod: &str,
    container: &str,
    state: State,
    image_index: Option<usize>,
) -> ContainerReport {
    let (namespace, workload) = workload.split_once('/').expect("namespace/kind/name");
    ContainerReport {
        namespace: namespace.to_owned(),
        workload: workload.to_owned(),
        pod: pod.to_owned(),
        container: container.to_owned(),
        kind: "container".to_owned(),
        image: "as-in-the-spec".to_owned(),
        state,
        image_index,
    }
}

fn image(name: &str, distro: (&str, &str), state: State, findings: Vec<Finding>) -> ImageReport {
    let text = format!("registry.test/{name}");
    let reference: crate::image::Reference = text.parse().expect("a reference");
    ImageReport {
        digest: Some(Digest::of(name.as_bytes())),
        reference: Some(reference),
        platform: Some(Platform { os: "linux".to_owned(), architecture: "amd64".to_owned(), variant: None }),
        state,
        read_by: None,
        distro: Some(Distro {
            id: distro.0.to_owned(),
            version_id: Some(distro.1.to_owned()),
            ..Distro::default()
        }),
        packages: 88,
        findings,
        not_shown: 0,
        without_data: Vec::new(),
        end_of_life: None,
        registry: Vec::new(),
    }
}

fn finding(severity: Severity, name: &str, package: &str, source: &str, fixed: Option<&str>) -> Finding {
    Finding {
        vulnerability: name.to_owned(),
        advisory: format!("DEBIAN-{name}"),
        aliases: Vec::new(),
        package: package.to_owned(),
        installed: "2.36-9+deb12u1".to_owned(),
        purl: format!("pkg:deb/debian/{package}@2.36-9%2Bdeb12u1"),
        fixed: fixed.map(ToOwned::to_owned),
        severity,
        severity_source: None,
        matched_as: Some(format!("{source} 2.36-9+deb12u1")),
        range: ">= 0".to_owned(),
        summary: None,
        references: Vec::new(),
        locations: Vec::new(),
        exploited: None,
        epss: None,
        fix_state: None,
        ignored: None,
    }
}

fn report(containers: Vec<ContainerReport>, images: Vec<ImageReport>) -> Report {
    Report {
        version: REPORT_VERSION,
        scan: ScanInfo {
            id: "7f3a".to_owned(),
            generator: "0.1.0".to_owned(),
            started: "2026-01-02T03:04:05Z".to_owned(),
            duration_ms: 3200,
            scope: "-n shop".to_owned(),
        },
        advisories: AdvisoryInfo { source: Some("tests/osv".to_owned()), ..AdvisoryInfo::default() },
        containers,
        images,
        notes: Vec::new(),
        filter: Filter::default(),
    }
}

#[test]
fn where_images_were_read_is_told_beside_the_coverage() {
    let node = |name: &str| Some(ReadBy::Volume { node: Some(name.to_owned()), user: "user 65532".to_owned() });
    let images = [node("n2"), node("n1"), node("n2"), Some(ReadBy::Stream), None]
        .map(|read_by| ImageReport { read_by, ..image("a", ("debian", "12"), State::Scanned, Vec::new()) });
    let containers = vec![container("shop/pod/a", "a", "web", State::Scanned, Some(0))];
    let text = render(&report(containers, images.into()), &TableOptions::default());
    assert!(text.contains("\n  3 images mounted on n1, n2, 1 image streamed\n"), "{text}");
}

/// One image used by two workloads, one that failed in all replicas, one that is clean.
fn shop() -> Report {
    let findings = vec![
        finding(Severity::Critical, "CVE-2023-45853", "zlib1g", "zlib", None),
        finding(Severity::High, "CVE-2023-4911", "libc-bin", "glibc", Some("2.36-9+deb12u3")),
        finding(Severity::High, "CVE-2023-4911", "libc6", "glibc", Some("2.36-9+deb12u3")),
        finding(Severity::Medium, "CVE-2022-0563", "bsdutils", "util-linux", None),
        finding(Severity::Medium, "CVE-2022-0563", "libblkid1", "util-linux", None),
        finding(Severity::Medium, "CVE-2022-0563", "libmount1", "util-linux", None),
        finding(Severity::Medium, "CVE-2022-0563", "libuuid1", "util-linux", None),
        finding(Severity::Medium, "CVE-2022-0563", "mount", "util-linux", None),
        finding(Severity::Negligible, "CVE-2005-2541", "tar", "tar", None),
        finding(Severity::Negligible, "CVE-2010-4756", "libc6", "glibc", None),
        finding(Severity::Unknown, "CVE-2024-0001", "perl-base", "perl", Some("2.36-9+deb12u9")),
    ];
    let gone = State::Failed(
        "cannot read registry.test/gone:1: manifest unknown; neither the digest nor the tag is in the registry"
            .to_owned(),
    );
    let mut migrate = container("shop/deployment/cart", "cart-1", "migrate", State::Scanned, Some(0));
    migrate.kind = "init".to_owned();
    report(
        vec![
            container("shop/cronjob/import", "import-1", "main", State::Cached, Some(0)),
            migrate,
            container("shop/deployment/cart", "cart-1", "web", State::Scanned, Some(0)),
            container("shop/deployment/clean", "clean-1", "web", State::Scanned, Some(2)),
            container("shop/deployment/gone", "gone-1", "web", gone.clone(), Some(1)),
            container("shop/deployment/gone", "gone-2", "web", gone.clone(), Some(1)),
            container(
                "shop/deployment/gone",
                "gone-2",
                "debug",
                State::Skipped("runs Windows".to_owned()),
                None,
            ),
        ],
        vec![
            image("shop/cart:1", ("debian", "12"), State::Scanned, findings),
            image("gone:1", ("debian", "12"), gone, Vec::new()),
            image("shop/clean:2", ("alpine", "3.19.1"), State::Scanned, Vec::new()),
        ],
    )
}

#[test]
fn worst_comes_first_and_failures_are_told_at_80_columns() {
    assert_snapshot!(render(&shop(), &narrow()), @r#"
    WORKLOAD          CRIT  HIGH  MED  LOW  NEGL  UNKN  FIX  STATE
    cronjob/import       1     2    5    0     2     1    3  cached
    deployment/cart      1     2    5    0     2     1    3  scanned
    deployment/gone      -     -    -    -     -     -    -  2 failed, 1 skipped
    deployment/clean     0     0    0    0     0     0    0  scanned

    registry.test/shop/cart:1 (debian 12, 88 packages, linux/amd64,
    sha256:1d42c025835a)
      used by cronjob/import (main), deployment/cart (init migrate, web)
    SEVERITY  VULNERABILITY   PACKAGE                 INSTALLED       FIXED IN
    critical  CVE-2023-45853  zlib1g                  2.36-9+deb12u1  -
    high      CVE-2023-4911   libc-bin, libc6         2.36-9+deb12u1  2.36-9+deb12u3
    medium    CVE-2022-0563   bsdutils, libblkid1,    2.36-9+deb12u1  -
                              libmount1 and 2 more
    unknown   CVE-2024-0001   perl-base               2.36-9+deb12u1  2.36-9+deb12u9
    2 negligible findings without a fix not listed; -o json lists all

    No findings
      registry.test/shop/clean:2 (alpine 3.19.1, 88 packages, linux/amd64,
      sha256:4492af73f9d5)

    Coverage
      7 containers: 3 scanned, 1 cached, 0 approximate, 0 partial, 2 failed, 1
      skipped
      failed: cannot read registry.test/gone:1: manifest unknown; neither the digest
      nor the tag is in the registry
        deployment/gone (web)
      skipped: runs Windows
        deployment/gone (debug)

    11 findings in 2 images of 4 workloads: 1 critical, 2 high, 5 medium, 2
    negligible, 1 unknown; 3 fixable
    Incomplete: 3 of 7 containers not read whole
    "#);
}

#[test]
fn same_report_at_200_columns() {
    assert_snapshot!(render(&shop(), &wide()), @r#"
    WORKLOAD          CRIT  HIGH  MED  LOW  NEGL  UNKN  FIX  STATE
    cronjob/import       1     2    5    0     2     1    3  cached
    deployment/cart      1     2    5    0     2     1    3  scanned
    deployment/gone      -     -    -    -     -     -    -  2 failed, 1 skipped
    deployment/clean     0     0    0    0     0     0    0  scanned

    registry.test/shop/cart:1 (debian 12, 88 packages, linux/amd64, sha256:1d42c025835a)
      used by cronjob/import (main), deployment/cart (init migrate, web)
    SEVERITY  VULNERABILITY   PACKAGE                                    INSTALLED       FIXED IN
    critical  CVE-2023-45853  zlib1g                                     2.36-9+deb12u1  -
    high      CVE-2023-4911   libc-bin, libc6                            2.36-9+deb12u1  2.36-9+deb12u3
    medium    CVE-2022-0563   bsdutils, libblkid1, libmount1 and 2 more  2.36-9+deb12u1  -
    unknown   CVE-2024-0001   perl-base                                  2.36-9+deb12u1  2.36-9+deb12u9
    2 negligible findings without a fix not listed; -o json lists all

    No findings
      registry.test/shop/clean:2 (alpine 3.19.1, 88 packages, linux/amd64, sha256:4492af73f9d5)

    Coverage
      7 containers: 3 scanned, 1 cached, 0 approximate, 0 partial, 2 failed, 1 skipped
      failed: cannot read registry.test/gone:1: manifest unknown; neither the digest nor the tag is in the registry
        deployment/gone (web)
      skipped: runs Windows
        deployment/gone (debug)

    11 findings in 2 images of 4 workloads: 1 critical, 2 high, 5 medium, 2 negligible, 1 unknown; 3 fixable
    Incomplete: 3 of 7 containers not read whole
    "#);
}

#[test]
fn all_lists_negligible_findings_and_every_package() {
    let text = render(&shop(), &TableOptions { all: true, ..wide() });
    assert!(text.contains("CVE-2005-2541") && text.contains("CVE-2010-4756"), "{text}");
    assert!(text.contains("bsdutils, libblkid1, libmount1, libuuid1, mount"), "{text}");
    assert!(!text.contains("not listed"), "{text}");
}

#[test]
fn no_findings_is_said_in_words() {
    let report = report(
        vec![container("shop/deployment/clean", "clean-1", "web", State::Scanned, Some(0))],
        vec![image("shop/clean:2", ("alpine", "3.19.1"), State::Scanned, Vec::new())],
    );
    assert_snapshot!(render(&report, &narrow()), @r#"
    WORKLOAD          CRIT  HIGH  MED  LOW  NEGL  UNKN  FIX  STATE
    deployment/clean     0     0    0    0     0     0    0  scanned

    No findings
      registry.test/shop/clean:2 (alpine 3.19.1, 88 packages, linux/amd64,
      sha256:4492af73f9d5)

    Coverage
      1 container: 1 scanned, 0 cached, 0 approximate, 0 partial, 0 failed, 0
      skipped

    0 findings in 1 image of 1 workload
    "#);
}

#[test]
fn image_without_data_is_not_called_clean() {
    let mut image = image("shop/web:1", ("ubuntu", "24.04"), State::Scanned, Vec::new());
    image.without_data = vec!["ubuntu 24.04".to_owned()];
    let mut report = report(
        vec![
            container("shop/deployment/web", "web-1", "web", State::Scanned, Some(0)),
            container("ops/daemonset/agent", "agent-1", "agent", State::Scanned, Some(0)),
        ],
        vec![image],
    );
    report.notes = vec!["1 OSV record could not be read: DSA-1.json (EOF while parsing an object)".to_owned()];
    let text = render(&report, &narrow());
    assert!(!text.contains("No findings"), "{text}");
    assert_snapshot!(text, @r#"
    NAMESPACE  WORKLOAD         CRIT  HIGH  MED  LOW  NEGL  UNKN  FIX  STATE
    ops        daemonset/agent     -     -    -    -     -     -    -  no data
    shop       deployment/web      -     -    -    -     -     -    -  no data

    Coverage
      2 containers: 2 scanned, 0 cached, 0 approximate, 0 partial, 0 failed, 0
      skipped

    No data: these packages were held against nothing, which does not mean that they
    are clean
      ubuntu 24.04
        registry.test/shop/web:1

    Note: 1 OSV record could not be read: DSA-1.json (EOF while parsing an object)

    Not known: no image could be held against advisories
    Incomplete: 1 image with packages that have no advisories
    "#);
}

#[test]
fn nothing_is_known_without_advisories() {
    let mut report = shop();
    report.advisories = AdvisoryInfo::default();
    for image in &mut report.images {
        image.findings.clear();
        image.without_data = vec!["Debian:12".to_owned()];
    }
    let text = render(&report, &narrow());
    assert!(!text.contains("No findings"), "{text}");
    assert_snapshot!(text, @r#"
    WORKLOAD          CRIT  HIGH  MED  LOW  NEGL  UNKN  FIX  STATE
    cronjob/import       -     -    -    -     -     -    -  no data
    deployment/cart      -     -    -    -     -     -    -  no data
    deployment/clean     -     -    -    -     -     -    -  no data
    deployment/gone      -     -    -    -     -     -    -  2 failed, 1 skipped, no
                                                             data

    Coverage
      7 containers: 3 scanned, 1 cached, 0 approximate, 0 partial, 2 failed, 1
      skipped
      failed: cannot read registry.test/gone:1: manifest unknown; neither the digest
      nor the tag is in the registry
        deployment/gone (web)
      skipped: runs Windows
        deployment/gone (debug)

    No data: these packages were held against nothing, which does not mean that they
    are clean
      Debian:12
        registry.test/gone:1, registry.test/shop/cart:1, registry.test/shop/clean:2

    Not known: there are no advisories to hold packages against
    Incomplete: 3 of 7 containers not read whole; 3 images with packages that have
    no advisories
    "#);
}

#[test]
fn empty_scope_says_what_the_scope_was() {
    assert_snapshot!(render(&report(Vec::new(), Vec::new()), &narrow()), @r#"
    No containers in scope: -n shop
    "#);
}

#[test]
fn every_line_fits_and_none_ends_with_blanks() {
    for width in [80, 100, 200] {
        let text = render(&shop(), &TableOptions { width: Some(width), color: false, all: true });
        for line in text.lines() {
            assert!(line.chars().count() <= usize::from(width), "{line:?} at {width}");
            assert_eq!(line, line.trim_end());
        }
    }
}

#[test]
fn without_a_width_a_row_is_one_line() {
    let text = render(&shop(), &TableOptions { width: None, color: false, all: true });
    let line = text.lines().find(|line| line.contains("CVE-2022-0563")).expect("its row");
    assert!(line.contains("bsdutils, libblkid1, libmount1, libuuid1, mount"), "{line}");
}

#[test]
fn colour_only_adds_to_the_words() {
    let plain = render(&shop(), &narrow());
    let coloured = render(&shop(), &TableOptions { color: true, ..narrow() });
    assert_ne!(plain, coloured);
    let mut stripped = String::new();
    let mut rest = coloured.as_str();
    while let Some((before, escape)) = rest.split_once('\u{1b}') {
        stripped.push_str(before);
        rest = escape.split_once('m').expect("a colour ends with m").1;
    }
    stripped.push_str(rest);
    assert_eq!(stripped, plain);
}

#[test]
fn hostile_text_reaches_no_terminal() {
    let evil = "\u{1b}]0;x\u{7}\u{9b}31m\u{202e}evil\n";
    let mut report = shop();
    report.scan.scope = evil.to_owned();
    report.notes = vec![evil.to_owned()];
    for container in &mut report.containers {
        for text in [
            &mut container.namespace,
            &mut container.workload,
            &mut container.pod,
            &mut container.container,
            &mut container.kind,
            &mut container.image,
        ] {
            text.push_str(evil);
        }
        container.state = State::Failed(evil.to_owned());
    }
    for image in &mut report.images {
        image.without_data = vec![evil.to_owned()];
        image.platform.as_mut().expect("set").architecture = evil.to_owned();
        image.reference.as_mut().expect("set").tag = Some(evil.to_owned());
        image.distro.as_mut().expect("set").id = evil.to_owned();
        for finding in &mut image.findings {
            for text in [&mut finding.vulnerability, &mut finding.package, &mut finding.installed] {
                text.push_str(evil);
            }
            finding.fixed = Some(evil.to_owned());
        }
    }
    for report in [&report, &Report { containers: Vec::new(), ..report.clone() }] {
        for options in [narrow(), TableOptions { width: None, color: false, all: true }] {
            let text = render(report, &options);
            assert!(text.contains("evil"), "{text}");
            assert!(!text.chars().any(|c| c != '\n' && crate::report::text::is_unsafe(c)), "{text:?}");
        }
        let json = crate::report::json::render(report);
        assert!(!json.chars().any(|c| c != '\n' && crate::report::text::is_unsafe(c)), "{json:?}");
    }
}

#[test]
fn what_is_filtered_out_is_counted_and_called_neither_clean_nor_zero() {
    let mut report = shop();
    report.images[2].findings = vec![finding(Severity::Low, "CVE-2023-1", "musl", "musl", None)];
    let filter = Filter { severities: Some([Severity::Critical, Severity::High].into()), only_fixed: true };
    assert_snapshot!(render(&report.filtered(filter), &narrow()), @r#"
    WORKLOAD          CRIT  HIGH  FIX  STATE
    cronjob/import       0     2    2  cached
    deployment/cart      0     2    2  scanned
    deployment/gone      -     -    -  2 failed, 1 skipped
    deployment/clean     0     0    0  scanned

    registry.test/shop/cart:1 (debian 12, 88 packages, linux/amd64,
    sha256:1d42c025835a)
      used by cronjob/import (main), deployment/cart (init migrate, web)
    SEVERITY  VULNERABILITY  PACKAGE          INSTALLED       FIXED IN
    high      CVE-2023-4911  libc-bin, libc6  2.36-9+deb12u1  2.36-9+deb12u3

    No findings shown
      registry.test/shop/clean:2 (alpine 3.19.1, 88 packages, linux/amd64,
      sha256:4492af73f9d5)

    Coverage
      7 containers: 3 scanned, 1 cached, 0 approximate, 0 partial, 2 failed, 1
      skipped
      failed: cannot read registry.test/gone:1: manifest unknown; neither the digest
      nor the tag is in the registry
        deployment/gone (web)
      skipped: runs Windows
        deployment/gone (debug)

    2 findings shown in 2 images of 4 workloads: 2 high; 2 fixable
    10 findings not shown: --severity, --only-fixed
    Incomplete: 3 of 7 containers not read whole
    "#);
}

/// A bill of an image and one of a folder, of which not all was read.
fn documents() -> Report {
    let entry = |file: &str, image: &str, state: State, index| ContainerReport {
        namespace: String::new(),
        pod: String::new(),
        image: image.to_owned(),
        kind: DOCUMENT.to_owned(),
        ..container(&format!("/{file}"), "", "", state, Some(index))
    };
    let part = State::Partial("3 components have no package URL (a, b, c)".to_owned());
    let of_folder = ImageReport {
        reference: None,
        platform: None,
        digest: None,
        distro: None,
        without_data: vec!["npm".to_owned()],
        ..image("a", ("debian", "12"), part.clone(), Vec::new())
    };
    let findings = vec![finding(Severity::High, "CVE-2023-4911", "libc6", "glibc", Some("2.36-9+deb12u3"))];
    report(
        vec![
            entry("cart.json", "registry.test/shop/cart:1", State::Scanned, 0),
            entry("folder.spdx.json", "./src", part, 1),
        ],
        vec![image("shop/cart:1", ("debian", "12"), State::Scanned, findings), of_folder],
    )
}

#[test]
fn bills_of_materials_are_called_documents_and_by_their_subject() {
    assert_snapshot!(render(&documents(), &narrow()), @r#"
    DOCUMENT          CRIT  HIGH  MED  LOW  NEGL  UNKN  FIX  STATE
    cart.json            0     1    0    0     0     0    1  scanned
    folder.spdx.json     -     -    -    -     -     -    -  partial, no data

    registry.test/shop/cart:1 (debian 12, 88 packages, linux/amd64,
    sha256:1d42c025835a)
      listed in cart.json
    SEVERITY  VULNERABILITY  PACKAGE  INSTALLED       FIXED IN
    high      CVE-2023-4911  libc6    2.36-9+deb12u1  2.36-9+deb12u3

    Coverage
      2 documents: 1 scanned, 0 cached, 0 approximate, 1 partial, 0 failed, 0
      skipped
      partial: 3 components have no package URL (a, b, c)
        folder.spdx.json

    No data: these packages were held against nothing, which does not mean that they
    are clean
      npm
        ./src

    1 finding in 1 document: 1 high; 1 fixable
    Incomplete: 1 of 2 documents not read whole; 1 document with packages that have
    no advisories
    "#);
}

#[test]
fn drift_is_said_with_what_is_there_now_and_who_runs_what_was() {
    let registered = |name: &str, tag, now: Option<&[u8]>, digest| Registered {
        reference: format!("registry.test/{name}").parse().expect("a reference"),
        tag,
        now: now.map(Digest::of),
        digest,
    };
    let named = |name: &str, workload: &str, index| ContainerReport {
        image: format!("registry.test/{name}"),
        ..container(workload, "p", "web", State::Scanned, Some(index))
    };
    let image = |name: &str, registry| ImageReport {
        registry,
        ..image(name, ("debian", "12"), State::Scanned, Vec::new())
    };
    let (moved, same, gone) = (Some(TagNow::Moved), Some(TagNow::Same), Some(TagNow::Gone));
    let (present, lost) = (Some(DigestNow::Present), Some(DigestNow::Gone));
    let images = vec![
        image(
            "cart:1",
            vec![
                registered("cart:1", moved, Some(b"new"), present),
                registered("cart:stable", same, Some(b"old"), present),
            ],
        ),
        image("web:2", vec![registered("web:2", moved, Some(b"new"), lost)]),
        image("gone:1", vec![registered("gone:1", gone, None, lost)]),
        image("untagged:1", vec![registered("untagged:1", gone, None, present)]),
        image("well:1", vec![registered("well:1", None, None, present)]),
    ];
    let containers = vec![
        named("cart:1", "shop/deployment/cart", 0),
        named("cart:stable", "shop/deployment/stable", 0),
        named("web:2", "shop/deployment/web", 1),
        named("gone:1", "shop/deployment/gone", 2),
        named("gone:1", "shop/daemonset/gone", 2),
        named("untagged:1", "shop/deployment/untagged", 3),
        named("well:1", "shop/deployment/well", 4),
    ];
    let report = report(containers, images);
    let text = render(&report, &narrow());
    let at = text.find("Drift").expect("the section");
    let section = text[at..].split("\n\n").next().expect("a section");
    assert_snapshot!(section, @r#"
    Drift: pods that are started anew would not run what runs now
      registry.test/cart:1 is sha256:11507a0e2f5e now; sha256:50ca6ce044d6 runs
        deployment/cart (web)
      registry.test/gone:1 is gone from the registry with its digest: no other node
      can pull it
        daemonset/gone (web), deployment/gone (web)
      registry.test/untagged:1 is gone from the registry; sha256:65d3cb3a687a runs
      and is still there without the tag
        deployment/untagged (web)
      registry.test/web:2 is sha256:11507a0e2f5e now; sha256:972269617bf9 runs and
      is gone from the registry
        deployment/web (web)
    "#);
    let json = crate::report::json::render(&report);
    assert_eq!(crate::report::json::read(json.as_bytes()).expect("a report"), report);
}
