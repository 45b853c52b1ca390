//! Reports that are kept: the last ones, so that what was found yesterday can be shown, and held against today.
//!
//! A record is the report as JSON in zstd, behind a skippable frame with its [`Header`]: a list reads only the headers, and
//! `zstd -d` gives the report to anyone. Its name sorts by time and holds the id of the scan. [`Folder`] keeps records as
//! files, [`SharedRecords`] in a cluster; what they find there is not to be trusted, and one that is damaged is named.

mod config_map;
mod error;
mod folder;
mod form;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use config_map::SharedRecords;
pub use error::RecordError;
pub use folder::Folder;
pub use form::{DamageError, decode, encode, read_header};

use crate::coverage::Coverage;
use crate::report::Report;
use crate::report::counts::Counts;

/// How many records are kept.
pub const KEPT: usize = 20;
/// Version of the form of a record; changes when a reader must.
const VERSION: u32 = 1;
/// How the name of a record ends.
const SUFFIX: &str = ".json.zst";
/// Longest id of a scan, in bytes: that of a label's value.
const MAX_ID: usize = 63;

/// What is known of a record without its report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    version: u32,
    /// The scan's id.
    pub id: String,
    /// When it began.
    pub started: Timestamp,
    /// What was scanned, in words of the command line.
    pub scope: String,
    /// Who asked for it, as the API server knows them.
    pub who: Option<String>,
    /// Address of the API server.
    pub server: Option<String>,
    /// The schedule that made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<String>,
    /// How many containers ended in each state.
    pub coverage: Coverage,
    /// Whether every container was read whole and held against advisories.
    pub complete: bool,
    /// Whether there were advisories to hold it against: without, no finding says nothing.
    pub matched: bool,
    /// Findings by severity.
    pub findings: Counts,
    /// Wall time in milliseconds.
    pub duration_ms: u64,
}

/// What a report does not tell of its scan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// Who asked for it.
    pub who: Option<String>,
    /// Address of the API server.
    pub server: Option<String>,
    /// The schedule that made it.
    pub schedule: Option<String>,
}

/// A report that cannot be kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// Its id could not be part of a name.
    #[error("{0:?} is no id of a scan")]
    Id(String),
    /// It does not tell when it began.
    #[error("{0:?} is no time")]
    Started(String),
}

impl Header {
    /// The header for a report.
    ///
    /// # Errors
    /// Its id or its time is none.
    pub fn of(report: &Report, origin: Origin) -> Result<Self, HeaderError> {
        let scan = &report.scan;
        let started = scan.started.parse().map_err(|_| HeaderError::Started(cut(&scan.started)))?;
        if !is_id(&scan.id) {
            return Err(HeaderError::Id(cut(&scan.id)));
        }
        let Origin { who, server, schedule } = origin;
        Ok(Self {
            version: VERSION,
            id: scan.id.clone(),
            started,
            scope: scan.scope.clone(),
            who,
            server,
            schedule,
            coverage: report.coverage(),
            complete: report.is_complete(),
            matched: report.advisories.source.is_some(),
            findings: report.counts(),
            duration_ms: scan.duration_ms,
        })
    }

    /// The name of its record: `20260102T030405Z-7f3a.json.zst`.
    #[must_use]
    pub fn file_name(&self) -> String {
        format!("{}-{}{SUFFIX}", self.started.strftime("%Y%m%dT%H%M%SZ"), self.id)
    }

    /// Whether another record is about the same: the same words about the same cluster.
    #[must_use]
    pub fn is_of_the_scope_of(&self, other: &Self) -> bool {
        self.scope == other.scope && self.server == other.server
    }
}

/// Which record is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// The newest.
    Last,
    /// The one of this id, or whose id begins so if there is only one.
    Id(String),
}

impl Which {
    /// Reads `last` or (the beginning of) an id; none if it can be neither.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "last" => Some(Self::Last),
            id => is_id(id).then(|| Self::Id(id.to_owned())),
        }
    }
}

/// What is named as a record is.
#[derive(Debug)]
pub enum Listed {
    /// A record.
    Record(Box<Header>),
    /// Something else.
    Damaged {
        /// Name of the file, or of the object.
        file: String,
        /// Why.
        why: DamageError,
    },
}

/// The one of an id, or of an id that begins so, or the first one; they come with their ids, the newest first.
fn choose<'a, T>(
    which: &Which,
    place: &str,
    records: impl Iterator<Item = (T, &'a str)>,
) -> Result<T, RecordError> {
    let mut records: Vec<_> = records.collect();
    let position = match which {
        Which::Last if records.is_empty() => return Err(RecordError::None(place.to_owned())),
        Which::Last => 0,
        Which::Id(id) => match records.iter().position(|(_, own)| own == id) {
            Some(position) => position,
            None => begins(id, place, &records)?,
        },
    };
    Ok(records.swap_remove(position).0)
}

/// The place of the only one whose id begins so.
fn begins<T>(id: &str, place: &str, records: &[(T, &str)]) -> Result<usize, RecordError> {
    let alike = records.iter().enumerate().filter(|(_, (_, own))| own.starts_with(id));
    match alike.map(|(position, (_, own))| (position, *own)).collect::<Vec<_>>().as_slice() {
        [(position, _)] => Ok(*position),
        [] => Err(RecordError::Unknown { id: id.to_owned(), place: place.to_owned() }),
        several => {
            let scans = several.iter().map(|(_, id)| (*id).to_owned()).collect();
            Err(RecordError::Ambiguous { id: id.to_owned(), scans })
        }
    }
}

/// The id in the name of a record, if it is the name of one.
fn id_of_name(name: &str) -> Option<&str> {
    let (time, id) = name.strip_suffix(SUFFIX)?.split_once('-')?;
    let is_time = time.len() == "20260102T030405Z".len() && time.bytes().all(|b| b.is_ascii_alphanumeric());
    (is_time && is_id(id)).then_some(id)
}

/// Whether a text may be part of a file's name, and of a label's value.
fn is_id(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=MAX_ID).contains(&text.len()) && text.bytes().all(is_plain) && !text.starts_with('-')
}

fn cut(text: &str) -> String {
    text.chars().take(MAX_ID).collect()
}

#[cfg(test)]
mod tests;
