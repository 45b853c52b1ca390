//! Looking things up in a table.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::ops::{Deref, Range};
use std::os::unix::fs::FileExt as _;
use std::sync::{Arc, Mutex, PoisonError};

use super::super::bytes::Decoder;
use super::{FORMAT, MAGIC, MAX_BLOCK, MAX_DIRECTORY, MAX_INFLATED, TRAILER, TableError};

/// What the directory says of a block takes at least as many bytes.
const LEAST: usize = 7;

/// What is read at once at the end of a file: the trailer, and mostly the whole directory.
const TAIL: u64 = 64 << 10;
/// How many bytes of blocks are kept for the next look-ups.
const KEPT: usize = 4 << 20;

/// Where the bytes of a table lie.
#[derive(Clone, Debug)]
pub(in crate::advisories) enum Storage {
    /// In memory.
    Memory(Arc<[u8]>),
    /// In a file.
    File(Arc<File>),
}

/// An open table.
#[derive(Debug)]
pub(in crate::advisories) struct Table {
    storage: Storage,
    about: Vec<u8>,
    sections: Vec<Section>,
    kept: Mutex<Kept>,
}

#[derive(Debug)]
struct Section {
    is_compressed: bool,
    /// All first keys, one after the other.
    keys: Vec<u8>,
    blocks: Vec<Block>,
}

#[derive(Clone, Debug)]
struct Block {
    /// Where its first key ends in the keys of its section; it begins where that of the block before ends.
    key_end: usize,
    offset: u64,
    stored: usize,
    inflated: usize,
    crc: u32,
}

#[derive(Debug, Default)]
struct Kept {
    blocks: HashMap<(usize, usize), Arc<[u8]>>,
    bytes: usize,
}

/// The value of a key.
#[derive(Clone, Debug)]
pub(in crate::advisories) struct Value {
    block: Arc<[u8]>,
    range: Range<usize>,
}

impl Deref for Value {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.block.get(self.range.clone()).unwrap_or_default()
    }
}

impl Storage {
    fn length(&self) -> io::Result<u64> {
        match self {
            Self::Memory(bytes) => Ok(u64::try_from(bytes.len()).unwrap_or(u64::MAX)),
            Self::File(file) => file.metadata().map(|metadata| metadata.len()),
        }
    }

    fn read(&self, offset: u64, length: usize) -> Result<Vec<u8>, TableError> {
        match self {
            Self::Memory(bytes) => {
                let begin = usize::try_from(offset).unwrap_or(usize::MAX);
                let end = begin.checked_add(length).ok_or(CUT)?;
                bytes.get(begin..end).map(<[u8]>::to_vec).ok_or(CUT)
            }
            Self::File(file) => {
                let mut bytes = vec![0; length];
                file.read_exact_at(&mut bytes, offset).map_err(|error| match error.kind() {
                    io::ErrorKind::UnexpectedEof => CUT,
                    _ => TableError::Read(error),
                })?;
                Ok(bytes)
            }
        }
    }
}

const CUT: TableError = TableError::Damaged("it ends too early");
const DIRECTORY: TableError = TableError::Damaged("its directory contradicts itself");

impl Table {
    /// Reads the directory.
    pub(in crate::advisories) fn open(storage: Storage) -> Result<Self, TableError> {
        let length = storage.length().map_err(TableError::Read)?;
        let tail_length = usize::try_from(length.min(TAIL)).map_err(|_| CUT)?;
        if tail_length < TRAILER {
            return Err(CUT);
        }
        let tail = storage.read(length - length.min(TAIL), tail_length)?;
        let (before, trailer) = tail.split_at(tail_length - TRAILER);
        let trailer = Trailer::read(trailer)?;
        let size = usize::try_from(trailer.length).map_err(|_| DIRECTORY)?;
        let ends_at = trailer.offset.checked_add(u64::from(trailer.length)).ok_or(DIRECTORY)?;
        if size > MAX_DIRECTORY || ends_at.checked_add(TRAILER as u64) != Some(length) {
            return Err(DIRECTORY);
        }
        let read;
        let directory = if let Some(begin) = before.len().checked_sub(size) {
            before.get(begin..).unwrap_or_default()
        } else {
            read = storage.read(trailer.offset, size)?;
            &read
        };
        if crc32fast::hash(directory) != trailer.crc {
            return Err(TableError::Damaged("its directory has another checksum"));
        }
        let (about, sections, end) = parse_directory(directory).ok_or(DIRECTORY)?;
        if end != trailer.offset {
            return Err(DIRECTORY);
        }
        Ok(Self { storage, about, sections, kept: Mutex::default() })
    }

    /// The words about the whole file.
    pub(in crate::advisories) fn about(&self) -> &[u8] {
        &self.about
    }

    /// The value of a key.
    pub(in crate::advisories) fn get(&self, section: usize, key: &[u8]) -> Result<Option<Value>, TableError> {
        let Some(number) = self.block_of(section, key) else { return Ok(None) };
        let block = self.block(section, number)?;
        let found = pairs(&block).find(|pair| pair.as_ref().is_none_or(|(found, _)| *found >= key));
        match found {
            None => Ok(None),
            Some(None) => Err(PAIRS),
            Some(Some((found, range))) => {
                Ok((found == key).then(|| Value { block: Arc::clone(&block), range }))
            }
        }
    }

    /// The values of all keys that begin with a prefix.
    pub(in crate::advisories) fn get_all(
        &self,
        section: usize,
        prefix: &[u8],
    ) -> Result<Vec<Value>, TableError> {
        let mut values = Vec::new();
        let first = self.block_of(section, prefix).unwrap_or_default();
        let blocks = self.sections.get(section).map_or(0, |section| section.blocks.len());
        for number in first..blocks {
            let block = self.block(section, number)?;
            for pair in pairs(&block) {
                let (key, range) = pair.ok_or(PAIRS)?;
                if key.starts_with(prefix) {
                    values.push(Value { block: Arc::clone(&block), range });
                } else if key > prefix {
                    return Ok(values);
                }
            }
        }
        Ok(values)
    }

    /// Shows every key of a section and its value, one block in memory at a time.
    pub(in crate::advisories) fn each(
        &self,
        section: usize,
        mut visit: impl FnMut(&[u8], &[u8]) -> Result<(), TableError>,
    ) -> Result<(), TableError> {
        let blocks = self.sections.get(section).map_or(0, |section| section.blocks.len());
        for number in 0..blocks {
            let block = self.read_block(section, number)?;
            for pair in pairs(&block) {
                let (key, range) = pair.ok_or(PAIRS)?;
                visit(key, block.get(range).unwrap_or_default())?;
            }
        }
        Ok(())
    }

    /// Reads all blocks, and looks whether each can be read and all keys are in order.
    pub(in crate::advisories) fn verify(&self) -> Result<(), TableError> {
        for (number, section) in self.sections.iter().enumerate() {
            let mut last: Option<Vec<u8>> = None;
            for place in 0..section.blocks.len() {
                let block = self.read_block(number, place)?;
                let first = section.key(place);
                for (position, pair) in pairs(&block).enumerate() {
                    let (key, _) = pair.ok_or(PAIRS)?;
                    let is_first = position > 0 || first == Some(key);
                    if !is_first || last.as_deref().is_some_and(|last| last >= key) {
                        return Err(TableError::Damaged("its keys are not in order"));
                    }
                    last = Some(key.to_vec());
                }
            }
        }
        Ok(())
    }

    /// The last block whose first key is not after a key.
    fn block_of(&self, section: usize, key: &[u8]) -> Option<usize> {
        let section = self.sections.get(section)?;
        let (mut low, mut high) = (0, section.blocks.len());
        while low < high {
            let middle = low + (high - low) / 2;
            if section.key(middle)? <= key {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low.checked_sub(1)
    }

    fn block(&self, section: usize, number: usize) -> Result<Arc<[u8]>, TableError> {
        // What is kept is whole after each statement.
        let kept = || self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(block) = kept().blocks.get(&(section, number)) {
            return Ok(Arc::clone(block));
        }
        let block = self.read_block(section, number)?;
        let mut kept = kept();
        if kept.bytes.saturating_add(block.len()) > KEPT {
            *kept = Kept::default();
        }
        kept.bytes += block.len();
        kept.blocks.insert((section, number), Arc::clone(&block));
        Ok(block)
    }

    fn read_block(&self, section: usize, number: usize) -> Result<Arc<[u8]>, TableError> {
        let section = self.sections.get(section).ok_or(DIRECTORY)?;
        let Block { offset, stored, inflated, crc, .. } = section.blocks.get(number).ok_or(DIRECTORY)?;
        let bytes = self.storage.read(*offset, *stored)?;
        if crc32fast::hash(&bytes) != *crc {
            return Err(TableError::Damaged("a block has another checksum"));
        }
        if !section.is_compressed {
            return Ok(bytes.into());
        }
        let block = zstd::bulk::decompress(&bytes, *inflated)
            .map_err(|_| TableError::Damaged("a block cannot be inflated"))?;
        if block.len() == *inflated { Ok(block.into()) } else { Err(DIRECTORY) }
    }
}

const PAIRS: TableError = TableError::Damaged("a block contradicts itself");

impl Section {
    fn key(&self, block: usize) -> Option<&[u8]> {
        let end = self.blocks.get(block)?.key_end;
        let begin = match block.checked_sub(1) {
            Some(before) => self.blocks.get(before)?.key_end,
            None => 0,
        };
        self.keys.get(begin..end)
    }
}

struct Trailer {
    offset: u64,
    length: u32,
    crc: u32,
}

impl Trailer {
    fn read(bytes: &[u8]) -> Result<Self, TableError> {
        let no_table = TableError::Damaged("it does not end as such a file does");
        let Some((offset, rest)) = bytes.split_first_chunk::<8>() else { return Err(no_table) };
        let mut words = Decoder::new(rest);
        let (Some(length), Some(crc), Some(format), Some(own)) =
            (words.word(), words.word(), words.word(), words.word())
        else {
            return Err(no_table);
        };
        if !bytes.ends_with(&MAGIC) || bytes.get(..20).map(crc32fast::hash) != Some(own) {
            return Err(no_table);
        }
        if format != FORMAT {
            return Err(TableError::Format { found: format });
        }
        Ok(Self { offset: u64::from_le_bytes(*offset), length, crc })
    }
}

/// The words about the file, its sections, and where the last block ends.
fn parse_directory(directory: &[u8]) -> Option<(Vec<u8>, Vec<Section>, u64)> {
    let mut decoder = Decoder::new(directory);
    let about = decoder.bytes()?.to_vec();
    let count = decoder.count()?;
    let mut sections = Vec::with_capacity(count);
    let (mut offset, mut in_all) = (0, 0);
    for _ in 0..count {
        let mut decoder = Decoder::new(decoder.bytes()?);
        let is_compressed = decoder.byte()? != 0;
        let count = decoder.count().filter(|count| *count <= decoder.length() / LEAST)?;
        let mut section = Section { is_compressed, keys: Vec::new(), blocks: Vec::with_capacity(count) };
        for _ in 0..count {
            let key = decoder.bytes()?;
            let (stored, inflated, crc) = (decoder.number()?, decoder.number()?, decoder.word()?);
            in_all += u64::try_from(inflated).ok()?;
            if stored > MAX_BLOCK || inflated > MAX_BLOCK || in_all > MAX_INFLATED {
                return None;
            }
            section.keys.extend_from_slice(key);
            section.blocks.push(Block { key_end: section.keys.len(), offset, stored, inflated, crc });
            offset += u64::try_from(stored).ok()?;
        }
        sections.push(section);
        decoder.is_empty().then_some(())?;
    }
    decoder.is_empty().then_some((about, sections, offset))
}

/// The keys of a block and where their values are; none where the block ends in the middle of one.
fn pairs(block: &[u8]) -> impl Iterator<Item = Option<(&[u8], Range<usize>)>> {
    let mut decoder = Decoder::new(block);
    let mut is_broken = false;
    std::iter::from_fn(move || {
        if is_broken || decoder.is_empty() {
            return None;
        }
        let mut pair = || {
            let key = decoder.bytes()?;
            let value = decoder.bytes()?;
            let end = block.len() - decoder.length();
            Some((key, end - value.len()..end))
        };
        let pair = pair();
        is_broken = pair.is_none();
        Some(pair)
    })
}
