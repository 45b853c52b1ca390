//! `kubectl clarity cache` as a person meets it, on the cache of this machine.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use clarity::cache::{About, Entry, LocalStore, Store as _};
use clarity::image::{Digest, ImageKey, Platform};
use clarity::sbom::{Sbom, cyclonedx};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tempfile::TempDir;

/// A machine: its cache, and a folder for files.
struct Machine(TempDir);

impl Machine {
    fn new() -> Self {
        Self(TempDir::new().expect("a folder"))
    }

    /// A machine that has read these images, each used so many days ago.
    fn with(images: &[(&str, i64)]) -> Self {
        let machine = Self::new();
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        for (name, days) in images {
            runtime.block_on(machine.store().put(&entry(name, *days))).expect("put");
        }
        machine
    }

    fn store(&self) -> LocalStore {
        LocalStore::at(self.path("kubectl-clarity/sboms"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn files(&self) -> Vec<PathBuf> {
        let Ok(files) = fs::read_dir(self.store().path()) else { return Vec::new() };
        let mut files: Vec<PathBuf> = files.map(|entry| entry.expect("an entry").path()).collect();
        files.sort();
        files
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-clarity"));
        command.arg("cache").args(arguments).env("XDG_CACHE_HOME", self.0.path()).current_dir(self.0.path());
        command.env("KUBECONFIG", "/nonexistent/config");
        command
    }

    fn run(&self, arguments: &[&str]) -> Ended {
        Ended(self.command(arguments).output().expect("the program starts"))
    }

    fn list(&self) -> Value {
        let ended = self.run(&["list", "--cache", "local", "-o", "json"]).code(0);
        serde_json::from_str(&ended.stdout()).expect("JSON")
    }

    /// What is there, by the paths of repositories.
    fn images(&self) -> Vec<String> {
        let list = self.list();
        let entries = list["entries"].as_array().expect("a list");
        entries.iter().map(|entry| entry["reference"].as_str().expect("text").to_owned()).collect()
    }
}

struct Ended(Output);

impl Ended {
    #[track_caller]
    fn code(self, code: i32) -> Self {
        assert_eq!(self.0.status.code(), Some(code), "{}{}", self.stdout(), self.stderr());
        self
    }

    #[track_caller]
    fn says(self, words: &str) -> Self {
        assert!(self.stderr().contains(words), "{words:?} is not in:\n{}", self.stderr());
        self
    }

    #[track_caller]
    fn tells(self, words: &str) -> Self {
        assert!(self.stdout().contains(words), "{words:?} is not in:\n{}", self.stdout());
        self
    }

    fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.0.stdout).into_owned()
    }

    fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.0.stderr).into_owned()
    }
}

fn entry(name: &str, days: i64) -> Entry {
    let digest = Digest::of(name.as_bytes());
    let reference = format!("registry.test/{name}");
    let subject = cyclonedx::Subject { reference: reference.parse().ok(), ..cyclonedx::Subject::default() };
    let document = cyclonedx::write(&Sbom::default(), &subject).expect("written");
    let used = Timestamp::now() - SignedDuration::from_hours(24 * days);
    let about = About {
        key: ImageKey { digest, platform: Platform::of_this_program() },
        manifest: None,
        config: None,
        reference: reference.parse().expect("a reference"),
        reader: "volume".to_owned(),
        generator: "kubectl-clarity 0.1.0".to_owned(),
        analysers: "dpkg/1".to_owned(),
        packages: 0,
        document: Digest::of(&document),
        stored: 0,
        created: used,
        used,
    };
    Entry { about, document }
}

#[test]
fn list_tells_what_is_there_and_how_large_it_is() {
    let machine = Machine::with(&[("web:1.2", 3), ("api:7", 0)]);
    let table = machine.run(&["list", "--cache", "local"]).code(0).stdout();
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines[0].starts_with("IMAGE "), "{table}");
    let words: Vec<&str> = lines[2].split_whitespace().collect();
    let digest = Digest::of(b"web:1.2");
    assert_eq!(words[..5], ["registry.test/web:1.2", digest.short(), "linux/amd64", "0", "1"], "{table}");
    assert_eq!(words[5..], ["KiB", "3d", "3d", "volume", "local"], "{table}");
    assert!(lines[4].starts_with("2 images, 1 KiB in "), "{table}");
    let list = machine.list();
    assert_eq!(list["stores"][0]["entries"], 2);
    assert_eq!(list["entries"][1]["key"]["digest"], digest.as_str());
}

#[test]
fn without_a_cluster_the_cache_of_this_machine_is_listed_and_the_rest_noted() {
    let machine = Machine::with(&[("web:1.2", 3)]);
    machine
        .run(&["list"])
        .code(0)
        .says("note: only the cache of this machine: there is no kubeconfig")
        .tells("registry.test/web:1.2");
    machine.run(&["list", "--cache", "configmap"]).code(1).says("error: there is no kubeconfig");
}

#[test]
fn prune_removes_what_was_not_used_and_no_more() {
    let machine = Machine::with(&[("old:1", 40), ("older:1", 50), ("web:1", 3)]);
    machine.run(&["prune", "--cache", "local"]).code(2).says("--older-than");
    machine.run(&["prune", "--cache", "local", "--older-than", "45d"]).code(0).tells("1 image removed, ");
    assert_eq!(machine.images(), ["registry.test/old:1", "registry.test/web:1"]);
    machine.run(&["prune", "--cache", "local", "--keep-bytes", "1Ki", "--older-than", "60d"]).code(0);
    assert_eq!(machine.images(), ["registry.test/old:1", "registry.test/web:1"]);
    let size = machine.list()["entries"][1]["stored"].to_string();
    machine.run(&["prune", "--cache", "local", "--keep-bytes", &size]).code(0);
    assert_eq!(machine.images(), ["registry.test/web:1"]);
    machine.run(&["prune", "--cache", "local", "--all"]).code(0).tells("1 image removed, ").tells("0 left");
    assert!(machine.files().is_empty());
}

#[test]
fn verify_names_the_damaged_and_ends_with_an_error() {
    let machine = Machine::with(&[("web:1", 3), ("api:7", 0)]);
    machine.run(&["verify", "--cache", "local"]).code(0).tells("2 images whole, 0 damaged");
    let file = machine.files().remove(0);
    let mut bytes = fs::read(&file).expect("there");
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&file, bytes).expect("written");
    machine
        .run(&["verify", "--cache", "local"])
        .code(1)
        .tells(&format!("damaged: {}: its document ", file.display()))
        .tells("1 image whole, 1 damaged");
    // What does not even say what it is goes with the next prune.
    fs::write(&file, "nonsense").expect("written");
    machine
        .run(&["prune", "--cache", "local", "--older-than", "90d"])
        .code(0)
        .tells("1 remnant of no use removed");
    machine.run(&["verify", "--cache", "local"]).code(0).tells("1 image whole, 0 damaged");
}

#[test]
fn what_is_exported_is_plain_cyclonedx_and_can_be_taken_in_elsewhere() {
    let here = Machine::with(&[("web:1", 3), ("api:7", 0)]);
    here.run(&["export", "--cache", "local", "cache.tar"]).code(0).says("2 documents written");
    let mut tar = tar::Archive::new(fs::File::open(here.path("cache.tar")).expect("there"));
    tar.unpack(here.path("unpacked")).expect("a tar");
    let name = format!("{}-linux-amd64.cdx.json", Digest::of(b"web:1").hex());
    let document = fs::read(here.path("unpacked").join(name)).expect("a document of its name");
    assert_eq!(document, entry("web:1", 3).document);

    let there = Machine::new();
    let file = here.path("cache.tar").display().to_string();
    there.run(&["import", "--cache", "local", &file]).code(0).tells("2 documents in ");
    assert_eq!(there.images(), here.images());
    there.run(&["import", "--cache", "local", &file]).code(0);
    assert_eq!(there.files().len(), 2, "nothing is doubled");
    let to_pipe = here.run(&["export", "--cache", "local", "-"]).code(0);
    assert_eq!(to_pipe.0.stdout, fs::read(here.path("cache.tar")).expect("there"));
}

#[test]
fn an_archive_that_somebody_changed_is_refused_by_name() {
    let here = Machine::with(&[("web:1", 3)]);
    here.run(&["export", "--cache", "local", "cache.tar"]).code(0);
    let mut bytes = fs::read(here.path("cache.tar")).expect("there");
    let at = bytes.windows(9).position(|window| window == b"CycloneDX").expect("a document");
    bytes[at..at + 9].copy_from_slice(b"CycloneXD");
    fs::write(here.path("changed.tar"), bytes).expect("written");
    let there = Machine::new();
    for (file, words) in [
        ("changed.tar", "is not what index.json says"),
        ("no-such.tar", "cannot read the archive"),
        ("kubectl-clarity", "cannot read the archive"),
    ] {
        let path = here.path(file).display().to_string();
        there
            .run(&["import", "--cache", "local", &path])
            .code(1)
            .says(&format!("error: cannot take in all of {path}"))
            .says(words);
    }
    assert!(there.files().is_empty());
}

#[test]
fn a_place_that_is_none_is_wrong_usage_in_words() {
    let machine = Machine::new();
    machine.run(&["list", "--cache", "pvc:Data"]).code(2).says("expected the name of a PersistentVolumeClaim");
    machine.run(&["list", "--cache", "elsewhere"]).code(2).says("expected configmap, pvc:NAME or local");
}

#[test]
fn two_imports_at_once_lose_and_double_nothing() {
    let names: Vec<String> = (0..60).map(|number| format!("image{number}:1")).collect();
    let images: Vec<(&str, i64)> = names.iter().map(|name| (name.as_str(), 0)).collect();
    let here = Machine::with(&images);
    here.run(&["export", "--cache", "local", "cache.tar"]).code(0);
    let there = Machine::new();
    let file = here.path("cache.tar").display().to_string();
    let start = || {
        there.command(&["import", "--cache", "local", &file]).stdout(Stdio::null()).spawn().expect("it starts")
    };
    let mut imports = [start(), start(), start()];
    // One is killed in the middle of it.
    imports[2].kill().expect("killed");
    imports[2].wait().expect("ended");
    for import in &mut imports[..2] {
        assert!(import.wait().expect("ended").success());
    }
    there.run(&["verify", "--cache", "local"]).code(0).tells("60 images whole, 0 damaged");
    let sboms = there.files().iter().filter(|file| file.extension().is_some_and(|end| end == "sbom")).count();
    assert_eq!(sboms, 60);
}
