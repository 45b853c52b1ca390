//! The namespace in which entries are kept.

use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::Client;
use kube::api::{Api, ListParams};

/// The namespace that is used where it is there, so that all of a cluster share what was read.
pub const STATE_NAMESPACE: &str = "clarity-system";

/// Where entries are kept: in the namespace that was named, else in [`STATE_NAMESPACE`] if that is there and may be read, else
/// in the scope's own. None if there is none of these, as for a scope of all namespaces.
pub async fn state_namespace(client: &Client, named: Option<&str>, own: Option<&str>) -> Option<String> {
    if let Some(named) = named {
        return Some(named.to_owned());
    }
    let is_there = is_readable(client, STATE_NAMESPACE).await;
    if is_there { Some(STATE_NAMESPACE.to_owned()) } else { own.map(ToOwned::to_owned) }
}

/// Whether a namespace is there and its ConfigMaps may be listed. A list of one that is not there is empty, and one that is
/// there has the cluster's root certificates at least; only where those are not handed out the namespace itself is asked for.
async fn is_readable(client: &Client, namespace: &str) -> bool {
    let config_maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    match config_maps.list_metadata(&ListParams::default().limit(1)).await {
        Ok(list) if !list.items.is_empty() => true,
        Ok(_) => {
            let namespaces: Api<Namespace> = Api::all(client.clone());
            matches!(namespaces.get_metadata_opt(namespace).await, Ok(Some(_)))
        }
        // What is wrong with the server is said by the request that matters.
        Err(_) => false,
    }
}
