//! The shape of a scanner Job. Pure, and the only place that knows it.

mod alterations;
mod containers;
mod network;

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::batch::v1::{Job, JobSpec};
use k8s_openapi::api::core::v1::{
    Affinity, LocalObjectReference, NodeAffinity, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm,
    PodSecurityContext, PodSpec, PodTemplateSpec, SeccompProfile, Toleration,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::owned::OwnedSecret;
use super::{
    CONTAINER, GROUP_ANNOTATION, IMAGES_ANNOTATION, JOB_LABEL, REQUESTER_ANNOTATION, SCOPE_ANNOTATION,
    SELECTION_ANNOTATION,
};
use crate::cluster::{NAME, SCAN_LABEL, SCHEDULE_LABEL};
use crate::facts;
use crate::network::Network;
use crate::plan::Place;
use crate::wire::TaskImage;

pub use alterations::Distrust;
pub(super) use alterations::{alterations, distrust};
pub(super) use containers::{SECRETS, pull_policy};
pub use network::{host_aliases, network_mounts, network_volumes};

/// Seconds that a finished Job stays if nobody deletes it.
const TTL_SECONDS: i32 = 300;

/// Seconds that a finished Job stays which is to be looked at.
const KEPT_SECONDS: i32 = 24 * 60 * 60;

/// User and group of the scanner: `nobody` of distroless images, no user of any host.
const UID: i64 = 65532;

/// As whom the scanner runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum User {
    /// User 0 of a user namespace, without capabilities: it may read what root of the image owns, and is nobody on the node.
    RootOfNamespace,
    /// User 65532, whom no host has.
    Nobody,
    /// Whoever the cluster says: some assign a range of users to each namespace and admit no other.
    Assigned,
}

impl User {
    pub(super) fn uid(self) -> Option<i64> {
        match self {
            Self::RootOfNamespace => Some(0),
            Self::Nobody => Some(UID),
            Self::Assigned => None,
        }
    }
}

impl std::fmt::Display for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::RootOfNamespace => write!(f, "root of a user namespace"),
            Self::Nobody => write!(f, "user {UID}"),
            Self::Assigned => write!(f, "the user that the cluster assigns"),
        }
    }
}

/// What a pod is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To read images.
    Read,
    /// To tell how their registries are asked, and what they say.
    Explain,
}

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
    /// How registries are reached.
    pub network: Network,
    /// Whether Jobs may stay for a look at them.
    pub keep: bool,
    /// Who asked, for the annotation.
    pub requester: String,
    /// Scope, for the annotation.
    pub scope: String,
    /// The schedule that the scan belongs to.
    pub schedule: Option<String>,
    /// Scope as [`crate::cluster::Scope::to_json`] writes it, for whoever takes the scan up again.
    pub selection: String,
}

/// One pod's work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodTask {
    /// What it is made for.
    pub purpose: Purpose,
    /// Number of the Job within the scan, from 1: part of its name.
    pub number: usize,
    /// Jobs planned at the start.
    pub of: usize,
    /// Where it runs.
    pub place: Place,
    /// As whom it runs.
    pub user: User,
    /// What it must tolerate to be placed on its node.
    pub tolerations: Vec<facts::Toleration>,
    /// Whether the kubelet may pull an image that it is to mount and does not have.
    pub may_pull: bool,
    /// What it reads; where mounts are is filled in.
    pub images: Vec<TaskImage>,
    /// Memory limit in bytes.
    pub memory: u64,
    /// Whether an image that needs more may get it in another pod.
    pub may_ask_for_memory: bool,
    /// Time for all its images.
    pub timeout: Duration,
    /// When it ends, in seconds since 1970.
    pub ends_at: u64,
    /// Secrets that are made for it. Where the pull secrets of its place are in another namespace, the copies are among them.
    pub owned: Vec<OwnedSecret>,
}

/// What is to be created for a pod.
#[derive(Clone, Debug, PartialEq)]
pub struct Desired {
    /// The Job, which comes first.
    pub job: Job,
    /// The Secrets that its pod waits for.
    pub secrets: Vec<OwnedSecret>,
}

impl Desired {
    /// What a task takes.
    #[must_use]
    pub fn new(task: PodTask, settings: &JobSettings) -> Self {
        Self { job: desired_job(&task, settings), secrets: task.owned }
    }
}

/// Builds the Job for one group of images.
///
/// The pod passes Pod Security `restricted`, holds no token, and ends by itself before its deadlines: first the
/// scanner (which says why), then the pod's deadline (its log stays), last the Job's (pod and log are deleted).
#[must_use]
pub fn desired_job(task: &PodTask, settings: &JobSettings) -> Job {
    let labels = labels(settings);
    let images = serde_json::to_string(&containers::with_mounts(task)).expect("image lists hold only strings");
    let annotations = BTreeMap::from([
        (IMAGES_ANNOTATION.to_owned(), images),
        (GROUP_ANNOTATION.to_owned(), format!("{}/{}", task.number, task.of.max(task.number))),
        (REQUESTER_ANNOTATION.to_owned(), settings.requester.clone()),
        (SCOPE_ANNOTATION.to_owned(), settings.scope.clone()),
        (SELECTION_ANNOTATION.to_owned(), settings.selection.clone()),
    ]);
    let name = task.name(settings);
    let mut pod_labels = pod_labels(&labels, &name);
    if settings.service_account.is_some() {
        // Azure's webhook wants to be asked by the pod too; those of the other clouds look at the account alone.
        pod_labels.insert("azure.workload.identity/use".to_owned(), "true".to_owned());
    }
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
                    annotations: Some(pod_annotations(task)),
                    ..ObjectMeta::default()
                }),
                spec: Some(pod(task, settings, seconds + 30)),
            },
            ..JobSpec::default()
        }),
        ..Job::default()
    }
}

impl PodTask {
    /// The name of its Job.
    fn name(&self, settings: &JobSettings) -> String {
        format!("clarity-{}-{}", settings.scan, self.number)
    }
}

/// Labels of everything that a scan creates.
pub(super) fn labels(settings: &JobSettings) -> BTreeMap<String, String> {
    let labels = [
        ("app.kubernetes.io/name".to_owned(), NAME.to_owned()),
        ("app.kubernetes.io/managed-by".to_owned(), NAME.to_owned()),
        (SCAN_LABEL.to_owned(), settings.scan.clone()),
    ];
    let schedule = settings.schedule.iter().map(|name| (SCHEDULE_LABEL.to_owned(), name.clone()));
    labels.into_iter().chain(schedule).collect()
}

/// Labels of the pod of a Job.
pub(super) fn pod_labels(labels: &BTreeMap<String, String>, job: &str) -> BTreeMap<String, String> {
    let mut labels = labels.clone();
    labels.insert(JOB_LABEL.to_owned(), job.to_owned());
    // Where a mesh's webhook selects pods, it is by label.
    labels.insert("sidecar.istio.io/inject".to_owned(), "false".to_owned());
    labels.insert("kuma.io/sidecar-injection".to_owned(), "disabled".to_owned());
    labels
}

/// Annotations by which webhooks leave the pod alone, or the container that reads mounted images: it is to hold no
/// credential, so that none of a cloud's identities may be put into it either.
fn pod_annotations(task: &PodTask) -> BTreeMap<String, String> {
    let skip = ["eks.amazonaws.com/skip-containers", "azure.workload.identity/skip-containers"];
    let skip = skip.into_iter().filter(|_| task.place.is_mount());
    let skip = skip.map(|key| (key.to_owned(), CONTAINER.to_owned()));
    without_sidecars().into_iter().chain(skip).collect()
}

/// Annotations by which service meshes leave a pod alone: a sidecar would outlive the scanner.
pub(super) fn without_sidecars() -> BTreeMap<String, String> {
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
    let secrets = containers::secrets(task, settings);
    let of_workload = secrets.iter().filter(|secret| secret.pull.is_some()).map(|secret| &secret.name);
    let pull = settings.scanner_pull_secret.iter().chain(of_workload);
    let pull: Vec<_> = pull.map(|name| LocalObjectReference { name: name.clone() }).collect();
    let mut volumes = containers::volumes(task, &secrets);
    volumes.extend(network_volumes(&settings.network));
    PodSpec {
        containers: containers::containers(task, settings, &secrets),
        restart_policy: Some("Never".to_owned()),
        active_deadline_seconds: Some(deadline),
        termination_grace_period_seconds: Some(2),
        automount_service_account_token: Some(false),
        service_account_name: settings.service_account.clone(),
        enable_service_links: Some(false),
        host_aliases: host_aliases(&settings.network),
        // For the scanner's own image, and for the kubelet, which mounts an image only for a pod that could pull it.
        image_pull_secrets: (!pull.is_empty()).then_some(pull),
        node_selector: Some(BTreeMap::from([("kubernetes.io/os".to_owned(), "linux".to_owned())])),
        affinity: task.place.node().map(bound_to),
        tolerations: Some(tolerations(task)),
        host_users: (task.user == User::RootOfNamespace).then_some(false),
        security_context: Some(PodSecurityContext {
            run_as_non_root: (task.user != User::RootOfNamespace).then_some(true),
            run_as_user: task.user.uid(),
            run_as_group: task.user.uid(),
            seccomp_profile: Some(SeccompProfile {
                type_: "RuntimeDefault".to_owned(),
                localhost_profile: None,
            }),
            ..PodSecurityContext::default()
        }),
        volumes: (!volumes.is_empty()).then_some(volumes),
        ..PodSpec::default()
    }
}

/// Required affinity to one node by its name: not by a label, which a node may share or lack.
fn bound_to(node: &str) -> Affinity {
    let by_name = NodeSelectorRequirement {
        key: "metadata.name".to_owned(),
        operator: "In".to_owned(),
        values: Some(vec![node.to_owned()]),
    };
    let term = NodeSelectorTerm { match_fields: Some(vec![by_name]), match_expressions: None };
    Affinity {
        node_affinity: Some(NodeAffinity {
            required_during_scheduling_ignored_during_execution: Some(NodeSelector {
                node_selector_terms: vec![term],
            }),
            ..NodeAffinity::default()
        }),
        ..Affinity::default()
    }
}

/// Architectures are tainted on some providers; any Linux node can stream any image, and run the scanner's.
pub(super) fn any_architecture() -> Toleration {
    Toleration {
        key: Some("kubernetes.io/arch".to_owned()),
        operator: Some("Exists".to_owned()),
        effect: Some("NoSchedule".to_owned()),
        ..Toleration::default()
    }
}

fn tolerations(task: &PodTask) -> Vec<Toleration> {
    let of_the_node = task.tolerations.iter().map(|toleration| Toleration {
        key: toleration.key.clone(),
        operator: toleration.operator.clone(),
        value: toleration.value.clone(),
        effect: toleration.effect.clone(),
        toleration_seconds: None,
    });
    std::iter::once(any_architecture()).chain(of_the_node).collect()
}

#[cfg(test)]
mod tests;
