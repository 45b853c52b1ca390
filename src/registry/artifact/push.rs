//! Sending an artifact: the files that the registry lacks, several at once and none of them whole in memory, then the
//! manifest.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures::{Stream, TryFutureExt as _, TryStreamExt as _};
use oci_client::manifest::OCI_IMAGE_MEDIA_TYPE;
use tokio::fs::File;
use tokio::io::AsyncReadExt as _;
use tokio::sync::watch;
use tokio_util::io::ReaderStream;

use super::super::Registry;
use super::super::credentials::Keyring;
use super::super::error::PullError;
use super::super::pull::name_of;
use super::super::push::{PushError, Writer, check_digest};
use super::super::transport::Payload;
use super::super::ways::Wanted;
use super::manifest::EMPTY;
use super::{Artifact, ArtifactLayer, ArtifactManifest};
use crate::image::{Digest, Reference};

/// Uploads that go on at once.
const UPLOADS: usize = 4;
/// Bytes of a file that are read at once.
const READ_SIZE: usize = 128 * 1024;

/// Which side of an upload failed.
enum Fault {
    Sending(PullError),
    Reading(PathBuf, io::Error),
}

/// Bytes of all files that are known to lie in the registry, or are on their way. A file that is begun again counts
/// only from where it had been.
struct Tally(watch::Sender<u64>);

/// One file on its way.
struct Upload {
    tally: Arc<Tally>,
    /// The furthest that any attempt came.
    furthest: AtomicU64,
    /// Why the file could not be read. The error of the request says only that its body broke off.
    unreadable: Mutex<Option<io::Error>>,
}

impl Registry {
    /// Sends an artifact: files that the registry lacks are read from disk and uploaded, up to four at once. Gives the
    /// digest under which it can be fetched. `progress` is told how many bytes of all files are there, each content
    /// counted once.
    pub async fn push_artifact(
        &self,
        artifact: &Artifact,
        target: &Reference,
        keyring: &Keyring,
        progress: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<Digest, PushError> {
        let manifest = artifact.manifest().map_err(PushError::Artifact)?;
        check_digest(target, &manifest.digest)?;
        let (sender, mut counted) = watch::channel(0);
        let tally = Arc::new(Tally(sender));
        let sending = self.send_artifact(artifact, &manifest, target, keyring, &tally);
        tokio::pin!(sending);
        // The bodies of requests must own what they use: they count, and the caller is told from here.
        loop {
            tokio::select! {
                done = &mut sending => {
                    done?;
                    progress(*counted.borrow_and_update());
                    return Ok(manifest.digest.clone());
                }
                Ok(()) = counted.changed() => progress(*counted.borrow_and_update()),
            }
        }
    }

    async fn send_artifact(
        &self,
        artifact: &Artifact,
        manifest: &ArtifactManifest,
        target: &Reference,
        keyring: &Keyring,
        tally: &Arc<Tally>,
    ) -> Result<(), PushError> {
        let failed = |source| PushError::Send { target: Box::new(target.clone()), source: Box::new(source) };
        let mut known = HashSet::new();
        let layers: Vec<&ArtifactLayer> =
            artifact.layers.iter().filter(|layer| known.insert(&layer.digest)).collect();
        for layer in &layers {
            check_size(layer).await.map_err(|source| unread(&layer.content, source))?;
        }
        let uploads: Vec<(&ArtifactLayer, Arc<Upload>)> =
            layers.into_iter().map(|layer| (layer, Arc::new(Upload::new(tally)))).collect();
        let accesses = self.accesses(&target.repository, keyring, Wanted::Upload).map_err(failed)?;
        let mut candidates = accesses.candidates(self);
        while let Some(access) = candidates.next() {
            let writer = Writer { registry: self, access: &access };
            let sent = match writer.artifact(&uploads, manifest, &name_of(target)).await {
                Err(Fault::Reading(path, source)) => return Err(PushError::Content { path, source }),
                Err(Fault::Sending(error)) => Err(error),
                Ok(()) => Ok(()),
            };
            if let Some(done) = candidates.settle(&access, sent) {
                return done.map_err(failed);
            }
        }
        Err(failed(candidates.into_error()))
    }
}

impl Writer<'_> {
    async fn artifact(
        &self,
        uploads: &[(&ArtifactLayer, Arc<Upload>)],
        manifest: &ArtifactManifest,
        name: &str,
    ) -> Result<(), Fault> {
        // The smallest of all goes alone, so that one request finds out about credentials, not four at once.
        let empty = Payload::Bytes(Bytes::from_static(EMPTY));
        self.blob(&Digest::of(EMPTY), &empty).await.map_err(Fault::Sending)?;
        futures::stream::iter(uploads.iter().map(Ok))
            .try_for_each_concurrent(UPLOADS, |(layer, upload)| self.layer(layer, upload))
            .await?;
        self.manifest(name, OCI_IMAGE_MEDIA_TYPE, &manifest.bytes).await.map_err(Fault::Sending)
    }

    async fn layer(&self, layer: &ArtifactLayer, upload: &Arc<Upload>) -> Result<(), Fault> {
        let open = || reqwest::Body::wrap_stream(upload.content(layer));
        let content = Payload::Stream { size: layer.size, open: &open };
        match self.blob(&layer.digest, &content).await {
            Ok(()) => {
                upload.reached(layer.size);
                Ok(())
            }
            Err(error) => Err(match upload.unreadable() {
                Some(source) => Fault::Reading(layer.content.clone(), source),
                None => Fault::Sending(error),
            }),
        }
    }
}

impl Upload {
    fn new(tally: &Arc<Tally>) -> Self {
        Self { tally: Arc::clone(tally), furthest: AtomicU64::new(0), unreadable: Mutex::default() }
    }

    /// The file from its beginning, up to the size that the manifest names.
    fn content(
        self: &Arc<Self>,
        layer: &ArtifactLayer,
    ) -> impl Stream<Item = Result<Bytes, io::Error>> + Send + use<> {
        let (counting, noting) = (Arc::clone(self), Arc::clone(self));
        let size = layer.size;
        let mut sent = 0;
        File::open(layer.content.clone())
            .map_ok(move |file| ReaderStream::with_capacity(file.take(size), READ_SIZE))
            .try_flatten_stream()
            .inspect_ok(move |bytes| {
                sent += bytes.len() as u64;
                counting.reached(sent);
            })
            .map_err(move |error| {
                let copy = io::Error::new(error.kind(), error.to_string());
                *noting.unreadable.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                copy
            })
    }

    fn reached(&self, sent: u64) {
        let before = self.furthest.fetch_max(sent, Ordering::Relaxed);
        if sent > before {
            self.tally.0.send_modify(|total| *total = total.saturating_add(sent - before));
        }
    }

    fn unreadable(&self) -> Option<io::Error> {
        self.unreadable.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

fn unread(path: &Path, source: io::Error) -> PushError {
    PushError::Content { path: path.to_owned(), source }
}

/// Finds out before anything is sent what would break off an upload in its middle.
async fn check_size(layer: &ArtifactLayer) -> io::Result<()> {
    let found = File::open(&layer.content).await?.metadata().await?.len();
    if found == layer.size {
        return Ok(());
    }
    let text = format!("it has {found} bytes and should have {}", layer.size);
    Err(io::Error::new(io::ErrorKind::InvalidData, text))
}
