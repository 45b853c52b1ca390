//! The configs of mounted images, from the container that asks registries for them. Welcome, and never waited for long: an
//! image is read without its config too.

use std::time::Duration;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, ResourceExt as _};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::CONFIG_CONTAINER;
use super::follow::{ImageEnd, Progress};
use super::logs::{self, LogEvent, Part};
use crate::cluster::SCAN_LABEL;
use crate::image::registered::Registered;
use crate::wire::{DocumentName, Event, Outcome, Receiver};

/// How long configs are waited for when all images are read.
const GRACE: Duration = Duration::from_secs(1);

/// One document with its version.
type Config = (u32, Vec<u8>);

/// What came of one image.
struct Answer {
    /// What registries hold of it, which may be known although there is no config.
    registry: Vec<Registered>,
    config: Result<(Box<Outcome>, Config), String>,
}

/// The log of the container, and what it brought.
pub(super) struct Configs {
    receiver: Receiver,
    log: Option<mpsc::Receiver<LogEvent>>,
    answers: Vec<Option<Answer>>,
    notes: Vec<String>,
    /// Whether the pod has the container.
    is_there: bool,
    is_expected: bool,
    was_opened: bool,
    ends_at: Option<Instant>,
}

impl Configs {
    /// For the pod of this Job; nothing is expected of one that streams.
    pub(super) fn of(desired: &Job, images: usize) -> Self {
        let pod = desired.spec.as_ref().and_then(|spec| spec.template.spec.as_ref());
        let mut containers = pod.into_iter().flat_map(|pod| &pod.containers);
        let is_there = containers.any(|container| container.name == CONFIG_CONTAINER);
        let scan = desired.labels().get(SCAN_LABEL).cloned().unwrap_or_default();
        Self {
            receiver: Receiver::new(&scan, u32::try_from(images).unwrap_or(u32::MAX)),
            log: None,
            answers: (0..images).map(|_| None).collect(),
            notes: Vec::new(),
            is_there,
            is_expected: is_there,
            was_opened: false,
            ends_at: None,
        }
    }

    /// Opens the log once the container has started.
    pub(super) fn pod_changed(&mut self, pod: &Pod, pods: &Api<Pod>) {
        let statuses = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
        let mut states =
            statuses.filter(|status| status.name == CONFIG_CONTAINER).filter_map(|s| s.state.as_ref());
        let has_started = states.any(|state| state.running.is_some() || state.terminated.is_some());
        if self.is_expected && has_started && !self.was_opened {
            self.was_opened = true;
            let (send, receive) = mpsc::channel(64);
            let whole = Part { follow: true, since: None, after: Duration::ZERO };
            tokio::spawn(logs::read(pods.clone(), pod.name_any(), CONFIG_CONTAINER, whole, send));
            self.log = Some(receive);
        }
    }

    /// Whether there is a log to listen to.
    pub(super) fn is_heard(&self) -> bool {
        self.log.is_some()
    }

    /// The next event of the log.
    pub(super) async fn next(&mut self) -> Option<LogEvent> {
        self.log.as_mut()?.recv().await
    }

    /// Takes in what the log brought.
    pub(super) fn take(&mut self, event: LogEvent) {
        let LogEvent::Line(_, line) = event else {
            self.log = None;
            self.is_expected = false;
            return;
        };
        let (image, answer) = match self.receiver.accept(&line) {
            Event::Image { image, mut outcome, mut documents } => {
                let registry = std::mem::take(&mut outcome.registry);
                let config = documents.remove(&DocumentName::Config);
                let config = config.map(|config| (outcome, config));
                (image, Answer { registry, config: config.ok_or_else(|| "no config was sent".to_owned()) })
            }
            Event::Failed { image, failure } => {
                (image, Answer { registry: failure.registry, config: Err(failure.reason) })
            }
            Event::Began { generator: _, notes } => {
                self.notes.extend(notes);
                return;
            }
            _ => return,
        };
        if let Some(place) = usize::try_from(image).ok().and_then(|image| self.answers.get_mut(image)) {
            *place = Some(answer);
        }
        if self.receiver.is_complete() {
            self.is_expected = false;
        }
    }

    /// All images are read: from now on configs are waited for only so long.
    pub(super) fn expect_end(&mut self) {
        self.ends_at.get_or_insert(Instant::now() + GRACE);
    }

    /// When they are not waited for any longer, if nothing else is.
    pub(super) fn ends_at(&self) -> Option<Instant> {
        self.ends_at
    }

    /// Whether nothing more will come.
    pub(super) fn are_over(&self) -> bool {
        !self.is_expected
    }

    /// What a person should know of the container's credentials.
    pub(super) fn take_notes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notes)
    }

    /// Lays the configs beside what was read; says what is missing.
    pub(super) fn add_to(self, images: &mut [ImageEnd], on: &impl Fn(Progress)) {
        for (end, answer) in images.iter_mut().zip(self.answers) {
            let ImageEnd::Read(outcome, documents) = end else { continue };
            let (registry, config) = match answer {
                Some(Answer { registry, config }) => (registry, Some(config)),
                None => (Vec::new(), None),
            };
            // What reads the image was told no credential: only the other container can know.
            if self.is_there {
                outcome.registry = registry;
            }
            match config {
                _ if documents.contains_key(&DocumentName::Config) => {}
                Some(Ok((of_config, config))) => {
                    outcome.reference = of_config.reference;
                    outcome.manifest = outcome.manifest.take().or(of_config.manifest);
                    outcome.config = outcome.config.take().or(of_config.config);
                    documents.insert(DocumentName::Config, config);
                }
                missing => {
                    let why =
                        missing.and_then(Result::err).unwrap_or_else(|| "it did not come in time".to_owned());
                    on(Progress::Detail(format!("config of {} is not known: {why}", outcome.reference)));
                }
            }
        }
    }
}
