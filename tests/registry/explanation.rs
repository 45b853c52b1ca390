//! Why an image can be read or not, told of a real registry and of servers that say what they like.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clarity::registry::{Credential, EntryMismatch, Explanation, Format, Keyring, Registry, Secret, Verdict};

use super::http::{Response, Server};
use super::real::{RealRegistry, Transport, image};
use super::{amd64, basic, plain, reference};

async fn explain(host: &str, image: &str, keyring: &Keyring) -> Explanation {
    let registry = Registry::recording(plain(host)).expect("set up");
    registry.explain(&reference(image), &amd64(), keyring).await
}

fn answers(explanation: &Explanation) -> Vec<(&str, &str, &str)> {
    explanation.exchanges.iter().map(|e| (e.request.as_str(), e.shown.as_str(), e.answer.as_str())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_entry_is_told_and_why_it_is_not_for_the_image() {
    let registry = RealRegistry::start(Transport::Plain);
    let (host, port) = (registry.host(), registry.port);
    let pusher = Registry::new(plain(&host)).expect("set up");
    let tag = reference(&format!("{host}/shop/cart:1"));
    pusher.push(&image(), &tag, &super::keyring(&host, basic("puller", "pa:ss"))).await.expect("pushed");
    let mut keyring = Keyring::new();
    let auth = STANDARD.encode("puller:wrong");
    let file = format!(
        r#"{{"auths": {{"{host}/shop": {{"auth": "{auth}"}}, "{host}/other": {{"auth": "{auth}"}},
            "127.0.0.1": {{"auth": "{auth}"}}, "quay.test": {{"identitytoken": "hunter2"}}, "broken.test": {{"auth": "!"}}}}}}"#
    );
    keyring.add_file("secret \"pull\"", Format::DockerConfigJson, file.as_bytes());
    keyring.add_entry("secret \"good\"", &host, basic("puller", "pa:ss"));
    let told = explain(&host, &format!("{host}/shop/cart:1"), &keyring).await;

    let seen: Vec<(&str, &str, Option<EntryMismatch>)> = told
        .entries
        .iter()
        .map(|entry| (entry.location.as_str(), entry.holds.as_str(), entry.mismatch))
        .collect();
    let (shop, other) = (format!("{host}/shop"), format!("{host}/other"));
    assert_eq!(
        seen,
        [
            ("quay.test", "an identity token", Some(EntryMismatch::Host)),
            (shop.as_str(), "the password of \"puller\"", None),
            (other.as_str(), "the password of \"puller\"", Some(EntryMismatch::Path)),
            (host.as_str(), "the password of \"puller\"", None),
            ("127.0.0.1", "the password of \"puller\"", Some(EntryMismatch::Port)),
        ]
    );
    assert_eq!(told.broken, ["secret \"pull\": entry \"broken.test\" has an auth that is not base64"]);
    let good = format!("secret \"good\" (entry \"{host}\")");
    let wrong = format!("secret \"pull\" (entry \"{shop}\")");
    assert_eq!(told.tried, [good.clone(), wrong.clone()], "the one that works is kept in front");
    assert!(matches!(told.verdict, Verdict::Readable { layers: 1, .. }), "{told:?}");
    let manifest = format!("GET http://127.0.0.1:{port}/v2/shop/cart/manifests/1");
    let basic = "it answered 401 Unauthorized; basic realm=\"a, realm\"";
    let first: Vec<_> = answers(&told).into_iter().filter(|(request, ..)| *request == manifest).collect();
    assert_eq!(
        first,
        [
            (manifest.as_str(), "nothing", basic),
            (manifest.as_str(), wrong.as_str(), basic),
            (manifest.as_str(), "nothing", basic),
            (manifest.as_str(), good.as_str(), "it answered 200 OK"),
        ]
    );
    let all = serde_json::to_string(&told).expect("json");
    assert!(!all.contains("pa:ss") && !all.contains("hunter2") && !all.contains(&auth), "{all}");
    let read: Explanation = serde_json::from_str(&all).expect("what was written");
    assert_eq!(read, told);
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_repeat_what_they_were_shown_are_not_quoted() {
    let parrot = Server::start(|request| {
        let shown = request.header("authorization").unwrap_or("Basic nobody").to_owned();
        let realm = format!(r#"Basic realm="hunter2 {}""#, shown.trim_start_matches("Basic "));
        Response::new(401, "hunter2").with("WWW-Authenticate", realm)
    })
    .await;
    let host = parrot.host();
    let mut keyring = Keyring::new();
    keyring.add_entry("secret \"pull\"", &host, basic("puller", "hunter2"));
    let told = explain(&host, &format!("{host}/a:1"), &keyring).await;
    let Verdict::Refused(why) = &told.verdict else { panic!("{told:?}") };
    assert!(why.contains("refused the credentials of secret \"pull\""), "{why}");
    let all = serde_json::to_string(&told).expect("json");
    assert!(!all.contains("hunter2") && !all.contains(&STANDARD.encode("puller:hunter2")), "{all}");
    assert!(all.contains("(secret)"), "{all}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_service_is_part_of_the_story() {
    let service = Server::start(|_| Response::new(403, r#"{"details": "not for you, refresh"}"#)).await;
    let realm = format!("http://{}/token", service.host());
    let front = Server::start(move |_| {
        Response::new(401, "").with("WWW-Authenticate", format!(r#"Bearer realm="{realm}",service="s""#))
    })
    .await;
    let host = front.host();
    let mut keyring = Keyring::new();
    keyring.add_entry("secret \"pull\"", &host, Credential::IdentityToken(Secret::new("refresh")));
    let told = explain(&host, &format!("{host}/a:1"), &keyring).await;
    let label = format!("secret \"pull\" (entry \"{host}\")");
    let request = format!("POST http://{}/token for a token (repository:a:pull)", service.host());
    assert!(
        answers(&told).contains(&(request.as_str(), label.as_str(), "it answered 403 Forbidden")),
        "{told:?}"
    );
    let Verdict::Refused(why) = &told.verdict else { panic!("{told:?}") };
    assert!(why.contains("not for you, (secret)"), "{why}");
    assert_eq!(told.tried, [label]);
}

#[tokio::test(flavor = "multi_thread")]
async fn mirrors_are_told_in_their_order_and_which_of_them_has_the_image() {
    let gone = Server::start(|_| Response::new(404, "")).await;
    let image = image();
    let mirror = Server::start(move |request| {
        let contents = [&image.config, &image.layer];
        let asked = contents.into_iter().find(|content| request.target.contains(content.digest.as_str()));
        let content = asked.unwrap_or(&image.manifest);
        Response::new(200, content.bytes.to_vec()).with("Content-Type", content.media_type)
    })
    .await;
    let (one, two) = (gone.host(), mirror.host());
    let text = format!("[host.'http://{one}']\n[host.'http://{two}']");
    let registry = Registry::recording(super::mirrors::hosts("registry.test", &text)).expect("set up");
    let told = registry.explain(&reference("registry.test/shop/cart:1"), &amd64(), &Keyring::new()).await;
    let places: Vec<(&str, bool)> =
        told.places.iter().map(|place| (place.address.as_str(), place.is_mirror)).collect();
    let [one, two] = [one, two].map(|host| format!("http://{host}/v2"));
    assert_eq!(places, [(one.as_str(), true), (two.as_str(), true), ("https://registry.test/v2", false)]);
    let Verdict::Readable { mirror, by: None, .. } = &told.verdict else { panic!("{told:?}") };
    assert_eq!(mirror.as_ref(), Some(&two));
}
