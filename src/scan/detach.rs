//! A scan that nobody waits for, where no runner can be had: all its Jobs at once, to be taken up again by anybody.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::coordinate::{Coordination, planned_jobs};
use super::credentials::Credentials;
use super::reading::{Prepared, interrupted, prepare};
use super::recall::Recall;
use super::{ReadConfig, ScanError};
use crate::cluster::Connection;
use crate::job;

/// Most Jobs that are started at once.
const MAX_JOBS: usize = 50;

/// What was started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Detached {
    /// The scan's id.
    pub scan: String,
    /// Number of Jobs; none if nothing is to be read.
    pub jobs: usize,
    /// Number of images that they read.
    pub images: usize,
    /// Time that the pods have.
    pub timeout: Duration,
    /// What a person should know.
    pub notes: Vec<String>,
}

/// Creates the Jobs of a scan and leaves them.
///
/// # Errors
/// There is nothing to scan, or the API server refused; then nothing is left.
pub async fn detach(connection: &Connection, config: &ReadConfig) -> Result<Detached, ScanError> {
    let stop = CancellationToken::new();
    let prepared = prepare(connection, config, Recall::WhatIsThere, &stop, &|_| {}).await?;
    let Prepared { scan, discovery: _, facts, plan, cache: _, recalled: _, settings, mut notes } = prepared;
    // Their results are to be found later.
    let settings = job::JobSettings { keep: true, ..settings };
    let coordination = Coordination {
        connection,
        plan: &plan,
        facts: &facts,
        settings: &settings,
        config,
        credentials: Arc::new(Credentials::new(connection)),
        stop: &stop,
    };
    let (jobs, told) = planned_jobs(&coordination).await;
    notes.extend(told);
    if jobs.len() > MAX_JOBS {
        return Err(ScanError::TooLarge(jobs.len(), MAX_JOBS));
    }
    for desired in &jobs {
        if let Err(error) = job::start(&connection.client, desired).await {
            let namespaces = plan.groups.iter().map(|group| group.place.namespace.clone()).collect();
            return Err(match interrupted(connection, scan, namespaces).await {
                ScanError::Interrupted { .. } => ScanError::Start(error),
                left => left,
            });
        }
    }
    if jobs.iter().any(|desired| !desired.secrets.is_empty()) {
        notes.push(
            "copies of pull secrets stay beside the scanner's Jobs until attach or stop removes these, a day at most"
                .to_owned(),
        );
    }
    let images = plan.groups.iter().map(|group| group.images.len()).sum();
    Ok(Detached { scan, jobs: jobs.len(), images, timeout: config.timeout, notes })
}
