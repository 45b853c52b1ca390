use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clarity::registry::{Registry, Settings};

use super::super::http::{Request, Response, Server};
use super::{client, content, path, pull, settings, token_file};

const HOST: &str = "shop.azurecr.io";

/// A registry that exchanges the token `entra` for a refresh token, gives tokens for that, and lets them in.
async fn registry() -> Server {
    Server::start(|request| {
        let body = String::from_utf8_lossy(&request.body).into_owned();
        if request.target.ends_with("/oauth2/exchange") {
            let sent = |pair: &str| body.split('&').any(|part| part == pair);
            let right = sent("access_token=entra") && sent("service=shop.azurecr.io");
            if right {
                return Response::new(200, format!(r#"{{"refresh_token":"{}"}}"#, refresh_token()));
            }
            let body = r#"{"errors":[{"code":"UNAUTHORIZED","message":"entra2 has no rights"}]}"#;
            return Response::new(401, body);
        }
        if request.target.ends_with("/oauth2/token") && body.contains(&refresh_token()) {
            return Response::new(200, r#"{"access_token":"good","expires_in":300}"#);
        }
        if request.header("authorization") == Some("Bearer good") {
            return content(request);
        }
        let challenge = r#"Bearer realm="http://shop.azurecr.io/oauth2/token",service="shop.azurecr.io""#;
        Response::new(401, "").with("WWW-Authenticate", challenge)
    })
    .await
}

fn refresh_token() -> String {
    format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(r#"{"exp":4070908800}"#))
}

fn form(request: &Request) -> String {
    String::from_utf8(request.body.clone()).expect("text")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workload_identity_reads_an_image_of_its_registry() {
    let front = registry().await;
    let entra = Server::start(|_| Response::new(200, r#"{"access_token":"entra","expires_in":3599}"#)).await;
    let token = token_file("assertion");
    let authority = format!("http://{}/", entra.host());
    let variables = [
        ("AZURE_CLIENT_ID", "client-1"),
        ("AZURE_TENANT_ID", "tenant-1"),
        ("AZURE_FEDERATED_TOKEN_FILE", path(&token)),
        ("AZURE_AUTHORITY_HOST", &authority),
    ];
    // A token goes in the clear only where that was allowed.
    let strict = client(HOST, &front, &variables);
    let error = pull(&strict, HOST).await.expect_err("refused");
    assert!(error.contains("AZURE_AUTHORITY_HOST speaks plain HTTP, and no token is sent that way"), "{error}");
    assert!(entra.seen().is_empty());

    let plain_http = vec![HOST.to_owned(), entra.host()];
    let client = Registry::new(Settings { plain_http, ..settings(HOST, &front, &variables) }).expect("set up");
    pull(&client, HOST).await.expect("pulled");
    let [asked]: [Request; 1] = entra.seen().try_into().expect("one request");
    assert_eq!(asked.target, "/tenant-1/oauth2/v2.0/token");
    assert_eq!(
        form(&asked),
        "grant_type=client_credentials&client_id=client-1\
         &scope=https%3A%2F%2Fcontainerregistry.azure.net%2F.default\
         &client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer\
         &client_assertion=assertion"
    );
    let [exchange]: [Request; 1] =
        front.asked_for("http://shop.azurecr.io/oauth2/exchange").try_into().expect("one exchange");
    assert_eq!(
        form(&exchange),
        "grant_type=access_token&service=shop.azurecr.io&access_token=entra&tenant=tenant-1"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_managed_identity_of_a_client_reads_an_image() {
    let front = registry().await;
    let instance = Server::start(|request| match request.header("metadata") {
        Some("true") => Response::new(200, r#"{"access_token":"entra","expires_in":"3599"}"#),
        _ => Response::new(400, ""),
    })
    .await;
    let address = format!("http://{}", instance.host());
    let client = client(
        HOST,
        &front,
        &[("AZURE_POD_IDENTITY_AUTHORITY_HOST", &address), ("AZURE_CLIENT_ID", "client-1")],
    );
    pull(&client, HOST).await.expect("pulled");
    assert_eq!(
        instance.seen()[0].target,
        "/metadata/identity/oauth2/token?api-version=2018-02-01\
         &resource=https%3A%2F%2Fcontainerregistry.azure.net&client_id=client-1"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_does_not_know_the_identity_is_asked_anonymously_and_quoted_without_the_token() {
    let front = registry().await;
    let instance = Server::start(|_| Response::new(200, r#"{"access_token":"entra2"}"#)).await;
    let address = format!("http://{}", instance.host());
    let client = client(HOST, &front, &[("AZURE_POD_IDENTITY_AUTHORITY_HOST", &address)]);
    let error = pull(&client, HOST).await.expect_err("refused");
    assert!(
        error.contains(
            "no credential matches shop.azurecr.io/shop/cart; and there is no cloud identity: the registry at \
             shop.azurecr.io gave nothing for the managed identity of the node by 127.0.0.1:"
        ),
        "{error}"
    );
    assert!(error.contains("UNAUTHORIZED: (secret) has no rights"), "{error}");
}
