//! Records as files in a folder.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::form::{self, DamageError, MAX_RECORD};
use super::{Header, KEPT, Listed, RecordError, Which, choose, id_of_name};
use crate::report::Report;

/// How the name of a record begins that is being written.
const TEMPORARY: &str = ".record-";
/// What is left of a writer that ended in between is removed after this time.
const LEFT_OVER: Duration = Duration::from_hours(1);
/// Most files of a folder that are looked at.
const MAX_FILES: usize = 10_000;

/// A folder with records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folder {
    path: PathBuf,
    kept: usize,
}

impl Folder {
    /// The records in a folder, which need not be there yet; of these the last [`KEPT`] are kept.
    #[must_use]
    pub fn at(path: PathBuf) -> Self {
        Self { path, kept: KEPT }
    }

    /// Keeps another number of records, one at least.
    #[must_use]
    pub fn keeping(self, kept: usize) -> Self {
        Self { kept: kept.max(1), ..self }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All records, the newest first. Reads no more than their headers.
    ///
    /// # Errors
    /// The folder cannot be read. One that is not there has no records.
    pub fn list(&self) -> Result<Vec<Listed>, RecordError> {
        let names = self.names()?;
        let listed = names.into_iter().filter_map(|file| {
            let record = File::open(self.path.join(&file));
            let header = match record {
                Ok(mut record) => form::read_header(&mut record),
                // Another one has just removed it.
                Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
                Err(_) => Err(DamageError::NoRecord),
            };
            Some(match header {
                Ok(header) => Listed::Record(Box::new(header)),
                Err(why) => Listed::Damaged { file, why },
            })
        });
        Ok(listed.collect())
    }

    /// One record.
    ///
    /// # Errors
    /// There is none such, or it is damaged.
    pub fn get(&self, which: &Which) -> Result<(Header, Report), RecordError> {
        let names = self.names()?;
        let place = self.path.display().to_string();
        let with_ids = names.iter().filter_map(|name| Some((name, id_of_name(name)?)));
        let name = choose(which, &place, with_ids)?;
        let path = self.path.join(name);
        let wrong = |source| RecordError::Read { path: path.clone(), source };
        let mut bytes = Vec::new();
        File::open(&path).and_then(|file| file.take(MAX_RECORD + 1).read_to_end(&mut bytes)).map_err(wrong)?;
        form::decode(&bytes)
            .map_err(|source| RecordError::Damaged { place: path.display().to_string(), source })
    }

    /// The record of the last scan of the same scope that began before another one.
    ///
    /// # Errors
    /// The folder cannot be read, or the record is damaged.
    pub fn before(&self, header: &Header) -> Result<Option<(Header, Report)>, RecordError> {
        let listed = self.list()?.into_iter().filter_map(|listed| match listed {
            Listed::Record(record) => Some(record),
            Listed::Damaged { .. } => None,
        });
        let mut earlier = listed
            .filter(|record| record.file_name() < header.file_name() && record.is_of_the_scope_of(header));
        earlier.next().map(|record| self.get(&Which::Id(record.id.clone()))).transpose()
    }

    /// Keeps a report, and removes the oldest of those that are too many.
    ///
    /// # Errors
    /// It cannot be written. What was there before stays.
    pub fn put(&self, header: &Header, report: &Report) -> Result<(), RecordError> {
        let wrong = |source| RecordError::Write { path: self.path.clone(), source };
        let bytes = form::encode(header, report).map_err(wrong)?;
        // Reports tell how to attack what runs: nobody else is to read them.
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.path).map_err(wrong)?;
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(|error| wrong(io::Error::other(error.to_string())))?;
        let temporary = self.path.join(format!("{TEMPORARY}{:016x}", u64::from_ne_bytes(random)));
        let write = || {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
            file.write_all(&bytes)?;
            file.sync_all()?;
            fs::rename(&temporary, self.path.join(header.file_name()))
        };
        write().map_err(|error| {
            let _ = fs::remove_file(&temporary);
            wrong(error)
        })?;
        self.evict()
    }

    /// Removes what is too much. Another process may do the same at the same time.
    fn evict(&self) -> Result<(), RecordError> {
        for name in self.names()?.into_iter().skip(self.kept) {
            match fs::remove_file(self.path.join(name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(RecordError::Write { path: self.path.clone(), source: error });
                }
                _ => {}
            }
        }
        let Ok(entries) = fs::read_dir(&self.path) else { return Ok(()) };
        for entry in entries.flatten().take(MAX_FILES) {
            let is_temporary = entry.file_name().to_str().is_some_and(|name| name.starts_with(TEMPORARY));
            let modified = entry.metadata().and_then(|metadata| metadata.modified());
            let age = modified.ok().and_then(|modified| modified.elapsed().ok());
            if is_temporary && age.is_some_and(|age| age > LEFT_OVER) {
                let _ = fs::remove_file(entry.path());
            }
        }
        Ok(())
    }

    /// Names of all records, the newest first.
    fn names(&self) -> Result<Vec<String>, RecordError> {
        let wrong = |source| RecordError::Read { path: self.path.clone(), source };
        let entries = match fs::read_dir(&self.path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(wrong(error)),
        };
        let mut names = Vec::new();
        for entry in entries.take(MAX_FILES) {
            let name = entry.map_err(wrong)?.file_name();
            names.extend(name.to_str().filter(|name| id_of_name(name).is_some()).map(ToOwned::to_owned));
        }
        names.sort_unstable_by(|a, b| b.cmp(a));
        Ok(names)
    }
}
