use super::*;
use crate::image::Digest;
use crate::plan::{Place, Route};
use crate::wire::Wanted;

const LIMITS: Limits = Limits { max_memory: 1 << 30 };

/// An image with a route in each of these namespaces.
fn target(namespaces: &[&str]) -> Target {
    let route = |namespace: &&str| Route {
        place: Place { namespace: (*namespace).to_owned(), pull_secrets: Vec::new() },
        reference: "registry.test/a:1".parse().expect("valid"),
    };
    Target {
        wanted: Wanted::Manifest(Digest::of(b"a")),
        platform: None,
        routes: namespaces.iter().map(route).collect(),
    }
}

fn failure(kind: FailureKind) -> ImageEnd {
    ImageEnd::Failed(Failure { kind, reason: "why".into() })
}

/// A pod that ended so, without having got anywhere.
fn pod(problem: &Problem) -> PodEnd<'_> {
    PodEnd { problem: Some(problem), got_on: false }
}

/// A pod that did all its work.
const WELL: PodEnd<'_> = PodEnd { problem: None, got_on: true };

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
        manifest: Digest::of(b"a"),
        config: Digest::of(b"c"),
        platform: crate::image::Platform::of_this_program(),
        approximate: approximate.map(ToOwned::to_owned),
        partial: None,
        bytes: 0,
        millis: 0,
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
    let fell = PodEnd { problem: Some(&Problem::OutOfMemory), got_on: true };
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
    assert!(matches!(exact, Step::Settled(End::Read(outcome, _)) if outcome.approximate.is_none()));

    let mut attempts = Attempts::default();
    attempts.next(&target, read(Some("moved")), WELL, LIMITS);
    let nearest = attempts.next(&target, failure(FailureKind::Gone), WELL, LIMITS);
    assert!(matches!(nearest, Step::Settled(End::Read(outcome, _)) if outcome.approximate.is_some()));
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
    assert_eq!(steps, ROUTES - 1);
}

#[test]
fn an_image_that_was_alone_already_still_gets_more_memory_once() {
    let target = target(&["a"]);
    let mut attempts = Attempts::default();
    attempts.next(&target, failure(FailureKind::NeedsOwnLog), WELL, LIMITS);
    let step = attempts.next(&target, ImageEnd::Open, pod(&Problem::OutOfMemory), LIMITS);
    assert_eq!(step, Step::Alone(MEMORY * 4));
}
