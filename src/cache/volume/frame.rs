//! Frames on the line between the coordinator and the pod that has the volume. Both ends bound what they take.
//!
//! ```text
//! KCV1 | bytes of the header, u32 | bytes of the body, u32 | header: JSON | body: a packed document, or nothing
//! ```
//!
//! Numbers are big-endian. `1` is the version of the frame; that of the messages is said in the first of them.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::super::form::MAX_PACKED;

/// How each frame begins.
const MAGIC: [u8; 4] = *b"KCV1";
/// Most bytes of a header. The largest are those that name many keys.
pub(super) const MAX_FRAME_HEADER: usize = 256 << 10;

/// What is sent at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Frame {
    /// A message as JSON.
    pub(super) header: Vec<u8>,
    /// What goes with it.
    pub(super) body: Vec<u8>,
}

/// The line does not carry frames.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// It broke.
    #[error("the line broke")]
    Line(#[from] io::Error),
    /// It ended within a frame.
    #[error("the line ended within a message")]
    Cut,
    /// Something else was sent.
    #[error("what was sent is no message")]
    Foreign,
    /// A part of a frame is larger than such parts are.
    #[error("a message of {0} bytes is too large")]
    Large(usize),
}

/// Sends a frame.
pub(super) async fn write(
    line: &mut (impl AsyncWrite + Unpin),
    header: &[u8],
    body: &[u8],
) -> Result<(), FrameError> {
    let mut start = MAGIC.to_vec();
    for (part, most) in [(header, MAX_FRAME_HEADER), (body, MAX_PACKED)] {
        let length = u32::try_from(part.len()).ok().filter(|_| part.len() <= most);
        start.extend(length.ok_or(FrameError::Large(part.len()))?.to_be_bytes());
    }
    start.extend(header);
    line.write_all(&start).await?;
    line.write_all(body).await?;
    Ok(line.flush().await?)
}

/// The next frame; none if the line ends before it.
pub(super) async fn read(line: &mut (impl AsyncRead + Unpin)) -> Result<Option<Frame>, FrameError> {
    let start = up_to(line, 12).await?;
    // What is foreign is named so, even if it is short.
    if !start.starts_with(&MAGIC[..start.len().min(MAGIC.len())]) {
        return Err(FrameError::Foreign);
    }
    if start.is_empty() {
        return Ok(None);
    }
    let Ok([_, _, _, _, h0, h1, h2, h3, b0, b1, b2, b3]) = <[u8; 12]>::try_from(start) else {
        return Err(FrameError::Cut);
    };
    let header = part(line, [h0, h1, h2, h3], MAX_FRAME_HEADER).await?;
    let body = part(line, [b0, b1, b2, b3], MAX_PACKED).await?;
    Ok(Some(Frame { header, body }))
}

async fn part(
    line: &mut (impl AsyncRead + Unpin),
    length: [u8; 4],
    most: usize,
) -> Result<Vec<u8>, FrameError> {
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if length > most {
        return Err(FrameError::Large(length));
    }
    let part = up_to(line, length).await?;
    if part.len() == length { Ok(part) } else { Err(FrameError::Cut) }
}

/// So many bytes, or fewer where the line ends. Memory is taken for what comes, not for what was announced.
async fn up_to(line: &mut (impl AsyncRead + Unpin), length: usize) -> Result<Vec<u8>, FrameError> {
    let mut bytes = Vec::new();
    line.take(length as u64).read_to_end(&mut bytes).await?;
    Ok(bytes)
}
