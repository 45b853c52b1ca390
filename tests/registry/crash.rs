//! What a scanner that crashes leaves behind.

use std::io::{BufRead as _, BufReader};
use std::os::unix::process::ExitStatusExt as _;
use std::process::Command;

use serde_json::json;

use super::http::{Response, Server};
use super::scanner::{scanner, task};

/// Starts the scanner on a registry that never answers, and kills it as a fault of its own would.
async fn crashed(signal: &str) -> (std::process::ExitStatus, tempfile::TempDir) {
    let silent = Server::start(|_| {
        let mut response = Response::new(200, "").with("Content-Length", "100");
        response.stall = true;
        response
    })
    .await;
    let folder = tempfile::tempdir().expect("a folder");
    let secret = json!({"auths": {silent.host(): {"username": "puller", "password": "hunter2"}}});
    std::fs::write(folder.path().join(".dockerconfigjson"), secret.to_string()).expect("written");
    let task = task(&silent.host(), "a:1", &json!([{"name": "pull", "folder": folder.path()}]));
    // Cores as large as they like, and of anybody: the shell becomes the scanner.
    let arguments = ["-c", "ulimit -c unlimited && exec \"$0\" run", env!("CARGO_BIN_EXE_clarity-scan")];
    let mut scanner = scanner(Command::new("sh").args(arguments).current_dir(folder.path()), &task);
    let mut lines = BufReader::new(scanner.stdout.take().expect("piped")).lines();
    lines.next().expect("a frame").expect("text");
    tokio::task::spawn_blocking({
        let (id, signal) = (scanner.id().to_string(), signal.to_owned());
        move || Command::new("kill").args(["-s", &signal, &id]).status()
    })
    .await
    .expect("no panic")
    .expect("kill runs");
    (scanner.wait().expect("it ends"), folder)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scanner_that_crashes_leaves_no_core_with_credentials_in_it() {
    for signal in ["ABRT", "ILL"] {
        let (status, folder) = crashed(signal).await;
        assert!(status.signal().is_some() && !status.core_dumped(), "{status:?}");
        let left = std::fs::read_dir(folder.path()).expect("a folder").count();
        assert_eq!(left, 1, "nothing but the secret is there");
    }
}
