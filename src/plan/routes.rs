//! The ways to an image: which pods could read it, and which of them is asked first.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::{Place, PlanOptions, Read, Reader, Route, Target};
use crate::facts::{Facts, Toleration};
use crate::image::{Reference, RuntimeImage};
use crate::workload::{Container, Pod};

/// Adds the ways to an image that one of its containers shows.
pub(super) fn add(target: &mut Target, container: &Container, reference: &Reference, options: PlanOptions<'_>) {
    let Pod { namespace: of_workload, pull_secrets, .. } = &container.pod;
    let namespace = options.job_namespace.unwrap_or(of_workload);
    let has_copies = namespace != of_workload && !pull_secrets.is_empty();
    let place = |reader| Place {
        namespace: namespace.to_owned(),
        pull_secrets: pull_secrets.clone(),
        secrets_from: has_copies.then(|| of_workload.clone()),
        reader,
    };
    let mut routes = Vec::new();
    match mount(container, options) {
        Ok(reader) => routes.extend(reader.map(place)),
        Err(obstacle) => _ = target.obstacles.insert(obstacle),
    }
    if matches!(options.read, Read::Auto | Read::Stream) {
        routes.push(place(Reader::Stream));
    }
    for place in routes {
        let route = Route { place, reference: reference.clone() };
        if !target.routes.contains(&route) {
            target.routes.push(route);
        }
    }
}

/// Where the container's image can be mounted, if it is to be; or why it cannot.
fn mount(container: &Container, options: PlanOptions<'_>) -> Result<Option<Reader>, String> {
    let has_started = matches!(container.runtime, Ok(RuntimeImage::Manifest(_) | RuntimeImage::Config(_)));
    let node = container.pod.node.as_ref();
    let closed = node.and_then(|name| options.facts.node(name)?.closed.as_ref());
    match (options.read, node) {
        (Read::Stream, _) => Ok(None),
        // Another node can pull it as well.
        (Read::Pull, node) => Ok(Some(Reader::Mount { node: node.filter(|_| closed.is_none()).cloned() })),
        (Read::Auto | Read::Volume, Some(name)) if has_started => match closed {
            Some(why) => Err(format!("node {name} has it, but {why}")),
            None => Ok(Some(Reader::Mount { node: Some(name.clone()) })),
        },
        (Read::Auto | Read::Volume, _) => {
            Err("no node has it for certain, since its container has not started".to_owned())
        }
    }
}

/// Puts first what is to be tried first: mounts, so chosen that the fewest pods serve all; then streams, those of the
/// places that serve the most.
pub(super) fn sort(targets: &mut [Target]) {
    let chosen = cover(targets);
    let mut served: BTreeMap<Place, usize> = BTreeMap::new();
    for route in targets.iter().flat_map(|target| &target.routes) {
        *served.entry(route.place.clone()).or_default() += 1;
    }
    for target in targets {
        target.routes.sort_by_cached_key(|route| {
            let place = &route.place;
            let turn = chosen.get(place).copied().unwrap_or(usize::MAX);
            (place.reader == Reader::Stream, turn, Reverse(served[place]), route.clone())
        });
    }
}

/// Places whose mounts serve all targets that can be mounted, by the turn in which each was chosen: the one that serves
/// the most of what is left comes next (greedy set cover).
fn cover(targets: &[Target]) -> BTreeMap<Place, usize> {
    let mut serves: BTreeMap<&Place, Vec<usize>> = BTreeMap::new();
    for (index, target) in targets.iter().enumerate() {
        for route in target.routes.iter().filter(|route| route.place.reader != Reader::Stream) {
            let indexes = serves.entry(&route.place).or_default();
            if indexes.last() != Some(&index) {
                indexes.push(index);
            }
        }
    }
    let mut left: BTreeSet<usize> = serves.values().flatten().copied().collect();
    let mut count: BTreeMap<&Place, usize> = serves.iter().map(|(place, all)| (*place, all.len())).collect();
    let places_of = |index: usize| targets[index].routes.iter().map(|route| &route.place);
    let mut chosen = BTreeMap::new();
    while !left.is_empty() {
        let Some((&best, _)) = count.iter().max_by_key(|(place, count)| (**count, Reverse(**place))) else {
            break;
        };
        chosen.insert(best.clone(), chosen.len());
        for index in serves[best].iter().filter(|index| left.remove(index)) {
            let places: BTreeSet<&Place> = places_of(*index).collect();
            for place in places {
                if let Some(count) = count.get_mut(place) {
                    *count -= 1;
                }
            }
        }
    }
    chosen
}

/// What a pod must tolerate on the nodes that routes lead to: the node's own taints where they are known, else what the
/// pods tolerate that run there. (A static pod carries no such tolerations, it needs none.)
pub(super) fn tolerations(
    targets: &[Target],
    containers: &[Container],
    facts: &Facts,
) -> BTreeMap<String, Vec<Toleration>> {
    let nodes: BTreeSet<&String> = targets
        .iter()
        .flat_map(|target| &target.routes)
        .filter_map(|route| match &route.place.reader {
            Reader::Mount { node } => node.as_ref(),
            Reader::Stream => None,
        })
        .collect();
    let mut tolerations: BTreeMap<String, BTreeSet<Toleration>> = BTreeMap::new();
    for name in nodes.iter().filter(|name| facts.node(name).is_some()) {
        let taints = facts.node(name).into_iter().flat_map(|node| &node.taints);
        tolerations.insert((*name).clone(), taints.filter_map(Toleration::of_taint).collect());
    }
    let on_unknown_node =
        |pod: &Pod| pod.node.clone().filter(|name| nodes.contains(name) && facts.node(name).is_none());
    for container in containers {
        let Some(name) = on_unknown_node(&container.pod) else { continue };
        let theirs = container.pod.tolerations.iter().filter(|toleration| toleration.may_be_taken_over());
        tolerations.entry(name).or_default().extend(theirs.cloned());
    }
    tolerations.into_iter().map(|(node, tolerations)| (node, tolerations.into_iter().collect())).collect()
}
