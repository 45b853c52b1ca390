//! Changing a database: new indexes beside the old ones, then one step from the old state to the new one.

use std::collections::BTreeSet;
use std::fs::{self, File, TryLockError};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use super::state::digest_of_name;
use super::{Database, DatabaseError, INDEXES, Installed, Progress, State, Tell, read_error, write_error};
use crate::advisories::IndexFile;

const LOCK: &str = "lock";
const PARTS: &str = "parts";
/// After this time an interrupted download is not gone on with.
const ABANDONED: Duration = Duration::from_hours(7 * 24);
/// How much of a file is summed up at once.
const CHUNK: usize = 64 << 10;

/// A change of a database that nobody sees before it is done. Only one is under way at a time.
pub struct Change<'a> {
    database: &'a Database,
    /// Of the other who was faster, when this one had to wait.
    state: State,
    /// Kept for the lock on it, which ends with the process at the latest.
    _lock: File,
}

/// Where indexes come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// In words: a reference, an address, a path.
    pub name: String,
    /// When its data were all that there were, if that is known.
    pub as_of: Option<Timestamp>,
}

/// A file that is removed unless it is put in its place.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Writes and sums up.
struct Summing<W> {
    out: W,
    sum: Sha256,
    size: u64,
}

impl<W: Write> Write for Summing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.out.write(bytes)?;
        self.sum.update(bytes.get(..count).unwrap_or_default());
        self.size += u64::try_from(count).unwrap_or_default();
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl Database {
    /// Begins a change; waits for that of another process.
    pub fn change(&self, tell: Tell<'_>) -> Result<Change<'_>, DatabaseError> {
        let indexes = self.folder.join(INDEXES);
        fs::create_dir_all(&indexes).map_err(write_error(&indexes))?;
        let path = self.folder.join(LOCK);
        let lock = File::options().create(true).append(true).open(&path).map_err(write_error(&path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                tell(Progress::Waiting);
                lock.lock().map_err(write_error(&path))?;
            }
            Err(TryLockError::Error(error)) => return Err(write_error(&path)(error)),
        }
        let (state, notes) = self.state()?;
        for note in notes {
            tell(Progress::Note(note));
        }
        sweep(&self.folder.join(PARTS));
        // Nobody else is at work: what looks like it was left by somebody who was ended.
        for entry in fs::read_dir(&indexes).map_err(read_error(&indexes))?.flatten() {
            if entry.path().extension().is_some_and(|extension| extension == "tmp") {
                let _ = fs::remove_file(entry.path());
            }
        }
        Ok(Change { database: self, state, _lock: lock })
    }

    /// Remembers which ecosystems are asked for. What cannot be written now is asked for again later.
    pub fn remember(&self, ecosystems: impl IntoIterator<Item = String>) {
        let new: BTreeSet<String> = ecosystems.into_iter().collect();
        if new.is_empty() {
            return;
        }
        if let Ok(mut change) = self.change(&|_| {}) {
            change.state.seen.extend(new);
            let _ = change.commit();
        }
    }
}

impl Change<'_> {
    /// The state as it will be.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The state as it will be, to be changed.
    pub fn state_mut(&mut self) -> &mut State {
        &mut self.state
    }

    /// The folder for downloads that may be interrupted.
    pub fn parts(&self) -> Result<PathBuf, DatabaseError> {
        let folder = self.database.folder.join(PARTS);
        fs::create_dir_all(&folder).map_err(write_error(&folder))?;
        Ok(folder)
    }

    /// Whether an index is there as it was written.
    #[must_use]
    pub fn is_whole(&self, name: &str) -> bool {
        let installed = self.state.indexes.get(name);
        installed.is_some_and(|installed| {
            let sum = sum(&self.database.path_of(&installed.digest));
            sum.is_ok_and(|sum| sum == installed.digest)
        })
    }

    /// Writes an index and checks it; gives its name and number of records. `expected` is the digest that it was announced with.
    pub fn install(
        &mut self,
        what: &str,
        origin: &Origin,
        expected: Option<&str>,
        write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<(String, usize), DatabaseError> {
        let folder = self.database.folder.join(INDEXES);
        let temporary = Temporary(folder.join(format!("{}.tmp", std::process::id())));
        let path = &temporary.0;
        let written = || {
            let file = BufWriter::new(File::create(path)?);
            let mut out = Summing { out: file, sum: Sha256::new(), size: 0 };
            write(&mut out)?;
            let Summing { out, sum, size } = out;
            out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
            Ok((hex(&sum.finalize()), size))
        };
        let (digest, size) = written().map_err(write_error(path))?;
        if expected.is_some_and(|expected| expected != digest) {
            return Err(DatabaseError::Digest { name: what.to_owned() });
        }
        let wrong = |source| DatabaseError::Index { name: what.to_owned(), source };
        let file = IndexFile::open(path).map_err(wrong)?;
        file.verify().map_err(wrong)?;
        let name = file.header().holds.to_string();
        let place = self.database.path_of(&digest);
        fs::rename(path, &place).map_err(write_error(&place))?;
        let Origin { name: origin, as_of } = origin.clone();
        let checked = Some(now());
        self.state.indexes.insert(name.clone(), Installed { digest, size, origin, as_of, checked });
        Ok((name, file.header().records))
    }

    /// Says that the origin of an index has nothing newer.
    pub fn confirm(&mut self, name: &str, origin: &Origin) {
        if let Some(installed) = self.state.indexes.get_mut(name) {
            installed.checked = Some(now());
            installed.as_of = installed.as_of.max(origin.as_of);
            installed.origin.clone_from(&origin.name);
        }
    }

    /// Makes the change seen, and removes what it displaced.
    pub fn commit(self) -> Result<(), DatabaseError> {
        let folder = self.database.folder.join(INDEXES);
        File::open(&folder).and_then(|folder| folder.sync_all()).map_err(write_error(&folder))?;
        self.database.write_state(&self.state)?;
        let used: BTreeSet<&str> = self.state.indexes.values().map(|index| index.digest.as_str()).collect();
        for entry in fs::read_dir(&folder).map_err(read_error(&folder))?.flatten() {
            if digest_of_name(&entry.path()).is_some_and(|digest| !used.contains(digest.as_str())) {
                let _ = fs::remove_file(entry.path());
            }
        }
        Ok(())
    }
}

/// Removes downloads that nobody has gone on with for long.
fn sweep(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let age =
            entry.metadata().and_then(|metadata| metadata.modified()).ok().and_then(|time| time.elapsed().ok());
        if age.is_some_and(|age| age > ABANDONED) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// The time without parts of a second.
fn now() -> Timestamp {
    let now = Timestamp::now();
    now.round(jiff::Unit::Second).unwrap_or(now)
}

/// SHA-256 of a file, in hex.
pub(super) fn sum(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let (mut sum, mut chunk) = (Sha256::new(), vec![0; CHUNK]);
    loop {
        match file.read(&mut chunk)? {
            0 => return Ok(hex(&sum.finalize())),
            count => sum.update(chunk.get(..count).unwrap_or_default()),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
