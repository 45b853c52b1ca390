//! A directory as a tree: a mounted image, or any root file system.
//!
//! The directory may have been made to lead astray. No link is followed, nothing outside is opened (`openat2` with
//! `RESOLVE_BENEATH`), nothing but regular files is opened, and folders are entered one at a time, however deep they lie.

use std::cell::Cell;
use std::ffi::CStr;
use std::fs::File;
use std::io::{self, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, RawDir, ResolveFlags, Stat, fstat, openat, openat2, readlinkat, statat,
};
use rustix::io::Errno;

use super::gap::{Gap, GapCause, Gaps};
use super::layer::Nothing;
use super::limits::Limits;
use super::path::EntryPath;
use super::{Content, Entry, Kind, ReadAt, ReadError, Step, Tree, Visit};

/// Bytes of directory entries fetched at once.
const LISTING: usize = 32 * 1024;

/// A directory that is walked as a tree.
pub struct Directory {
    path: PathBuf,
    root: OwnedFd,
    limits: Limits,
    content: Allowance,
    gaps: Gaps,
}

impl Directory {
    /// Opens the directory. `path` itself may be a link; nothing below it is followed.
    ///
    /// # Errors
    /// It is none, or may not be read.
    pub fn open(path: &Path, limits: &Limits) -> Result<Self, ReadError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(path, flags, Mode::empty())
            .map_err(|error| ReadError::Directory { path: path.to_owned(), source: error.into() })?;
        let content = Allowance { left: Cell::new(limits.content), was_short: Cell::new(false) };
        Ok(Self { path: path.to_owned(), root, limits: limits.clone(), content, gaps: Gaps::default() })
    }

    /// The path that it was opened by.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn open_folder(&self, path: &EntryPath) -> Result<OwnedFd, Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        if path.as_bytes().is_empty() {
            return openat(&self.root, c".", flags, Mode::empty());
        }
        let resolve = ResolveFlags::BENEATH
            | ResolveFlags::NO_SYMLINKS
            | ResolveFlags::NO_MAGICLINKS
            | ResolveFlags::NO_XDEV;
        match openat2(&self.root, path.as_bytes(), flags, Mode::empty(), resolve) {
            // An old kernel, or a seccomp filter that does not know the call: the same, step by step.
            Err(Errno::NOSYS | Errno::PERM) => {
                let mut folder = openat(&self.root, c".", flags, Mode::empty())?;
                for name in path.components() {
                    folder = openat(&folder, name, flags, Mode::empty())?;
                }
                Ok(folder)
            }
            result => result,
        }
    }

    /// Visits what stands in one folder and puts the folders in it on the list.
    fn visit_folder(
        &mut self,
        folder: &EntryPath,
        pending: &mut Pending,
        visit: &mut Visit<'_>,
    ) -> Result<Step, GapCause> {
        let fd = self.open_folder(folder).map_err(unreadable)?;
        let mut buffer = vec![MaybeUninit::uninit(); LISTING];
        let mut listing = RawDir::new(&fd, &mut buffer);
        while let Some(listed) = listing.next() {
            let listed = listed.map_err(unreadable)?;
            let name = listed.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            pending.entries += 1;
            if pending.entries > self.limits.entries {
                let why = format!("the directory has more than {} entries", self.limits.entries);
                self.gaps.push(EntryPath::root(), GapCause::Limit(why));
                return Ok(Step::Stop);
            }
            let Ok(path) = folder.join(name.to_bytes()) else {
                let why = "it holds a path that is longer than a file system can hold";
                self.gaps.push(folder.clone(), GapCause::Limit(why.to_owned()));
                continue;
            };
            let entry = match entry_of(fd.as_fd(), name, path.clone()) {
                Ok(entry) => entry,
                Err(error) => {
                    self.gaps.push(path, unreadable(error));
                    continue;
                }
            };
            let step = match entry {
                (entry, Some(stat)) => {
                    visit(&entry, &mut FileContent::new(fd.as_fd(), name, &stat, &self.content))
                }
                (entry, None) => {
                    if entry.kind == Kind::Directory && !pending.push(entry.path.clone(), &self.limits) {
                        let why = "too many folders wait to be entered; this one was not";
                        self.gaps.push(path, GapCause::Limit(why.to_owned()));
                    }
                    visit(&entry, &mut Nothing)
                }
            };
            if step == Step::Stop {
                return Ok(Step::Stop);
            }
        }
        Ok(Step::Continue)
    }
}

impl Tree for Directory {
    fn walk(&mut self, visit: &mut Visit<'_>) -> Result<(), ReadError> {
        let mut pending = Pending::default();
        pending.push(EntryPath::root(), &self.limits);
        while let Some(folder) = pending.pop() {
            match self.visit_folder(&folder, &mut pending, visit) {
                Ok(Step::Continue) => {}
                Ok(Step::Stop) => break,
                Err(cause) => self.gaps.push(folder, cause),
            }
        }
        if self.content.was_short.get() {
            let why = format!("its files have more than the {} bytes that are read", self.limits.content);
            self.gaps.push(EntryPath::root(), GapCause::Limit(why));
        }
        Ok(())
    }

    fn take_gaps(&mut self) -> Vec<Gap> {
        std::mem::take(&mut self.gaps).into_vec()
    }
}

/// Folders found and not yet entered. A list, not recursion: folders may lie deeper than any stack.
#[derive(Default)]
struct Pending {
    folders: Vec<EntryPath>,
    bytes: u64,
    entries: u64,
}

impl Pending {
    fn push(&mut self, folder: EntryPath, limits: &Limits) -> bool {
        let bytes = self.bytes.saturating_add(weight(&folder));
        if bytes > limits.pending_bytes {
            return false;
        }
        self.bytes = bytes;
        self.folders.push(folder);
        true
    }

    fn pop(&mut self) -> Option<EntryPath> {
        let folder = self.folders.pop()?;
        self.bytes -= weight(&folder);
        Some(folder)
    }
}

fn weight(path: &EntryPath) -> u64 {
    u64::try_from(path.as_bytes().len() + size_of::<EntryPath>()).unwrap_or(u64::MAX)
}

/// Looks at an entry without opening it; of a regular file also what it was when looked at.
fn entry_of(folder: BorrowedFd<'_>, name: &CStr, path: EntryPath) -> Result<(Entry, Option<Stat>), Errno> {
    let stat = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Kind::File,
        FileType::Directory => Kind::Directory,
        FileType::Symlink => {
            let target = readlinkat(folder, name, Vec::new())?;
            Kind::Symlink { target: target.into_bytes().into_boxed_slice() }
        }
        _ => Kind::Other,
    };
    let file = (kind == Kind::File).then_some(stat);
    let mode = stat.st_mode & 0o7777;
    Ok((Entry { path, kind, mode, uid: stat.st_uid, gid: stat.st_gid }, file))
}

fn unreadable(error: Errno) -> GapCause {
    io::Error::from(error).into()
}

/// Bytes of files that may still be read.
struct Allowance {
    left: Cell<u64>,
    was_short: Cell<bool>,
}

impl Allowance {
    fn take(&self, bytes: usize) -> io::Result<()> {
        let left = self.left.get().checked_sub(u64::try_from(bytes).unwrap_or(u64::MAX));
        self.was_short.set(self.was_short.get() || left.is_none());
        self.left.set(left.ok_or_else(|| io::Error::other("as much as may be was read of other files"))?);
        Ok(())
    }
}

/// A regular file, opened when it is first read.
struct FileContent<'a> {
    folder: BorrowedFd<'a>,
    name: &'a CStr,
    size: u64,
    inode: u64,
    position: u64,
    allowance: &'a Allowance,
    file: Option<OpenFile<'a>>,
}

struct OpenFile<'a> {
    file: File,
    size: u64,
    allowance: &'a Allowance,
}

impl<'a> FileContent<'a> {
    fn new(folder: BorrowedFd<'a>, name: &'a CStr, stat: &Stat, allowance: &'a Allowance) -> Self {
        let size = u64::try_from(stat.st_size).unwrap_or_default();
        Self { folder, name, size, inode: stat.st_ino, position: 0, allowance, file: None }
    }

    fn file(&mut self) -> io::Result<&OpenFile<'a>> {
        let file = match self.file.take() {
            Some(file) => file,
            None => self.open()?,
        };
        Ok(self.file.insert(file))
    }

    fn open(&self) -> io::Result<OpenFile<'a>> {
        // It may have become a fifo since it was looked at: never wait for a writer, then look again.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let fd = openat(self.folder, self.name, flags, Mode::empty())?;
        let stat = fstat(&fd)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile || stat.st_ino != self.inode {
            return Err(io::Error::other("it changed while it was read"));
        }
        Ok(OpenFile { file: File::from(fd), size: self.size, allowance: self.allowance })
    }
}

impl Read for FileContent<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let position = self.position;
        let count = self.file()?.read_at(buf, position)?;
        self.position = position.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
        Ok(count)
    }
}

impl Content for FileContent<'_> {
    fn size(&self) -> u64 {
        self.size
    }

    fn skip_to(&mut self, at: u64) -> io::Result<()> {
        if at < self.position {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a content is read forward only"));
        }
        self.position = at.min(self.size);
        Ok(())
    }

    fn random(&mut self) -> io::Result<Option<&dyn ReadAt>> {
        Ok(Some(self.file()?))
    }
}

impl ReadAt for OpenFile<'_> {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize> {
        // No further than the size that was looked at, whatever is appended meanwhile.
        let rest = usize::try_from(self.size.saturating_sub(at)).unwrap_or(usize::MAX);
        let count = buf.len().min(rest);
        self.allowance.take(count)?;
        loop {
            match self.file.read_at(&mut buf[..count], at) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }
}

#[cfg(test)]
mod tests;
