//! The bytes of a record. RFC 8878, "Zstandard Frames" and "Skippable Frames".

use std::io::{self, Read};

use super::{Header, VERSION, is_id};
use crate::report::Report;
use crate::report::json::{self, ReadError};

/// Begins a skippable frame; the least of the sixteen numbers that do.
const SKIPPABLE: u32 = 0x184D_2A50;
/// Bytes before the content of a skippable frame: the number above, and the length.
const FRAME_HEAD: usize = 8;
/// Largest header, in bytes.
const MAX_HEADER: usize = 64 << 10;
/// Largest record, in bytes: a report compresses to a twentieth.
pub(super) const MAX_RECORD: u64 = 64 << 20;
/// Favours speed: a level more saves little.
const LEVEL: i32 = 3;

/// Why something is no record.
#[derive(Debug, thiserror::Error)]
pub enum DamageError {
    /// It does not begin as one.
    #[error("it is no record of a scan")]
    NoRecord,
    /// Its header is not as it was written.
    #[error("its header cannot be read")]
    Header(#[source] serde_json::Error),
    /// It was written by a later version of this program.
    #[error("it was written by a later version of this program")]
    Version,
    /// It is larger than any record.
    #[error("it is larger than any record")]
    TooLarge,
    /// It is cut off or changed.
    #[error("it cannot be decompressed")]
    Compression(#[source] io::Error),
    /// What it holds is no report.
    #[error("it holds no report")]
    Report(#[source] ReadError),
    /// It is put together of two.
    #[error("its header is that of another report")]
    Contradiction,
}

/// Writes a record.
///
/// # Errors
/// The report is larger than those that are read.
pub fn encode(header: &Header, report: &Report) -> io::Result<Vec<u8>> {
    let head = serde_json::to_vec(header).map_err(io::Error::other)?;
    let length = u32::try_from(head.len()).ok().filter(|_| head.len() <= MAX_HEADER);
    let too_large = || io::Error::new(io::ErrorKind::FileTooLarge, "the report is too large to be kept");
    let length = length.ok_or_else(too_large)?;
    let mut bytes = Vec::new();
    bytes.extend(SKIPPABLE.to_le_bytes());
    bytes.extend(length.to_le_bytes());
    bytes.extend(head);
    let mut encoder = zstd::Encoder::new(bytes, LEVEL)?;
    encoder.include_checksum(true)?;
    let mut counted = Counted { inner: &mut encoder, bytes: 0 };
    serde_json::to_writer(&mut counted, report).map_err(io::Error::other)?;
    let written = counted.bytes;
    let bytes = encoder.finish()?;
    let is_small = bytes.len() as u64 <= MAX_RECORD && written <= json::MAX_BYTES as u64;
    if is_small { Ok(bytes) } else { Err(too_large()) }
}

/// Counts what is written.
struct Counted<W> {
    inner: W,
    bytes: u64,
}

impl<W: io::Write> io::Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.bytes += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Reads the header alone, and leaves the rest.
///
/// # Errors
/// It is no record, or one that is damaged.
pub fn read_header(record: &mut impl Read) -> Result<Header, DamageError> {
    let mut head = [0; FRAME_HEAD];
    record.read_exact(&mut head).map_err(|_| DamageError::NoRecord)?;
    let [a, b, c, d, rest @ ..] = head;
    if u32::from_le_bytes([a, b, c, d]) != SKIPPABLE {
        return Err(DamageError::NoRecord);
    }
    let length = usize::try_from(u32::from_le_bytes(rest)).unwrap_or(usize::MAX);
    if length > MAX_HEADER {
        return Err(DamageError::NoRecord);
    }
    let mut text = vec![0; length];
    record.read_exact(&mut text).map_err(|_| DamageError::NoRecord)?;
    parse_header(&text)
}

/// Reads a header.
pub(super) fn parse_header(text: &[u8]) -> Result<Header, DamageError> {
    if text.len() > MAX_HEADER {
        return Err(DamageError::NoRecord);
    }
    let version: Version = serde_json::from_slice(text).map_err(DamageError::Header)?;
    if version.version > VERSION {
        return Err(DamageError::Version);
    }
    let header: Header = serde_json::from_slice(text).map_err(DamageError::Header)?;
    // It becomes part of names.
    if is_id(&header.id) { Ok(header) } else { Err(DamageError::NoRecord) }
}

#[derive(serde::Deserialize)]
struct Version {
    version: u32,
}

/// Reads a record.
///
/// # Errors
/// It is no record, or one that is damaged.
pub fn decode(record: &[u8]) -> Result<(Header, Report), DamageError> {
    if record.len() as u64 > MAX_RECORD {
        return Err(DamageError::TooLarge);
    }
    let mut rest = record;
    let header = read_header(&mut rest)?;
    let mut json = Vec::new();
    let decoder = zstd::Decoder::with_buffer(rest).map_err(DamageError::Compression)?;
    decoder.take(json::MAX_BYTES as u64 + 1).read_to_end(&mut json).map_err(DamageError::Compression)?;
    let report = json::read(&json).map_err(DamageError::Report)?;
    if report.scan.id != header.id {
        return Err(DamageError::Contradiction);
    }
    Ok((header, report))
}
