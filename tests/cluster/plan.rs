//! What `plan` says that a scan would do, held against what the cluster says to it.

use serde_json::{Value, json};

use crate::environment::{environment, kubectl_with, wait_for};
use crate::namespace::{Namespace, PullSecret, running_pod};
use crate::nodes::open_nodes;
use crate::plugin::{Ended, Plugin};
use crate::registry::blob;
use crate::rights::{account, role_of_the_readme};

fn plan(namespace: &Namespace, flags: &[&str]) -> Ended {
    Plugin::new(&["plan", "-n", &namespace.name, "--scanner-image", &environment().scanner]).with(flags).run()
}

#[test]
fn plan_names_images_and_jobs_and_creates_nothing() {
    let namespace = Namespace::with_image("plan", "multi", "apps/multi");
    let ended = plan(&namespace, &["-o", "json"]).code(0);
    let preview = ended.report();
    let images = preview["images"].as_array().expect("a list");
    assert_eq!((images.len(), &images[0]["containers"], &images[0]["job"]), (1, &json!(1), &json!(1)));
    assert!(images[0]["image"].as_str().expect("text").contains("apps/multi@sha256:"), "{}", images[0]);
    // Its pod waits for ever on a node that does not have the image.
    let how = &images[0]["how"];
    assert!(how["streamed"]["registry"] == json!(environment().public) || how["mounted"].is_object(), "{how}");
    assert_eq!(preview["jobs"].as_array().map(Vec::len), Some(1));
    assert_eq!(preview["missing_rights"], json!([]));
    namespace.assert_nothing_left();
}

#[test]
fn jobs_as_yaml_are_taken_by_the_api_server() {
    let namespace = Namespace::with_image("planned", "multi", "apps/multi");
    let yaml = plan(&namespace, &["-o", "yaml"]).code(0).stdout;
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), yaml).expect("written");
    let path = file.path().display().to_string();
    let said = kubectl_with(&["create", "--dry-run=server", "-o", "name", "-f", &path], &Value::Null);
    assert!(said.contains("job.batch/clarity-"), "{said}");
    namespace.assert_nothing_left();
}

#[test]
fn missing_rights_are_named_before_anything_is_tried() {
    let namespace = Namespace::with_image("unable", "multi", "apps/multi");
    let mut rules = role_of_the_readme()["rules"].clone();
    for rule in rules.as_array_mut().expect("a list") {
        rule["verbs"].as_array_mut().expect("a list").retain(|verb| verb != "create" && verb != "delete");
    }
    let user = account(&namespace, "looker", &rules);
    let ended = plan(&namespace, &["--as", &user]).code(1);
    for verb in ["create", "delete"] {
        let line = format!("Missing right: {verb} jobs in namespace \"{}\"", namespace.name);
        assert!(ended.stdout.contains(&line), "{}", ended.stdout);
    }
    assert!(!ended.stdout.contains("list pods"), "{}", ended.stdout);
}

/// Bytes of everything that a fixture with one manifest consists of.
fn size(fixture: &str) -> u64 {
    let environment = environment();
    let manifest = blob(&environment.layout(fixture), &environment.digest(fixture)).expect("a manifest");
    let parsed: Value = serde_json::from_slice(&manifest).expect("json");
    let layers = parsed["layers"].as_array().expect("a list").iter();
    let blobs = layers.chain([&parsed["config"]]).map(|blob| blob["size"].as_u64().expect("a size"));
    manifest.len() as u64 + blobs.sum::<u64>()
}

#[test]
fn bytes_to_pull_are_told_of_what_is_streamed() {
    let _open = open_nodes();
    let image = format!("{}/apps/web:1.24", environment().public);
    let namespace = Namespace::new("bytes", PullSecret::None, vec![running_pod("web", &image)]);
    namespace.wait_until_ready();
    // A kubelet tells only now and then which images its node has.
    let expected = size("web");
    wait_for("the size of the image", 60, || {
        let preview = plan(&namespace, &["--read", "stream", "-o", "json"]).code(0).report();
        let image = &preview["images"][0];
        assert!(image["how"]["streamed"].is_object(), "{image}");
        let told = (&image["pull_bytes"], &preview["pull"]);
        (told == (&json!(expected), &json!({"bytes": expected, "unknown": 0}))).then_some(())
    });
    let table = plan(&namespace, &["--read", "stream"]).code(0).stdout;
    assert!(table.contains("1 streamed; 0.3 MiB to pull\n"), "{table}");
    let mounted = plan(&namespace, &["-o", "json"]).code(0).report();
    assert_eq!((&mounted["images"][0]["pull_bytes"], &mounted["pull"]["bytes"]), (&json!(0), &json!(0)));
}

#[test]
fn dry_run_of_a_scan_is_a_plan() {
    let namespace = Namespace::with_image("dry-run", "multi", "apps/multi");
    let dry_run = |flags: &[&str]| {
        let scan = Plugin::new(&["scan", "--dry-run", "-n", &namespace.name]).with(flags);
        scan.with(&["--scanner-image", &environment().scanner, "--fail-on", "low", "--offline"]).run().code(0)
    };
    assert_eq!(dry_run(&[]).stdout, plan(&namespace, &[]).stdout);
    let images = |ended: Ended| ended.report()["images"].clone();
    assert_eq!(images(dry_run(&["-o", "json"])), images(plan(&namespace, &["-o", "json"])));
    let file = tempfile::NamedTempFile::new().expect("a file");
    let path = file.path().display().to_string();
    assert_eq!(dry_run(&["-o", "json", "--output-file", &path]).stdout, "");
    let written: Value = serde_json::from_slice(&std::fs::read(file.path()).expect("a file")).expect("json");
    assert_eq!(written["images"].as_array().map(Vec::len), Some(1));
    namespace.assert_nothing_left();
}
