//! `explain-auth` as a person uses it.

use std::time::Duration;

use serde_json::json;

use crate::environment::{environment, kubectl, wait_for};
use crate::https::{HttpsServer, Response};
use crate::namespace::{Namespace, PullSecret, running_pod, waiting_pod};
use crate::plugin::Plugin;

fn explain(namespace: &Namespace, subject: &str) -> Plugin {
    let environment = environment();
    Plugin::new(&["explain-auth", subject, "-n", &namespace.name]).with(&[
        "--scanner-image",
        &environment.scanner,
        "--registry-ca",
        &environment.registry_ca,
    ])
}

#[track_caller]
fn assert_tells(text: &str, lines: &[&str]) {
    for line in lines {
        assert!(text.contains(line), "{line:?} is not in:\n{text}");
    }
}

#[test]
fn image_that_the_kubelet_cannot_pull_is_explained_from_both_sides() {
    let environment = environment();
    let image = format!("{}/apps/cart@{}", environment.registry, environment.digest("distroless"));
    let namespace = Namespace::new("trouble", PullSecret::None, vec![running_pod("cart", &image)]);
    wait_for("the kubelet's trouble", 40, || {
        let path = "jsonpath={.status.containerStatuses[*].state.waiting.reason}";
        kubectl(&["get", "pod", "cart", "-n", &namespace.name, "-o", path]).contains("Pull").then_some(())
    });
    let ended = explain(&namespace, "cart").run().code(4);
    assert_tells(
        &ended.stdout,
        &[
            "pod/cart container cart of namespace ",
            "Pull secrets\n  there are none\n",
            "shown: nothing\n      it answered 401 Unauthorized; basic realm=\"clarity\"\n",
            "it cannot be read: no credential matches registry.clarity.test:5000/apps/cart",
            "the kubelet says: ",
            "--read pull lets the kubelet pull it",
        ],
    );
    namespace.assert_nothing_left();
}

#[test]
fn image_by_its_name_is_asked_for_with_the_secrets_of_the_default_account_by_somebody_with_edit() {
    let environment = environment();
    let namespace = Namespace::new("byname", PullSecret::OnServiceAccount, Vec::new());
    let user = namespace.account_with("edit");
    let image = format!("{}/apps/cart@{}", environment.registry, environment.digest("cart"));
    let ended = explain(&namespace, &image).with(&["--as", &user]).run().code(0);
    assert_tells(&ended.stdout, &["secret \"registry\"", "it can be read, by secret \"registry\" (entry"]);
    let named = explain(&namespace, &image).with(&["--pull-secret", "nix", "--as", &user]).run().code(4);
    assert_tells(&named.stdout, &["secret \"nix\" is not there, or holds no credential for any registry"]);
    namespace.assert_nothing_left();
}

#[test]
fn question_that_is_interrupted_leaves_nothing_behind() {
    let silent = HttpsServer::start(|_| {
        std::thread::sleep(Duration::from_secs(30));
        Response::new(200, "")
    });
    let pod = waiting_pod("cart", &format!("{}/cart:1", silent.host));
    let namespace = Namespace::new("question", PullSecret::None, vec![pod]);
    let running = explain(&namespace, "cart").start();
    wait_for("the question", 30, || (!silent.seen().is_empty()).then_some(()));
    running.signal("INT");
    running.end().code(130).within(40);
    namespace.assert_nothing_left();
}

#[test]
fn what_is_neither_pod_nor_image_is_refused_in_words() {
    let namespace = Namespace::new("neither", PullSecret::None, Vec::new());
    explain(&namespace, "A b").run().code(2).says(&["is no pod, nothing of the form TYPE/NAME, and no image"]);
    explain(&namespace, "quay.test/a:1").with(&["-c", "a"]).run().code(2).says(&["an image has no containers"]);
    explain(&namespace, "nobody").run().code(1).says(&["no pods in namespace"]);
}

#[test]
fn question_from_this_machine_starts_no_pod_and_takes_the_right_to_read_secrets() {
    let environment = environment();
    // The address, since the registry's name is known in the cluster only.
    let image = format!("10.99.0.1:5000/apps/cart@{}", environment.digest("cart"));
    let (user, password) = &environment.credential;
    let auth = json!({"auths": {"10.99.0.1:5000": {"username": user, "password": password}}});
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "pull"},
        "type": "kubernetes.io/dockerconfigjson", "stringData": {".dockerconfigjson": auth.to_string()}});
    let mut pod = waiting_pod("cart", &image);
    pod["spec"]["imagePullSecrets"] = json!([{"name": "missing"}, {"name": "pull"}]);
    let namespace = Namespace::new("local", PullSecret::None, vec![secret, pod]);
    let local = || explain(&namespace, "cart").with(&["--local", "--scanner-image", "nowhere.test/scanner:1"]);
    let ended = local().run().code(0);
    assert_tells(&ended.stdout, &["it can be read, by secret \"pull\"", "Asked from this machine"]);
    assert!(!(ended.stdout + &ended.stderr).contains(password.as_str()));

    let viewer = namespace.account_with("view");
    let ended = local().with(&["--as", &viewer]).run().code(4).says(&["get secrets in namespace"]);
    assert_tells(&ended.stdout, &["no credential matches 10.99.0.1:5000/apps/cart"]);
    assert!(namespace.created_by_scans().is_empty());
}
