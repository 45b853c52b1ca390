//! containers-registries.conf(5), version 2: what podman, CRI-O and skopeo read.

use super::text::{ConfigError, Section, Told, parse};
use super::{Route, Serves, Upstream};

/// Keys that say how short names are completed, and where credentials are: nothing to do with how a registry is reached.
const PASSED_OVER: [&str; 7] = [
    "unqualified-search-registries",
    "short-name-mode",
    "aliases",
    "credential-helpers",
    "additional-layer-store-auth-helper",
    "enable-signature-verification",
    "version",
];

/// Reads the text of a file; `file` names it in messages.
pub fn registries_conf(text: &str, file: &str) -> Result<Told, ConfigError> {
    let mut root = Section { file, at: String::new(), table: parse(text, file)? };
    if root.table.contains_key("registries") {
        return Err(ConfigError::VersionOne(file.to_owned()));
    }
    let mut told = Told::default();
    let passed: Vec<&str> = PASSED_OVER.into_iter().filter(|key| root.take(key).is_some()).collect();
    if !passed.is_empty() {
        told.notes.push(format!("{file}: {} is passed over", passed.join(", ")));
    }
    for section in root.sections("registry")? {
        let route = registry(section, &mut told.notes)?;
        told.routes.push(route);
    }
    root.end(&mut told.notes);
    Ok(told)
}

fn registry(mut section: Section<'_>, notes: &mut Vec<String>) -> Result<Route, ConfigError> {
    let location = location(&mut section)?;
    let prefix = section.text("prefix")?.filter(|prefix| !prefix.is_empty());
    let prefix = match (prefix, &location) {
        (Some(prefix), _) => prefix.trim_end_matches('/').to_owned(),
        (None, Some(location)) => location.clone(),
        (None, None) => return Err(section.wrong("location", "is missing, and so is prefix")),
    };
    check(&section, "prefix", &prefix)?;
    if location.is_none() && !prefix.starts_with("*.") {
        return Err(section.wrong("location", "is missing: only a prefix that begins with *. may go without"));
    }
    let insecure = section.boolean("insecure")?.unwrap_or_default();
    let blocked = section.boolean("blocked")?.unwrap_or_default();
    let by_digest = section.boolean("mirror-by-digest-only")?.unwrap_or_default();
    let mut route = Route { prefix, blocked, ..Route::default() };
    for mut mirror in section.sections("mirror")? {
        let Some(location) = self::location(&mut mirror)? else {
            return Err(mirror.wrong("location", "is missing"));
        };
        let insecure = mirror.boolean("insecure")?.unwrap_or_default();
        let what = mirror.text("pull-from-mirror")?;
        if what.is_some() && by_digest {
            return Err(mirror.wrong("pull-from-mirror", "and mirror-by-digest-only cannot both be said"));
        }
        let serves = match what.as_deref() {
            None | Some("" | "all") if by_digest => Serves { tags: false, digests: true },
            None | Some("" | "all") => Serves::default(),
            Some("digest-only") => Serves { tags: false, digests: true },
            Some("tag-only") => Serves { tags: true, digests: false },
            Some(_) => return Err(mirror.wrong("pull-from-mirror", "should be all, digest-only or tag-only")),
        };
        let places = upstreams(&location, insecure).map(|place| Upstream { serves, ..place });
        route.mirrors.extend(places);
        mirror.end(notes);
    }
    match location {
        Some(location) => route.origins.extend(upstreams(&location, insecure)),
        // It is asked at its own name, which is not known yet.
        None if insecure => {
            return Err(section.wrong("insecure", "cannot be said of a prefix without location"));
        }
        None => {}
    }
    section.end(notes);
    Ok(route)
}

fn location(section: &mut Section<'_>) -> Result<Option<String>, ConfigError> {
    let location = section.text("location")?.filter(|location| !location.is_empty());
    let Some(location) = location else { return Ok(None) };
    let location = location.trim_end_matches('/').to_owned();
    check(section, "location", &location)?;
    if location.starts_with('*') {
        return Err(section.wrong("location", "cannot begin with *"));
    }
    Ok(Some(location))
}

fn check(section: &Section<'_>, key: &str, text: &str) -> Result<(), ConfigError> {
    if text.contains("://") {
        return Err(section.wrong(key, "should be HOST[:PORT][/PATH], without https://"));
    }
    let (host, path) = text.split_once('/').unwrap_or((text, ""));
    if path.contains([':', '@']) {
        return Err(section.wrong(key, "names a tag or a digest, which is not supported"));
    }
    let is_good = |c: char| c.is_ascii_alphanumeric() || "-._:[]*".contains(c);
    let is_path = |c: char| c.is_ascii_alphanumeric() || "-._/".contains(c);
    let bare = host.strip_prefix("*.").unwrap_or(host);
    if bare.is_empty() || bare.contains('*') || !host.chars().all(is_good) || !path.chars().all(is_path) {
        return Err(section.wrong(key, "should be HOST[:PORT][/PATH]"));
    }
    Ok(())
}

/// A place without TLS is asked with it first, as the manual says of `insecure`.
fn upstreams(location: &str, insecure: bool) -> impl Iterator<Item = Upstream> {
    let (host, path) = location.split_once('/').unwrap_or((location, ""));
    let place =
        |scheme: &str| Upstream { path: path.to_owned(), ..Upstream::at(format!("{scheme}://{host}/v2")) };
    let first = Upstream { skip_verify: insecure, ..place("https") };
    let second = insecure.then(|| Upstream { is_fallback: true, ..place("http") });
    std::iter::once(first).chain(second)
}
