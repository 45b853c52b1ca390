//! Scanner Jobs: what one looks like, how it is followed, and how it is removed.

mod clean_up;
mod configs;
mod follow;
mod keeper;
mod logs;
mod mounts;
mod owned;
mod policies;
mod problem;
mod run;
mod seen;
mod spec;
mod watch;

pub use clean_up::{CleanUpError, delete, remove_scan};
pub use k8s_openapi::api::batch::v1::Job;

pub use follow::{GroupEnd, ImageEnd, Progress, follow, start};
pub use keeper::{Attached, Claim, Keeper, KeeperError};
pub use owned::{Original, OwnedSecret};
pub use policies::restriction;
pub use problem::Problem;
pub use seen::{Heard, JobState, SeenJob, SeenScan, hear, mark_stopped, seen_scans};
pub use spec::{
    Desired, Distrust, JobSettings, PodTask, Purpose, User, desired_job, host_aliases, network_mounts,
    network_volumes,
};

/// Name of the container that reads images.
pub const CONTAINER: &str = "scan";

/// Name of the container that asks registries for the configs of mounted images.
pub const CONFIG_CONTAINER: &str = "config";

/// Name of the container that keeps what was read on a volume.
pub const CACHE_CONTAINER: &str = "cache";

/// The program in the scanner's image.
pub const SCANNER: &str = "/clarity-scan";

/// Label of a scanner pod: the name of its Job. Those of the Job controller have changed over time.
pub const JOB_LABEL: &str = "kubectl-clarity.io/job";

/// Annotation of a Job: what it reads, as JSON, so that any machine can rebuild the state of the scan.
pub const IMAGES_ANNOTATION: &str = "kubectl-clarity.io/images";

/// Annotation of a Job: its place among the Jobs of the scan, for example `1/3`.
pub const GROUP_ANNOTATION: &str = "kubectl-clarity.io/group";

/// Annotation of a Job: who asked for the scan, as far as the kubeconfig says.
pub const REQUESTER_ANNOTATION: &str = "kubectl-clarity.io/requester";

/// Annotation of a Job: the scope of the scan in words of the command line.
pub const SCOPE_ANNOTATION: &str = "kubectl-clarity.io/scope";

/// Annotation of a Job: the scope of the scan for programs, so that any machine can take it up again.
pub const SELECTION_ANNOTATION: &str = "kubectl-clarity.io/selection";

/// Annotation of a Job that is about to be deleted: who has stopped the scan. Whoever follows it starts no other one.
pub const STOPPED_ANNOTATION: &str = "kubectl-clarity.io/stopped-by";

/// Memory of a scanner pod in bytes, unless an image needs more.
pub const MEMORY: u64 = 256 << 20;
