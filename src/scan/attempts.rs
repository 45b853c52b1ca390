//! What is done next about an image that was not read. Pure.
//!
//! Kubernetes never retries a scanner pod: only here is it known which image brought it down, which other
//! namespace may have the right credentials, and how much time is left.

use std::collections::BTreeMap;

use crate::job::{ImageEnd, MEMORY, Problem, User};
use crate::plan::{Reader, Route, Target};
use crate::report::ReadBy;
use crate::wire::{DocumentName, Failure, FailureKind, Outcome, Wanted};

/// How often an image is put in another pod because a pod ended without getting anywhere, or frames were lost.
const REPEATS: u32 = 2;

/// Most routes that are tried for one image: each costs a pod.
const MOUNTS: usize = 2;
const STREAMS: usize = 4;

/// How often the rest of a pod is put together again when some of its images could not be mounted; then each goes alone.
const REMAKES: u32 = 2;

/// All documents of an image: version and bytes.
type Documents = BTreeMap<DocumentName, (u32, Vec<u8>)>;

/// How an image ended for good.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Read.
    Read(Box<Outcome>, Documents, ReadBy),
    /// Not read; why.
    Failed(String),
}

/// What follows from the end of one image in one pod.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing more is tried.
    Settled(End),
    /// In another pod with the same route, together with others.
    Again,
    /// In a pod of its own with this much memory.
    Alone(u64),
    /// By the next route.
    NextRoute(usize),
}

/// What was tried so far for one image.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    /// The route that was taken last.
    pub(super) route: usize,
    /// Why it was not read so far, the last reason at the end.
    refusals: Vec<String>,
    /// What was read in place of the running digest; the answer if no route leads to that.
    nearest: Option<End>,
    tried: Vec<usize>,
    /// Pods that were tried, by mounts and by streams: a place that is closed costs none.
    pods: (usize, usize),
    alone: bool,
    memory: u64,
    repeats: u32,
    remade: u32,
}

/// The end of the pod that an image was given to.
#[derive(Clone, Copy, Debug)]
pub(super) struct PodEnd<'a> {
    /// As whom it ran.
    pub(super) user: User,
    /// Why it did not do all its work.
    pub(super) problem: Option<&'a Problem>,
    /// Whether the next pod at this place runs as somebody else, or not at all: it is another attempt.
    pub(super) has_descended: bool,
    /// Whether it got anywhere: an image was read, failed, or brought it down. Those do not come again, so a pod for
    /// the rest is another one.
    pub(super) got_on: bool,
}

impl Attempts {
    /// Decides what follows.
    pub(super) fn next(&mut self, target: &Target, end: ImageEnd, pod: PodEnd<'_>, limits: Limits) -> Step {
        match end {
            ImageEnd::Read(outcome, documents) => self.after_read(target, outcome, documents, pod.user),
            ImageEnd::Failed(failure) => self.after_failure(target, &failure, limits),
            ImageEnd::NotMounted(why) => {
                let why = format!("the node did not mount it: {why}");
                self.next_route(target, Some(why), |_, _| true)
            }
            ImageEnd::Open => self.after_fall(pod.problem, limits),
            ImageEnd::Lost => {
                self.again("part of the scanner's log was lost, and lost again when it was read anew")
            }
            ImageEnd::NotReached => self.not_reached(target, pod),
        }
    }

    /// Why it was not read so far, when no time is left to try again.
    pub(super) fn out_of_time(&mut self) -> End {
        self.nearest.take().unwrap_or_else(|| {
            End::Failed(match self.refusals.last() {
                Some(why) => format!("{why}; no time was left to try again"),
                None => "the scan's time was up before its turn".to_owned(),
            })
        })
    }

    /// It was read, though perhaps under a tag that has moved: another repository may still have what runs. Or perhaps not
    /// whole, since the scanner may not open what others own: a stream has no owners.
    fn after_read(&mut self, target: &Target, outcome: Box<Outcome>, documents: Documents, user: User) -> Step {
        let by = match &target.routes[self.route].place.reader {
            Reader::Mount { node } => ReadBy::Volume { node: node.clone(), user: user.to_string() },
            Reader::Stream => ReadBy::Stream,
        };
        let is_closed = by != ReadBy::Stream && outcome.closed > 0;
        let is_exact = outcome.approximate.is_none() || !matches!(target.wanted, Wanted::Manifest(_));
        let end = End::Read(outcome, documents, by);
        if is_closed {
            self.nearest.get_or_insert(end);
            return self.next_route(target, None, |_, new| new.place.reader == Reader::Stream);
        }
        if is_exact {
            return Step::Settled(end);
        }
        self.nearest.get_or_insert(end);
        self.next_route(target, None, |tried, new| tried.reference.repository != new.reference.repository)
    }

    /// The scanner itself says why.
    fn after_failure(&mut self, target: &Target, failure: &Failure, limits: Limits) -> Step {
        let why = Some(failure.reason.clone());
        match failure.kind {
            FailureKind::NeedsMemory(bytes) => {
                // What a file needs is spooled in half of the limit.
                let needed = bytes.saturating_mul(2).saturating_add(MEMORY);
                if self.memory > MEMORY {
                    return self.failed(format!("{}, even alone in a pod", failure.reason));
                }
                // With the most memory there is, what still does not fit is left out and named.
                self.in_own_pod(failure.reason.clone(), needed.min(limits.max_memory))
            }
            FailureKind::NeedsOwnLog | FailureKind::Timeout if !self.alone => {
                self.in_own_pod(failure.reason.clone(), MEMORY)
            }
            // What a mount does not give, a stream may, whatever it was.
            _ if self.is_mount(target) => self.next_route(target, why, |_, _| true),
            FailureKind::Unauthorized => self.next_route(target, why, |_, _| true),
            FailureKind::Gone | FailureKind::Damaged => self
                .next_route(target, why, |tried, new| tried.reference.repository != new.reference.repository),
            FailureKind::Unreachable | FailureKind::UnknownIssuer => {
                let registry = |route: &Route| route.reference.repository.registry.clone();
                self.next_route(target, why, |tried, new| registry(tried) != registry(new))
            }
            _ => self.failed(failure.reason.clone()),
        }
    }

    /// The pod came to its end while this image was being read.
    fn after_fall(&mut self, problem: Option<&Problem>, limits: Limits) -> Step {
        let why = problem.map_or_else(|| "the scanner's log ended too early".to_owned(), ToString::to_string);
        let more = limits.max_memory.min(MEMORY * 4);
        match problem {
            Some(Problem::Interrupted | Problem::Stopped(_) | Problem::Deadline | Problem::Watch(_)) => {
                self.failed(why)
            }
            Some(Problem::Log(error)) if error.is_missing_right() => self.failed(why),
            Some(Problem::OutOfMemory) if self.memory < more => self.in_own_pod(why, more),
            _ if self.alone => self.failed(format!("{why}; so it was when the image was read again alone")),
            _ => self.in_own_pod(why, MEMORY),
        }
    }

    /// The pod never came to this image.
    fn not_reached(&mut self, target: &Target, pod: PodEnd<'_>) -> Step {
        let Some(problem) = pod.problem else { return self.again("the scanner ended without having read it") };
        let why = problem.to_string();
        match problem {
            _ if pod.has_descended => Step::Again,
            Problem::NotMounted { named, .. } => self.after_other_mounts(target, *named, why),
            Problem::Unschedulable(_) | Problem::TooSlow(_) if self.is_mount(target) => {
                self.next_route(target, Some(why), |tried, new| tried.place.reader != new.place.reader)
            }
            Problem::Dropped(_) | Problem::Altered(_) | Problem::NoImageVolumes(_) | Problem::Sandbox(_) => {
                self.next_route(target, Some(why), |tried, new| tried.place != new.place)
            }
            // The server had trouble, it did not refuse.
            Problem::Refused(error) if error.may_pass() => self.again(&why),
            Problem::NoSecret(error) if error.may_pass() => self.again(&why),
            // Other copies would be refused as well.
            Problem::NoSecret(_) => {
                self.next_route(target, Some(why), |_, new| new.place.secrets_from.is_none())
            }
            // Refusals of this namespace, not of the cluster.
            Problem::Refused(_) | Problem::NoPod(_) | Problem::ScannerImage(_) | Problem::Setup(_) => {
                self.next_route(target, Some(why), |tried, new| tried.place.namespace != new.place.namespace)
            }
            // The pod fell over another image, which does not come again: this one is as good as untried.
            _ if pod.got_on
                && !matches!(problem, Problem::Interrupted | Problem::Stopped(_) | Problem::Deadline) =>
            {
                Step::Again
            }
            Problem::OutOfMemory
            | Problem::Died(_)
            | Problem::Evicted(_)
            | Problem::Deleted
            | Problem::LogCut => self.again(&why),
            Problem::Log(error) if !error.is_missing_right() => self.again(&why),
            Problem::Unschedulable(_)
            | Problem::TooSlow(_)
            | Problem::NotStarted(_)
            | Problem::Deadline
            | Problem::Log(_)
            | Problem::Watch(_)
            | Problem::Interrupted
            | Problem::Stopped(_) => self.failed(why),
        }
    }

    /// Other images of its pod could not be mounted. Which they were is mostly known, and the rest is put together again.
    fn after_other_mounts(&mut self, target: &Target, named: usize, why: String) -> Step {
        if named > 0 && self.remade < REMAKES {
            self.remade += 1;
            return Step::Again;
        }
        if self.alone { self.next_route(target, Some(why), |_, _| true) } else { self.in_own_pod(why, MEMORY) }
    }

    /// The place of its route turned out to be closed before a pod was made.
    pub(super) fn closed(&mut self, target: &Target, why: &str) -> Step {
        self.pass_by(target, Some(why.to_owned()), |_, _| true)
    }

    fn is_mount(&self, target: &Target) -> bool {
        target.routes[self.route].place.is_mount()
    }

    fn again(&mut self, why: &str) -> Step {
        if self.repeats == REPEATS {
            return self.failed(why.to_owned());
        }
        self.repeats += 1;
        self.refusals.push(why.to_owned());
        Step::Again
    }

    fn in_own_pod(&mut self, why: String, memory: u64) -> Step {
        self.refusals.push(why);
        self.alone = true;
        self.memory = memory;
        Step::Alone(memory)
    }

    /// The next route that differs from every one that was tried, as `differs` says of two.
    fn next_route(
        &mut self,
        target: &Target,
        why: Option<String>,
        differs: impl Fn(&Route, &Route) -> bool,
    ) -> Step {
        if self.is_mount(target) {
            self.pods.0 += 1;
        } else {
            self.pods.1 += 1;
        }
        self.pass_by(target, why, differs)
    }

    /// The same where the last route took no pod.
    fn pass_by(
        &mut self,
        target: &Target,
        why: Option<String>,
        differs: impl Fn(&Route, &Route) -> bool,
    ) -> Step {
        if let Some(why) = why.filter(|why| !self.refusals.contains(why)) {
            self.refusals.push(why);
        }
        self.tried.push(self.route);
        let routes = &target.routes;
        let is_new = |new: &usize| {
            let may_cost =
                if routes[*new].place.is_mount() { self.pods.0 < MOUNTS } else { self.pods.1 < STREAMS };
            may_cost && self.tried.iter().all(|tried| tried != new && differs(&routes[*tried], &routes[*new]))
        };
        match (0..routes.len()).find(is_new) {
            Some(route) => {
                self.route = route;
                (self.alone, self.memory) = (false, 0);
                Step::NextRoute(route)
            }
            None => self.failed(self.refusals.join("; then ")),
        }
    }

    /// Nothing more is tried; what was read in its place stands, with the reason why there is nothing better.
    fn failed(&mut self, why: String) -> Step {
        let Some(mut end) = self.nearest.take() else { return Step::Settled(End::Failed(why)) };
        if let End::Read(outcome, ..) = &mut end
            && let Some(partial) = outcome.partial.as_mut().filter(|_| outcome.closed > 0 && !why.is_empty())
        {
            partial.push_str("; and it could not be streamed: ");
            partial.push_str(&why);
        }
        Step::Settled(end)
    }
}

/// Bounds of what may be tried.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Most memory of a pod in bytes.
    pub(super) max_memory: u64,
}

#[cfg(test)]
mod tests;
