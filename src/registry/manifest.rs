//! Manifests and indexes: what they hold, and what is refused in them. Pure.
//!
//! OCI image-spec ("Image Manifest", "Image Index") and Docker's "Image Manifest Version 2, Schema 2". Bodies are
//! hostile: their size is bounded by the caller, their shape here.

use oci_client::manifest::{
    IMAGE_CONFIG_MEDIA_TYPE, IMAGE_DOCKER_CONFIG_MEDIA_TYPE, IMAGE_MANIFEST_LIST_MEDIA_TYPE,
    IMAGE_MANIFEST_MEDIA_TYPE, OCI_IMAGE_INDEX_MEDIA_TYPE, OCI_IMAGE_MEDIA_TYPE,
};
use serde::{Deserialize, Deserializer};

use super::platform::{self, Offer};
use crate::image::{Digest, Platform};

/// What is asked for, most wanted first. Registries that know none of them send schema 1.
pub(super) const ACCEPTED: [&str; 4] = [
    OCI_IMAGE_INDEX_MEDIA_TYPE,
    IMAGE_MANIFEST_LIST_MEDIA_TYPE,
    OCI_IMAGE_MEDIA_TYPE,
    IMAGE_MANIFEST_MEDIA_TYPE,
];
/// Far more layers than any runtime can stack.
const LAYER_LIMIT: usize = 1024;
/// Far more platforms than there are.
const ENTRY_LIMIT: usize = 4096;
/// Names in messages are cut at this length, in characters.
const SHOWN: usize = 120;

/// Content by its digest. OCI image-spec, "Content Descriptors".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// Media type, as the manifest claims; the content may be something else.
    pub media_type: String,
    /// Digest of the content.
    pub digest: Digest,
    /// Size of the content in bytes.
    pub size: u64,
    /// Where else it may be fetched from; mostly empty.
    pub urls: Vec<String>,
}

/// One image for one platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// The image configuration.
    pub config: Descriptor,
    /// The layers, lowest first.
    pub layers: Vec<Descriptor>,
}

/// A manifest or an index of manifests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Document {
    Image(Manifest),
    Index(Vec<IndexEntry>),
}

/// What a manifest or index points at, whatever kind of thing it describes. For copying.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct References {
    pub(super) manifests: Vec<Descriptor>,
    pub(super) blobs: Vec<Descriptor>,
}

/// One line of an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct IndexEntry {
    pub(super) descriptor: Descriptor,
    pub(super) platform: Option<Platform>,
}

/// Why a manifest, index or config cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// Neither JSON nor of the shape of a manifest.
    #[error("it is no manifest (line {line}, column {column})")]
    NotJson {
        /// Line of the first fault, from 1; 0 if the shape is wrong as a whole.
        line: usize,
        /// Column of the first fault.
        column: usize,
    },
    /// Docker's first format, which names no config and no verifiable sizes.
    #[error("it is a schema 1 manifest, which registries have ceased to serve: push the image again")]
    Schema1,
    /// An OCI artifact.
    #[error("it is no image but an artifact of type {artifact_type:?}")]
    Artifact {
        /// Artifact type, or the media type of its config.
        artifact_type: String,
    },
    /// Something else than the artifact that was asked for.
    #[error("it is no artifact of type {wanted:?} but {found}")]
    NotTheArtifact {
        /// The artifact type that was asked for.
        wanted: String,
        /// What it is, in words.
        found: String,
    },
    /// A manifest of an unknown kind.
    #[error("its media type {media_type:?} is none of an image")]
    MediaType {
        /// The media type.
        media_type: String,
    },
    /// A body that could be read as a manifest by one and as an index by another.
    #[error("it is a manifest and an index at once")]
    Ambiguous,
    /// A layer that is no tar archive.
    #[error("its layer {number} has the media type {media_type:?}, which is no layer of an image")]
    LayerType {
        /// Place of the layer, from 1.
        number: usize,
        /// Its media type.
        media_type: String,
    },
    /// A layer that only the holder of a key can read.
    #[error("its layer {number} is encrypted")]
    Encrypted {
        /// Place of the layer, from 1.
        number: usize,
    },
    /// More layers or index entries than are read.
    #[error("it has more than {limit} {what}")]
    TooMany {
        /// `layers`, `entries` or `annotations`.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// A text that is longer than what is read of its kind.
    #[error("{what} is longer than {limit} bytes")]
    TooLong {
        /// Which text: `it` if it is the whole.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// The index has nothing for the platform.
    #[error("it holds no image for {wanted}, only for {}", listed(offered))]
    NoPlatform {
        /// The platform that was asked for.
        wanted: Platform,
        /// The platforms that there are.
        offered: Vec<Platform>,
    },
    /// Indexes within indexes without end.
    #[error("it is an index of indexes, more than {limit} deep")]
    TooDeep {
        /// The limit.
        limit: usize,
    },
    /// The config is no image configuration.
    #[error("it is no image configuration (line {line}, column {column})")]
    Config {
        /// Line of the first fault, from 1; 0 if the shape is wrong as a whole.
        line: usize,
        /// Column of the first fault.
        column: usize,
    },
    /// Manifest and config do not belong together.
    #[error("it names {diff_ids} layers while the manifest has {layers}")]
    LayerCount {
        /// Number of diff ids in the config.
        diff_ids: usize,
        /// Number of layers in the manifest.
        layers: usize,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawDocument {
    schema_version: Option<u64>,
    media_type: Option<String>,
    artifact_type: Option<String>,
    config: Option<RawDescriptor>,
    layers: Option<Vec<RawDescriptor>>,
    manifests: Option<Vec<RawDescriptor>>,
    fs_layers: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawDescriptor {
    #[serde(default)]
    media_type: String,
    digest: Digest,
    size: u64,
    #[serde(default, deserialize_with = "null_is_empty")]
    urls: Vec<String>,
    platform: Option<Platform>,
}

/// Go writes `null` for an empty list.
pub(super) fn null_is_empty<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: Default + Deserialize<'de>,
    D: Deserializer<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Reads a struct from a JSON object. By itself serde would take an array of its fields as well.
pub(super) fn parse_object<'de, T: Deserialize<'de>>(body: &'de [u8]) -> Result<T, serde_json::Error> {
    if body.trim_ascii_start().first() == Some(&b'[') {
        return Err(serde::de::Error::custom("an array where an object belongs"));
    }
    serde_json::from_slice(body)
}

impl Document {
    /// Reads a manifest or index. The media type of the answer counts only if the body names none.
    pub(super) fn parse(body: &[u8], content_type: Option<&str>) -> Result<Self, ManifestError> {
        let raw = RawDocument::parse(body)?;
        let announced = content_type.and_then(|text| text.split(';').next()).map(str::trim);
        let media_type = raw.media_type.as_deref().or(announced).unwrap_or_default();
        let schema1 = media_type.starts_with("application/vnd.docker.distribution.manifest.v1+");
        if schema1 || raw.schema_version == Some(1) || raw.fs_layers.is_some() {
            return Err(ManifestError::Schema1);
        }
        match media_type {
            OCI_IMAGE_INDEX_MEDIA_TYPE | IMAGE_MANIFEST_LIST_MEDIA_TYPE => raw.into_index(),
            OCI_IMAGE_MEDIA_TYPE | IMAGE_MANIFEST_MEDIA_TYPE => raw.into_image(),
            // Some servers announce plain JSON, and image-spec 1.0 did not ask for a media type in the body.
            "" | "application/json" | "text/plain" | "application/octet-stream" => match raw.manifests {
                Some(_) => raw.into_index(),
                None => raw.into_image(),
            },
            other => Err(ManifestError::MediaType { media_type: shown(other) }),
        }
    }
}

impl References {
    pub(super) fn of(body: &[u8]) -> Result<Self, ManifestError> {
        let raw = RawDocument::parse(body)?;
        let manifests = raw.manifests.unwrap_or_default();
        let layers = raw.layers.unwrap_or_default();
        if manifests.len() > ENTRY_LIMIT {
            return Err(ManifestError::TooMany { what: "entries", limit: ENTRY_LIMIT });
        }
        if layers.len() > LAYER_LIMIT {
            return Err(ManifestError::TooMany { what: "layers", limit: LAYER_LIMIT });
        }
        let blobs = layers.into_iter().chain(raw.config).map(Descriptor::from).collect();
        Ok(Self { manifests: manifests.into_iter().map(Descriptor::from).collect(), blobs })
    }

    /// Itself, unless it points deeper than that many more indexes.
    pub(super) fn within(self, depth: usize) -> Result<Self, ManifestError> {
        if depth == 0 && !self.manifests.is_empty() {
            return Err(ManifestError::TooDeep { limit: super::pull::INDEX_DEPTH });
        }
        Ok(self)
    }
}

impl RawDocument {
    fn parse(body: &[u8]) -> Result<Self, ManifestError> {
        parse_object(body)
            .map_err(|error| ManifestError::NotJson { line: error.line(), column: error.column() })
    }

    fn into_index(self) -> Result<Document, ManifestError> {
        if self.config.is_some() || self.layers.is_some() {
            return Err(ManifestError::Ambiguous);
        }
        let entries = self.manifests.ok_or(ManifestError::NotJson { line: 0, column: 0 })?;
        if entries.len() > ENTRY_LIMIT {
            return Err(ManifestError::TooMany { what: "entries", limit: ENTRY_LIMIT });
        }
        let entry = |mut raw: RawDescriptor| {
            let platform = raw.platform.take();
            IndexEntry { descriptor: raw.into(), platform }
        };
        Ok(Document::Index(entries.into_iter().map(entry).collect()))
    }

    fn into_image(self) -> Result<Document, ManifestError> {
        if self.manifests.is_some() {
            return Err(ManifestError::Ambiguous);
        }
        let config = self.config.ok_or(ManifestError::NotJson { line: 0, column: 0 })?;
        // Docker's first registries for schema 2 wrote no better type than octet-stream.
        let is_image = matches!(
            config.media_type.as_str(),
            IMAGE_CONFIG_MEDIA_TYPE | IMAGE_DOCKER_CONFIG_MEDIA_TYPE | "application/octet-stream" | ""
        );
        if !is_image {
            let artifact_type = self.artifact_type.as_deref().unwrap_or(&config.media_type);
            return Err(ManifestError::Artifact { artifact_type: shown(artifact_type) });
        }
        let layers = self.layers.unwrap_or_default();
        if layers.len() > LAYER_LIMIT {
            return Err(ManifestError::TooMany { what: "layers", limit: LAYER_LIMIT });
        }
        let no_tar_at_all = !layers.is_empty() && layers.iter().all(|layer| !is_tar(&layer.media_type));
        if let (true, Some(first)) = (no_tar_at_all, layers.first())
            && !first.media_type.ends_with("+encrypted")
        {
            // Attestations of BuildKit: an image config over layers of in-toto statements.
            let artifact_type = self.artifact_type.as_deref().unwrap_or(&first.media_type);
            return Err(ManifestError::Artifact { artifact_type: shown(artifact_type) });
        }
        for (at, layer) in layers.iter().enumerate() {
            if layer.media_type.ends_with("+encrypted") {
                return Err(ManifestError::Encrypted { number: at + 1 });
            }
            if !is_tar(&layer.media_type) {
                let media_type = shown(&layer.media_type);
                return Err(ManifestError::LayerType { number: at + 1, media_type });
            }
        }
        let layers = layers.into_iter().map(Descriptor::from).collect();
        Ok(Document::Image(Manifest { config: config.into(), layers }))
    }
}

/// The media type that the body itself names, else the one that it was announced with.
pub(super) fn media_type_of(body: &[u8], content_type: Option<&str>) -> Result<String, ManifestError> {
    let named = RawDocument::parse(body)?.media_type;
    let announced = content_type.and_then(|text| text.split(';').next()).map(|text| text.trim().to_owned());
    Ok(named.or(announced).unwrap_or_else(|| OCI_IMAGE_MEDIA_TYPE.to_owned()))
}

/// Chooses the entry of an index for a platform.
pub(super) fn choose<'a>(
    entries: &'a [IndexEntry],
    wanted: &Platform,
) -> Result<&'a Descriptor, ManifestError> {
    let runnable = |entry: &&IndexEntry| entry.platform.as_ref().is_none_or(|p| p.os != "unknown");
    let entries: Vec<&IndexEntry> = entries.iter().filter(runnable).collect();
    if let [only] = entries.as_slice()
        && only.platform.is_none()
    {
        return Ok(&only.descriptor);
    }
    let offers = entries.iter().filter_map(|entry| {
        let platform = entry.platform.as_ref()?;
        Some(Offer { platform, of: &entry.descriptor })
    });
    platform::choose(offers, wanted).ok_or_else(|| {
        let offered = entries.iter().filter_map(|entry| entry.platform.as_ref());
        ManifestError::NoPlatform { wanted: wanted.clone(), offered: offered.take(20).cloned().collect() }
    })
}

/// Layer media types: OCI, Docker, and their kinds that may not be distributed.
fn is_tar(media_type: &str) -> bool {
    let oci = media_type
        .strip_prefix("application/vnd.oci.image.layer.v1.tar")
        .or_else(|| media_type.strip_prefix("application/vnd.oci.image.layer.nondistributable.v1.tar"));
    let docker = media_type
        .strip_prefix("application/vnd.docker.image.rootfs.diff.tar")
        .or_else(|| media_type.strip_prefix("application/vnd.docker.image.rootfs.foreign.diff.tar"));
    let oci = oci.is_some_and(|packing| matches!(packing, "" | "+gzip" | "+zstd"));
    oci || docker.is_some_and(|packing| matches!(packing, "" | ".gzip" | ".zstd"))
}

/// Cut, and without what could play tricks on a terminal; the messages put it in quotes.
pub(super) fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(SHOWN).collect()
}

fn listed(platforms: &[Platform]) -> String {
    let names: Vec<String> = platforms.iter().map(|platform| shown(&platform.to_string())).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

impl From<RawDescriptor> for Descriptor {
    fn from(raw: RawDescriptor) -> Self {
        Self { media_type: raw.media_type, digest: raw.digest, size: raw.size, urls: raw.urls }
    }
}

#[cfg(test)]
mod tests;
