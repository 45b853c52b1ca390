//! Manifests as registries really send them, and as nobody should.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

fn digest(name: &str) -> String {
    Digest::of(name.as_bytes()).to_string()
}

fn descriptor(media_type: &str, name: &str) -> Value {
    json!({"mediaType": media_type, "digest": digest(name), "size": 7})
}

fn image(config: &str, layers: &[&str]) -> Value {
    let layers: Vec<Value> = layers.iter().map(|media_type| descriptor(media_type, "layer")).collect();
    json!({
        "schemaVersion": 2,
        "mediaType": OCI_IMAGE_MEDIA_TYPE,
        "config": descriptor(config, "config"),
        "layers": layers,
    })
}

fn parse(body: &Value) -> Result<Document, ManifestError> {
    Document::parse(body.to_string().as_bytes(), None)
}

fn index(platforms: &[Value]) -> Value {
    let entries: Vec<Value> = platforms
        .iter()
        .map(|platform| {
            let mut entry = descriptor(OCI_IMAGE_MEDIA_TYPE, &platform.to_string());
            entry["platform"] = platform.clone();
            entry
        })
        .collect();
    json!({"schemaVersion": 2, "mediaType": OCI_IMAGE_INDEX_MEDIA_TYPE, "manifests": entries})
}

fn platform(text: &str) -> Platform {
    let mut parts = text.split('/').map(str::to_owned);
    Platform {
        os: parts.next().expect("an os"),
        architecture: parts.next().expect("an architecture"),
        variant: parts.next(),
    }
}

#[test]
fn oci_and_docker_images_are_read() {
    let docker = json!({
        "schemaVersion": 2,
        "mediaType": IMAGE_MANIFEST_MEDIA_TYPE,
        "config": descriptor(IMAGE_DOCKER_CONFIG_MEDIA_TYPE, "config"),
        "layers": [descriptor("application/vnd.docker.image.rootfs.diff.tar.gzip", "layer")],
    });
    for body in [docker, image(IMAGE_CONFIG_MEDIA_TYPE, &[OCI_LAYER])] {
        let Ok(Document::Image(manifest)) = parse(&body) else { panic!("an image: {body}") };
        assert_eq!(manifest.config.digest.to_string(), digest("config"));
        assert_eq!(manifest.layers[0].size, 7);
    }
}

#[test]
fn layers_may_be_plain_gzip_zstd_or_foreign_and_even_missing() {
    let layers = [
        "application/vnd.oci.image.layer.v1.tar",
        "application/vnd.oci.image.layer.v1.tar+zstd",
        "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
    ];
    assert!(parse(&image(IMAGE_CONFIG_MEDIA_TYPE, &layers)).is_ok());
    let mut empty = image(IMAGE_CONFIG_MEDIA_TYPE, &[]);
    empty["layers"] = Value::Null;
    assert!(matches!(parse(&empty), Ok(Document::Image(manifest)) if manifest.layers.is_empty()));
}

#[test]
fn a_body_without_media_type_is_known_by_the_header_or_by_its_shape() {
    let mut body = image(IMAGE_CONFIG_MEDIA_TYPE, &[OCI_LAYER]);
    body.as_object_mut().expect("an object").remove("mediaType");
    assert!(matches!(parse(&body), Ok(Document::Image(_))));
    let announced = Some("application/vnd.oci.image.manifest.v1+json; charset=utf-8");
    assert!(Document::parse(body.to_string().as_bytes(), announced).is_ok());
    assert_eq!(
        Document::parse(body.to_string().as_bytes(), Some("text/html")),
        Err(ManifestError::MediaType { media_type: "text/html".to_owned() })
    );
}

#[test]
fn artifacts_are_refused_by_their_name() {
    let helm = image(
        "application/vnd.cncf.helm.config.v1+json",
        &["application/vnd.cncf.helm.chart.content.v1.tar+gzip"],
    );
    let error = parse(&helm).expect_err("a chart");
    assert_eq!(
        error.to_string(),
        r#"it is no image but an artifact of type "application/vnd.cncf.helm.config.v1+json""#
    );

    let mut sbom = image("application/vnd.oci.empty.v1+json", &["application/spdx+json"]);
    sbom["artifactType"] = json!("application/vnd.example.sbom");
    let artifact_type = "application/vnd.example.sbom".to_owned();
    assert_eq!(parse(&sbom), Err(ManifestError::Artifact { artifact_type }));

    let attestation = image(IMAGE_CONFIG_MEDIA_TYPE, &["application/vnd.in-toto+json"]);
    let artifact_type = "application/vnd.in-toto+json".to_owned();
    assert_eq!(parse(&attestation), Err(ManifestError::Artifact { artifact_type }));
}

#[test]
fn schema_1_is_refused_in_words_however_it_shows() {
    let body = json!({"schemaVersion": 1, "name": "a", "tag": "b", "fsLayers": []});
    assert_eq!(parse(&body), Err(ManifestError::Schema1));
    let announced = Some("application/vnd.docker.distribution.manifest.v1+prettyjws");
    assert_eq!(Document::parse(b"{}", announced), Err(ManifestError::Schema1));
}

#[test]
fn layers_that_are_no_archives_are_refused_with_their_number() {
    let mixed = image(IMAGE_CONFIG_MEDIA_TYPE, &[OCI_LAYER, "text/plain"]);
    let media_type = "text/plain".to_owned();
    assert_eq!(parse(&mixed), Err(ManifestError::LayerType { number: 2, media_type }));
    let encrypted = image(IMAGE_CONFIG_MEDIA_TYPE, &["application/vnd.oci.image.layer.v1.tar+gzip+encrypted"]);
    assert_eq!(parse(&encrypted), Err(ManifestError::Encrypted { number: 1 }));
}

#[test]
fn a_body_that_is_both_manifest_and_index_is_refused() {
    let mut both = image(IMAGE_CONFIG_MEDIA_TYPE, &[OCI_LAYER]);
    both["manifests"] = json!([]);
    assert_eq!(parse(&both), Err(ManifestError::Ambiguous));
}

#[test]
fn negative_sizes_and_other_digests_are_no_manifest() {
    let mut negative = image(IMAGE_CONFIG_MEDIA_TYPE, &[OCI_LAYER]);
    negative["layers"][0]["size"] = json!(-1);
    assert!(matches!(parse(&negative), Err(ManifestError::NotJson { .. })));
    let mut other = image(IMAGE_CONFIG_MEDIA_TYPE, &[OCI_LAYER]);
    other["config"]["digest"] = json!("md5:0123");
    assert!(matches!(parse(&other), Err(ManifestError::NotJson { .. })));
}

#[test]
fn the_entry_of_the_platform_is_chosen_and_attestations_are_none() {
    let body = index(&[
        json!({"os": "unknown", "architecture": "unknown"}),
        json!({"os": "linux", "architecture": "arm64", "variant": "v8"}),
        json!({"os": "linux", "architecture": "amd64"}),
    ]);
    let Ok(Document::Index(entries)) = parse(&body) else { panic!("an index") };
    let chosen = choose(&entries, &platform("linux/arm64")).expect("there is one");
    assert_eq!(chosen, &entries[1].descriptor);
    let error = choose(&entries, &platform("linux/s390x")).expect_err("there is none");
    assert_eq!(error.to_string(), "it holds no image for linux/s390x, only for linux/arm64/v8, linux/amd64");
}

#[test]
fn a_lone_entry_without_platform_is_taken() {
    let body = json!({"manifests": [descriptor(OCI_IMAGE_MEDIA_TYPE, "only")]});
    let Ok(Document::Index(entries)) = parse(&body) else { panic!("an index") };
    assert_eq!(choose(&entries, &platform("linux/amd64")), Ok(&entries[0].descriptor));
}

proptest! {
    #[test]
    fn any_bytes_are_refused_without_harm(body in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = Document::parse(&body, None);
    }

    #[test]
    fn messages_about_hostile_types_hold_no_control_characters(media_type in "\\PC{0,40}[\\x00-\\x1f]{0,5}.{0,200}") {
        let body = json!({"mediaType": media_type, "config": descriptor("x", "c")});
        if let Err(error) = parse(&body) {
            let text = error.to_string();
            prop_assert!(text.chars().all(|c| !c.is_control()) && text.chars().count() < 1000, "{}", text);
        }
    }
}
