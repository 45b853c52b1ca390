//! Identities in clouds. What a cloud would answer comes from moto where it knows it, and from fakes that speak its protocol;
//! registries stand behind the clouds' own host names, since the client is told that they are the proxy.

#[path = "identity/aws.rs"]
mod aws;
#[path = "identity/azure.rs"]
mod azure;
#[path = "identity/google.rs"]
mod google;
#[path = "identity/moto.rs"]
mod moto;

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clarity::registry::{IdentitySettings, ProxySettings, Registry, Secret, Settings};

use super::http::{Request, Response, Server};
use super::real::image;
use super::{amd64, basic, hurried, keyring, reference, words};

/// A registry that lets in whoever shows one of these passwords, by basic authentication.
async fn registry(allows: impl Fn(&str) -> bool + Send + Sync + 'static) -> Server {
    Server::start(move |request| {
        let shown = request.header("authorization").and_then(|value| value.strip_prefix("Basic "));
        let shown = shown.and_then(|value| String::from_utf8(STANDARD.decode(value).ok()?).ok());
        if shown.is_some_and(|pair| allows(&pair)) { content(request) } else { wants_password() }
    })
    .await
}

fn wants_password() -> Response {
    let body = r#"{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}"#;
    Response::new(401, body).with("WWW-Authenticate", r#"Basic realm="the registry""#)
}

/// The manifest, config or layer that is asked for.
fn content(request: &Request) -> Response {
    let image = image();
    if request.target.contains("/manifests/") {
        let manifest = Response::new(200, image.manifest.bytes.to_vec());
        return manifest.with("Content-Type", image.manifest.media_type);
    }
    if request.target.ends_with(image.config.digest.as_str()) {
        return Response::new(200, image.config.bytes.to_vec());
    }
    Response::new(200, image.layer.bytes.to_vec())
}

/// Settings by which the server is the registry of that name, and these variables are set.
fn settings(host: &str, registry: &Server, variables: &[(&str, &str)]) -> Settings {
    let proxy = Secret::new(format!("http://{}", registry.host()));
    let set = |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
    Settings {
        plain_http: vec![host.to_owned()],
        proxy: ProxySettings { http: Some(proxy), except: Some("127.0.0.1".to_owned()), https: None },
        identity: IdentitySettings::from_variables(set),
        ..hurried()
    }
}

fn client(host: &str, registry: &Server, variables: &[(&str, &str)]) -> Registry {
    Registry::new(settings(host, registry, variables)).expect("set up")
}

fn token_file(token: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    writeln!(file, "{token}").expect("written");
    file
}

fn path(file: &tempfile::NamedTempFile) -> &str {
    file.path().to_str().expect("text")
}

async fn pull(client: &Registry, host: &str) -> Result<(), String> {
    let image = reference(&format!("{host}/shop/cart:1"));
    let pulled = client.image(&image, &amd64(), &clarity::registry::Keyring::new()).await;
    pulled.map(drop).map_err(|error| words(&error))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_secret_comes_before_the_identity_which_is_then_not_asked_for() {
    let front = registry(|pair| pair == "puller:secret").await;
    let metadata = Server::start(|_| Response::new(500, "")).await;
    let host = "eu.gcr.io";
    let client = client(host, &front, &[("GCE_METADATA_HOST", &metadata.host())]);
    let image = reference("eu.gcr.io/shop/cart:1");
    client.image(&image, &amd64(), &keyring(host, basic("puller", "secret"))).await.expect("pulled");
    assert!(metadata.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_identity_comes_after_a_pull_secret_that_is_refused() {
    let front = registry(|pair| pair == "oauth2accesstoken:good").await;
    let metadata = Server::start(|_| google::token("good", 3600)).await;
    let client = client("eu.gcr.io", &front, &[("GCE_METADATA_HOST", &metadata.host())]);
    let image = reference("eu.gcr.io/shop/cart:1");
    client.image(&image, &amd64(), &keyring("eu.gcr.io", basic("old", "old"))).await.expect("pulled");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_pull_secret_and_a_missing_identity_are_told_together() {
    let front = registry(|_| false).await;
    let metadata = Server::start(|_| Response::new(404, "no account")).await;
    let client = client("eu.gcr.io", &front, &[("GCE_METADATA_HOST", &metadata.host())]);
    let keyring = keyring("eu.gcr.io", basic("old", "old"));
    let image = reference("eu.gcr.io/shop/cart:1");
    let error = client.image(&image, &amd64(), &keyring).await.expect_err("refused");
    let expected = format!(
        "eu.gcr.io refused the credentials of secret \"pull\" (entry \"eu.gcr.io\") for eu.gcr.io/shop/cart; and there \
         is no cloud identity: the metadata server at {} gave nothing for this pod: it answered 404 Not Found: no account",
        metadata.host()
    );
    assert!(words(&error).starts_with(&expected), "{}", words(&error));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_identity_is_asked_for_unless_it_is_wanted_or_for_a_registry_of_no_cloud() {
    let front = registry(|_| false).await;
    let metadata = Server::start(|_| google::token("good", 3600)).await;
    let laptop = Settings {
        identity: IdentitySettings::default(),
        ..settings("eu.gcr.io", &front, &[("GCE_METADATA_HOST", &metadata.host())])
    };
    let laptop = Registry::new(laptop).expect("set up");
    let error = pull(&laptop, "eu.gcr.io").await.expect_err("refused");
    assert!(error.starts_with("no credential matches eu.gcr.io/shop/cart: it answered 401"), "{error}");

    let pod = client("eu.gcr.io.evil.test", &front, &[("GCE_METADATA_HOST", &metadata.host())]);
    pull(&pod, "eu.gcr.io.evil.test").await.expect_err("refused");
    assert!(pod.identity(&reference("eu.gcr.io.evil.test/a").repository).await.is_none());
    assert!(metadata.seen().is_empty());
}
