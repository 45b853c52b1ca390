//! The program under test: started, watched, interrupted, and looked at when it has ended.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::environment::{environment, kubectl, wait_for};

/// Longer than any scan of these tests takes.
const PATIENCE: Duration = Duration::from_secs(90);

/// A command to come.
pub(crate) struct Plugin(Command);

/// A command that runs. It is killed if the test does not see its end.
pub(crate) struct Running {
    child: Child,
    began: Instant,
    stdout: Option<JoinHandle<String>>,
    said: Arc<(Mutex<String>, Condvar)>,
    stderr: Option<JoinHandle<()>>,
}

/// A command that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// None if a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) took: Duration,
}

impl Plugin {
    /// The program with these arguments and nothing else.
    pub(crate) fn new(arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-clarity"));
        command.args(arguments);
        // Nothing of the person who runs the tests is used or changed, and nothing is fetched unless a test wants it.
        command.env("XDG_CACHE_HOME", concat!(env!("CARGO_TARGET_TMPDIR"), "/cache"));
        command.env("CLARITY_SBOM_CACHE", "none").env("CLARITY_OFFLINE", "yes");
        Self(command)
    }

    /// A scan of this scope with the scanner of this build and the records of the tests, as JSON.
    pub(crate) fn scan(scope: &[&str]) -> Self {
        Self::untrusting(scope).with(&["--registry-ca", &environment().registry_ca])
    }

    /// The same where nobody vouches for the registries.
    pub(crate) fn untrusting(scope: &[&str]) -> Self {
        Self::new(&["scan", "-o", "json", "--scanner-image", &environment().scanner])
            .with(&["--advisories", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/osv")])
            .with(scope)
    }

    /// More arguments; of a flag that is given twice the last counts.
    pub(crate) fn with(mut self, arguments: &[&str]) -> Self {
        self.0.args(arguments);
        self
    }

    /// A variable of its environment.
    pub(crate) fn variable(mut self, name: &str, value: &str) -> Self {
        self.0.env(name, value);
        self
    }

    /// Runs it to its end.
    pub(crate) fn run(self) -> Ended {
        self.start().end()
    }

    /// Starts it.
    pub(crate) fn start(mut self) -> Running {
        self.0.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.0.spawn().expect("the program was built");
        let mut stdout = child.stdout.take().expect("it was piped");
        let stderr = BufReader::new(child.stderr.take().expect("it was piped"));
        let said = Arc::new((Mutex::new(String::new()), Condvar::new()));
        let heard = Arc::clone(&said);
        Running {
            child,
            began: Instant::now(),
            stdout: Some(std::thread::spawn(move || {
                let mut text = String::new();
                stdout.read_to_string(&mut text).expect("text");
                text
            })),
            said,
            stderr: Some(std::thread::spawn(move || {
                for line in stderr.lines() {
                    *heard.0.lock().expect("no panic") += &(line.expect("text") + "\n");
                    heard.1.notify_all();
                }
            })),
        }
    }
}

impl Running {
    /// Waits until it has said this on stderr.
    pub(crate) fn wait_for_words(&self, words: &str) {
        let said = self.said.0.lock().expect("no panic");
        let (said, waited) = self
            .said
            .1
            .wait_timeout_while(said, Duration::from_secs(30), |said| !said.contains(words))
            .expect("no panic");
        assert!(!waited.timed_out(), "it does not say {words:?} but {said:?}");
    }

    /// Sends it a signal, as Ctrl-C does.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
        assert!(sent.expect("kill").success(), "it has ended before the signal");
    }

    /// Waits for its end.
    pub(crate) fn end(mut self) -> Ended {
        let mut status = None;
        while status.is_none() && self.began.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(10));
            status = self.child.try_wait().expect("it is ours");
        }
        let took = self.began.elapsed();
        let is_late = status.is_none();
        if is_late {
            self.child.kill().expect("it runs");
        }
        let status = self.child.wait().expect("it is ours");
        let stdout = self.stdout.take().expect("ended once").join().expect("no panic");
        self.stderr.take().expect("ended once").join().expect("no panic");
        let stderr = self.said.0.lock().expect("no panic").clone();
        assert!(!is_late, "no end after {PATIENCE:?}; it said:\n{stderr}");
        Ended { code: status.code(), stdout, stderr, took }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has ended when the test went as it should.
        let _ = self.child.kill();
    }
}

impl Ended {
    /// Asserts the exit code, and shows all that was said if it differs.
    #[track_caller]
    pub(crate) fn code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "\n--- stderr\n{}\n--- stdout\n{}", self.stderr, self.stdout);
        self
    }

    /// Asserts that stderr has all these words.
    #[track_caller]
    pub(crate) fn says(self, words: &[&str]) -> Self {
        for words in words {
            assert!(self.stderr.contains(words), "{words:?} is not in:\n{}", self.stderr);
        }
        self
    }

    /// Asserts that it ended within so many seconds.
    #[track_caller]
    pub(crate) fn within(self, seconds: u64) -> Self {
        assert!(self.took < Duration::from_secs(seconds), "it took {:?}:\n{}", self.took, self.stderr);
        self
    }

    /// The report.
    #[track_caller]
    pub(crate) fn report(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{error}\n--- stdout\n{}\n--- stderr\n{}", self.stdout, self.stderr))
    }

    /// The state of the only image of the report, and why.
    #[track_caller]
    pub(crate) fn only_image(&self) -> (String, String) {
        let report = self.report();
        let images = report["images"].as_array().expect("a list");
        assert_eq!(images.len(), 1, "{images:#?}");
        state(&images[0])
    }
}

/// Asserts that a reason has all these words, and that it is one that a person would read.
#[track_caller]
pub(crate) fn assert_has(reason: &str, words: &[&str]) {
    for words in words {
        assert!(reason.contains(words), "{words:?} is not in {reason:?}");
    }
    assert!(reason.len() < 400, "{} characters: {reason:?}", reason.len());
}

/// State and reason of an image or container of a report.
pub(crate) fn state(entry: &Value) -> (String, String) {
    let text = |key: &str| entry[key].as_str().unwrap_or_default().to_owned();
    (text("state"), text("reason"))
}

/// The only scan that has a Job in this namespace, once there is one.
pub(crate) fn scan_with_job_in(namespace: &str) -> String {
    wait_for("a Job", 30, || {
        let path = "jsonpath={.items[*].metadata.labels.kubectl-clarity\\.io/scan}";
        let scans = kubectl(&["get", "jobs", "-n", namespace, "-o", path]);
        // Several Jobs of one scan.
        scans.split_whitespace().next().map(ToOwned::to_owned)
    })
}
