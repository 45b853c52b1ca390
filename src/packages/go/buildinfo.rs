//! Finds the linker's build information in a program and reads its two strings. Go, `debug/buildinfo`.
//!
//! A header of 32 bytes lies at an address that 16 divides, in the section `.go.buildinfo` of a writable segment. Programs
//! linked by Go itself begin a segment with it; in those linked by a C linker it comes after `.data`, and with
//! position-independent code another writable segment comes first. So all writable segments are searched, and the section table,
//! which lies at the end of the file, is not needed. Since Go 1.18 the strings follow the header; before, it holds the
//! addresses of two string variables, which hold the addresses of the strings, which lie in front of the data.

use memchr::memmem;

use super::elf::{self, Header, Segment};
use super::{Bytes, u64_of};
use crate::tree::GapCause;

const MAGIC: &[u8] = b"\xff Go buildinf:";
const HEADER: usize = 32;
const ALIGNMENT: u64 = 16;
/// Bytes at the beginning of a file that hold the table of segments, unless a tool has moved it to the end.
const HEAD: usize = 4096;
/// Bytes that are searched at once.
const CHUNK: u64 = 64 * 1024;
/// Most bytes of a program's data that are searched. Kubernetes has 1 MB; position-independent programs up to some 50.
const SEARCHED: u64 = 512 << 20;
/// Most bytes of a program that are searched where it is not known which of them are data.
const SEARCHED_BLINDLY: u64 = 2 << 30;
/// Longest name of a toolchain.
const VERSION: u64 = 1024;
/// Longest text about modules; that of Kubernetes has 13 KB.
pub(super) const TEXT: u64 = 4 << 20;
/// Written behind the first segment's head by UPX, which packs programs so that nothing of them can be read.
const UPX: &[u8] = b"UPX!";

/// The strings as they are written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Written {
    /// The toolchain: `go1.24.1`.
    pub(super) version: Vec<u8>,
    /// Lines about modules and settings, in their frame; empty if the linker was told nothing.
    pub(super) text: Vec<u8>,
}

/// Reads the build information of a program; none if it is not one of Go.
pub(super) fn read(file: &mut dyn Bytes) -> Result<Option<Written>, GapCause> {
    let head = file.bytes(0, HEAD)?;
    let Some(header) = Header::parse(head.get(..head.len().min(elf::HEADER)).unwrap_or_default()) else {
        return Ok(None);
    };
    let table_at = usize::try_from(header.table_at).unwrap_or(usize::MAX);
    let table_end = table_at.saturating_add(header.table_length);
    if is_packed(&head, table_end) {
        let why = "it is packed with UPX, and what it is made of cannot be seen";
        return Err(GapCause::Damaged(why.to_owned()));
    }
    let (segments, limit) = match head.get(table_at..table_end) {
        Some(table) => (header.segments(table), SEARCHED),
        // The table could only be had when all else has gone by, so all of the file is searched.
        None if file.goes_by() => (vec![Segment::of_unknown_address(file.size())], SEARCHED_BLINDLY),
        None => (header.segments(&file.bytes(header.table_at, header.table_length)?), SEARCHED),
    };
    match find(file, &segments, limit)? {
        Some(found) if found.is_inline() => read_inline(file, found.at).map(Some),
        Some(found) => read_by_address(file, &found, &segments).map(Some),
        None => Ok(None),
    }
}

/// UPX writes its mark 4 bytes behind the table of segments.
fn is_packed(head: &[u8], table_end: usize) -> bool {
    let mark = table_end.checked_add(4).and_then(|at| head.get(at..)?.get(..UPX.len()));
    mark == Some(UPX)
}

/// The header of build information.
struct Found {
    at: u64,
    bytes: [u8; HEADER],
}

fn find(file: &mut dyn Bytes, segments: &[Segment], limit: u64) -> Result<Option<Found>, GapCause> {
    let magic = memmem::Finder::new(MAGIC);
    let mut searched = 0;
    for segment in segments.iter().filter(|segment| segment.is_writable) {
        let (mut at, end) = (segment.offset, segment.end().min(file.size()));
        if at < end {
            file.remember_from(at)?;
        }
        while at < end {
            searched += CHUNK;
            if searched > limit {
                return Err(GapCause::Limit(format!(
                    "has more than the {limit} bytes of data that are searched"
                )));
            }
            // What begins in this chunk may end in the next.
            let length = usize::try_from((end - at).min(CHUNK + u64_of(HEADER))).unwrap_or_default();
            let chunk = file.bytes(at, length)?;
            if chunk.is_empty() {
                break;
            }
            let candidates = magic.find_iter(&chunk).filter_map(|index| {
                let bytes = chunk.get(index..)?.first_chunk::<HEADER>()?;
                Some(Found { at: at.checked_add(u64_of(index))?, bytes: *bytes })
            });
            let mut headers = candidates
                .filter(|found| segment.address_of(found.at).is_multiple_of(ALIGNMENT) && found.is_plausible());
            if let Some(found) = headers.next() {
                return Ok(Some(found));
            }
            at += CHUNK;
        }
    }
    Ok(None)
}

impl Found {
    /// Programs that look for build information themselves hold the magic too, but not what follows it.
    fn is_plausible(&self) -> bool {
        let (pointer_size, flags) = (self.bytes[14], self.bytes[15]);
        matches!(pointer_size, 4 | 8) && flags <= 3
    }

    fn is_inline(&self) -> bool {
        self.bytes[15] & 2 != 0
    }
}

/// Since Go 1.18: each string with its length in front, as a varint.
fn read_inline(file: &mut dyn Bytes, header: u64) -> Result<Written, GapCause> {
    let mut at = header.saturating_add(u64_of(HEADER));
    let version = read_counted(file, &mut at, VERSION)?;
    let text = read_counted(file, &mut at, TEXT)?;
    Ok(Written { version, text })
}

fn read_counted(file: &mut dyn Bytes, at: &mut u64, limit: u64) -> Result<Vec<u8>, GapCause> {
    let (length, width) = uvarint(&file.bytes(*at, 10)?).ok_or_else(cut)?;
    *at = at.checked_add(width).ok_or_else(cut)?;
    let bytes = read_exactly(file, *at, length, limit)?;
    *at = at.checked_add(length).ok_or_else(cut)?;
    Ok(bytes)
}

/// Reads a number of 7 bits a byte, the lowest first; and how many bytes it takes. Go, `encoding/binary`.
fn uvarint(bytes: &[u8]) -> Option<(u64, u64)> {
    let mut value = 0_u64;
    for (width, &byte) in (1_u64..).zip(bytes) {
        let shift = u32::try_from((width - 1) * 7).ok()?;
        let bits = u64::from(byte & 0x7f);
        let shifted = bits.checked_shl(shift).filter(|shifted| shifted >> shift == bits)?;
        value |= shifted;
        if byte & 0x80 == 0 {
            return Some((value, width));
        }
    }
    None
}

/// Before Go 1.18: the header holds the addresses of `runtime.buildVersion` and `runtime.modinfo`.
fn read_by_address(file: &mut dyn Bytes, found: &Found, segments: &[Segment]) -> Result<Written, GapCause> {
    let pointers = Pointers { size: usize::from(found.bytes[14]), big_endian: found.bytes[15] & 1 != 0 };
    let version = pointers.get(&found.bytes[16..]).ok_or_else(cut)?;
    let text = pointers.get(&found.bytes[16 + pointers.size..]).ok_or_else(cut)?;
    // Both variables first: in a stream they lie near each other, and the strings further back.
    let version = pointers.read_variable(file, version, segments)?;
    let text = pointers.read_variable(file, text, segments)?;
    let version = read_string(file, version, VERSION, segments)?;
    if version.is_empty() {
        return Err(GapCause::Damaged("its Go build information leads nowhere".to_owned()));
    }
    let text = read_string(file, text, TEXT, segments)?;
    Ok(Written { version, text })
}

struct Pointers {
    size: usize,
    big_endian: bool,
}

impl Pointers {
    fn get(&self, bytes: &[u8]) -> Option<u64> {
        let bytes = bytes.get(..self.size)?;
        let add = |sum: u64, byte: &u8| sum << 8 | u64::from(*byte);
        Some(if self.big_endian { bytes.iter().fold(0, add) } else { bytes.iter().rev().fold(0, add) })
    }

    /// A variable of type string: its address and length. One that has no bytes in the file is empty.
    fn read_variable(
        &self,
        file: &mut dyn Bytes,
        address: u64,
        segments: &[Segment],
    ) -> Result<(u64, u64), GapCause> {
        let Some(at) = offset_of(address, segments) else { return Ok((0, 0)) };
        let variable = file.bytes(at, 2 * self.size)?;
        let parts = self.get(&variable).zip(variable.get(self.size..).and_then(|rest| self.get(rest)));
        parts.ok_or_else(cut)
    }
}

fn read_string(
    file: &mut dyn Bytes,
    (address, length): (u64, u64),
    limit: u64,
    segments: &[Segment],
) -> Result<Vec<u8>, GapCause> {
    match offset_of(address, segments) {
        Some(at) if length > 0 => read_exactly(file, at, length, limit),
        _ => Ok(Vec::new()),
    }
}

fn offset_of(address: u64, segments: &[Segment]) -> Option<u64> {
    segments.iter().find_map(|segment| segment.offset_of(address))
}

fn read_exactly(file: &mut dyn Bytes, at: u64, length: u64, limit: u64) -> Result<Vec<u8>, GapCause> {
    if length > limit {
        let why = format!("has {length} bytes of Go build information, more than the {limit} that are read");
        return Err(GapCause::Limit(why));
    }
    let bytes = file.bytes(at, usize::try_from(length).unwrap_or(usize::MAX))?;
    if u64_of(bytes.len()) < length { Err(cut()) } else { Ok(bytes) }
}

fn cut() -> GapCause {
    GapCause::Damaged("its Go build information is cut off".to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn varints_are_read_as_go_writes_them() {
        assert_eq!(uvarint(&[0]), Some((0, 1)));
        assert_eq!(uvarint(&[0xac, 0x02, 9]), Some((300, 2)));
        let largest = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
        assert_eq!(uvarint(&largest), Some((u64::MAX, 10)));
        assert_eq!(uvarint(&[0xff; 10]), None);
        assert_eq!(uvarint(&[0x80]), None);
    }

    proptest! {
        #[test]
        fn varints_come_back(value in any::<u64>()) {
            let (mut rest, mut bytes) = (value, Vec::new());
            while rest >= 0x80 {
                bytes.push(u8::try_from(rest & 0x7f).expect("7 bits") | 0x80);
                rest >>= 7;
            }
            bytes.push(u8::try_from(rest).expect("7 bits"));
            prop_assert_eq!(uvarint(&bytes), Some((value, bytes.len() as u64)));
        }
    }
}
