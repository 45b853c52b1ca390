//! What is running in a Kubernetes cluster, what is inside it, and what is wrong with it.
//!
//! One library, two programs. `kubectl-clarity` runs where a person is (a laptop, CI): it finds out what runs, has it
//! read inside the cluster, and says what that means. `clarity-scan` is the container of the scanner Jobs: it turns
//! images into bills of materials and knows nothing else.
//!
//! ```text
//! kubectl-clarity                                        clarity-scan run, in a pod
//!
//! cluster::discover   pods -> containers, facts          wire::Task       what to read, from the Job
//!      |                                                      |
//! plan::plan          containers -> images -> groups     (a mount)  or  registry: credentials, manifest, layers
//!      |                                                      |
//! job::desired_job    one Job a group       -- Job -->   tree             walk, or inflate and tar: Records
//!      |                                                      |
//! job::follow         pod, events, log      <-- log --   packages         squash, catalogers
//!      |                                                      |
//! scan                what is tried again                sbom::cyclonedx  documents
//!      |                                                      |
//! database            what is known, opened              wire::Sender     frames on stdout
//!      |
//! advisories          SBOM x advisories -> findings,
//!      |              overlays (exploited, likely, ...)
//!      |
//! report              one Report, less what is ignored -> table, json
//! ```
//!
//! A scan may also be run by a [`runner`], in a pod, when nobody waits for it, at the times of a [`schedule`]. What it and a person
//! may do is in [`roles`].
//!
//! What was read of an image goes into the [`cache`] and is asked for there before the next plan is carried out: an image is read
//! once. Where that is a volume, `clarity-scan keep` in a pod answers for it. Reports are kept as [`records`].
//!
//! The [`database`] of advisories is fetched and compiled beforehand, or when something is missing: from a [`registry`] or a
//! [`mirror`].
//!
//! [`doctor`] says beforehand whether all that a scan needs is there.
//!
//! [`documents`] goes the last part of that way with bills of materials in files, written here or by other tools.
//!
//! Four decisions carry the rest.
//!
//! 1. **The scanner pod only turns images into documents.** It holds no API token, writes to no disk, needs no
//!    vulnerability data, and parses hostile input. Where it mounts images, the container that reads them holds no
//!    credential either. Matching happens where the person's own rights are.
//! 2. **The unit of work is (image digest, platform)**, not the pod, container or tag. It is read once in the whole
//!    cluster and fanned out to every container on the report.
//! 3. **Bytes that need not move do not move.** An image is read where a node has it unpacked: `plan` finds the fewest pods
//!    that have all of them, and `scan` goes down a ladder of users, and at last to the registry, when a cluster refuses.
//!    There, layers are streamed and never stored; a layer that two images of a pod
//!    share is read once; what no cataloger wants is passed over in the stream.
//! 4. **Nothing is silently left out.** Every container in scope ends in one of the states of [`coverage::State`]; all but
//!    the first two make the scan incomplete, in words and in the exit code.
//!
//! Modules use only what lies before them in the way of the data; `tests/architecture.rs` holds the table. Plain
//! domain types ([`image`], [`network`], [`workload`], [`facts`], [`package`], [`finding`], [`coverage`], [`severity`]) are used by all; [`plan`],
//! [`tree`], [`packages`], [`sbom`], [`wire`], [`schedule`], [`advisories`], [`report`] and [`documents`] know neither async nor Kubernetes. The library
//! prints nothing and ends nothing but in [`cli`] and [`worker`], which are the two programs.

pub mod advisories;
pub mod cache;
pub mod cli;
pub mod cluster;
pub mod coverage;
pub mod database;
pub mod doctor;
pub mod documents;
mod elf;
pub mod facts;
pub mod find;
pub mod finding;
pub mod image;
pub mod job;
pub mod mirror;
pub mod network;
pub mod notify;
pub mod package;
pub mod packages;
mod part_file;
pub mod plan;
pub mod records;
pub mod registry;
pub mod report;
pub mod roles;
pub mod runner;
pub mod sbom;
pub mod scan;
pub mod schedule;
pub mod severity;
pub mod tree;
pub mod wire;
pub mod worker;
pub mod workload;

/// Version of this program, part of everything that it makes.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
