//! Which scans are meant by `status` and `stop`.

use clap::Args;

use super::errors::Explained;
use super::ui;
use crate::cluster::Connection;
use crate::job::{SeenScan, seen_scans};

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

impl ScansArgs {
    /// The scans that have Jobs there, the newest first.
    pub(super) async fn seen(&self, connection: &Connection) -> Result<Vec<SeenScan>, Explained> {
        let client = &connection.client;
        if let Some(namespace) = &self.namespace {
            return Ok(seen_scans(client, Some(namespace)).await?);
        }
        match seen_scans(client, None).await {
            Err(error) if error.is_missing_right() => {
                let seen = seen_scans(client, Some(&connection.namespace)).await?;
                ui::say(&format!(
                    "note: only namespace {} is looked at: you may not list jobs in all",
                    connection.namespace
                ));
                Ok(seen)
            }
            seen => Ok(seen?),
        }
    }
}

/// The scan of this id, or the only one whose id begins so; none if there is none.
pub(super) fn choose(id: &str, scans: Vec<SeenScan>) -> Result<Option<SeenScan>, WhichError> {
    if let Some(exact) = scans.iter().find(|scan| scan.id == id) {
        return Ok(Some(exact.clone()));
    }
    let mut alike: Vec<SeenScan> = scans.into_iter().filter(|scan| scan.id.starts_with(id)).collect();
    if alike.len() > 1 {
        let scans = alike.into_iter().map(|scan| scan.id).collect();
        return Err(WhichError::Ambiguous { id: id.to_owned(), scans });
    }
    Ok(alike.pop())
}

/// `scan 7f3a of -n shop`
pub(super) fn named(scan: &SeenScan) -> String {
    let scope = scan.scope.as_ref().map(|scope| format!(" of {scope}")).unwrap_or_default();
    format!("scan {}{scope}", scan.id)
}

/// Whether the scan is that of the one who asks, as far as both kubeconfigs say.
pub(super) fn is_own(scan: &SeenScan, connection: &Connection) -> bool {
    scan.requester.as_deref() == Some(connection.requester.as_str())
}
