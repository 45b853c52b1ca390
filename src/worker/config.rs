//! The document that is sent of an image's config: what it says about how its containers run.
//!
//! Only named fields are copied. Values of environment variables, and build steps, which repeat them, may be
//! secrets and never leave the pod.

use serde::Serialize;

use crate::registry::ImageConfig;

/// Longest text and most entries that are copied of each field.
const MAX_TEXT: usize = 4 << 10;
const MAX_ENTRIES: usize = 1000;

/// Version 1 of the document.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ConfigDocument<'a> {
    created: Option<&'a str>,
    os: &'a str,
    architecture: &'a str,
    variant: Option<&'a str>,
    user: &'a str,
    environment_names: Vec<&'a str>,
    entrypoint: Vec<&'a str>,
    command: Vec<&'a str>,
    working_directory: &'a str,
    exposed_ports: Vec<&'a str>,
    volumes: Vec<&'a str>,
    has_healthcheck: bool,
    stop_signal: Option<&'a str>,
}

/// Makes the document.
pub(super) fn document(config: &ImageConfig) -> Vec<u8> {
    let run = &config.config;
    let document = ConfigDocument {
        created: config.created.as_deref().map(cut),
        os: cut(&config.os),
        architecture: cut(&config.architecture),
        variant: config.variant.as_deref().map(cut),
        user: cut(&run.user),
        environment_names: some(run.env.iter().map(|pair| pair.split('=').next().unwrap_or_default())),
        entrypoint: some(run.entrypoint.iter().map(String::as_str)),
        command: some(run.cmd.iter().map(String::as_str)),
        working_directory: cut(&run.working_dir),
        exposed_ports: some(run.exposed_ports.keys().map(String::as_str)),
        volumes: some(run.volumes.keys().map(String::as_str)),
        has_healthcheck: run.healthcheck.is_some(),
        stop_signal: run.stop_signal.as_deref().map(cut),
    };
    serde_json::to_vec(&document).expect("the document holds only strings")
}

fn some<'a>(texts: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    texts.take(MAX_ENTRIES).map(cut).collect()
}

fn cut(text: &str) -> &str {
    match text.char_indices().find(|(at, _)| *at >= MAX_TEXT) {
        Some((at, _)) => &text[..at],
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_the_environment_stay_in_the_pod() {
        let config: ImageConfig = serde_json::from_value(serde_json::json!({
            "os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": []},
            "config": {"Env": ["PASSWORD=hunter2", "EMPTY"], "User": "65532"},
            "history": [{"created_by": "ENV PASSWORD=hunter2"}],
        }))
        .expect("a config");
        let document = String::from_utf8(document(&config)).expect("text");
        assert!(document.contains(r#""environmentNames":["PASSWORD","EMPTY"]"#), "{document}");
        assert!(!document.contains("hunter2"), "{document}");
    }
}
