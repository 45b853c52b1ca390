//! Zips, read at any place by their central directory. PKWARE APPNOTE 6.3, sections 4.3 to 4.5.
//!
//! The `zip` crate keeps some hundred bytes of every member, of which a hostile archive may have as many as it likes, and
//! a jar in a jar would be opened a second time. Here members are shown one after the other and nothing of them is
//! kept, so a zip takes a buffer and no more, whatever it claims. What the JVM accepts is accepted: bytes in front of the zip (a
//! shell script that starts it) and after it. Checksums are not looked at: the JVM does not either.

use std::io::{self, BufReader, Read};

use flate2::bufread::DeflateDecoder;

use super::super::filling::{fill, fill_at};
use super::super::lines::Cursor;
use crate::tree::{GapCause, ReadAt};

/// Bytes read at once of a directory or of a member.
const BUFFER: usize = 8 * 1024;
/// Length of the record that ends a zip, without its comment.
const END: usize = 22;
/// Length of the record that ends a zip64.
const END_64: usize = 56;
/// Length of what says where that one lies.
const LOCATOR_64: u64 = 20;
/// Length of a member's record in the directory, without name, extra field and comment.
const RECORD: usize = 46;
/// Length of what stands before a member's data, without name and extra field.
const HEADER: usize = 30;
/// Id of the extra field with the numbers that do not fit into 32 bits.
const EXTRA_64: u16 = 1;
/// deflate makes at most 1032 bytes of one.
const RATIO: u64 = 1032;

/// An opened zip.
pub(super) struct Zip<'a> {
    file: &'a dyn ReadAt,
    directory: u64,
    directory_size: u64,
    /// Bytes before the zip, which the offsets in it do not count.
    before: u64,
}

/// One member, as the directory has it.
pub(super) struct Member<'n> {
    /// Its path.
    pub(super) name: &'n [u8],
    /// Bytes once unpacked.
    pub(super) size: u64,
    packed: u64,
    method: u16,
    is_encrypted: bool,
    header: u64,
}

/// The bytes of a member, as they lie in the zip.
pub(super) enum Packed<'a> {
    /// As they are.
    Stored(Window<'a>),
    /// To be inflated.
    Deflated(Window<'a>),
}

/// A part of a file.
#[derive(Clone, Copy)]
pub(super) struct Window<'a> {
    file: &'a dyn ReadAt,
    start: u64,
    size: u64,
}

impl<'a> Zip<'a> {
    /// Finds the directory. None if the file is no zip.
    pub(super) fn open(file: &'a dyn ReadAt) -> Result<Option<Self>, GapCause> {
        // Nearly all zips end without a comment, so the last bytes are looked at before more is read.
        for tail in [END, END + usize::from(u16::MAX)] {
            let (start, bytes) = last(file, tail)?;
            let ends = bytes.len().checked_sub(END).map(|last| (0..=last).rev()).into_iter().flatten();
            for at in ends.filter(|&at| bytes[at..].starts_with(b"PK\x05\x06")) {
                if let Some(zip) = Self::ending_at(file, start + u64_of(at), &bytes[at..])? {
                    return Ok(Some(zip));
                }
            }
        }
        Ok(None)
    }

    /// The zip that ends with the record at `at`, if a directory lies where it says.
    fn ending_at(file: &'a dyn ReadAt, at: u64, end: &[u8]) -> Result<Option<Self>, GapCause> {
        let (mut end_of_directory, mut size, mut offset) = (at, number(end, 12, 4), number(end, 16, 4));
        let is_wide = number(end, 10, 2) == 0xffff || size == 0xffff_ffff || offset == 0xffff_ffff;
        if is_wide && let Some((at, record)) = end_64(file, at)? {
            (end_of_directory, size, offset) = (at, number(&record, 40, 8), number(&record, 48, 8));
        }
        // First by what stands right before its end, which holds for whatever was put in front.
        let starts = [end_of_directory.checked_sub(size), Some(offset)];
        for start in starts.into_iter().flatten() {
            let Some(before) = start.checked_sub(offset) else { continue };
            let is_inside = start.checked_add(size).is_some_and(|end| end <= end_of_directory);
            if is_inside && (size == 0 || filled(file, start, 4)? == b"PK\x01\x02") {
                return Ok(Some(Self { file, directory: start, directory_size: size, before }));
            }
        }
        Ok(None)
    }

    /// Bytes of the directory.
    pub(super) fn directory_size(&self) -> u64 {
        self.directory_size
    }

    /// Shows all members. What is no directory any more is damage, told after those before it were shown.
    pub(super) fn members(
        &self,
        visit: &mut dyn FnMut(&Member<'_>) -> Result<(), GapCause>,
    ) -> Result<(), GapCause> {
        let directory = Window { file: self.file, start: self.directory, size: self.directory_size };
        let mut reader = BufReader::with_capacity(BUFFER, Cursor::new(&directory));
        let mut variable = Vec::new();
        loop {
            let mut record = [0; RECORD];
            match fill(&mut reader, &mut record)? {
                0 => return Ok(()),
                RECORD if record.starts_with(b"PK\x01\x02") => {}
                // A signature of the directory may follow.
                _ if record.starts_with(b"PK\x05\x05") => return Ok(()),
                _ => return Err(damaged("the directory of the zip is cut short or overwritten")),
            }
            let [name, extra, comment] = [28, 30, 32].map(|at| usize_of(number(&record, at, 2)));
            variable.resize(name + extra + comment, 0);
            if fill(&mut reader, &mut variable)? < name + extra {
                return Err(damaged("the directory of the zip is cut short"));
            }
            visit(&Member::of(&record, &variable[..name], &variable[name..name + extra]))?;
        }
    }

    /// The bytes of a member.
    pub(super) fn packed(&self, member: &Member<'_>) -> Result<Packed<'a>, GapCause> {
        if member.is_encrypted {
            return Err(GapCause::Unreadable("it is encrypted".to_owned()));
        }
        let at = self.before.checked_add(member.header).ok_or_else(outside)?;
        let header = filled(self.file, at, HEADER)?;
        if header.len() < HEADER || !header.starts_with(b"PK\x03\x04") {
            return Err(damaged("no member of the zip lies where its directory says"));
        }
        let start = at + u64_of(HEADER) + number(&header, 26, 2) + number(&header, 28, 2);
        let end = start.checked_add(member.packed).ok_or_else(outside)?;
        if end > self.file.size() {
            return Err(outside());
        }
        let window = Window { file: self.file, start, size: member.packed };
        match member.method {
            0 if member.packed == member.size => Ok(Packed::Stored(window)),
            8 if member.size <= member.packed.saturating_mul(RATIO) => Ok(Packed::Deflated(window)),
            0 | 8 => Err(damaged("the directory of the zip gives it an impossible size")),
            method => {
                Err(GapCause::Unreadable(format!("it is compressed by method {method}, which is not known")))
            }
        }
    }
}

impl<'n> Member<'n> {
    fn of(record: &[u8; RECORD], name: &'n [u8], extra: &[u8]) -> Self {
        let mut wide = extra_64(extra);
        let mut or_wide = |at| match number(record, at, 4) {
            0xffff_ffff => {
                let (value, rest) = wide.split_at(wide.len().min(8));
                wide = rest;
                if value.len() == 8 { number(value, 0, 8) } else { 0xffff_ffff }
            }
            narrow => narrow,
        };
        // The wide numbers stand in this order, and only those that are needed.
        let size = or_wide(24);
        let packed = or_wide(20);
        let header = or_wide(42);
        let is_encrypted = number(record, 8, 2) & 1 != 0;
        let method = u16::try_from(number(record, 10, 2)).unwrap_or(u16::MAX);
        Self { name, size, packed, method, is_encrypted, header }
    }
}

impl Packed<'_> {
    /// The unpacked bytes, front to back.
    pub(super) fn reader(&self) -> Box<dyn Read + '_> {
        match self {
            Self::Stored(window) => Box::new(Cursor::new(window)),
            Self::Deflated(window) => {
                Box::new(DeflateDecoder::new(BufReader::with_capacity(BUFFER, Cursor::new(window))))
            }
        }
    }
}

impl ReadAt for Window<'_> {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize> {
        let rest = usize::try_from(self.size.saturating_sub(at)).unwrap_or(usize::MAX);
        let count = buf.len().min(rest);
        self.file.read_at(&mut buf[..count], self.start.saturating_add(at))
    }
}

/// The record that ends a zip64, with its place. Its offset does not count what was put before the zip either; mostly it
/// stands right before the locator.
fn end_64(file: &dyn ReadAt, end: u64) -> Result<Option<(u64, Vec<u8>)>, GapCause> {
    let Some(locator_at) = end.checked_sub(LOCATOR_64) else { return Ok(None) };
    let locator = filled(file, locator_at, 20)?;
    if !locator.starts_with(b"PK\x06\x07") {
        return Ok(None);
    }
    let places = [locator_at.checked_sub(u64_of(END_64)), Some(number(&locator, 8, 8))];
    for at in places.into_iter().flatten().filter(|&at| at < locator_at) {
        let record = filled(file, at, END_64)?;
        if record.len() == END_64 && record.starts_with(b"PK\x06\x06") {
            return Ok(Some((at, record)));
        }
    }
    Ok(None)
}

/// The extra field with wide numbers; empty if there is none.
fn extra_64(mut extra: &[u8]) -> &[u8] {
    while extra.len() >= 4 {
        let (id, size) = (number(extra, 0, 2), usize_of(number(extra, 2, 2)));
        let field = &extra[4..];
        if id == u64::from(EXTRA_64) {
            return &field[..size.min(field.len())];
        }
        extra = field.get(size..).unwrap_or_default();
    }
    &[]
}

/// The last bytes of a file with their place.
fn last(file: &dyn ReadAt, count: usize) -> Result<(u64, Vec<u8>), GapCause> {
    let start = file.size().saturating_sub(u64_of(count));
    Ok((start, filled(file, start, count)?))
}

/// Bytes at a place; fewer only at the end of the file.
fn filled(file: &dyn ReadAt, at: u64, count: usize) -> Result<Vec<u8>, GapCause> {
    let mut bytes = vec![0; count];
    let filled = fill_at(file, &mut bytes, at)?;
    bytes.truncate(filled);
    Ok(bytes)
}

/// A number of up to eight bytes, the lowest first; what lies outside counts as zero.
fn number(bytes: &[u8], at: usize, length: usize) -> u64 {
    let bytes = bytes.get(at..at + length).unwrap_or_default();
    bytes.iter().rev().fold(0, |sum, &byte| (sum << 8) | u64::from(byte))
}

fn u64_of(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// Of a number of two bytes.
fn usize_of(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn damaged(why: &str) -> GapCause {
    GapCause::Damaged(why.to_owned())
}

fn outside() -> GapCause {
    damaged("a member of the zip lies outside of it")
}

#[cfg(test)]
pub(super) mod tests;
