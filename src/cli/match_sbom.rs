//! `kubectl clarity match`.

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::Exit;
use super::access::AccessArgs;
use super::database::AdvisoriesArgs;
use super::errors::Explained;
use super::input::{self, InputError};
use super::network::TransportArgs;
use super::result::ResultArgs;
use super::transfer::Transfer;
use super::ui;
use crate::cluster;
use crate::documents::{self, Given};
use crate::image::Digest;
use crate::report::ScanInfo;
use crate::sbom::{self, Document, MAX_BYTES, ReadError};

/// Flags of `match`.
#[derive(Debug, Args)]
pub(super) struct MatchArgs {
    /// Bills of materials as CycloneDX or SPDX in JSON; - is standard input
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    #[command(flatten)]
    advisories: AdvisoriesArgs,
    #[command(flatten)]
    transport: TransportArgs,
    #[command(flatten)]
    result: ResultArgs,
}

/// A file that gives no bill of materials.
#[derive(Debug, thiserror::Error)]
pub(super) enum FileError {
    /// It cannot be read.
    #[error(transparent)]
    Input(#[from] InputError),
    /// It holds something else.
    #[error("cannot read {} as a bill of materials", .path.display())]
    Document {
        path: PathBuf,
        #[source]
        source: ReadError,
    },
}

/// Reads the documents, matches them, and shows the report.
pub(super) async fn run(args: MatchArgs, access: AccessArgs, verbosity: u8) -> Result<Exit, Explained> {
    let MatchArgs { files, advisories, transport, result } = args;
    let (started, clock) = (Timestamp::now(), Instant::now());
    let today = started.to_zoned(TimeZone::UTC).date();
    let stage = Stage::begin(verbosity);
    let advisories = advisories.complete(transport.complete(Some(&access), None).await?)?;
    let mut given = Vec::new();
    let mut digests = String::new();
    for path in &files {
        let (bytes, document) = read_document(path)?;
        digests.push_str(Digest::of(&bytes).hex());
        given.push(Given { file: input::shown(path).display().to_string(), document });
    }
    // Only now, so that a result may go where a document came from.
    let place = result.open()?;
    let wanted = documents::wanted(&given);
    let transfer = Transfer::new();
    let tell = |progress| transfer.tell(progress);
    let stage = stage.over("read documents");
    let index = advisories.index(&wanted, &tell).await?;
    let stage = stage.over("open advisories");
    let names: Vec<_> = files.iter().map(|path| path.to_string_lossy()).collect();
    let scan = ScanInfo {
        // The same documents have the same id.
        id: Digest::of(digests.as_bytes()).short().to_owned(),
        generator: format!("{} {}", cluster::NAME, crate::VERSION),
        started: started.round(jiff::Unit::Second).unwrap_or(started).to_string(),
        duration_ms: u64::try_from(clock.elapsed().as_millis()).unwrap_or(u64::MAX),
        scope: format!("match {}", names.join(" ")),
    };
    let (mut report, damaged) = documents::report(given.clone(), &index, place.texts(), scan.clone(), today);
    stage.over("match");
    if !damaged.is_empty()
        && let Some(index) = advisories.repaired(&wanted, &damaged, &tell).await
    {
        (report, _) = documents::report(given, &index, place.texts(), scan, today);
    }
    drop(transfer);
    place.show(report)
}

/// Says how long the stages take, to who wants to know.
struct Stage {
    verbosity: u8,
    began: Instant,
}

impl Stage {
    fn begin(verbosity: u8) -> Self {
        Self { verbosity, began: Instant::now() }
    }

    fn over(self, name: &str) -> Self {
        if self.verbosity > 0 {
            ui::say(&format!("{name}: {} us", self.began.elapsed().as_micros()));
        }
        Self::begin(self.verbosity)
    }
}

/// Reads a document, and gives its bytes too.
pub(super) fn read_document(path: &Path) -> Result<(Vec<u8>, Document), FileError> {
    let bytes = input::read(path, MAX_BYTES)?;
    let document = read_bytes(path, &bytes)?;
    Ok((bytes, document))
}

/// Reads the document in these bytes, which are those of a file of this name.
pub(super) fn read_bytes(path: &Path, bytes: &[u8]) -> Result<Document, FileError> {
    let wrong = |source| FileError::Document { path: input::shown(path).to_owned(), source };
    sbom::read(bytes).map_err(wrong)
}
