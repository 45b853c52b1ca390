//! What a scan would do: the same discovery, plan and cache, and no pod.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::coordinate::{Coordination, planned_jobs};
use super::credentials::Credentials;
use super::reading::{Prepared, prepare};
use super::recall::Recall;
use super::{ReadConfig, ScanError, Shared};
use crate::cluster::{self, Connection, Right};
use crate::facts::Facts;
use crate::image::Platform;
use crate::plan::{Reader, Target};
use crate::wire::Wanted;

/// What a scan would do.
#[derive(Clone, Debug, Serialize)]
pub struct Preview {
    /// Every image of the scope, once.
    pub images: Vec<PlannedImage>,
    /// What is pulled for all of them.
    pub pull: Pull,
    /// Containers that nothing would be read for, and why.
    pub left_out: Vec<LeftOut>,
    /// The Jobs that would be created, as the API server would get them.
    pub jobs: Vec<serde_json::Value>,
    /// Rights that are missing, by namespace.
    pub missing_rights: Vec<String>,
    /// What a person should know.
    pub notes: Vec<String>,
}

/// What would be done about an image.
#[derive(Clone, Debug, Serialize)]
pub struct PlannedImage {
    /// As the pod spec of the first container that runs it names it, with what is known of its digest.
    pub image: String,
    /// The platform, if it is known.
    pub platform: Option<Platform>,
    /// How it would be read.
    pub how: How,
    /// Bytes that are pulled for it, compressed: 0 if none are, none if that is not known. A layer that several images share
    /// counts for each, although a scanner pod reads it once.
    pub pull_bytes: Option<u64>,
    /// Number of the Job, from 1; none if none is needed.
    pub job: Option<usize>,
    /// Containers that run it.
    pub containers: usize,
    /// Why nodes that run it are not asked.
    pub obstacles: BTreeSet<String>,
}

/// How an image would be read at first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum How {
    /// It would not: its SBOM is at hand.
    Cached,
    /// Mounted on a node, which pulls nothing; none lets the scheduler choose, and the kubelet pull.
    Mounted {
        /// The node.
        node: Option<String>,
    },
    /// Streamed from this registry.
    Streamed {
        /// Its host.
        registry: String,
    },
    /// There is no way to it.
    Unreachable,
}

/// What is pulled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Pull {
    /// Compressed bytes of the images of which that is known.
    pub bytes: u64,
    /// Images of which it is not known.
    pub unknown: usize,
}

/// A container that nothing would be read for.
#[derive(Clone, Debug, Serialize)]
pub struct LeftOut {
    /// `NAMESPACE/POD (CONTAINER)`.
    pub container: String,
    /// The state that the report would give it.
    pub state: String,
    /// Why.
    pub reason: String,
}

impl Pull {
    /// The sum of what is pulled for these images.
    #[must_use]
    pub fn of(images: &[PlannedImage]) -> Self {
        let known = images.iter().filter_map(|image| image.pull_bytes);
        let bytes = known.fold(0, u64::saturating_add);
        Self { bytes, unknown: images.iter().filter(|image| image.pull_bytes.is_none()).count() }
    }
}

impl How {
    /// Whether bytes come from a registry.
    #[must_use]
    pub fn pulls(&self) -> bool {
        matches!(self, Self::Streamed { .. } | Self::Mounted { node: None })
    }
}

/// Looks at everything that a scan would look at before it starts its first pod.
pub async fn preview(connection: &Connection, config: &ReadConfig) -> Result<Preview, ScanError> {
    let stop = CancellationToken::new();
    let mut prepared =
        prepare(connection, &without_volume(config), Recall::WhatIsThere, &stop, &|_| {}).await?;
    if let Shared::Claim(claim) = &config.cache.shared {
        prepared.notes.push(format!(
            "what is kept on the volume of claim {} in namespace {} is not looked at, as a scan does: that takes a pod",
            claim.name, claim.namespace
        ));
        let missing = cluster::missing_for_attach(&connection.client, &claim.namespace).await;
        prepared.notes.extend(missing.map(|error| format!("the volume cannot be used: {error}")));
    }
    let Prepared { scan: _, discovery, facts, plan, recalled, settings, notes, cache: _ } = &prepared;
    let credentials = Arc::new(Credentials::new(connection));
    let coordination = Coordination { connection, plan, facts, settings, config, credentials, stop: &stop };
    let (jobs, told) = planned_jobs(&coordination).await;
    // What is copied is nobody's to see; the pods name it.
    let has_copies = jobs.iter().any(|desired| !desired.secrets.is_empty());
    let jobs: Vec<serde_json::Value> =
        jobs.iter().map(|desired| serde_json::to_value(&desired.job).unwrap_or_default()).collect();

    let mut numbers: BTreeMap<usize, usize> = BTreeMap::new();
    for (number, group) in (1..).zip(&plan.groups) {
        numbers.extend(group.images.iter().map(|(target, _)| (*target, number)));
    }
    let mut containers = vec![0_usize; plan.targets.len()];
    for index in plan.containers.iter().flatten() {
        containers[*index] += 1;
    }
    let image = |(index, target): (usize, &Target)| {
        let how = if recalled.images[index].is_some() { How::Cached } else { how(target) };
        PlannedImage {
            image: described(target),
            platform: target.platform.clone(),
            pull_bytes: if how.pulls() { size(target, facts) } else { Some(0) },
            how,
            job: numbers.get(&index).copied(),
            containers: containers[index],
            obstacles: target.obstacles.clone(),
        }
    };
    let left_out = discovery.containers.iter().zip(&plan.containers).filter_map(|(container, planned)| {
        let state = planned.as_ref().err()?;
        Some(LeftOut {
            container: format!("{}/{} ({})", container.pod.namespace, container.pod.name, container.name),
            state: state.as_str().to_owned(),
            reason: state.reason().unwrap_or_default().to_owned(),
        })
    });
    let images: Vec<PlannedImage> = plan.targets.iter().enumerate().map(image).collect();
    let namespaces: BTreeSet<String> = plan.groups.iter().map(|group| group.place.namespace.clone()).collect();
    let mut missing = cluster::missing_rights(&connection.client, &namespaces).await;
    if let Some(namespace) = config.job_namespace.as_deref().filter(|_| has_copies) {
        missing.extend(cluster::missing_for_copies(&connection.client, namespace).await);
    }
    Ok(Preview {
        pull: Pull::of(&images),
        images,
        left_out: left_out.collect(),
        jobs,
        missing_rights: missing.iter().map(Right::to_string).collect(),
        notes: notes.iter().cloned().chain(told).collect(),
    })
}

/// The same without what takes a pod to be looked at: a preview creates nothing.
fn without_volume(config: &ReadConfig) -> ReadConfig {
    let mut config = config.clone();
    if matches!(config.cache.shared, Shared::Claim(_)) {
        config.cache.shared = Shared::Never;
    }
    config
}

fn described(target: &Target) -> String {
    match &target.wanted {
        Wanted::Manifest(digest) => target.reference.at(digest.clone()).to_string(),
        Wanted::Config(_) | Wanted::Reference => target.reference.to_string(),
    }
}

/// Bytes of an image, if a node has it. It is asked of no registry: a plan only looks.
fn size(target: &Target, facts: &Facts) -> Option<u64> {
    let Wanted::Manifest(digest) = &target.wanted else { return None };
    facts.bytes_to_pull(digest, target.platform.as_ref())
}

fn how(target: &Target) -> How {
    let Some(route) = target.routes.first() else { return How::Unreachable };
    match &route.place.reader {
        Reader::Mount { node } => How::Mounted { node: node.clone() },
        Reader::Stream => How::Streamed { registry: route.reference.repository.registry.clone() },
    }
}
