//! A mirror that breaks in every way that networks and other people's servers do.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use clarity::mirror::{Fetched, Mirror, MirrorError};
use clarity::registry::Settings;

use super::http::{Request, Response, Server};
use super::{ENOUGH, etag, hurried, noise, words};

fn settings(server: &Server) -> Settings {
    Settings { plain_http: vec![server.host()], ..hurried() }
}

fn mirror(server: &Server) -> Mirror {
    Mirror::new(&format!("http://{}/osv", server.host()), settings(server)).expect("set up")
}

/// A folder for downloads, and what is in it.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    async fn fetch(&self, mirror: &Mirror) -> Result<Fetched, MirrorError> {
        mirror.fetch(&["x"], None, &self.0.path().join("x"), ENOUGH, &|_| ()).await
    }

    fn content(&self) -> Vec<u8> {
        fs::read(self.0.path().join("x")).expect("there")
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.0.path()).expect("a folder");
        let mut names: Vec<String> =
            entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("text")).collect();
        names.sort();
        names
    }
}

fn offset(request: &Request) -> usize {
    let range = request.header("range").and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-'));
    range.map_or(0, |at| at.parse().expect("a number"))
}

/// The rest of the content from where it was asked for, as a server with ranges answers.
fn partial(request: &Request, content: &[u8]) -> Response {
    let at = offset(request);
    let response = Response::new(if at == 0 { 200 } else { 206 }, &content[at..]).with("ETag", "\"v1\"");
    let end = content.len();
    response.with("Content-Range", format!("bytes {at}-{}/{end}", end - 1))
}

fn chunked(content: &[u8]) -> Response {
    let mut body = Vec::new();
    for chunk in content.chunks(1000) {
        body.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        body.extend_from_slice(chunk);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"0\r\n\r\n");
    Response::new(200, body).with("Transfer-Encoding", "chunked")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_download_is_gone_on_with_under_the_condition_that_nothing_changed() {
    let content = noise(1, 500_000);
    let body = content.clone();
    let server = Server::start(move |request| {
        let mut response = partial(request, &body);
        response.cut_at = Some(100_000);
        response
    })
    .await;
    let folder = Folder::new();
    folder.fetch(&mirror(&server)).await.expect("fetched, since each attempt got ahead");
    assert!(folder.content() == content);
    assert_eq!(server.seen().iter().map(offset).collect::<Vec<_>>(), [0, 100_000, 200_000, 300_000, 400_000]);
    assert!(server.seen()[1..].iter().all(|request| request.header("if-range") == Some("\"v1\"")));
    assert_eq!(folder.names(), ["x"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_ranges_begins_anew() {
    let content = noise(2, 300_000);
    let (body, asked) = (content.clone(), AtomicUsize::new(0));
    let server = Server::start(move |_| {
        let mut response = Response::new(200, body.clone()).with("ETag", "\"v1\"");
        response.cut_at = (asked.fetch_add(1, Ordering::SeqCst) < 2).then_some(200_000);
        response
    })
    .await;
    let folder = Folder::new();
    folder.fetch(&mirror(&server)).await.expect("fetched");
    assert!(folder.content() == content);
    assert_eq!(server.seen().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_changes_while_it_comes_is_never_mixed() {
    let (old, new) = (noise(3, 300_000), noise(4, 300_000));
    let (first, second) = (old.clone(), new.clone());
    let server = Server::start(move |request| match offset(request) {
        0 => {
            let mut response = Response::new(200, first.clone()).with("ETag", "\"old\"");
            response.cut_at = Some(100_000);
            response
        }
        // If-Range does not hold any more.
        _ => Response::new(200, second.clone()).with("ETag", "\"new\""),
    })
    .await;
    let folder = Folder::new();
    let fetched = folder.fetch(&mirror(&server)).await.expect("fetched");
    let Fetched::Complete { validators, .. } = fetched else { panic!("{fetched:?}") };
    assert_eq!(validators, etag("\"new\""));
    assert!(folder.content() == new);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_breaks_without_end_is_given_up_and_what_came_is_kept() {
    let server = Server::start(|request| {
        let mut response = partial(request, &noise(5, 300_000));
        response.cut_at = Some(if offset(request) == 0 { 100_000 } else { 10 });
        response
    })
    .await;
    let folder = Folder::new();
    let error = folder.fetch(&mirror(&server)).await.expect_err("broken");
    let expected = format!("the connection broke while http://{}/osv/x came: ", server.host());
    assert!(words(&error).starts_with(&expected), "{}", words(&error));
    assert_eq!(server.seen().len(), 4, "the first one got ahead and still counts as one of four");
    assert_eq!(folder.names(), ["x.part", "x.part.json"]);
    let part = fs::metadata(folder.0.path().join("x.part")).expect("kept").len();
    assert_eq!(part, 100_030);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_no_server_could_go_on_with_is_not_kept() {
    let server = Server::start(|_| {
        let mut response = Response::new(200, noise(6, 300_000)).with("ETag", "W/\"weak\"");
        response.cut_at = Some(100_000);
        response
    })
    .await;
    let folder = Folder::new();
    folder.fetch(&mirror(&server)).await.expect_err("broken");
    assert!(server.seen().iter().all(|request| request.header("range").is_none()));
    assert_eq!(folder.names(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_falls_silent_is_left_in_time() {
    let server = Server::start(|request| {
        let mut response = partial(request, &noise(7, 1000));
        (response.cut_at, response.stall) = (Some(10), true);
        response
    })
    .await;
    let settings = Settings { read_timeout: Duration::from_millis(30), attempts: 2, ..settings(&server) };
    let mirror = Mirror::new(&format!("http://{}/osv", server.host()), settings).expect("set up");
    let error = Folder::new().fetch(&mirror).await.expect_err("silent");
    assert_eq!(words(&error), format!("http://{}/osv/x did not come in time", server.host()));
}

#[tokio::test(flavor = "multi_thread")]
async fn busy_servers_are_asked_again_when_they_said() {
    let asked = AtomicUsize::new(0);
    let server = Server::start(move |_| match asked.fetch_add(1, Ordering::SeqCst) {
        0 => Response::new(503, "one moment").with("Retry-After", "1"),
        1 => Response::new(429, "slower"),
        _ => Response::new(200, "x"),
    })
    .await;
    let (folder, began) = (Folder::new(), Instant::now());
    folder.fetch(&mirror(&server)).await.expect("fetched");
    assert!(began.elapsed() >= Duration::from_secs(1), "{:?}", began.elapsed());
    assert_eq!(folder.content(), b"x");

    let busy = Server::start(|_| Response::new(503, "back\ntomorrow").with("Retry-After", "86400")).await;
    let error = folder.fetch(&mirror(&busy)).await.expect_err("busy");
    assert_eq!(
        words(&error),
        format!("cannot get http://{}/osv/x: it answered 503 Service Unavailable: back tomorrow", busy.host())
    );
    assert_eq!(busy.asked_for("/osv/x").len(), 1);
    assert_eq!(folder.content(), b"x", "what was there before is kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_without_end_is_cut_off_and_nothing_of_it_kept() {
    let server = Server::start(|_| chunked(&noise(8, 3_000_000))).await;
    let folder = Folder::new();
    let furthest = std::sync::Mutex::new(0);
    let progress = |count: u64| *furthest.lock().expect("no panic") = count;
    let into = folder.0.path().join("x");
    let error = mirror(&server).fetch(&["x"], None, &into, 1_000_000, &progress).await.expect_err("too large");
    assert_eq!(words(&error), format!("http://{}/osv/x is larger than 1000000 bytes", server.host()));
    assert!(*furthest.lock().expect("no panic") <= 1_000_000);
    assert_eq!((folder.names(), server.seen().len()), (Vec::new(), 1));
    let error = mirror(&server).small(&["x"]).await.expect_err("too large");
    assert!(matches!(error, MirrorError::TooLarge { limit: 1_048_576, .. }), "{}", words(&error));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_of_unknown_length_is_taken_as_it_ends() {
    let content = noise(9, 100_000);
    let body = content.clone();
    let server = Server::start(move |_| chunked(&body)).await;
    let folder = Folder::new();
    let fetched = folder.fetch(&mirror(&server)).await.expect("fetched");
    assert!(matches!(fetched, Fetched::Complete { size: 100_000, .. }), "{fetched:?}");
    assert!(folder.content() == content);
}

#[tokio::test(flavor = "multi_thread")]
async fn redirects_are_followed_without_the_password() {
    let store = Server::start(|_| Response::new(200, "x")).await;
    let address = format!("http://{}/signed?key=1", store.host());
    let server = Server::start(move |request| match request.target.as_str() {
        "/osv/x" => Response::new(302, "").with("Location", "/osv/y"),
        _ => Response::new(307, "").with("Location", address.clone()),
    })
    .await;
    let settings = Settings { plain_http: vec![server.host(), store.host()], ..hurried() };
    let base = format!("http://user:hunter2@{}/osv", server.host());
    let mirror = Mirror::new(&base, settings).expect("set up");
    let folder = Folder::new();
    folder.fetch(&mirror).await.expect("fetched");
    assert_eq!(folder.content(), b"x");
    for request in server.seen() {
        assert_eq!(request.header("authorization"), Some("Basic dXNlcjpodW50ZXIy"), "{request:?}");
    }
    assert_eq!(store.seen()[0].header("authorization"), None);
    assert_eq!(store.seen()[0].target, "/signed?key=1");
}

#[tokio::test(flavor = "multi_thread")]
async fn redirects_without_end_are_given_up_after_five() {
    let server = Server::start(|_| Response::new(302, "").with("Location", "/osv/x")).await;
    let error = Folder::new().fetch(&mirror(&server)).await.expect_err("a circle");
    assert!(words(&error).ends_with("breaks the protocol: it redirects without end"), "{}", words(&error));
    assert_eq!(server.seen().len(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_not_shown_even_if_the_server_repeats_it() {
    let server = Server::start(|_| Response::new(403, "user:hunter2 may not")).await;
    let base = format!("http://user:hunter2@{}/osv", server.host());
    let mirror = Mirror::new(&base, settings(&server)).expect("set up");
    let error = Folder::new().fetch(&mirror).await.expect_err("forbidden");
    assert_eq!(
        words(&error),
        format!("cannot get http://{}/osv/x: it answered 403 Forbidden: user:(secret) may not", server.host())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn content_that_is_not_what_the_server_says_is_refused() {
    let server = Server::start(|_| {
        Response::new(200, "hello").with("X-Goog-Hash", "crc32c=mnG7TA==").with(
            "X-Goog-Hash",
            // of `hello` and of something else
            "md5=XUFAKrxLKna5cZ2REBfFkw==",
        )
    })
    .await;
    let folder = Folder::new();
    let error = folder.fetch(&mirror(&server)).await.expect_err("damaged");
    assert!(matches!(error, MirrorError::Damaged { .. }), "{}", words(&error));
    assert_eq!((folder.names(), server.seen().len()), (Vec::new(), 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spoilt_part_is_fetched_anew_where_the_server_sends_a_sum() {
    let is_whole = std::sync::Arc::new(AtomicUsize::new(0));
    let asked = std::sync::Arc::clone(&is_whole);
    let server = Server::start(move |request| {
        let mut response = partial(request, b"hello").with("X-Goog-Hash", "md5=XUFAKrxLKna5cZ2REBfFkg==");
        if asked.fetch_add(1, Ordering::SeqCst) < 4 {
            response.cut_at = Some(usize::from(offset(request) == 0) * 2);
        }
        response
    })
    .await;
    let folder = Folder::new();
    folder.fetch(&mirror(&server)).await.expect_err("broken");
    fs::write(folder.0.path().join("x.part"), "hE").expect("spoilt");
    folder.fetch(&mirror(&server)).await.expect("fetched");
    assert_eq!(folder.content(), b"hello");
    assert_eq!(server.seen()[4..].iter().map(offset).collect::<Vec<_>>(), [2, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_were_not_asked_for_are_refused() {
    for (answer, what) in [
        (Response::new(304, ""), "nothing has changed since a version that was not named"),
        (
            Response::new(206, "x").with("Content-Range", "bytes 0-0/1"),
            "a part of the file, where the whole was asked for",
        ),
        (Response::new(416, ""), "a part of the file, where the whole was asked for"),
        (Response::new(200, "x").with("Content-Encoding", "gzip"), "it is packed, which was not asked for"),
    ] {
        let server = Server::start(move |_| answer.clone()).await;
        let error = Folder::new().fetch(&mirror(&server)).await.expect_err(what);
        let url = format!("http://{}/osv/x", server.host());
        assert_eq!(words(&error), format!("the answer to {url} breaks the protocol: {what}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_is_dropped_when_the_known_version_is_back() {
    let server = Server::start(|request| {
        if request.header("if-none-match") == Some("\"v0\"") {
            return Response::new(304, "");
        }
        let mut response = partial(request, b"hello");
        response.cut_at = Some(if offset(request) == 0 { 2 } else { 0 });
        response
    })
    .await;
    let folder = Folder::new();
    folder.fetch(&mirror(&server)).await.expect_err("broken");
    assert_eq!(folder.names(), ["x.part", "x.part.json"]);
    let into = folder.0.path().join("x");
    let fetched = mirror(&server).fetch(&["x"], Some(&etag("\"v0\"")), &into, ENOUGH, &|_| ()).await;
    assert_eq!(fetched.expect("asked"), Fetched::NotModified);
    assert_eq!(folder.names(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_where_nobody_listens_is_said_to_be_out_of_reach() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let host = silent.local_addr().expect("an address").to_string();
    drop(silent);
    let settings = Settings { plain_http: vec![host.clone()], ..hurried() };
    let mirror = Mirror::new(&format!("http://{host}"), settings).expect("set up");
    let error = Folder::new().fetch(&mirror).await.expect_err("nobody there");
    assert!(words(&error).starts_with(&format!("cannot connect for http://{host}/x: ")), "{}", words(&error));
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_named_and_nothing_that_was_there_is_lost() {
    let server = Server::start(|_| Response::new(200, noise(10, 5_000_000))).await;
    let folder = Folder::new();
    let into = folder.0.path().join("x");
    fs::write(&into, "before").expect("written");
    std::os::unix::fs::symlink("/dev/full", folder.0.path().join("x.part")).expect("linked");
    let error = folder.fetch(&mirror(&server)).await.expect_err("no room");
    let text = words(&error);
    assert!(text.starts_with(&format!("cannot write {}.part: No space left", into.display())), "{text}");
    assert_eq!(folder.content(), b"before");
}

#[test]
fn the_way_of_a_file_can_be_taken_by_a_task() {
    fn is_send<T: Send>(_: T) {}
    let mirror = Mirror::new("https://a.test/osv", Settings::default()).expect("set up");
    is_send(mirror.fetch(&["x"], None, Path::new("x"), ENOUGH, &|_| ()));
    is_send(mirror.small(&["x"]));
}
