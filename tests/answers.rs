//! `kubectl clarity report`, `diff` and `sbom` as they are run: on records, on files, and on what is neither.

use std::path::Path;
use std::process::{Command, Output};

use clarity::records::{Folder, Header, Origin};
use clarity::report::Report;
use serde_json::Value;

const SYFT: &str = "src/sbom/document/syft.cdx.json";
const TRIVY: &str = "src/sbom/document/trivy.cdx.json";

fn plugin(records: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_kubectl-clarity"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(arguments)
        .env("KUBECONFIG", "/nonexistent/config")
        .env("CLARITY_RECORDS", records)
        .output()
        .expect("the program starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text")
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// The report of a document, as JSON.
fn matched(document: &str) -> Vec<u8> {
    plugin(Path::new("/nonexistent"), &["match", document, "--advisories", "tests/osv", "-o", "json"]).stdout
}

/// Keeps a report as the record of a scan.
fn keep(folder: &Path, json: &[u8], id: &str, started: &str) {
    let mut report: Report = serde_json::from_slice(json).expect("a report");
    id.clone_into(&mut report.scan.id);
    started.clone_into(&mut report.scan.started);
    "-n shop".clone_into(&mut report.scan.scope);
    let origin = Origin { who: Some("eve".to_owned()), server: None, schedule: None };
    let header = Header::of(&report, origin).expect("a header");
    Folder::at(folder.to_owned()).put(&header, &report).expect("kept");
}

#[test]
fn a_record_is_shown_as_the_scan_itself_was() {
    let folder = tempfile::tempdir().expect("a folder");
    let report = matched(TRIVY);
    keep(folder.path(), &report, "7f3a", "2026-01-02T03:04:05Z");
    keep(folder.path(), &matched(SYFT), "81bc", "2026-01-03T03:04:05Z");
    let shown = plugin(folder.path(), &["report", "7f", "-o", "json"]);
    assert_eq!(shown.status.code(), Some(0));
    assert!(text(&shown.stderr).starts_with("scan 7f3a of -n shop, "), "{}", text(&shown.stderr));
    let original: Value = serde_json::from_slice(&report).expect("JSON");
    assert_eq!(json(&shown)["images"], original["images"]);
    // The last one is of a document that is not known whole, and has a critical finding.
    let last = plugin(folder.path(), &["report", "--fail-on", "critical", "--severity", "critical"]);
    assert_eq!(last.status.code(), Some(3));
    assert!(text(&last.stdout).contains("CVE-2021-44228") && !text(&last.stdout).contains("CVE-2021-45105"));
}

#[test]
fn records_are_listed_the_newest_first_and_damaged_ones_named() {
    let folder = tempfile::tempdir().expect("a folder");
    keep(folder.path(), &matched(TRIVY), "7f3a", "2026-01-02T03:04:05Z");
    keep(folder.path(), &matched(SYFT), "81bc", "2026-01-03T03:04:05Z");
    std::fs::write(folder.path().join("20260104T000000Z-x.json.zst"), b"no record").expect("written");
    let listed = plugin(folder.path(), &["report", "--list"]);
    let lines: Vec<String> = text(&listed.stdout).lines().map(ToOwned::to_owned).collect();
    let ids: Vec<&str> = lines.iter().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(ids, ["SCAN", "81bc", "7f3a"]);
    assert!(lines[1].contains(" 0/1 ") && lines[1].ends_with(" eve"), "{}", lines[1]);
    assert!(text(&listed.stderr).contains("20260104T000000Z-x.json.zst is damaged: it is no record of a scan"));
    let listed = json(&plugin(folder.path(), &["report", "--list", "-o", "json"]));
    assert_eq!((&listed[1]["id"], &listed[1]["findings"]["medium"]), (&"7f3a".into(), &1.into()));
}

#[test]
fn one_scan_is_held_against_the_one_before_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let report = matched(TRIVY);
    keep(folder.path(), &report, "7f3a", "2026-01-02T03:04:05Z");
    let alone = plugin(folder.path(), &["diff"]);
    assert_eq!(alone.status.code(), Some(1));
    assert!(text(&alone.stderr).contains("there is no record of an earlier scan \"-n shop\""));
    let mut fixed: Value = serde_json::from_slice(&report).expect("JSON");
    fixed["images"][0]["findings"].as_array_mut().expect("findings").remove(0);
    keep(folder.path(), fixed.to_string().as_bytes(), "81bc", "2026-01-03T03:04:05Z");
    let diff = plugin(folder.path(), &["diff", "-o", "json", "--fail-on", "unknown"]);
    assert_eq!(diff.status.code(), Some(0), "{}", text(&diff.stderr));
    let summary = &json(&diff)["summary"];
    assert_eq!((&summary["new"]["medium"], &summary["fixed"]["medium"]), (&0.into(), &1.into()));
    let back = plugin(folder.path(), &["diff", "81bc", "7f3a", "--fail-on", "medium"]);
    assert_eq!(back.status.code(), Some(3));
    assert!(text(&back.stderr).contains("there are new findings of severity medium or worse (--fail-on)"));
    assert!(text(&back.stdout).contains("Note: the first report is the newer one"));
}

#[test]
fn files_are_compared_without_any_record() {
    let folder = tempfile::tempdir().expect("a folder");
    let files: Vec<String> = [("a.json", TRIVY), ("b.json", SYFT)]
        .map(|(name, document)| {
            let path = folder.path().join(name);
            std::fs::write(&path, matched(document)).expect("written");
            path.display().to_string()
        })
        .into();
    let diff =
        plugin(folder.path(), &["diff", &files[0], &files[1], "--severity", "critical", "--allow-incomplete"]);
    assert_eq!(diff.status.code(), Some(0), "{}", text(&diff.stderr));
    let table = text(&diff.stdout);
    assert!(table.contains("CVE-2021-44228") && table.contains("not read whole now: 1 container"), "{table}");
    let refused = plugin(folder.path(), &["report", SYFT]);
    assert_eq!((refused.status.code(), text(&refused.stdout)), (Some(1), String::new()));
    assert!(text(&refused.stderr).contains("this JSON is no report of kubectl clarity"));
}

#[test]
fn a_bill_of_materials_keeps_its_packages_in_every_form() {
    let folder = tempfile::tempdir().expect("a folder");
    let names = |file: &str| text(&plugin(folder.path(), &["sbom", file, "-o", "names"]).stdout);
    let original = names(SYFT);
    assert_eq!(original.lines().last(), Some("stdlib@1.21.5"));
    for form in ["cyclonedx", "spdx"] {
        let file = folder.path().join(form).display().to_string();
        let written = plugin(folder.path(), &["sbom", SYFT, "-o", form, "--output-file", &file]);
        assert_eq!(written.status.code(), Some(0));
        let said = text(&written.stderr);
        assert_eq!(said, "note: not shown: 1 component is of a type that is not known: generic (redis)\n");
        assert_eq!(names(&file), original, "{form}");
    }
}

#[test]
fn find_needs_no_cluster_for_what_is_kept() {
    let home = tempfile::tempdir().expect("a folder");
    let found = |arguments: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_kubectl-clarity"))
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .args(["find", "--cached"])
            .args(arguments)
            .env("KUBECONFIG", "/nonexistent/config")
            .env("XDG_CACHE_HOME", home.path())
            .output()
            .expect("the program starts")
    };
    keep_bill(&home.path().join("kubectl-clarity").join("sboms"), SYFT);
    let affected = json(&found(&["CVE-2021-44228", "--advisories", "tests/osv", "-o", "json"]));
    let hit = &affected["images"][0]["hits"][0];
    assert_eq!((&hit["version"], &hit["known"]["known"]), (&"2.14.1".into(), &"affected".into()));
    let named = found(&["log4j-core@<2.15"]);
    assert_eq!((named.status.code(), text(&named.stderr)), (Some(0), String::new()));
    assert!(
        text(&named.stdout).ends_with("log4j-core <2.15: found in 1 of 1 image searched\n"),
        "{}",
        text(&named.stdout)
    );
    let other = found(&["log4j-core@>=2.15"]);
    assert_eq!(text(&other.stdout), "log4j-core >=2.15: not found in 1 image searched\n");
    let refused = found(&["a@>="]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(&refused.stderr).contains("cannot read the versions: \">=\" has no version behind >="));
}

/// Keeps a document as what was read of an image.
fn keep_bill(folder: &Path, document: &str) {
    use clarity::cache::{About, Entry, LocalStore, Store as _};
    use clarity::image::{Digest, ImageKey, Platform};
    let document = std::fs::read(document).expect("a document");
    let now = jiff::Timestamp::now();
    let about = About {
        key: ImageKey { digest: Digest::of(b"image"), platform: Platform::of_this_program() },
        manifest: None,
        config: None,
        reference: "registry.test/shop/cart:1.2".parse().expect("a reference"),
        reader: "stream".to_owned(),
        generator: "x".to_owned(),
        analysers: "x".to_owned(),
        packages: 3,
        document: Digest::of(&document),
        stored: 0,
        created: now,
        used: now,
    };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async { LocalStore::at(folder).put(&Entry { about, document }).await }).expect("kept");
}
