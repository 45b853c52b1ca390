//! Secrets that are made for one Job and go with it.
//!
//! The Job comes first, and its pod waits for what it mounts: so each Secret has an owner from its beginning, and is removed with it
//! by the cluster, whatever becomes of the one who made both. A Job that is never given its Secrets ends by its deadline.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use k8s_openapi::ByteString;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::api::{Api, DeleteParams, PostParams, Preconditions};
use kube::{Client, ResourceExt as _};
use tokio::time::Instant;

use super::spec::SECRETS;
use super::{REQUESTER_ANNOTATION, SCOPE_ANNOTATION};
use crate::cluster::{ApiError, Refusal};

/// How long the answer to one request is waited for.
const ANSWER: Duration = Duration::from_secs(30);

/// How long a Secret is tried to be made whose name is still taken by that of a Job of the same name that is being removed.
const NAME_GRACE: Duration = Duration::from_secs(15);

/// How often.
const PAUSE: Duration = Duration::from_millis(300);

/// A Secret that is made for a Job. Its `Debug` shows nothing of what it holds.
#[derive(Clone, PartialEq, Eq)]
pub struct OwnedSecret {
    /// What follows the name of the Job in its own: `pull-0`. The volume is called so too.
    pub suffix: String,
    /// Its type, as the API has it.
    pub type_: String,
    /// What it holds, by the name of the file.
    pub files: BTreeMap<String, Vec<u8>>,
    /// The folder where it is mounted into the container that speaks with registries, and into no other.
    pub folder: String,
    /// The pull secret that it is copied from: then the kubelet pulls with it as well.
    pub copy_of: Option<Original>,
}

/// A Secret of a workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Original {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// Secrets that are there: names and UIDs.
pub(super) type Created = Vec<(String, String)>;

impl OwnedSecret {
    /// A copy of a workload's pull secret, or of a part of it. `position` is that of the original among those of the workload,
    /// `file` the name and content of its only file.
    #[must_use]
    pub fn pull(position: usize, original: Original, type_: &str, file: (&str, Vec<u8>)) -> Self {
        let (name, content) = file;
        Self {
            suffix: format!("pull-{position}"),
            type_: type_.to_owned(),
            files: BTreeMap::from([(name.to_owned(), content)]),
            folder: format!("{SECRETS}/{position}"),
            copy_of: Some(original),
        }
    }

    /// Its name beside a Job of this name.
    pub(super) fn name(&self, job: &str) -> String {
        format!("{job}-{}", self.suffix)
    }

    /// The object, owned by a Job that is there.
    pub(super) fn desired(&self, job: &Job) -> Secret {
        let told = [REQUESTER_ANNOTATION, SCOPE_ANNOTATION];
        let annotations = job.annotations().iter().filter(|(name, _)| told.contains(&name.as_str()));
        let files = self.files.iter().map(|(name, content)| (name.clone(), ByteString(content.clone())));
        Secret {
            metadata: ObjectMeta {
                name: Some(self.name(&job.name_any())),
                namespace: job.namespace(),
                labels: Some(job.labels().clone()),
                annotations: Some(annotations.map(|(name, text)| (name.clone(), text.clone())).collect()),
                owner_references: Some(vec![OwnerReference {
                    api_version: "batch/v1".to_owned(),
                    kind: "Job".to_owned(),
                    name: job.name_any(),
                    uid: job.uid().unwrap_or_default(),
                    ..OwnerReference::default()
                }]),
                ..ObjectMeta::default()
            },
            immutable: Some(true),
            type_: Some(self.type_.clone()),
            data: Some(files.collect()),
            ..Secret::default()
        }
    }
}

impl fmt::Debug for OwnedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnedSecret")
            .field("suffix", &self.suffix)
            .field("files", &self.files.keys().collect::<Vec<_>>())
            .field("copy_of", &self.copy_of)
            .finish_non_exhaustive()
    }
}

/// Makes the Secrets of a Job that is there.
///
/// # Errors
/// The API server refused.
pub(super) async fn create(client: &Client, job: &Job, owned: &[OwnedSecret]) -> Result<Created, ApiError> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), &job.namespace().unwrap_or_default());
    let mut created = Vec::new();
    for secret in owned {
        created.push(create_one(&secrets, &secret.desired(job)).await?);
    }
    Ok(created)
}

async fn create_one(secrets: &Api<Secret>, desired: &Secret) -> Result<(String, String), ApiError> {
    let action = format!("create secrets in namespace {:?}", desired.namespace().unwrap_or_default());
    let deadline = Instant::now() + NAME_GRACE;
    let mut was_unanswered = false;
    loop {
        let error = match answered(&action, secrets.create(&PostParams::default(), desired)).await {
            Ok(created) => return Ok((created.name_any(), created.uid().unwrap_or_default())),
            Err(error) => error,
        };
        let is_taken = matches!(error.refusal, Refusal::Conflict(_));
        if is_taken && let Some(uid) = uid_of_own(secrets, desired).await {
            // Made by a request whose answer was lost.
            return Ok((desired.name_any(), uid));
        }
        // What has that name still goes with an earlier Job of the same name.
        let may_try_again = is_taken || (error.may_pass() && !was_unanswered);
        if !may_try_again || Instant::now() >= deadline {
            return Err(error);
        }
        was_unanswered |= error.may_pass();
        tokio::time::sleep(PAUSE).await;
    }
}

/// The UID of the Secret of this name, if it belongs to the same Job. Who may not look does not know.
async fn uid_of_own(secrets: &Api<Secret>, desired: &Secret) -> Option<String> {
    let name = desired.name_any();
    let looked = secrets.get_metadata_opt(&name);
    let found = tokio::time::timeout(ANSWER, looked).await.ok()?.ok()??;
    let is_own = found.owner_references().iter().any(|owner| desired.owner_references().contains(owner));
    found.uid().filter(|_| is_own)
}

/// Deletes Secrets, if they are still those with these UIDs. What is gone is no error.
///
/// # Errors
/// The API server refused.
pub(super) async fn delete(client: &Client, namespace: &str, created: &Created) -> Result<(), ApiError> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let action = format!("delete secrets in namespace {namespace:?}");
    for (name, uid) in created {
        let preconditions = Some(Preconditions { uid: Some(uid.clone()), resource_version: None });
        let params = DeleteParams { preconditions, ..DeleteParams::default() };
        match answered(&action, secrets.delete(name, &params)).await {
            Err(error) if !matches!(error.refusal, Refusal::NotFound(_) | Refusal::Conflict(_)) => {
                return Err(error);
            }
            _ => {}
        }
    }
    Ok(())
}

/// The answer to a request about Secrets. What could not be read of it is not quoted: it may hold one.
async fn answered<T>(
    action: &str,
    request: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, ApiError> {
    let unanswered =
        |why: &str| ApiError { action: action.to_owned(), refusal: Refusal::Unreachable(why.to_owned()) };
    match tokio::time::timeout(ANSWER, request).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(kube::Error::SerdeError(_))) => Err(unanswered("its answer cannot be read")),
        Ok(Err(error)) => Err(ApiError::new(action, &error)),
        Err(_) => Err(unanswered("it did not answer in time")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn secret() -> OwnedSecret {
        let original = Original { namespace: "shop".to_owned(), name: "registry".to_owned() };
        OwnedSecret::pull(
            1,
            original,
            "kubernetes.io/dockercfg",
            (".dockercfg", br#"{"a.test":"hunter2"}"#.to_vec()),
        )
    }

    #[test]
    fn a_secret_is_owned_by_its_job_and_labelled_as_that_is() {
        let job: Job = serde_json::from_value(json!({"metadata": {"name": "clarity-k7-2", "namespace": "tools",
            "uid": "u-1", "labels": {"kubectl-clarity.io/scan": "k7", "app.kubernetes.io/managed-by": "kubectl-clarity"},
            "annotations": {"kubectl-clarity.io/images": "[]", "kubectl-clarity.io/scope": "-n shop"}}}))
        .expect("a Job");
        assert_eq!(
            serde_json::to_value(secret().desired(&job)).expect("json"),
            json!({"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/dockercfg", "immutable": true,
                "metadata": {"name": "clarity-k7-2-pull-1", "namespace": "tools",
                    "labels": {"kubectl-clarity.io/scan": "k7", "app.kubernetes.io/managed-by": "kubectl-clarity"},
                    "annotations": {"kubectl-clarity.io/scope": "-n shop"},
                    "ownerReferences": [{"apiVersion": "batch/v1", "kind": "Job", "name": "clarity-k7-2", "uid": "u-1"}]},
                "data": {".dockercfg": "eyJhLnRlc3QiOiJodW50ZXIyIn0="}})
        );
    }

    #[test]
    fn debug_shows_nothing_of_what_it_holds() {
        let shown = format!("{:?}", secret());
        assert!(shown.contains("registry") && !shown.contains("hunter2") && !shown.contains("104"), "{shown}");
    }
}
