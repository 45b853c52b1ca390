//! The containers of a scanner pod and what is mounted into them.
//!
//! A pod that streams has one container. One that mounts images has two: the one that reads hostile content holds no
//! credential, and the one that asks registries for configs, which are in no mount, holds the credentials and sees no image.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Capabilities, Container, EnvVar, ImageVolumeSource, ResourceRequirements, SecretVolumeSource,
    SecurityContext, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::super::{CONFIG_CONTAINER, CONTAINER, MEMORY, SCANNER};
use super::network::network_mounts;
use super::{JobSettings, PodTask, Purpose, UID, User};
use crate::image::Reference;
use crate::network::Network;
use crate::wire::{DocumentName, LOG_BUDGET, LOG_BUDGET_ALONE, PullSecret, Task, TaskImage, Wanted};

/// Folder below which each pull secret is mounted.
pub(in crate::job) const SECRETS: &str = "/run/clarity/pull-secrets";

/// Folder below which each image is mounted.
const IMAGES: &str = "/run/clarity/images";

/// Memory of the container that asks for configs, in bytes: they are small, and come one after the other.
const CONFIG_MEMORY: u64 = 64 << 20;

/// One container of the pod, in what it differs from the other.
struct Part {
    name: &'static str,
    documents: Vec<DocumentName>,
    images: Vec<TaskImage>,
    has_images: bool,
    cpu: (&'static str, &'static str),
    memory: u64,
}

/// The name by which the kubelet mounts an image: by digest the very one that runs. An image that was loaded by hand is known
/// by its config alone.
fn volume_reference(image: &TaskImage) -> String {
    match &image.wanted {
        Wanted::Manifest(digest) => image.reference.at(digest.clone()).to_string(),
        Wanted::Config(digest) => digest.to_string(),
        Wanted::Reference => image.reference.to_string(),
    }
}

/// The images of a task with the folders in which they are mounted, if they are.
pub(super) fn with_mounts(task: &PodTask) -> Vec<TaskImage> {
    let mount = |number| task.place.is_mount().then(|| format!("{IMAGES}/{number}"));
    let images = task.images.iter().enumerate();
    images.map(|(number, image)| TaskImage { mount: mount(number), ..image.clone() }).collect()
}

/// A Secret of the pod.
pub(super) struct PodSecret {
    /// Its name.
    pub(super) name: String,
    /// For one with which images are pulled: what the scanner is told of it.
    pub(super) pull: Option<PullSecret>,
    volume: String,
    folder: String,
    /// Whether the pod waits for it.
    is_required: bool,
}

/// All Secrets of the pod, in the order in which they are tried.
pub(super) fn secrets(task: &PodTask, settings: &JobSettings) -> Vec<PodSecret> {
    let has_copies = task.place.secrets_from.is_some();
    let of_workload = task.place.pull_secrets.iter().filter(|_| !has_copies).enumerate();
    let of_workload = of_workload.map(|(number, name)| {
        let folder = format!("{SECRETS}/{number}");
        PodSecret {
            name: name.clone(),
            pull: Some(PullSecret { name: name.clone(), namespace: None, folder: folder.clone() }),
            volume: format!("pull-{number}"),
            folder,
            // The pod of the workload runs without a secret that does not exist, so ours does too.
            is_required: false,
        }
    });
    let job = task.name(settings);
    let owned = task.owned.iter().map(|secret| PodSecret {
        name: secret.name(&job),
        pull: secret.copy_of.as_ref().map(|original| PullSecret {
            name: original.name.clone(),
            namespace: Some(original.namespace.clone()),
            folder: secret.folder.clone(),
        }),
        volume: secret.suffix.clone(),
        folder: secret.folder.clone(),
        is_required: true,
    });
    of_workload.chain(owned).collect()
}

/// All volumes of the pod.
pub(super) fn volumes(task: &PodTask, secrets: &[PodSecret]) -> Vec<Volume> {
    let secrets = secrets.iter().map(|secret| Volume {
        name: secret.volume.clone(),
        secret: Some(SecretVolumeSource {
            secret_name: Some(secret.name.clone()),
            optional: Some(!secret.is_required),
            default_mode: Some(0o444),
            ..SecretVolumeSource::default()
        }),
        ..Volume::default()
    });
    let mounted = task.images.iter().filter(|_| task.place.is_mount()).enumerate();
    let images = mounted.map(|(number, image)| Volume {
        name: image_volume(number),
        image: Some(ImageVolumeSource {
            reference: Some(volume_reference(image)),
            // What the node has lost meanwhile is streamed: nothing is pulled by surprise.
            pull_policy: Some(if task.may_pull { "IfNotPresent" } else { "Never" }.to_owned()),
        }),
        ..Volume::default()
    });
    secrets.chain(images).collect()
}

fn image_volume(number: usize) -> String {
    format!("image-{number}")
}

/// The containers, the one that reads images first.
pub(super) fn containers(task: &PodTask, settings: &JobSettings, secrets: &[PodSecret]) -> Vec<Container> {
    if task.purpose == Purpose::Explain {
        return vec![container(&explanation(task), task, settings, secrets)];
    }
    let memory = task.memory.max(MEMORY);
    let scan = Part {
        name: CONTAINER,
        documents: vec![DocumentName::Sbom, DocumentName::Config],
        images: with_mounts(task),
        has_images: false,
        cpu: ("100m", "2"),
        memory,
    };
    if !task.place.is_mount() {
        return vec![container(&scan, task, settings, secrets)];
    }
    let scan = Part { documents: vec![DocumentName::Sbom], has_images: true, ..scan };
    let config = Part {
        name: CONFIG_CONTAINER,
        documents: vec![DocumentName::Config],
        images: task.images.clone(),
        has_images: false,
        cpu: ("10m", "1"),
        memory: CONFIG_MEMORY,
    };
    vec![container(&scan, task, settings, &[]), container(&config, task, settings, secrets)]
}

/// The one container of a pod that asks registries and reads nothing.
fn explanation(task: &PodTask) -> Part {
    Part {
        name: CONTAINER,
        documents: vec![DocumentName::Explanation],
        images: task.images.clone(),
        has_images: false,
        cpu: ("10m", "1"),
        memory: CONFIG_MEMORY,
    }
}

fn container(part: &Part, task: &PodTask, settings: &JobSettings, secrets: &[PodSecret]) -> Container {
    let mount = |name: String, mount_path: String| VolumeMount {
        name,
        mount_path,
        read_only: Some(true),
        ..VolumeMount::default()
    };
    let folders = secrets.iter().map(|secret| mount(secret.volume.clone(), secret.folder.clone()));
    let images = part.images.iter().filter(|_| part.has_images).enumerate();
    let images = images.filter_map(|(number, image)| Some(mount(image_volume(number), image.mount.clone()?)));
    let network = network_mounts(&settings.network).into_iter().filter(|_| !part.has_images);
    let mounts: Vec<VolumeMount> = folders.chain(images).chain(network).collect();
    let told = Task {
        scan: settings.scan.clone(),
        images: part.images.clone(),
        documents: part.documents.clone(),
        pull_secrets: secrets.iter().filter_map(|secret| secret.pull.clone()).collect(),
        // What reads images asks no registry.
        network: if part.has_images { Network::default() } else { settings.network.clone() },
        timeout_seconds: task.timeout.as_secs(),
        ends_at: task.ends_at,
        log_budget: if task.images.len() == 1 { LOG_BUDGET_ALONE } else { LOG_BUDGET },
        may_ask_for_memory: task.may_ask_for_memory,
    };
    let told = serde_json::to_string(&told).expect("a task holds only strings and numbers");
    let quantities = |cpu: &str| {
        let memory = Quantity(part.memory.to_string());
        BTreeMap::from([("cpu".to_owned(), Quantity(cpu.to_owned())), ("memory".to_owned(), memory)])
    };
    Container {
        name: part.name.to_owned(),
        image: Some(settings.scanner_image.clone()),
        image_pull_policy: Some(pull_policy(&settings.scanner_image).to_owned()),
        command: Some(vec![SCANNER.to_owned(), "run".to_owned()]),
        env: Some(vec![EnvVar { name: Task::VARIABLE.to_owned(), value: Some(told), value_from: None }]),
        resources: Some(ResourceRequirements {
            requests: Some(quantities(part.cpu.0)),
            limits: Some(quantities(part.cpu.1)),
            ..ResourceRequirements::default()
        }),
        security_context: Some(security_context(part, task.user)),
        volume_mounts: (!mounts.is_empty()).then_some(mounts),
        ..Container::default()
    }
}

/// Only what reads images needs to be root of the user namespace.
fn security_context(part: &Part, user: User) -> SecurityContext {
    let is_root = user == User::RootOfNamespace && part.has_images;
    let is_another = user == User::RootOfNamespace && !part.has_images;
    SecurityContext {
        allow_privilege_escalation: Some(false),
        read_only_root_filesystem: Some(true),
        run_as_non_root: (!is_root).then_some(true),
        run_as_user: is_another.then_some(UID),
        run_as_group: is_another.then_some(UID),
        capabilities: Some(Capabilities { drop: Some(vec!["ALL".to_owned()]), add: None }),
        ..SecurityContext::default()
    }
}

/// What Kubernetes itself would choose, said so that a change of it can be seen.
pub(in crate::job) fn pull_policy(image: &str) -> &'static str {
    let is_latest = image
        .parse::<Reference>()
        .is_ok_and(|image| image.digest.is_none() && image.tag.as_deref().is_none_or(|tag| tag == "latest"));
    if is_latest { "Always" } else { "IfNotPresent" }
}
