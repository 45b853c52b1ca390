//! The runner: a pod that scans in the place of a person, once without waiting for anybody, or by a schedule.
//! Pure, and the only place that knows its shape.
//!
//! It runs `kubectl-clarity scan` from the scanner's image under a ServiceAccount of its own, so what it may do is what that may do.
//! Its scan has the first digits of its Job's UID as id: whoever made the Job knows it, and so does the pod.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::batch::v1::{Job, JobSpec};
use k8s_openapi::api::core::v1::{
    Capabilities, Container, EmptyDirVolumeSource, EnvVar, EnvVarSource, LocalObjectReference,
    ObjectFieldSelector, PodSecurityContext, PodSpec, PodTemplateSpec, ResourceRequirements, SeccompProfile,
    SecretKeySelector, SecurityContext, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::cluster::{KIND_LABEL, NAME, RUNNER_KIND, SCHEDULE_LABEL};
use crate::job::{REQUESTER_ANNOTATION, SCOPE_ANNOTATION, host_aliases, network_mounts, network_volumes};
use crate::network::Network;

mod control;
mod cron_job;
mod schedules;

pub use control::{Phase, RunnerError, SeenRunner, create, remove, seen_runners, service_account_exists};
pub use cron_job::{ScheduleSettings, SeenSchedule, desired_schedule};
pub use k8s_openapi::api::batch::v1::CronJob;
pub use schedules::{
    create_schedule, delete_schedule, keep_address, replace_schedule, retire_schedule, run_schedule,
    seen_schedules, suspend_schedule,
};

/// The ServiceAccount that is taken where no other is named.
pub const SERVICE_ACCOUNT: &str = "clarity-runner";
/// Annotation of a runner: the namespace in which it leaves the record of its scan.
pub const STATE_ANNOTATION: &str = "kubectl-clarity.io/state-namespace";
/// Variable with the UID of the runner's Job.
pub const UID_VARIABLE: &str = "CLARITY_RUN";
/// Annotation of a schedule: the guard of its time.
pub const GUARD_ANNOTATION: &str = "kubectl-clarity.io/guard";
/// Variable with the same for its runners.
pub const GUARD_VARIABLE: &str = "CLARITY_RUN_GUARD";
/// Variable with the address to which a result is posted.
pub const NOTIFY_VARIABLE: &str = "CLARITY_NOTIFY";
/// Variable with the runner's own namespace.
pub const NAMESPACE_VARIABLE: &str = "CLARITY_RUN_NAMESPACE";
/// Variable with the name of its schedule.
pub const SCHEDULE_VARIABLE: &str = "CLARITY_RUN_SCHEDULE";
/// Variable with who has asked for it.
pub const REQUESTER_VARIABLE: &str = "CLARITY_RUN_REQUESTER";
/// Variable with how registries are reached, as JSON of [`Network`].
pub const NETWORK_VARIABLE: &str = "CLARITY_RUN_NETWORK";

/// Name of the container.
pub const CONTAINER: &str = "runner";
/// The program in the scanner's image.
const PROGRAM: &str = "/kubectl-clarity";
/// Its home: advisories are kept there while it runs.
const HOME: &str = "/home/clarity";
/// Most bytes of that.
const HOME_SIZE: &str = "1Gi";
/// Memory, in bytes.
const MEMORY: u64 = 512 << 20;
/// What a runner has for removing what it created when it is ended, in seconds.
const GRACE_SECONDS: i64 = 30;
/// What it needs beside its scan: advisories, the record.
const BESIDE: Duration = Duration::from_mins(5);
/// How long the Job stays that is over, for its log, in seconds.
const TTL_SECONDS: i32 = 60 * 60;
/// User and group: nobody in particular.
const UID: i64 = 65532;
/// Digits of a UID that make an id.
const ID_DIGITS: usize = 12;

/// What a runner is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunnerSettings {
    /// Where it runs.
    pub namespace: String,
    /// As whom.
    pub service_account: String,
    /// The scanner's image, which holds the plugin too.
    pub image: String,
    /// Secret for pulling it.
    pub pull_secret: Option<String>,
    /// Arguments of the plugin: `scan -n shop …`.
    pub arguments: Vec<String>,
    /// How registries are reached.
    pub network: Network,
    /// What is scanned, in words.
    pub scope: String,
    /// Who asks for it.
    pub requester: String,
    /// Where the record will be.
    pub state_namespace: String,
    /// The schedule that it belongs to.
    pub schedule: Option<String>,
    /// The guard of that schedule's time, as text.
    pub guard: Option<String>,
    /// Where the address lies to which results are posted.
    pub notify: Option<SecretKey>,
    /// Time of the scan.
    pub timeout: Duration,
}

/// A key of a Secret in the runner's namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretKey {
    /// Name of the Secret.
    pub secret: String,
    /// The key.
    pub key: String,
}

/// The id of the scan of the runner whose Job has this UID: its first twelve digits.
#[must_use]
pub fn scan_id(uid: &str) -> Option<String> {
    let digits: String = uid.chars().filter(|c| *c != '-').take(ID_DIGITS).collect();
    let is_hex = digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    (digits.len() == ID_DIGITS && is_hex).then_some(digits)
}

/// The Job for one scan.
#[must_use]
pub fn desired_runner(settings: &RunnerSettings) -> Job {
    Job {
        metadata: ObjectMeta {
            generate_name: Some("clarity-run-".to_owned()),
            namespace: Some(settings.namespace.clone()),
            labels: Some(labels(settings)),
            annotations: Some(annotations(settings)),
            ..ObjectMeta::default()
        },
        spec: Some(job_spec(settings)),
        ..Job::default()
    }
}

/// What labels say of a runner.
#[must_use]
pub fn labels(settings: &RunnerSettings) -> BTreeMap<String, String> {
    let mut labels: BTreeMap<String, String> = [
        ("app.kubernetes.io/name", NAME),
        ("app.kubernetes.io/managed-by", NAME),
        (KIND_LABEL, RUNNER_KIND),
        // Where a mesh's webhook selects pods, it is by label.
        ("sidecar.istio.io/inject", "false"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    labels.extend(settings.schedule.iter().map(|name| (SCHEDULE_LABEL.to_owned(), name.clone())));
    labels
}

/// What annotations say of a runner.
#[must_use]
pub fn annotations(settings: &RunnerSettings) -> BTreeMap<String, String> {
    [
        (REQUESTER_ANNOTATION, &settings.requester),
        (SCOPE_ANNOTATION, &settings.scope),
        (STATE_ANNOTATION, &settings.state_namespace),
    ]
    .map(|(name, value)| (name.to_owned(), value.clone()))
    .into()
}

/// The specification of a runner's Job. It is never tried again by the cluster: what can be tried again is known in it alone.
#[must_use]
pub fn job_spec(settings: &RunnerSettings) -> JobSpec {
    let deadline = (settings.timeout + BESIDE).as_secs();
    JobSpec {
        backoff_limit: Some(0),
        active_deadline_seconds: Some(i64::try_from(deadline).unwrap_or(i64::MAX)),
        ttl_seconds_after_finished: Some(TTL_SECONDS),
        template: PodTemplateSpec {
            metadata: Some(ObjectMeta {
                labels: Some(labels(settings)),
                annotations: Some(BTreeMap::from([
                    ("sidecar.istio.io/inject".to_owned(), "false".to_owned()),
                    ("linkerd.io/inject".to_owned(), "disabled".to_owned()),
                ])),
                ..ObjectMeta::default()
            }),
            spec: Some(pod(settings)),
        },
        ..JobSpec::default()
    }
}

fn pod(settings: &RunnerSettings) -> PodSpec {
    let pull = settings.pull_secret.iter().map(|name| LocalObjectReference { name: name.clone() });
    let pull: Vec<_> = pull.collect();
    PodSpec {
        containers: vec![container(settings)],
        restart_policy: Some("Never".to_owned()),
        service_account_name: Some(settings.service_account.clone()),
        termination_grace_period_seconds: Some(GRACE_SECONDS),
        enable_service_links: Some(false),
        image_pull_secrets: (!pull.is_empty()).then_some(pull),
        node_selector: Some(BTreeMap::from([("kubernetes.io/os".to_owned(), "linux".to_owned())])),
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(true),
            run_as_user: Some(UID),
            run_as_group: Some(UID),
            fs_group: Some(UID),
            seccomp_profile: Some(SeccompProfile {
                type_: "RuntimeDefault".to_owned(),
                localhost_profile: None,
            }),
            ..PodSecurityContext::default()
        }),
        host_aliases: host_aliases(&settings.network),
        volumes: Some(with(
            network_volumes(&settings.network),
            Volume {
                name: "home".to_owned(),
                empty_dir: Some(EmptyDirVolumeSource {
                    medium: None,
                    mode: None,
                    size_limit: Some(Quantity(HOME_SIZE.to_owned())),
                }),
                ..Volume::default()
            },
        )),
        ..PodSpec::default()
    }
}

fn container(settings: &RunnerSettings) -> Container {
    let quantities = |cpu: &str, memory: u64| {
        BTreeMap::from([
            ("cpu".to_owned(), Quantity(cpu.to_owned())),
            ("memory".to_owned(), Quantity(memory.to_string())),
        ])
    };
    Container {
        name: CONTAINER.to_owned(),
        image: Some(settings.image.clone()),
        command: Some(vec![PROGRAM.to_owned()]),
        args: Some(settings.arguments.clone()),
        env: Some(environment(settings)),
        resources: Some(ResourceRequirements {
            requests: Some(quantities("50m", MEMORY / 4)),
            limits: Some(quantities("2", MEMORY)),
            ..ResourceRequirements::default()
        }),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            read_only_root_filesystem: Some(true),
            run_as_non_root: Some(true),
            capabilities: Some(Capabilities { drop: Some(vec!["ALL".to_owned()]), add: None }),
            ..SecurityContext::default()
        }),
        volume_mounts: Some(with(
            network_mounts(&settings.network),
            VolumeMount { name: "home".to_owned(), mount_path: HOME.to_owned(), ..VolumeMount::default() },
        )),
        ..Container::default()
    }
}

fn with<T>(others: Vec<T>, first: T) -> Vec<T> {
    std::iter::once(first).chain(others).collect()
}

fn environment(settings: &RunnerSettings) -> Vec<EnvVar> {
    let named = |name: &str, value: &str| EnvVar {
        name: name.to_owned(),
        value: Some(value.to_owned()),
        value_from: None,
    };
    let own = |name: &str, path: &str| EnvVar {
        name: name.to_owned(),
        value: None,
        value_from: Some(EnvVarSource {
            field_ref: Some(ObjectFieldSelector { api_version: None, field_path: path.to_owned() }),
            ..EnvVarSource::default()
        }),
    };
    let mut all = vec![
        // Set by the Job controller on every pod since Kubernetes 1.27.
        own(UID_VARIABLE, "metadata.labels['batch.kubernetes.io/controller-uid']"),
        own(NAMESPACE_VARIABLE, "metadata.namespace"),
        named("HOME", HOME),
        named(REQUESTER_VARIABLE, &settings.requester),
    ];
    all.extend(settings.notify.iter().map(|SecretKey { secret, key }| EnvVar {
        name: NOTIFY_VARIABLE.to_owned(),
        value: None,
        value_from: Some(EnvVarSource {
            secret_key_ref: Some(SecretKeySelector {
                name: secret.clone(),
                key: key.clone(),
                // Without it a scan still finds what it finds.
                optional: Some(true),
            }),
            ..EnvVarSource::default()
        }),
    }));
    all.extend(settings.guard.iter().map(|guard| named(GUARD_VARIABLE, guard)));
    all.extend(settings.schedule.iter().map(|name| named(SCHEDULE_VARIABLE, name)));
    if settings.network != Network::default() {
        let network = serde_json::to_string(&settings.network).expect("it holds only strings");
        all.push(named(NETWORK_VARIABLE, &network));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> RunnerSettings {
        RunnerSettings {
            namespace: "shop".into(),
            service_account: SERVICE_ACCOUNT.into(),
            image: "registry.test/scanner:1".into(),
            pull_secret: Some("pull".into()),
            arguments: ["scan", "-n", "shop"].map(str::to_owned).into(),
            network: Network { authorities: Some("PEM".into()), ..Network::default() },
            scope: "-n shop".into(),
            requester: "eve".into(),
            state_namespace: "shop".into(),
            schedule: Some("nightly".into()),
            guard: Some("every=864000".into()),
            notify: Some(SecretKey { secret: "nightly-notify".into(), key: "url".into() }),
            timeout: Duration::from_mins(10),
        }
    }

    #[test]
    fn id_of_a_scan_is_the_beginning_of_the_uid() {
        assert_eq!(scan_id("7f3a1c22-9b01-4e44-8a6e-0123456789ab").as_deref(), Some("7f3a1c229b01"));
        for wrong in ["", "7f3a", "7F3A1C22-9B01-4E44", "zzzzzzzz-zzzz-4444"] {
            assert_eq!(scan_id(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn runner_passes_pod_security_restricted_and_is_tried_once() {
        let job = serde_json::to_value(desired_runner(&settings())).expect("json");
        insta::assert_json_snapshot!(job);
    }
}
