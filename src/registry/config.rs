//! The image configuration. OCI image-spec, "Image Configuration"; Docker's is the same but for additions.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::manifest::{ManifestError, null_is_empty, parse_object};
use crate::image::Digest;

/// What the image says about itself. Unknown fields are left out; the whole text is kept beside it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct ImageConfig {
    /// When it was built, RFC 3339, as written.
    #[serde(default)]
    pub created: Option<String>,
    /// Architecture in the words of Go.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub architecture: String,
    /// Operating system in the words of Go.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub os: String,
    /// Variant of the architecture.
    #[serde(default)]
    pub variant: Option<String>,
    /// How a container of it is started.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub config: RunConfig,
    /// The layers' content.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub rootfs: RootFs,
    /// How it was built, oldest step first.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub history: Vec<History>,
}

/// How a container of an image is started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RunConfig {
    /// User and group as written; empty means root.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub user: String,
    /// `NAME=value`. The values never leave the pod.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub env: Vec<String>,
    /// The program.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub entrypoint: Vec<String>,
    /// Its arguments.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub cmd: Vec<String>,
    /// Working directory.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub working_dir: String,
    /// Labels.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Ports as `port/protocol`; the values are empty objects.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub exposed_ports: BTreeMap<String, Value>,
    /// Directories that are volumes; the values are empty objects.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub volumes: BTreeMap<String, Value>,
    /// Docker's health check.
    #[serde(default)]
    pub healthcheck: Option<Value>,
    /// Signal that ends it.
    #[serde(default)]
    pub stop_signal: Option<String>,
}

/// The layers of an image by what is in them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct RootFs {
    /// Digests of the uncompressed layers, lowest first.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub diff_ids: Vec<Digest>,
}

/// One step of a build.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct History {
    /// When, RFC 3339, as written.
    #[serde(default)]
    pub created: Option<String>,
    /// The command.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub created_by: String,
    /// A remark.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub comment: String,
    /// Whether it made no layer.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub empty_layer: bool,
}

impl ImageConfig {
    /// Reads a configuration of an image with so many layers.
    pub(super) fn parse(body: &[u8], layers: usize) -> Result<Self, ManifestError> {
        let config: Self = parse_object(body)
            .map_err(|error| ManifestError::Config { line: error.line(), column: error.column() })?;
        let diff_ids = config.rootfs.diff_ids.len();
        // Runtimes refuse such images too, so none can be running.
        if diff_ids == layers { Ok(config) } else { Err(ManifestError::LayerCount { diff_ids, layers }) }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn docker_configs_full_of_nulls_are_read() {
        let body = json!({
            "architecture": "amd64", "os": "linux", "created": null, "container": "x",
            "config": {"User": "", "Env": null, "Cmd": ["sh"], "Entrypoint": null, "Labels": null, "Volumes": null,
                       "ExposedPorts": {"80/tcp": {}}},
            "rootfs": {"type": "layers", "diff_ids": null},
            "history": [{"created_by": "RUN x", "empty_layer": true}],
        });
        let config = ImageConfig::parse(body.to_string().as_bytes(), 0).expect("a config");
        assert_eq!(config.config.cmd, ["sh"]);
        assert!(config.config.exposed_ports.contains_key("80/tcp"));
        assert!(config.history[0].empty_layer);
    }

    #[test]
    fn a_config_of_another_number_of_layers_is_refused() {
        let body = json!({"rootfs": {"type": "layers", "diff_ids": [Digest::of(b"a").to_string()]}});
        let parsed = ImageConfig::parse(body.to_string().as_bytes(), 2);
        assert_eq!(parsed, Err(ManifestError::LayerCount { diff_ids: 1, layers: 2 }));
    }

    #[test]
    fn something_else_is_refused_with_the_place_of_the_fault() {
        assert_eq!(ImageConfig::parse(b"[]", 0), Err(ManifestError::Config { line: 0, column: 0 }));
    }
}
