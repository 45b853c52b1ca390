use serde_json::json;

use super::*;

fn pod(value: serde_json::Value) -> ApiPod {
    serde_json::from_value(value).expect("a pod")
}

fn found(value: serde_json::Value) -> Vec<Container> {
    containers_of(&pod(value), &Facts::default(), &BTreeMap::new())
}

const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

#[test]
fn every_kind_of_container_is_found_with_its_own_status() {
    let containers = found(json!({
        "metadata": {"name": "p", "namespace": "shop"},
        "spec": {
            "initContainers": [
                {"name": "i", "image": "init:1"},
                {"name": "s", "image": "side:1", "restartPolicy": "Always"},
            ],
            "containers": [{"name": "c", "image": "main:1"}],
            "ephemeralContainers": [{"name": "e", "image": "debug:1"}],
            "imagePullSecrets": [{"name": "pull"}],
        },
        "status": {
            "containerStatuses": [{"name": "c", "image": "main:1", "imageID": format!("main@{DIGEST}"),
                "ready": true, "restartCount": 0}],
            "initContainerStatuses": [{"name": "i", "image": "init:1", "imageID": DIGEST,
                "ready": true, "restartCount": 0}],
            "ephemeralContainerStatuses": [{"name": "e", "image": "debug:1", "imageID": "rubbish",
                "ready": true, "restartCount": 0}],
        },
    }));
    let digest: crate::image::Digest = DIGEST.parse().expect("valid");
    let seen: Vec<_> = containers.iter().map(|c| (c.name.as_str(), c.kind, c.runtime.clone())).collect();
    assert_eq!(
        seen,
        [
            ("i", ContainerKind::Init, Ok(RuntimeImage::Config(digest.clone()))),
            ("s", ContainerKind::Sidecar, Ok(RuntimeImage::Pending)),
            ("c", ContainerKind::Container, Ok(RuntimeImage::Manifest(digest))),
            ("e", ContainerKind::Ephemeral, Err("rubbish".to_owned())),
        ]
    );
    assert_eq!(containers[0].pod.pull_secrets, ["pull"]);
}

fn workload(owner_kind: &str, owner: &str, labels: &serde_json::Value) -> String {
    let containers = found(json!({
        "metadata": {"name": "p", "namespace": "shop", "labels": labels, "ownerReferences": [
            {"apiVersion": "v1", "kind": owner_kind, "name": owner, "uid": "u", "controller": true}]},
        "spec": {"containers": [{"name": "c", "image": "a:1"}]},
    }));
    containers[0].pod.workload.to_string()
}

#[test]
fn the_workload_is_the_top_of_the_chain_of_controllers() {
    assert_eq!(workload("ReplicaSet", "cart-7d4b9", &json!({"pod-template-hash": "7d4b9"})), "deployment/cart");
    assert_eq!(workload("ReplicaSet", "cart-7d4b9", &json!({})), "replicaset/cart-7d4b9");
    assert_eq!(workload("StatefulSet", "db", &json!({})), "statefulset/db");
    assert_eq!(workload("Node", "node1", &json!({})), "pod/p");
    assert_eq!(workload("Job", "nightly", &json!({})), "job/nightly");
}

#[test]
fn a_job_of_a_cron_job_belongs_to_the_cron_job() {
    let meta: ObjectMeta =
        serde_json::from_value(json!({"name": "p", "namespace": "shop", "ownerReferences": [
        {"apiVersion": "batch/v1", "kind": "Job", "name": "nightly-1", "uid": "u", "controller": true}]}))
        .expect("metadata");
    let owners = BTreeMap::from([(
        ("shop".to_owned(), "nightly-1".to_owned()),
        WorkloadRef { kind: "cronjob".into(), name: "nightly".into() },
    )]);
    let chain: Vec<String> = chain(&meta, &owners).iter().map(ToString::to_string).collect();
    assert_eq!(chain, ["pod/p", "job/nightly-1", "cronjob/nightly"]);
}

#[test]
fn a_target_without_pods_is_an_error_that_names_it() {
    let containers = found(json!({
        "metadata": {"name": "p", "namespace": "shop"},
        "spec": {"containers": [{"name": "c", "image": "a:1"}]},
    }));
    let target = |text| WorkloadRef::parse(text).expect("valid");
    let scope = Scope {
        namespace: Some("shop".into()),
        targets: vec![target("pod/p"), target("deploy/cart")],
        ..Scope::default()
    };
    let mut discovery = Discovery { containers, ..Discovery::default() };
    let error = select_targets(&mut discovery, &scope).expect_err("no such deployment");
    assert_eq!(error.to_string(), r#"no pods of deployment/cart in namespace "shop""#);
}

#[test]
fn labels_alone_do_not_hide_a_workload() {
    let meta = |labels: serde_json::Value, job: &str| -> ObjectMeta {
        let owner =
            json!({"apiVersion": "batch/v1", "kind": "Job", "name": job, "uid": "u", "controller": true});
        serde_json::from_value(json!({"labels": labels, "ownerReferences": [owner]})).expect("metadata")
    };
    let labels = || json!({"app.kubernetes.io/managed-by": NAME, SCAN_LABEL: "x"});
    assert!(is_ours(&meta(labels(), "clarity-x-1")));
    assert!(!is_ours(&meta(labels(), "shop")));
    assert!(!is_ours(&meta(json!({SCAN_LABEL: "x"}), "clarity-x-1")));
    assert!(!is_ours(&serde_json::from_value(json!({ "labels": labels() })).expect("metadata")));
    let runner = || json!({"app.kubernetes.io/managed-by": NAME, KIND_LABEL: RUNNER_KIND});
    assert!(is_ours(&meta(runner(), "clarity-run-x")));
    assert!(!is_ours(&meta(runner(), "shop")));
    let mut scheduled = runner();
    scheduled[SCHEDULE_LABEL] = "nightly".into();
    assert!(is_ours(&meta(scheduled.clone(), "nightly-29384756")));
    assert!(!is_ours(&meta(scheduled, "shop")));
}
