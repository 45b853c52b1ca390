//! OSV records in a zip archive, one at a time.

use std::fs::File;
use std::io::{BufReader, Read as _};
use std::path::Path;

use super::{FileKind, MAX_RECORD, Records, read_error};
use crate::advisories::SourceError;

/// How much larger than the archive its content may be. JSON deflates to a tenth or twentieth; deflate alone could
/// reach 1032, and entries that share their data any number.
const MAX_RATIO: u64 = 200;
/// What may be inflated of an archive however small it is.
const MIN_BUDGET: u64 = 16 << 20;

/// Reads every `*.json` of an archive.
pub(super) fn read(path: &Path, records: &mut Records<'_>) -> Result<(), SourceError> {
    let archive_error = |source| SourceError::Archive { path: path.to_owned(), source };
    let file = File::open(path).map_err(|source| read_error(path, source))?;
    let size = file.metadata().map_err(|source| read_error(path, source))?.len();
    let mut archive = zip::ZipArchive::new(BufReader::new(file)).map_err(archive_error)?;

    let mut budget = size.saturating_mul(MAX_RATIO).max(MIN_BUDGET);
    let mut text = Vec::new();
    for position in 0..archive.len() {
        let name = match archive.name_for_index(position) {
            Some(Ok(name)) => name.into_owned(),
            Some(Err(_)) | None => format!("entry {position}"),
        };
        if FileKind::of(Path::new(&name)) != Some(FileKind::Json) {
            continue;
        }
        text.clear();
        let outcome = archive
            .by_index(position)
            .map_err(std::io::Error::other)
            .and_then(|entry| entry.take(MAX_RECORD + 1).read_to_end(&mut text))
            .map(|_| ());
        let inflated = u64::try_from(text.len()).unwrap_or(u64::MAX);
        budget = budget
            .checked_sub(inflated)
            .ok_or_else(|| SourceError::Inflated { path: path.to_owned(), ratio: MAX_RATIO })?;
        records.record(&name, outcome, &text)?;
    }
    Ok(())
}
