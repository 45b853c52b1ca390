//! Reports of scans that are over: from a record, or from a file.

use std::path::{Path, PathBuf};

use clap::Args;

use super::errors::Explained;
use super::input::{self, InputError};
use super::ui;
use crate::records::{Folder, Header, Origin, RecordError, Which};
use crate::report::Report;
use crate::report::json::{self, MAX_BYTES, ReadError};

/// Where the records lie.
#[derive(Clone, Debug, Args)]
pub(super) struct RecordsArgs {
    /// Folder with the records of scans [default: kubectl-clarity/records in the user's cache]
    #[arg(long, value_name = "DIR", env = "CLARITY_RECORDS", hide_env_values = true)]
    records: Option<PathBuf>,
}

/// A report and, of a record, what else is known of its scan.
#[derive(Clone, Debug)]
pub(super) struct Loaded {
    pub(super) report: Report,
    pub(super) header: Option<Header>,
}

/// A report that cannot be had.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReportError {
    /// There is no such record.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The file cannot be read.
    #[error(transparent)]
    Input(#[from] InputError),
    /// It holds something else.
    #[error("cannot read {} as a report", .path.display())]
    Document {
        path: PathBuf,
        #[source]
        source: ReadError,
    },
    /// There is nothing that it could be held against.
    #[error("there is no record of an earlier scan {0:?}")]
    Before(String),
}

impl RecordsArgs {
    /// The folder that is meant.
    pub(super) fn folder(self) -> Result<Folder, Explained> {
        let cache = || dirs::cache_dir().map(|folder| folder.join("kubectl-clarity").join("records"));
        let folder = self.records.filter(|path| !path.as_os_str().is_empty()).or_else(cache);
        let unknown =
            || std::io::Error::other("neither HOME nor XDG_CACHE_HOME says where the user's cache is");
        folder.map(Folder::at).ok_or_else(|| {
            Explained::new("there is no folder for records of scans", &unknown())
                .hint("name one: --records DIR")
        })
    }
}

/// Keeps the report of a scan. That it cannot be kept is said, and changes nothing else.
pub(super) fn keep(report: &Report, origin: Origin, folder: &Folder) {
    let kept = Header::of(report, origin)
        .map_err(|error| error.to_string())
        .and_then(|header| folder.put(&header, report).map_err(|error| in_words(&error)));
    if let Err(why) = kept {
        ui::say(&format!("note: no record was kept of this scan: {why}"));
    }
}

/// An error with its cause.
fn in_words(error: &dyn std::error::Error) -> String {
    let cause = error.source().map(|cause| format!(": {cause}"));
    format!("{error}{}", cause.unwrap_or_default())
}

/// The report of a record (`last`, an id, or how one begins), or that in a file. What could be both is a record, if there is one.
pub(super) fn load(name: &str, folder: &Folder) -> Result<Loaded, ReportError> {
    let path = Path::new(name);
    match Which::parse(name).filter(|_| !input::is_stdin(path)) {
        Some(which) => match folder.get(&which) {
            Ok((header, report)) => Ok(Loaded { report, header: Some(header) }),
            Err(RecordError::Unknown { .. }) if path.exists() => read(path),
            Err(error) => Err(error.into()),
        },
        None => read(path),
    }
}

/// The report of the last scan of the same scope before another one.
pub(super) fn before(loaded: &Loaded, folder: &Folder) -> Result<Loaded, ReportError> {
    let scope = || ReportError::Before(loaded.report.scan.scope.clone());
    let header = loaded.header.as_ref().ok_or_else(scope)?;
    let (header, report) = folder.before(header)?.ok_or_else(scope)?;
    Ok(Loaded { report, header: Some(header) })
}

fn read(path: &Path) -> Result<Loaded, ReportError> {
    let bytes = input::read(path, MAX_BYTES)?;
    let wrong = |source| ReportError::Document { path: input::shown(path).to_owned(), source };
    Ok(Loaded { report: json::read(&bytes).map_err(wrong)?, header: None })
}
