//! Tests on a real cluster with a private registry: the real program as a person would run it, looked at from outside.
//!
//! They want the cluster of `scripts/cluster up 2`, the images of `tests/images/build` and the namespace of
//! `scripts/shop`; `scripts/test` sees to all of it. Without, every test fails and says so. Each test works in
//! namespaces of its own, so they run side by side.

mod admission;
mod advisories;
mod bad_input;
mod cache;
#[path = "../registry/certificates.rs"]
mod certificates;
mod cloud;
mod connection;
mod credentials;
mod detached;
mod doctor;
mod drift;
mod environment;
mod explain_auth;
mod faults;
mod findings;
mod https;
mod identity;
mod interruption;
mod job_namespace;
mod jobs;
mod loss;
mod mounts;
mod namespace;
mod network;
mod nodes;
mod plan;
mod plugin;
mod pods;
mod readers;
mod real_registry;
mod records;
mod refusals;
mod registries;
mod registry;
mod rescan;
mod rights;
mod roles;
mod sbom;
mod scanner_image;
mod scans;
mod schedules;
mod shared_records;
mod shop;
mod tags;
mod terminal;
mod token_service;
#[path = "../schemas/validator.rs"]
mod validator;
mod volume;
