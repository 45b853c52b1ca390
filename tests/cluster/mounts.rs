//! Images that are read where a node has them unpacked.

use serde_json::{Value, json};

use crate::environment::{environment, kubectl, wait_for};
use crate::namespace::{Namespace, PullSecret, on_node, running_pod, with_secret};
use crate::nodes::{Cordoned, Full, open_nodes};
use crate::plugin::{Ended, Plugin, assert_has, state};
use crate::registry::SlowRegistry;
use crate::rights::{account, role_of_the_readme};

/// The only image of a report.
#[track_caller]
fn only(ended: &Ended) -> Value {
    ended.only_image();
    ended.report()["images"][0].clone()
}

/// Where and as whom an image was read; only the reader of one that was streamed.
fn read_by(image: &Value) -> (String, String, String) {
    let text = |key: &str| image["read_by"][key].as_str().unwrap_or_default().to_owned();
    (text("reader"), text("node"), text("user"))
}

fn volume(node: &str, user: &str) -> (String, String, String) {
    ("volume".to_owned(), node.to_owned(), user.to_owned())
}

fn stream() -> (String, String, String) {
    ("stream".to_owned(), String::new(), String::new())
}

const ROOT: &str = "root of a user namespace";

fn public(repository: &str) -> String {
    format!("{}/{repository}", environment().public)
}

#[test]
fn image_of_one_node_is_read_there_with_its_registry_down() {
    let _open = open_nodes();
    let registry = SlowRegistry::serve("payments");
    registry.open();
    let _trust = environment().trust(registry.host());
    let pod = on_node("node2", running_pod("app", &registry.image));
    let namespace = Namespace::new("node2", PullSecret::None, vec![pod]);
    namespace.wait_until_ready();
    registry.go_down();

    let ended = Plugin::scan(&["-n", &namespace.name]).run().code(0);
    let image = only(&ended);
    assert_eq!(state(&image).0, "scanned");
    assert_eq!(read_by(&image), volume("node2", ROOT));
    assert_eq!((&image["packages"], &image["digest"]), (&json!(20), &json!(environment().digest("payments"))));
    namespace.assert_nothing_left();

    let ended = Plugin::scan(&["-n", &namespace.name, "--read", "stream"]).run().code(4);
    assert_eq!(state(&only(&ended)).0, "failed", "its registry is down indeed");
}

#[test]
fn private_image_is_mounted_with_the_pull_secret_of_its_pod() {
    let _open = open_nodes();
    let image = format!("{}/shop/payments:2.1", environment().registry);
    let pods = vec![with_secret(running_pod("app", &image))];
    let namespace = Namespace::new("private", PullSecret::ForPods, pods);
    namespace.wait_until_ready();
    let editor = namespace.account_with("edit");
    for flags in [&["--read", "volume"][..], &["--read", "volume", "--as", &editor]] {
        let ended = Plugin::scan(&["-n", &namespace.name]).with(flags).run().code(0);
        assert_eq!(state(&only(&ended)).0, "scanned");
    }
}

#[test]
fn packages_of_every_kind_are_found_in_a_mount_and_held_against_their_advisories() {
    let _open = open_nodes();
    let pods = vec![running_pod("app", &public("apps/languages:1"))];
    let namespace = Namespace::new("kinds", PullSecret::None, pods);
    namespace.wait_until_ready();
    // Of rpm there is a database and no advisory.
    let image =
        only(&Plugin::scan(&["-n", &namespace.name, "--read", "volume", "--allow-incomplete"]).run().code(0));
    assert_eq!(state(&image).0, "scanned");
    let findings = image["findings"].as_array().expect("a list");
    let has = |purl: &str, vulnerability: &str| {
        let text = |finding: &Value, key: &str| finding[key].as_str().unwrap_or_default().to_owned();
        let is_it = |f: &&Value| text(f, "purl").starts_with(purl) && f.to_string().contains(vulnerability);
        assert!(findings.iter().any(|f| is_it(&f)), "{purl} {vulnerability} is not in {findings:#?}");
    };
    has("pkg:maven/org.apache.logging.log4j/log4j-core@2.14.1", "GHSA-jfh8-c2jp-5v3q");
    has("pkg:pypi/jinja2@2.11.2", "PYSEC-2021-66");
    has("pkg:npm/lodash@4.17.15", "GHSA-35jh-r3h4-6jhm");
    has("pkg:apk/alpine/curl@8.1.0-r1", "CVE-2023-38545");
}

#[test]
fn image_that_was_loaded_by_hand_and_is_in_no_registry() {
    let _open = open_nodes();
    let environment = environment();
    let name = "registry.nowhere.test/apps/manual:1";
    let folder = tempfile::tempdir().expect("a folder");
    let archive = folder.path().join("manual.tar").display().to_string();
    let layout = environment.layout("manual").display().to_string();
    let packed = std::process::Command::new("tar").args(["-C", &layout, "-cf", &archive, "."]).status();
    assert!(packed.expect("tar").success());
    environment
        .ctr("node1", &["images", "import", "--local", "--digests=false", "--index-name", name, &archive]);
    let mut pod = on_node("node1", running_pod("app", name));
    pod["spec"]["containers"][0]["imagePullPolicy"] = json!("Never");
    let namespace = Namespace::new("manual", PullSecret::None, vec![pod]);
    namespace.wait_until_ready();

    let ended = Plugin::scan(&["-n", &namespace.name]).run().code(0);
    let image = only(&ended);
    assert_eq!(state(&image).0, "scanned", "{}", ended.stdout);
    assert_eq!(read_by(&image), volume("node1", ROOT));
    assert_eq!(image["packages"], 20);
}

#[test]
fn restricted_of_two_versions_is_read_on_different_rungs() {
    let _open = open_nodes();
    for (version, user) in [("latest", ROOT), ("v1.34", "user 65532")] {
        let labels = json!({"pod-security.kubernetes.io/enforce-version": version});
        let pods = vec![running_pod("app", &public("shop/payments:2.1"))];
        let namespace = Namespace::with_labels("rung", PullSecret::None, &labels, pods);
        namespace.wait_until_ready();
        let ended = Plugin::scan(&["-n", &namespace.name]).run().code(0);
        let image = only(&ended);
        let (reader, _, read_as) = read_by(&image);
        assert_eq!((reader.as_str(), read_as.as_str()), ("volume", user), "{version}: {}", ended.stderr);
        assert_eq!(state(&image).0, "scanned");
        namespace.assert_nothing_left();
    }
}

#[test]
fn rung_that_is_refused_is_left_by_someone_who_could_not_know_it_beforehand() {
    let _open = open_nodes();
    let labels = json!({"pod-security.kubernetes.io/enforce-version": "v1.34"});
    let pods = vec![running_pod("app", &public("shop/payments:2.1"))];
    let namespace = Namespace::with_labels("editor", PullSecret::None, &labels, pods);
    namespace.wait_until_ready();
    let role = role_of_the_readme()["rules"].clone();
    let mut with_events = role.clone();
    with_events.as_array_mut().expect("a list").push(json!({
        "apiGroups": [""], "resources": ["events"], "verbs": ["list", "watch"]}));
    for (name, rules, why) in [
        ("told", &with_events, "violates PodSecurity"),
        ("untold", &role, "why may not be known (list events)"),
    ] {
        let user = account(&namespace, name, rules);
        let ended = Plugin::scan(&["-n", &namespace.name, "--as", &user, "-v", "1"]).run().code(0).within(40);
        let (reader, _, read_as) = read_by(&only(&ended));
        assert_eq!((reader.as_str(), read_as.as_str()), ("volume", "user 65532"));
        let words = format!("in namespace {} the scanner runs as user 65532", namespace.name);
        let notes = ended.report()["notes"].to_string();
        assert!(notes.contains(&words) && notes.contains(why), "{notes}");
        ended.says(&["read as root of a user namespace", &words, "read as user 65532"]);
    }
    namespace.assert_nothing_left();
}

#[test]
fn folder_of_another_user_is_streamed_or_named() {
    let _open = open_nodes();
    let mut pod = running_pod("app", &public("apps/closed:1"));
    pod["spec"]["securityContext"]["runAsUser"] = json!(1000);
    let namespace = Namespace::new("closed", PullSecret::None, vec![pod]);
    namespace.wait_until_ready();

    let whole = only(&Plugin::scan(&["-n", &namespace.name]).run().code(0));
    assert_eq!((state(&whole).0.as_str(), read_by(&whole)), ("scanned", stream()));
    assert_eq!(whole["packages"], 21);

    let part = only(&Plugin::scan(&["-n", &namespace.name, "--read", "volume"]).run().code(4));
    let (state, reason) = state(&part);
    assert_eq!((state.as_str(), read_by(&part).0.as_str()), ("partial", "volume"));
    assert_has(&reason, &["app: cannot be read: permission denied"]);
    assert_eq!(part["packages"], 20);
    namespace.assert_nothing_left();
}

/// A pod with the same image on each of these nodes.
fn web_on(nodes: &[&str]) -> Vec<Value> {
    let pod = |node: &&str| on_node(node, running_pod(node, &public("apps/web:1.24")));
    nodes.iter().map(pod).collect()
}

#[test]
fn cordoned_node_is_passed_by() {
    let one = Namespace::new("cordon", PullSecret::None, web_on(&["node2"]));
    let both = Namespace::new("cordons", PullSecret::None, web_on(&["node1", "node2"]));
    one.wait_until_ready();
    both.wait_until_ready();
    let editor = one.account_with("edit");
    let _cordoned = Cordoned::new("node2");

    let streamed = only(&Plugin::scan(&["-n", &one.name]).run().code(0));
    assert_eq!((state(&streamed).0.as_str(), read_by(&streamed)), ("scanned", stream()));
    let (state, reason) = Plugin::scan(&["-n", &one.name, "--read", "volume"]).run().code(4).only_image();
    assert_eq!(state, "failed");
    assert_has(&reason, &["node node2 has it, but it is cordoned", "--read auto"]);
    let other = only(&Plugin::scan(&["-n", &both.name]).run().code(0));
    assert_eq!(read_by(&other), volume("node1", ROOT));
    // Who may not look at nodes finds out by trying.
    let tried = only(&Plugin::scan(&["-n", &one.name, "--as", &editor]).run().code(0));
    assert_eq!(read_by(&tried), stream());
    one.assert_nothing_left();
}

#[test]
fn full_node_is_left_for_another_and_then_for_the_registry() {
    let one = Namespace::new("full", PullSecret::None, web_on(&["node2"]));
    let both = Namespace::new("fulls", PullSecret::None, web_on(&["node1", "node2"]));
    one.wait_until_ready();
    both.wait_until_ready();
    let _full = Full::new("node2", &public("apps/web:1.24"));
    let streamed = Plugin::scan(&["-n", &one.name]).run().code(0).within(40);
    assert_eq!(read_by(&only(&streamed)), stream());
    let other = only(&Plugin::scan(&["-n", &both.name]).run().code(0).within(40));
    assert_eq!(read_by(&other), volume("node1", ROOT));
    let (state, reason) =
        Plugin::scan(&["-n", &one.name, "--read", "volume"]).run().code(4).within(40).only_image();
    assert_eq!(state, "failed");
    assert_has(&reason, &["no node takes the scanner pod", "Insufficient memory"]);
    one.assert_nothing_left();
}

#[test]
fn image_that_its_node_has_lost_does_not_take_others_with_it() {
    let _open = open_nodes();
    let environment = environment();
    let lost = public("apps/lost:1");
    // A pod that has ended holds no image.
    let mut ended = on_node("node2", running_pod("lost", &lost));
    ended["spec"]["restartPolicy"] = json!("Never");
    ended["spec"]["activeDeadlineSeconds"] = json!(1);
    let kept = on_node("node2", running_pod("kept", &public("shop/payments:2.1")));
    let namespace = Namespace::new("lost", PullSecret::None, vec![ended]);
    wait_for("the end of the pod", 40, || {
        let phase = ["get", "pod", "lost", "-n", &namespace.name, "-o", "jsonpath={.status.phase}"];
        (kubectl(&phase) == "Failed").then_some(())
    });
    namespace.add(vec![kept]);
    kubectl(&["wait", "-n", &namespace.name, "--for=condition=Ready", "--timeout=60s", "pod/kept"]);
    let digest = environment.digest("lost");
    // Its tag, its digest, and its config, each a name of the same image.
    let names = environment.ctr("node2", &["images", "ls"]);
    let names = names.lines().filter(|line| line.contains(&digest));
    let of_lost: Vec<&str> = names.filter_map(|line| line.split_whitespace().next()).collect();
    assert!(of_lost.len() > 1, "{of_lost:?}");
    environment.ctr("node2", &[&["images", "rm", "--sync"], &of_lost[..]].concat());
    wait_for("the kubelet's node without the image", 20, || {
        (!environment.ctr("node2", &["images", "ls"]).contains(&digest)).then_some(())
    });

    let scanned = Plugin::scan(&["-n", &namespace.name, "-v", "1"]).run().code(0);
    let report = scanned.report();
    let by = |name: &str| {
        let images = report["images"].as_array().expect("a list");
        let is_it = |image: &&Value| image["reference"].as_str().is_some_and(|text| text.contains(name));
        read_by(images.iter().find(is_it).expect("every image"))
    };
    assert_eq!(by("apps/lost"), stream(), "{}", scanned.stderr);
    assert_eq!(by("shop/payments"), volume("node2", ROOT), "{}", scanned.stderr);
    namespace.assert_nothing_left();

    let ended = Plugin::scan(&["-n", &namespace.name, "pod/lost", "--read", "volume"]).run().code(4);
    assert_has(&ended.only_image().1, &["the node did not mount it", "apps/lost", "not present"]);
    let pulled = Plugin::scan(&["-n", &namespace.name, "pod/lost", "--read", "pull"]).run().code(0);
    assert_eq!(read_by(&only(&pulled)), volume("node2", ROOT));
}

#[test]
fn image_whose_container_has_not_started_is_pulled_by_the_kubelet_when_asked_to() {
    let _open = open_nodes();
    let namespace = Namespace::with_image("pull", "multi", "apps/multi");
    let image = only(&Plugin::scan(&["-n", &namespace.name, "--read", "pull"]).run().code(0));
    assert_eq!((state(&image).0.as_str(), read_by(&image).0.as_str()), ("scanned", "volume"));
    let (state, reason) = Plugin::scan(&["-n", &namespace.name, "--read", "volume"]).run().code(4).only_image();
    assert_eq!(state, "failed");
    assert_has(&reason, &["its container has not started"]);
}
