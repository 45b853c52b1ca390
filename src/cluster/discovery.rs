//! Pods, their containers, and the image that each one really runs.

use std::collections::BTreeMap;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{
    Container as SpecContainer, ContainerStatus, EphemeralContainer, Namespace, Pod as ApiPod,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Client;
use kube::api::{Api, ListParams};
use kube::core::PartialObjectMeta;
use serde::{Deserialize, Serialize};

use super::facts::gather;
use super::refusal::ApiError;
use super::{KIND_LABEL, NAME, RUNNER_KIND, SCAN_LABEL, SCHEDULE_LABEL};
use crate::facts::{Facts, Toleration};
use crate::image::RuntimeImage;
use crate::workload::{Container, ContainerKind, Pod, WorkloadRef};

/// Objects per page of a list.
pub(super) const PAGE: u32 = 500;

/// What is to be looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Scope {
    /// The namespace; none means all.
    pub namespace: Option<String>,
    /// `-l`.
    pub label_selector: Option<String>,
    /// `--field-selector`.
    pub field_selector: Option<String>,
    /// `TYPE/NAME`; empty means everything.
    pub targets: Vec<WorkloadRef>,
}

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Discovery {
    /// Every container in scope.
    pub containers: Vec<Container>,
    /// What is known of the cluster around them.
    pub facts: Facts,
    /// What a person should know: what could not be looked up and what that costs.
    pub notes: Vec<String>,
}

/// Why nothing was found.
#[derive(Debug, thiserror::Error)]
pub enum DiscoverError {
    /// The API server refused.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The namespace is not there.
    #[error("namespace {0:?} not found")]
    NoNamespace(String),
    /// There is no pod in scope.
    #[error("no pods {0}")]
    NoPods(String),
    /// A target has no pods.
    #[error("no pods of {target} in namespace {namespace:?}")]
    NoTarget {
        /// What was asked for.
        target: WorkloadRef,
        /// Where.
        namespace: String,
    },
}

/// Longest scope that is read back: others may have written it.
const MAX_SCOPE: usize = 16 << 10;

impl Scope {
    /// The scope for programs; [`Self::from_json`] reads it.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a scope holds only strings")
    }

    /// Reads what [`Self::to_json`] has written.
    #[must_use]
    pub fn from_json(text: &str) -> Option<Self> {
        if text.len() > MAX_SCOPE { None } else { serde_json::from_str(text).ok() }
    }

    /// The scope as flags, for reports and annotations.
    #[must_use]
    pub fn in_words(&self) -> String {
        let mut words: Vec<String> = self.targets.iter().map(ToString::to_string).collect();
        words.push(match &self.namespace {
            Some(namespace) => format!("-n {namespace}"),
            None => "-A".to_owned(),
        });
        words.extend(self.label_selector.iter().map(|selector| format!("-l {selector}")));
        words.extend(self.field_selector.iter().map(|selector| format!("--field-selector {selector}")));
        words.join(" ")
    }
}

/// Finds every container in scope. Only reading pods is needed; what else may be read makes the answer better.
pub async fn discover(client: &Client, scope: &Scope) -> Result<Discovery, DiscoverError> {
    let (pods, (facts, notes)) =
        tokio::join!(list_pods(client, scope), gather(client, scope.namespace.as_deref()));
    let pods = pods?;
    if pods.is_empty() {
        return Err(nothing_found(client, scope).await);
    }
    let mut discovery = Discovery { containers: Vec::new(), facts, notes };
    let cron_jobs = cron_jobs(client, scope, &pods).await;
    let mut own = 0_usize;
    for pod in pods {
        if is_ours(&pod.metadata) {
            // One that is going is of a scan that has just ended.
            own += usize::from(pod.metadata.deletion_timestamp.is_none());
            continue;
        }
        discovery.containers.extend(containers_of(&pod, &discovery.facts, &cron_jobs));
    }
    if own > 0 {
        let pods = if own == 1 { "1 pod".to_owned() } else { format!("{own} pods") };
        discovery
            .notes
            .push(format!("left out: {pods} of scans of ours (label app.kubernetes.io/managed-by={NAME})"));
    }
    if discovery.containers.is_empty() {
        return Err(nothing_found(client, scope).await);
    }
    select_targets(&mut discovery, scope)?;
    let by_place = |c: &Container| {
        (c.pod.namespace.clone(), c.pod.workload.clone(), c.pod.name.clone(), c.kind, c.name.clone())
    };
    discovery.containers.sort_by_cached_key(by_place);
    Ok(discovery)
}

/// Keeps the containers of the targets; every target must have some.
fn select_targets(discovery: &mut Discovery, scope: &Scope) -> Result<(), DiscoverError> {
    if scope.targets.is_empty() {
        return Ok(());
    }
    discovery.containers.retain(|c| scope.targets.iter().any(|target| c.pod.chain.contains(target)));
    let is_there = |target: &&WorkloadRef| discovery.containers.iter().any(|c| c.pod.chain.contains(target));
    match scope.targets.iter().find(|target| !is_there(target)) {
        None => Ok(()),
        Some(target) => Err(DiscoverError::NoTarget {
            target: target.clone(),
            namespace: scope.namespace.clone().unwrap_or_default(),
        }),
    }
}

/// Why there are no pods: the namespace may not exist, or hold none.
async fn nothing_found(client: &Client, scope: &Scope) -> DiscoverError {
    let Some(namespace) = &scope.namespace else {
        return DiscoverError::NoPods(format!("in the whole cluster{}", selected(scope)));
    };
    match Api::<Namespace>::all(client.clone()).get_metadata_opt(namespace).await {
        Ok(None) => DiscoverError::NoNamespace(namespace.clone()),
        _ => DiscoverError::NoPods(format!("in namespace {namespace:?}{}", selected(scope))),
    }
}

fn selected(scope: &Scope) -> &'static str {
    let narrowed = scope.label_selector.is_some() || scope.field_selector.is_some();
    if narrowed { " that the selectors match" } else { "" }
}

async fn list_pods(client: &Client, scope: &Scope) -> Result<Vec<ApiPod>, ApiError> {
    let (api, place) = match &scope.namespace {
        Some(namespace) => (Api::namespaced(client.clone(), namespace), format!("in namespace {namespace:?}")),
        None => (Api::all(client.clone()), "in all namespaces".to_owned()),
    };
    let mut params = ListParams::default();
    params.label_selector.clone_from(&scope.label_selector);
    params.field_selector.clone_from(&scope.field_selector);
    list(&api, params).await.map_err(|error| ApiError::new(format!("list pods {place}"), &error))
}

/// All pages of a list.
pub(super) async fn list<K>(api: &Api<K>, params: ListParams) -> Result<Vec<K>, kube::Error>
where
    K: Clone + std::fmt::Debug + serde::de::DeserializeOwned,
{
    let mut params = params.limit(PAGE);
    let mut items = Vec::new();
    loop {
        let page = api.list(&params).await?;
        items.extend(page.items);
        match page.metadata.continue_ {
            Some(token) if !token.is_empty() => params = params.continue_token(&token),
            _ => return Ok(items),
        }
    }
}

/// The cron jobs that own the jobs of these pods, by namespace and job. Without the right to list jobs a pod's
/// workload is its job.
async fn cron_jobs(client: &Client, scope: &Scope, pods: &[ApiPod]) -> BTreeMap<(String, String), WorkloadRef> {
    let has_jobs = pods.iter().any(|pod| controller(&pod.metadata).is_some_and(|owner| owner.kind == "job"));
    if !has_jobs {
        return BTreeMap::new();
    }
    let api: Api<Job> = match &scope.namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    };
    let mut params = ListParams::default().limit(PAGE);
    let mut owners = BTreeMap::new();
    while let Ok(page) = api.list_metadata(&params).await {
        owners.extend(page.items.iter().filter_map(|job: &PartialObjectMeta<Job>| {
            let key = (job.metadata.namespace.clone()?, job.metadata.name.clone()?);
            Some((key, controller(&job.metadata)?))
        }));
        match page.metadata.continue_ {
            Some(token) if !token.is_empty() => params = params.continue_token(&token),
            _ => break,
        }
    }
    owners
}

/// Whether a scan of ours created it: it carries the labels and belongs to a Job that is named as ours are. Labels
/// alone anybody can set, and would hide a workload.
fn is_ours(meta: &ObjectMeta) -> bool {
    let label = |key: &str| meta.labels.as_ref().and_then(|labels| labels.get(key));
    let job = match (label(SCAN_LABEL), label(KIND_LABEL), label(SCHEDULE_LABEL)) {
        (Some(scan), ..) => format!("clarity-{scan}-"),
        (None, Some(kind), None) if kind == RUNNER_KIND => "clarity-run-".to_owned(),
        (None, Some(kind), Some(schedule)) if kind == RUNNER_KIND => format!("{schedule}-"),
        _ => return false,
    };
    label("app.kubernetes.io/managed-by").is_some_and(|by| by == NAME)
        && controller(meta).is_some_and(|owner| owner.kind == "job" && owner.name.starts_with(&job))
}

/// The controller of an object, its kind in lower case.
fn controller(meta: &ObjectMeta) -> Option<WorkloadRef> {
    let owner = meta.owner_references.as_ref()?.iter().find(|owner| owner.controller == Some(true))?;
    Some(WorkloadRef { kind: owner.kind.to_ascii_lowercase(), name: owner.name.clone() })
}

/// The pod and its controllers, from the bottom to the top.
fn chain(meta: &ObjectMeta, cron_jobs: &BTreeMap<(String, String), WorkloadRef>) -> Vec<WorkloadRef> {
    let mut chain = vec![WorkloadRef { kind: "pod".into(), name: meta.name.clone().unwrap_or_default() }];
    let Some(owner) = controller(meta) else { return chain };
    if owner.kind == "node" {
        // The mirror of a static pod: the kubelet runs it, no object of the API does.
        return chain;
    }
    chain.push(owner.clone());
    match owner.kind.as_str() {
        // A deployment names its replica sets NAME-HASH and labels their pods with the hash, so that no further
        // right is needed to know it.
        "replicaset" => {
            let hash = meta.labels.as_ref().and_then(|labels| labels.get("pod-template-hash"));
            let name = hash.and_then(|hash| owner.name.strip_suffix(hash.as_str())?.strip_suffix('-'));
            chain.extend(name.map(|name| WorkloadRef { kind: "deployment".into(), name: name.to_owned() }));
        }
        "job" => {
            let namespace = meta.namespace.clone().unwrap_or_default();
            chain.extend(cron_jobs.get(&(namespace, owner.name)).cloned());
        }
        _ => {}
    }
    chain
}

fn containers_of(
    pod: &ApiPod,
    facts: &Facts,
    cron_jobs: &BTreeMap<(String, String), WorkloadRef>,
) -> Vec<Container> {
    let Some(spec) = &pod.spec else { return Vec::new() };
    let status = pod.status.as_ref();
    let chain = chain(&pod.metadata, cron_jobs);
    let described = Pod {
        namespace: pod.metadata.namespace.clone().unwrap_or_default(),
        name: pod.metadata.name.clone().unwrap_or_default(),
        workload: chain.last().cloned().expect("a chain begins with its pod"),
        chain,
        pull_secrets: spec.image_pull_secrets.iter().flatten().map(|secret| secret.name.clone()).collect(),
        node: spec.node_name.clone(),
        platform: spec.node_name.as_ref().and_then(|node| Some(facts.node(node)?.platform.clone())),
        tolerations: spec.tolerations.iter().flatten().map(toleration).collect(),
    };
    let statuses = |list: Option<&Vec<ContainerStatus>>| list.cloned().unwrap_or_default();
    let init = statuses(status.and_then(|s| s.init_container_statuses.as_ref()));
    let main = statuses(status.and_then(|s| s.container_statuses.as_ref()));
    let ephemeral = statuses(status.and_then(|s| s.ephemeral_container_statuses.as_ref()));
    let one = |name: &str, kind, image: Option<&String>, statuses: &[ContainerStatus]| {
        let image_id = statuses.iter().find(|s| s.name == name).map_or("", |s| s.image_id.as_str());
        Container {
            pod: described.clone(),
            name: name.to_owned(),
            kind,
            image: image.cloned().unwrap_or_default(),
            runtime: RuntimeImage::parse(image_id).map_err(|_| image_id.to_owned()),
        }
    };
    let kind_of_init = |container: &SpecContainer| match container.restart_policy.as_deref() {
        Some("Always") => ContainerKind::Sidecar,
        _ => ContainerKind::Init,
    };
    let mut found = Vec::new();
    found.extend(
        spec.init_containers.iter().flatten().map(|c| one(&c.name, kind_of_init(c), c.image.as_ref(), &init)),
    );
    found.extend(
        spec.containers.iter().map(|c| one(&c.name, ContainerKind::Container, c.image.as_ref(), &main)),
    );
    let attached = spec.ephemeral_containers.iter().flatten();
    found
        .extend(attached.map(|c: &EphemeralContainer| {
            one(&c.name, ContainerKind::Ephemeral, c.image.as_ref(), &ephemeral)
        }));
    found
}

fn toleration(toleration: &k8s_openapi::api::core::v1::Toleration) -> Toleration {
    Toleration {
        key: toleration.key.clone(),
        operator: toleration.operator.clone(),
        value: toleration.value.clone(),
        effect: toleration.effect.clone(),
    }
}

#[cfg(test)]
mod tests;
