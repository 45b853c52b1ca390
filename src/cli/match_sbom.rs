//! `kubectl clarity match`.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::Exit;
use super::errors::Explained;
use super::result::ResultArgs;
use crate::advisories::{self, Index, OsvSource};
use crate::cluster;
use crate::documents::{self, Given};
use crate::image::Digest;
use crate::report::ScanInfo;
use crate::sbom::{self, MAX_BYTES, ReadError};

/// Flags of `match`.
#[derive(Debug, Args)]
pub(super) struct MatchArgs {
    /// Bills of materials as CycloneDX or SPDX in JSON; - is standard input
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Raw OSV records to match with: a directory or a zip
    #[arg(long, value_name = "DIR|ZIP")]
    advisories: Option<PathBuf>,
    #[command(flatten)]
    result: ResultArgs,
}

/// A file that gives no bill of materials.
#[derive(Debug, thiserror::Error)]
pub(super) enum FileError {
    /// There is none, or it cannot be read.
    #[error("cannot read {}", .path.display())]
    Open {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// It is a directory.
    #[error("cannot read {}: it is a directory", .0.display())]
    Directory(PathBuf),
    /// It holds something else.
    #[error("cannot read {} as a bill of materials", .path.display())]
    Document {
        path: PathBuf,
        #[source]
        source: ReadError,
    },
}

/// Reads the documents, matches them, and shows the report.
pub(super) fn run(args: MatchArgs) -> Result<Exit, Explained> {
    let MatchArgs { files, advisories, result } = args;
    let (started, clock) = (Timestamp::now(), Instant::now());
    let wrong_source = |error| Explained::new("cannot load the advisories", &error);
    let source = advisories.as_deref().map(OsvSource::open).transpose().map_err(wrong_source)?;
    let mut given = Vec::new();
    let mut digests = String::new();
    for path in &files {
        let bytes = read_file(path)?;
        let document = sbom::read(&bytes)
            .map_err(|source| FileError::Document { path: shown(path).to_owned(), source })?;
        digests.push_str(Digest::of(&bytes).hex());
        given.push(Given { file: shown(path).display().to_string(), document });
    }
    // Only now, so that a result may go where a document came from.
    let place = result.open()?;
    let index = match source {
        Some(source) => advisories::load(&source, &documents::wanted(&given)).map_err(wrong_source)?,
        None => Index::empty(),
    };
    let names: Vec<_> = files.iter().map(|path| path.to_string_lossy()).collect();
    let scan = ScanInfo {
        // The same documents have the same id.
        id: Digest::of(digests.as_bytes()).short().to_owned(),
        generator: format!("{} {}", cluster::NAME, crate::VERSION),
        started: started.round(jiff::Unit::Second).unwrap_or(started).to_string(),
        duration_ms: u64::try_from(clock.elapsed().as_millis()).unwrap_or(u64::MAX),
        scope: format!("match {}", names.join(" ")),
    };
    place.show(documents::report(given, &index, scan, started.to_zoned(TimeZone::UTC).date()))
}

/// What a file is called to people.
fn shown(path: &Path) -> &Path {
    if is_stdin(path) { Path::new("standard input") } else { path }
}

fn is_stdin(path: &Path) -> bool {
    path == Path::new("-")
}

/// The bytes of a file, of which no more are read than a document may have, and one to tell that there are more.
fn read_file(path: &Path) -> Result<Vec<u8>, FileError> {
    let wrong = |source| FileError::Open { path: shown(path).to_owned(), source };
    let input: Box<dyn Read> = if is_stdin(path) {
        Box::new(io::stdin().lock())
    } else {
        let file = File::open(path).map_err(wrong)?;
        if file.metadata().map_err(wrong)?.is_dir() {
            return Err(FileError::Directory(path.to_owned()));
        }
        Box::new(file)
    };
    let most = u64::try_from(MAX_BYTES).unwrap_or(u64::MAX).saturating_add(1);
    let mut bytes = Vec::new();
    input.take(most).read_to_end(&mut bytes).map_err(wrong)?;
    Ok(bytes)
}
