//! What the cluster says, asked for.

use super::{Check, DoctorSettings, checks, lacks, scope_in_words};
use crate::cache::{STATE_NAMESPACE, state_namespace};
use crate::cluster::{
    Client, Connection, add_namespace, facts, missing_everywhere, missing_for_copies, missing_rights,
    namespace_exists, server_version, writers_of_config_maps,
};
use crate::runner::{SERVICE_ACCOUNT, service_account_exists};

/// What is done with ConfigMaps of the state namespace.
const STATE_VERBS: [&str; 5] = ["create", "get", "list", "patch", "delete"];

/// All checks of the cluster, in the order of what they depend on.
pub(super) async fn cluster(connection: &Connection, settings: &DoctorSettings) -> Vec<Check> {
    let DoctorSettings { namespace, state_namespace: named, job_namespace, scanner_image: _ } = settings;
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
    let elsewhere = job_namespace.as_deref().filter(|name| namespace != Some(*name));
    let (mut facts, _) = facts(client, namespace).await;
    if let Some(pods) = elsewhere {
        facts.namespaces.clear();
        if !add_namespace(client, pods, &mut facts).await {
            found.push(checks::no_namespace(pods));
            return found;
        }
    }
    found.push(checks::rights(&missing(client, namespace, elsewhere).await, namespace, elsewhere));
    if elsewhere.is_some() {
        let lacking = lacks(client, namespace, "secrets", &["get"]).await;
        found.push(checks::pull_secrets(lacking.is_empty(), namespace));
    }
    let of_pods = elsewhere.or(namespace);
    found.push(checks::events(&lacks(client, of_pods, "events", &["list", "watch"]).await));
    found.push(checks::image_volumes(&facts));
    found.push(checks::pod_security(&facts, of_pods));
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

/// The rights that a scan needs and the person does not have.
async fn missing(client: &Client, namespace: Option<&str>, elsewhere: Option<&str>) -> Vec<String> {
    let Some(pods) = elsewhere else {
        return match namespace {
            Some(namespace) => {
                let rights = missing_rights(client, &[namespace.to_owned()].into()).await;
                rights.iter().map(ToString::to_string).collect()
            }
            None => missing_everywhere(client).await,
        };
    };
    let mut rights = missing_rights(client, &[pods.to_owned()].into()).await;
    rights.extend(missing_for_copies(client, pods).await);
    let mut missing: Vec<String> = rights.iter().map(ToString::to_string).collect();
    if !lacks(client, namespace, "pods", &["list"]).await.is_empty() {
        missing.insert(0, format!("list pods in {}", scope_in_words(namespace)));
    }
    missing
}

/// Whether a detached scan has a runner: in the namespace that is scanned, or for all in the state namespace.
async fn runner(connection: &Connection, home: Option<&str>, scope: Option<&str>) -> Option<Check> {
    let home = home?;
    let is_there = service_account_exists(&connection.client, home, SERVICE_ACCOUNT).await;
    Some(checks::runner(SERVICE_ACCOUNT, home, scope, is_there))
}
