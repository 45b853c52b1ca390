//! The ConfigMaps of a namespace that are ours, each request with the right that it needs in its error.

use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Client;
use kube::api::{
    Api, DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions, PropagationPolicy,
};
use serde_json::json;

use super::{ApiError, NAME};

/// Label that tells what an object is.
pub const KIND_LABEL: &str = "kubectl-clarity.io/kind";
/// Bytes of content in one object. An object may have 1 MiB in all.
pub const PART_BYTES: usize = 900 << 10;
/// Objects per page of a list.
const PAGE: u32 = 500;
/// Most objects that are looked at.
const MAX_OBJECTS: usize = 50_000;

/// The ConfigMaps of a namespace.
pub struct ConfigMaps {
    api: Api<ConfigMap>,
    namespace: String,
}

/// Objects that are one thing.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Owned {
    /// Names and UIDs, in the order in which they are deleted.
    pub objects: Vec<(String, String)>,
}

impl ConfigMaps {
    /// Those of this namespace.
    #[must_use]
    pub fn new(client: &Client, namespace: &str) -> Self {
        Self { api: Api::namespaced(client.clone(), namespace), namespace: namespace.to_owned() }
    }

    /// The namespace.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    fn refused(&self, verb: &str) -> impl Fn(kube::Error) -> ApiError {
        let action = format!("{verb} configmaps in namespace {:?}", self.namespace);
        move |error| ApiError::new(action.clone(), &error)
    }

    /// The metadata of all that are ours and that a label selector chooses.
    ///
    /// # Errors
    /// The API server refused.
    pub async fn list(&self, selector: &str) -> Result<Vec<ObjectMeta>, ApiError> {
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

    /// One, if it is there.
    ///
    /// # Errors
    /// The API server refused.
    pub async fn get(&self, name: &str) -> Result<Option<ConfigMap>, ApiError> {
        self.api.get_opt(name).await.map_err(self.refused("get"))
    }

    /// The metadata of one, if it is there.
    ///
    /// # Errors
    /// The API server refused.
    pub async fn get_metadata(&self, name: &str) -> Result<Option<ObjectMeta>, ApiError> {
        let object = self.api.get_metadata_opt(name).await.map_err(self.refused("get"))?;
        Ok(object.map(|object| object.metadata))
    }

    /// Creates an object; its name and UID. None if there is one of this name.
    ///
    /// # Errors
    /// The API server refused.
    pub async fn create(&self, object: &ConfigMap) -> Result<Option<(String, String)>, ApiError> {
        match self.api.create(&PostParams::default(), object).await {
            Ok(created) => Ok(Owned::of(&created.metadata).objects.pop()),
            Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(None),
            Err(error) => Err(self.refused("create")(error)),
        }
    }

    /// Deletes objects, if they are still those with these UIDs. What is gone is no error.
    ///
    /// # Errors
    /// The API server refused.
    pub async fn delete_all(&self, owned: &Owned) -> Result<(), ApiError> {
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

    /// Sets an annotation of an object that may have gone.
    ///
    /// # Errors
    /// The API server refused.
    pub async fn annotate(&self, name: &str, key: &str, value: &str) -> Result<(), ApiError> {
        let patch = Patch::Merge(json!({"metadata": {"annotations": {key: value}}}));
        match self.api.patch_metadata(name, &PatchParams::default(), &patch).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
            Err(error) => Err(self.refused("patch")(error)),
        }
    }
}

impl Owned {
    /// An object alone.
    #[must_use]
    pub fn of(metadata: &ObjectMeta) -> Self {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        Self { objects: vec![(text(&metadata.name), text(&metadata.uid))] }
    }

    /// The name of the first object.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.objects.first().map(|(name, _)| name.as_str())
    }
}
