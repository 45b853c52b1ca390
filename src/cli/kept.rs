//! The flags that say where what was read of images is kept.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::scan::{CacheConfig, Shared};

/// Where lists of packages are kept.
#[derive(Clone, Debug, Args)]
pub(super) struct KeptArgs {
    /// Where lists of packages are kept, so that an image is read once: local on this machine, configmap also in the
    /// cluster for others, none nowhere; auto is configmap where there is a namespace clarity-system, else local
    #[arg(
        long,
        value_name = "WHERE",
        default_value = "auto",
        env = "CLARITY_SBOM_CACHE",
        hide_env_values = true,
        hide_possible_values = true
    )]
    cache: CachePlace,
    /// Namespace of the ConfigMaps [default: clarity-system if there is one, else the one that is scanned]
    #[arg(long, value_name = "NAME")]
    state_namespace: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum CachePlace {
    Auto,
    #[value(name = "configmap")]
    ConfigMap,
    Local,
    None,
}

impl KeptArgs {
    /// The stores that are meant. Without a home folder nothing is kept on this machine.
    pub(super) fn complete(self) -> CacheConfig {
        let Self { cache, state_namespace } = self;
        CacheConfig {
            local: folder().filter(|_| cache != CachePlace::None),
            shared: match cache {
                // Whoever names a namespace means it.
                CachePlace::Auto if state_namespace.is_some() => Shared::Always,
                CachePlace::Auto => Shared::WherePrepared,
                CachePlace::ConfigMap => Shared::Always,
                CachePlace::Local | CachePlace::None => Shared::Never,
            },
            state_namespace,
        }
    }
}

/// The folder of this machine.
pub(super) fn folder() -> Option<PathBuf> {
    dirs::cache_dir().map(|folder| folder.join("kubectl-clarity").join("sboms"))
}
