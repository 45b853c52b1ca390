//! The reading side: lines of log into finished images.
//!
//! A log may be read again from an earlier point after a cut; frames that were seen are passed over by their
//! sequence number. A gap in the numbers loses the image that was open in it, and only that one.

use std::collections::{BTreeMap, VecDeque};

use super::frame::{Frame, Line, parse_line};
use super::{
    DocumentHeader, DocumentName, Failure, LOG_BUDGET_ALONE, MAX_IMAGES, MAX_NOTE, MAX_NOTES, MAX_OTHERS,
    Message, Outcome,
};
use crate::image::Digest;

/// Most bytes of one document when unpacked. An SBOM of 20,000 packages has some 25 MiB.
const MAX_DOCUMENT: u64 = 32 << 20;

/// Most bytes of one document as sent: what a pod may emit at all.
const MAX_PACKED: u64 = LOG_BUDGET_ALONE;

/// Most bytes of all documents of one pod when unpacked.
const MAX_UNPACKED: u64 = 128 << 20;

/// Most documents of one image; there are three kinds.
const MAX_DOCUMENTS: usize = 4;

/// Most diagnostic lines that are kept, and the bytes of each: the last ones, for a person to read.
const DIAGNOSTICS: (usize, usize) = (20, 500);

/// Puts the frames of one pod together.
pub struct Receiver {
    scan: String,
    images: u32,
    next: u64,
    unpacked: u64,
    ended: bool,
    open: Option<Open>,
    diagnostics: VecDeque<String>,
    damaged: usize,
}

/// An image whose frames are arriving.
struct Open {
    image: u32,
    documents: BTreeMap<DocumentName, (u32, Vec<u8>)>,
    digests: String,
    arriving: Option<(DocumentHeader, Vec<u8>)>,
    intact: bool,
}

/// What a line brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Nothing to act on.
    Nothing,
    /// The scanner runs; it has this version.
    Began {
        /// Version of the scanner.
        generator: String,
        /// What a person should know of the pod.
        notes: Vec<String>,
    },
    /// Reading of an image began.
    Started(u32),
    /// An image's bytes so far.
    Progress {
        /// Number of the image.
        image: u32,
        /// Bytes read.
        read: u64,
        /// Bytes of all layers.
        total: u64,
    },
    /// An image is there with all its documents, checked.
    Image {
        /// Number of the image.
        image: u32,
        /// How it was read.
        outcome: Box<Outcome>,
        /// Its documents: version and bytes.
        documents: BTreeMap<DocumentName, (u32, Vec<u8>)>,
    },
    /// An image could not be read.
    Failed {
        /// Number of the image.
        image: u32,
        /// Why.
        failure: Failure,
    },
    /// Frames of this image are missing or damaged; it must be read again.
    Lost(u32),
    /// All is said.
    Ended,
}

/// What is known of a log when it is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reception {
    /// The last frame was `end`.
    pub complete: bool,
    /// The image that was being read when the log stopped.
    pub open: Option<u32>,
    /// The last lines that were no frames.
    pub diagnostics: Vec<String>,
    /// Lines that began as frames and were none.
    pub damaged: usize,
}

impl Receiver {
    /// For the log of a pod of this scan that was given this many images.
    #[must_use]
    pub fn new(scan: &str, images: u32) -> Self {
        Self {
            scan: scan.to_owned(),
            images: images.min(u32::try_from(MAX_IMAGES).unwrap_or(u32::MAX)),
            next: 0,
            unpacked: 0,
            ended: false,
            open: None,
            diagnostics: VecDeque::new(),
            damaged: 0,
        }
    }

    /// Takes one line of log, in order; lines that were seen before are passed over.
    pub fn accept(&mut self, line: &str) -> Event {
        match parse_line(line, &self.scan) {
            Line::Diagnostic(text) => {
                self.keep_diagnostic(text);
                Event::Nothing
            }
            Line::Damaged(_) => {
                self.damaged += 1;
                Event::Nothing
            }
            Line::Frame { sequence, frame } => self.frame(sequence, frame),
        }
    }

    /// The number of the frame that comes next.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.next
    }

    /// Whether the last frame was seen.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.ended
    }

    /// What is known now that no more lines will come.
    #[must_use]
    pub fn finish(self) -> Reception {
        Reception {
            complete: self.ended,
            open: self.open.map(|open| open.image),
            diagnostics: self.diagnostics.into(),
            damaged: self.damaged,
        }
    }

    fn frame(&mut self, sequence: u64, frame: Frame) -> Event {
        if sequence < self.next || self.ended {
            return Event::Nothing;
        }
        if sequence > self.next
            && let Some(open) = &mut self.open
        {
            open.intact = false;
        }
        self.next = sequence.saturating_add(1);
        match frame {
            Frame::Chunk(bytes) => {
                self.chunk(&bytes);
                Event::Nothing
            }
            Frame::Message(message) => self.message(message),
        }
    }

    fn message(&mut self, message: Message) -> Event {
        match message {
            Message::Begin { images, generator, notes } => {
                self.images = self.images.min(images);
                let short = |note: String| note.chars().take(MAX_NOTE).collect();
                let notes = notes.into_iter().take(MAX_NOTES).map(short).collect();
                Event::Began { generator, notes }
            }
            Message::Start { image } if image < self.images => {
                let before = self.open.replace(Open::new(image));
                match before {
                    Some(open) => Event::Lost(open.image),
                    None => Event::Started(image),
                }
            }
            Message::Progress { image, read, total } if image < self.images => {
                Event::Progress { image, read, total }
            }
            Message::Document(header) => {
                self.document(header);
                Event::Nothing
            }
            Message::Done { image, mut outcome, documents } if image < self.images => {
                outcome.registry.truncate(1 + MAX_OTHERS);
                let open = self.open.take();
                match open.and_then(|open| open.close(image, &documents)) {
                    Some(documents) => Event::Image { image, outcome, documents },
                    None => Event::Lost(image),
                }
            }
            Message::Failed { image, mut failure } if image < self.images => {
                failure.registry.truncate(1 + MAX_OTHERS);
                self.open = None;
                Event::Failed { image, failure }
            }
            Message::End { .. } => {
                self.open = None;
                self.ended = true;
                Event::Ended
            }
            // A number that was never given out: the scanner is not ours, or lies.
            Message::Start { .. }
            | Message::Progress { .. }
            | Message::Done { .. }
            | Message::Failed { .. } => Event::Nothing,
        }
    }

    fn document(&mut self, header: DocumentHeader) {
        let Some(open) = &mut self.open else { return };
        self.unpacked = self.unpacked.saturating_add(header.size);
        let fits = header.image == open.image
            && self.unpacked <= MAX_UNPACKED
            && header.size <= MAX_DOCUMENT
            && header.packed <= MAX_PACKED
            && open.arriving.is_none()
            && open.documents.len() < MAX_DOCUMENTS;
        if fits {
            open.arriving = Some((header, Vec::new()));
        } else {
            open.intact = false;
        }
    }

    fn chunk(&mut self, bytes: &[u8]) {
        let Some(open) = &mut self.open else { return };
        if !open.intact {
            return;
        }
        let Some((header, packed)) = &mut open.arriving else {
            open.intact = false;
            return;
        };
        packed.extend_from_slice(bytes);
        if (packed.len() as u64) < header.packed {
            return;
        }
        open.intact = open.unpack();
    }

    fn keep_diagnostic(&mut self, text: &str) {
        if text.trim().is_empty() {
            return;
        }
        if self.diagnostics.len() == DIAGNOSTICS.0 {
            self.diagnostics.pop_front();
        }
        self.diagnostics.push_back(text.chars().take(DIAGNOSTICS.1).collect());
    }
}

impl Open {
    fn new(image: u32) -> Self {
        Self { image, documents: BTreeMap::new(), digests: String::new(), arriving: None, intact: true }
    }

    /// Unpacks the document whose bytes are all there; false if it is not what was announced.
    fn unpack(&mut self) -> bool {
        let Some((header, packed)) = self.arriving.take() else { return false };
        let Ok(capacity) = usize::try_from(header.size) else { return false };
        let Ok(bytes) = zstd::bulk::decompress(&packed, capacity) else { return false };
        if packed.len() as u64 != header.packed || Digest::of(&bytes) != header.digest {
            return false;
        }
        self.digests.push_str(header.digest.as_str());
        self.documents.insert(header.name, (header.version, bytes)).is_none()
    }

    /// The documents, if nothing is missing and they are those that the sender counted.
    fn close(self, image: u32, digest: &Digest) -> Option<BTreeMap<DocumentName, (u32, Vec<u8>)>> {
        let whole = self.intact
            && self.image == image
            && self.arriving.is_none()
            && Digest::of(self.digests.as_bytes()) == *digest;
        whole.then_some(self.documents)
    }
}
