//! Which rights a scan needs, and which of them the person lacks. authorization.k8s.io/v1, `SelfSubjectAccessReview`.

use std::collections::BTreeSet;
use std::fmt;

use futures::StreamExt as _;
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use kube::api::PostParams;
use kube::{Api, Client};

use super::{ApiError, Refusal};

/// Verb, API group, resource, subresource.
type Need = (&'static str, &'static str, &'static str, &'static str);

/// What a scan does in each namespace. The same as in the README's Role.
const NEEDED: [Need; 7] = [
    ("list", "", "pods", ""),
    ("watch", "", "pods", ""),
    ("get", "", "pods", "log"),
    ("create", "batch", "jobs", ""),
    ("list", "batch", "jobs", ""),
    ("watch", "batch", "jobs", ""),
    ("delete", "batch", "jobs", ""),
];
/// Requests at the same time.
const PARALLEL: usize = 8;
/// Namespaces beyond these are taken to be like them.
const NAMESPACES: usize = 50;

/// A right in a namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Right {
    namespace: String,
    verb: &'static str,
    resource: String,
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} in namespace {:?}", self.verb, self.resource, self.namespace)
    }
}

/// The rights that a scan of these namespaces needs and the person does not have. What the server does not tell counts as
/// there: the scan itself will say.
pub async fn missing_rights(client: &Client, namespaces: &BTreeSet<String>) -> Vec<Right> {
    let mut needed = Vec::from(NEEDED);
    // Who may do it everywhere need not be asked about each.
    if namespaces.len() > 1 {
        let asked = NEEDED.map(|need| async move {
            (!Box::pin(is_allowed(client, attributes(need, None))).await).then_some(need)
        });
        needed = futures::future::join_all(asked).await.into_iter().flatten().collect();
    }
    let asked = namespaces.iter().take(NAMESPACES).flat_map(|namespace| {
        needed.iter().map(|need| {
            let attributes = attributes(*need, Some(namespace));
            let (verb, _, resource, subresource) = *need;
            let whole =
                if subresource.is_empty() { resource.to_owned() } else { format!("{resource}/{subresource}") };
            let right = Right { namespace: namespace.clone(), verb, resource: whole };
            async move { (!Box::pin(is_allowed(client, attributes)).await).then_some(right) }
        })
    });
    let mut missing: Vec<Right> = futures::stream::iter(asked)
        .buffer_unordered(PARALLEL)
        .filter_map(|right| async { right })
        .collect()
        .await;
    missing.sort();
    missing
}

/// The rights that a scan of all namespaces needs and the person does not have, in words.
pub async fn missing_everywhere(client: &Client) -> Vec<String> {
    let asked = NEEDED.map(|need| async move {
        let (verb, _, resource, subresource) = need;
        let slash = if subresource.is_empty() { "" } else { "/" };
        let right = format!("{verb} {resource}{slash}{subresource} in all namespaces");
        (!Box::pin(is_allowed(client, attributes(need, None))).await).then_some(right)
    });
    futures::future::join_all(asked).await.into_iter().flatten().collect()
}

/// What giving copies of pull secrets to pods of a namespace takes and the person does not have.
pub async fn missing_for_copies(client: &Client, namespace: &str) -> Vec<Right> {
    let mut missing = Vec::new();
    for verb in ["create", "delete"] {
        if !may(client, verb, "", "secrets", Some(namespace)).await {
            missing.push(Right { namespace: namespace.to_owned(), verb, resource: "secrets".to_owned() });
        }
    }
    missing
}

/// Whether the person has a right in a namespace; without, in all. What the server does not tell counts as there.
pub async fn may(
    client: &Client,
    verb: &'static str,
    group: &'static str,
    resource: &'static str,
    namespace: Option<&str>,
) -> bool {
    is_allowed(client, attributes((verb, group, resource, ""), namespace)).await
}

/// What attaching to a pod takes and the person does not have; asked before a pod is started only for that.
pub async fn missing_for_attach(client: &Client, namespace: &str) -> Option<ApiError> {
    // A stream by WebSocket is a GET; newer API servers ask for the right to create as well.
    let attributes = attributes(("get", "", "pods", "attach"), Some(namespace));
    if is_allowed(client, attributes).await {
        return None;
    }
    let action = format!("get pods/attach in namespace {namespace:?}");
    Some(ApiError {
        action,
        refusal: Refusal::Forbidden("the cluster's answer to a review of our rights".to_owned()),
    })
}

/// A question about a right in a namespace; without, in all.
fn attributes((verb, group, resource, subresource): Need, namespace: Option<&str>) -> ResourceAttributes {
    ResourceAttributes {
        namespace: namespace.map(ToOwned::to_owned),
        verb: Some(verb.to_owned()),
        group: Some(group.to_owned()),
        resource: Some(resource.to_owned()),
        subresource: Some(subresource.to_owned()).filter(|name| !name.is_empty()),
        ..ResourceAttributes::default()
    }
}

async fn is_allowed(client: &Client, attributes: ResourceAttributes) -> bool {
    let spec = SelfSubjectAccessReviewSpec {
        resource_attributes: Some(attributes),
        ..SelfSubjectAccessReviewSpec::default()
    };
    let review = SelfSubjectAccessReview { spec, ..SelfSubjectAccessReview::default() };
    let answer = Api::all(client.clone()).create(&PostParams::default(), &review).await;
    answer.ok().and_then(|review: SelfSubjectAccessReview| review.status).is_none_or(|status| status.allowed)
}
