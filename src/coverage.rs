//! What became of each container's image: the states of a report, and how many ended in each.

use serde::{Deserialize, Serialize};

/// What became of a container's image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", content = "reason", rename_all = "lowercase")]
pub enum State {
    /// Read in this scan, whole.
    Scanned,
    /// Its SBOM was at hand.
    Cached,
    /// The running digest could not be had, its tag was read.
    Approximate(String),
    /// Read, but a limit, a damaged file or an unreadable folder left something out.
    Partial(String),
    /// Not read.
    Failed(String),
    /// Not to be read.
    Skipped(String),
}

/// How many containers ended in each state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Coverage {
    pub scanned: usize,
    pub cached: usize,
    pub approximate: usize,
    pub partial: usize,
    pub failed: usize,
    pub skipped: usize,
}

impl State {
    /// Only `scanned` and `cached` are complete.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        matches!(self, Self::Scanned | Self::Cached)
    }

    /// The word for it.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Scanned => "scanned",
            Self::Cached => "cached",
            Self::Approximate(_) => "approximate",
            Self::Partial(_) => "partial",
            Self::Failed(_) => "failed",
            Self::Skipped(_) => "skipped",
        }
    }

    /// Why, for all states that have a reason.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Scanned | Self::Cached => None,
            Self::Approximate(why) | Self::Partial(why) | Self::Failed(why) | Self::Skipped(why) => Some(why),
        }
    }
}
