//! Who may use whom: the way of the data, held against the source.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Each module of the library and those that it may use, in the order in which the data flows. What is not named
/// here is not allowed; what is not used any more is to be taken out.
const MODULES: &[(&str, &[&str])] = &[
    // plain domain types
    ("severity", &[]),
    ("coverage", &[]),
    ("elf", &[]),
    ("image", &[]),
    ("network", &[]),
    ("package", &["image"]),
    ("facts", &["image"]),
    ("workload", &["facts", "image"]),
    ("finding", &["package", "severity"]),
    // reading images
    ("tree", &["image"]),
    ("sbom", &["image", "package"]),
    ("packages", &["elf", "package", "sbom", "tree"]),
    ("part_file", &[]),
    ("registry", &["elf", "image", "network", "part_file"]),
    ("mirror", &["image", "part_file", "registry"]),
    ("wire", &["image", "network"]),
    // what is kept of it: in the cluster, and in the pod that has a volume
    ("cluster", &["facts", "image", "workload"]),
    ("cache", &["cluster", "image"]),
    ("worker", &["cache", "image", "packages", "registry", "sbom", "tree", "wire"]),
    // running it in a cluster
    ("plan", &["coverage", "facts", "image", "wire", "workload"]),
    ("job", &["cluster", "facts", "image", "network", "plan", "wire"]),
    ("schedule", &[]),
    ("runner", &["cluster", "job", "network", "schedule"]),
    ("roles", &["cluster", "image", "runner"]),
    // what it means
    ("advisories", &["finding", "package", "sbom", "severity"]),
    ("report", &["coverage", "finding", "image", "package", "sbom", "severity"]),
    ("records", &["cluster", "coverage", "report"]),
    ("notify", &["records", "registry", "report", "severity"]),
    ("find", &["advisories", "cache", "finding", "image", "package", "report", "sbom", "severity", "workload"]),
    ("database", &["advisories", "image", "mirror", "registry"]),
    ("doctor", &["cache", "cluster", "database", "facts", "image", "runner"]),
    ("documents", &["advisories", "coverage", "report", "sbom"]),
    (
        "scan",
        &[
            "advisories",
            "cache",
            "cluster",
            "coverage",
            "database",
            "facts",
            "image",
            "job",
            "network",
            "packages",
            "plan",
            "registry",
            "report",
            "sbom",
            "wire",
            "workload",
        ],
    ),
    (
        "cli",
        &[
            "advisories",
            "cache",
            "cluster",
            "coverage",
            "database",
            "doctor",
            "documents",
            "find",
            "image",
            "job",
            "mirror",
            "network",
            "notify",
            "plan",
            "records",
            "registry",
            "report",
            "roles",
            "runner",
            "sbom",
            "scan",
            "schedule",
            "severity",
            "workload",
        ],
    ),
];

/// Large crates and the modules that may name them: everything else knows neither the cluster, nor the network, nor
/// the terminal.
const CRATES: &[(&str, &[&str])] = &[
    ("kube", &["cache", "cluster", "job", "records", "roles", "runner"]),
    ("k8s_openapi", &["cache", "cluster", "job", "records", "roles", "runner"]),
    ("reqwest", &["mirror", "notify", "registry"]),
    (
        "tokio",
        &[
            "cache",
            "cli",
            "cluster",
            "database",
            "find",
            "job",
            "mirror",
            "notify",
            "part_file",
            "registry",
            "runner",
            "scan",
            "worker",
        ],
    ),
    ("clap", &["cli", "worker"]),
    ("comfy_table", &["report", "worker"]),
    ("cyclonedx_bom", &["sbom"]),
    ("cron", &["schedule"]),
    ("oci_client", &["image", "registry"]),
    ("reqsign_aws_v4", &["registry"]),
    ("reqsign_core", &["registry"]),
    ("quick_xml", &["registry"]),
    ("dirs", &["cli"]),
    ("zip", &["advisories"]),
    ("serde_saphyr", &["cli", "report", "roles"]),
    ("globset", &["report"]),
    ("toml", &["network"]),
];

/// Every source file of the library with its top module; unit tests are left out, they may use what they like.
fn sources() -> Vec<(String, PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder of sources") {
            let path = entry.expect("an entry").path();
            let name = path.file_stem().and_then(|name| name.to_str()).expect("a name").to_owned();
            let relative = path.strip_prefix(&root).expect("below src").to_owned();
            let first = relative.iter().next().and_then(|part| part.to_str()).expect("a part");
            let module = first.trim_end_matches(".rs").to_owned();
            if path.is_dir() && module != "bin" {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs")
                && name != "tests"
                && name != "lib"
            {
                let text = std::fs::read_to_string(&path).expect("a text");
                let code = text.split("#[cfg(test)]").next().unwrap_or_default().to_owned();
                files.push((module, relative, code));
            }
        }
    }
    files
}

/// Lines that are no comments.
fn code_lines(code: &str) -> impl Iterator<Item = &str> {
    code.lines().filter(|line| !line.trim_start().starts_with("//"))
}

/// Names that follow a prefix such as `crate::`.
fn names_after<'a>(line: &'a str, prefix: &'a str) -> impl Iterator<Item = &'a str> {
    line.match_indices(prefix).map(move |(at, _)| {
        let rest = &line[at + prefix.len()..];
        let end = rest.find(|c: char| !c.is_ascii_lowercase() && c != '_').unwrap_or(rest.len());
        &rest[..end]
    })
}

#[test]
fn modules_use_only_what_lies_before_them_in_the_way_of_the_data() {
    let mut used: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (module, _, code) in sources() {
        let names = used.entry(module.clone()).or_default();
        for name in code_lines(&code).flat_map(|line| names_after(line, "crate::")) {
            if !name.is_empty() && name != module {
                names.insert(name.to_owned());
            }
        }
    }
    let allowed: BTreeMap<String, BTreeSet<String>> = MODULES
        .iter()
        .map(|(module, uses)| ((*module).to_owned(), uses.iter().map(ToString::to_string).collect()))
        .collect();
    assert_eq!(used, allowed);
}

#[test]
fn the_table_itself_has_no_circle() {
    let mut before = BTreeSet::new();
    for (module, uses) in MODULES {
        for name in *uses {
            assert!(before.contains(name), "{module} uses {name}, which comes later");
        }
        before.insert(*module);
    }
}

#[test]
fn large_crates_stay_in_the_modules_that_own_them() {
    for (module, path, code) in sources() {
        for (name, owners) in CRATES {
            let prefix = format!("{name}::");
            let named = code_lines(&code).any(|line| {
                line.match_indices(&prefix).any(|(at, _)| {
                    // `kube::` and not `use_kube::` or `crate::kube::`
                    !line[..at].ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':')
                })
            });
            assert!(!named || owners.contains(&module.as_str()), "{} names {name}", path.display());
        }
    }
}

#[test]
fn files_stay_small_enough_to_be_read_at_once() {
    for (_, path, code) in sources() {
        let lines = code.lines().count();
        assert!(lines <= 500, "{} has {lines} lines", path.display());
    }
}
