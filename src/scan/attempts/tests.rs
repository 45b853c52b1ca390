use super::*;
use crate::cluster::{ApiError, Refusal};
use crate::image::Digest;
use std::collections::BTreeSet;

use crate::plan::{Place, Route};
use crate::wire::Wanted;

const LIMITS: Limits = Limits { max_memory: 1 << 30 };

fn place(namespace: &str, reader: Reader) -> Place {
    Place { namespace: namespace.to_owned(), pull_secrets: Vec::new(), secrets_from: None, reader }
}

/// An image with a route in each of these namespaces.
fn target(namespaces: &[&str]) -> Target {
    let route = |namespace: &&str| Route {
        place: place(namespace, Reader::Stream),
        reference: "registry.test/a:1".parse().expect("valid"),
    };
    Target {
        wanted: Wanted::Manifest(Digest::of(b"a")),
        reference: "registry.test/a:1".parse().expect("valid"),
        platform: None,
        routes: namespaces.iter().map(route).collect(),
        obstacles: BTreeSet::new(),
    }
}

fn failure(kind: FailureKind) -> ImageEnd {
    ImageEnd::Failed(Failure::new(kind, "why".into()))
}

/// A pod that ended so, without having got anywhere.
fn pod(problem: &Problem) -> PodEnd<'_> {
    PodEnd { user: User::Nobody, problem: Some(problem), has_descended: false, got_on: false }
}

/// A pod that did all its work.
const WELL: PodEnd<'_> = PodEnd { user: User::Nobody, problem: None, has_descended: false, got_on: true };

fn settled(why: &str) -> Step {
    Step::Settled(End::Failed(why.to_owned()))
}

#[test]
fn refused_credentials_lead_to_the_next_namespace_and_then_to_failure() {
    let target = target(&["a", "b"]);
    let mut attempts = Attempts::default();
    assert_eq!(attempts.next(&target, failure(FailureKind::Unauthorized), WELL, LIMITS), Step::NextRoute(1));
    assert_eq!(attempts.next(&target, failure(FailureKind::Unauthorized), WELL, LIMITS), settled("why"));
}

#[test]
fn an_image_that_kills_its_pod_is_read_once_more_alone_with_more_memory() {
    let target = target(&["a"]);
    let mut attempts = Attempts::default();
    let first = attempts.next(&target, ImageEnd::Open, pod(&Problem::OutOfMemory), LIMITS);
    assert_eq!(first, Step::Alone(MEMORY * 4));
    let second = attempts.next(&target, ImageEnd::Open, pod(&Problem::OutOfMemory), LIMITS);
    assert!(matches!(second, Step::Settled(End::Failed(_))), "{second:?}");
}

#[test]
fn the_rest_of_a_fallen_pod_is_read_in_another_one_but_not_for_ever() {
    let target = target(&["a"]);
    let mut attempts = Attempts::default();
    let evicted = Problem::Evicted("node drained".into());
    let steps: Vec<Step> =
        (0..3).map(|_| attempts.next(&target, ImageEnd::NotReached, pod(&evicted), LIMITS)).collect();
    assert_eq!(steps, [Step::Again, Step::Again, settled("the scanner pod was taken away: node drained")]);
}

#[test]
fn what_one_namespace_forbids_is_tried_in_another_one() {
    let two_secrets = target(&["a", "a", "b"]);
    let mut attempts = Attempts::default();
    let refused = Problem::NoPod("exceeded quota".into());
    assert_eq!(attempts.next(&two_secrets, ImageEnd::NotReached, pod(&refused), LIMITS), Step::NextRoute(2));
    let end = attempts.next(&two_secrets, ImageEnd::NotReached, pod(&refused), LIMITS);
    assert_eq!(end, settled("the scanner's Job cannot create its pod: exceeded quota"));
}

#[test]
fn memory_is_given_once_and_up_to_the_limit() {
    let target = target(&["a"]);
    let ask = |bytes| Attempts::default().next(&target, failure(FailureKind::NeedsMemory(bytes)), WELL, LIMITS);
    assert_eq!(ask(100 << 20), Step::Alone(456 << 20));
    assert_eq!(ask(900 << 20), Step::Alone(1 << 30));
    let mut attempts = Attempts::default();
    attempts.next(&target, failure(FailureKind::NeedsMemory(1)), WELL, LIMITS);
    let again = attempts.next(&target, failure(FailureKind::NeedsMemory(1)), WELL, LIMITS);
    assert_eq!(again, settled("why, even alone in a pod"));
}

#[test]
fn documents_too_large_for_a_shared_log_get_a_log_of_their_own_once() {
    let target = target(&["a"]);
    let mut attempts = Attempts::default();
    assert_eq!(attempts.next(&target, failure(FailureKind::NeedsOwnLog), WELL, LIMITS), Step::Alone(MEMORY));
    assert_eq!(attempts.next(&target, failure(FailureKind::NeedsOwnLog), WELL, LIMITS), settled("why"));
}

#[test]
fn what_is_no_image_is_not_tried_again() {
    let target = target(&["a", "b"]);
    let step = Attempts::default().next(&target, failure(FailureKind::Unsupported), WELL, LIMITS);
    assert_eq!(step, settled("why"));
}

fn read(approximate: Option<&str>) -> ImageEnd {
    let outcome = Outcome {
        reference: "registry.test/a:1".parse().expect("valid"),
        manifest: Some(Digest::of(b"a")),
        config: Some(Digest::of(b"c")),
        platform: crate::image::Platform::of_this_program(),
        approximate: approximate.map(ToOwned::to_owned),
        partial: None,
        closed: 0,
        bytes: 0,
        millis: 0,
        registry: Vec::new(),
    };
    ImageEnd::Read(Box::new(outcome), BTreeMap::new())
}

fn in_another_repository(mut target: Target) -> Target {
    let last = target.routes.last_mut().expect("a route");
    last.reference = "mirror.test/b:2".parse().expect("valid");
    target
}

#[test]
fn the_rest_behind_any_number_of_killers_is_read() {
    let target = target(&["a"]);
    let mut attempts = Attempts::default();
    let fell = PodEnd { got_on: true, ..pod(&Problem::OutOfMemory) };
    for _ in 0..10 {
        assert_eq!(attempts.next(&target, ImageEnd::NotReached, fell, LIMITS), Step::Again);
    }
}

#[test]
fn a_tag_that_moved_is_the_answer_only_when_no_repository_has_what_runs() {
    let target = in_another_repository(target(&["a", "b"]));
    let mut attempts = Attempts::default();
    assert_eq!(attempts.next(&target, read(Some("moved")), WELL, LIMITS), Step::NextRoute(1));
    let exact = attempts.next(&target, read(None), WELL, LIMITS);
    assert!(matches!(exact, Step::Settled(End::Read(outcome, ..)) if outcome.approximate.is_none()));

    let mut attempts = Attempts::default();
    attempts.next(&target, read(Some("moved")), WELL, LIMITS);
    let nearest = attempts.next(&target, failure(FailureKind::Gone), WELL, LIMITS);
    assert!(matches!(nearest, Step::Settled(End::Read(outcome, ..)) if outcome.approximate.is_some()));
}

#[test]
fn what_a_repository_has_lost_is_not_asked_for_again_from_other_namespaces() {
    let same = target(&["a", "b", "c"]);
    assert_eq!(Attempts::default().next(&same, failure(FailureKind::Gone), WELL, LIMITS), settled("why"));
    let other = in_another_repository(target(&["a", "b", "c"]));
    let step = Attempts::default().next(&other, failure(FailureKind::Gone), WELL, LIMITS);
    assert_eq!(step, Step::NextRoute(2));
}

#[test]
fn no_image_takes_more_than_a_few_pods() {
    let namespaces: Vec<String> = (0..300).map(|n| format!("n{n}")).collect();
    let target = target(&namespaces.iter().map(String::as_str).collect::<Vec<_>>());
    let mut attempts = Attempts::default();
    let mut steps = 0;
    while let Step::NextRoute(_) = attempts.next(&target, failure(FailureKind::Unauthorized), WELL, LIMITS) {
        steps += 1;
    }
    assert_eq!(steps, STREAMS - 1);
}

#[test]
fn an_image_that_was_alone_already_still_gets_more_memory_once() {
    let target = target(&["a"]);
    let mut attempts = Attempts::default();
    attempts.next(&target, failure(FailureKind::NeedsOwnLog), WELL, LIMITS);
    let step = attempts.next(&target, ImageEnd::Open, pod(&Problem::OutOfMemory), LIMITS);
    assert_eq!(step, Step::Alone(MEMORY * 4));
}

/// An image on these nodes, and in its registry.
fn mounted(nodes: &[&str]) -> Target {
    let mut target = target(&["a"]);
    let stream = target.routes.remove(0);
    let route = |node: &&str| Route {
        place: place("a", Reader::Mount { node: Some((*node).to_owned()) }),
        reference: stream.reference.clone(),
    };
    target.routes = nodes.iter().map(route).chain([stream.clone()]).collect();
    target
}

#[test]
fn what_one_node_cannot_mount_another_may_and_then_the_registry() {
    let target = mounted(&["n1", "n2", "n3"]);
    let mut attempts = Attempts::default();
    let lost = || ImageEnd::NotMounted("it is not present".into());
    assert_eq!(attempts.next(&target, lost(), WELL, LIMITS), Step::NextRoute(1));
    assert_eq!(attempts.next(&target, lost(), WELL, LIMITS), Step::NextRoute(3), "two nodes are enough");
    assert_eq!(
        attempts.next(&target, failure(FailureKind::Gone), WELL, LIMITS),
        settled("the node did not mount it: it is not present; then why")
    );
}

#[test]
fn images_beside_one_that_cannot_be_mounted_are_put_together_twice_and_then_go_alone() {
    let target = mounted(&["n1"]);
    let mut attempts = Attempts::default();
    let other = Problem::NotMounted { named: 1, why: "not present".into() };
    let mut next = || attempts.next(&target, ImageEnd::NotReached, pod(&other), LIMITS);
    assert_eq!([next(), next(), next()], [Step::Again, Step::Again, Step::Alone(MEMORY)]);
    assert_eq!(next(), Step::NextRoute(1));
    let unnamed = Problem::NotMounted { named: 0, why: "something".into() };
    let step = Attempts::default().next(&target, ImageEnd::NotReached, pod(&unnamed), LIMITS);
    assert_eq!(step, Step::Alone(MEMORY));
}

#[test]
fn a_lower_rung_is_another_attempt_and_a_closed_place_costs_none() {
    let target = mounted(&["n1", "n2"]);
    let mut attempts = Attempts::default();
    let sandbox = Problem::Sandbox("no".into());
    let descended = PodEnd { has_descended: true, ..pod(&sandbox) };
    for _ in 0..5 {
        assert_eq!(attempts.next(&target, ImageEnd::NotReached, descended, LIMITS), Step::Again);
    }
    assert_eq!(attempts.closed(&target, "no image is mounted"), Step::NextRoute(1));
    assert_eq!(attempts.closed(&target, "no image is mounted"), Step::NextRoute(2));
}

#[test]
fn a_node_without_room_is_left_for_another_reader() {
    let target = mounted(&["n1"]);
    let full = Problem::Unschedulable("Insufficient memory".into());
    let step = Attempts::default().next(&target, ImageEnd::NotReached, pod(&full), LIMITS);
    assert_eq!(step, Step::NextRoute(1));
}

fn read_closed() -> ImageEnd {
    let ImageEnd::Read(outcome, documents) = read(None) else { unreachable!("it is read") };
    let outcome = Outcome { closed: 1, partial: Some("app: permission denied".into()), ..*outcome };
    ImageEnd::Read(Box::new(outcome), documents)
}

#[test]
fn folders_that_the_mount_does_not_open_are_streamed_where_that_is_allowed() {
    let target = mounted(&["n1", "n2"]);
    let mut attempts = Attempts::default();
    assert_eq!(attempts.next(&target, read_closed(), WELL, LIMITS), Step::NextRoute(2), "not another node");
    let whole = attempts.next(&target, read(None), WELL, LIMITS);
    assert!(matches!(whole, Step::Settled(End::Read(outcome, _, ReadBy::Stream)) if outcome.partial.is_none()));

    let mut attempts = Attempts::default();
    attempts.next(&target, read_closed(), WELL, LIMITS);
    let Step::Settled(End::Read(outcome, _, ReadBy::Volume { node, .. })) =
        attempts.next(&target, failure(FailureKind::Unreachable), WELL, LIMITS)
    else {
        panic!("what was read stands")
    };
    assert_eq!(node.as_deref(), Some("n1"));
    assert_eq!(outcome.partial.as_deref(), Some("app: permission denied; and it could not be streamed: why"));

    let mut only_mounts = mounted(&["n1"]);
    only_mounts.routes.pop();
    let step = Attempts::default().next(&only_mounts, read_closed(), WELL, LIMITS);
    assert!(matches!(step, Step::Settled(End::Read(outcome, ..)) if outcome.partial.is_some()));
}

#[test]
fn a_mount_that_is_none_leads_to_the_registry() {
    let target = mounted(&["n1"]);
    let step = Attempts::default().next(&target, failure(FailureKind::NotMounted), WELL, LIMITS);
    assert_eq!(step, Step::NextRoute(1));
}

#[test]
fn where_copies_are_refused_a_route_without_any_is_taken() {
    let mut target = target(&["tools", "tools", "tools"]);
    for (route, from) in target.routes.iter_mut().zip([Some("a"), Some("b"), None]) {
        route.place.secrets_from = from.map(ToOwned::to_owned);
    }
    let refused = |refusal| {
        Problem::NoSecret(ApiError { action: "create secrets in namespace \"tools\"".to_owned(), refusal })
    };
    let forbidden = refused(Refusal::Forbidden("no".to_owned()));
    let mut attempts = Attempts::default();
    let end = || ImageEnd::NotReached;
    assert_eq!(attempts.next(&target, end(), pod(&forbidden), LIMITS), Step::NextRoute(2));
    let silent = refused(Refusal::Unreachable("no answer".to_owned()));
    assert_eq!(Attempts::default().next(&target, end(), pod(&silent), LIMITS), Step::Again);
}
