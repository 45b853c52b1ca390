//! The addresses of a repository. Distribution-spec, "Endpoints".

use reqwest::Url;

use super::credentials::is_docker_hub;
use super::error::PullError;
use crate::image::{Digest, Repository};

/// Docker Hub answers at another host than its images are named after.
pub(super) const DOCKER_HUB_HOST: &str = "registry-1.docker.io";

/// Where one repository is asked for things.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Endpoint {
    /// With the `/v2`.
    base: Url,
    path: String,
    /// The registry that a mirror is asked on behalf of.
    namespace: Option<String>,
}

impl Endpoint {
    /// The address of a repository; plain HTTP only for the registries named.
    pub(super) fn of(repository: &Repository, plain_http: &[String]) -> Result<Self, PullError> {
        let wrong = || PullError::Address { repository: repository.clone() };
        if !is_path(&repository.path) || !is_host(&repository.registry) {
            return Err(wrong());
        }
        let hub = is_docker_hub(&repository.registry);
        let host = if hub { DOCKER_HUB_HOST } else { repository.registry.as_str() };
        let scheme = if allows_plain(plain_http, host) { "http" } else { "https" };
        let base = Url::parse(&format!("{scheme}://{host}/v2")).map_err(|_| wrong())?;
        Ok(Self { base, path: repository.path.clone(), namespace: None })
    }

    /// The same below an address that is known; none if the path is that of no repository.
    pub(super) fn below(
        mut base: Url,
        path: &str,
        namespace: Option<String>,
        plain_http: &[String],
    ) -> Option<Self> {
        let is_http = matches!(base.scheme(), "https" | "http");
        if !is_path(path) || !is_http || base.cannot_be_a_base() || !base.has_host() {
            return None;
        }
        if allows_plain(plain_http, &host_of(&base)) {
            base.set_scheme("http").ok()?;
        }
        Some(Self { base, path: path.to_owned(), namespace })
    }

    /// The address below which repositories are.
    pub(super) fn base(&self) -> &Url {
        &self.base
    }

    /// A manifest or index by tag or digest.
    pub(super) fn manifest(&self, name: &str) -> Url {
        self.join(&["manifests", name])
    }

    /// A blob.
    pub(super) fn blob(&self, digest: &Digest) -> Url {
        self.join(&["blobs", digest.as_str()])
    }

    /// Where uploads begin.
    pub(super) fn uploads(&self) -> Url {
        self.join(&["blobs", "uploads", ""])
    }

    /// Whether an address is on the very server that this repository is on: the only one that sees credentials.
    pub(super) fn is_origin_of(&self, url: &Url) -> bool {
        self.base.origin() == url.origin()
    }

    fn join(&self, tail: &[&str]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(self.path.split('/')).extend(tail);
        }
        if let Some(namespace) = &self.namespace {
            url.query_pairs_mut().append_pair("ns", namespace);
        }
        url
    }
}

/// Whether a host (with or without port) is among those that may be asked in the clear; an entry without a port
/// stands for all ports.
pub(crate) fn allows_plain(plain_http: &[String], host: &str) -> bool {
    let is_port = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    // The last group of an IPv6 literal is no port.
    let is_name = |name: &str| !name.starts_with('[') || name.ends_with(']');
    let split = host.rsplit_once(':').filter(|(name, port)| is_port(port) && is_name(name));
    let name = split.map_or(host, |(name, _)| name);
    plain_http.iter().any(|entry| entry == host || entry == name)
}

/// Host and port of an address, for messages.
pub(crate) fn host_of(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

/// The grammar of the distribution-spec for `<name>`, a little wider.
fn is_path(path: &str) -> bool {
    let segment = |segment: &str| {
        segment.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
            && segment.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c))
    };
    path.len() <= 255 && path.split('/').all(segment)
}

fn is_host(host: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || ".-:[]_".contains(c);
    !host.is_empty() && host.len() <= 300 && host.chars().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(registry: &str, path: &str) -> Result<Endpoint, PullError> {
        let repository = Repository { registry: registry.to_owned(), path: path.to_owned() };
        Endpoint::of(&repository, &["plain.test".to_owned(), "127.0.0.1:5000".to_owned()])
    }

    fn manifest(registry: &str, path: &str) -> String {
        endpoint(registry, path).expect("an address").manifest("1.0").to_string()
    }

    #[test]
    fn addresses_follow_the_specification() {
        assert_eq!(
            manifest("docker.io", "library/a"),
            "https://registry-1.docker.io/v2/library/a/manifests/1.0"
        );
        assert_eq!(manifest("plain.test:80", "a"), "http://plain.test/v2/a/manifests/1.0");
        assert_eq!(manifest("127.0.0.1:5000", "a/b"), "http://127.0.0.1:5000/v2/a/b/manifests/1.0");
        assert_eq!(manifest("127.0.0.1:5001", "a/b"), "https://127.0.0.1:5001/v2/a/b/manifests/1.0");
        assert_eq!(manifest("[::1]:5000", "a"), "https://[::1]:5000/v2/a/manifests/1.0");
        let uploads = endpoint("a.test", "a").expect("an address").uploads();
        assert_eq!(uploads.as_str(), "https://a.test/v2/a/blobs/uploads/");
    }

    #[test]
    fn names_that_would_leave_the_repository_are_no_address() {
        for (registry, path) in [
            ("a.test", "../x"),
            ("a.test", "a//b"),
            ("a.test", "a?b"),
            ("a.test", ""),
            ("a.test/x", "a"),
            ("user@a.test", "a"),
            ("", "a"),
            ("a.test:port", "a"),
        ] {
            assert!(endpoint(registry, path).is_err(), "{registry} {path}");
        }
    }

    #[test]
    fn another_port_or_scheme_is_another_origin() {
        let endpoint = endpoint("a.test", "a").expect("an address");
        let origin = |url: &str| endpoint.is_origin_of(&Url::parse(url).expect("a URL"));
        assert!(origin("https://a.test:443/other"));
        assert!(!origin("http://a.test/") && !origin("https://a.test:8443/") && !origin("https://b.test/"));
    }
}
