//! The manifest of an artifact, written and read. Pure.

use std::collections::BTreeMap;

use bytes::Bytes;
use oci_client::manifest::{
    IMAGE_CONFIG_MEDIA_TYPE, IMAGE_DOCKER_CONFIG_MEDIA_TYPE, IMAGE_MANIFEST_LIST_MEDIA_TYPE,
    IMAGE_MANIFEST_MEDIA_TYPE, OCI_IMAGE_INDEX_MEDIA_TYPE, OCI_IMAGE_MEDIA_TYPE,
};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::super::manifest::{Descriptor, ManifestError, null_is_empty, parse_object, shown};
use super::super::pull::{MANIFEST_LIMIT, RawManifest};
use super::{Artifact, ArtifactManifest, FetchedArtifact, FetchedLayer};
use crate::image::Digest;

/// The config of an artifact that needs none. OCI image-spec, "Guidance for an Empty Descriptor".
pub(super) const EMPTY_MEDIA_TYPE: &str = "application/vnd.oci.empty.v1+json";
/// Its content.
pub(super) const EMPTY: &[u8] = b"{}";
/// Most files of one artifact.
const LAYER_LIMIT: usize = 4096;
/// Most annotations of one object.
const ANNOTATION_LIMIT: usize = 256;
/// Longest key of an annotation, in bytes.
const KEY_LIMIT: usize = 256;
/// Longest value of an annotation, in bytes.
const VALUE_LIMIT: usize = 16 * 1024;

type Annotations = BTreeMap<String, String>;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Written<'a> {
    schema_version: u8,
    media_type: &'a str,
    artifact_type: &'a str,
    config: WrittenDescriptor<'a>,
    layers: Vec<WrittenDescriptor<'a>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: &'a Annotations,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WrittenDescriptor<'a> {
    media_type: &'a str,
    digest: &'a Digest,
    size: u64,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: &'a Annotations,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    schema_version: Option<u64>,
    media_type: Option<String>,
    artifact_type: Option<String>,
    config: Option<RawDescriptor>,
    layers: Option<Vec<RawDescriptor>>,
    #[serde(default, deserialize_with = "null_is_empty")]
    annotations: Annotations,
    manifests: Option<IgnoredAny>,
    fs_layers: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawDescriptor {
    #[serde(default)]
    media_type: String,
    digest: Digest,
    size: u64,
    #[serde(default, deserialize_with = "null_is_empty")]
    annotations: Annotations,
}

/// Writes the manifest, and reads it back: nothing is sent that would not be taken.
pub(super) fn write(artifact: &Artifact) -> Result<ArtifactManifest, ManifestError> {
    let nothing = Annotations::new();
    let empty = Digest::of(EMPTY);
    let descriptor = || WrittenDescriptor {
        media_type: EMPTY_MEDIA_TYPE,
        digest: &empty,
        size: EMPTY.len() as u64,
        annotations: &nothing,
    };
    let layers = artifact.layers.iter().map(|layer| WrittenDescriptor {
        media_type: &layer.media_type,
        digest: &layer.digest,
        size: layer.size,
        annotations: &layer.annotations,
    });
    let mut layers: Vec<_> = layers.collect();
    if layers.is_empty() {
        // Some registries refuse a manifest without layers; the specification wants this one.
        layers.push(descriptor());
    }
    let written = Written {
        schema_version: 2,
        media_type: OCI_IMAGE_MEDIA_TYPE,
        artifact_type: &artifact.artifact_type,
        config: descriptor(),
        layers,
        annotations: &artifact.annotations,
    };
    let bytes = serde_json::to_vec(&written).map_err(|_| ManifestError::NotJson { line: 0, column: 0 })?;
    if bytes.len() > MANIFEST_LIMIT {
        return Err(ManifestError::TooLong { what: "it", limit: MANIFEST_LIMIT });
    }
    let digest = Digest::of(&bytes);
    let raw = RawManifest { digest, bytes: Bytes::from(bytes), content_type: None };
    read(&raw, &artifact.artifact_type)?;
    Ok(ArtifactManifest { digest: raw.digest, bytes: raw.bytes })
}

/// Reads a manifest that must be of an artifact of the given type.
pub(super) fn read(raw: &RawManifest, wanted: &str) -> Result<FetchedArtifact, ManifestError> {
    let document: Raw = parse_object(&raw.bytes)
        .map_err(|error| ManifestError::NotJson { line: error.line(), column: error.column() })?;
    if document.schema_version == Some(1) || document.fs_layers.is_some() {
        return Err(ManifestError::Schema1);
    }
    let other = |found: String| ManifestError::NotTheArtifact { wanted: shown(wanted), found };
    let announced = raw.content_type.as_deref().and_then(|text| text.split(';').next()).map(str::trim);
    match document.media_type.as_deref().or(announced).unwrap_or(OCI_IMAGE_MEDIA_TYPE) {
        // The body decides where the answer was announced as just JSON.
        OCI_IMAGE_MEDIA_TYPE | "application/json" | "application/octet-stream" | "text/plain" => {}
        IMAGE_MANIFEST_MEDIA_TYPE => return Err(other("an image".to_owned())),
        OCI_IMAGE_INDEX_MEDIA_TYPE | IMAGE_MANIFEST_LIST_MEDIA_TYPE => {
            return Err(other("an index of images".to_owned()));
        }
        unknown => return Err(other(format!("something of the media type {:?}", shown(unknown)))),
    }
    let config = match (document.manifests, document.config) {
        (Some(_), Some(_)) => return Err(ManifestError::Ambiguous),
        (Some(_), None) => return Err(other("an index of images".to_owned())),
        (None, None) => return Err(ManifestError::NotJson { line: 0, column: 0 }),
        (None, Some(config)) => config,
    };
    // Without an artifact type it is that of the config. OCI image-spec, "Guidelines for Artifact Usage".
    let artifact_type = document.artifact_type.filter(|text| !text.is_empty()).unwrap_or(config.media_type);
    if artifact_type != wanted || wanted.is_empty() {
        let is_image =
            matches!(artifact_type.as_str(), IMAGE_CONFIG_MEDIA_TYPE | IMAGE_DOCKER_CONFIG_MEDIA_TYPE);
        return Err(other(if is_image {
            "an image".to_owned()
        } else {
            format!("an artifact of type {:?}", shown(&artifact_type))
        }));
    }
    let layers = document.layers.unwrap_or_default();
    if layers.len() > LAYER_LIMIT {
        return Err(ManifestError::TooMany { what: "layers", limit: LAYER_LIMIT });
    }
    check(&document.annotations)?;
    let layers: Result<Vec<_>, _> =
        layers.into_iter().filter(|layer| layer.media_type != EMPTY_MEDIA_TYPE).map(layer).collect();
    let annotations = document.annotations;
    Ok(FetchedArtifact { digest: raw.digest.clone(), artifact_type, annotations, layers: layers? })
}

/// Addresses of its own (`urls`) are not taken over: the files of an artifact lie beside its manifest.
fn layer(raw: RawDescriptor) -> Result<FetchedLayer, ManifestError> {
    check(&raw.annotations)?;
    let RawDescriptor { media_type, digest, size, annotations } = raw;
    Ok(FetchedLayer { descriptor: Descriptor { media_type, digest, size, urls: Vec::new() }, annotations })
}

fn check(annotations: &Annotations) -> Result<(), ManifestError> {
    if annotations.len() > ANNOTATION_LIMIT {
        return Err(ManifestError::TooMany { what: "annotations", limit: ANNOTATION_LIMIT });
    }
    for (key, value) in annotations {
        if key.len() > KEY_LIMIT {
            return Err(ManifestError::TooLong { what: "the key of an annotation", limit: KEY_LIMIT });
        }
        if value.len() > VALUE_LIMIT {
            return Err(ManifestError::TooLong { what: "the value of an annotation", limit: VALUE_LIMIT });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
