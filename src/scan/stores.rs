//! Which stores keep what is read.

use std::path::PathBuf;

use super::reading::{new_id, settings};
use super::{Pods, ReadConfig, ScanError, volume};
use crate::cache::{self, Cache, ConfigMapStore, LocalStore, Store};
use crate::cluster::Connection;
use crate::job::{Claim, JobSettings};

/// Where what was read is kept.
#[derive(Clone, Debug, Default)]
pub struct CacheConfig {
    /// A folder of this machine.
    pub local: Option<PathBuf>,
    /// Whether others share it.
    pub shared: Shared,
    /// The namespace that holds what is shared.
    pub state_namespace: Option<String>,
}

impl CacheConfig {
    /// Where pods are started only for the cache.
    pub(super) fn namespace_of_pods(&self) -> Option<String> {
        match &self.shared {
            Shared::Claim(claim) => Some(claim.namespace.clone()),
            Shared::WherePrepared | Shared::Always | Shared::Never => None,
        }
    }
}

/// Whether what was read is shared with others, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Shared {
    /// As ConfigMaps, where somebody has made a namespace for it.
    WherePrepared,
    /// As ConfigMaps, always: without a namespace for it in the one that is scanned.
    Always,
    /// On a volume.
    Claim(Claim),
    /// Never.
    #[default]
    Never,
}

/// The stores that are asked, for who does not scan; the notes say where they are not those that were meant. They are to be
/// closed.
pub async fn open_cache(
    connection: &Connection,
    config: &ReadConfig,
    notes: &mut Vec<String>,
) -> Result<Cache, ScanError> {
    let settings = settings(connection, config, &new_id()?);
    Ok(cache_for(connection, config, &settings, notes).await)
}

/// The stores that are asked, and get what is read.
pub(super) async fn cache_for(
    connection: &Connection,
    config: &ReadConfig,
    settings: &JobSettings,
    notes: &mut Vec<String>,
) -> Cache {
    let CacheConfig { local, shared, state_namespace: _ } = &config.cache;
    let local = local.as_deref().map(LocalStore::at);
    if let Shared::Claim(claim) = shared {
        if config.pods != Pods::None {
            let store = volume::store(connection, claim.clone(), settings.clone());
            return Cache::new(local, Some(Box::new(store)));
        }
        notes.push(format!(
            "what is kept on the volume of claim {} in namespace {} is not looked at: that takes a pod",
            claim.name, claim.namespace
        ));
        return Cache::new(local, None);
    }
    let namespace = state_namespace(connection, config).await;
    if *shared == Shared::Always && namespace.is_none() {
        notes.push(format!(
            "what is read is kept on this machine only: there is no namespace {} (or name one: --state-namespace)",
            cache::STATE_NAMESPACE
        ));
    }
    let store = namespace.map(|namespace| {
        Box::new(ConfigMapStore::new(&connection.client, &namespace, cache::BUDGET)) as Box<dyn Store>
    });
    Cache::new(local, store)
}

/// The namespace in which ConfigMaps are kept that are shared, if they are.
pub async fn state_namespace(connection: &Connection, config: &ReadConfig) -> Option<String> {
    let CacheConfig { local: _, shared, state_namespace } = &config.cache;
    let own = config.scope.namespace.as_deref().filter(|_| *shared == Shared::Always);
    let named = match shared {
        Shared::Never => return None,
        // The namespace that is named is that of the claim. A volume has no records of scans.
        Shared::Claim(_) => None,
        Shared::WherePrepared | Shared::Always => state_namespace.as_deref(),
    };
    cache::state_namespace(&connection.client, named, own).await
}
