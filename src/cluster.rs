//! The cluster: a client for it, what is found in it, and its refusals in words.

mod config_maps;
mod connect;
mod discovery;
mod facts;
mod policies;
mod pulls;
mod refusal;
mod rights;
mod secrets;
mod writers;

pub use config_maps::{ConfigMaps, KIND_LABEL, Owned, PART_BYTES};
pub use connect::{Access, ConnectError, Connection, connect};
pub use discovery::{DiscoverError, Discovery, Scope, discover};
pub use facts::{add_namespace, gather as facts, namespace_exists, server_version};
pub use kube::Client;
pub use policies::restricting_policies;
pub use pulls::{account_pull_secrets, pull_troubles};
pub use refusal::{ApiError, Refusal};
pub use rights::{Right, may, missing_everywhere, missing_for_attach, missing_for_copies, missing_rights};
pub use secrets::{DOCKER_CFG, DOCKER_CONFIG_JSON, FoundSecret, PullCredentials, pull_secret};
pub use writers::{Writers, writers_of_config_maps};

/// Value of `app.kubernetes.io/name` and `app.kubernetes.io/managed-by` on everything that is created.
pub const NAME: &str = "kubectl-clarity";

/// Label that holds the id of the scan that an object belongs to.
pub const SCAN_LABEL: &str = "kubectl-clarity.io/scan";

/// Label that holds the name of the schedule that an object belongs to.
pub const SCHEDULE_LABEL: &str = "kubectl-clarity.io/schedule";

/// Value of [`KIND_LABEL`] of a pod that scans in the place of a person, and of its Job.
pub const RUNNER_KIND: &str = "runner";

/// Value of [`KIND_LABEL`] of a schedule.
pub const SCHEDULE_KIND: &str = "schedule";
