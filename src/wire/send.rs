//! The pod's side: frames onto a writer, within the log's budget.

use std::io::{self, Write};

use super::frame::{Frame, FrameError, max_chunk};
use super::{DocumentHeader, DocumentName, Failure, MAX_NOTE, MAX_NOTES, Message, Outcome};
use crate::image::Digest;

/// Bytes kept back for the messages that must still be said when documents have used up the budget.
const RESERVE: u64 = 128 << 10;

/// Longest text in a message, in characters: images may cause one of any length, and a frame has 8 KiB.
const MAX_TEXT: usize = 1000;

/// Writes the frames of one pod.
pub struct Sender<W> {
    out: W,
    scan: String,
    sequence: u64,
    left: u64,
    done: u32,
    failed: u32,
}

/// Why a frame could not be sent.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The writer failed; nobody will read the rest.
    #[error("cannot write to the log")]
    Write(#[from] io::Error),
    /// The documents of this image do not fit what is left of the log's budget. Nothing of them was sent.
    #[error("{needed} bytes of documents do not fit the {left} bytes left of the log")]
    Budget {
        /// Bytes of log that they take.
        needed: u64,
        /// Bytes of log that are left.
        left: u64,
    },
    /// A message is too long for one line.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// A document could not be packed.
    #[error("cannot pack the {name:?} document")]
    Pack {
        /// Which document.
        name: DocumentName,
        /// Cause.
        #[source]
        source: io::Error,
    },
}

/// A document on its way out.
pub struct Document<'a> {
    /// What it is.
    pub name: DocumentName,
    /// Version of its form.
    pub version: u32,
    /// Its bytes, unpacked.
    pub bytes: &'a [u8],
}

impl<W: Write> Sender<W> {
    /// A sender for one pod that may write `budget` bytes, see [`super::LOG_BUDGET`].
    pub fn new(out: W, scan: String, budget: u64) -> Self {
        Self { out, scan, sequence: 0, left: budget, done: 0, failed: 0 }
    }

    /// Announces the images to come, and what a person should know of the pod.
    pub fn begin(&mut self, images: u32, generator: &str, notes: &[String]) -> Result<(), SendError> {
        let notes = notes.iter().take(MAX_NOTES).map(|note| shortened(note)).collect();
        self.message(Message::Begin { images, generator: generator.to_owned(), notes })
    }

    /// Says that reading of an image begins.
    pub fn start(&mut self, image: u32) -> Result<(), SendError> {
        self.message(Message::Start { image })
    }

    /// Says how far an image is. Left out when the budget runs low: documents matter more.
    pub fn progress(&mut self, image: u32, read: u64, total: u64) -> Result<(), SendError> {
        if self.left < 4 * RESERVE {
            return Ok(());
        }
        self.message(Message::Progress { image, read, total })
    }

    /// Sends an image's documents and its end.
    ///
    /// # Errors
    /// [`SendError::Budget`] if they do not fit; the image is then still open and must be ended by
    /// [`Self::failed`].
    pub fn done(
        &mut self,
        image: u32,
        documents: &[Document<'_>],
        mut outcome: Outcome,
    ) -> Result<(), SendError> {
        for text in [&mut outcome.approximate, &mut outcome.partial].into_iter().flatten() {
            cut(text);
        }
        let mut packed = Vec::with_capacity(documents.len());
        for document in documents {
            let bytes = zstd::bulk::compress(document.bytes, 9)
                .map_err(|source| SendError::Pack { name: document.name, source })?;
            packed.push(bytes);
        }
        let chunk = max_chunk(&self.scan);
        let needed = packed.iter().map(|bytes| log_bytes(bytes.len(), chunk)).sum();
        let left = self.left.saturating_sub(RESERVE);
        if needed > left {
            return Err(SendError::Budget { needed, left });
        }
        let mut digests = String::new();
        for (document, bytes) in documents.iter().zip(&packed) {
            let digest = Digest::of(document.bytes);
            digests.push_str(digest.as_str());
            self.message(Message::Document(DocumentHeader {
                image,
                name: document.name,
                version: document.version,
                size: document.bytes.len() as u64,
                packed: bytes.len() as u64,
                digest,
            }))?;
            for piece in bytes.chunks(chunk) {
                self.frame(&Frame::Chunk(piece.to_vec()))?;
            }
        }
        self.done += 1;
        self.message(Message::Done {
            image,
            outcome: Box::new(outcome),
            documents: Digest::of(digests.as_bytes()),
        })
    }

    /// Says that an image could not be read.
    pub fn failed(&mut self, image: u32, mut failure: Failure) -> Result<(), SendError> {
        self.failed += 1;
        cut(&mut failure.reason);
        self.message(Message::Failed { image, failure })
    }

    /// Says that nothing more will come.
    pub fn end(&mut self) -> Result<(), SendError> {
        let (done, failed) = (self.done, self.failed);
        self.message(Message::End { done, failed })
    }

    fn message(&mut self, mut message: Message) -> Result<(), SendError> {
        let registry = match &mut message {
            Message::Done { outcome, .. } => Some(&mut outcome.registry),
            Message::Failed { failure, .. } => Some(&mut failure.registry),
            _ => None,
        };
        let registry = registry.map(std::mem::take).filter(|registry| !registry.is_empty());
        let Some(registry) = registry else { return self.frame(&Frame::Message(message)) };
        let mut whole = message.clone();
        if let Message::Done { outcome, .. } = &mut whole {
            outcome.registry = registry;
        } else if let Message::Failed { failure, .. } = &mut whole {
            failure.registry = registry;
        }
        match self.frame(&Frame::Message(whole)) {
            // How the image ended matters more.
            Err(SendError::Frame(FrameError::TooLong(_))) => self.frame(&Frame::Message(message)),
            sent => sent,
        }
    }

    fn frame(&mut self, frame: &Frame) -> Result<(), SendError> {
        let mut line = frame.encode(&self.scan, self.sequence)?;
        line.push('\n');
        self.sequence += 1;
        self.left = self.left.saturating_sub(line.len() as u64);
        self.out.write_all(line.as_bytes())?;
        self.out.flush()?;
        Ok(())
    }
}

/// Bytes of log for a packed document: base64 and each line's own fields, a header line included.
fn log_bytes(packed: usize, chunk: usize) -> u64 {
    let lines = packed.div_ceil(chunk) + 1;
    (packed.div_ceil(3) * 4 + lines * 256) as u64
}

/// As much of a note as is sent.
fn shortened(note: &str) -> String {
    note.chars().take(MAX_NOTE).collect()
}

/// Cuts a text that does not fit.
fn cut(text: &mut String) {
    if let Some((end, _)) = text.char_indices().nth(MAX_TEXT) {
        text.truncate(end);
        text.push('…');
    }
}
