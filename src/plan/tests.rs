use super::*;
use crate::image::Digest;
use crate::workload::{ContainerKind, Pod, WorkloadRef};

fn digest(n: u8) -> Digest {
    Digest::of(&[n])
}

fn container(namespace: &str, secrets: &[&str], image: &str, runtime: RuntimeImage) -> Container {
    let workload = WorkloadRef { kind: "pod".into(), name: "p".into() };
    Container {
        pod: Pod {
            namespace: namespace.into(),
            name: "p".into(),
            workload: workload.clone(),
            chain: vec![workload],
            pull_secrets: secrets.iter().map(ToString::to_string).collect(),
            node: Some("node1".into()),
            platform: Some(Platform { os: "linux".into(), architecture: "amd64".into(), variant: None }),
        },
        name: "c".into(),
        kind: ContainerKind::Container,
        image: image.into(),
        runtime: Ok(runtime),
    }
}

fn running(namespace: &str, secrets: &[&str], image: &str, n: u8) -> Container {
    container(namespace, secrets, image, RuntimeImage::Manifest(digest(n)))
}

#[test]
fn one_digest_under_two_repositories_is_read_once_with_two_routes() {
    let containers = [running("a", &[], "r.test/x:1", 1), running("b", &[], "r.test/y:2", 1)];
    let plan = plan(&containers, 4);
    assert_eq!(plan.targets.len(), 1);
    assert_eq!(plan.targets[0].routes.len(), 2);
    assert_eq!(plan.containers, [Ok(0), Ok(0)]);
    assert_eq!(plan.groups.len(), 1);
}

#[test]
fn one_digest_on_two_platforms_is_two_units_of_work() {
    let mut arm = running("a", &[], "r.test/x:1", 1);
    arm.pod.platform = Some(Platform { os: "linux".into(), architecture: "arm64".into(), variant: None });
    assert_eq!(plan(&[running("a", &[], "r.test/x:1", 1), arm], 4).targets.len(), 2);
}

#[test]
fn images_share_a_pod_only_with_the_same_namespace_and_secrets() {
    let containers = [
        running("a", &["s"], "r.test/x:1", 1),
        running("a", &["s"], "r.test/y:1", 2),
        running("a", &["t"], "r.test/z:1", 3),
        running("b", &["s"], "r.test/w:1", 4),
    ];
    let groups = plan(&containers, 4).groups;
    let shape: Vec<_> = groups.iter().map(|g| (g.place.namespace.as_str(), g.images.len())).collect();
    assert_eq!(shape, [("a", 2), ("a", 1), ("b", 1)]);
}

#[test]
fn an_image_is_read_where_a_pod_is_needed_anyway() {
    let containers = [
        running("a", &[], "r.test/shared:1", 1),
        running("b", &[], "r.test/shared:1", 1),
        running("b", &[], "r.test/own:1", 2),
    ];
    let plan = plan(&containers, 4);
    assert_eq!(plan.groups.len(), 1);
    assert_eq!(plan.groups[0].place.namespace, "b");
}

#[test]
fn a_container_that_has_not_started_is_read_by_its_reference() {
    let pending = container("a", &[], "r.test/x:1", RuntimeImage::Pending);
    assert_eq!(plan(&[pending], 4).targets[0].wanted, Wanted::Reference);
    let pinned = container("a", &[], &format!("r.test/x@{}", digest(9)), RuntimeImage::Pending);
    assert_eq!(plan(&[pinned], 4).targets[0].wanted, Wanted::Manifest(digest(9)));
}

#[test]
fn a_bare_image_id_is_a_config_digest_unless_the_spec_names_a_manifest() {
    let loaded = container("a", &[], "r.test/x:1", RuntimeImage::Config(digest(7)));
    assert_eq!(plan(&[loaded], 4).targets[0].wanted, Wanted::Config(digest(7)));
    let pinned = container("a", &[], &format!("r.test/x@{}", digest(9)), RuntimeImage::Config(digest(7)));
    assert_eq!(plan(&[pinned], 4).targets[0].wanted, Wanted::Manifest(digest(9)));
}

#[test]
fn no_container_is_left_out() {
    let mut windows = running("a", &[], "r.test/x:1", 1);
    windows.pod.platform = Some(Platform { os: "windows".into(), architecture: "amd64".into(), variant: None });
    let invalid = running("a", &[], "R.test/X Y", 1);
    let plan = plan(&[windows, invalid], 4);
    assert!(matches!(plan.containers[0], Err(State::Skipped(_))));
    assert!(matches!(plan.containers[1], Err(State::Failed(_))));
    assert!(plan.groups.is_empty());
}

#[test]
fn many_images_are_spread_over_the_pods_that_may_run_at_once() {
    let containers: Vec<_> = (0..40).map(|n| running("a", &[], "r.test/x:1", n)).collect();
    let sizes =
        |parallelism| plan(&containers, parallelism).groups.iter().map(|g| g.images.len()).collect::<Vec<_>>();
    assert_eq!(sizes(4), [10, 10, 10, 10]);
    assert_eq!(sizes(1), [16, 16, 8]);
    assert_eq!(sizes(100), [4; 10]);
}
