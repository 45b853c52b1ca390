use std::path::PathBuf;

use proptest::prelude::*;
use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::severity::Severity;

pub(super) fn report(id: &str, started: &str, scope: &str) -> Report {
    let finding = json!({"vulnerability": "CVE-1", "advisory": "A", "aliases": [], "package": "a",
        "installed": "1", "purl": "pkg:deb/a@1", "fixed": "2", "severity": "high",
        "severity_source": null, "matched_as": null, "range": ">= 0", "locations": []});
    serde_json::from_value(json!({
        "version": 1, "notes": [],
        "containers": [{"namespace": "shop", "workload": "deployment/a", "pod": "a-1", "container": "web",
            "kind": "container", "image": "registry.test/a:1", "state": "failed", "reason": "gone", "image_index": 0}],
        "scan": {"id": id, "generator": "x", "started": started, "duration_ms": 7, "scope": scope},
        "advisories": {"source": "x", "ecosystems": {}, "newest": null},
        "images": [{"reference": "registry.test/a:1", "digest": null, "state": "scanned", "distro": null,
            "platform": {"os": "linux", "architecture": "amd64"}, "packages": 1, "findings": [finding],
            "without_data": []}],
    }))
    .expect("a report")
}

pub(super) fn header(report: &Report) -> Header {
    let origin =
        Origin { who: Some("eve".to_owned()), server: Some("https://cluster.test".to_owned()), schedule: None };
    Header::of(report, origin).expect("a header")
}

struct Records {
    folder: Folder,
    _place: TempDir,
}

impl Records {
    fn new() -> Self {
        let place = tempfile::tempdir().expect("a folder");
        Self { folder: Folder::at(place.path().join("not/there/yet")), _place: place }
    }

    fn put(&self, id: &str, started: &str, scope: &str) -> PathBuf {
        let report = report(id, started, scope);
        let header = header(&report);
        self.folder.put(&header, &report).expect("written");
        self.folder.path().join(header.file_name())
    }

    fn ids(&self) -> Vec<String> {
        let listed = self.folder.list().expect("a list");
        let id = |listed: &Listed| match listed {
            Listed::Record(header) => header.id.clone(),
            Listed::Damaged { file, why } => format!("{file}: {why}"),
        };
        listed.iter().map(id).collect()
    }

    fn get(&self, text: &str) -> Result<String, String> {
        let got = self.folder.get(&Which::parse(text).expect("an id"));
        got.map(|(header, _)| header.id).map_err(|error| error.to_string())
    }
}

#[test]
fn what_is_kept_comes_back_and_the_header_sums_it_up() {
    let records = Records::new();
    let path = records.put("7f3a", "2026-01-02T03:04:05Z", "-n shop");
    assert_eq!(path.file_name().and_then(|name| name.to_str()), Some("20260102T030405Z-7f3a.json.zst"));
    let (header, read) = records.folder.get(&Which::Last).expect("a record");
    assert_eq!(read, report("7f3a", "2026-01-02T03:04:05Z", "-n shop"));
    assert_eq!((header.who.as_deref(), header.scope.as_str()), (Some("eve"), "-n shop"));
    assert_eq!((header.coverage.failed, header.complete), (1, false));
    assert_eq!((header.findings.get(Severity::High), header.findings.fixable), (1, 1));
}

#[test]
fn newest_come_first_and_the_oldest_give_way() {
    let mut records = Records::new();
    records.folder = records.folder.keeping(3);
    assert_eq!(records.ids(), Vec::<String>::new());
    for (id, day) in [("c", 3), ("a", 1), ("e", 5), ("b", 2), ("d", 4)] {
        records.put(id, &format!("2026-01-0{day}T00:00:00Z"), "-A");
    }
    assert_eq!(records.ids(), ["e", "d", "c"]);
    assert_eq!(records.get("last").as_deref(), Ok("e"));
}

#[test]
fn an_id_may_be_shortened_as_long_as_it_means_one() {
    let records = Records::new();
    for (id, second) in [("abc", 1), ("abd", 2), ("ab", 3), ("x9", 4)] {
        records.put(id, &format!("2026-01-02T03:04:0{second}Z"), "-A");
    }
    assert_eq!(records.get("ab").as_deref(), Ok("ab"));
    assert_eq!(records.get("x").as_deref(), Ok("x9"));
    let refused = records.get("a").expect_err("several");
    assert_eq!(refused, "several scans begin with \"a\": ab, abd, abc");
    assert!(records.get("y").expect_err("none").starts_with("there is no record of a scan \"y\""));
}

#[test]
fn the_one_before_is_of_the_same_scope_and_cluster() {
    let records = Records::new();
    records.put("a1", "2026-01-02T03:04:01Z", "-n shop");
    records.put("a2", "2026-01-02T03:04:02Z", "-n shop");
    records.put("b1", "2026-01-02T03:04:03Z", "-A");
    records.put("a3", "2026-01-02T03:04:04Z", "-n shop");
    let before =
        |header: &Header| records.folder.before(header).expect("readable").map(|(header, _)| header.id);
    let newest = header(&report("a3", "2026-01-02T03:04:04Z", "-n shop"));
    assert_eq!(before(&newest).as_deref(), Some("a2"));
    assert_eq!(before(&header(&report("a1", "2026-01-02T03:04:01Z", "-n shop"))), None);
    assert_eq!(before(&Header { server: None, ..newest }), None);
}

#[test]
fn damaged_records_are_named_and_the_others_stay_readable() {
    let records = Records::new();
    records.put("good", "2026-01-02T03:04:01Z", "-A");
    let cut = records.put("cut", "2026-01-02T03:04:02Z", "-A");
    let bytes = std::fs::read(&cut).expect("readable");
    std::fs::write(&cut, &bytes[..bytes.len() - 9]).expect("written");
    let empty = records.folder.path().join("20260102T030409Z-empty.json.zst");
    std::fs::write(&empty, b"").expect("written");
    std::fs::write(records.folder.path().join("notes.txt"), b"mine").expect("written");
    let listed = records.ids();
    assert_eq!(listed, ["20260102T030409Z-empty.json.zst: it is no record of a scan", "cut", "good"]);
    for id in ["cut", "empty"] {
        let error = records.get(id).expect_err("damaged");
        assert!(error.contains(&format!("-{id}.json.zst is damaged")), "{error}");
    }
    assert_eq!(records.get("good").as_deref(), Ok("good"));
}

#[test]
fn a_header_before_the_report_of_another_scan_is_found_out() {
    let first = report("first", "2026-01-02T03:04:01Z", "-A");
    let forged = encode(&Header { id: "other".to_owned(), ..header(&first) }, &first).expect("written");
    assert!(matches!(decode(&forged), Err(DamageError::Contradiction)));
}

#[test]
fn names_that_would_leave_the_folder_are_no_ids() {
    for id in ["", "..", "a/b", "A", "-a", "a.b", &"a".repeat(64)] {
        assert_eq!(Which::parse(id), None, "{id}");
        let report = report(id, "2026-01-02T03:04:05Z", "-A");
        assert!(Header::of(&report, Origin::default()).is_err(), "{id}");
    }
}

#[test]
fn tools_that_skip_what_they_are_told_to_skip_see_the_report() {
    let report = report("a", "2026-01-02T03:04:01Z", "-A");
    let record = encode(&header(&report), &report).expect("written");
    let json = zstd::decode_all(record.as_slice()).expect("zstd");
    assert_eq!(serde_json::from_slice::<Report>(&json).expect("a report"), report);
}

proptest! {
    #[test]
    fn any_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..200), flip in 0_usize..400) {
        prop_assert!(decode(&bytes).is_err());
        let report = report("a", "2026-01-02T03:04:01Z", "-A");
        let mut record = encode(&header(&report), &report).expect("written");
        let place = flip % record.len();
        record[place] ^= 0x20;
        let _ = decode(&record);
        record.truncate(place);
        prop_assert!(decode(&record).is_err());
    }
}
