//! The files that say which findings do not count.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::errors::Explained;
use crate::report::ignore::vex::{self, VexError};
use crate::report::ignore::{self, IgnoreError, RuleSet};

/// A file that gives no rules.
#[derive(Debug, thiserror::Error)]
pub(super) enum RuleError {
    /// There is none, or it cannot be read.
    #[error("cannot read {}", .path.display())]
    Open {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// It holds something else.
    #[error("cannot read {} as an ignore file", .path.display())]
    Ignore {
        path: PathBuf,
        #[source]
        source: IgnoreError,
    },
    /// It holds something else.
    #[error("cannot read {} as a VEX document", .path.display())]
    Vex {
        path: PathBuf,
        #[source]
        source: VexError,
    },
}

/// Reads an ignore file.
pub(super) fn ignore_file(path: &Path) -> Result<RuleSet, Explained> {
    let text = read(path, ignore::MAX_BYTES)?;
    let wrong = |source| RuleError::Ignore { path: path.to_owned(), source };
    Ok(ignore::read(&text, &path.display().to_string()).map_err(wrong)?)
}

/// Reads a VEX document.
pub(super) fn vex_document(path: &Path) -> Result<RuleSet, Explained> {
    let text = read(path, vex::MAX_BYTES)?;
    if text.len() > vex::MAX_BYTES {
        let source = io::Error::new(io::ErrorKind::FileTooLarge, "it is larger than any real one");
        return Err(RuleError::Open { path: path.to_owned(), source }.into());
    }
    let wrong = |source| RuleError::Vex { path: path.to_owned(), source };
    Ok(vex::read(&text, &path.display().to_string()).map_err(wrong)?)
}

/// The text of a file, of which no more is read than it may have, and one byte to tell that there is more.
fn read(path: &Path, limit: usize) -> Result<String, RuleError> {
    let wrong = |source| RuleError::Open { path: path.to_owned(), source };
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(most).read_to_end(&mut bytes)).map_err(wrong)?;
    let no_text = |_| wrong(io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8"));
    String::from_utf8(bytes).map_err(no_text)
}
