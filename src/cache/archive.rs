//! Entries in one file, for other clusters and for places that no network reaches.
//!
//! ```text
//! HEX-linux-amd64.cdx.json     a document as it is: CycloneDX
//! index.json                   what is known of each
//! ```

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader, Read as _, Write};
use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::form::{self, FormError, MAX_DOCUMENT};
use super::{About, Entry};

/// Changes when a reader must.
const VERSION: u32 = 1;
/// What tells of the documents.
const INDEX: &str = "index.json";
/// How documents are named after their entry.
const SUFFIX: &str = ".cdx.json";
/// Most bytes of the index: some 30,000 entries.
const MAX_INDEX: u64 = 64 << 20;
/// Most members of an archive.
const MAX_MEMBERS: usize = 100_000;

/// An archive cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// It cannot be written.
    #[error("cannot write the archive")]
    Write(#[source] io::Error),
    /// It cannot be read, or is none.
    #[error("cannot read the archive")]
    Read(#[source] io::Error),
    /// It does not tell what it holds.
    #[error("the archive has no {INDEX}: it is none of `cache export`")]
    NoIndex,
    /// What tells what it holds cannot be read.
    #[error("cannot read {INDEX} of the archive")]
    Index(#[source] serde_json::Error),
    /// Another form.
    #[error("the form of the archive has version {0}, and {VERSION} is known here")]
    Version(u32),
    /// An entry is not what the index says.
    #[error("{name} in the archive is not what {INDEX} says")]
    Document {
        /// Name of the member.
        name: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// An entry is not there.
    #[error("{INDEX} of the archive names {0}, which is not there")]
    Missing(String),
}

#[derive(Serialize, Deserialize)]
struct Index {
    version: u32,
    entries: Vec<About>,
}

/// An archive that is being written.
pub struct Archive<W: Write> {
    tar: tar::Builder<W>,
    entries: Vec<About>,
}

impl<W: Write> Archive<W> {
    /// Begins an archive.
    pub fn new(out: W) -> Self {
        Self { tar: tar::Builder::new(out), entries: Vec::new() }
    }

    /// Adds an entry.
    pub fn add(&mut self, entry: &Entry) -> Result<(), ArchiveError> {
        let name = member(&entry.about).map_err(|error| ArchiveError::Write(io::Error::other(error)))?;
        self.append(&name, &entry.document, entry.about.created)?;
        self.entries.push(entry.about.clone());
        Ok(())
    }

    /// Ends the archive; gives the number of entries.
    pub fn finish(mut self) -> Result<(W, usize), ArchiveError> {
        let index = Index { version: VERSION, entries: std::mem::take(&mut self.entries) };
        let text = serde_json::to_vec_pretty(&index).map_err(ArchiveError::Index)?;
        let newest = index.entries.iter().map(|about| about.created).max();
        self.append(INDEX, &text, newest.unwrap_or(Timestamp::UNIX_EPOCH))?;
        let out = self.tar.into_inner().map_err(ArchiveError::Write)?;
        Ok((out, index.entries.len()))
    }

    fn append(&mut self, name: &str, bytes: &[u8], time: Timestamp) -> Result<(), ArchiveError> {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(bytes.len() as u64);
        header.set_mtime(u64::try_from(time.as_second()).unwrap_or_default());
        self.tar.append_data(&mut header, name, bytes).map_err(ArchiveError::Write)
    }
}

/// Reads an archive and hands out its entries, each checked. Stops when they are not taken any more; gives the number of entries
/// that were taken.
pub fn read(path: &Path, mut take: impl FnMut(Entry) -> bool) -> Result<usize, ArchiveError> {
    let mut listed = HashMap::new();
    for about in read_index(path)?.entries {
        let name = member(&about).map_err(|error| wrong(INDEX, error))?;
        listed.insert(name, about);
    }
    let mut tar = open(path)?;
    let mut count = 0;
    for entry in tar.entries().map_err(ArchiveError::Read)?.take(MAX_MEMBERS) {
        let entry = entry.map_err(ArchiveError::Read)?;
        // What the index does not name is somebody else's.
        let Some((name, about)) = name_of(&entry).and_then(|name| listed.remove_entry(&name)) else { continue };
        let mut document = Vec::new();
        entry.take(MAX_DOCUMENT as u64 + 1).read_to_end(&mut document).map_err(ArchiveError::Read)?;
        form::check_document(&about, &document).map_err(|error| wrong(&name, error))?;
        if !take(Entry { about, document }) {
            return Ok(count);
        }
        count += 1;
    }
    match listed.into_keys().min() {
        Some(missing) => Err(ArchiveError::Missing(missing)),
        None => Ok(count),
    }
}

fn read_index(path: &Path) -> Result<Index, ArchiveError> {
    let mut tar = open(path)?;
    for entry in tar.entries().map_err(ArchiveError::Read)?.take(MAX_MEMBERS) {
        let entry = entry.map_err(ArchiveError::Read)?;
        if name_of(&entry).as_deref() != Some(INDEX) {
            continue;
        }
        let mut text = Vec::new();
        entry.take(MAX_INDEX).read_to_end(&mut text).map_err(ArchiveError::Read)?;
        let index: Index = serde_json::from_slice(&text).map_err(ArchiveError::Index)?;
        return if index.version == VERSION { Ok(index) } else { Err(ArchiveError::Version(index.version)) };
    }
    Err(ArchiveError::NoIndex)
}

fn open(path: &Path) -> Result<tar::Archive<BufReader<File>>, ArchiveError> {
    let file = File::open(path).map_err(ArchiveError::Read)?;
    if file.metadata().map_err(ArchiveError::Read)?.is_dir() {
        return Err(ArchiveError::Read(io::ErrorKind::IsADirectory.into()));
    }
    Ok(tar::Archive::new(BufReader::new(file)))
}

/// The name of a plain file in an archive. Archives that were packed anew may have `./` before it.
fn name_of<R: io::Read>(entry: &tar::Entry<'_, R>) -> Option<String> {
    if !entry.header().entry_type().is_file() {
        return None;
    }
    let path = entry.path().ok()?;
    let name = path.to_str()?;
    Some(name.strip_prefix("./").unwrap_or(name).to_owned())
}

/// What the document of an entry is called.
fn member(about: &About) -> Result<String, FormError> {
    Ok(format!("{}{SUFFIX}", form::name(&about.key)?))
}

fn wrong(name: &str, error: FormError) -> ArchiveError {
    ArchiveError::Document { name: name.to_owned(), source: error.into() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tempfile::TempDir;

    use super::*;
    use crate::cache::tests::entry;

    fn archive(entries: &[Entry]) -> Vec<u8> {
        let mut archive = Archive::new(Vec::new());
        for entry in entries {
            archive.add(entry).expect("added");
        }
        archive.finish().expect("finished").0
    }

    fn read_bytes(bytes: &[u8]) -> Result<Vec<Entry>, ArchiveError> {
        let place = TempDir::new().expect("a folder");
        let path = place.path().join("archive.tar");
        std::fs::write(&path, bytes).expect("written");
        let mut entries = Vec::new();
        let take = |entry| {
            entries.push(entry);
            true
        };
        read(&path, take).map(|_| entries)
    }

    #[test]
    fn what_was_written_is_read() {
        let entries = [entry(1, "linux/amd64"), entry(2, "linux/arm64/v8")];
        let bytes = archive(&entries);
        assert_eq!(read_bytes(&bytes).expect("read"), entries);
        let mut tar = tar::Archive::new(&bytes[..]);
        let names: Vec<String> = tar
            .entries()
            .expect("entries")
            .map(|entry| name_of(&entry.expect("one")).expect("a name"))
            .collect();
        let hex = entries[1].about.key.digest.hex();
        assert_eq!(names[1..], [format!("{hex}-linux-arm64-v8.cdx.json"), "index.json".to_owned()]);
        assert_eq!(read_bytes(&archive(&[])).expect("read"), []);
    }

    #[test]
    fn what_was_changed_is_named() {
        let one = entry(1, "linux/amd64");
        let bytes = archive(std::slice::from_ref(&one));
        let changed = |old: &str, new: &str| {
            let text = String::from_utf8(bytes.clone()).expect("text");
            assert_eq!(old.len(), new.len());
            read_bytes(text.replace(old, new).as_bytes()).expect_err("changed").to_string()
        };
        let name = format!("{}-linux-amd64.cdx.json", one.about.key.digest.hex());
        let said = changed("CycloneDX", "CycloneXD");
        assert_eq!(said, format!("{name} in the archive is not what index.json says"));
        let said = changed("\"version\": 1,", "\"version\": 7,");
        assert_eq!(said, "the form of the archive has version 7, and 1 is known here");
        let mut tar = tar::Builder::new(Vec::new());
        let index = Index { version: 1, entries: vec![one.about] };
        let text = serde_json::to_vec(&index).expect("json");
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        tar.append_data(&mut header, INDEX, &text[..]).expect("appended");
        let said = read_bytes(&tar.into_inner().expect("a tar")).expect_err("missing").to_string();
        assert_eq!(said, format!("index.json of the archive names {name}, which is not there"));
    }

    #[test]
    fn a_reader_that_takes_no_more_is_given_no_more() {
        let place = TempDir::new().expect("a folder");
        let path = place.path().join("archive.tar");
        std::fs::write(&path, archive(&[entry(1, "linux/amd64"), entry(2, "linux/amd64")])).expect("written");
        let mut seen = 0;
        let count = read(&path, |_| {
            seen += 1;
            false
        });
        assert_eq!((count.expect("read"), seen), (0, 1));
    }

    #[test]
    fn what_is_no_archive_is_an_error() {
        for bytes in [&b""[..], b"nonsense", &[0; 2048]] {
            assert!(read_bytes(bytes).is_err());
        }
        assert!(read(Path::new("/"), |_| true).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
        #[test]
        fn a_changed_byte_changes_no_document(at in any::<proptest::sample::Index>(), byte in any::<u8>()) {
            let one = entry(1, "linux/amd64");
            let mut bytes = archive(std::slice::from_ref(&one));
            let at = at.index(bytes.len());
            bytes[at] = byte;
            if let Ok(entries) = read_bytes(&bytes) {
                prop_assert!(entries.iter().all(|entry| entry.document == one.document));
            }
        }
    }
}
