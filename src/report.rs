//! The result of a scan as one value. Renderers stand beside it and add nothing to it.

pub mod counts;
pub mod diff;
mod filter;
pub mod ignore;
pub mod json;
pub mod packages;
pub mod table;
pub mod text;
mod threshold;
pub mod workloads;

pub use filter::Filter;
pub use threshold::{Threshold, ThresholdError};

use serde::{Deserialize, Serialize};

use crate::coverage::{Coverage, State};
use crate::finding::{AdvisoryInfo, EndOfLife, Finding};
use crate::image::registered::Registered;
use crate::image::{Digest, Platform, Reference};
use crate::package::Distro;

/// Version of the JSON form of [`Report`]; changes when a reader must.
pub const REPORT_VERSION: u32 = 1;

/// Kind of the entry that stands for a bill of materials in a file.
pub const DOCUMENT: &str = "document";

/// A whole scan: every container in scope with its state, every image with its findings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// [`REPORT_VERSION`].
    pub version: u32,
    /// What was scanned, when and by which scan.
    pub scan: ScanInfo,
    /// Which advisories were held against it.
    pub advisories: AdvisoryInfo,
    /// One per container in scope, sorted by namespace, workload, pod, container.
    pub containers: Vec<ContainerReport>,
    /// One per unit of work (digest and platform), referred to by index.
    pub images: Vec<ImageReport>,
    /// What a person should know about the whole scan.
    pub notes: Vec<String>,
    /// Which findings are in it, where not all are.
    #[serde(default, skip_serializing_if = "Filter::is_open")]
    pub filter: Filter,
}

/// Identity and scope of a scan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScanInfo {
    /// The scan's id, also the value of the label `kubectl-clarity.io/scan`.
    pub id: String,
    /// Version of the program that made the report.
    pub generator: String,
    /// Start, RFC 3339, UTC.
    pub started: String,
    /// Wall time in milliseconds.
    pub duration_ms: u64,
    /// The scope in words of the command line, for example `-n shop -l app=cart`.
    pub scope: String,
}

/// One container in scope, or one bill of materials: then only `workload` (its file), `kind` and `image` are filled in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerReport {
    /// Namespace of the pod.
    pub namespace: String,
    /// Top owner of the pod as `kind/name`, for example `deployment/cart`; the pod itself if it has none.
    pub workload: String,
    /// Name of the pod.
    pub pod: String,
    /// Name of the container.
    pub container: String,
    /// `container`, `init`, `sidecar` or `ephemeral`; or [`DOCUMENT`].
    pub kind: String,
    /// The image as the pod spec names it, or the subject of the bill as that does.
    pub image: String,
    /// What became of it.
    #[serde(flatten)]
    pub state: State,
    /// Index into [`Report::images`]; none if no digest is known.
    pub image_index: Option<usize>,
}

/// One image on one platform.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageReport {
    /// The reference that was read; none if a bill of materials is about something else.
    pub reference: Option<Reference>,
    /// Digest of manifest or index; none if only a config digest is known and no registry told the manifest.
    pub digest: Option<Digest>,
    /// The platform that was read; none if a bill of materials does not tell.
    pub platform: Option<Platform>,
    /// What became of it.
    #[serde(flatten)]
    pub state: State,
    /// How it was read, if it was.
    pub read_by: Option<ReadBy>,
    /// The distribution found in it.
    pub distro: Option<Distro>,
    /// Number of packages found.
    pub packages: usize,
    /// Findings, most severe first.
    pub findings: Vec<Finding>,
    /// How many more there are that [`Report::filter`] does not show.
    #[serde(default)]
    pub not_shown: usize,
    /// Ecosystems of its packages for which there were no advisories: "no data", not "clean".
    pub without_data: Vec<String>,
    /// That its release is no longer tracked, since when: "unknown", not "clean".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_of_life: Option<EndOfLife>,
    /// What registries hold of it now, by the references of its pods. Nothing is known of an image that was not read now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub registry: Vec<Registered>,
}

/// How an image was read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "reader", rename_all = "lowercase")]
pub enum ReadBy {
    /// Mounted where a node has it unpacked.
    Volume {
        /// The node, where it was chosen for having the image.
        node: Option<String>,
        /// As whom it was read.
        user: String,
    },
    /// Streamed from its registry.
    Stream,
    /// It was not: its SBOM was at hand.
    Cache {
        /// When that was made, RFC 3339.
        created: String,
    },
}

impl ImageReport {
    /// An image of which nothing is known but what became of it.
    #[must_use]
    pub fn unread(state: State) -> Self {
        Self {
            reference: None,
            digest: None,
            platform: None,
            state,
            read_by: None,
            distro: None,
            packages: 0,
            findings: Vec::new(),
            not_shown: 0,
            without_data: Vec::new(),
            end_of_life: None,
            registry: Vec::new(),
        }
    }
}

impl Report {
    /// Counts the states of all containers.
    #[must_use]
    pub fn coverage(&self) -> Coverage {
        let mut coverage = Coverage::default();
        for container in &self.containers {
            *match container.state {
                State::Scanned => &mut coverage.scanned,
                State::Cached => &mut coverage.cached,
                State::Approximate(_) => &mut coverage.approximate,
                State::Partial(_) => &mut coverage.partial,
                State::Failed(_) => &mut coverage.failed,
                State::Skipped(_) => &mut coverage.skipped,
            } += 1;
        }
        coverage
    }

    /// Whether every container was read whole and held against advisories that know its packages.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        let all_read = self.containers.iter().all(|c| c.state.is_complete());
        let all_matched = self.images.iter().all(|image| image.without_data.is_empty());
        // An image without packages has nothing to match; still nobody has looked.
        let was_matched = self.advisories.source.is_some() || self.images.is_empty();
        all_read && all_matched && was_matched
    }

    /// Whether it is about bills of materials in files, and not about containers.
    #[must_use]
    pub fn is_of_documents(&self) -> bool {
        !self.containers.is_empty() && self.containers.iter().all(|container| container.kind == DOCUMENT)
    }

    /// What an image is called: by its reference, else as whoever runs it names it.
    fn image_name(&self, index: usize) -> String {
        let reference = self.images.get(index).and_then(|image| image.reference.as_ref());
        let user = || self.containers.iter().find(|container| container.image_index == Some(index));
        let named = || user().map(|container| container.image.clone());
        reference.map(ToString::to_string).or_else(named).unwrap_or_default()
    }
}
