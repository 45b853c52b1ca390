//! How registries are spoken to: what is trusted, by which way, with how much patience.

use std::path::Path;
use std::time::Duration;

use super::identity::IdentitySettings;
use super::secret::Secret;
use crate::network::{CLIENT_FOLDER, ClientCertificate, Network, PROXY_FOLDER, Route, SecretKey};

/// Everything about the transport that a person or a test may want otherwise.
#[derive(Clone, Debug)]
pub struct Settings {
    /// PEM certificates of authorities that are trusted besides the public ones; several may follow each other.
    pub extra_roots: Option<Vec<u8>>,
    /// Registries (`host` or `host:port`) that may be spoken to without TLS.
    pub plain_http: Vec<String>,
    /// How some repositories are asked otherwise than by their name.
    pub routes: Vec<Route>,
    /// A certificate for registries that ask for one.
    pub client: Option<ClientCertificate>,
    /// Proxies; none are used unless named here.
    pub proxy: ProxySettings,
    /// Longest wait for a connection.
    pub connect_timeout: Duration,
    /// Longest silence in the middle of a layer.
    pub read_timeout: Duration,
    /// Longest time for a whole small answer: manifest, config, token, error.
    pub answer_timeout: Duration,
    /// The slowest download of a layer that is put up with.
    pub slowest: Rate,
    /// How often a request is tried that met a broken connection, 429 or 5xx.
    pub attempts: u32,
    /// Pause before the second attempt; doubled for each further one, with jitter.
    pub backoff: Duration,
    /// The longest `Retry-After` that is honoured; a longer one ends the attempt.
    pub longest_wait: Duration,
    /// How often a download of a layer may break without having got ahead in between.
    pub resumes: u32,
    /// What to do about layers that lie outside of the registry.
    pub foreign_layers: ForeignLayers,
    /// Identities in the clouds that registries may belong to; none by default.
    pub identity: IdentitySettings,
}

/// An amount of data in an amount of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// So many bytes …
    pub bytes: u64,
    /// … in each span of this length that was spent waiting for the network.
    pub window: Duration,
}

/// Layers may name addresses of their own (image-spec, descriptor `urls`): the base layers of Windows did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForeignLayers {
    /// They are refused: an image could otherwise make the scanner ask any address that the pod can reach.
    Refused,
    /// They are fetched over HTTPS, without credentials, if the registry does not have them.
    Fetched,
}

/// Proxies, as the usual environment variables describe them.
#[derive(Clone, Debug, Default)]
pub struct ProxySettings {
    /// For `https://` addresses. May hold a password.
    pub https: Option<Secret>,
    /// For `http://` addresses.
    pub http: Option<Secret>,
    /// Hosts, domains and networks (CIDR) that are asked directly, separated by commas.
    pub except: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            extra_roots: None,
            plain_http: Vec::new(),
            routes: Vec::new(),
            client: None,
            proxy: ProxySettings::default(),
            connect_timeout: Duration::from_secs(10),
            read_timeout: Duration::from_secs(30),
            answer_timeout: Duration::from_mins(1),
            slowest: Rate { bytes: 64 * 1024, window: Duration::from_secs(30) },
            attempts: 4,
            backoff: Duration::from_millis(500),
            longest_wait: Duration::from_secs(30),
            resumes: 5,
            foreign_layers: ForeignLayers::Refused,
            identity: IdentitySettings::default(),
        }
    }
}

impl Settings {
    /// Reaches registries as a person's network asks for it.
    #[must_use]
    pub fn of(network: &Network) -> Self {
        // Whose proxy and certificate it is to be, the one who runs it knows.
        let Network { authorities, plain_http, routes, proxy: _, client_secret: _, host_aliases: _ } =
            network.clone();
        Self { extra_roots: authorities.map(String::into_bytes), plain_http, routes, ..Self::default() }
    }
}

/// Why a pod cannot reach registries as it was told.
#[derive(Debug, thiserror::Error)]
pub enum PodError {
    /// A file of a mounted Secret cannot be read.
    #[error("{what} cannot be read from secret {secret:?}")]
    Unread {
        /// What is in it.
        what: &'static str,
        /// The Secret.
        secret: String,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The address of the proxy is no text.
    #[error("the address of the proxy in secret {0:?} is no text")]
    NoText(String),
}

impl Settings {
    /// The same in a pod, where Secrets are mounted that hold the certificate for registries and the address of the proxy.
    /// `read` gives the content of a file.
    pub fn in_pod(
        mut self,
        network: &Network,
        read: &dyn Fn(&Path) -> std::io::Result<Vec<u8>>,
    ) -> Result<Self, PodError> {
        let file = |folder: &str, key: &str, what, secret: &str| {
            let secret = secret.to_owned();
            read(&Path::new(folder).join(key)).map_err(|source| PodError::Unread { what, secret, source })
        };
        if let Some(secret) = &network.client_secret {
            self.client = Some(ClientCertificate {
                certificates: file(CLIENT_FOLDER, "tls.crt", "the client certificate", secret)?,
                key: file(CLIENT_FOLDER, "tls.key", "the key of the client certificate", secret)?,
            });
        }
        let Some(proxy) = &network.proxy else { return Ok(self) };
        let address = match (&proxy.address, &proxy.secret) {
            (_, Some(SecretKey { name, key })) => {
                let bytes = file(PROXY_FOLDER, key, "the address of the proxy", name)?;
                let text = String::from_utf8(bytes).map_err(|_| PodError::NoText(name.clone()))?;
                Some(Secret::new(text.trim()))
            }
            (Some(address), None) => Some(Secret::new(address.as_str())),
            (None, None) => None,
        };
        if let Some(address) = address {
            self.proxy.https = Some(address.clone());
            self.proxy.http = Some(address);
        }
        if let Some(except) = &proxy.except {
            self.proxy.except = Some(except.clone());
        }
        Ok(self)
    }
}

impl ProxySettings {
    /// Reads `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY`, and their lower-case forms, from whatever holds them.
    #[must_use]
    pub fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Self {
        let read = |upper: &str| {
            let value = variable(&upper.to_lowercase()).or_else(|| variable(upper));
            value.filter(|text| !text.trim().is_empty())
        };
        Self {
            https: read("HTTPS_PROXY").map(Secret::new),
            http: read("HTTP_PROXY").map(Secret::new),
            except: read("NO_PROXY"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lower_case_proxy_variables_win_and_empty_ones_count_as_unset() {
        let proxy = ProxySettings::from_variables(|name| match name {
            "https_proxy" => Some("http://lower:1".to_owned()),
            "HTTPS_PROXY" => Some("http://upper:1".to_owned()),
            "NO_PROXY" => Some("10.0.0.0/8".to_owned()),
            "http_proxy" => Some(" ".to_owned()),
            _ => None,
        });
        assert_eq!(proxy.https, Some(Secret::new("http://lower:1")));
        assert_eq!((proxy.http, proxy.except.as_deref()), (None, Some("10.0.0.0/8")));
    }
}
