//! The files of a local store, one at a time.

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use jiff::Timestamp;

use super::super::budget::{Held, Limits, surplus};
use super::super::form::{self, FormError, MAX_HEADER, MAX_PACKED};
use super::super::{About, CacheError, Damage, Entry, Found, Verified, in_words, is_touch_due};
use crate::image::ImageKey;

/// How files are named after their entry.
const SUFFIX: &str = ".sbom";
/// How files that are being written are named.
const TEMPORARY: &str = ".tmp-";
/// After this time nobody is still writing.
const ABANDONED: Duration = Duration::from_hours(1);
/// After so many writes it is looked whether there is still room.
const TRIM_EVERY: u64 = 64;
/// Most files that are looked at.
const MAX_FILES: usize = 100_000;

/// A folder of entries.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    limits: Limits,
    writes: AtomicU64,
}

/// A file that has the name of an entry.
struct Named {
    name: String,
    path: PathBuf,
}

/// Why there is no entry in a file. One that the system does not give is as good as damaged: the others need not suffer.
#[derive(Debug, thiserror::Error)]
enum Unread {
    #[error("it cannot be read")]
    Io(#[from] io::Error),
    #[error(transparent)]
    Form(#[from] FormError),
}

impl Folder {
    pub(super) fn new(path: PathBuf, limits: Limits) -> Self {
        Self { path, limits, writes: AtomicU64::new(0) }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn path_of(&self, name: &str) -> PathBuf {
        self.path.join(format!("{name}{SUFFIX}"))
    }

    /// Whether it can be opened, if it is there.
    pub(super) fn check(&self) -> Result<(), CacheError> {
        match fs::read_dir(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(read_error(&self.path)(error)),
            _ => Ok(()),
        }
    }

    /// What all files say of themselves; those that say nothing are left out.
    pub(super) fn list(&self) -> Result<Vec<About>, CacheError> {
        let said = |Named { name, path }| Some(open(&path, &name).ok()??.0);
        Ok(self.files()?.into_iter().filter_map(said).collect())
    }

    /// The entry of a key, if there is one.
    pub(super) fn get(&self, key: &ImageKey) -> Option<Found> {
        // What has no name was never stored.
        let name = form::name(key).ok()?;
        match read(&self.path_of(&name), &name) {
            Ok(entry) => entry.map(|entry| Found::Whole(Box::new(entry))),
            Err(error) => Some(Found::Damaged(key.clone(), in_words(&error))),
        }
    }

    /// Writes an entry, unless one of the same makers is there.
    pub(super) fn put(&self, entry: &Entry) -> Result<(), CacheError> {
        let about = &entry.about;
        let unwritten = |error| CacheError::Write { place: self.path.display().to_string(), source: error };
        let name = form::name(&about.key).map_err(|error| unwritten(error.into()))?;
        let path = self.path_of(&name);
        if let Ok(Some((there, _))) = open(&path, &name)
            && there.is_by_same_makers(about)
        {
            return Ok(());
        }
        let packed = form::pack(entry).map_err(|error| unwritten(error.into()))?;
        fs::create_dir_all(&self.path).map_err(write_error(&self.path))?;
        let number = self.writes.fetch_add(1, Ordering::Relaxed);
        let temporary = self.path.join(temporary_name().map_err(write_error(&self.path))?);
        let write = || {
            let mut file = File::options().write(true).create_new(true).open(&temporary)?;
            file.write_all(packed.header.as_bytes())?;
            file.write_all(b"\n")?;
            file.write_all(&packed.document)?;
            file.set_modified(about.used.min(Timestamp::now()).into())?;
            file.sync_all()?;
            fs::rename(&temporary, &path)?;
            File::open(&self.path)?.sync_all()
        };
        let written = write();
        if written.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        written.map_err(write_error(&path))?;
        if number.is_multiple_of(TRIM_EVERY) { self.trim() } else { Ok(()) }
    }

    /// Says that an entry is used now, if that was not said lately.
    pub(super) fn touch(&self, key: &ImageKey, now: Timestamp) -> Result<(), CacheError> {
        let Ok(name) = form::name(key) else { return Ok(()) };
        let path = self.path_of(&name);
        let touch = || {
            let file = match File::options().append(true).open(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                opened => opened?,
            };
            let is_due = is_touch_due(used(&file.metadata()?), now);
            if is_due { file.set_modified(now.into()) } else { Ok(()) }
        };
        touch().map_err(write_error(&path))
    }

    pub(super) fn remove(&self, key: &ImageKey) -> Result<(), CacheError> {
        let Ok(name) = form::name(key) else { return Ok(()) };
        remove_file(&self.path_of(&name))
    }

    /// Reads and checks every file.
    pub(super) fn verify(&self) -> Result<Verified, CacheError> {
        let mut verified = Verified::default();
        for Named { name, path } in self.files()? {
            match read(&path, &name) {
                Ok(Some(_)) => verified.whole += 1,
                Ok(None) => {}
                Err(error) => {
                    let why = in_words(&error);
                    verified.damaged.push(Damage { name: path.display().to_string(), why });
                }
            }
        }
        Ok(verified)
    }

    /// Removes what writers that were ended have left, and what does not say what it is.
    pub(super) fn sweep(&self) -> Result<usize, CacheError> {
        let is_useless = |named: &Named| open(&named.path, &named.name).is_err();
        let useless: Vec<Named> = self.files()?.into_iter().filter(is_useless).collect();
        useless.iter().try_for_each(|named| remove_file(&named.path))?;
        Ok(useless.len() + self.remove_abandoned()?)
    }

    /// Removes what writers that were ended have left.
    fn remove_abandoned(&self) -> Result<usize, CacheError> {
        let temporary = self.entries(|name| name.starts_with(TEMPORARY).then(|| self.path.join(name)))?;
        let is_abandoned = |path: &PathBuf| {
            let modified = fs::metadata(path).and_then(|metadata| metadata.modified());
            modified.is_ok_and(|time| time.elapsed().is_ok_and(|age| age > ABANDONED))
        };
        let abandoned: Vec<PathBuf> = temporary.into_iter().filter(is_abandoned).collect();
        abandoned.iter().try_for_each(|path| remove_file(path))?;
        Ok(abandoned.len())
    }

    /// Makes room, if there is too much.
    fn trim(&self) -> Result<(), CacheError> {
        self.remove_abandoned()?;
        let mut held = Vec::new();
        for Named { path, .. } in self.files()? {
            // One that has gone meanwhile takes no room.
            let Ok(metadata) = fs::metadata(&path) else { continue };
            held.push(Held { what: path, bytes: metadata.len(), used: used(&metadata) });
        }
        surplus(&held, None, self.limits).into_iter().try_for_each(|held| remove_file(&held.what))
    }

    /// All files that have names of entries.
    fn files(&self) -> Result<Vec<Named>, CacheError> {
        self.entries(|file| {
            let name = file.strip_suffix(SUFFIX).filter(|name| !name.starts_with('.'))?;
            Some(Named { name: name.to_owned(), path: self.path.join(file) })
        })
    }

    /// What is made of the names of files.
    fn entries<T>(&self, take: impl Fn(&str) -> Option<T>) -> Result<Vec<T>, CacheError> {
        let entries = match fs::read_dir(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(read_error(&self.path))?,
        };
        let mut taken = Vec::new();
        for entry in entries {
            let entry = entry.map_err(read_error(&self.path))?;
            let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
            if let Some(what) = entry.file_name().to_str().filter(|_| is_file).and_then(&take) {
                taken.push(what);
            }
            if taken.len() >= MAX_FILES {
                break;
            }
        }
        Ok(taken)
    }
}

/// Opens a file of this name and reads what it says of itself; then the reader stands before the document.
fn open(path: &Path, name: &str) -> Result<Option<(About, BufReader<File>)>, Unread> {
    let metadata = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        metadata => metadata?,
    };
    if !metadata.is_file() {
        return Err(io::Error::other("it is no file").into());
    }
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    // The file that was opened may be a newer one.
    let metadata = file.metadata()?;
    let mut file = BufReader::with_capacity(4 << 10, file);
    let mut header = Vec::new();
    file.by_ref().take(MAX_HEADER as u64 + 1).read_until(b'\n', &mut header)?;
    let length = header.len() as u64;
    if header.pop_if(|last| *last == b'\n').is_none() && length > MAX_HEADER as u64 {
        return Err(FormError::LongHeader.into());
    }
    let about = form::read_header(&header, name)?;
    form::check_size(&about, metadata.len().saturating_sub(length))?;
    Ok(Some((About { used: used(&metadata).min(Timestamp::now()), ..about }, file)))
}

/// Reads and checks a file of this name.
fn read(path: &Path, name: &str) -> Result<Option<Entry>, Unread> {
    let Some((about, file)) = open(path, name)? else { return Ok(None) };
    let mut packed = Vec::new();
    file.take(MAX_PACKED as u64 + 1).read_to_end(&mut packed)?;
    let document = form::unpack(&about, &packed)?;
    Ok(Some(Entry { about, document }))
}

/// A name that nobody else uses: processes on other machines and in containers may have the same number.
fn temporary_name() -> io::Result<String> {
    let mut random = [0_u8; 8];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    Ok(format!("{TEMPORARY}{:016x}", u64::from_ne_bytes(random)))
}

/// When a file was used last.
fn used(metadata: &fs::Metadata) -> Timestamp {
    let modified = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
    Timestamp::try_from(modified).unwrap_or(Timestamp::UNIX_EPOCH)
}

fn remove_file(path: &Path) -> Result<(), CacheError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(write_error(path)(error)),
        _ => Ok(()),
    }
}

fn read_error(path: &Path) -> impl Fn(io::Error) -> CacheError {
    let place = path.display().to_string();
    move |source| CacheError::Read { place: place.clone(), source: Box::new(source) }
}

fn write_error(path: &Path) -> impl Fn(io::Error) -> CacheError {
    let place = path.display().to_string();
    move |source| CacheError::Write { place: place.clone(), source: Box::new(source) }
}
