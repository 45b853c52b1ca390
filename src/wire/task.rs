//! What a scanner pod is told, as JSON in one environment variable.

use serde::{Deserialize, Serialize};

use super::DocumentName;
use crate::image::{Digest, Platform, Reference};
use crate::network::Network;

/// Most other references of an image that are asked for.
pub const MAX_OTHERS: usize = 3;

/// The work of one pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// The scan's id, part of every frame.
    pub scan: String,
    /// The images to read, in this order.
    pub images: Vec<TaskImage>,
    /// The documents that are made of each image: a container that mounts images has no credential for their configs, and
    /// one that has it mounts no image.
    pub documents: Vec<DocumentName>,
    /// Pull secrets, in the order in which they are tried.
    pub pull_secrets: Vec<PullSecret>,
    /// How registries are reached.
    #[serde(default)]
    pub network: Network,
    /// Seconds for all images together; the scanner ends itself then and says why.
    pub timeout_seconds: u64,
    /// When that time ends, in seconds since 1970 by the clock of whoever made the Job.
    pub ends_at: u64,
    /// Bytes of log that may be written.
    pub log_budget: u64,
    /// A file that does not fit the memory ends the image with [`super::FailureKind::NeedsMemory`]; otherwise it
    /// is a gap, since the pod has the most memory that it will be given.
    pub may_ask_for_memory: bool,
}

/// A pull secret as the scanner finds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PullSecret {
    /// Its name, for messages.
    pub name: String,
    /// The namespace that it is a copy from, for messages; none if it is where the pod is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The folder where it is mounted; empty if there is no such secret.
    pub folder: String,
}

/// One image to read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskImage {
    /// Repository and tag of the pod spec (or its digest).
    pub reference: Reference,
    /// What the runtime says it runs.
    pub wanted: Wanted,
    /// The platform of the node; that of the scanner if it is not known.
    pub platform: Option<Platform>,
    /// Other references by which pods run the same image, whose registries are asked with the same credentials. At most
    /// [`MAX_OTHERS`] of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<Reference>,
    /// The folder where the kubelet has mounted it; without, its layers are streamed from the registry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mount: Option<String>,
}

/// What is to be read under a reference.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Wanted {
    /// This manifest, or the platform's manifest of this index.
    Manifest(Digest),
    /// The image with this config; known only by the tag that leads to it.
    Config(Digest),
    /// Whatever the reference leads to: the container has not started yet.
    Reference,
}

impl Task {
    /// The environment variable that holds it.
    pub const VARIABLE: &str = "CLARITY_TASK";
}
