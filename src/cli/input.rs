//! Files that a person names, and standard input.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// A file that cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum InputError {
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
}

/// What a file is called to people.
pub(super) fn shown(path: &Path) -> &Path {
    if is_stdin(path) { Path::new("standard input") } else { path }
}

/// Whether it is standard input that is meant.
pub(super) fn is_stdin(path: &Path) -> bool {
    path == Path::new("-")
}

/// The bytes of a file, of which no more are read than it may have, and one to tell that there are more.
pub(super) fn read(path: &Path, limit: usize) -> Result<Vec<u8>, InputError> {
    let wrong = |source| InputError::Open { path: shown(path).to_owned(), source };
    let input: Box<dyn Read> = if is_stdin(path) {
        Box::new(io::stdin().lock())
    } else {
        let file = File::open(path).map_err(wrong)?;
        if file.metadata().map_err(wrong)?.is_dir() {
            return Err(InputError::Directory(path.to_owned()));
        }
        Box::new(file)
    };
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    let mut bytes = Vec::new();
    input.take(most).read_to_end(&mut bytes).map_err(wrong)?;
    Ok(bytes)
}
