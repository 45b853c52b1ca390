//! Hosts that are spoken to in ways of their own: one client for each of those ways.

use std::collections::HashMap;
use std::time::Duration;

use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use super::client::{HostSettings, SettingsError, build_for};
use super::settings::Settings;

/// Most clients: each holds all authorities.
const LIMIT: usize = 64;
/// Longest wait for a connection to a mirror of which nothing else is said: there is another place to ask.
const MIRROR_TIMEOUT: Duration = Duration::from_secs(5);

/// What is special about some hosts, by their origin.
#[derive(Debug, Default)]
pub(super) struct Hosts(HashMap<String, Host>);

#[derive(Debug)]
struct Host {
    client: reqwest::Client,
    headers: HeaderMap,
}

impl Hosts {
    /// Sets up what the routes ask for. Of two that speak of one host the first counts.
    pub(super) fn of(settings: &Settings) -> Result<Self, SettingsError> {
        let mut hosts = HashMap::new();
        let mut clients: Vec<(HostSettings, reqwest::Client)> = Vec::new();
        for route in &settings.routes {
            let mirrors = route.mirrors.iter().map(|upstream| (upstream, true));
            for (upstream, is_mirror) in mirrors.chain(route.origins.iter().map(|origin| (origin, false))) {
                let Ok(url) = Url::parse(&upstream.address) else { continue };
                let own = upstream.dial_timeout_ms.map(Duration::from_millis);
                let usual = is_mirror.then(|| MIRROR_TIMEOUT.min(settings.connect_timeout));
                let wanted = HostSettings {
                    authorities: upstream.authorities.clone(),
                    client: upstream.client.clone(),
                    skip_verify: upstream.skip_verify,
                    connect_timeout: own.or(usual),
                };
                let has_none = wanted == HostSettings::default() && upstream.headers.is_empty();
                if has_none || hosts.contains_key(&origin(&url)) {
                    continue;
                }
                let known =
                    clients.iter().find(|(known, _)| *known == wanted).map(|(_, client)| client.clone());
                let client = match known {
                    Some(client) => client,
                    None if clients.len() == LIMIT => return Err(SettingsError::TooManyHosts { limit: LIMIT }),
                    None => {
                        let address = upstream.address.clone();
                        let client = build_for(settings, &wanted)
                            .map_err(|source| SettingsError::Host { address, source: Box::new(source) })?;
                        clients.push((wanted, client.clone()));
                        client
                    }
                };
                let mut headers = HeaderMap::new();
                for header in &upstream.headers {
                    let name = HeaderName::from_bytes(header.name.as_bytes());
                    if let (Ok(name), Ok(mut value)) = (name, HeaderValue::from_str(&header.value)) {
                        value.set_sensitive(true);
                        headers.append(name, value);
                    }
                }
                hosts.insert(origin(&url), Host { client, headers });
            }
        }
        Ok(Self(hosts))
    }

    /// The client for an address; none if nothing is special about its host.
    pub(super) fn client(&self, url: &Url) -> Option<&reqwest::Client> {
        self.0.get(&origin(url)).map(|host| &host.client)
    }

    /// The headers that go with requests to an address.
    pub(super) fn headers(&self, url: &Url) -> HeaderMap {
        self.0.get(&origin(url)).map(|host| host.headers.clone()).unwrap_or_default()
    }
}

fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}
