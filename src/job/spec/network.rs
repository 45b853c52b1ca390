//! What a pod needs to reach registries: Secrets with a certificate and a proxy's address, names of hosts.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{HostAlias, KeyToPath, SecretVolumeSource, Volume, VolumeMount};

use crate::network::{CLIENT_FOLDER, Network, PROXY_FOLDER};

/// Secrets that whoever asks registries must find. Without one of them the pod does not start.
#[must_use]
pub fn network_volumes(network: &Network) -> Vec<Volume> {
    let volume = |name: &str, secret: &str, keys: &[&str]| Volume {
        name: name.to_owned(),
        secret: Some(SecretVolumeSource {
            secret_name: Some(secret.to_owned()),
            items: Some(
                keys.iter()
                    .map(|key| KeyToPath {
                        key: (*key).to_owned(),
                        path: (*key).to_owned(),
                        ..KeyToPath::default()
                    })
                    .collect(),
            ),
            // The pod's user is nobody in particular, and nobody else is in the pod.
            default_mode: Some(0o444),
            optional: Some(false),
            ..SecretVolumeSource::default()
        }),
        ..Volume::default()
    };
    let client = network.client_secret.iter().map(|secret| volume("client", secret, &["tls.crt", "tls.key"]));
    let proxy = network.proxy.iter().filter_map(|proxy| proxy.secret.as_ref());
    client.chain(proxy.map(|secret| volume("proxy", &secret.name, &[&secret.key]))).collect()
}

/// Where they are found.
#[must_use]
pub fn network_mounts(network: &Network) -> Vec<VolumeMount> {
    let mount = |name: &str, folder: &str| VolumeMount {
        name: name.to_owned(),
        mount_path: folder.to_owned(),
        read_only: Some(true),
        ..VolumeMount::default()
    };
    let client = network.client_secret.iter().map(|_| mount("client", CLIENT_FOLDER));
    let proxy = network.proxy.iter().filter(|proxy| proxy.secret.is_some());
    client.chain(proxy.map(|_| mount("proxy", PROXY_FOLDER))).collect()
}

/// The names of hosts by their address, as pods have them.
#[must_use]
pub fn host_aliases(network: &Network) -> Option<Vec<HostAlias>> {
    let mut names: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for alias in &network.host_aliases {
        names.entry(alias.address.to_string()).or_default().push(alias.name.clone());
    }
    let aliases: Vec<HostAlias> =
        names.into_iter().map(|(ip, names)| HostAlias { ip, hostnames: Some(names) }).collect();
    (!aliases.is_empty()).then_some(aliases)
}
