//! A scan of what was scanned before: no pod, the same findings.

use serde_json::{Value, json};

use crate::cache::by_hand;
use crate::environment::{environment, kubectl};
use crate::namespace::{Namespace, PullSecret, running_pod, waiting_pod};
use crate::nodes::open_nodes;
use crate::plugin::{Ended, Plugin};
use crate::rights::{account, role_of_the_readme};
use crate::validator::violations;

/// Two images that run.
fn namespace(topic: &str) -> Namespace {
    let public = &environment().public;
    let pods = [("web", "apps/web:1.24"), ("legacy", "apps/legacy:1.0")];
    let pods = pods.map(|(name, image)| running_pod(name, &format!("{public}/{image}"))).into();
    let namespace = Namespace::new(topic, PullSecret::None, pods);
    namespace.wait_until_ready();
    namespace
}

/// Scans with a cache of its own on this machine.
fn scan(namespace: &Namespace, folder: &tempfile::TempDir, flags: &[&str]) -> Ended {
    let folder = folder.path().display().to_string();
    Plugin::scan(&["-n", &namespace.name, "--cache", "local"])
        .variable("XDG_CACHE_HOME", &folder)
        .with(flags)
        .run()
}

fn states(report: &Value) -> Vec<&str> {
    let containers = report["containers"].as_array().expect("a list").iter();
    containers.map(|container| container["state"].as_str().expect("a state")).collect()
}

/// What was found, without how it was come by.
fn findings(report: &Value) -> Vec<Value> {
    let images = report["images"].as_array().expect("a list").iter();
    let of_image =
        |image: &Value| json!([image["digest"], image["packages"], image["distro"], image["findings"]]);
    images.map(of_image).collect()
}

#[test]
fn second_scan_starts_no_pod_and_finds_the_same() {
    let _open = open_nodes();
    let namespace = namespace("rescan");
    let folder = tempfile::tempdir().expect("a folder");
    let first = scan(&namespace, &folder, &[]).code(0);
    assert_eq!(states(&first.report()), ["scanned", "scanned"]);
    assert!(first.report()["images"][0]["findings"].as_array().is_some_and(|findings| !findings.is_empty()));

    // Whatever pods there were are gone, so that a new one would be seen.
    let pods = || kubectl(&["get", "events", "-n", &namespace.name, "-o", "name"]).lines().count();
    let before = pods();
    let second = scan(&namespace, &folder, &[]).code(0).says(&["nothing to read, 2 cached"]);
    assert_eq!(states(&second.report()), ["cached", "cached"]);
    assert_eq!(findings(&second.report()), findings(&first.report()));
    assert_eq!(second.report()["images"][0]["read_by"]["reader"], "cache");
    assert_eq!(pods(), before, "nothing happened in the namespace");
    let without = scan(&namespace, &folder, &["--no-pods"]).code(0);
    assert_eq!(findings(&without.report()), findings(&first.report()));

    let again = scan(&namespace, &folder, &["--refresh"]).code(0);
    assert_eq!(states(&again.report()), ["scanned", "scanned"]);
    let none = scan(&namespace, &folder, &["--cache", "none"]).code(0);
    assert_eq!(states(&none.report()), ["scanned", "scanned"]);
    namespace.assert_nothing_left();
}

#[test]
fn without_pods_what_is_not_known_is_skipped_and_said() {
    let _open = open_nodes();
    let namespace = namespace("no-pods");
    let folder = tempfile::tempdir().expect("a folder");
    let ended = scan(&namespace, &folder, &["--no-pods"]).code(4);
    let report = ended.report();
    assert_eq!(states(&report), ["skipped", "skipped"]);
    let reason = report["containers"][0]["reason"].as_str().expect("a reason");
    assert_eq!(reason, "its SBOM is not in the cache, and no pods are started (--no-pods)");
    namespace.assert_nothing_left();
}

#[test]
fn damaged_entry_is_named_and_made_anew() {
    let _open = open_nodes();
    let namespace = namespace("damaged");
    let folder = tempfile::tempdir().expect("a folder");
    scan(&namespace, &folder, &[]).code(0);
    let sboms = folder.path().join("kubectl-clarity/sboms");
    let files: Vec<_> =
        std::fs::read_dir(&sboms).expect("a folder").map(|file| file.expect("a file").path()).collect();
    let sboms: Vec<_> = files.iter().filter(|path| path.is_file()).collect();
    assert_eq!(sboms.len(), 2, "{files:?}");
    let mut bytes = std::fs::read(sboms[0]).expect("an entry");
    let last = bytes.len() - 9;
    bytes[last] ^= 1;
    std::fs::write(sboms[0], bytes).expect("written");
    let report = scan(&namespace, &folder, &[]).code(0).report();
    let mut states = states(&report);
    states.sort_unstable();
    assert_eq!(states, ["cached", "scanned"]);
    let notes =
        report["notes"].as_array().expect("a list").iter().filter_map(Value::as_str).collect::<String>();
    assert!(notes.contains("damaged") || notes.contains("cannot be"), "{notes}");
    let report = scan(&namespace, &folder, &[]).code(0).report();
    assert!(
        report["containers"].as_array().expect("a list").iter().all(|container| container["state"] == "cached")
    );
}

/// The rights of the README's Role, and these verbs on ConfigMaps.
fn account_with(namespace: &Namespace, name: &str, verbs: &[&str]) -> String {
    let mut rules = role_of_the_readme()["rules"].clone();
    if !verbs.is_empty() {
        let more = json!({"apiGroups": [""], "resources": ["configmaps"], "verbs": verbs});
        rules.as_array_mut().expect("a list").push(more);
    }
    account(namespace, name, &rules)
}

/// What is said of ConfigMaps.
fn notes(report: &Value) -> Vec<&str> {
    let notes = report["notes"].as_array().expect("a list").iter().filter_map(Value::as_str);
    notes.filter(|note| note.to_lowercase().contains("configmap")).collect()
}

#[test]
fn what_one_person_has_read_the_others_need_not_read() {
    let _open = open_nodes();
    let namespace = namespace("shared");
    let writer = account_with(&namespace, "writer", &["get", "list", "create", "patch", "delete"]);
    let reader = account_with(&namespace, "reader", &["get", "list"]);
    let stranger = account_with(&namespace, "stranger", &[]);
    let machines = [(); 4].map(|()| tempfile::tempdir().expect("a folder"));
    let scan_as = |user: &str, machine: &tempfile::TempDir| {
        scan(&namespace, machine, &["--cache", "configmap", "--state-namespace", &namespace.name, "--as", user])
    };
    // At the same moment: each reads, and nothing is doubled or lost.
    let (first, second) = std::thread::scope(|scope| {
        let other = scope.spawn(|| scan_as(&writer, &machines[1]).code(0));
        (scan_as(&writer, &machines[0]).code(0), other.join().expect("no panic"))
    });
    assert_eq!(findings(&first.report()), findings(&second.report()));
    assert_eq!((notes(&first.report()), notes(&second.report())), (Vec::new(), Vec::new()));
    let maps = kubectl(&[
        "get",
        "configmaps",
        "-n",
        &namespace.name,
        "-l",
        "kubectl-clarity.io/kind=sbom",
        "-o",
        "name",
    ]);
    assert_eq!(maps.lines().count(), 2, "{maps}");

    // On another machine, by somebody who may only read them.
    let third = scan_as(&reader, &machines[2]).code(0);
    assert_eq!(states(&third.report()), ["cached", "cached"]);
    assert_eq!(findings(&third.report()), findings(&first.report()));

    // Who may not even read them scans all the same, and is told once.
    let fourth = scan_as(&stranger, &machines[3]).code(0);
    assert_eq!(states(&fourth.report()), ["scanned", "scanned"]);
    let report = fourth.report();
    assert_eq!(notes(&report).len(), 1, "{}", report["notes"]);

    // Anybody can read what is in one.
    let script = format!(
        "kubectl get {} -n {} -o jsonpath='{{.binaryData.sbom\\.json\\.zst}}' | base64 -d | zstd -qd",
        maps.lines().next().expect("one"),
        namespace.name
    );
    let output = std::process::Command::new("sh").args(["-c", &script]).output().expect("a shell");
    let sbom: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((&sbom["bomFormat"], &sbom["specVersion"]), (&json!("CycloneDX"), &json!("1.5")));
}

#[test]
fn what_a_scan_keeps_is_of_the_schema_and_is_found_from_a_machine_that_has_read_nothing() {
    let _open = open_nodes();
    let public = &environment().public;
    let images = [
        ("languages", "apps/languages:1"),
        ("web", "apps/web:1.24"),
        ("distroless", "apps/distroless:nonroot"),
    ];
    let pods = images
        .map(|(name, image)| waiting_pod(name, &format!("{public}/{image}@{}", environment().digest(name))));
    let namespace = Namespace::new("kept", PullSecret::None, pods.into());
    let folder = tempfile::tempdir().expect("a folder");
    let shared = ["--cache", "configmap", "--state-namespace", &namespace.name];
    // Some of their packages are of ecosystems without advisories here.
    let flags = [&shared[..], &["--allow-incomplete"]].concat();
    let report = scan(&namespace, &folder, &flags).code(0).report();
    assert_eq!(report["images"].as_array().map(Vec::len), Some(3), "{report:#}");

    let label = ["-l", "kubectl-clarity.io/kind=sbom", "-o", "name"];
    let names = kubectl(&[&["get", "configmap", "-n", &namespace.name][..], &label].concat());
    assert_eq!(names.lines().count(), 3, "{names}");
    for name in names.lines() {
        let name = name.strip_prefix("configmap/").expect("a ConfigMap");
        assert_eq!(violations(&by_hand(&namespace.name, name, "| zstd -d")), [""; 0], "{name}");
    }

    let empty = tempfile::tempdir().expect("a folder");
    let ask = |query: &str, cache: &str| {
        Plugin::new(&["find", query, "-n", &namespace.name, "-o", "json", "--cache", cache])
            .with(if cache == "local" { &[] } else { &shared[2..] })
            .variable("XDG_CACHE_HOME", &empty.path().display().to_string())
            .run()
    };
    let nothing = ask("libc6", "local").code(4).report();
    assert_eq!((&nothing["searched"], nothing["not_searched"].as_array().map(Vec::len)), (&json!(0), Some(3)));
    let found = ask("libc6", "configmap").code(0).report();
    assert_eq!(found["searched"], 3, "{found:#}");
    assert!(found["images"].as_array().is_some_and(|images| !images.is_empty()), "{found:#}");
    assert_eq!(
        ask("libc6", "local").code(0).report()["images"],
        found["images"],
        "they were copied to this machine"
    );
    namespace.assert_nothing_left();
}
