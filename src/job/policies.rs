//! Why a scanner pod may have been kept from a registry.

use k8s_openapi::api::batch::v1::Job;
use kube::{Client, ResourceExt as _};

use crate::cluster::{NAME, restricting_policies};

/// The note about `NetworkPolicies` of the pod's namespace that restrict what it reaches; none without them, or without the right
/// to list them. `registry` is `host[:port]`.
pub async fn restriction(client: &Client, desired: &Job, registry: &str) -> Option<String> {
    let namespace = desired.namespace()?;
    let labels = desired.spec.as_ref()?.template.metadata.as_ref()?.labels.as_ref()?;
    let (host, port) = match registry.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().unwrap_or(443)),
        _ => (registry, 443),
    };
    let policies = restricting_policies(client, &namespace, labels, port).await.ok()?;
    let (named, verb) = match policies.as_slice() {
        [] => return None,
        [only] => (format!("NetworkPolicy {only:?}"), "restricts"),
        several => {
            let names: Vec<String> = several.iter().take(4).map(|name| format!("{name:?}")).collect();
            (format!("NetworkPolicies {}", names.join(", ")), "restrict")
        }
    };
    Some(format!(
        "{named} of namespace {namespace} {verb} what its pods may reach: allow egress to {host}:{port} (and DNS) for pods \
         with app.kubernetes.io/name={NAME}, or let them run elsewhere: --job-namespace NAME"
    ))
}
