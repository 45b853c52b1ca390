//! `NetworkPolicies` that keep pods from registries: networking.k8s.io/v1. They are only looked at to say why something could
//! not be reached; whether the cluster's network heeds them is not known.

use std::collections::BTreeMap;

use k8s_openapi::api::networking::v1::{NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyPort};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::api::{Api, ListParams};
use kube::{Client, ResourceExt as _};

use super::ApiError;

/// Most policies of a namespace that are looked at.
const MOST: u32 = 500;
/// The port of name servers.
const DNS: i32 = 53;

/// The names of the policies of a namespace that restrict what pods with these labels reach, unless others of them allow
/// names to be resolved and this TCP port to be reached anywhere.
///
/// # Errors
/// The API server refused.
pub async fn restricting_policies(
    client: &Client,
    namespace: &str,
    labels: &BTreeMap<String, String>,
    port: u16,
) -> Result<Vec<String>, ApiError> {
    let api: Api<NetworkPolicy> = Api::namespaced(client.clone(), namespace);
    let action = || format!("list networkpolicies in namespace {namespace:?}");
    let listed = api.list(&ListParams::default().limit(MOST)).await;
    let listed = listed.map_err(|error| ApiError::new(action(), &error))?;
    Ok(restricting(&listed.items, labels, port))
}

/// The same of policies that are known. What is allowed to some addresses only is taken for a restriction: where a registry
/// is, a policy does not know.
fn restricting(policies: &[NetworkPolicy], labels: &BTreeMap<String, String>, port: u16) -> Vec<String> {
    let selects = |policy: &&NetworkPolicy| {
        let Some(spec) = &policy.spec else { return false };
        // Without types a policy is about egress only if it has rules for it.
        let is_egress = match &spec.policy_types {
            Some(types) => types.iter().any(|kind| kind == "Egress"),
            None => spec.egress.as_ref().is_some_and(|rules| !rules.is_empty()),
        };
        is_egress && spec.pod_selector.as_ref().is_none_or(|selector| matches(selector, labels))
    };
    let selecting: Vec<&NetworkPolicy> = policies.iter().filter(selects).collect();
    let rules: Vec<&NetworkPolicyEgressRule> =
        selecting.iter().filter_map(|policy| policy.spec.as_ref()?.egress.as_ref()).flatten().collect();
    let is_open = |protocol: &str, port: i32| {
        rules.iter().any(|rule| {
            let ports = rule.ports.as_deref().unwrap_or_default();
            let to_all = rule.to.as_ref().is_none_or(Vec::is_empty);
            to_all && (ports.is_empty() || ports.iter().any(|allowed| covers(allowed, protocol, port)))
        })
    };
    // Name servers are mostly named by their pods.
    let resolves = rules.iter().any(|rule| {
        let ports = rule.ports.as_deref().unwrap_or_default();
        ports.is_empty() || ports.iter().any(|allowed| covers(allowed, "UDP", DNS))
    });
    if is_open("TCP", i32::from(port)) && resolves {
        return Vec::new();
    }
    selecting.iter().map(|policy| policy.name_any()).collect()
}

fn covers(allowed: &NetworkPolicyPort, protocol: &str, port: i32) -> bool {
    if allowed.protocol.as_deref().unwrap_or("TCP") != protocol {
        return false;
    }
    match &allowed.port {
        None => true,
        Some(IntOrString::Int(first)) => (*first..=allowed.end_port.unwrap_or(*first)).contains(&port),
        // The name of a port of a pod.
        Some(IntOrString::String(_)) => false,
    }
}

fn matches(selector: &LabelSelector, labels: &BTreeMap<String, String>) -> bool {
    let by_value = selector.match_labels.iter().flatten().all(|(name, value)| labels.get(name) == Some(value));
    let by_expression = selector.match_expressions.iter().flatten().all(|requirement| {
        let value = labels.get(&requirement.key);
        let is_listed = value.is_some_and(|value| requirement.values.iter().flatten().any(|one| one == value));
        match requirement.operator.as_str() {
            "In" => is_listed,
            "NotIn" => !is_listed,
            "Exists" => value.is_some(),
            "DoesNotExist" => value.is_none(),
            _ => false,
        }
    });
    by_value && by_expression
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn restricting_of(specs: &[Value]) -> Vec<String> {
        let policies: Vec<NetworkPolicy> = specs
            .iter()
            .enumerate()
            .map(|(number, spec)| {
                let policy = json!({"metadata": {"name": format!("p{number}")}, "spec": spec});
                serde_json::from_value(policy).expect("a policy")
            })
            .collect();
        let labels = [("app.kubernetes.io/name", "kubectl-clarity"), ("job-name", "a")];
        let labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        restricting(&policies, &labels, 443)
    }

    #[test]
    fn pods_are_selected_as_kubernetes_does() {
        let all = json!({"podSelector": {}, "policyTypes": ["Egress"]});
        assert_eq!(restricting_of(&[all]), ["p0"]);
        for (selector, selects) in [
            (json!({"matchLabels": {"app.kubernetes.io/name": "kubectl-clarity"}}), true),
            (json!({"matchLabels": {"app.kubernetes.io/name": "cart"}}), false),
            (json!({"matchExpressions": [{"key": "job-name", "operator": "Exists"}]}), true),
            (json!({"matchExpressions": [{"key": "job-name", "operator": "DoesNotExist"}]}), false),
            (json!({"matchExpressions": [{"key": "job-name", "operator": "In", "values": ["a", "b"]}]}), true),
            (json!({"matchExpressions": [{"key": "job-name", "operator": "NotIn", "values": ["a"]}]}), false),
            (json!({"matchExpressions": [{"key": "none", "operator": "NotIn", "values": ["a"]}]}), true),
        ] {
            let spec = json!({"podSelector": selector, "policyTypes": ["Ingress", "Egress"]});
            assert_eq!(restricting_of(&[spec]).len(), usize::from(selects), "{selector}");
        }
    }

    #[test]
    fn only_policies_about_egress_restrict_it() {
        assert!(restricting_of(&[json!({"podSelector": {}})]).is_empty());
        assert!(restricting_of(&[json!({"podSelector": {}, "policyTypes": ["Ingress"]})]).is_empty());
        let own = json!({"podSelector": {}, "egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}]});
        assert_eq!(restricting_of(&[own]), ["p0"]);
    }

    #[test]
    fn what_one_policy_allows_is_allowed() {
        let deny = json!({"podSelector": {}, "policyTypes": ["Egress"]});
        let all = json!({"podSelector": {}, "policyTypes": ["Egress"], "egress": [{}]});
        let https = json!({"podSelector": {}, "policyTypes": ["Egress"], "egress": [{"ports": [{"port": 400, "endPort": 500}]}]});
        let dns = json!({"podSelector": {}, "policyTypes": ["Egress"], "egress": [
            {"to": [{"namespaceSelector": {}}], "ports": [{"protocol": "UDP", "port": 53}]}]});
        let http = json!({"podSelector": {}, "policyTypes": ["Egress"], "egress": [{"ports": [{"port": 80}, {"port": "https"}]}]});
        assert!(restricting_of(&[deny.clone(), all]).is_empty());
        assert_eq!(restricting_of(&[deny.clone(), https.clone()]), ["p0", "p1"], "no names are resolved");
        assert!(restricting_of(&[deny, https, dns.clone()]).is_empty());
        assert_eq!(restricting_of(&[http, dns]), ["p0", "p1"]);
    }
}
