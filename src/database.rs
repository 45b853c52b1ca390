//! Advisories on this machine: one compiled index for each ecosystem and release, in a folder.
//!
//! ```text
//! FOLDER/database.json         which index is whose, where it is from, and as of when
//! FOLDER/index/SHA256.index    the indexes, named by their content
//! FOLDER/parts/                downloads that were interrupted
//! FOLDER/lock                  held by the one who changes something
//! ```
//!
//! Whoever changes something writes and checks the new indexes first, beside the old ones, and then puts a new
//! `database.json` in the place of the old one: before that moment all is old, after it all is new, and a full disk or an
//! end in between leaves the old data. Readers need no lock. The folder can be copied as it is.

mod artifact;
mod bundle;
mod install;
mod load;
mod mirror;
mod overlays;
mod records;
mod state;
mod supply;
mod update;

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use crate::advisories::overlays::OverlayError;
use crate::advisories::{Ecosystem, Header, IndexFile, SourceError, TableError};
use crate::mirror::MirrorError;
use crate::registry::{FetchError, LoginError, PullError, PushError, SettingsError};

pub use artifact::Way;
pub use install::{Change, Origin};
pub use load::Opened;
pub use overlays::OverlaySource;
pub use state::{Installed, State};
pub use supply::{Advisories, STALE, Supply, days};
pub use update::{Outcome, Source, Update};

/// Name of the folder with the indexes.
const INDEXES: &str = "index";
/// How indexes are named after their digest.
const SUFFIX: &str = "index";

/// A folder with indexes, which may not be there yet.
#[derive(Clone, Debug)]
pub struct Database {
    folder: PathBuf,
}

/// What is going on, for whoever waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Somebody else changes the same database; it goes on when they are done.
    Waiting,
    /// Something is being fetched; sizes in bytes.
    Fetching {
        /// Where from.
        from: String,
        /// How much there is in all, if that is known.
        size: Option<u64>,
        /// How many things.
        count: usize,
    },
    /// Something is being sent; its size in bytes.
    Pushing {
        /// Where to.
        to: String,
        /// How much there is in all.
        size: u64,
        /// How many things.
        count: usize,
    },
    /// So many bytes of it are there.
    Fetched(u64),
    /// Records are being read.
    Reading(String),
    /// An index is in its place, with so many records.
    Installed(String, usize),
    /// There is nothing newer.
    Unchanged(String),
    /// What a person should know.
    Note(String),
}

/// Takes what is going on.
pub type Tell<'a> = &'a (dyn Fn(Progress) + Send + Sync);

/// One index of the database, for people.
#[derive(Clone, Debug)]
pub struct Status {
    /// What it is about.
    pub name: String,
    /// Where it came from, and when.
    pub installed: Installed,
    /// What it says about itself, or why it cannot be used.
    pub header: Result<Header, String>,
}

/// The database could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// A file or folder of it cannot be read.
    #[error("cannot read {}", .path.display())]
    Read {
        /// Its path.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file or folder of it cannot be written. What was there before is as it was.
    #[error("cannot write {}; the data that were there before are unchanged", .path.display())]
    Write {
        /// Its path.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// What should become part of it is no index.
    #[error("{name} is no index of advisories")]
    Index {
        /// Its path or name.
        name: String,
        /// Why.
        #[source]
        source: TableError,
    },
    /// A document that should become an overlay cannot be read.
    #[error("cannot compile {name}")]
    Overlay {
        /// Its path or address.
        name: String,
        /// Why.
        #[source]
        source: OverlayError,
    },
    /// What should become part of it is not what its name says.
    #[error("{name} is not what was announced")]
    Digest {
        /// Its path or name.
        name: String,
    },
    /// Records that were to be compiled could not be read.
    #[error(transparent)]
    Records(#[from] SourceError),
    /// The registry could not be asked.
    #[error(transparent)]
    Registry(#[from] Box<PullError>),
    /// The person's logins cannot be read.
    #[error(transparent)]
    Login(#[from] LoginError),
    /// No transport can be made of the settings.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// A layer could not be fetched.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The artifact could not be sent.
    #[error(transparent)]
    Push(#[from] PushError),
    /// The mirror did not give a file.
    #[error(transparent)]
    Mirror(#[from] MirrorError),
    /// A file that should hold indexes holds none.
    #[error("{} is no export of a database", .path.display())]
    Bundle {
        /// Its path.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The data are older than they may be.
    #[error("the advisories are {age} old, which is more than is allowed")]
    TooOld {
        /// Their age in words.
        age: String,
    },
    /// What was asked for is not there.
    #[error("there are no advisories for {}", .0.join(", "))]
    Unknown(Vec<String>),
}

impl Database {
    /// The database in a folder. Reads nothing yet.
    #[must_use]
    pub fn at(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// Where it lies.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The names of all indexes with what is known of each.
    pub fn status(&self) -> Result<(Vec<Status>, Vec<String>), DatabaseError> {
        let (state, notes) = self.state()?;
        let all = state.indexes.into_iter().map(|(name, installed)| {
            let file = IndexFile::open(&self.path_of(&installed.digest));
            let header = file.map(|file| file.header().clone()).map_err(|e| in_words(&e));
            Status { name, installed, header }
        });
        Ok((all.collect(), notes))
    }

    /// The ecosystems that there are indexes of.
    pub fn ecosystems(&self) -> Result<BTreeSet<Ecosystem>, DatabaseError> {
        let (state, _) = self.state()?;
        // The names of overlays read like those of ecosystems.
        let named = state.indexes.keys().filter_map(|name| name.parse().ok());
        Ok(named.filter(Ecosystem::can_be_matched).collect())
    }

    /// The ecosystems that bills of materials asked for so far.
    pub fn seen(&self) -> Result<BTreeSet<Ecosystem>, DatabaseError> {
        let (state, _) = self.state()?;
        Ok(state.seen.iter().filter_map(|name| name.parse().ok()).filter(Ecosystem::can_be_matched).collect())
    }

    fn path_of(&self, digest: &str) -> PathBuf {
        self.folder.join(INDEXES).join(format!("{digest}.{SUFFIX}"))
    }
}

/// An error with its causes, in one line.
fn in_words(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

fn read_error(path: &Path) -> impl FnOnce(io::Error) -> DatabaseError {
    let path = path.to_owned();
    |source| DatabaseError::Read { path, source }
}

fn write_error(path: &Path) -> impl FnOnce(io::Error) -> DatabaseError {
    let path = path.to_owned();
    |source| DatabaseError::Write { path, source }
}

#[cfg(test)]
mod tests;
