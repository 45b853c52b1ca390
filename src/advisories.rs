//! What is known to be vulnerable, and how packages are held against it.
//!
//! ```text
//! OsvSource -> Advisory -> Compiler -> Partition, one for each ecosystem -> Index -> matching -> findings
//! ```
//!
//! A source gives records of the packages that are asked for, and no others: [`wanted`](matching::wanted) says
//! which ones the SBOMs need. They are compiled into one form, for a run in memory or once for all in files, which
//! answers by ecosystem and name. Everything but the source and the files is pure.

mod bytes;
mod caveats;
pub mod ecosystem;
pub mod index;
pub mod matching;
pub mod modules;
pub mod osv;
pub mod overlays;
pub mod ranges;
pub mod rating;
mod table;
pub mod versions;
mod wanted;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;

pub use caveats::caveats;
pub use ecosystem::Ecosystem;
pub use index::{Compiled, Header, Holds, Index, IndexFile, OverlayIndex, Partition, Text};
pub use osv::OsvSource;
pub use table::TableError;
pub use wanted::Wanted;

use index::Compiler;
use modules::Streams;
use ranges::Interval;
use rating::Rating;

/// Where advisories come from.
pub trait AdvisorySource {
    /// Its name for people: a path or a reference.
    fn name(&self) -> String;

    /// Visits every record about one of the wanted ecosystems, with its affected packages cut down to the wanted
    /// ones. A record may come more than once. Withdrawn ones do not come.
    fn records(&self, wanted: &Wanted, visit: &mut dyn FnMut(Advisory)) -> Result<ReadSummary, SourceError>;
}

/// What a source could say about its records as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadSummary {
    /// Number of records that were looked at, those of other ecosystems included.
    pub records: usize,
    /// What a person should know, for example records that could not be read.
    pub notes: Vec<String>,
}

/// One record that says what is affected by one or more vulnerabilities.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advisory {
    /// Its id in the source: `DSA-5514-1`.
    pub id: String,
    /// When it was last changed, RFC 3339.
    pub modified: Option<String>,
    /// The wanted ecosystems it is about.
    pub ecosystems: BTreeSet<Ecosystem>,
    /// The vulnerabilities it is about, by the names that people know them by. Empty only where `affected` is.
    pub vulnerabilities: Vec<String>,
    /// All its other ids: `aliases`, `upstream` and `related`, sorted. Empty where `affected` is.
    pub aliases: Vec<String>,
    /// What it says to people. Empty where `affected` is.
    pub text: Text,
    /// The wanted packages it affects. Without any it only counts as a sign that there are data.
    pub affected: Vec<Affected>,
}

/// One package that an advisory affects, in one ecosystem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Affected {
    /// The ecosystem.
    pub ecosystem: Ecosystem,
    /// The name that its packages are looked up by.
    pub package: String,
    /// The streams of modules that it speaks of; none for packages of no module.
    pub streams: Option<Streams>,
    /// The affected versions.
    pub versions: AffectedVersions<'static>,
    /// How bad, and who said so.
    pub rating: Option<Rating>,
}

/// Which versions of a package are affected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AffectedVersions<'a> {
    /// Those in one of the intervals.
    Ranges(Vec<Interval<'a>>),
    /// Those in one of the intervals, which are in the numbers of a project's releases and not of its Go module:
    /// a pseudo-version cannot be told to be in them or not.
    Releases(Vec<Interval<'a>>),
    /// Exactly these, in the order of their text: the record has no range that can be evaluated.
    Listed(Vec<Cow<'a, str>>),
}

/// Advisories could not be read.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A file or directory.
    #[error("cannot read {path}")]
    Read {
        /// Its path.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file that should be an archive.
    #[error("cannot read {path} as a zip archive")]
    Archive {
        /// Its path.
        path: PathBuf,
        /// Why.
        #[source]
        source: zip::result::ZipError,
    },
    /// An archive that is made to fill memory or time.
    #[error("{path} inflates to more than {ratio} times its size")]
    Inflated {
        /// Its path.
        path: PathBuf,
        /// The largest ratio that is accepted.
        ratio: u64,
    },
    /// More than any real source has.
    #[error("{path} holds more than {limit} {what}")]
    TooMany {
        /// The path of the whole source.
        path: PathBuf,
        /// What there is too much of.
        what: &'static str,
        /// How many are accepted.
        limit: usize,
    },
    /// What was read cannot be put into an index.
    #[error("the records cannot be compiled")]
    Compile(#[source] TableError),
    /// No advisory at all.
    #[error("no OSV records in {path}: expected <ecosystem>/all.zip, *.zip or *.json")]
    Empty {
        /// The path of the whole source.
        path: PathBuf,
    },
}

/// Compiles what is wanted of a source. Also gives what a person should know about it.
pub fn compile(source: &dyn AdvisorySource, wanted: &Wanted) -> Result<(Compiled, Vec<String>), SourceError> {
    let mut compiler = Compiler::default();
    let mut notes = source.records(wanted, &mut |advisory| compiler.add(advisory))?.notes;
    let (all, more) = compiler.finish();
    notes.extend(more);
    Ok((all, notes))
}

/// Reads what is wanted of a source into an index in memory.
pub fn load(source: &dyn AdvisorySource, wanted: &Wanted) -> Result<Index, SourceError> {
    if wanted.is_empty() {
        return Ok(Index::new(source.name(), [], Vec::new()));
    }
    let (compiled, notes) = compile(source, wanted)?;
    Index::in_memory(source.name(), &compiled, notes).map_err(SourceError::Compile)
}

#[cfg(test)]
mod tests;
