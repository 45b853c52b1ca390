use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Mutex as Shared;
use std::time::Instant;

use serde_json::json;

use super::*;
use crate::registry::Settings;

/// A registry on this machine that has these manifests, by tag and by digest, and keeps what it was asked. What it has not is
/// not there; what is called `secret` is for others; what is called `slow` is never answered.
struct Served {
    host: String,
    asked: Arc<Shared<Vec<String>>>,
}

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

fn manifest(config: &Digest, layers: &str) -> String {
    json!({"schemaVersion": 2, "mediaType": MANIFEST, "annotations": {"layers": layers},
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": 2},
        "layers": []})
    .to_string()
}

fn index(manifest: &str, platform: &str) -> String {
    json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [{"mediaType": MANIFEST, "size": manifest.len(),
        "digest": Digest::of(manifest.as_bytes()), "platform": {"os": "linux", "architecture": platform}}]})
    .to_string()
}

fn serve(manifests: &[(&str, &str)]) -> Served {
    let mut known: BTreeMap<String, String> = BTreeMap::new();
    for (tag, body) in manifests {
        known.insert(format!("/v2/x/manifests/{tag}"), (*body).to_owned());
        known.insert(format!("/v2/x/manifests/{}", Digest::of(body.as_bytes())), (*body).to_owned());
    }
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let host = listener.local_addr().expect("it is bound").to_string();
    let asked = Arc::new(Shared::new(Vec::new()));
    let log = Arc::clone(&asked);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut request = [0; 4096];
            let length = stream.read(&mut request).unwrap_or_default();
            let request = String::from_utf8_lossy(&request[..length]).into_owned();
            let mut words = request.split(' ');
            let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
            log.lock().expect("no panic").push(format!("{method} {path}"));
            if path.ends_with("slow") {
                std::mem::forget(stream);
                continue;
            }
            let (status, body) = match known.get(path) {
                Some(body) => ("200 OK", body.as_str()),
                None if path.ends_with("secret") => ("403 Forbidden", ""),
                None => ("404 Not Found", ""),
            };
            let media_type = if body.contains("manifests") { INDEX } else { MANIFEST };
            let digest = Digest::of(body.as_bytes());
            let head = format!(
                "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Type: {media_type}\r\nContent-Length: {}\r\n\
                 Docker-Content-Digest: {digest}\r\n\r\n",
                body.len()
            );
            let body = if method == "HEAD" { "" } else { body };
            let _ = stream.write_all((head + body).as_bytes());
        }
    });
    Served { host, asked }
}

impl Served {
    fn registries(&self) -> Registries {
        let settings = Settings { plain_http: vec![self.host.clone()], ..Settings::default() };
        Registries::new(Registry::new(settings).expect("set up"), Arc::default())
    }

    fn reference(&self, tag: &str) -> Reference {
        format!("{}/x:{tag}", self.host).parse().expect("a reference")
    }

    /// Asks for a tag while this runs.
    async fn ask(&self, registries: &Registries, tag: &str, running: Running) -> Vec<Registered> {
        let asked = TaskImage {
            reference: self.reference(tag),
            wanted: Wanted::Reference,
            platform: None,
            others: Vec::new(),
            mount: None,
        };
        let registered = Registered {
            reference: asked.reference.clone(),
            tag: None,
            now: None,
            digest: Some(DigestNow::Present),
        };
        registries.ask(&asked, &amd64(), Some(Known { registered, running })).end().await
    }

    async fn tag(&self, tag: &str, running: &Running) -> Option<TagNow> {
        self.ask(&self.registries(), tag, running.clone()).await[0].tag
    }
}

fn amd64() -> Platform {
    Platform { os: "linux".into(), architecture: "amd64".into(), variant: None }
}

#[tokio::test(flavor = "multi_thread")]
async fn tag_has_moved_only_where_another_image_would_run() {
    let (config, other) = (Digest::of(b"config"), Digest::of(b"other"));
    let own = manifest(&config, "as they were");
    let (packed_anew, built_anew) = (manifest(&config, "packed anew"), manifest(&other, ""));
    let running = Running {
        digest: Some(Digest::of(b"an index that is in no registry any more")),
        manifest: Some(Digest::of(own.as_bytes())),
        config: Some(config),
    };
    let (same_entry, no_entry) = (index(&own, "amd64"), index(&own, "arm64"));
    let served = serve(&[
        ("manifest", &own),
        ("index", &same_entry),
        ("foreign", &no_entry),
        ("packed", &packed_anew),
        ("built", &built_anew),
    ]);
    for (tag, expected) in [
        ("manifest", Some(TagNow::Same)),
        ("index", Some(TagNow::Same)),
        ("packed", Some(TagNow::Same)),
        ("built", Some(TagNow::Moved)),
        ("foreign", Some(TagNow::Moved)),
        ("nothing", Some(TagNow::Gone)),
        ("secret", None),
    ] {
        assert_eq!(served.tag(tag, &running).await, expected, "{tag}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_tag_is_asked_for_once_and_by_its_head_alone_where_it_is_the_same() {
    let own = manifest(&Digest::of(b"config"), "");
    let served = serve(&[("1", &own)]);
    let registries = served.registries();
    let running = Running { digest: Some(Digest::of(own.as_bytes())), ..Running::default() };
    for _ in 0..3 {
        assert_eq!(served.ask(&registries, "1", running.clone()).await[0].tag, Some(TagNow::Same));
    }
    assert_eq!(*served.asked.lock().expect("no panic"), ["HEAD /v2/x/manifests/1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn registry_that_falls_silent_costs_its_grace_once_and_says_nothing_of_its_tag() {
    let served = serve(&[]);
    let registries = served.registries();
    let began = Instant::now();
    for _ in 0..3 {
        let answers = served.ask(&registries, "slow", Running::default()).await;
        assert_eq!((answers.len(), answers[0].tag), (1, None));
    }
    assert!(began.elapsed() < 2 * GRACE, "{:?}", began.elapsed());
}
