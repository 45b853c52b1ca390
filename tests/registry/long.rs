//! A long layer over a link that does not hold.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use clarity::image::Digest;
use clarity::wire::Event;
use serde_json::json;

use super::fault::offset;
use super::http::{Response, Server};
use super::scanner;

const MIB: usize = 1 << 20;

/// What the link lets pass before it breaks.
const BREAK: usize = 20 * MIB;

/// A tar of one file of so many bytes, each of which tells where it stands.
fn layer(size: usize) -> Vec<u8> {
    let content: Vec<u8> = (0..size as u64 / 8).flat_map(u64::to_be_bytes).collect();
    let mut header = tar::Header::new_ustar();
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    let mut archive = tar::Builder::new(Vec::with_capacity(size + MIB));
    archive.append_data(&mut header, "srv/data", content.as_slice()).expect("room");
    archive.into_inner().expect("room")
}

/// What it took to read an image with such a layer.
struct Cost {
    /// Bytes of the layer that the registry has sent, and its size.
    sent: u64,
    size: u64,
    /// Where each request began.
    offsets: Vec<usize>,
    /// Peak memory of the scanner in KiB.
    memory: u64,
}

async fn cost_of(size: usize) -> Cost {
    let layer = layer(size);
    let (layer_digest, layer_size) = (Digest::of(&layer), layer.len());
    let config = json!({"architecture": "amd64", "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [layer_digest]}});
    let config = config.to_string().into_bytes();
    let part = |media_type: &str, digest: &Digest, size: usize| json!({"mediaType": format!("application/vnd.oci.image.{media_type}"), "digest": digest, "size": size});
    let manifest = json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": part("config.v1+json", &Digest::of(&config), config.len()),
        "layers": [part("layer.v1.tar", &layer_digest, layer_size)]});
    let sent = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&sent);
    let path = format!("/v2/long/blobs/{layer_digest}");
    let asked = path.clone();
    let server = Server::start(move |request| {
        if request.target.contains("/manifests/") {
            return Response::new(200, manifest.to_string());
        }
        if request.target != asked {
            return Response::new(200, config.clone());
        }
        let at = offset(request);
        let end = layer.len().min(at + BREAK);
        counted.fetch_add((end - at) as u64, Ordering::Relaxed);
        Response::new(if at == 0 { 200 } else { 206 }, &layer[at..end])
            .with("Content-Length", (layer.len() - at).to_string())
            .with("Content-Range", format!("bytes {at}-{}/{}", layer.len() - 1, layer.len()))
    })
    .await;
    let task = scanner::task(&server.host(), "long:1", &json!([]));
    let (events, memory) = tokio::task::spawn_blocking(move || scanner::run(&task)).await.expect("no panic");
    assert!(events.iter().any(|event| matches!(event, Event::Image { .. })), "{events:?}");
    let offsets = server.asked_for(&path).iter().map(offset).collect();
    Cost { sent: sent.load(Ordering::Relaxed), size: layer_size as u64, offsets, memory }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_layer_of_300_mb_over_a_link_that_breaks_is_read_once_in_the_memory_of_a_short_one() {
    let (long, short) = (cost_of(300 * MIB).await, cost_of(2 * MIB).await);
    assert_eq!(long.sent, long.size, "each byte once");
    let wanted: Vec<usize> = (0..16).map(|time| time * BREAK).collect();
    assert_eq!(long.offsets, wanted);
    assert_eq!(short.offsets, [0]);
    let (long, short) = (long.memory, short.memory);
    assert!(long <= short + 8 * 1024, "{long} KiB for the long layer, {short} KiB for the short one");
}
