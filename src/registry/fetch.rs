//! Blobs into files: gone on with after an interruption, verified, and put in place only when whole.

use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::Registry;
use super::blob::Blob;
use super::credentials::Keyring;
use super::error::PullError;
use super::manifest::Descriptor;
use crate::image::Repository;
use crate::part_file::{FileError, PartFile};

/// Why a blob did not get into its file.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The registry did not give it.
    #[error(transparent)]
    Pull(#[from] Box<PullError>),
    /// The file could not be written.
    #[error(transparent)]
    File(#[from] FileError),
}

impl Registry {
    /// Downloads a blob into a file, whose folder must be there.
    ///
    /// What came of it lies in `NAME.part` until size and digest are known to be right, and is gone on with by the next
    /// call; a file that was there before is replaced only then. `progress` is told how many bytes of the blob are there.
    /// Addresses that the descriptor names itself are not asked unless the settings say so.
    pub async fn fetch_blob(
        &self,
        repository: &Repository,
        descriptor: &Descriptor,
        keyring: &Keyring,
        into: &Path,
        progress: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<(), FetchError> {
        let mut part = PartFile::open(into).await?;
        if part.length() > descriptor.size {
            part.clear().await?;
        }
        loop {
            let begun_before = part.length() > 0;
            let blob = self.blob(repository, descriptor, keyring);
            match fill(&mut part, blob, progress).await {
                Ok(()) => return Ok(part.place().await?),
                Err(FetchError::Pull(error)) if matches!(*error, PullError::DigestMismatch { .. }) => {
                    part.clear().await?;
                    // The fault may lie in what was found here, or in a mirror: that is tried once without it.
                    if !self.distrust_mirrors(repository) && !begun_before {
                        part.discard().await;
                        return Err(error.into());
                    }
                }
                Err(error) => {
                    // The error is what counts; what cannot be flushed now is fetched again.
                    let _ = part.flush().await;
                    if part.length() == 0 {
                        part.discard().await;
                    }
                    return Err(error);
                }
            }
        }
    }
}

/// Brings a part to its end. Its bytes are right if this gives no error.
async fn fill(
    part: &mut PartFile,
    mut blob: Blob,
    progress: &(dyn Fn(u64) + Send + Sync),
) -> Result<(), FetchError> {
    if part.length() > 0 {
        let mut hash = Sha256::new();
        part.read_back(|bytes| hash.update(bytes)).await?;
        blob.continue_from(hash, part.length());
        progress(part.length());
    }
    while let Some(bytes) = blob.chunk().await.map_err(Box::new)? {
        part.append(&bytes).await?;
        progress(part.length());
    }
    Ok(())
}
