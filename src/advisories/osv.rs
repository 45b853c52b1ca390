//! Raw OSV records: the folder layout of the public bucket (`Debian/all.zip`), folders of `*.json`, or one archive.
//!
//! What a folder holds is hostile: sizes, counts, depth and the ratio of inflation are bounded, and a record that
//! cannot be read is counted and named, but stops nothing.

mod archive;
pub(super) mod record;
mod versions;

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::{Advisory, AdvisorySource, ReadSummary, SourceError, Wanted};
use record::Reading;

/// Largest record in bytes. The largest real ones (`linux` in Ubuntu) have some 2 MiB.
const MAX_RECORD: u64 = 4 << 20;
/// Most records of one source. The whole public database has some 700,000.
const MAX_RECORDS: usize = 4_000_000;
/// Most files and folders of one tree.
const MAX_FILES: usize = 4_000_000;
/// Deepest folder: that of GitHub's database is `advisories/github-reviewed/2024/01/GHSA-…/`.
const MAX_DEPTH: usize = 8;
/// How many damaged records are named; the others are only counted.
const NAMED: usize = 5;

/// Names of OSV's ecosystems, so that the bucket's other folders need not be opened. OSV schema,
/// `affected[].package.ecosystem`.
const ECOSYSTEMS: [&str; 46] = [
    "AlmaLinux",
    "Alpaquita",
    "Alpine",
    "Android",
    "Azure Linux",
    "BellSoft Hardened Containers",
    "Bioconductor",
    "Bitnami",
    "Chainguard",
    "CleanStart",
    "ConanCenter",
    "CRAN",
    "crates.io",
    "Debian",
    "Docker Hardened Images",
    "Echo",
    "FreeBSD",
    "GHC",
    "GIT",
    "GitHub Actions",
    "Go",
    "GSD",
    "Hackage",
    "Hex",
    "Julia",
    "Kubernetes",
    "Linux",
    "Mageia",
    "Maven",
    "MinimOS",
    "npm",
    "NuGet",
    "openEuler",
    "openSUSE",
    "OSS-Fuzz",
    "Packagist",
    "Photon OS",
    "Pub",
    "PyPI",
    "Red Hat",
    "Rocky Linux",
    "RubyGems",
    "SUSE",
    "SwiftURL",
    "Ubuntu",
    "Wolfi",
];

/// OSV records in a directory or zip archive.
#[derive(Clone, Debug)]
pub struct OsvSource {
    path: PathBuf,
    files: Vec<Found>,
}

/// A file with records.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Found {
    path: PathBuf,
    kind: FileKind,
    /// The ecosystem whose folder it lies in.
    ecosystem: Option<&'static str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum FileKind {
    Zip,
    Json,
}

/// Looks for files with records.
struct Search<'a> {
    root: &'a Path,
    /// Links may lead in circles, so what is seen is counted, not what is kept.
    seen: usize,
    found: Vec<Found>,
}

/// Counts and visits what is read of all files.
struct Records<'a> {
    root: &'a Path,
    wanted: &'a Wanted,
    visit: &'a mut dyn FnMut(Advisory),
    seen: usize,
    damaged: usize,
    named: Vec<String>,
}

impl OsvSource {
    /// Looks for records in a directory or archive; reads none of them yet.
    pub fn open(path: &Path) -> Result<Self, SourceError> {
        let metadata = fs::metadata(path).map_err(|source| read_error(path, source))?;
        let mut files = Vec::new();
        if metadata.is_dir() {
            let mut search = Search { root: path, seen: 0, found: Vec::new() };
            search.folder(path, None, 0)?;
            files = search.found;
            // The bucket's own `all.zip` holds every ecosystem once more, in well over 1 GiB.
            if files.iter().any(|file| file.ecosystem.is_some()) {
                files.retain(|file| file.path != path.join("all.zip"));
            }
            files.sort();
        } else {
            let kind = FileKind::of(path).unwrap_or(FileKind::Zip);
            files.push(Found { path: path.to_owned(), kind, ecosystem: None });
        }
        if files.is_empty() {
            return Err(SourceError::Empty { path: path.to_owned() });
        }
        Ok(Self { path: path.to_owned(), files })
    }
}

impl AdvisorySource for OsvSource {
    fn name(&self) -> String {
        self.path.display().to_string()
    }

    fn records(&self, wanted: &Wanted, visit: &mut dyn FnMut(Advisory)) -> Result<ReadSummary, SourceError> {
        let may_hold = |file: &Found| file.ecosystem.is_none_or(|name| wanted.holds_release_of(name));
        let mut records = Records { root: &self.path, wanted, visit, seen: 0, damaged: 0, named: Vec::new() };
        let mut skipped = false;
        for file in &self.files {
            if !may_hold(file) {
                skipped = true;
                continue;
            }
            match file.kind {
                FileKind::Zip => archive::read(&file.path, &mut records)?,
                FileKind::Json => records.file(&file.path)?,
            }
        }
        if records.seen == 0 && !skipped {
            return Err(SourceError::Empty { path: self.path.clone() });
        }
        Ok(records.summary())
    }
}

impl FileKind {
    fn of(path: &Path) -> Option<Self> {
        let extension = path.extension()?;
        if extension.eq_ignore_ascii_case("zip") {
            Some(Self::Zip)
        } else if extension.eq_ignore_ascii_case("json") {
            Some(Self::Json)
        } else {
            None
        }
    }
}

impl Records<'_> {
    /// Reads one loose file.
    fn file(&mut self, path: &Path) -> Result<(), SourceError> {
        let file = File::open(path).map_err(|source| read_error(path, source))?;
        let mut text = Vec::new();
        let outcome = file.take(MAX_RECORD + 1).read_to_end(&mut text).map(|_| ());
        let name = path.strip_prefix(self.root).unwrap_or(path).display().to_string();
        self.record(&name, outcome, &text)
    }

    /// Takes the text of one record, or the reason why there is none.
    fn record(&mut self, name: &str, outcome: io::Result<()>, text: &[u8]) -> Result<(), SourceError> {
        self.seen += 1;
        if self.seen > MAX_RECORDS {
            return Err(SourceError::TooMany {
                path: self.root.to_owned(),
                what: "records",
                limit: MAX_RECORDS,
            });
        }
        let is_too_large = u64::try_from(text.len()).is_ok_and(|length| length > MAX_RECORD);
        let reading = match outcome {
            Err(error) => Err(error.to_string()),
            Ok(()) if is_too_large => Err(format!("larger than {} MiB", MAX_RECORD >> 20)),
            Ok(()) => record::read(text, self.wanted).map_err(|error| error.to_string()),
        };
        match reading {
            Ok(Reading::Wanted(advisory)) => (self.visit)(*advisory),
            Ok(Reading::NotWanted | Reading::Withdrawn) => {}
            Err(reason) => {
                self.damaged += 1;
                if self.named.len() < NAMED {
                    self.named.push(format!("{name} ({reason})"));
                }
            }
        }
        Ok(())
    }

    fn summary(self) -> ReadSummary {
        let mut notes = Vec::new();
        if self.damaged > 0 {
            let plural = if self.damaged == 1 { "" } else { "s" };
            let others = match self.damaged - self.named.len() {
                0 => String::new(),
                others => format!(" and {others} more"),
            };
            let named = self.named.join(", ");
            notes.push(format!("{} OSV record{plural} could not be read: {named}{others}", self.damaged));
        }
        ReadSummary { records: self.seen, notes }
    }
}

impl Search<'_> {
    /// Collects the files below a folder. Names that begin with a dot are left out: a mounted ConfigMap shows every
    /// file twice, once of them in `..data`.
    fn folder(
        &mut self,
        folder: &Path,
        ecosystem: Option<&'static str>,
        depth: usize,
    ) -> Result<(), SourceError> {
        for entry in fs::read_dir(folder).map_err(|source| read_error(folder, source))? {
            let entry = entry.map_err(|source| read_error(folder, source))?;
            self.seen += 1;
            if self.seen > MAX_FILES {
                let path = self.root.to_owned();
                return Err(SourceError::TooMany { path, what: "files and folders", limit: MAX_FILES });
            }
            let (path, name) = (entry.path(), entry.file_name());
            let name = name.to_string_lossy();
            if name.starts_with('.') {
                continue;
            }
            let metadata = fs::metadata(&path).map_err(|source| read_error(&path, source))?;
            if metadata.is_dir() && depth < MAX_DEPTH {
                self.folder(&path, ecosystem.or_else(|| ecosystem_of_folder(&name)), depth + 1)?;
            } else if metadata.is_file()
                && let Some(kind) = FileKind::of(&path)
            {
                self.found.push(Found { path, kind, ecosystem });
            }
        }
        Ok(())
    }
}

/// The ecosystem that a folder of the bucket is for: `Debian` and `Debian:12` are for Debian.
fn ecosystem_of_folder(name: &str) -> Option<&'static str> {
    let name = name.split(':').next()?;
    ECOSYSTEMS.into_iter().find(|ecosystem| *ecosystem == name)
}

fn read_error(path: &Path, source: io::Error) -> SourceError {
    SourceError::Read { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests;
