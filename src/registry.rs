//! Registries: reading images from them, putting the scanner's own image into one, and files as artifacts both ways.
//!
//! The transport is our own, on `reqwest`: `oci-client` keeps one credential per host where two namespaces may need
//! two, reads one challenge only, drops what the token service says, and cannot resume a blob. It serves references and
//! media types here.
//!
//! ```text
//! Keyring, then Identity ──> Access (credential at a repository, its token)
//!                              │
//! Reference ─> ways (mirrors, the registry itself)
//!           ─> pull ───────> transport ── challenge, redirect, retry ──> registry, token service, blob store
//!               │              │
//!               ├─> Image      └─> Blob ── BlobReader (for threads), fetch (into a file)
//!               └─> artifact
//! ```

mod access;
mod answer;
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
mod hosts;
mod identity;
pub mod layout;
mod listen;
mod manifest;
mod pace;
mod patience;
mod place;
mod platform;
mod pull;
mod push;
mod reader;
pub mod scanner_image;
mod secret;
mod settings;
mod token;
mod transport;
mod ways;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use access::{Access, AccessKey, Actions};
use explanation::Recorder;
use identity::Identities;
use transport::Transport;
use ways::{Accesses, Resting, Wanted, Way};

pub use artifact::{Artifact, ArtifactLayer, ArtifactManifest, FetchedArtifact, FetchedLayer};
pub use blob::Blob;
pub use client::SettingsError;
pub use config::{History, ImageConfig, RootFs, RunConfig};
pub use credentials::{BrokenEntry, BrokenReason, Credential, Entry, Format, Keyring, LoginError, Mismatch};
pub use credentials::{CredentialsFile, Excerpts, excerpts};
pub use elf::ElfError;
pub use error::{Answer, Cause, Part, PullError, TokenError};
pub use explanation::{
    EXPLANATION_VERSION, EntryMismatch, EntrySeen, Exchange, Explanation, IdentitySeen, PlaceSeen, Verdict,
};
pub use fetch::FetchError;
pub use identity::{Cloud, IdentityError, IdentityReport, IdentitySettings};
pub use manifest::{Descriptor, Manifest, ManifestError};
pub use pull::{Image, Layer, Resolved};
pub use push::PushError;
pub use reader::BlobReader;
pub use secret::Secret;
pub use settings::{ForeignLayers, PodError, ProxySettings, Rate, Settings};

// What a mirror is spoken to with, too.
pub(crate) use client::{build as build_client, tls_failure};
pub(crate) use endpoint::{allows_plain, host_of};
pub(crate) use error::in_words;
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
    resting: Resting,
}

impl Registry {
    /// Sets up the transport. Connects to nothing.
    pub fn new(settings: Settings) -> Result<Self, SettingsError> {
        Self::with_recorder(settings, Recorder::default())
    }

    fn with_recorder(settings: Settings, recorder: Recorder) -> Result<Self, SettingsError> {
        let transport = Transport::new(settings, recorder)?;
        let identities = Identities::new(transport.settings(), transport.general_client())?;
        let (accesses, resting) = (Mutex::default(), Resting::default());
        Ok(Self { inner: Arc::new(Inner { transport, identities, accesses, resting }) })
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

    /// The credentials to try at a repository, at its mirrors and then at the registry itself: at each one that has worked
    /// before, then the others in the keyring's order, and last the identity in the cloud that its registry belongs to, which
    /// is anonymous where there is none. Elsewhere anonymous only if none matches, as the kubelet does. A blob is asked first
    /// for where something of its repository came from.
    fn accesses(
        &self,
        repository: &Repository,
        keyring: &Keyring,
        wanted: Wanted,
    ) -> Result<Accesses, PullError> {
        let mut list: Vec<Arc<Access>> = Vec::new();
        for way in ways::ways(repository, self.transport().settings())? {
            let serves = match wanted {
                Wanted::Tag => way.serves.tags,
                Wanted::Manifest => way.serves.digests,
                Wanted::Blob => true,
                Wanted::Upload => !way.is_mirror,
            };
            if !serves {
                continue;
            }
            let mut candidates = self.accesses_at(&way, keyring, wanted.actions());
            if wanted == Wanted::Blob && !way.serves.digests {
                candidates.retain(|access| access.has_worked());
            }
            candidates.sort_by_key(|candidate| !candidate.has_worked());
            list.extend(candidates);
        }
        if wanted == Wanted::Blob {
            list.sort_by_key(|access| !access.has_worked());
        }
        Ok(Accesses { repository: repository.clone(), list })
    }

    fn accesses_at(&self, way: &Way, keyring: &Keyring, actions: Actions) -> Vec<Arc<Access>> {
        let identity = self.inner.identities.of(&way.repository.registry);
        let key = |credential| AccessKey {
            repository: way.repository.clone(),
            endpoint: way.endpoint.clone(),
            actions,
            credential,
        };
        // What is kept here is whole after each statement, so a panic elsewhere has left nothing half done.
        let mut accesses = self.inner.accesses.lock().unwrap_or_else(PoisonError::into_inner);
        let mut access = |key: AccessKey, entry: Option<&Entry>| {
            let identity = identity.clone().filter(|_| entry.is_none());
            let new = || Arc::new(Access::new(key.clone(), way.clone(), entry, identity));
            Arc::clone(accesses.entry(key.clone()).or_insert_with(new))
        };
        let entries = keyring.lookup(&way.repository);
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
        candidates
    }
}
