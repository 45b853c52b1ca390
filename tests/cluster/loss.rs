//! Scanner pods that are lost in the middle of their work.

use std::process::Command;

use serde_json::json;

use crate::environment::{kubectl, kubectl_with, wait_for};
use crate::namespace::{Namespace, PullSecret, waiting_pod};
use crate::plugin::{Plugin, state};
use crate::registry::SlowRegistry;

/// Scans two images, the second of which is read slowly, and loses the pod meanwhile.
fn scan_with_loss(topic: &str, lose: impl Fn(&Namespace, &str)) {
    let registry = SlowRegistry::serve("payments");
    let namespace = Namespace::with_image(topic, "multi", "apps/multi");
    namespace.add(vec![waiting_pod("slow", &registry.image)]);
    let running = Plugin::scan(&["-n", &namespace.name]).start();
    registry.wait_until_read_by(1);
    lose(&namespace, &namespace.scanner_pod());
    // The image comes to another pod, which reads it from its beginning.
    registry.wait_until_read_by(2);
    registry.open();

    let ended = running.end().code(0);
    let report = ended.report();
    for image in report["images"].as_array().expect("a list") {
        assert_eq!(state(image), ("scanned".to_owned(), String::new()), "{}", ended.stderr);
        assert_eq!(image["packages"], 20);
    }
    assert_eq!(report["coverage"]["scanned"], 2);
    namespace.assert_nothing_left();
}

#[test]
fn pod_that_is_deleted_in_mid_scan_is_replaced() {
    scan_with_loss("deleted", |namespace, pod| {
        kubectl(&["delete", "pod", "-n", &namespace.name, pod, "--wait=false"]);
    });
}

#[test]
fn job_that_is_deleted_in_mid_scan_is_replaced() {
    scan_with_loss("deletedjob", |namespace, _| {
        kubectl(&["delete", "jobs", "-n", &namespace.name, "--all", "--wait=false"]);
    });
}

#[test]
fn pod_that_is_evicted_in_mid_scan_is_replaced() {
    scan_with_loss("evicted", |namespace, pod| {
        let path = format!("/api/v1/namespaces/{}/pods/{pod}/eviction", namespace.name);
        let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction",
            "metadata": {"name": pod, "namespace": namespace.name}});
        kubectl_with(&["create", "--raw", &path, "-f", "-"], &eviction);
    });
}

#[test]
fn pod_whose_scanner_is_killed_in_mid_scan_is_replaced() {
    scan_with_loss("killed", |namespace, pod| {
        let path = "jsonpath={.metadata.labels.kubectl-clarity\\.io/scan}";
        let scan = kubectl(&["get", "pod", "-n", &namespace.name, pod, "-o", path]);
        let process = wait_for("the scanner's process", 10, || scanner_process(&scan));
        let killed = Command::new("kill").args(["-KILL", &process]).status().expect("kill");
        assert!(killed.success());
    });
}

/// Number of the only process that works for this scan: its task stands in its environment.
fn scanner_process(scan: &str) -> Option<String> {
    let task = format!("{{\"scan\":\"{scan}\"");
    let is_it = |process: &std::path::Path| {
        let environment = std::fs::read(process.join("environ")).unwrap_or_default();
        let command = std::fs::read(process.join("cmdline")).unwrap_or_default();
        command == b"/clarity-scan\0run\0"
            && environment.windows(task.len()).any(|part| part == task.as_bytes())
    };
    let processes = std::fs::read_dir("/proc").expect("Linux").filter_map(Result::ok);
    let mut found = processes.filter(|process| is_it(&process.path()));
    let name = found.next()?.file_name().to_str()?.to_owned();
    assert!(found.next().is_none(), "two scanners of scan {scan}");
    Some(name)
}

#[test]
fn image_whose_pods_are_lost_again_and_again_fails_with_a_reason() {
    let registry = SlowRegistry::serve("payments");
    let namespace = Namespace::new("lost", PullSecret::None, vec![waiting_pod("slow", &registry.image)]);
    let running = Plugin::scan(&["-n", &namespace.name]).start();
    for readers in 1..=2 {
        registry.wait_until_read_by(readers);
        let pod = namespace.scanner_pod();
        kubectl(&["delete", "pod", "-n", &namespace.name, &pod]);
    }
    let ended = running.end().code(4);
    let (state, reason) = ended.only_image();
    assert_eq!(state, "failed");
    let expected = "the scanner pod was deleted by somebody; so it was when the image was read again alone";
    assert_eq!(reason, expected);
    namespace.assert_nothing_left();
}
