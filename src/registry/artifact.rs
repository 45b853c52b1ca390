//! Artifacts: files of any kind in a registry, behind a manifest that says what they are.
//!
//! OCI image-spec 1.1, "Guidelines for Artifact Usage": an image manifest with an `artifactType`, the empty config, one
//! layer a file. Nothing here knows what the files mean.

mod manifest;
mod push;

use std::collections::BTreeMap;
use std::path::PathBuf;

use bytes::Bytes;

use super::Registry;
use super::credentials::Keyring;
use super::error::{Part, PullError};
use super::manifest::{Descriptor, ManifestError};
use super::pull::{Reader, name_of};
use super::ways::Wanted;
use crate::image::{Digest, Reference};

/// What is to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artifact {
    /// What kind of thing it is: a media type. Who reads it asks for the same.
    pub artifact_type: String,
    /// What is said about the whole. OCI image-spec, "Annotations".
    pub annotations: BTreeMap<String, String>,
    /// The files, in the order in which the manifest names them. The same content may occur twice.
    pub layers: Vec<ArtifactLayer>,
}

/// One file of an artifact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArtifactLayer {
    /// Media type of the content.
    pub media_type: String,
    /// Digest of the content.
    pub digest: Digest,
    /// Size of the content in bytes.
    pub size: u64,
    /// What is said about this file.
    pub annotations: BTreeMap<String, String>,
    /// Where the content lies.
    pub content: PathBuf,
}

/// The manifest of an artifact, as it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArtifactManifest {
    /// Its digest, by which the artifact can be fetched.
    pub digest: Digest,
    /// Its bytes; the same for equal artifacts.
    pub bytes: Bytes,
}

/// An artifact as a registry describes it: everything but the files' content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchedArtifact {
    /// Digest of the manifest.
    pub digest: Digest,
    /// The kind that was asked for.
    pub artifact_type: String,
    /// What is said about the whole.
    pub annotations: BTreeMap<String, String>,
    /// The files, in the manifest's order.
    pub layers: Vec<FetchedLayer>,
}

/// One file of an artifact in a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchedLayer {
    /// The blob; names no other addresses.
    pub descriptor: Descriptor,
    /// What is said about this file.
    pub annotations: BTreeMap<String, String>,
}

impl Artifact {
    /// Makes the manifest. Fails if it would be one that [`Registry::artifact`] refuses.
    pub fn manifest(&self) -> Result<ArtifactManifest, ManifestError> {
        manifest::write(self)
    }
}

impl Registry {
    /// Reads what a reference names as an artifact of the given type. The manifest is verified by its digest.
    pub async fn artifact(
        &self,
        reference: &Reference,
        artifact_type: &str,
        keyring: &Keyring,
    ) -> Result<FetchedArtifact, PullError> {
        let accesses = self.accesses(&reference.repository, keyring, Wanted::of(reference))?;
        let mut candidates = accesses.candidates(self);
        while let Some(access) = candidates.next() {
            let reader = Reader { registry: self, access: &access };
            let done = reader.artifact(reference, artifact_type).await;
            if let Some(done) = candidates.settle(&access, done) {
                return done;
            }
        }
        Err(candidates.into_error())
    }
}

impl Reader<'_> {
    async fn artifact(&self, reference: &Reference, artifact_type: &str) -> Result<FetchedArtifact, PullError> {
        let raw = self.manifest(&name_of(reference), reference.digest.as_ref(), None).await?;
        let part = Part::manifest(raw.digest.as_str());
        manifest::read(&raw, artifact_type).map_err(|source| self.unusable(part, source))
    }
}
