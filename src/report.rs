//! The result of a scan as one value. Renderers stand beside it and add nothing to it.

pub mod counts;
pub mod json;
pub mod table;
pub mod text;
pub mod workloads;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::image::{Digest, Platform, Reference};
use crate::package::{Distro, Location};
use crate::severity::Severity;

/// Version of the JSON form of [`Report`]; changes when a reader must.
pub const REPORT_VERSION: u32 = 1;

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

/// Which advisory data was used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdvisoryInfo {
    /// Where it came from; none means that nothing was matched.
    pub source: Option<String>,
    /// Number of advisories by OSV ecosystem, of those that were loaded.
    pub ecosystems: BTreeMap<String, usize>,
    /// Newest `modified` of all records, RFC 3339.
    pub newest: Option<String>,
}

/// What became of a container's image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", content = "reason", rename_all = "lowercase")]
pub enum State {
    /// Read in this scan, whole.
    Scanned,
    /// Its SBOM was at hand.
    Cached,
    /// The running digest could not be had, its tag was read.
    Approximate(String),
    /// Read, but a limit, a damaged file or an unreadable folder left something out.
    Partial(String),
    /// Not read.
    Failed(String),
    /// Not to be read.
    Skipped(String),
}

/// One container in scope.
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
    /// `container`, `init`, `sidecar` or `ephemeral`.
    pub kind: String,
    /// The image as the pod spec names it.
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
    /// The reference that was read.
    pub reference: Reference,
    /// Digest of manifest or index; none if only a config digest is known and its tag could not be read.
    pub digest: Option<Digest>,
    /// The platform that was read.
    pub platform: Platform,
    /// What became of it.
    #[serde(flatten)]
    pub state: State,
    /// The distribution found in it.
    pub distro: Option<Distro>,
    /// Number of packages found.
    pub packages: usize,
    /// Findings, most severe first.
    pub findings: Vec<Finding>,
    /// Ecosystems of its packages for which there were no advisories: "no data", not "clean".
    pub without_data: Vec<String>,
}

/// One vulnerability in one package of one image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The name people know it by: the CVE where there is one, else the advisory's id.
    pub vulnerability: String,
    /// Id of the OSV record that says so.
    pub advisory: String,
    /// All other ids: aliases, upstream, related, and advisories of the same CVE.
    pub aliases: Vec<String>,
    /// Name of the installed package.
    pub package: String,
    /// Its installed version.
    pub installed: String,
    /// Its package URL.
    pub purl: String,
    /// The version that fixes it, in the terms of the name that was looked up.
    pub fixed: Option<String>,
    /// How bad.
    pub severity: Severity,
    /// Who said so: `CVSS:3.1/…` as vector, or the source's own word.
    pub severity_source: Option<String>,
    /// Name and version that were looked up, when not the package's own: the source package.
    pub matched_as: Option<String>,
    /// The range that holds the version, for example `>= 0, < 1.2.3-1`.
    pub range: String,
    /// Where in the image.
    pub locations: Vec<Location>,
}

/// How many containers ended in each state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Coverage {
    pub scanned: usize,
    pub cached: usize,
    pub approximate: usize,
    pub partial: usize,
    pub failed: usize,
    pub skipped: usize,
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
        all_read && self.images.iter().all(|image| image.without_data.is_empty())
    }
}

impl State {
    /// Only `scanned` and `cached` are complete.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        matches!(self, Self::Scanned | Self::Cached)
    }

    /// The word for it.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Scanned => "scanned",
            Self::Cached => "cached",
            Self::Approximate(_) => "approximate",
            Self::Partial(_) => "partial",
            Self::Failed(_) => "failed",
            Self::Skipped(_) => "skipped",
        }
    }

    /// Why, for all states that have a reason.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Scanned | Self::Cached => None,
            Self::Approximate(why) | Self::Partial(why) | Self::Failed(why) | Self::Skipped(why) => Some(why),
        }
    }
}
