//! Which images an entry of a docker configuration is for, by the kubelet's rules.
//!
//! Source of the rules: `k8s.io/kubernetes/pkg/credentialprovider/keyring.go` (`Add`, `URLsMatch`).

use serde::{Deserialize, Serialize};

/// The location of an entry: host labels that may hold globs, a port, a prefix of the path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Pattern {
    /// Host, port and path as one text; the kubelet sorts by it, backwards.
    key: String,
}

/// What an entry does not have in common with an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mismatch {
    /// It is for another host.
    Host,
    /// It is for another port of the host; no port is not port 443.
    Port,
    /// It is for other paths of the host.
    Path,
}

/// The key under which the kubelet looks for credentials of Docker Hub when nothing else matched.
pub(super) const DOCKER_HUB: &str = "index.docker.io";

impl Pattern {
    /// Reads the location as it stands in the file; none if it is no address.
    ///
    /// `https://` and `http://` are dropped, and so are `/v1/` and `/v2/` at the start of the path.
    pub(super) fn parse(location: &str) -> Option<Self> {
        let bare = location.strip_prefix("https://").or_else(|| location.strip_prefix("http://"));
        let bare = bare.unwrap_or(location);
        let bare = bare.split(['?', '#']).next().unwrap_or_default();
        let (authority, path) = bare.find('/').map_or((bare, ""), |at| bare.split_at(at));
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        let wrong = |c: char| c.is_whitespace() || c.is_control();
        let (name, port) = split_port(host);
        let port_is_good = port.is_none_or(|port| port.bytes().all(|b| b.is_ascii_digit()));
        if name.is_empty() || host.contains(wrong) || path.contains(wrong) || !port_is_good {
            return None;
        }
        let path = if path.starts_with("/v1/") || path.starts_with("/v2/") { &path[3..] } else { path };
        let path = if path == "/" { "" } else { path };
        Some(Self { key: format!("{host}{path}") })
    }

    /// Whether this is the entry for Docker Hub by its own name.
    pub(super) fn is_docker_hub(&self) -> bool {
        self.key == DOCKER_HUB
    }

    /// Host, port and path as one text.
    pub(super) fn key(&self) -> &str {
        &self.key
    }

    /// Whether an image `host[:port]/path` is covered, see [`Self::mismatch`].
    pub(super) fn covers(&self, host: &str, path: &str) -> bool {
        self.mismatch(host, path).is_none()
    }

    /// What keeps the entry from covering an image `host[:port]/path`. Covered is one with equal ports, as many host labels,
    /// each label matching as a glob, and a path that begins with the entry's (as text, not by segments: `/foo` covers
    /// `/foobar`).
    pub(super) fn mismatch(&self, host: &str, path: &str) -> Option<Mismatch> {
        let (own_host, own_path) =
            self.key.find('/').map_or((self.key.as_str(), ""), |at| self.key.split_at(at));
        let (own_name, own_port) = split_port(own_host);
        let (name, port) = split_port(host);
        let same_labels = own_name.split('.').count() == name.split('.').count()
            && own_name.split('.').zip(name.split('.')).all(|(glob, label)| glob_matches(glob, label));
        if !same_labels {
            Some(Mismatch::Host)
        } else if own_port.unwrap_or_default() != port.unwrap_or_default() {
            Some(Mismatch::Port)
        } else if path.starts_with(own_path) {
            None
        } else {
            Some(Mismatch::Path)
        }
    }
}

/// Splits a port off, and the brackets of an IPv6 literal: they would read as a glob.
fn split_port(host: &str) -> (&str, Option<&str>) {
    if let Some((name, rest)) = host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return (name, rest.strip_prefix(':'));
    }
    match host.rsplit_once(':') {
        Some((name, port)) if !name.contains(':') => (name, Some(port)),
        _ => (host, None),
    }
}

/// Go's `path.Match` for one label: `*`, `?`, `[a-z]`, `[^a-z]` and `\`. A malformed pattern matches nothing.
fn glob_matches(glob: &str, label: &str) -> bool {
    let glob: Vec<char> = glob.chars().collect();
    let label: Vec<char> = label.chars().collect();
    let (mut at, mut seen) = (0, 0);
    // Where to go on after the last star, should what follows it not match: the usual single backtrack point.
    let mut retry: Option<(usize, usize)> = None;
    loop {
        if glob.get(at) == Some(&'*') {
            at += 1;
            retry = Some((at, seen));
            continue;
        }
        if seen == label.len() && at == glob.len() {
            return true;
        }
        let step = label.get(seen).and_then(|&c| one_matches(&glob[at.min(glob.len())..], c));
        if let Some(width) = step {
            at += width;
            seen += 1;
            continue;
        }
        match retry {
            Some((after_star, from)) if from < label.len() => {
                (at, seen) = (after_star, from + 1);
                retry = Some((after_star, from + 1));
            }
            _ => return false,
        }
    }
}

/// Whether the first element of the glob matches the character; gives the element's width.
fn one_matches(glob: &[char], c: char) -> Option<usize> {
    match glob {
        ['?', ..] => Some(1),
        ['\\', literal, ..] => (*literal == c).then_some(2),
        ['\\'] | [] => None,
        ['[', class @ ..] => {
            let end = class.iter().skip(1).position(|&x| x == ']')? + 1;
            let (negated, set) = match &class[..end] {
                ['^', set @ ..] => (true, set),
                set => (false, set),
            };
            let hit = in_class(set, c);
            (hit != negated).then_some(end + 2)
        }
        [literal, ..] => (*literal == c).then_some(1),
    }
}

fn in_class(mut set: &[char], c: char) -> bool {
    let mut hit = false;
    loop {
        set = match set {
            [low, '-', high, rest @ ..] => {
                hit |= (*low..=*high).contains(&c);
                rest
            }
            [single, rest @ ..] => {
                hit |= *single == c;
                rest
            }
            [] => return hit,
        };
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn globs_match_one_label_as_go_does() {
        for (glob, label, wanted) in [
            ("*", "", true),
            ("*", "abc", true),
            ("a*c", "abbc", true),
            ("a*c", "abcd", false),
            ("*-good", "prefix-good", true),
            ("k*", "quay", false),
            ("?", "a", true),
            ("?", "", false),
            ("[a-c]x", "bx", true),
            ("[^a-c]x", "bx", false),
            ("[a", "a", false),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("a**b", "ab", true),
        ] {
            assert_eq!(glob_matches(glob, label), wanted, "{glob} {label}");
        }
    }

    #[test]
    fn text_that_is_no_address_is_no_pattern() {
        for location in ["", "https://", "http:///path", "a host", "host:port", "ho\nst"] {
            assert_eq!(Pattern::parse(location), None, "{location:?}");
        }
    }

    #[test]
    fn what_does_not_match_is_named() {
        for (location, host, path, wanted) in [
            ("quay.io", "quay.io", "/a", None),
            ("*.quay.io", "quay.io", "/a", Some(Mismatch::Host)),
            ("quay.io:443", "quay.io", "/a", Some(Mismatch::Port)),
            ("quay.io/team", "quay.io", "/other/a", Some(Mismatch::Path)),
        ] {
            assert_eq!(Pattern::parse(location).expect("a pattern").mismatch(host, path), wanted, "{location}");
        }
    }

    #[test]
    fn ports_of_ipv6_literals_are_split_off() {
        assert_eq!(split_port("[::1]:5000"), ("::1", Some("5000")));
        assert_eq!(split_port("[::1]"), ("::1", None));
        assert!(Pattern::parse("[::1]:5000").is_some_and(|p| p.covers("[::1]:5000", "/a")));
    }

    proptest! {
        #[test]
        fn any_text_is_parsed_and_matched_without_harm(location in ".{0,40}", host in ".{0,20}") {
            if let Some(pattern) = Pattern::parse(&location) {
                pattern.covers(&host, "/a");
            }
            glob_matches(&location, &host);
        }

        #[test]
        fn a_literal_matches_itself_only(label in "[a-z0-9-]{1,12}", other in "[a-z0-9-]{1,12}") {
            prop_assert!(glob_matches(&label, &label));
            prop_assert_eq!(glob_matches(&label, &other), label == other);
        }
    }
}
