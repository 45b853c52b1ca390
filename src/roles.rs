//! Rights as Kubernetes objects: the smallest that suffice for what a person or a runner does. rbac.authorization.k8s.io/v1.
//!
//! Everything here is pure but [`apply`]. A Role can be shared by many; a binding is of one subject and is named after it, so that
//! giving rights to a second person takes none from the first.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::{
    ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, RoleRef, Subject as ApiSubject,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::Value;

use crate::cluster::NAME;
use crate::image::Digest;
use crate::runner::SERVICE_ACCOUNT;

mod apply;
mod remarks;
#[cfg(test)]
mod tests;

pub use apply::{Change, apply};
pub use remarks::{Remarks, remarks};

/// API group of roles and bindings.
const RBAC: &str = "rbac.authorization.k8s.io";
/// Longest readable part of a subject in the name of its binding.
const MAX_NAME: usize = 60;
/// Digits of a digest that tell subjects apart whose names cannot be used as they are.
const DIGITS: usize = 8;

/// What the rights are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purpose {
    /// Scans of one namespace by a person: `scan`, `plan`, `status`, `attach`, `stop`.
    Scan,
    /// The same of all namespaces.
    ScanAll,
    /// The ServiceAccount of runners that scan their own namespace: `scan --detach`, and schedules.
    Runner,
    /// The ServiceAccount of runners that scan all namespaces; it is in the state namespace.
    RunnerAll,
    /// A person who looks at scans and what they have found, and starts none.
    Viewer,
}

/// For whom and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleSettings {
    /// Name of the roles; of the ServiceAccount, too, where one is made. See [`Purpose::default_name`].
    pub name: String,
    /// The namespace that is scanned or looked at. For all namespaces it counts only where no state namespace is named.
    pub namespace: String,
    /// Where records and lists of packages are kept. None: runners and viewers have them in [`Self::namespace`], and scans
    /// share nothing.
    pub state_namespace: Option<String>,
    /// Where scanner pods run, if not beside the workloads: then nothing may be created in the namespaces that are scanned, and
    /// their Secrets may be read, since pull secrets are copied.
    pub job_namespace: Option<String>,
    /// Who gets the rights. None makes no binding; runners have their own ServiceAccount, whatever is said here.
    pub subject: Option<Subject>,
}

/// Who gets rights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A user, as the cluster's authentication names them.
    User(String),
    /// A group of users.
    Group(String),
    /// A ServiceAccount.
    ServiceAccount {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
}

/// One object to create.
#[derive(Clone, Debug, PartialEq)]
pub enum RoleObject {
    /// Who a runner is.
    ServiceAccount(ServiceAccount),
    /// Rights in a namespace.
    Role(Role),
    /// Who has them.
    RoleBinding(RoleBinding),
    /// Rights in all namespaces.
    ClusterRole(ClusterRole),
    /// Who has them.
    ClusterRoleBinding(ClusterRoleBinding),
}

impl Purpose {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Scan, Self::ScanAll, Self::Runner, Self::RunnerAll, Self::Viewer];

    /// The word for it on the command line.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Scan => "scan",
            Self::ScanAll => "scan-all",
            Self::Runner => "runner",
            Self::RunnerAll => "runner-all",
            Self::Viewer => "viewer",
        }
    }

    /// The name that is taken where no other is given.
    #[must_use]
    pub fn default_name(self) -> &'static str {
        match self {
            Self::Scan => "clarity-scan",
            Self::ScanAll => "clarity-scan-all",
            Self::Runner | Self::RunnerAll => SERVICE_ACCOUNT,
            Self::Viewer => "clarity-viewer",
        }
    }

    /// Whether a ServiceAccount gets the rights, and nobody else can.
    #[must_use]
    pub fn is_of_runner(self) -> bool {
        matches!(self, Self::Runner | Self::RunnerAll)
    }

    /// Whether the rights are in all namespaces.
    #[must_use]
    pub fn is_everywhere(self) -> bool {
        matches!(self, Self::ScanAll | Self::RunnerAll)
    }
}

impl RoleSettings {
    /// The settings where nothing is said but the purpose and the namespace.
    #[must_use]
    pub fn new(purpose: Purpose, namespace: &str) -> Self {
        Self {
            name: purpose.default_name().to_owned(),
            namespace: namespace.to_owned(),
            state_namespace: None,
            job_namespace: None,
            subject: None,
        }
    }

    /// Where scanner pods run under these rights, if not beside the workloads.
    #[must_use]
    pub fn elsewhere(&self, purpose: Purpose) -> Option<&str> {
        self.job_namespace.as_deref().filter(|name| purpose.is_everywhere() || *name != self.namespace)
    }

    /// Where ConfigMaps are kept under these rights, if they are.
    #[must_use]
    pub fn state(&self, purpose: Purpose) -> Option<&str> {
        let own = match purpose {
            Purpose::Scan | Purpose::ScanAll => None,
            Purpose::Runner | Purpose::RunnerAll | Purpose::Viewer => Some(self.namespace.as_str()),
        };
        self.state_namespace.as_deref().or(own)
    }

    /// Who gets the rights, if that is known.
    #[must_use]
    pub fn subject(&self, purpose: Purpose) -> Option<Subject> {
        let account = |namespace: &str| {
            Some(Subject::ServiceAccount { namespace: namespace.to_owned(), name: self.name.clone() })
        };
        match purpose {
            Purpose::Runner => account(&self.namespace),
            Purpose::RunnerAll => account(self.state(purpose).unwrap_or(&self.namespace)),
            Purpose::Scan | Purpose::ScanAll | Purpose::Viewer => self.subject.clone(),
        }
    }
}

/// The objects that give these rights, in the order in which they are to be created.
#[must_use]
pub fn objects(purpose: Purpose, settings: &RoleSettings) -> Vec<RoleObject> {
    let RoleSettings { name, namespace, .. } = settings;
    let subject = settings.subject(purpose);
    let state = settings.state(purpose);
    let mut made = Vec::new();
    if let Some(Subject::ServiceAccount { namespace, name }) =
        subject.as_ref().filter(|_| purpose.is_of_runner())
    {
        made.push(RoleObject::ServiceAccount(ServiceAccount {
            metadata: metadata(name, Some(namespace)),
            ..ServiceAccount::default()
        }));
    }
    let elsewhere = settings.elsewhere(purpose);
    let (mut rules, mut kept) = (rules(purpose, elsewhere.is_some()), state_rules(purpose));
    if purpose.is_everywhere() {
        made.push(cluster_role(name, rules));
        made.extend(subject.as_ref().map(|subject| cluster_binding(name, subject)));
    } else {
        if state == Some(namespace) {
            rules.append(&mut kept);
        }
        // A one-shot schedule is beside its runner.
        rules.extend((purpose == Purpose::Runner).then(own_schedule));
        made.push(role(name, namespace, rules));
        made.extend(subject.as_ref().map(|subject| binding(name, namespace, subject)));
    }
    if let Some(namespace) = elsewhere {
        let name = format!("{name}-jobs");
        made.push(role(&name, namespace, pod_rules(purpose, true)));
        made.extend(subject.as_ref().map(|subject| binding(&name, namespace, subject)));
    }
    if let Some(state) = state.filter(|_| !kept.is_empty()) {
        // Another name than that of the rights in a namespace: that may be in the state namespace as well.
        let name = format!("{name}-state");
        kept.extend((purpose == Purpose::RunnerAll).then(own_schedule));
        made.push(role(&name, state, kept));
        made.extend(subject.as_ref().map(|subject| binding(&name, state, subject)));
    }
    made
}

/// What is done where workloads are.
fn rules(purpose: Purpose, is_elsewhere: bool) -> Vec<PolicyRule> {
    let mut rules = if is_elsewhere && purpose != Purpose::Viewer {
        // Jobs tell which cron job a pod belongs to.
        vec![rule("", "pods", &["list"]), rule("batch", "jobs", &["list"]), rule("", "secrets", &["get"])]
    } else {
        pod_rules(purpose, false)
    };
    if purpose == Purpose::Viewer {
        rules.push(rule("batch", "cronjobs", &["list"]));
    }
    if purpose.is_everywhere() {
        rules.push(rule("", "nodes", &["list"]));
        rules.push(rule("", "namespaces", &["get", "list"]));
    }
    rules
}

/// What is done where scanner pods run: with them, their Jobs and what is around them.
fn pod_rules(purpose: Purpose, has_copies: bool) -> Vec<PolicyRule> {
    if purpose == Purpose::Viewer {
        return vec![
            rule("", "pods", &["list"]),
            rule("", "pods/log", &["get"]),
            rule("batch", "jobs", &["list"]),
        ];
    }
    let jobs: &[&str] = if purpose.is_of_runner() {
        &["create", "list", "watch", "delete"]
    } else {
        // By `patch` a scan that is stopped is told so.
        &["create", "list", "watch", "delete", "patch"]
    };
    let mut rules = vec![
        rule("", "pods", &["list", "watch"]),
        rule("", "pods/log", &["get"]),
        rule("batch", "jobs", jobs),
        rule("", "events", &["list", "watch"]),
    ];
    rules.extend(has_copies.then(|| rule("", "secrets", &["create", "delete"])));
    rules
}

/// What is done with the ConfigMaps of the state namespace.
fn state_rules(purpose: Purpose) -> Vec<PolicyRule> {
    let verbs: &[&str] = match purpose {
        Purpose::Viewer => &["get", "list"],
        _ => &["create", "get", "list", "patch", "delete"],
    };
    vec![rule("", "configmaps", verbs)]
}

/// A schedule for one time removes itself when it has run.
fn own_schedule() -> PolicyRule {
    rule("batch", "cronjobs", &["delete"])
}

fn rule(group: &str, resource: &str, verbs: &[&str]) -> PolicyRule {
    PolicyRule {
        api_groups: Some(vec![group.to_owned()]),
        resources: Some(vec![resource.to_owned()]),
        verbs: verbs.iter().map(ToString::to_string).collect(),
        ..PolicyRule::default()
    }
}

fn metadata(name: &str, namespace: Option<&str>) -> ObjectMeta {
    let labels = ["app.kubernetes.io/name", "app.kubernetes.io/managed-by"];
    ObjectMeta {
        name: Some(name.to_owned()),
        namespace: namespace.map(ToOwned::to_owned),
        labels: Some(BTreeMap::from(labels.map(|label| (label.to_owned(), NAME.to_owned())))),
        ..ObjectMeta::default()
    }
}

fn role(name: &str, namespace: &str, rules: Vec<PolicyRule>) -> RoleObject {
    RoleObject::Role(Role { metadata: metadata(name, Some(namespace)), rules: Some(rules) })
}

fn cluster_role(name: &str, rules: Vec<PolicyRule>) -> RoleObject {
    RoleObject::ClusterRole(ClusterRole {
        metadata: metadata(name, None),
        rules: Some(rules),
        aggregation_rule: None,
    })
}

fn binding(role: &str, namespace: &str, subject: &Subject) -> RoleObject {
    RoleObject::RoleBinding(RoleBinding {
        metadata: metadata(&subject.name_of_binding(role), Some(namespace)),
        role_ref: role_ref("Role", role),
        subjects: Some(vec![subject.in_api()]),
    })
}

fn cluster_binding(role: &str, subject: &Subject) -> RoleObject {
    RoleObject::ClusterRoleBinding(ClusterRoleBinding {
        metadata: metadata(&subject.name_of_binding(role), None),
        role_ref: role_ref("ClusterRole", role),
        subjects: Some(vec![subject.in_api()]),
    })
}

fn role_ref(kind: &str, name: &str) -> RoleRef {
    RoleRef { api_group: Some(RBAC.to_owned()), kind: kind.to_owned(), name: name.to_owned() }
}

impl Subject {
    fn in_api(&self) -> ApiSubject {
        let (kind, name, namespace) = match self {
            Self::User(name) => ("User", name, None),
            Self::Group(name) => ("Group", name, None),
            Self::ServiceAccount { namespace, name } => ("ServiceAccount", name, Some(namespace.clone())),
        };
        ApiSubject {
            api_group: namespace.is_none().then(|| RBAC.to_owned()),
            kind: kind.to_owned(),
            name: name.clone(),
            namespace,
        }
    }

    /// The name of its binding to a role. Different subjects have different ones.
    fn name_of_binding(&self, role: &str) -> String {
        let text = match self {
            Self::User(name) => format!("user.{name}"),
            Self::Group(name) => format!("group.{name}"),
            // A namespace has no dot in its name.
            Self::ServiceAccount { namespace, name } => format!("sa.{namespace}.{name}"),
        };
        let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.');
        if text.len() <= MAX_NAME && text.chars().all(is_plain) {
            return format!("{role}.{text}");
        }
        let plain: String = text.chars().take(MAX_NAME).map(|c| if is_plain(c) { c } else { '-' }).collect();
        let digest = Digest::of(text.as_bytes()).to_string();
        let hex = digest.rsplit(':').next().unwrap_or_default();
        format!("{role}.{plain}.{}", &hex[..DIGITS.min(hex.len())])
    }
}

impl RoleObject {
    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::ServiceAccount(_) => "ServiceAccount",
            Self::Role(_) => "Role",
            Self::RoleBinding(_) => "RoleBinding",
            Self::ClusterRole(_) => "ClusterRole",
            Self::ClusterRoleBinding(_) => "ClusterRoleBinding",
        }
    }

    fn metadata(&self) -> &ObjectMeta {
        match self {
            Self::ServiceAccount(object) => &object.metadata,
            Self::Role(object) => &object.metadata,
            Self::RoleBinding(object) => &object.metadata,
            Self::ClusterRole(object) => &object.metadata,
            Self::ClusterRoleBinding(object) => &object.metadata,
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.metadata().name.as_deref().unwrap_or_default()
    }

    /// Its namespace; none if it is of the whole cluster.
    #[must_use]
    pub fn namespace(&self) -> Option<&str> {
        self.metadata().namespace.as_deref()
    }

    /// The rules of a role.
    #[must_use]
    pub fn rules(&self) -> &[PolicyRule] {
        match self {
            Self::Role(role) => role.rules.as_deref().unwrap_or_default(),
            Self::ClusterRole(role) => role.rules.as_deref().unwrap_or_default(),
            Self::ServiceAccount(_) | Self::RoleBinding(_) | Self::ClusterRoleBinding(_) => &[],
        }
    }

    /// The object as the API takes it.
    #[must_use]
    pub fn to_value(&self) -> Value {
        match self {
            Self::ServiceAccount(object) => serde_json::to_value(object),
            Self::Role(object) => serde_json::to_value(object),
            Self::RoleBinding(object) => serde_json::to_value(object),
            Self::ClusterRole(object) => serde_json::to_value(object),
            Self::ClusterRoleBinding(object) => serde_json::to_value(object),
        }
        .expect("it consists of strings and lists")
    }

    /// The object as a YAML document, without the line that parts documents.
    #[must_use]
    pub fn to_yaml(&self) -> String {
        match self {
            Self::ServiceAccount(object) => serde_saphyr::to_string(object),
            Self::Role(object) => serde_saphyr::to_string(object),
            Self::RoleBinding(object) => serde_saphyr::to_string(object),
            Self::ClusterRole(object) => serde_saphyr::to_string(object),
            Self::ClusterRoleBinding(object) => serde_saphyr::to_string(object),
        }
        .expect("it consists of strings and lists")
    }
}
