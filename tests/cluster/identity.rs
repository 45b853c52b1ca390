//! Scanner pods that have an identity in a cloud, by their ServiceAccount.

use std::sync::LazyLock;

use serde_json::{Value, json};

use crate::admission::Webhook;
use crate::cloud::{self, ACCOUNT, ACR, Cloud, ECR};
use crate::environment::environment;
use crate::namespace::{Namespace, PullSecret, running_pod, waiting_pod};
use crate::nodes::open_nodes;
use crate::plugin::{Ended, Plugin, assert_has};

static CLOUD: LazyLock<Cloud> = LazyLock::new(|| Cloud::serve("payments"));

/// A scan of an image that only the identity of an account may read.
fn scan(topic: &str, registry: &str, account: &str, change: fn(&Value) -> Value) -> Ended {
    let authority = CLOUD.authority();
    let image = format!("{registry}/shop/payments@{}", environment().digest("payments"));
    let objects = vec![
        cloud::account(),
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "other"}}),
        waiting_pod("waiting", &image),
    ];
    let namespace = Namespace::new(topic, PullSecret::None, objects);
    let _webhook = Webhook::changing(&namespace, change);
    let with = ["--service-account", account, "--registry-ca", &authority];
    let ended = Plugin::scan(&["-n", &namespace.name]).with(&with).run();
    namespace.assert_nothing_left();
    ended
}

#[test]
fn role_of_an_account_reads_an_image_of_ecr() {
    let ended = scan("irsa", ECR, ACCOUNT, cloud::eks).code(0);
    assert_eq!(ended.only_image().0, "scanned", "{}", ended.stderr);
    assert_eq!(ended.report()["images"][0]["packages"], 20);
    assert!(!ended.report()["notes"].to_string().contains("admission"), "{}", ended.report()["notes"]);
}

#[test]
fn image_of_a_node_is_mounted_and_its_config_is_read_with_the_role() {
    let _open = open_nodes();
    let _trust = environment().trust_as_public(ECR);
    let authority = CLOUD.authority();
    let pod = running_pod("app", &format!("{ECR}/shop/payments:2.1"));
    let namespace = Namespace::new("irsamount", PullSecret::None, vec![cloud::account(), pod]);
    namespace.wait_until_ready();
    let _webhook = Webhook::changing(&namespace, cloud::eks);
    let with = ["--service-account", ACCOUNT, "--registry-ca", &authority];
    let ended = Plugin::scan(&["-n", &namespace.name]).with(&with).run().code(0);
    let image = ended.report()["images"][0].clone();
    assert_eq!((ended.only_image().0.as_str(), &image["packages"]), ("scanned", &json!(20)));
    assert_eq!(image["read_by"]["reader"], "volume");
    // What asks the registry is another user than what reads the mount, and both have the token's volume in their pod.
    assert_eq!(image["registry"][0]["digest"], "present", "{}", image["registry"]);
}

#[test]
fn account_without_an_identity_is_told_what_was_tried() {
    let ended = scan("noid", ECR, "other", cloud::eks).code(4).within(60);
    let (state, reason) = ended.only_image();
    assert_eq!(state, "failed");
    let words = [
        "no credential matches",
        "there is no cloud identity: ",
        "the instance metadata service at 169.254.169.254",
        "--service-account NAME",
    ];
    assert_has(&reason, &words);
}

#[test]
fn where_an_identity_comes_from_is_explained_without_its_secrets() {
    let (authority, scanner) = (CLOUD.authority(), environment().scanner.as_str());
    let image = format!("{ECR}/shop/payments@{}", environment().digest("payments"));
    let other = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "other"}});
    let objects = vec![cloud::account(), other, waiting_pod("waiting", &image)];
    let namespace = Namespace::new("why", PullSecret::None, objects);
    let _webhook = Webhook::changing(&namespace, cloud::eks);
    let explain = |account: &str| {
        Plugin::new(&["explain-auth", "waiting", "-n", &namespace.name, "--scanner-image", scanner])
            .with(&["--registry-ca", &authority, "--service-account", account])
            .run()
    };
    let told = explain(ACCOUNT).code(0).stdout;
    let identity = "Identity in the cloud (AWS), tried after the pull secrets\n";
    for words in [
        identity,
        cloud::ROLE,
        "it gave a credential for the registry",
        "it can be read, by the cloud identity",
    ] {
        assert!(told.contains(words), "{words:?} is not in:\n{told}");
    }
    assert!(!told.contains("QVdTOmdvb2Q"), "its password, AWS:good: {told}");
    let told = explain("other").code(4).stdout;
    for words in [identity, "it gave none: ", "the instance metadata service", "no credential matches"] {
        assert!(told.contains(words), "{words:?} is not in:\n{told}");
    }
}

#[test]
fn workload_identity_of_an_account_reads_an_image_of_acr() {
    let ended = scan("aks", ACR, ACCOUNT, cloud::azure).code(0);
    assert_eq!(ended.only_image().0, "scanned", "{}", ended.stderr);
    assert!(!ended.report()["notes"].to_string().contains("admission"), "{}", ended.report()["notes"]);
}
