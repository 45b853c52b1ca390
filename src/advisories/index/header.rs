//! What an index file says about itself, in JSON.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::super::overlays::Kind;

/// Longest header in bytes.
const MAX_LENGTH: usize = 16 << 10;

/// What an index file says about itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// What its keys are.
    pub holds: Holds,
    /// Number of records about it; of an overlay, of its entries.
    pub records: usize,
    /// Number of keys: packages, or what an overlay is looked up by.
    pub keys: usize,
    /// Newest change of all its records, RFC 3339.
    pub newest: Option<String>,
}

/// What the keys of an index are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Holds {
    /// Packages of this ecosystem.
    Advisories(String),
    /// What this overlay is looked up by.
    Overlay(Kind),
}

impl fmt::Display for Holds {
    /// What an index is called: `Debian:12`, `overlay:kev`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Advisories(ecosystem) => f.write_str(ecosystem),
            Self::Overlay(kind) => kind.fmt(f),
        }
    }
}

impl Header {
    pub(in crate::advisories) fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    pub(in crate::advisories) fn decode(bytes: &[u8]) -> Option<Self> {
        if bytes.len() > MAX_LENGTH {
            return None;
        }
        serde_json::from_slice(bytes).ok()
    }
}
