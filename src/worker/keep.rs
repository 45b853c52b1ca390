//! The cache pod's flow: what is in a folder of its volume, for whoever is attached to it.

use std::io;
use std::path::Path;

use tokio::signal::unix::{SignalKind, signal};

use crate::cache::{IDLE, LocalStore, ServeError, serve};

/// Part of a volume that the entries may take: others may use it as well, and what is being written needs room.
const PART: (u64, u64) = (3, 4);

/// What is kept cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    /// No threads or no signals.
    #[error("cannot start")]
    Runtime(#[source] io::Error),
    /// The line is of no use.
    #[error(transparent)]
    Serve(#[from] ServeError),
}

/// The cache pod's whole life: standard input and output, signals.
pub fn in_pod(folder: &Path) -> Result<(), KeepError> {
    let store = match room(folder) {
        Some(bytes) => LocalStore::with_room(folder, bytes),
        None => LocalStore::at(folder),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(KeepError::Runtime)?;
    let done = runtime.block_on(async {
        let mut told_to_stop = signal(SignalKind::terminate()).map_err(KeepError::Runtime)?;
        tokio::select! {
            done = serve(tokio::io::stdin(), tokio::io::stdout(), &store, IDLE) => Ok(done?),
            // The first process of a container has no default action for signals. What is half written is swept later.
            _ = told_to_stop.recv() => Ok(()),
        }
    });
    // A read of standard input would keep the process from ending.
    runtime.shutdown_background();
    done
}

/// How much the entries may take on the volume of a folder, which may not be there yet.
fn room(folder: &Path) -> Option<u64> {
    let there = folder.ancestors().find(|folder| folder.is_dir())?;
    let volume = rustix::fs::statvfs(there).ok()?;
    let bytes = volume.f_blocks.checked_mul(volume.f_frsize)?;
    // Some network volumes do not say how large they are.
    (bytes > 0).then(|| bytes / PART.1 * PART.0)
}
