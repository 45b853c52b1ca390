//! Why records cannot be had.

use std::io;
use std::path::PathBuf;

use super::DamageError;
use crate::cluster::ApiError;

/// Records cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The folder, or a file in it, cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A record cannot be written.
    #[error("cannot keep a record of the scan in {}", path.display())]
    Write {
        /// The folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is too large for where it is to be kept.
    #[error("cannot keep a record of the scan in {place}")]
    Keep {
        /// A folder, or a namespace.
        place: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The API server refused.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// There is no record at all.
    #[error("there is no record of a scan in {0}")]
    None(String),
    /// There are some, but not of this id.
    #[error("there is no record of a scan {id:?} in {place}")]
    Unknown {
        /// What was asked for.
        id: String,
        /// Where.
        place: String,
    },
    /// Several ids begin so.
    #[error("several scans begin with {id:?}: {}", .scans.join(", "))]
    Ambiguous {
        /// What was asked for.
        id: String,
        /// The ids.
        scans: Vec<String>,
    },
    /// It is there, but cannot be used.
    #[error("the record {place} is damaged")]
    Damaged {
        /// The file, or the object.
        place: String,
        /// Why.
        #[source]
        source: DamageError,
    },
}
