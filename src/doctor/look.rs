//! What the cluster says, asked for.

use super::{Check, DoctorSettings, checks, lacks};
use crate::cache::{STATE_NAMESPACE, state_namespace};
use crate::cluster::{
    Connection, facts, missing_everywhere, missing_rights, namespace_exists, server_version,
    writers_of_config_maps,
};
use crate::runner::{SERVICE_ACCOUNT, service_account_exists};

/// What is done with ConfigMaps of the state namespace.
const STATE_VERBS: [&str; 5] = ["create", "get", "list", "patch", "delete"];

/// All checks of the cluster, in the order of what they depend on.
pub(super) async fn cluster(connection: &Connection, settings: &DoctorSettings) -> Vec<Check> {
    let DoctorSettings { namespace, state_namespace: named, scanner_image: _ } = settings;
    let (client, namespace) = (&connection.client, namespace.as_deref());
    let version = match server_version(client).await {
        Ok(version) => version,
        Err(error) => return vec![checks::unreachable(&error, &connection.server)],
    };
    let mut found = vec![checks::server(&version, &connection.server)];
    if let Some(namespace) = namespace
        && namespace_exists(client, namespace).await == Some(false)
    {
        found.push(checks::no_namespace(namespace));
        return found;
    }
    let missing: Vec<String> = match namespace {
        Some(namespace) => {
            let rights = missing_rights(client, &[namespace.to_owned()].into()).await;
            rights.iter().map(ToString::to_string).collect()
        }
        None => missing_everywhere(client).await,
    };
    found.push(checks::rights(&missing, namespace));
    found.push(checks::events(&lacks(client, namespace, "events", &["list", "watch"]).await));
    let (facts, _) = facts(client, namespace).await;
    found.push(checks::image_volumes(&facts));
    found.push(checks::pod_security(&facts, namespace));
    let state = state_namespace(client, named.as_deref(), None).await;
    let Some(state) = state else {
        found.push(checks::no_state(STATE_NAMESPACE, namespace));
        found.extend(runner(connection, namespace, namespace).await);
        return found;
    };
    let is_there = namespace_exists(client, &state).await != Some(false);
    let lacking =
        if is_there { lacks(client, Some(&state), "configmaps", &STATE_VERBS).await } else { Vec::new() };
    found.push(checks::state(&state, is_there, &lacking));
    if is_there {
        let writers = writers_of_config_maps(client, &state).await;
        found.push(checks::writers(&state, writers.as_ref()));
    }
    found.extend(runner(connection, namespace.or(Some(&state)), namespace).await);
    found
}

/// Whether a detached scan has a runner: in the namespace that is scanned, or for all in the state namespace.
async fn runner(connection: &Connection, home: Option<&str>, scope: Option<&str>) -> Option<Check> {
    let home = home?;
    let is_there = service_account_exists(&connection.client, home, SERVICE_ACCOUNT).await;
    Some(checks::runner(SERVICE_ACCOUNT, home, scope, is_there))
}
