//! The database of advisories from a mirror of raw OSV records: only what has changed is fetched and compiled.

use std::io::{Cursor, Write as _};
use std::process::{Command, Output};

use serde_json::{Value, json};
use zip::write::SimpleFileOptions;

use super::nginx::Nginx;

/// A zip with a record about one package in each of some ecosystems.
fn records(ecosystems: &[&str], fixed: &str) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for ecosystem in ecosystems {
        let id = format!("X-{}", ecosystem.replace([' ', ':'], "-"));
        let events = json!([{"introduced": "0"}, {"fixed": fixed}]);
        let record = json!({"id": id, "modified": "2026-01-02T03:04:05Z", "affected": [
            {"package": {"ecosystem": ecosystem, "name": "a"}, "ranges": [{"type": "ECOSYSTEM", "events": events}]}]});
        zip.start_file(format!("{id}.json"), SimpleFileOptions::default()).expect("memory");
        zip.write_all(record.to_string().as_bytes()).expect("memory");
    }
    zip.finish().expect("memory").into_inner()
}

fn run(mirror: &Nginx, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-clarity"));
    command.args(arguments).env("CLARITY_DB", mirror.target("db"));
    for name in ["CLARITY_DB_SOURCE", "CLARITY_OFFLINE", "HTTPS_PROXY", "https_proxy"] {
        command.env_remove(name);
    }
    command.output().expect("the program starts")
}

/// Updates, and gives what is said on stdout; the exit code must be the one that is expected.
#[track_caller]
fn update(mirror: &Nginx, arguments: &[&str], code: i32) -> String {
    let authority = mirror.target("ca.pem").display().to_string();
    let base = mirror.base();
    let mut all = vec!["db", "update", "--from", &base, "--registry-ca", &authority];
    all.extend(arguments);
    let output = run(mirror, &all);
    let said = String::from_utf8_lossy(if code == 0 { &output.stdout } else { &output.stderr }).into_owned();
    assert_eq!(output.status.code(), Some(code), "{said}");
    said
}

fn indexes(mirror: &Nginx) -> Vec<(String, String)> {
    let status: Value =
        serde_json::from_slice(&run(mirror, &["db", "status", "-o", "json"]).stdout).expect("JSON");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let lines = status.as_array().expect("a list").iter();
    lines.map(|line| (text(&line["ecosystem"]), text(&line["as_of"]))).collect()
}

fn names(mirror: &Nginx) -> Vec<String> {
    indexes(mirror).into_iter().map(|(name, _)| name).collect()
}

#[tokio::test]
async fn only_what_has_changed_is_fetched_again() {
    let mirror = Nginx::start();
    mirror.put("ecosystems.txt", b"Debian\nDebian:12\nFedora\nGo\nRocky Linux\nRocky Linux:9\n");
    mirror.put("Debian/all.zip", &records(&["Debian:12", "Debian:11"], "2"));
    mirror.put("Go/all.zip", &records(&["Go"], "2"));
    mirror.put("Rocky Linux/all.zip", &records(&["Rocky Linux:9"], "2"));
    assert!(update(&mirror, &["--all"], 0).starts_with("4 indexes new, 0 unchanged"));
    assert_eq!(names(&mirror), ["Debian:11", "Debian:12", "Go", "Rocky Linux:9"]);
    // The time is that of the files, which were just made.
    let minutes = jiff::Timestamp::now() - jiff::SignedDuration::from_mins(5);
    assert!(
        indexes(&mirror).iter().all(|(_, as_of)| as_of.parse::<jiff::Timestamp>().expect("a time") > minutes)
    );
    let answered = mirror.answered(4).await;
    assert!(answered.iter().any(|line| line.ends_with("/osv/Rocky%20Linux/all.zip")), "{answered:?}");

    assert!(update(&mirror, &[], 0).starts_with("0 indexes new, 4 unchanged"));
    let answered = mirror.answered(3).await;
    assert!(answered.iter().all(|line| line.starts_with("304 0 ")), "{answered:?}");

    mirror.put("Go/all.zip", &records(&["Go"], "2.0.1"));
    assert!(update(&mirror, &["--all"], 0).starts_with("1 index new, 3 unchanged"));
}

#[tokio::test]
async fn one_release_is_compiled_and_the_others_when_they_are_wanted() {
    let mirror = Nginx::start();
    mirror.put("Debian/all.zip", &records(&["Debian:12", "Debian:11"], "2"));
    update(&mirror, &["Debian:12"], 0);
    assert_eq!(names(&mirror), ["Debian:12"]);
    mirror.answered(1).await;
    // The file is the same, but not all of it is here.
    update(&mirror, &["Debian:11"], 0);
    assert_eq!(names(&mirror), ["Debian:11", "Debian:12"]);
    assert!(mirror.answered(1).await[0].starts_with("200 "));
    update(&mirror, &["Debian"], 0);
    update(&mirror, &["Debian"], 0);
    let answered = mirror.answered(2).await;
    assert!(answered[0].starts_with("200 ") && answered[1].starts_with("304 "), "{answered:?}");
}

#[test]
fn what_fails_is_said_and_the_rest_is_there() {
    let mirror = Nginx::start();
    mirror.put("Debian/all.zip", &records(&["Debian:12"], "2"));
    mirror.put("Go/all.zip", &records(&["Go"], "2"));
    update(&mirror, &["Debian", "Go"], 0);
    let mut damaged = records(&["Go"], "3");
    let end = damaged.len() - 30;
    damaged.truncate(end);
    mirror.put("Go/all.zip", &damaged);
    mirror.put("Debian/all.zip", &records(&["Debian:12", "Debian:13"], "3"));
    let said = update(&mirror, &["Debian", "Go"], 1);
    assert!(said.contains("as a zip archive"), "{said}");
    assert_eq!(names(&mirror), ["Debian:12", "Debian:13", "Go"], "the old data of Go are still there");
    let said = update(&mirror, &["npm"], 1);
    assert!(said.contains("there are no advisories for npm"), "{said}");
}
