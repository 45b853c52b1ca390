//! Who may write ConfigMaps in a namespace, as far as the bindings there tell.

use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule, Role, RoleBinding, Subject};
use kube::Client;
use kube::api::{Api, ListParams};

use super::discovery::list;
use super::{ApiError, NAME};

/// Most bindings whose roles are looked at.
const MAX_BINDINGS: usize = 100;

/// Who may write ConfigMaps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Writers {
    /// Subjects that other bindings than ours let write: `User ann`, `ServiceAccount shop/ci`.
    pub others: Vec<String>,
    /// Bindings whose role could not be looked at, or that were too many to.
    pub unknown: usize,
}

/// Who may write ConfigMaps of a namespace by a binding there. Bindings of the whole cluster are not looked at: who has those
/// may do so in any namespace.
///
/// # Errors
/// The API server refused to list the bindings.
pub async fn writers_of_config_maps(client: &Client, namespace: &str) -> Result<Writers, ApiError> {
    let bindings: Api<RoleBinding> = Api::namespaced(client.clone(), namespace);
    let listed: Vec<RoleBinding> = list(&bindings, ListParams::default())
        .await
        .map_err(|error| ApiError::new(format!("list rolebindings in namespace {namespace:?}"), &error))?;
    let (of_namespace, of_cluster): (Api<Role>, Api<ClusterRole>) =
        (Api::namespaced(client.clone(), namespace), Api::all(client.clone()));
    let mut writers = Writers::default();
    let others = listed.into_iter().filter(|binding| !is_ours(binding));
    for (number, binding) in others.enumerate() {
        let name = &binding.role_ref.name;
        let allowed = if number >= MAX_BINDINGS {
            None
        } else if binding.role_ref.kind == "ClusterRole" {
            of_cluster.get_opt(name).await.ok().map(|found| found.and_then(|found| found.rules))
        } else {
            of_namespace.get_opt(name).await.ok().map(|found| found.and_then(|found| found.rules))
        };
        match allowed {
            None => writers.unknown += 1,
            Some(rules) if rules.iter().flatten().any(writes) => {
                writers.others.extend(binding.subjects.iter().flatten().map(in_words));
            }
            Some(_) => {}
        }
    }
    writers.others.sort();
    writers.others.dedup();
    Ok(writers)
}

fn is_ours(binding: &RoleBinding) -> bool {
    let labels = binding.metadata.labels.as_ref();
    labels.and_then(|labels| labels.get("app.kubernetes.io/managed-by")).is_some_and(|by| by == NAME)
}

/// Whether a rule lets create or change any ConfigMap.
fn writes(rule: &PolicyRule) -> bool {
    let any = |list: Option<&Vec<String>>, wanted: &[&str]| {
        list.into_iter().flatten().any(|one| one == "*" || wanted.contains(&one.as_str()))
    };
    any(rule.api_groups.as_ref(), &[""])
        && any(rule.resources.as_ref(), &["configmaps"])
        && any(Some(&rule.verbs), &["create", "update", "patch"])
        && rule.resource_names.as_ref().is_none_or(Vec::is_empty)
}

fn in_words(subject: &Subject) -> String {
    let namespace = subject.namespace.as_ref().map(|namespace| format!("{namespace}/")).unwrap_or_default();
    format!("{} {namespace}{}", subject.kind, subject.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_that_let_write_config_maps_are_told_from_others() {
        let rule = |groups: &[&str], resources: &[&str], verbs: &[&str], names: &[&str]| {
            let owned = |list: &[&str]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
            writes(&PolicyRule {
                api_groups: Some(owned(groups)),
                resources: Some(owned(resources)),
                verbs: owned(verbs),
                resource_names: Some(owned(names)),
                ..PolicyRule::default()
            })
        };
        assert!(rule(&[""], &["pods", "configmaps"], &["get", "patch"], &[]));
        assert!(rule(&["*"], &["*"], &["*"], &[]));
        assert!(!rule(&[""], &["configmaps"], &["get", "list"], &[]));
        assert!(!rule(&["apps"], &["*"], &["*"], &[]));
        assert!(!rule(&[""], &["pods"], &["*"], &[]));
        assert!(!rule(&[""], &["configmaps"], &["update"], &["leader"]), "one of a known name is none of ours");
    }
}
