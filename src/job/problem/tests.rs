use serde_json::json;

use super::*;

/// A pod whose scanner has this state and whose status has these fields too.
fn state(container: &serde_json::Value, status: &serde_json::Value) -> PodState {
    let mut whole = json!({"containerStatuses": [
        {"name": "scan", "image": "i", "imageID": "", "ready": false, "restartCount": 0, "state": container}]});
    let fields = whole.as_object_mut().expect("an object");
    fields.extend(status.as_object().expect("an object").clone());
    pod_state(&serde_json::from_value(json!({"metadata": {"name": "p"}, "status": whole})).expect("a pod"))
}

fn problem(container: &serde_json::Value, status: &serde_json::Value) -> String {
    match state(container, status) {
        PodState::Ended(Some(problem)) | PodState::Stuck(problem) => problem.to_string(),
        other => format!("{other:?}"),
    }
}

fn terminated(reason: &str, code: i32) -> serde_json::Value {
    json!({"terminated": {"reason": reason, "exitCode": code, "message": "m"}})
}

#[test]
fn a_scanner_that_ended_by_itself_is_no_problem() {
    assert!(matches!(state(&terminated("Completed", 0), &json!({})), PodState::Ended(None)));
}

#[test]
fn ends_are_told_apart() {
    let none = json!({});
    assert!(matches!(state(&terminated("OOMKilled", 137), &none), PodState::Ended(Some(Problem::OutOfMemory))));
    assert_eq!(problem(&terminated("Error", 137), &none), "the scanner ended unexpectedly: killed (137)");
    assert_eq!(problem(&terminated("Error", 101), &none), "the scanner ended unexpectedly: exit code 101. m");
    assert_eq!(
        problem(&terminated("StartError", 128), &none),
        "the scanner's container cannot be started: StartError: m"
    );
}

#[test]
fn what_ended_the_pod_explains_the_container_better() {
    let deadline = json!({"reason": "DeadlineExceeded", "message": "Pod was active too long"});
    assert_eq!(problem(&terminated("Error", 143), &deadline), "the scan's time was up");
    let evicted = json!({"reason": "Evicted", "message": "low on memory"});
    assert_eq!(
        problem(&terminated("Error", 137), &evicted),
        "the scanner pod was taken away: Evicted: low on memory"
    );
    let drained = json!({"conditions": [{"type": "DisruptionTarget", "status": "True",
        "reason": "EvictionByEvictionAPI", "message": "drain"}]});
    assert_eq!(
        problem(&terminated("Error", 143), &drained),
        "the scanner pod was taken away: EvictionByEvictionAPI: drain"
    );
}

#[test]
fn an_image_that_cannot_be_pulled_is_final_at_once() {
    let waiting = json!({"waiting": {"reason": "ErrImagePull", "message": "unauthorized"}});
    assert_eq!(
        problem(&waiting, &json!({})),
        "the scanner's own image cannot be pulled: ErrImagePull: unauthorized"
    );
}

#[test]
fn a_pod_that_is_being_set_up_waits_without_a_word() {
    let waiting = json!({"waiting": {"reason": "ContainerCreating"}});
    assert!(matches!(state(&waiting, &json!({})), PodState::Waiting(None)));
}

#[test]
fn a_pod_that_no_node_takes_waits_for_the_reason_of_the_scheduler() {
    let pod = serde_json::from_value(json!({"metadata": {"name": "p"}, "status": {"conditions": [
        {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/2 nodes"}]}}));
    let PodState::Waiting(Some(text)) = pod_state(&pod.expect("a pod")) else { panic!("not waiting") };
    assert_eq!(text, "Unschedulable: 0/2 nodes");
}

#[test]
fn only_a_pod_that_could_not_be_created_is_a_problem_of_the_job() {
    let event = |reason: &str| -> Event {
        serde_json::from_value(
            json!({"metadata": {}, "involvedObject": {}, "reason": reason, "message": "quota"}),
        )
        .expect("an event")
    };
    let told = event_problem(&event("FailedCreate")).map(|problem| problem.to_string());
    assert_eq!(told.as_deref(), Some("the scanner's Job cannot create its pod: quota"));
    assert!(event_problem(&event("SuccessfulCreate")).is_none());
}

#[test]
fn the_end_of_a_job_is_read_from_either_condition() {
    let job = |kind: &str, reason: &str| -> Job {
        serde_json::from_value(json!({"metadata": {}, "status": {"conditions": [
            {"type": "SuccessCriteriaMet", "status": "False"},
            {"type": kind, "status": "True", "reason": reason}]}}))
        .expect("a job")
    };
    assert!(matches!(job_problem(&job("FailureTarget", "DeadlineExceeded")), Some(Problem::Deadline)));
    assert!(matches!(job_problem(&job("Failed", "DeadlineExceeded")), Some(Problem::Deadline)));
    assert!(matches!(job_problem(&job("Failed", "BackoffLimitExceeded")), Some(Problem::Died(_))));
    assert!(job_problem(&job("Complete", "")).is_none());
}
