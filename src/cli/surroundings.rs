//! What the environment says, for every command that leaves this machine.

use std::path::PathBuf;

use crate::registry::ProxySettings;

/// The person's docker configuration, if it is known where that lies.
pub(super) fn docker_config() -> Option<PathBuf> {
    let configured = std::env::var_os("DOCKER_CONFIG").filter(|folder| !folder.is_empty()).map(PathBuf::from);
    let folder = configured.or_else(|| dirs::home_dir().map(|home| home.join(".docker")));
    folder.map(|folder| folder.join("config.json"))
}

/// Proxies of the environment.
pub(super) fn proxy() -> ProxySettings {
    ProxySettings::from_variables(|name| std::env::var(name).ok())
}
