//! Runs the plan: so many pods at once, each image until it is read or nothing more can be tried.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::attempts::{Attempts, End, Limits, PodEnd, Step};
use super::credentials::{Copies, Credentials};
use super::ladder::Ladder;
use super::tell;
use super::{ReadConfig, Update};
use crate::cache::About;
use crate::cluster::{Client, Connection, Refusal};
use crate::facts::Facts;
use crate::job::{
    self, Desired, GroupEnd, ImageEnd, JobSettings, MEMORY, PodTask, Problem, Progress, Purpose, User,
};
use crate::plan::{Group, MAX_PER_POD, Place, Read, ScanPlan, Target};
use crate::report::ReadBy;
use crate::sbom::{Document, Sbom, cyclonedx};
use crate::wire::{DocumentName, TaskImage};

/// Why an image is not read by a scan that starts no pods.
pub(super) const NO_PODS: &str = "its SBOM is not in the cache, and no pods are started (--no-pods)";

/// Time that a pod must have to be worth its start.
const LEAST: Duration = Duration::from_secs(5);

/// How long a Job is looked for that may or may not be there.
const UNCERTAIN: Duration = Duration::from_secs(5);

/// Which Jobs stay after the scan, until their TTL removes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeepJobs {
    /// None.
    Never,
    /// Those that did not do all their work.
    Failed,
    /// All.
    Always,
}

/// Whether scanner pods are started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pods {
    /// For what is not in the cache.
    Start,
    /// Only such as a cache itself takes.
    Cache,
    /// None, whatever is missing.
    None,
}

/// What [`coordinate`] works with.
pub(super) struct Coordination<'a> {
    pub(super) connection: &'a Connection,
    pub(super) plan: &'a ScanPlan,
    pub(super) facts: &'a Facts,
    pub(super) settings: &'a JobSettings,
    pub(super) config: &'a ReadConfig,
    /// Credentials for pods that run elsewhere than the workloads.
    pub(super) credentials: Arc<Credentials>,
    pub(super) stop: &'a CancellationToken,
}

/// What came of it.
pub(super) struct Reading {
    /// One per target of the plan.
    pub(super) ends: Vec<ImageResult>,
    /// What a person should know.
    pub(super) notes: Vec<String>,
    /// Where Jobs may have been created.
    pub(super) namespaces: BTreeSet<String>,
    /// Jobs that have read something, to be removed when that is kept.
    pub(super) finished: Vec<FinishedJob>,
    /// Who has stopped the scan from elsewhere.
    pub(super) stopped_by: Option<String>,
}

/// A Job that has done its work.
pub(super) struct FinishedJob {
    namespace: String,
    name: String,
    uid: String,
}

/// How an image ended, its SBOM read.
pub(super) enum ImageResult {
    /// Read.
    Read(Box<crate::wire::Outcome>, Box<Whole>, ReadBy),
    /// Read before.
    Recalled(Box<About>, Box<Document>),
    /// Not read; why.
    Failed(String),
    /// Not to be read; why.
    Skipped(String),
}

/// What a scanner has sent about an image.
pub(super) struct Whole {
    pub(super) sbom: Sbom,
    /// Names and versions of those who found what is in it.
    pub(super) analysers: Option<String>,
    /// The same as it came: CycloneDX in JSON.
    pub(super) document: Vec<u8>,
}

/// The work of one pod to come.
struct Work {
    place: Place,
    /// Targets and their routes.
    images: Vec<(usize, usize)>,
    memory: u64,
    /// No other image may join: this one has brought a pod down, or needs one for itself.
    alone: bool,
}

/// The SBOMs of all images that were read.
pub(super) fn sboms(ends: &[ImageResult]) -> impl Iterator<Item = &Sbom> {
    ends.iter().filter_map(|end| match end {
        ImageResult::Read(_, whole, _) => Some(&whole.sbom),
        ImageResult::Recalled(_, document) => Some(&document.sbom),
        ImageResult::Failed(_) | ImageResult::Skipped(_) => None,
    })
}

/// Reads all targets of the plan. When stopped it returns as soon as no request is under way any more.
pub(super) async fn coordinate(
    with: &Coordination<'_>,
    recalled: Vec<Option<ImageResult>>,
    on: &(impl Fn(Update) + Sync),
) -> Reading {
    let deadline = Instant::now() + with.config.timeout;
    let mut desk = Desk::new(with, recalled, on);
    let (progress, mut told) = tokio::sync::mpsc::unbounded_channel();
    let mut running = JoinSet::new();
    let mut removing = JoinSet::new();
    let mut namespaces = BTreeSet::new();
    let mut number = 0;
    // Whether a Job may be there that nobody follows: its creation was not answered, or its task died.
    let mut uncertain = false;
    let mut stopped_by = None;
    let mut finished = Vec::new();
    loop {
        while running.len() < with.config.parallelism.max(1) && !with.stop.is_cancelled() {
            let left = deadline.saturating_duration_since(Instant::now());
            let Some((work, user)) = desk.next(left) else { break };
            number += 1;
            namespaces.insert(work.place.namespace.clone());
            running.spawn(run(with, work, user, number, left, progress.clone()));
        }
        if running.is_empty() {
            break;
        }
        tokio::select! {
            Some((place, images, event)) = told.recv() => tell::say(on, &with.plan.targets, &place, &images, event),
            Some(ended) = running.join_next() => {
                let Ok((work, user, end)) = ended else {
                    uncertain = true;
                    continue;
                };
                if let Some(Problem::Stopped(who)) = &end.problem {
                    stopped_by = Some(who.clone());
                    // As if the person had: nothing more is started, and all that is there goes.
                    with.stop.cancel();
                }
                uncertain |= matches!(&end.problem, Some(Problem::Refused(error)) if error.may_pass());
                if let Some((job, is_used)) = to_remove(with, &work, &end) {
                    if is_used {
                        finished.push(job);
                    } else {
                        removing.spawn(remove(with.connection.client.clone(), job));
                    }
                }
                desk.take(work, user, end);
            }
        }
    }
    let Desk { ends, mut notes, ladder, .. } = desk;
    tell::note(&mut notes, on, ladder.notes());
    while let Some(removed) = removing.join_next().await {
        tell::note(&mut notes, on, removed.ok().flatten().into_iter().collect());
    }
    if uncertain && with.config.keep_jobs == KeepJobs::Never && !with.stop.is_cancelled() {
        let (client, scan) = (&with.connection.client, &with.settings.scan);
        // What is left expires by itself; the reason for the failure itself is in the report.
        let _ = job::remove_scan(client, scan, &namespaces, UNCERTAIN).await;
    }
    let never = || ImageResult::Failed("the scan ended before its turn".to_owned());
    let ends = ends.into_iter().map(|end| end.unwrap_or_else(never)).collect();
    Reading { ends, notes, namespaces, finished, stopped_by }
}

/// What is still to be done, what was tried, and what came of it.
struct Desk<'a, F> {
    with: &'a Coordination<'a>,
    on: &'a F,
    queue: VecDeque<Work>,
    attempts: Vec<Attempts>,
    ends: Vec<Option<ImageResult>>,
    ladder: Ladder,
    notes: Vec<String>,
}

impl<'a, F: Fn(Update) + Sync> Desk<'a, F> {
    fn new(with: &'a Coordination<'a>, recalled: Vec<Option<ImageResult>>, on: &'a F) -> Self {
        let targets = &with.plan.targets;
        let groups = with.plan.groups.iter();
        let queue = groups.map(|group| Work {
            place: group.place.clone(),
            images: group.images.clone(),
            memory: MEMORY,
            alone: false,
        });
        let end_of = |target: &Target| {
            if with.config.pods != Pods::Start {
                return Some(ImageResult::Skipped(NO_PODS.to_owned()));
            }
            target.routes.is_empty().then(|| ImageResult::Failed(tell::no_route(target, with.config.read)))
        };
        let desk = Self {
            with,
            on,
            queue: queue.collect(),
            attempts: targets.iter().map(|_| Attempts::default()).collect(),
            ends: recalled
                .into_iter()
                .zip(targets)
                .map(|(end, target)| end.or_else(|| end_of(target)))
                .collect(),
            ladder: Ladder::new(with.facts),
            notes: Vec::new(),
        };
        for target in 0..targets.len() {
            if desk.ends[target].is_some() {
                desk.finished(target);
            }
        }
        desk
    }

    /// The next pod that can be started, and as whom it runs.
    fn next(&mut self, left: Duration) -> Option<(Work, User)> {
        while let Some(work) = self.queue.pop_front() {
            match self.ladder.user(&work.place) {
                Ok(user) if left >= LEAST => {
                    (self.on)(Update::Detail(tell::pod(&work.place, work.images.len(), user)));
                    return Some((work, user));
                }
                Ok(_) => {
                    for (target, _) in work.images {
                        let end = self.attempts[target].out_of_time();
                        self.follow_up(Step::Settled(end), target);
                    }
                }
                Err(why) => {
                    for (target, _) in work.images {
                        let step = self.attempts[target].closed(&self.with.plan.targets[target], &why);
                        self.follow_up(step, target);
                    }
                }
            }
        }
        None
    }

    /// Takes in how a pod ended.
    fn take(&mut self, work: Work, user: User, end: GroupEnd) {
        let descent = end.problem.as_ref().and_then(|problem| self.ladder.after(&work.place, user, problem));
        if let Some(words) = descent.as_ref().and_then(|descent| descent.words.clone()) {
            (self.on)(Update::Detail(words));
        }
        let has_descended = descent.is_some_and(|descent| descent.is_new);
        if !has_descended {
            tell::note(&mut self.notes, self.on, tell::advice(self.with, &end));
        }
        let pod = PodEnd { user, problem: end.problem.as_ref(), has_descended, got_on: got_on(&end) };
        tell::note(&mut self.notes, self.on, end.notes);
        let limits = Limits { max_memory: self.with.config.max_memory };
        for ((target, _), image) in work.images.into_iter().zip(end.images) {
            let step = self.attempts[target].next(&self.with.plan.targets[target], image, pod, limits);
            self.follow_up(step, target);
        }
    }

    /// Queues what is tried next, or keeps the end if nothing is.
    fn follow_up(&mut self, step: Step, target: usize) {
        let route = self.attempts[target].route;
        let place = || self.with.plan.targets[target].routes[route].place.clone();
        let images = vec![(target, route)];
        match step {
            Step::Settled(end) => {
                self.ends[target] = Some(read(end));
                self.finished(target);
            }
            Step::Alone(memory) => self.queue.push_back(Work { place: place(), images, memory, alone: true }),
            Step::Again | Step::NextRoute(_) => {
                let place = place();
                let joins =
                    |work: &&mut Work| !work.alone && work.place == place && work.images.len() < MAX_PER_POD;
                match self.queue.iter_mut().find(joins) {
                    Some(work) => work.images.extend(images),
                    None => self.queue.push_back(Work { place, images, memory: MEMORY, alone: false }),
                }
            }
        }
    }

    fn finished(&self, target: usize) {
        (self.on)(Update::Finished { image: self.with.plan.targets[target].reference.to_string(), target });
    }
}

/// Whether a pod got anywhere.
fn got_on(end: &GroupEnd) -> bool {
    end.images.iter().any(|image| matches!(image, ImageEnd::Read(..) | ImageEnd::Failed(_) | ImageEnd::Open))
}

type Told = (Place, Vec<usize>, Progress);

/// One pod's whole life. Owns what it needs so that it can run beside others.
fn run(
    with: &Coordination<'_>,
    work: Work,
    user: User,
    number: usize,
    left: Duration,
    progress: tokio::sync::mpsc::UnboundedSender<Told>,
) -> impl Future<Output = (Work, User, GroupEnd)> + Send + 'static {
    let task = task(with, &work, user, number, left);
    let settings = with.settings.clone();
    let credentials = Arc::clone(&with.credentials);
    let client = with.connection.client.clone();
    let stop = with.stop.clone();
    let registry = |(target, route): &(usize, usize)| {
        with.plan.targets[*target].routes[*route].reference.repository.registry.clone()
    };
    let registries: Vec<String> = work.images.iter().map(registry).collect();
    async move {
        let targets: Vec<usize> = work.images.iter().map(|(target, _)| *target).collect();
        let place = work.place.clone();
        let on = move |event| {
            // Nobody listens only when the scan is over.
            let _ = progress.send((place.clone(), targets.clone(), event));
        };
        let Copies { secrets: owned, notes } = tokio::select! {
            () = stop.cancelled() => Copies::default(),
            copies = credentials.copies(&task.place, &task.images) => copies,
        };
        let desired = Desired::new(PodTask { owned, ..task }, &settings);
        let mut end = job::follow(&client, &desired, work.images.len(), left, &stop, on).await;
        end.notes.extend(notes);
        if let Some(registry) = tell::unreached(&end, &registries) {
            end.notes.extend(job::restriction(&client, &desired.job, registry).await);
        }
        (work, user, end)
    }
}

/// What would be created for the groups of the plan, and what a person should know of it.
pub(super) async fn planned_jobs(with: &Coordination<'_>) -> (Vec<Desired>, Vec<String>) {
    let ladder = Ladder::new(with.facts);
    let task = |(number, group): (usize, &Group)| {
        let user = ladder.user(&group.place).ok()?;
        let work =
            Work { place: group.place.clone(), images: group.images.clone(), memory: MEMORY, alone: false };
        Some(task(with, &work, user, number, with.config.timeout))
    };
    let (mut jobs, mut told) = (Vec::new(), Vec::new());
    for task in (1..).zip(&with.plan.groups).filter_map(task) {
        let Copies { secrets: owned, notes } = with.credentials.copies(&task.place, &task.images).await;
        jobs.push(Desired::new(PodTask { owned, ..task }, with.settings));
        tell::note(&mut told, &|_| {}, notes);
    }
    (jobs, told)
}

/// A pod's work, without the Secrets that are made for it.
fn task(with: &Coordination<'_>, work: &Work, user: User, number: usize, left: Duration) -> PodTask {
    let images = work.images.iter().map(|(target, route)| {
        let target = &with.plan.targets[*target];
        let reference = target.routes[*route].reference.clone();
        TaskImage {
            others: target.others(&work.place, &reference),
            reference,
            wanted: target.wanted.clone(),
            platform: target.platform.clone(),
            mount: None,
        }
    });
    PodTask {
        purpose: Purpose::Read,
        number,
        of: with.plan.groups.len(),
        tolerations: work
            .place
            .node()
            .and_then(|node| with.plan.tolerations.get(node).cloned())
            .unwrap_or_default(),
        place: work.place.clone(),
        user,
        may_pull: with.config.read == Read::Pull,
        images: images.collect(),
        memory: work.memory,
        may_ask_for_memory: work.memory == MEMORY && with.config.max_memory > MEMORY,
        timeout: left,
        ends_at: (Timestamp::now() + left).as_second().try_into().unwrap_or_default(),
        owned: Vec::new(),
    }
}

/// The Job unless it is to stay, and whether something was read by it. Interrupted scans are cleaned up as a whole.
fn to_remove(with: &Coordination<'_>, work: &Work, end: &GroupEnd) -> Option<(FinishedJob, bool)> {
    let is_read = |image: &ImageEnd| matches!(image, ImageEnd::Read(..));
    let keep = match with.config.keep_jobs {
        // It is not what was asked for, or still holds credentials.
        _ if matches!(end.problem, Some(Problem::Dropped(_) | Problem::NoSecret(_))) => false,
        _ if end.secrets_left.is_some() => false,
        KeepJobs::Never => false,
        KeepJobs::Failed => !end.images.iter().all(is_read),
        KeepJobs::Always => true,
    };
    let (name, uid) = end.created.clone().filter(|_| !keep && !with.stop.is_cancelled())?;
    let job = FinishedJob { namespace: work.place.namespace.clone(), name, uid };
    Some((job, end.images.iter().any(is_read)))
}

/// Deletes Jobs whose results are kept; why some stay.
pub(super) async fn remove_finished(client: Client, jobs: Vec<FinishedJob>) -> Vec<String> {
    let mut removing: JoinSet<Option<String>> =
        jobs.into_iter().map(|job| remove(client.clone(), job)).collect();
    let mut notes = Vec::new();
    while let Some(removed) = removing.join_next().await {
        notes.extend(removed.ok().flatten());
    }
    notes
}

/// Deletes a Job; why it stays.
async fn remove(client: Client, job: FinishedJob) -> Option<String> {
    let FinishedJob { namespace, name, uid } = job;
    let removed = job::delete(&client, &namespace, &name, &uid).await;
    removed.err().map(|error| match error.refusal {
        // The server would only say the same with the person's name.
        Refusal::Forbidden(_) => format!("{error}: job {name} stays until it expires"),
        _ => format!("{error}: {}: job {name} stays until it expires", error.refusal),
    })
}

/// Takes the SBOM out of the documents.
fn read(end: End) -> ImageResult {
    match end {
        End::Failed(why) => ImageResult::Failed(why),
        End::Read(outcome, documents, by) => match whole(documents) {
            Ok(whole) => ImageResult::Read(outcome, Box::new(whole), by),
            Err(why) => ImageResult::Failed(why),
        },
    }
}

/// The SBOM among the documents that a scanner has sent; why there is none, in words. What arrived is untrusted.
pub(super) fn whole(mut documents: BTreeMap<DocumentName, (u32, Vec<u8>)>) -> Result<Whole, String> {
    let (_, document) = documents.remove(&DocumentName::Sbom).ok_or("the scanner sent no SBOM")?;
    let read =
        cyclonedx::read(&document).map_err(|error| format!("the scanner's SBOM cannot be read: {error}"))?;
    Ok(Whole { sbom: read.sbom, analysers: read.subject.analysers, document })
}
