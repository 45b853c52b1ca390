//! Scans as the cluster shows them: whose, of what, and how far. Any machine can tell, with nothing but the Jobs, their pods and
//! their logs.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams, Patch, PatchParams};
use kube::{Client, Resource as _, ResourceExt};
use serde_json::json;
use tokio::sync::mpsc;

use super::follow::ImageEnd;
use super::logs::{self, LogEvent, Part};
use super::problem::{PodState, job_problem, state_of};
use super::{
    CACHE_CONTAINER, CONTAINER, GROUP_ANNOTATION, IMAGES_ANNOTATION, JOB_LABEL, REQUESTER_ANNOTATION,
    SCOPE_ANNOTATION, SELECTION_ANNOTATION, STOPPED_ANNOTATION,
};
use crate::cluster::{ApiError, NAME, SCAN_LABEL, SCHEDULE_LABEL, Scope};
use crate::wire::{Event, MAX_IMAGES, Receiver, TaskImage};

/// Most Jobs that are looked at.
const MAX_JOBS: usize = 5_000;
/// Objects per page of a list.
const PAGE: u32 = 500;
/// How long the next line of a log is waited for.
const LINE: Duration = Duration::from_secs(10);
/// Longest text that is taken from an annotation: others may have written it.
const MAX_TEXT: usize = 300;

/// A scan that has Jobs in the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenScan {
    /// Its id.
    pub id: String,
    /// Who asked for it, as far as their kubeconfig says.
    pub requester: Option<String>,
    /// What is scanned, in words of the command line.
    pub scope: Option<String>,
    /// The same as it was selected, for a program.
    pub selection: Option<Scope>,
    /// The schedule that started it.
    pub schedule: Option<String>,
    /// When its first Job was created.
    pub started: Option<Timestamp>,
    /// How many Jobs were planned.
    pub planned: usize,
    /// Its Jobs, in the order of their numbers.
    pub jobs: Vec<SeenJob>,
}

/// One of its Jobs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenJob {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// UID.
    pub uid: String,
    /// Its number within the scan, from 1; 0 if it does not say.
    pub number: usize,
    /// What it reads; empty if that cannot be told.
    pub images: Vec<TaskImage>,
    /// The pod, and what it does.
    pub state: JobState,
    pod: Option<String>,
    created: Option<Timestamp>,
}

/// How far a Job is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobState {
    /// Its pod does not run yet; what it waits for, in the cluster's own words.
    Waiting(Option<String>),
    /// Its pod runs.
    Running,
    /// Its pod has done its work.
    Done,
    /// It will come to nothing more; why.
    Failed(String),
}

/// What the log of a Job's pod tells of its images.
#[derive(Debug)]
pub struct Heard {
    /// One per image, in the order of the Job; none while it is not over.
    pub ends: Vec<Option<ImageEnd>>,
    /// The image that is being read: its number, bytes read, and bytes of all layers (0 while not known).
    pub reading: Option<(usize, u64, u64)>,
    /// What a person should know of the pod.
    pub notes: Vec<String>,
}

impl SeenScan {
    /// Namespaces in which it has Jobs.
    #[must_use]
    pub fn namespaces(&self) -> std::collections::BTreeSet<String> {
        self.jobs.iter().map(|job| job.namespace.clone()).collect()
    }

    /// Whether nothing more will come of it by itself.
    #[must_use]
    pub fn is_over(&self) -> bool {
        // A pod for the cache ends when nobody speaks to it any more.
        let mut readers = self.jobs.iter().filter(|job| !job.images.is_empty());
        readers.all(|job| matches!(job.state, JobState::Done | JobState::Failed(_)))
    }
}

/// All scans that have Jobs in a namespace, or in the cluster; the newest first.
///
/// # Errors
/// The API server refused.
pub async fn seen_scans(client: &Client, namespace: Option<&str>) -> Result<Vec<SeenScan>, ApiError> {
    let selector = format!("app.kubernetes.io/managed-by={NAME},{SCAN_LABEL}");
    let jobs: Vec<Job> = list(client, namespace, &selector, "jobs").await?;
    if jobs.is_empty() {
        return Ok(Vec::new());
    }
    // Who may see Jobs and no pods is told less.
    let pods: Vec<Pod> = list(client, namespace, &selector, "pods").await.unwrap_or_default();
    let mut scans = gathered(&jobs, &pods);
    scans.sort_by_key(|scan| std::cmp::Reverse((scan.started, scan.id.clone())));
    Ok(scans)
}

async fn list<K>(
    client: &Client,
    namespace: Option<&str>,
    selector: &str,
    name: &str,
) -> Result<Vec<K>, ApiError>
where
    K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + serde::de::DeserializeOwned,
{
    let api: Api<K> = match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    };
    let place = namespace.map_or_else(String::new, |namespace| format!(" in namespace {namespace:?}"));
    let mut params = ListParams::default().labels(selector).limit(PAGE);
    let mut listed = Vec::new();
    loop {
        let page =
            api.list(&params).await.map_err(|error| ApiError::new(format!("list {name}{place}"), &error))?;
        listed.extend(page.items);
        match page.metadata.continue_ {
            Some(token) if !token.is_empty() && listed.len() < MAX_JOBS => {
                params = params.continue_token(&token);
            }
            _ => return Ok(listed),
        }
    }
}

/// Puts together what belongs together. Pure.
fn gathered(jobs: &[Job], pods: &[Pod]) -> Vec<SeenScan> {
    let mut scans: BTreeMap<String, SeenScan> = BTreeMap::new();
    for job in jobs {
        let Some(id) = job.labels().get(SCAN_LABEL) else { continue };
        let pod = pods.iter().find(|pod| is_of(pod, job));
        let seen = seen_job(job, pod);
        let text = |name: &str| job.annotations().get(name).map(|text| cut(text));
        let scan = scans.entry(id.clone()).or_insert_with(|| SeenScan {
            id: id.clone(),
            requester: text(REQUESTER_ANNOTATION),
            scope: text(SCOPE_ANNOTATION),
            selection: selection(job),
            schedule: job.labels().get(SCHEDULE_LABEL).cloned(),
            started: None,
            planned: 0,
            jobs: Vec::new(),
        });
        let planned = group(job).map_or(0, |(_, of)| of);
        scan.planned = scan.planned.max(planned).max(seen.number);
        scan.started = [scan.started, seen.created].into_iter().flatten().min();
        scan.jobs.push(seen);
    }
    for scan in scans.values_mut() {
        scan.jobs.sort_by(|one, other| (one.number, &one.name).cmp(&(other.number, &other.name)));
    }
    scans.into_values().collect()
}

fn selection(job: &Job) -> Option<Scope> {
    Scope::from_json(job.annotations().get(SELECTION_ANNOTATION)?)
}

fn is_of(pod: &Pod, job: &Job) -> bool {
    let is_named = pod.labels().get(JOB_LABEL) == Some(&job.name_any());
    let owned = pod.owner_references().iter().any(|owner| Some(&owner.uid) == job.meta().uid.as_ref());
    pod.namespace() == job.namespace() && is_named && owned
}

/// Its number, and how many there are: `1/3`.
fn group(job: &Job) -> Option<(usize, usize)> {
    let (number, of) = job.annotations().get(GROUP_ANNOTATION)?.split_once('/')?;
    Some((number.parse().ok()?, of.parse().ok()?)).filter(|(_, of)| *of <= MAX_JOBS)
}

fn seen_job(job: &Job, pod: Option<&Pod>) -> SeenJob {
    let images = job.annotations().get(IMAGES_ANNOTATION);
    let images: Vec<TaskImage> =
        images.and_then(|images| serde_json::from_str(images).ok()).unwrap_or_default();
    SeenJob {
        namespace: job.namespace().unwrap_or_default(),
        name: job.name_any(),
        uid: job.uid().unwrap_or_default(),
        number: group(job).map_or(0, |(number, _)| number),
        images: if images.len() <= MAX_IMAGES { images } else { Vec::new() },
        state: state(job, pod),
        pod: pod.map(ResourceExt::name_any),
        created: job.creation_timestamp().map(|time| time.0),
    }
}

fn state(job: &Job, pod: Option<&Pod>) -> JobState {
    let of_job = job_problem(job).map(|problem| JobState::Failed(cut(&problem.to_string())));
    let is_complete = job.status.as_ref().is_some_and(|status| status.succeeded.unwrap_or(0) > 0);
    match pod.map(|pod| state_of(pod, container(pod))) {
        Some(PodState::Ended(None)) => JobState::Done,
        Some(PodState::Ended(Some(problem)) | PodState::Stuck(problem)) => {
            JobState::Failed(cut(&problem.to_string()))
        }
        Some(PodState::Started) => of_job.unwrap_or(JobState::Running),
        Some(PodState::Waiting(what)) => {
            of_job.unwrap_or_else(|| JobState::Waiting(what.map(|what| cut(&what))))
        }
        None if is_complete => JobState::Done,
        None => of_job.unwrap_or(JobState::Waiting(None)),
    }
}

/// The container that does the pod's work: a scan may have one for its cache as well.
fn container(pod: &Pod) -> &'static str {
    let mut containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    if containers.any(|container| container.name == CACHE_CONTAINER) { CACHE_CONTAINER } else { CONTAINER }
}

fn cut(text: &str) -> String {
    text.chars().take(MAX_TEXT).collect()
}

/// Reads the log of a Job's pod as far as it goes. Without a pod that runs or has run nothing is heard.
///
/// # Errors
/// The API server refused.
pub async fn hear(client: &Client, scan: &str, job: &SeenJob) -> Result<Heard, ApiError> {
    let count = job.images.len();
    let mut heard = Heard { ends: (0..count).map(|_| None).collect(), reading: None, notes: Vec::new() };
    let Some(pod) = job.pod.clone().filter(|_| !matches!(job.state, JobState::Waiting(_))) else {
        return Ok(heard);
    };
    let pods: Api<Pod> = Api::namespaced(client.clone(), &job.namespace);
    let (send, mut lines) = mpsc::channel(256);
    let part = Part { follow: false, since: None, after: Duration::ZERO };
    tokio::spawn(logs::read(pods, pod, CONTAINER, part, send));
    let mut receiver = Receiver::new(scan, u32::try_from(count).unwrap_or(u32::MAX));
    while let Ok(Some(event)) = tokio::time::timeout(LINE, lines.recv()).await {
        match event {
            LogEvent::Line(_, line) => heard.take(receiver.accept(&line)),
            LogEvent::Over(Some(error)) if !matches!(job.state, JobState::Failed(_)) => return Err(error),
            LogEvent::Over(_) => break,
        }
    }
    Ok(heard)
}

impl Heard {
    fn take(&mut self, event: Event) {
        let (image, end) = match event {
            Event::Nothing | Event::Ended => return,
            Event::Began { generator: _, notes } => {
                self.notes = notes;
                return;
            }
            Event::Started(image) => return self.read(image, 0, 0),
            Event::Progress { image, read, total } => return self.read(image, read, total),
            Event::Image { image, outcome, documents } => (image, ImageEnd::Read(outcome, documents)),
            Event::Failed { image, failure } => (image, ImageEnd::Failed(failure)),
            Event::Lost(image) => (image, ImageEnd::Lost),
        };
        self.reading = None;
        let image = usize::try_from(image).ok();
        if let Some(slot) = image.and_then(|image| self.ends.get_mut(image)) {
            *slot = Some(end);
        }
    }

    fn read(&mut self, image: u32, read: u64, total: u64) {
        self.reading = usize::try_from(image).ok().map(|image| (image, read, total));
    }
}

/// Writes on the Jobs of a scan that it is to end, so that whoever follows them starts no others.
///
/// # Errors
/// The API server refused.
pub async fn mark_stopped(client: &Client, scan: &SeenScan, who: &str) -> Result<(), ApiError> {
    let patch = Patch::Merge(json!({"metadata": {"annotations": {STOPPED_ANNOTATION: who}}}));
    for job in &scan.jobs {
        let jobs: Api<Job> = Api::namespaced(client.clone(), &job.namespace);
        match jobs.patch_metadata(&job.name, &PatchParams::default(), &patch).await {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {}
            Err(error) => {
                let action = format!("patch jobs in namespace {:?}", job.namespace);
                return Err(ApiError::new(action, &error));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(value: serde_json::Value) -> Job {
        serde_json::from_value(value).expect("a Job")
    }

    fn annotated(name: &str, scan: &str, group: &str, created: &str) -> Job {
        job(json!({"metadata": {"name": name, "namespace": "shop", "uid": name, "creationTimestamp": created,
            "labels": {SCAN_LABEL: scan},
            "annotations": {GROUP_ANNOTATION: group, REQUESTER_ANNOTATION: "eve", SCOPE_ANNOTATION: "-n shop",
                IMAGES_ANNOTATION: r#"[{"reference": "r.test/a:1", "wanted": "reference", "platform": null}]"#}}}))
    }

    fn pod(job: &str, owner: &str, status: &serde_json::Value) -> Pod {
        serde_json::from_value(json!({"metadata": {"name": format!("{job}-x"), "namespace": "shop",
            "labels": {JOB_LABEL: job},
            "ownerReferences": [{"apiVersion": "batch/v1", "kind": "Job", "name": job, "uid": owner}]},
            "status": status}))
        .expect("a pod")
    }

    #[test]
    fn jobs_are_gathered_to_scans_in_their_order() {
        let jobs = [
            annotated("b-2", "b", "2/3", "2026-01-01T00:00:02Z"),
            annotated("a-1", "a", "1/1", "2026-01-01T00:00:05Z"),
            annotated("b-1", "b", "1/3", "2026-01-01T00:00:01Z"),
        ];
        let scans = gathered(&jobs, &[]);
        let ids: Vec<&str> = scans.iter().map(|scan| scan.id.as_str()).collect();
        assert_eq!(ids, ["a", "b"]);
        let names: Vec<&str> = scans[1].jobs.iter().map(|job| job.name.as_str()).collect();
        assert_eq!(names, ["b-1", "b-2"]);
        assert_eq!((scans[1].planned, scans[1].requester.as_deref()), (3, Some("eve")));
        assert_eq!(scans[1].started, "2026-01-01T00:00:01Z".parse().ok());
        assert_eq!(scans[0].jobs[0].images.len(), 1);
    }

    #[test]
    fn pods_of_others_do_not_speak_for_a_job() {
        let jobs = [annotated("a-1", "a", "1/1", "2026-01-01T00:00:05Z")];
        let ended = json!({"containerStatuses": [{"name": "scan", "image": "", "imageID": "", "ready": false,
            "restartCount": 0, "state": {"terminated": {"exitCode": 0}}}]});
        let state = |owner: &str| gathered(&jobs, &[pod("a-1", owner, &ended)])[0].jobs[0].state.clone();
        assert_eq!(state("another"), JobState::Waiting(None));
        assert_eq!(state("a-1"), JobState::Done);
    }

    #[test]
    fn what_is_written_on_a_job_by_others_is_bounded() {
        let mut hostile = annotated("a-1", "a", "99999999/99999999999", "2026-01-01T00:00:05Z");
        let annotations = hostile.metadata.annotations.as_mut().expect("some");
        annotations.insert(SCOPE_ANNOTATION.into(), "x".repeat(10_000));
        annotations.insert(IMAGES_ANNOTATION.into(), "[[[[".repeat(10_000));
        let scan = &gathered(&[hostile], &[])[0];
        assert_eq!((scan.planned, scan.jobs[0].images.len()), (0, 0));
        assert_eq!(scan.scope.as_ref().map(String::len), Some(MAX_TEXT));
    }
}
