//! What a registry holds now of an image that runs: whether its tag still leads there, and whether it can be pulled again.

use serde::{Deserialize, Serialize};

use super::{Digest, Reference};

/// One reference of pod specs, held against its registry. What is not known (nobody could be asked, or no answer came) is none,
/// and never taken for gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registered {
    /// As the pod spec names it.
    pub reference: Reference,
    /// Whether the tag still leads to what runs; none if it names no tag or is pulled by digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<TagNow>,
    /// What the tag names now: an index or a manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub now: Option<Digest>,
    /// Whether what runs can still be pulled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<DigestNow>,
}

/// Where a tag leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TagNow {
    /// To what runs: to its digest, or on the platform of its node to its manifest or its config.
    Same,
    /// To another image, or on this platform to none.
    Moved,
    /// There is no such tag.
    Gone,
}

/// Whether there is a digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DigestNow {
    /// There is, down to its config.
    Present,
    /// There is not: no other node can pull it.
    Gone,
}

impl Registered {
    /// Whether anything at all is known.
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.tag.is_some() || self.digest.is_some()
    }

    /// Whether a pod that is started anew would run something else, or nothing.
    #[must_use]
    pub fn has_drifted(&self) -> bool {
        matches!(self.tag, Some(TagNow::Moved | TagNow::Gone)) || self.digest == Some(DigestNow::Gone)
    }
}
