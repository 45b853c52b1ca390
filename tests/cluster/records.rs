//! A second opinion: what the records in `tests/osv` imply for a list of packages, without any code of ours.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

/// What a record says about one package of one ecosystem.
pub(crate) struct Said {
    pub(crate) record: String,
    pub(crate) vulnerabilities: BTreeSet<String>,
    pub(crate) source: String,
    /// `introduced`, `fixed` pairs as they stand; none of the records has another shape.
    pub(crate) pairs: Vec<(String, Option<String>)>,
}

/// One installed package.
pub(crate) struct Installed {
    pub(crate) name: String,
    /// The source it was built from, by which records name it, and that source's version.
    pub(crate) source: String,
    pub(crate) source_version: String,
}

/// Records that affect a package, by package and vulnerability.
pub(crate) type Implied = BTreeMap<(String, String), BTreeSet<String>>;

/// Reads the records of an ecosystem with its release, for example `Debian:12`.
pub(crate) fn records(ecosystem: &str) -> Vec<Said> {
    let family = ecosystem.split(':').next().expect("the first part");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/osv").join(family);
    let mut said = Vec::new();
    for file in std::fs::read_dir(folder).expect("a folder") {
        let text = std::fs::read_to_string(file.expect("an entry").path()).expect("text");
        let record: Value = serde_json::from_str(&text).expect("json");
        let upstream = record["upstream"].as_array().cloned().unwrap_or_default();
        let mut vulnerabilities: BTreeSet<String> =
            upstream.iter().map(|id| id.as_str().expect("an id").to_owned()).collect();
        if vulnerabilities.is_empty() {
            vulnerabilities.insert(record["id"].as_str().expect("an id").to_owned());
        }
        for affected in record["affected"].as_array().expect("a list") {
            if affected["package"]["ecosystem"] != ecosystem {
                continue;
            }
            let events = affected["ranges"][0]["events"].as_array().expect("a list");
            let text = |event: &Value, key: &str| event[key].as_str().map(ToOwned::to_owned);
            let pairs = events.chunks(2).map(|pair| {
                let introduced = text(&pair[0], "introduced").expect("it comes first");
                (introduced, pair.get(1).map(|event| text(event, "fixed").expect("it comes second")))
            });
            said.push(Said {
                record: record["id"].as_str().expect("an id").to_owned(),
                vulnerabilities: vulnerabilities.clone(),
                source: affected["package"]["name"].as_str().expect("a name").to_owned(),
                pairs: pairs.collect(),
            });
        }
    }
    said
}

/// What the records imply. `less` tells for pairs of versions whether the first is older.
pub(crate) fn implied(
    said: &[Said],
    installed: &[Installed],
    less: impl Fn(&BTreeSet<(String, String)>) -> BTreeMap<(String, String), bool>,
) -> Implied {
    let mut pairs = BTreeSet::new();
    for said in said {
        for package in installed.iter().filter(|package| package.source == said.source) {
            for (introduced, fixed) in &said.pairs {
                let bounds = fixed.iter().chain((introduced != "0").then_some(introduced));
                pairs.extend(bounds.map(|bound| (package.source_version.clone(), bound.clone())));
            }
        }
    }
    let less = less(&pairs);
    let is_less = |version: &str, bound: &str| less[&(version.to_owned(), bound.to_owned())];
    let mut implied = Implied::new();
    for package in installed {
        for said in said.iter().filter(|said| said.source == package.source) {
            let is_affected = said.pairs.iter().any(|(introduced, fixed)| {
                let version = &package.source_version;
                let is_fixed = fixed.as_ref().is_some_and(|fixed| !is_less(version, fixed));
                // Every version there is comes after "0" (OSV schema, `introduced`).
                !is_fixed && (introduced == "0" || !is_less(version, introduced))
            });
            for vulnerability in said.vulnerabilities.iter().filter(|_| is_affected) {
                let key = (package.name.clone(), vulnerability.clone());
                implied.entry(key).or_default().insert(said.record.clone());
            }
        }
    }
    implied
}

/// Asks dpkg, all pairs in one shell.
pub(crate) fn dpkg_less(pairs: &BTreeSet<(String, String)>) -> BTreeMap<(String, String), bool> {
    let script = "while read -r a b; do dpkg --compare-versions \"$a\" lt \"$b\"; echo $?; done";
    let mut shell = Command::new("sh")
        .args(["-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a shell");
    let mut stdin = shell.stdin.take().expect("it was piped");
    let lines = pairs.clone();
    let writer = std::thread::spawn(move || {
        lines.iter().try_for_each(|(a, b)| stdin.write_all(format!("{a} {b}\n").as_bytes()))
    });
    let output = shell.wait_with_output().expect("the shell ends");
    writer.join().expect("no panic").expect("the shell reads all");
    let answers = String::from_utf8(output.stdout).expect("digits");
    assert_eq!(answers.lines().count(), pairs.len());
    pairs.iter().cloned().zip(answers.lines().map(|line| line == "0")).collect()
}
