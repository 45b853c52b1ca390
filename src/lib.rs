//! What is running in a Kubernetes cluster, what is inside it, and what is wrong with it.

pub mod advisories;
pub mod cli;
pub mod cluster;
pub mod coverage;
pub mod finding;
pub mod image;
pub mod job;
pub mod package;
pub mod packages;
pub mod plan;
pub mod registry;
pub mod report;
pub mod sbom;
pub mod scan;
pub mod severity;
pub mod tree;
pub mod wire;
pub mod worker;
pub mod workload;

/// Version of this program, part of everything that it makes.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
