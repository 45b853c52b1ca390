//! One Job from its creation to what came of it.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::batch::v1::Job;
use kube::api::{Api, ListParams, PostParams};
use kube::{Client, ResourceExt as _};
use tokio_util::sync::CancellationToken;

use super::owned;
use super::problem::Problem;
use super::run::Run;
use super::spec::{Desired, Distrust, distrust};
use crate::cluster::{ApiError, Refusal, SCAN_LABEL};
use crate::wire::{DocumentName, Failure, Outcome};

/// How long the answer to one request is waited for.
const ANSWER: Duration = Duration::from_secs(30);

/// What happens on the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The Job is there.
    Created,
    /// What it waits for, in the cluster's own words.
    Waiting(String),
    /// The scanner runs.
    Running,
    /// An image is being read.
    Reading {
        /// Number of the image in its group.
        image: usize,
        /// Compressed bytes read.
        read: u64,
        /// Compressed bytes of all layers; 0 while not known.
        total: u64,
    },
    /// An image has ended in one way or another.
    Finished {
        /// Number of the image in its group.
        image: usize,
    },
    /// What only a curious person wants to know.
    Detail(String),
}

/// How one image of a group ended.
#[derive(Debug, PartialEq, Eq)]
pub enum ImageEnd {
    /// Read, with all its documents by name: version and bytes.
    Read(Box<Outcome>, BTreeMap<DocumentName, (u32, Vec<u8>)>),
    /// The scanner says why not.
    Failed(Failure),
    /// It was being read when the pod came to its end.
    Open,
    /// The cluster could not mount it, in its own words.
    NotMounted(String),
    /// Part of its frames was lost.
    Lost,
    /// The pod never came to it.
    NotReached,
}

/// How a group ended.
#[derive(Debug)]
pub struct GroupEnd {
    /// One per image, in the order of the task.
    pub images: Vec<ImageEnd>,
    /// Why the pod did not do all its work.
    pub problem: Option<Problem>,
    /// Name and UID of the Job, if it was created.
    pub created: Option<(String, String)>,
    /// What a person should know: what admission changed, the scanner's last words.
    pub notes: Vec<String>,
    /// Why Secrets that were made for the Job are still there although its pod is done.
    pub secrets_left: Option<ApiError>,
}

/// Runs one Job. `timeout` is what is left of the scan's time; the scanner itself knows it and ends earlier.
pub async fn follow(
    client: &Client,
    desired: &Desired,
    images: usize,
    timeout: Duration,
    stop: &CancellationToken,
    on: impl Fn(Progress),
) -> GroupEnd {
    let Desired { job: desired, secrets } = desired;
    if stop.is_cancelled() {
        return GroupEnd::without(images, Problem::Interrupted);
    }
    let namespace = desired.namespace().unwrap_or_default();
    let job = match create(client, desired).await {
        Ok(job) => job,
        Err(error) => return GroupEnd::without(images, refused(desired, error)),
    };
    on(Progress::Created);
    let stored = job.spec.as_ref().and_then(|spec| spec.template.spec.as_ref());
    if let Some(change) = stored.and_then(|pod| distrust(desired, pod)) {
        // An API server that does not know a field leaves it out.
        return GroupEnd::of_job(&job, images, Problem::Dropped(change));
    }
    let created = match owned::create(client, &job, secrets).await {
        Ok(created) => created,
        Err(error) => return GroupEnd::of_job(&job, images, Problem::NoSecret(error)),
    };
    let mut run = Run::new(client, &namespace, desired, &job, images, &on);
    let problem = run.until_over(timeout, stop).await;
    let mut end = run.finish(problem, stop).await;
    // A Job that is kept for a look at it is no place for a credential.
    end.secrets_left = owned::delete(client, &namespace, &created).await.err();
    end
}

/// Creates a Job with its Secrets, and leaves it.
///
/// # Errors
/// The API server refused; the Job may be there.
pub async fn start(client: &Client, desired: &Desired) -> Result<(), ApiError> {
    let job = create(client, &desired.job).await?;
    owned::create(client, &job, &desired.secrets).await.map(|_| ())
}

/// Creates the Job. One of this name and scan that is there already is our own, created by a request whose answer was
/// lost.
pub(super) async fn create(client: &Client, desired: &Job) -> Result<Job, ApiError> {
    let namespace = desired.namespace().unwrap_or_default();
    let jobs: Api<Job> = Api::namespaced(client.clone(), &namespace);
    let action = || format!("create jobs in namespace {namespace:?}");
    let error = match tokio::time::timeout(ANSWER, jobs.create(&PostParams::default(), desired)).await {
        Ok(Ok(job)) => return Ok(job),
        Ok(Err(error)) => ApiError::new(action(), &error),
        Err(_) => {
            ApiError { action: action(), refusal: Refusal::Unreachable("it did not answer in time".into()) }
        }
    };
    if !error.may_pass() {
        return Err(error);
    }
    // A list instead of a get: that right is needed anyway.
    let by_name = ListParams::default().fields(&format!("metadata.name={}", desired.name_any()));
    let found = tokio::time::timeout(ANSWER, jobs.list(&by_name)).await;
    let found = found.ok().and_then(Result::ok).and_then(|found| found.items.into_iter().next());
    found.filter(|job| job.labels().get(SCAN_LABEL) == desired.labels().get(SCAN_LABEL)).ok_or(error)
}

/// Why a Job was not created. Where the API server does not know image volumes, it misses what they are.
fn refused(desired: &Job, error: ApiError) -> Problem {
    let has_mounts = desired
        .spec
        .iter()
        .flat_map(|spec| spec.template.spec.iter())
        .any(|pod| pod.volumes.iter().flatten().any(|volume| volume.image.is_some()));
    let text = error.refusal.text();
    if has_mounts && text.contains("must specify a volume type") {
        let text = format!("the API server knows no image volumes: {text}");
        return Problem::Dropped(Distrust { text, is_of_volumes: true });
    }
    Problem::Refused(error)
}

impl GroupEnd {
    /// Nothing was read.
    fn without(images: usize, problem: Problem) -> Self {
        Self {
            images: (0..images).map(|_| ImageEnd::NotReached).collect(),
            problem: Some(problem),
            created: None,
            notes: Vec::new(),
            secrets_left: None,
        }
    }

    /// Nothing was read, and the Job is there.
    fn of_job(job: &Job, images: usize, problem: Problem) -> Self {
        let created = Some((job.name_any(), job.uid().unwrap_or_default()));
        Self { created, ..Self::without(images, problem) }
    }
}
