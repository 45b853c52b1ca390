//! Advisories that come from the registry of the cluster: compiled and pushed there once, fetched by who scans.

use std::fs;

use serde_json::{Value, json};

use crate::environment::environment;
use crate::nodes::open_nodes;
use crate::plugin::{Ended, Plugin};

/// Scans of the shop, of which one container has not started. What was read once is not read again, so that all scans speak
/// of the same packages.
fn scan(folder: &tempfile::TempDir, db: &str, flags: &[&str]) -> Ended {
    let _open = open_nodes();
    let environment = environment();
    Plugin::new(&["scan", "-n", "shop", "-o", "json", "--scanner-image", &environment.private_scanner])
        .with(&["--registry-ca", &environment.registry_ca])
        .variable("CLARITY_DB", db)
        .variable("CLARITY_SBOM_CACHE", "local")
        .variable("XDG_CACHE_HOME", &folder.path().display().to_string())
        .variable("CLARITY_OFFLINE", "no")
        .with(flags)
        .run()
        .code(4)
}

/// What was found in each image that runs.
fn findings(report: &Value) -> Vec<Value> {
    let images = report["images"].as_array().expect("a list").iter();
    let images = images.filter(|image| image["state"] != "approximate");
    images.map(|image| json!([image["digest"], image["findings"], image["without_data"]])).collect()
}

#[test]
fn scan_fetches_advisories_from_the_registry_of_the_cluster_and_needs_it_no_more() {
    let environment = environment();
    let address = std::env::var("CLARITY_REGISTRY_ADDRESS").expect("set with the rest");
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    // Nobody has put this one into the real catalogue.
    let kev = json!({"vulnerabilities": [{"cveID": "CVE-2005-2541", "dateAdded": "2023-11-21",
        "dueDate": "2023-12-12", "knownRansomwareCampaignUse": "Unknown"}]});
    fs::write(path("kev.json"), kev.to_string()).expect("a file");
    let reference = format!("{address}/tests/advisories:v1");
    let osv = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/osv");
    Plugin::new(&["db", "push", &reference, "--from", osv, "--kev", &path("kev.json")])
        .with(&["--registry-ca", &environment.registry_ca])
        .variable("CLARITY_DB", &path("builder"))
        .run()
        .code(0);

    let db = path("db");
    let source = ["--db-source", &reference];
    let first = scan(&folder, &db, &source).says(&["fetching advisories, ", " indexes from ", "Debian:12: "]);
    assert!(first.stderr.contains("overlay:kev: 1 entry"), "{}", first.stderr);
    let raw = scan(&folder, &path("none"), &["--advisories", osv]);
    let again = scan(&folder, &db, &["--offline"]);
    let without_kev = |mut report: Value| {
        let mut exploited = 0;
        for image in report["images"].as_array_mut().expect("a list") {
            for finding in image["findings"].as_array_mut().expect("a list") {
                let finding = finding.as_object_mut().expect("an object");
                exploited += usize::from(finding.remove("exploited").is_some());
                // Only a stream knows layers, and which of the two read an image is no matter here.
                for location in finding["locations"].as_array_mut().expect("a list") {
                    location.as_object_mut().expect("an object").remove("layer");
                }
            }
            let order = |finding: &Value| {
                let text = |key: &str| finding[key].as_str().expect("text").to_owned();
                (text("vulnerability"), text("purl"))
            };
            image["findings"].as_array_mut().expect("a list").sort_by_key(order);
        }
        (findings(&report), exploited)
    };
    let (fetched, exploited) = without_kev(first.report());
    assert!(exploited > 0, "tar is in most images of the shop");
    assert_eq!(fetched, without_kev(again.report()).0);
    assert_eq!(fetched, without_kev(raw.report()).0);
    assert!(!again.stderr.contains("fetching advisories"), "{}", again.stderr);
    assert_eq!(first.report()["advisories"]["overlays"], json!(["kev"]));
}

#[test]
fn without_advisories_nothing_is_called_clean_and_the_command_to_run_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let report = scan(&folder, &folder.path().join("db").display().to_string(), &["--offline"]).report();
    let notes = report["notes"].as_array().expect("a list").iter().filter_map(Value::as_str);
    let command = notes.filter(|note| note.contains("kubectl clarity db update ")).collect::<String>();
    assert!(command.contains("Debian:12") && command.contains("Alpine:v3.18"), "{command}");
    let images = report["images"].as_array().expect("a list").iter();
    let without = images.filter(|image| image["packages"] != 0).map(|image| image["without_data"].clone());
    assert!(without.clone().count() > 3);
    assert!(
        without.clone().all(|names| !names.as_array().expect("a list").is_empty()),
        "{:?}",
        without.collect::<Vec<_>>()
    );
}
