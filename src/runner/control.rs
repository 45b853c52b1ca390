//! Runners in the cluster: made, seen, removed.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use kube::api::{Api, DeleteParams, ListParams, LogParams, PostParams, Preconditions, PropagationPolicy};
use kube::{Client, ResourceExt as _};

use super::{CONTAINER, STATE_ANNOTATION, scan_id};
use crate::cluster::{ApiError, KIND_LABEL, NAME, RUNNER_KIND, SCHEDULE_LABEL};
use crate::job::{REQUESTER_ANNOTATION, SCOPE_ANNOTATION};

/// Most runners that are looked at.
const MAX_RUNNERS: usize = 5_000;
/// Objects per page of a list.
const PAGE: u32 = 500;
/// Longest text that is taken from an annotation or a condition.
const MAX_TEXT: usize = 300;
/// Lines of a runner's log that tell why it has failed.
const LAST_LINES: i64 = 25;
/// How often it is looked whether a runner is gone.
const PAUSE: Duration = Duration::from_millis(300);

/// A runner that is in the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenRunner {
    /// The id of its scan.
    pub scan: String,
    /// Namespace of its Job.
    pub namespace: String,
    /// Name of its Job.
    pub name: String,
    /// UID of its Job.
    pub uid: String,
    /// Who asked for it.
    pub requester: Option<String>,
    /// What is scanned, in words of the command line.
    pub scope: Option<String>,
    /// Where its record will be.
    pub state_namespace: Option<String>,
    /// The schedule that has made it.
    pub schedule: Option<String>,
    /// When it was made.
    pub created: Option<Timestamp>,
    /// How far it is.
    pub phase: Phase,
}

/// How far a runner is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Its pod has not begun, or works.
    Active,
    /// It has left a record.
    Done,
    /// It has not; why, in the cluster's words.
    Failed(String),
}

/// A runner cannot be made or removed.
#[derive(Debug, thiserror::Error)]
pub enum RunnerError {
    /// The API server refused.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The API server did not say what it has created.
    #[error("the API server gave the runner's job no UID")]
    NoUid,
    /// Still there when the time was up.
    #[error("still there: job {namespace}/{name}")]
    Left {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
}

/// Creates a runner's Job.
///
/// # Errors
/// The API server refused.
pub async fn create(client: &Client, job: &Job) -> Result<SeenRunner, RunnerError> {
    let namespace = job.namespace().unwrap_or_default();
    let jobs: Api<Job> = Api::namespaced(client.clone(), &namespace);
    let created = jobs.create(&PostParams::default(), job).await;
    let created =
        created.map_err(|error| ApiError::new(format!("create jobs in namespace {namespace:?}"), &error))?;
    seen(&created).ok_or(RunnerError::NoUid)
}

/// All runners in a namespace, or in the cluster; the newest first.
///
/// # Errors
/// The API server refused.
pub async fn seen_runners(client: &Client, namespace: Option<&str>) -> Result<Vec<SeenRunner>, ApiError> {
    let jobs: Api<Job> = match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    };
    let place = namespace.map_or_else(String::new, |namespace| format!(" in namespace {namespace:?}"));
    let selector = format!("app.kubernetes.io/managed-by={NAME},{KIND_LABEL}={RUNNER_KIND}");
    let mut params = ListParams::default().labels(&selector).limit(PAGE);
    let mut all = Vec::new();
    loop {
        let page =
            jobs.list(&params).await.map_err(|error| ApiError::new(format!("list jobs{place}"), &error))?;
        all.extend(page.items.iter().filter_map(seen));
        match page.metadata.continue_ {
            Some(token) if !token.is_empty() && all.len() < MAX_RUNNERS => {
                params = params.continue_token(&token);
            }
            _ => break,
        }
    }
    all.sort_by_key(|runner| std::cmp::Reverse((runner.created, runner.name.clone())));
    Ok(all)
}

fn seen(job: &Job) -> Option<SeenRunner> {
    let uid = job.uid()?;
    let text = |name: &str| job.annotations().get(name).map(|text| cut(text));
    Some(SeenRunner {
        scan: scan_id(&uid)?,
        namespace: job.namespace().unwrap_or_default(),
        name: job.name_any(),
        uid,
        requester: text(REQUESTER_ANNOTATION),
        scope: text(SCOPE_ANNOTATION),
        state_namespace: text(STATE_ANNOTATION),
        schedule: job.labels().get(SCHEDULE_LABEL).cloned(),
        created: job.creation_timestamp().map(|time| time.0),
        phase: phase(job),
    })
}

fn phase(job: &Job) -> Phase {
    let conditions = job.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let mut true_ones = conditions.filter(|condition| condition.status == "True");
    match true_ones.find(|condition| matches!(condition.type_.as_str(), "Complete" | "Failed")) {
        None => Phase::Active,
        Some(condition) if condition.type_ == "Complete" => Phase::Done,
        Some(condition) => Phase::Failed(cut(condition.message.as_deref().unwrap_or_default())),
    }
}

fn cut(text: &str) -> String {
    text.chars().take(MAX_TEXT).collect()
}

/// Deletes a runner, and waits until its pod has ended: it removes what its scan created.
///
/// # Errors
/// The API server refused, or it was still there when the time was up.
pub async fn remove(client: &Client, runner: &SeenRunner, patience: Duration) -> Result<(), RunnerError> {
    let SeenRunner { namespace, name, uid, .. } = runner;
    let jobs: Api<Job> = Api::namespaced(client.clone(), namespace);
    let params = DeleteParams {
        propagation_policy: Some(PropagationPolicy::Foreground),
        preconditions: Some(Preconditions { uid: Some(uid.clone()), resource_version: None }),
        ..DeleteParams::default()
    };
    match jobs.delete(name, &params).await {
        Ok(_) => {}
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => return Ok(()),
        Err(error) => {
            return Err(ApiError::new(format!("delete jobs in namespace {namespace:?}"), &error).into());
        }
    }
    // A list in the place of a get: that right is needed anyway.
    let by_name = ListParams::default().fields(&format!("metadata.name={name}"));
    let gone = async {
        loop {
            let listed = jobs.list_metadata(&by_name).await;
            if listed.is_ok_and(|list| list.items.iter().all(|job| job.uid().as_ref() != Some(uid))) {
                break;
            }
            tokio::time::sleep(PAUSE).await;
        }
    };
    let left = || RunnerError::Left { namespace: namespace.clone(), name: name.clone() };
    tokio::time::timeout(patience, gone).await.map_err(|_| left())
}

/// Whether a ServiceAccount is there, as far as one may look.
pub async fn service_account_exists(client: &Client, namespace: &str, name: &str) -> Option<bool> {
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
    accounts.get_metadata_opt(name).await.ok().map(|account| account.is_some())
}

impl SeenRunner {
    /// The last lines of its log, as far as they can be had.
    pub async fn last_words(&self, client: &Client) -> Vec<String> {
        let pods: Api<Pod> = Api::namespaced(client.clone(), &self.namespace);
        let selector = format!("batch.kubernetes.io/controller-uid={}", self.uid);
        let Ok(listed) = pods.list_metadata(&ListParams::default().labels(&selector)).await else {
            return Vec::new();
        };
        let Some(pod) = listed.items.first() else { return Vec::new() };
        let params = LogParams {
            container: Some(CONTAINER.to_owned()),
            tail_lines: Some(LAST_LINES),
            limit_bytes: Some(16 << 10),
            ..LogParams::default()
        };
        let log = pods.logs(&pod.name_any(), &params).await.unwrap_or_default();
        log.lines().map(cut).filter(|line| !line.trim().is_empty()).collect()
    }
}
