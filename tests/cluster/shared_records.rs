//! Records of scans in ConfigMaps: left by a scan, shown and compared on another machine, damaged, forged, too many, and without
//! the rights.

use clarity::cluster::{Access, connect};
use clarity::records::{Header, Origin, SharedRecords};
use serde_json::{Value, json};

use crate::environment::{environment, kubectl};
use crate::namespace::{Namespace, PullSecret, running_pod};
use crate::plugin::{Ended, Plugin};
use crate::rights::{account, role_of_the_readme};

/// A namespace with one image, and what a scan of it keeps there.
fn namespace(topic: &str) -> Namespace {
    let image = format!("{}/apps/web:1.24", environment().public);
    let namespace =
        Namespace::new(&format!("records-{topic}"), PullSecret::None, vec![running_pod("web", &image)]);
    namespace.wait_until_ready();
    namespace
}

fn scan(namespace: &Namespace, flags: &[&str]) -> Ended {
    let home = tempfile::tempdir().expect("a folder");
    Plugin::scan(&["-n", &namespace.name, "--cache", "configmap", "--state-namespace", &namespace.name])
        .variable("XDG_CACHE_HOME", &home.path().display().to_string())
        .with(flags)
        .run()
}

/// On a machine that has never seen a scan.
fn elsewhere(arguments: &[&str]) -> Ended {
    let home = tempfile::tempdir().expect("a folder");
    Plugin::new(arguments).variable("XDG_CACHE_HOME", &home.path().display().to_string()).run()
}

fn annotate(namespace: &Namespace, record: &str, annotation: &str) {
    let object = format!("configmap/clarity-record-{record}");
    kubectl(&["annotate", &object, "-n", &namespace.name, "--overwrite", annotation]);
}

#[test]
fn record_of_a_scan_is_shown_and_compared_on_another_machine() {
    let namespace = namespace("elsewhere");
    let first = scan(&namespace, &[]).code(0).report();
    let second = scan(&namespace, &[]).code(0).report();
    let id = |report: &Value| report["scan"]["id"].as_str().expect("an id").to_owned();

    let at = ["--state-namespace", &namespace.name];
    let listed = elsewhere(&[&["report", "--list", "-o", "json"], &at[..]].concat()).code(0).report();
    let ids: Vec<&str> =
        listed.as_array().expect("a list").iter().map(|one| one["id"].as_str().expect("an id")).collect();
    assert_eq!(ids, [id(&second), id(&first)]);
    let shown = elsewhere(&[&["report", &id(&first)[..6], "-o", "json"], &at[..]].concat()).code(0).report();
    assert_eq!(shown["images"], first["images"]);
    let last = elsewhere(&[&["report", "last", "-o", "json"], &at[..]].concat()).code(0).report();
    assert_eq!(last["scan"], second["scan"]);
    let diff = elsewhere(&[&["diff", "-o", "json"], &at[..]].concat()).code(0).report();
    assert_eq!((&diff["images_unchanged"], &diff["images"]), (&json!(1), &json!([])), "{diff}");
    assert_ne!(diff["summary"]["unchanged"], 0, "{diff}");
}

#[test]
fn damaged_and_forged_records_are_named_and_the_others_shown() {
    let namespace = namespace("damaged");
    let good = scan(&namespace, &[]).code(0).report();
    let forged = scan(&namespace, &[]).code(0).report()["scan"]["id"].as_str().expect("an id").to_owned();
    annotate(&namespace, &forged, "kubectl-clarity.io/parts=99");

    let at = ["--state-namespace", &namespace.name];
    let listed = elsewhere(&[&["report", "--list"], &at[..]].concat()).code(0);
    assert!(listed.stderr.contains(&format!("clarity-record-{forged} is damaged")), "{}", listed.stderr);
    let last = elsewhere(&[&["report", "-o", "json"], &at[..]].concat()).code(0).report();
    assert_eq!(last["scan"], good["scan"]);

    // A record that holds another one.
    let good = good["scan"]["id"].as_str().expect("an id");
    let object =
        kubectl(&["get", "-n", &namespace.name, "-o", "json", &format!("configmap/clarity-record-{good}")]);
    let mut object: Value = serde_json::from_str(&object).expect("JSON");
    let header = &mut object["metadata"]["annotations"]["kubectl-clarity.io/record"];
    *header = header.as_str().expect("text").replace(good, "other").into();
    let (labels, annotations) = (&object["metadata"]["labels"], &object["metadata"]["annotations"]);
    object["metadata"] = json!({"name": "clarity-record-other", "labels": labels, "annotations": annotations});
    namespace.add(vec![object]);
    let other = elsewhere(&[&["report", "other"], &at[..]].concat()).code(1);
    assert!(other.stderr.contains("its header is that of another report"), "{}", other.stderr);
}

#[test]
fn who_may_not_write_records_scans_with_a_note() {
    let namespace = namespace("stranger");
    let user = account(&namespace, "stranger", &role_of_the_readme()["rules"]);
    let ended = scan(&namespace, &["--as", &user]).code(0);
    assert!(ended.stderr.contains("no record was kept in namespace"), "{}", ended.stderr);
    assert!(ended.stderr.contains("configmaps"), "{}", ended.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_each_schedule_only_the_last_records_stay() {
    let namespace = namespace("many");
    let text = scan(&namespace, &[]).code(0).stdout;
    let mut report = clarity::report::json::read(text.as_bytes()).expect("a report");
    let kubeconfig = std::env::var("KUBECONFIG").expect("the environment was looked at");
    let access = Access { kubeconfig: vec![kubeconfig.into()], ..Access::default() };
    let client = connect(&access).await.expect("a connection").client;
    let records = SharedRecords::new(&client, &namespace.name).keeping(2);
    for number in 1..=4 {
        report.scan.id = format!("n{number}");
        report.scan.started = format!("2026-01-0{number}T00:00:00Z");
        // More than one object has room for.
        report.notes = vec![noise(1_500_000, number)];
        let origin = Origin { schedule: Some("nightly".into()), ..Origin::default() };
        let header = Header::of(&report, origin).expect("a header");
        records.put(&header, &report).await.expect("kept");
    }
    let label = "kubectl-clarity.io/schedule=nightly";
    let names = kubectl(&["get", "configmaps", "-n", &namespace.name, "-l", label, "-o", "name"]);
    let mut names: Vec<&str> = names.lines().collect();
    names.sort_unstable();
    let expected = ["n3", "n3-part2", "n4", "n4-part2"].map(|name| format!("configmap/clarity-record-{name}"));
    assert_eq!(names, expected, "and the scan without a schedule is counted apart");
    let all = kubectl(&[
        "get",
        "configmaps",
        "-n",
        &namespace.name,
        "-l",
        "kubectl-clarity.io/kind=record",
        "-o",
        "name",
    ]);
    assert_eq!(all.lines().count(), 3);
    let shown =
        elsewhere(&["report", "--schedule", "nightly", "--state-namespace", &namespace.name, "-o", "json"]);
    assert_eq!(shown.code(0).report()["scan"]["id"], "n4");
}

/// Text that does not compress to less than half.
fn noise(length: usize, seed: u64) -> String {
    let mut state = seed;
    let next = (0..length).map(|_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(b'0' + u8::try_from(state >> 58).expect("six bits"))
    });
    next.collect()
}
