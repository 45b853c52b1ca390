//! Follows one Job until everything is said or nothing more can come: the Job, its pod, their events and the pod's
//! log at once.

use std::ops::ControlFlow;
use std::time::Duration;

use futures::stream::StreamExt as _;
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Event as ApiEvent, Pod};
use kube::api::Api;
use kube::runtime::watcher;
use kube::{Client, ResourceExt as _};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::configs::Configs;
use super::follow::{GroupEnd, ImageEnd, Progress};
use super::logs::{self, LogEvent, Part};
use super::mounts::Mounts;
use super::problem::{PodState, Problem, event_problem, job_problem, pod_end, pod_state};
use super::spec::{alterations, distrust};
use super::watch::{Change, Watch, applied, events_of, missing_right, sift, watch};
use super::{CONTAINER, JOB_LABEL, STOPPED_ANNOTATION};
use crate::cluster::SCAN_LABEL;
use crate::wire::{Event, PREFIX_OF_ALL, PROTOCOL, Receiver};

/// How often a log that breaks off is taken up again without a new frame in between: a minute, so that an API server
/// may be restarted.
const LOG_TRIES: u32 = 40;

/// How long the log may go on after its container has ended, and how long one line of it is waited for then.
const LOG_GRACE: Duration = Duration::from_secs(10);

/// How long a scanner that runs is waited for when the scan's time is up: it says why before it ends.
const CLIENT_GRACE: Duration = Duration::from_secs(45);

/// How long a pod that is bound to one node waits for room there: other nodes, and registries, may serve as well.
const ROOM_GRACE: Duration = Duration::from_secs(5);

/// How long the pod of a Job is waited for by somebody who may not read why there is none.
const UNTOLD_GRACE: Duration = Duration::from_secs(5);

/// How long a pod that mounts what its node has may take to start; the scanner's own image may have to be pulled.
const START_GRACE: Duration = Duration::from_mins(1);

/// Longest name of who has stopped a scan.
const MAX_WHO: usize = 300;

/// How the scanner's container ended.
struct Ended {
    /// Why, if not as it should.
    problem: Option<Problem>,
}

/// One Job being followed.
pub(super) struct Run<'a, F> {
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
    /// Name of the pod, once it is there.
    pod: Option<String>,
    /// How the container ended, once it has.
    ended: Option<Ended>,
    /// That the Job failed, once it says so. What its pod says is better, and comes at about the same time.
    failed: Option<Problem>,
    running: bool,
    waiting: String,
    unschedulable: Option<String>,
    /// When a pod that is bound to a node is not waited for any longer.
    room_ends: Option<Instant>,
    /// When a pod that is to mount images must be there, and must run, for it to be waited for any longer.
    start_ends: Option<Instant>,
    mounts: Mounts,
    configs: Configs,
    log: Option<mpsc::Receiver<LogEvent>>,
    log_from: Option<Timestamp>,
    log_tries: u32,
}

impl<'a, F: Fn(Progress)> Run<'a, F> {
    pub(super) fn new(
        client: &Client,
        namespace: &str,
        desired: &'a Job,
        job: &Job,
        images: usize,
        on: &'a F,
    ) -> Self {
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
            failed: None,
            running: false,
            waiting: String::new(),
            unschedulable: None,
            room_ends: None,
            start_ends: None,
            mounts: Mounts::of(desired),
            configs: Configs::of(desired, images),
            log: None,
            log_from: None,
            log_tries: 0,
        }
    }

    /// Until everything is said or nothing more can come; why, if that is a problem.
    pub(super) async fn until_over(&mut self, timeout: Duration, stop: &CancellationToken) -> Option<Problem> {
        let by_label = format!("{SCAN_LABEL}={},{JOB_LABEL}={}", self.scan, self.name);
        let mut pods = watch(self.pods.clone(), watcher::Config::default().labels(&by_label));
        let by_name = format!("metadata.name={}", self.name);
        let mut jobs = watch(self.jobs.clone(), watcher::Config::default().fields(&by_name));
        let mut events = self.events_of(&self.uid);
        let mut pod_events: Watch<ApiEvent> = futures::stream::pending().boxed();
        let (mut pod_listed, mut job_listed, mut has_events) = (false, false, true);
        let time_is_up = Instant::now() + timeout;
        let mut log_ends = None;
        loop {
            let has_log = self.log.is_some();
            let has_configs = self.configs.is_heard();
            // For a scanner that never started there is nothing to wait for.
            let deadline = time_is_up + if self.running { CLIENT_GRACE } else { Duration::ZERO };
            let ends =
                [log_ends, self.room_ends, self.start_ends, self.mounts.settled_at(), self.configs.ends_at()];
            let end = ends.into_iter().flatten().fold(deadline, Instant::min);
            tokio::select! {
                () = stop.cancelled() => return Some(Problem::Interrupted),
                () = tokio::time::sleep_until(end) => return self.out_of_time(),
                Some(event) = self.configs.next(), if has_configs => self.configs.take(event),
                Some(event) = pods.next() => {
                    let event = match event {
                        Ok(event) => event,
                        Err(error) => match missing_right(&error, "pods", &self.namespace) {
                            Some(error) => return Some(Problem::Watch(error)),
                            None => continue,
                        },
                    };
                    let uid = self.uid.clone();
                    let owned = |pod: &Pod| pod.owner_references().iter().any(|owner| owner.uid == uid);
                    match sift(event, &mut pod_listed, owned) {
                        // What becomes of the pod is no matter once all is said.
                        _ if self.receiver.is_complete() => {}
                        Change::Is(pod) => {
                            if self.pod.is_none() {
                                pod_events = self.events_of(&pod.uid().unwrap_or_default());
                            }
                            if let Some(problem) = self.pod_changed(&pod) {
                                return Some(problem);
                            }
                        }
                        Change::Gone(pod) if self.pod.is_some() => {
                            return Some(pod.as_ref().and_then(pod_end).unwrap_or(Problem::Deleted));
                        }
                        // Not created yet.
                        Change::Gone(_) | Change::Nothing => {}
                    }
                }
                Some(event) = jobs.next() => match event {
                    Ok(event) => if let Some(problem) = self.job_changed(sift(event, &mut job_listed, |_| true)) {
                        return Some(problem);
                    },
                    Err(error) => if let Some(error) = missing_right(&error, "jobs", &self.namespace) {
                        // The pod alone tells nearly as much.
                        self.notes.push(format!("{error}: what happens to the scanner's Job may be noticed late"));
                        jobs = futures::stream::pending().boxed();
                    },
                },
                event = events.next(), if has_events => {
                    has_events = event.is_some();
                    // Nobody tells why there is no pod.
                    if !has_events && self.pod.is_none() {
                        self.start_ends = self.mounts.start_ends(UNTOLD_GRACE);
                    }
                    let event = event.and_then(Result::ok).and_then(applied);
                    if let Some(problem) = event.as_ref().and_then(event_problem) {
                        return Some(problem);
                    }
                }
                Some(event) = pod_events.next() => {
                    let event = event.ok().and_then(applied);
                    if let Some(problem) = event.and_then(|event| self.pod_event(&event)) {
                        return Some(problem);
                    }
                }
                Some(event) = receive(&mut self.log), if has_log => {
                    if let ControlFlow::Break(end) = self.log_event(event) {
                        return end;
                    }
                }
            }
            if self.receiver.is_complete() && self.configs.are_over() {
                return None;
            }
            if (self.ended.is_some() || self.failed.is_some()) && log_ends.is_none() {
                log_ends = Some(Instant::now() + LOG_GRACE);
            }
        }
    }

    /// Takes in the Job's new state; a problem if nothing more can come of it.
    fn job_changed(&mut self, change: Change<Job>) -> Option<Problem> {
        match change {
            Change::Is(job) if job.annotations().contains_key(STOPPED_ANNOTATION) => {
                let who = job.annotations().get(STOPPED_ANNOTATION).cloned().unwrap_or_default();
                return Some(Problem::Stopped(who.chars().take(MAX_WHO).collect()));
            }
            _ if self.receiver.is_complete() => {}
            Change::Is(job) => match job_problem(&job) {
                Some(Problem::Deadline) => return Some(Problem::Deadline),
                problem => self.failed = problem,
            },
            Change::Gone(_) => return Some(Problem::Deleted),
            Change::Nothing => {}
        }
        None
    }

    /// Takes in what comes from the log; how it all ended, if it did.
    fn log_event(&mut self, event: LogEvent) -> ControlFlow<Option<Problem>> {
        match event {
            LogEvent::Line(when, line) => {
                self.log_from = when.or(self.log_from);
                if self.line(&line) {
                    self.log_tries = 0;
                }
                if self.receiver.is_complete() {
                    self.log = None;
                    self.configs.expect_end();
                }
            }
            LogEvent::Over(Some(error)) if error.is_missing_right() => {
                return ControlFlow::Break(Some(Problem::Log(error)));
            }
            LogEvent::Over(error) => {
                self.log = None;
                if let Some(ended) = self.ended.take() {
                    return ControlFlow::Break(ended.problem);
                }
                self.log_tries += 1;
                if self.log_tries > LOG_TRIES {
                    return ControlFlow::Break(Some(error.map_or(Problem::LogCut, Problem::Log)));
                }
                let pause = Duration::from_millis(50).saturating_mul(1 << self.log_tries.min(5));
                self.open_log(Part { follow: true, since: self.log_from, after: pause });
            }
        }
        ControlFlow::Continue(())
    }

    /// What is known at the end. Where something is missing, the whole log is read once more.
    pub(super) async fn finish(mut self, problem: Option<Problem>, stop: &CancellationToken) -> GroupEnd {
        let interrupted = matches!(problem, Some(Problem::Interrupted | Problem::Stopped(_)));
        let unreadable = matches!(&problem, Some(Problem::Log(error)) if error.is_missing_right());
        let is_missing = self.images.iter().any(|end| matches!(end, None | Some(ImageEnd::Lost)));
        let mut open = None;
        if is_missing && self.running && !interrupted && !unreadable {
            let fresh = Receiver::new(&self.scan, u32::try_from(self.images.len()).unwrap_or(u32::MAX));
            open = std::mem::replace(&mut self.receiver, fresh).finish().open;
            self.open_log(Part { follow: false, since: None, after: Duration::ZERO });
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.read_again() => {}
            }
        }
        let of_configs = self.configs.take_notes();
        self.note(of_configs);
        let heard = self.receiver.finish();
        let open = heard.open.or(open).and_then(|image| usize::try_from(image).ok());
        if heard.diagnostics.iter().any(|line| line.starts_with(PREFIX_OF_ALL)) {
            self.notes.push(format!(
                "the scanner speaks another version of the protocol than {PROTOCOL}: --scanner-image must name the \
                 image of this plugin's version"
            ));
        } else if problem.is_some() && !interrupted {
            self.notes.extend(heard.diagnostics.iter().map(|line| format!("scanner {}: {line}", self.name)));
        }
        let unread = |number| match (&problem, heard.complete) {
            _ if open == Some(number) => ImageEnd::Open,
            (None, _) | (_, true) => ImageEnd::Lost,
            _ => ImageEnd::NotReached,
        };
        let images = self.images.into_iter().enumerate();
        let mut images: Vec<ImageEnd> =
            images.map(|(number, end)| end.unwrap_or_else(|| unread(number))).collect();
        self.mounts.name_failed(problem.as_ref(), &mut images);
        self.configs.add_to(&mut images, self.on);
        let created = Some((self.name, self.uid));
        GroupEnd { images, problem, created, notes: self.notes, secrets_left: None }
    }

    async fn read_again(&mut self) {
        while let Ok(Some(LogEvent::Line(_, line))) =
            tokio::time::timeout(LOG_GRACE, receive(&mut self.log)).await
        {
            self.line(&line);
        }
    }

    /// Why it is over when nothing more is waited for, if that is a problem.
    fn out_of_time(&mut self) -> Option<Problem> {
        // Only configs were waited for.
        (!self.receiver.is_complete()).then(|| self.late())
    }

    fn late(&mut self) -> Problem {
        if let Some(problem) = self.mounts.problem() {
            return problem;
        }
        if let Some(ended) = self.ended.take() {
            return ended.problem.unwrap_or(Problem::LogCut);
        }
        if let Some(problem) = self.failed.take() {
            return problem;
        }
        if self.running {
            return Problem::Deadline;
        }
        if self.pod.is_none() && self.start_ends.is_some() {
            return Problem::NoPod("none is there yet, and why may not be known (list events)".to_owned());
        }
        let is_slow = self.start_ends.is_some_and(|end| end <= Instant::now());
        let not_started = || {
            match std::mem::take(&mut self.waiting) {
                waiting if !is_slow => Problem::NotStarted(waiting),
                // A kubelet that is gone, and whose node does not show it yet.
                waiting if waiting.is_empty() => Problem::TooSlow("its node says nothing of it".to_owned()),
                waiting => Problem::TooSlow(waiting),
            }
        };
        self.unschedulable.take().map_or_else(not_started, Problem::Unschedulable)
    }

    /// Takes in one line of log; false if it said nothing new.
    fn line(&mut self, line: &str) -> bool {
        let before = self.receiver.position();
        let (number, end) = match self.receiver.accept(line) {
            Event::Nothing | Event::Ended => return self.receiver.position() != before,
            Event::Began { generator: _, notes } => {
                self.note(notes);
                (self.on)(Progress::Running);
                return true;
            }
            Event::Started(image) => {
                self.reading(image, 0, 0);
                return true;
            }
            Event::Progress { image, read, total } => {
                self.reading(image, read, total);
                return true;
            }
            Event::Image { image, outcome, documents } => (image, ImageEnd::Read(outcome, documents)),
            Event::Failed { image, failure } => (image, ImageEnd::Failed(failure)),
            Event::Lost(image) => (image, ImageEnd::Lost),
        };
        if let Some(number) = usize::try_from(number).ok().filter(|n| *n < self.images.len()) {
            if matches!(self.images[number], None | Some(ImageEnd::Lost)) {
                self.images[number] = Some(end);
            }
            (self.on)(Progress::Finished { image: number });
        }
        true
    }

    /// Takes in what the scanner says of its pod, once: a log may be read again.
    fn note(&mut self, notes: Vec<String>) {
        for note in notes {
            let note = format!("namespace {}: {note}", self.namespace);
            if !self.notes.contains(&note) {
                self.notes.push(note);
            }
        }
    }

    fn reading(&self, image: u32, read: u64, total: u64) {
        (self.on)(Progress::Reading { image: usize::try_from(image).unwrap_or(usize::MAX), read, total });
    }

    /// Takes in the pod's new state; a problem if nothing more can come of it.
    fn pod_changed(&mut self, pod: &Pod) -> Option<Problem> {
        if self.pod.is_none() {
            self.pod = Some(pod.name_any());
            self.start_ends = self.mounts.start_ends(START_GRACE);
            let spec = pod.spec.clone().unwrap_or_default();
            self.notes.extend(alterations(self.desired, &spec));
            if let Some(change) = distrust(self.desired, &spec) {
                return Some(Problem::Altered(change));
            }
        }
        self.configs.pod_changed(pod, &self.pods);
        match pod_state(pod) {
            PodState::Waiting(what) => {
                self.unschedulable.clone_from(&what);
                if what.is_some() && self.mounts.has_node() {
                    self.room_ends.get_or_insert(Instant::now() + ROOM_GRACE);
                } else {
                    self.room_ends = None;
                }
                if let Some(what) = what {
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
            // Others of its images may be missing too: its events tell of all of them.
            PodState::Stuck(problem) if self.mounts.hear_stuck(&problem) => {}
            PodState::Stuck(problem) => return Some(problem),
        }
        None
    }

    /// Takes in what the kubelet or the scheduler says of the pod; a problem if it will never start.
    fn pod_event(&mut self, event: &ApiEvent) -> Option<Problem> {
        let reason = event.reason.as_deref().unwrap_or_default();
        let is_warning = event.type_.as_deref() == Some("Warning");
        if is_warning && !self.running {
            let message = event.message.as_deref().unwrap_or_default();
            if let Some(problem) = self.mounts.hear_event(reason, message) {
                return Some(problem);
            }
        }
        if reason == "Pulling" && !self.running {
            // No news, unless it goes on and on.
            self.waiting = event.message.clone().unwrap_or_default();
        }
        // These the pod's own status tells too, and as what they are.
        let is_told = matches!(reason, "Failed" | "BackOff" | "FailedScheduling");
        if is_warning && !self.running && !is_told {
            let message = event.message.as_deref().unwrap_or_default();
            self.say_waiting(&format!("{reason}: {message}"));
        }
        None
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
            self.unschedulable = None;
            self.room_ends = None;
            self.start_ends = None;
            self.mounts.have_started();
            self.open_log(Part { follow: true, since: None, after: Duration::ZERO });
        }
    }

    fn open_log(&mut self, part: Part) {
        let Some(pod) = &self.pod else { return };
        let (send, receive) = mpsc::channel(256);
        tokio::spawn(logs::read(self.pods.clone(), pod.clone(), CONTAINER, part, send));
        self.log = Some(receive);
    }

    /// Without the right to watch events a scan works, it only tells less.
    fn events_of(&self, uid: &str) -> Watch<ApiEvent> {
        events_of(self.events.clone(), &self.namespace, uid)
    }
}

async fn receive(log: &mut Option<mpsc::Receiver<LogEvent>>) -> Option<LogEvent> {
    log.as_mut()?.recv().await
}
