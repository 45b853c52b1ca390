//! The way from the cache to a volume: a pod in the namespace of its claim.

use futures::FutureExt as _;
use futures::future::BoxFuture;

use super::reading::{new_id, settings};
use super::{ReadConfig, ScanError};
use crate::cache::{CacheError, Line, Opening, VolumeStore, Way};
use crate::cluster::{Connection, Scope};
use crate::job::{Claim, JobSettings, Keeper, KeeperError};

/// How pods look that are started only for the cache.
#[derive(Clone, Debug)]
pub struct CachePods {
    /// Image that holds the scanner.
    pub scanner_image: String,
    /// Secret for pulling it, in the namespace of the claim.
    pub scanner_pull_secret: Option<String>,
    /// ServiceAccount of the pods.
    pub service_account: Option<String>,
}

/// What is kept on a volume, for who does not scan. It is to be closed.
pub fn volume_store(connection: &Connection, claim: Claim, pods: CachePods) -> Result<VolumeStore, ScanError> {
    let scope = Scope { namespace: Some(claim.namespace.clone()), ..Scope::default() };
    let config = ReadConfig::looking(scope, super::CacheConfig::default(), pods);
    let settings = settings(connection, &config, &new_id()?);
    Ok(store(connection, claim, settings))
}

/// What is kept on a volume. The Jobs get the label of the scan.
pub(super) fn store(connection: &Connection, claim: Claim, settings: JobSettings) -> VolumeStore {
    VolumeStore::new(Box::new(ByPod(Keeper::new(&connection.client, claim, settings))))
}

/// A way that leads through a pod.
struct ByPod(Keeper);

impl Way for ByPod {
    fn name(&self) -> String {
        let Claim { namespace, name } = self.0.claim();
        format!("claim {name} in namespace {namespace}")
    }

    fn open(&self) -> Opening<'_> {
        async move {
            let attached = self.0.open().await.map_err(|error| match error {
                KeeperError::Api(error) if error.is_missing_right() => CacheError::Api(error),
                other => CacheError::Open { place: self.name(), source: Box::new(other) },
            })?;
            Ok(Line { from: attached.stdout, to: attached.stdin, keep: Box::new(attached.process) })
        }
        .boxed()
    }

    fn close(&self) -> BoxFuture<'_, Option<String>> {
        async move {
            let error = self.0.close().await.err()?;
            // One line, as notes are.
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
            Some(format!(
                "the cache pod of {} could not be removed: {error}{}",
                self.name(),
                cause.unwrap_or_default()
            ))
        }
        .boxed()
    }
}
