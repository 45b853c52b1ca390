//! A registry with a token service, and a store for blobs on another host.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clarity::registry::{Credential, Keyring, PullError, Registry, Secret, Settings};

use super::fault::{offset, partial};
use super::http::{Request, Response, Server};
use super::real::image;
use super::{amd64, basic, hurried, keyring, layer_error, read_layer, reference, words};

/// A token service that knows `puller` with password `pa:ss`, and the refresh token `refresh`.
async fn token_service() -> Server {
    Server::start(|request| {
        let login = format!("Basic {}", STANDARD.encode("puller:pa:ss"));
        let by_password = request.method == "GET" && request.header("authorization") == Some(login.as_str());
        let form = String::from_utf8_lossy(&request.body);
        let by_refresh = request.method == "POST" && form.contains("refresh_token=refresh&");
        if by_refresh {
            return Response::new(200, r#"{"access_token": "good", "expires_in": 300}"#);
        }
        if by_password {
            return Response::new(200, r#"{"token": "good", "expires_in": 300}"#);
        }
        Response::new(401, r#"{"details": "incorrect user name or password"}"#)
    })
    .await
}

/// A registry that wants a token of the service and keeps its blobs in the store.
async fn registry(service: &Server, store: &Server) -> Server {
    let (realm, store) = (format!("http://{}/token?x=1", service.host()), store.host());
    let image = image();
    Server::start(move |request| {
        if request.header("authorization") != Some("Bearer good") {
            let challenge = format!(
                r#"Negotiate, Bearer realm="{realm}",service="a, registry",scope="repository:shop/cart:pull""#
            );
            let body = r#"{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}"#;
            return Response::new(401, body).with("WWW-Authenticate", challenge);
        }
        if request.target.contains("/manifests/") {
            return Response::new(200, image.manifest.bytes.to_vec())
                .with("Content-Type", image.manifest.media_type);
        }
        if request.target.ends_with(image.config.digest.as_str()) {
            return Response::new(200, image.config.bytes.to_vec());
        }
        Response::new(307, "").with("Location", format!("http://{store}/signed?key=secret-key"))
    })
    .await
}

async fn store() -> Server {
    let layer = image().layer.bytes;
    Server::start(move |_| Response::new(200, layer.to_vec())).await
}

fn settings(servers: &[&Server]) -> Settings {
    Settings { plain_http: servers.iter().map(|server| server.host()).collect(), ..hurried() }
}

fn authorizations(requests: &[Request]) -> Vec<Option<String>> {
    requests.iter().map(|request| request.header("authorization").map(ToOwned::to_owned)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_token_serves_all_requests_and_no_credential_leaves_for_the_store() {
    let (service, store) = (token_service().await, store().await);
    let front = registry(&service, &store).await;
    let client = Registry::new(settings(&[&front, &service, &store])).expect("set up");
    let keyring = keyring(&front.host(), basic("puller", "pa:ss"));
    let tag = format!("{}/shop/cart:1", front.host());
    assert_eq!(read_layer(&client, &tag, &keyring).await.expect("read"), image().layer.bytes);

    assert_eq!(authorizations(&store.seen()), [None], "the store sees no credential");
    let asked = service.seen();
    assert_eq!(asked.len(), 1, "one token for manifest, config and layer: {asked:?}");
    assert_eq!(asked[0].target, "/token?x=1&service=a%2C+registry&scope=repository%3Ashop%2Fcart%3Apull");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_requests_at_once_fetch_one_token() {
    let (service, store) = (token_service().await, store().await);
    let front = registry(&service, &store).await;
    let client = Registry::new(settings(&[&front, &service, &store])).expect("set up");
    let keyring = keyring(&front.host(), basic("puller", "pa:ss"));
    let image = reference(&format!("{}/shop/cart:1", front.host()));
    let platform = amd64();
    let pulls = (0..20).map(|_| client.image(&image, &platform, &keyring));
    assert!(futures::future::join_all(pulls).await.iter().all(Result::is_ok));
    assert_eq!(service.seen().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_token_is_exchanged_by_post() {
    let (service, store) = (token_service().await, store().await);
    let front = registry(&service, &store).await;
    let client = Registry::new(settings(&[&front, &service, &store])).expect("set up");
    let keyring = keyring(&front.host(), Credential::IdentityToken(Secret::new("refresh")));
    let image = reference(&format!("{}/shop/cart:1", front.host()));
    client.image(&image, &amd64(), &keyring).await.expect("pulled");
    let form = String::from_utf8(service.seen()[0].body.clone()).expect("text");
    assert_eq!(
        form,
        "grant_type=refresh_token&client_id=kubectl-clarity&refresh_token=refresh\
         &scope=repository%3Ashop%2Fcart%3Apull&service=a%2C+registry"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_token_goes_to_the_registry_as_it_is() {
    let (service, store) = (token_service().await, store().await);
    let front = registry(&service, &store).await;
    let client = Registry::new(settings(&[&front, &service, &store])).expect("set up");
    let keyring = keyring(&front.host(), Credential::RegistryToken(Secret::new("good")));
    let image = reference(&format!("{}/shop/cart:1", front.host()));
    client.image(&image, &amd64(), &keyring).await.expect("pulled");
    assert!(service.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_words_of_the_token_service_reach_the_person() {
    let (service, store) = (token_service().await, store().await);
    let front = registry(&service, &store).await;
    let client = Registry::new(settings(&[&front, &service, &store])).expect("set up");
    let host = front.host();
    let image = reference(&format!("{host}/shop/cart:1"));
    let error = client.image(&image, &amd64(), &keyring(&host, basic("puller", "no"))).await.expect_err("no");
    assert_eq!(
        words(&error),
        format!(
            "the token service {} gave no token for {host}/shop/cart and the credentials of \
             secret \"pull\" (entry \"{host}\"): it answered 401 Unauthorized: incorrect user name or password",
            service.host()
        )
    );
    let error = client.image(&image, &amd64(), &Keyring::new()).await.expect_err("nobody in particular");
    assert!(matches!(error, PullError::NoCredential { .. }), "{}", words(&error));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_registry_says_about_our_secrets_is_not_shown() {
    let login = STANDARD.encode("puller:hunter2");
    let parrot = Server::start(|request| {
        let echo = format!("you said {:?} and I say no to hunter2", request.header("authorization"));
        Response::new(401, echo).with("WWW-Authenticate", "Basic realm=\"r\"")
    })
    .await;
    let client = Registry::new(settings(&[&parrot])).expect("set up");
    let keyring = keyring(&parrot.host(), basic("puller", "hunter2"));
    let image = reference(&format!("{}/a:1", parrot.host()));
    let error = client.image(&image, &amd64(), &keyring).await.expect_err("refused");
    let shown = format!("{} {error:?} {keyring:?} {client:?}", words(&error));
    assert!(shown.contains("you said") && !shown.contains("hunter2") && !shown.contains(&login), "{shown}");
    assert_eq!(parrot.seen().len(), 2, "a wrong password is shown once only");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_to_something_that_is_not_http_is_not_followed() {
    let elsewhere = Server::start(|_| Response::new(302, "").with("Location", "file:///etc/passwd")).await;
    let client = Registry::new(settings(&[&elsewhere])).expect("set up");
    let image = reference(&format!("{}/a:1", elsewhere.host()));
    let error = client.image(&image, &amd64(), &Keyring::new()).await.expect_err("not followed");
    assert!(matches!(error, PullError::Protocol { .. }), "{}", words(&error));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_asks_who_we_are_gets_an_anonymous_token_and_nothing_else() {
    let service = token_service().await;
    let anonymous = Server::start(|_| Response::new(200, r#"{"token": "visitor"}"#)).await;
    let realm = format!("http://{}/token", anonymous.host());
    let layer = image().layer.bytes;
    let store = Server::start(move |request| match request.header("authorization") {
        Some("Bearer visitor") => Response::new(200, layer.to_vec()),
        _ => Response::new(401, "").with(
            "WWW-Authenticate",
            format!(r#"Bearer realm="{realm}",service="store",scope="repository:cold/cart:pull""#),
        ),
    })
    .await;
    let front = registry(&service, &store).await;
    let client = Registry::new(settings(&[&front, &service, &store, &anonymous])).expect("set up");
    let keyring = keyring(&front.host(), basic("puller", "pa:ss"));
    let tag = format!("{}/shop/cart:1", front.host());
    assert_eq!(read_layer(&client, &tag, &keyring).await.expect("read"), image().layer.bytes);

    assert_eq!(authorizations(&store.seen()), [None, Some("Bearer visitor".to_owned())]);
    assert_eq!(authorizations(&anonymous.seen()), [None]);
    assert_eq!(anonymous.seen()[0].target, "/token?service=store&scope=repository%3Acold%2Fcart%3Apull");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_lets_nobody_in_is_asked_once_with_a_token() {
    let service = token_service().await;
    let anonymous = Server::start(|_| Response::new(200, r#"{"token": "visitor"}"#)).await;
    let realm = format!("http://{}/token", anonymous.host());
    let store = Server::start(move |_| {
        Response::new(401, "closed").with("WWW-Authenticate", format!(r#"Bearer realm="{realm}""#))
    })
    .await;
    let front = registry(&service, &store).await;
    let client = Registry::new(settings(&[&front, &service, &store, &anonymous])).expect("set up");
    let keyring = keyring(&front.host(), basic("puller", "pa:ss"));
    let text = layer_error(read_layer(&client, &format!("{}/shop/cart:1", front.host()), &keyring).await);
    assert!(text.contains(&store.host()) && text.contains("401") && text.contains("closed"), "{text}");
    assert_eq!((store.seen().len(), anonymous.seen().len()), (2, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_ends_in_the_middle_of_a_layer_is_replaced_and_the_layer_gone_on_with() {
    let issued = Arc::new(AtomicUsize::new(0));
    let counting = Arc::clone(&issued);
    let service = Server::start(move |_| {
        let number = counting.fetch_add(1, Ordering::SeqCst);
        Response::new(200, format!(r#"{{"token": "token-{number}", "expires_in": 300}}"#))
    })
    .await;
    let realm = format!("http://{}/token", service.host());
    let (image, valid) = (image(), Arc::clone(&issued));
    let front = Server::start(move |request| {
        let newest = format!("Bearer token-{}", valid.load(Ordering::SeqCst).saturating_sub(1));
        if request.header("authorization") != Some(newest.as_str()) {
            return Response::new(401, "").with("WWW-Authenticate", format!(r#"Bearer realm="{realm}""#));
        }
        if request.target.contains("/manifests/") {
            return Response::new(200, image.manifest.bytes.to_vec())
                .with("Content-Type", image.manifest.media_type);
        }
        if request.target.ends_with(image.config.digest.as_str()) {
            return Response::new(200, image.config.bytes.to_vec());
        }
        let mut response = partial(request, &image.layer.bytes);
        if offset(request) == 0 {
            // With the connection the token ends.
            valid.fetch_add(1, Ordering::SeqCst);
            response.cut_at = Some(100_000);
        }
        response
    })
    .await;
    let client = Registry::new(settings(&[&front, &service])).expect("set up");
    let keyring = keyring(&front.host(), basic("puller", "pa:ss"));
    let tag = format!("{}/shop/cart:1", front.host());
    let layer = super::real::image().layer.bytes;
    assert_eq!(read_layer(&client, &tag, &keyring).await.expect("read"), layer);
    assert_eq!(service.seen().len(), 2, "one token at first, and one in the middle");
    let layers = front.asked_for("/v2/shop/cart/blobs").into_iter().skip(1);
    assert_eq!(layers.map(|request| offset(&request)).collect::<Vec<_>>(), [0, 100_000, 100_000]);
}
