use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use clarity::registry::{Keyring, Registry, Settings};

use super::super::http::{Response, Server};
use super::super::{amd64, reference};
use super::{client, path, pull, registry, settings, token_file};

const HOST: &str = "europe-docker.pkg.dev";

/// What the metadata server gives.
pub(super) fn token(token: &str, expires_in: u64) -> Response {
    let body = serde_json::json!({"access_token": token, "expires_in": expires_in, "token_type": "Bearer"});
    Response::new(200, body.to_string())
}

/// A metadata server that gives another token each time: `token 1`, `token 2` …
async fn metadata(expires_in: u64) -> (Server, Arc<AtomicU32>) {
    let given = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&given);
    let server = Server::start(move |request| {
        if request.header("metadata-flavor") != Some("Google") {
            return Response::new(403, "no flavor");
        }
        token(&format!("token {}", counter.fetch_add(1, Ordering::SeqCst) + 1), expires_in)
    })
    .await;
    (server, given)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_ends_in_the_middle_of_a_pull_is_renewed() {
    let (metadata, given) = metadata(2).await;
    let front =
        registry(move |pair| pair == format!("oauth2accesstoken:token {}", given.load(Ordering::SeqCst))).await;
    let client = client(HOST, &front, &[("GCE_METADATA_HOST", &metadata.host())]);
    let reference = reference(&format!("{HOST}/shop/cart:1"));
    let keyring = Keyring::new();
    let image = client.image(&reference, &amd64(), &keyring).await.expect("pulled");
    assert_eq!(metadata.seen().len(), 1);
    tokio::time::sleep(Duration::from_millis(1600)).await;
    let asked = front.seen().len();
    let mut layer = client.blob(&reference.repository, &image.layers[0].descriptor, &keyring);
    while layer.chunk().await.expect("read").is_some() {}
    assert_eq!(metadata.seen().len(), 2);
    assert_eq!(front.seen().len(), asked + 1, "it goes with the new token at once");
    assert_eq!(metadata.seen()[0].target, "/computeMetadata/v1/instance/service-accounts/default/token");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_images_at_once_fetch_one_token() {
    let (metadata, _) = metadata(3600).await;
    let front = registry(|pair| pair == "oauth2accesstoken:token 1").await;
    let client = client(HOST, &front, &[("GCE_METADATA_HOST", &metadata.host())]);
    let images: Vec<_> = (0..20).map(|n| reference(&format!("{HOST}/shop/cart-{n}:1"))).collect();
    let (platform, keyring) = (amd64(), Keyring::new());
    let pulls = images.iter().map(|image| client.image(image, &platform, &keyring));
    assert!(futures::future::join_all(pulls).await.iter().all(Result::is_ok));
    assert_eq!(metadata.seen().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_the_registry_does_not_take_is_renewed_once() {
    let (first, _) = metadata(3600).await;
    let front = registry(|pair| pair == "oauth2accesstoken:token 2").await;
    let client_of_first = client(HOST, &front, &[("GCE_METADATA_HOST", &first.host())]);
    pull(&client_of_first, HOST).await.expect("pulled");
    assert_eq!(first.seen().len(), 2);

    let (second, _) = metadata(3600).await;
    let closed = Server::start(|request| match request.header("authorization") {
        Some(_) => Response::new(403, r#"{"errors":[{"code":"DENIED","message":"no permission"}]}"#),
        None => super::wants_password(),
    })
    .await;
    let client = client(HOST, &closed, &[("GCE_METADATA_HOST", &second.host())]);
    let error = pull(&client, HOST).await.expect_err("refused");
    assert_eq!(
        error,
        format!(
            "{HOST} refused the credentials of the cloud identity (the account that the metadata server at {} knows) \
             for {HOST}/shop/cart: it answered 403 Forbidden: DENIED: no permission",
            second.host()
        )
    );
    assert_eq!(second.seen().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_external_account_exchanges_the_token_of_another_issuer() {
    let front = registry(|pair| pair == "oauth2accesstoken:of the account").await;
    let google = Server::start(|request| {
        let body = String::from_utf8_lossy(&request.body);
        if request.target == "/v1/token" && body.ends_with("subject_token=of+the+pod") {
            return token("federated", 3600);
        }
        if request.target == "/account:generateAccessToken"
            && request.header("authorization") == Some("Bearer federated")
        {
            let body = r#"{"accessToken":"of the account","expireTime":"2099-01-01T00:00:00Z"}"#;
            return Response::new(200, body);
        }
        Response::new(400, r#"{"error":"invalid_grant","error_description":"no such token"}"#)
    })
    .await;
    let pods = token_file(r#"{"token": "of the pod"}"#);
    let address = format!("http://{}", google.host());
    let configuration = serde_json::json!({
        "type": "external_account", "audience": "//iam.googleapis.com/pool", "token_url": format!("{address}/v1/token"),
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "service_account_impersonation_url": format!("{address}/account:generateAccessToken"),
        "credential_source": {"file": path(&pods), "format": {"type": "json", "subject_token_field_name": "token"}},
    });
    let file = token_file(&configuration.to_string());
    let variables = [("GOOGLE_APPLICATION_CREDENTIALS", path(&file))];
    let plain_http = vec![HOST.to_owned(), google.host()];
    let settings = || settings(HOST, &front, &variables);
    let pod = Registry::new(Settings { plain_http, ..settings() }).expect("set up");
    pull(&pod, HOST).await.expect("pulled");

    let strict = Registry::new(settings()).expect("set up");
    let error = pull(&strict, HOST).await.expect_err("refused");
    let reason = "GOOGLE_APPLICATION_CREDENTIALS names an address that is not asked over TLS";
    assert!(error.contains(reason), "{error}");
    assert_eq!(google.seen().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_metadata_server_that_is_busy_is_asked_again() {
    let times = AtomicU32::new(0);
    let metadata = Server::start(move |_| match times.fetch_add(1, Ordering::SeqCst) {
        0 | 1 => Response::new(503, "busy"),
        _ => token("good", 3600),
    })
    .await;
    let front = registry(|pair| pair == "oauth2accesstoken:good").await;
    let client = client(HOST, &front, &[("GCE_METADATA_HOST", &metadata.host())]);
    pull(&client, HOST).await.expect("pulled");
    assert_eq!(metadata.seen().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_without_end_is_no_token() {
    let metadata = Server::start(|_| Response::new(200, vec![b' '; 1 << 20])).await;
    let front = registry(|_| false).await;
    let client = client(HOST, &front, &[("GCE_METADATA_HOST", &metadata.host())]);
    let error = pull(&client, HOST).await.expect_err("refused");
    let reason = format!("the metadata server at {} sent more than a credential has", metadata.host());
    assert!(error.contains(&reason), "{error}");
}
