//! Registries: reading images from them, putting the scanner's own image into one, and files as artifacts both ways.
//!
//! The transport is our own, on `reqwest`: `oci-client` keeps one credential per host where two namespaces may need
//! two, reads one challenge only, drops what the token service says, and cannot resume a blob. It serves references and
//! media types here.
//!
//! ```text
//! Keyring, then Identity ──> Access (credential at a repository, its token)
//!                              │
//! Reference ─> pull ───────> transport ── challenge, redirect, retry ──> registry, token service, blob store
//!               │              │
//!               ├─> Image      └─> Blob ── BlobReader (for threads), fetch (into a file)
//!               └─> artifact
//! ```

mod access;
mod artifact;
mod blob;
mod challenge;
mod client;
mod config;
mod credentials;
mod elf;
mod endpoint;
mod error;
mod explanation;
mod fetch;
mod identity;
pub mod layout;
mod manifest;
mod pace;
mod patience;
mod platform;
mod pull;
mod push;
mod reader;
pub mod scanner_image;
mod secret;
mod settings;
mod token;
mod transport;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use access::{Access, AccessKey, Actions};
use endpoint::Endpoint;
use explanation::Recorder;
use identity::Identities;
use transport::Transport;

pub use artifact::{Artifact, ArtifactLayer, ArtifactManifest, FetchedArtifact, FetchedLayer};
pub use blob::Blob;
pub use client::SettingsError;
pub use config::{History, ImageConfig, RootFs, RunConfig};
pub use credentials::{BrokenEntry, BrokenReason, Credential, Entry, Format, Keyring, LoginError, Mismatch};
pub use credentials::{CredentialsFile, Excerpts, excerpts};
pub use elf::ElfError;
pub use error::{Answer, Cause, Part, PullError, TokenError};
pub use explanation::{EXPLANATION_VERSION, EntryMismatch, EntrySeen, Exchange, Explanation, Verdict};
pub use fetch::FetchError;
pub use identity::{Cloud, IdentityError, IdentityReport, IdentitySettings};
pub use manifest::{Descriptor, Manifest, ManifestError};
pub use pull::{Image, Layer, Resolved};
pub use push::PushError;
pub use reader::BlobReader;
pub use secret::Secret;
pub use settings::{ForeignLayers, ProxySettings, Rate, Settings};

// What a mirror is spoken to with, too.
pub(crate) use client::{build as build_client, tls_failure};
pub(crate) use endpoint::{allows_plain, host_of};
pub(crate) use pace::Pace;
pub(crate) use patience::{Patience, Setback, retry_after};
pub(crate) use transport::ERROR_LIMIT;

use crate::image::Repository;

pub use crate::part_file::FileError;

/// The way to all registries. Cheap to clone; clones share connections and tokens.
#[derive(Clone, Debug)]
pub struct Registry {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    transport: Transport,
    identities: Identities,
    /// What was learned about each credential at each repository. Grows with the images that one scanner reads.
    accesses: Mutex<HashMap<AccessKey, Arc<Access>>>,
}

impl Registry {
    /// Sets up the transport. Connects to nothing.
    pub fn new(settings: Settings) -> Result<Self, SettingsError> {
        Self::with_recorder(settings, Recorder::default())
    }

    fn with_recorder(settings: Settings, recorder: Recorder) -> Result<Self, SettingsError> {
        let transport = Transport::new(settings, recorder)?;
        let identities = Identities::new(transport.settings(), transport.client())?;
        Ok(Self { inner: Arc::new(Inner { transport, identities, accesses: Mutex::default() }) })
    }

    /// The identity that would be used for a repository, asked for if it was not yet; none if its registry belongs to no
    /// cloud that is known here, or if identities are not wanted.
    pub async fn identity(&self, repository: &Repository) -> Option<IdentityReport> {
        Some(self.inner.identities.of(&repository.registry)?.report().await)
    }

    fn transport(&self) -> &Transport {
        &self.inner.transport
    }

    fn recorder(&self) -> &Recorder {
        self.inner.transport.recorder()
    }

    /// The credentials to try at a repository: one that has worked before, then the others in the keyring's order, and last
    /// the identity in the cloud that its registry belongs to, which is anonymous where there is none. Elsewhere anonymous
    /// only if none matches, as the kubelet does. None at all if its name is no address.
    fn accesses(&self, repository: &Repository, keyring: &Keyring, actions: Actions) -> Vec<Arc<Access>> {
        let Ok(endpoint) = Endpoint::of(repository, &self.transport().settings().plain_http) else {
            return Vec::new();
        };
        let identity = self.inner.identities.of(&repository.registry);
        let key = |credential| AccessKey { repository: repository.clone(), actions, credential };
        // What is kept here is whole after each statement, so a panic elsewhere has left nothing half done.
        let mut accesses = self.inner.accesses.lock().unwrap_or_else(PoisonError::into_inner);
        let mut access = |key: AccessKey, entry: Option<&Entry>| {
            let identity = identity.clone().filter(|_| entry.is_none());
            let new = || Arc::new(Access::new(key.clone(), endpoint.clone(), entry, identity));
            Arc::clone(accesses.entry(key.clone()).or_insert_with(new))
        };
        let entries = keyring.lookup(repository);
        let has_last = identity.is_some() || entries.is_empty();
        let mut candidates: Vec<Arc<Access>> = Vec::new();
        for entry in entries {
            let candidate = access(key(Some(entry.credential.clone())), Some(entry));
            // Two secrets often hold the same password: once is enough.
            if !candidates.iter().any(|known| Arc::ptr_eq(known, &candidate)) {
                candidates.push(candidate);
            }
        }
        if has_last {
            candidates.push(access(key(None), None));
        }
        candidates.sort_by_key(|candidate| !candidate.has_worked());
        candidates
    }
}
