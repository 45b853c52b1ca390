//! Ubuntu's CVE tracker: the files of `active/` in <https://git.launchpad.net/ubuntu-cve-tracker>, one for each CVE.
//!
//! ```text
//! Candidate: CVE-2024-0727
//! Priority: low
//!  Marked as low by the OpenSSL project
//! Priority_edk2: medium
//! noble_openssl: released (3.0.10-1ubuntu4)
//! jammy_edk2: needed
//! esm-infra/xenial_openssl: needs-triage
//! ```
//!
//! What is said of releases for those who pay (`esm-infra/xenial`) is passed over: OSV keeps it apart too.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

use super::OverlayError;
use super::end_of_life::version_of;
use super::input::Limited;
use super::tracker::{Tracked, Tracker};
use crate::finding::Fix;
use crate::severity::Severity;

/// What the files are called in errors and notes.
pub const NAME: &str = "Ubuntu's CVE tracker";

/// The folder of the repository that holds them.
const FOLDER: &str = "active";
/// How their names begin.
const PREFIX: &str = "CVE-";
/// Largest file that is read, in bytes; the largest real ones have some 200 KB.
const MAX_FILE: u64 = 2 << 20;
/// Most bytes of an archive once inflated.
const MAX_BYTES: u64 = 8 << 30;
/// Most entries of an archive or folder.
const MAX_FILES: usize = 2_000_000;
/// Most entries that are kept.
const MAX_ENTRIES: usize = 8_000_000;

/// Reads the repository or its folder, as files or as a tar (also compressed by gzip).
pub fn read(path: &Path) -> Result<Tracker, OverlayError> {
    let wrong = |source| OverlayError::Read { what: NAME, source };
    if path.is_dir() {
        let inner = path.join(FOLDER);
        read_folder(if inner.is_dir() { &inner } else { path })
    } else {
        read_archive(File::open(path).map_err(wrong)?)
    }
}

/// Reads a tar, also one that is compressed by gzip.
pub fn read_archive(archive: impl Read) -> Result<Tracker, OverlayError> {
    let wrong = |source| OverlayError::Read { what: NAME, source };
    let mut archive = BufReader::new(archive);
    let is_compressed = archive.fill_buf().map_err(wrong)?.starts_with(&[0x1f, 0x8b]);
    let content: Box<dyn Read> =
        if is_compressed { Box::new(MultiGzDecoder::new(archive)) } else { Box::new(archive) };
    let mut archive = tar::Archive::new(Limited::new(content, MAX_BYTES));
    let mut files = Files::default();
    for entry in archive.entries().map_err(wrong)? {
        let entry = entry.map_err(wrong)?;
        files.count()?;
        let path = entry.path().map_err(wrong)?.into_owned();
        let folder = path.parent().and_then(Path::file_name).and_then(|name| name.to_str());
        // Whoever packs the folder alone may leave its name out.
        let is_here = matches!(folder, None | Some("." | FOLDER));
        if let Some(name) = path.file_name().and_then(|name| name.to_str()).filter(|_| is_here) {
            let size = entry.size();
            files.add(name, size, entry)?;
        }
    }
    files.end()
}

fn read_folder(path: &Path) -> Result<Tracker, OverlayError> {
    let wrong = |source| OverlayError::Read { what: NAME, source };
    let mut files = Files::default();
    for entry in fs::read_dir(path).map_err(wrong)? {
        let entry = entry.map_err(wrong)?;
        files.count()?;
        let facts = entry.metadata().map_err(wrong)?;
        if let Some(name) = entry.file_name().to_str().filter(|_| facts.is_file()) {
            files.add(name, facts.len(), File::open(entry.path()).map_err(wrong)?)?;
        }
    }
    files.end()
}

/// Files that were read.
#[derive(Default)]
struct Files {
    tracker: Tracker,
    seen: usize,
    is_any: bool,
}

impl Files {
    fn count(&mut self) -> Result<(), OverlayError> {
        self.seen += 1;
        let too_many = |limit| Err(OverlayError::TooMany { what: NAME, limit });
        match () {
            () if self.seen > MAX_FILES => too_many(MAX_FILES),
            () if self.tracker.len() > MAX_ENTRIES => too_many(MAX_ENTRIES),
            () => Ok(()),
        }
    }

    /// Reads a file, if it is about a CVE.
    fn add(&mut self, name: &str, size: u64, content: impl Read) -> Result<(), OverlayError> {
        if !name.starts_with(PREFIX) {
            return Ok(());
        }
        self.is_any = true;
        if size > MAX_FILE {
            self.tracker.damaged.add(name);
            return Ok(());
        }
        let mut bytes = Vec::new();
        let read: io::Result<usize> = content.take(MAX_FILE).read_to_end(&mut bytes);
        read.map_err(|source| OverlayError::Read { what: NAME, source })?;
        parse(name, &String::from_utf8_lossy(&bytes), &mut self.tracker);
        Ok(())
    }

    fn end(self) -> Result<Tracker, OverlayError> {
        let none = OverlayError::Form { what: NAME, problem: "it has no files CVE-… in active/" };
        if self.is_any { Ok(self.tracker) } else { Err(none) }
    }
}

/// Reads the file of a CVE.
fn parse(id: &str, text: &str, tracker: &mut Tracker) {
    let mut priorities: BTreeMap<&str, Option<Severity>> = BTreeMap::new();
    let mut states = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with([' ', '\t', '#'])) {
        let Some((key, value)) = line.split_once(':') else { continue };
        if let Some(of) = key.strip_prefix("Priority") {
            let word = value.split_whitespace().next().unwrap_or_default();
            priorities.insert(of.trim_start_matches('_'), Severity::from_word(word));
        } else if let Some((codename, package)) = key.split_once('_')
            && let Some(version) = version_of("ubuntu", codename)
        {
            states.push((version, codename, package, value.trim()));
        }
    }
    if states.is_empty() && priorities.is_empty() {
        tracker.damaged.add(id);
    }
    for (version, codename, package, status) in states {
        // `Priority_PACKAGE_RELEASE`, `Priority_PACKAGE`, `Priority`: the narrowest counts.
        let keys = [format!("{package}_{codename}"), package.to_owned(), String::new()];
        let severity = keys.iter().find_map(|key| priorities.get(key.as_str())).copied().flatten();
        match State::of(status) {
            Some(State::Affected(state)) => {
                tracker.add(version, package, id, Tracked { state, severity });
            }
            Some(State::NotAffected) => {}
            None => tracker.damaged.add(&format!("{package} {id} {codename}")),
        }
    }
}

/// What a status comes to.
#[derive(Debug, PartialEq, Eq)]
enum State {
    /// It is or was affected, and what is to come.
    Affected(Option<Fix>),
    /// No finding is about it.
    NotAffected,
}

impl State {
    /// Reads `needed`, `released (1.2-3)`, `ignored (end of life)`; none for words that are not known.
    fn of(status: &str) -> Option<Self> {
        let (word, remark) = status.split_once(' ').unwrap_or((status, ""));
        let is_over = ["end of life", "end-of-life", "end of standard support", "out of standard support"]
            .iter()
            .any(|words| remark.contains(words));
        let state = match word {
            "needed" | "active" | "in-progress" => Some(Fix::Needed),
            "pending" => Some(Fix::Pending),
            "deferred" => Some(Fix::Postponed),
            "ignored" if is_over => Some(Fix::EndOfLife),
            "ignored" => Some(Fix::WontFix),
            "needs-triage" => Some(Fix::Undetermined),
            "released" => None,
            "not-affected" | "DNE" => return Some(Self::NotAffected),
            _ => return None,
        };
        Some(Self::Affected(state))
    }
}

#[cfg(test)]
mod tests;
