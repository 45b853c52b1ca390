//! What the coordinator asks of the pod that has the volume, and what that answers.
//!
//! One question at a time. Each answer bears the number of its question; the last one is [`Answer::Done`] or
//! [`Answer::Failed`].

use serde::{Deserialize, Serialize};

use crate::image::ImageKey;

/// Changes when one end would misunderstand the other. `hello` itself stays as it is.
pub(super) const PROTOCOL: u32 = 1;
/// Most keys of one question.
pub(super) const MAX_KEYS: usize = 200;
/// Most entries that a volume may be said to have.
pub(super) const MAX_LISTED: usize = 50_000;
/// Longest text that is taken from the pod, in characters.
const MAX_TEXT: usize = 500;

/// A question with its number.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Question {
    pub(super) id: u64,
    pub(super) ask: Ask,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "what")]
pub(super) enum Ask {
    /// Whether both speak the same. Always the first.
    Hello { protocol: u32 },
    /// What is there: an [`Answer::Entry`] without a body each.
    List,
    /// Entries: an [`Answer::Entry`] or [`Answer::Damaged`] for each that is there.
    Get { keys: Vec<ImageKey> },
    /// To keep the document in the body; the header is that of the stored form.
    Put { key: ImageKey, header: String },
    /// To note that these are used now.
    Touch { keys: Vec<ImageKey> },
    /// To remove one.
    Remove { key: ImageKey },
    /// To read everything: an [`Answer::Damage`] each, then the number of those that are whole.
    Verify,
    /// To remove remnants; gives their number.
    Sweep,
}

/// An answer with the number of its question.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Reply {
    pub(super) id: u64,
    pub(super) answer: Answer,
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "what")]
pub(super) enum Answer {
    /// It takes its time.
    Working,
    /// An entry: what it says of itself in the stored form; its packed document is the body.
    Entry { key: ImageKey, header: String },
    /// What is under a key is no entry; why.
    Damaged { key: ImageKey, why: String },
    /// A file that is no entry; why.
    Damage { name: String, why: String },
    /// It is done; a number if one was asked for.
    Done { count: u64 },
    /// It cannot be done.
    Failed { why: String },
}

/// A text from the other end, fit to be shown.
pub(super) fn cleaned(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_TEXT).collect()
}
