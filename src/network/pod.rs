//! What of the network is said of pods alone, and what may travel to them.

use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Network;

/// Folder in which a pod finds the certificate (`tls.crt`) and key (`tls.key`) that it shows to registries.
pub const CLIENT_FOLDER: &str = "/run/clarity/client";

/// Folder in which a pod finds the address of its proxy, under the key of the Secret.
pub const PROXY_FOLDER: &str = "/run/clarity/proxy";

/// Most bytes of a [`Network`] as JSON. It travels in an environment variable with the rest of a task, and Linux starts no
/// program with one of 128 KiB or more (`MAX_ARG_STRLEN`, execve(2)).
const LIMIT: usize = 96 << 10;

/// The proxy of pods.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodProxy {
    /// Its address, without a password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The Secret that holds its address, where that has a password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretKey>,
    /// Hosts, domains and networks that are asked directly, separated by commas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub except: Option<String>,
}

/// A key of a Secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretKey {
    /// Name of the Secret.
    pub name: String,
    /// The key in it.
    pub key: String,
}

/// A name that pods find at an address of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostAlias {
    /// The name.
    pub name: String,
    /// The address.
    pub address: IpAddr,
}

/// Why a network cannot travel into pods.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TravelError {
    /// A client certificate names a private key of this machine.
    #[error(
        "the configuration of {0} names a client certificate with a private key of this machine, which is not put into a pod"
    )]
    Identity(String),
    /// A header that proves who is asking.
    #[error("the configuration of {address} has the header {header}, whose value is not put into a pod")]
    Header {
        /// Where it would go.
        address: String,
        /// Its name.
        header: String,
    },
    /// Too much of it.
    #[error("what is said of registries has {0} bytes, and a pod is told at most {LIMIT}")]
    TooLarge(usize),
}

impl Network {
    /// Whether it can be told to a pod: in an environment variable, which many may read.
    pub fn check_travel(&self) -> Result<(), TravelError> {
        let upstreams = self.routes.iter().flat_map(|route| route.mirrors.iter().chain(&route.origins));
        for upstream in upstreams {
            if upstream.client.is_some() {
                return Err(TravelError::Identity(upstream.address.clone()));
            }
            if let Some(header) = upstream.headers.iter().find(|header| proves_who_asks(&header.name)) {
                let (address, header) = (upstream.address.clone(), header.name.clone());
                return Err(TravelError::Header { address, header });
            }
        }
        let length = serde_json::to_string(self).map_or(usize::MAX, |text| text.len());
        if length > LIMIT { Err(TravelError::TooLarge(length)) } else { Ok(()) }
    }
}

/// Headers that hold a password or a token by their name.
fn proves_who_asks(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["auth", "cookie", "token", "secret", "key", "password", "credential"]
        .iter()
        .any(|word| name.contains(word))
}

/// Reads the list of what is asked without a proxy: hosts, domains, addresses and networks (CIDR).
pub fn no_proxy(text: &str) -> Result<String, String> {
    let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
    let entries: Vec<String> = entries
        .map(|entry| {
            let bare = entry.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(entry);
            let is_address = |text: &str| text.parse::<IpAddr>().is_ok();
            let is_network = bare.split_once('/').is_some_and(|(address, bits)| {
                address.parse::<IpAddr>().is_ok_and(|address| {
                    let most = if address.is_ipv4() { 32 } else { 128 };
                    bits.parse::<u8>().is_ok_and(|bits| bits <= most)
                })
            });
            let is_name = bare.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c)) || bare == "*";
            if is_address(bare) || is_network || is_name {
                Ok(bare.to_owned())
            } else if entry.contains(':') {
                Err(format!("{entry:?} has a port: a host is asked directly at all of its ports or at none"))
            } else {
                Err(format!("{entry:?} is no host, domain, address or network"))
            }
        })
        .collect::<Result<_, _>>()?;
    if entries.is_empty() { Err("it names nothing".to_owned()) } else { Ok(entries.join(",")) }
}

impl FromStr for HostAlias {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, address) = text.split_once('=').ok_or("expected NAME=IP")?;
        let label = |label: &str| {
            !label.is_empty()
                && label.len() <= 63
                && label.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        if name.len() > 253 || !name.split('.').all(label) {
            return Err(format!("{name:?} is no name of a host"));
        }
        let bare = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(address);
        let address = bare.parse().map_err(|_| format!("{address:?} is no IP address"))?;
        Ok(Self { name: name.to_owned(), address })
    }
}
