//! The shape of the Job whose pod has the volume. Pure, and the only place that knows it.

use std::collections::BTreeMap;

use k8s_openapi::api::batch::v1::{Job, JobSpec};
use k8s_openapi::api::core::v1::{
    Capabilities, Container, LocalObjectReference, PersistentVolumeClaimVolumeSource, PodSecurityContext,
    PodSpec, PodTemplateSpec, ResourceRequirements, SeccompProfile, SecurityContext, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::super::spec::{any_architecture, labels, pod_labels, pull_policy, without_sidecars};
use super::super::{CACHE_CONTAINER, JobSettings, REQUESTER_ANNOTATION, SCANNER, SCOPE_ANNOTATION, User};
use super::Claim;

/// Seconds that a finished Job stays if nobody deletes it.
const TTL_SECONDS: i32 = 60;

/// Seconds that the pod may live. It ends by itself when nobody is attached to it.
const DEADLINE_SECONDS: i64 = 60 * 60;

/// Where the volume is mounted.
const MOUNT: &str = "/cache";

/// The folder of the entries: the volume may have others.
const FOLDER: &str = "/cache/kubectl-clarity/sboms";

/// Name of the volume within the pod.
const VOLUME: &str = "cache";

/// Builds the Job. Its pod passes Pod Security `restricted` and holds no token. It ends with the first line to it.
pub(super) fn desired(claim: &Claim, settings: &JobSettings, number: usize, user: User) -> Job {
    let labels = labels(settings);
    let name = format!("clarity-{}-cache-{number}", settings.scan);
    let annotations = BTreeMap::from([
        (REQUESTER_ANNOTATION.to_owned(), settings.requester.clone()),
        (SCOPE_ANNOTATION.to_owned(), settings.scope.clone()),
    ]);
    Job {
        metadata: ObjectMeta {
            name: Some(name.clone()),
            namespace: Some(claim.namespace.clone()),
            labels: Some(labels.clone()),
            annotations: Some(annotations),
            ..ObjectMeta::default()
        },
        spec: Some(JobSpec {
            backoff_limit: Some(0),
            active_deadline_seconds: Some(DEADLINE_SECONDS + 30),
            ttl_seconds_after_finished: Some(TTL_SECONDS),
            template: PodTemplateSpec {
                metadata: Some(ObjectMeta {
                    labels: Some(pod_labels(&labels, &name)),
                    annotations: Some(without_sidecars()),
                    ..ObjectMeta::default()
                }),
                spec: Some(pod(claim, settings, user)),
            },
            ..JobSpec::default()
        }),
        ..Job::default()
    }
}

fn pod(claim: &Claim, settings: &JobSettings, user: User) -> PodSpec {
    let pull = settings.scanner_pull_secret.iter().map(|name| LocalObjectReference { name: name.clone() });
    let pull: Vec<_> = pull.collect();
    PodSpec {
        containers: vec![container(settings)],
        restart_policy: Some("Never".to_owned()),
        active_deadline_seconds: Some(DEADLINE_SECONDS),
        // What is being written when it ends takes no longer.
        termination_grace_period_seconds: Some(2),
        automount_service_account_token: Some(false),
        service_account_name: settings.service_account.clone(),
        enable_service_links: Some(false),
        image_pull_secrets: (!pull.is_empty()).then_some(pull),
        node_selector: Some(BTreeMap::from([("kubernetes.io/os".to_owned(), "linux".to_owned())])),
        tolerations: Some(vec![any_architecture()]),
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(true),
            run_as_user: user.uid(),
            run_as_group: user.uid(),
            // A new volume belongs to root; where its driver can, the kubelet hands it to this group.
            fs_group: user.uid(),
            fs_group_change_policy: user.uid().map(|_| "OnRootMismatch".to_owned()),
            seccomp_profile: Some(SeccompProfile {
                type_: "RuntimeDefault".to_owned(),
                localhost_profile: None,
            }),
            ..PodSecurityContext::default()
        }),
        volumes: Some(vec![Volume {
            name: VOLUME.to_owned(),
            persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
                claim_name: claim.name.clone(),
                read_only: Some(false),
            }),
            ..Volume::default()
        }]),
        ..PodSpec::default()
    }
}

fn container(settings: &JobSettings) -> Container {
    let quantities = |cpu: &str, memory: &str| {
        BTreeMap::from([
            ("cpu".to_owned(), Quantity(cpu.to_owned())),
            ("memory".to_owned(), Quantity(memory.to_owned())),
        ])
    };
    let command = [SCANNER, "keep", "--folder", FOLDER];
    Container {
        name: CACHE_CONTAINER.to_owned(),
        image: Some(settings.scanner_image.clone()),
        image_pull_policy: Some(pull_policy(&settings.scanner_image).to_owned()),
        command: Some(command.map(ToOwned::to_owned).into()),
        // The end of the line is the end of its input, so that it does not outlive a coordinator that was killed.
        stdin: Some(true),
        stdin_once: Some(true),
        resources: Some(ResourceRequirements {
            requests: Some(quantities("50m", "64Mi")),
            // Room for the largest document that there may be, unpacked and packed.
            limits: Some(quantities("1", "512Mi")),
            ..ResourceRequirements::default()
        }),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            read_only_root_filesystem: Some(true),
            run_as_non_root: Some(true),
            capabilities: Some(Capabilities { drop: Some(vec!["ALL".to_owned()]), add: None }),
            ..SecurityContext::default()
        }),
        volume_mounts: Some(vec![VolumeMount {
            name: VOLUME.to_owned(),
            mount_path: MOUNT.to_owned(),
            ..VolumeMount::default()
        }]),
        ..Container::default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn settings() -> JobSettings {
        JobSettings {
            scan: "0123456789".to_owned(),
            scanner_image: "registry.test/clarity/scanner:1".to_owned(),
            scanner_pull_secret: Some("registry".to_owned()),
            service_account: None,
            network: crate::network::Network::default(),
            keep: false,
            requester: "ann".to_owned(),
            scope: "-n shop".to_owned(),
            schedule: None,
            selection: "{}".to_owned(),
        }
    }

    #[test]
    fn pod_passes_pod_security_restricted_holds_no_token_and_is_found_by_its_scan() {
        let claim = Claim { namespace: "shop".to_owned(), name: "sboms".to_owned() };
        let job = serde_json::to_value(desired(&claim, &settings(), 1, User::Nobody)).expect("JSON");
        assert_eq!(job["metadata"]["name"], "clarity-0123456789-cache-1");
        assert_eq!(job["metadata"]["namespace"], "shop");
        for labels in [&job["metadata"]["labels"], &job["spec"]["template"]["metadata"]["labels"]] {
            assert_eq!(labels["kubectl-clarity.io/scan"], "0123456789");
            assert_eq!(labels["app.kubernetes.io/managed-by"], "kubectl-clarity");
        }
        assert_eq!(job["spec"]["ttlSecondsAfterFinished"], TTL_SECONDS);
        let pod = &job["spec"]["template"]["spec"];
        assert_eq!(pod["automountServiceAccountToken"], false);
        assert_eq!(pod["activeDeadlineSeconds"], DEADLINE_SECONDS);
        assert_eq!(pod["imagePullSecrets"], json!([{"name": "registry"}]));
        assert_eq!(
            pod["securityContext"],
            json!({"runAsNonRoot": true, "runAsUser": 65532, "runAsGroup": 65532, "fsGroup": 65532,
                "fsGroupChangePolicy": "OnRootMismatch", "seccompProfile": {"type": "RuntimeDefault"}})
        );
        let volumes =
            json!([{"name": "cache", "persistentVolumeClaim": {"claimName": "sboms", "readOnly": false}}]);
        assert_eq!(pod["volumes"], volumes);
        let container = &pod["containers"][0];
        assert_eq!(
            container["securityContext"],
            json!({"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "runAsNonRoot": true,
                "capabilities": {"drop": ["ALL"]}})
        );
        assert_eq!((&container["stdin"], &container["stdinOnce"]), (&json!(true), &json!(true)));
        assert_eq!(
            container["command"],
            json!(["/clarity-scan", "keep", "--folder", "/cache/kubectl-clarity/sboms"])
        );
    }

    #[test]
    fn user_that_the_cluster_assigns_is_not_named() {
        let claim = Claim { namespace: "shop".to_owned(), name: "cache".to_owned() };
        let job = desired(&claim, &settings(), 2, User::Assigned);
        let pod = job.spec.and_then(|spec| spec.template.spec).expect("a pod");
        let context = pod.security_context.expect("a context");
        assert_eq!((context.run_as_user, context.run_as_group, context.fs_group), (None, None, None));
        assert_eq!(context.run_as_non_root, Some(true));
    }
}
