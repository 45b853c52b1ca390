use insta::assert_snapshot;
use serde_json::{Value, json};

use super::*;
use crate::report::table::TableOptions;

const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
const C: &str = "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc";

/// `CVE PACKAGE@VERSION SEVERITY [FIX]`
fn finding(text: &str) -> Value {
    let words: Vec<&str> = text.split(' ').collect();
    let (name, version) = words[1].split_once('@').expect("a version");
    json!({"vulnerability": words[0], "advisory": format!("OSV-{}", words[0]), "aliases": [], "package": name,
        "installed": version, "purl": format!("pkg:deb/debian/{name}@{version}?arch=amd64"), "fixed": words.get(3),
        "severity": words[2], "severity_source": null, "matched_as": null, "range": ">= 0", "locations": []})
}

fn image(reference: &str, hex: &str, findings: &[&str]) -> Value {
    let findings: Vec<Value> = findings.iter().map(|text| finding(text)).collect();
    json!({"reference": reference, "digest": format!("sha256:{hex}"), "state": "scanned", "distro": null,
        "platform": {"os": "linux", "architecture": "amd64"}, "packages": 1, "findings": findings,
        "without_data": []})
}

/// A report of images, each run by the workloads named with it.
fn report(id: &str, images: &[(Value, &[&str])]) -> Report {
    let mut containers = Vec::new();
    for (index, (image, workloads)) in images.iter().enumerate() {
        containers.extend(workloads.iter().map(|workload| {
            let mut container = json!({"namespace": "shop", "workload": workload, "pod": format!("{id}-1"), "container": "main",
                "kind": "container", "image": image["reference"], "image_index": index});
            for member in ["state", "reason"] {
                if let Some(value) = image.get(member) {
                    container[member] = value.clone();
                }
            }
            container
        }));
    }
    let images: Vec<&Value> = images.iter().map(|(image, _)| image).collect();
    serde_json::from_value(json!({
        "version": 1, "containers": containers, "notes": [], "images": images,
        "scan": {"id": id, "generator": "x", "started": format!("2026-01-0{}T00:00:00Z", id.len()), "duration_ms": 0,
            "scope": "-n shop"},
        "advisories": {"source": "x", "ecosystems": {}, "newest": null},
    }))
    .expect("a report")
}

fn between(before: &[(Value, &[&str])], after: &[(Value, &[&str])]) -> Diff {
    Diff::between(report("1", before), report("22", after))
}

fn names(findings: &[Finding]) -> Vec<&str> {
    findings.iter().map(|finding| finding.vulnerability.as_str()).collect()
}

#[test]
fn an_image_under_the_same_tag_is_compared_with_the_one_before() {
    let old = image("registry.test/cart:1", A, &["CVE-1 zlib@1 high", "CVE-2 zlib@1 low", "CVE-2 tar@1 low"]);
    let new = image("registry.test/cart:1", B, &["CVE-2 zlib@2 low", "CVE-3 zlib@2 medium"]);
    // Other containers run it now: the tag decides.
    let diff = between(&[(old, &["deployment/cart"])], &[(new, &["deployment/other"])]);
    let [image] = diff.images.as_slice() else { panic!("one image") };
    assert_eq!((image.change, image.unchanged), (Change::Replaced, 1));
    assert_eq!((names(&image.new), names(&image.fixed)), (vec!["CVE-3"], vec!["CVE-1", "CVE-2"]));
    assert_eq!(image.fixed[1].package, "tar");
}

#[test]
fn a_new_tag_is_compared_by_the_container_that_runs_it() {
    let old = image("registry.test/cart:1", A, &["CVE-1 zlib@1 high"]);
    let new = image("registry.test/cart:2", B, &["CVE-2 zlib@2 high"]);
    let diff = between(&[(old.clone(), &["deployment/cart"])], &[(new.clone(), &["deployment/cart"])]);
    assert_eq!((diff.images[0].change, diff.images.len()), (Change::Replaced, 1));
    let moved = between(&[(old.clone(), &["deployment/cart"])], &[(new, &["deployment/shop"])]);
    assert_eq!(moved.images[0].change, Change::Replaced, "the only one of its repository");
    let other = image("registry.test/pay:2", B, &["CVE-2 zlib@2 high"]);
    let apart = between(&[(old, &["deployment/cart"])], &[(other, &["deployment/shop"])]);
    let changes: Vec<_> = apart.images.iter().map(|image| image.change).collect();
    assert_eq!(changes, [Change::Came, Change::Went]);
    assert_eq!((apart.summary.new.total(), apart.summary.fixed.total(), apart.summary.gone), (1, 0, 1));
}

#[test]
fn a_roll_out_that_has_come_half_way_is_compared_with_what_it_replaces() {
    let old = image("registry.test/cart:1", A, &["CVE-1 zlib@1 high"]);
    let new = image("registry.test/cart:2", B, &["CVE-2 zlib@2 high"]);
    let diff = between(
        &[(old.clone(), &["deployment/cart", "deployment/pay"])],
        &[(old, &["deployment/pay"]), (new, &["deployment/cart"])],
    );
    assert_eq!((diff.images_unchanged, diff.images.len()), (1, 1));
    assert_eq!((names(&diff.images[0].new), names(&diff.images[0].fixed)), (vec!["CVE-2"], vec!["CVE-1"]));
}

#[test]
fn two_images_of_one_tag_that_become_one_are_both_compared() {
    let one = image("registry.test/cart:1", A, &["CVE-1 zlib@1 high"]);
    let two = image("registry.test/cart:1", B, &["CVE-2 zlib@1 high"]);
    let new = image("registry.test/cart:1", C, &["CVE-2 zlib@2 high"]);
    let diff = between(&[(one, &["deployment/a"]), (two, &["deployment/b"])], &[(new, &["deployment/a"])]);
    let [image] = diff.images.as_slice() else { panic!("one image") };
    assert_eq!((image.before.len(), image.unchanged, names(&image.fixed)), (2, 1, vec!["CVE-1"]));
}

#[test]
fn what_was_not_read_is_not_called_fixed() {
    let old = image("registry.test/cart:1", A, &["CVE-1 zlib@1 high"]);
    for (state, reason) in [("failed", "gone"), ("partial", "a limit"), ("approximate", "a tag")] {
        let mut new = image("registry.test/cart:1", A, &[]);
        (new["state"], new["reason"]) = (state.into(), reason.into());
        let diff = between(&[(old.clone(), &["deployment/cart"])], &[(new, &["deployment/cart"])]);
        assert_eq!((diff.summary.fixed.total(), diff.summary.unknown), (0, 1), "{state}");
        assert_eq!(diff.images[0].unknown_because, Some(format!("{state}: {reason}")));
        assert!(diff.coverage[0].is_loss());
    }
}

#[test]
fn what_had_no_advisories_is_not_called_fixed() {
    let old = image("registry.test/cart:1", A, &["CVE-1 zlib@1 high"]);
    let mut new = image("registry.test/cart:1", A, &[]);
    new["without_data"] = json!(["Debian:12"]);
    let of = |new: Value| between(&[(old.clone(), &["deployment/cart"])], &[(new, &["deployment/cart"])]);
    assert_eq!((of(new.clone()).summary.fixed.total(), of(new).summary.unknown), (0, 1));
    let mut after = report("22", &[(image("registry.test/cart:1", A, &[]), &["deployment/cart"])]);
    after.advisories.source = None;
    let diff = Diff::between(report("1", &[(old.clone(), &["deployment/cart"])]), after);
    assert_eq!(diff.images[0].unknown_because.as_deref(), Some("held against no advisories"));
    assert_eq!(of(image("registry.test/cart:1", A, &[])).summary.fixed.total(), 1, "with data it is");
}

#[test]
fn an_image_whose_container_was_not_found_out_has_not_gone() {
    let old = image("registry.test/cart:1", A, &["CVE-1 zlib@1 high"]);
    let mut after = report("22", &[(image("registry.test/cart:2", B, &[]), &["deployment/cart"])]);
    after.images.clear();
    after.containers[0].image_index = None;
    after.containers[0].state = crate::coverage::State::Failed("no digest".to_owned());
    let diff = Diff::between(report("1", &[(old, &["deployment/cart"])]), after);
    assert_eq!((diff.images[0].change, diff.summary.unknown, diff.summary.gone), (Change::Unread, 1, 0));
}

#[test]
fn what_was_not_read_before_is_new_and_says_so() {
    let mut old = image("registry.test/cart:1", A, &[]);
    (old["state"], old["reason"]) = ("failed".into(), "unauthorized".into());
    let new = image("registry.test/cart:1", A, &["CVE-1 zlib@1 high"]);
    let diff = between(&[(old, &["deployment/cart"])], &[(new, &["deployment/cart"])]);
    assert_eq!(diff.images[0].new_because.as_deref(), Some("failed: unauthorized"));
    assert!(diff.exceeds("high".parse().expect("a threshold")));
}

#[test]
fn only_new_findings_meet_a_threshold() {
    let old = image("registry.test/cart:1", A, &["CVE-1 zlib@1 critical"]);
    let new = image("registry.test/cart:1", B, &["CVE-1 zlib@1 critical", "CVE-2 zlib@1 medium"]);
    let diff = between(&[(old, &["deployment/cart"])], &[(new, &["deployment/cart"])]);
    assert!(!diff.exceeds("high".parse().expect("a threshold")));
    assert!(diff.exceeds("medium".parse().expect("a threshold")));
}

#[test]
fn suppressed_is_neither_fixed_nor_new() {
    let with = |ignored: bool| {
        let mut image = image("registry.test/cart:1", A, &["CVE-1 zlib@1 high"]);
        if ignored {
            image["findings"][0]["ignored"] = json!({"reason": "not reachable", "source": "ignore.yaml"});
        }
        image
    };
    let of = |before, after| {
        between(&[(with(before), &["deployment/a"])], &[(with(after), &["deployment/a"])]).summary
    };
    assert_eq!(of(false, true), Summary { suppressed: 1, ..Summary::default() });
    assert_eq!(of(true, true), Summary::default());
    assert_eq!(of(true, false).new.total(), 1);
}

#[test]
fn an_advisory_that_was_given_a_cve_is_the_same() {
    let old = image("registry.test/cart:1", A, &["GHSA-1 zlib@1 high"]);
    let mut new = image("registry.test/cart:1", A, &["CVE-9 zlib@1 high", "CVE-8 tar@1 high"]);
    new["findings"][0]["aliases"] = json!(["GHSA-1"]);
    new["findings"][1]["aliases"] = json!(["GHSA-1"]);
    let diff = between(&[(old, &["deployment/a"])], &[(new, &["deployment/a"])]);
    assert_eq!((diff.summary.unchanged, diff.summary.fixed.total()), (1, 0));
    assert_eq!(names(&diff.images[0].new), ["CVE-8"], "of another package");
}

#[test]
fn filters_of_both_hold_for_both() {
    use std::collections::BTreeSet;
    let only = |severity| Filter { severities: Some(BTreeSet::from([severity])), only_fixed: false };
    let findings = ["CVE-1 zlib@1 high", "CVE-2 zlib@1 low"];
    let before = report("1", &[(image("registry.test/a:1", A, &findings), &["deployment/a"])]);
    let after = before.clone().filtered(only(crate::severity::Severity::High));
    let diff = Diff::between(before, after);
    assert_eq!((diff.summary.unchanged, diff.summary.fixed.total(), diff.notes.len()), (1, 0, 1));
}

fn whole() -> Diff {
    let mut unread = image("registry.test/pay:7", C, &[]);
    (unread["state"], unread["reason"]) = ("failed".into(), "the registry refused the credentials".into());
    let d = "dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd";
    let e = "eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee";
    let before = report(
        "1",
        &[
            (
                image(
                    "registry.test/shop/cart:1.2",
                    A,
                    &["CVE-2023-4911 libc6@2.36-9 high 2.36-9+deb12u3", "CVE-2024-1 zlib1g@1.2 low"],
                ),
                &["deployment/cart"],
            ),
            (image("registry.test/pay:7", C, &["CVE-2024-2 tar@1 critical 2"]), &["deployment/pay"]),
            (image("registry.test/old:1", d, &["CVE-2024-3 tar@1 medium"]), &["job/old"]),
        ],
    );
    let after = report(
        "22",
        &[
            (
                image(
                    "registry.test/shop/cart:1.3",
                    B,
                    &["CVE-2024-1 zlib1g@1.2 low", "CVE-2024-9 openssl@3.0.1-1 critical 3.0.2-1"],
                ),
                &["deployment/cart", "cronjob/report"],
            ),
            (unread, &["deployment/pay"]),
            (image("registry.test/fresh:1", e, &[]), &["job/fresh"]),
        ],
    );
    Diff::between(before, after)
}

#[test]
fn table_at_80_columns() {
    let table = table(&whole(), &TableOptions { width: Some(80), ..TableOptions::default() });
    assert!(table.lines().all(|line| line.chars().count() <= 80), "{table}");
    assert_snapshot!(table, @r"
    before 1 of 2026-01-01T00:00:00Z (-n shop)
    after  22 of 2026-01-02T00:00:00Z (-n shop)

    registry.test/shop/cart:1.2 -> registry.test/shop/cart:1.3 (linux/amd64,
    sha256:aaaaaaaaaaaa -> sha256:bbbbbbbbbbbb)
      used by shop/cronjob/report (main), shop/deployment/cart (main)
    CHANGE  SEVERITY  VULNERABILITY  PACKAGE  INSTALLED  FIXED IN
    new     critical  CVE-2024-9     openssl  3.0.1-1    3.0.2-1
    fixed   high      CVE-2023-4911  libc6    2.36-9     2.36-9+deb12u3
    1 as before

    Not known any more, or suppressed
      registry.test/pay:7 (linux/amd64, sha256:cccccccccccc): 1 finding of before
      not known now: failed: the registry refused the credentials
    Came, without findings
      registry.test/fresh:1 (linux/amd64, sha256:eeeeeeeeeeee)
    Went
      registry.test/old:1 (linux/amd64, sha256:dddddddddddd): 1 finding went with it

    Coverage
      not read whole now: 1 container
        shop/deployment/pay (main): failed, the registry refused the credentials

    1 new: 1 critical; 1 fixable
    1 fixed: 1 high; 1 fixable
    1 as before, 1 gone with their image, 1 not known now
    ");
}

#[test]
fn json_names_every_change() {
    let json: Value = serde_json::from_str(&whole().json()).expect("JSON");
    assert_eq!(json["summary"]["new"]["critical"], 1);
    assert_eq!(json["images"][0]["new"][0]["vulnerability"], "CVE-2024-9");
    assert_eq!(json["coverage"][0]["after"]["state"], "failed");
    let changes: Vec<&Value> =
        json["images"].as_array().expect("images").iter().map(|image| &image["change"]).collect();
    assert_eq!(changes, ["replaced", "same", "came", "went"]);
}
