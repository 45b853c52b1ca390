//! Artifacts into a real registry and out of it again.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use clarity::image::Digest;
use clarity::registry::{
    Artifact, ArtifactLayer, Descriptor, FetchedLayer, Keyring, PullError, PushError, Registry, Settings,
};

use super::http::{Response, Server};
use super::real::{Answered, RealRegistry, Transport, image};
use super::{basic, keyring, plain, reference, words};

pub(crate) const TYPE: &str = "application/vnd.example.files.v1";

/// Bytes of which no stretch is like another.
pub(crate) fn noise(seed: u32, size: usize) -> Vec<u8> {
    let mut state = seed;
    let step = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    std::iter::repeat_with(step).take(size).collect()
}

/// A file in a folder, as a layer.
pub(crate) fn layer(folder: &Path, name: &str, content: &[u8]) -> ArtifactLayer {
    let path = folder.join(name);
    fs::write(&path, content).expect("written");
    ArtifactLayer {
        media_type: "application/vnd.example.file.v1".to_owned(),
        digest: Digest::of(content),
        size: content.len() as u64,
        annotations: BTreeMap::from([("org.opencontainers.image.title".to_owned(), name.to_owned())]),
        content: path,
    }
}

pub(crate) fn artifact(layers: Vec<ArtifactLayer>) -> Artifact {
    let annotations = BTreeMap::from([("org.example.made".to_owned(), "2026-01-02T03:04:05Z".to_owned())]);
    Artifact { artifact_type: TYPE.to_owned(), annotations, layers }
}

fn uploads(answered: &[Answered]) -> Vec<&Answered> {
    answered.iter().filter(|one| one.method == "PUT" && one.target.contains("/blobs/uploads/")).collect()
}

fn is_put_of(name: &'static str) -> impl Fn(&Answered) -> bool {
    move |one| one.method == "PUT" && one.target.ends_with(&format!("/manifests/{name}")) && one.status == 201
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_pushed_is_fetched_with_all_that_was_said_about_it() {
    let real = RealRegistry::start(Transport::Tls);
    let (host, folder) = (real.host(), tempfile::tempdir().expect("a folder"));
    let keyring = keyring(&host, basic("puller", "pa:ss"));
    let registry = Registry::new(real.settings()).expect("set up");
    let contents: Vec<Vec<u8>> = (0..9).map(|seed| noise(seed, 300_000 + seed as usize)).collect();
    let names = ["a", "b", "c", "d", "e", "f", "g", "h", "i"];
    let layers = names.iter().zip(&contents).map(|(name, content)| layer(folder.path(), name, content));
    let mut artifact = artifact(layers.collect());
    // the same content under another name
    artifact.layers.push(ArtifactLayer { annotations: BTreeMap::new(), ..artifact.layers[0].clone() });
    let tag = reference(&format!("{host}/db/index:1"));

    let last = AtomicU64::new(0);
    let grows = |now| assert!(last.swap(now, Ordering::SeqCst) <= now);
    let digest = registry.push_artifact(&artifact, &tag, &keyring, &grows).await.expect("pushed");
    let sum: usize = contents.iter().map(Vec::len).sum();
    assert_eq!(last.load(Ordering::SeqCst), sum as u64);
    assert_eq!(digest, artifact.manifest().expect("written").digest);

    let fetched = registry.artifact(&tag, TYPE, &keyring).await.expect("fetched");
    assert_eq!((fetched.digest, fetched.artifact_type.as_str()), (digest.clone(), TYPE));
    assert_eq!(fetched.annotations, artifact.annotations);
    let expected: Vec<FetchedLayer> = artifact.layers.iter().map(as_fetched).collect();
    assert_eq!(fetched.layers, expected);
    let by_digest = reference(&format!("{host}/db/index@{digest}"));
    assert_eq!(registry.artifact(&by_digest, TYPE, &keyring).await.expect("fetched").layers, expected);
    for (layer, content) in fetched.layers.iter().zip(&contents) {
        let into = folder.path().join("fetched");
        registry
            .fetch_blob(&tag.repository, &layer.descriptor, &keyring, &into, &|_| ())
            .await
            .expect("fetched");
        assert_eq!(&fs::read(&into).expect("there"), content);
    }
}

fn as_fetched(layer: &ArtifactLayer) -> FetchedLayer {
    let descriptor = Descriptor {
        media_type: layer.media_type.clone(),
        digest: layer.digest.clone(),
        size: layer.size,
        urls: Vec::new(),
    };
    FetchedLayer { descriptor, annotations: layer.annotations.clone() }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_the_registry_lacks_is_uploaded() {
    let real = RealRegistry::start(Transport::Plain);
    let (host, folder) = (real.host(), tempfile::tempdir().expect("a folder"));
    let keyring = keyring(&host, basic("puller", "pa:ss"));
    let registry = Registry::new(plain(&host)).expect("set up");
    let one = layer(folder.path(), "one", &noise(1, 100_000));
    let two = layer(folder.path(), "two", &noise(2, 100_000));
    let three = layer(folder.path(), "three", &noise(3, 100_000));
    let push = async |layers: Vec<ArtifactLayer>, tag: &str| {
        let target = reference(&format!("{host}/db/index:{tag}"));
        registry.push_artifact(&artifact(layers), &target, &keyring, &|_| ()).await.expect("pushed")
    };

    push(vec![one.clone(), two.clone()], "1").await;
    let answered = real.answered_when(is_put_of("1")).await;
    assert_eq!(uploads(&answered).len(), 3, "two files and the empty config: {answered:#?}");

    real.forget();
    push(vec![one.clone(), two.clone()], "again").await;
    let answered = real.answered_when(is_put_of("again")).await;
    assert_eq!(uploads(&answered), Vec::<&Answered>::new());

    real.forget();
    push(vec![two, three.clone(), one], "2").await;
    let answered = real.answered_when(is_put_of("2")).await;
    let [only] = uploads(&answered)[..] else { panic!("{answered:#?}") };
    assert!(only.target.contains(three.digest.hex()), "{only:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_such_artifact_is_said_to_be_none() {
    let real = RealRegistry::start(Transport::Plain);
    let host = real.host();
    let keyring = keyring(&host, basic("puller", "pa:ss"));
    let registry = Registry::new(plain(&host)).expect("set up");
    let folder = tempfile::tempdir().expect("a folder");
    let tag = reference(&format!("{host}/a:image"));
    registry.push(&image(), &tag, &keyring).await.expect("pushed");
    let error = registry.artifact(&tag, TYPE, &keyring).await.expect_err("an image");
    let digest = &image().manifest.digest;
    assert_eq!(
        words(&error),
        format!("cannot use manifest {digest} of {host}/a: it is no artifact of type {TYPE:?} but an image")
    );

    let tag = reference(&format!("{host}/a:files"));
    let files = artifact(vec![layer(folder.path(), "one", b"one")]);
    registry.push_artifact(&files, &tag, &keyring, &|_| ()).await.expect("pushed");
    let error = registry.artifact(&tag, "application/vnd.example.other", &keyring).await.expect_err("another");
    assert!(words(&error).ends_with(&format!("but an artifact of type {TYPE:?}")), "{}", words(&error));
    let error = registry.image(&tag, &super::amd64(), &keyring).await.expect_err("no image");
    assert!(words(&error).ends_with(&format!("it is no image but an artifact of type {TYPE:?}")));
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_are_wanted_for_both_ways_and_told_apart_in_words() {
    let real = RealRegistry::start(Transport::Plain);
    let (host, folder) = (real.host(), tempfile::tempdir().expect("a folder"));
    let registry = Registry::new(plain(&host)).expect("set up");
    let files = artifact(vec![layer(folder.path(), "one", b"one")]);
    let tag = reference(&format!("{host}/a:1"));

    let error = registry.push_artifact(&files, &tag, &Keyring::new(), &|_| ()).await.expect_err("nobody");
    assert!(words(&error).starts_with(&format!("cannot push to {tag}: no credential matches {host}/a: ")));
    let wrong = keyring(&host, basic("puller", "wrong"));
    let error = registry.push_artifact(&files, &tag, &wrong, &|_| ()).await.expect_err("wrong");
    assert!(words(&error).contains("refused the credentials of secret \"pull\""), "{}", words(&error));

    let mut both = wrong.clone();
    both.add_entry("secret \"new\"", &host, basic("puller", "pa:ss"));
    registry.push_artifact(&files, &tag, &both, &|_| ()).await.expect("the second one does");
    registry.artifact(&tag, TYPE, &both).await.expect("fetched");
    let error = registry.artifact(&tag, TYPE, &wrong).await.expect_err("wrong");
    assert!(matches!(error, PullError::Unauthorized { .. }), "{}", words(&error));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_names_another_digest_is_not_pushed_to() {
    let server = Server::start(|_| Response::new(500, "")).await;
    let registry = Registry::new(plain(&server.host())).expect("set up");
    let folder = tempfile::tempdir().expect("a folder");
    let files = artifact(vec![layer(folder.path(), "one", b"one")]);
    let other = Digest::of(b"other");
    let target = reference(&format!("{}/a@{other}", server.host()));
    let error = registry.push_artifact(&files, &target, &Keyring::new(), &|_| ()).await.expect_err("another");
    assert!(matches!(error, PushError::OtherDigest { .. }), "{}", words(&error));
    assert!(server.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_missing_or_of_another_length_is_named_and_nothing_is_sent() {
    let server = Server::start(|_| Response::new(500, "")).await;
    let registry = Registry::new(plain(&server.host())).expect("set up");
    let folder = tempfile::tempdir().expect("a folder");
    let target = reference(&format!("{}/a:1", server.host()));
    let push = async |layer: ArtifactLayer| {
        let files = artifact(vec![layer]);
        words(&registry.push_artifact(&files, &target, &Keyring::new(), &|_| ()).await.expect_err("unsound"))
    };
    let sound = layer(folder.path(), "one", b"one");
    let path = sound.content.display().to_string();
    let longer = ArtifactLayer { size: 4, ..sound.clone() };
    assert_eq!(push(longer).await, format!("cannot send {path}: it has 3 bytes and should have 4"));
    let gone = ArtifactLayer { content: folder.path().join("gone"), ..sound };
    assert!(push(gone).await.starts_with("cannot send "));
    assert!(server.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_goes_away_in_the_middle_is_to_blame_and_not_the_registry() {
    let folder = tempfile::tempdir().expect("a folder");
    let one = layer(folder.path(), "one", b"one");
    let (path, name) = (one.content.clone(), one.digest.hex().to_owned());
    let server = Server::start(move |request| match request.method.as_str() {
        "HEAD" => Response::new(404, ""),
        "POST" => {
            // The empty config has gone up by the time the file is asked for.
            let _ = fs::remove_file(&path);
            Response::new(202, "").with("Location", "/up/1")
        }
        _ if request.target.contains(&name) => panic!("nothing was there to send"),
        _ => Response::new(201, ""),
    })
    .await;
    let registry = Registry::new(plain(&server.host())).expect("set up");
    let target = reference(&format!("{}/a:1", server.host()));
    let path = one.content.display().to_string();
    let error = registry.push_artifact(&artifact(vec![one]), &target, &Keyring::new(), &|_| ()).await;
    let text = words(&error.expect_err("gone"));
    assert!(text.starts_with(&format!("cannot send {path}: No such file")), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_another_content_is_refused_by_the_registry() {
    let real = RealRegistry::start(Transport::Plain);
    let (host, folder) = (real.host(), tempfile::tempdir().expect("a folder"));
    let registry = Registry::new(plain(&host)).expect("set up");
    let right = keyring(&host, basic("puller", "pa:ss"));
    let mut changed = layer(folder.path(), "one", b"one");
    changed.digest = Digest::of(b"two");
    let target = reference(&format!("{host}/a:1"));
    let error = registry.push_artifact(&artifact(vec![changed]), &target, &right, &|_| ()).await;
    let text = words(&error.expect_err("another digest"));
    assert!(text.contains("turned down upload of sha256:") && text.contains("DIGEST_INVALID"), "{text}");
    let error = registry.artifact(&target, TYPE, &right).await.expect_err("no manifest was sent");
    assert!(matches!(error, PullError::NotFound { .. }), "{}", words(&error));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_met_a_busy_server_is_sent_again_from_its_beginning() {
    let sent_before = AtomicU64::new(0);
    let server = Server::start(move |request| match request.method.as_str() {
        "HEAD" => Response::new(404, ""),
        "POST" => Response::new(202, "").with("Location", "/up/1"),
        _ if request.target.starts_with("/up/") && sent_before.fetch_add(1, Ordering::SeqCst) == 1 => {
            Response::new(503, "one moment")
        }
        _ => Response::new(201, ""),
    })
    .await;
    let settings = Settings { attempts: 2, ..plain(&server.host()) };
    let registry = Registry::new(settings).expect("set up");
    let folder = tempfile::tempdir().expect("a folder");
    let content = noise(7, 200_000);
    let files = artifact(vec![layer(folder.path(), "one", &content)]);
    let target = reference(&format!("{}/a:1", server.host()));
    let (last, told) = (AtomicU64::new(0), AtomicU64::new(0));
    let progress = |now| {
        assert!(last.swap(now, Ordering::SeqCst) <= now);
        told.fetch_add(1, Ordering::SeqCst);
    };
    registry.push_artifact(&files, &target, &Keyring::new(), &progress).await.expect("pushed");
    let sent: Vec<usize> = server.asked_for("/up/").iter().map(|request| request.body.len()).collect();
    assert_eq!(sent, [2, 200_000, 200_000]);
    assert_eq!(server.asked_for("/up/")[2].body, content);
    assert_eq!(last.load(Ordering::SeqCst), 200_000, "counted once");
}

#[test]
fn the_ways_of_artifacts_can_be_taken_by_tasks() {
    fn is_send<T: Send>(_: T) {}
    let registry = Registry::new(Settings::default()).expect("set up");
    let (files, target, keyring) = (artifact(Vec::new()), reference("a.test/a:1"), Keyring::new());
    let descriptor = as_fetched(&layer(&std::env::temp_dir(), "clarity-unused", b"")).descriptor;
    is_send(registry.push_artifact(&files, &target, &keyring, &|_| ()));
    is_send(registry.artifact(&target, TYPE, &keyring));
    is_send(registry.fetch_blob(&target.repository, &descriptor, &keyring, Path::new("x"), &|_| ()));
}
