//! A thousand images over twenty registries: planned into pods, and read by them.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clarity::facts::Facts;
use clarity::image::{Digest, Reference, RuntimeImage};
use clarity::job::{JobSettings, PodTask, Purpose, User, desired_job};
use clarity::network::Network;
use clarity::plan::{Group, PlanOptions, Read, ScanPlan, plan};
use clarity::wire::{Event, Receiver, Task, TaskImage};
use clarity::workload::{Container, ContainerKind, Pod, WorkloadRef};
use serde_json::{Value, json};

use super::amd64;
use super::http::{Request, Response, Server};

const REGISTRIES: usize = 20;
const REPOSITORIES: usize = 10;
const TAGS: usize = 5;

/// Pods that run at the same time.
const PARALLELISM: usize = 8;

/// What a registry holds: by path below `/v2/`.
#[derive(Default)]
struct Content {
    by_path: BTreeMap<String, Vec<u8>>,
    /// Repositories with the digests of their images.
    images: Vec<(String, Digest)>,
}

impl Content {
    /// Images that differ in nothing but their config, from each other and from those of other registries.
    fn new(registry: usize) -> Self {
        let tar = tar::Builder::new(Vec::new()).into_inner().expect("an empty archive");
        let mut content = Self::default();
        for (repository, tag) in (0..REPOSITORIES).flat_map(|r| (0..TAGS).map(move |tag| (r, tag))) {
            let repository = format!("team/app-{repository}");
            let config = json!({"architecture": "amd64", "os": "linux", "author": format!("{registry} {repository}:{tag}"),
                "rootfs": {"type": "layers", "diff_ids": [Digest::of(&tar)]}});
            let config = config.to_string().into_bytes();
            let part = |media_type: &str, bytes: &[u8]| {
                json!({"mediaType": format!("application/vnd.oci.image.{media_type}"),
                    "digest": Digest::of(bytes), "size": bytes.len()})
            };
            let manifest = json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "config": part("config.v1+json", &config), "layers": [part("layer.v1.tar", &tar)]});
            let manifest = manifest.to_string().into_bytes();
            let digest = Digest::of(&manifest);
            let blob = |bytes: &[u8]| format!("{repository}/blobs/{}", Digest::of(bytes));
            content.by_path.insert(blob(&config), config);
            content.by_path.insert(blob(&tar), tar.clone());
            content.by_path.insert(format!("{repository}/manifests/{digest}"), manifest);
            content.images.push((repository, digest));
        }
        content
    }

    /// Answers as a registry that wants a token for each repository, and as its token service.
    fn answer(&self, registry: usize, request: &Request) -> Response {
        let Some(path) = request.target.strip_prefix("/v2/") else {
            let login = format!("Basic {}", STANDARD.encode(format!("puller:secret-{registry}")));
            let scope = request.target.split("scope=repository%3A").nth(1).unwrap_or_default();
            let allowed = request.header("authorization") == Some(login.as_str());
            let token = json!({"token": format!("{registry} {}", scope.replace("%2F", "/").replace("%3A", ":")), "expires_in": 300});
            return Response::new(if allowed { 200 } else { 401 }, token.to_string());
        };
        let repository = path.splitn(3, '/').take(2).collect::<Vec<_>>().join("/");
        let token = format!("Bearer {registry} {repository}:pull");
        if request.header("authorization") != Some(token.as_str()) {
            let host = request.header("host").expect("HTTP/1.1");
            let challenge =
                format!(r#"Bearer realm="http://{host}/token",scope="repository:{repository}:pull""#);
            return Response::new(401, "").with("WWW-Authenticate", challenge);
        }
        match self.by_path.get(path) {
            Some(bytes) => Response::new(200, bytes.clone()),
            None => Response::new(404, ""),
        }
    }
}

fn container(host: &str, repository: &str, digest: &Digest) -> Container {
    let workload = WorkloadRef { kind: "pod".into(), name: "app".into() };
    Container {
        pod: Pod {
            namespace: "shop".into(),
            name: "app".into(),
            workload: workload.clone(),
            chain: vec![workload],
            pull_secrets: vec!["pull".into()],
            node: None,
            platform: Some(amd64()),
            tolerations: Vec::new(),
        },
        name: "app".into(),
        kind: ContainerKind::Container,
        image: format!("{host}/{repository}:1"),
        runtime: Ok(RuntimeImage::Manifest(digest.clone())),
    }
}

/// What the pod of a group is told, its pull secret being in a folder of this machine.
fn told(plan: &ScanPlan, number: usize, group: &Group, network: &Network, folder: &str) -> Task {
    let image = |(target, route): &(usize, usize)| {
        let target = &plan.targets[*target];
        let reference = target.routes[*route].reference.clone();
        let others: Vec<Reference> = target.others(&group.place, &reference);
        let (wanted, platform) = (target.wanted.clone(), target.platform.clone());
        TaskImage { reference, wanted, platform, others, mount: None }
    };
    let task = PodTask {
        purpose: Purpose::Read,
        number,
        of: plan.groups.len(),
        place: group.place.clone(),
        user: User::Nobody,
        tolerations: Vec::new(),
        may_pull: false,
        images: group.images.iter().map(image).collect(),
        memory: 256 << 20,
        may_ask_for_memory: false,
        timeout: Duration::from_mins(5),
        ends_at: u64::MAX,
        owned: Vec::new(),
    };
    let settings = JobSettings {
        scan: "0123456789".into(),
        scanner_image: "registry.test/scanner:1".into(),
        scanner_pull_secret: None,
        service_account: None,
        network: network.clone(),
        keep: false,
        requester: "eve".into(),
        scope: "-n shop".into(),
        schedule: None,
        selection: "{}".into(),
    };
    let job: Value = serde_json::to_value(desired_job(&task, &settings)).expect("json");
    let told = &job["spec"]["template"]["spec"]["containers"][0]["env"][0]["value"];
    let mut told: Task = serde_json::from_str(told.as_str().expect("text")).expect("a task");
    folder.clone_into(&mut told.pull_secrets[0].folder);
    told
}

/// A log that is kept.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no panic").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads what a pod is told; how many images it has read.
async fn read(task: Task) -> usize {
    let (log, told) = (Log::default(), serde_json::to_string(&task).expect("json"));
    clarity::worker::run::run(log.clone(), |name| (name == Task::VARIABLE).then(|| told.clone()), 256 << 20)
        .await
        .expect("the pod did its work");
    let log = String::from_utf8(std::mem::take(&mut *log.0.lock().expect("no panic"))).expect("text");
    let mut receiver = Receiver::new(&task.scan, u32::try_from(task.images.len()).expect("few"));
    let events = log.lines().map(|line| receiver.accept(line));
    let mut read = 0;
    for event in events {
        match event {
            Event::Image { .. } => read += 1,
            Event::Failed { failure, .. } => panic!("{failure:?}"),
            _ => {}
        }
    }
    read
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_images_cost_one_token_for_each_repository_of_each_registry() {
    let contents: Vec<Arc<Content>> = (0..REGISTRIES).map(|number| Arc::new(Content::new(number))).collect();
    let mut servers = Vec::new();
    for (number, content) in contents.iter().enumerate() {
        let content = Arc::clone(content);
        servers.push(Server::start(move |request| content.answer(number, request)).await);
    }
    let hosts: Vec<String> = servers.iter().map(Server::host).collect();
    let folder = tempfile::tempdir().expect("a folder");
    let entries = hosts.iter().enumerate().map(|(number, host)| {
        (host.clone(), json!({"username": "puller", "password": format!("secret-{number}")}))
    });
    let auths: serde_json::Map<String, Value> = entries.collect();
    std::fs::write(folder.path().join(".dockerconfigjson"), json!({"auths": auths}).to_string()).expect("room");
    let running = hosts.iter().zip(&contents);
    let containers: Vec<Container> = running
        .flat_map(|(host, content)| {
            content.images.iter().map(move |(name, digest)| container(host, name, digest))
        })
        .collect();
    let facts = Facts::default();
    let plan = plan(
        &containers,
        PlanOptions { read: Read::Stream, parallelism: PARALLELISM, job_namespace: None, facts: &facts },
    );
    assert_eq!(plan.targets.len(), containers.len(), "no image is in two registries");
    let network = Network { plain_http: hosts.clone(), ..Network::default() };
    let folder = folder.path().display().to_string();
    let tasks: Vec<Task> = plan
        .groups
        .iter()
        .enumerate()
        .map(|(number, group)| told(&plan, number + 1, group, &network, &folder))
        .collect();
    let mut done = 0;
    for tasks in tasks.chunks(PARALLELISM) {
        done += futures::future::join_all(tasks.iter().cloned().map(read)).await.into_iter().sum::<usize>();
    }
    assert_eq!(done, REGISTRIES * REPOSITORIES * TAGS);

    for server in &servers {
        let mut asked: BTreeMap<String, usize> = BTreeMap::new();
        for request in server.asked_for("/token") {
            *asked.entry(request.target).or_default() += 1;
        }
        assert_eq!(asked.len(), REPOSITORIES);
        assert!(asked.values().all(|times| *times == 1), "{asked:?}");
    }
}
