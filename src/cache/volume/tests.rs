use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use proptest::prelude::*;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex, split};

use super::frame::{Frame, MAX_FRAME_HEADER};
use super::message::{PROTOCOL, Question, Reply};
use super::*;
use crate::cache::tests::{ANALYSERS, entry, key, remade};
use crate::cache::{Cache, LocalStore};

/// How the other end behaves.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// As it should.
    Serves,
    /// It cannot be reached.
    Refuses,
    /// It goes away after so many bytes, once.
    BreaksOnceAfter(usize),
}

/// A way to a folder, by a line in memory.
struct ByMemory {
    folder: Arc<TempDir>,
    end: End,
    opened: Arc<AtomicUsize>,
    closed: Arc<AtomicUsize>,
}

struct Place {
    folder: Arc<TempDir>,
    store: VolumeStore,
    opened: Arc<AtomicUsize>,
    closed: Arc<AtomicUsize>,
}

fn place(end: End) -> Place {
    let folder = Arc::new(tempfile::tempdir().expect("a folder"));
    let (opened, closed) = (Arc::default(), Arc::default());
    let way =
        ByMemory { folder: Arc::clone(&folder), end, opened: Arc::clone(&opened), closed: Arc::clone(&closed) };
    Place { folder, store: VolumeStore::new(Box::new(way)), opened, closed }
}

fn line(stream: DuplexStream, keep: Box<dyn Send + Sync>) -> Line {
    let (from, to) = split(stream);
    Line { from: Box::new(from), to: Box::new(to), keep }
}

impl Way for ByMemory {
    fn name(&self) -> String {
        "claim cache in namespace shop".to_owned()
    }

    fn open(&self) -> Opening<'_> {
        let number = self.opened.fetch_add(1, Ordering::Relaxed);
        let (ours, theirs) = duplex(64 << 10);
        let store = LocalStore::at(self.folder.path().join("sboms"));
        let end = self.end;
        async move {
            if end == End::Refuses {
                let source = "no node takes the cache pod".into();
                return Err(CacheError::Open { place: self.name(), source });
            }
            let (from, to) = split(theirs);
            let most = match end {
                End::BreaksOnceAfter(bytes) if number == 0 => bytes as u64,
                _ => u64::MAX,
            };
            tokio::spawn(async move { serve(from.take(most), to, &store, Duration::from_mins(1)).await });
            Ok(line(ours, Box::new(())))
        }
        .boxed()
    }

    fn close(&self) -> BoxFuture<'_, Option<String>> {
        self.closed.fetch_add(1, Ordering::Relaxed);
        async { None }.boxed()
    }
}

fn whole(found: &[Found]) -> Vec<Entry> {
    let entries = found.iter().filter_map(|found| match found {
        Found::Whole(entry) => Some(entry.as_ref().clone()),
        Found::Damaged(..) => None,
    });
    entries.collect()
}

fn documents(entries: &[Entry]) -> BTreeSet<Vec<u8>> {
    entries.iter().map(|entry| entry.document.clone()).collect()
}

#[tokio::test]
async fn what_is_kept_comes_back_and_can_be_removed() {
    let Place { store, opened, closed, .. } = place(End::Serves);
    let entries: Vec<Entry> = (0..250).map(|number| entry(number, "linux/amd64")).collect();
    for entry in &entries {
        store.put(entry).await.expect("kept");
    }
    let keys: Vec<ImageKey> = (0..300).map(|number| key(number, "linux/amd64")).collect();
    let found = store.get(&keys).await.expect("asked");
    assert_eq!(documents(&whole(&found)), documents(&entries), "also by more than one question");
    assert_eq!(store.list().await.expect("listed").len(), 250);
    store.touch(&keys[..1]).await.expect("touched");
    store.remove(&keys[0]).await.expect("removed");
    store.remove(&keys[0]).await.expect("gone is no error");
    assert_eq!(store.verify().await.expect("read"), Verified { whole: 249, damaged: Vec::new() });
    assert_eq!(store.sweep().await.expect("swept"), 0);
    assert_eq!(opened.load(Ordering::Relaxed), 1, "one pod for all of it");
    assert_eq!(store.close().await, None);
    assert!(closed.load(Ordering::Relaxed) > 0);
}

#[tokio::test]
async fn entry_of_other_analysers_takes_the_place_of_the_old_one() {
    let Place { store, .. } = place(End::Serves);
    let old = entry(1, "linux/amd64");
    let new = remade(&old, "os-release/1,dpkg/2");
    for entry in [&old, &new, &new] {
        store.put(entry).await.expect("kept");
    }
    let found = store.get(&[key(1, "linux/amd64")]).await.expect("asked");
    assert_eq!(whole(&found)[0].document, new.document);
}

#[tokio::test]
async fn nothing_is_started_until_something_is_asked_that_this_machine_does_not_know() {
    let Place { store, opened, .. } = place(End::Serves);
    let local = tempfile::tempdir().expect("a folder");
    let cache = Cache::new(Some(LocalStore::at(local.path())), Some(Box::new(store)));
    let mut known = entry(1, "linux/amd64");
    known.about.used -= jiff::SignedDuration::from_hours(24 * 30);
    LocalStore::at(local.path()).put(&known).await.expect("kept");
    let got = cache.get(&[key(1, "linux/amd64")], Some(ANALYSERS)).await;
    assert_eq!((got.entries.len(), got.notes), (1, Vec::new()));
    assert_eq!(cache.put(&[]).await, [""; 0]);
    assert_eq!(opened.load(Ordering::Relaxed), 0, "nor to say that something is used");
    assert_eq!(cache.get(&[key(2, "linux/amd64")], Some(ANALYSERS)).await.entries, []);
    assert_eq!(opened.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn volume_that_cannot_be_reached_is_tried_once_and_said_once() {
    let Place { store, opened, .. } = place(End::Refuses);
    let cache = Cache::new(None, Some(Box::new(store)));
    let got = cache.get(&[key(1, "linux/amd64")], None).await;
    assert_eq!(got.notes, ["cache: cannot open claim cache in namespace shop: no node takes the cache pod"]);
    assert_eq!(cache.put(&[entry(1, "linux/amd64")]).await, [""; 0]);
    assert_eq!(opened.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn damaged_file_is_named_and_the_others_are_given() {
    let Place { store, folder, .. } = place(End::Serves);
    for number in 0..3 {
        store.put(&entry(number, "linux/amd64")).await.expect("kept");
    }
    let name = form::name(&key(1, "linux/amd64")).expect("a name");
    let path = folder.path().join("sboms").join(format!("{name}.sbom"));
    let mut bytes = std::fs::read(&path).expect("a file");
    let last = bytes.len() - 9;
    bytes[last] ^= 1;
    std::fs::write(&path, bytes).expect("written");
    let keys: Vec<ImageKey> = (0..3).map(|number| key(number, "linux/amd64")).collect();
    let found = store.get(&keys).await.expect("asked");
    assert_eq!((found.len(), whole(&found).len()), (3, 2));
    let verified = store.verify().await.expect("read");
    assert_eq!((verified.whole, verified.damaged.len()), (2, 1));
    assert!(verified.damaged[0].name.contains(&name), "{verified:?}");
    store.remove(&keys[1]).await.expect("removed");
    store.put(&entry(1, "linux/amd64")).await.expect("made anew");
    assert_eq!(store.verify().await.expect("read").whole, 3);
}

#[tokio::test]
async fn folder_that_cannot_be_written_is_an_error_in_words_and_the_line_goes_on() {
    let Place { store, folder, opened, .. } = place(End::Serves);
    std::fs::write(folder.path().join("sboms"), "a file").expect("written");
    let error = store.put(&entry(1, "linux/amd64")).await.expect_err("no folder");
    let words = error.in_words();
    assert!(words.starts_with("cannot write claim cache in namespace shop: cannot write "), "{words}");
    assert!(store.list().await.is_err());
    assert_eq!(opened.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn line_that_breaks_at_any_place_is_taken_up_anew() {
    for bytes in (0..900).step_by(23) {
        let Place { store, opened, .. } = place(End::BreaksOnceAfter(bytes));
        let put = store.put(&entry(1, "linux/amd64")).await;
        // The very first answer decides whether there is a way at all.
        if let Err(CacheError::Open { .. }) = put {
            assert!(bytes < 100, "{bytes}");
            continue;
        }
        put.expect("kept");
        let found = store.get(&[key(1, "linux/amd64")]).await.expect("asked");
        assert_eq!(whole(&found).len(), 1);
        assert!(opened.load(Ordering::Relaxed) <= 2);
    }
}

#[tokio::test]
async fn pod_that_was_not_asked_for_long_is_taken_for_gone() {
    let Place { store, opened, .. } = place(End::Serves);
    store.put(&entry(1, "linux/amd64")).await.expect("kept");
    let long_ago = tokio::time::Instant::now().checked_sub(session::IDLE).expect("it runs for longer");
    store.state.lock().await.session.as_mut().expect("a line").last = long_ago;
    store.touch(&[key(1, "linux/amd64")]).await.expect("noted");
    assert_eq!(opened.load(Ordering::Relaxed), 1, "to say that something is used no other one is started");
    let found = store.get(&[key(1, "linux/amd64")]).await.expect("asked");
    assert_eq!((whole(&found).len(), opened.load(Ordering::Relaxed)), (1, 2));
    assert!(store.used.lock().expect("no panic").is_empty(), "that was said to the new one");
}

/// A store whose other end sends these bytes, whatever it is asked.
async fn with_answers(bytes: Vec<u8>) -> Result<Session, LineError> {
    let (ours, mut theirs) = duplex(64 << 10);
    tokio::spawn(async move {
        let _ = theirs.write_all(&bytes).await;
        let _ = theirs.shutdown().await;
        let mut rest = Vec::new();
        let _ = theirs.read_to_end(&mut rest).await;
    });
    Session::begin(line(ours, Box::new(()))).await
}

async fn framed(replies: &[Reply], body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for reply in replies {
        let header = serde_json::to_vec(reply).expect("JSON");
        frame::write(&mut bytes, &header, body).await.expect("memory");
    }
    bytes
}

fn done(id: u64) -> Reply {
    Reply { id, answer: Answer::Done { count: 0 } }
}

#[tokio::test]
async fn answers_to_what_was_not_asked_are_not_believed() {
    let forged = entry(2, "linux/amd64");
    let packed = form::pack(&forged).expect("packed");
    let answer = |key| Answer::Entry { key, header: packed.header.clone() };
    let asked = vec![key(1, "linux/amd64")];
    let get = Ask::Get { keys: asked.clone() };
    // Another entry under the key that was asked for.
    let replies = [done(1), Reply { id: 2, answer: answer(asked[0].clone()) }, done(2)];
    let mut session = with_answers(framed(&replies, &packed.document).await).await.expect("greeted");
    let mut found = Vec::new();
    let take = |answer, body: Vec<u8>| {
        let Answer::Entry { key, header } = answer else { return Err(LineError::Unasked) };
        found.push(read_entry(key, &header, &body));
        Ok(())
    };
    session.ask(&get, &[], take).await.expect("answered");
    assert!(
        matches!(&found[..], [Found::Damaged(key, why)] if *key == asked[0] && why.contains("it says of itself"))
    );
    // An answer with the number of another question.
    let bytes = framed(&[done(1), done(7)], &[]).await;
    let mut session = with_answers(bytes).await.expect("greeted");
    assert!(matches!(session.ask(&get, &[], |_, _| Ok(())).await, Err(LineError::Unasked)));
    // None at all.
    let mut session = with_answers(framed(&[done(1)], &[]).await).await.expect("greeted");
    assert!(matches!(session.ask(&get, &[], |_, _| Ok(())).await, Err(LineError::Over)));
}

#[tokio::test]
async fn other_protocol_is_refused_in_words() {
    let folder = tempfile::tempdir().expect("a folder");
    let question = Question { id: 1, ask: Ask::Hello { protocol: PROTOCOL + 1 } };
    let (mut asked, mut said) = (Vec::new(), Vec::new());
    frame::write(&mut asked, &serde_json::to_vec(&question).expect("JSON"), &[]).await.expect("memory");
    let store = LocalStore::at(folder.path());
    serve(&asked[..], &mut said, &store, Duration::from_secs(1)).await.expect("served");
    let mut session = with_answers(said).await;
    let Err(LineError::Refused(why)) = &mut session else { panic!("it was refused") };
    assert!(why.contains("version 1 of the protocol"), "{why}");
}

#[tokio::test]
async fn pod_ends_when_nothing_is_asked_or_the_line_ends() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = LocalStore::at(folder.path());
    let (ours, theirs) = duplex(64);
    let (from, to) = split(theirs);
    serve(from, to, &store, Duration::from_millis(20)).await.expect("it was idle");
    drop(ours);
    serve(&b""[..], Vec::new(), &store, Duration::from_mins(1)).await.expect("the end");
}

#[tokio::test]
async fn pod_keeps_nothing_that_is_not_what_it_says() {
    let Place { store, folder, .. } = place(End::Serves);
    let good = form::pack(&entry(1, "linux/amd64")).expect("packed");
    let ask = Ask::Put { key: key(2, "linux/amd64"), header: good.header };
    let take = |(): &mut (), answer, _| match answer {
        Answer::Damaged { why, .. } => Err(LineError::Refused(why)),
        _ => Err(LineError::Unasked),
    };
    let error = store.ask(ask, &good.document, take).await.expect_err("another key");
    assert!(error.in_words().contains("it says of itself"), "{}", error.in_words());
    assert!(!folder.path().join("sboms").exists());
    assert_eq!(store.list().await.expect("the line goes on"), []);
}

#[test]
fn text_of_the_pod_is_cut_and_without_control_characters() {
    assert_eq!(cleaned("a\u{1b}[31m\nb"), "a [31m b");
    assert_eq!(cleaned(&"ä".repeat(10_000)).chars().count(), 500);
}

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(work)
}

proptest! {
    #[test]
    fn frames_come_back_as_they_were_and_what_is_cut_is_an_error(
        header in proptest::collection::vec(any::<u8>(), 0..300),
        body in proptest::collection::vec(any::<u8>(), 0..300),
        at in any::<proptest::sample::Index>(),
    ) {
        run(async {
            let mut bytes = Vec::new();
            frame::write(&mut bytes, &header, &body).await.expect("memory");
            let read = frame::read(&mut &bytes[..]).await.expect("whole");
            assert_eq!(read, Some(Frame { header, body }));
            let at = at.index(bytes.len());
            let cut = frame::read(&mut &bytes[..at]).await;
            assert!(if at == 0 { matches!(cut, Ok(None)) } else { cut.is_err() });
        });
    }

    #[test]
    fn hostile_bytes_are_errors_at_both_ends_and_no_panics(
        bytes in proptest::collection::vec(any::<u8>(), 1..400),
        header in "\\PC{0,60}",
        length in any::<u32>(),
    ) {
        run(async {
            let folder = tempfile::tempdir().expect("a folder");
            let store = LocalStore::at(folder.path());
            let mut announced = b"KCV1".to_vec();
            announced.extend(length.to_be_bytes());
            announced.extend(&bytes);
            let mut framed = Vec::new();
            frame::write(&mut framed, header.as_bytes(), &bytes).await.expect("memory");
            for hostile in [bytes.clone(), announced, framed] {
                let idle = Duration::from_secs(5);
                assert!(serve(&hostile[..], Vec::new(), &store, idle).await.is_err());
                assert!(with_answers(hostile).await.is_err());
            }
        });
    }
}

#[tokio::test]
async fn parts_that_are_too_large_are_refused_before_they_are_held() {
    let mut large = b"KCV1".to_vec();
    large.extend(u32::try_from(MAX_FRAME_HEADER + 1).expect("small").to_be_bytes());
    large.extend([0; 4]);
    assert!(matches!(frame::read(&mut &large[..]).await, Err(FrameError::Large(_))));
    let mut large = b"KCV1".to_vec();
    large.extend([0; 4]);
    large.extend(u32::MAX.to_be_bytes());
    assert!(matches!(frame::read(&mut &large[..]).await, Err(FrameError::Large(_))));
}
