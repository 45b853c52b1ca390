//! The header of an installed package, as rpm keeps it: an index of tags and the store that they point into.
//!
//! rpm, "Package format, Header structure"; in a database the 8 bytes of magic are left out. All numbers have the highest byte first.

use super::super::lines::text;
use super::super::ownership::{PathSetBuilder, TooManyFiles};
use super::RpmPackage;
use crate::tree::GapCause;

/// Most entries of an index (rpm, `HEADER_TAGS_MAX`).
const TAGS: usize = 0xffff;
/// Longest path that is looked at; longer ones are none.
const PATH: usize = 4096;

const NAME: u32 = 1000;
const VERSION: u32 = 1001;
const RELEASE: u32 = 1002;
const EPOCH: u32 = 1003;
const VENDOR: u32 = 1011;
const LICENSE: u32 = 1014;
const ARCH: u32 = 1022;
const SOURCE_RPM: u32 = 1044;
const DIR_INDEXES: u32 = 1116;
const BASE_NAMES: u32 = 1117;
const DIR_NAMES: u32 = 1118;
const MODULARITY_LABEL: u32 = 5096;

const INT32: u32 = 4;
const STRING: u32 = 6;
const STRING_ARRAY: u32 = 8;
const I18N_STRING: u32 = 9;

/// Keys are kept as if they were packages.
const KEY: &str = "gpg-pubkey";

/// What a header is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Installed {
    /// A package.
    Package(Box<RpmPackage>),
    /// A key that packages are signed with.
    Key,
    /// It cannot be understood, or has no name, version or release.
    Damaged,
}

/// Called with each header of a database, or none where one is damaged.
pub(super) type Visit<'v> = dyn FnMut(Option<&[u8]>) -> Result<(), GapCause> + 'v;

/// Reads a header; `paths` is used for the package's files.
pub(super) fn parse(blob: &[u8], paths: &mut PathSetBuilder) -> Result<Installed, TooManyFiles> {
    let Some(header) = Header::open(blob) else { return Ok(Installed::Damaged) };
    if header.text(NAME).as_deref() == Some(KEY) {
        return Ok(Installed::Key);
    }
    let are_whole = header.add_files(paths)?;
    let files = paths.take();
    Ok(match header.package() {
        Some(package) if are_whole => Installed::Package(Box::new(RpmPackage { files, ..package })),
        _ => Installed::Damaged,
    })
}

struct Header<'a> {
    index: &'a [[u8; 16]],
    store: &'a [u8],
}

struct Tag {
    kind: u32,
    offset: usize,
    count: usize,
}

impl<'a> Header<'a> {
    fn open(blob: &'a [u8]) -> Option<Self> {
        let (lengths, rest) = blob.split_first_chunk::<8>()?;
        let entries = usize::try_from(word(lengths, 0)?).ok().filter(|&entries| entries <= TAGS)?;
        let stored = usize::try_from(word(lengths, 4)?).ok()?;
        let (index, store) = rest.split_at_checked(entries * 16)?;
        Some(Self { index: index.as_chunks().0, store: store.get(..stored)? })
    }

    fn package(&self) -> Option<RpmPackage> {
        Some(RpmPackage {
            name: self.text(NAME)?,
            epoch: self.numbers(EPOCH).and_then(|mut numbers| numbers.next()),
            version: self.text(VERSION)?,
            release: self.text(RELEASE)?,
            architecture: self.text(ARCH),
            license: self.text(LICENSE),
            vendor: self.text(VENDOR),
            source_rpm: self.text(SOURCE_RPM),
            modularity: self.text(MODULARITY_LABEL),
            ..RpmPackage::default()
        })
    }

    fn tag(&self, tag: u32) -> Option<Tag> {
        let entry = self.index.iter().find(|entry| word(*entry, 0) == Some(tag))?;
        let size = |at| usize::try_from(word(entry, at)?).ok();
        Some(Tag { kind: word(entry, 4)?, offset: size(8)?, count: size(12)? })
    }

    fn text(&self, tag: u32) -> Option<String> {
        text(self.strings(tag)?.next()?)
    }

    /// Strings, each with a zero behind it; fewer than the index says if the store ends.
    fn strings(&self, tag: u32) -> Option<impl Iterator<Item = &'a [u8]> + use<'a>> {
        let Tag { kind, offset, count } = self.tag(tag)?;
        let count = match kind {
            STRING => 1,
            STRING_ARRAY | I18N_STRING => count,
            _ => return None,
        };
        let mut rest = self.store.get(offset..)?;
        let strings = std::iter::from_fn(move || {
            let end = memchr::memchr(0, rest)?;
            let string = &rest[..end];
            rest = &rest[end + 1..];
            Some(string)
        });
        Some(strings.take(count))
    }

    fn numbers(&self, tag: u32) -> Option<impl Iterator<Item = u32> + use<'a>> {
        let Tag { offset, count, .. } = self.tag(tag).filter(|tag| tag.kind == INT32)?;
        let bytes = self.store.get(offset..)?.get(..count.checked_mul(4)?)?;
        Some(bytes.as_chunks().0.iter().map(|bytes| u32::from_be_bytes(*bytes)))
    }

    /// Adds the paths of all files: each is a directory and a name in it. False if a directory is not there.
    fn add_files(&self, paths: &mut PathSetBuilder) -> Result<bool, TooManyFiles> {
        let Some(names) = self.strings(BASE_NAMES) else { return Ok(true) };
        let (Some(directories), Some(indexes)) = (self.strings(DIR_NAMES), self.numbers(DIR_INDEXES)) else {
            return Ok(false);
        };
        let directories: Vec<&[u8]> = directories.collect();
        for (name, index) in names.zip(indexes) {
            let directory = usize::try_from(index).ok().and_then(|index| directories.get(index));
            let Some(directory) = directory else { return Ok(false) };
            // Before they are put together: a million names may share a directory as long as the store.
            if directory.len() + name.len() <= PATH {
                paths.add(&[directory, name].concat())?;
            }
        }
        Ok(true)
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}
