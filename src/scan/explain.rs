//! How images are asked for: a short pod with the credentials of the workload asks their registries and tells what they said.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::ladder::Ladder;
use super::reading::{interrupted, new_id, settings};
use super::{ReadConfig, ScanError};
use crate::cluster::{self, Connection, FoundSecret, PullCredentials};
use crate::facts::Facts;
use crate::image::{Platform, Reference, RuntimeImage};
use crate::job::{self, GroupEnd, ImageEnd, JobSettings, MEMORY, PodTask, Purpose};
use crate::plan::{Place, Reader};
use crate::registry::{Explanation, Format, Keyring, Registry, Settings, Verdict};
use crate::wire::{DocumentName, TaskImage, Wanted};
use crate::workload::Container;

/// Most images that one pod asks for.
const MAX_EXPLAINED: usize = crate::plan::MAX_PER_POD;

/// Largest explanation that is read, in bytes: hundreds of entries and requests.
const MAX_EXPLANATION: usize = 1 << 20;

/// Whose images are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// Those of what runs in the scope.
    Running,
    /// This one, with the pull secrets that a pod of the namespace would have.
    Image {
        /// The image.
        reference: Box<Reference>,
        /// Pull secrets; those of the namespace's default ServiceAccount if there are none.
        pull_secrets: Vec<String>,
    },
}

/// Who asks the registries.
#[derive(Clone, Debug)]
pub enum Asker {
    /// A pod that mounts the pull secrets, in the network and with the identity that scanner pods have.
    Pod,
    /// This program, from where it is: the pull secrets are read through the API, which takes the right to.
    Here(Box<Settings>),
}

/// What was found out about one image of one set of pull secrets.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExplainedImage {
    /// Namespace of the credentials.
    pub namespace: String,
    /// The image as it is asked for.
    pub image: Reference,
    /// The containers that run it, as `pod/NAME container NAME`.
    pub containers: Vec<String>,
    /// Names of the pull secrets, in the order in which they are tried.
    pub pull_secrets: Vec<String>,
    /// Nodes that have it: they run one of the containers.
    pub nodes: BTreeSet<String>,
    /// Why it is not there, by the kubelets that tried.
    pub troubles: BTreeSet<String>,
    /// What the registry was asked and said, or why nobody could ask.
    pub answer: Result<Box<Explanation>, String>,
}

/// All that was found out.
#[derive(Clone, Debug, Serialize)]
pub struct ExplainedAccess {
    /// Every image.
    pub images: Vec<ExplainedImage>,
    /// What a person should know.
    pub notes: Vec<String>,
}

/// Asks registries, from a pod of each set of pull secrets or from here. Nothing is left of it.
///
/// # Errors
/// There is nothing to ask for, or the API server refused.
pub async fn explain(
    connection: &Connection,
    config: &ReadConfig,
    subject: &Subject,
    who: Asker,
    stop: &CancellationToken,
) -> Result<ExplainedAccess, ScanError> {
    let mut asked = asked(connection, config, subject).await?;
    if let Asker::Here(settings) = who {
        return Ok(asked.answered_here(connection, *settings).await);
    }
    let scan = new_id()?;
    let settings = settings(connection, config, &scan);
    let mut by_place: BTreeMap<Place, Vec<usize>> = BTreeMap::new();
    for (number, image) in asked.images.iter().enumerate() {
        by_place.entry(image.place()).or_default().push(number);
    }
    let mut ladder = Ladder::new(&Facts::default());
    let places = by_place
        .iter()
        .flat_map(|(place, images)| images.chunks(MAX_EXPLAINED).map(move |images| (place, images)));
    let mut number = 0;
    for (place, images) in places {
        let wanted = images.iter().map(|image| asked.wanted[*image].clone()).collect();
        let pod = Pod { connection, settings: &settings, place, timeout: config.timeout, stop };
        let end = pod.ask(wanted, &mut ladder, &mut number).await;
        if stop.is_cancelled() {
            let namespaces = [place.namespace.clone()].into();
            return Err(interrupted(connection, scan, namespaces).await);
        }
        let why = end.problem.as_ref().map(ToString::to_string);
        for (image, end) in images.iter().zip(end.images) {
            asked.images[*image].answer = answer(end, why.as_deref());
        }
        asked.notes.extend(end.notes);
    }
    Ok(ExplainedAccess { images: asked.images, notes: asked.notes })
}

/// What is to be asked for.
struct Asked {
    images: Vec<ExplainedImage>,
    /// The same for the scanner.
    wanted: Vec<TaskImage>,
    notes: Vec<String>,
}

impl Asked {
    /// Asks from here.
    async fn answered_here(mut self, connection: &Connection, settings: Settings) -> ExplainedAccess {
        for (image, wanted) in self.images.iter_mut().zip(&self.wanted) {
            let (keyring, notes) = keyring(connection, image).await;
            self.notes.extend(notes);
            let platform = wanted.platform.clone().unwrap_or_else(Platform::of_this_program);
            image.answer = match Registry::recording(settings.clone()) {
                Ok(registry) => Ok(Box::new(registry.explain(&image.image, &platform, &keyring).await)),
                Err(error) => Err(error.to_string()),
            };
        }
        self.notes.dedup();
        ExplainedAccess { images: self.images, notes: self.notes }
    }
}

/// The pull secrets of an image, read through the API, and what a person should know of them.
async fn keyring(connection: &Connection, image: &ExplainedImage) -> (Keyring, Vec<String>) {
    let (mut keyring, mut notes) = (Keyring::new(), Vec::new());
    for name in &image.pull_secrets {
        match cluster::pull_secret(&connection.client, &image.namespace, name).await {
            Ok(FoundSecret::Pull(PullCredentials { is_docker_cfg, content })) => {
                let format = if is_docker_cfg { Format::DockerCfg } else { Format::DockerConfigJson };
                keyring.add_file(&format!("secret {name:?}"), format, &content);
            }
            // The pod of the workload runs without it, too.
            Ok(FoundSecret::None) => {}
            Ok(FoundSecret::Other(why)) => notes.push(format!("secret {name:?} {why}")),
            Err(error) => notes.push(format!("{error}: {}: it is left out", error.refusal)),
        }
    }
    (keyring, notes)
}

async fn asked(connection: &Connection, config: &ReadConfig, subject: &Subject) -> Result<Asked, ScanError> {
    let client = &connection.client;
    match subject {
        Subject::Running => {
            let mut discovery = cluster::discover(client, &config.scope).await?;
            if let Some(name) = &config.container {
                discovery.containers.retain(|container| container.name == *name);
            }
            let mut troubles = BTreeMap::new();
            for container in discovery.containers.iter().filter(|c| c.runtime == Ok(RuntimeImage::Pending)) {
                let (namespace, pod) = (&container.pod.namespace, &container.pod.name);
                // Who may not read it is told less.
                let found = cluster::pull_troubles(client, namespace, pod).await.unwrap_or_default();
                troubles.extend(found.into_iter().map(|(name, why)| ((pod.clone(), name), why)));
            }
            Ok(of_containers(&discovery.containers, &troubles, discovery.notes))
        }
        Subject::Image { reference, pull_secrets } => {
            let namespace = config.scope.namespace.clone().unwrap_or_default();
            let mut notes = Vec::new();
            let pull_secrets = match pull_secrets.as_slice() {
                [] => {
                    cluster::account_pull_secrets(client, &namespace, "default").await.unwrap_or_else(|error| {
                        notes.push(format!("{error}: {}: no pull secret is tried", error.refusal));
                        Vec::new()
                    })
                }
                named => named.to_vec(),
            };
            let image = ExplainedImage {
                namespace,
                image: (**reference).clone(),
                containers: Vec::new(),
                pull_secrets,
                nodes: BTreeSet::new(),
                troubles: BTreeSet::new(),
                answer: Err(String::new()),
            };
            let wanted = TaskImage {
                reference: (**reference).clone(),
                wanted: Wanted::Reference,
                platform: None,
                others: Vec::new(),
                mount: None,
            };
            Ok(Asked { images: vec![image], wanted: vec![wanted], notes })
        }
    }
}

/// Every image once for each set of pull secrets. Pure.
fn of_containers(
    containers: &[Container],
    troubles: &BTreeMap<(String, String), String>,
    notes: Vec<String>,
) -> Asked {
    let mut asked = Asked { images: Vec::new(), wanted: Vec::new(), notes };
    for container in containers {
        let pod = &container.pod;
        let reference: Reference = match container.image.parse() {
            Ok(reference) => reference,
            Err(error) => {
                asked.notes.push(format!("pod/{} container {}: {error}", pod.name, container.name));
                continue;
            }
        };
        let reference = match &container.runtime {
            Ok(RuntimeImage::Manifest(digest)) if reference.digest.is_none() => {
                Reference { digest: Some(digest.clone()), ..reference }
            }
            _ => reference,
        };
        let is_same = |image: &ExplainedImage| {
            image.image == reference
                && image.namespace == pod.namespace
                && image.pull_secrets == pod.pull_secrets
        };
        let index = asked.images.iter().position(is_same);
        let index = index.unwrap_or_else(|| {
            asked.images.push(ExplainedImage {
                namespace: pod.namespace.clone(),
                image: reference.clone(),
                containers: Vec::new(),
                pull_secrets: pod.pull_secrets.clone(),
                nodes: BTreeSet::new(),
                troubles: BTreeSet::new(),
                answer: Err(String::new()),
            });
            asked.wanted.push(TaskImage {
                wanted: reference.digest.clone().map_or(Wanted::Reference, Wanted::Manifest),
                reference: reference.clone(),
                platform: pod.platform.clone(),
                others: Vec::new(),
                mount: None,
            });
            asked.images.len() - 1
        });
        let image = &mut asked.images[index];
        image.containers.push(format!("pod/{} container {}", pod.name, container.name));
        if matches!(container.runtime, Ok(RuntimeImage::Manifest(_) | RuntimeImage::Config(_))) {
            image.nodes.extend(pod.node.clone());
        }
        image.troubles.extend(troubles.get(&(pod.name.clone(), container.name.clone())).cloned());
    }
    asked
}

impl ExplainedImage {
    /// Whether the registry lets the pod read it.
    #[must_use]
    pub fn is_readable(&self) -> bool {
        let answer = self.answer.as_ref();
        answer.is_ok_and(|told| matches!(told.verdict, Verdict::Readable { .. }))
    }

    fn place(&self) -> Place {
        Place {
            namespace: self.namespace.clone(),
            pull_secrets: self.pull_secrets.clone(),
            secrets_from: None,
            reader: Reader::Stream,
        }
    }
}

/// A pod that asks.
struct Pod<'a> {
    connection: &'a Connection,
    settings: &'a JobSettings,
    place: &'a Place,
    timeout: Duration,
    stop: &'a CancellationToken,
}

impl Pod<'_> {
    /// Asks, as whoever may run there. Jobs are numbered on.
    async fn ask(&self, images: Vec<TaskImage>, ladder: &mut Ladder, number: &mut usize) -> GroupEnd {
        let client = &self.connection.client;
        loop {
            *number += 1;
            // Streams need no more than to run as anybody, so there is always somebody.
            let user = ladder.user(self.place).unwrap_or(job::User::Assigned);
            let task = PodTask {
                purpose: Purpose::Explain,
                number: *number,
                of: 1,
                place: self.place.clone(),
                user,
                tolerations: Vec::new(),
                may_pull: false,
                images: images.clone(),
                memory: MEMORY,
                may_ask_for_memory: false,
                timeout: self.timeout,
                ends_at: (Timestamp::now() + self.timeout).as_second().try_into().unwrap_or_default(),
                owned: Vec::new(),
            };
            let desired = job::Desired::new(task, self.settings);
            let end = job::follow(client, &desired, images.len(), self.timeout, self.stop, |_| {}).await;
            if let Some((name, uid)) = &end.created
                && !self.stop.is_cancelled()
            {
                // What is left of it expires by itself.
                let _ = job::delete(client, &self.place.namespace, name, uid).await;
            }
            let descent = end.problem.as_ref().and_then(|problem| ladder.after(self.place, user, problem));
            if !descent.is_some_and(|descent| descent.is_new) {
                return end;
            }
        }
    }
}

/// The explanation that a scanner has sent, or why there is none. What arrived is untrusted.
fn answer(end: ImageEnd, why: Option<&str>) -> Result<Box<Explanation>, String> {
    let unasked = || why.unwrap_or("the pod that was to ask sent no answer").to_owned();
    match end {
        ImageEnd::Read(_, mut documents) => {
            let document = documents.remove(&DocumentName::Explanation).map(|(_, bytes)| bytes);
            let document = document.filter(|bytes| bytes.len() <= MAX_EXPLANATION).ok_or_else(unasked)?;
            let read = serde_json::from_slice(&document);
            read.map(Box::new).map_err(|error| format!("the scanner's answer cannot be read: {error}"))
        }
        ImageEnd::Failed(failure) => Err(failure.reason),
        ImageEnd::Open | ImageEnd::NotMounted(_) | ImageEnd::Lost | ImageEnd::NotReached => Err(unasked()),
    }
}
