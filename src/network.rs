//! How registries are reached: whom to trust, which ways lead there. Plain values, which also travel into scanner pods.

use serde::{Deserialize, Serialize};

/// What a person's network asks of whoever speaks to a registry. Holds nothing that must not be seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// PEM certificates of authorities that are trusted besides the public ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorities: Option<String>,
    /// Registries (`host` or `host:port`) that may be spoken to without TLS.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub plain_http: Vec<String>,
}
