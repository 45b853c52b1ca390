//! The flags that say how registries are reached: from this machine, and from scanner pods.

mod files;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::Args;

use super::access::AccessArgs;
use super::errors::Explained;
use super::image::ImageError;
use super::{surroundings, ui};
use crate::cluster::{self, ConfigMaps};
use crate::database::{Source, Update};
use crate::network::{HostAlias, Network, PodProxy, Route, SecretKey, no_proxy};
use crate::registry::{PodError, Settings};

/// How registries and mirrors are reached.
#[derive(Clone, Debug, Args)]
pub(super) struct TransportArgs {
    /// PEM file with root certificates of registries and mirrors, or a ConfigMap with one (key ca.crt without KEY); may be
    /// given several times
    #[arg(long, value_name = "FILE|configmap:[NAMESPACE/]NAME[/KEY]")]
    registry_ca: Vec<Authority>,
    /// Mirrors and settings of registries: a registries.conf, a hosts.toml, or a folder of these (certs.d); may be given
    /// several times
    #[arg(long, value_name = "PATH")]
    registry_config: Vec<PathBuf>,
    /// Registry or mirror that may be spoken to without TLS; may be given several times
    #[arg(long, value_name = "HOST")]
    plain_http_registry: Vec<String>,
    /// The same as JSON, for who runs where there are no files
    #[arg(long, hide = true, env = crate::runner::NETWORK_VARIABLE, hide_env_values = true, value_parser = network)]
    network: Option<Network>,
}

/// How scanner pods reach registries, besides.
#[derive(Clone, Debug, Args)]
pub(super) struct PodNetworkArgs {
    /// Secret (kubernetes.io/tls) in the namespaces of the scanner pods: the certificate that they show to registries which
    /// ask for one
    #[arg(long, value_name = "NAME", value_parser = secret_name)]
    registry_client_secret: Option<String>,
    /// Proxy of the scanner pods, without a password
    #[arg(long, value_name = "URL", conflicts_with = "registry_proxy_secret")]
    registry_proxy: Option<String>,
    /// Secret in the namespaces of the scanner pods with the address of their proxy, which may have a password (key url
    /// without KEY)
    #[arg(long, value_name = "NAME[/KEY]", value_parser = proxy_secret)]
    registry_proxy_secret: Option<SecretKey>,
    /// What the scanner pods ask without their proxy: hosts, domains, addresses, networks, separated by commas
    #[arg(long, value_name = "LIST", value_parser = no_proxy)]
    registry_no_proxy: Option<String>,
    /// Address of a host in the scanner pods; may be given several times
    #[arg(long, value_name = "NAME=IP")]
    host_alias: Vec<HostAlias>,
}

/// Where certificates of authorities are.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Authority {
    File(PathBuf),
    ConfigMap { namespace: Option<String>, name: String, key: String },
}

/// A ConfigMap that gives no certificates.
#[derive(Debug, thiserror::Error)]
pub(super) enum AuthorityError {
    /// It is not there.
    #[error("there is no ConfigMap {name} in namespace {namespace:?}")]
    Missing { name: String, namespace: String },
    /// It has not this key.
    #[error("ConfigMap {namespace}/{name} has no key {key:?}{}", There(keys))]
    Key { name: String, namespace: String, key: String, keys: Vec<String> },
    /// No cluster is asked by this command.
    #[error("this command asks no cluster for certificates: {0} should be a file")]
    Offline(String),
}

struct There<'a>(&'a [String]);

impl std::fmt::Display for There<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, " (there is: {})", self.0.join(", ")) }
    }
}

/// How registries are reached, completed.
#[derive(Clone, Debug)]
pub(super) struct Reach {
    /// What travels into pods.
    pub(super) network: Network,
    /// What this program itself uses.
    pub(super) settings: Settings,
}

impl FromStr for Authority {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some(named) = text.strip_prefix("configmap:") else { return Ok(Self::File(PathBuf::from(text))) };
        // A key has a dot more often than not, the name of a namespace never.
        let parts: Vec<&str> = named.split('/').collect();
        let (namespace, name, key) = match parts.as_slice() {
            [name] => (None, *name, "ca.crt"),
            [name, key] if key.contains('.') => (None, *name, *key),
            [namespace, name] => (Some(*namespace), *name, "ca.crt"),
            [namespace, name, key] => (Some(*namespace), *name, *key),
            _ => return Err("expected configmap:[NAMESPACE/]NAME[/KEY]".to_owned()),
        };
        if name.is_empty() || key.is_empty() || namespace == Some("") {
            return Err("expected configmap:[NAMESPACE/]NAME[/KEY]".to_owned());
        }
        let namespace = namespace.map(ToOwned::to_owned);
        Ok(Self::ConfigMap { namespace, name: name.to_owned(), key: key.to_owned() })
    }
}

/// Reads what a runner was told.
fn network(text: &str) -> Result<Network, String> {
    serde_json::from_str(text).map_err(|error| error.to_string())
}

fn secret_name(text: &str) -> Result<String, String> {
    let is_good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c);
    let is_name = !text.is_empty() && text.len() <= 253 && text.chars().all(is_good);
    if is_name { Ok(text.to_owned()) } else { Err("expected the name of a Secret".to_owned()) }
}

fn proxy_secret(text: &str) -> Result<SecretKey, String> {
    let (name, key) = text.split_once('/').unwrap_or((text, "url"));
    let is_key = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    if key.is_empty() || key.starts_with("..") || !key.chars().all(is_key) {
        return Err("expected NAME or NAME/KEY".to_owned());
    }
    Ok(SecretKey { name: secret_name(name)?, key: key.to_owned() })
}

/// The address of a proxy. It is not repeated: it may hold a password.
fn proxy(text: &str) -> Result<String, String> {
    let bare = text.split_once("://").map_or(text, |(_, rest)| rest);
    if bare.contains('@') {
        return Err(
            "it has a user or a password, which everybody could read in the Job: put it into a Secret \
                    and name that, --registry-proxy-secret NAME[/KEY]"
                .to_owned(),
        );
    }
    let is_known = text.split_once("://").is_some_and(|(scheme, _)| matches!(scheme, "http" | "https"));
    if !is_known || bare.is_empty() {
        return Err("expected http://HOST:PORT or https://HOST:PORT".to_owned());
    }
    Ok(text.to_owned())
}

impl TransportArgs {
    /// How registries are reached. A cluster is asked only for certificates that are in a ConfigMap, which `namespace` is the
    /// default of.
    pub(super) async fn complete(
        &self,
        access: Option<&AccessArgs>,
        namespace: Option<&str>,
    ) -> Result<Reach, Explained> {
        let Self { registry_ca, registry_config, plain_http_registry, network } = self;
        let is_in_pod = network.is_some();
        let mut network = network.clone().unwrap_or_default();
        for authority in registry_ca {
            let pem = match authority {
                Authority::File(path) => ui::read_certificates(path)?,
                Authority::ConfigMap { namespace: own, name, key } => {
                    let Some(access) = access else {
                        return Err(AuthorityError::Offline(format!("configmap:{name}")).into());
                    };
                    let namespace = own.as_deref().or(namespace);
                    config_map(access, namespace, name, key).await?
                }
            };
            network.authorities.get_or_insert_default().push_str(&pem);
        }
        network.plain_http.extend(plain_http_registry.iter().cloned());
        for path in registry_config {
            let told = files::read(path)?;
            told.routes.into_iter().for_each(|route| network.add_route(route));
            told.notes.iter().for_each(|note| ui::say(&format!("note: {note}")));
        }
        let settings = Settings { proxy: surroundings::proxy(), ..Settings::of(&network) };
        let read = |path: &Path| std::fs::read(path);
        let settings = if is_in_pod { settings.in_pod(&network, &read)? } else { settings };
        Ok(Reach { network, settings })
    }
}

/// What files say of registries, for a command that starts no pods. Remarks go to `notes`.
pub(super) fn routes(paths: &[PathBuf], notes: &mut dyn Write) -> Result<Vec<Route>, ImageError> {
    let mut network = Network::default();
    for path in paths {
        let told = files::read(path).map_err(|error| ImageError::Config(error.in_words()))?;
        told.routes.into_iter().for_each(|route| network.add_route(route));
        for note in told.notes {
            // With stderr gone there is nobody to tell.
            let _ = writeln!(notes, "note: {note}");
        }
    }
    Ok(network.routes)
}

/// Certificates out of a ConfigMap, with the rights of the person.
async fn config_map(
    access: &AccessArgs,
    namespace: Option<&str>,
    name: &str,
    key: &str,
) -> Result<String, Explained> {
    let connection = cluster::connect(&access.clone().complete()).await?;
    let namespace = namespace.unwrap_or(&connection.namespace).to_owned();
    let found = ConfigMaps::new(&connection.client, &namespace).get(name).await?;
    let name = name.to_owned();
    let Some(found) = found else { return Err(AuthorityError::Missing { name, namespace }.into()) };
    let mut data = found.data.unwrap_or_default();
    let Some(text) = data.remove(key) else {
        let keys = data.into_keys().take(8).collect();
        return Err(AuthorityError::Key { name, namespace, key: key.to_owned(), keys }.into());
    };
    let place = format!("configmap:{namespace}/{name}/{key}");
    ui::certificates(&format!("cannot use --registry-ca {place}"), text.as_bytes())
}

impl PodNetworkArgs {
    /// Adds what is said of pods alone, and checks whether all of it may be told to them.
    pub(super) fn complete(self, network: Network) -> Result<Network, Explained> {
        let Self {
            registry_client_secret,
            registry_proxy,
            registry_proxy_secret,
            registry_no_proxy,
            host_alias,
        } = self;
        let mut network = network;
        // Not when flags are parsed: what is wrong there is repeated.
        let registry_proxy = registry_proxy.as_deref().map(proxy).transpose().map_err(|why| {
            Explained::new("cannot use --registry-proxy", &std::io::Error::other(why)).of_usage()
        })?;
        network.client_secret = registry_client_secret.or(network.client_secret);
        let is_proxy = registry_proxy.is_some() || registry_proxy_secret.is_some();
        if is_proxy || registry_no_proxy.is_some() {
            let before = network.proxy.take().unwrap_or_default();
            let (address, secret) = if is_proxy {
                (registry_proxy, registry_proxy_secret)
            } else {
                (before.address, before.secret)
            };
            network.proxy = Some(PodProxy { address, secret, except: registry_no_proxy.or(before.except) });
        }
        network.host_aliases.extend(host_alias);
        network.check_travel()?;
        Ok(network)
    }
}

impl Reach {
    /// How a database is brought up to date from a source.
    pub(super) fn update(self, source: Source) -> Update {
        Update { source, settings: self.settings, docker_config: surroundings::docker_config() }
    }
}

impl From<PodError> for Explained {
    fn from(error: PodError) -> Self {
        Self::new("cannot reach registries as this pod was told", &error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_are_in_a_file_or_in_a_config_map() {
        let map = |namespace: Option<&str>, name: &str, key: &str| Authority::ConfigMap {
            namespace: namespace.map(ToOwned::to_owned),
            name: name.to_owned(),
            key: key.to_owned(),
        };
        for (text, wanted) in [
            ("ca.pem", Authority::File("ca.pem".into())),
            ("configmap:trust", map(None, "trust", "ca.crt")),
            ("configmap:trust/root.pem", map(None, "trust", "root.pem")),
            ("configmap:infra/trust", map(Some("infra"), "trust", "ca.crt")),
            ("configmap:infra/trust/bundle", map(Some("infra"), "trust", "bundle")),
        ] {
            assert_eq!(text.parse(), Ok(wanted), "{text}");
        }
        for wrong in ["configmap:", "configmap:a/", "configmap:/a", "configmap:a/b/c/d"] {
            assert!(wrong.parse::<Authority>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_password_in_the_address_of_a_proxy_is_refused_and_not_repeated() {
        let error = proxy("http://eve:hunter2@proxy.test:3128").expect_err("a password");
        assert!(error.contains("--registry-proxy-secret") && !error.contains("hunter2"), "{error}");
        assert!(proxy("http://proxy.test:3128").is_ok());
        for wrong in ["proxy.test:3128", "ftp://proxy.test", "http://"] {
            assert!(proxy(wrong).is_err(), "{wrong}");
        }
        let secret = proxy_secret("proxy").expect("a Secret");
        assert_eq!((secret.name.as_str(), secret.key.as_str()), ("proxy", "url"));
        assert!(proxy_secret("proxy/../etc").is_err() && proxy_secret("proxy/").is_err());
    }
}
