//! `kubectl clarity match` as it is run: its report, its exit codes, and what it says of other files.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// Documents as Syft and Trivy write them, of which the unit tests say what is read.
const SYFT: &str = "src/sbom/document/syft.cdx.json";
const SYFT_SPDX: &str = "src/sbom/spdx/syft.spdx.json";
const TRIVY: &str = "src/sbom/document/trivy.cdx.json";

fn plugin(arguments: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_kubectl-clarity"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .arg("match")
        .args(arguments)
        .env("KUBECONFIG", "/nonexistent/config")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    // One that has refused its arguments reads nothing.
    let _ = child.stdin.take().expect("a pipe").write_all(input);
    child.wait_with_output().expect("the program ends")
}

fn matched(arguments: &[&str]) -> Output {
    plugin(&[arguments, &["--advisories", "tests/osv"]].concat(), b"")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text")
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn names(report: &Value) -> Vec<&str> {
    let findings = report["images"][0]["findings"].as_array().expect("findings");
    findings.iter().filter_map(|finding| finding["vulnerability"].as_str()).collect()
}

#[test]
fn report_of_a_document_of_trivy() {
    let output = matched(&[TRIVY]);
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()));
    insta::assert_snapshot!(text(&output.stdout));
}

#[test]
fn report_of_two_documents_of_which_neither_is_known_whole() {
    let output = matched(&[SYFT, SYFT_SPDX, "--severity", "critical,high,medium"]);
    assert_eq!(output.status.code(), Some(4));
    assert!(text(&output.stderr).contains("--allow-incomplete"));
    insta::assert_snapshot!(text(&output.stdout));
    assert_eq!(matched(&[SYFT, "--allow-incomplete"]).status.code(), Some(0));
}

#[test]
fn filters_leave_coverage_counts_and_thresholds_as_they_are() {
    let whole = json(&matched(&[SYFT, "-o", "json"]));
    let output = matched(&[SYFT, "-o", "json", "--severity", "critical", "--only-fixed", "--fail-on", "high"]);
    let part = json(&output);
    assert_eq!(names(&part), ["CVE-2021-44228", "CVE-2021-45046"]);
    let (all, shown) = (&whole["summary"], &part["summary"]);
    let number = |value: &Value| value.as_u64().expect("a number");
    assert_eq!(number(&all["findings"]), number(&shown["findings"]) + number(&shown["not_shown"]));
    assert_eq!((&whole["coverage"], &all["complete"]), (&part["coverage"], &shown["complete"]));
    assert_eq!(part["filter"], serde_json::json!({"severities": ["critical"], "only_fixed": true}));
    // Both reasons are said, and the threshold decides.
    assert_eq!(output.status.code(), Some(3));
    let said = text(&output.stderr);
    assert!(said.contains("there are findings of severity high or worse (--fail-on)"), "{said}");
    assert!(said.contains("see Coverage"), "{said}");
}

#[test]
fn with_fixable_only_findings_with_a_fix_fail_a_run() {
    for (fail_on, code) in [("medium", 3), ("low,fixable", 0), ("fixable", 3), ("high", 0)] {
        let output = matched(&[TRIVY, "--fail-on", fail_on]);
        assert_eq!(output.status.code(), Some(code), "{fail_on}");
    }
    let output = matched(&[SYFT, "--fail-on", "fixable,critical", "--allow-incomplete"]);
    assert_eq!(output.status.code(), Some(3));
}

#[test]
fn standard_input_is_a_document_too() {
    let bytes = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(TRIVY)).expect("a document");
    let piped = json(&plugin(&["-", "--advisories", "tests/osv", "-o", "json"], &bytes));
    let named = json(&matched(&[TRIVY, "-o", "json"]));
    assert_eq!(piped["images"], named["images"]);
    assert_eq!(piped["containers"][0]["workload"], "standard input");
    assert_eq!(piped["scan"]["id"], named["scan"]["id"]);
}

#[test]
fn what_the_scanner_writes_of_a_folder_is_matched() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = folder.path().join("lib/python3/site-packages/Jinja2-2.10.dist-info");
    std::fs::create_dir_all(&place).expect("a folder");
    std::fs::write(place.join("METADATA"), "Metadata-Version: 2.1\nName: Jinja2\nVersion: 2.10\n")
        .expect("written");
    let scanner = Command::new(env!("CARGO_BIN_EXE_clarity-scan"))
        .args(["dir", "-o", "cyclonedx"])
        .arg(folder.path())
        .output()
        .expect("the scanner starts");
    let output = plugin(&["-", "--advisories", "tests/osv", "-o", "json"], &scanner.stdout);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(names(&json(&output)).contains(&"CVE-2019-10906"));
}

#[test]
fn result_may_go_where_a_document_came_from() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("bill.json");
    std::fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join(TRIVY), &file).expect("copied");
    let path = file.to_str().expect("text");
    let output = matched(&[path, "-o", "json", "--output-file", path]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let report: Value = serde_json::from_slice(&std::fs::read(&file).expect("written")).expect("JSON");
    assert_eq!(report["summary"]["findings"], 2);
}

#[test]
fn without_advisories_nothing_is_called_clean() {
    let output = plugin(&[TRIVY], b"");
    assert_eq!(output.status.code(), Some(4));
    assert!(text(&output.stdout).contains("Not known: there are no advisories to hold packages against"));
}

#[test]
fn other_files_are_errors_with_a_hint() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, bytes: &[u8]| -> PathBuf {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).expect("written");
        path
    };
    let too_large = vec![b' '; (64 << 20) + 1];
    for (path, cause) in [
        (file("a.xml", b"<bom/>"), "the document is XML, and not JSON"),
        (file("a.spdx", b"SPDXVersion: SPDX-2.3"), "the document is SPDX in its tag-value form, and not JSON"),
        (file("empty", b""), "the document is empty"),
        (file("cut", b"{\"bomFormat\": \"CycloneDX\", \"comp"), "the document is no JSON"),
        (file("other", b"{\"Results\": []}"), "the document is neither CycloneDX nor SPDX"),
        (file("large", &too_large), "the document has more than the 64 MiB that are read"),
        (folder.path().to_owned(), "it is a directory"),
    ] {
        // A good document before it does not make it less of an error.
        let output = plugin(&[TRIVY, path.to_str().expect("text")], b"");
        let said = text(&output.stderr);
        assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(1), &b""[..]), "{said}");
        assert!(said.starts_with(&format!("error: cannot read {}", path.display())), "{said}");
        assert!(said.contains(cause) && said.contains("\n  hint:  "), "{said}");
    }
    assert_eq!(plugin(&["/nonexistent.json"], b"").status.code(), Some(1));
}

#[test]
fn wrong_words_are_wrong_usage_and_the_right_ones_are_told() {
    for (arguments, told) in [
        (&["x", "--severity", "bad"][..], "critical, high, medium, low, negligible or unknown"),
        (&["x", "--severity", "high,"], "critical, high, medium, low, negligible or unknown"),
        (&["x", "--fail-on", "bad"], "critical, high, medium, low, negligible, unknown, fixable and kev"),
        (&["x", "--fail-on", "high,low"], "give one severity"),
        (&[], "<FILE>..."),
    ] {
        let output = plugin(arguments, b"");
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(told), "{said}");
    }
}

/// What is written into a file of a folder that is removed afterwards.
fn file(folder: &tempfile::TempDir, name: &str, text: &str) -> String {
    let path = folder.path().join(name);
    std::fs::write(&path, text).expect("a file");
    path.to_str().expect("text").to_owned()
}

/// An application of Python with two vulnerable packages.
const PYTHON: &str = r#"{"bomFormat": "CycloneDX", "specVersion": "1.5",
    "metadata": {"component": {"type": "container", "name": "registry.test/shop/cart:1"}},
    "components": [
        {"type": "library", "name": "urllib3", "version": "1.24", "purl": "pkg:pypi/urllib3@1.24"},
        {"type": "library", "name": "requests", "version": "2.18", "purl": "pkg:pypi/requests@2.18"}]}"#;

#[test]
fn what_a_rule_or_a_document_suppresses_fails_no_run_and_stays_in_the_report() {
    let folder = tempfile::tempdir().expect("a folder");
    let bill = file(&folder, "bill.json", PYTHON);
    let rules = file(
        &folder,
        "ignore.yaml",
        "version: 1\nignore:\n- {package: urllib3, image: \"registry.test/shop/*\", reason: only internal URLs}\n",
    );
    let vex = file(
        &folder,
        "vex.json",
        r#"{"@context": "https://openvex.dev/ns/v0.2.0", "statements": [{"vulnerability": {"name": "CVE-2023-32681"},
            "products": [{"@id": "pkg:oci/cart?repository_url=registry.test/shop/cart",
            "subcomponents": [{"@id": "pkg:pypi/requests"}]}], "status": "not_affected",
            "justification": "vulnerable_code_not_in_execute_path"}]}"#,
    );
    let run = |more: &[&str]| matched(&[&[bill.as_str(), "--fail-on", "unknown"], more].concat());
    assert_eq!(run(&[]).status.code(), Some(3));
    assert_eq!(run(&["--ignore-file", &rules]).status.code(), Some(3), "requests is left");
    let both = run(&["--ignore-file", &rules, "--vex", &vex]);
    assert_eq!((both.status.code(), text(&both.stderr)), (Some(0), String::new()));
    let table = text(&both.stdout);
    assert!(table.contains("\nNo findings but suppressed ones\n"), "{table}");
    let suppressed =
        format!("CVE-2023-32681 in requests: not affected: vulnerable_code_not_in_execute_path ({vex})");
    assert!(table.contains(&suppressed), "{table}");
    let report = json(&run(&["--ignore-file", &rules, "--vex", &vex, "-o", "json"]));
    let findings = report["images"][0]["findings"].as_array().expect("findings");
    assert!(findings.len() >= 3 && findings.iter().all(|finding| finding["ignored"]["reason"].is_string()));
    assert_eq!(report["summary"]["ignored"], findings.len());
    assert_eq!(report["summary"]["findings"], 0);
}

#[test]
fn files_that_are_no_rules_are_errors_with_their_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let bill = file(&folder, "bill.json", PYTHON);
    let rules = file(&folder, "ignore.yaml", "version: 1\nignore:\n- id: CVE-1\n  raeson: typo\n");
    for (flag, path, cause, hint) in [
        ("--ignore-file", rules.as_str(), "unknown field `raeson`, expected one of", true),
        ("--ignore-file", "/nonexistent", "No such file", false),
        ("--vex", &rules, "line 1", false),
    ] {
        let output = matched(&[&bill, flag, path]);
        let said = text(&output.stderr);
        assert_eq!((output.status.code(), text(&output.stdout)), (Some(1), String::new()), "{said}");
        assert!(said.contains(cause) && said.contains(path) && said.contains("hint") == hint, "{said}");
    }
}

#[test]
fn image_of_a_release_without_advisories_is_not_called_clean() {
    let folder = tempfile::tempdir().expect("a folder");
    let bill = file(
        &folder,
        "bill.json",
        r#"{"bomFormat": "CycloneDX", "specVersion": "1.5", "components": [
            {"type": "operating-system", "name": "debian", "version": "9"},
            {"type": "library", "name": "tar", "version": "1", "purl": "pkg:deb/debian/tar@1?distro=debian-9"}]}"#,
    );
    let output = matched(&[&bill, "-o", "json", "--allow-incomplete"]);
    let report = json(&output);
    assert_eq!(report["images"][0]["end_of_life"]["since"], "2022-06-30", "{report}");
    assert_eq!(report["summary"]["end_of_life"], 1);
    let table = text(&matched(&[&bill, "--allow-incomplete"]).stdout);
    assert!(table.contains("debian 9 since 2022-06-30") && !table.contains("No findings"), "{table}");
}
