//! A registry that does everything wrong that still can be put up with, and one thing that cannot.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use serde_json::Value;

use crate::environment::environment;
use crate::https::{HttpsServer, Request, Response};
use crate::namespace::{Namespace, PullSecret, waiting_pod};
use crate::plugin::{Plugin, state};
use crate::registry::blob;

/// Bytes of a layer that pass before the connection breaks.
const BREAK: usize = 5_000_000;

/// The image in each repository, which is named after what its registry does.
const IMAGES: [(&str, &str); 4] =
    [("cuts", "cart"), ("busy", "web"), ("slow", "multi"), ("corrupts", "distroless")];

fn answer(request: &Request, asked: &Mutex<BTreeMap<String, usize>>) -> Response {
    let mut parts = request.path.trim_start_matches("/v2/").split('/');
    let (manner, kind, digest) = (parts.next(), parts.next(), parts.next());
    let (Some(manner), Some(kind), Some(digest)) = (manner, kind, digest) else {
        return Response::new(200, "");
    };
    let times = {
        let mut asked = asked.lock().expect("no panic");
        let times = asked.entry(request.path.clone()).or_default();
        *times += 1;
        *times
    };
    let fixture = IMAGES.iter().find(|(name, _)| *name == manner).map(|(_, fixture)| *fixture);
    let Some(mut bytes) = fixture.and_then(|fixture| blob(&environment().layout(fixture), digest).ok()) else {
        return Response::new(404, "");
    };
    let is_layer = kind == "blobs" && bytes.len() > 50_000;
    match (manner, times) {
        ("busy", 1) => return Response::new(429, "slowly").with("Retry-After", "1"),
        ("busy", 2) => return Response::new(503, "not yet"),
        ("slow", _) => std::thread::sleep(Duration::from_millis(700)),
        ("corrupts", _) if is_layer => {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
        }
        _ => {}
    }
    let range = request.header("range").strip_prefix("bytes=").and_then(|range| range.strip_suffix('-'));
    let at = range.and_then(|at| at.parse().ok()).unwrap_or(0_usize).min(bytes.len());
    let size = bytes.len();
    let mut response = Response::new(if at == 0 { 200 } else { 206 }, bytes.split_off(at))
        .with("Docker-Content-Digest", digest);
    if kind == "manifests" {
        response = response.with("Content-Type", "application/vnd.oci.image.manifest.v1+json");
    }
    if at > 0 {
        response = response.with("Content-Range", format!("bytes {at}-{}/{size}", size - 1));
    }
    response.cut_at = (manner == "cuts" && is_layer).then_some(BREAK);
    response
}

#[test]
fn breaks_delays_and_busy_answers_are_put_up_with_and_damage_is_not() {
    let asked = Mutex::default();
    let registry = HttpsServer::start(move |request| answer(request, &asked));
    let image = |(name, fixture): &(&str, &str)| {
        waiting_pod(name, &format!("{}/{name}@{}", registry.host, environment().digest(fixture)))
    };
    let namespace = Namespace::new("faults", PullSecret::None, IMAGES.iter().map(image).collect());
    let ended = Plugin::scan(&["-n", &namespace.name, "--read", "stream"]).run().code(4);
    let report = ended.report();
    let states: BTreeMap<String, (String, String)> = report["containers"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|container| (container["container"].as_str().expect("a name").to_owned(), state(container)))
        .collect();
    for name in ["busy", "cuts", "slow"] {
        assert_eq!(states[name].0, "scanned", "{states:?}");
    }
    assert_eq!(states["corrupts"].0, "failed");
    assert!(states["corrupts"].1.contains("is damaged: what came has the digest"), "{states:?}");

    // Of the layers that broke each byte came once.
    let layers: Value = {
        let digest = environment().digest("cart");
        serde_json::from_slice(&blob(&environment().layout("cart"), &digest).expect("a manifest"))
            .expect("json")
    };
    for layer in layers["layers"].as_array().expect("a list") {
        let (digest, size) =
            (layer["digest"].as_str().expect("text"), layer["size"].as_u64().expect("a number"));
        let path = format!("/v2/cuts/blobs/{digest}");
        let requests = registry.seen().into_iter().filter(|request| request.path == path);
        let ranges: Vec<String> = requests.map(|request| request.header("range").to_owned()).collect();
        let breaks = usize::try_from(size).expect("small").div_ceil(BREAK);
        let wanted: Vec<String> = (0..breaks)
            .map(|time| if time == 0 { String::new() } else { format!("bytes={}-", time * BREAK) })
            .collect();
        assert_eq!(ranges, wanted, "{digest}");
    }
    namespace.assert_nothing_left();
}
