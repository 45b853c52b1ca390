//! What the scanner pod says on its log, and how it is read back.
//!
//! A log is shared with everything else that prints, rotated, split at 16 KiB by the runtime, and cut when a node
//! goes away. So the result travels in frames: one a line, each with a checksum and a sequence number. Every
//! other line is a diagnostic of the container, never an error.
//!
//! ```text
//! begin                       the images to come
//!   start                     one image
//!   progress                  bytes read so far
//!   document, chunk, chunk …  a named, versioned document: sbom, config, explanation
//!   done | failed             the image's end, with the digest of its documents
//! end                         totals; without it the log is incomplete
//! ```
//!
//! What arrives is untrusted: sizes, counts and digests are checked while it is put together.

mod frame;
mod receive;
mod send;
mod task;

use serde::{Deserialize, Serialize};

pub use frame::{Frame, FrameError, Line, MAX_LINE, parse_line};
pub use receive::{Event, Receiver, Reception};
pub use send::{Document, SendError, Sender};
pub use task::{MAX_OTHERS, PullSecret, Task, TaskImage, Wanted};

use crate::image::registered::Registered;
use crate::image::{Digest, Platform, Reference};

/// Version of this protocol, part of every line's prefix.
pub const PROTOCOL: u32 = 2;

/// How the frames of every version begin.
pub const PREFIX_OF_ALL: &str = "@clarity/";

/// Most images that one pod may be given.
pub const MAX_IMAGES: usize = 64;

/// Most notes of a pod.
pub const MAX_NOTES: usize = 8;

/// Longest note, in characters.
const MAX_NOTE: usize = 300;

/// Most bytes of log that a pod with several images emits. The kubelet rotates at 10 MiB, and what was rotated
/// away cannot be read through the API.
pub const LOG_BUDGET: u64 = 4 << 20;

/// Most bytes of log that a pod with a single image emits.
pub const LOG_BUDGET_ALONE: u64 = 9 << 20;

/// What a frame says, apart from the chunks of documents.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Message {
    /// The first frame: how many images will follow, and the platform that is read where none was asked for.
    Begin {
        /// Number of images; they are numbered from 0.
        images: u32,
        /// Version of the scanner.
        generator: String,
        /// What a person should know of the pod: pull secrets that cannot be used. At most [`MAX_NOTES`].
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        notes: Vec<String>,
    },
    /// Reading of an image begins.
    Start {
        /// Number of the image.
        image: u32,
    },
    /// Bytes of layers read so far.
    Progress {
        /// Number of the image.
        image: u32,
        /// Compressed bytes read.
        read: u64,
        /// Compressed bytes of all layers.
        total: u64,
    },
    /// A document follows in chunks.
    Document(DocumentHeader),
    /// The image was read; all its documents were sent.
    Done {
        /// Number of the image.
        image: u32,
        /// How it was read.
        outcome: Box<Outcome>,
        /// Digest over the digests of its documents, in the order of sending.
        documents: Digest,
    },
    /// The image could not be read.
    Failed {
        /// Number of the image.
        image: u32,
        /// Why.
        failure: Failure,
    },
    /// The last frame.
    End {
        /// Images that ended in `done`.
        done: u32,
        /// Images that ended in `failed`.
        failed: u32,
    },
}

/// Announces one document of one image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DocumentHeader {
    /// Number of the image.
    pub image: u32,
    /// What it is.
    pub name: DocumentName,
    /// Version of its form.
    pub version: u32,
    /// Bytes when unpacked.
    pub size: u64,
    /// Bytes as sent: one zstd frame, cut in chunks.
    pub packed: u64,
    /// Digest of the unpacked bytes.
    pub digest: Digest,
}

/// The documents there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DocumentName {
    /// CycloneDX 1.5 JSON.
    Sbom,
    /// The image's OCI config, without the values of its environment.
    Config,
    /// How its registry was asked, and what it said.
    Explanation,
}

/// How an image was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// The reference that was read.
    pub reference: Reference,
    /// Digest of the platform's manifest; not known of a mount.
    pub manifest: Option<Digest>,
    /// Digest of its config; not known of a mount.
    pub config: Option<Digest>,
    /// The platform that was read.
    pub platform: Platform,
    /// Why it is only approximately what runs: the running digest could not be had, its tag was read.
    pub approximate: Option<String>,
    /// Why something is missing: a limit, a damaged file.
    pub partial: Option<String>,
    /// How many of the files and folders that are missing may not be opened by the scanner's user.
    pub closed: u64,
    /// Compressed bytes read from the registry.
    pub bytes: u64,
    /// Milliseconds it took.
    pub millis: u64,
    /// What registries hold of it now, by reference; empty if nothing is known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub registry: Vec<Registered>,
}

/// Why an image could not be read, and what may help.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What kind of failure it is: decides whether and how it is tried again.
    pub kind: FailureKind,
    /// For people: what failed, with its causes.
    pub reason: String,
    /// What registries hold of it now, where that is known all the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub registry: Vec<Registered>,
}

impl Failure {
    /// A failure that says nothing of registries.
    #[must_use]
    pub fn new(kind: FailureKind, reason: String) -> Self {
        Self { kind, reason, registry: Vec::new() }
    }
}

/// Kinds of failure that are treated differently.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    /// No credential, or a refused one: another namespace's may do.
    Unauthorized,
    /// The registry has neither the digest nor the tag.
    Gone,
    /// Not an image, or not for this platform: no retry helps.
    Unsupported,
    /// The registry could not be reached or did not answer in time.
    Unreachable,
    /// No known authority signed the registry's certificate.
    UnknownIssuer,
    /// The kubelet has mounted nothing where the image should be.
    NotMounted,
    /// The image's own content is damaged or beyond a limit.
    Damaged,
    /// A file does not fit the memory: alone, with this many bytes, it may.
    NeedsMemory(u64),
    /// Its documents do not fit what is left of this pod's log: alone they may.
    NeedsOwnLog,
    /// The scan's time was up.
    Timeout,
    /// Anything else.
    Other,
}

#[cfg(test)]
mod tests;
