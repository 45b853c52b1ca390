//! NDB, the database that SUSE builds its rpm with: a list of slots, and the headers that they point to.
//!
//! rpm, `lib/backend/ndb/rpmpkg.c`. All numbers have the lowest byte first; places and lengths are counted in blocks of 16 bytes.

use super::header::Visit;
use super::pages::{BLOB, ROWS, damaged, read_full, too_large, wide};
use crate::tree::{GapCause, ReadAt};

const MAGIC: &[u8] = b"RpmP";
const SLOT: &[u8] = b"Slot";
const HEAD: &[u8] = b"BlbS";
const TAIL: &[u8] = b"BlbE";

/// Bytes of a block, of a slot, and of what stands in front of a header.
const BLOCK: usize = 16;
/// Bytes of the file header: two slots.
const HEADER: usize = 2 * BLOCK;
/// Bytes of a page of slots.
const PAGE: usize = 4096;
/// Bytes behind a header: checksum, length and magic.
const END: usize = 12;

/// Where a package's header lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Slot {
    block: u32,
    blocks: u32,
    package: u32,
}

/// Visits all headers of packages in the order of the file.
pub(super) fn headers(file: &dyn ReadAt, visit: &mut Visit<'_>) -> Result<(), GapCause> {
    let mut header = [0; HEADER];
    read_full(file, &mut header, 0)?;
    if !header.starts_with(MAGIC) {
        return Err(damaged("it is no database in NDB"));
    }
    if word(&header, 4) != Some(0) {
        return Err(damaged("it is of a later version of NDB"));
    }
    let pages = word(&header, 12).unwrap_or_default();
    let mut slots = slots(file, pages)?;
    slots.sort_unstable();
    let blocks = file.size() / wide(BLOCK);
    let mut free = u64::from(pages) * wide(PAGE / BLOCK);
    for slot in slots {
        if u64::from(slot.block) < free {
            return Err(damaged("entries of it overlap"));
        }
        free = u64::from(slot.block) + u64::from(slot.blocks);
        if free > blocks {
            return Err(damaged("it is cut off"));
        }
        let length = usize::try_from(slot.blocks).unwrap_or(usize::MAX).saturating_mul(BLOCK);
        if length > BLOB {
            return Err(too_large());
        }
        let mut bytes = vec![0; length];
        read_full(file, &mut bytes, u64::from(slot.block) * wide(BLOCK))?;
        visit(content(&bytes, slot.package))?;
    }
    Ok(())
}

/// The slots that are in use.
fn slots(file: &dyn ReadAt, pages: u32) -> Result<Vec<Slot>, GapCause> {
    let mut slots = Vec::new();
    let mut page = [0; PAGE];
    for number in 0..pages {
        read_full(file, &mut page, u64::from(number) * wide(PAGE))?;
        let start = if number == 0 { HEADER } else { 0 };
        for slot in page[start..].chunks_exact(BLOCK) {
            let (Some(package), Some(block), Some(blocks)) = (word(slot, 4), word(slot, 8), word(slot, 12))
            else {
                continue;
            };
            if !slot.starts_with(SLOT) {
                return Err(damaged("a slot of it is none"));
            }
            if block == 0 {
                continue;
            }
            if package == 0 || blocks == 0 {
                return Err(damaged("a slot of it holds nothing"));
            }
            if slots.len() >= ROWS {
                return Err(GapCause::Limit(format!("holds more than {ROWS} rows")));
            }
            slots.push(Slot { block, blocks, package });
        }
    }
    Ok(slots)
}

/// A header without what stands around it, if that is what it must be.
fn content(bytes: &[u8], package: u32) -> Option<&[u8]> {
    let (checked, end) = bytes.split_at_checked(bytes.len().checked_sub(END)?)?;
    let length = word(checked, 12)?;
    let is_framed = checked.starts_with(HEAD) && end.ends_with(TAIL);
    if !is_framed || word(checked, 4)? != package || word(end, 4)? != length {
        return None;
    }
    let (content, padding) = checked.get(BLOCK..)?.split_at_checked(usize::try_from(length).ok()?)?;
    (padding.len() < BLOCK && word(end, 0)? == adler32(checked)).then_some(content)
}

/// RFC 1950, "Adler-32 checksum".
fn adler32(bytes: &[u8]) -> u32 {
    let (mut low, mut high) = (1, 0);
    // As many as can be summed up before 32 bits are full.
    for bytes in bytes.chunks(5552) {
        for &byte in bytes {
            low += u32::from(byte);
            high += low;
        }
        low %= 65_521;
        high %= 65_521;
    }
    high << 16 | low
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests;
