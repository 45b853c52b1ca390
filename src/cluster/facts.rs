//! What the API server tells of itself, of nodes and of namespaces. Nothing of it is needed: a person may not be allowed
//! to ask.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Namespace, Node as ApiNode, NodeStatus};
use kube::api::{Api, ListParams};
use kube::core::PartialObjectMeta;
use kube::{Client, ResourceExt as _};

use super::discovery::{PAGE, list};
use super::refusal::ApiError;
use crate::facts::{Facts, Node, PodSecurity, Taint, Version, tells_what_is_pulled, without_image_volumes};
use crate::image::{Digest, Platform};

/// Label of a namespace: the Pod Security level that is enforced.
const ENFORCE: &str = "pod-security.kubernetes.io/enforce";

/// Label of a namespace: as of which version.
const ENFORCE_VERSION: &str = "pod-security.kubernetes.io/enforce-version";

/// The version that the API server tells of itself: `v1.35.4`.
///
/// # Errors
/// It does not answer, or not to us.
pub async fn server_version(client: &Client) -> Result<String, ApiError> {
    let told = client.apiserver_version().await;
    told.map(|told| told.git_version).map_err(|error| ApiError::new("ask for the server's version", &error))
}

/// Whether a namespace is there, as far as one may look.
pub async fn namespace_exists(client: &Client, name: &str) -> Option<bool> {
    let api: Api<Namespace> = Api::all(client.clone());
    api.get_metadata_opt(name).await.ok().map(|namespace| namespace.is_some())
}

/// Adds to facts what the labels of a namespace say, if they may be read. False if there is no such namespace.
pub async fn add_namespace(client: &Client, name: &str, facts: &mut Facts) -> bool {
    let found = Api::<Namespace>::all(client.clone()).get_metadata_opt(name).await;
    match found {
        Ok(Some(namespace)) => {
            facts.namespaces.insert(name.to_owned(), pod_security(&namespace));
            true
        }
        Ok(None) => false,
        Err(_) => true,
    }
}

/// Asks for all facts about one namespace or, without, all of them; and notes of what is missing.
pub async fn gather(client: &Client, namespace: Option<&str>) -> (Facts, Vec<String>) {
    let (server, nodes, namespaces) =
        tokio::join!(client.apiserver_version(), nodes(client), namespaces(client, namespace));
    let mut missing = Vec::new();
    let nodes = nodes.unwrap_or_else(|error| {
        missing.push(format!("{error}: images of several platforms are read for that of the scanner"));
        BTreeMap::new()
    });
    let server = server.ok().and_then(|info| Version::parse(&info.git_version));
    (Facts { server, nodes, namespaces }, missing)
}

async fn nodes(client: &Client) -> Result<BTreeMap<String, Node>, ApiError> {
    let nodes: Vec<ApiNode> = list(&Api::all(client.clone()), ListParams::default())
        .await
        .map_err(|error| ApiError::new("list nodes", &error))?;
    Ok(nodes.iter().filter_map(|found| Some((found.name_any(), node(found)?))).collect())
}

fn node(node: &ApiNode) -> Option<Node> {
    let status = node.status.as_ref()?;
    let info = status.node_info.as_ref()?;
    let spec = node.spec.clone().unwrap_or_default();
    let is_ready = status.conditions.iter().flatten().any(|c| c.type_ == "Ready" && c.status == "True");
    let closed = match (spec.unschedulable == Some(true), is_ready) {
        (true, _) => Some("it is cordoned".to_owned()),
        (_, false) => Some("it is not ready".to_owned()),
        _ => without_image_volumes(&info.kubelet_version, &info.container_runtime_version),
    };
    // The handler without a name is the one that pods get which ask for none. No list at all: an old kubelet.
    let mut handlers = status.runtime_handlers.iter().flatten();
    let default = handlers.find(|handler| handler.name.as_deref().unwrap_or_default().is_empty());
    let offers =
        default.map(|handler| handler.features.as_ref().is_some_and(|f| f.user_namespaces == Some(true)));
    let taints = spec.taints.unwrap_or_default().into_iter().map(|taint| Taint {
        key: taint.key,
        value: taint.value.unwrap_or_default(),
        effect: taint.effect,
    });
    Some(Node {
        platform: Platform {
            os: info.operating_system.clone(),
            architecture: info.architecture.clone(),
            variant: None,
        },
        taints: taints.collect(),
        closed,
        without_user_namespaces: (offers == Some(false))
            .then(|| format!("its runtime {} offers no user namespaces", info.container_runtime_version)),
        images: if tells_what_is_pulled(&info.container_runtime_version) {
            images(status)
        } else {
            BTreeMap::new()
        },
    })
}

/// Sizes of the images that a kubelet lists, by the digests among their names.
fn images(status: &NodeStatus) -> BTreeMap<Digest, u64> {
    let mut sizes = BTreeMap::new();
    for image in status.images.iter().flatten() {
        let size = image.size_bytes.and_then(|size| u64::try_from(size).ok());
        let Some(size) = size.filter(|size| *size > 0) else { continue };
        let digests = image.names.iter().flatten().filter_map(|name| name.rsplit_once('@')?.1.parse().ok());
        sizes.extend(digests.map(|digest: Digest| (digest, size)));
    }
    sizes
}

/// What the labels of namespaces say; those that may not be read are left out.
async fn namespaces(client: &Client, namespace: Option<&str>) -> BTreeMap<String, PodSecurity> {
    let api: Api<Namespace> = Api::all(client.clone());
    let mut found: Vec<PartialObjectMeta<Namespace>> = Vec::new();
    if let Some(name) = namespace {
        found.extend(api.get_metadata_opt(name).await.ok().flatten());
    } else {
        let mut params = ListParams::default().limit(PAGE);
        while let Ok(page) = api.list_metadata(&params).await {
            found.extend(page.items);
            match page.metadata.continue_ {
                Some(token) if !token.is_empty() => params = params.continue_token(&token),
                _ => break,
            }
        }
    }
    found.iter().map(|namespace| (namespace.name_any(), pod_security(namespace))).collect()
}

fn pod_security(namespace: &PartialObjectMeta<Namespace>) -> PodSecurity {
    let labels = namespace.labels();
    PodSecurity {
        is_restricted: labels.get(ENFORCE).is_some_and(|level| level == "restricted"),
        version: labels.get(ENFORCE_VERSION).and_then(|version| Version::parse(version)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(status: &serde_json::Value, spec: &serde_json::Value) -> Node {
        let told = json!({"metadata": {"name": "n"}, "spec": spec, "status": status});
        node(&serde_json::from_value(told).expect("a node")).expect("it says what it is")
    }

    fn status(user_namespaces: bool) -> serde_json::Value {
        json!({
            "conditions": [{"type": "Ready", "status": "True"}],
            "runtimeHandlers": [{"name": "gvisor", "features": {"userNamespaces": false}},
                {"name": "", "features": {"userNamespaces": user_namespaces}}],
            "nodeInfo": {"operatingSystem": "linux", "architecture": "arm64", "kubeletVersion": "v1.35.4",
                "containerRuntimeVersion": "containerd://2.1.4", "bootID": "", "kernelVersion": "6.6",
                "kubeProxyVersion": "", "machineID": "", "osImage": "", "systemUUID": ""},
        })
    }

    #[test]
    fn node_tells_its_platform_taints_and_whether_it_takes_pods() {
        let taints = json!([{"key": "gpu", "value": "yes", "effect": "NoSchedule"}]);
        let open = read(&status(true), &json!({"taints": taints}));
        assert_eq!((open.platform.architecture.as_str(), open.closed, open.taints.len()), ("arm64", None, 1));
        assert_eq!(open.without_user_namespaces, None);
        let cordoned = read(&status(true), &json!({"unschedulable": true}));
        assert_eq!(cordoned.closed.as_deref(), Some("it is cordoned"));
        let mut sick = status(true);
        sick["conditions"][0]["status"] = json!("Unknown");
        assert_eq!(read(&sick, &json!({})).closed.as_deref(), Some("it is not ready"));
        let mut old = status(true);
        old["nodeInfo"]["containerRuntimeVersion"] = json!("containerd://1.7.20");
        assert!(read(&old, &json!({})).closed.is_some());
    }

    #[test]
    fn sizes_are_those_of_what_is_pulled_or_not_known() {
        let digest = |byte: u8| Digest::of(&[byte]);
        let mut told = status(true);
        told["images"] = json!([
            {"names": [format!("r.test/x@{}", digest(1)), format!("r.test/y@{}", digest(2)), "r.test/x:1"], "sizeBytes": 7},
            {"names": [format!("r.test/z@{}", digest(3))]},
            {"names": ["r.test/z:1"], "sizeBytes": 9},
            {"sizeBytes": -1},
        ]);
        let node = read(&told, &json!({}));
        assert_eq!(node.images, BTreeMap::from([(digest(1), 7), (digest(2), 7)]));
        told["nodeInfo"]["containerRuntimeVersion"] = json!("cri-o://1.35.0");
        assert_eq!(read(&told, &json!({})).images, BTreeMap::new(), "it tells what they take on its disk");
    }

    #[test]
    fn the_handler_that_pods_get_by_default_tells_of_user_namespaces() {
        assert!(read(&status(false), &json!({})).without_user_namespaces.is_some());
        let mut silent = status(true);
        silent.as_object_mut().expect("an object").remove("runtimeHandlers");
        assert_eq!(read(&silent, &json!({})).without_user_namespaces, None, "what is not known is tried");
    }

    #[test]
    fn labels_tell_the_policy_of_a_namespace() {
        let of = |labels: serde_json::Value| {
            let meta = json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata",
                "metadata": {"name": "n", "labels": labels}});
            pod_security(&serde_json::from_value(meta).expect("metadata"))
        };
        let old = of(json!({ENFORCE: "restricted", ENFORCE_VERSION: "v1.34"}));
        assert_eq!(old, PodSecurity { is_restricted: true, version: Version::parse("1.34") });
        let latest = of(json!({ENFORCE: "restricted", ENFORCE_VERSION: "latest"}));
        assert_eq!(latest, PodSecurity { is_restricted: true, version: None });
        assert_eq!(of(json!({ENFORCE: "baseline"})), PodSecurity::default());
    }
}
