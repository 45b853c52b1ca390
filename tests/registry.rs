//! Images over the network: against a real registry (Debian's docker-registry, TLS, password), and against servers
//! that misbehave on purpose. Nothing leaves this machine.

#[path = "registry/artifact.rs"]
mod artifact;
#[path = "registry/certificates.rs"]
mod certificates;
#[path = "registry/command.rs"]
mod command;
#[path = "registry/crash.rs"]
mod crash;
#[path = "registry/database.rs"]
mod database;
#[path = "registry/explanation.rs"]
mod explanation;
#[path = "registry/fault.rs"]
mod fault;
#[path = "registry/fetch.rs"]
mod fetch;
#[path = "registry/http.rs"]
mod http;
#[path = "registry/identity.rs"]
mod identity;
#[path = "registry/index.rs"]
mod index;
#[path = "registry/long.rs"]
mod long;
#[path = "registry/many.rs"]
mod many;
#[path = "registry/mirrors.rs"]
mod mirrors;
#[path = "registry/proxy.rs"]
mod proxy;
#[path = "registry/real.rs"]
mod real;
#[path = "registry/scanner.rs"]
mod scanner;
#[path = "registry/tokens.rs"]
mod tokens;

use std::io::Read as _;
use std::time::Duration;

use clarity::image::{Platform, Reference};
use clarity::registry::{Credential, Keyring, PullError, Registry, Secret, Settings};

/// Settings that lose no time between attempts.
fn hurried() -> Settings {
    Settings {
        backoff: Duration::from_millis(2),
        read_timeout: Duration::from_millis(500),
        answer_timeout: Duration::from_secs(5),
        ..Settings::default()
    }
}

fn plain(host: &str) -> Settings {
    Settings { plain_http: vec![host.to_owned()], ..hurried() }
}

fn basic(username: &str, password: &str) -> Credential {
    Credential::Basic { username: username.to_owned(), password: Secret::new(password) }
}

fn keyring(host: &str, credential: Credential) -> Keyring {
    let mut keyring = Keyring::new();
    keyring.add_entry("secret \"pull\"", host, credential);
    keyring
}

fn reference(text: &str) -> Reference {
    text.parse().expect("a reference")
}

fn amd64() -> Platform {
    Platform { os: "linux".to_owned(), architecture: "amd64".to_owned(), variant: None }
}

/// An error with all its causes, as the command line shows it.
fn words(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

/// Reads a layer through the adapter for threads.
async fn read_layer(registry: &Registry, image: &str, keyring: &Keyring) -> Result<Vec<u8>, std::io::Error> {
    let reference = reference(image);
    let image = registry.image(&reference, &amd64(), keyring).await.expect("the image itself is sound");
    let runtime = tokio::runtime::Handle::current();
    let mut reader =
        registry.blob_reader(&runtime, &reference.repository, &image.layers[0].descriptor, keyring);
    tokio::task::spawn_blocking(move || {
        let mut content = Vec::new();
        reader.read_to_end(&mut content).map(|_| content)
    })
    .await
    .expect("no panic")
}

/// The error that a layer's reader gave, out of its wrapping.
fn layer_error(result: Result<Vec<u8>, std::io::Error>) -> String {
    let error = result.expect_err("the layer cannot be read");
    words(PullError::from_io(&error).expect("carries the pull error"))
}
