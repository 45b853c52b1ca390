//! Putting images into a registry: one that was built here, or one that lies in another registry.
//!
//! Not by `oci-client`: its TLS cannot be handed over ready made, so it would need a crypto provider installed for the
//! whole process, and its errors drop what the registry says. Ours has the person's CA, credentials and words already.

use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION};
use reqwest::{Method, Url};

use super::Registry;
use super::access::Access;
use super::credentials::Keyring;
use super::endpoint::host_of;
use super::error::{Answer, Part, PullError};
use super::manifest::{Descriptor, ManifestError, References};
use super::pull::{INDEX_DEPTH, RawManifest, Reader, name_of};
use super::scanner_image::BuiltImage;
use super::settings::Settings;
use super::transport::{Payload, Place, Request};
use super::ways::Wanted;
use crate::image::{Digest, Reference};

/// Why an image, or an artifact, did not get into a registry.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// The registry did not take it.
    #[error("cannot push to {target}")]
    Send {
        /// Where it was to go.
        target: Box<Reference>,
        /// Why not.
        #[source]
        source: Box<PullError>,
    },
    /// The image that was to be copied could not be read.
    #[error("cannot read the image to be copied")]
    Read(#[source] Box<PullError>),
    /// The target names another digest than the image has.
    #[error("{target} names another image than the one to be pushed, which is {digest}")]
    OtherDigest {
        /// Where it was to go.
        target: Box<Reference>,
        /// The digest of the image.
        digest: Digest,
    },
    /// A file of the artifact cannot be read, or is not as long as was said.
    #[error("cannot send {}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: io::Error,
    },
    /// The artifact is larger, or more is said about it, than anybody reads.
    #[error("no manifest can be made of the artifact")]
    Artifact(#[source] ManifestError),
}

/// Which side of a copy failed.
enum Fault {
    Reading(PullError),
    Sending(PullError),
}

impl Registry {
    /// Sends an image that was built here. Gives the digest under which it can be pulled.
    pub async fn push(
        &self,
        image: &BuiltImage,
        target: &Reference,
        keyring: &Keyring,
    ) -> Result<Digest, PushError> {
        let digest = &image.manifest.digest;
        check_digest(target, digest)?;
        let failed = |source| PushError::Send { target: Box::new(target.clone()), source: Box::new(source) };
        let accesses = self.accesses(&target.repository, keyring, Wanted::Upload).map_err(failed)?;
        let mut candidates = accesses.candidates(self);
        while let Some(access) = candidates.next() {
            let writer = Writer { registry: self, access: &access };
            let sent = writer.image(image, &name_of(target)).await;
            if let Some(done) = candidates.settle(&access, sent) {
                return done.map(|()| digest.clone()).map_err(failed);
            }
        }
        Err(failed(candidates.into_error()))
    }

    /// Copies an image with all its platforms, byte for byte. Gives the digest under which it can be pulled.
    pub async fn copy(
        &self,
        origin: &Reference,
        origin_keyring: &Keyring,
        target: &Reference,
        keyring: &Keyring,
    ) -> Result<Digest, PushError> {
        let unread = |error| PushError::Read(Box::new(error));
        let failed = |source| PushError::Send { target: Box::new(target.clone()), source: Box::new(source) };
        let accesses = self.accesses(&origin.repository, origin_keyring, Wanted::of(origin)).map_err(unread)?;
        let mut candidates = accesses.candidates(self);
        let mut found = None;
        while let Some(access) = candidates.next() {
            let reader = Reader { registry: self, access: &access };
            let read = reader.manifest(&name_of(origin), origin.digest.as_ref(), None).await;
            if let Some(done) = candidates.settle(&access, read) {
                found = Some((access, done.map_err(unread)?));
                break;
            }
        }
        let Some((origin_access, raw)) = found else {
            return Err(unread(candidates.into_error()));
        };
        check_digest(target, &raw.digest)?;
        let reader = Reader { registry: self, access: &origin_access };
        let accesses = self.accesses(&target.repository, keyring, Wanted::Upload).map_err(failed)?;
        let mut candidates = accesses.candidates(self);
        while let Some(access) = candidates.next() {
            let writer = Writer { registry: self, access: &access };
            let copy = Copy { reader: &reader, writer: &writer, origin, origin_keyring };
            let sent = match copy.document(&raw, &name_of(target), INDEX_DEPTH).await {
                Err(Fault::Reading(error)) => return Err(unread(error)),
                Err(Fault::Sending(error)) => Err(error),
                Ok(()) => Ok(()),
            };
            if let Some(done) = candidates.settle(&access, sent) {
                return done.map(|()| raw.digest).map_err(failed);
            }
        }
        Err(failed(candidates.into_error()))
    }
}

pub(super) fn check_digest(target: &Reference, digest: &Digest) -> Result<(), PushError> {
    match &target.digest {
        Some(wanted) if wanted != digest => {
            Err(PushError::OtherDigest { target: Box::new(target.clone()), digest: digest.clone() })
        }
        _ => Ok(()),
    }
}

/// From one repository to another.
struct Copy<'a> {
    reader: &'a Reader<'a>,
    writer: &'a Writer<'a>,
    origin: &'a Reference,
    origin_keyring: &'a Keyring,
}

impl Copy<'_> {
    /// Copies what a manifest or index refers to, then itself: registries refuse what points at nothing.
    async fn document(&self, raw: &RawManifest, name: &str, depth: usize) -> Result<(), Fault> {
        let part = || Part::manifest(raw.digest.as_str());
        let references = References::of(&raw.bytes)
            .and_then(|references| references.within(depth))
            .map_err(|source| Fault::Reading(self.reader.unusable(part(), source)))?;
        for child in &references.manifests {
            let read = self.reader.manifest(child.digest.as_str(), Some(&child.digest), Some(child.size)).await;
            let child = read.map_err(Fault::Reading)?;
            self.child(child, depth.saturating_sub(1)).await?;
        }
        for blob in &references.blobs {
            self.blob(blob).await.map_err(Fault::Sending)?;
        }
        let media_type =
            raw.media_type().map_err(|source| Fault::Reading(self.reader.unusable(part(), source)))?;
        self.writer.manifest(name, &media_type, &raw.bytes).await.map_err(Fault::Sending)
    }

    /// The recursion, which in async code must be boxed.
    fn child(
        &self,
        raw: RawManifest,
        depth: usize,
    ) -> Pin<Box<dyn Future<Output = Result<(), Fault>> + Send + '_>> {
        Box::pin(async move { self.document(&raw, raw.digest.as_str(), depth).await })
    }

    async fn blob(&self, descriptor: &Descriptor) -> Result<(), PullError> {
        let registry = self.reader.registry;
        let open = || {
            let blob = registry.blob(&self.origin.repository, descriptor, self.origin_keyring);
            reqwest::Body::wrap_stream(blob.into_stream())
        };
        let content = Payload::Stream { size: descriptor.size, open: &open };
        self.writer.blob(&descriptor.digest, &content).await
    }
}

/// Writes to one repository with one credential.
pub(super) struct Writer<'a> {
    pub(super) registry: &'a Registry,
    pub(super) access: &'a Access,
}

impl Writer<'_> {
    async fn image(&self, image: &BuiltImage, name: &str) -> Result<(), PullError> {
        for content in [&image.layer, &image.config] {
            self.blob(&content.digest, &Payload::Bytes(content.bytes.clone())).await?;
        }
        self.manifest(name, image.manifest.media_type, &image.manifest.bytes).await
    }

    /// Sends a blob that the repository does not have yet; from its beginning again when that broke.
    pub(super) async fn blob(&self, digest: &Digest, content: &Payload<'_>) -> Result<(), PullError> {
        let part = Part::upload(digest);
        match self
            .send(Method::HEAD, self.access.endpoint().blob(digest), HeaderMap::new(), Payload::None, &part)
            .await
        {
            Ok(_) => return Ok(()),
            Err(PullError::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
        let mut repeats = Repeats::of(self.registry.transport().settings());
        loop {
            match self.upload(digest, content.clone(), &part).await {
                Err(error) => repeats.wait_after(error).await?,
                done => return done,
            }
        }
    }

    /// Distribution-spec, "Pushing a blob monolithically": POST for an address, PUT to it.
    async fn upload(&self, digest: &Digest, content: Payload<'_>, part: &Part) -> Result<(), PullError> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        let begin = self.access.endpoint().uploads();
        let reply = self.send(Method::POST, begin.clone(), headers, Payload::None, part).await?;
        let location = reply.get(LOCATION).and_then(|value| value.to_str().ok());
        let place = Place { host: &host_of(&begin), repository: self.access.repository(), part };
        let mut url = location
            .and_then(|location| begin.join(location).ok())
            .filter(|url| url.has_host() && matches!(url.scheme(), "http" | "https"))
            .ok_or_else(|| place.protocol("it names no address to send the content to"))?;
        if begin.scheme() == "https" && url.scheme() == "http" {
            return Err(PullError::PlainHttp { host: host_of(&url), repository: place.repository.clone() });
        }
        url.query_pairs_mut().append_pair("digest", digest.as_str());
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        self.send(Method::PUT, url, headers, content, part).await.map(|_| ())
    }

    pub(super) async fn manifest(&self, name: &str, media_type: &str, bytes: &Bytes) -> Result<(), PullError> {
        let part = Part::manifest(name);
        let mut headers = HeaderMap::new();
        if let Ok(media_type) = HeaderValue::from_str(media_type) {
            headers.insert(CONTENT_TYPE, media_type);
        }
        let url = self.access.endpoint().manifest(name);
        // What is put in the same place a second time is the same.
        let mut repeats = Repeats::of(self.registry.transport().settings());
        loop {
            let content = Payload::Bytes(bytes.clone());
            match self.send(Method::PUT, url.clone(), headers.clone(), content, &part).await {
                Err(error) => repeats.wait_after(error).await?,
                Ok(_) => return Ok(()),
            }
        }
    }

    async fn send(
        &self,
        method: Method,
        url: Url,
        headers: HeaderMap,
        payload: Payload<'_>,
        part: &Part,
    ) -> Result<HeaderMap, PullError> {
        let request = Request { method, url, headers, payload, access: self.access, part: part.clone() };
        let reply = self.registry.transport().send(&request).await?;
        Ok(reply.response.headers().clone())
    }
}

/// How often something is sent once more.
struct Repeats {
    left: u32,
    pause: Duration,
}

impl Repeats {
    fn of(settings: &Settings) -> Self {
        Self { left: settings.attempts.saturating_sub(1), pause: settings.backoff }
    }

    /// Waits before the next time, or gives the error back if there is to be none.
    async fn wait_after(&mut self, error: PullError) -> Result<(), PullError> {
        if self.left == 0 || !may_pass(&error) {
            return Err(error);
        }
        self.left -= 1;
        tokio::time::sleep(self.pause).await;
        self.pause = self.pause.saturating_mul(2);
        Ok(())
    }
}

/// Whether the same upload may succeed a little later.
fn may_pass(error: &PullError) -> bool {
    match error {
        PullError::Connect { .. }
        | PullError::Broken { .. }
        | PullError::Timeout { .. }
        | PullError::RateLimited { .. } => true,
        PullError::Refused { answer, .. } => matches!(**answer, Answer { status: 500 | 502..=504, .. }),
        _ => false,
    }
}
