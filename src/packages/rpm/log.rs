//! SQLite's write-ahead log, as far as it must be read to tell whether something is in it. SQLite, "WAL Format".
//!
//! rpm empties its log and leaves it where it is. One that was begun anew still has the frames of the time before behind it, so
//! neither its name nor its length says that it holds something: that does a frame that ends a transaction, and whose checksum
//! and that of all before it are right.

use std::io::Read;

use super::super::filling::fill;
use crate::tree::GapCause;

/// The first bytes; the last bit is the order of the bytes in checksums.
const MAGIC: u32 = 0x377f_0682;
/// The only version there is.
const VERSION: u32 = 3_007_000;
/// Bytes of the header of the log, and of that of a frame.
const HEADER: usize = 32;
const FRAME: usize = 24;

/// Whether a log holds changes that a reader of the database would see.
pub(super) fn holds_changes(log: &mut dyn Read) -> Result<bool, GapCause> {
    let mut header = [0; HEADER];
    if fill(log, &mut header)? < header.len() || word(&header, 0) & !1 != MAGIC {
        return Ok(false);
    }
    let mut sum = Checksum { is_big_endian: header[3] & 1 != 0, low: 0, high: 0 };
    sum.add(&header[..24]);
    let page = usize::try_from(word(&header, 8)).unwrap_or(usize::MAX);
    if !sum.is(&header[24..]) || !(512..=65_536).contains(&page) || !page.is_power_of_two() {
        return Ok(false);
    }
    if word(&header, 4) != VERSION {
        return Ok(true);
    }
    let salt = &header[16..24];
    let mut frame = vec![0; FRAME + page];
    while fill(log, &mut frame)? == frame.len() {
        sum.add(&frame[..8]);
        sum.add(&frame[FRAME..]);
        if word(&frame, 0) == 0 || frame[8..16] != *salt || !sum.is(&frame[16..FRAME]) {
            break;
        }
        // The size of the database after a transaction; zero within one.
        if word(&frame, 4) != 0 {
            return Ok(true);
        }
    }
    Ok(false)
}

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(|bytes| bytes.first_chunk()).map_or(0, |bytes| u32::from_be_bytes(*bytes))
}

/// "Checksum Algorithm".
struct Checksum {
    is_big_endian: bool,
    low: u32,
    high: u32,
}

impl Checksum {
    fn add(&mut self, bytes: &[u8]) {
        let word = if self.is_big_endian { u32::from_be_bytes } else { u32::from_le_bytes };
        for [first, second] in bytes.as_chunks().0.as_chunks().0 {
            self.low = self.low.wrapping_add(word(*first)).wrapping_add(self.high);
            self.high = self.high.wrapping_add(word(*second)).wrapping_add(self.low);
        }
    }

    /// Whether it is this one.
    fn is(&self, stored: &[u8]) -> bool {
        (word(stored, 0), word(stored, 4)) == (self.low, self.high)
    }
}

#[cfg(test)]
mod tests;
