//! As whom the scanner runs where: from what reads the most to what is admitted everywhere. Pure.
//!
//! A refusal moves one rung down, and is remembered for the rest of the scan: of a namespace, whose admission decides, of a
//! node, whose runtime does, or of all. Below the last rung nothing is mounted any more, and images are streamed.

use std::collections::{BTreeMap, BTreeSet};

use crate::cluster::Refusal;
use crate::facts::Facts;
use crate::job::{Problem, SCANNER, User};
use crate::plan::Place;

/// A step of the ladder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rung {
    As(User),
    Closed,
}

/// Where a refusal holds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Scope {
    Everywhere,
    Namespace(String),
    Node(String),
}

/// The rungs that are left, for mounts and for streams.
#[derive(Debug, Default)]
pub(super) struct Ladder {
    mounts: BTreeMap<Scope, (Rung, String)>,
    /// Scopes of mounts in which something was refused, and not only known to be.
    refused: BTreeSet<Scope>,
    /// Namespaces that do not admit the user of streaming pods.
    streams: BTreeMap<String, Rung>,
}

/// What a refusal led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Descent {
    /// Whether another pod for the same images is another attempt: it runs as somebody else.
    pub(super) is_new: bool,
    /// What is done from now on; none if it was known already.
    pub(super) words: Option<String>,
}

impl Rung {
    fn next(self) -> Self {
        match self {
            Self::As(User::RootOfNamespace) => Self::As(User::Nobody),
            Self::As(User::Nobody) => Self::As(User::Assigned),
            Self::As(User::Assigned) | Self::Closed => Self::Closed,
        }
    }
}

impl Ladder {
    /// Begins where facts allow; what is not known is tried.
    pub(super) fn new(facts: &Facts) -> Self {
        let second = Rung::As(User::Nobody);
        let of_namespaces = facts.namespaces.keys().filter_map(|name| {
            Some((Scope::Namespace(name.clone()), (second, facts.refuses_root_of_namespace(name)?)))
        });
        let of_nodes = facts.nodes.iter().filter_map(|(name, node)| {
            Some((Scope::Node(name.clone()), (second, node.without_user_namespaces.clone()?)))
        });
        Self { mounts: of_namespaces.chain(of_nodes).collect(), ..Self::default() }
    }

    /// Where mounts came down to because of refusals, for the report.
    pub(super) fn notes(&self) -> Vec<String> {
        let lowest = self.refused.iter().filter_map(|scope| Some((scope, self.mounts.get(scope)?)));
        lowest.map(|(scope, (rung, why))| in_words(scope, *rung, why)).collect()
    }

    /// As whom a pod at this place is run; or why nothing can be read there.
    pub(super) fn user(&self, place: &Place) -> Result<User, String> {
        match self.rung(place) {
            Rung::As(user) => Ok(user),
            Rung::Closed => {
                let lowest = self.of(place).max_by_key(|(rung, _)| *rung);
                Err(lowest.map_or_else(String::new, |(_, why)| why.clone()))
            }
        }
    }

    fn rung(&self, place: &Place) -> Rung {
        if place.is_mount() {
            self.of(place).map(|(rung, _)| *rung).max().unwrap_or(Rung::As(User::RootOfNamespace))
        } else {
            self.streams.get(&place.namespace).copied().unwrap_or(Rung::As(User::Nobody))
        }
    }

    fn of<'a>(&'a self, place: &'a Place) -> impl Iterator<Item = &'a (Rung, String)> {
        let node = place.node().map(|node| Scope::Node(node.to_owned()));
        let scopes = [Some(Scope::Everywhere), Some(Scope::Namespace(place.namespace.clone())), node];
        scopes.into_iter().flatten().filter_map(|scope| self.mounts.get(&scope))
    }

    /// Takes in how a pod at this place ended that ran as this user. None if that says nothing about who may run there.
    pub(super) fn after(&mut self, place: &Place, user: User, problem: &Problem) -> Option<Descent> {
        if !place.is_mount() {
            return self.after_stream(place, user, problem);
        }
        let namespace = || Scope::Namespace(place.namespace.clone());
        let node = || place.node().map_or_else(namespace, |node| Scope::Node(node.to_owned()));
        let next = Rung::As(user).next();
        let (scope, rung) = match problem {
            Problem::Dropped(change) if change.is_of_volumes => (Scope::Everywhere, Rung::Closed),
            Problem::Dropped(_) => (Scope::Everywhere, next),
            Problem::Altered(change) if change.is_of_volumes => (namespace(), Rung::Closed),
            Problem::Altered(_) => (namespace(), next),
            Problem::NoPod(text) if is_about_the_pod(text) => (namespace(), next),
            Problem::Refused(error) if matches!(error.refusal, Refusal::Admission(_)) => (namespace(), next),
            Problem::NoImageVolumes(_) => (node(), Rung::Closed),
            Problem::Sandbox(_) => (node(), next),
            // One that starts the scanner and finds it missing has come as far as any user would.
            Problem::Setup(text) if !text.contains(SCANNER) => (node(), next),
            _ => return None,
        };
        let is_lower = self.mounts.get(&scope).is_none_or(|(known, _)| *known < rung);
        let mut words = None;
        if is_lower {
            let why = problem.to_string();
            words = Some(in_words(&scope, rung, &why));
            self.refused.insert(scope.clone());
            self.mounts.insert(scope, (rung, why));
        }
        Some(Descent { is_new: self.rung(place) > Rung::As(user), words })
    }

    /// Streams need no more than to run as anybody: where only an assigned user is admitted, that is tried once.
    fn after_stream(&mut self, place: &Place, user: User, problem: &Problem) -> Option<Descent> {
        let Problem::NoPod(text) = problem else { return None };
        let is_about_the_user = text.contains("runAsUser") || text.contains("security context constraint");
        if user != User::Nobody || !is_about_the_user {
            return None;
        }
        let rung = Rung::As(User::Assigned);
        let is_lower = self.streams.insert(place.namespace.clone(), rung) != Some(rung);
        let words = || in_words(&Scope::Namespace(place.namespace.clone()), rung, &problem.to_string());
        Some(Descent { is_new: true, words: is_lower.then(words) })
    }
}

/// Whether it is the pod as it is that was refused, and not that there is one more, or for whom.
fn is_about_the_pod(text: &str) -> bool {
    // The last is said by us, to whom nobody says more.
    ["violates PodSecurity", "denied", "security context constraint", "is invalid", "none is there yet"]
        .iter()
        .any(|words| text.contains(words))
}

fn in_words(scope: &Scope, rung: Rung, why: &str) -> String {
    let place = match scope {
        Scope::Everywhere => "in this cluster".to_owned(),
        Scope::Namespace(name) => format!("in namespace {name}"),
        Scope::Node(name) => format!("on node {name}"),
    };
    match rung {
        Rung::As(user) => format!("{place} the scanner runs as {user}: {why}"),
        Rung::Closed => format!("{place} no image is mounted: {why}"),
    }
}

#[cfg(test)]
mod tests;
