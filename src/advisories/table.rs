//! Sorted keys and their values in one file, of which only what is asked for is read.
//!
//! ```text
//! blocks of section 0 | blocks of section 1 | … | directory | trailer
//! ```
//!
//! A block holds keys and values one after the other, in ascending order of the keys; it may be compressed (zstd). The
//! directory holds a few words about the whole file, and of each block its first key, its length and its CRC-32. The trailer
//! says where the directory is. Blocks lie without gaps, in the order of the directory.
//!
//! Opening reads the directory alone; a look-up reads one block and checks it. So a bit that has fallen over is noticed by
//! whoever would have believed it, and no file is ever summed up as a whole just to be opened.

mod read;
mod write;

use std::io;

pub(super) use read::{Storage, Table, Value};
pub(super) use write::{Compression, TableWriter};

/// Of the whole file; changes when a reader must.
const FORMAT: u32 = 1;
/// At the very end of a file.
const MAGIC: [u8; 8] = *b"clarity\n";
/// Place of the directory (8), its length (4), its CRC (4), format (4), CRC of all this (4), magic (8).
const TRAILER: usize = 32;
/// Largest block in bytes, stored or inflated. The largest real value (`linux` in Ubuntu) is some 1 MiB.
const MAX_BLOCK: usize = 32 << 20;
/// Largest directory in bytes; that of 200,000 advisories is some 100 KiB.
const MAX_DIRECTORY: usize = 4 << 20;
/// Most bytes that all blocks of a file inflate to. The texts of a large distribution are some 100 MiB.
const MAX_INFLATED: u64 = 2 << 30;

/// A file that cannot be read as a table.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// The system did not give its content.
    #[error("it cannot be read")]
    Read(#[source] io::Error),
    /// It is no such file, or not as it was written.
    #[error("it is damaged: {0}")]
    Damaged(&'static str),
    /// It was written by a later version.
    #[error("it has format {found}, and this version reads format {FORMAT}")]
    Format {
        /// What it has.
        found: u32,
    },
}

#[cfg(test)]
mod tests;
