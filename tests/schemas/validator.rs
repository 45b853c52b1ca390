//! The official JSON schema of CycloneDX 1.5, with formats asserted and no network.

use std::sync::LazyLock;

use jsonschema::{Draft, Registry, Validator};
use serde_json::Value;

static VALIDATOR: LazyLock<Validator> = LazyLock::new(|| {
    let schema = |text: &str| -> Value { serde_json::from_str(text).expect("a schema is JSON") };
    let registry = Registry::new()
        .add("http://cyclonedx.org/schema/spdx.schema.json", schema(include_str!("spdx.schema.json")))
        .and_then(|registry| {
            let signatures = schema(include_str!("jsf-0.82.schema.json"));
            registry.add("http://cyclonedx.org/schema/jsf-0.82.schema.json", signatures)
        })
        .and_then(jsonschema::RegistryBuilder::prepare)
        .expect("the schemas refer to each other and to nothing else");
    jsonschema::options()
        .with_draft(Draft::Draft7)
        .with_registry(&registry)
        .should_validate_formats(true)
        .build(&schema(include_str!("bom-1.5.schema.json")))
        .expect("the schema is one")
});

/// What the schema has against a document: where, and why.
pub(crate) fn violations(document: &[u8]) -> Vec<String> {
    let document: Value = match serde_json::from_slice(document) {
        Ok(document) => document,
        Err(error) => return vec![error.to_string()],
    };
    let in_words = |error: jsonschema::ValidationError<'_>| {
        let said: String = error.to_string().chars().take(300).collect();
        format!("{}: {said}", error.instance_path())
    };
    VALIDATOR.iter_errors(&document).map(in_words).collect()
}
