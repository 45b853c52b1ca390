//! The pod that has a volume mounted while somebody asks what is on it: from its creation to its removal.

mod spec;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex as SyncMutex, PoisonError};
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Event as ApiEvent, Pod};
use kube::api::{Api, AttachParams, AttachedProcess};
use kube::runtime::watcher;
use kube::{Client, ResourceExt as _};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::clean_up::{CleanUpError, delete, remove_scan};
use super::follow::create;
use super::problem::{PodState, Problem, event_problem, state_of};
use super::watch::{Change, Watch, applied, events_of, missing_right, sift, watch};
use super::{CACHE_CONTAINER, JOB_LABEL, JobSettings, User};
use crate::cluster::{ApiError, SCAN_LABEL, missing_for_attach};

/// How long the pod may take to start: a volume may have to be made, and an image to be pulled.
const START: Duration = Duration::from_secs(90);
/// How long the answer to a request is waited for.
const ANSWER: Duration = Duration::from_secs(30);
/// How long a Job is looked for that may or may not be there.
const UNCERTAIN: Duration = Duration::from_secs(5);
/// Bytes on the way in each direction.
const PIPE: usize = 64 << 10;

/// A `PersistentVolumeClaim`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Its namespace, in which the pod runs too.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// Why there is no line to a volume.
#[derive(Debug, thiserror::Error)]
pub enum KeeperError {
    /// The API server refused.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The Job could not create its pod. The event's text.
    #[error("the Job cannot create the cache pod: {0}")]
    NoPod(String),
    /// The claim is not there, or goes. The scheduler's text.
    #[error("no node takes the cache pod: {0}")]
    NoClaim(String),
    /// The pod cannot start.
    #[error("the cache pod cannot start: {0}")]
    Stuck(String),
    /// It had not started in time. What it waited for.
    #[error("the cache pod has not started within {} s{}", START.as_secs(), after_colon(.0))]
    NotStarted(String),
    /// It ended before anybody was attached to it.
    #[error("the cache pod has ended at once{}", after_colon(.0))]
    Ended(String),
}

fn after_colon(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(": {text}") }
}

/// A line to the pod.
pub struct Attached {
    /// What it writes.
    pub stdout: Box<dyn AsyncRead + Send + Sync + Unpin>,
    /// What it reads.
    pub stdin: Box<dyn AsyncWrite + Send + Sync + Unpin>,
    /// What carries it; the line ends when this is dropped.
    pub process: AttachedProcess,
}

/// Starts pods that have a volume, one at a time, and removes them.
pub struct Keeper {
    client: Client,
    claim: Claim,
    settings: JobSettings,
    started: AtomicUsize,
    created: Arc<Created>,
}

/// What was created and not yet removed.
#[derive(Default)]
struct Created {
    /// Held while a Job is being created: what is under way cannot be called back.
    under_way: Arc<Mutex<()>>,
    /// Names and UIDs.
    jobs: SyncMutex<Vec<(String, String)>>,
    /// A Job may be there whose creation was not answered.
    is_uncertain: SyncMutex<bool>,
}

impl Created {
    fn all(&self) -> Vec<(String, String)> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn forget(&self, uid: &str) {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner).retain(|(_, other)| other != uid);
    }
}

impl Keeper {
    /// For a claim. The settings are those of the scan, whose label the Jobs get.
    #[must_use]
    pub fn new(client: &Client, claim: Claim, settings: JobSettings) -> Self {
        let (started, created) = (AtomicUsize::new(0), Arc::default());
        Self { client: client.clone(), claim, settings, started, created }
    }

    /// The claim.
    #[must_use]
    pub fn claim(&self) -> &Claim {
        &self.claim
    }

    /// Starts a pod and attaches to it.
    pub async fn open(&self) -> Result<Attached, KeeperError> {
        if let Some(error) = missing_for_attach(&self.client, &self.claim.namespace).await {
            return Err(error.into());
        }
        match self.start(User::Nobody).await {
            // Some clusters assign a range of users to each namespace and admit no other.
            Err(KeeperError::NoPod(why)) => match self.start(User::Assigned).await {
                Err(KeeperError::NoPod(_)) => Err(KeeperError::NoPod(why)),
                other => other,
            },
            other => other,
        }
    }

    async fn start(&self, user: User) -> Result<Attached, KeeperError> {
        let number = self.started.fetch_add(1, Ordering::Relaxed) + 1;
        let job = self.create(spec::desired(&self.claim, &self.settings, number, user)).await?;
        let pod = self.until_running(&job).await?;
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &self.claim.namespace);
        let params = AttachParams::default()
            .container(CACHE_CONTAINER)
            .stdin(true)
            .stdout(true)
            .stderr(false)
            .max_stdin_buf_size(PIPE)
            .max_stdout_buf_size(PIPE);
        let action = format!("create pods/attach of pod {pod} in namespace {:?}", self.claim.namespace);
        let mut process = match timeout(ANSWER, pods.attach(&pod, &params)).await {
            Ok(attached) => attached.map_err(|error| ApiError::new(action, &error))?,
            Err(_) => return Err(KeeperError::Stuck(format!("cannot {action}: no answer in time"))),
        };
        let (stdin, stdout) = (process.stdin(), process.stdout());
        let (Some(stdin), Some(stdout)) = (stdin, stdout) else {
            return Err(KeeperError::Ended("it has no input or output".to_owned()));
        };
        Ok(Attached { stdout: Box::new(stdout), stdin: Box::new(stdin), process })
    }

    /// Creates the Job in a task of its own, so that it is known of also if nobody waits for it any more.
    async fn create(&self, desired: Job) -> Result<Job, KeeperError> {
        let client = self.client.clone();
        let created = Arc::clone(&self.created);
        let under_way = Arc::clone(&created.under_way).lock_owned().await;
        let task = tokio::spawn(async move {
            let _under_way = under_way;
            let result = create(&client, &desired).await;
            match &result {
                Ok(job) => {
                    let named = (job.name_any(), job.uid().unwrap_or_default());
                    created.jobs.lock().unwrap_or_else(PoisonError::into_inner).push(named);
                }
                Err(error) if error.may_pass() => {
                    *created.is_uncertain.lock().unwrap_or_else(PoisonError::into_inner) = true;
                }
                Err(_) => {}
            }
            result
        });
        match task.await {
            Ok(result) => Ok(result?),
            Err(error) => Err(KeeperError::Stuck(error.to_string())),
        }
    }

    /// Waits until the container runs; the name of the pod.
    async fn until_running(&self, job: &Job) -> Result<String, KeeperError> {
        let namespace = &self.claim.namespace;
        let uid = job.uid().unwrap_or_default();
        let labels = format!("{SCAN_LABEL}={},{JOB_LABEL}={}", self.settings.scan, job.name_any());
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        let events: Api<ApiEvent> = Api::namespaced(self.client.clone(), namespace);
        let mut pods = watch(pods, watcher::Config::default().labels(&labels));
        let mut job_events = events_of(events.clone(), namespace, &uid);
        let mut pod_events: Watch<ApiEvent> = futures::stream::pending().boxed();
        let (mut listed, mut is_seen, mut has_events) = (false, false, true);
        let mut waits_for = String::new();
        let ends = Instant::now() + START;
        loop {
            tokio::select! {
                () = tokio::time::sleep_until(ends) => return Err(KeeperError::NotStarted(waits_for)),
                Some(event) = pods.next() => {
                    let event = match event {
                        Ok(event) => event,
                        Err(error) => match missing_right(&error, "pods", namespace) {
                            Some(error) => return Err(error.into()),
                            None => continue,
                        },
                    };
                    let is_ours = |pod: &Pod| pod.owner_references().iter().any(|owner| owner.uid == uid);
                    match sift(event, &mut listed, is_ours) {
                        Change::Is(pod) => {
                            if !is_seen {
                                is_seen = true;
                                let uid = pod.uid().unwrap_or_default();
                                pod_events = events_of(events.clone(), namespace, &uid);
                            }
                            if let Some(name) = heard(&pod, &mut waits_for)? {
                                return Ok(name);
                            }
                        }
                        Change::Gone(_) if is_seen => {
                            return Err(KeeperError::Ended("somebody deleted it".to_owned()));
                        }
                        Change::Gone(_) | Change::Nothing => {}
                    }
                }
                event = job_events.next(), if has_events => {
                    has_events = event.is_some();
                    let event = event.and_then(Result::ok).and_then(applied);
                    if let Some(Problem::NoPod(why)) = event.as_ref().and_then(event_problem) {
                        return Err(KeeperError::NoPod(why));
                    }
                }
                Some(event) = pod_events.next() => {
                    let event = event.ok().and_then(applied);
                    let warning = event.filter(|event| event.type_.as_deref() == Some("Warning"));
                    if let Some(event) = warning {
                        let part = |part: Option<String>| part.unwrap_or_default();
                        waits_for = format!("{}: {}", part(event.reason), part(event.message));
                    }
                }
            }
        }
    }

    /// Removes all that was created and is still there.
    pub async fn close(&self) -> Result<(), CleanUpError> {
        let namespace = &self.claim.namespace;
        // Where that takes longer, the Job ends by itself: nobody is attached to it.
        let _ = timeout(ANSWER, self.created.under_way.lock()).await;
        let is_uncertain =
            std::mem::take(&mut *self.created.is_uncertain.lock().unwrap_or_else(PoisonError::into_inner));
        let mut failure = None;
        // Each is forgotten only when that is done: this may be given up in between, and begun again.
        for (name, uid) in self.created.all() {
            match delete(&self.client, namespace, &name, &uid).await {
                Ok(()) => self.created.forget(&uid),
                Err(error) => failure = Some(error),
            }
        }
        if is_uncertain {
            let namespaces = [namespace.clone()].into();
            remove_scan(&self.client, &self.settings.scan, &namespaces, UNCERTAIN).await?;
        }
        failure.map_or(Ok(()), |error| Err(error.into()))
    }
}

/// What the state of the pod means: its name if it runs, an error if it never will.
fn heard(pod: &Pod, waits_for: &mut String) -> Result<Option<String>, KeeperError> {
    match state_of(pod, CACHE_CONTAINER) {
        PodState::Started => Ok(Some(pod.name_any())),
        PodState::Ended(problem) => Err(KeeperError::Ended(match problem {
            Some(Problem::Died(text) | Problem::Evicted(text) | Problem::Setup(text)) => text,
            Some(other) => other.to_string(),
            None => String::new(),
        })),
        PodState::Stuck(Problem::ScannerImage(text) | Problem::Setup(text)) => Err(KeeperError::Stuck(text)),
        PodState::Stuck(other) => Err(KeeperError::Stuck(other.to_string())),
        PodState::Waiting(Some(text)) if is_for_ever(&text) => Err(KeeperError::NoClaim(text)),
        PodState::Waiting(Some(text)) => {
            *waits_for = text;
            Ok(None)
        }
        PodState::Waiting(None) => Ok(None),
    }
}

/// Whether waiting brings no claim. The scheduler's words (`volumebinding`, `VolumeBinding` plugin) are the same in all
/// versions; a claim that is only not bound yet may become so.
fn is_for_ever(text: &str) -> bool {
    text.contains("persistentvolumeclaim \"")
        && (text.contains("not found") || text.contains("is being deleted"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn unscheduled(message: &str) -> Result<Option<String>, String> {
        let condition =
            json!({"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message});
        let pod = json!({"metadata": {"name": "p"}, "status": {"conditions": [condition]}});
        let pod = serde_json::from_value(pod).expect("a pod");
        let mut waits_for = String::new();
        let heard = heard(&pod, &mut waits_for).map_err(|error| error.to_string())?;
        Ok(heard.or(Some(waits_for)))
    }

    #[test]
    fn claim_that_is_not_there_is_not_waited_for_and_one_that_is_not_bound_is() {
        let gone = r#"0/2 nodes are available: persistentvolumeclaim "cache" not found."#;
        let said = unscheduled(gone).expect_err("no claim");
        assert!(said.starts_with("no node takes the cache pod: ") && said.contains(gone), "{said}");
        let unbound = "0/2 nodes are available: pod has unbound immediate PersistentVolumeClaims.";
        assert_eq!(unscheduled(unbound), Ok(Some(format!("Unschedulable: {unbound}"))));
    }

    #[test]
    fn what_a_pod_waited_for_is_said() {
        let why = "FailedAttachVolume: Multi-Attach error for volume \"pvc-1\"".to_owned();
        let said = KeeperError::NotStarted(why).to_string();
        assert_eq!(
            said,
            "the cache pod has not started within 90 s: FailedAttachVolume: Multi-Attach error for volume \"pvc-1\""
        );
        let said = KeeperError::NotStarted(String::new()).to_string();
        assert_eq!(said, "the cache pod has not started within 90 s");
    }
}
