//! `clarity-scan keep`, the program of the cache pod, over the pipes that a runtime gives it.

use std::io::Write as _;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use clarity::cache::{About, CacheError, Entry, Found, Line, Opening, Store as _, VolumeStore, Way};
use clarity::image::{Digest, ImageKey, Platform};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use jiff::Timestamp;
use tokio::net::unix::pipe;

const PROGRAM: &str = env!("CARGO_BIN_EXE_clarity-scan");

/// Starts the program anew for each line.
struct ByProcess {
    command: Vec<String>,
    children: Arc<Mutex<Vec<Child>>>,
}

impl Way for ByProcess {
    fn name(&self) -> String {
        "claim cache in namespace shop".to_owned()
    }

    fn open(&self) -> Opening<'_> {
        async {
            let mut command = Command::new(&self.command[0]);
            command.args(&self.command[1..]).stdin(Stdio::piped()).stdout(Stdio::piped());
            let mut child = command.spawn().expect("it was built");
            let (stdin, stdout) = (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
            self.children.lock().expect("no panic").push(child);
            Ok::<_, CacheError>(Line {
                from: Box::new(pipe::Receiver::from_owned_fd(stdout.into()).expect("a pipe")),
                to: Box::new(pipe::Sender::from_owned_fd(stdin.into()).expect("a pipe")),
                keep: Box::new(()),
            })
        }
        .boxed()
    }

    fn close(&self) -> BoxFuture<'_, Option<String>> {
        async { None }.boxed()
    }
}

fn store(command: &[&str]) -> (VolumeStore, Arc<Mutex<Vec<Child>>>) {
    let children = Arc::default();
    let command = command.iter().map(ToString::to_string).collect();
    let way = ByProcess { command, children: Arc::clone(&children) };
    (VolumeStore::new(Box::new(way)), children)
}

fn entry(name: &str) -> Entry {
    let document = format!(r#"{{"bomFormat":"CycloneDX","specVersion":"1.5","serialNumber":"{name}"}}"#);
    let now = Timestamp::now();
    let about = About {
        key: ImageKey { digest: Digest::of(name.as_bytes()), platform: Platform::of_this_program() },
        manifest: None,
        config: None,
        reference: format!("registry.test/{name}").parse().expect("a reference"),
        reader: "volume".to_owned(),
        generator: "kubectl-clarity 0.1.0".to_owned(),
        analysers: "dpkg/1".to_owned(),
        packages: 0,
        document: Digest::of(document.as_bytes()),
        stored: 0,
        created: now,
        used: now,
    };
    Entry { about, document: document.into_bytes() }
}

#[tokio::test]
async fn what_one_process_keeps_the_next_one_has_and_each_ends_with_its_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("kubectl-clarity/sboms").display().to_string();
    let good = entry("web:1");
    let (first, children) = store(&[PROGRAM, "keep", "--folder", &path]);
    first.put(&good).await.expect("kept");
    drop(first);
    let mut child = children.lock().expect("no panic").pop().expect("one was started");
    assert_eq!(child.wait().expect("it ends").code(), Some(0));

    let (second, _children) = store(&[PROGRAM, "keep", "--folder", &path]);
    let found = second.get(std::slice::from_ref(&good.about.key)).await.expect("asked");
    let [Found::Whole(there)] = &found[..] else { panic!("{found:?}") };
    assert_eq!(there.document, good.document);
}

#[tokio::test]
async fn process_that_is_killed_is_followed_by_another() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, children) = store(&[PROGRAM, "keep", "--folder", &folder.path().display().to_string()]);
    for number in 0..20 {
        store.put(&entry(&format!("image{number}:1"))).await.expect("kept");
        if number % 5 == 0 {
            let mut children = children.lock().expect("no panic");
            let child = children.last_mut().expect("one runs");
            child.kill().expect("it runs");
            child.wait().expect("it is ours");
        }
    }
    assert_eq!(store.verify().await.expect("read").whole, 20);
    assert_eq!(children.lock().expect("no panic").len(), 5);
}

#[tokio::test]
async fn volume_that_is_full_is_an_error_in_words_and_can_still_be_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().display().to_string();
    // A volume of one page, which only this process sees.
    let script = format!(
        "mount -t tmpfs -o size=4k,mode=0777 tmpfs {path} && head -c 4096 /dev/zero >{path}/others && \
         exec {PROGRAM} keep --folder {path}/sboms"
    );
    let (store, _children) = store(&["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", &script]);
    let words = store.put(&entry("web:1")).await.expect_err("it is full").in_words();
    assert!(words.starts_with("cannot write claim cache in namespace shop: cannot write "), "{words}");
    assert!(words.contains("No space left on device"), "{words}");
    assert_eq!(store.list().await.expect("read"), []);
}

#[test]
fn what_is_no_question_ends_the_program_in_words() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut child = Command::new(PROGRAM)
        .args(["keep", "--folder"])
        .arg(folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it was built");
    child.stdin.take().expect("piped").write_all(b"GET / HTTP/1.1\r\n\r\n").expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
    let said = String::from_utf8(output.stderr).expect("text");
    assert_eq!(said, "error: cannot serve what is kept\n  cause: what was sent is no message\n");
}
