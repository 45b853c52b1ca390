//! A registry that breaks in every way that networks and other people's servers do.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use clarity::registry::scanner_image::BuiltImage;
use clarity::registry::{Keyring, PullError, Registry, Settings};

use super::http::{Request, Response, Server};
use super::real::image;
use super::{amd64, layer_error, plain, read_layer, reference, words};

/// Serves an image; the layer as the given function wants it, which is told how often it was asked before.
async fn serving(
    image: &BuiltImage,
    layer: impl Fn(&Request, usize, &[u8]) -> Response + Send + Sync + 'static,
) -> Server {
    let image = image.clone();
    let asked = Arc::new(AtomicUsize::new(0));
    Server::start(move |request| {
        let is = |digest: &clarity::image::Digest| request.target.ends_with(digest.as_str());
        if request.target.contains("/manifests/") {
            return Response::new(200, image.manifest.bytes.to_vec())
                .with("Content-Type", image.manifest.media_type);
        }
        if is(&image.config.digest) {
            return Response::new(200, image.config.bytes.to_vec());
        }
        layer(request, asked.fetch_add(1, Ordering::SeqCst), &image.layer.bytes)
    })
    .await
}

/// Where a request wants to go on.
pub(crate) fn offset(request: &Request) -> usize {
    let range = request.header("range").and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-'));
    range.map_or(0, |at| at.parse().expect("a number"))
}

/// The rest of a layer from where it was asked for.
pub(crate) fn partial(request: &Request, layer: &[u8]) -> Response {
    let at = offset(request);
    let response = Response::new(if at == 0 { 200 } else { 206 }, &layer[at..]);
    let end = layer.len();
    response.with("Content-Range", format!("bytes {at}-{}/{end}", end - 1))
}

async fn layer_of(server: &Server) -> Result<Vec<u8>, std::io::Error> {
    let registry = Registry::new(plain(&server.host())).expect("set up");
    read_layer(&registry, &format!("{}/shop/cart:1", server.host()), &Keyring::new()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_layer_is_resumed_where_the_connection_broke_and_each_byte_read_once() {
    let image = image();
    let server = serving(&image, |request, _, layer| {
        let mut response = partial(request, layer);
        response.cut_at = Some(100_000);
        response
    })
    .await;
    assert_eq!(layer_of(&server).await.expect("read"), image.layer.bytes);
    let offsets: Vec<usize> = server.asked_for("/v2/shop/cart/blobs").iter().skip(1).map(offset).collect();
    let wanted: Vec<usize> = (0..image.layer.bytes.len()).step_by(100_000).collect();
    assert_eq!(offsets, wanted);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_ranges_starts_again_and_nothing_is_delivered_twice() {
    let image = image();
    let server = serving(&image, |_, asked, layer| {
        let mut response = Response::new(200, layer);
        response.cut_at = (asked < 2).then_some(150_000 * (asked + 1));
        response
    })
    .await;
    assert_eq!(layer_of(&server).await.expect("read"), image.layer.bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_breaks_without_end_is_given_up() {
    let server = serving(&image(), |request, _, layer| {
        let mut response = partial(request, layer);
        response.cut_at = Some(10);
        response
    })
    .await;
    let text = layer_error(layer_of(&server).await);
    assert!(
        text.starts_with(&format!("the connection to {} broke while it sent layer", server.host())),
        "{text}"
    );
    assert_eq!(server.asked_for("/v2/shop/cart/blobs").len(), 1 + 6, "the config, and the layer six times");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_falls_silent_is_left_in_time() {
    let server = serving(&image(), |request, _, layer| {
        let mut response = partial(request, layer);
        (response.cut_at, response.stall) = (Some(10), true);
        response
    })
    .await;
    let settings = Settings { read_timeout: Duration::from_millis(30), resumes: 1, ..plain(&server.host()) };
    let registry = Registry::new(settings).expect("set up");
    let image = format!("{}/shop/cart:1", server.host());
    let text = layer_error(read_layer(&registry, &image, &Keyring::new()).await);
    assert!(text.starts_with(&format!("{} did not send layer sha256:", server.host())), "{text}");
    assert!(text.ends_with("in time"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_layer_is_an_error_in_place_of_its_end() {
    let server = serving(&image(), |_, _, layer| {
        let mut damaged = layer.to_vec();
        damaged[1000] ^= 1;
        Response::new(200, damaged)
    })
    .await;
    let text = layer_error(layer_of(&server).await);
    assert!(text.contains("is damaged: what came has the digest sha256:"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_layer_of_another_length_than_promised_is_an_error() {
    let server = serving(&image(), |_, _, layer| Response::new(200, [layer, b"more"].concat())).await;
    let size = image().layer.bytes.len();
    let text = layer_error(layer_of(&server).await);
    assert!(text.ends_with(&format!("it should have {size} bytes and has {}", size + 4)), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_that_is_not_what_its_digest_says_is_refused() {
    let server = serving(&image(), |_, _, _| Response::new(404, "")).await;
    let registry = Registry::new(plain(&server.host())).expect("set up");
    let other = clarity::image::Digest::of(b"other");
    let image = reference(&format!("{}/a@{other}", server.host()));
    let error = registry.image(&image, &amd64(), &Keyring::new()).await.expect_err("another manifest");
    assert!(matches!(error, PullError::DigestMismatch { .. }), "{}", words(&error));
}

#[tokio::test(flavor = "multi_thread")]
async fn busy_servers_are_asked_again_when_they_said() {
    let image = image();
    let server = serving(&image, |request, asked, layer| match asked {
        0 => Response::new(429, "slow down").with("Retry-After", "0"),
        1 => Response::new(503, "one moment"),
        _ => partial(request, layer),
    })
    .await;
    assert_eq!(layer_of(&server).await.expect("read"), image.layer.bytes);
    let text = {
        let busy = serving(&image, |_, _, _| Response::new(429, "enough").with("Retry-After", "3600")).await;
        layer_error(layer_of(&busy).await)
    };
    assert!(text.contains("and it asks to wait 3600 s: it answered 429 Too Many Requests: enough"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_without_end_are_cut_off() {
    let server = Server::start(|request| match request.target.as_str() {
        "/v2/large/manifests/1" => Response::new(200, vec![b' '; 5 * 1024 * 1024]),
        _ => Response::new(400, vec![b'x'; 1024 * 1024]),
    })
    .await;
    let registry = Registry::new(plain(&server.host())).expect("set up");
    let error = |name: &str| {
        let (registry, image) = (registry.clone(), reference(&format!("{}/{name}:1", server.host())));
        async move { words(&registry.image(&image, &amd64(), &Keyring::new()).await.expect_err("too much")) }
    };
    assert!(error("large").await.ends_with("is larger than 4194304 bytes"));
    assert!(error("wordy").await.chars().count() < 500);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_where_nobody_listens_is_said_to_be_out_of_reach() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let host = silent.local_addr().expect("an address").to_string();
    drop(silent);
    let registry = Registry::new(plain(&host)).expect("set up");
    let image = reference(&format!("{host}/a:1"));
    let error = registry.image(&image, &amd64(), &Keyring::new()).await.expect_err("nobody there");
    assert!(words(&error).starts_with(&format!("cannot reach {host} for {host}/a: ")), "{}", words(&error));
    assert!(words(&error).contains("onnection refused"), "{}", words(&error));
}
