//! Schedules in the cluster: made, seen, changed, started by hand, removed.

use std::collections::BTreeMap;

use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams, PropagationPolicy};
use kube::{Client, ResourceExt as _};
use serde_json::json;

use super::{GUARD_VARIABLE, RunnerError, SecretKey, SeenRunner, SeenSchedule, create};
use crate::cluster::{ApiError, KIND_LABEL, NAME, SCHEDULE_KIND};

/// Objects per page of a list.
const PAGE: u32 = 500;
/// Most schedules that are looked at.
const MAX_SCHEDULES: usize = 5_000;

/// All schedules in a namespace, or in the cluster, by namespace and name.
///
/// # Errors
/// The API server refused.
pub async fn seen_schedules(client: &Client, namespace: Option<&str>) -> Result<Vec<SeenSchedule>, ApiError> {
    let api: Api<CronJob> = match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    };
    let place = namespace.map_or_else(String::new, |namespace| format!(" in namespace {namespace:?}"));
    let selector = format!("app.kubernetes.io/managed-by={NAME},{KIND_LABEL}={SCHEDULE_KIND}");
    let mut params = ListParams::default().labels(&selector).limit(PAGE);
    let mut all = Vec::new();
    loop {
        let page = api.list(&params).await;
        let page = page.map_err(|error| ApiError::new(format!("list cronjobs{place}"), &error))?;
        all.extend(page.items.into_iter().map(SeenSchedule::of));
        match page.metadata.continue_ {
            Some(token) if !token.is_empty() && all.len() < MAX_SCHEDULES => {
                params = params.continue_token(&token);
            }
            _ => break,
        }
    }
    all.sort_by(|one, other| (&one.namespace, &one.name).cmp(&(&other.namespace, &other.name)));
    Ok(all)
}

/// Creates a schedule; as it is then. None if there is a CronJob of this name.
///
/// # Errors
/// The API server refused.
pub async fn create_schedule(client: &Client, desired: &CronJob) -> Result<Option<CronJob>, ApiError> {
    let namespace = desired.namespace().unwrap_or_default();
    let api: Api<CronJob> = Api::namespaced(client.clone(), &namespace);
    match api.create(&PostParams::default(), desired).await {
        Ok(created) => Ok(Some(created)),
        Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(None),
        Err(error) => Err(refused("create", &namespace, &error)),
    }
}

/// Puts an address into a Secret that belongs to a schedule and goes with it.
///
/// # Errors
/// The API server refused.
pub async fn keep_address(
    client: &Client,
    schedule: &CronJob,
    SecretKey { secret: name, key }: &SecretKey,
    address: &str,
) -> Result<(), ApiError> {
    let namespace = schedule.namespace().unwrap_or_default();
    let secret = Secret {
        metadata: ObjectMeta {
            name: Some(name.clone()),
            labels: schedule.metadata.labels.clone(),
            owner_references: Some(vec![owner(schedule, false)]),
            ..ObjectMeta::default()
        },
        string_data: Some(BTreeMap::from([(key.clone(), address.to_owned())])),
        ..Secret::default()
    };
    let api: Api<Secret> = Api::namespaced(client.clone(), &namespace);
    let created = api.create(&PostParams::default(), &secret).await;
    created
        .map(|_| ())
        .map_err(|error| ApiError::new(format!("create secrets in namespace {namespace:?}"), &error))
}

/// Puts a schedule in the place of the one that was read, if nobody has changed that meanwhile.
///
/// # Errors
/// The API server refused.
pub async fn replace_schedule(client: &Client, changed: &CronJob) -> Result<(), ApiError> {
    let namespace = changed.namespace().unwrap_or_default();
    let api: Api<CronJob> = Api::namespaced(client.clone(), &namespace);
    let replaced = api.replace(&changed.name_any(), &PostParams::default(), changed).await;
    replaced.map(|_| ()).map_err(|error| refused("update", &namespace, &error))
}

/// Suspends a schedule, or resumes it.
///
/// # Errors
/// The API server refused.
pub async fn suspend_schedule(client: &Client, schedule: &SeenSchedule, suspend: bool) -> Result<(), ApiError> {
    let api: Api<CronJob> = Api::namespaced(client.clone(), &schedule.namespace);
    let patch = Patch::Merge(json!({"spec": {"suspend": suspend}}));
    let patched = api.patch(&schedule.name, &PatchParams::default(), &patch).await;
    patched.map(|_| ()).map_err(|error| refused("patch", &schedule.namespace, &error))
}

/// Removes a schedule with its Jobs; the records of its scans stay. One that is gone is no error.
///
/// # Errors
/// The API server refused.
pub async fn delete_schedule(client: &Client, namespace: &str, name: &str) -> Result<(), ApiError> {
    delete(client, namespace, name, PropagationPolicy::Background).await
}

/// Removes a schedule that has run for the last time, by its own runner: that goes on.
///
/// # Errors
/// The API server refused.
pub async fn retire_schedule(client: &Client, namespace: &str, name: &str) -> Result<(), ApiError> {
    delete(client, namespace, name, PropagationPolicy::Orphan).await
}

async fn delete(client: &Client, namespace: &str, name: &str, how: PropagationPolicy) -> Result<(), ApiError> {
    let api: Api<CronJob> = Api::namespaced(client.clone(), namespace);
    let params = DeleteParams { propagation_policy: Some(how), ..DeleteParams::default() };
    match api.delete(name, &params).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(error) => Err(refused("delete", namespace, &error)),
    }
}

/// Starts a schedule now, as `kubectl create job --from` does; whatever its guard would say.
///
/// # Errors
/// The API server refused.
pub async fn run_schedule(client: &Client, schedule: &SeenSchedule) -> Result<SeenRunner, RunnerError> {
    create(client, &job_by_hand(schedule)).await
}

fn job_by_hand(schedule: &SeenSchedule) -> Job {
    let template = schedule.object.spec.job_template.clone();
    let metadata = template.metadata.unwrap_or_default();
    let mut annotations = metadata.annotations.unwrap_or_default();
    annotations.insert("cronjob.kubernetes.io/instantiate".to_owned(), "manual".to_owned());
    let mut spec = template.spec;
    let pod = spec.as_mut().and_then(|spec| spec.template.spec.as_mut());
    for container in pod.into_iter().flat_map(|pod| &mut pod.containers) {
        container.env.iter_mut().for_each(|variables| variables.retain(|one| one.name != GUARD_VARIABLE));
    }
    Job {
        metadata: ObjectMeta {
            generate_name: Some(format!("{}-", schedule.name)),
            namespace: Some(schedule.namespace.clone()),
            labels: metadata.labels,
            annotations: Some(annotations),
            owner_references: Some(vec![owner(&schedule.object, true)]),
            ..ObjectMeta::default()
        },
        spec,
        ..Job::default()
    }
}

fn owner(schedule: &CronJob, controller: bool) -> OwnerReference {
    OwnerReference {
        api_version: "batch/v1".to_owned(),
        kind: "CronJob".to_owned(),
        name: schedule.name_any(),
        uid: schedule.uid().unwrap_or_default(),
        controller: Some(controller),
        block_owner_deletion: None,
    }
}

fn refused(verb: &str, namespace: &str, error: &kube::Error) -> ApiError {
    ApiError::new(format!("{verb} cronjobs in namespace {namespace:?}"), error)
}
