//! containerd's `hosts.toml`: docs/hosts.md of containerd.

use std::error::Error;
use std::time::Duration;

use toml::Value;

use super::text::{ConfigError, MOST, Section, Told, parse};
use super::{ClientCertificate, Header, Route, Serves, Upstream};

/// Reads a file that a configuration names, as bytes. Relative paths are relative to the configuration.
pub type Files<'a> = &'a dyn Fn(&str) -> Result<Vec<u8>, Box<dyn Error + Send + Sync>>;

/// The registry that a folder of `certs.d` is about; nothing for `_default`, which is about all others.
///
/// `HOST:PORT` may also be written `HOST_PORT_`, where a file system has no colons.
#[must_use]
pub fn host_of_folder(name: &str) -> String {
    if name == "_default" {
        return String::new();
    }
    let written = name.strip_suffix('_').and_then(|name| name.rsplit_once('_'));
    match written.filter(|(_, port)| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit())) {
        Some((host, port)) => format!("{host}:{port}"),
        None => name.to_owned(),
    }
}

/// Reads the text of a file. Without a registry, its `server` says which one it is about.
pub fn hosts_toml(
    text: &str,
    file: &str,
    registry: Option<&str>,
    files: Files<'_>,
) -> Result<Told, ConfigError> {
    let mut root = Section { file, at: String::new(), table: parse(text, file)? };
    let mut notes = Vec::new();
    let server = root.text("server")?.filter(|server| !server.is_empty());
    let prefix = match (registry, &server) {
        (Some(registry), _) => registry.to_owned(),
        (None, Some(server)) => name_of(server),
        (None, None) => return Err(ConfigError::NoServer(file.to_owned())),
    };
    let hosts = match root.take("host") {
        None => toml::Table::new(),
        Some(Value::Table(hosts)) if hosts.len() <= MOST => hosts,
        Some(Value::Table(_)) => return Err(root.wrong("host", format!("has more than {MOST} entries"))),
        Some(_) => return Err(root.wrong("host", "should be written [host.\"URL\"]")),
    };
    let mut route = Route { prefix: prefix.clone(), ..Route::default() };
    for (address, value) in hosts {
        let at = format!("host.{address:?}.");
        let Value::Table(table) = value else {
            return Err(root.wrong(&format!("host.{address:?}"), "should be a table"));
        };
        let mut section = Section { file, at, table };
        let place = upstream(&mut section, &address, files, &mut notes)?;
        section.end(&mut notes);
        if let Some(place) = place {
            route.mirrors.push(Upstream { says_namespace: true, ..place });
        }
    }
    // What stands outside of all hosts is about the server.
    let address =
        server.clone().or_else(|| (!prefix.is_empty()).then(|| format!("https://{}", own_host(&prefix))));
    match address {
        Some(address) => {
            let place = upstream(&mut root, &address, files, &mut notes)?;
            let is_itself = name_of(&address) == prefix;
            let place =
                place.map(|place| Upstream { says_namespace: !is_itself, serves: Serves::default(), ..place });
            route.origins.extend(place);
        }
        None => {
            for key in
                ["capabilities", "ca", "client", "skip_verify", "header", "override_path", "dial_timeout"]
            {
                if root.take(key).is_some() {
                    notes.push(format!("{file}: {key} is about a server, which is not named"));
                }
            }
        }
    }
    root.end(&mut notes);
    Ok(Told { routes: vec![route], notes })
}

/// Docker Hub answers at another host than it is named after.
fn own_host(registry: &str) -> &str {
    if registry == "docker.io" { "registry-1.docker.io" } else { registry }
}

/// The name of the registry at an address.
fn name_of(address: &str) -> String {
    let bare = address.strip_prefix("https://").or_else(|| address.strip_prefix("http://")).unwrap_or(address);
    let host = bare.split('/').next().unwrap_or_default();
    if host == "registry-1.docker.io" { "docker.io" } else { host }.to_owned()
}

/// One place; none if nothing may be pulled from it.
fn upstream(
    section: &mut Section<'_>,
    address: &str,
    files: Files<'_>,
    notes: &mut Vec<String>,
) -> Result<Option<Upstream>, ConfigError> {
    let override_path = section.boolean("override_path")?.unwrap_or_default();
    let Some(base) = base_of(address, override_path) else {
        let key = if section.at.is_empty() { "server" } else { "" };
        return Err(section.wrong(key, "is no address of the form https://HOST[:PORT][/PATH]"));
    };
    let mut place = Upstream::at(base);
    if let Some(capabilities) = section.texts("capabilities")? {
        let has = |word: &str| capabilities.iter().any(|known| known == word);
        place.serves = Serves { tags: has("resolve"), digests: has("pull") };
        if let Some(unknown) =
            capabilities.iter().find(|word| !["pull", "resolve", "push"].contains(&word.as_str()))
        {
            notes.push(format!(
                "{}: {} has {unknown:?}, which is not known",
                section.file,
                section.place("capabilities")
            ));
        }
    }
    place.skip_verify = section.boolean("skip_verify")?.unwrap_or_default();
    if let Some(paths) = section.texts("ca")? {
        let mut pem = String::new();
        for path in paths {
            let bytes = read(section, "ca", &path, files)?;
            let text = String::from_utf8(bytes)
                .map_err(|_| section.wrong("ca", format!("names {path}, which is no PEM file")))?;
            pem.push_str(text.trim_end());
            pem.push('\n');
        }
        place.authorities = (!pem.is_empty()).then_some(pem);
    }
    place.client = client(section, files, notes)?;
    place.headers = headers(section)?;
    if let Some(text) = section.text("dial_timeout")? {
        let time =
            duration(&text).ok_or_else(|| section.wrong("dial_timeout", "should be a time such as 3s"))?;
        place.dial_timeout_ms = u64::try_from(time.as_millis()).ok();
    }
    Ok((place.serves.tags || place.serves.digests).then_some(place))
}

fn base_of(address: &str, override_path: bool) -> Option<String> {
    let (scheme, rest) = match address.split_once("://") {
        Some((scheme @ ("https" | "http"), rest)) => (scheme, rest),
        Some(_) => return None,
        None => ("https", address),
    };
    let rest = rest.trim_end_matches('/');
    let host = rest.split('/').next().unwrap_or_default();
    let is_good = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
    let is_path = |c: char| c.is_ascii_alphanumeric() || "-._~/%".contains(c);
    if host.is_empty() || !host.chars().all(is_good) || !rest[host.len()..].chars().all(is_path) {
        return None;
    }
    let has_version = rest.ends_with("/v2") || override_path;
    Some(format!("{scheme}://{rest}{}", if has_version { "" } else { "/v2" }))
}

fn read(section: &Section<'_>, key: &str, path: &str, files: Files<'_>) -> Result<Vec<u8>, ConfigError> {
    files(path).map_err(|source| ConfigError::File {
        file: section.file.to_owned(),
        place: section.place(key),
        path: path.to_owned(),
        source,
    })
}

/// `client = "FILE"`, `["FILE", …]`, or pairs `[["CERTIFICATE", "KEY"], …]`. The first pair is shown.
fn client(
    section: &mut Section<'_>,
    files: Files<'_>,
    notes: &mut Vec<String>,
) -> Result<Option<ClientCertificate>, ConfigError> {
    let wrong = "should be a file, a list of files, or a list of pairs of certificate and key";
    let pairs: Vec<(String, String)> = match section.take("client") {
        None => return Ok(None),
        Some(Value::String(both)) => vec![(both.clone(), both)],
        Some(Value::Array(values)) => {
            let pair = |value: Value| match value {
                Value::String(both) => Some((both.clone(), both)),
                Value::Array(pair) => match pair.as_slice() {
                    [Value::String(both)] => Some((both.clone(), both.clone())),
                    [Value::String(certificate), Value::String(key)] if key.is_empty() => {
                        Some((certificate.clone(), certificate.clone()))
                    }
                    [Value::String(certificate), Value::String(key)] => {
                        Some((certificate.clone(), key.clone()))
                    }
                    _ => None,
                },
                _ => None,
            };
            let pairs: Option<Vec<_>> = values.into_iter().map(pair).collect();
            pairs.ok_or_else(|| section.wrong("client", wrong))?
        }
        Some(_) => return Err(section.wrong("client", wrong)),
    };
    if pairs.len() > 1 {
        notes.push(format!("{}: of {} only the first is shown", section.file, section.place("client")));
    }
    let Some((certificate, key)) = pairs.into_iter().next() else { return Ok(None) };
    let certificates = read(section, "client", &certificate, files)?;
    let key = read(section, "client", &key, files)?;
    Ok(Some(ClientCertificate { certificates, key }))
}

fn headers(section: &mut Section<'_>) -> Result<Vec<Header>, ConfigError> {
    let table = match section.take("header") {
        None => return Ok(Vec::new()),
        Some(Value::Table(table)) if table.len() <= MOST => table,
        Some(_) => return Err(section.wrong("header", "should be a table of names and values")),
    };
    let mut inner = Section { file: section.file, at: section.place("header."), table };
    let names: Vec<String> = inner.table.keys().cloned().collect();
    let mut headers = Vec::new();
    for name in names {
        let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
        if name.is_empty() || !name.chars().all(is_token) {
            return Err(inner.wrong(&name, "is no name of a header"));
        }
        for value in inner.texts(&name)?.unwrap_or_default() {
            if value.chars().any(|c| c.is_control() || !c.is_ascii()) {
                return Err(inner.wrong(&name, "holds what cannot be sent in a header"));
            }
            headers.push(Header { name: name.clone(), value });
        }
    }
    Ok(headers)
}

/// A time as Go writes it, of whole numbers: `1m30s`, `500ms`.
fn duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let number: u64 = rest[..digits].parse().ok()?;
        let after = &rest[digits..];
        let unit = after.len() - after.trim_start_matches(|c: char| c.is_ascii_alphabetic()).len();
        let milliseconds = match &after[..unit] {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return None,
        };
        total = total.checked_add(Duration::from_millis(number.checked_mul(milliseconds)?))?;
        rest = &after[unit..];
    }
    (!text.is_empty() && total <= Duration::from_hours(1)).then_some(total)
}
