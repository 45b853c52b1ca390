//! From containers to pods: which images are read, once each, and which scanner pod reads which. Pure.

mod drift;
mod routes;

use std::collections::{BTreeMap, BTreeSet};

pub use drift::drift;

use crate::coverage::State;
use crate::facts::{Facts, Toleration};
use crate::image::{Platform, Reference, Repository, RuntimeImage};
use crate::wire::{MAX_OTHERS, Wanted};
use crate::workload::Container;

/// Most images that one pod is given: what a lost pod costs stays small, and its log within budget.
pub const MAX_PER_POD: usize = 16;

/// Fewest images for which a second pod is worth its start.
const MIN_PER_POD: usize = 4;

/// Which ways of reading an image may be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// Where a node has it unpacked, else from its registry.
    Auto,
    /// Only where a node has it unpacked.
    Volume,
    /// Only from its registry.
    Stream,
    /// Mounted, and pulled by the kubelet where it is not on the node.
    Pull,
}

/// What decides how containers become pods.
#[derive(Clone, Copy, Debug)]
pub struct PlanOptions<'a> {
    /// Which ways of reading may be taken.
    pub read: Read,
    /// How many pods may run at once.
    pub parallelism: usize,
    /// The namespace in which all pods run; none for that of each workload.
    pub job_namespace: Option<&'a str>,
    /// What is known of the cluster.
    pub facts: &'a Facts,
}

/// What is to be done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScanPlan {
    /// What is read, each once.
    pub targets: Vec<Target>,
    /// Indexes of targets, by the pod that reads them.
    pub groups: Vec<Group>,
    /// For every container: its target, or why it has none.
    pub containers: Vec<Result<usize, State>>,
    /// By node that a route leads to: what a pod must tolerate to be placed there.
    pub tolerations: BTreeMap<String, Vec<Toleration>>,
}

/// One unit of work: an image on a platform, and the ways that lead to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// What is to be read.
    pub wanted: Wanted,
    /// The reference of the first container that runs it.
    pub reference: Reference,
    /// The node's platform; none if nodes may not be read.
    pub platform: Option<Platform>,
    /// How it may be read: the next is tried when one fails, mounts before streams.
    pub routes: Vec<Route>,
    /// Why nodes that run it are on no route.
    pub obstacles: BTreeSet<String>,
}

/// A way to an image: a pod that can read it, and the name it is read by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Route {
    /// The scanner pod.
    pub place: Place,
    /// Reference of the pod spec.
    pub reference: Reference,
}

/// What must be the same for images to share a pod.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Namespace of the scanner pod: that of the workload, unless another one is wanted.
    pub namespace: String,
    /// Pull secrets of the workload, in order.
    pub pull_secrets: Vec<String>,
    /// The namespace that these are in, if there are any and it is another one: then the pod gets copies.
    pub secrets_from: Option<String>,
    /// How its images are read.
    pub reader: Reader,
}

/// How the images of a pod are read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reader {
    /// The kubelet mounts them.
    Mount {
        /// The node that has them; none lets the scheduler choose, where the kubelet may pull.
        node: Option<String>,
    },
    /// Their layers are streamed from the registry.
    Stream,
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
#[must_use]
pub fn plan(containers: &[Container], options: PlanOptions<'_>) -> ScanPlan {
    let mut plan = ScanPlan::default();
    let mut known: BTreeMap<Key, usize> = BTreeMap::new();
    for container in containers {
        let entry = match target_of(container) {
            Err(state) => Err(state),
            Ok((wanted, reference)) => {
                let key = Key::new(&wanted, &reference, container.pod.platform.as_ref());
                let index = *known.entry(key).or_insert_with(|| {
                    plan.targets.push(Target {
                        wanted,
                        reference: reference.clone(),
                        platform: container.pod.platform.clone(),
                        routes: Vec::new(),
                        obstacles: BTreeSet::new(),
                    });
                    plan.targets.len() - 1
                });
                routes::add(&mut plan.targets[index], container, &reference, options);
                Ok(index)
            }
        };
        plan.containers.push(entry);
    }
    routes::sort(&mut plan.targets);
    plan.tolerations = routes::tolerations(&plan.targets, containers, options.facts);
    plan.groups = group(&plan.targets, options.parallelism.max(1), |_| false);
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

impl ScanPlan {
    /// Takes targets out of the pods: they need not be read. The others are grouped anew.
    pub fn leave_out(&mut self, is_left_out: impl Fn(usize) -> bool, parallelism: usize) {
        self.groups = group(&self.targets, parallelism.max(1), is_left_out);
    }
}

fn group(targets: &[Target], parallelism: usize, is_left_out: impl Fn(usize) -> bool) -> Vec<Group> {
    let mut by_place: BTreeMap<&Place, Vec<usize>> = BTreeMap::new();
    for (index, target) in targets.iter().enumerate().filter(|(index, _)| !is_left_out(*index)) {
        if let Some(route) = target.routes.first() {
            by_place.entry(&route.place).or_default().push(index);
        }
    }
    let mut groups = Vec::new();
    for (place, images) in by_place {
        let per_pod = images.len().div_ceil(parallelism).clamp(MIN_PER_POD, MAX_PER_POD);
        for images in by_repository(targets, images, per_pod) {
            let images = images.into_iter().map(|image| (image, 0)).collect();
            groups.push(Group { place: place.clone(), images });
        }
    }
    groups
}

/// Shares out the images of a place, so many to a pod. Those of one repository stay together as long as a pod may have that
/// many: they share layers, and the token that a registry gives for a repository.
fn by_repository(targets: &[Target], images: Vec<usize>, per_pod: usize) -> Vec<Vec<usize>> {
    let mut repositories: BTreeMap<&Repository, Vec<usize>> = BTreeMap::new();
    for image in images {
        let target = &targets[image];
        let reference = target.routes.first().map_or(&target.reference, |route| &route.reference);
        repositories.entry(&reference.repository).or_default().push(image);
    }
    let mut pods: Vec<Vec<usize>> = Vec::new();
    let even = |count: usize| count.div_ceil(count.div_ceil(MAX_PER_POD));
    for images in repositories.values().flat_map(|images| images.chunks(even(images.len()))) {
        match pods.last_mut().filter(|pod| pod.len() + images.len() <= per_pod) {
            Some(pod) => pod.extend(images),
            None => pods.push(images.to_vec()),
        }
    }
    pods
}

impl Target {
    /// Other references by which pods run it that pull with the credentials of this place.
    #[must_use]
    pub fn others(&self, place: &Place, reference: &Reference) -> Vec<Reference> {
        let routes = self.routes.iter().filter(|route| route.place.has_credentials_of(place));
        let others: BTreeSet<&Reference> =
            routes.map(|route| &route.reference).filter(|other| *other != reference).collect();
        others.into_iter().take(MAX_OTHERS).cloned().collect()
    }
}

impl Place {
    /// Whether images are pulled here with the same credentials as there.
    #[must_use]
    pub fn has_credentials_of(&self, other: &Self) -> bool {
        (&self.namespace, &self.secrets_from, &self.pull_secrets)
            == (&other.namespace, &other.secrets_from, &other.pull_secrets)
    }

    /// Whether its images are mounted.
    #[must_use]
    pub fn is_mount(&self) -> bool {
        matches!(self.reader, Reader::Mount { .. })
    }

    /// The node that it is bound to.
    #[must_use]
    pub fn node(&self) -> Option<&str> {
        match &self.reader {
            Reader::Mount { node } => node.as_deref(),
            Reader::Stream => None,
        }
    }
}

#[cfg(test)]
mod tests;
