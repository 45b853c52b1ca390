//! The requests to the API server, each with the right that it needs in its error.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Client;
use kube::api::{
    Api, DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions, PropagationPolicy,
};
use serde_json::json;

use super::object::{DIGEST_LABEL, KIND, KIND_LABEL, KIND_PART, Owned, USED, digest_label};
use crate::cluster::{ApiError, NAME};
use crate::image::Digest;

/// Objects per page of a list.
const PAGE: u32 = 500;
/// Most objects that are looked at.
const MAX_OBJECTS: usize = 50_000;

/// Requests for the ConfigMaps of a namespace.
pub(super) struct Requests {
    api: Api<ConfigMap>,
    namespace: String,
}

impl Requests {
    pub(super) fn new(client: &Client, namespace: &str) -> Self {
        Self { api: Api::namespaced(client.clone(), namespace), namespace: namespace.to_owned() }
    }

    pub(super) fn namespace(&self) -> &str {
        &self.namespace
    }

    fn refused(&self, verb: &str) -> impl Fn(kube::Error) -> ApiError {
        let action = format!("{verb} configmaps in namespace {:?}", self.namespace);
        move |error| ApiError::new(action.clone(), &error)
    }

    /// The metadata of everything of ours.
    pub(super) async fn list(&self) -> Result<Vec<ObjectMeta>, ApiError> {
        self.list_by(&format!("{KIND_LABEL} in ({KIND},{KIND_PART})")).await
    }

    /// The metadata of the parts of entries about images of this digest, or of one that begins as it does.
    pub(super) async fn list_parts(&self, digest: &Digest) -> Result<Vec<ObjectMeta>, ApiError> {
        self.list_by(&format!("{KIND_LABEL}={KIND_PART},{DIGEST_LABEL}={}", digest_label(digest))).await
    }

    async fn list_by(&self, selector: &str) -> Result<Vec<ObjectMeta>, ApiError> {
        let selector = format!("app.kubernetes.io/managed-by={NAME},{selector}");
        let mut params = ListParams::default().labels(&selector).limit(PAGE);
        let mut listed = Vec::new();
        loop {
            let page = self.api.list_metadata(&params).await.map_err(self.refused("list"))?;
            listed.extend(page.items.into_iter().map(|object| object.metadata));
            match page.metadata.continue_ {
                Some(token) if !token.is_empty() && listed.len() < MAX_OBJECTS => {
                    params = params.continue_token(&token);
                }
                _ => return Ok(listed),
            }
        }
    }

    pub(super) async fn get(&self, name: &str) -> Result<Option<ConfigMap>, ApiError> {
        self.api.get_opt(name).await.map_err(self.refused("get"))
    }

    pub(super) async fn get_metadata(&self, name: &str) -> Result<Option<ObjectMeta>, ApiError> {
        let object = self.api.get_metadata_opt(name).await.map_err(self.refused("get"))?;
        Ok(object.map(|object| object.metadata))
    }

    /// Creates an object; its name and UID. None if there is one of this name.
    pub(super) async fn create(&self, object: &ConfigMap) -> Result<Option<(String, String)>, ApiError> {
        match self.api.create(&PostParams::default(), object).await {
            Ok(created) => Ok(Owned::of(&created.metadata).objects.pop()),
            Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(None),
            Err(error) => Err(self.refused("create")(error)),
        }
    }

    /// Deletes objects, if they are still those with these UIDs. What is gone is no error.
    pub(super) async fn delete_all(&self, owned: &Owned) -> Result<(), ApiError> {
        for (name, uid) in &owned.objects {
            let params = DeleteParams {
                propagation_policy: Some(PropagationPolicy::Background),
                preconditions: Some(Preconditions { uid: Some(uid.clone()), resource_version: None }),
                ..DeleteParams::default()
            };
            match self.api.delete(name, &params).await {
                Ok(_) => {}
                Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {}
                Err(error) => return Err(self.refused("delete")(error)),
            }
        }
        Ok(())
    }

    /// Writes down when an entry was used last.
    pub(super) async fn annotate_used(&self, name: &str, now: Timestamp) -> Result<(), super::CacheError> {
        let patch = Patch::Merge(json!({"metadata": {"annotations": {USED: now.to_string()}}}));
        match self.api.patch_metadata(name, &PatchParams::default(), &patch).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
            Err(error) => Err(self.refused("patch")(error).into()),
        }
    }
}
