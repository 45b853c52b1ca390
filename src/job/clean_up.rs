//! Removing what a scan created, and nothing else.

use std::collections::BTreeSet;
use std::time::Duration;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams, ListParams, Preconditions, PropagationPolicy};
use kube::{Client, ResourceExt as _};
use tokio::time::Instant;

use crate::cluster::{ApiError, NAME, SCAN_LABEL};

/// Something of a scan could not be removed.
#[derive(Debug, thiserror::Error)]
pub enum CleanUpError {
    /// The API server refused.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// Still there when the time was up.
    #[error("still there: {0}")]
    Left(String),
}

/// Deletes one Job with its pod, if it is still the one with this UID. One that is gone is no error.
pub async fn delete(client: &Client, namespace: &str, name: &str, uid: &str) -> Result<(), ApiError> {
    let jobs: Api<Job> = Api::namespaced(client.clone(), namespace);
    let params = DeleteParams {
        propagation_policy: Some(PropagationPolicy::Background),
        preconditions: Some(Preconditions { uid: Some(uid.to_owned()), resource_version: None }),
        ..DeleteParams::default()
    };
    match jobs.delete(name, &params).await {
        Ok(_) => Ok(()),
        // Gone, or another Job has taken the name: 409 for a UID that differs.
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
        Err(error) => Err(ApiError::new(format!("delete jobs in namespace {namespace:?}"), &error)),
    }
}

/// Deletes every Job of a scan in these namespaces and waits until their pods are gone too.
pub async fn remove_scan(
    client: &Client,
    scan: &str,
    namespaces: &BTreeSet<String>,
    patience: Duration,
) -> Result<(), CleanUpError> {
    let deadline = Instant::now() + patience;
    loop {
        let mut left = Vec::new();
        let mut failure = None;
        for namespace in namespaces {
            let removing = remove_from(client, namespace, scan);
            match tokio::time::timeout_at(deadline, removing).await {
                Ok(Ok(there)) => left.extend(there),
                Ok(Err(error)) => failure = Some(error),
                Err(_) => left.push(format!("what is in namespace {namespace}")),
            }
        }
        let is_over = Instant::now() >= deadline;
        match failure {
            // One refusal must not keep the other namespaces from being cleaned, and one bad answer may pass.
            Some(error) if is_over || error.is_missing_right() => return Err(error.into()),
            None if left.is_empty() => return Ok(()),
            None if is_over => return Err(CleanUpError::Left(left.join(", "))),
            _ => tokio::time::sleep(Duration::from_millis(200)).await,
        }
    }
}

/// Deletes the Jobs of a scan in one namespace; names what is still there of it.
async fn remove_from(client: &Client, namespace: &str, scan: &str) -> Result<Vec<String>, ApiError> {
    let params =
        ListParams::default().labels(&format!("{SCAN_LABEL}={scan},app.kubernetes.io/managed-by={NAME}"));
    let refused =
        |verb: &str, error: &kube::Error| ApiError::new(format!("{verb} in namespace {namespace:?}"), error);
    let mut left = Vec::new();
    let jobs: Api<Job> = Api::namespaced(client.clone(), namespace);
    let listed = jobs.list_metadata(&params).await.map_err(|error| refused("list jobs", &error))?;
    for job in listed.items {
        let uid = job.metadata.uid.clone().unwrap_or_default();
        delete(client, namespace, &job.name_any(), &uid).await?;
        left.push(format!("job {namespace}/{}", job.name_any()));
    }
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let listed = pods.list_metadata(&params).await.map_err(|error| refused("list pods", &error))?;
    left.extend(listed.items.iter().map(|pod| format!("pod {namespace}/{}", pod.name_any())));
    Ok(left)
}
