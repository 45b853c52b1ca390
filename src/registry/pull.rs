//! From a reference to an image: manifest or index, platform, config.

use std::sync::Arc;

use bytes::Bytes;
use reqwest::Method;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue};

use super::Registry;
use super::access::Access;
use super::config::ImageConfig;
use super::credentials::Keyring;
use super::error::{Part, PullError};
use super::identity::IdentityError;
use super::manifest::{ACCEPTED, Descriptor, Document, Manifest, ManifestError, choose, media_type_of};
use super::transport::{Payload, Request, Small};
use super::ways::Wanted;
use crate::image::{Digest, Platform, Reference, Repository};

/// Largest manifest or index, in bytes (distribution-spec, "Pushing Manifests": registries should take 4 MiB).
pub(super) const MANIFEST_LIMIT: usize = 4 * 1024 * 1024;
/// Largest image configuration, in bytes.
const CONFIG_LIMIT: usize = 4 * 1024 * 1024;
/// How many indexes may lead to an image.
pub(super) const INDEX_DEPTH: usize = 3;

/// An image as one platform sees it: everything but the layers' content.
#[derive(Clone, Debug)]
pub struct Image {
    /// Digest of the index that the reference named, if it was one.
    pub index_digest: Option<Digest>,
    /// Digest of the manifest.
    pub manifest_digest: Digest,
    /// Digest of the configuration.
    pub config_digest: Digest,
    /// What the image says about itself.
    pub config: ImageConfig,
    /// The configuration as it was sent.
    pub raw_config: Bytes,
    /// The layers, lowest first. The same one may occur twice.
    pub layers: Vec<Layer>,
}

/// One layer of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// The blob.
    pub descriptor: Descriptor,
    /// Digest of the uncompressed tar.
    pub diff_id: Digest,
}

/// What a reference names: digests only, no config read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// Digest of the index that the reference named, if it was one.
    pub index_digest: Option<Digest>,
    /// Digest of the manifest.
    pub manifest_digest: Digest,
    /// The manifest. Compare its config with the id that a runtime reports.
    pub manifest: Manifest,
}

/// A manifest or index as it was sent, verified.
#[derive(Clone, Debug)]
pub(super) struct RawManifest {
    pub(super) digest: Digest,
    pub(super) bytes: Bytes,
    pub(super) content_type: Option<String>,
}

impl Registry {
    /// Reads what a reference names for a platform, down to the config. Every digest on the way is verified.
    pub async fn image(
        &self,
        reference: &Reference,
        platform: &Platform,
        keyring: &Keyring,
    ) -> Result<Image, PullError> {
        let accesses = self.accesses(&reference.repository, keyring, Wanted::of(reference))?;
        let mut candidates = accesses.candidates(self);
        while let Some(access) = candidates.next() {
            let reader = Reader { registry: self, access: &access };
            let done = reader.image(reference, platform).await;
            if let Some(done) = candidates.settle(&access, done) {
                return done;
            }
        }
        Err(candidates.into_error())
    }

    /// Reads what a reference names for a platform, without its config.
    pub async fn resolve(
        &self,
        reference: &Reference,
        platform: &Platform,
        keyring: &Keyring,
    ) -> Result<Resolved, PullError> {
        let accesses = self.accesses(&reference.repository, keyring, Wanted::of(reference))?;
        let mut candidates = accesses.candidates(self);
        while let Some(access) = candidates.next() {
            let reader = Reader { registry: self, access: &access };
            let done = reader.resolve(reference, platform).await;
            if let Some(done) = candidates.settle(&access, done) {
                return done;
            }
        }
        Err(candidates.into_error())
    }

    /// The digest that a reference names now, of an index or a manifest: whether a tag has moved.
    pub async fn digest_of(&self, reference: &Reference, keyring: &Keyring) -> Result<Digest, PullError> {
        let accesses = self.accesses(&reference.repository, keyring, Wanted::of(reference))?;
        let mut candidates = accesses.candidates(self);
        while let Some(access) = candidates.next() {
            let reader = Reader { registry: self, access: &access };
            let done = reader.digest_of(reference).await;
            if let Some(done) = candidates.settle(&access, done) {
                return done;
            }
        }
        Err(candidates.into_error())
    }
}

/// What credentials were answered, to say it in one error.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    all_tried: Vec<String>,
    no_identity: Option<Arc<IdentityError>>,
    worst: Option<PullError>,
}

impl Refusals {
    /// Keeps the error that says most: that something is gone outweighs that a credential was refused.
    pub(super) fn add(&mut self, error: PullError) {
        if let PullError::Unauthorized { tried, .. } | PullError::TokenService { tried, .. } = &error {
            self.all_tried.extend(tried.iter().cloned());
        }
        if let PullError::NoCredential { no_identity: Some(error), .. } = &error {
            self.no_identity = Some(Arc::clone(error));
        }
        let weight = |error: &PullError| match error {
            PullError::NotFound { .. } => 2,
            // What came of asking anonymously after all credentials.
            PullError::NoCredential { .. } => 0,
            _ => 1,
        };
        if self.worst.as_ref().is_none_or(|kept| weight(&error) >= weight(kept)) {
            self.worst = Some(error);
        }
    }

    pub(super) fn into_error(self, repository: &Repository) -> PullError {
        let mut error = self.worst.unwrap_or_else(|| PullError::Address { repository: repository.clone() });
        if let PullError::Unauthorized { tried, .. } | PullError::TokenService { tried, .. } = &mut error {
            *tried = self.all_tried;
        }
        if let PullError::Unauthorized { no_identity, .. } | PullError::TokenService { no_identity, .. } =
            &mut error
        {
            *no_identity = self.no_identity;
        }
        error
    }
}

/// Reads manifests of one repository with one credential.
pub(super) struct Reader<'a> {
    pub(super) registry: &'a Registry,
    pub(super) access: &'a Access,
}

impl Reader<'_> {
    async fn image(&self, reference: &Reference, platform: &Platform) -> Result<Image, PullError> {
        let Resolved { index_digest, manifest_digest, manifest } = self.resolve(reference, platform).await?;
        let raw_config = self.config(&manifest.config).await?;
        let part = Part::config(&manifest.config.digest);
        let config = ImageConfig::parse(&raw_config, manifest.layers.len())
            .map_err(|source| self.unusable(part, source))?;
        let layers = manifest.layers.into_iter().zip(config.rootfs.diff_ids.iter().cloned());
        let layers = layers.map(|(descriptor, diff_id)| Layer { descriptor, diff_id }).collect();
        let config_digest = manifest.config.digest;
        Ok(Image { index_digest, manifest_digest, config_digest, config, raw_config, layers })
    }

    async fn resolve(&self, reference: &Reference, platform: &Platform) -> Result<Resolved, PullError> {
        let mut raw = self.manifest(&name_of(reference), reference.digest.as_ref(), None).await?;
        let mut index_digest = None;
        for _ in 0..=INDEX_DEPTH {
            let part = Part::manifest(raw.digest.as_str());
            match raw.parse().map_err(|source| self.unusable(part.clone(), source))? {
                Document::Image(manifest) => {
                    return Ok(Resolved { index_digest, manifest_digest: raw.digest, manifest });
                }
                Document::Index(entries) => {
                    let entry =
                        choose(&entries, platform).map_err(|source| self.unusable(part, source))?.clone();
                    index_digest.get_or_insert(raw.digest);
                    raw = self.manifest(entry.digest.as_str(), Some(&entry.digest), Some(entry.size)).await?;
                }
            }
        }
        let part = Part::manifest(&name_of(reference));
        Err(self.unusable(part, ManifestError::TooDeep { limit: INDEX_DEPTH }))
    }

    async fn digest_of(&self, reference: &Reference) -> Result<Digest, PullError> {
        let name = name_of(reference);
        let mut request = self.request(&name);
        request.method = Method::HEAD;
        match self.registry.transport().read(&request, MANIFEST_LIMIT).await {
            Ok(answer) => {
                if let Some(digest) = announced_digest(&answer.headers) {
                    return Ok(digest);
                }
            }
            // Some answer HEAD with 404 or 405 for what they serve to GET.
            Err(PullError::NotFound { .. } | PullError::Refused { .. }) => {}
            Err(error) => return Err(error),
        }
        Ok(self.manifest(&name, reference.digest.as_ref(), None).await?.digest)
    }

    /// Reads a manifest or index as it is and verifies it.
    pub(super) async fn manifest(
        &self,
        name: &str,
        expected: Option<&Digest>,
        size: Option<u64>,
    ) -> Result<RawManifest, PullError> {
        let request = self.request(name);
        let Small { headers, bytes } = self.registry.transport().read(&request, MANIFEST_LIMIT).await?;
        let digest = Digest::of(&bytes);
        let announced = announced_digest(&headers);
        let mismatch = expected.or(announced.as_ref()).is_some_and(|expected| *expected != digest);
        if mismatch {
            return Err(PullError::DigestMismatch {
                repository: self.repository(),
                part: request.part,
                found: digest,
            });
        }
        self.check_size(&request.part, size, &bytes)?;
        let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        Ok(RawManifest { digest, bytes, content_type: content_type.map(ToOwned::to_owned) })
    }

    /// Reads a config and verifies it.
    async fn config(&self, descriptor: &Descriptor) -> Result<Bytes, PullError> {
        let part = Part::config(&descriptor.digest);
        if descriptor.size > CONFIG_LIMIT as u64 {
            return Err(PullError::TooLarge {
                repository: self.repository(),
                part,
                limit: CONFIG_LIMIT as u64,
            });
        }
        let request = Request {
            method: Method::GET,
            url: self.access.endpoint().blob(&descriptor.digest),
            headers: HeaderMap::new(),
            payload: Payload::None,
            access: self.access,
            part,
        };
        let bytes = self.registry.transport().read(&request, CONFIG_LIMIT).await?.bytes;
        let found = Digest::of(&bytes);
        if found != descriptor.digest {
            return Err(PullError::DigestMismatch { repository: self.repository(), part: request.part, found });
        }
        self.check_size(&request.part, Some(descriptor.size), &bytes)?;
        Ok(bytes)
    }

    fn request(&self, name: &str) -> Request<'_> {
        let mut headers = HeaderMap::new();
        for media_type in ACCEPTED {
            headers.append(ACCEPT, HeaderValue::from_static(media_type));
        }
        Request {
            method: Method::GET,
            url: self.access.endpoint().manifest(name),
            headers,
            payload: Payload::None,
            access: self.access,
            part: Part::manifest(name),
        }
    }

    fn check_size(&self, part: &Part, expected: Option<u64>, bytes: &[u8]) -> Result<(), PullError> {
        let found = bytes.len() as u64;
        match expected {
            Some(expected) if expected != found => {
                let (repository, part) = (self.repository(), part.clone());
                Err(PullError::SizeMismatch { repository, part, expected, found })
            }
            _ => Ok(()),
        }
    }

    pub(super) fn unusable(&self, part: Part, source: ManifestError) -> PullError {
        PullError::Manifest { repository: self.repository(), part, source: Box::new(source) }
    }

    fn repository(&self) -> Repository {
        self.access.repository().clone()
    }
}

impl RawManifest {
    pub(super) fn parse(&self) -> Result<Document, ManifestError> {
        Document::parse(&self.bytes, self.content_type.as_deref())
    }

    pub(super) fn media_type(&self) -> Result<String, ManifestError> {
        media_type_of(&self.bytes, self.content_type.as_deref())
    }
}

/// What to ask for: the digest if there is one.
pub(super) fn name_of(reference: &Reference) -> String {
    match (&reference.digest, &reference.tag) {
        (Some(digest), _) => digest.to_string(),
        (None, Some(tag)) => tag.clone(),
        (None, None) => "latest".to_owned(),
    }
}

/// `Docker-Content-Digest`, if it is a digest of the kind that is known here.
fn announced_digest(headers: &HeaderMap) -> Option<Digest> {
    headers.get("docker-content-digest")?.to_str().ok()?.parse().ok()
}
