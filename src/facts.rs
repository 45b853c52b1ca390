//! What is known of a cluster that decides how its images can be read. Every fact may be missing: then it is tried.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::image::{Digest, Platform};

/// Major and minor number of a Kubernetes version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// Major number, 1.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
}

/// The first version whose Pod Security `restricted` admits user 0 where that is the user of a user namespace.
pub const ROOT_OF_NAMESPACE_IS_RESTRICTED: Version = Version { major: 1, minor: 35 };

/// The first version whose kubelet may mount images; on by default since 1.35.
const IMAGE_VOLUMES: Version = Version { major: 1, minor: 33 };

/// Runtimes and the first version of each that mounts images.
const RUNTIMES: [(&str, Version); 2] =
    [("containerd", Version { major: 2, minor: 1 }), ("cri-o", Version { major: 1, minor: 31 })];

/// All of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Version of the API server.
    pub server: Option<Version>,
    /// Nodes by name; those that are not in it are not known.
    pub nodes: BTreeMap<String, Node>,
    /// Namespaces by name and what their labels say of Pod Security.
    pub namespaces: BTreeMap<String, PodSecurity>,
}

/// One node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// What its images are made for.
    pub platform: Platform,
    /// Its taints.
    pub taints: Vec<Taint>,
    /// Why no pod may be placed there for a mount: it is cordoned, not ready, or cannot mount images.
    pub closed: Option<String>,
    /// Why it offers no user namespaces.
    pub without_user_namespaces: Option<String>,
    /// Images that it has, by the digest of an index or manifest: bytes to pull, which are those of the manifest, the config and
    /// the compressed layers. A kubelet lists the largest fifty; of runtimes that tell how much an image takes unpacked
    /// there are none.
    pub images: BTreeMap<Digest, u64>,
}

/// A taint of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taint {
    /// Its key.
    pub key: String,
    /// Its value, mostly empty.
    pub value: String,
    /// `NoSchedule`, `PreferNoSchedule` or `NoExecute`.
    pub effect: String,
}

/// A toleration of a pod, in the API's own fields.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Toleration {
    /// Key of the taint; none tolerates all.
    pub key: Option<String>,
    /// `Equal` or `Exists`.
    pub operator: Option<String>,
    /// Value of the taint.
    pub value: Option<String>,
    /// Effect of the taint; none means all.
    pub effect: Option<String>,
}

/// The labels `pod-security.kubernetes.io/enforce` and `enforce-version` of a namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodSecurity {
    /// Whether `restricted` is enforced.
    pub is_restricted: bool,
    /// As of which version; none means the server's.
    pub version: Option<Version>,
}

impl Version {
    /// Reads the numbers that a version begins with: `v1.35.4`, `1.31.0-rc.1`, `1.33+`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.trim_start_matches('v').split('.');
        let mut number = || {
            let part = numbers.next()?;
            let digits = part.find(|c: char| !c.is_ascii_digit()).map_or(part, |end| &part[..end]);
            digits.parse().ok()
        };
        Some(Self { major: number()?, minor: number()? })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// Whether the sizes that a kubelet lists with this container runtime are those of what is pulled. CRI-O and Docker tell what
/// an image takes on their disk.
#[must_use]
pub fn tells_what_is_pulled(runtime: &str) -> bool {
    runtime.starts_with("containerd://")
}

/// Why a node with this kubelet and container runtime (`containerd://2.1.4`) cannot mount images, if that is certain.
#[must_use]
pub fn without_image_volumes(kubelet: &str, runtime: &str) -> Option<String> {
    if Version::parse(kubelet).is_some_and(|version| version < IMAGE_VOLUMES) {
        return Some(format!("its kubelet {kubelet} is older than {IMAGE_VOLUMES}"));
    }
    let (name, version) = runtime.split_once("://")?;
    if name == "docker" {
        return Some(format!("its runtime {runtime} mounts no images"));
    }
    let (_, first) = RUNTIMES.iter().find(|(known, _)| *known == name)?;
    (Version::parse(version)? < *first).then(|| format!("its runtime {runtime} is older than {first}"))
}

impl Facts {
    /// The node, if it is known.
    #[must_use]
    pub fn node(&self, name: &str) -> Option<&Node> {
        self.nodes.get(name)
    }

    /// Bytes to pull of an image on a platform, if a node of it has the image and tells. Without a platform all nodes are asked.
    #[must_use]
    pub fn bytes_to_pull(&self, digest: &Digest, platform: Option<&Platform>) -> Option<u64> {
        let same = |node: &&Node| platform.is_none_or(|platform| node.platform == *platform);
        self.nodes.values().filter(same).find_map(|node| node.images.get(digest).copied())
    }

    /// Why Pod Security of a namespace does not admit user 0, not even in a user namespace, if that is certain.
    #[must_use]
    pub fn refuses_root_of_namespace(&self, namespace: &str) -> Option<String> {
        let policy = self.namespaces.get(namespace).filter(|policy| policy.is_restricted)?;
        let version = policy.version.into_iter().chain(self.server).min()?;
        (version < ROOT_OF_NAMESPACE_IS_RESTRICTED)
            .then(|| format!("Pod Security \"restricted\" of v{version}"))
    }
}

impl Toleration {
    /// What lets a pod onto a node in spite of a taint that the node was given for its purpose. Taints by which
    /// Kubernetes itself keeps pods away (cordoned, not ready, under pressure) are respected.
    #[must_use]
    pub fn of_taint(taint: &Taint) -> Option<Self> {
        let is_for_a_purpose = !is_of_kubernetes(&taint.key) && taint.effect != "PreferNoSchedule";
        is_for_a_purpose.then(|| Self {
            key: Some(taint.key.clone()),
            operator: Some("Equal".to_owned()),
            value: Some(taint.value.clone()).filter(|value| !value.is_empty()),
            effect: Some(taint.effect.clone()),
        })
    }

    /// Whether it is one that a scanner pod may take over from the pod whose image it reads: for a taint by name, and not
    /// for one by which Kubernetes keeps pods away.
    #[must_use]
    pub fn may_be_taken_over(&self) -> bool {
        self.key.as_deref().is_some_and(|key| !key.is_empty() && !is_of_kubernetes(key))
    }
}

/// Well-known taints of Kubernetes for the condition of a node.
fn is_of_kubernetes(key: &str) -> bool {
    key.starts_with("node.kubernetes.io/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> Version {
        Version::parse(text).expect("a version")
    }

    #[test]
    fn versions_are_read_as_servers_kubelets_and_labels_write_them() {
        for text in ["v1.35.4", "1.35", "1.35+", "v1.35.0-eks-1234", "1.35.0-rc.1"] {
            assert_eq!(version(text), Version { major: 1, minor: 35 }, "{text}");
        }
        for text in ["", "latest", "v1", "v1.x"] {
            assert_eq!(Version::parse(text), None, "{text}");
        }
    }

    #[test]
    fn old_kubelets_and_runtimes_are_known_not_to_mount_images() {
        for (kubelet, runtime) in [
            ("v1.32.9", "containerd://2.1.0"),
            ("v1.35.4", "containerd://1.7.27"),
            ("v1.35.4", "cri-o://1.30.1"),
            ("v1.33.0", "docker://27.0.1"),
        ] {
            assert!(without_image_volumes(kubelet, runtime).is_some(), "{kubelet} {runtime}");
        }
        for (kubelet, runtime) in [
            ("v1.33.0", "containerd://2.1.0"),
            ("v1.35.4", "containerd://2.3.7-0.20251120"),
            ("v1.35.4", "cri-o://1.35.0"),
            ("v1.35.4", "unheard-of://0.1"),
            ("", ""),
        ] {
            assert_eq!(without_image_volumes(kubelet, runtime), None, "{kubelet} {runtime}");
        }
    }

    #[test]
    fn restricted_of_an_older_version_does_not_admit_root_of_a_user_namespace() {
        let refuses = |is_restricted, enforced: Option<&str>, server: Option<&str>| {
            let policy = PodSecurity { is_restricted, version: enforced.map(version) };
            let facts = Facts {
                server: server.map(version),
                namespaces: BTreeMap::from([("shop".to_owned(), policy)]),
                ..Facts::default()
            };
            facts.refuses_root_of_namespace("shop").is_some()
        };
        assert!(refuses(true, Some("v1.34"), Some("v1.36.0")));
        assert!(refuses(true, None, Some("v1.34.2")));
        assert!(!refuses(true, None, Some("v1.35.4")));
        assert!(!refuses(true, Some("v1.35"), Some("v1.36.0")));
        assert!(!refuses(false, Some("v1.34"), Some("v1.35.4")));
        assert!(!refuses(true, None, None), "what is not known is tried");
        assert_eq!(Facts::default().refuses_root_of_namespace("shop"), None);
    }

    #[test]
    fn taints_for_a_purpose_are_tolerated_and_those_for_a_condition_respected() {
        let taint =
            |key: &str, effect: &str| Taint { key: key.into(), value: "x".into(), effect: effect.into() };
        let tolerated = Toleration::of_taint(&taint("dedicated", "NoSchedule")).expect("tolerated");
        assert_eq!((tolerated.key.as_deref(), tolerated.value.as_deref()), (Some("dedicated"), Some("x")));
        assert!(Toleration::of_taint(&taint("node-role.kubernetes.io/control-plane", "NoSchedule")).is_some());
        for condition in ["unschedulable", "not-ready", "disk-pressure"] {
            assert_eq!(
                Toleration::of_taint(&taint(&format!("node.kubernetes.io/{condition}"), "NoSchedule")),
                None
            );
        }
        assert_eq!(Toleration::of_taint(&taint("soft", "PreferNoSchedule")), None);
        assert!(!Toleration::default().may_be_taken_over(), "one without a key tolerates a cordon too");
    }
}
