//! Pull credentials: what secrets hold, and which of them are for an image.
//!
//! The scanner must be able to read what the kubelet could pull with the same secrets, so files are read and entries are
//! matched as the kubelet does it. What is broken in them is named and left out: a pod with one bad secret of
//! three still runs.

mod docker_config;
mod excerpt;
mod login;
mod pattern;

use std::fmt;

use pattern::Pattern;

pub use pattern::Mismatch;

pub use docker_config::Format;
pub use excerpt::{CredentialsFile, Excerpts, excerpts};
pub use login::LoginError;

use super::secret::Secret;
use crate::image::Repository;

/// One way to prove to a registry who is asking.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Credential {
    /// User name and password: sent to the registry (basic) or to its token service (bearer).
    Basic {
        /// The user's name.
        username: String,
        /// The password.
        password: Secret,
    },
    /// A refresh token of the registry's token service (`identitytoken`).
    IdentityToken(Secret),
    /// A bearer token that goes to the registry as it is (`registrytoken`).
    RegistryToken(Secret),
}

/// A credential with the place that it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where it was found, in words for people: `secret "pull"`.
    pub source: String,
    /// The location in the file, as written there.
    pub location: String,
    /// What to show the registry.
    pub credential: Credential,
    pattern: Pattern,
}

/// Something in a credentials file that could not be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokenEntry {
    /// Where it was found, in words for people: `secret "pull"`.
    pub source: String,
    /// The location of the entry; none if the whole file is broken.
    pub location: Option<String>,
    /// What is wrong with it.
    pub reason: BrokenReason,
}

/// Why a credentials file, or an entry in it, could not be used. Says nothing of what it holds.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BrokenReason {
    /// The file is larger than a Secret can be.
    #[error("is larger than {limit} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// No JSON, or JSON of another shape.
    #[error("is no docker configuration (line {line}, column {column})")]
    NotJson {
        /// Line of the first fault, from 1; 0 if the shape is wrong as a whole.
        line: usize,
        /// Column of the first fault.
        column: usize,
    },
    /// The key of the entry is no host, with or without port and path.
    #[error("is no registry address")]
    Location,
    /// `auth` is not base64.
    #[error("has an auth that is not base64")]
    AuthEncoding,
    /// `auth` holds no colon.
    #[error("has an auth without a colon between user name and password")]
    AuthShape,
    /// Neither `auth` nor password nor token.
    #[error("holds neither password nor token")]
    Empty,
}

/// All credentials at hand, in the order in which they are tried.
#[derive(Clone, Debug, Default)]
pub struct Keyring {
    entries: Vec<Entry>,
    broken: Vec<BrokenEntry>,
    login: Option<login::Login>,
}

impl Keyring {
    /// A keyring that holds nothing: everything is asked for anonymously.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one entry by hand, for a registry with or without a path.
    pub fn add_entry(&mut self, source: &str, location: &str, credential: Credential) {
        match Pattern::parse(location) {
            Some(pattern) => {
                let entry =
                    Entry { source: source.to_owned(), location: location.to_owned(), credential, pattern };
                self.entries.push(entry);
                self.sort();
            }
            None => self.add_broken(source, Some(location), BrokenReason::Location),
        }
    }

    /// Everything that was left out, with the reason.
    #[must_use]
    pub fn broken(&self) -> &[BrokenEntry] {
        &self.broken
    }

    /// All entries in the order in which they would be tried.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The entries to try for a repository, in order; none means to ask anonymously.
    ///
    /// More specific paths come before shorter ones, named hosts before globs. Entries for Docker Hub
    /// by its old address count only when nothing else matches.
    #[must_use]
    pub fn lookup(&self, repository: &Repository) -> Vec<&Entry> {
        let path = format!("/{}", repository.path);
        let covers = |entry: &&Entry| entry.pattern.covers(&repository.registry, &path);
        let matching: Vec<&Entry> = self.entries.iter().filter(covers).collect();
        if matching.is_empty() && is_docker_hub(&repository.registry) {
            return self.entries.iter().filter(|entry| entry.pattern.is_docker_hub()).collect();
        }
        matching
    }

    fn add_broken(&mut self, source: &str, location: Option<&str>, reason: BrokenReason) {
        let location = location.map(|text| text.chars().take(200).collect());
        self.broken.push(BrokenEntry { source: source.to_owned(), location, reason });
    }

    /// Backwards by key, as the kubelet; entries of one key stay in the order in which they were added.
    fn sort(&mut self) {
        self.entries.sort_by(|a, b| b.pattern.key().cmp(a.pattern.key()));
    }
}

impl Entry {
    /// What it does not have in common with images of a repository.
    pub(super) fn mismatch(&self, repository: &Repository) -> Option<Mismatch> {
        self.pattern.mismatch(&repository.registry, &format!("/{}", repository.path))
    }

    /// Whether it is for Docker Hub by its old address.
    pub(super) fn is_of_docker_hub(&self) -> bool {
        self.pattern.is_docker_hub()
    }
}

impl Credential {
    /// Every text in it that nobody may see.
    pub(super) fn secrets(&self) -> Vec<String> {
        match self {
            Self::Basic { username, password } => vec![
                password.expose().to_owned(),
                super::token::basic_value(username, password).expose().to_owned(),
            ],
            Self::IdentityToken(token) | Self::RegistryToken(token) => vec![token.expose().to_owned()],
        }
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (entry {:?})", self.source, self.location)
    }
}

impl fmt::Display for BrokenEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.location {
            Some(location) => write!(f, "{}: entry {location:?} {}", self.source, self.reason),
            None => write!(f, "{} {}", self.source, self.reason),
        }
    }
}

/// Whether a registry's name means Docker Hub.
pub(super) fn is_docker_hub(registry: &str) -> bool {
    registry == "docker.io" || registry == pattern::DOCKER_HUB
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Reference;

    fn basic(name: &str) -> Credential {
        Credential::Basic { username: name.to_owned(), password: Secret::new("p") }
    }

    fn keyring(locations: &[&str]) -> Keyring {
        let mut keyring = Keyring::new();
        for location in locations {
            keyring.add_entry("secret \"pull\"", location, basic(location));
        }
        keyring
    }

    fn tried<'a>(keyring: &'a Keyring, image: &str) -> Vec<&'a str> {
        let reference: Reference = image.parse().expect("a reference");
        keyring.lookup(&reference.repository).iter().map(|entry| entry.location.as_str()).collect()
    }

    /// The cases of the kubelet's own keyring tests.
    #[test]
    fn an_entry_covers_what_the_kubelet_says_it_covers() {
        for (location, image, wanted) in [
            ("*.kubernetes.io", "prefix.kubernetes.io/a", true),
            ("prefix.*.io", "prefix.kubernetes.io/a", true),
            ("prefix.kubernetes.*", "prefix.kubernetes.io/a", true),
            ("*-good.kubernetes.io", "prefix-good.kubernetes.io/a", true),
            ("*.kubernetes.io/blah", "prefix.kubernetes.io/blah", true),
            ("prefix.*.io/foo", "prefix.kubernetes.io/foo/bar", true),
            ("*.kubernetes.io:1111/blah", "prefix.kubernetes.io:1111/blah", true),
            ("prefix.*.io:1111/foo", "prefix.kubernetes.io:1111/foo/bar", true),
            ("*.kubernetes.io", "kubernetes.io/a", false),
            ("*.*.kubernetes.io", "prefix.kubernetes.io/a", false),
            ("*.*.kubernetes.io", "kubernetes.io/a", false),
            ("kubernetes.io", "kubernetes.com/a", false),
            ("k*.io", "quay.io/a", false),
            ("*.kubernetes.io:1234/blah", "prefix.kubernetes.io:1111/blah", false),
            ("prefix.*.io/foo", "prefix.kubernetes.io:1111/foo/bar", false),
            ("https://hello.kubernetes.io", "hello.kubernetes.io/foo/bar", true),
            ("http://hello.kubernetes.io", "hello.kubernetes.io/foo/bar", true),
            ("https://*.docker.io", "prefix.docker.io/foo/bar", true),
            ("https://*.docker.io/v1/", "prefix.docker.io/path/foo", true),
            ("https://*.docker.io/v2/", "prefix.docker.io/path/foo", true),
            ("https://registry.test/v2/team", "registry.test/team/app", true),
            ("https://registry.test/v2/team", "registry.test/other/app", false),
            ("registry.test/", "registry.test/other/app", true),
            ("registry.test/foo", "registry.test/foobar", true),
            ("registry.test/foo/", "registry.test/foobar", false),
            ("https://prefix.docker.*:8888", "prefix.docker.io:8888/foo", true),
            ("prefix.docker.io:1111", "prefix.docker.io:1111/path/foo", true),
            ("*.docker.io:1111", "prefix.docker.io:1111/path/foo", true),
            ("registry.test", "registry.test:443/foo", false),
            ("https://hello.kubernetes.io", "world.mesos.org/foo/bar", false),
            ("https://*.docker.com", "prefix.docker.io/foo/bar", false),
            ("https://suffix.*.io", "prefix.docker.io/foo/bar", false),
            ("https://prefix.docker.c*", "prefix.docker.io/foo/bar", false),
            ("https://index.docker.io/v1/", "world.mesos.org/foo/bar", false),
            ("https://index.docker.io/v1/", "jenkins", true),
            ("https://index.docker.io/v1/", "google/docker-registry", true),
            ("https://index.docker.io/v1/", "docker.io/foo/bar", true),
            ("https://index.docker.io/v1/", "index.docker.io/foo/bar", true),
            ("index.docker.io", "nginx", true),
            ("docker.io", "nginx", true),
            ("https://index.docker.io/v1/", "myhostdocker.io/foo/bar", false),
            ("localhost:5000", "localhost:5000/foo", true),
        ] {
            assert_eq!(!tried(&keyring(&[location]), image).is_empty(), wanted, "{location} for {image}");
        }
    }

    #[test]
    fn longer_paths_and_named_hosts_are_tried_first() {
        let keyring =
            keyring(&["*.test", "quay.test", "quay.test/coreos", "quay.test/coreos/etcd", "other.test"]);
        assert_eq!(
            tried(&keyring, "quay.test/coreos/etcd"),
            ["quay.test/coreos/etcd", "quay.test/coreos", "quay.test", "*.test"]
        );
        assert_eq!(tried(&keyring, "quay.test/a"), ["quay.test", "*.test"]);
    }

    #[test]
    fn entries_of_one_registry_are_tried_in_the_order_of_their_secrets() {
        let mut keyring = Keyring::new();
        keyring.add_entry("secret \"old\"", "https://registry.test", basic("old"));
        keyring.add_entry("secret \"new\"", "registry.test", basic("new"));
        let repository = "registry.test/a".parse::<Reference>().expect("a reference").repository;
        let sources: Vec<&str> =
            keyring.lookup(&repository).iter().map(|entry| entry.source.as_str()).collect();
        assert_eq!(sources, ["secret \"old\"", "secret \"new\""]);
    }

    #[test]
    fn the_old_address_of_docker_hub_counts_only_if_nothing_else_matches() {
        let keyring = keyring(&["https://index.docker.io/v1/", "docker.io/library"]);
        assert_eq!(tried(&keyring, "nginx"), ["docker.io/library"]);
        assert_eq!(tried(&keyring, "team/app"), ["https://index.docker.io/v1/"]);
    }

    #[test]
    fn debug_of_a_keyring_shows_no_password() {
        let mut keyring = Keyring::new();
        let password = Secret::new("hunter2");
        keyring.add_entry("s", "a.test", Credential::Basic { username: "u".to_owned(), password });
        assert!(!format!("{keyring:?}").contains("hunter2"));
    }
}
