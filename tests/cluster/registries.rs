//! Images that cannot be had from their registry, or not as they should be.

use std::process::Command;

use crate::environment::{another_authority, environment};
use crate::namespace::{Namespace, PullSecret, waiting_pod};
use crate::plugin::{Ended, Plugin, assert_has, state};
use crate::registry::SlowRegistry;

/// Scans a namespace with one image and gives the reason why it was not read.
fn failed(namespace: &Namespace, flags: &[&str]) -> (String, Ended) {
    let ended = Plugin::scan(&["-n", &namespace.name]).with(flags).run().code(4).within(30);
    let (state, reason) = ended.only_image();
    assert_eq!(state, "failed");
    namespace.assert_nothing_left();
    (reason, ended)
}

#[test]
fn image_that_is_gone() {
    let namespace = Namespace::with_image("gone", "gone", "apps/gone");
    let (reason, _) = failed(&namespace, &[]);
    assert_has(&reason, &["is not in public.clarity.test:5001/apps/gone", "MANIFEST_UNKNOWN"]);
    assert_has(&reason, &[&environment().digest("gone")]);
    assert_eq!(reason.matches("manifest unknown").count(), 1, "{reason}");
}

#[test]
fn artifact_that_is_no_image() {
    let namespace = Namespace::with_image("chart", "chart", "faults/chart");
    let (reason, _) = failed(&namespace, &[]);
    assert_has(&reason, &["faults/chart", "application/vnd.cncf.helm.config.v1+json"]);
}

/// Puts the registry's content right again.
struct Damage;

impl Damage {
    fn new() -> Self {
        build("damage");
        Self
    }
}

impl Drop for Damage {
    fn drop(&mut self) {
        build("repair");
    }
}

fn build(what: &str) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/images/build");
    let output = Command::new(script).arg(what).output().expect("a script");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() || std::thread::panicking(), "{said}");
}

#[test]
fn layers_that_are_damaged() {
    let environment = environment();
    let image = |name: &str| format!("{}/faults/{name}@{}", environment.public, environment.digest(name));
    let good = format!("{}/apps/multi@{}", environment.public, environment.digest("multi"));
    let pods = vec![
        waiting_pod("corrupt", &image("corrupt")),
        waiting_pod("good", &good),
        waiting_pod("truncated", &image("truncated")),
    ];
    let namespace = Namespace::new("damaged", PullSecret::None, pods);
    let damage = Damage::new();
    let ended = Plugin::scan(&["-n", &namespace.name]).run().code(4).within(60);
    drop(damage);
    let report = ended.report();
    let of = |name: &str| {
        let containers = report["containers"].as_array().expect("a list");
        state(containers.iter().find(|container| container["container"] == name).expect("every container"))
    };
    assert_eq!(of("good").0, "scanned", "other images are none the worse");
    for name in ["corrupt", "truncated"] {
        let (state, reason) = of(name);
        assert_eq!(state, "failed", "{reason}");
        assert_has(&reason, &["sha256:"]);
    }
    assert_has(&of("corrupt").1, &["digest"]);
    namespace.assert_nothing_left();

    let ended = Plugin::scan(&["-n", &namespace.name]).run().code(0);
    assert_eq!(ended.report()["coverage"]["scanned"], 3, "the registry is well again");
}

#[test]
fn registry_whose_authority_is_not_known() {
    let (_folder, another) = another_authority();
    let namespace = Namespace::with_image("issuer", "multi", "apps/multi");
    let ended = Plugin::untrusting(&["-n", &namespace.name]).with(&["--registry-ca", &another]).run().code(4);
    let (_, reason) = ended.only_image();
    assert_has(&reason, &["the certificate of public.clarity.test:5001", "is signed by no known authority"]);
    ended.says(&["note: give the authority of the registry's certificate: --registry-ca FILE"]);
}

#[test]
fn private_image_without_credential() {
    let environment = environment();
    let image = format!("{}/apps/multi@{}", environment.registry, environment.digest("multi"));
    let namespace = Namespace::new("nosecret", PullSecret::None, vec![waiting_pod("multi", &image)]);
    let (reason, _) = failed(&namespace, &[]);
    assert_has(&reason, &["registry.clarity.test:5000", "credential"]);
}

#[test]
fn registry_that_falls_silent_costs_no_more_than_the_time_of_the_scan() {
    let registry = SlowRegistry::serve("payments");
    let namespace = Namespace::new("silent", PullSecret::None, vec![waiting_pod("slow", &registry.image)]);
    let (reason, _) = failed(&namespace, &["--timeout", "12s"]);
    assert_has(&reason, &["time was up after 0 of 1 MiB"]);
}

#[test]
fn registry_that_is_down() {
    let digest = environment().digest("multi");
    // Nothing listens there on the machine's side of the cluster's network.
    let image = format!("host.clarity.test:1/apps/multi@{digest}");
    let namespace = Namespace::new("down", PullSecret::None, vec![waiting_pod("multi", &image)]);
    let (reason, _) = failed(&namespace, &[]);
    assert_has(&reason, &["host.clarity.test:1", "refused"]);
}
