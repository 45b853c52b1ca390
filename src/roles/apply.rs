//! Rights brought into a cluster, by server-side apply.

use std::fmt;

use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams};

use super::RoleObject;
use crate::cluster::{ApiError, NAME};

/// What applying an object has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It was not there.
    Created,
    /// It was there and was different.
    Changed,
    /// It was there as it is to be.
    Unchanged,
    /// It is as it is to be; what was there before may not be looked at.
    Applied,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Created => "created",
            Self::Changed => "changed",
            Self::Unchanged => "unchanged",
            Self::Applied => "applied",
        })
    }
}

/// Applies an object. Fields that another manager has set to something else are not taken over: that is a conflict.
///
/// # Errors
/// The API server refused.
pub async fn apply(client: &Client, object: &RoleObject) -> Result<Change, ApiError> {
    let resource = resource(object);
    let (plural, name) = (resource.plural.clone(), object.name());
    let api: Api<DynamicObject> = match object.namespace() {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    let place = object.namespace().map_or_else(String::new, |namespace| format!(" in namespace {namespace:?}"));
    let before = api.get_metadata_opt(name).await;
    let verb = if matches!(before, Ok(None)) { "create" } else { "patch" };
    let applied = api.patch(name, &PatchParams::apply(NAME), &Patch::Apply(object.to_value())).await;
    let applied = applied.map_err(|error| ApiError::new(format!("{verb} {plural}{place}"), &error))?;
    Ok(match before {
        Ok(None) => Change::Created,
        Ok(Some(before)) if before.metadata.resource_version == applied.metadata.resource_version => {
            Change::Unchanged
        }
        Ok(Some(_)) => Change::Changed,
        Err(_) => Change::Applied,
    })
}

fn resource(object: &RoleObject) -> ApiResource {
    match object {
        RoleObject::ServiceAccount(_) => ApiResource::erase::<ServiceAccount>(&()),
        RoleObject::Role(_) => ApiResource::erase::<Role>(&()),
        RoleObject::RoleBinding(_) => ApiResource::erase::<RoleBinding>(&()),
        RoleObject::ClusterRole(_) => ApiResource::erase::<ClusterRole>(&()),
        RoleObject::ClusterRoleBinding(_) => ApiResource::erase::<ClusterRoleBinding>(&()),
    }
}
