//! A database in one file, for places that no network reaches: a tar of `database.json` and the indexes.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read as _, Write};
use std::path::Path;

use super::state::digest_of_name;
use super::{
    Change, Database, DatabaseError, INDEXES, Installed, Origin, Progress, SUFFIX, State, Tell, read_error,
};
use crate::advisories::IndexFile;

/// What the first member of an export is called.
const STATE: &str = "database.json";
/// Largest state in bytes.
const MAX_STATE: u64 = 16 << 20;
/// Largest index in bytes. The largest real one has some 100 MiB.
const MAX_INDEX: u64 = 2 << 30;
/// Most members of an export.
const MAX_MEMBERS: usize = 20_000;

impl Database {
    /// Writes the indexes of these names, or all of them, to a tar; gives their number.
    pub fn export(&self, names: &[String], out: impl Write) -> Result<usize, DatabaseError> {
        let (mut state, _) = self.state()?;
        let unknown: Vec<String> =
            names.iter().filter(|name| !state.indexes.contains_key(*name)).cloned().collect();
        if !unknown.is_empty() {
            return Err(DatabaseError::Unknown(unknown));
        }
        state.indexes.retain(|name, _| names.is_empty() || names.contains(name));
        state.downloads.clear();
        state.seen.clear();
        let mut archive = tar::Builder::new(BufWriter::new(out));
        let written = |error| super::write_error(Path::new("the export"))(error);
        let text = serde_json::to_vec_pretty(&state).map_err(|error| written(io::Error::other(error)))?;
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(u64::try_from(text.len()).unwrap_or_default());
        archive.append_data(&mut header, STATE, text.as_slice()).map_err(written)?;
        for installed in state.indexes.values() {
            let path = self.path_of(&installed.digest);
            let file = File::open(&path).map_err(read_error(&path))?;
            let mut header = tar::Header::new_gnu();
            header.set_mode(0o644);
            header.set_size(installed.size);
            let name = format!("{INDEXES}/{}.{SUFFIX}", installed.digest);
            // A file that has become shorter would make a broken archive; the check is that of the import.
            archive.append_data(&mut header, name, file.take(installed.size)).map_err(written)?;
        }
        let mut out = archive.into_inner().map_err(written)?;
        out.flush().map_err(written)?;
        Ok(state.indexes.len())
    }
}

impl Change<'_> {
    /// Takes in an export, or a single index file; gives the names of what was installed.
    pub fn import(&mut self, path: &Path, tell: Tell<'_>) -> Result<Vec<String>, DatabaseError> {
        if IndexFile::open(path).is_ok() {
            return self.import_index(path, tell).map(|name| vec![name]);
        }
        let file = File::open(path).map_err(read_error(path))?;
        let wrong = |source| DatabaseError::Bundle { path: path.to_owned(), source };
        let no_member = || wrong(io::Error::other("it does not begin with database.json"));
        let mut archive = tar::Archive::new(BufReader::new(file));
        let mut members = archive.entries().map_err(wrong)?;
        let first = members.next().ok_or_else(no_member)?.map_err(wrong)?;
        if first.path().map_err(wrong)? != Path::new(STATE) {
            return Err(no_member());
        }
        let mut text = Vec::new();
        first.take(MAX_STATE).read_to_end(&mut text).map_err(wrong)?;
        let state: State = serde_json::from_slice(&text).map_err(|error| wrong(error.into()))?;
        let mut names = Vec::new();
        for member in members.take(MAX_MEMBERS) {
            let member = member.map_err(wrong)?;
            let Some(digest) = member.path().ok().and_then(|path| digest_of_name(&path)) else { continue };
            let Some((name, installed)) = state.indexes.iter().find(|(_, known)| known.digest == digest) else {
                continue;
            };
            let Installed { origin, as_of, .. } = installed.clone();
            let origin = Origin { name: origin, as_of };
            let mut member = member.take(MAX_INDEX);
            let copy = |out: &mut dyn Write| io::copy(&mut member, out).map(|_| ());
            let (installed, records) = self.install(name, &origin, Some(&digest), copy)?;
            tell(Progress::Installed(installed.clone(), records));
            names.push(installed);
        }
        match state.indexes.keys().find(|name| !names.contains(name)) {
            Some(name) => Err(wrong(io::Error::other(format!("the index of {name} is missing")))),
            None => Ok(names),
        }
    }

    fn import_index(&mut self, path: &Path, tell: Tell<'_>) -> Result<String, DatabaseError> {
        let file = IndexFile::open(path)
            .map_err(|source| DatabaseError::Index { name: path.display().to_string(), source })?;
        let as_of = file.header().newest.as_deref().and_then(|time| time.parse().ok());
        let origin = Origin { name: path.display().to_string(), as_of };
        let mut content = File::open(path).map_err(read_error(path))?.take(MAX_INDEX);
        let copy = |out: &mut dyn Write| io::copy(&mut content, out).map(|_| ());
        let (name, records) = self.install(&origin.name, &origin, None, copy)?;
        tell(Progress::Installed(name.clone(), records));
        Ok(name)
    }
}
