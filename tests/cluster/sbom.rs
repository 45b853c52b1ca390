//! The bill of materials of what runs, read when nobody has read it before.

use serde_json::Value;

use crate::environment::environment;
use crate::namespace::{Namespace, PullSecret, running_pod, waiting_pod};
use crate::nodes::open_nodes;
use crate::plugin::{Plugin, scan_with_job_in};
use crate::registry::SlowRegistry;

/// `sbom` as CycloneDX with the scanner of this build, and a cache of its own.
fn sbom(namespace: &Namespace, cache: &std::path::Path, arguments: &[&str]) -> Plugin {
    let environment = environment();
    Plugin::new(&["sbom", "-n", &namespace.name, "-o", "cyclonedx", "--scanner-image", &environment.scanner])
        .with(&["--registry-ca", &environment.registry_ca])
        .with(arguments)
        .variable("XDG_CACHE_HOME", &cache.display().to_string())
        .variable("CLARITY_SBOM_CACHE", "local")
}

#[test]
fn what_was_never_read_is_read_now_and_is_the_same_from_the_cache() {
    let _open = open_nodes();
    let image = format!("{}/apps/web:1.24", environment().public);
    let namespace = Namespace::new("sbom", PullSecret::None, vec![running_pod("web", &image)]);
    namespace.wait_until_ready();
    let cache = tempfile::tempdir().expect("a folder");
    let read = |arguments: &[&str]| sbom(&namespace, cache.path(), &[&["pod/web"], arguments].concat()).run();

    let refused = read(&["--no-pods"]).code(1);
    let refused = refused.says(&["nobody has read", "apps/web", "let a pod read it", "without --no-pods"]);
    assert_eq!(refused.stdout, "");
    assert_eq!(namespace.created_by_scans(), [""; 0]);

    let fresh = read(&[]).code(0).says(&["1 image to read in 1 pod"]);
    let bill: Value = serde_json::from_str(&fresh.stdout).expect("JSON");
    assert_eq!(bill["bomFormat"], "CycloneDX");
    let found = bill["components"].as_array().expect("a list").len();
    assert!(found >= environment().packages("web").len(), "{found}");
    namespace.assert_nothing_left();

    let cached = read(&["--no-pods"]).code(0);
    assert_eq!(cached.stdout, fresh.stdout);
    assert!(!cached.stderr.contains("to read"), "{}", cached.stderr);
}

#[test]
fn of_several_images_the_one_that_is_named_is_read_and_no_other() {
    let environment = environment();
    let image = |name: &str| format!("{}/apps/{name}@{}", environment.public, environment.digest(name));
    let mut pod = waiting_pod("web", &image("web"));
    let mut other = pod["spec"]["containers"][0].clone();
    (other["name"], other["image"]) = ("multi".into(), image("multi").into());
    pod["spec"]["containers"].as_array_mut().expect("a list").push(other);
    let namespace = Namespace::new("sbom-of", PullSecret::None, vec![pod]);
    let cache = tempfile::tempdir().expect("a folder");
    let several = sbom(&namespace, cache.path(), &["pod/web"]).run().code(1);
    several.says(&["runs several images", "choose one: -c CONTAINER"]);
    assert_eq!(namespace.created_by_scans(), [""; 0], "which one is settled first");
    let ended = sbom(&namespace, cache.path(), &["pod/web", "-c", "multi"]).run().code(0);
    assert!(ended.stdout.contains("apps/multi"), "{}", ended.stdout);
    assert!(!ended.stdout.contains("apps/web"), "{}", ended.stdout);
    ended.says(&["1 image to read in 1 pod"]);
    namespace.assert_nothing_left();
}

#[test]
fn what_could_not_be_read_whole_is_shown_and_said_to_be_a_part() {
    let _open = open_nodes();
    let image = format!("{}/apps/closed:1", environment().public);
    let namespace = Namespace::new("sbom-part", PullSecret::None, vec![running_pod("closed", &image)]);
    namespace.wait_until_ready();
    let cache = tempfile::tempdir().expect("a folder");
    let ended = sbom(&namespace, cache.path(), &["pod/closed", "--read", "volume"]).run().code(4);
    let bill: Value = serde_json::from_str(&ended.stdout).expect("JSON");
    assert_eq!(bill["bomFormat"], "CycloneDX");
    ended.says(&["apps/closed:1 is partial: "]);
}

#[test]
fn interrupted_it_leaves_nothing() {
    let registry = SlowRegistry::serve("payments");
    let namespace = Namespace::new("sbom-stop", PullSecret::None, vec![waiting_pod("slow", &registry.image)]);
    let cache = tempfile::tempdir().expect("a folder");
    let running = sbom(&namespace, cache.path(), &["pod/slow"]).start();
    registry.wait_until_read_by(1);
    let scan = scan_with_job_in(&namespace.name);
    running.signal("INT");
    let ended = running.end();
    let left = namespace.created_by_scans();
    let ended = ended.code(130).says(&["interrupted: removing", &format!("scan {scan} was interrupted")]);
    assert_eq!((left, ended.stdout.as_str()), (Vec::new(), ""));
}

#[test]
fn what_cannot_be_read_is_an_error_with_its_reason() {
    let namespace = Namespace::with_image("sbom-gone", "gone", "apps/gone");
    let cache = tempfile::tempdir().expect("a folder");
    let ended = sbom(&namespace, cache.path(), &["pod/waiting"]).run().code(1);
    let ended = ended.says(&["cannot read public.clarity.test:5001/apps/gone", "MANIFEST_UNKNOWN"]);
    assert_eq!(ended.stdout, "");
    namespace.assert_nothing_left();
}
