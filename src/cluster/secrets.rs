//! Pull secrets of workloads, read only where scanner pods run in another namespace and so cannot mount them.

use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};

use super::{ApiError, Refusal};

/// Type and key of a Secret with a docker configuration.
pub const DOCKER_CONFIG_JSON: (&str, &str) = ("kubernetes.io/dockerconfigjson", ".dockerconfigjson");
/// The same in the older shape.
pub const DOCKER_CFG: (&str, &str) = ("kubernetes.io/dockercfg", ".dockercfg");
/// How long the answer to one request is waited for.
const ANSWER: Duration = Duration::from_secs(20);

/// What is in a Secret that the kubelet would pull with. Has no `Debug`: nobody is to see it.
pub struct PullCredentials {
    /// Whether it has the older shape, `kubernetes.io/dockercfg`.
    pub is_docker_cfg: bool,
    /// The docker configuration.
    pub content: Vec<u8>,
}

/// What there is under the name of a pull secret.
pub enum FoundSecret {
    /// What is looked for.
    Pull(PullCredentials),
    /// No Secret: pods run without it.
    None,
    /// A Secret that no kubelet pulls with; why, in words that follow its name.
    Other(String),
}

/// Reads a pull secret, as the kubelet does: its type says which of its keys counts.
///
/// # Errors
/// The API server refused.
pub async fn pull_secret(client: &Client, namespace: &str, name: &str) -> Result<FoundSecret, ApiError> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let action = || format!("get secrets in namespace {namespace:?}");
    let unanswered = |why: &str| ApiError { action: action(), refusal: Refusal::Unreachable(why.to_owned()) };
    let answer = tokio::time::timeout(ANSWER, secrets.get_opt(name)).await;
    match answer.map_err(|_| unanswered("it did not answer in time"))? {
        Ok(Some(secret)) => Ok(found(secret)),
        Ok(None) => Ok(FoundSecret::None),
        // Its text may quote what could not be read.
        Err(kube::Error::SerdeError(_)) => Err(unanswered("its answer is no Secret")),
        Err(error) => Err(ApiError::new(action(), &error)),
    }
}

fn found(secret: Secret) -> FoundSecret {
    let type_ = secret.type_.unwrap_or_default();
    let mut data = secret.data.unwrap_or_default();
    let Some((_, key)) = [DOCKER_CONFIG_JSON, DOCKER_CFG].into_iter().find(|(known, _)| *known == type_) else {
        return FoundSecret::Other(format!("is of type {type_:?} and no pull secret"));
    };
    match data.remove(key) {
        Some(content) => {
            FoundSecret::Pull(PullCredentials { is_docker_cfg: key == DOCKER_CFG.1, content: content.0 })
        }
        None => FoundSecret::Other(format!("has no {key}")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(type_: &str, key: &str) -> String {
        let secret = json!({"metadata": {"name": "pull"}, "type": type_, "data": {key: "e30="}});
        match found(serde_json::from_value(secret).expect("a Secret")) {
            FoundSecret::Pull(pull) => {
                assert_eq!(pull.content, b"{}");
                format!("older shape: {}", pull.is_docker_cfg)
            }
            FoundSecret::None => "none".to_owned(),
            FoundSecret::Other(why) => why,
        }
    }

    #[test]
    fn the_type_of_a_secret_says_what_counts_in_it() {
        assert_eq!(read("kubernetes.io/dockerconfigjson", ".dockerconfigjson"), "older shape: false");
        assert_eq!(read("kubernetes.io/dockercfg", ".dockercfg"), "older shape: true");
        assert_eq!(read("kubernetes.io/dockercfg", ".dockerconfigjson"), "has no .dockercfg");
        assert_eq!(read("Opaque", ".dockerconfigjson"), "is of type \"Opaque\" and no pull secret");
    }
}
