//! Which scans are meant by `status`, `attach` and `stop`.

use std::collections::BTreeMap;

use clap::Args;
use jiff::Timestamp;

use super::errors::Explained;
use crate::cluster::{ApiError, Client, Connection};
use crate::job::{SeenScan, seen_scans};
use crate::runner::{Phase, SeenRunner, seen_runners};

/// Where scans are looked for.
#[derive(Clone, Debug, Args)]
pub(super) struct ScansArgs {
    /// Only scans with pods in this namespace [default: all namespaces, or where that is not allowed the one of the context]
    #[arg(short, long, value_name = "NAME")]
    namespace: Option<String>,
}

/// No scan is meant, or more than one.
#[derive(Debug, thiserror::Error)]
pub(super) enum WhichError {
    /// Several ids begin so.
    #[error("several scans begin with {id:?}: {}", .scans.join(", "))]
    Ambiguous {
        /// What was asked for.
        id: String,
        /// The ids.
        scans: Vec<String>,
    },
}

/// A scan that has something in the cluster.
#[derive(Clone, Debug)]
pub(super) struct Found {
    /// Its id.
    pub(super) id: String,
    /// Its scanner Jobs, if it has any.
    pub(super) scan: Option<SeenScan>,
    /// The runner that it is run by, if it is.
    pub(super) runner: Option<SeenRunner>,
}

impl ScansArgs {
    /// The scans that have something there, the newest first.
    pub(super) async fn look(&self, connection: &Connection) -> Result<Vec<Found>, Explained> {
        let client = &connection.client;
        if let Some(namespace) = &self.namespace {
            return Ok(look_in(client, Some(namespace)).await?);
        }
        match look_in(client, None).await {
            Err(error) if error.is_missing_right() => Ok(look_in(client, Some(&connection.namespace)).await?),
            found => Ok(found?),
        }
    }
}

async fn look_in(client: &Client, namespace: Option<&str>) -> Result<Vec<Found>, ApiError> {
    let (scans, runners) = tokio::try_join!(seen_scans(client, namespace), seen_runners(client, namespace))?;
    Ok(together(scans, runners))
}

/// Scans with their runners, the newest first.
fn together(scans: Vec<SeenScan>, runners: Vec<SeenRunner>) -> Vec<Found> {
    let mut found: BTreeMap<String, Found> = BTreeMap::new();
    for scan in scans {
        let id = scan.id.clone();
        found.insert(id.clone(), Found { id, scan: Some(scan), runner: None });
    }
    for runner in runners {
        let id = runner.scan.clone();
        let one = found.entry(id.clone()).or_insert(Found { id, scan: None, runner: None });
        one.runner = Some(runner);
    }
    let mut found: Vec<Found> = found.into_values().collect();
    found.sort_by_key(|found| std::cmp::Reverse((found.started(), found.id.clone())));
    found
}

impl Found {
    /// What is scanned, in words of the command line.
    pub(super) fn scope(&self) -> Option<&str> {
        let runner = self.runner.as_ref().and_then(|runner| runner.scope.as_deref());
        runner.or_else(|| self.scan.as_ref()?.scope.as_deref())
    }

    /// Who asked for it.
    pub(super) fn requester(&self) -> Option<&str> {
        let runner = self.runner.as_ref().and_then(|runner| runner.requester.as_deref());
        runner.or_else(|| self.scan.as_ref()?.requester.as_deref())
    }

    /// The schedule that has started it.
    pub(super) fn schedule(&self) -> Option<&str> {
        let runner = self.runner.as_ref().and_then(|runner| runner.schedule.as_deref());
        runner.or_else(|| self.scan.as_ref()?.schedule.as_deref())
    }

    /// When its first object was created.
    pub(super) fn started(&self) -> Option<Timestamp> {
        let runner = self.runner.as_ref().and_then(|runner| runner.created);
        [runner, self.scan.as_ref().and_then(|scan| scan.started)].into_iter().flatten().min()
    }

    /// Whether nothing more will come of it by itself.
    pub(super) fn is_over(&self) -> bool {
        match &self.runner {
            Some(runner) => runner.phase != Phase::Active,
            None => self.scan.as_ref().is_none_or(SeenScan::is_over),
        }
    }

    /// `scan 7f3a of -n shop`
    pub(super) fn named(&self) -> String {
        let scope = self.scope().map(|scope| format!(" of {scope}")).unwrap_or_default();
        format!("scan {}{scope}", self.id)
    }

    /// Whether it is that of the one who asks, as far as both kubeconfigs say.
    pub(super) fn is_of(&self, connection: &Connection) -> bool {
        self.requester() == Some(connection.requester.as_str())
    }
}

/// The scan of this id, or the only one whose id begins so; none if there is none.
pub(super) fn choose(id: &str, scans: Vec<Found>) -> Result<Option<Found>, WhichError> {
    if let Some(exact) = scans.iter().find(|scan| scan.id == id) {
        return Ok(Some(exact.clone()));
    }
    let mut alike: Vec<Found> = scans.into_iter().filter(|scan| scan.id.starts_with(id)).collect();
    if alike.len() > 1 {
        let scans = alike.into_iter().map(|scan| scan.id).collect();
        return Err(WhichError::Ambiguous { id: id.to_owned(), scans });
    }
    Ok(alike.pop())
}
