//! Writing a table: everything once, in order.

use std::io::{self, Write};

use super::super::bytes::Encoder;
use super::{FORMAT, MAGIC, MAX_BLOCK, MAX_DIRECTORY};

/// How blocks of a section are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::advisories) enum Compression {
    /// As they are.
    None,
    /// By zstd at this level.
    Zstd(i32),
}

/// Writes sections of sorted keys.
pub(in crate::advisories) struct TableWriter<W> {
    out: W,
    written: u64,
    /// Of each section its part of the directory.
    sections: Vec<Vec<u8>>,
    open: Option<OpenSection>,
}

struct OpenSection {
    compression: Compression,
    /// A block is closed once it has as many bytes.
    target: usize,
    blocks: Encoder,
    count: usize,
    block: Encoder,
    first: Vec<u8>,
    last: Option<Vec<u8>>,
    length: usize,
}

impl<W: Write> TableWriter<W> {
    pub(in crate::advisories) fn new(out: W) -> Self {
        Self { out, written: 0, sections: Vec::new(), open: None }
    }

    /// Begins the next section. Blocks of `target` bytes are read at once by whoever asks for one of their keys.
    pub(in crate::advisories) fn section(&mut self, compression: Compression, target: usize) -> io::Result<()> {
        self.close_section()?;
        self.open = Some(OpenSection {
            compression,
            target,
            blocks: Encoder::default(),
            count: 0,
            block: Encoder::default(),
            first: Vec::new(),
            last: None,
            length: 0,
        });
        Ok(())
    }

    /// Adds a key and its value to the section that was begun last.
    ///
    /// # Errors
    /// What is written to fails, the key does not come after the one before it, or the value is larger than any block.
    pub(in crate::advisories) fn push(&mut self, key: &[u8], value: &[u8]) -> io::Result<()> {
        let wrong = |what: String| io::Error::new(io::ErrorKind::InvalidInput, what);
        let section = self.open.as_mut().ok_or_else(|| wrong("there is no section to write to".to_owned()))?;
        if section.last.as_deref().is_some_and(|last| last >= key) {
            return Err(wrong(format!("{:?} is not in order", String::from_utf8_lossy(key))));
        }
        let length = key.len().saturating_add(value.len()).saturating_add(10);
        if length > MAX_BLOCK {
            return Err(wrong(format!("{:?} is too large", String::from_utf8_lossy(key))));
        }
        if section.length > 0 && section.length.saturating_add(length) > section.target {
            self.close_block()?;
        }
        let Some(section) = self.open.as_mut() else { return Ok(()) };
        if section.length == 0 {
            section.first = key.to_vec();
        }
        section.block.bytes(key);
        section.block.bytes(value);
        section.length += length;
        section.last = Some(key.to_vec());
        Ok(())
    }

    /// Ends the file with some words about the whole of it. Gives back what was written to.
    pub(in crate::advisories) fn finish(mut self, about: &[u8]) -> io::Result<W> {
        self.close_section()?;
        let mut directory = Encoder::default();
        directory.bytes(about);
        directory.number(self.sections.len());
        for section in self.sections {
            directory.bytes(&section);
        }
        let directory = directory.into_vec();
        if directory.len() > MAX_DIRECTORY {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the directory is too large"));
        }
        let length = u32::try_from(directory.len()).unwrap_or(u32::MAX);
        let mut trailer = Vec::new();
        trailer.extend_from_slice(&self.written.to_le_bytes());
        trailer.extend_from_slice(&length.to_le_bytes());
        trailer.extend_from_slice(&crc32fast::hash(&directory).to_le_bytes());
        trailer.extend_from_slice(&FORMAT.to_le_bytes());
        trailer.extend_from_slice(&crc32fast::hash(&trailer).to_le_bytes());
        trailer.extend_from_slice(&MAGIC);
        self.out.write_all(&directory)?;
        self.out.write_all(&trailer)?;
        Ok(self.out)
    }

    fn close_section(&mut self) -> io::Result<()> {
        self.close_block()?;
        if let Some(section) = self.open.take() {
            let mut described = Encoder::default();
            described.byte(u8::from(section.compression != Compression::None));
            described.number(section.count);
            let mut described = described.into_vec();
            described.extend(section.blocks.into_vec());
            self.sections.push(described);
        }
        Ok(())
    }

    fn close_block(&mut self) -> io::Result<()> {
        let Some(section) = self.open.as_mut().filter(|section| section.length > 0) else { return Ok(()) };
        let block = std::mem::take(&mut section.block).into_vec();
        let stored = match section.compression {
            Compression::None => block.clone(),
            Compression::Zstd(level) => zstd::bulk::compress(&block, level)?,
        };
        section.blocks.bytes(&section.first);
        section.blocks.number(stored.len());
        section.blocks.number(block.len());
        section.blocks.word(crc32fast::hash(&stored));
        section.count += 1;
        section.length = 0;
        self.written += u64::try_from(stored.len()).unwrap_or(u64::MAX);
        self.out.write_all(&stored)
    }
}
