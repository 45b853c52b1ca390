//! Indexes, layers that lie elsewhere, and proxies.

use clarity::image::{Digest, Platform, Reference};
use clarity::registry::scanner_image::BuiltImage;
use clarity::registry::{ForeignLayers, Image, Keyring, ProxySettings, PullError, Registry, Secret, Settings};
use serde_json::{Value, json};

use super::http::{Response, Server};
use super::real::{AMD64, ARM64, RealRegistry, Transport, image, image_for};
use super::{amd64, basic, hurried, keyring, layer_error, plain, read_layer, reference, words};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";

fn platform(architecture: &str) -> Platform {
    Platform { architecture: architecture.to_owned(), ..amd64() }
}

fn entry(image: &BuiltImage, platform: &Value) -> Value {
    json!({
        "mediaType": image.manifest.media_type,
        "digest": image.manifest.digest,
        "size": image.manifest.bytes.len(),
        "platform": platform,
    })
}

/// An index of two platforms and an attestation, under the tag `1`.
async fn two_platforms() -> (Server, Digest) {
    let images = [image_for(AMD64), image_for(ARM64)];
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [
        entry(&images[1], &json!({"os": "linux", "architecture": "arm64", "variant": "v8"})),
        entry(&images[0], &json!({"os": "linux", "architecture": "amd64"})),
        entry(&images[0], &json!({"os": "unknown", "architecture": "unknown"})),
    ]});
    let index = index.to_string().into_bytes();
    let digest = Digest::of(&index);
    let server = Server::start(move |request| {
        let name = request.target.rsplit('/').next().unwrap_or_default();
        if name == "1" || name == Digest::of(&index).as_str() {
            return Response::new(200, index.clone()).with("Content-Type", INDEX);
        }
        let contents = images.iter().flat_map(|image| [&image.manifest, &image.config, &image.layer]);
        match contents.into_iter().find(|content| content.digest.as_str() == name) {
            Some(content) => {
                Response::new(200, content.bytes.to_vec()).with("Content-Type", content.media_type)
            }
            None => Response::new(404, ""),
        }
    })
    .await;
    (server, digest)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_platform_of_the_node_is_read_from_an_index() {
    let (server, index) = two_platforms().await;
    let registry = Registry::new(plain(&server.host())).expect("set up");
    let tag = reference(&format!("{}/a:1", server.host()));
    for (architecture, machine) in [("amd64", AMD64), ("arm64", ARM64)] {
        let image = registry.image(&tag, &platform(architecture), &Keyring::new()).await.expect("there");
        let Image { index_digest, manifest_digest, config, .. } = image;
        assert_eq!(index_digest.as_ref(), Some(&index));
        assert_eq!(manifest_digest, image_for(machine).manifest.digest);
        assert_eq!(config.architecture, architecture);
    }
    let error = registry.image(&tag, &platform("s390x"), &Keyring::new()).await.expect_err("not there");
    let text = words(&error);
    assert!(
        text.ends_with("it holds no image for linux/s390x, only for linux/arm64/v8, linux/amd64"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_tells_which_config_it_names_now() {
    let (server, index) = two_platforms().await;
    let registry = Registry::new(plain(&server.host())).expect("set up");
    let tag = reference(&format!("{}/a:1", server.host()));
    let resolved = registry.resolve(&tag, &amd64(), &Keyring::new()).await.expect("there");
    assert_eq!(resolved.manifest.config.digest, image().config.digest);
    // This server announces no digest, so the index itself is read.
    assert_eq!(registry.digest_of(&tag, &Keyring::new()).await.expect("there"), index);
}

#[tokio::test(flavor = "multi_thread")]
async fn copying_an_index_takes_all_its_platforms() {
    let (server, index) = two_platforms().await;
    let real = RealRegistry::start(Transport::Plain);
    let settings = Settings { plain_http: vec![server.host(), real.host()], ..hurried() };
    let registry = Registry::new(settings).expect("set up");
    let keyring = keyring(&real.host(), basic("puller", "pa:ss"));
    let source = reference(&format!("{}/a:1", server.host()));
    let target = reference(&format!("{}/copy:1", real.host()));
    let copied = registry.copy(&source, &Keyring::new(), &target, &keyring).await.expect("copied");
    assert_eq!(copied, index);
    for architecture in ["amd64", "arm64"] {
        registry.image(&target, &platform(architecture), &keyring).await.expect("pulled from the copy");
    }
}

/// An image whose only layer is not in the registry but at an address of its own.
async fn foreign(address: &str) -> Server {
    let image = image();
    let mut manifest: Value = serde_json::from_slice(&image.manifest.bytes).expect("JSON");
    manifest["layers"][0]["urls"] = json!([address]);
    let manifest = manifest.to_string().into_bytes();
    Server::start(move |request| match request.target.as_str() {
        "/v2/a/manifests/1" => Response::new(200, manifest.clone()),
        target if target.ends_with(image.config.digest.as_str()) => {
            Response::new(200, image.config.bytes.to_vec())
        }
        _ => Response::new(404, ""),
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_cannot_make_us_ask_an_address_of_its_choice() {
    let elsewhere = Server::start(|_| Response::new(200, "x")).await;
    let server = foreign(&format!("https://{}/latest/meta-data", elsewhere.host())).await;
    let registry = Registry::new(plain(&server.host())).expect("set up");
    let image = format!("{}/a:1", server.host());
    let text = layer_error(read_layer(&registry, &image, &Keyring::new()).await);
    let end = format!("lies outside of the registry, at {}, which is not asked", elsewhere.host());
    assert!(text.ends_with(&end), "{text}");
    assert!(elsewhere.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn layers_elsewhere_are_never_fetched_in_the_clear() {
    let elsewhere = Server::start(|_| Response::new(200, "x")).await;
    let server = foreign(&format!("http://{}/layer", elsewhere.host())).await;
    let settings = Settings { foreign_layers: ForeignLayers::Fetched, ..plain(&server.host()) };
    let registry = Registry::new(settings).expect("set up");
    let image = format!("{}/a:1", server.host());
    let text = layer_error(read_layer(&registry, &image, &Keyring::new()).await);
    assert!(text.contains("lies outside of the registry"), "{text}");
    assert!(elsewhere.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_is_asked_except_for_hosts_that_are_excepted() {
    let proxy = Server::start(|_| Response::new(404, "said the proxy")).await;
    let pull = async |except: &str| {
        let settings = Settings {
            proxy: ProxySettings {
                http: Some(Secret::new(format!("http://{}", proxy.host()))),
                https: None,
                except: Some(except.to_owned()),
            },
            attempts: 1,
            ..plain("127.0.0.2:9")
        };
        let registry = Registry::new(settings).expect("set up");
        let image: Reference = reference("127.0.0.2:9/a:1");
        registry.image(&image, &amd64(), &Keyring::new()).await.expect_err("there is no such registry")
    };
    let error = pull("10.0.0.0/8").await;
    assert!(words(&error).ends_with("said the proxy"), "{}", words(&error));
    assert_eq!(proxy.seen()[0].target, "http://127.0.0.2:9/v2/a/manifests/1");
    let error = pull("127.0.0.0/8").await;
    assert!(matches!(error, PullError::Connect { .. }), "{}", words(&error));
    assert_eq!(proxy.seen().len(), 1);
}
