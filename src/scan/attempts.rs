//! What is done next about an image that was not read. Pure.
//!
//! Kubernetes never retries a scanner pod: only here is it known which image brought it down, which other
//! namespace may have the right credentials, and how much time is left.

use std::collections::BTreeMap;

use crate::job::{ImageEnd, MEMORY, Problem};
use crate::plan::Target;
use crate::wire::{DocumentName, Failure, FailureKind, Outcome};

/// How often an image is put in another pod because its pod ended before its turn, or frames were lost.
const REPEATS: u32 = 2;

/// How an image ended for good.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Read.
    Read(Box<Outcome>, BTreeMap<DocumentName, (u32, Vec<u8>)>),
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
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Attempts {
    /// The route that was taken last.
    pub(super) route: usize,
    /// Why earlier routes failed.
    refusals: Vec<String>,
    alone: bool,
    memory: u64,
    repeats: u32,
}

impl Attempts {
    /// Decides what follows. `alone` is whether the pod had no other image.
    pub(super) fn next(
        &mut self,
        target: &Target,
        end: ImageEnd,
        problem: Option<&Problem>,
        limits: Limits,
    ) -> Step {
        match end {
            ImageEnd::Read(outcome, documents) => Step::Settled(End::Read(outcome, documents)),
            ImageEnd::Failed(failure) => self.after_failure(target, &failure, limits),
            ImageEnd::Open => self.after_fall(problem, limits),
            ImageEnd::Lost => {
                self.again("part of the scanner's log was lost, and lost again when it was read anew")
            }
            ImageEnd::NotReached => self.not_reached(target, problem),
        }
    }

    /// The scanner itself says why.
    fn after_failure(&mut self, target: &Target, failure: &Failure, limits: Limits) -> Step {
        match failure.kind {
            FailureKind::NeedsMemory(bytes) => {
                // What a file needs is spooled in half of the limit.
                let needed = bytes.saturating_mul(2).saturating_add(MEMORY);
                if self.memory > MEMORY {
                    return failed(format!("{}, even alone in a pod", failure.reason));
                }
                // With the most memory there is, what still does not fit is left out and named.
                self.in_own_pod(needed.min(limits.max_memory))
            }
            FailureKind::NeedsOwnLog if !self.alone => self.in_own_pod(MEMORY),
            FailureKind::Unauthorized
            | FailureKind::Gone
            | FailureKind::Unreachable
            | FailureKind::UnknownIssuer
            | FailureKind::Damaged => self.next_route(target, failure.reason.clone(), |_| true),
            _ => failed(failure.reason.clone()),
        }
    }

    /// The pod came to its end while this image was being read.
    fn after_fall(&mut self, problem: Option<&Problem>, limits: Limits) -> Step {
        let why = problem.map_or_else(|| "the scanner's log ended too early".to_owned(), ToString::to_string);
        match problem {
            Some(Problem::Interrupted | Problem::Deadline | Problem::Log(_) | Problem::Watch(_)) => failed(why),
            _ if self.alone => failed(format!("{why}; so it was when the image was read again alone")),
            Some(Problem::OutOfMemory) => {
                let memory = limits.max_memory.min(MEMORY * 4);
                if memory <= MEMORY { failed(why) } else { self.in_own_pod(memory) }
            }
            _ => self.in_own_pod(MEMORY),
        }
    }

    /// The pod never came to this image.
    fn not_reached(&mut self, target: &Target, problem: Option<&Problem>) -> Step {
        let Some(problem) = problem else { return self.again("the scanner ended without having read it") };
        let why = problem.to_string();
        match problem {
            // Refusals of this namespace, not of the cluster.
            Problem::Refused(_) | Problem::NoPod(_) | Problem::ScannerImage(_) | Problem::Setup(_) => {
                let here = target.routes[self.route].place.namespace.clone();
                self.next_route(target, why, |namespace| namespace != here)
            }
            Problem::OutOfMemory
            | Problem::Died(_)
            | Problem::Evicted(_)
            | Problem::Deleted
            | Problem::LogCut => self.again(&why),
            Problem::Unschedulable(_)
            | Problem::Deadline
            | Problem::Log(_)
            | Problem::Watch(_)
            | Problem::Interrupted => failed(why),
        }
    }

    fn again(&mut self, why: &str) -> Step {
        if self.repeats == REPEATS {
            return failed(why.to_owned());
        }
        self.repeats += 1;
        Step::Again
    }

    fn in_own_pod(&mut self, memory: u64) -> Step {
        self.alone = true;
        self.memory = memory;
        Step::Alone(memory)
    }

    fn next_route(&mut self, target: &Target, why: String, fits: impl Fn(&str) -> bool) -> Step {
        if !self.refusals.contains(&why) {
            self.refusals.push(why);
        }
        let rest = target.routes.iter().enumerate().skip(self.route + 1);
        match rest.into_iter().find(|(_, route)| fits(&route.place.namespace)) {
            Some((route, _)) => {
                self.route = route;
                Step::NextRoute(route)
            }
            None => failed(self.refusals.join("; then ")),
        }
    }
}

/// Bounds of what may be tried.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Most memory of a pod in bytes.
    pub(super) max_memory: u64,
}

fn failed(why: String) -> Step {
    Step::Settled(End::Failed(why))
}

#[cfg(test)]
mod tests;
