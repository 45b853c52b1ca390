use k8s_openapi::api::core::v1::{Container, EnvVar, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use serde_json::json;

use super::*;
use crate::image::Digest;
use crate::job::{MEMORY, Original};
use crate::plan::Reader;
use crate::wire::{DocumentName, LOG_BUDGET, LOG_BUDGET_ALONE, PullSecret, Task, Wanted};

fn settings() -> JobSettings {
    JobSettings {
        scan: "k7x2m9q4tz".into(),
        scanner_image: "registry.test/scanner:1".into(),
        scanner_pull_secret: Some("scanner".into()),
        service_account: None,
        network: Network::default(),
        keep: false,
        requester: "ann".into(),
        scope: "-n shop".into(),
        schedule: None,
        selection: "{}".into(),
    }
}

fn task(images: usize) -> PodTask {
    let image = |n| TaskImage {
        reference: "registry.test/shop/cart:1".parse().expect("valid"),
        wanted: Wanted::Manifest(Digest::of(&[n])),
        platform: None,
        others: Vec::new(),
        mount: None,
    };
    PodTask {
        purpose: Purpose::Read,
        number: 2,
        of: 3,
        place: Place {
            namespace: "shop".into(),
            pull_secrets: vec!["pull".into()],
            secrets_from: None,
            reader: Reader::Stream,
        },
        user: User::Nobody,
        tolerations: Vec::new(),
        may_pull: false,
        images: (0..u8::try_from(images).expect("few")).map(image).collect(),
        memory: MEMORY,
        may_ask_for_memory: true,
        timeout: Duration::from_mins(10),
        ends_at: 1_800_000_600,
        owned: Vec::new(),
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
    let secret = PullSecret {
        name: "pull".to_owned(),
        namespace: None,
        folder: "/run/clarity/pull-secrets/0".to_owned(),
    };
    assert_eq!(told.pull_secrets, [secret]);
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
                "kubectl-clarity.io/selection": "{}",
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
            "admission removed the mount /run/clarity/pull-secrets/0",
        ]
    );
}

/// Two images that a node has.
fn mounting(user: User) -> Job {
    let mut task = task(2);
    task.place.reader = Reader::Mount { node: Some("node2".into()) };
    task.images[1].wanted = Wanted::Config(Digest::of(b"loaded by hand"));
    task.tolerations = vec![facts::Toleration { key: Some("gpu".into()), ..facts::Toleration::default() }];
    desired_job(&PodTask { user, ..task }, &settings())
}

fn told(container: &Container) -> Task {
    let variable = container.env.as_ref().and_then(|env| env[0].value.clone()).expect("a task");
    serde_json::from_str(&variable).expect("a task")
}

#[test]
fn images_are_mounted_by_digest_on_their_node_and_never_pulled() {
    let pod = pod_of(&mounting(User::RootOfNamespace));
    let volumes = serde_json::to_value(&pod.volumes).expect("json");
    let by_digest = format!("registry.test/shop/cart@{}", Digest::of(&[0]));
    assert_eq!(
        volumes[1],
        json!({"name": "image-0", "image": {"reference": by_digest, "pullPolicy": "Never"}})
    );
    let by_config = Digest::of(b"loaded by hand").to_string();
    assert_eq!(
        volumes[2],
        json!({"name": "image-1", "image": {"reference": by_config, "pullPolicy": "Never"}})
    );
    let affinity = serde_json::to_value(&pod.affinity).expect("json");
    let terms =
        &affinity["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"];
    let by_name = json!({"key": "metadata.name", "operator": "In", "values": ["node2"]});
    assert_eq!(*terms, json!([{"matchFields": [by_name]}]));
    assert_eq!(pod.tolerations.expect("some")[1].key.as_deref(), Some("gpu"));
}

#[test]
fn what_mounts_images_has_no_credential_and_what_has_one_sees_no_image() {
    let pod = pod_of(&mounting(User::RootOfNamespace));
    let paths = |container: &Container| {
        container.volume_mounts.iter().flatten().map(|mount| mount.mount_path.clone()).collect::<Vec<_>>()
    };
    let [scan, config] = &pod.containers[..] else { panic!("two containers") };
    assert_eq!(paths(scan), ["/run/clarity/images/0", "/run/clarity/images/1"]);
    assert_eq!(paths(config), ["/run/clarity/pull-secrets/0"]);
    let (scan, config) = (told(scan), told(config));
    assert_eq!((scan.documents, scan.pull_secrets), (vec![DocumentName::Sbom], Vec::new()));
    assert_eq!(scan.images[1].mount.as_deref(), Some("/run/clarity/images/1"));
    assert_eq!(config.documents, [DocumentName::Config]);
    assert!(config.images.iter().all(|image| image.mount.is_none()));
}

#[test]
fn each_user_is_said_in_the_terms_of_the_pod() {
    let said = |user| {
        let pod = pod_of(&mounting(user));
        let of_pod = pod.security_context.expect("one");
        let of = |number: usize| pod.containers[number].security_context.clone().expect("one");
        (pod.host_users, of_pod.run_as_user, of_pod.run_as_non_root, of(0).run_as_non_root, of(1).run_as_user)
    };
    assert_eq!(said(User::RootOfNamespace), (Some(false), Some(0), None, None, Some(65532)));
    assert_eq!(said(User::Nobody), (None, Some(65532), Some(true), Some(true), None));
    assert_eq!(said(User::Assigned), (None, None, Some(true), Some(true), None));
}

#[test]
fn a_pod_without_its_image_volumes_is_not_believed() {
    let job = mounting(User::RootOfNamespace);
    assert_eq!(distrust(&job, &pod_of(&job)), None);

    let mut without_image = pod_of(&job);
    without_image.volumes.as_mut().expect("some")[1].image = None;
    let mut other_image = pod_of(&job);
    let volume = other_image.volumes.as_mut().expect("some")[1].image.as_mut().expect("one");
    volume.reference = Some("mirror.test/cart:1".into());
    let mut without_mount = pod_of(&job);
    without_mount.containers[0].volume_mounts = None;
    for pod in [without_image, other_image, without_mount] {
        let change = distrust(&job, &pod).expect("a change");
        assert!(change.is_of_volumes, "{}", change.text);
    }
    let mut on_host = pod_of(&job);
    on_host.host_users = None;
    assert!(distrust(&job, &on_host).is_some_and(|change| !change.is_of_volumes));
}

/// What the webhooks of EKS and Azure do to a pod whose account stands for an identity.
#[test]
fn the_identity_of_a_cloud_that_a_webhook_brings_is_no_alteration() {
    for (token, variables) in [
        ("aws-iam-token", ["AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE"]),
        (
            "eks-pod-identity-token",
            ["AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"],
        ),
        ("azure-identity-token", ["AZURE_CLIENT_ID", "AZURE_FEDERATED_TOKEN_FILE"]),
    ] {
        let job = mounting(User::RootOfNamespace);
        let mut pod = pod_of(&job);
        let source = json!({"name": token, "projected": {"defaultMode": 420, "sources": [{"serviceAccountToken":
            {"audience": "sts.amazonaws.com", "expirationSeconds": 86400, "path": "token"}}]}});
        let volume = serde_json::from_value(source).expect("a volume");
        pod.volumes.get_or_insert_default().push(volume);
        let config = &mut pod.containers[1];
        let mount = json!({"name": token, "mountPath": "/var/run/secrets/token", "readOnly": true});
        config.volume_mounts.get_or_insert_default().push(serde_json::from_value(mount).expect("a mount"));
        let variable = |name: &str| EnvVar { name: name.to_owned(), ..EnvVar::default() };
        config.env.get_or_insert_default().extend(variables.map(variable));
        pod.security_context.get_or_insert_default().fs_group = Some(65534);
        assert_eq!(alterations(&job, &pod), Vec::<String>::new());
        assert_eq!(distrust(&job, &pod), None);
    }
}

#[test]
fn azure_is_asked_for_an_identity_only_where_an_account_was_named() {
    let metadata = |account: Option<&str>| {
        let settings = JobSettings { service_account: account.map(Into::into), ..settings() };
        desired_job(&task(1), &settings).spec.and_then(|spec| spec.template.metadata).expect("metadata")
    };
    let key = "azure.workload.identity/use";
    assert_eq!(metadata(None).labels.expect("labels").get(key), None);
    assert_eq!(metadata(Some("scanner")).labels.expect("labels").get(key), Some(&"true".to_owned()));
}

#[test]
fn no_identity_is_put_into_what_mounts_images() {
    let annotations = |job: Job| {
        let metadata = job.spec.and_then(|spec| spec.template.metadata).expect("metadata");
        metadata.annotations.expect("annotations")
    };
    let (mounting, streaming) =
        (annotations(mounting(User::Nobody)), annotations(desired_job(&task(1), &settings())));
    for key in ["eks.amazonaws.com/skip-containers", "azure.workload.identity/skip-containers"] {
        assert_eq!((mounting.get(key).map(String::as_str), streaming.get(key)), (Some("scan"), None));
    }
}

#[test]
fn a_pull_policy_that_is_rewritten_is_said() {
    let job = mounting(User::Nobody);
    let mut pod = pod_of(&job);
    pod.volumes.as_mut().expect("some")[2].image.as_mut().expect("one").pull_policy = Some("Always".into());
    assert_eq!(distrust(&job, &pod), None, "by digest it still is the image that was asked for");
    let notes = alterations(&job, &pod);
    assert!(notes.len() == 1 && notes[0].contains("pull policy of sha256:"), "{notes:?}");
}

#[test]
fn who_asks_registries_is_told_how_and_finds_its_secrets() {
    use crate::network::{HostAlias, PodProxy, SecretKey};
    let network = Network {
        client_secret: Some("tls".into()),
        proxy: Some(PodProxy {
            secret: Some(SecretKey { name: "proxy".into(), key: "url".into() }),
            ..PodProxy::default()
        }),
        host_aliases: vec![HostAlias { name: "r.test".into(), address: "fd00::1".parse().expect("valid") }],
        ..Network::default()
    };
    let settings = JobSettings { network: network.clone(), ..settings() };
    let told = |container: &Container| {
        let variable = container.env.iter().flatten().find(|variable| variable.name == Task::VARIABLE);
        let text = variable.and_then(|variable| variable.value.clone()).expect("told");
        serde_json::from_str::<Task>(&text).expect("a task").network
    };
    let mounts = |container: &Container| -> Vec<String> {
        container.volume_mounts.iter().flatten().map(|mount| mount.mount_path.clone()).collect()
    };
    let streaming = pod_of(&desired_job(&task(1), &settings));
    let own = ["/run/clarity/pull-secrets/0", "/run/clarity/client", "/run/clarity/proxy"];
    assert_eq!(mounts(&streaming.containers[0]), own);
    assert_eq!(told(&streaming.containers[0]), network);
    let aliases = serde_json::to_value(&streaming.host_aliases).expect("JSON");
    assert_eq!(aliases, json!([{"ip": "fd00::1", "hostnames": ["r.test"]}]));

    let reader = Reader::Mount { node: Some("node1".into()) };
    let task = task(1);
    let task = PodTask { place: Place { reader, ..task.place.clone() }, ..task };
    let mounting = pod_of(&desired_job(&task, &settings));
    assert_eq!(mounts(&mounting.containers[0]), ["/run/clarity/images/0"], "hostile content sees no key");
    assert_eq!(told(&mounting.containers[0]), Network::default());
    assert_eq!(mounts(&mounting.containers[1]), own);
    assert_eq!(told(&mounting.containers[1]), network);
}

/// A task in another namespace than its workloads, with a copy of the second of three pull secrets and a file for registries.
fn elsewhere() -> PodTask {
    let original = Original { namespace: "shop".into(), name: "two".into() };
    let copy = OwnedSecret::pull(1, original, "kubernetes.io/dockercfg", (".dockercfg", b"hunter2".to_vec()));
    let key = OwnedSecret {
        suffix: "tls".into(),
        type_: "Opaque".into(),
        files: BTreeMap::from([("key.pem".into(), b"hunter3".to_vec())]),
        folder: "/run/clarity/tls".into(),
        copy_of: None,
    };
    let place = Place {
        namespace: "tools".into(),
        pull_secrets: ["one", "two", "three"].map(Into::into).into(),
        secrets_from: Some("shop".into()),
        reader: Reader::Stream,
    };
    PodTask { place, owned: vec![copy, key], ..task(1) }
}

#[test]
fn the_pod_waits_for_the_secrets_of_its_job_and_pulls_with_the_copies_among_them() {
    let job = desired_job(&elsewhere(), &settings());
    assert_eq!(job.metadata.namespace.as_deref(), Some("tools"));
    let pod = pod_of(&job);
    let volume = |name: &str, secret: &str| json!({"name": name, "secret": {"defaultMode": 0o444, "optional": false, "secretName": secret}});
    assert_eq!(
        serde_json::to_value(&pod.volumes).expect("json"),
        json!([volume("pull-1", "clarity-k7x2m9q4tz-2-pull-1"), volume("tls", "clarity-k7x2m9q4tz-2-tls")])
    );
    let pull: Vec<&str> = pod.image_pull_secrets.iter().flatten().map(|secret| secret.name.as_str()).collect();
    assert_eq!(pull, ["scanner", "clarity-k7x2m9q4tz-2-pull-1"]);
    let paths: Vec<&str> =
        pod.containers[0].volume_mounts.iter().flatten().map(|mount| mount.mount_path.as_str()).collect();
    assert_eq!(paths, ["/run/clarity/pull-secrets/1", "/run/clarity/tls"]);
    let folder = "/run/clarity/pull-secrets/1".to_owned();
    let secret = PullSecret { name: "two".into(), namespace: Some("shop".into()), folder };
    assert_eq!(told(&pod.containers[0]).pull_secrets, [secret], "messages name the original");
    assert!(!serde_json::to_string(&job).expect("json").contains("hunter"));
}

#[test]
fn secrets_of_a_job_are_not_where_images_are_mounted() {
    let mut task = elsewhere();
    task.place.reader = Reader::Mount { node: Some("node2".into()) };
    let pod = pod_of(&desired_job(&task, &settings()));
    let names = |container: &Container| {
        container.volume_mounts.iter().flatten().map(|mount| mount.name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(names(&pod.containers[0]), ["image-0"]);
    assert_eq!(names(&pod.containers[1]), ["pull-1", "tls"]);
}
