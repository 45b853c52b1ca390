use super::*;
use crate::facts::{Node, Taint};
use crate::image::Digest;
use crate::workload::{ContainerKind, Pod, WorkloadRef};

pub(super) fn digest(n: u8) -> Digest {
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
            tolerations: Vec::new(),
        },
        name: "c".into(),
        kind: ContainerKind::Container,
        image: image.into(),
        runtime: Ok(runtime),
    }
}

pub(super) fn running(namespace: &str, secrets: &[&str], image: &str, n: u8) -> Container {
    container(namespace, secrets, image, RuntimeImage::Manifest(digest(n)))
}

fn on(node: &str, mut container: Container) -> Container {
    container.pod.node = Some(node.into());
    container
}

/// A plan that streams everything.
fn streams(containers: &[Container], parallelism: usize) -> ScanPlan {
    let facts = Facts::default();
    super::plan(containers, PlanOptions { read: Read::Stream, parallelism, job_namespace: None, facts: &facts })
}

fn planned(containers: &[Container], read: Read, facts: &Facts) -> ScanPlan {
    super::plan(containers, PlanOptions { read, parallelism: 4, job_namespace: None, facts })
}

/// The nodes and readers of the routes of a target, in their order.
fn ways(target: &Target) -> Vec<String> {
    let way = |route: &Route| match &route.place.reader {
        Reader::Mount { node } => node.clone().unwrap_or_else(|| "any node".into()),
        Reader::Stream => "stream".into(),
    };
    target.routes.iter().map(way).collect()
}

#[test]
fn one_digest_under_two_repositories_is_read_once_with_two_routes() {
    let containers = [running("a", &[], "r.test/x:1", 1), running("b", &[], "r.test/y:2", 1)];
    let plan = streams(&containers, 4);
    assert_eq!(plan.targets.len(), 1);
    assert_eq!(plan.targets[0].routes.len(), 2);
    assert_eq!(plan.containers, [Ok(0), Ok(0)]);
    assert_eq!(plan.groups.len(), 1);
}

#[test]
fn one_digest_on_two_platforms_is_two_units_of_work() {
    let mut arm = running("a", &[], "r.test/x:1", 1);
    arm.pod.platform = Some(Platform { os: "linux".into(), architecture: "arm64".into(), variant: None });
    assert_eq!(streams(&[running("a", &[], "r.test/x:1", 1), arm], 4).targets.len(), 2);
}

#[test]
fn images_share_a_pod_only_with_the_same_namespace_and_secrets() {
    let containers = [
        running("a", &["s"], "r.test/x:1", 1),
        running("a", &["s"], "r.test/y:1", 2),
        running("a", &["t"], "r.test/z:1", 3),
        running("b", &["s"], "r.test/w:1", 4),
    ];
    let groups = streams(&containers, 4).groups;
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
    let plan = streams(&containers, 4);
    assert_eq!(plan.groups.len(), 1);
    assert_eq!(plan.groups[0].place.namespace, "b");
}

#[test]
fn a_container_that_has_not_started_is_read_by_its_reference() {
    let pending = container("a", &[], "r.test/x:1", RuntimeImage::Pending);
    assert_eq!(streams(&[pending], 4).targets[0].wanted, Wanted::Reference);
    let pinned = container("a", &[], &format!("r.test/x@{}", digest(9)), RuntimeImage::Pending);
    assert_eq!(streams(&[pinned], 4).targets[0].wanted, Wanted::Manifest(digest(9)));
}

#[test]
fn a_bare_image_id_is_a_config_digest_unless_the_spec_names_a_manifest() {
    let loaded = container("a", &[], "r.test/x:1", RuntimeImage::Config(digest(7)));
    assert_eq!(streams(&[loaded], 4).targets[0].wanted, Wanted::Config(digest(7)));
    let pinned = container("a", &[], &format!("r.test/x@{}", digest(9)), RuntimeImage::Config(digest(7)));
    assert_eq!(streams(&[pinned], 4).targets[0].wanted, Wanted::Manifest(digest(9)));
}

#[test]
fn no_container_is_left_out() {
    let mut windows = running("a", &[], "r.test/x:1", 1);
    windows.pod.platform = Some(Platform { os: "windows".into(), architecture: "amd64".into(), variant: None });
    let invalid = running("a", &[], "R.test/X Y", 1);
    let plan = streams(&[windows, invalid], 4);
    assert!(matches!(plan.containers[0], Err(State::Skipped(_))));
    assert!(matches!(plan.containers[1], Err(State::Failed(_))));
    assert!(plan.groups.is_empty());
}

#[test]
fn many_images_are_spread_over_the_pods_that_may_run_at_once() {
    let containers: Vec<_> = (0..40).map(|n| running("a", &[], &format!("r.test/{n:02}:1"), n)).collect();
    let sizes = |parallelism| {
        streams(&containers, parallelism).groups.iter().map(|g| g.images.len()).collect::<Vec<_>>()
    };
    assert_eq!(sizes(4), [10, 10, 10, 10]);
    assert_eq!(sizes(1), [16, 16, 8]);
    assert_eq!(sizes(100), [4; 10]);
}

#[test]
fn images_of_one_repository_share_a_pod_as_long_as_there_is_room() {
    let of = |repository: &str, count: u8, from: u8| -> Vec<Container> {
        (from..from + count).map(|n| running("a", &[], &format!("r.test/{repository}:{n}"), n)).collect()
    };
    let containers = [of("a", 3, 0), of("b", 3, 50), of("c", 12, 100), of("d", 20, 150)].concat();
    let plan = streams(&containers, 8);
    let sizes: Vec<usize> = plan.groups.iter().map(|group| group.images.len()).collect();
    assert_eq!(
        sizes,
        [3, 3, 12, 10, 10],
        "five to a pod, and none of a repository apart that one pod can have"
    );
}

#[test]
fn an_image_is_mounted_where_it_runs_and_streamed_if_that_fails() {
    let started = [running("a", &[], "r.test/x:1", 1)];
    let ways_by = |read| ways(&planned(&started, read, &Facts::default()).targets[0]);
    assert_eq!(ways_by(Read::Auto), ["node1", "stream"]);
    assert_eq!(ways_by(Read::Volume), ["node1"]);
    assert_eq!(ways_by(Read::Stream), ["stream"]);
    assert_eq!(ways_by(Read::Pull), ["node1"]);
}

#[test]
fn a_container_that_has_not_started_shows_no_node_that_has_its_image() {
    let mut pending = container("a", &[], "r.test/x:1", RuntimeImage::Pending);
    pending.pod.node = None;
    let plan = |read| planned(std::slice::from_ref(&pending), read, &Facts::default());
    assert_eq!(ways(&plan(Read::Auto).targets[0]), ["stream"]);
    assert_eq!(ways(&plan(Read::Pull).targets[0]), ["any node"], "the kubelet may pull it");
    let volume = plan(Read::Volume);
    assert_eq!((ways(&volume.targets[0]).len(), volume.groups.len()), (0, 0));
    assert!(volume.targets[0].obstacles.iter().any(|why| why.contains("has not started")));
}

#[test]
fn the_fewest_nodes_that_have_all_images_are_chosen() {
    let image = |n: u8| format!("r.test/{n}:1");
    let pods: Vec<_> = [("n1", 1), ("n1", 2), ("n2", 2), ("n2", 3), ("n2", 4), ("n3", 1), ("n3", 4)]
        .into_iter()
        .map(|(node, n)| on(node, running("a", &[], &image(n), n)))
        .collect();
    let plan = planned(&pods, Read::Auto, &Facts::default());
    let shape: Vec<_> = plan.groups.iter().map(|group| (group.place.node(), group.images.len())).collect();
    assert_eq!(shape, [(Some("n1"), 1), (Some("n2"), 3)]);
    assert_eq!(ways(&plan.targets[1]), ["n2", "n1", "stream"], "the node that serves others comes first");
}

fn node(closed: Option<&str>) -> Node {
    Node {
        platform: Platform { os: "linux".into(), architecture: "amd64".into(), variant: None },
        taints: vec![
            Taint { key: "gpu".into(), value: String::new(), effect: "NoSchedule".into() },
            Taint {
                key: "node.kubernetes.io/unschedulable".into(),
                value: String::new(),
                effect: "NoSchedule".into(),
            },
        ],
        closed: closed.map(ToOwned::to_owned),
        without_user_namespaces: None,
        images: BTreeMap::new(),
    }
}

#[test]
fn a_node_that_takes_no_pods_is_passed_by_and_named() {
    let nodes =
        BTreeMap::from([("n1".to_owned(), node(Some("it is cordoned"))), ("n2".to_owned(), node(None))]);
    let facts = Facts { nodes, ..Facts::default() };
    let pods = [on("n1", running("a", &[], "r.test/x:1", 1)), on("n2", running("a", &[], "r.test/x:1", 1))];
    assert_eq!(ways(&planned(&pods, Read::Auto, &facts).targets[0]), ["n2", "stream"]);
    let only = planned(&pods[..1], Read::Volume, &facts);
    assert!(only.groups.is_empty());
    assert_eq!(Vec::from_iter(&only.targets[0].obstacles), ["node n1 has it, but it is cordoned"]);
}

#[test]
fn taints_of_a_node_are_tolerated_or_what_its_pods_tolerate_where_it_is_not_known() {
    let facts = Facts { nodes: BTreeMap::from([("n1".to_owned(), node(None))]), ..Facts::default() };
    let mut unknown = on("n2", running("a", &[], "r.test/y:1", 2));
    let toleration = |key: Option<&str>| Toleration { key: key.map(Into::into), ..Toleration::default() };
    unknown.pod.tolerations =
        vec![toleration(Some("dedicated")), toleration(None), toleration(Some("node.kubernetes.io/not-ready"))];
    let plan = planned(&[on("n1", running("a", &[], "r.test/x:1", 1)), unknown], Read::Auto, &facts);
    let keys = |node: &str| {
        plan.tolerations[node].iter().map(|t| t.key.clone().unwrap_or_default()).collect::<Vec<_>>()
    };
    assert_eq!((keys("n1"), keys("n2")), (vec!["gpu".to_owned()], vec!["dedicated".to_owned()]));
}

#[test]
fn what_is_left_out_gets_no_pod_and_the_others_are_grouped_without_it() {
    let containers: Vec<_> = (0..6).map(|n| running("a", &[], "r.test/x:1", n)).collect();
    let mut plan = streams(&containers, 1);
    assert_eq!(plan.groups.iter().map(|group| group.images.len()).collect::<Vec<_>>(), [6]);
    plan.leave_out(|target| target != 4, 1);
    assert_eq!(plan.groups.iter().flat_map(|group| &group.images).collect::<Vec<_>>(), [&(4, 0)]);
    assert_eq!((plan.targets.len(), plan.containers.len()), (6, 6));
    plan.leave_out(|_| true, 1);
    assert!(plan.groups.is_empty());
}

#[test]
fn other_references_of_an_image_are_those_that_its_credentials_are_for() {
    let containers = [
        running("a", &["one"], "r.test/x:1", 1),
        running("a", &["one"], "r.test/x:stable", 1),
        running("a", &["two"], "r.test/x:of-another-secret", 1),
        running("b", &["one"], "r.test/x:of-another-namespace", 1),
    ];
    let plan = planned(&containers, Read::Auto, &Facts::default());
    let target = &plan.targets[0];
    let place = |route: &&Route| route.place.namespace == "a" && route.place.pull_secrets == ["one"];
    let route = target.routes.iter().find(place).expect("a route");
    let others = target.others(&route.place, &"r.test/x:1".parse().expect("valid"));
    assert_eq!(others.iter().map(ToString::to_string).collect::<Vec<_>>(), ["r.test/x:stable"]);
}

/// A plan whose pods all run in namespace `tools`.
fn in_tools(containers: &[Container]) -> ScanPlan {
    let facts = Facts::default();
    let options =
        PlanOptions { read: Read::Stream, parallelism: 4, job_namespace: Some("tools"), facts: &facts };
    super::plan(containers, options)
}

#[test]
fn in_one_namespace_images_of_many_share_a_pod_unless_their_credentials_differ() {
    let containers = [
        running("a", &[], "r.test/x:1", 1),
        running("b", &[], "r.test/y:1", 2),
        running("c", &["pull"], "r.test/z:1", 3),
        running("d", &["pull"], "r.test/w:1", 4),
    ];
    let groups = in_tools(&containers).groups;
    let shape: Vec<_> =
        groups.iter().map(|group| (group.place.secrets_from.as_deref(), group.images.len())).collect();
    assert_eq!(shape, [(None, 2), (Some("c"), 1), (Some("d"), 1)]);
    assert!(groups.iter().all(|group| group.place.namespace == "tools"));
}

#[test]
fn workloads_of_the_namespace_that_the_pods_run_in_need_no_copies() {
    let place = in_tools(&[running("tools", &["pull"], "r.test/x:1", 1)]).groups[0].place.clone();
    assert_eq!((place.namespace.as_str(), place.secrets_from), ("tools", None));
    assert_eq!(place.pull_secrets, ["pull"]);
}

#[test]
fn secrets_of_one_name_in_two_namespaces_are_two_routes_and_share_no_references() {
    let containers = [running("a", &["pull"], "r.test/x:1", 1), running("b", &["pull"], "r.test/x:of-b", 1)];
    let plan = in_tools(&containers);
    let target = &plan.targets[0];
    assert_eq!((target.routes.len(), plan.groups.len()), (2, 1), "the other one is tried if one is refused");
    for route in &target.routes {
        assert_eq!(target.others(&route.place, &route.reference), []);
    }
}
