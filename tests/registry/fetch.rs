//! Blobs into files: interrupted, gone on with, spoilt, and with nowhere to go.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use clarity::image::Digest;
use clarity::registry::{Descriptor, FetchError, Keyring, PullError, Registry};
use tokio::sync::Notify;

use super::artifact::{TYPE, artifact, layer, noise};
use super::http::{Request, Response, Server};
use super::real::{Answered, RealRegistry, Transport};
use super::{basic, keyring, plain, reference, words};

/// Enough that a download is still under way when its first bytes have come.
const LARGE: usize = 24 * 1024 * 1024;

/// One file in a real registry, and where it is to go.
struct Stored {
    real: RealRegistry,
    registry: Registry,
    keyring: Keyring,
    descriptor: Descriptor,
    content: Vec<u8>,
    folder: tempfile::TempDir,
}

impl Stored {
    async fn new(size: usize) -> Self {
        let real = RealRegistry::start(Transport::Tls);
        let folder = tempfile::tempdir().expect("a folder");
        let keyring = keyring(&real.host(), basic("puller", "pa:ss"));
        let registry = Registry::new(real.settings()).expect("set up");
        let content = noise(5, size);
        let files = artifact(vec![layer(folder.path(), "sent", &content)]);
        let tag = reference(&format!("{}/db/index:1", real.host()));
        registry.push_artifact(&files, &tag, &keyring, &|_| ()).await.expect("pushed");
        let fetched = registry.artifact(&tag, TYPE, &keyring).await.expect("fetched");
        let descriptor = fetched.layers[0].descriptor.clone();
        Self { real, registry, keyring, descriptor, content, folder }
    }

    fn target(&self) -> PathBuf {
        self.folder.path().join("fetched")
    }

    fn part(&self) -> PathBuf {
        self.folder.path().join("fetched.part")
    }

    async fn fetch(&self, progress: &(dyn Fn(u64) + Send + Sync)) -> Result<(), FetchError> {
        let repository = reference(&format!("{}/db/index:1", self.real.host())).repository;
        self.registry.fetch_blob(&repository, &self.descriptor, &self.keyring, &self.target(), progress).await
    }

    /// Status and length of the answers with the blob.
    async fn blobs(&self) -> Vec<(u64, u64)> {
        let is_blob = |one: &Answered| {
            one.method == "GET" && one.target.contains(self.descriptor.digest.as_str()) && one.status < 300
        };
        let answered = self.real.answered_when(is_blob).await;
        answered.iter().filter(|one| is_blob(one)).map(|one| (one.status, one.written)).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_that_was_given_up_is_gone_on_with_where_it_was() {
    let stored = Stored::new(LARGE).await;
    fs::write(stored.target(), "what was there before").expect("written");
    let enough = Notify::new();
    let stop = |count| {
        if count > LARGE as u64 / 4 {
            enough.notify_one();
        }
    };
    tokio::select! {
        biased;
        () = enough.notified() => {}
        done = stored.fetch(&stop) => panic!("it was to be given up: {done:?}"),
    }
    assert_eq!(fs::read(stored.target()).expect("there"), b"what was there before");
    stored.blobs().await;
    stored.real.forget();

    let first = std::sync::Mutex::new(None);
    let progress = |count| {
        first.lock().expect("no panic").get_or_insert(count);
    };
    stored.fetch(&progress).await.expect("fetched");
    assert!(fs::read(stored.target()).expect("there") == stored.content);
    assert!(!stored.part().exists());
    let begun_at = first.lock().expect("no panic").expect("told");
    assert!(begun_at > LARGE as u64 / 5 && begun_at < LARGE as u64, "{begun_at}");
    assert_eq!(stored.blobs().await, [(206, LARGE as u64 - begun_at)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_is_whole_is_put_in_its_place_without_a_request() {
    let stored = Stored::new(100_000).await;
    fs::write(stored.part(), &stored.content).expect("written");
    stored.real.forget();
    stored.fetch(&|_| ()).await.expect("placed");
    assert!(fs::read(stored.target()).expect("there") == stored.content);
    // What was asked for before may still come into the log.
    let asked =
        stored.real.answered().into_iter().filter(|one| one.method == "GET" && one.target.contains("/blobs/"));
    assert_eq!(asked.count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_is_wrong_or_too_long_is_fetched_anew() {
    let stored = Stored::new(100_000).await;
    let mut wrong = stored.content[..50_000].to_vec();
    wrong[10] ^= 1;
    let mut whole_and_wrong = stored.content.clone();
    whole_and_wrong[10] ^= 1;
    let too_long = [&stored.content, b"more".as_slice()].concat();
    for (part, expected) in [
        (wrong, vec![(206, 50_000), (200, 100_000)]),
        (whole_and_wrong, vec![(200, 100_000)]),
        (too_long, vec![(200, 100_000)]),
    ] {
        fs::write(stored.part(), part).expect("written");
        stored.real.forget();
        stored.fetch(&|_| ()).await.expect("fetched");
        assert!(fs::read(stored.target()).expect("there") == stored.content);
        assert!(!stored.part().exists());
        stored.real.answered_when(|one| one.status == 200 && one.written == 100_000).await;
        assert_eq!(stored.blobs().await, expected);
    }
}

/// A server that knows one blob only, and where it is fetched to.
async fn fetch_from(server: &Server, digest: &Digest, size: usize, into: &Path) -> Result<(), FetchError> {
    let registry = Registry::new(plain(&server.host())).expect("set up");
    let descriptor = Descriptor {
        media_type: "text/plain".to_owned(),
        digest: digest.clone(),
        size: size as u64,
        urls: Vec::new(),
    };
    let repository = reference(&format!("{}/a:1", server.host())).repository;
    registry.fetch_blob(&repository, &descriptor, &Keyring::new(), into, &|_| ()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn content_of_another_digest_leaves_nothing_behind() {
    let server = Server::start(|_| Response::new(200, "one")).await;
    let folder = tempfile::tempdir().expect("a folder");
    let into = folder.path().join("x");
    fs::write(&into, "before").expect("written");
    let error = fetch_from(&server, &Digest::of(b"two"), 3, &into).await.expect_err("damaged");
    let FetchError::Pull(pull) = &error else { panic!("{}", words(&error)) };
    assert!(matches!(**pull, PullError::DigestMismatch { .. }), "{}", words(&error));
    assert_eq!(server.seen().len(), 1, "nothing was there that could have been at fault");
    assert_eq!(fs::read(&into).expect("there"), b"before");
    assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_is_tried_anew_only_once() {
    let server = Server::start(|request: &Request| match request.header("range") {
        Some(_) => Response::new(206, "e").with("Content-Range", "bytes 2-2/3"),
        None => Response::new(200, "one"),
    })
    .await;
    let folder = tempfile::tempdir().expect("a folder");
    let into = folder.path().join("x");
    fs::write(folder.path().join("x.part"), "on").expect("written");
    fetch_from(&server, &Digest::of(b"two"), 3, &into).await.expect_err("damaged");
    assert_eq!(server.seen().len(), 2);
    assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_bytes_are_written_than_there_should_be() {
    // No length is announced that would give it away.
    let content = noise(9, 3_000_000);
    let digest = Digest::of(&content[..1_000_000]);
    let server = Server::start(move |_| {
        let mut chunked = Vec::new();
        for chunk in content.chunks(1000) {
            chunked.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
            chunked.extend_from_slice(chunk);
            chunked.extend_from_slice(b"\r\n");
        }
        Response::new(200, chunked).with("Transfer-Encoding", "chunked")
    })
    .await;
    let folder = tempfile::tempdir().expect("a folder");
    let error = fetch_from(&server, &digest, 1_000_000, &folder.path().join("x")).await.expect_err("too much");
    assert!(words(&error).contains("it should have 1000000 bytes and has "), "{}", words(&error));
    let part = fs::metadata(folder.path().join("x.part")).expect("kept").len();
    assert!(part <= 1_000_000, "{part}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_came_before_the_server_broke_is_kept_for_the_next_time() {
    let content = noise(3, 500_000);
    let digest = Digest::of(&content);
    let broken = std::sync::Arc::new(AtomicBool::new(true));
    let is_broken = std::sync::Arc::clone(&broken);
    let body = content.clone();
    let server = Server::start(move |request| {
        let at: usize = request
            .header("range")
            .and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok())
            .unwrap_or(0);
        if is_broken.load(Ordering::SeqCst) && at > 0 {
            return Response::new(503, "later").with("Retry-After", "3600");
        }
        let mut response = Response::new(if at > 0 { 206 } else { 200 }, &body[at..])
            .with("Content-Range", format!("bytes {at}-499999/500000"));
        response.cut_at = is_broken.load(Ordering::SeqCst).then_some(200_000);
        response
    })
    .await;
    let folder = tempfile::tempdir().expect("a folder");
    let into = folder.path().join("x");
    let error = fetch_from(&server, &digest, 500_000, &into).await.expect_err("it broke off");
    assert!(words(&error).contains("503 Service Unavailable: later"), "{}", words(&error));
    assert!(fs::read(folder.path().join("x.part")).expect("kept") == content[..200_000]);
    broken.store(false, Ordering::SeqCst);
    fetch_from(&server, &digest, 500_000, &into).await.expect("fetched");
    assert!(fs::read(&into).expect("there") == content);
    assert_eq!(server.seen().last().expect("asked").header("range"), Some("bytes=200000-"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_is_not_there_is_named() {
    let server = Server::start(|_| Response::new(200, "one")).await;
    let folder = tempfile::tempdir().expect("a folder");
    let into = folder.path().join("gone/x");
    let error = fetch_from(&server, &Digest::of(b"one"), 3, &into).await.expect_err("no folder");
    assert!(words(&error).starts_with(&format!("cannot open {}.part: ", into.display())), "{}", words(&error));
    assert!(server.seen().is_empty());
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_named_and_nothing_that_was_there_is_lost() {
    let content = noise(4, 5_000_000);
    let digest = Digest::of(&content);
    let server = Server::start(move |_| Response::new(200, content.clone())).await;
    let folder = tempfile::tempdir().expect("a folder");
    let into = folder.path().join("x");
    fs::write(&into, "before").expect("written");
    std::os::unix::fs::symlink("/dev/full", folder.path().join("x.part")).expect("linked");
    let error = fetch_from(&server, &digest, 5_000_000, &into).await.expect_err("no room");
    let text = words(&error);
    assert!(text.starts_with(&format!("cannot write {}.part: No space left", into.display())), "{text}");
    assert_eq!(fs::read(&into).expect("there"), b"before");
}
