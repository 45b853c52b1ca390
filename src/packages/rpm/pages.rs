//! A file of numbered pages, each of which is read at most once.
//!
//! Whatever a page is referred to as, there is one way to it. So a file that leads in circles ends as damage, and no file can ask
//! for more work, or give more bytes, than it has pages.

use super::super::filling::fill_at;
use crate::tree::{GapCause, ReadAt};

/// Most bytes of the header of one package. That of a package of some 100,000 files has about 10 MB.
pub(super) const BLOB: usize = 32 << 20;
/// Most entries of one database.
pub(super) const ROWS: usize = 1_000_000;

/// A file as pages.
pub(super) struct Pages<'a> {
    file: &'a dyn ReadAt,
    size: usize,
    /// Number of the first page.
    first: u32,
    /// How many whole pages there are.
    count: u32,
    /// One bit a page: it was read.
    read: Vec<u64>,
}

impl<'a> Pages<'a> {
    /// Pages of this size, the first of which has the number `first`.
    pub(super) fn new(file: &'a dyn ReadAt, size: usize, first: u32) -> Self {
        let count = u32::try_from(file.size() / wide(size)).unwrap_or(u32::MAX);
        let read = vec![0; usize::try_from(count / 64).unwrap_or_default() + 1];
        Self { file, size, first, count, read }
    }

    /// How many whole pages there are.
    pub(super) fn count(&self) -> u32 {
        self.count
    }

    /// Reads a page.
    pub(super) fn take(&mut self, number: u32) -> Result<Vec<u8>, GapCause> {
        let at = self.place(number)?;
        if self.is_taken(number) {
            return Err(damaged(&format!("its page {number} is referred to twice")));
        }
        let (word, bit) = self.bit(number);
        self.read[word] |= bit;
        let mut page = vec![0; self.size];
        read_full(self.file, &mut page, at)?;
        Ok(page)
    }

    /// Looks at the first bytes of a page, without reading it.
    pub(super) fn peek(&self, number: u32, buf: &mut [u8]) -> Result<(), GapCause> {
        read_full(self.file, buf, self.place(number)?)
    }

    /// Whether a page that there is was read.
    pub(super) fn is_taken(&self, number: u32) -> bool {
        let (word, bit) = self.bit(number);
        self.read.get(word).is_some_and(|word| word & bit != 0)
    }

    fn bit(&self, number: u32) -> (usize, u64) {
        let index = number.wrapping_sub(self.first);
        (usize::try_from(index / 64).unwrap_or(usize::MAX), 1 << (index % 64))
    }

    /// Where a page begins.
    fn place(&self, number: u32) -> Result<u64, GapCause> {
        let index = number.checked_sub(self.first).filter(|&index| index < self.count);
        let index = index.ok_or_else(|| damaged(&format!("it refers to page {number}, which it has not")))?;
        Ok(u64::from(index) * wide(self.size))
    }
}

/// Fills a buffer, or the file is cut off.
pub(super) fn read_full(file: &dyn ReadAt, buf: &mut [u8], at: u64) -> Result<(), GapCause> {
    let filled = fill_at(file, buf, at)?;
    if filled < buf.len() { Err(damaged("it is cut off")) } else { Ok(()) }
}

pub(super) fn damaged(how: &str) -> GapCause {
    GapCause::Damaged(how.to_owned())
}

/// Something in a page points out of it.
pub(super) fn outside() -> GapCause {
    damaged("something in it lies outside of its page")
}

/// An entry is larger than any that is read.
pub(super) fn too_large() -> GapCause {
    GapCause::Limit(format!("holds an entry of more than the {BLOB} bytes that are read"))
}

/// A length as files have it.
pub(super) fn wide(size: usize) -> u64 {
    u64::try_from(size).unwrap_or(u64::MAX)
}
