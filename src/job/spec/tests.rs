use serde_json::json;

use super::*;
use crate::image::Digest;
use crate::wire::Wanted;

fn settings() -> JobSettings {
    JobSettings {
        scan: "k7x2m9q4tz".into(),
        scanner_image: "registry.test/scanner:1".into(),
        scanner_pull_secret: Some("scanner".into()),
        service_account: None,
        registry_ca: None,
        keep: false,
        requester: "ann".into(),
        scope: "-n shop".into(),
    }
}

fn task(images: usize) -> PodTask {
    let image = |n| TaskImage {
        reference: "registry.test/shop/cart:1".parse().expect("valid"),
        wanted: Wanted::Manifest(Digest::of(&[n])),
        platform: None,
    };
    PodTask {
        number: 2,
        of: 3,
        place: Place { namespace: "shop".into(), pull_secrets: vec!["pull".into()] },
        images: (0..u8::try_from(images).expect("few")).map(image).collect(),
        memory: MEMORY,
        may_ask_for_memory: true,
        timeout: Duration::from_mins(10),
        ends_at: 1_800_000_600,
    }
}

fn pod_of(job: &Job) -> PodSpec {
    job.spec.as_ref().and_then(|spec| spec.template.spec.clone()).expect("a pod")
}

#[test]
fn the_job_is_as_documented() {
    let mut job = serde_json::to_value(desired_job(&task(1), &settings())).expect("json");
    let told = job.pointer_mut("/spec/template/spec/containers/0/env/0/value").expect("the task").take();
    let told: Task = serde_json::from_str(told.as_str().expect("text")).expect("a task");
    assert_eq!(told.images, task(1).images);
    assert_eq!(told.pull_secrets, ["/run/clarity/pull-secrets/0"]);
    job.pointer_mut("/metadata/annotations/kubectl-clarity.io~1images").expect("images").take();
    let labels = json!({
        "app.kubernetes.io/managed-by": "kubectl-clarity",
        "app.kubernetes.io/name": "kubectl-clarity",
        "kubectl-clarity.io/scan": "k7x2m9q4tz",
    });
    let mut pod_labels = labels.clone();
    for (name, value) in [
        ("kubectl-clarity.io/job", "clarity-k7x2m9q4tz-2"),
        ("kuma.io/sidecar-injection", "disabled"),
        ("sidecar.istio.io/inject", "false"),
    ] {
        pod_labels[name] = value.into();
    }
    let expected = json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": "clarity-k7x2m9q4tz-2",
            "namespace": "shop",
            "labels": labels,
            "annotations": {
                "kubectl-clarity.io/images": null,
                "kubectl-clarity.io/group": "2/3",
                "kubectl-clarity.io/requester": "ann",
                "kubectl-clarity.io/scope": "-n shop",
            },
        },
        "spec": {
            "activeDeadlineSeconds": 660,
            "backoffLimit": 0,
            "ttlSecondsAfterFinished": 300,
            "template": {
                "metadata": {
                    "labels": pod_labels,
                    "annotations": {
                        "consul.hashicorp.com/connect-inject": "false",
                        "kuma.io/sidecar-injection": "disabled",
                        "linkerd.io/inject": "disabled",
                        "sidecar.istio.io/inject": "false",
                    },
                },
                "spec": {
                    "activeDeadlineSeconds": 630,
                    "automountServiceAccountToken": false,
                    "enableServiceLinks": false,
                    "imagePullSecrets": [{"name": "scanner"}, {"name": "pull"}],
                    "nodeSelector": {"kubernetes.io/os": "linux"},
                    "restartPolicy": "Never",
                    "securityContext": {
                        "runAsGroup": 65532,
                        "runAsNonRoot": true,
                        "runAsUser": 65532,
                        "seccompProfile": {"type": "RuntimeDefault"},
                    },
                    "terminationGracePeriodSeconds": 2,
                    "tolerations": [{"effect": "NoSchedule", "key": "kubernetes.io/arch", "operator": "Exists"}],
                    "volumes": [{"name": "pull-0", "secret": {
                        "defaultMode": 0o444, "optional": true, "secretName": "pull"}}],
                    "containers": [{
                        "name": "scan",
                        "image": "registry.test/scanner:1",
                        "imagePullPolicy": "IfNotPresent",
                        "command": ["/clarity-scan", "run"],
                        "env": [{"name": "CLARITY_TASK", "value": null}],
                        "resources": {
                            "limits": {"cpu": "2", "memory": "268435456"},
                            "requests": {"cpu": "100m", "memory": "268435456"},
                        },
                        "securityContext": {
                            "allowPrivilegeEscalation": false,
                            "capabilities": {"drop": ["ALL"]},
                            "readOnlyRootFilesystem": true,
                            "runAsNonRoot": true,
                        },
                        "volumeMounts": [{
                            "mountPath": "/run/clarity/pull-secrets/0", "name": "pull-0", "readOnly": true}],
                    }],
                },
            },
        },
    });
    assert_eq!(job, expected, "{}", serde_json::to_string_pretty(&job).expect("json"));
}

#[test]
fn a_pod_with_one_image_may_use_the_whole_log() {
    let budget = |images| {
        let pod = pod_of(&desired_job(&task(images), &settings()));
        let told = pod.containers[0].env.as_ref().and_then(|env| env[0].value.clone()).expect("the task");
        serde_json::from_str::<Task>(&told).expect("a task").log_budget
    };
    assert_eq!((budget(1), budget(2)), (LOG_BUDGET_ALONE, LOG_BUDGET));
}

#[test]
fn deadlines_come_in_order_scanner_pod_job() {
    let job = desired_job(&task(1), &settings());
    let deadlines =
        (pod_of(&job).active_deadline_seconds, job.spec.and_then(|spec| spec.active_deadline_seconds));
    assert_eq!(deadlines, (Some(630), Some(660)));
}

#[test]
fn what_admission_adds_by_default_is_no_alteration() {
    let job = desired_job(&task(1), &settings());
    let mut pod = pod_of(&job);
    pod.service_account_name = Some("default".into());
    pod.containers[0]
        .env
        .get_or_insert_default()
        .push(EnvVar { name: "HTTP_PROXY".into(), ..EnvVar::default() });
    // The API server writes quantities in their shortest form.
    let limits = BTreeMap::from([("memory".to_owned(), Quantity("256Mi".into()))]);
    pod.containers[0].resources = Some(ResourceRequirements { limits: Some(limits), ..Default::default() });
    assert_eq!(alterations(&job, &pod), Vec::<String>::new());
}

#[test]
fn what_webhooks_change_is_said() {
    let job = desired_job(&task(1), &settings());
    let mut pod = pod_of(&job);
    pod.containers[0].image = Some("mirror.test/scanner:1".into());
    pod.containers[0].volume_mounts = None;
    pod.containers[0].image_pull_policy = Some("Always".into());
    pod.automount_service_account_token = None;
    pod.containers[0].env = None;
    let limits = BTreeMap::from([("memory".to_owned(), Quantity("64Mi".into()))]);
    pod.containers[0].resources = Some(ResourceRequirements { limits: Some(limits), ..Default::default() });
    pod.containers.push(Container { name: "istio-proxy".into(), ..Container::default() });
    assert_eq!(
        alterations(&job, &pod),
        [
            r#"admission added the container "istio-proxy" to the scanner pod"#,
            r#"admission changed the scanner's image to "mirror.test/scanner:1""#,
            "admission changed what the scanner is told to do",
            "admission changed the scanner's pull policy to Always",
            "admission lowered the scanner's memory limit to 64Mi",
            "admission gave the scanner pod a token of the API, which it does not need",
            "admission removed the mount /run/clarity/pull-secrets/0 of a pull secret",
        ]
    );
}
