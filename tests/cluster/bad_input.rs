//! What a person can get wrong before anything is created: clear words, the right exit code, no waiting.

use std::path::PathBuf;

use crate::environment::another_authority;
use crate::namespace::{Namespace, PullSecret};
use crate::plugin::Plugin;

/// A file with this content.
fn file(content: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let path: PathBuf = folder.path().join("file");
    std::fs::write(&path, content).expect("room");
    (folder, path.display().to_string())
}

#[test]
fn no_kubeconfig() {
    let home = tempfile::tempdir().expect("a folder");
    let home = home.path().display().to_string();
    Plugin::new(&["scan"])
        .variable("KUBECONFIG", "")
        .variable("HOME", &home)
        .run()
        .code(1)
        .says(&[
            "there is no kubeconfig",
            &format!("{home}/.kube/config"),
            "hint:  name one with --kubeconfig FILE",
        ])
        .within(5);
    Plugin::new(&["scan", "--kubeconfig", "/nowhere/config"])
        .run()
        .code(1)
        .says(&["there is no kubeconfig", "/nowhere/config"]);
}

#[test]
fn kubeconfig_that_is_none() {
    for content in ["{", "clusters: 7\n", "\0\0"] {
        let (_folder, path) = file(content);
        let ended = Plugin::new(&["scan", "--kubeconfig", &path]).run().code(1);
        ended.says(&[&format!("cannot use the kubeconfig {path}"), "cause: ", "kubectl config view"]).within(5);
    }
}

#[test]
fn context_that_is_not_there() {
    Plugin::scan(&["-n", "shop", "--context", "nowhere"])
        .run()
        .code(1)
        .says(&["nowhere", "kubectl config"])
        .within(5);
}

#[test]
fn server_that_is_down() {
    let ended = Plugin::scan(&["-n", "shop", "--server", "https://127.0.0.1:1"]).run().code(1).within(15);
    ended.says(&[
        "the server cannot be reached",
        "https://127.0.0.1:1",
        "refused",
        "kubectl config get-contexts",
    ]);
}

#[test]
fn server_with_another_authority() {
    let (_folder, another) = another_authority();
    Plugin::scan(&["-n", "shop", "--certificate-authority", &another])
        .run()
        .code(1)
        .says(&["certificate", "--certificate-authority"])
        .within(15);
}

#[test]
fn token_that_is_not_accepted() {
    Plugin::scan(&["-n", "shop", "--token", "wrong"])
        .run()
        .code(1)
        .says(&["does not accept our credentials", "kubectl auth whoami"])
        .within(15);
}

#[test]
fn namespace_without_pods_and_namespace_that_is_not_there() {
    let namespace = Namespace::new("empty", PullSecret::None, Vec::new());
    let words = format!("no pods in namespace {:?}", namespace.name);
    Plugin::scan(&["-n", &namespace.name]).run().code(1).says(&[&words, "hint: "]).within(15);
    let words = "namespace \"test-nowhere\" not found";
    Plugin::scan(&["-n", "test-nowhere"]).run().code(1).says(&[words, "kubectl get namespaces"]).within(15);
}

#[test]
fn files_that_are_not_there_are_named_before_anything_is_created() {
    let namespace = Namespace::with_image("files", "multi", "apps/multi");
    for (flag, words) in [
        ("--advisories", ["cannot load the advisories", "/nowhere/osv"]),
        ("--registry-ca", ["cannot use --registry-ca /nowhere/osv", "No such file"]),
    ] {
        let ended = Plugin::new(&["scan", "-n", &namespace.name, flag, "/nowhere/osv"]).run().code(1);
        assert_eq!(ended.says(&words).within(5).stdout, "");
    }
    let (_folder, path) = file("no certificate\n");
    let ended = Plugin::new(&["scan", "-n", &namespace.name, "--registry-ca", &path]).run().code(1);
    ended.says(&["it holds no PEM certificate"]);
    assert_eq!(namespace.created_by_scans(), [""; 0]);
}

#[test]
fn last_of_several_flags_counts_as_it_does_for_kubectl() {
    Plugin::scan(&["-n", "shop", "-n", "test-nowhere"])
        .run()
        .code(1)
        .says(&["namespace \"test-nowhere\" not found"]);
}
