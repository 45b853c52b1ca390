//! Scans that nobody waits for: by a runner and without one, taken up on a machine that knows nothing.

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::environment::{environment, kubectl, wait_for};
use crate::namespace::{Namespace, PullSecret, running_pod, waiting_pod};
use crate::plugin::{Ended, Plugin, scan_with_job_in};
use crate::registry::SlowRegistry;
use crate::rights::{account, role_of_the_readme};

const OSV: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/osv");

/// Two images that run.
fn namespace(topic: &str) -> Namespace {
    let public = &environment().public;
    let pods = [("web", "apps/web:1.24"), ("legacy", "apps/legacy:1.0")];
    let pods = pods.map(|(name, image)| running_pod(name, &format!("{public}/{image}"))).into();
    let namespace = Namespace::new(&format!("detached-{topic}"), PullSecret::None, pods);
    namespace.wait_until_ready();
    namespace
}

/// Pushes the advisories of the tests to where pods find them.
pub(crate) fn advisories(name: &str) -> String {
    let environment = environment();
    let address = std::env::var("CLARITY_REGISTRY_ADDRESS").expect("set with the rest");
    let folder = home();
    Plugin::new(&["db", "push", &format!("{address}/tests/{name}:v1"), "--from", OSV])
        .with(&["--registry-ca", &environment.registry_ca])
        .variable("CLARITY_DB", &folder.path().display().to_string())
        .run()
        .code(0);
    format!("{}/tests/{name}:v1", environment.public)
}

fn home() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

/// Starts a scan and leaves it; its id, which is all that is printed.
fn detach(namespace: &Namespace, flags: &[&str]) -> String {
    let environment = environment();
    let home = home();
    let ended =
        Plugin::new(&["scan", "-n", &namespace.name, "--detach", "--scanner-image", &environment.scanner])
            .with(&["--registry-ca", &environment.registry_ca])
            .with(flags)
            .variable("XDG_CACHE_HOME", &home.path().display().to_string())
            .run()
            .code(0);
    let id = ended.stdout.trim_end().to_owned();
    assert!(ended.stderr.contains(&format!("kubectl clarity attach {id}")), "{}", ended.stderr);
    id
}

/// Takes a scan up on a machine that knows nothing.
fn attach(id: &str, namespace: &Namespace, flags: &[&str]) -> Ended {
    let environment = environment();
    let home = home();
    Plugin::new(&["attach", id, "-n", &namespace.name, "-o", "json", "--scanner-image", &environment.scanner])
        .with(&["--registry-ca", &environment.registry_ca, "--advisories", OSV])
        .with(flags)
        .variable("XDG_CACHE_HOME", &home.path().display().to_string())
        .run()
}

/// The same scan by somebody who waits.
fn waited_for(namespace: &Namespace) -> Value {
    Plugin::scan(&["-n", &namespace.name]).run().code(0).report()
}

/// What was found in each image, without how it was come by.
fn findings(report: &Value) -> Value {
    let images = report["images"].as_array().expect("a list").iter();
    images.map(|image| json!([image["digest"], image["packages"], image["findings"]])).collect()
}

pub(crate) fn runner_account(namespace: &Namespace, more: &[Value]) {
    let mut rules = role_of_the_readme()["rules"].clone();
    rules.as_array_mut().expect("a list").extend_from_slice(more);
    account(namespace, "clarity-runner", &rules);
}

pub(crate) fn config_maps() -> Value {
    json!({"apiGroups": [""], "resources": ["configmaps"], "verbs": ["create", "list", "get", "delete", "patch"]})
}

#[test]
fn scan_without_a_runner_is_taken_up_where_nobody_knows_it() {
    let namespace = namespace("bare");
    let id = detach(&namespace, &[]);
    assert_eq!(scan_with_job_in(&namespace.name), id);
    let report = attach(&id[..6], &namespace, &[]).code(0).report();
    assert_eq!(report["scan"]["id"], id.as_str());
    assert_eq!(findings(&report), findings(&waited_for(&namespace)));
    namespace.assert_nothing_left();
    attach(&id, &namespace, &[]).code(1).says(&["there is no record of it"]);
}

#[test]
fn attaching_reads_what_is_left_of_a_scan_whose_starter_has_died() {
    let registry = SlowRegistry::serve("payments");
    let web = running_pod("web", &format!("{}/apps/web:1.24", environment().public));
    let pods = vec![web, waiting_pod("slow", &registry.image)];
    let namespace = Namespace::new("detached-died", PullSecret::None, pods);
    namespace.wait_until_runs("web");
    let running = Plugin::scan(&["-n", &namespace.name]).start();
    registry.wait_until_read_by(1);
    let id = scan_with_job_in(&namespace.name);
    running.signal("KILL");
    running.end();
    // The pod at the slow image is lost, too.
    let slow = wait_for("the pod of the slow image", 30, || {
        let label = format!("kubectl-clarity.io/scan={id}");
        let pods = kubectl(&["get", "pods", "-n", &namespace.name, "-l", &label, "-o", "json"]);
        let pods: Value = serde_json::from_str(&pods).expect("JSON");
        let pods = pods["items"].as_array().expect("a list").clone();
        let running: Vec<&Value> = pods.iter().filter(|pod| pod["status"]["phase"] == "Running").collect();
        match running.as_slice() {
            [only] if pods.len() == 2 => Some(only["metadata"]["name"].as_str().expect("text").to_owned()),
            _ => None,
        }
    });
    kubectl(&["delete", "pod", "-n", &namespace.name, "--grace-period=0", "--force", &slow]);
    registry.open();
    let report = attach(&id, &namespace, &["--allow-incomplete"]).code(0).report();
    let states: Vec<&str> = report["containers"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| one["state"].as_str().expect("text"))
        .collect();
    // In the order of their pods' names: the slow one was read anew, the other was read before.
    assert_eq!(states, ["scanned", "cached"], "{report:#}");
    namespace.assert_nothing_left();
}

#[test]
fn runner_scans_leaves_its_record_and_is_followed_from_elsewhere() {
    let namespace = namespace("runner");
    runner_account(&namespace, &[config_maps()]);
    let source = advisories("detached-runner");
    let flags = ["--db-source", &source];
    let id = {
        let environment = environment();
        let home = home();
        let ended =
            Plugin::new(&["scan", "-n", &namespace.name, "--detach", "--scanner-image", &environment.scanner])
                .with(&["--registry-ca", &environment.registry_ca])
                .with(&flags)
                .variable("CLARITY_OFFLINE", "no")
                .variable("XDG_CACHE_HOME", &home.path().display().to_string())
                .run()
                .code(0);
        ended.stdout.trim_end().to_owned()
    };
    let report = attach(&id, &namespace, &[]).code(0).report();
    assert_eq!(report["scan"]["id"], id.as_str());
    assert_eq!(findings(&report), findings(&waited_for(&namespace)));
    assert_eq!(report["containers"].as_array().map(Vec::len), Some(2), "the runner itself is not in scope");

    // Who looks with kubectl alone is told, too.
    let job =
        kubectl(&["get", "jobs", "-n", &namespace.name, "-l", "kubectl-clarity.io/kind=runner", "-o", "json"]);
    let job: Value = serde_json::from_str(&job).expect("JSON");
    assert_eq!(job["items"][0]["status"]["succeeded"], 1, "findings are no failure");
    let log = kubectl(&["logs", "-n", &namespace.name, "-l", "kubectl-clarity.io/kind=runner", "--tail=100"]);
    assert!(log.contains("findings in 2 images"), "{log}");
    // Once more, from the record alone; and then nothing but that is left.
    Plugin::new(&["stop", "--all", "-n", &namespace.name]).run().code(0);
    namespace.assert_nothing_left();
    let again = attach(&id, &namespace, &[]);
    assert!(again.code.is_some());
    let record =
        Plugin::new(&["report", &id, "-o", "json", "--state-namespace", &namespace.name]).run().code(0);
    assert_eq!(findings(&record.report()), findings(&report));
}

#[test]
fn runner_that_may_not_leave_a_record_fails_and_says_why() {
    let namespace = namespace("unkept");
    runner_account(&namespace, &[]);
    let id = detach(&namespace, &["--runner", "clarity-runner", "--db-source", "registry.test/none:v1"]);
    let ended = attach(&id, &namespace, &[]).code(1);
    assert!(ended.stderr.contains(&format!("the runner of scan {id} has failed")), "{}", ended.stderr);
    assert!(ended.stderr.contains("no record was kept"), "{}", ended.stderr);
}

#[test]
fn runner_that_is_stopped_removes_what_it_created() {
    let registry = SlowRegistry::serve("payments");
    let namespace =
        Namespace::new("detached-stop", PullSecret::None, vec![waiting_pod("slow", &registry.image)]);
    runner_account(&namespace, &[config_maps()]);
    let id = detach(&namespace, &[]);
    registry.wait_until_read_by(1);
    let stopped = Plugin::new(&["stop", &id, "-n", &namespace.name]).run().code(0);
    assert!(stopped.stdout.contains("is stopped"), "{}", stopped.stdout);
    assert_eq!(namespace.created_by_scans(), [""; 0]);
}

#[test]
fn runner_that_is_not_there_is_named() {
    let namespace = namespace("nobody");
    let ended = Plugin::new(&["scan", "-n", &namespace.name, "--detach", "--runner", "nobody"]).run().code(1);
    ended.says(&["there is no ServiceAccount nobody in namespace"]);
    assert_eq!(namespace.created_by_scans(), [""; 0]);
}

#[test]
fn somebody_with_edit_in_one_namespace_starts_watches_and_stops_scans_there() {
    let namespace = namespace("tenant");
    let user = namespace.account_with("edit");
    let id = detach(&namespace, &["--as", &user]);
    let status =
        Plugin::new(&["status", "-n", &namespace.name, "--as", &user, "-o", "json"]).run().code(0).report();
    assert_eq!(status[0]["id"], id.as_str());
    let report = attach(&id, &namespace, &["--as", &user]).code(0).report();
    assert_eq!(report["scan"]["id"], id.as_str());
    let id = detach(&namespace, &["--as", &user]);
    Plugin::new(&["stop", &id, "-n", &namespace.name, "--as", &user]).run().code(0);
    assert_eq!(namespace.created_by_scans(), [""; 0]);
}
