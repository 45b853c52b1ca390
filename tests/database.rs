//! The database of advisories as a person meets it: updates that are ended, that meet each other, that find no room; data
//! that are missing, old or damaged.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

/// Records in a folder and a database in another.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let folder = TempDir::new().expect("a folder");
        let sbom = json!({"bomFormat": "CycloneDX", "specVersion": "1.5", "components": [
            {"type": "library", "name": "first", "version": "1", "purl": "pkg:pypi/first@1"},
            {"type": "library", "name": "second", "version": "1", "purl": "pkg:pypi/second@1"},
        ]});
        fs::write(folder.path().join("sbom.json"), sbom.to_string()).expect("a file");
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a set of records: one about a package of the SBOM, and so many about others.
    fn records(&self, set: &str, package: &str, others: usize) -> PathBuf {
        let folder = self.path(set).join("PyPI");
        fs::create_dir_all(&folder).expect("a folder");
        let write = |id: &str, package: &str| {
            let events = json!([{"introduced": "0"}, {"fixed": "2"}]);
            let record = json!({"id": id, "modified": "2026-01-02T03:04:05Z", "summary": format!("about {package}"), "affected": [
                {"package": {"ecosystem": "PyPI", "name": package}, "ranges": [{"type": "ECOSYSTEM", "events": events}]}]});
            fs::write(folder.join(format!("{id}.json")), record.to_string()).expect("a file");
        };
        write(&format!("PYSEC-{package}"), package);
        (0..others).for_each(|number| write(&format!("PYSEC-2026-{number}"), &format!("other{number}")));
        self.path(set)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-clarity"));
        command.args(arguments).env("CLARITY_DB", self.path("db")).env_remove("CLARITY_DB_SOURCE");
        command.env("CLARITY_OFFLINE", "1").env("HOME", self.0.path()).current_dir(self.0.path());
        command
    }

    fn run(&self, arguments: &[&str]) -> Ended {
        Ended(self.command(arguments).output().expect("the program starts"))
    }

    fn update(&self, records: &Path) -> Ended {
        self.run(&["db", "update", "--from", &records.display().to_string()])
    }

    /// The vulnerabilities that are found in the SBOM.
    fn found(&self) -> Vec<String> {
        self.run(&["match", "sbom.json", "-o", "json"]).code(0).found()
    }

    fn indexes(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.path("db/index")).expect("a folder");
        entries.map(|entry| entry.expect("an entry").path()).collect()
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
    fn says(self, words: &[&str]) -> Self {
        for word in words {
            assert!(self.stderr().contains(word), "{word:?} is not in:\n{}", self.stderr());
        }
        self
    }

    fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.0.stdout).into_owned()
    }

    fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.0.stderr).into_owned()
    }

    fn report(&self) -> Value {
        serde_json::from_slice(&self.0.stdout).expect("a report")
    }

    fn found(&self) -> Vec<String> {
        let report = self.report();
        let findings = report["images"][0]["findings"].as_array().expect("findings");
        findings.iter().map(|finding| finding["vulnerability"].as_str().expect("a name").to_owned()).collect()
    }
}

#[test]
fn update_that_is_killed_at_any_moment_leaves_the_old_data_or_the_new() {
    let place = Place::new();
    let (old, new) = (place.records("old", "first", 10), place.records("new", "second", 3000));
    place.update(&old).code(0);
    assert_eq!(place.found(), ["PYSEC-first"]);
    let mut killed = 0;
    for moment in (0..400).step_by(20) {
        let arguments = ["db", "update", "--from", &new.display().to_string()];
        let mut update = place
            .command(&arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program starts");
        std::thread::sleep(Duration::from_millis(moment));
        let _ = update.kill();
        let status = update.wait().expect("it ends");
        killed += usize::from(status.code().is_none());
        let found = place.found();
        assert!(found == ["PYSEC-first"] || found == ["PYSEC-second"], "{found:?}");
        if found == ["PYSEC-second"] {
            place.update(&old).code(0);
        }
    }
    assert!(killed > 3, "the update was never interrupted");
    place.update(&new).code(0);
    assert_eq!(place.found(), ["PYSEC-second"]);
    assert_eq!(place.indexes().len(), 1, "nothing is left of those that were killed");
}

#[test]
fn updates_at_the_same_moment_do_no_harm() {
    let place = Place::new();
    let sets = [place.records("a", "first", 500), place.records("b", "second", 500)];
    let updates: Vec<_> = (0..6)
        .map(|number| {
            let arguments = ["db", "update", "--from", &sets[number % 2].display().to_string()];
            let mut command = place.command(&arguments);
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
            command.spawn().expect("the program starts")
        })
        .collect();
    for _ in 0..20 {
        // Without data at first; whoever reads in between sees one set or the other.
        let ended = place.run(&["match", "sbom.json", "-o", "json"]);
        let code = ended.0.status.code();
        let found = ended.found();
        match code {
            Some(4) => assert!(found.is_empty()),
            _ => assert!(found == ["PYSEC-first"] || found == ["PYSEC-second"], "{code:?} {found:?}"),
        }
    }
    for update in updates {
        Ended(update.wait_with_output().expect("it ends")).code(0);
    }
    assert_eq!((place.found().len(), place.indexes().len()), (1, 1));
}

#[test]
fn full_disk_leaves_the_old_data_usable() {
    let place = Place::new();
    let (old, new) = (place.records("old", "first", 10), place.records("new", "second", 9000));
    // A disk of its own, in a mount namespace that ends with the shell.
    let script = format!(
        "mkdir db && mount -t tmpfs -o size=128k none db && $P db update --from {} && \
         {{ $P db update --from {}; echo code $?; }} && $P match sbom.json -o json --output-file after.json && ls db/index | wc -l",
        old.display(),
        new.display()
    );
    let mut shell = Command::new("unshare");
    shell.args(["--map-root-user", "--mount", "sh", "-euc", &script]).current_dir(place.0.path());
    shell.env("P", env!("CARGO_BIN_EXE_kubectl-clarity")).env("CLARITY_DB", place.path("db"));
    let ended = Ended(shell.env("CLARITY_OFFLINE", "1").output().expect("unshare runs")).code(0).says(&[
        "error: cannot write ",
        "the data that were there before are unchanged",
        "No space left on device",
        "hint:  make room, or choose another folder: --db DIR",
    ]);
    assert!(ended.stdout().contains("code 1\n") && ended.stdout().ends_with("1\n"), "{}", ended.stdout());
    let report: Value =
        serde_json::from_slice(&fs::read(place.path("after.json")).expect("a file")).expect("JSON");
    assert_eq!(report["images"][0]["findings"][0]["vulnerability"], "PYSEC-first");
    assert_eq!(report["images"][0]["findings"].as_array().map(Vec::len), Some(1));
}

#[test]
fn without_an_index_there_is_no_data_and_the_command_that_gets_it() {
    let place = Place::new();
    let ended = place.run(&["match", "sbom.json"]).code(4);
    assert!(ended.stdout().contains("kubectl clarity db update PyPI"), "{}", ended.stdout());
    assert!(ended.stdout().contains("no data"));
    let missing = place.run(&["db", "status"]).code(0);
    assert!(missing.stdout().contains("No advisories"), "{}", missing.stdout());
}

#[test]
fn what_is_missing_is_fetched_from_the_source_unless_offline() {
    let place = Place::new();
    let records = place.records("osv", "first", 3);
    let source = records.display().to_string();
    let mut command = place.command(&["match", "sbom.json", "-o", "json", "--db-source", &source]);
    let ended = Ended(command.env_remove("CLARITY_OFFLINE").output().expect("it runs")).code(0);
    let ended = ended.says(&["reading records of", "PyPI: 4 advisories"]);
    assert_eq!(ended.found(), ["PYSEC-first"]);
    assert_eq!(ended.report()["images"][0]["findings"][0]["summary"], "about first");
    // Now it is here, and nothing is asked for any more.
    let mut command = place.command(&["match", "sbom.json", "-o", "json", "--db-source", "/nowhere"]);
    let ended = Ended(command.env_remove("CLARITY_OFFLINE").output().expect("it runs")).code(0);
    assert_eq!(ended.found(), ["PYSEC-first"]);

    let place = Place::new();
    let mut command = place.command(&["match", "sbom.json", "--db-source", "/nowhere"]);
    let ended = Ended(command.env_remove("CLARITY_OFFLINE").output().expect("it runs")).code(4);
    assert!(
        ended.stdout().contains("no advisories could be fetched: cannot read /nowhere"),
        "{}",
        ended.stdout()
    );
}

#[test]
fn old_data_are_said_to_be_old_and_refused_on_demand() {
    let place = Place::new();
    place.update(&place.records("osv", "first", 3)).code(0);
    let ended = place.run(&["match", "sbom.json"]).code(0);
    assert!(ended.stdout().contains("days old: kubectl clarity db update"), "{}", ended.stdout());
    place
        .run(&["match", "sbom.json", "--max-db-age", "7d"])
        .code(1)
        .says(&["error: the advisories are ", "hint:  kubectl clarity db update, or a greater --max-db-age"]);
    place.run(&["match", "sbom.json", "--max-db-age", "9999d"]).code(0);
    place.run(&["match", "sbom.json", "--max-db-age", "soon"]).code(2);
}

#[test]
fn damaged_index_is_named_and_fetched_anew_when_that_is_allowed() {
    let place = Place::new();
    let records = place.records("osv", "first", 3);
    place.update(&records).code(0);
    let damage = || {
        let path = &place.indexes()[0];
        let mut bytes = fs::read(path).expect("an index");
        bytes[2] ^= 4;
        fs::write(path, bytes).expect("a file");
    };
    damage();
    let ended = place.run(&["match", "sbom.json"]).code(4);
    assert!(ended.stdout().contains("PyPI, whose index is damaged"), "{}", ended.stdout());
    let source = records.display().to_string();
    let mut command = place.command(&["match", "sbom.json", "-o", "json", "--db-source", &source]);
    let ended = Ended(command.env_remove("CLARITY_OFFLINE").output().expect("it runs")).code(0);
    assert_eq!(ended.found(), ["PYSEC-first"]);
    assert_eq!(ended.report()["notes"][0], "damaged indexes were fetched anew: PyPI");

    damage();
    let path = &place.indexes()[0];
    fs::write(path, &fs::read(path).expect("an index")[..100]).expect("a file");
    let status = place.run(&["db", "status"]).code(1);
    assert!(status.stdout().contains("cannot be used: it is damaged"), "{}", status.stdout());
    place.update(&records).code(0);
    assert_eq!(place.found(), ["PYSEC-first"]);
}

#[test]
fn database_travels_as_a_file_and_as_a_folder() {
    let (place, other, copy) = (Place::new(), Place::new(), Place::new());
    place.update(&place.records("osv", "first", 3)).code(0);
    let file = place.path("export.tar").display().to_string();
    place.run(&["db", "export", &file]).code(0).says(&["1 index written"]);
    other.run(&["db", "import", &file]).code(0);
    assert_eq!(other.found(), ["PYSEC-first"]);
    let status = other.run(&["db", "status", "-o", "json"]).code(0).report();
    assert_eq!((&status[0]["ecosystem"], &status[0]["advisories"]), (&json!("PyPI"), &json!(4)));

    Command::new("cp").arg("-r").arg(place.path("db")).arg(copy.path("db")).status().expect("cp runs");
    assert_eq!(copy.found(), ["PYSEC-first"]);

    let wrong = other.path("sbom.json").display().to_string();
    other.run(&["db", "import", &wrong]).code(1).says(&["is no export of a database"]);
    other.run(&["db", "export", &file, "Go"]).code(1).says(&["there are no advisories for Go"]);
    assert!(!Path::new(&file).exists(), "half an export is none");
}

#[test]
fn wrong_input_is_said() {
    let place = Place::new();
    // What the environment says of the database is no matter when records are named.
    let records = place.records("osv", "first", 3).display().to_string();
    let ended = place.run(&["match", "sbom.json", "-o", "json", "--advisories", &records]).code(0);
    assert_eq!(ended.found(), ["PYSEC-first"]);
    place.run(&["match", "sbom.json", "--advisories", &records, "--max-db-age", "1d"]).code(2);
    place.run(&["db", "update", "Fedora"]).code(2).says(&["no ecosystem of OSV whose packages can be matched"]);
    place.run(&["db", "update", "--from", "/nowhere"]).code(1).says(&["cannot read /nowhere"]);
    place.run(&["db", "update", "--from", "NOT A SOURCE"]).code(2).says(&["neither a reference in a registry"]);
    place.run(&["db", "update", "--from", "registry.test/a/b:1"]).code(1).says(&["name ecosystems", "--all"]);
    place.run(&["db", "update", "Go", "PyPI", "--from", &records]).code(1).says(&["no advisories for Go"]);
    assert_eq!(place.found(), ["PYSEC-first"], "what there is was installed");
    let mut command = place.command(&["db", "status"]);
    command.env_remove("CLARITY_DB").env_remove("HOME").env_remove("XDG_CACHE_HOME");
    // Without HOME the system still knows a home of the user.
    assert!(command.output().expect("it runs").status.code().is_some());
}
