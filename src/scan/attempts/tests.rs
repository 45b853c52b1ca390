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

fn settled(why: &str) -> Step {
    Step::Settled(End::Failed(why.to_owned()))
}

#[test]
fn refused_credentials_lead_to_the_next_namespace_and_then_to_failure() {
    let target = target(&["a", "b"]);
    let mut attempts = Attempts::default();
    assert_eq!(attempts.next(&target, failure(FailureKind::Unauthorized), None, LIMITS), Step::NextRoute(1));
    assert_eq!(attempts.next(&target, failure(FailureKind::Unauthorized), None, LIMITS), settled("why"));
}

#[test]
fn an_image_that_kills_its_pod_is_read_once_more_alone_with_more_memory() {
    let target = target(&["a"]);
    let mut attempts = Attempts::default();
    let first = attempts.next(&target, ImageEnd::Open, Some(&Problem::OutOfMemory), LIMITS);
    assert_eq!(first, Step::Alone(MEMORY * 4));
    let second = attempts.next(&target, ImageEnd::Open, Some(&Problem::OutOfMemory), LIMITS);
    assert!(matches!(second, Step::Settled(End::Failed(_))), "{second:?}");
}

#[test]
fn the_rest_of_a_fallen_pod_is_read_in_another_one_but_not_for_ever() {
    let target = target(&["a"]);
    let mut attempts = Attempts::default();
    let evicted = Problem::Evicted("node drained".into());
    let steps: Vec<Step> =
        (0..3).map(|_| attempts.next(&target, ImageEnd::NotReached, Some(&evicted), LIMITS)).collect();
    assert_eq!(steps, [Step::Again, Step::Again, settled("the scanner pod was taken away: node drained")]);
}

#[test]
fn what_one_namespace_forbids_is_tried_in_another_one() {
    let two_secrets = target(&["a", "a", "b"]);
    let mut attempts = Attempts::default();
    let refused = Problem::NoPod("exceeded quota".into());
    assert_eq!(attempts.next(&two_secrets, ImageEnd::NotReached, Some(&refused), LIMITS), Step::NextRoute(2));
    let end = attempts.next(&two_secrets, ImageEnd::NotReached, Some(&refused), LIMITS);
    assert_eq!(end, settled("the scanner's Job cannot create its pod: exceeded quota"));
}

#[test]
fn memory_is_given_once_and_up_to_the_limit() {
    let target = target(&["a"]);
    let ask = |bytes| Attempts::default().next(&target, failure(FailureKind::NeedsMemory(bytes)), None, LIMITS);
    assert_eq!(ask(100 << 20), Step::Alone(456 << 20));
    assert_eq!(ask(900 << 20), Step::Alone(1 << 30));
    let mut attempts = Attempts::default();
    attempts.next(&target, failure(FailureKind::NeedsMemory(1)), None, LIMITS);
    let again = attempts.next(&target, failure(FailureKind::NeedsMemory(1)), None, LIMITS);
    assert_eq!(again, settled("why, even alone in a pod"));
}

#[test]
fn documents_too_large_for_a_shared_log_get_a_log_of_their_own_once() {
    let target = target(&["a"]);
    let mut attempts = Attempts::default();
    assert_eq!(attempts.next(&target, failure(FailureKind::NeedsOwnLog), None, LIMITS), Step::Alone(MEMORY));
    assert_eq!(attempts.next(&target, failure(FailureKind::NeedsOwnLog), None, LIMITS), settled("why"));
}

#[test]
fn what_is_no_image_is_not_tried_again() {
    let target = target(&["a", "b"]);
    let step = Attempts::default().next(&target, failure(FailureKind::Unsupported), None, LIMITS);
    assert_eq!(step, settled("why"));
}
