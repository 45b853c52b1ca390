//! Records and indexes that somebody changed: by chance, or to do harm. `CLARITY_MUTATIONS` says how many of each are
//! tried.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};

use super::index::Compiler;
use super::matching::{Texts, match_sbom};
use super::osv::record::{self, Reading};
use super::table::{Compression, Storage, Table, TableWriter};
use super::*;
use crate::package::{Distro, Package, PackageType, SourcePackage};
use crate::sbom::Sbom;

/// How many are tried when nobody says.
const TRIED: usize = 10_000;

/// Numbers from a fixed sequence: each run tries the same. xorshift64*, Vigna 2014.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(number).expect("31 bits") % limit.max(1)
    }

    /// Changes some bytes, takes some out, or puts some of another text in.
    fn mutate(&mut self, bytes: &mut Vec<u8>, other: &[u8]) {
        for _ in 0..=self.below(3) {
            let at = self.below(bytes.len());
            let length = self.below(24).min(bytes.len() - at);
            match self.below(5) {
                0 if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
                1 if at < bytes.len() => bytes[at] = u8::try_from(self.below(256)).expect("a byte"),
                2 => drop(bytes.drain(at..at + length)),
                3 => {
                    let from = self.below(other.len());
                    let length = length.min(other.len() - from);
                    drop(bytes.splice(at..at, other[from..from + length].iter().copied()));
                }
                _ => {
                    let again = bytes[at..at + length].to_vec();
                    drop(bytes.splice(at..at, again));
                }
            }
        }
    }
}

impl Chance {
    /// Changes one member, somewhere, into something else that JSON can say.
    fn mutate_json(&mut self, value: &mut Value, other: &Value) {
        let is_here = self.below(4) == 0;
        match value {
            Value::Object(members) if !is_here && !members.is_empty() => {
                let at = self.below(members.len());
                let name = members.keys().nth(at).cloned().unwrap_or_default();
                let other = other.get(&name).unwrap_or(other);
                self.mutate_json(&mut members[&name], other);
            }
            Value::Array(elements) if !is_here && !elements.is_empty() => {
                let at = self.below(elements.len());
                let other = other.get(0).unwrap_or(other);
                self.mutate_json(&mut elements[at], other);
            }
            _ => {
                *value = match self.below(9) {
                    0 => Value::Null,
                    1 => json!(0),
                    2 => json!(""),
                    3 => json!([value.clone(), value.clone()]),
                    4 => json!({"introduced": value.clone(), "fixed": "0"}),
                    5 => json!("\u{1b}[31m\0~^:::--+"),
                    6 => json!("9".repeat(self.below(3000))),
                    7 => json!([[[[{}]]]]),
                    _ => other.clone(),
                }
            }
        }
    }
}

fn tried() -> usize {
    std::env::var("CLARITY_MUTATIONS").ok().and_then(|number| number.parse().ok()).unwrap_or(TRIED)
}

/// The records of `tests/osv`.
fn records() -> Vec<Vec<u8>> {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/osv")];
    let mut files: Vec<PathBuf> = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "json") {
                files.push(path);
            }
        }
    }
    files.sort();
    files.iter().map(|path| fs::read(path).expect("a file")).collect()
}

fn compiled(records: &[Vec<u8>]) -> Compiled {
    let mut compiler = Compiler::default();
    for record in records {
        if let Ok(Reading::Wanted(advisory)) = record::read(record, &Wanted::all()) {
            compiler.add(*advisory);
        }
    }
    compiler.finish().0
}

/// The index of Debian 12.
fn debian(records: &[Vec<u8>]) -> Vec<u8> {
    let compiled = compiled(records);
    let (position, _) =
        compiled.ecosystems().find(|(_, ecosystem)| ecosystem.to_string() == "Debian:12").expect("there");
    compiled.write(position, Vec::new()).expect("memory")
}

fn open(bytes: &[u8]) -> Result<Partition, TableError> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("index");
    fs::write(&path, bytes).expect("a file");
    Partition::open(&path)
}

fn sbom() -> Sbom {
    let package = |name: &str| {
        let source = SourcePackage { name: name.to_owned(), version: "1".to_owned() };
        Package { source: Some(source), ..Package::new(PackageType::Deb, name, "1") }
    };
    Sbom {
        distro: Some(Distro {
            id: "debian".to_owned(),
            version_id: Some("12".to_owned()),
            ..Distro::default()
        }),
        packages: ["glibc", "openssl", "zlib", "curl", "perl", "linux", "a"].map(package).to_vec(),
        ..Sbom::default()
    }
}

fn findings(partition: Partition) -> (Vec<crate::finding::Finding>, bool) {
    let index = Index::new("made".to_owned(), [partition], Vec::new());
    let matches = match_sbom(&sbom(), &index, Texts::Shown);
    (matches.findings, matches.damaged.is_empty())
}

#[test]
fn nothing_wrong_of_changed_records_enters_an_index() {
    let originals = records();
    let mut chance = Chance(4_711);
    let mut compiler = Compiler::default();
    let mut taken = 0;
    for number in 0..tried() {
        let mut record = originals[chance.below(originals.len())].clone();
        let other = &originals[chance.below(originals.len())];
        if number % 4 == 0 {
            chance.mutate(&mut record, other);
        } else {
            let mut value: Value = serde_json::from_slice(&record).expect("JSON");
            chance.mutate_json(&mut value, &serde_json::from_slice(other).expect("JSON"));
            record = value.to_string().into_bytes();
        }
        let Ok(Reading::Wanted(advisory)) = record::read(&record, &Wanted::all()) else { continue };
        taken += 1;
        for affected in &advisory.affected {
            assert!(affected.ecosystem.can_be_matched() && !affected.ecosystem.to_string().contains('\u{1b}'));
        }
        assert!(advisory.affected.is_empty() || !advisory.vulnerabilities.is_empty());
        compiler.add(*advisory);
        if number % 1000 == 999 {
            let (all, _) = std::mem::take(&mut compiler).finish();
            for (position, ecosystem) in all.ecosystems() {
                let bytes = all.write(position, Vec::new()).expect("in order");
                let partition = open(&bytes).expect("an index");
                assert_eq!(partition.ecosystem(), ecosystem);
                partition.verify().expect("whole");
            }
        }
    }
    assert!(taken > tried() / 10, "hardly any of them was a record: {taken}");
}

#[test]
fn changed_index_gives_the_same_findings_or_none() {
    let original = debian(&records());
    let (expected, _) = findings(open(&original).expect("an index"));
    assert!(expected.len() > 20, "{}", expected.len());
    let mut chance = Chance(42);
    let (mut refused, mut noticed) = (0, 0);
    for _ in 0..tried() {
        let mut bytes = original.clone();
        chance.mutate(&mut bytes, &original);
        let Ok(partition) = open(&bytes) else {
            refused += 1;
            continue;
        };
        match findings(partition) {
            (found, true) => assert_eq!(found, expected),
            (found, false) => {
                noticed += 1;
                assert!(found.is_empty());
            }
        }
    }
    assert!(refused > 0 && noticed > 0, "{refused} refused, {noticed} noticed");
}

/// What somebody can do who writes indexes: checksums are right, and what they cover is not.
#[test]
fn index_with_right_checksums_over_wrong_content_does_no_harm() {
    let original = Table::open(Storage::Memory(Arc::from(debian(&records())))).expect("an index");
    let mut sections: Vec<Vec<(Vec<u8>, Vec<u8>)>> = Vec::new();
    let names = ["curl", "glibc", "openssl", "perl", "zlib"].map(|name| name.as_bytes().to_vec());
    let numbers = (0_u32..60).map(|number| number.to_be_bytes().to_vec());
    for (section, keys) in [(0, names.to_vec()), (1, numbers.clone().collect()), (2, numbers.collect())] {
        let value =
            |key: Vec<u8>| original.get(section, &key).expect("whole").map(|value| (key, value.to_vec()));
        sections.push(keys.into_iter().filter_map(value).collect());
    }
    let mut chance = Chance(7);
    for _ in 0..tried() {
        let mut writer = TableWriter::new(Vec::new());
        for (number, section) in sections.iter().enumerate() {
            let compression = if number == 2 { Compression::Zstd(1) } else { Compression::None };
            writer.section(compression, 4096).expect("memory");
            for (key, value) in section {
                let mut value = value.clone();
                if chance.below(3) == 0 {
                    chance.mutate(&mut value, &section[0].1);
                }
                writer.push(key, &value).expect("in order");
            }
        }
        let bytes = writer.finish(original.about()).expect("memory");
        let partition = open(&bytes).expect("an index");
        let _ = partition.verify();
        let (found, is_whole) = findings(partition);
        assert!(is_whole || found.is_empty());
    }
}
