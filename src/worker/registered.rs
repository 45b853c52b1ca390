//! What registries hold now of the images that are read: whether tags have moved, and whether what runs can be pulled again.
//!
//! Asked beside the reading of an image, and never waited for long after it. Who is not let in, or gets no answer, knows
//! nothing: only a registry that says that something is not there makes it gone.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::task::JoinSet;

use super::image::ImageError;
use crate::image::registered::{DigestNow, Registered, TagNow};
use crate::image::{Digest, Platform, Reference};
use crate::registry::{Image, Keyring, PullError, Registry};
use crate::wire::{MAX_OTHERS, TaskImage, Wanted};

/// How long answers are waited for when the image itself has been read.
const GRACE: Duration = Duration::from_millis(800);

/// What a tag names; asked once for each.
#[derive(Clone)]
enum Named {
    Digest(Digest),
    Nothing,
    Unknown,
}

/// Asks registries with the credentials of one pod.
pub(super) struct Registries {
    registry: Registry,
    keyring: Arc<Keyring>,
    tags: Arc<Mutex<HashMap<Reference, Named>>>,
    /// Those that did not answer in time. They are not asked again.
    silent: Arc<std::sync::Mutex<HashSet<String>>>,
}

/// What looking up an image has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Known {
    /// About the reference by which it was looked up; the tag may still have to be asked for.
    pub(super) registered: Registered,
    running: Running,
}

/// Everything by which what runs can be recognized.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Running {
    /// By the runtime: of an index or a manifest.
    digest: Option<Digest>,
    manifest: Option<Digest>,
    config: Option<Digest>,
}

/// Questions that are under way. Dropped, they end.
pub(super) struct Asking {
    questions: JoinSet<Vec<Registered>>,
    hosts: Vec<String>,
    /// What is known if no answer comes.
    known: Option<Registered>,
    silent: Arc<std::sync::Mutex<HashSet<String>>>,
}

/// What looking up an image says of its registry: the image that was found and whether it is another one than runs, or why
/// none was. Nothing if the image has not started, or if the registry did not say.
pub(super) fn known(asked: &TaskImage, found: Result<(&Image, bool), &ImageError>) -> Option<Known> {
    let reference = asked.reference.clone();
    let has_tag = pulled_by_tag(&reference);
    let entry = |tag: Option<TagNow>, now: Option<&Digest>, digest| Registered {
        reference,
        tag: tag.filter(|_| has_tag),
        now: now.filter(|_| has_tag).cloned(),
        digest,
    };
    let named = |image: &Image| image.index_digest.as_ref().unwrap_or(&image.manifest_digest).clone();
    let of_image = |digest: Option<Digest>, image: &Image| Running {
        digest,
        manifest: Some(image.manifest_digest.clone()),
        config: Some(image.config_digest.clone()),
    };
    match (&asked.wanted, found) {
        (Wanted::Reference, _) => None,
        (Wanted::Manifest(digest), Ok((image, false))) => Some(Known {
            registered: entry(None, None, Some(DigestNow::Present)),
            running: of_image(Some(digest.clone()), image),
        }),
        (Wanted::Manifest(digest), Ok((image, true))) => Some(Known {
            registered: entry(Some(TagNow::Moved), Some(&named(image)), Some(DigestNow::Gone)),
            running: Running { digest: Some(digest.clone()), ..Running::default() },
        }),
        (Wanted::Config(_), Ok((image, false))) => Some(Known {
            registered: entry(Some(TagNow::Same), Some(&named(image)), Some(DigestNow::Present)),
            running: of_image(None, image),
        }),
        (Wanted::Config(config), Ok((image, true))) => Some(Known {
            registered: entry(Some(TagNow::Moved), Some(&named(image)), None),
            running: Running { config: Some(config.clone()), ..Running::default() },
        }),
        (wanted, Err(error)) if is_gone(error) => {
            let is_known = matches!(wanted, Wanted::Manifest(_));
            Some(Known {
                registered: entry(Some(TagNow::Gone), None, is_known.then_some(DigestNow::Gone)),
                running: Running::default(),
            })
        }
        (_, Err(_)) => None,
    }
}

/// Whether a registry has said that it does not have the image, by its digest or by its tag.
fn is_gone(error: &ImageError) -> bool {
    matches!(error, ImageError::Gone(_) | ImageError::Pull(PullError::NotFound { .. }))
}

/// Whether a pod that is started anew runs what the tag names then.
fn pulled_by_tag(reference: &Reference) -> bool {
    reference.tag.is_some() && reference.digest.is_none()
}

impl Registries {
    pub(super) fn new(registry: Registry, keyring: Arc<Keyring>) -> Self {
        Self { registry, keyring, tags: Arc::default(), silent: Arc::default() }
    }

    /// Begins to ask for what is not known yet.
    pub(super) fn ask(&self, asked: &TaskImage, platform: &Platform, known: Option<Known>) -> Asking {
        let silent = self.silent.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut questions = JoinSet::new();
        let mut hosts = Vec::new();
        let known_entry = known.as_ref().map(|known| known.registered.clone());
        if let Some(known) = known {
            let first = known.registered.reference.clone();
            let others = asked.others.iter().filter(|other| **other != first).take(MAX_OTHERS);
            let references: Vec<Reference> = std::iter::once(&first).chain(others).cloned().collect();
            let answering = references.iter().map(|reference| &reference.repository.registry);
            hosts.extend(answering.filter(|host| !silent.contains(*host)).cloned());
            let question = Question {
                registry: self.registry.clone(),
                keyring: Arc::clone(&self.keyring),
                tags: Arc::clone(&self.tags),
                platform: platform.clone(),
                known,
                silent,
            };
            questions.spawn(async move { question.answers(&references).await });
        }
        Asking { questions, hosts, known: known_entry, silent: Arc::clone(&self.silent) }
    }
}

impl Asking {
    /// The answers, as far as they come in time.
    pub(super) async fn end(mut self) -> Vec<Registered> {
        let answers = match tokio::time::timeout(GRACE, self.questions.join_next()).await {
            Ok(Some(Ok(answers))) => answers,
            Ok(_) => self.known.into_iter().collect(),
            Err(_) => {
                self.silent.lock().unwrap_or_else(PoisonError::into_inner).extend(self.hosts);
                self.known.into_iter().collect()
            }
        };
        answers.into_iter().filter(Registered::is_known).collect()
    }
}

/// What is asked about one image.
struct Question {
    registry: Registry,
    keyring: Arc<Keyring>,
    tags: Arc<Mutex<HashMap<Reference, Named>>>,
    platform: Platform,
    known: Known,
    silent: HashSet<String>,
}

impl Question {
    async fn answers(&self, references: &[Reference]) -> Vec<Registered> {
        let mut answers = Vec::new();
        for reference in references {
            answers.push(self.answer(reference).await);
        }
        answers
    }

    async fn answer(&self, reference: &Reference) -> Registered {
        let known = &self.known.registered;
        if known.reference == *reference && known.tag.is_some() {
            return known.clone();
        }
        let is_silent = self.silent.contains(&reference.repository.registry);
        let is_asked_for = pulled_by_tag(reference) && !is_silent;
        let (tag, now) = if is_asked_for { self.tag(reference).await } else { (None, None) };
        let digest = if known.reference.repository == reference.repository {
            known.digest
        } else if is_silent {
            None
        } else {
            self.digest(reference).await
        };
        Registered { reference: reference.clone(), tag, now, digest }
    }

    /// Whether another repository has what runs.
    async fn digest(&self, reference: &Reference) -> Option<DigestNow> {
        let exact = reference.at(self.known.running.digest.clone()?);
        match self.registry.digest_of(&exact, &self.keyring).await {
            Ok(_) => Some(DigestNow::Present),
            Err(PullError::NotFound { .. }) => Some(DigestNow::Gone),
            Err(_) => None,
        }
    }

    /// Where a tag leads, and what it names.
    async fn tag(&self, reference: &Reference) -> (Option<TagNow>, Option<Digest>) {
        match self.named(reference).await {
            Named::Unknown => (None, None),
            Named::Nothing => (Some(TagNow::Gone), None),
            Named::Digest(now) => match self.leads_to(&reference.at(now.clone())).await {
                Some(tag) => (Some(tag), Some(now)),
                None => (None, None),
            },
        }
    }

    async fn named(&self, reference: &Reference) -> Named {
        // Held while it is asked: images come one after the other.
        let mut tags = self.tags.lock().await;
        if let Some(named) = tags.get(reference) {
            return named.clone();
        }
        let named = match self.registry.digest_of(reference, &self.keyring).await {
            Ok(digest) => Named::Digest(digest),
            Err(PullError::NotFound { .. }) => Named::Nothing,
            Err(_) => Named::Unknown,
        };
        tags.insert(reference.clone(), named.clone());
        named
    }

    /// Whether an index or manifest leads to what runs on this platform. An index that was made anew around the same manifest
    /// does, and so does a manifest that was made anew around the same config, which names what is in every layer.
    async fn leads_to(&self, exact: &Reference) -> Option<TagNow> {
        let Running { digest, manifest, config } = &self.known.running;
        let is_running = |found: Option<&Digest>| {
            found.is_some_and(|found| [digest, manifest].into_iter().flatten().any(|own| own == found))
        };
        if is_running(exact.digest.as_ref()) {
            return Some(TagNow::Same);
        }
        match self.registry.resolve(exact, &self.platform, &self.keyring).await {
            Ok(resolved) => {
                let is_same = is_running(Some(&resolved.manifest_digest))
                    || config.as_ref() == Some(&resolved.manifest.config.digest);
                Some(if is_same { TagNow::Same } else { TagNow::Moved })
            }
            // It leads nowhere: to no image, to none for this platform, or to one whose manifest is not there.
            Err(PullError::Manifest { .. } | PullError::NotFound { .. }) => Some(TagNow::Moved),
            Err(_) => None,
        }
    }
}

#[cfg(test)]
mod tests;
