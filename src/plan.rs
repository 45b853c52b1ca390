//! From containers to pods: which images are read, once each, and which scanner pod reads which. Pure.

use std::collections::BTreeMap;

use crate::coverage::State;
use crate::image::{Platform, Reference, RuntimeImage};
use crate::wire::Wanted;
use crate::workload::Container;

/// Most images that one pod is given: what a lost pod costs stays small, and its log within budget.
pub const MAX_PER_POD: usize = 16;

/// Fewest images for which a second pod is worth its start.
const MIN_PER_POD: usize = 4;

/// What is to be done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScanPlan {
    /// What is read, each once.
    pub targets: Vec<Target>,
    /// Indexes of targets, by the pod that reads them.
    pub groups: Vec<Group>,
    /// For every container: its target, or why it has none.
    pub containers: Vec<Result<usize, State>>,
}

/// One unit of work: an image on a platform, and the ways that lead to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// What is to be read.
    pub wanted: Wanted,
    /// The node's platform; none if nodes may not be read.
    pub platform: Option<Platform>,
    /// How it may be read: the next is tried when one fails. Never empty.
    pub routes: Vec<Route>,
}

/// A repository and the credentials for it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Route {
    /// Where the scanner pod runs, and whose secrets it uses.
    pub place: Place,
    /// Reference of the pod spec.
    pub reference: Reference,
}

/// What must be the same for images to share a pod.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Namespace of the workload.
    pub namespace: String,
    /// Its pull secrets, in order.
    pub pull_secrets: Vec<String>,
}

/// The work of one pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Where it runs.
    pub place: Place,
    /// Indexes of targets, and the route that each takes.
    pub images: Vec<(usize, usize)>,
}

/// Groups what must be read into pods. The cluster was asked before and is told after.
///
/// `parallelism` is how many pods may run at once.
#[must_use]
pub fn plan(containers: &[Container], parallelism: usize) -> ScanPlan {
    let mut plan = ScanPlan::default();
    let mut known: BTreeMap<Key, usize> = BTreeMap::new();
    for container in containers {
        let entry = match target_of(container) {
            Err(state) => Err(state),
            Ok((wanted, reference)) => {
                let route = Route {
                    place: Place {
                        namespace: container.pod.namespace.clone(),
                        pull_secrets: container.pod.pull_secrets.clone(),
                    },
                    reference,
                };
                let key = Key::new(&wanted, &route.reference, container.pod.platform.as_ref());
                let index = *known.entry(key).or_insert_with(|| {
                    let platform = container.pod.platform.clone();
                    plan.targets.push(Target { wanted, platform, routes: Vec::new() });
                    plan.targets.len() - 1
                });
                let routes = &mut plan.targets[index].routes;
                if !routes.contains(&route) {
                    routes.push(route);
                }
                Ok(index)
            }
        };
        plan.containers.push(entry);
    }
    prefer_busy_places(&mut plan.targets);
    plan.groups = group(&plan.targets, parallelism.max(1));
    plan
}

/// What makes two containers run the same: the digest and platform, or for want of a digest the reference.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Key(Wanted, Option<String>, Option<Platform>);

impl Key {
    fn new(wanted: &Wanted, reference: &Reference, platform: Option<&Platform>) -> Self {
        // A config digest is looked up by its tag, so it is another unit under another tag.
        let by_reference = !matches!(wanted, Wanted::Manifest(_));
        Self(wanted.clone(), by_reference.then(|| reference.to_string()), platform.cloned())
    }
}

fn target_of(container: &Container) -> Result<(Wanted, Reference), State> {
    if container.pod.platform.as_ref().is_some_and(|platform| platform.os != "linux") {
        return Err(State::Skipped("runs on a Windows node; only Linux images are read".to_owned()));
    }
    let reference: Reference =
        container.image.parse().map_err(|error| State::Failed(format!("cannot be read: {error}")))?;
    match &container.runtime {
        Ok(RuntimeImage::Manifest(digest)) => Ok((Wanted::Manifest(digest.clone()), reference)),
        Ok(RuntimeImage::Config(digest)) => {
            // A pod spec may name a digest although the runtime reports a config: then the digest says more.
            match &reference.digest {
                Some(digest) => Ok((Wanted::Manifest(digest.clone()), reference)),
                None => Ok((Wanted::Config(digest.clone()), reference)),
            }
        }
        Ok(RuntimeImage::Pending) | Err(_) => match &reference.digest {
            Some(digest) => Ok((Wanted::Manifest(digest.clone()), reference)),
            None => Ok((Wanted::Reference, reference)),
        },
    }
}

/// Puts first, for each target, the route whose place serves the most targets: fewer pods.
fn prefer_busy_places(targets: &mut [Target]) {
    let mut served: BTreeMap<Place, usize> = BTreeMap::new();
    for route in targets.iter().flat_map(|target| &target.routes) {
        *served.entry(route.place.clone()).or_default() += 1;
    }
    for target in targets {
        target.routes.sort_by_key(|route| (std::cmp::Reverse(served[&route.place]), route.clone()));
    }
}

fn group(targets: &[Target], parallelism: usize) -> Vec<Group> {
    let mut by_place: BTreeMap<&Place, Vec<usize>> = BTreeMap::new();
    for (index, target) in targets.iter().enumerate() {
        by_place.entry(&target.routes[0].place).or_default().push(index);
    }
    let mut groups = Vec::new();
    for (place, images) in by_place {
        let per_pod = images.len().div_ceil(parallelism).clamp(MIN_PER_POD, MAX_PER_POD);
        for images in images.chunks(per_pod) {
            groups
                .push(Group { place: place.clone(), images: images.iter().map(|image| (*image, 0)).collect() });
        }
    }
    groups
}

#[cfg(test)]
mod tests;
