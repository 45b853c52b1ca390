//! `database.json`: which index is whose.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Database, DatabaseError, INDEXES, SUFFIX, read_error, write_error};
use crate::advisories::IndexFile;
use crate::mirror::Validators;

/// Changes when a reader must.
const VERSION: u32 = 1;
const FILE: &str = "database.json";
/// Largest state in bytes; that of all ecosystems has some 300 KiB.
const MAX_BYTES: u64 = 16 << 20;

/// Which index is whose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    version: u32,
    /// The indexes by what they are about: `Debian:12`.
    pub indexes: BTreeMap<String, Installed>,
    /// What is known about files of mirrors, by their address.
    #[serde(default)]
    pub downloads: BTreeMap<String, Download>,
    /// Ecosystems that bills of materials asked for.
    #[serde(default)]
    pub seen: BTreeSet<String>,
}

/// One index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Installed {
    /// SHA-256 of its file, in hex: also its name.
    pub digest: String,
    /// Its size in bytes.
    pub size: u64,
    /// Where it came from: a reference, an address, a path.
    pub origin: String,
    /// When its data were all that there were, if that is known.
    pub as_of: Option<Timestamp>,
    /// When its origin was asked last.
    pub checked: Option<Timestamp>,
}

/// A file of a mirror that has become some of the indexes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Download {
    /// By what the server knows its version again.
    pub validators: Validators,
    /// The indexes that came of it.
    pub indexes: BTreeSet<String>,
    /// Whether all of it was compiled.
    pub is_whole: bool,
}

impl Default for State {
    fn default() -> Self {
        Self { version: VERSION, indexes: BTreeMap::new(), downloads: BTreeMap::new(), seen: BTreeSet::new() }
    }
}

impl Database {
    /// Reads the state; one that cannot be read is made anew from what the indexes say about themselves. Also gives
    /// what a person should know about that.
    pub(super) fn state(&self) -> Result<(State, Vec<String>), DatabaseError> {
        let path = self.folder.join(FILE);
        let file = match fs::File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((State::default(), Vec::new())),
            Err(error) => return Err(read_error(&path)(error)),
        };
        let mut text = Vec::new();
        file.take(MAX_BYTES + 1).read_to_end(&mut text).map_err(read_error(&path))?;
        let is_whole = u64::try_from(text.len()).is_ok_and(|length| length <= MAX_BYTES);
        match serde_json::from_slice::<State>(&text) {
            Ok(state) if is_whole && state.version == VERSION && state.is_sound() => Ok((state, Vec::new())),
            _ => {
                let note =
                    format!("{} is damaged; it was made anew from the indexes beside it", path.display());
                Ok((self.recovered()?, vec![note]))
            }
        }
    }

    /// What the indexes say about themselves.
    fn recovered(&self) -> Result<State, DatabaseError> {
        let folder = self.folder.join(INDEXES);
        let mut state = State::default();
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(state),
            Err(error) => return Err(read_error(&folder)(error)),
        };
        for entry in entries {
            let path = entry.map_err(read_error(&folder))?.path();
            let Some(digest) = digest_of_name(&path) else { continue };
            let Ok(file) = IndexFile::open(&path) else { continue };
            let name = file.header().holds.to_string();
            let size = fs::metadata(&path).map_err(read_error(&path))?.len();
            let as_of = file.header().newest.as_deref().and_then(|time| time.parse().ok());
            let installed = Installed { digest, size, origin: "unknown".to_owned(), as_of, checked: None };
            let is_newer = state.indexes.get(&name).is_none_or(|known| known.as_of < installed.as_of);
            if is_newer {
                state.indexes.insert(name, installed);
            }
        }
        Ok(state)
    }

    /// Puts a new state in the place of the old one.
    pub(super) fn write_state(&self, state: &State) -> Result<(), DatabaseError> {
        let (path, temporary) = (self.folder.join(FILE), self.folder.join(format!(".{FILE}.tmp")));
        let write = || {
            let mut file = fs::File::create(&temporary)?;
            file.write_all(&serde_json::to_vec_pretty(state).map_err(io::Error::other)?)?;
            file.sync_all()?;
            fs::rename(&temporary, &path)?;
            fs::File::open(&self.folder)?.sync_all()
        };
        write().map_err(|error| {
            let _ = fs::remove_file(&temporary);
            write_error(&path)(error)
        })
    }
}

impl State {
    /// Whether every file that it names is one that can be in the folder.
    fn is_sound(&self) -> bool {
        self.indexes.values().all(|installed| is_digest(&installed.digest))
    }
}

fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// The digest that a file is named by.
pub(super) fn digest_of_name(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    let digest = name.strip_suffix(SUFFIX)?.strip_suffix('.')?;
    is_digest(digest).then(|| digest.to_owned())
}
