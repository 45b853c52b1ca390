//! Which stores a command is about.

use clap::Args;

use super::super::access::AccessArgs;
use super::super::errors::Explained;
use super::super::kept::{self, ScannerArgs};
use super::super::ui;
use crate::cache::{BUDGET, CacheError, ConfigMapStore, LocalStore, Store, VolumeStore, state_namespace};
use crate::cluster;
use crate::job::Claim;
use crate::scan::volume_store;

/// Where what was read is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) enum CachePlace {
    /// In ConfigMaps of the cluster.
    ConfigMap,
    /// On the volume of this claim.
    Claim(String),
    /// On this machine.
    Local,
}

/// Flags of every command about what is kept.
#[derive(Clone, Debug, Args)]
pub(super) struct StoreArgs {
    /// Which cache: local on this machine, configmap in the cluster [default: both], or pvc:NAME on the volume of
    /// that claim, by a pod that has it mounted
    #[arg(long, value_name = "WHERE", value_parser = cache_place)]
    cache: Option<CachePlace>,
    /// Namespace of the scans whose cache is meant; that of the context without it
    #[arg(short, long, value_name = "NAME")]
    namespace: Option<String>,
    /// Namespace with the ConfigMaps [default: clarity-system if it is there and may be read, else that of the scans] or the
    /// claim [default: that of the scans]
    #[arg(long, value_name = "NAME")]
    state_namespace: Option<String>,
    #[command(flatten)]
    scanner: ScannerArgs,
}

/// A store that a command is about.
pub(super) struct Opened {
    pub(super) place: CachePlace,
    pub(super) store: Box<dyn Store>,
    /// Nobody asked for it by name: what it refuses is a note.
    is_optional: bool,
}

impl StoreArgs {
    /// The stores that are meant, that of this machine first.
    pub(super) async fn open(self, access: AccessArgs) -> Result<Vec<Opened>, Explained> {
        self.open_with(access, BUDGET).await
    }

    /// The same, of which that in the cluster keeps at most so many bytes.
    pub(super) async fn open_with(self, access: AccessArgs, budget: u64) -> Result<Vec<Opened>, Explained> {
        let place = self.cache.clone();
        let mut stores = Vec::new();
        if let Some(CachePlace::Claim(name)) = place {
            let store = Box::new(self.volume(name.clone(), access).await?);
            stores.push(Opened { place: CachePlace::Claim(name), store, is_optional: false });
            return Ok(stores);
        }
        if place != Some(CachePlace::ConfigMap) {
            stores.push(Opened { place: CachePlace::Local, store: Box::new(local()?), is_optional: false });
        }
        if place != Some(CachePlace::Local) {
            let is_optional = place.is_none();
            match self.config_maps(access, budget).await {
                Ok(store) => {
                    stores.push(Opened { place: CachePlace::ConfigMap, store: Box::new(store), is_optional });
                }
                Err(error) if is_optional => {
                    ui::say(&format!("note: only the cache of this machine: {}", error.in_words()));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(stores)
    }

    async fn volume(self, name: String, access: AccessArgs) -> Result<VolumeStore, Explained> {
        let connection = cluster::connect(&access.complete()).await?;
        let namespace = self.state_namespace.or(self.namespace).unwrap_or_else(|| connection.namespace.clone());
        let claim = Claim { namespace, name };
        volume_store(&connection, claim, self.scanner.complete())
            .map_err(|error| Explained::of_scan(&error, &connection.server))
    }

    async fn config_maps(self, access: AccessArgs, budget: u64) -> Result<ConfigMapStore, Explained> {
        let connection = cluster::connect(&access.complete()).await?;
        let own = self.namespace.unwrap_or(connection.namespace);
        let named = self.state_namespace.as_deref();
        let namespace = state_namespace(&connection.client, named, Some(&own)).await.unwrap_or(own);
        Ok(ConfigMapStore::new(&connection.client, &namespace, budget))
    }
}

impl Opened {
    /// What the store gave; none, and a note, if it is one that may refuse.
    pub(super) fn or_note<T>(&self, result: Result<T, CacheError>) -> Result<Option<T>, Explained> {
        match result {
            Ok(given) => Ok(Some(given)),
            Err(error) if self.is_optional => {
                ui::say(&format!("note: left out {}: {}", self.store.name(), error.in_words()));
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }
}

impl CachePlace {
    /// As the flag has it, without the name of a claim.
    pub(super) fn as_str(&self) -> &'static str {
        match self {
            Self::ConfigMap => "configmap",
            Self::Claim(_) => "pvc",
            Self::Local => "local",
        }
    }
}

/// The store of this machine.
fn local() -> Result<LocalStore, Explained> {
    let unknown = || std::io::Error::other("neither HOME nor XDG_CACHE_HOME says where the user's cache is");
    kept::folder()
        .map(LocalStore::at)
        .ok_or_else(|| Explained::new("there is no folder for the cache", &unknown()))
}

/// Reads which cache is meant.
fn cache_place(text: &str) -> Result<CachePlace, String> {
    match text {
        "configmap" => Ok(CachePlace::ConfigMap),
        "local" => Ok(CachePlace::Local),
        "none" => Err("there is nothing in none: configmap, pvc:NAME or local".to_owned()),
        _ => match kept::claim_name(text)? {
            Some(name) => Ok(CachePlace::Claim(name)),
            None => Err("expected configmap, pvc:NAME or local".to_owned()),
        },
    }
}

/// Reads a number of bytes.
pub(super) fn bytes(text: &str) -> Result<u64, String> {
    let wrong = || "expected a quantity such as 500Ki, 32Mi or 1Gi".to_owned();
    let unit = |suffix: &str, shift: u32| Some((text.strip_suffix(suffix)?, shift));
    let with_unit = unit("Gi", 30).or_else(|| unit("Mi", 20)).or_else(|| unit("Ki", 10));
    let (digits, shift) = with_unit.unwrap_or((text, 0));
    // A sign is no digit.
    let digits = Some(digits).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
    let number: u64 = digits.and_then(|digits| digits.parse().ok()).ok_or_else(wrong)?;
    number.checked_mul(1 << shift).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_a_quantity() {
        for (text, number) in [("0", 0), ("17", 17), ("2Ki", 2048), ("32Mi", 32 << 20), ("1Gi", 1 << 30)] {
            assert_eq!(bytes(text), Ok(number), "{text}");
        }
        for wrong in ["", "Mi", "1.5Mi", "-1", "+1", "1M", "99999999999999999999", "99999999999Gi"] {
            assert!(bytes(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn which_cache_is_meant_is_one_of_three() {
        assert_eq!(cache_place("configmap"), Ok(CachePlace::ConfigMap));
        assert_eq!(cache_place("pvc:cache"), Ok(CachePlace::Claim("cache".to_owned())));
        for wrong in ["none", "", "auto", "pvc:", "pvc:A"] {
            assert!(cache_place(wrong).is_err(), "{wrong}");
        }
    }
}
