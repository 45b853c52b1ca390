//! Why an image can be read from its registry, or why not: which credentials there are, which were shown, and what was
//! answered. For people and programs, and without anything secret.

use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::Registry;
use super::credentials::{BrokenEntry, Credential, Entry, Keyring, Mismatch, is_docker_hub};
use super::error::{in_words, one_line, without};
use super::pull::Image;
use super::transport::address;
use super::ways::Wanted;
use super::{PullError, Settings, SettingsError};
use crate::image::{Digest, Platform, Reference};

/// Version of the form of an [`Explanation`].
pub const EXPLANATION_VERSION: u32 = 1;

/// Most requests that are told.
const MAX_EXCHANGES: usize = 100;

/// Most entries of credentials files that are told.
const MAX_ENTRIES: usize = 200;

/// What was found out about one image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// The image.
    pub image: Reference,
    /// All entries of all secrets, in the order in which the kubelet would try them, whether they match or not.
    pub entries: Vec<EntrySeen>,
    /// What could not be used, in words.
    pub broken: Vec<String>,
    /// The identity in the cloud that the registry belongs to; none if it belongs to none that is known.
    pub identity: Option<IdentitySeen>,
    /// Where it is asked for, in order: mirrors before the registry itself.
    pub places: Vec<PlaceSeen>,
    /// What was shown to them, one after the other: entries by secret and location; empty if nothing was.
    pub tried: Vec<String>,
    /// Every request and its answer.
    pub exchanges: Vec<Exchange>,
    /// What came of it.
    pub verdict: Verdict,
}

/// An entry of a credentials file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EntrySeen {
    /// Where it was found: `secret "pull"`.
    pub source: String,
    /// Its location, as written there.
    pub location: String,
    /// What it holds, in words: `the password of "puller"`.
    pub holds: String,
    /// Why it is not for this image; none if it is.
    pub mismatch: Option<EntryMismatch>,
}

/// Why an entry is not tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EntryMismatch {
    /// It is for another host.
    Host,
    /// It is for another port of the host.
    Port,
    /// It is for other paths of the host.
    Path,
    /// It is for Docker Hub by its old address, which counts only when no other entry matches.
    OutRanked,
}

/// An identity in a cloud.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IdentitySeen {
    /// The cloud.
    pub cloud: String,
    /// Where it comes from, in words; none if the pod was not told of any.
    pub source: Option<String>,
    /// Why it is of no use; none if it gave a credential.
    pub problem: Option<String>,
}

/// Where an image is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlaceSeen {
    /// Its address, without the repository.
    pub address: String,
    /// Whether it is a mirror.
    pub is_mirror: bool,
}

/// One request and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Exchange {
    /// Method and address, without a query.
    pub request: String,
    /// What was shown: a credential by its place, a token, or nothing.
    pub shown: String,
    /// The answer in words: its status and what it asks for, or why there was none.
    pub answer: String,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Verdict {
    /// It can be read.
    #[serde(rename_all = "camelCase")]
    Readable {
        /// Digest of its manifest.
        manifest: Digest,
        /// Number of its layers.
        layers: usize,
        /// By what: an entry by secret and location, or an identity; none if by no credential at all.
        by: Option<String>,
        /// The address of the mirror that has it, if it was one.
        mirror: Option<String>,
    },
    /// It cannot; why, in words.
    Refused(String),
}

/// Requests as they are made. Empty unless they are wanted.
#[derive(Debug, Default)]
pub(super) struct Recorder(Option<Mutex<Vec<Exchange>>>);

impl Recorder {
    /// One that keeps what it is told.
    pub(super) fn keeping() -> Self {
        Self(Some(Mutex::default()))
    }

    /// Keeps an exchange without the secrets that may be quoted in it; made only if somebody wants it.
    pub(super) fn note(&self, secrets: impl FnOnce() -> Vec<String>, exchange: impl FnOnce() -> Exchange) {
        let Some(kept) = &self.0 else { return };
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < MAX_EXCHANGES {
            let (secrets, Exchange { request, shown, answer }) = (secrets(), exchange());
            let said = |text: &str| one_line(&without(text, &secrets));
            kept.push(Exchange { request: said(&request), shown, answer: said(&answer) });
        }
    }

    fn take(&self) -> Vec<Exchange> {
        let kept = self.0.as_ref().map(|kept| kept.lock().unwrap_or_else(PoisonError::into_inner));
        kept.map(|mut kept| std::mem::take(&mut *kept)).unwrap_or_default()
    }
}

impl Registry {
    /// One that remembers what it asks, for [`Self::explain`].
    pub fn recording(settings: Settings) -> Result<Self, SettingsError> {
        Self::with_recorder(settings, Recorder::keeping())
    }

    /// Asks for an image as a pull would, down to the first bytes of a layer, and tells how that went.
    ///
    /// To be asked of a [recording](Self::recording) registry, and for one image at a time: another one tells no requests.
    pub async fn explain(&self, image: &Reference, platform: &Platform, keyring: &Keyring) -> Explanation {
        self.recorder().take();
        let asked = self.ask(image, platform, keyring).await;
        let accesses = self.accesses(&image.repository, keyring, Wanted::of(image));
        let accesses = accesses.map(|accesses| accesses.list).unwrap_or_default();
        let worked = accesses.iter().find(|access| access.has_worked());
        let mut places: Vec<PlaceSeen> = Vec::new();
        for way in accesses.iter().map(|access| access.way()) {
            let place = PlaceSeen { address: address(way.endpoint.base()), is_mirror: way.is_mirror };
            if !places.contains(&place) {
                places.push(place);
            }
        }
        let identity = self.identity(&image.repository).await.map(|report| IdentitySeen {
            cloud: report.cloud.to_string(),
            source: report.source,
            problem: report.outcome.err(),
        });
        Explanation {
            identity,
            places,
            image: image.clone(),
            entries: entries(image, keyring),
            broken: keyring.broken().iter().take(MAX_ENTRIES).map(BrokenEntry::to_string).collect(),
            tried: accesses.iter().filter_map(|access| access.was_shown().map(ToOwned::to_owned)).collect(),
            exchanges: self.recorder().take(),
            verdict: match asked {
                Ok(image) => Verdict::Readable {
                    manifest: image.manifest_digest,
                    layers: image.layers.len(),
                    by: worked.and_then(|access| access.was_shown()).map(ToOwned::to_owned),
                    mirror: worked
                        .map(|access| access.way())
                        .filter(|way| way.is_mirror)
                        .map(|way| address(way.endpoint.base())),
                },
                Err(error) => Verdict::Refused(in_words(&error)),
            },
        }
    }

    async fn ask(
        &self,
        reference: &Reference,
        platform: &Platform,
        keyring: &Keyring,
    ) -> Result<Image, PullError> {
        let image = self.image(reference, platform, keyring).await?;
        // Layers may lie with somebody else, whom this network does not reach.
        if let Some(layer) = image.layers.iter().min_by_key(|layer| layer.descriptor.size) {
            self.blob(&reference.repository, &layer.descriptor, keyring).chunk().await?;
        }
        Ok(image)
    }
}

fn entries(image: &Reference, keyring: &Keyring) -> Vec<EntrySeen> {
    let repository = &image.repository;
    let matching = keyring.lookup(repository);
    let is_matching = |entry: &Entry| matching.iter().any(|other| std::ptr::eq(*other, entry));
    let seen = |entry: &Entry| EntrySeen {
        source: one_line(&entry.source),
        location: one_line(&entry.location),
        holds: holds(&entry.credential),
        mismatch: (!is_matching(entry)).then(|| match entry.mismatch(repository) {
            Some(_) if is_docker_hub(&repository.registry) && entry.is_of_docker_hub() => {
                EntryMismatch::OutRanked
            }
            Some(Mismatch::Port) => EntryMismatch::Port,
            Some(Mismatch::Path) => EntryMismatch::Path,
            Some(Mismatch::Host) | None => EntryMismatch::Host,
        }),
    };
    keyring.entries().iter().take(MAX_ENTRIES).map(seen).collect()
}

fn holds(credential: &Credential) -> String {
    match credential {
        Credential::Basic { username, .. } => format!("the password of {:?}", one_line(username)),
        Credential::IdentityToken(_) => "an identity token".to_owned(),
        Credential::RegistryToken(_) => "a registry token".to_owned(),
    }
}
