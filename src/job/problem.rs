//! Why a scanner pod did not do its work, read from the pod's status, its conditions and its events.

use std::fmt;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ContainerStateTerminated, Event, Pod};

use super::CONTAINER;
use super::spec::Distrust;
use crate::cluster::ApiError;

/// What kept a scanner pod from its work.
#[derive(Debug)]
pub enum Problem {
    /// The Job could not be created.
    Refused(ApiError),
    /// The Secrets that its pod waits for could not be created.
    NoSecret(ApiError),
    /// The Job could not create its pod: quota, Pod Security, a webhook. The event's text.
    NoPod(String),
    /// The scanner's image cannot be pulled. The kubelet's text.
    ScannerImage(String),
    /// No node takes the pod. The scheduler's text.
    Unschedulable(String),
    /// The pod had not started when the scan's time was up. What it waited for, if that is known.
    NotStarted(String),
    /// The pod took longer to start than a mount may. What it waited for, if that is known.
    TooSlow(String),
    /// The container cannot be set up. Reason and text.
    Setup(String),
    /// The API server left out what makes the pod a mounting one.
    Dropped(Distrust),
    /// Admission changed the pod so that nothing it says may be believed.
    Altered(Distrust),
    /// The node's kubelet mounts no images. Its text.
    NoImageVolumes(String),
    /// Images could not be mounted.
    NotMounted {
        /// How many of them were named.
        named: usize,
        /// Why, for the first one.
        why: String,
    },
    /// The pod's sandbox, with a user namespace, cannot be made. The runtime's text.
    Sandbox(String),
    /// The container was ended for using too much memory.
    OutOfMemory,
    /// The container ended in another way than the scanner does. Exit code and text.
    Died(String),
    /// The kubelet or the node's controller ended the pod: eviction, preemption, shutdown, loss of the node.
    Evicted(String),
    /// The scan's time was up.
    Deadline,
    /// Somebody deleted the pod or the Job.
    Deleted,
    /// The log cannot be read.
    Log(ApiError),
    /// Part of the log was lost.
    LogCut,
    /// Watching failed.
    Watch(ApiError),
    /// The person stopped the scan.
    Interrupted,
    /// Somebody stopped the scan from elsewhere; who.
    Stopped(String),
}

/// What a pod's status says about its container.
#[derive(Debug)]
pub(super) enum PodState {
    /// Not there yet; what it waits for, if that is worth saying.
    Waiting(Option<String>),
    /// The container runs or has run: there is a log.
    Started,
    /// The container has ended; why, if not as it should.
    Ended(Option<Problem>),
    /// It will never start.
    Stuck(Problem),
}

/// Reads what has become of the scanner's container.
pub(super) fn pod_state(pod: &Pod) -> PodState {
    state_of(pod, CONTAINER)
}

/// How a deleted pod ended before it went.
pub(super) fn pod_end(pod: &Pod) -> Option<Problem> {
    match pod_state(pod) {
        PodState::Ended(Some(problem)) if !matches!(problem, Problem::Died(_)) => Some(problem),
        _ => None,
    }
}

/// The same of a container with another name.
pub(super) fn state_of(pod: &Pod, container: &str) -> PodState {
    let status = pod.status.clone().unwrap_or_default();
    let scanner = status.container_statuses.iter().flatten().find(|s| s.name == container);
    if let Some(ended) = scanner.and_then(|s| s.state.as_ref()?.terminated.as_ref()) {
        return PodState::Ended(pod_ended(pod).or_else(|| container_problem(ended)));
    }
    if let Some(problem) = pod_ended(pod) {
        return PodState::Ended(Some(problem));
    }
    let Some(state) = scanner.and_then(|s| s.state.as_ref()) else { return unscheduled(pod) };
    if state.running.is_some() {
        return PodState::Started;
    }
    let waiting = state.waiting.as_ref();
    let reason = waiting.and_then(|w| w.reason.as_deref()).unwrap_or_default();
    let message = waiting.and_then(|w| w.message.as_deref()).unwrap_or_default();
    match reason {
        "ErrImagePull"
        | "ImagePullBackOff"
        | "InvalidImageName"
        | "ErrImageNeverPull"
        | "ImageInspectError"
        | "RegistryUnavailable"
        | "SignatureValidationFailed" => PodState::Stuck(Problem::ScannerImage(format!("{reason}: {message}"))),
        "CreateContainerConfigError" | "CreateContainerError" | "RunContainerError" | "CrashLoopBackOff" => {
            PodState::Stuck(Problem::Setup(format!("{reason}: {message}")))
        }
        "ContainerCreating" | "PodInitializing" | "" => PodState::Waiting(None),
        other => PodState::Waiting(Some(format!("{other} {message}"))),
    }
}

/// Why the container ended, if not as the scanner ends by itself.
fn container_problem(ended: &ContainerStateTerminated) -> Option<Problem> {
    let reason = ended.reason.as_deref().unwrap_or_default();
    let text = ended.message.as_deref().unwrap_or_default();
    match (reason, ended.exit_code) {
        ("OOMKilled", _) => Some(Problem::OutOfMemory),
        (_, 0) => None,
        ("ContainerStatusUnknown", _) => Some(Problem::Evicted(format!("the node lost the container. {text}"))),
        // Start errors have no log: a missing binary, a wrong architecture.
        ("StartError" | "ContainerCannotRun", _) => Some(Problem::Setup(format!("{reason}: {text}"))),
        (_, 137) => Some(Problem::Died("killed (137)".to_owned())),
        (_, code) => Some(Problem::Died(format!("exit code {code}. {text}"))),
    }
}

/// Whether something above the container ended the pod.
fn pod_ended(pod: &Pod) -> Option<Problem> {
    let status = pod.status.as_ref()?;
    let message = status.message.clone().unwrap_or_default();
    match status.reason.as_deref() {
        Some("DeadlineExceeded") => return Some(Problem::Deadline),
        Some(
            reason @ ("Evicted"
            | "NodeLost"
            | "Shutdown"
            | "NodeShutdown"
            | "Terminated"
            | "Preempting"
            | "UnexpectedAdmissionError"
            | "NodeAffinity"
            | "OutOfmemory"
            | "OutOfcpu"),
        ) => {
            return Some(Problem::Evicted(format!("{reason}: {message}")));
        }
        _ => {}
    }
    let mut conditions = status.conditions.iter().flatten();
    let disrupted = conditions.rfind(|c| c.type_ == "DisruptionTarget" && c.status == "True")?;
    let reason = disrupted.reason.clone().unwrap_or_default();
    Some(Problem::Evicted(format!("{reason}: {}", disrupted.message.clone().unwrap_or_default())))
}

fn unscheduled(pod: &Pod) -> PodState {
    let mut conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let refused = conditions.find(|c| c.type_ == "PodScheduled" && c.status == "False");
    PodState::Waiting(refused.map(|c| {
        let reason = c.reason.as_deref().unwrap_or("Unschedulable");
        format!("{reason}: {}", c.message.as_deref().unwrap_or_default())
    }))
}

/// A failure that only the Job's events tell: its pod could not be created.
pub(super) fn event_problem(event: &Event) -> Option<Problem> {
    let created_nothing = event.reason.as_deref() == Some("FailedCreate");
    created_nothing.then(|| Problem::NoPod(event.message.clone().unwrap_or_default()))
}

/// A failure that the Job's own conditions tell. `SuccessCriteriaMet` and `FailureTarget` may come first.
pub(super) fn job_problem(job: &Job) -> Option<Problem> {
    let mut conditions = job.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let failed =
        conditions.find(|c| matches!(c.type_.as_str(), "Failed" | "FailureTarget") && c.status == "True")?;
    let message = failed.message.as_deref().unwrap_or_default();
    Some(match failed.reason.as_deref().unwrap_or_default() {
        "DeadlineExceeded" => Problem::Deadline,
        reason => Problem::Died(format!("{reason}: {message}")),
    })
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(error) | Self::Log(error) | Self::Watch(error) => {
                write!(f, "{error}: {}", error.refusal)
            }
            Self::NoSecret(error) => {
                write!(f, "the scanner pod cannot be given credentials: {error}: {}", error.refusal)
            }
            Self::NoPod(text) => write!(f, "the scanner's Job cannot create its pod: {text}"),
            Self::ScannerImage(text) => write!(f, "the scanner's own image cannot be pulled: {text}"),
            Self::Unschedulable(text) => write!(f, "no node takes the scanner pod: {text}"),
            Self::NotStarted(text) if text.is_empty() => {
                write!(f, "the scan's time was up before the scanner pod had started")
            }
            Self::NotStarted(text) => {
                write!(f, "the scan's time was up before the scanner pod had started: {text}")
            }
            Self::TooSlow(text) => write!(f, "the scanner pod took too long to start: {text}"),
            Self::Setup(text) => write!(f, "the scanner's container cannot be started: {text}"),
            Self::Dropped(change) => write!(f, "the API server changed the scanner's Job: {}", change.text),
            Self::Altered(change) => write!(f, "admission changed the scanner pod: {}", change.text),
            Self::NoImageVolumes(text) => write!(f, "the node mounts no images: {text}"),
            Self::NotMounted { why, .. } => write!(f, "the image cannot be mounted: {why}"),
            Self::Sandbox(text) => write!(f, "the scanner pod's sandbox cannot be made: {text}"),
            Self::OutOfMemory => write!(f, "the scanner pod was killed for using too much memory"),
            Self::Died(text) => write!(f, "the scanner ended unexpectedly: {text}"),
            Self::Evicted(text) => write!(f, "the scanner pod was taken away: {text}"),
            Self::Deadline => write!(f, "the scan's time was up"),
            Self::Deleted => write!(f, "the scanner pod was deleted by somebody"),
            Self::LogCut => write!(f, "part of the scanner's log was lost"),
            Self::Interrupted => write!(f, "the scan was interrupted"),
            Self::Stopped(who) => write!(f, "the scan was stopped by {who}"),
        }
    }
}

#[cfg(test)]
mod tests;
