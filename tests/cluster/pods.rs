//! Pods that are not made by a workload of the API: the kubelet's own, and containers added to a running pod.

use std::path::PathBuf;

use serde_json::json;

use crate::environment::{environment, kubectl, wait_for};
use crate::namespace::{Namespace, PullSecret, running_pod};
use crate::plugin::{Plugin, state};

/// A manifest in the kubelet's folder. Without it the kubelet ends the pod.
struct Manifest(PathBuf);

impl Drop for Manifest {
    fn drop(&mut self) {
        // Nothing is left to do if it cannot be removed.
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn static_pod_is_scanned_as_a_workload_of_its_own() {
    let environment = environment();
    let namespace = Namespace::new("static", PullSecret::None, Vec::new());
    let mut pod = running_pod("static", &format!("{}/apps/multi:3", environment.public));
    pod["metadata"]["namespace"] = json!(namespace.name);
    let manifest = Manifest(environment.static_pods().join(format!("{}.json", namespace.name)));
    std::fs::write(&manifest.0, pod.to_string()).expect("room");
    wait_for("the mirror of the static pod", 40, || {
        (!kubectl(&["get", "pods", "-n", &namespace.name, "-o", "name"]).is_empty()).then_some(())
    });
    namespace.wait_until_ready();
    let report = Plugin::scan(&["-n", &namespace.name]).run().code(0).report();
    assert_eq!(report["containers"][0]["workload"], "pod/static-node1");
    assert_eq!(state(&report["containers"][0]).0, "scanned");
    assert_eq!(
        report["images"][0]["digest"],
        environment.digest("multi"),
        "the index that the kubelet resolved"
    );
}

#[test]
fn ephemeral_container_is_scanned() {
    let environment = environment();
    let image = |name: &str| format!("{}/{name}", environment.public);
    let pods = vec![running_pod("app", &image("shop/payments:2.1"))];
    let namespace = Namespace::new("debug", PullSecret::None, pods);
    namespace.wait_until_ready();
    let debug =
        ["debug", "app", "-n", &namespace.name, "--image", &image("apps/web:1.24"), "--container", "look"];
    kubectl(&[&debug[..], &["--profile", "restricted", "--quiet"]].concat());
    wait_for("the image of the ephemeral container", 40, || {
        let path = "jsonpath={.status.ephemeralContainerStatuses[0].imageID}";
        (!kubectl(&["get", "pod", "app", "-n", &namespace.name, "-o", path]).is_empty()).then_some(())
    });
    let report = Plugin::scan(&["-n", &namespace.name]).run().code(0).report();
    let kinds: Vec<_> = report["containers"].as_array().expect("a list").iter().collect();
    assert_eq!(kinds.len(), 2);
    let look = kinds.iter().find(|container| container["kind"] == "ephemeral").expect("an ephemeral one");
    assert_eq!((look["container"].as_str(), look["state"].as_str()), (Some("look"), Some("scanned")));
}
