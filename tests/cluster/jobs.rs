//! What a scan creates, what of it may stay, and scans beside each other.

use serde_json::Value;

use crate::environment::{environment, kubectl};
use crate::namespace::{Namespace, PullSecret, waiting_pod};
use crate::plugin::Plugin;
use crate::registry::SlowRegistry;

#[test]
fn two_scans_of_one_namespace_at_once_are_both_complete() {
    let registry = SlowRegistry::serve("payments");
    let namespace = Namespace::new("beside", PullSecret::None, vec![waiting_pod("slow", &registry.image)]);
    let scans = [0, 1].map(|_| Plugin::scan(&["-n", &namespace.name]).start());
    registry.wait_until_read_by(2);
    registry.open();
    let ids = scans.map(|scan| {
        let report = scan.end().code(0).report();
        assert_eq!(report["coverage"]["scanned"], 1);
        report["scan"]["id"].as_str().expect("an id").to_owned()
    });
    assert_ne!(ids[0], ids[1]);
    namespace.assert_nothing_left();
}

#[test]
fn kept_jobs_tell_another_machine_what_the_scan_is() {
    let environment = environment();
    let namespace = Namespace::with_image("kept", "multi", "apps/multi");
    let gone = format!("{}/apps/gone@{}", environment.public, environment.digest("gone"));
    namespace.add(vec![waiting_pod("gone", &gone)]);
    let report = Plugin::scan(&["-n", &namespace.name, "--keep-jobs", "always"]).run().code(4).report();
    let scan = report["scan"]["id"].as_str().expect("an id");

    let label = format!("kubectl-clarity.io/scan={scan}");
    let jobs = kubectl(&["get", "jobs", "-n", &namespace.name, "-l", &label, "-o", "json"]);
    let jobs: Value = serde_json::from_str(&jobs).expect("json");
    let jobs = jobs["items"].as_array().expect("a list");
    assert_eq!(jobs.len(), 1);
    let annotation =
        |key: &str| jobs[0]["metadata"]["annotations"][format!("kubectl-clarity.io/{key}")].clone();
    assert_eq!(annotation("group"), "1/1");
    assert_eq!(annotation("scope"), format!("-n {}", namespace.name));
    assert_eq!(annotation("requester"), "admin");
    let images: Value = serde_json::from_str(annotation("images").as_str().expect("text")).expect("json");
    let mut digests: Vec<&str> = images.as_array().expect("a list").iter().map(digest).collect();
    digests.sort_unstable();
    let mut expected = [environment.digest("multi"), environment.digest("gone")];
    expected.sort_unstable();
    assert_eq!(digests, expected);
    let repositories = images.to_string();
    assert!(repositories.contains("apps/multi") && repositories.contains("apps/gone"), "{repositories}");

    kubectl(&["delete", "jobs", "-n", &namespace.name, "-l", &label]);
    namespace.assert_nothing_left();
}

fn digest(image: &Value) -> &str {
    image["wanted"]["manifest"].as_str().unwrap_or_else(|| panic!("no digest in {image}"))
}

#[test]
fn failed_jobs_alone_are_kept_when_asked_for() {
    let environment = environment();
    let keep = |namespace: &Namespace| Plugin::scan(&["-n", &namespace.name, "--keep-jobs", "failed"]).run();
    let good = Namespace::with_image("keptgood", "multi", "apps/multi");
    keep(&good).code(0);
    good.assert_nothing_left();
    let gone = format!("{}/apps/gone@{}", environment.public, environment.digest("gone"));
    let bad = Namespace::new("keptbad", PullSecret::None, vec![waiting_pod("gone", &gone)]);
    keep(&bad).code(4);
    let left = bad.created_by_scans();
    assert!(left.iter().any(|name| name.starts_with("job.batch/clarity-")), "{left:?}");
}
