//! A folder of this machine, one file an entry.
//!
//! ```text
//! FOLDER/HEX-linux-amd64.sbom     one line of JSON: version, About; then the document as zstd
//! FOLDER/.tmp-…                   what is being written
//! ```
//!
//! A file is written under another name, made durable, and takes its place at once and whole, so readers and writers need
//! no lock. When it was used last is its time of modification.

mod folder;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::available_parallelism;

use futures::future::{BoxFuture, FutureExt as _, try_join_all};
use jiff::Timestamp;

use super::budget::Limits;
use super::{About, CacheError, Entry, Found, Store, Verified};
use crate::image::ImageKey;
use folder::Folder;

/// Room for the SBOMs of every image that a person meets: some 10,000 of 400 packages.
const LIMITS: Limits = Limits { bytes: 1 << 30, entries: 20_000 };

/// Entries in a folder, which may not be there yet.
#[derive(Clone, Debug)]
pub struct LocalStore {
    folder: Arc<Folder>,
}

impl LocalStore {
    /// The entries of this folder.
    #[must_use]
    pub fn at(folder: impl Into<PathBuf>) -> Self {
        Self::with_room(folder, LIMITS.bytes)
    }

    /// The same where there is less room: so many bytes, and never more than anywhere else.
    #[must_use]
    pub fn with_room(folder: impl Into<PathBuf>, bytes: u64) -> Self {
        let limits = Limits { bytes: bytes.min(LIMITS.bytes), ..LIMITS };
        Self { folder: Arc::new(Folder::new(folder.into(), limits)) }
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// What is there under a key, read on this thread.
    pub fn look(&self, key: &ImageKey) -> Result<Option<Found>, CacheError> {
        self.folder.check()?;
        Ok(self.folder.get(key))
    }

    /// Works on the folder where waiting for a disk keeps nobody else waiting.
    fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Folder) -> Result<T, CacheError> + Send + 'static,
    ) -> BoxFuture<'static, Result<T, CacheError>> {
        let folder = Arc::clone(&self.folder);
        async move {
            let place = folder.path().display().to_string();
            match tokio::task::spawn_blocking(move || work(&folder)).await {
                Ok(result) => result,
                // It was cancelled with the runtime.
                Err(error) => Err(CacheError::Read { place, source: Box::new(error) }),
            }
        }
        .boxed()
    }
}

impl Store for LocalStore {
    fn name(&self) -> String {
        self.path().display().to_string()
    }

    fn list(&self) -> BoxFuture<'_, Result<Vec<About>, CacheError>> {
        self.run(Folder::list)
    }

    fn get<'a>(&'a self, keys: &'a [ImageKey]) -> BoxFuture<'a, Result<Vec<Found>, CacheError>> {
        let threads = available_parallelism().map_or(1, usize::from);
        let share = keys.len().div_ceil(threads).max(1);
        let shares = keys.chunks(share).map(|keys| {
            let keys = keys.to_vec();
            self.run(move |folder| {
                // A folder that nobody may open is one trouble, not one for each key.
                folder.check()?;
                Ok(keys.iter().filter_map(|key| folder.get(key)).collect())
            })
        });
        let shares: Vec<BoxFuture<'_, Result<Vec<Found>, CacheError>>> = shares.collect();
        async move { Ok(try_join_all(shares).await?.into_iter().flatten().collect()) }.boxed()
    }

    fn put<'a>(&'a self, entry: &'a Entry) -> BoxFuture<'a, Result<(), CacheError>> {
        let entry = entry.clone();
        self.run(move |folder| folder.put(&entry))
    }

    fn touch<'a>(&'a self, keys: &'a [ImageKey]) -> BoxFuture<'a, Result<(), CacheError>> {
        let keys = keys.to_vec();
        self.run(move |folder| keys.iter().try_for_each(|key| folder.touch(key, Timestamp::now())))
    }

    fn remove<'a>(&'a self, key: &'a ImageKey) -> BoxFuture<'a, Result<(), CacheError>> {
        let key = key.clone();
        self.run(move |folder| folder.remove(&key))
    }

    fn verify(&self) -> BoxFuture<'_, Result<Verified, CacheError>> {
        self.run(Folder::verify)
    }

    fn sweep(&self) -> BoxFuture<'_, Result<usize, CacheError>> {
        self.run(Folder::sweep)
    }
}

#[cfg(test)]
mod tests;
