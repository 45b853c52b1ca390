//! `kubectl clarity doctor`: what it says of this cluster, to whom may do everything and to whom may do nothing.

use serde_json::{Value, json};

use crate::environment::environment;
use crate::namespace::{Namespace, PullSecret};
use crate::plugin::{Ended, Plugin};

fn doctor(flags: &[&str]) -> Ended {
    Plugin::new(&["doctor", "-o", "json", "--scanner-image", &environment().scanner]).with(flags).run()
}

/// The check of this name.
fn check(report: &Value, name: &str) -> Value {
    let mut checks = report["checks"].as_array().expect("a list").iter();
    checks.find(|check| check["name"] == name).unwrap_or_else(|| panic!("no {name} in {report:#}")).clone()
}

#[test]
fn all_is_well_for_an_administrator_in_a_namespace_that_is_prepared() {
    let namespace = Namespace::new("doctor-well", PullSecret::None, Vec::new());
    let state = Namespace::new("doctor-state", PullSecret::None, Vec::new());
    let flags = ["-n", &namespace.name, "--state-namespace", &state.name];
    Plugin::new(&["rbac", "runner", "--apply"]).with(&flags).run().code(0);
    let report = doctor(&flags).code(0).report();
    for check in report["checks"].as_array().expect("a list") {
        // Which advisories there are depends on what else was tested.
        if check["name"] != "advisories" {
            assert_eq!(check["verdict"], "ok", "{check}");
        }
    }
    for (name, words) in [
        ("image volumes", "2 of 2 nodes"),
        ("pod security", "\"restricted\" is enforced"),
        ("runner", "ServiceAccount clarity-runner is in"),
        ("state namespace", state.name.as_str()),
    ] {
        let detail = check(&report, name)["detail"].to_string().replace("\\\"", "\"");
        assert!(detail.contains(words), "{detail}");
    }
    assert_eq!(check(&doctor(&["-A"]).code(0).report(), "rights")["verdict"], "ok");
}

#[test]
fn others_who_decide_what_is_seen_are_named() {
    let state = Namespace::new("doctor-writers", PullSecret::None, Vec::new());
    state.add(vec![json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
        "metadata": {"name": "tenants"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit"},
        "subjects": [{"kind": "Group", "apiGroup": "rbac.authorization.k8s.io", "name": "tenants"}]})]);
    Plugin::new(&["rbac", "viewer", "-n", &state.name, "--for-user", "vera", "--apply"]).run().code(0);
    let report = doctor(&["-n", &state.name, "--state-namespace", &state.name]).code(0).report();
    let writers = check(&report, "who writes there");
    assert_eq!(writers["verdict"], "warning");
    assert!(writers["detail"].as_str().expect("text").starts_with("Group tenants beside"), "{writers}");
}

#[test]
fn who_may_do_nothing_is_told_what_to_ask_for() {
    let namespace = Namespace::new("doctor-nobody", PullSecret::None, Vec::new());
    let flags = ["-n", namespace.name.as_str(), "--as", "nobody"];
    let rights = check(&doctor(&flags).code(1).report(), "rights");
    assert_eq!(rights["verdict"], "fail");
    let fix = rights["fix"].as_str().expect("a fix");
    let command = format!("kubectl clarity rbac scan -n {} --for-user USER --apply", namespace.name);
    assert!(fix.contains(&command), "{fix}");
    let text = Plugin::new(&["doctor", "--color", "always"]).with(&flags).run().code(1).stdout;
    assert!(text.contains("\u{1b}[31mfail\u{1b}[0m     rights"), "{text}");
    assert!(text.contains("Scans will not work here"), "{text}");

    // What is said helps: with it, nothing fails any more.
    Plugin::new(&["rbac", "scan", "-n", &namespace.name, "--for-user", "nobody", "--apply"]).run().code(0);
    crate::environment::wait_for("the rights", 10, || (doctor(&flags).code == Some(0)).then_some(()));
}

#[test]
fn server_that_does_not_answer_and_namespaces_that_are_not_there_are_told() {
    let report = doctor(&["--server", "https://127.0.0.1:1"]).code(1).report();
    let server = check(&report, "API server");
    assert_eq!(server["verdict"], "fail");
    assert!(server["detail"].as_str().expect("text").contains("cannot be reached"), "{server}");
    check(&report, "advisories");
    assert_eq!(check(&doctor(&["-n", "clarity-none"]).code(1).report(), "namespace")["verdict"], "fail");
    let report = doctor(&["-n", "default", "--state-namespace", "clarity-none"]).code(1).report();
    let state = check(&report, "state namespace");
    assert_eq!(state["fix"], "kubectl create namespace clarity-none");
}
