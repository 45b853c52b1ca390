//! What an artifact's manifest says, and what is refused in one.

use std::path::PathBuf;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::ArtifactLayer;
use super::*;

const TYPE: &str = "application/vnd.example.files.v1";

fn annotations(pairs: &[(&str, &str)]) -> Annotations {
    pairs.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect()
}

fn artifact(names: &[&str]) -> Artifact {
    let layer = |&name: &&str| ArtifactLayer {
        media_type: "application/vnd.example.file.v1".to_owned(),
        digest: Digest::of(name.as_bytes()),
        size: name.len() as u64,
        annotations: annotations(&[("org.opencontainers.image.title", name)]),
        content: PathBuf::from(name),
    };
    Artifact {
        artifact_type: TYPE.to_owned(),
        annotations: annotations(&[("org.example.made", "2026-01-02T03:04:05Z"), ("a", "b")]),
        layers: names.iter().map(layer).collect(),
    }
}

fn raw(body: &Value) -> RawManifest {
    let bytes = Bytes::from(body.to_string());
    RawManifest { digest: Digest::of(&bytes), bytes, content_type: None }
}

fn error(body: &Value) -> String {
    read(&raw(body), TYPE).expect_err("refused").to_string()
}

fn body() -> Value {
    serde_json::from_slice(&artifact(&["one"]).manifest().expect("written").bytes).expect("JSON")
}

#[test]
fn the_manifest_is_that_of_the_specification() {
    let manifest = artifact(&["one"]).manifest().expect("written");
    assert_eq!(
        std::str::from_utf8(&manifest.bytes).expect("text"),
        concat!(
            r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","#,
            r#""artifactType":"application/vnd.example.files.v1","#,
            r#""config":{"mediaType":"application/vnd.oci.empty.v1+json","#,
            r#""digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2},"#,
            r#""layers":[{"mediaType":"application/vnd.example.file.v1","#,
            r#""digest":"sha256:7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed","size":3,"#,
            r#""annotations":{"org.opencontainers.image.title":"one"}}],"#,
            r#""annotations":{"a":"b","org.example.made":"2026-01-02T03:04:05Z"}}"#,
        )
    );
    assert_eq!(manifest.digest, Digest::of(&manifest.bytes));
}

#[test]
fn what_was_written_is_read_with_all_that_was_said_about_it() {
    let artifact = artifact(&["one", "three", "one"]);
    let ArtifactManifest { digest, bytes } = artifact.manifest().expect("written");
    let raw = RawManifest { digest: digest.clone(), bytes, content_type: None };
    let read = read(&raw, TYPE).expect("read");
    assert_eq!((read.digest, read.annotations), (digest, artifact.annotations));
    let layers = read.layers.iter().map(|layer| (&layer.descriptor.digest, layer.descriptor.size));
    let layers: Vec<_> = layers.collect();
    let written: Vec<_> = artifact.layers.iter().map(|layer| (&layer.digest, layer.size)).collect();
    assert_eq!(layers, written);
    assert_eq!(read.layers[1].annotations, artifact.layers[1].annotations);
}

#[test]
fn an_artifact_of_no_files_has_the_empty_layer_and_reads_as_one_of_no_files() {
    let ArtifactManifest { digest, bytes } = artifact(&[]).manifest().expect("written");
    let json: Value = serde_json::from_slice(&bytes).expect("JSON");
    assert_eq!(json["layers"][0]["mediaType"], EMPTY_MEDIA_TYPE);
    let read = read(&RawManifest { digest, bytes, content_type: None }, TYPE).expect("read");
    assert_eq!(read.layers, []);
}

#[test]
fn what_is_something_else_is_called_by_its_name() {
    let mut other = body();
    other["artifactType"] = json!("application/vnd.example.other");
    let mut image = body();
    image["artifactType"] = Value::Null;
    image["config"]["mediaType"] = json!(IMAGE_CONFIG_MEDIA_TYPE);
    let mut untyped = body();
    untyped["artifactType"] = Value::Null;
    let mut docker = body();
    docker["mediaType"] = json!(IMAGE_MANIFEST_MEDIA_TYPE);
    let index = json!({"schemaVersion": 2, "mediaType": OCI_IMAGE_INDEX_MEDIA_TYPE, "manifests": []});
    let bare_index = json!({"schemaVersion": 2, "manifests": []});
    for (body, found) in [
        (other, r#"an artifact of type "application/vnd.example.other""#),
        (image, "an image"),
        (untyped, r#"an artifact of type "application/vnd.oci.empty.v1+json""#),
        (docker, "an image"),
        (index, "an index of images"),
        (bare_index, "an index of images"),
        (
            json!({"mediaType": "application/vnd.example"}),
            r#"something of the media type "application/vnd.example""#,
        ),
    ] {
        assert_eq!(error(&body), format!("it is no artifact of type {TYPE:?} but {found}"), "{body}");
    }
}

#[test]
fn an_artifact_without_artifact_type_goes_by_that_of_its_config() {
    let mut older = body();
    older["artifactType"] = Value::Null;
    older["config"]["mediaType"] = json!(TYPE);
    assert_eq!(read(&raw(&older), TYPE).expect("read").artifact_type, TYPE);
}

#[test]
fn bodies_that_are_no_manifest_are_refused() {
    let mut both = body();
    both["manifests"] = json!([]);
    assert_eq!(read(&raw(&both), TYPE), Err(ManifestError::Ambiguous));
    let schema1 = json!({"schemaVersion": 1, "fsLayers": []});
    assert_eq!(read(&raw(&schema1), TYPE), Err(ManifestError::Schema1));
    let mut number = body();
    number["annotations"] = json!({"a": 1});
    let mut negative = body();
    negative["layers"][0]["size"] = json!(-1);
    let mut md5 = body();
    md5["layers"][0]["digest"] = json!("md5:00");
    for body in [number, negative, md5, json!({}), json!([]), json!("x")] {
        assert!(matches!(read(&raw(&body), TYPE), Err(ManifestError::NotJson { .. })), "{body}");
    }
}

#[test]
fn addresses_that_a_layer_names_are_not_taken_over() {
    let mut body = body();
    body["layers"][0]["urls"] = json!(["https://metadata.test/"]);
    assert_eq!(read(&raw(&body), TYPE).expect("read").layers[0].descriptor.urls, Vec::<String>::new());
}

#[test]
fn more_layers_and_longer_annotations_than_are_read_are_neither_written() {
    let names: Vec<String> = (0..=LAYER_LIMIT).map(|number| number.to_string()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    artifact(&names[1..]).manifest().expect("as many as may be");
    let too_many = artifact(&names).manifest();
    assert_eq!(too_many, Err(ManifestError::TooMany { what: "layers", limit: LAYER_LIMIT }));

    let mut wordy = artifact(&["one"]);
    let keys = (0..=ANNOTATION_LIMIT).map(|number| (number.to_string(), String::new()));
    wordy.layers[0].annotations = keys.collect();
    let too_many = ManifestError::TooMany { what: "annotations", limit: ANNOTATION_LIMIT };
    assert_eq!(wordy.manifest(), Err(too_many));
    wordy.layers[0].annotations = annotations(&[("a", &"x".repeat(VALUE_LIMIT + 1))]);
    assert!(matches!(wordy.manifest(), Err(ManifestError::TooLong { .. })));
    wordy.layers[0].annotations = annotations(&[(&"k".repeat(KEY_LIMIT + 1), "x")]);
    assert!(matches!(wordy.manifest(), Err(ManifestError::TooLong { .. })));
    wordy.layers[0].annotations.clear();
    wordy.annotations = (0..ANNOTATION_LIMIT).map(|n| (n.to_string(), "x".repeat(VALUE_LIMIT))).collect();
    let too_long = wordy.manifest().expect_err("over 4 MiB");
    assert_eq!(too_long.to_string(), "it is longer than 4194304 bytes");
}

proptest! {
    #[test]
    fn any_bytes_are_refused_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let bytes = Bytes::from(bytes);
        let raw = RawManifest { digest: Digest::of(&bytes), bytes, content_type: None };
        prop_assert!(read(&raw, TYPE).is_err());
    }

    #[test]
    fn any_annotations_come_back_as_they_were(
        said in proptest::collection::btree_map(".{1,20}", ".{0,50}", 0..5)
    ) {
        let mut artifact = artifact(&["one"]);
        artifact.annotations = said.clone();
        let ArtifactManifest { digest, bytes } = artifact.manifest().expect("written");
        let raw = RawManifest { digest, bytes, content_type: None };
        prop_assert_eq!(read(&raw, TYPE).expect("read").annotations, said);
    }
}
