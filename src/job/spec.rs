//! The shape of a scanner Job. Pure, and the only place that knows it.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::batch::v1::{Job, JobSpec};
use k8s_openapi::api::core::v1::{
    Capabilities, Container, EnvVar, LocalObjectReference, PodSecurityContext, PodSpec, PodTemplateSpec,
    ResourceRequirements, SeccompProfile, SecretVolumeSource, SecurityContext, Toleration, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::{
    CONTAINER, GROUP_ANNOTATION, IMAGES_ANNOTATION, JOB_LABEL, MEMORY, REQUESTER_ANNOTATION, SCANNER,
    SCOPE_ANNOTATION,
};
use crate::cluster::{NAME, SCAN_LABEL};
use crate::image::Reference;
use crate::plan::Place;
use crate::wire::{LOG_BUDGET, LOG_BUDGET_ALONE, Task, TaskImage};

/// Folder below which each pull secret is mounted.
const SECRETS: &str = "/run/clarity/pull-secrets";

/// Seconds that a finished Job stays if nobody deletes it.
const TTL_SECONDS: i32 = 300;

/// Seconds that a finished Job stays which is to be looked at.
const KEPT_SECONDS: i32 = 24 * 60 * 60;

/// User and group of the scanner: `nobody` of distroless images, no user of any host.
const UID: i64 = 65532;

/// What all Jobs of a scan share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobSettings {
    /// The scan's id.
    pub scan: String,
    /// Image that holds `/clarity-scan`.
    pub scanner_image: String,
    /// Secret for pulling it where the workload's own do not serve.
    pub scanner_pull_secret: Option<String>,
    /// ServiceAccount of the pods; the namespace's default one without it. Its token is not mounted.
    pub service_account: Option<String>,
    /// Extra root certificates of registries, PEM.
    pub registry_ca: Option<String>,
    /// Whether Jobs may stay for a look at them.
    pub keep: bool,
    /// Who asked, for the annotation.
    pub requester: String,
    /// Scope, for the annotation.
    pub scope: String,
}

/// One pod's work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodTask {
    /// Number of the Job within the scan, from 1: part of its name.
    pub number: usize,
    /// Jobs planned at the start.
    pub of: usize,
    /// Where it runs.
    pub place: Place,
    /// What it reads.
    pub images: Vec<TaskImage>,
    /// Memory limit in bytes.
    pub memory: u64,
    /// Whether an image that needs more may get it in another pod.
    pub may_ask_for_memory: bool,
    /// Time for all its images.
    pub timeout: Duration,
    /// When it ends, in seconds since 1970.
    pub ends_at: u64,
}

/// Builds the Job for one group of images.
///
/// The pod passes Pod Security `restricted`, holds no token, and ends by itself before its deadlines: first the
/// scanner (which says why), then the pod's deadline (its log stays), last the Job's (pod and log are deleted).
#[must_use]
pub fn desired_job(task: &PodTask, settings: &JobSettings) -> Job {
    let labels = BTreeMap::from([
        ("app.kubernetes.io/name".to_owned(), NAME.to_owned()),
        ("app.kubernetes.io/managed-by".to_owned(), NAME.to_owned()),
        (SCAN_LABEL.to_owned(), settings.scan.clone()),
    ]);
    let images = serde_json::to_string(&task.images).expect("image lists hold only strings");
    let annotations = BTreeMap::from([
        (IMAGES_ANNOTATION.to_owned(), images),
        (GROUP_ANNOTATION.to_owned(), format!("{}/{}", task.number, task.of.max(task.number))),
        (REQUESTER_ANNOTATION.to_owned(), settings.requester.clone()),
        (SCOPE_ANNOTATION.to_owned(), settings.scope.clone()),
    ]);
    let name = format!("clarity-{}-{}", settings.scan, task.number);
    let mut pod_labels = labels.clone();
    pod_labels.insert(JOB_LABEL.to_owned(), name.clone());
    // Where a mesh's webhook selects pods, it is by label.
    pod_labels.insert("sidecar.istio.io/inject".to_owned(), "false".to_owned());
    pod_labels.insert("kuma.io/sidecar-injection".to_owned(), "disabled".to_owned());
    let seconds = i64::try_from(task.timeout.as_secs()).unwrap_or(i64::MAX / 2);
    Job {
        metadata: ObjectMeta {
            name: Some(name),
            namespace: Some(task.place.namespace.clone()),
            labels: Some(labels),
            annotations: Some(annotations),
            ..ObjectMeta::default()
        },
        spec: Some(JobSpec {
            // Retries are ours: they need to know which image it was.
            backoff_limit: Some(0),
            active_deadline_seconds: Some(seconds + 60),
            ttl_seconds_after_finished: Some(if settings.keep { KEPT_SECONDS } else { TTL_SECONDS }),
            template: PodTemplateSpec {
                metadata: Some(ObjectMeta {
                    labels: Some(pod_labels),
                    annotations: Some(without_sidecars()),
                    ..ObjectMeta::default()
                }),
                spec: Some(pod(task, settings, seconds + 30)),
            },
            ..JobSpec::default()
        }),
        ..Job::default()
    }
}

/// Annotations by which service meshes leave a pod alone: a sidecar would outlive the scanner.
fn without_sidecars() -> BTreeMap<String, String> {
    [
        ("sidecar.istio.io/inject", "false"),
        ("linkerd.io/inject", "disabled"),
        ("kuma.io/sidecar-injection", "disabled"),
        ("consul.hashicorp.com/connect-inject", "false"),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into()
}

fn pod(task: &PodTask, settings: &JobSettings, deadline: i64) -> PodSpec {
    let secrets = &task.place.pull_secrets;
    let volumes = secrets.iter().enumerate().map(|(n, secret)| Volume {
        name: format!("pull-{n}"),
        secret: Some(SecretVolumeSource {
            secret_name: Some(secret.clone()),
            // The pod of the workload runs without a secret that does not exist, so ours does too.
            optional: Some(true),
            default_mode: Some(0o444),
            ..SecretVolumeSource::default()
        }),
        ..Volume::default()
    });
    let pull = settings.scanner_pull_secret.iter().chain(secrets);
    let pull: Vec<_> = pull.map(|name| LocalObjectReference { name: name.clone() }).collect();
    PodSpec {
        containers: vec![container(task, settings)],
        restart_policy: Some("Never".to_owned()),
        active_deadline_seconds: Some(deadline),
        termination_grace_period_seconds: Some(2),
        automount_service_account_token: Some(false),
        service_account_name: settings.service_account.clone(),
        enable_service_links: Some(false),
        image_pull_secrets: (!pull.is_empty()).then_some(pull),
        node_selector: Some(BTreeMap::from([("kubernetes.io/os".to_owned(), "linux".to_owned())])),
        tolerations: Some(vec![Toleration {
            // Architectures are tainted on some providers; any Linux node can read any image.
            key: Some("kubernetes.io/arch".to_owned()),
            operator: Some("Exists".to_owned()),
            effect: Some("NoSchedule".to_owned()),
            ..Toleration::default()
        }]),
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(true),
            run_as_user: Some(UID),
            run_as_group: Some(UID),
            seccomp_profile: Some(SeccompProfile {
                type_: "RuntimeDefault".to_owned(),
                localhost_profile: None,
            }),
            ..PodSecurityContext::default()
        }),
        volumes: (!secrets.is_empty()).then(|| volumes.collect()),
        ..PodSpec::default()
    }
}

fn container(task: &PodTask, settings: &JobSettings) -> Container {
    let folders: Vec<String> = (0..task.place.pull_secrets.len()).map(|n| format!("{SECRETS}/{n}")).collect();
    let mounts = folders.iter().enumerate().map(|(n, folder)| VolumeMount {
        name: format!("pull-{n}"),
        mount_path: folder.clone(),
        read_only: Some(true),
        ..VolumeMount::default()
    });
    let mounts: Vec<_> = mounts.collect();
    let told = Task {
        scan: settings.scan.clone(),
        images: task.images.clone(),
        pull_secrets: folders,
        registry_ca: settings.registry_ca.clone(),
        timeout_seconds: task.timeout.as_secs(),
        ends_at: task.ends_at,
        log_budget: if task.images.len() == 1 { LOG_BUDGET_ALONE } else { LOG_BUDGET },
        may_ask_for_memory: task.may_ask_for_memory,
    };
    let told = serde_json::to_string(&told).expect("a task holds only strings and numbers");
    let memory = Quantity(task.memory.max(MEMORY).to_string());
    let quantities = |cpu: &str, memory: Quantity| {
        BTreeMap::from([("cpu".to_owned(), Quantity(cpu.to_owned())), ("memory".to_owned(), memory)])
    };
    Container {
        name: CONTAINER.to_owned(),
        image: Some(settings.scanner_image.clone()),
        image_pull_policy: Some(pull_policy(&settings.scanner_image).to_owned()),
        command: Some(vec![SCANNER.to_owned(), "run".to_owned()]),
        env: Some(vec![EnvVar { name: Task::VARIABLE.to_owned(), value: Some(told), value_from: None }]),
        resources: Some(ResourceRequirements {
            requests: Some(quantities("100m", memory.clone())),
            limits: Some(quantities("2", memory)),
            ..ResourceRequirements::default()
        }),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            read_only_root_filesystem: Some(true),
            run_as_non_root: Some(true),
            capabilities: Some(Capabilities { drop: Some(vec!["ALL".to_owned()]), add: None }),
            ..SecurityContext::default()
        }),
        volume_mounts: (!mounts.is_empty()).then_some(mounts),
        ..Container::default()
    }
}

/// What Kubernetes itself would choose, said so that a change of it can be seen.
fn pull_policy(image: &str) -> &'static str {
    let is_latest = image
        .parse::<Reference>()
        .is_ok_and(|image| image.digest.is_none() && image.tag.as_deref().is_none_or(|tag| tag == "latest"));
    if is_latest { "Always" } else { "IfNotPresent" }
}

/// What admission changed in a pod, in words: webhooks inject containers, rewrite images, drop fields.
///
/// Only what bears on the scan is compared; defaults and what the service account adds are no changes.
#[must_use]
pub fn alterations(desired: &Job, actual: &PodSpec) -> Vec<String> {
    let template = desired.spec.as_ref().and_then(|spec| spec.template.spec.as_ref());
    let Some(desired) = template else { return Vec::new() };
    let mut notes = Vec::new();
    for extra in actual.containers.iter().filter(|container| container.name != CONTAINER) {
        notes.push(format!("admission added the container {:?} to the scanner pod", extra.name));
    }
    for extra in actual.init_containers.iter().flatten() {
        notes.push(format!("admission added the init container {:?} to the scanner pod", extra.name));
    }
    let scanner = |spec: &PodSpec| spec.containers.iter().find(|c| c.name == CONTAINER).cloned();
    let (Some(before), Some(after)) = (scanner(desired), scanner(actual)) else {
        notes.push("admission removed the scanner's container".to_owned());
        return notes;
    };
    if before.image != after.image {
        let image = after.image.as_deref().unwrap_or_default();
        notes.push(format!("admission changed the scanner's image to {image:?}"));
    }
    if before.command != after.command || !is_told_the_same(&before, &after) {
        notes.push("admission changed what the scanner is told to do".to_owned());
    }
    if before.image_pull_policy != after.image_pull_policy {
        let policy = after.image_pull_policy.as_deref().unwrap_or_default();
        notes.push(format!("admission changed the scanner's pull policy to {policy}"));
    }
    let memory = |c: &Container| c.resources.as_ref()?.limits.as_ref()?.get("memory").cloned();
    if let Some(limit) = memory(&after).filter(|limit| bytes(memory(&before).as_ref()) > bytes(Some(limit))) {
        notes.push(format!("admission lowered the scanner's memory limit to {}", limit.0));
    }
    if after.security_context.is_none() && actual.security_context.is_none() {
        notes.push("admission removed the scanner's security context".to_owned());
    }
    if desired.automount_service_account_token != actual.automount_service_account_token {
        notes.push("admission gave the scanner pod a token of the API, which it does not need".to_owned());
    }
    let mounted = after.volume_mounts.iter().flatten().map(|mount| &mount.name).collect::<Vec<_>>();
    for mount in before.volume_mounts.iter().flatten().filter(|mount| !mounted.contains(&&mount.name)) {
        notes.push(format!("admission removed the mount {} of a pull secret", mount.mount_path));
    }
    notes
}

/// Whether all variables that were set are still set to the same; added ones do no harm.
fn is_told_the_same(before: &Container, after: &Container) -> bool {
    let variables: Vec<&EnvVar> = after.env.iter().flatten().collect();
    before.env.iter().flatten().all(|variable| variables.contains(&variable))
}

/// Bytes of a memory quantity; none where it is not written in plain bytes, `Ki`, `Mi` or `Gi`.
fn bytes(quantity: Option<&Quantity>) -> Option<u64> {
    let text = quantity?.0.as_str();
    let unit = |suffix: &str, shift: u32| text.strip_suffix(suffix)?.parse::<u64>().ok()?.checked_shl(shift);
    unit("Gi", 30).or_else(|| unit("Mi", 20)).or_else(|| unit("Ki", 10)).or_else(|| text.parse().ok())
}

#[cfg(test)]
mod tests;
