//! Mirrors, and hosts with settings of their own, as `registries.conf` and `hosts.toml` say: against real registries.

use std::fs;
use std::time::{Duration, Instant};

use clarity::network::{ClientCertificate, Network, hosts_toml, registries_conf};
use clarity::registry::{Keyring, PullError, Registry, Settings};

use super::http::{Response, Server};
use super::real::{RealRegistry, Transport, image};
use super::{amd64, basic, hurried, keyring, plain, read_layer, reference, words};

/// Settings with what a registries.conf says.
fn conf(text: &str) -> Settings {
    let told = registries_conf(text, "registries.conf").expect("read");
    Settings { routes: told.routes, ..hurried() }
}

/// Settings with what a hosts.toml says of a registry. Files that it names are read as they are.
pub(crate) fn hosts(registry: &str, text: &str) -> Settings {
    let files = |path: &str| fs::read(path).map_err(Into::into);
    let told = hosts_toml(text, "hosts.toml", Some(registry), &files).expect("read");
    Settings { routes: told.routes, ..hurried() }
}

fn both(one: &str, two: &str) -> Keyring {
    let mut keyring = keyring(one, basic("puller", "pa:ss"));
    keyring.add_entry("secret \"other\"", two, basic("puller", "pa:ss"));
    keyring
}

/// Puts the image into a registry without TLS.
async fn fill(real: &RealRegistry, path: &str) {
    let host = real.host();
    let registry = Registry::new(plain(&host)).expect("set up");
    let target = reference(&format!("{host}/{path}"));
    registry.push(&image(), &target, &keyring(&host, basic("puller", "pa:ss"))).await.expect("pushed");
    // The log comes after the answer.
    real.answered_when(|answer| answer.method == "PUT" && answer.target.contains("/manifests/")).await;
    real.forget();
}

/// A port at which nobody listens.
fn closed_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("bound").port()
}

async fn read(settings: Settings, name: &str, keyring: &Keyring) -> Result<Vec<u8>, std::io::Error> {
    read_layer(&Registry::new(settings).expect("set up"), name, keyring).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_that_has_it_is_asked_with_its_own_credential_and_the_registry_is_not() {
    let (origin, mirror) = (RealRegistry::start(Transport::Plain), RealRegistry::start(Transport::Plain));
    fill(&mirror, "cache/shop/cart:1").await;
    let (host, other) = (origin.host(), mirror.host());
    let settings = conf(&format!(
        "[[registry]]\nlocation = '{host}/shop'\n[[registry.mirror]]\nlocation = '{other}/cache/shop'\ninsecure = true"
    ));
    // The registry's own password is another one, which the mirror must not see.
    let mut keys = keyring(&format!("{other}/cache"), basic("puller", "pa:ss"));
    keys.add_entry("secret \"origin\"", &host, basic("puller", "of the registry"));
    let layer = read(settings, &format!("{host}/shop/cart:1"), &keys).await.expect("read");
    assert_eq!(layer, image().layer.bytes);
    assert_eq!(origin.answered(), [], "nothing is asked of the registry");
    let answered = mirror.answered_when(|answer| answer.target.contains("/blobs/")).await;
    assert!(answered.iter().all(|answer| answer.target.starts_with("/v2/cache/shop/cart/")), "{answered:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_that_lacks_it_is_passed_over_and_layers_come_from_where_the_manifest_did() {
    let (origin, mirror) = (RealRegistry::start(Transport::Plain), RealRegistry::start(Transport::Plain));
    fill(&origin, "shop/cart:1").await;
    let (host, other) = (origin.host(), mirror.host());
    let mut settings = hosts(&host, &format!("[host.'http://{other}']"));
    settings.plain_http = vec![host.clone()];
    let layer = read(settings, &format!("{host}/shop/cart:1"), &both(&host, &other)).await.expect("read");
    assert_eq!(layer, image().layer.bytes);
    let asked = mirror.refused_when(|answer| answer.status == 404).await;
    assert!(asked.iter().all(|answer| answer.target.contains(&format!("ns={}", host.replace(':', "%3A")))));
    assert!(!asked.iter().any(|answer| answer.target.contains(image().layer.digest.as_str())), "{asked:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_that_is_down_costs_little_and_is_left_alone() {
    let origin = RealRegistry::start(Transport::Plain);
    fill(&origin, "shop/cart:1").await;
    let host = origin.host();
    // One refuses connections, the other takes them and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let (down, silent_port) = (closed_port(), silent.local_addr().expect("bound").port());
    let mut settings = hosts(
        &host,
        &format!(
            "[host.'https://127.0.0.1:{down}']\n[host.'https://127.0.0.1:{silent_port}']\ndial_timeout = '2s'"
        ),
    );
    settings.plain_http = vec![host.clone()];
    let registry = Registry::new(settings).expect("set up");
    let keys = keyring(&host, basic("puller", "pa:ss"));
    let began = Instant::now();
    let name = format!("{host}/shop/cart:1");
    assert_eq!(read_layer(&registry, &name, &keys).await.expect("read"), image().layer.bytes);
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    let began = Instant::now();
    registry.digest_of(&reference(&name), &keys).await.expect("there");
    assert!(began.elapsed() < Duration::from_millis(1500), "both are left alone: {:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_with_an_authority_of_its_own_is_trusted_only_with_it() {
    let (origin, mirror) = (RealRegistry::start(Transport::Plain), RealRegistry::start(Transport::Tls));
    let (host, other) = (origin.host(), mirror.host());
    let keys = both(&host, &other);
    let target = reference(&format!("{other}/shop/cart:1"));
    Registry::new(mirror.settings()).expect("set up").push(&image(), &target, &keys).await.expect("pushed");
    let name = format!("{host}/shop/cart:1");
    let ask = async |more: &str| {
        let mut settings = hosts(&host, &format!("[host.'https://{other}']\n{more}"));
        settings.plain_http = vec![host.clone()];
        let registry = Registry::new(settings).expect("set up");
        registry.image(&reference(&name), &amd64(), &keys).await
    };
    let error = ask("").await.expect_err("nobody has it");
    assert!(matches!(error.at_origin(), PullError::NotFound { .. }));
    let said = words(&error);
    assert!(said.contains(&format!("(mirrors: {other}: the certificate of {other}")), "{said}");
    let authority = mirror.authority().display().to_string();
    ask(&format!("ca = '{authority}'")).await.expect("trusted");
    ask("skip_verify = true").await.expect("whoever it is");
}

/// Serves the image with these bytes for its layer; manifest and config are right.
async fn serving(layer: Vec<u8>) -> Server {
    let sound = image();
    Server::start(move |request| {
        if request.target.contains("/manifests/") {
            let bytes = sound.manifest.bytes.to_vec();
            return Response::new(200, bytes).with("Content-Type", sound.manifest.media_type);
        }
        if request.target.contains(sound.config.digest.as_str()) {
            return Response::new(200, sound.config.bytes.to_vec());
        }
        Response::new(200, layer.clone())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scanner_reads_from_the_registry_what_a_mirror_has_spoiled() {
    let layer = image().layer.bytes.to_vec();
    let (sound, liar) = (serving(layer.clone()).await, serving(vec![0; layer.len()]).await);
    let host = sound.host();
    let settings = hosts(&host, &format!("[host.'http://{}']", liar.host()));
    let mut task = super::scanner::task(&host, "shop/cart:1", &serde_json::json!([]));
    task["network"]["routes"] = serde_json::to_value(&settings.routes).expect("JSON");
    let (events, _) = tokio::task::spawn_blocking(move || super::scanner::run(&task)).await.expect("no panic");
    let read = events.iter().any(|event| matches!(event, clarity::wire::Event::Image { .. }));
    assert!(read, "{events:#?}");
    let asked =
        |server: &Server| server.asked_for(&format!("/v2/shop/cart/blobs/{}", image().layer.digest)).len();
    assert!(asked(&liar) > 0 && asked(&sound) > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_mirror_sends_is_not_believed() {
    let origin = RealRegistry::start(Transport::Plain);
    fill(&origin, "shop/cart:1").await;
    let built = image();
    let liar = serving(vec![0; built.layer.bytes.len()]).await;
    let host = origin.host();
    let mut settings = hosts(&host, &format!("[host.'http://{}']", liar.host()));
    settings.plain_http = vec![host.clone()];
    let keys = keyring(&host, basic("puller", "pa:ss"));
    let registry = Registry::new(settings.clone()).expect("set up");
    let name = reference(&format!("{host}/shop/cart:1"));
    let pulled = registry.image(&name, &amd64(), &keys).await.expect("the manifest is sound");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("layer");
    let descriptor = &pulled.layers[0].descriptor;
    registry.fetch_blob(&name.repository, descriptor, &keys, &file, &|_| ()).await.expect("from the registry");
    assert_eq!(fs::read(&file).expect("written"), built.layer.bytes);

    // Who reads a layer as it comes is told, and gets it from the registry the second time.
    let registry = Registry::new(settings).expect("set up");
    let text = name.to_string();
    assert!(read_layer(&registry, &text, &keys).await.is_err());
    assert!(registry.distrust_mirrors(&name.repository));
    assert_eq!(read_layer(&registry, &text, &keys).await.expect("read"), built.layer.bytes);
    assert!(!registry.distrust_mirrors(&name.repository), "there is none left");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_manifest_of_a_mirror_is_passed_over_at_once() {
    let origin = RealRegistry::start(Transport::Plain);
    fill(&origin, "shop/cart:1").await;
    let liar = Server::start(|_| Response::new(200, "{}")).await;
    let host = origin.host();
    let mut settings = hosts(&host, &format!("[host.'http://{}']", liar.host()));
    settings.plain_http = vec![host.clone()];
    let name = format!("{host}/shop/cart@{}", image().manifest.digest);
    let layer = read(settings, &name, &keyring(&host, basic("puller", "pa:ss"))).await.expect("read");
    assert_eq!(layer, image().layer.bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_for_digests_is_not_asked_what_a_tag_leads_to() {
    let (origin, mirror) = (RealRegistry::start(Transport::Plain), RealRegistry::start(Transport::Plain));
    fill(&origin, "shop/cart:1").await;
    fill(&mirror, "shop/cart:1").await;
    let (host, other) = (origin.host(), mirror.host());
    let mut settings = conf(&format!(
        "[[registry]]\nlocation = '{host}'\ninsecure = true\nmirror-by-digest-only = true\n\
         [[registry.mirror]]\nlocation = '{other}'\ninsecure = true"
    ));
    settings.plain_http = vec![host.clone(), other.clone()];
    let registry = Registry::new(settings).expect("set up");
    let keys = both(&host, &other);
    let tag = reference(&format!("{host}/shop/cart:1"));
    let digest = registry.digest_of(&tag, &keys).await.expect("there");
    registry.image(&tag, &amd64(), &keys).await.expect("there");
    assert_eq!(mirror.answered(), []);
    origin.forget();
    registry.image(&tag.at(digest), &amd64(), &keys).await.expect("there");
    assert_eq!(origin.answered(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_pushed_to_a_mirror_or_asked_of_a_registry_that_is_blocked() {
    let (origin, mirror) = (RealRegistry::start(Transport::Plain), RealRegistry::start(Transport::Plain));
    let (host, other) = (origin.host(), mirror.host());
    let mut settings = hosts(&host, &format!("[host.'http://{other}']"));
    settings.plain_http = vec![host.clone()];
    let registry = Registry::new(settings).expect("set up");
    let target = reference(&format!("{host}/tools/scanner:1"));
    registry.push(&image(), &target, &both(&host, &other)).await.expect("pushed");
    assert_eq!(mirror.answered(), []);

    let registry =
        Registry::new(conf(&format!("[[registry]]\nlocation = '{host}'\nblocked = true"))).expect("set up");
    origin.forget();
    let error = registry.image(&target, &amd64(), &Keyring::new()).await.expect_err("blocked");
    assert_eq!(words(&error), format!("{host}/tools/scanner is blocked by the configuration of registries"));
    let layer = clarity::registry::Descriptor {
        media_type: "a/b".to_owned(),
        digest: image().layer.digest,
        size: 1,
        urls: Vec::new(),
    };
    let mut blob = registry.blob(&target.repository, &layer, &Keyring::new());
    assert!(matches!(blob.chunk().await, Err(PullError::Blocked { .. })));
    assert_eq!(origin.answered(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_error_says_what_mirrors_said_before() {
    let (one, two) = (closed_port(), closed_port());
    let host = format!("127.0.0.1:{two}");
    let settings = hosts(&host, &format!("[host.'https://127.0.0.1:{one}']"));
    let registry = Registry::new(settings).expect("set up");
    let error = registry
        .image(&reference(&format!("{host}/a:1")), &amd64(), &Keyring::new())
        .await
        .expect_err("all down");
    assert!(matches!(error.at_origin(), PullError::Connect { .. }));
    let said = words(&error);
    assert!(said.starts_with(&format!("no mirror gave it (127.0.0.1:{one}: ")), "{said}");
    assert!(said.contains(&format!("nor the registry itself: cannot reach {host} for {host}/a: ")), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_go_to_their_host_and_to_no_other() {
    let origin = Server::start(|_| Response::new(404, "")).await;
    let mirror = Server::start(|_| Response::new(404, "")).await;
    let (host, other) = (origin.host(), mirror.host());
    let mut settings = hosts(&host, &format!("[host.'http://{other}/base'.header]\nx-tenant = ['a', 'b']"));
    settings.plain_http = vec![host.clone()];
    let registry = Registry::new(settings).expect("set up");
    let name = reference(&format!("{host}/shop/cart:1"));
    registry.image(&name, &amd64(), &Keyring::new()).await.expect_err("nowhere");
    let asked = mirror.seen();
    assert!(asked[0].target.starts_with("/base/v2/shop/cart/manifests/1?ns="), "{}", asked[0].target);
    let sent: Vec<&str> = asked[0]
        .headers
        .iter()
        .filter(|(name, _)| name == "x-tenant")
        .map(|(_, value)| value.as_str())
        .collect();
    assert_eq!(sent, ["a", "b"]);
    assert!(origin.seen().iter().all(|request| request.header("x-tenant").is_none()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_for_known_clients_is_shown_a_certificate() {
    let real = RealRegistry::start_for_known_clients();
    let host = real.host();
    let keys = keyring(&host, basic("puller", "pa:ss"));
    let target = reference(&format!("{host}/shop/cart:1"));
    let error = Registry::new(real.settings()).expect("set up").push(&image(), &target, &keys).await;
    let said = words(&error.expect_err("no certificate"));
    assert!(said.contains(&format!("{host} takes only clients with a certificate that it knows")), "{said}");

    let identity = ClientCertificate {
        certificates: fs::read(real.file("client.pem")).expect("there"),
        key: fs::read(real.file("client.key")).expect("there"),
    };
    let settings = Settings { client: Some(identity), ..real.settings() };
    Registry::new(settings).expect("set up").push(&image(), &target, &keys).await.expect("known");

    let [ca, certificate, key] =
        ["ca.pem", "client.pem", "client.key"].map(|name| real.file(name).display().to_string());
    let settings = hosts(&host, &format!("ca = '{ca}'\nclient = [['{certificate}', '{key}']]"));
    assert_eq!(read(settings, &target.to_string(), &keys).await.expect("known"), image().layer.bytes);
    let settings = hosts(&host, &format!("ca = '{ca}'\nclient = '{ca}'"));
    let said = words(&Registry::new(settings).expect_err("no key"));
    assert!(
        said.contains("the client certificate for registries cannot be used: its file holds no private key"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn registries_may_be_at_ipv6_literals() {
    let real = RealRegistry::start_at("[::1]:0", Transport::Plain, "");
    let host = format!("[::1]:{}", real.port);
    let keys = keyring(&host, basic("puller", "pa:ss"));
    let name = format!("{host}/shop/cart:1");
    for allowed in [host.clone(), "[::1]".to_owned()] {
        let registry = Registry::new(plain(&allowed)).expect("set up");
        registry.push(&image(), &reference(&name), &keys).await.expect("pushed");
        assert_eq!(read_layer(&registry, &name, &keys).await.expect("read"), image().layer.bytes);
    }
    let error = Registry::new(hurried()).expect("set up").image(&reference(&name), &amd64(), &keys).await;
    let said = words(&error.expect_err("no TLS"));
    assert_eq!(said, format!("{host} speaks plain HTTP, which is not allowed for {host}/shop/cart"));

    let real = RealRegistry::start_at("[::1]:0", Transport::Tls, "");
    let name = format!("[::1]:{}/shop/cart:1", real.port);
    let keys = keyring(&format!("[::1]:{}", real.port), basic("puller", "pa:ss"));
    let registry = Registry::new(real.settings()).expect("set up");
    registry.push(&image(), &reference(&name), &keys).await.expect("pushed over TLS");
}

#[test]
fn what_travels_is_what_was_told() {
    let told =
        registries_conf("[[registry]]\nlocation = 'a.test'\n[[registry.mirror]]\nlocation = 'b.test'", "f");
    let network = Network { routes: told.expect("read").routes, ..Network::default() };
    let text = serde_json::to_string(&network).expect("JSON");
    assert_eq!(serde_json::from_str::<Network>(&text).expect("the same"), network);
}
