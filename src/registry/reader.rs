//! A layer for a thread: the download goes on in the runtime, and waits when the thread does not read.

use std::io;

use bytes::{Buf as _, Bytes};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::Registry;
use super::blob::Blob;
use super::credentials::Keyring;
use super::error::{Part, PullError};
use super::manifest::Descriptor;
use crate::image::Repository;

/// Chunks that may wait for the reader. They come as the network brings them, at most some 100 KiB each.
const CHUNKS_WAITING: usize = 4;

/// Reads a blob in a thread of its own.
///
/// The end of the file means that size and digest were right; otherwise the last read gives an [`io::Error`] that
/// carries the [`PullError`]. Dropping it ends the download.
///
/// Reading blocks, so it must not be done in a task of the runtime itself: use a thread or `spawn_blocking`.
pub struct BlobReader {
    chunks: mpsc::Receiver<Result<Option<Bytes>, PullError>>,
    current: Bytes,
    ended: bool,
    stopped: Box<dyn Fn() -> PullError + Send>,
    task: AbortHandle,
}

impl Registry {
    /// The content of a blob for a reading thread; the download runs in the given runtime.
    #[must_use]
    pub fn blob_reader(
        &self,
        runtime: &Handle,
        repository: &Repository,
        descriptor: &Descriptor,
        keyring: &Keyring,
    ) -> BlobReader {
        let blob = self.blob(repository, descriptor, keyring);
        let (repository, digest) = (repository.clone(), descriptor.digest.clone());
        let stopped = move || PullError::Stopped { repository: repository.clone(), part: Part::layer(&digest) };
        let (sender, chunks) = mpsc::channel(CHUNKS_WAITING);
        let task = runtime.spawn(feed(blob, sender)).abort_handle();
        BlobReader { chunks, current: Bytes::new(), ended: false, stopped: Box::new(stopped), task }
    }
}

/// Sends chunks until the end or an error, both of which are sent too, or until nobody reads any more.
async fn feed(mut blob: Blob, sender: mpsc::Sender<Result<Option<Bytes>, PullError>>) {
    loop {
        let chunk = blob.chunk().await;
        let last = !matches!(chunk, Ok(Some(_)));
        if sender.send(chunk).await.is_err() || last {
            return;
        }
    }
}

impl io::Read for BlobReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() && !self.ended && !buffer.is_empty() {
            match self.chunks.blocking_recv() {
                Some(Ok(Some(bytes))) => self.current = bytes,
                Some(Ok(None)) => self.ended = true,
                Some(Err(error)) => return Err(into_io(error)),
                // The channel closes without a last word only if the runtime went away, or after an error.
                None => return Err(into_io((self.stopped)())),
            }
        }
        let count = buffer.len().min(self.current.len());
        self.current.copy_to_slice(&mut buffer[..count]);
        Ok(count)
    }
}

impl Drop for BlobReader {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Wraps the error so that whoever reads through layers of readers can get it back by `downcast`.
fn into_io(error: PullError) -> io::Error {
    let kind = match &error {
        PullError::Timeout { .. } => io::ErrorKind::TimedOut,
        PullError::NotFound { .. } => io::ErrorKind::NotFound,
        PullError::DigestMismatch { .. } | PullError::SizeMismatch { .. } => io::ErrorKind::InvalidData,
        PullError::Broken { .. } | PullError::Stopped { .. } => io::ErrorKind::ConnectionAborted,
        _ => io::ErrorKind::Other,
    };
    io::Error::new(kind, error)
}

impl PullError {
    /// Finds the error in what a [`BlobReader`] gave, through any number of readers that passed it on.
    #[must_use]
    pub fn from_io(error: &io::Error) -> Option<&Self> {
        let mut inner = error.get_ref()?;
        loop {
            if let Some(found) = inner.downcast_ref::<Self>() {
                return Some(found);
            }
            inner = inner.downcast_ref::<io::Error>()?.get_ref()?;
        }
    }
}
