//! Where a repository is asked: mirrors first, then the registry itself.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::Url;
use tokio::time::Instant;

use super::Registry;
use super::access::{Access, Actions};
use super::credentials::is_docker_hub;
use super::endpoint::{DOCKER_HUB_HOST, Endpoint, host_of};
use super::error::{Cause, PullError};
use super::pull::Refusals;
use super::settings::Settings;
use crate::image::{Reference, Repository};
use crate::network::{Serves, Upstream, route_of};

/// How long a mirror is left alone that could not be spoken to.
const REST: Duration = Duration::from_mins(1);
/// How long one is left alone that sent something else than was asked for.
const LONG_REST: Duration = Duration::from_mins(30);
/// How much of what a mirror said is repeated, in characters.
const WORDS: usize = 160;

/// One place at which a repository is asked.
#[derive(Clone, Debug)]
pub(super) struct Way {
    pub(super) endpoint: Endpoint,
    /// The repository by the name that it has there: credentials go by it.
    pub(super) repository: Repository,
    pub(super) is_mirror: bool,
    pub(super) serves: Serves,
    /// It is asked only if the one before it could not be spoken to.
    pub(super) is_fallback: bool,
    /// Its place among the ways of a repository.
    pub(super) rank: usize,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// What a tag leads to.
    Tag,
    /// A manifest by its digest.
    Manifest,
    /// A blob: it is where the manifest came from.
    Blob,
    /// A place to send something to.
    Upload,
}

impl Wanted {
    pub(super) fn of(reference: &Reference) -> Self {
        if reference.digest.is_some() { Self::Manifest } else { Self::Tag }
    }

    pub(super) fn actions(self) -> Actions {
        if self == Self::Upload { Actions::PullAndPush } else { Actions::Pull }
    }
}

/// The ways to a repository, the registry itself last.
pub(super) fn ways(repository: &Repository, settings: &Settings) -> Result<Vec<Way>, PullError> {
    let own = || -> Result<Way, PullError> {
        Ok(Way {
            endpoint: Endpoint::of(repository, &settings.plain_http)?,
            repository: repository.clone(),
            is_mirror: false,
            serves: Serves::default(),
            is_fallback: false,
            rank: 0,
        })
    };
    let Some(routed) = route_of(&settings.routes, &repository.registry, &repository.path) else {
        return Ok(vec![own()?]);
    };
    if routed.route.blocked {
        return Err(PullError::Blocked { repository: repository.clone() });
    }
    let mut ways = Vec::new();
    let mirrors = routed.route.mirrors.iter().map(|upstream| (upstream, true));
    for (upstream, is_mirror) in mirrors.chain(routed.route.origins.iter().map(|upstream| (upstream, false))) {
        // What is no address there is no way; the registry itself says so if nothing else is left.
        if let Some(way) = at(upstream, routed.rest, repository, is_mirror, settings) {
            ways.push(way);
        }
    }
    if ways.iter().all(|way| way.is_mirror) {
        ways.push(own()?);
    }
    for (rank, way) in ways.iter_mut().enumerate() {
        way.rank = rank;
    }
    Ok(ways)
}

fn at(
    upstream: &Upstream,
    rest: &str,
    asked: &Repository,
    is_mirror: bool,
    settings: &Settings,
) -> Option<Way> {
    let mut base = Url::parse(&upstream.address).ok()?;
    let mut registry = host_of(&base);
    // Docker Hub is named after another host than it answers at.
    if is_docker_hub(&registry) || registry == DOCKER_HUB_HOST {
        base.set_host(Some(DOCKER_HUB_HOST)).ok()?;
        "docker.io".clone_into(&mut registry);
    }
    let path = upstream.path_of(rest);
    // What follows `/v2` is part of the repository's name there.
    let folder = base.path().split_once("/v2/").map_or("", |(_, folder)| folder.trim_matches('/'));
    let named = if folder.is_empty() { path.clone() } else { format!("{folder}/{path}") };
    let repository = Repository { registry, path: named };
    let is_same = repository.registry == asked.registry
        || (is_docker_hub(&repository.registry) && is_docker_hub(&asked.registry));
    let namespace = (upstream.says_namespace && !is_same).then(|| asked.registry.clone());
    let endpoint = Endpoint::below(base, &path, namespace, &settings.plain_http)?;
    let (serves, is_fallback) = (upstream.serves, upstream.is_fallback);
    Some(Way { endpoint, repository, is_mirror, serves, is_fallback, rank: 0 })
}

/// Mirrors that are left alone for a while, by their address.
#[derive(Debug, Default)]
pub(super) struct Resting(Mutex<HashMap<Url, Instant>>);

impl Resting {
    /// Leaves a mirror alone.
    fn add(&self, access: &Access, time: Duration) {
        let mut resting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let until = Instant::now() + time;
        let end = resting.entry(access.endpoint().base().clone()).or_insert(until);
        *end = until.max(*end);
    }

    fn holds(&self, access: &Access) -> bool {
        let resting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        resting.get(access.endpoint().base()).is_some_and(|until| *until > Instant::now())
    }
}

/// The credentials to try at a repository, at each of its ways.
#[derive(Clone, Debug)]
pub(super) struct Accesses {
    pub(super) repository: Repository,
    pub(super) list: Vec<Arc<Access>>,
}

impl Accesses {
    /// To be tried one after the other.
    pub(super) fn candidates<'a>(&self, registry: &'a Registry) -> Candidates<'a> {
        Candidates {
            registry,
            repository: self.repository.clone(),
            left: self.list.iter().cloned().collect(),
            refusals: Refusals::default(),
            mirrors: Vec::new(),
            unreachable: None,
        }
    }
}

/// What is left to be tried, and what was said so far.
pub(super) struct Candidates<'a> {
    registry: &'a Registry,
    repository: Repository,
    left: VecDeque<Arc<Access>>,
    refusals: Refusals,
    /// What mirrors said, in words.
    mirrors: Vec<String>,
    /// The last way at which no connection came about.
    unreachable: Option<usize>,
}

impl Candidates<'_> {
    /// The next one.
    pub(super) fn next(&mut self) -> Option<Arc<Access>> {
        loop {
            let access = self.left.pop_front()?;
            let way = access.way();
            let may_fall_back =
                access.has_worked() || self.unreachable.is_some_and(|rank| rank + 1 == way.rank);
            if way.is_fallback && !may_fall_back {
                continue;
            }
            if way.is_mirror && self.registry.inner.resting.holds(&access) {
                self.pass_over(&access);
                self.say(&access, "left alone after it failed");
                continue;
            }
            return Some(access);
        }
    }

    /// What came of it, unless something else might do better.
    pub(super) fn settle<T>(
        &mut self,
        access: &Access,
        done: Result<T, PullError>,
    ) -> Option<Result<T, PullError>> {
        let error = match done {
            Ok(value) => return Some(Ok(value)),
            Err(error) => error,
        };
        let way = access.way();
        let is_unreachable = error.is_no_connection();
        if is_unreachable {
            self.unreachable = Some(way.rank);
        }
        if way.is_mirror {
            let same = self.left.front().is_some_and(|next| next.way().rank == way.rank);
            if same && error.may_be_the_credential() {
                return None;
            }
            if is_unreachable || matches!(error, PullError::Timeout { .. } | PullError::Broken { .. }) {
                self.registry.inner.resting.add(access, REST);
            }
            self.pass_over(access);
            self.say(access, &Cause::of(&error).to_string());
            return None;
        }
        if is_unreachable && self.left.front().is_some_and(|next| next.way().is_fallback) {
            return None;
        }
        if error.may_be_the_credential() {
            self.refusals.add(error);
            return None;
        }
        Some(Err(error.after_mirrors(&self.mirrors)))
    }

    /// The error if nothing did.
    pub(super) fn into_error(self) -> PullError {
        self.refusals.into_error(&self.repository).after_mirrors(&self.mirrors)
    }

    /// Leaves out what else there is to try at a way.
    fn pass_over(&mut self, access: &Access) {
        let rank = access.way().rank;
        while self.left.front().is_some_and(|next| next.way().rank == rank) {
            self.left.pop_front();
        }
    }

    fn say(&mut self, access: &Access, what: &str) {
        let host = host_of(access.endpoint().base());
        let what: String = what.chars().take(WORDS).collect();
        self.mirrors.push(format!("{host}: {what}"));
    }
}

impl Registry {
    /// Leaves those mirrors alone that gave something of a repository which turned out to be something else; false if
    /// there were none.
    pub fn distrust_mirrors(&self, repository: &Repository) -> bool {
        let Ok(ways) = ways(repository, self.transport().settings()) else { return false };
        let accesses = self.inner.accesses.lock().unwrap_or_else(PoisonError::into_inner);
        let mut any = false;
        for access in accesses.values().filter(|access| access.way().is_mirror && access.has_worked()) {
            let is_of_it = ways.iter().any(|way| way.endpoint == *access.endpoint());
            if is_of_it && !self.inner.resting.holds(access) {
                self.inner.resting.add(access, LONG_REST);
                any = true;
            }
        }
        any
    }

    /// Leaves a mirror alone whose connection broke in the middle.
    pub(super) fn rest(&self, access: &Access) {
        if access.way().is_mirror {
            self.inner.resting.add(access, REST);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{hosts_toml, registries_conf};

    fn asked(settings: &Settings, image: &str) -> Vec<(String, String)> {
        let reference: Reference = image.parse().expect("a reference");
        let ways = ways(&reference.repository, settings).expect("not blocked");
        let of = |way: &Way| (way.endpoint.manifest("1").to_string(), way.repository.to_string());
        ways.iter().map(of).collect()
    }

    fn own(address: &str, name: &str) -> (String, String) {
        (address.to_owned(), name.to_owned())
    }

    #[test]
    fn docker_hub_is_asked_where_it_answers_by_whatever_name() {
        let hub = own("https://registry-1.docker.io/v2/library/nginx/manifests/1", "docker.io/library/nginx");
        let conf = registries_conf("[[registry]]\nlocation = 'docker.io'", "f").expect("read");
        let settings = Settings { routes: conf.routes, ..Settings::default() };
        assert_eq!(asked(&settings, "nginx:1"), std::slice::from_ref(&hub));
        let text =
            "server = 'https://registry-1.docker.io'\n[host.'https://m.test/v2/hub']\noverride_path = true";
        let hosts = hosts_toml(text, "f", None, &|_| Ok(Vec::new())).expect("read");
        let settings = Settings { routes: hosts.routes, ..Settings::default() };
        let mirror =
            own("https://m.test/v2/hub/library/nginx/manifests/1?ns=docker.io", "m.test/hub/library/nginx");
        assert_eq!(asked(&settings, "nginx:1"), [mirror, hub]);
        assert_eq!(asked(&settings, "quay.io/a:1"), [own("https://quay.io/v2/a/manifests/1", "quay.io/a")]);
    }

    #[test]
    fn a_registry_without_routes_or_origins_is_asked_by_its_name() {
        let text = "[[registry]]\nprefix = '*.a.test'\n[[registry.mirror]]\nlocation = 'm.test:5000/x'";
        let conf = registries_conf(text, "f").expect("read");
        let settings = Settings { routes: conf.routes, ..Settings::default() };
        let mirror = own("https://m.test:5000/v2/x/cart/manifests/1", "m.test:5000/x/cart");
        let itself = own("https://b.a.test/v2/cart/manifests/1", "b.a.test/cart");
        assert_eq!(asked(&settings, "b.a.test/cart:1"), [mirror, itself]);
    }
}
