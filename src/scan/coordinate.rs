//! Runs the plan: so many pods at once, each image until it is read or nothing more can be tried.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use jiff::Timestamp;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::attempts::{Attempts, End, Limits, PodEnd, Step};
use super::{ScanConfig, Update};
use crate::cluster::{Connection, Refusal};
use crate::job::{self, GroupEnd, ImageEnd, JobSettings, MEMORY, PodTask, Problem, Progress};
use crate::plan::{MAX_PER_POD, Place, ScanPlan, Target};
use crate::sbom::{Sbom, cyclonedx};
use crate::wire::{DocumentName, Failure, FailureKind, TaskImage};

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

/// What [`coordinate`] works with.
pub(super) struct Coordination<'a> {
    pub(super) connection: &'a Connection,
    pub(super) plan: &'a ScanPlan,
    pub(super) settings: &'a JobSettings,
    pub(super) config: &'a ScanConfig,
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
}

/// How an image ended, its SBOM read.
pub(super) enum ImageResult {
    /// Read.
    Read(Box<crate::wire::Outcome>, Box<Sbom>),
    /// Not read; why.
    Failed(String),
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

impl Reading {
    /// The SBOMs of all images that were read.
    pub(super) fn sboms(&self) -> impl Iterator<Item = &Sbom> {
        self.ends.iter().filter_map(|end| match end {
            ImageResult::Read(_, sbom) => Some(&**sbom),
            ImageResult::Failed(_) => None,
        })
    }
}

/// Reads all targets of the plan. When stopped it returns as soon as no request is under way any more.
pub(super) async fn coordinate(with: &Coordination<'_>, on: &(impl Fn(Update) + Sync)) -> Reading {
    let deadline = Instant::now() + with.config.timeout;
    let targets = &with.plan.targets;
    let groups = with.plan.groups.iter();
    let mut queue: VecDeque<Work> = groups
        .map(|group| Work {
            place: group.place.clone(),
            images: group.images.clone(),
            memory: MEMORY,
            alone: false,
        })
        .collect();
    let mut attempts: Vec<Attempts> = targets.iter().map(|_| Attempts::default()).collect();
    let mut ends: Vec<Option<ImageResult>> = targets.iter().map(|_| None).collect();
    let mut reading = Reading { ends: Vec::new(), notes: Vec::new(), namespaces: BTreeSet::new() };
    let (progress, mut told) = tokio::sync::mpsc::unbounded_channel();
    let mut running = JoinSet::new();
    let mut removing = JoinSet::new();
    let mut number = 0;
    // Whether a Job may be there that nobody follows: its creation was not answered, or its task died.
    let mut uncertain = false;
    loop {
        while running.len() < with.config.parallelism.max(1) && !with.stop.is_cancelled() {
            let Some(work) = queue.pop_front() else { break };
            let left = deadline.saturating_duration_since(Instant::now());
            if left < LEAST {
                for (target, _) in work.images {
                    on(Update::Finished { image: name(targets, target), target });
                    ends[target] = Some(read(attempts[target].out_of_time()));
                }
                continue;
            }
            number += 1;
            reading.namespaces.insert(work.place.namespace.clone());
            running.spawn(run(with, work, number, left, progress.clone()));
        }
        if running.is_empty() {
            break;
        }
        tokio::select! {
            Some((place, images, event)) = told.recv() => say(on, targets, &place, &images, event),
            Some(ended) = running.join_next() => {
                let Ok((work, end)) = ended else {
                    uncertain = true;
                    continue;
                };
                uncertain |= matches!(&end.problem, Some(Problem::Refused(error)) if error.may_pass());
                remove(with, &work, &end, &mut removing);
                note(&mut reading.notes, on, advice(with, &end));
                let pod = PodEnd { problem: end.problem.as_ref(), got_on: got_on(&end) };
                note(&mut reading.notes, on, end.notes);
                let limits = Limits { max_memory: with.config.max_memory };
                for ((target, _), image) in work.images.iter().zip(end.images) {
                    let step = attempts[*target].next(&targets[*target], image, pod, limits);
                    if let Some(end) = follow_up(step, *target, targets, &attempts, &mut queue) {
                        on(Update::Finished { image: name(targets, *target), target: *target });
                        ends[*target] = Some(read(end));
                    }
                }
            }
        }
    }
    while let Some(removed) = removing.join_next().await {
        let notes = removed.ok().flatten().into_iter().collect();
        note(&mut reading.notes, on, notes);
    }
    if uncertain && with.config.keep_jobs == KeepJobs::Never && !with.stop.is_cancelled() {
        let (client, scan) = (&with.connection.client, &with.settings.scan);
        // What is left expires by itself; the reason for the failure itself is in the report.
        let _ = job::remove_scan(client, scan, &reading.namespaces, UNCERTAIN).await;
    }
    let never = || ImageResult::Failed("the scan ended before its turn".to_owned());
    reading.ends = ends.into_iter().map(|end| end.unwrap_or_else(never)).collect();
    reading
}

/// Whether a pod got anywhere.
fn got_on(end: &GroupEnd) -> bool {
    end.images.iter().any(|image| matches!(image, ImageEnd::Read(..) | ImageEnd::Failed(_) | ImageEnd::Open))
}

/// What a person can do about a problem that the whole scan has.
fn advice(with: &Coordination<'_>, end: &GroupEnd) -> Vec<String> {
    let mut advice = Vec::new();
    match &end.problem {
        Some(Problem::Refused(error) | Problem::Watch(error) | Problem::Log(error)) => {
            return error.check().into_iter().collect();
        }
        Some(Problem::ScannerImage(_)) => advice.push(
            "put the scanner's image where the nodes can pull it, `kubectl clarity image push REF`, and name it, \
             `kubectl clarity scan --scanner-image REF` (with --scanner-pull-secret NAME if it needs a credential); \
             `kubectl clarity image save FILE` writes it to a file",
        ),
        Some(Problem::NoPod(_)) if with.config.parallelism > 1 => advice.push(
            "where a quota has room for one scanner pod only: --parallelism 1",
        ),
        // It could be started only if it were another image's.
        Some(Problem::Setup(text)) if text.contains(job::SCANNER) => advice.push(
            "--scanner-image names an image without the scanner; `kubectl clarity image push REF` makes one with it",
        ),
        _ => {}
    }
    let is_issuer = |image: &job::ImageEnd| {
        matches!(image, job::ImageEnd::Failed(Failure { kind: FailureKind::UnknownIssuer, .. }))
    };
    if end.images.iter().any(is_issuer) {
        advice.push("give the authority of the registry's certificate: --registry-ca FILE");
    }
    advice.into_iter().map(ToOwned::to_owned).collect()
}

type Told = (Place, Vec<usize>, Progress);

/// One pod's whole life. Owns what it needs so that it can run beside others.
fn run(
    with: &Coordination<'_>,
    work: Work,
    number: usize,
    left: Duration,
    progress: tokio::sync::mpsc::UnboundedSender<Told>,
) -> impl Future<Output = (Work, GroupEnd)> + Send + 'static {
    let images = work.images.iter().map(|(target, route)| {
        let target = &with.plan.targets[*target];
        TaskImage {
            reference: target.routes[*route].reference.clone(),
            wanted: target.wanted.clone(),
            platform: target.platform.clone(),
        }
    });
    let task = PodTask {
        number,
        of: with.plan.groups.len(),
        place: work.place.clone(),
        images: images.collect(),
        memory: work.memory,
        may_ask_for_memory: work.memory == MEMORY && with.config.max_memory > MEMORY,
        timeout: left,
        ends_at: (Timestamp::now() + left).as_second().try_into().unwrap_or_default(),
    };
    let desired = job::desired_job(&task, with.settings);
    let client = with.connection.client.clone();
    let stop = with.stop.clone();
    async move {
        let targets: Vec<usize> = work.images.iter().map(|(target, _)| *target).collect();
        let place = work.place.clone();
        let on = move |event| {
            // Nobody listens only when the scan is over.
            let _ = progress.send((place.clone(), targets.clone(), event));
        };
        let end = job::follow(&client, &desired, work.images.len(), left, &stop, on).await;
        (work, end)
    }
}

/// Queues what is tried next; the end if nothing is.
fn follow_up(
    step: Step,
    target: usize,
    targets: &[Target],
    attempts: &[Attempts],
    queue: &mut VecDeque<Work>,
) -> Option<End> {
    let route = attempts[target].route;
    let place = targets[target].routes[route].place.clone();
    let images = vec![(target, route)];
    match step {
        Step::Settled(end) => return Some(end),
        Step::Alone(memory) => queue.push_back(Work { place, images, memory, alone: true }),
        Step::Again | Step::NextRoute(_) => {
            let joins =
                |work: &&mut Work| !work.alone && work.place == place && work.images.len() < MAX_PER_POD;
            match queue.iter_mut().find(joins) {
                Some(work) => work.images.extend(images),
                None => queue.push_back(Work { place, images, memory: MEMORY, alone: false }),
            }
        }
    }
    None
}

/// Deletes the Job unless it is to stay. Interrupted scans are cleaned up as a whole.
fn remove(with: &Coordination<'_>, work: &Work, end: &GroupEnd, removing: &mut JoinSet<Option<String>>) {
    let all_read = end.images.iter().all(|image| matches!(image, ImageEnd::Read(..)));
    let keep = match with.config.keep_jobs {
        KeepJobs::Never => false,
        KeepJobs::Failed => !all_read,
        KeepJobs::Always => true,
    };
    let Some((job, uid)) = end.created.clone() else { return };
    if keep || with.stop.is_cancelled() {
        return;
    }
    let (client, namespace) = (with.connection.client.clone(), work.place.namespace.clone());
    removing.spawn(async move {
        let removed = job::delete(&client, &namespace, &job, &uid).await;
        removed.err().map(|error| match error.refusal {
            // The server would only say the same with the person's name.
            Refusal::Forbidden(_) => format!("{error}: job {job} stays until it expires"),
            _ => format!("{error}: {}: job {job} stays until it expires", error.refusal),
        })
    });
}

fn note(notes: &mut Vec<String>, on: &impl Fn(Update), new: Vec<String>) {
    for note in new {
        if !notes.contains(&note) {
            on(Update::Note(note.clone()));
            notes.push(note);
        }
    }
}

fn say(on: &impl Fn(Update), targets: &[Target], place: &Place, images: &[usize], event: Progress) {
    let image = |number: usize| images.get(number).copied();
    match event {
        Progress::Created => on(Update::Pod { namespace: place.namespace.clone(), stage: "job created" }),
        Progress::Running => on(Update::Pod { namespace: place.namespace.clone(), stage: "scanner runs" }),
        Progress::Finished { .. } => {}
        Progress::Waiting(text) => {
            on(Update::Waiting { job: format!("scanner pod in namespace {}", place.namespace), text });
        }
        Progress::Reading { image: number, read, total } => {
            let Some(target) = image(number) else { return };
            on(Update::Reading { image: name(targets, target), target, read, total });
        }
    }
}

fn name(targets: &[Target], target: usize) -> String {
    targets[target].routes[0].reference.to_string()
}

/// Takes the SBOM out of the documents. What arrived is untrusted.
fn read(end: End) -> ImageResult {
    match end {
        End::Failed(why) => ImageResult::Failed(why),
        End::Read(outcome, documents) => {
            let Some((_, bytes)) = documents.get(&DocumentName::Sbom) else {
                return ImageResult::Failed("the scanner sent no SBOM".to_owned());
            };
            match cyclonedx::read(bytes) {
                Ok(document) => ImageResult::Read(outcome, Box::new(document.sbom)),
                Err(error) => ImageResult::Failed(format!("the scanner's SBOM cannot be read: {error}")),
            }
        }
    }
}
