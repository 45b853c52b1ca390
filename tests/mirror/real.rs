//! Against nginx.

use std::fs;
use std::path::Path;
use std::sync::Mutex;

use clarity::image::Digest;
use clarity::mirror::{Fetched, Mirror, MirrorError, Validators};
use tokio::sync::Notify;

use super::nginx::Nginx;
use super::{ENOUGH, hurried, noise, words};

/// Enough that a download is still under way when its first bytes have come.
const LARGE: usize = 24 * 1024 * 1024;
const ALL: [&str; 2] = ["Debian", "all.zip"];

fn complete(fetched: Fetched, content: &[u8]) -> Validators {
    let Fetched::Complete { validators, size, sha256 } = fetched else { panic!("{fetched:?}") };
    assert_eq!((size, sha256), (content.len() as u64, Digest::of(content)));
    validators
}

fn part_of(into: &Path) -> std::path::PathBuf {
    into.with_file_name(format!("{}.part", into.file_name().expect("a name").display()))
}

fn nothing_is_left_beside(into: &Path) {
    let folder = fs::read_dir(into.parent().expect("a folder")).expect("a folder");
    let parts = folder
        .filter(|entry| entry.as_ref().expect("an entry").file_name().to_string_lossy().contains(".part"));
    assert_eq!(parts.count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_not_changed_is_not_fetched_again() {
    let nginx = Nginx::start();
    let mirror = Mirror::new(&nginx.base(), nginx.settings()).expect("set up");
    let into = nginx.target("fetched");
    let (old, new) = (noise(1, 300_000), noise(2, 300_001));
    nginx.put("Debian/all.zip", &old);
    let last = Mutex::new(0);
    let progress = |count| *last.lock().expect("no panic") = count;
    let fetched = mirror.fetch(&ALL, None, &into, ENOUGH, &progress).await.expect("fetched");
    let known = complete(fetched, &old);
    assert!(known.etag.is_some() && known.last_modified.is_some(), "{known:?}");
    assert_eq!(*last.lock().expect("no panic"), 300_000);
    assert!(fs::read(&into).expect("there") == old);
    nothing_is_left_beside(&into);

    let again = mirror.fetch(&ALL, Some(&known), &into, ENOUGH, &progress).await.expect("asked");
    assert_eq!(again, Fetched::NotModified);
    assert_eq!(nginx.answered(2).await, ["200 300000 /osv/Debian/all.zip", "304 0 /osv/Debian/all.zip"]);
    nothing_is_left_beside(&into);

    nginx.put("Debian/all.zip", &new);
    let changed = mirror.fetch(&ALL, Some(&known), &into, ENOUGH, &progress).await.expect("fetched");
    assert_ne!(complete(changed, &new), known);
    assert!(fs::read(&into).expect("there") == new);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_with_spaces_are_asked_for_as_the_bucket_calls_them() {
    let nginx = Nginx::start();
    let mirror = Mirror::new(&format!("{}/", nginx.base()), nginx.settings()).expect("set up");
    nginx.put("Rocky Linux/all.zip", b"rocks");
    let into = nginx.target("fetched");
    mirror.fetch(&["Rocky Linux", "all.zip"], None, &into, ENOUGH, &|_| ()).await.expect("fetched");
    assert_eq!(fs::read(&into).expect("there"), b"rocks");
    assert_eq!(nginx.answered(1).await, ["200 5 /osv/Rocky%20Linux/all.zip"]);
}

/// Fetches and gives up in the middle.
async fn interrupted(mirror: &Mirror, into: &Path) {
    let enough = Notify::new();
    let stop = |count| {
        if count > LARGE as u64 / 4 {
            enough.notify_one();
        }
    };
    tokio::select! {
        biased;
        () = enough.notified() => {}
        done = mirror.fetch(&ALL, None, into, ENOUGH, &stop) => panic!("it was to be given up: {done:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_that_was_given_up_is_gone_on_with_where_it_was() {
    let nginx = Nginx::start();
    let mirror = Mirror::new(&nginx.base(), nginx.settings()).expect("set up");
    let (content, into) = (noise(3, LARGE), nginx.target("fetched"));
    nginx.put("Debian/all.zip", &content);
    fs::write(&into, "what was there before").expect("written");
    interrupted(&mirror, &into).await;
    assert_eq!(fs::read(&into).expect("there"), b"what was there before");
    nginx.answered(1).await;

    let first = Mutex::new(None);
    let progress = |count| {
        first.lock().expect("no panic").get_or_insert(count);
    };
    let fetched = mirror.fetch(&ALL, None, &into, ENOUGH, &progress).await.expect("fetched");
    complete(fetched, &content);
    assert!(fs::read(&into).expect("there") == content);
    let begun_at = first.lock().expect("no panic").expect("told");
    assert!(begun_at > LARGE as u64 / 5 && begun_at < LARGE as u64, "{begun_at}");
    let rest = LARGE as u64 - begun_at;
    assert_eq!(nginx.answered(1).await, [format!("206 {rest} /osv/Debian/all.zip")]);
    nothing_is_left_beside(&into);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_of_an_older_version_is_not_gone_on_with() {
    let nginx = Nginx::start();
    let mirror = Mirror::new(&nginx.base(), nginx.settings()).expect("set up");
    let (old, new, into) = (noise(4, LARGE), noise(5, LARGE + 1), nginx.target("fetched"));
    nginx.put("Debian/all.zip", &old);
    interrupted(&mirror, &into).await;
    nginx.answered(1).await;
    nginx.put("Debian/all.zip", &new);
    let fetched = mirror.fetch(&ALL, None, &into, ENOUGH, &|_| ()).await.expect("fetched");
    complete(fetched, &new);
    assert!(fs::read(&into).expect("there") == new);
    assert_eq!(nginx.answered(1).await, [format!("200 {} /osv/Debian/all.zip", LARGE + 1)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_is_whole_is_put_in_its_place_once_the_server_says_so() {
    let nginx = Nginx::start();
    let mirror = Mirror::new(&nginx.base(), nginx.settings()).expect("set up");
    let (content, into) = (noise(6, LARGE), nginx.target("fetched"));
    nginx.put("Debian/all.zip", &content);
    interrupted(&mirror, &into).await;
    nginx.answered(1).await;
    // As if the machine had stopped just before the end.
    fs::write(part_of(&into), &content).expect("written");
    let fetched = mirror.fetch(&ALL, None, &into, ENOUGH, &|_| ()).await.expect("placed");
    complete(fetched, &content);
    assert!(fs::read(&into).expect("there") == content);
    assert!(nginx.answered(1).await[0].starts_with("416 "));
    nothing_is_left_beside(&into);

    // And once more with another version on the server.
    interrupted(&mirror, &into).await;
    nginx.answered(1).await;
    fs::write(part_of(&into), &content).expect("written");
    nginx.put("Debian/all.zip", b"new");
    let fetched = mirror.fetch(&ALL, None, &into, ENOUGH, &|_| ()).await.expect("fetched");
    complete(fetched, b"new");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_is_longer_than_the_file_or_of_unknown_version_is_fetched_anew() {
    let nginx = Nginx::start();
    let mirror = Mirror::new(&nginx.base(), nginx.settings()).expect("set up");
    let (content, into) = (noise(7, LARGE), nginx.target("fetched"));
    nginx.put("Debian/all.zip", &content);
    interrupted(&mirror, &into).await;
    let record = into.with_file_name("fetched.part.json");
    let kept = fs::read(&record).expect("kept");
    nginx.answered(1).await;
    for (part, record_text) in
        [([&content, b"more".as_slice()].concat(), kept.as_slice()), (content[..1000].to_vec(), b"{}")]
    {
        fs::write(part_of(&into), part).expect("written");
        fs::write(&record, record_text).expect("written");
        let fetched = mirror.fetch(&ALL, None, &into, ENOUGH, &|_| ()).await.expect("fetched");
        complete(fetched, &content);
        assert_eq!(nginx.answered(1).await, [format!("200 {LARGE} /osv/Debian/all.zip")]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_mirror_does_not_have_is_said_with_its_address() {
    let nginx = Nginx::start();
    let mirror = Mirror::new(&nginx.base(), nginx.settings()).expect("set up");
    let into = nginx.target("fetched");
    let error = mirror.fetch(&ALL, None, &into, ENOUGH, &|_| ()).await.expect_err("not there");
    assert!(matches!(error, MirrorError::NotFound { .. }));
    let expected = format!("the mirror has no {}/Debian/all.zip: it answered 404 Not Found: ", nginx.base());
    assert!(words(&error).starts_with(&expected), "{}", words(&error));
    nothing_is_left_beside(&into);
}

#[tokio::test(flavor = "multi_thread")]
async fn small_files_are_read_at_once() {
    let nginx = Nginx::start();
    let mirror = Mirror::new(&nginx.base(), nginx.settings()).expect("set up");
    nginx.put("ecosystems.txt", b"Debian\nGo\n");
    nginx.put("large.txt", &vec![b'x'; 1024 * 1024 + 1]);
    assert_eq!(mirror.small(&["ecosystems.txt"]).await.expect("read").as_ref(), b"Debian\nGo\n");
    let error = mirror.small(&["large.txt"]).await.expect_err("too large");
    assert_eq!(words(&error), format!("{}/large.txt is larger than 1048576 bytes", nginx.base()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_larger_than_allowed_is_not_begun() {
    let nginx = Nginx::start();
    let mirror = Mirror::new(&nginx.base(), nginx.settings()).expect("set up");
    nginx.put("Debian/all.zip", &noise(8, 100_001));
    let into = nginx.target("fetched");
    let error = mirror.fetch(&ALL, None, &into, 100_000, &|_| panic!("nothing comes")).await;
    let error = error.expect_err("too large");
    assert_eq!(words(&error), format!("{}/Debian/all.zip is larger than 100000 bytes", nginx.base()));
    nothing_is_left_beside(&into);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_that_nobody_named_is_said_to_be_unknown() {
    let nginx = Nginx::start();
    let mirror = Mirror::new(&nginx.base(), hurried()).expect("set up");
    let error = mirror.small(&["ecosystems.txt"]).await.expect_err("not trusted");
    assert!(matches!(error, MirrorError::UnknownIssuer { .. }), "{}", words(&error));
}
