//! Metadata of a zipped egg.
//!
//! setuptools writes eggs with Python's `zipfile`, which puts the sizes before each member, so the zip is read from its front and
//! nothing of it is held in memory but the one member that matters. PKWARE APPNOTE 6.3, section 4.3.7.

use std::io::Read;

use flate2::read::DeflateDecoder;

use super::super::filling::fill;
use crate::tree::{Content, GapCause};

/// The member that holds the metadata.
const MEMBER: &[u8] = b"EGG-INFO/PKG-INFO";
/// Most members; the largest packages have some ten thousand files.
const MEMBERS: u32 = 100_000;
/// Length of a member's header without name and extra field.
const HEADER: usize = 30;
const SIGNATURE: &[u8] = b"PK\x03\x04";
/// Flags of members that are encrypted, or whose sizes come after them.
const UNREADABLE: u16 = 1 | 1 << 3;
const STORED: u16 = 0;
const DEFLATED: u16 = 8;

/// The metadata of an egg, at most `cap` bytes of them. None if it is no zip: other programs have files of this suffix too.
pub(super) fn metadata(egg: &mut dyn Content, cap: u64) -> Result<Option<Vec<u8>>, GapCause> {
    let mut position = 0_u64;
    for number in 0..MEMBERS {
        let mut header = [0; HEADER];
        let is_whole = fill(egg, &mut header)? == header.len();
        if number == 0 && !header.starts_with(SIGNATURE) {
            return Ok(None);
        }
        if !is_whole || !header.starts_with(SIGNATURE) {
            break;
        }
        let flags = u16_at(&header, 6);
        let method = u16_at(&header, 8);
        let size = u64::from(u32::from(u16_at(&header, 18)) | u32::from(u16_at(&header, 20)) << 16);
        let mut name = vec![0; usize::from(u16_at(&header, 26))];
        if fill(egg, &mut name)? < name.len() {
            break;
        }
        let data = position + as_u64(HEADER + name.len()) + u64::from(u16_at(&header, 28));
        if flags & UNREADABLE != 0 {
            return Err(damaged("the zip has no sizes before its members"));
        }
        if name == MEMBER {
            egg.skip_to(data)?;
            return inflate(egg.take(size), method, cap).map(Some);
        }
        position = data + size;
        egg.skip_to(position)?;
    }
    Err(damaged("the zip has no EGG-INFO/PKG-INFO"))
}

fn inflate(member: impl Read, method: u16, cap: u64) -> Result<Vec<u8>, GapCause> {
    let mut bytes = Vec::new();
    let read = match method {
        STORED => member.take(cap + 1).read_to_end(&mut bytes),
        DEFLATED => DeflateDecoder::new(member).take(cap + 1).read_to_end(&mut bytes),
        _ => return Err(damaged("the zip is compressed in a way that eggs are not")),
    };
    read?;
    let size = as_u64(bytes.len());
    if size > cap { Err(GapCause::TooLarge { size, cap }) } else { Ok(bytes) }
}

fn u16_at(header: &[u8; HEADER], at: usize) -> u16 {
    u16::from_le_bytes([header[at], header[at + 1]])
}

fn as_u64(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

fn damaged(why: &str) -> GapCause {
    GapCause::Damaged(why.to_owned())
}
