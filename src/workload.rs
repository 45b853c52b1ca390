//! What runs: containers of pods, the workload that each belongs to, and the image that each really runs.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::facts::Toleration;
use crate::image::{Platform, RuntimeImage};

/// One container in scope, as the API server describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// The pod it belongs to.
    pub pod: Pod,
    /// Its name, unique within the pod.
    pub name: String,
    /// What part it plays in the pod.
    pub kind: ContainerKind,
    /// The image as the pod spec names it.
    pub image: String,
    /// What the runtime said it runs; the text when that is no digest.
    pub runtime: Result<RuntimeImage, String>,
}

/// What matters of a container's pod. Shared by its containers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The object at the top of its chain of controllers; the pod itself without one.
    pub workload: WorkloadRef,
    /// Every controller on the way there, the pod included: what `TYPE/NAME` is held against.
    pub chain: Vec<WorkloadRef>,
    /// Names of its pull secrets. Admission has filled in those of the service account where the pod had none.
    pub pull_secrets: Vec<String>,
    /// The node it was placed on.
    pub node: Option<String>,
    /// That node's platform, if nodes may be read.
    pub platform: Option<Platform>,
    /// Which taints of nodes it tolerates.
    pub tolerations: Vec<Toleration>,
}

/// An object by kind and name, in the namespace of the pod.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct WorkloadRef {
    /// Kind in lower case, singular: `deployment`.
    pub kind: String,
    /// Name.
    pub name: String,
}

/// What part a container plays in its pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ContainerKind {
    /// An ordinary container.
    Container,
    /// Runs to its end before the others.
    Init,
    /// An init container with `restartPolicy: Always`.
    Sidecar,
    /// Added to a running pod by `kubectl debug`.
    Ephemeral,
}

impl WorkloadRef {
    /// Reads `TYPE/NAME` with the plural and short names that kubectl knows.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (kind, name) = text.split_once('/')?;
        let kind = kind.to_ascii_lowercase();
        // `deployments.apps` and `deployment.v1.apps` are the same kind.
        let kind = match kind.split('.').next().unwrap_or_default() {
            "po" | "pod" | "pods" => "pod",
            "deploy" | "deployment" | "deployments" => "deployment",
            "sts" | "statefulset" | "statefulsets" => "statefulset",
            "ds" | "daemonset" | "daemonsets" => "daemonset",
            "rs" | "replicaset" | "replicasets" => "replicaset",
            "rc" | "replicationcontroller" | "replicationcontrollers" => "replicationcontroller",
            "job" | "jobs" => "job",
            "cj" | "cronjob" | "cronjobs" => "cronjob",
            _ => return None,
        };
        let valid = !name.is_empty() && !name.contains('/');
        valid.then(|| Self { kind: kind.to_owned(), name: name.to_owned() })
    }
}

impl fmt::Display for WorkloadRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.name)
    }
}

impl ContainerKind {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Container => "container",
            Self::Init => "init",
            Self::Sidecar => "sidecar",
            Self::Ephemeral => "ephemeral",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn type_and_name_are_read_as_kubectl_does() {
        for (text, kind) in [
            ("deploy/cart", "deployment"),
            ("deployments.apps/cart", "deployment"),
            ("Pod/cart", "pod"),
            ("cj/cart", "cronjob"),
        ] {
            assert_eq!(WorkloadRef::parse(text), Some(WorkloadRef { kind: kind.into(), name: "cart".into() }));
        }
        for text in ["cart", "svc/cart", "deploy/", "deploy/a/b", "/cart"] {
            assert_eq!(WorkloadRef::parse(text), None, "{text}");
        }
    }
}
