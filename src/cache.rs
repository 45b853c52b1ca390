//! What was read of images, kept by digest: the next question needs no pod.
//!
//! ```text
//! Store (local folder | ConfigMaps | volume) <- Entry (About + CycloneDX document)
//! ```
//!
//! The unit is an image on a platform, as everywhere. Only what was read whole and exactly is kept. What a store gives is
//! untrusted: whoever can write to it decides what others see, so each entry is checked when it is read, and one that is damaged
//! is named, dropped and made anew.

pub mod archive;
pub mod budget;
mod config_map;
mod form;
mod layered;
mod local;
mod volume;

use std::error::Error;
use std::future::ready;

use futures::future::{BoxFuture, FutureExt as _};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::cluster::ApiError;
use crate::image::{Digest, ImageKey, Reference};

pub use config_map::{BUDGET, ConfigMapStore, STATE_NAMESPACE, state_namespace};
pub use layered::{Cache, Got};
pub use local::LocalStore;
pub use volume::{FrameError, IDLE, Line, Opening, ServeError, VolumeStore, Way, serve};

/// An entry is said to be used when that was last said so long ago: saying it costs a write.
const TOUCH_EVERY: SignedDuration = SignedDuration::from_hours(7 * 24);

/// What is known of an entry without its document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// The image that it is about, as the runtime names its digest, and the platform.
    pub key: ImageKey,
    /// Digest of the platform's manifest, where it is known: the key may name an index.
    pub manifest: Option<Digest>,
    /// Digest of the image's config, where it is known: some runtimes name an image by it.
    pub config: Option<Digest>,
    /// A reference that it was read by, for people.
    pub reference: Reference,
    /// How it was read, in words: `volume`, `stream`.
    pub reader: String,
    /// Name and version of the program that read it.
    pub generator: String,
    /// Names and versions of the analysers. An entry of other ones is made anew: they find other things.
    pub analysers: String,
    /// Number of packages.
    pub packages: usize,
    /// Digest of the document.
    pub document: Digest,
    /// Bytes of the document as it is stored.
    pub stored: u64,
    /// When it was read.
    pub created: Timestamp,
    /// When it was used last; brought up to date once in a week at most.
    pub used: Timestamp,
}

/// An entry with its document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What is known of it.
    pub about: About,
    /// CycloneDX 1.5 JSON, as the scanner wrote it.
    pub document: Vec<u8>,
}

/// What a store has under a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// An entry that is what it says.
    Whole(Box<Entry>),
    /// Something else; why, in words.
    Damaged(ImageKey, String),
}

/// What reading all of a store came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// Number of entries that are what they say.
    pub whole: usize,
    /// The others.
    pub damaged: Vec<Damage>,
}

/// Something in a store that is no entry, or not the one that it says it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Its path, or the name of its object.
    pub name: String,
    /// Why, in words.
    pub why: String,
}

/// A place that keeps entries.
pub trait Store: Send + Sync {
    /// What it is called to people: a path, `ConfigMaps in namespace clarity-system`.
    fn name(&self) -> String;

    /// All entries without their documents, in no particular order.
    fn list(&self) -> BoxFuture<'_, Result<Vec<About>, CacheError>>;

    /// The entries of some keys. What is not there is left out.
    fn get<'a>(&'a self, keys: &'a [ImageKey]) -> BoxFuture<'a, Result<Vec<Found>, CacheError>>;

    /// Keeps an entry; how large it is as it is stored is found out then. One of the same key, generator and analysers stays as
    /// it is.
    fn put<'a>(&'a self, entry: &'a Entry) -> BoxFuture<'a, Result<(), CacheError>>;

    /// Says that entries were used now.
    fn touch<'a>(&'a self, keys: &'a [ImageKey]) -> BoxFuture<'a, Result<(), CacheError>>;

    /// Removes an entry; one that is not there is no error.
    fn remove<'a>(&'a self, key: &'a ImageKey) -> BoxFuture<'a, Result<(), CacheError>>;

    /// Reads and checks everything.
    fn verify(&self) -> BoxFuture<'_, Result<Verified, CacheError>>;

    /// Removes what nobody can use: what writers that were ended have left, and what does not say what it is. Gives the
    /// number.
    fn sweep(&self) -> BoxFuture<'_, Result<usize, CacheError>>;

    /// Ends what the store has started to do its work; it is started anew if more is asked. Gives what a person should know.
    fn close(&self) -> BoxFuture<'_, Option<String>> {
        ready(None).boxed()
    }
}

impl About {
    /// Whether the same program with the same analysers made both.
    #[must_use]
    pub fn is_by_same_makers(&self, other: &Self) -> bool {
        self.generator == other.generator && self.analysers == other.analysers
    }
}

/// Whether it is time to say that something is used.
fn is_touch_due(used: Timestamp, now: Timestamp) -> bool {
    now.duration_since(used) >= TOUCH_EVERY
}

/// An error with its causes, in one line.
fn in_words(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        next = cause.source();
    }
    text
}

/// A store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// The API server refused.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The way to it cannot be opened.
    #[error("cannot open {place}")]
    Open {
        /// What holds it.
        place: String,
        /// Why.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// It cannot be read.
    #[error("cannot read {place}")]
    Read {
        /// A path or an object.
        place: String,
        /// Why.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// It cannot be written.
    #[error("cannot write {place}")]
    Write {
        /// A path or an object.
        place: String,
        /// Why.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
}

impl CacheError {
    /// Whether a right is missing, or no way leads to the store: then it refuses everything of the kind.
    #[must_use]
    pub fn is_lasting(&self) -> bool {
        match self {
            Self::Api(error) => error.is_missing_right(),
            Self::Open { .. } => true,
            Self::Read { .. } | Self::Write { .. } => false,
        }
    }

    /// All of it in one line.
    #[must_use]
    pub fn in_words(&self) -> String {
        in_words(self)
    }
}

#[cfg(test)]
mod tests;
