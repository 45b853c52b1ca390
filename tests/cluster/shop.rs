//! The shop of the demo: private images, pods of every kind, and one image that is gone from its registry.

use serde_json::Value;

use crate::environment::{environment, kubectl};
use crate::nodes::open_nodes;
use crate::plugin::{Ended, Plugin, state};

fn scan(flags: &[&str]) -> Ended {
    let _open = open_nodes();
    let environment = environment();
    Plugin::new(&["scan", "-n", "shop", "-o", "json", "--scanner-image", &environment.private_scanner])
        .with(&["--registry-ca", &environment.registry_ca])
        .with(&["--advisories", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/osv")])
        .with(flags)
        .run()
}

/// Workload, kind and name of every container, and its state.
fn containers(report: &Value) -> Vec<(String, String, String, String)> {
    let text = |entry: &Value, key: &str| entry[key].as_str().expect("text").to_owned();
    let entries = report["containers"].as_array().expect("a list").iter();
    let entry = |e: &Value| (text(e, "workload"), text(e, "kind"), text(e, "container"), text(e, "state"));
    let mut containers: Vec<_> = entries.map(entry).collect();
    containers.sort();
    containers
}

#[test]
fn every_container_of_the_shop_is_reported_with_its_state() {
    let ended = scan(&[]).code(4).says(&["not everything in scope could be read"]);
    let report = ended.report();
    let expected = [
        ("cronjob/nightly", "container", "report", "scanned"),
        ("daemonset/metrics", "container", "metrics", "scanned"),
        ("daemonset/metrics", "container", "metrics", "scanned"),
        ("deployment/cart", "container", "cart", "scanned"),
        ("deployment/cart", "container", "cart", "scanned"),
        ("deployment/cart", "init", "migrate", "scanned"),
        ("deployment/cart", "init", "migrate", "scanned"),
        ("deployment/cart", "sidecar", "proxy", "scanned"),
        ("deployment/cart", "sidecar", "proxy", "scanned"),
        ("deployment/coupons", "container", "coupons", "scanned"),
        ("deployment/forecast", "container", "forecast", "approximate"),
        ("deployment/legacy", "container", "legacy", "scanned"),
        ("deployment/search", "container", "search", "scanned"),
        ("deployment/web", "container", "web", "scanned"),
        ("statefulset/payments", "container", "payments", "scanned"),
    ];
    let expected = expected.map(|(a, b, c, d)| (a.to_owned(), b.to_owned(), c.to_owned(), d.to_owned()));
    assert_eq!(containers(&report), expected);

    let of = |workload: &str| {
        let entries = report["containers"].as_array().expect("a list").iter();
        entries.filter(|entry| entry["workload"] == workload).cloned().collect::<Vec<_>>()
    };
    let images = report["images"].as_array().expect("a list");
    let index_of =
        |container: &Value| usize::try_from(container["image_index"].as_u64().expect("read")).expect("few");
    let image_of = |container: &Value| images[index_of(container)].clone();
    let gone = image_of(&of("deployment/coupons")[0]);
    assert_eq!(gone["read_by"]["reader"], "volume", "its registry does not have it any more");
    assert_eq!(image_of(&of("deployment/forecast")[0])["read_by"]["reader"], "stream");
    let (_, approximate) = state(&of("deployment/forecast")[0]);
    assert!(approximate.contains("no digest is known; its tag was read"), "{approximate}");

    let shared = environment().digest("payments");
    let read: Vec<usize> = (0..images.len()).filter(|index| images[*index]["digest"] == shared).collect();
    assert_eq!(read.len(), 1, "the image of two repositories is read once");
    for container in of("statefulset/payments").iter().chain(&of("daemonset/metrics")) {
        assert_eq!(container["image_index"], read[0], "{container}");
    }
    assert_eq!(report["coverage"]["failed"], 0);
    assert_eq!(report["summary"]["complete"], false);
}

#[test]
fn image_that_is_gone_from_its_registry_fails_where_only_that_is_asked() {
    let report = scan(&["--read", "stream", "deployment/coupons"]).code(4).report();
    let (state, gone) = state(&report["containers"][0]);
    assert_eq!(state, "failed");
    assert!(gone.contains("neither the digest that runs nor the tag is in the registry any more"), "{gone}");
    assert!(gone.contains("registry.clarity.test:5000/apps/gone"), "{gone}");
}

#[test]
fn what_is_missing_in_the_shop_may_be_accepted() {
    let ended = scan(&["--allow-incomplete", "deployment/coupons", "deployment/forecast"]).code(0);
    assert_eq!(ended.report()["summary"]["complete"], false);
}

#[test]
fn threshold_and_incomplete_coverage_are_both_said() {
    let words = ["not everything in scope could be read", "of severity critical or worse (--fail-on)"];
    let targets = ["deployment/forecast", "deployment/cart"];
    scan(&["--fail-on", "critical"]).code(3).says(&words);
    scan(&["--fail-on", "critical", "--allow-incomplete", targets[0], targets[1]]).code(3).says(&words[1..]);
}

#[test]
fn targets_and_selectors_narrow_the_scan() {
    let workloads = |ended: &Ended| {
        let mut workloads: Vec<String> =
            containers(&ended.report()).into_iter().map(|(workload, ..)| workload).collect();
        workloads.dedup();
        workloads
    };
    let several = scan(&["deploy/legacy", "sts/payments", "cronjob/nightly"]).code(0);
    assert_eq!(workloads(&several), ["cronjob/nightly", "deployment/legacy", "statefulset/payments"]);
    let pod = kubectl(&["get", "pod", "-n", "shop", "-l", "app=search", "-o", "name"]);
    assert_eq!(workloads(&scan(&[pod.trim()]).code(0)), ["deployment/search"]);
    let selected = scan(&["-l", "app in (legacy, search)"]).code(0);
    assert_eq!(workloads(&selected), ["deployment/legacy", "deployment/search"]);
}

#[test]
fn target_that_is_not_there_is_named() {
    let ended = scan(&["deployment/legacy", "deployment/nobody"]).code(1);
    let ended = ended.says(&["no pods of deployment/nobody in namespace \"shop\"", "kubectl get pods -n shop"]);
    assert_eq!(ended.stdout, "");
    scan(&["-l", "app=nobody"]).code(1).says(&["no pods in namespace \"shop\" that the selectors match"]);
    Plugin::new(&["scan", "service/cart"]).run().code(2).says(&["service/cart", "expected TYPE/NAME"]);
}
