//! One line of log: prefix, checksum, scan, sequence number, kind, payload.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use super::Message;

/// Longest line in bytes. Half of the 16 KiB at which runtimes split.
pub const MAX_LINE: usize = 8 << 10;

/// Most bytes of a message when unpacked.
const MAX_MESSAGE: usize = 64 << 10;

/// Marks a line as a frame of this version of the protocol.
const PREFIX: &str = "@clarity/2 ";

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// Something is said.
    Message(Message),
    /// The next piece of the document that was announced last.
    Chunk(Vec<u8>),
}

/// What a line of log is. Never an error: whatever it holds, it is one of these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// A frame of this scan.
    Frame {
        /// Its place: 0, 1, 2, … in one pod.
        sequence: u64,
        /// What it carries.
        frame: Frame,
    },
    /// Begins as a frame and is none.
    Damaged(FrameError),
    /// Anything else that the container printed.
    Diagnostic(&'a str),
}

/// Why a line that begins as a frame is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Cut, or longer than any frame.
    #[error("the frame has {0} bytes, more than any frame has")]
    TooLong(usize),
    /// A field is missing.
    #[error("the frame is cut short")]
    Cut,
    /// The checksum does not fit the text.
    #[error("the frame's checksum is wrong")]
    Checksum,
    /// Of another scan.
    #[error("the frame is of another scan")]
    OtherScan,
    /// Checksum right, content not understood: another version of the scanner.
    #[error("the frame's content is not understood")]
    Content,
}

impl Frame {
    /// The line for this frame, without a line end.
    ///
    /// # Errors
    /// [`FrameError::TooLong`] if it does not fit one line.
    pub fn encode(&self, scan: &str, sequence: u64) -> Result<String, FrameError> {
        let (kind, payload) = match self {
            Self::Message(message) => ("m", pack(message)),
            Self::Chunk(bytes) => ("c", STANDARD_NO_PAD.encode(bytes)),
        };
        let body = format!("{scan} {sequence} {kind} {payload}");
        let line = format!("{PREFIX}{:08x} {body}", crc32fast::hash(body.as_bytes()));
        if line.len() > MAX_LINE { Err(FrameError::TooLong(line.len())) } else { Ok(line) }
    }

    fn decode(rest: &str, scan: &str) -> Result<(u64, Self), FrameError> {
        if rest.len() > MAX_LINE {
            return Err(FrameError::TooLong(rest.len()));
        }
        let (checksum, body) = rest.split_once(' ').ok_or(FrameError::Cut)?;
        if checksum.len() != 8 || u32::from_str_radix(checksum, 16) != Ok(crc32fast::hash(body.as_bytes())) {
            return Err(FrameError::Checksum);
        }
        let mut fields = body.splitn(4, ' ');
        let mut field = || fields.next().ok_or(FrameError::Cut);
        let (of_scan, sequence, kind, payload) = (field()?, field()?, field()?, field()?);
        if of_scan != scan {
            return Err(FrameError::OtherScan);
        }
        let sequence = sequence.parse().map_err(|_| FrameError::Content)?;
        let frame = match kind {
            "m" => Self::Message(unpack(payload).ok_or(FrameError::Content)?),
            "c" => Self::Chunk(STANDARD_NO_PAD.decode(payload).map_err(|_| FrameError::Content)?),
            _ => return Err(FrameError::Content),
        };
        Ok((sequence, frame))
    }
}

/// Reads one line. Never fails the stream: what is no frame is a diagnostic line of the container.
#[must_use]
pub fn parse_line<'a>(line: &'a str, scan: &str) -> Line<'a> {
    let line = line.trim_end_matches(['\n', '\r']);
    let Some(rest) = line.strip_prefix(PREFIX) else { return Line::Diagnostic(line) };
    match Frame::decode(rest, scan) {
        Ok((sequence, frame)) => Line::Frame { sequence, frame },
        Err(error) => Line::Damaged(error),
    }
}

/// Most bytes that a chunk may carry so that its line fits.
pub(super) fn max_chunk(scan: &str) -> usize {
    // crc (8), two separators, sequence (up to 20 digits), kind and its separators: 64 is more than enough.
    let text = MAX_LINE.saturating_sub(PREFIX.len() + scan.len() + 64);
    text / 4 * 3
}

fn pack(message: &Message) -> String {
    let json = serde_json::to_vec(message).expect("messages hold only strings and numbers");
    let packed = zstd::bulk::compress(&json, 3).expect("compressing in memory cannot fail");
    STANDARD_NO_PAD.encode(packed)
}

fn unpack(payload: &str) -> Option<Message> {
    let packed = STANDARD_NO_PAD.decode(payload).ok()?;
    let json = zstd::bulk::decompress(&packed, MAX_MESSAGE).ok()?;
    serde_json::from_slice(&json).ok()
}
