//! Namespaces that a test has for itself, and what runs in them.

use base64::Engine as _;
use serde_json::{Value, json};

use crate::environment::{environment, kubectl, kubectl_with, wait_for};

/// A namespace that is deleted at the end of its test, however that ends. It enforces Pod Security "restricted".
pub(crate) struct Namespace {
    pub(crate) name: String,
}

/// Who pulls in a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PullSecret {
    /// Nobody: only public images can be had.
    None,
    /// The default service account has the credential of the private registry.
    OnServiceAccount,
    /// There is the secret `registry`, for pods that name it.
    ForPods,
}

impl Namespace {
    /// Makes one with these objects in it.
    pub(crate) fn new(topic: &str, secret: PullSecret, objects: Vec<Value>) -> Self {
        Self::with_labels(topic, secret, &json!({}), objects)
    }

    /// One with more labels.
    pub(crate) fn with_labels(topic: &str, secret: PullSecret, more: &Value, objects: Vec<Value>) -> Self {
        let namespace = Self { name: format!("test-{topic}-{}", random_suffix()) };
        let accounts = match secret {
            PullSecret::OnServiceAccount => json!([{"name": "registry"}]),
            PullSecret::None | PullSecret::ForPods => json!([]),
        };
        // A pod gets its account's secrets when it is created, so these come first.
        let mut labels = json!({"pod-security.kubernetes.io/enforce": "restricted"});
        for (name, value) in more.as_object().expect("labels") {
            labels[name] = value.clone();
        }
        let mut items = vec![
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace.name, "labels": labels}}),
            json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"},
                "imagePullSecrets": accounts}),
        ];
        if secret != PullSecret::None {
            items.push(pull_secret());
        }
        items.extend(objects);
        namespace.add(items);
        namespace
    }

    /// One with a single pod that waits for ever and names an image of the public registry by digest: such an image
    /// can be scanned without being run.
    pub(crate) fn with_image(topic: &str, fixture: &str, repository: &str) -> Self {
        let environment = environment();
        let image = format!("{}/{repository}@{}", environment.public, environment.digest(fixture));
        Self::new(topic, PullSecret::None, vec![waiting_pod("waiting", &image)])
    }

    /// Creates objects in it.
    pub(crate) fn add(&self, mut objects: Vec<Value>) {
        for object in &mut objects {
            let kind = object["kind"].as_str().unwrap_or_default();
            if kind != "Namespace" && !kind.starts_with("ValidatingAdmission") {
                object["metadata"]["namespace"] = json!(self.name);
            }
        }
        let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
        // The controller may have made the default service account already.
        kubectl_with(&["apply", "--server-side", "--force-conflicts", "-f", "-"], &list);
    }

    /// Waits until all its pods run.
    pub(crate) fn wait_until_ready(&self) {
        kubectl(&["wait", "-n", &self.name, "--for=condition=Ready", "--timeout=60s", "pod", "--all"]);
    }

    /// Waits until one of its pods runs, where others never will.
    pub(crate) fn wait_until_runs(&self, pod: &str) {
        kubectl(&["wait", "-n", &self.name, "--for=condition=Ready", "--timeout=60s", &format!("pod/{pod}")]);
    }

    /// A service account with one of the cluster's own roles in this namespace only; its name as a user.
    pub(crate) fn account_with(&self, role: &str) -> String {
        self.add(vec![
            json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": role}}),
            json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": role},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
                "subjects": [{"kind": "ServiceAccount", "name": role, "namespace": self.name}]}),
        ]);
        let user = format!("system:serviceaccount:{}:{role}", self.name);
        wait_for("the rights of the account", 10, || {
            let mut can_i = std::process::Command::new("kubectl");
            can_i.args(["auth", "can-i", "list", "pods", "-n", &self.name, "--as", &user]);
            can_i.output().expect("kubectl starts").status.success().then_some(())
        });
        user
    }

    /// Names of what scans have created and not yet removed.
    pub(crate) fn created_by_scans(&self) -> Vec<String> {
        let label = "app.kubernetes.io/managed-by=kubectl-clarity";
        let names = kubectl(&["get", "jobs,pods,secrets", "-n", &self.name, "-l", label, "-o", "name"]);
        names.lines().map(ToOwned::to_owned).collect()
    }

    /// The scanner pod, once the cluster has made it.
    pub(crate) fn scanner_pod(&self) -> String {
        wait_for("a scanner pod", 30, || {
            self.created_by_scans().into_iter().find_map(|name| Some(name.strip_prefix("pod/")?.to_owned()))
        })
    }

    /// Asserts that nothing of any scan is left, giving pods the time that they need to end.
    pub(crate) fn assert_nothing_left(&self) {
        wait_for(&format!("nothing of ours in {}", self.name), 15, || {
            self.created_by_scans().is_empty().then_some(())
        });
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // The test may be failing already, and a namespace that was not made needs no deletion.
        let delete = ["delete", "namespace", &self.name, "--wait=false", "--ignore-not-found"];
        let _ = std::process::Command::new("kubectl").args(delete).output();
    }
}

/// Six characters that no other test run has.
pub(crate) fn random_suffix() -> String {
    let mut random = [0_u8; 6];
    getrandom::fill(&mut random).expect("random numbers");
    random.iter().map(|byte| char::from(b'a' + byte % 26)).collect()
}

/// A pod that no scheduler takes up.
pub(crate) fn waiting_pod(name: &str, image: &str) -> Value {
    let mut pod = running_pod(name, image);
    pod["spec"]["schedulerName"] = json!("nobody");
    pod
}

/// A pod that runs what its image is made for.
pub(crate) fn running_pod(name: &str, image: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {
        "terminationGracePeriodSeconds": 1,
        "automountServiceAccountToken": false,
        "securityContext": {"runAsNonRoot": true, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [{"name": name, "image": image,
            "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}}}]}})
}

/// The same pod on this very node.
pub(crate) fn on_node(node: &str, mut pod: Value) -> Value {
    pod["spec"]["nodeName"] = json!(node);
    pod
}

/// The same pod with the pull secret of its namespace.
pub(crate) fn with_secret(mut pod: Value) -> Value {
    pod["spec"]["imagePullSecrets"] = json!([{"name": "registry"}]);
    pod
}

fn pull_secret() -> Value {
    let environment = environment();
    let (user, password) = &environment.credential;
    let encode = |text: String| base64::engine::general_purpose::STANDARD.encode(text);
    let auth = json!({"auth": encode(format!("{user}:{password}"))});
    let config = json!({"auths": {environment.registry.as_str(): auth}});
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "registry"},
        "type": "kubernetes.io/dockerconfigjson", "data": {".dockerconfigjson": encode(config.to_string())}})
}
