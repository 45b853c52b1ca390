//! Creates a Job and follows it to its end: the Job, its pod, their events and the pod's log at once.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::stream::{BoxStream, StreamExt as _};
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Event as ApiEvent, Pod};
use kube::api::{Api, ListParams, PostParams};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, watcher};
use kube::{Client, ResourceExt as _};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::logs::{self, LogEvent, Part};
use super::problem::{PodState, Problem, event_problem, job_problem, pod_state};
use super::spec::alterations;
use crate::cluster::{ApiError, Refusal, SCAN_LABEL};
use crate::wire::{DocumentName, Event, Failure, Outcome, Receiver};

/// How often a log that breaks off is taken up again without a new line in between.
const LOG_TRIES: u32 = 20;

/// How long the log may go on after its container has ended.
const LOG_GRACE: Duration = Duration::from_secs(10);

/// How long the log's end is waited for when the pod is being deleted.
const CLIENT_GRACE: Duration = Duration::from_secs(45);

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
}

/// Runs one Job. `timeout` is what is left of the scan's time; the scanner itself knows it and ends earlier.
pub async fn follow(
    client: &Client,
    desired: &Job,
    images: usize,
    timeout: Duration,
    stop: &CancellationToken,
    on: impl Fn(Progress),
) -> GroupEnd {
    let namespace = desired.namespace().unwrap_or_default();
    let jobs: Api<Job> = Api::namespaced(client.clone(), &namespace);
    let job = match create(&jobs, desired, &namespace).await {
        Ok(job) => job,
        Err(error) => return GroupEnd::refused(images, error),
    };
    on(Progress::Created);
    let mut run = Run::new(client, &namespace, desired, &job, images, &on);
    let problem = run.until_over(timeout, stop).await;
    run.finish(problem).await
}

/// Creates the Job. A name that is taken by a Job of the same scan is our own, created by a request whose answer
/// was lost.
async fn create(jobs: &Api<Job>, desired: &Job, namespace: &str) -> Result<Job, ApiError> {
    let action = || format!("create jobs in namespace {namespace:?}");
    match jobs.create(&PostParams::default(), desired).await {
        Ok(job) => Ok(job),
        Err(kube::Error::Api(status)) => Err(ApiError::new(action(), &kube::Error::Api(status))),
        Err(error) => {
            // A list instead of a get: that right is needed anyway.
            let by_name = ListParams::default().fields(&format!("metadata.name={}", desired.name_any()));
            let found = jobs.list(&by_name).await.ok().and_then(|found| found.items.into_iter().next());
            match found {
                Some(job) if job.labels().get(SCAN_LABEL) == desired.labels().get(SCAN_LABEL) => Ok(job),
                _ => Err(ApiError::new(action(), &error)),
            }
        }
    }
}

impl GroupEnd {
    fn refused(images: usize, error: ApiError) -> Self {
        Self {
            images: (0..images).map(|_| ImageEnd::NotReached).collect(),
            problem: Some(Problem::Refused(error)),
            created: None,
            notes: Vec::new(),
        }
    }
}

/// How the scanner's container ended.
struct Ended {
    /// Why, if not as it should.
    problem: Option<Problem>,
}

/// One Job being followed.
struct Run<'a, F> {
    pods: Api<Pod>,
    events: Api<ApiEvent>,
    jobs: Api<Job>,
    desired: &'a Job,
    namespace: String,
    name: String,
    uid: String,
    scan: String,
    on: &'a F,
    receiver: Receiver,
    images: Vec<Option<ImageEnd>>,
    notes: Vec<String>,
    /// The pod, once it is there: name and UID.
    pod: Option<(String, String)>,
    /// How the container ended, once it has.
    ended: Option<Ended>,
    running: bool,
    waiting: String,
    unschedulable: Option<String>,
    log: Option<mpsc::Receiver<LogEvent>>,
    log_from: Option<Timestamp>,
    log_tries: u32,
    log_error: Option<ApiError>,
}

impl<'a, F: Fn(Progress)> Run<'a, F> {
    fn new(client: &Client, namespace: &str, desired: &'a Job, job: &Job, images: usize, on: &'a F) -> Self {
        let scan = desired.labels().get(SCAN_LABEL).cloned().unwrap_or_default();
        Self {
            pods: Api::namespaced(client.clone(), namespace),
            events: Api::namespaced(client.clone(), namespace),
            jobs: Api::namespaced(client.clone(), namespace),
            desired,
            namespace: namespace.to_owned(),
            name: job.name_any(),
            uid: job.uid().unwrap_or_default(),
            receiver: Receiver::new(&scan, u32::try_from(images).unwrap_or(u32::MAX)),
            scan,
            on,
            images: (0..images).map(|_| None).collect(),
            notes: Vec::new(),
            pod: None,
            ended: None,
            running: false,
            waiting: String::new(),
            unschedulable: None,
            log: None,
            log_from: None,
            log_tries: 0,
            log_error: None,
        }
    }

    /// Until everything is said or nothing more can come.
    async fn until_over(&mut self, timeout: Duration, stop: &CancellationToken) -> Option<Problem> {
        let mut pods =
            watch(self.pods.clone(), watcher::Config::default().labels(&format!("{SCAN_LABEL}={}", self.scan)));
        let mut jobs = watch(
            self.jobs.clone(),
            watcher::Config::default().fields(&format!("metadata.name={}", self.name)),
        );
        let mut events = self.events_of(&self.uid);
        let mut pod_events: BoxStream<'static, watcher::Result<watcher::Event<ApiEvent>>> =
            futures::stream::pending().boxed();
        let deadline = Instant::now() + timeout + CLIENT_GRACE;
        let mut log_ends = deadline;
        loop {
            let has_log = self.log.is_some();
            tokio::select! {
                () = stop.cancelled() => return Some(Problem::Interrupted),
                () = tokio::time::sleep_until(deadline.min(log_ends)) => {
                    if let Some(ended) = self.ended.take() {
                        return ended.problem.or(Some(Problem::LogCut));
                    }
                    return Some(self.unschedulable.take().map_or(Problem::Deadline, Problem::Unschedulable));
                }
                Some(event) = pods.next() => match event {
                    Ok(watcher::Event::Apply(pod) | watcher::Event::InitApply(pod)) if self.owns(&pod) => {
                        if self.pod.is_none() {
                            pod_events = self.events_of(&pod.uid().unwrap_or_default());
                        }
                        if let Some(problem) = self.pod_changed(&pod) {
                            return Some(problem);
                        }
                    }
                    Ok(watcher::Event::Delete(pod)) if self.owns(&pod) => {
                        return Some(pod_end(&pod).unwrap_or(Problem::Deleted));
                    }
                    Ok(_) => {}
                    Err(error) => if let Some(error) = missing_right(&error, "pods", &self.namespace) {
                        return Some(Problem::Watch(error));
                    },
                },
                Some(event) = jobs.next() => match event {
                    Ok(watcher::Event::Apply(job) | watcher::Event::InitApply(job)) => {
                        if let Some(problem) = job_problem(&job) {
                            return Some(problem);
                        }
                    }
                    Ok(watcher::Event::Delete(_)) => return Some(Problem::Deleted),
                    Ok(_) => {}
                    // The pod alone tells nearly as much.
                    Err(error) => if let Some(error) = missing_right(&error, "jobs", &self.namespace) {
                        self.notes.push(format!("{error}: what happens to the scanner's Job may be noticed late"));
                        jobs = futures::stream::pending().boxed();
                    },
                },
                Some(event) = events.next() => if let Ok(watcher::Event::Apply(event) | watcher::Event::InitApply(event)) = event
                    && let Some(problem) = event_problem(&event) {
                    return Some(problem);
                },
                Some(event) = pod_events.next() => if let Ok(watcher::Event::Apply(event) | watcher::Event::InitApply(event)) = event {
                    self.pod_event(&event);
                },
                Some(event) = receive(&mut self.log), if has_log => match event {
                    LogEvent::Line(when, line) => {
                        self.log_from = when.or(self.log_from);
                        self.log_tries = 0;
                        self.line(&line);
                        if self.receiver.is_complete() {
                            return None;
                        }
                    }
                    LogEvent::Over(Some(error)) if is_missing_right(&error) => return Some(Problem::Log(error)),
                    LogEvent::Over(error) => {
                        self.log = None;
                        self.log_error = error;
                        if let Some(ended) = self.ended.take() {
                            return ended.problem;
                        }
                        self.log_tries += 1;
                        if self.log_tries > LOG_TRIES {
                            return Some(self.log_error.take().map_or(Problem::LogCut, Problem::Log));
                        }
                        let pause = Duration::from_millis(50).saturating_mul(1 << self.log_tries.min(5));
                        self.open_log(Part { follow: true, since: self.log_from, after: pause });
                    }
                },
            }
            if self.ended.is_some() && log_ends == deadline {
                log_ends = Instant::now() + LOG_GRACE;
            }
        }
    }

    /// What is known at the end. Where something is missing, the whole log is read once more.
    async fn finish(mut self, problem: Option<Problem>) -> GroupEnd {
        let interrupted = matches!(problem, Some(Problem::Interrupted));
        let missing =
            |images: &[Option<ImageEnd>]| images.iter().any(|end| matches!(end, None | Some(ImageEnd::Lost)));
        let mut open = None;
        let unreadable = matches!(problem, Some(Problem::Log(_)));
        if missing(&self.images) && self.running && !interrupted && !unreadable {
            let fresh = Receiver::new(&self.scan, u32::try_from(self.images.len()).unwrap_or(u32::MAX));
            let first = std::mem::replace(&mut self.receiver, fresh).finish();
            open = first.open;
            self.open_log(Part { follow: false, since: None, after: Duration::ZERO });
            while let Some(LogEvent::Line(_, line)) = receive(&mut self.log).await {
                self.line(&line);
            }
        }
        let heard = self.receiver.finish();
        let open = heard.open.or(open).and_then(|image| usize::try_from(image).ok());
        if problem.is_some() && !interrupted {
            self.notes.extend(heard.diagnostics.iter().map(|line| format!("scanner {}: {line}", self.name)));
        }
        let unread = |number| match (&problem, heard.complete) {
            _ if open == Some(number) => ImageEnd::Open,
            (None, _) | (_, true) => ImageEnd::Lost,
            _ => ImageEnd::NotReached,
        };
        let images = self.images.into_iter().enumerate();
        let images = images.map(|(number, end)| end.unwrap_or_else(|| unread(number))).collect();
        GroupEnd { images, problem, created: Some((self.name, self.uid)), notes: self.notes }
    }

    fn line(&mut self, line: &str) {
        let (number, end) = match self.receiver.accept(line) {
            Event::Nothing | Event::Ended => return,
            Event::Began { .. } => return (self.on)(Progress::Running),
            Event::Started(image) => return self.reading(image, 0, 0),
            Event::Progress { image, read, total } => return self.reading(image, read, total),
            Event::Image { image, outcome, documents } => (image, ImageEnd::Read(outcome, documents)),
            Event::Failed { image, failure } => (image, ImageEnd::Failed(failure)),
            Event::Lost(image) => (image, ImageEnd::Lost),
        };
        let Some(number) = usize::try_from(number).ok().filter(|n| *n < self.images.len()) else { return };
        if matches!(self.images[number], None | Some(ImageEnd::Lost)) {
            self.images[number] = Some(end);
        }
        (self.on)(Progress::Finished { image: number });
    }

    fn reading(&self, image: u32, read: u64, total: u64) {
        (self.on)(Progress::Reading { image: usize::try_from(image).unwrap_or(usize::MAX), read, total });
    }

    fn owns(&self, pod: &Pod) -> bool {
        pod.owner_references().iter().any(|owner| owner.uid == self.uid)
    }

    /// Takes in the pod's new state; a problem if nothing more can come of it.
    fn pod_changed(&mut self, pod: &Pod) -> Option<Problem> {
        if self.pod.is_none() {
            self.pod = Some((pod.name_any(), pod.uid().unwrap_or_default()));
            let changed = pod.spec.as_ref().map(|spec| alterations(self.desired, spec)).unwrap_or_default();
            self.notes.extend(changed);
        }
        match pod_state(pod) {
            PodState::Waiting(what) => {
                if let Some(what) = what {
                    self.unschedulable = Some(what.clone());
                    self.say_waiting(&what);
                }
            }
            PodState::Started => self.start_log(),
            PodState::Ended(problem) => {
                self.start_log();
                // A pod that is deleted reports its container's end before it goes; who did it is not known.
                let deleted = pod.metadata.deletion_timestamp.is_some();
                let problem = match problem {
                    Some(Problem::Died(_)) if deleted => Some(Problem::Deleted),
                    other => other,
                };
                self.ended = Some(Ended { problem });
            }
            PodState::Stuck(problem) => return Some(problem),
        }
        None
    }

    fn pod_event(&mut self, event: &ApiEvent) {
        let reason = event.reason.as_deref().unwrap_or_default();
        // These the pod's own status tells too, and as what they are.
        let is_told = matches!(reason, "Failed" | "BackOff" | "FailedScheduling");
        if event.type_.as_deref() == Some("Warning") && !self.running && !is_told {
            let message = event.message.as_deref().unwrap_or_default();
            self.say_waiting(&format!("{reason}: {message}"));
        }
    }

    fn say_waiting(&mut self, what: &str) {
        if self.waiting != what {
            what.clone_into(&mut self.waiting);
            (self.on)(Progress::Waiting(what.to_owned()));
        }
    }

    fn start_log(&mut self) {
        if !self.running {
            self.running = true;
            self.open_log(Part { follow: true, since: None, after: Duration::ZERO });
        }
    }

    fn open_log(&mut self, part: Part) {
        let Some((pod, _)) = &self.pod else { return };
        let (send, receive) = mpsc::channel(256);
        tokio::spawn(logs::read(self.pods.clone(), pod.clone(), part, send));
        self.log = Some(receive);
    }

    fn events_of(&self, uid: &str) -> BoxStream<'static, watcher::Result<watcher::Event<ApiEvent>>> {
        let config = watcher::Config::default().fields(&format!("involvedObject.uid={uid}"));
        // Without the right to watch events a scan works, it only tells less.
        watch(self.events.clone(), config).take_while(|event| std::future::ready(event.is_ok())).boxed()
    }
}

/// A watch that goes on after errors, waiting longer each time.
fn watch<K>(api: Api<K>, config: watcher::Config) -> BoxStream<'static, watcher::Result<watcher::Event<K>>>
where
    K: kube::Resource + Clone + std::fmt::Debug + serde::de::DeserializeOwned + Send + 'static,
{
    watcher(api, config).default_backoff().boxed()
}

async fn receive(log: &mut Option<mpsc::Receiver<LogEvent>>) -> Option<LogEvent> {
    log.as_mut()?.recv().await
}

/// How a deleted pod ended before it went.
fn pod_end(pod: &Pod) -> Option<Problem> {
    match pod_state(pod) {
        PodState::Ended(Some(problem)) if !matches!(problem, Problem::Died(_)) => Some(problem),
        _ => None,
    }
}

/// An error of a watch that trying again does not mend.
fn missing_right(error: &watcher::Error, resource: &str, namespace: &str) -> Option<ApiError> {
    let (verb, cause) = match error {
        watcher::Error::InitialListFailed(cause) => ("list", cause),
        watcher::Error::WatchStartFailed(cause) => ("watch", cause),
        _ => return None,
    };
    let error = ApiError::new(format!("{verb} {resource} in namespace {namespace:?}"), cause);
    is_missing_right(&error).then_some(error)
}

fn is_missing_right(error: &ApiError) -> bool {
    matches!(error.refusal, Refusal::Forbidden(_) | Refusal::Unauthenticated(_))
}
