use std::fs;

use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::advisories::Wanted;
use crate::advisories::matching::{Texts, match_sbom, wanted};
use crate::advisories::overlays::Kind;
use crate::package::{Distro, Package, PackageType, SourcePackage};
use crate::sbom::Sbom;

/// A folder with records, and a database of its own.
struct Place {
    folder: TempDir,
    database: Database,
}

impl Place {
    fn new() -> Self {
        let folder = TempDir::new().expect("a folder");
        let database = Database::at(folder.path().join("db"));
        fs::create_dir(folder.path().join("osv")).expect("a folder");
        Self { folder, database }
    }

    fn records(&self) -> PathBuf {
        self.folder.path().join("osv")
    }

    /// A record about a package of Debian 12 and one of Debian 11, fixed in the same version.
    fn record(&self, id: &str, package: &str, fixed: &str) {
        let affected = |release: &str| {
            json!({"package": {"ecosystem": format!("Debian:{release}"), "name": package},
                "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": fixed}]}]})
        };
        let record =
            json!({"id": id, "modified": "2026-01-02T03:04:05Z", "affected": [affected("12"), affected("11")]});
        fs::write(self.records().join(format!("{id}.json")), record.to_string()).expect("a file");
    }

    fn compile(&self, change: &mut Change<'_>, wanted: &Wanted) -> Outcome {
        let origin = Origin { name: "here".to_owned(), as_of: None };
        change.compile(&self.records(), wanted, &origin, &|_| {}).expect("records")
    }

    fn update(&self) -> Outcome {
        let mut change = self.database.change(&|_| {}).expect("a change");
        let outcome = self.compile(&mut change, &Wanted::all());
        change.commit().expect("room");
        outcome
    }

    /// The ids of the vulnerabilities that the database knows in version 1 of a package.
    fn found(&self, package: &str) -> Vec<String> {
        let sbom = sbom(package);
        let opened = self.database.index(&wanted([&sbom])).expect("a database");
        let matches = match_sbom(&sbom, &opened.index, Texts::Left);
        matches.findings.into_iter().map(|finding| finding.vulnerability).collect()
    }

    fn index_files(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.database.folder().join(INDEXES)).expect("a folder");
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
        paths.sort();
        paths
    }

    /// Turns over a bit in the middle of the index of Debian 12, in its first block.
    fn damage(&self) {
        let (state, _) = self.database.state().expect("a state");
        let path = self.database.path_of(&state.indexes["Debian:12"].digest);
        let mut bytes = fs::read(&path).expect("an index");
        bytes[3] ^= 1;
        fs::write(&path, bytes).expect("a file");
    }
}

fn sbom(package: &str) -> Sbom {
    let source = SourcePackage { name: package.to_owned(), version: "1".to_owned() };
    Sbom {
        distro: Some(Distro {
            id: "debian".to_owned(),
            version_id: Some("12".to_owned()),
            ..Distro::default()
        }),
        packages: vec![Package { source: Some(source), ..Package::new(PackageType::Deb, package, "1") }],
        ..Sbom::default()
    }
}

fn debian(release: &str) -> Ecosystem {
    format!("Debian:{release}").parse().expect("valid")
}

#[test]
fn what_was_compiled_is_found_and_the_next_update_changes_only_what_is_new() {
    let place = Place::new();
    place.record("DSA-1", "a", "2");
    assert_eq!(place.update().installed.len(), 2);
    assert_eq!(place.found("a"), ["DSA-1"]);
    assert_eq!(place.update().unchanged.len(), 2);

    place.record("DSA-2", "b", "2");
    let before = place.index_files();
    assert_eq!(place.update().installed.len(), 2);
    assert_eq!(place.found("b"), ["DSA-2"]);
    let after = place.index_files();
    assert!(after.len() == 2 && before.iter().all(|path| !after.contains(path)), "old ones are removed");
}

#[test]
fn change_is_seen_when_it_is_done_and_not_before() {
    let place = Place::new();
    place.record("DSA-1", "a", "2");
    place.update();
    place.record("DSA-2", "b", "2");
    let mut change = place.database.change(&|_| {}).expect("a change");
    place.compile(&mut change, &Wanted::all());
    assert_eq!((place.found("a").len(), place.found("b").len()), (1, 0));
    drop(change);
    assert_eq!((place.found("a").len(), place.found("b").len()), (1, 0), "what is given up leaves no trace");
    place.update();
    assert_eq!((place.found("a").len(), place.found("b").len()), (1, 1));
    assert_eq!(place.index_files().len(), 2);
}

#[test]
fn only_the_wanted_releases_are_compiled_and_what_the_source_lacks_is_named() {
    let place = Place::new();
    place.record("DSA-1", "a", "2");
    let mut change = place.database.change(&|_| {}).expect("a change");
    let outcome = place.compile(&mut change, &Wanted::whole([debian("12"), debian("13")]));
    assert_eq!(
        (outcome.installed, outcome.missing),
        (vec!["Debian:12".to_owned()], vec!["Debian:13".to_owned()])
    );
    change.commit().expect("room");
    let opened = place.database.index(&Wanted::whole([debian("12"), debian("11")])).expect("a database");
    assert_eq!(opened.missing, [debian("11")].into());
    assert_eq!(opened.as_of.map(|time| time.to_string()).as_deref(), Some("2026-01-02T03:04:05Z"));
}

#[test]
fn what_was_left_by_a_process_that_was_ended_is_swept_up() {
    let place = Place::new();
    place.record("DSA-1", "a", "2");
    place.update();
    let left = place.database.folder().join(INDEXES).join("4711.tmp");
    fs::write(&left, "half an index").expect("a file");
    place.update();
    assert!(!left.exists());
}

#[test]
fn damaged_state_is_made_anew_from_the_indexes() {
    let place = Place::new();
    place.record("DSA-1", "a", "2");
    place.update();
    for text in [
        "",
        "{",
        "null",
        r#"{"version": 1, "indexes": {"Debian:12": {"digest": "../../etc/passwd", "size": 1, "origin": ""}}}"#,
    ] {
        fs::write(place.database.folder().join("database.json"), text).expect("a file");
        let (status, notes) = place.database.status().expect("a database");
        assert_eq!(status.len(), 2, "{text}");
        assert!(notes.len() == 1 && notes[0].contains("damaged"), "{notes:?}");
        assert_eq!(place.found("a"), ["DSA-1"]);
    }
}

#[test]
fn damaged_index_is_named_and_nothing_of_it_is_believed() {
    let place = Place::new();
    place.record("DSA-1", "a", "2");
    place.update();
    place.damage();
    let sbom = sbom("a");
    let opened = place.database.index(&wanted([&sbom])).expect("a database");
    let matches = match_sbom(&sbom, &opened.index, Texts::Left);
    assert!(matches.findings.is_empty());
    assert_eq!(matches.damaged, [debian("12")].into());
    assert_eq!(matches.without_data, ["Debian:12, whose index is damaged"]);
    let change = place.database.change(&|_| {}).expect("a change");
    assert!(!change.is_whole("Debian:12") && change.is_whole("Debian:11") && !change.is_whole("Debian:13"));
    drop(change);
    place.update();
    assert_eq!(place.found("a"), ["DSA-1"], "the same content is written once more");
}

#[test]
fn index_that_is_gone_or_cut_is_said_when_it_is_opened() {
    let place = Place::new();
    place.record("DSA-1", "a", "2");
    place.update();
    let damaged = || {
        let opened = place.database.index(&Wanted::whole([debian("12"), debian("11")])).expect("a database");
        opened.damaged.into_iter().map(|(_, why)| why).collect::<Vec<_>>()
    };
    assert_eq!(damaged(), [""; 0]);
    fs::write(&place.index_files()[0], "short").expect("a file");
    assert_eq!(damaged(), ["it is damaged: it ends too early"]);
    fs::remove_file(&place.index_files()[0]).expect("a file");
    assert!(damaged()[0].contains("it cannot be read"));
}

#[test]
fn export_is_taken_in_elsewhere() {
    let (place, other) = (Place::new(), Place::new());
    place.record("DSA-1", "a", "2");
    place.update();
    let file = place.folder.path().join("export.tar");
    let out = fs::File::create(&file).expect("a file");
    assert_eq!(place.database.export(&["Debian:12".to_owned()], &out).expect("room"), 1);
    let unknown = place.database.export(&["Debian:13".to_owned()], &out).expect_err("there is none");
    assert_eq!(unknown.to_string(), "there are no advisories for Debian:13");

    let mut change = other.database.change(&|_| {}).expect("a change");
    assert_eq!(change.import(&file, &|_| {}).expect("an export"), ["Debian:12"]);
    change.commit().expect("room");
    assert_eq!(other.found("a"), ["DSA-1"]);
    let (status, _) = other.database.status().expect("a database");
    assert_eq!(status[0].installed.origin, "here");
}

#[test]
fn single_index_file_is_taken_in() {
    let (place, other) = (Place::new(), Place::new());
    place.record("DSA-1", "a", "2");
    place.update();
    let mut change = other.database.change(&|_| {}).expect("a change");
    for file in place.index_files() {
        change.import(&file, &|_| {}).expect("an index");
    }
    change.commit().expect("room");
    assert_eq!(other.found("a"), ["DSA-1"]);
}

#[test]
fn cut_or_changed_export_changes_nothing() {
    let (place, other) = (Place::new(), Place::new());
    place.record("DSA-1", "a", "2");
    place.update();
    let mut export = Vec::new();
    place.database.export(&[], &mut export).expect("memory");
    let file = place.folder.path().join("export.tar");
    for (number, bit) in [(0, 3), (512, 1), (1600, 4), (2100, 0), (2700, 2)] {
        let mut changed = export.clone();
        changed[number] ^= 1 << bit;
        fs::write(&file, changed).expect("a file");
        let mut change = other.database.change(&|_| {}).expect("a change");
        assert!(change.import(&file, &|_| {}).is_err(), "bit {bit} of byte {number}");
    }
    for length in (0..export.len() - 1024).step_by(97) {
        fs::write(&file, &export[..length]).expect("a file");
        let mut change = other.database.change(&|_| {}).expect("a change");
        assert!(change.import(&file, &|_| {}).is_err(), "{length} bytes");
    }
    assert!(other.database.status().expect("a database").0.is_empty());
    assert!(other.index_files().iter().all(|path| path.extension().is_none_or(|e| e != "tmp")));
}

#[test]
fn ecosystems_that_were_asked_for_are_remembered() {
    let place = Place::new();
    place.database.remember(["Debian:12".to_owned(), "Go".to_owned()]);
    place.database.remember(["Go".to_owned()]);
    assert_eq!(place.database.seen().expect("a state").len(), 2);
    let nowhere = Database::at("/proc/nowhere");
    nowhere.remember(["Go".to_owned()]);
    assert!(nowhere.seen().expect("no state").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn overlays_are_laid_over_findings_and_travel_with_the_rest() {
    let (place, other) = (Place::new(), Place::new());
    place.record("CVE-2021-44228", "a", "2");
    place.update();
    let kev = place.folder.path().join("kev.json");
    let entry = json!({"cveID": "CVE-2021-44228", "dateAdded": "2021-12-10", "dueDate": "2021-12-24",
        "knownRansomwareCampaignUse": "Known"});
    fs::write(&kev, json!({"vulnerabilities": [entry, {"cveID": 7}]}).to_string()).expect("a file");
    let source = OverlaySource { kind: Kind::Kev, place: kev.display().to_string() };
    let notes = std::sync::Mutex::new(Vec::new());
    let tell = |progress| notes.lock().expect("no panic").push(progress);
    let settings = crate::registry::Settings::default();
    place.database.lay_over(std::slice::from_ref(&source), &settings, &tell).await.expect("a catalogue");
    let notes = notes.into_inner().expect("no panic");
    assert!(notes.contains(&Progress::Installed("overlay:kev".to_owned(), 1)), "{notes:?}");
    assert!(matches!(&notes[0], Progress::Note(note) if note.contains("cannot be read")), "{notes:?}");

    let mut export = Vec::new();
    place.database.export(&[], &mut export).expect("memory");
    let file = place.folder.path().join("export.tar");
    fs::write(&file, export).expect("a file");
    let mut change = other.database.change(&|_| {}).expect("a change");
    assert_eq!(change.import(&file, &|_| {}).expect("an export").len(), 3);
    change.commit().expect("room");
    for place in [&place, &other] {
        let sbom = sbom("a");
        let opened = place.database.index(&wanted([&sbom])).expect("a database");
        assert_eq!(opened.index.info().overlays, ["kev"]);
        let ecosystems = place.database.ecosystems().expect("a state");
        assert_eq!(ecosystems, [debian("11"), debian("12")].into(), "an overlay is none");
        let findings = match_sbom(&sbom, &opened.index, Texts::Left).findings;
        assert!(findings[0].exploited.is_some_and(|exploited| exploited.ransomware), "{findings:?}");
    }

    fs::write(&kev, "no catalogue").expect("a file");
    let error = place.database.lay_over(&[source], &settings, &|_| {}).await.expect_err("no catalogue");
    assert!(error.to_string().starts_with("cannot compile "), "{error}");
    assert!(place.database.status().expect("a database").0.iter().any(|status| status.name == "overlay:kev"));
}

#[test]
fn damaged_overlay_is_said_and_the_findings_stay() {
    let place = Place::new();
    place.record("CVE-2021-44228", "a", "2");
    place.update();
    let kev = place.folder.path().join("kev.json");
    let entry = json!({"cveID": "CVE-2021-44228", "dateAdded": "2021-12-10"});
    fs::write(&kev, json!({"vulnerabilities": [entry]}).to_string()).expect("a file");
    let source = OverlaySource { kind: Kind::Kev, place: kev.display().to_string() };
    let runtime = tokio::runtime::Builder::new_multi_thread().build().expect("a runtime");
    let settings = crate::registry::Settings::default();
    runtime.block_on(place.database.lay_over(&[source], &settings, &|_| {})).expect("a catalogue");
    let (state, _) = place.database.state().expect("a state");
    let path = place.database.path_of(&state.indexes["overlay:kev"].digest);
    let mut bytes = fs::read(&path).expect("an index");
    bytes[4] ^= 1;
    fs::write(&path, bytes).expect("a file");
    let sbom = sbom("a");
    let opened = place.database.index(&wanted([&sbom])).expect("a database");
    let findings = match_sbom(&sbom, &opened.index, Texts::Left).findings;
    assert_eq!((findings.len(), findings[0].exploited), (1, None));
    assert!(
        opened.index.notes()[0].contains("the index of overlay:kev is damaged"),
        "{:?}",
        opened.index.notes()
    );
}

/// Somebody changed an export on its way, again and again: it is refused, or it is what it was.
#[test]
fn changed_export_is_refused_or_says_the_same() {
    let (place, other) = (Place::new(), Place::new());
    place.record("DSA-1", "a", "2");
    place.update();
    let mut export = Vec::new();
    place.database.export(&[], &mut export).expect("memory");
    let (original, _) = place.database.state().expect("a state");
    let digests = |state: &State| -> Vec<(String, String)> {
        state.indexes.iter().map(|(name, index)| (name.clone(), index.digest.clone())).collect()
    };
    let file = place.folder.path().join("export.tar");
    let tried = std::env::var("CLARITY_MUTATIONS").ok().and_then(|number| number.parse().ok()).unwrap_or(2000);
    let mut seed = 1_u64;
    let mut below = |limit: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(seed >> 33).expect("31 bits") % limit
    };
    let mut refused = 0;
    for _ in 0..tried {
        let mut changed = export.clone();
        for _ in 0..=below(3) {
            let at = below(changed.len());
            match below(3) {
                0 => changed[at] ^= 1 << below(8),
                1 => {
                    drop(changed.drain(at..(at + below(600)).min(export.len() - 1).max(at).min(changed.len())));
                }
                _ => drop(changed.splice(at..at, std::iter::repeat_n(b'0', below(600)))),
            }
        }
        fs::write(&file, changed).expect("a file");
        let mut change = other.database.change(&|_| {}).expect("a change");
        match change.import(&file, &|_| {}) {
            Err(_) => refused += 1,
            Ok(_) => assert_eq!(digests(change.state()), digests(&original)),
        }
    }
    assert!(refused > tried / 4, "{refused} of {tried}");
}
