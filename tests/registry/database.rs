//! The database of advisories through a registry: pushed as an artifact, fetched from there, only what is needed and only
//! what has changed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use base64::Engine as _;
use serde_json::{Value, json};

use super::real::{RealRegistry, Transport};

/// A person with a login at a registry and a database of her own.
struct Person<'a> {
    registry: &'a RealRegistry,
    folder: tempfile::TempDir,
}

impl<'a> Person<'a> {
    fn new(registry: &'a RealRegistry) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let login = base64::engine::general_purpose::STANDARD.encode("puller:pa:ss");
        let config = json!({"auths": {registry.host(): {"auth": login}}});
        fs::write(folder.path().join("config.json"), config.to_string()).expect("a file");
        Self { registry, folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn reference(&self) -> String {
        format!("{}/tools/advisories:v1", self.registry.host())
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-clarity"));
        command.args(arguments).arg("--registry-ca").arg(self.registry.authority());
        command.env("CLARITY_DB", self.path("db")).env("DOCKER_CONFIG", self.folder.path());
        for name in ["CLARITY_DB_SOURCE", "CLARITY_OFFLINE", "HTTPS_PROXY", "https_proxy"] {
            command.env_remove(name);
        }
        command.output().expect("the program starts")
    }

    #[track_caller]
    fn succeeds(&self, arguments: &[&str]) -> (String, String) {
        let output = self.run(arguments);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "{arguments:?}: {stdout}{stderr}");
        (stdout, stderr)
    }

    fn indexes(&self) -> Vec<String> {
        let output = Command::new(env!("CARGO_BIN_EXE_kubectl-clarity"))
            .args(["db", "status", "-o", "json"])
            .env("CLARITY_DB", self.path("db"))
            .output()
            .expect("the program starts");
        let status: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let lines = status.as_array().expect("a list");
        lines.iter().map(|line| line["ecosystem"].as_str().expect("a name").to_owned()).collect()
    }
}

/// Records about one package in each of some ecosystems.
fn records(folder: &Path, ecosystems: &[&str], fixed: &str) {
    let folder = folder.join("osv");
    fs::create_dir_all(&folder).expect("a folder");
    for (number, ecosystem) in ecosystems.iter().enumerate() {
        let events = json!([{"introduced": "0"}, {"fixed": fixed}]);
        let record = json!({"id": format!("X-{number}"), "modified": "2026-01-02T03:04:05Z", "affected": [
            {"package": {"ecosystem": ecosystem, "name": "a"}, "ranges": [{"type": "ECOSYSTEM", "events": events}]}]});
        fs::write(folder.join(format!("{number}.json")), record.to_string()).expect("a file");
    }
}

fn blobs(registry: &RealRegistry, method: &str) -> usize {
    let is_blob = |target: &str| target.contains("/blobs/");
    registry.answered().iter().filter(|a| a.method == method && is_blob(&a.target) && a.status < 300).count()
}

#[test]
fn artifact_gives_what_is_needed_and_later_what_has_changed() {
    let registry = RealRegistry::start(Transport::Tls);
    let (builder, person) = (Person::new(&registry), Person::new(&registry));
    records(builder.folder.path(), &["Debian:12", "Debian:11", "Go", "npm"], "2");
    let osv = builder.path("osv").display().to_string();
    let reference = builder.reference();
    let (pushed, _) = builder.succeeds(&["db", "push", &reference, "--from", &osv]);
    assert!(pushed.starts_with(&format!("{reference}@sha256:")), "{pushed}");

    // One release of Debian, and all there is of Go: two layers.
    registry.forget();
    let (said, told) = person.succeeds(&["db", "update", "Debian:12", "Go", "--from", &reference]);
    assert!(said.starts_with("2 indexes new, 0 unchanged"), "{said}");
    assert!(told.contains("fetching advisories, 2 indexes from ") && told.contains(" MiB"), "{told}");
    assert_eq!(person.indexes(), ["Debian:12", "Go"]);
    assert_eq!(blobs(&registry, "GET"), 2);

    // A mirror of the artifact by its digest says the same.
    let by_digest = pushed.trim();
    registry.forget();
    let (said, _) = person.succeeds(&["db", "update", "--from", by_digest]);
    assert!(said.starts_with("0 indexes new, 2 unchanged"), "{said}");
    assert_eq!(blobs(&registry, "GET"), 0, "nothing has changed");

    // Only the changed one is sent, and only that is fetched.
    records(builder.folder.path(), &["Debian:12", "Debian:11"], "3");
    registry.forget();
    builder.succeeds(&["db", "push", &reference, "--from", &osv]);
    assert_eq!(blobs(&registry, "PUT"), 2, "the indexes of Debian");
    registry.forget();
    let (said, _) = person.succeeds(&["db", "update", "--from", &reference]);
    assert!(said.starts_with("1 index new, 1 unchanged"), "{said}");
    assert_eq!(blobs(&registry, "GET"), 1);
}

#[test]
fn first_match_fetches_what_its_packages_need() {
    let registry = RealRegistry::start(Transport::Tls);
    let (builder, person) = (Person::new(&registry), Person::new(&registry));
    records(builder.folder.path(), &["PyPI", "Go"], "2");
    builder.succeeds(&[
        "db",
        "push",
        &builder.reference(),
        "--from",
        &builder.path("osv").display().to_string(),
    ]);
    let sbom = json!({"bomFormat": "CycloneDX", "specVersion": "1.5", "components": [
        {"type": "library", "name": "a", "version": "1", "purl": "pkg:pypi/a@1"}]});
    let file = person.path("sbom.json");
    fs::write(&file, sbom.to_string()).expect("a file");
    let file = file.display().to_string();
    let (found, told) = person.succeeds(&["match", &file, "--db-source", &person.reference()]);
    assert!(found.contains("X-0"), "{found}");
    assert!(told.contains("fetching advisories, 1 index from"), "{told}");
    assert_eq!(person.indexes(), ["PyPI"]);
}

#[test]
fn what_the_artifact_lacks_and_what_is_no_artifact_is_said() {
    let registry = RealRegistry::start(Transport::Tls);
    let (builder, person) = (Person::new(&registry), Person::new(&registry));
    let reference = builder.reference();
    let error = |output: Output| {
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let missing = error(person.run(&["db", "update", "Go", "--from", &reference]));
    assert!(missing.contains("advisories"), "{missing}");
    let nothing = error(person.run(&["db", "push", &reference]));
    assert!(nothing.contains("there are no advisories"), "{nothing}");

    records(builder.folder.path(), &["PyPI"], "2");
    builder.succeeds(&["db", "push", &reference, "--from", &builder.path("osv").display().to_string()]);
    let lacking = error(person.run(&["db", "update", "Go", "PyPI", "--from", &reference]));
    assert!(lacking.contains("there are no advisories for Go"), "{lacking}");
    assert_eq!(person.indexes(), ["PyPI"]);

    fs::remove_file(person.path("config.json")).expect("the login");
    let refused = error(person.run(&["db", "update", "PyPI", "--from", &reference]));
    assert!(refused.contains("log in with `docker login`"), "{refused}");
}
