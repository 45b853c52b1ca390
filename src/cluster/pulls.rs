//! What the cluster says about the pulling of images: whose secrets are taken, and what kubelets have to say.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use kube::Client;
use kube::api::Api;

use super::refusal::ApiError;

/// Longest text of a kubelet that is passed on, in characters.
const MAX_TEXT: usize = 500;

/// Names of the pull secrets that a pod gets from its ServiceAccount if it names none itself.
///
/// # Errors
/// The API server refused.
pub async fn account_pull_secrets(
    client: &Client,
    namespace: &str,
    account: &str,
) -> Result<Vec<String>, ApiError> {
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
    let found = accounts.get(account).await.map_err(|error| {
        ApiError::new(format!("get serviceaccount {account:?} in namespace {namespace:?}"), &error)
    })?;
    Ok(found.image_pull_secrets.into_iter().flatten().map(|secret| secret.name).collect())
}

/// By container of a pod, why its image is not there, in the words of its kubelet.
///
/// # Errors
/// The API server refused.
pub async fn pull_troubles(
    client: &Client,
    namespace: &str,
    pod: &str,
) -> Result<BTreeMap<String, String>, ApiError> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let found = pods
        .get(pod)
        .await
        .map_err(|error| ApiError::new(format!("get pod {pod:?} in namespace {namespace:?}"), &error))?;
    Ok(troubles(&found))
}

fn troubles(pod: &Pod) -> BTreeMap<String, String> {
    let Some(status) = &pod.status else { return BTreeMap::new() };
    let lists =
        [&status.container_statuses, &status.init_container_statuses, &status.ephemeral_container_statuses];
    let waiting = lists.into_iter().flatten().flatten().filter_map(|container| {
        let waiting = container.state.as_ref()?.waiting.as_ref()?;
        let reason = waiting.reason.as_deref()?;
        let is_of_image = matches!(
            reason,
            "ImagePullBackOff"
                | "ErrImagePull"
                | "ErrImageNeverPull"
                | "InvalidImageName"
                | "ImageInspectError"
        );
        let message = waiting.message.as_deref().unwrap_or_default();
        let text: String = format!("{reason}: {message}").chars().take(MAX_TEXT).collect();
        is_of_image.then(|| (container.name.clone(), text))
    });
    waiting.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_containers_whose_image_is_missing_are_told() {
        let waiting = |name: &str, reason: &str| {
            json!({"name": name, "image": "", "imageID": "", "ready": false, "restartCount": 0,
                "state": {"waiting": {"reason": reason, "message": "Back-off pulling"}}})
        };
        let pod = json!({"metadata": {}, "status": {
            "containerStatuses": [waiting("a", "ImagePullBackOff"), waiting("b", "CrashLoopBackOff")],
            "initContainerStatuses": [waiting("c", "ErrImagePull")]}});
        let told = troubles(&serde_json::from_value(pod).expect("a pod"));
        assert_eq!(
            told.into_iter().collect::<Vec<_>>(),
            [
                ("a".to_owned(), "ImagePullBackOff: Back-off pulling".to_owned()),
                ("c".to_owned(), "ErrImagePull: Back-off pulling".to_owned())
            ]
        );
    }
}
