//! A file on its way here: it lies beside its target as `NAME.part`, outlives an interruption, and takes the target's
//! place when it is whole.
//!
//! Nothing is believed of a part that was found: who goes on with one reads it back, and hashes it, first.

use std::fs::TryLockError;
use std::io::{self, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::fs::{self, File, OpenOptions};
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _};
use tokio::time::Instant;

/// How long to wait for another download of the same file. A download that was given up still ends its last write.
const LOCK_PATIENCE: Duration = Duration::from_secs(5);
/// How often a part may be put in place by somebody else while we wait for it.
const OPEN_ATTEMPTS: usize = 4;
/// Bytes that are read back at once.
const READ_SIZE: usize = 128 * 1024;

/// Why a download could not be kept.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The part cannot be made or opened.
    #[error("cannot open {}", path.display())]
    Open {
        /// The part.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// What had come before cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The part.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// The disk takes no more.
    #[error("cannot write {}", path.display())]
    Write {
        /// The part.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// The whole file cannot take its place.
    #[error("cannot put {} in its place", path.display())]
    Place {
        /// The target.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// Two downloads of one file would spoil each other.
    #[error("{} is being written by another process", path.display())]
    Locked {
        /// The part.
        path: PathBuf,
    },
}

/// What has come of a file. Locked against other downloads of it while this value lives.
#[derive(Debug)]
pub(crate) struct PartFile {
    target: PathBuf,
    path: PathBuf,
    file: File,
    length: u64,
}

impl PartFile {
    /// Opens the part of a target, or makes an empty one. The folder must be there.
    pub(crate) async fn open(target: &Path) -> Result<Self, FileError> {
        Self::open_within(LOCK_PATIENCE, target).await
    }

    async fn open_within(patience: Duration, target: &Path) -> Result<Self, FileError> {
        let path = beside(target, ".part");
        let unopened = |source| FileError::Open { path: path.clone(), source };
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        for _ in 0..OPEN_ATTEMPTS {
            let file = options.open(&path).await.map_err(unopened)?.into_std().await;
            lock(&file, &path, patience).await?;
            // Who held the lock may have put this very file in its place.
            if fs::try_exists(&path).await.map_err(unopened)? {
                let length = file.metadata().map_err(unopened)?.len();
                return Ok(Self { target: target.to_owned(), path, file: File::from_std(file), length });
            }
        }
        Err(FileError::Locked { path })
    }

    /// Bytes that have come.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// Reads everything from the beginning; the next bytes then go to the end.
    pub(crate) async fn read_back(&mut self, mut take: impl FnMut(&[u8])) -> Result<(), FileError> {
        let unread = |path: &Path, source| FileError::Read { path: path.to_owned(), source };
        self.file.seek(SeekFrom::Start(0)).await.map_err(|error| unread(&self.path, error))?;
        let mut buffer = vec![0; READ_SIZE];
        let mut length = 0;
        while length < self.length {
            let count = self.file.read(&mut buffer).await.map_err(|error| unread(&self.path, error))?;
            if count == 0 {
                break;
            }
            take(&buffer[..count]);
            length += count as u64;
        }
        self.length = length;
        Ok(())
    }

    /// Adds bytes to the end.
    pub(crate) async fn append(&mut self, bytes: &[u8]) -> Result<(), FileError> {
        self.file.write_all(bytes).await.map_err(|error| self.unwritten(error))?;
        self.length = self.length.saturating_add(bytes.len() as u64);
        Ok(())
    }

    /// Waits until everything that was added has reached the file: only then is it known that the disk took it.
    pub(crate) async fn flush(&mut self) -> Result<(), FileError> {
        self.file.flush().await.map_err(|error| self.unwritten(error))
    }

    /// Forgets what has come, which was found to be wrong or out of date.
    pub(crate) async fn clear(&mut self) -> Result<(), FileError> {
        self.flush().await?;
        self.file.set_len(0).await.map_err(|error| self.unwritten(error))?;
        self.file.seek(SeekFrom::Start(0)).await.map_err(|error| self.unwritten(error))?;
        self.length = 0;
        Ok(())
    }

    /// Makes the file durable and puts it in its place. What was there is replaced at once and whole.
    pub(crate) async fn place(mut self) -> Result<(), FileError> {
        self.flush().await?;
        self.file.sync_all().await.map_err(|error| self.unwritten(error))?;
        let placed = fs::rename(&self.path, &self.target).await;
        placed.map_err(|source| FileError::Place { path: self.target, source })
    }

    /// Removes a part of no use. That it cannot be removed would only hide the reason for it.
    pub(crate) async fn discard(self) {
        let _ = fs::remove_file(&self.path).await;
    }

    fn unwritten(&self, source: io::Error) -> FileError {
        FileError::Write { path: self.path.clone(), source }
    }
}

/// A name beside the target: its own and a suffix.
pub(crate) fn beside(target: &Path, suffix: &str) -> PathBuf {
    let mut name = target.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

async fn lock(file: &std::fs::File, path: &Path, patience: Duration) -> Result<(), FileError> {
    let deadline = Instant::now() + patience;
    loop {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            Err(TryLockError::WouldBlock) => return Err(FileError::Locked { path: path.to_owned() }),
            // Some file systems know no locks; what is downloaded is verified all the same.
            Ok(()) | Err(TryLockError::Error(_)) => return Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn bytes_of(part: &mut PartFile) -> Vec<u8> {
        let mut bytes = Vec::new();
        part.read_back(|piece| bytes.extend_from_slice(piece)).await.expect("read");
        bytes
    }

    #[tokio::test]
    async fn what_came_before_is_read_back_and_gone_on_with() {
        let folder = tempfile::tempdir().expect("a folder");
        let target = folder.path().join("all.zip");
        let mut part = PartFile::open(&target).await.expect("opened");
        part.append(b"one ").await.expect("written");
        part.flush().await.expect("written");
        drop(part);
        assert!(!target.exists());

        let mut part = PartFile::open(&target).await.expect("opened again");
        assert_eq!(part.length(), 4);
        assert_eq!(bytes_of(&mut part).await, b"one ");
        part.append(b"two").await.expect("written");
        part.place().await.expect("placed");
        assert_eq!(std::fs::read(&target).expect("there"), b"one two");
        assert!(!folder.path().join("all.zip.part").exists());
    }

    #[tokio::test]
    async fn a_cleared_part_begins_anew() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut part = PartFile::open(&folder.path().join("x")).await.expect("opened");
        part.append(b"a long and wrong one").await.expect("written");
        part.clear().await.expect("cleared");
        part.append(b"right").await.expect("written");
        assert_eq!(part.length(), 5);
        assert_eq!(bytes_of(&mut part).await, b"right");
    }

    #[tokio::test]
    async fn two_downloads_of_one_file_do_not_mix() {
        let folder = tempfile::tempdir().expect("a folder");
        let target = folder.path().join("x");
        let first = PartFile::open(&target).await.expect("opened");
        let error = PartFile::open_within(Duration::from_millis(30), &target).await.expect_err("held");
        assert!(matches!(error, FileError::Locked { .. }), "{error}");
        drop(first);
        PartFile::open(&target).await.expect("free again");
    }

    #[tokio::test]
    async fn a_download_that_waited_does_not_write_into_what_was_put_in_place() {
        let folder = tempfile::tempdir().expect("a folder");
        let target = folder.path().join("x");
        let mut first = PartFile::open(&target).await.expect("opened");
        first.append(b"whole").await.expect("written");
        let (second, placed) = tokio::join!(PartFile::open(&target), async {
            tokio::time::sleep(Duration::from_millis(30)).await;
            first.place().await
        });
        placed.expect("placed");
        let mut second = second.expect("a part of its own");
        assert_eq!(second.length(), 0);
        second.append(b"new").await.expect("written");
        second.flush().await.expect("written");
        assert_eq!(std::fs::read(&target).expect("there"), b"whole");
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_full_disk_is_named_with_the_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let target = folder.path().join("x");
        std::fs::write(&target, "old").expect("written");
        std::os::unix::fs::symlink("/dev/full", folder.path().join("x.part")).expect("linked");
        let mut part = PartFile::open(&target).await.expect("opened");
        let _ = part.append(b"more").await;
        let error = part.flush().await.expect_err("no room");
        assert_eq!(error.to_string(), format!("cannot write {}", folder.path().join("x.part").display()));
        let FileError::Write { source, .. } = error else { panic!("{error}") };
        assert_eq!(source.kind(), io::ErrorKind::StorageFull);
        assert_eq!(std::fs::read(&target).expect("there"), b"old");
    }
}
