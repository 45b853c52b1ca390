//! How registries are reached: whom to trust, which ways lead there. Plain values, which also travel into scanner pods.
//!
//! What containers-registries.conf(5) and containerd's `hosts.toml` say about registries becomes [`Route`]s; nothing else
//! knows that there are two ways of saying it.

mod hosts_toml;
mod pod;
mod registries_conf;
mod text;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use hosts_toml::{Files, host_of_folder, hosts_toml};
pub use pod::{CLIENT_FOLDER, HostAlias, PROXY_FOLDER, PodProxy, SecretKey, TravelError, no_proxy};
pub use registries_conf::registries_conf;
pub use text::{ConfigError, Shape, Told, shape_of};

/// What a person's network asks of whoever speaks to a registry. What of it travels holds nothing that must not be seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// PEM certificates of authorities that are trusted besides the public ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorities: Option<String>,
    /// Registries (`host` or `host:port`) that may be spoken to without TLS.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub plain_http: Vec<String>,
    /// How some registries are asked otherwise than by their name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<Route>,
    /// Proxy of pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy: Option<PodProxy>,
    /// A `kubernetes.io/tls` Secret that pods show to registries that ask for a certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<String>,
    /// Names that pods find at addresses of their own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub host_aliases: Vec<HostAlias>,
}

/// How the repositories below a prefix are asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// `host[:port][/path]`, `*.domain[:port][/path]`, or nothing for all registries.
    pub prefix: String,
    /// Nothing is asked of it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub blocked: bool,
    /// Where content is asked for first, in this order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mirrors: Vec<Upstream>,
    /// The registry itself, in the order in which it is tried; where its name says without any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub origins: Vec<Upstream>,
}

/// One place at which repositories are asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upstream {
    /// Address below which repositories are, with the `/v2` of distribution-spec: `https://mirror.test/v2`.
    pub address: String,
    /// What stands there for the prefix of the route; empty if that is the host alone.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub path: String,
    /// Whether it is told by `?ns=` which registry is meant, as containerd does.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub says_namespace: bool,
    /// What may be asked of it.
    #[serde(default, skip_serializing_if = "Serves::is_all")]
    pub serves: Serves,
    /// It is asked only if the one before it could not be spoken to: the same host, without TLS.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_fallback: bool,
    /// Whether its certificate may be anybody's.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub skip_verify: bool,
    /// PEM certificates of its own authorities.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorities: Option<String>,
    /// Certificates and keys to show it. They stay on this machine.
    #[serde(skip)]
    pub client: Option<ClientCertificate>,
    /// Headers that go with each request.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<Header>,
    /// Longest wait for a connection, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dial_timeout_ms: Option<u64>,
}

/// What a place may be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Serves {
    /// What a tag leads to.
    pub tags: bool,
    /// Content by digest.
    pub digests: bool,
}

/// A header of each request. Its value is not shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// A certificate and its key, both PEM. Shown to nobody but who asks for it in a TLS handshake.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The certificate, and those that lead to its authority.
    pub certificates: Vec<u8>,
    /// The private key.
    pub key: Vec<u8>,
}

/// The route of a repository, and what stands for its prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Routed<'a> {
    /// The route.
    pub route: &'a Route,
    /// What of the repository's path follows the prefix.
    pub rest: &'a str,
}

impl Default for Serves {
    fn default() -> Self {
        Self { tags: true, digests: true }
    }
}

impl Serves {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands it over so")]
    fn is_all(&self) -> bool {
        *self == Self::default()
    }
}

impl Upstream {
    /// A place of which nothing more is known than its address.
    #[must_use]
    pub fn at(address: impl Into<String>) -> Self {
        Self {
            address: address.into(),
            path: String::new(),
            says_namespace: false,
            serves: Serves::default(),
            is_fallback: false,
            skip_verify: false,
            authorities: None,
            client: None,
            headers: Vec::new(),
            dial_timeout_ms: None,
        }
    }

    /// The path of a repository there, of which this follows the prefix.
    #[must_use]
    pub fn path_of(&self, rest: &str) -> String {
        match (self.path.as_str(), rest) {
            ("", rest) => rest.to_owned(),
            (path, "") => path.to_owned(),
            (path, rest) => format!("{path}/{rest}"),
        }
    }
}

impl Network {
    /// Adds a route, in the place of the one that there was for the same prefix.
    pub fn add_route(&mut self, route: Route) {
        self.routes.retain(|known| known.prefix != route.prefix);
        self.routes.push(route);
    }
}

/// The route of a repository: the one with the longest prefix. None if it is asked as its name says.
#[must_use]
pub fn route_of<'a>(routes: &'a [Route], registry: &str, path: &'a str) -> Option<Routed<'a>> {
    let matching = routes.iter().filter_map(|route| {
        let rest = rest_after(&route.prefix, registry, path)?;
        Some(Routed { route, rest })
    });
    matching.max_by_key(|routed| routed.route.prefix.len())
}

/// What of a path follows a prefix that covers it: whole segments only.
fn rest_after<'a>(prefix: &str, registry: &str, path: &'a str) -> Option<&'a str> {
    if prefix.is_empty() {
        return Some(path);
    }
    let (host, folder) = prefix.split_once('/').unwrap_or((prefix, ""));
    let covers_host = match host.strip_prefix('*') {
        // `*.a.test` covers `b.a.test` and not `a.test`.
        Some(domain) => {
            registry.len() > domain.len()
                && (registry.ends_with(domain)
                    || registry.rsplit_once(':').is_some_and(|(name, _)| name.ends_with(domain)))
        }
        None => registry == host,
    };
    if !covers_host {
        return None;
    }
    if folder.is_empty() {
        return Some(path);
    }
    let rest = path.strip_prefix(folder)?;
    if rest.is_empty() { Some(rest) } else { rest.strip_prefix('/') }
}

impl fmt::Debug for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: (not shown)", self.name)
    }
}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientCertificate(not shown)")
    }
}

#[cfg(test)]
mod tests;
