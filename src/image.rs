//! Images by name and by content: digests, references, platforms, and what a runtime says it runs.
//!
//! A kubelet may report another repository than the pod asked for, when both hold the same digest; credentials
//! go by repository. So what is read is the repository of the pod spec with the digest of the status.

pub mod registered;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// `sha256:` and 64 lower-case hex digits. OCI image-spec, "Digests".
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(String);

/// Text that is no sha256 digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a sha256 digest")]
pub struct DigestError(String);

/// Where an image's manifests and blobs live: a registry host (with port) and a path in it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Repository {
    /// Host and optional port, as credentials name it: `docker.io`, `registry.example.com:5000`.
    pub registry: String,
    /// Path of the repository, `library/` filled in for Docker Hub.
    pub path: String,
}

/// A repository with a tag, a digest, or both. Distribution-spec, "Pulling manifests".
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reference {
    /// The repository.
    pub repository: Repository,
    /// The tag; `latest` was filled in if neither tag nor digest was given.
    pub tag: Option<String>,
    /// The digest; wins over the tag when both are given.
    pub digest: Option<Digest>,
}

/// Text that is no image reference.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not an image reference")]
pub struct ReferenceError {
    text: String,
    #[source]
    source: Option<oci_client::ParseError>,
}

/// Operating system and architecture in the words of Go. OCI image-spec, "Image Index", `platform`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Platform {
    /// `linux`, `windows`.
    pub os: String,
    /// `amd64`, `arm64`, `arm`, ….
    pub architecture: String,
    /// `v7`, `v8`, …; mostly absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

/// The unit of work: one image as one platform sees it. Read once in the whole cluster.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ImageKey {
    /// Digest of a manifest or of an index that holds one for the platform.
    pub digest: Digest,
    /// The platform of the node that runs it.
    pub platform: Platform,
}

/// What a runtime said a container runs, before anything was looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RuntimeImage {
    /// Names a manifest (or index) that a registry can be asked for. The repository may be another than the pod's.
    Manifest(Digest),
    /// Names a config blob; exact only if the tag's manifest names it too.
    Config(Digest),
    /// The container has not started yet.
    Pending,
}

impl Digest {
    /// The digest of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        use sha2::Digest as _;
        Self::from_hash(&sha2::Sha256::digest(bytes).into())
    }

    /// A digest from a finished SHA-256.
    #[must_use]
    pub fn from_hash(hash: &[u8; 32]) -> Self {
        use fmt::Write as _;
        let mut text = String::with_capacity(71);
        text.push_str("sha256:");
        for byte in hash {
            write!(text, "{byte:02x}").expect("writing to a string cannot fail");
        }
        Self(text)
    }

    /// The whole text, `sha256:…`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The 64 hex digits.
    #[must_use]
    pub fn hex(&self) -> &str {
        &self.0["sha256:".len()..]
    }

    /// The first 12 hex digits, for people.
    #[must_use]
    pub fn short(&self) -> &str {
        &self.hex()[..12]
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let wrong = || DigestError(text.chars().take(200).collect());
        let hex = text.strip_prefix("sha256:").ok_or_else(wrong)?;
        let is_hex = hex.len() == 64 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if is_hex { Ok(Self(text.to_owned())) } else { Err(wrong()) }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.path)
    }
}

impl Reference {
    /// This reference's repository with a digest and no tag.
    #[must_use]
    pub fn at(&self, digest: Digest) -> Self {
        Self { repository: self.repository.clone(), tag: None, digest: Some(digest) }
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let wrong = |source| ReferenceError { text: text.chars().take(300).collect(), source };
        if text.starts_with('[') {
            // The specification's grammar knows no IPv6 literals: the rest is read as if it were of another host.
            let (host, rest) = split_literal(text).ok_or_else(|| wrong(None))?;
            let mut reference: Self = format!("{STAND_IN}/{rest}").parse().map_err(|_| wrong(None))?;
            host.clone_into(&mut reference.repository.registry);
            return Ok(reference);
        }
        let parsed = oci_client::Reference::try_from(text).map_err(|e| wrong(Some(e)))?;
        let digest = match parsed.digest() {
            Some(digest) => Some(digest.parse().map_err(|_| wrong(None))?),
            None => None,
        };
        let repository =
            Repository { registry: parsed.registry().to_owned(), path: parsed.repository().to_owned() };
        Ok(Self { repository, tag: parsed.tag().map(ToOwned::to_owned), digest })
    }
}

/// A host that is none, RFC 2606.
const STAND_IN: &str = "registry.invalid";

/// `[fd00::1]:5000/a/b:1` as host with port, and the rest.
fn split_literal(text: &str) -> Option<(&str, &str)> {
    let (host, rest) = text.split_once('/')?;
    let (address, port) = host.strip_prefix('[')?.split_once(']')?;
    address.parse::<std::net::Ipv6Addr>().ok()?;
    let is_port = |port: &str| port.parse::<u16>().is_ok() && port.bytes().all(|byte| byte.is_ascii_digit());
    (port.is_empty() || port.strip_prefix(':').is_some_and(is_port)).then_some((host, rest))
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

impl Serialize for Reference {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Reference {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl Platform {
    /// The platform of this very program.
    #[must_use]
    pub fn of_this_program() -> Self {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            "x86" => "386",
            other => other,
        };
        Self { os: "linux".to_owned(), architecture: architecture.to_owned(), variant: None }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        match &self.variant {
            Some(variant) => write!(f, "/{variant}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for ImageKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.digest, self.platform)
    }
}

impl RuntimeImage {
    /// Reads `status.imageID` as containerd, CRI-O and dockershim write it.
    ///
    /// # Errors
    /// The text names no sha256 digest.
    pub fn parse(image_id: &str) -> Result<Self, DigestError> {
        let id = image_id.strip_prefix("docker-pullable://").unwrap_or(image_id);
        if id.is_empty() {
            return Ok(Self::Pending);
        }
        if let Some((_, digest)) = id.rsplit_once('@') {
            return Ok(Self::Manifest(digest.parse()?));
        }
        let id = id.strip_prefix("docker://").unwrap_or(id);
        let digest = if id.starts_with("sha256:") { id.parse()? } else { format!("sha256:{id}").parse()? };
        Ok(Self::Config(digest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn digest() -> Digest {
        format!("sha256:{HEX}").parse().expect("valid")
    }

    #[test]
    fn registries_may_be_ipv6_literals() {
        for (text, registry, path, tag) in [
            ("[fd00::1]:5000/a/b:1.0", "[fd00::1]:5000", "a/b", Some("1.0")),
            ("[::1]/a", "[::1]", "a", Some("latest")),
        ] {
            let reference: Reference = text.parse().expect(text);
            assert_eq!(reference.repository.registry, registry);
            assert_eq!((reference.repository.path.as_str(), reference.tag.as_deref()), (path, tag));
            assert_eq!(reference.to_string().parse::<Reference>().as_ref(), Ok(&reference));
        }
        for wrong in [
            "[fd00::1]",
            "[fd00::1]:/a",
            "[fd00::1]:x/a",
            "[10.0.0.1]/a",
            "[::1]x/a",
            "[::1/a",
            "[]/a",
            "[::1]:+80/a",
        ] {
            assert!(wrong.parse::<Reference>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn image_ids_of_every_runtime_are_read() {
        for (id, expected) in [
            (format!("registry.example.com/a/b@sha256:{HEX}"), RuntimeImage::Manifest(digest())),
            (format!("docker-pullable://nginx@sha256:{HEX}"), RuntimeImage::Manifest(digest())),
            (format!("docker://sha256:{HEX}"), RuntimeImage::Config(digest())),
            (format!("sha256:{HEX}"), RuntimeImage::Config(digest())),
            (HEX.to_owned(), RuntimeImage::Config(digest())),
            (String::new(), RuntimeImage::Pending),
        ] {
            assert_eq!(RuntimeImage::parse(&id), Ok(expected), "{id}");
        }
        assert!(RuntimeImage::parse("nonsense").is_err());
    }

    #[test]
    fn digest_is_lower_case_sha256_and_nothing_else() {
        assert!(format!("sha256:{}", HEX.to_uppercase()).parse::<Digest>().is_err());
        assert!(format!("sha512:{HEX}{HEX}").parse::<Digest>().is_err());
        assert!(format!("sha256:{HEX}0").parse::<Digest>().is_err());
        assert_eq!(
            Digest::of(b"").as_str(),
            "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
    }

    #[test]
    fn references_are_completed_as_docker_does() {
        for (text, whole) in [
            ("nginx", "docker.io/library/nginx:latest".to_owned()),
            ("registry.test:5000/a/b:1", "registry.test:5000/a/b:1".to_owned()),
            (&format!("registry.test/a@sha256:{HEX}"), format!("registry.test/a@sha256:{HEX}")),
        ] {
            assert_eq!(text.parse::<Reference>().expect("valid").to_string(), whole);
        }
        assert!("registry.test/UPPER".parse::<Reference>().is_err());
        assert!("".parse::<Reference>().is_err());
    }

    #[test]
    fn at_keeps_the_repository_and_drops_the_tag() {
        let reference: Reference = "registry.test/a:1".parse().expect("valid");
        assert_eq!(reference.at(digest()).to_string(), format!("registry.test/a@sha256:{HEX}"));
    }
}
