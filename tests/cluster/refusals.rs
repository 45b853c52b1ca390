//! What the cluster refuses: each refusal in words, at once, with nothing left behind.

use std::time::Duration;

use serde_json::{Value, json};

use crate::environment::{environment, kubectl, try_kubectl_with, wait_for};
use crate::namespace::{Namespace, PullSecret, waiting_pod};
use crate::plugin::{Ended, Plugin, assert_has};

/// A namespace with an image to scan and one more object.
fn namespace(topic: &str, object: Value) -> Namespace {
    let namespace = Namespace::with_image(topic, "multi", "apps/multi");
    namespace.add(vec![object]);
    namespace
}

fn quota(hard: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "tight"}, "spec": {"hard": hard}})
}

/// The reason why the only image of the namespace was not read.
fn refused(namespace: &Namespace, flags: &[&str], seconds: u64) -> (String, Ended) {
    let ended = Plugin::scan(&["-n", &namespace.name]).with(flags).run().code(4).within(seconds);
    let (state, reason) = ended.only_image();
    assert_eq!(state, "failed");
    namespace.assert_nothing_left();
    (reason, ended)
}

#[test]
fn quota_without_room_for_a_pod() {
    let namespace = namespace("quotapods", quota(&json!({"pods": "1"})));
    wait_for("the quota is counted", 15, || {
        let used =
            kubectl(&["get", "quota", "tight", "-n", &namespace.name, "-o", "jsonpath={.status.used.pods}"]);
        (used == "1").then_some(())
    });
    let (reason, _) = refused(&namespace, &[], 20);
    assert_has(&reason, &["the scanner's Job cannot create its pod", "exceeded quota: tight"]);
}

#[test]
fn quota_without_room_for_a_job() {
    let namespace = namespace("quotajobs", quota(&json!({"count/jobs.batch": "0"})));
    wait_for("the quota is counted", 15, || {
        let hard = kubectl(&["get", "quota", "tight", "-n", &namespace.name, "-o", "jsonpath={.status.hard}"]);
        (!hard.is_empty()).then_some(())
    });
    let (reason, _) = refused(&namespace, &[], 20);
    assert_has(&reason, &["a quota does not let us create jobs in namespace", "exceeded quota: tight"]);
}

#[test]
fn limit_range_below_what_the_scanner_needs() {
    let limits = json!([{"type": "Container", "max": {"memory": "128Mi"}}]);
    let range = json!({"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "small"},
        "spec": {"limits": limits}});
    let namespace = namespace("limits", range);
    let (reason, _) = refused(&namespace, &[], 20);
    assert_has(&reason, &["cannot create its pod", "maximum memory usage per Container is 128Mi"]);
}

/// A policy of the cluster that is in force in one namespace, until it is dropped.
struct Policy(String);

impl Policy {
    /// Refuses this resource, and waits until it does.
    fn against(namespace: &Namespace, group: &str, resource: &str) -> Self {
        let policy = Self(namespace.name.clone());
        let rules = json!([{"apiGroups": [group], "apiVersions": ["v1"], "operations": ["CREATE"],
            "resources": [resource]}]);
        let of_namespace = json!({"matchLabels": {"kubernetes.io/metadata.name": namespace.name}});
        // It spares what the test itself creates.
        let ours = "has(object.metadata.labels) && 'kubectl-clarity.io/scan' in object.metadata.labels";
        let spec = json!({"matchConstraints": {"resourceRules": rules}, "failurePolicy": "Fail",
            "validations": [{"expression": format!("!({ours})"), "message": "nobody scans on sundays"}]});
        let metadata = json!({"name": policy.0});
        namespace.add(vec![
            json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
                "metadata": metadata, "spec": spec}),
            json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding",
                "metadata": metadata, "spec": {"policyName": policy.0, "validationActions": ["Deny"],
                    "matchResources": {"namespaceSelector": of_namespace}}}),
        ]);
        let mut probe = waiting_pod("probe", "probe");
        probe["metadata"]["labels"] = json!({"kubectl-clarity.io/scan": "probe"});
        probe["spec"]["restartPolicy"] = json!("Never");
        if resource == "jobs" {
            probe = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": probe["metadata"],
                "spec": {"template": {"spec": probe["spec"]}}});
        }
        wait_for("the policy is in force", 30, || {
            let dry = ["create", "--dry-run=server", "-n", &namespace.name, "-f", "-"];
            try_kubectl_with(&dry, &probe).err().filter(|error| error.contains("on sundays"))
        });
        policy
    }
}

impl Drop for Policy {
    fn drop(&mut self) {
        for kind in ["validatingadmissionpolicybinding", "validatingadmissionpolicy"] {
            let delete = ["delete", kind, &self.0, "--wait=false", "--ignore-not-found"];
            // The test has its answer by now.
            let _ = std::process::Command::new("kubectl").args(delete).output();
        }
    }
}

#[test]
fn admission_that_refuses_the_job() {
    let namespace = Namespace::with_image("policyjob", "multi", "apps/multi");
    let _policy = Policy::against(&namespace, "batch", "jobs");
    let (reason, _) = refused(&namespace, &[], 20);
    assert_has(&reason, &["admission does not let us create jobs in namespace", "nobody scans on sundays"]);
}

#[test]
fn admission_that_refuses_the_pod() {
    let namespace = Namespace::with_image("policypod", "multi", "apps/multi");
    let _policy = Policy::against(&namespace, "", "pods");
    let (reason, _) = refused(&namespace, &[], 20);
    assert_has(&reason, &["the scanner's Job cannot create its pod", "nobody scans on sundays"]);
}

#[test]
fn scanner_image_that_is_not_there() {
    let namespace = Namespace::with_image("noscanner", "multi", "apps/multi");
    let image = format!("{}/clarity/scanner:nowhere", environment().public);
    let (reason, ended) = refused(&namespace, &["--scanner-image", &image], 20);
    assert_has(&reason, &["the scanner's own image cannot be pulled", "clarity/scanner:nowhere", "not found"]);
    ended.says(&["kubectl clarity image push", "--scanner-image"]);
}

#[test]
fn scanner_image_without_credential() {
    let namespace = Namespace::with_image("nocredential", "multi", "apps/multi");
    let image = format!("{}/clarity/scanner:test", environment().registry);
    let (reason, ended) = refused(&namespace, &["--scanner-image", &image], 20);
    assert_has(&reason, &["the scanner's own image cannot be pulled", "clarity/scanner:test"]);
    ended.says(&["--scanner-pull-secret"]);
    // The same with a secret for it that the pods of the namespace do not name.
    let namespace = Namespace::with_image("withcredential", "multi", "apps/multi");
    let other = Namespace::new("pullsecret", PullSecret::ForPods, Vec::new());
    let secret = kubectl(&["get", "secret", "registry", "-n", &other.name, "-o", "json"]);
    let secret: Value = serde_json::from_str(&secret).expect("json");
    namespace.add(vec![json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "for-scanner"},
        "type": secret["type"], "data": secret["data"]})]);
    let flags = ["--scanner-image", &environment().private_scanner, "--scanner-pull-secret", "for-scanner"];
    Plugin::scan(&["-n", &namespace.name]).with(&flags).run().code(0);
}

#[test]
fn scanner_image_that_is_no_scanner() {
    let namespace = Namespace::with_image("noscan", "multi", "apps/multi");
    let image = format!("{}/shop/payments:2.1", environment().public);
    let (reason, ended) = refused(&namespace, &["--scanner-image", &image], 20);
    assert_has(&reason, &["the scanner's container cannot be started", "/clarity-scan"]);
    ended.says(&["note: --scanner-image names an image without the scanner"]);
}

#[test]
fn service_account_that_is_not_there() {
    let namespace = Namespace::with_image("noaccount", "multi", "apps/multi");
    let (reason, _) = refused(&namespace, &["--service-account", "nobody"], 20);
    assert_has(&reason, &["cannot create its pod", "serviceaccount \"nobody\" not found"]);
}

#[test]
fn namespace_that_goes_away_in_mid_scan() {
    let registry = crate::registry::SlowRegistry::serve("payments");
    let namespace = Namespace::new("going", PullSecret::None, vec![waiting_pod("slow", &registry.image)]);
    let running = Plugin::scan(&["-n", &namespace.name]).start();
    registry.wait_until_read_by(1);
    kubectl(&["delete", "namespace", &namespace.name, "--wait=false"]);
    let ended = running.end().code(4).within(40);
    let (state, reason) = ended.only_image();
    assert_eq!(state, "failed");
    assert_has(&reason, &["because it is being terminated"]);
    assert!(ended.took > Duration::ZERO);
}
