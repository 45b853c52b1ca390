//! A program that goes by once, front to back, and is not held in memory.
//!
//! What build information of Go 1.18 and later says follows its header. Before, it says where in the file to look, and that
//! is mostly behind: the strings lie in front of all data, the variables that lead to them near the header. So while the file goes
//! by, two things are kept: the last few MiB of the data, and each stretch of the file that could be one of
//! the two strings, known by how they begin (and, for the text, how it ends). The addresses then choose among these.

use std::io;

use memchr::memmem::Finder;

use super::buildinfo::TEXT;
use super::{Bytes, u64_of};
use crate::tree::{Content, GapCause};

/// Bytes read at once.
const CHUNK: usize = 64 * 1024;
/// Bytes of data that are kept: the variables lie in `.data`, which is some 100 KB in front of the header or behind it.
const WINDOW: usize = 4 << 20;
/// Most bytes of a file that are looked through for strings; of the rest nothing is kept.
const LOOKED_THROUGH: u64 = 2 << 30;

/// Begins and ends the text about modules. Go, `cmd/go/internal/modload`, `infoStart` and `infoEnd`.
pub(super) const TEXT_START: &[u8; 16] = b"\x30\x77\xaf\x0c\x92\x74\x08\x02\x41\xe1\xc1\x07\xe6\xd6\x18\xe6";
pub(super) const TEXT_END: &[u8; 16] = b"\xf9\x32\x43\x31\x86\x18\x20\x72\x00\x82\x42\x10\x41\x16\xd8\xf2";
/// Texts that are kept.
const TEXTS: usize = 2;
/// How the names of released toolchains begin, and of those built in between.
const VERSIONS: [&[u8]; 2] = [b"go1.", b"devel "];
/// Bytes kept of each name; they are written without an end.
const NAME: usize = 64;
/// Names that are kept. The paths of the toolchain's sources hold it too, some thousand times.
const NAMES: usize = 16_384;

/// A program in a stream.
pub(super) struct Passing<'a> {
    content: &'a mut dyn Content,
    /// Up to where it has gone by.
    position: u64,
    /// The bytes before `position`, as many as are kept.
    window: Vec<u8>,
    /// How many are to be kept.
    kept: usize,
    strings: Strings,
}

impl<'a> Passing<'a> {
    pub(super) fn new(content: &'a mut dyn Content) -> Self {
        Self { content, position: 0, window: Vec::new(), kept: 0, strings: Strings::new() }
    }

    /// Lets the bytes before `to` go by.
    fn pass(&mut self, to: u64) -> Result<(), GapCause> {
        self.take(to.min(LOOKED_THROUGH))?;
        if self.position < to {
            let skipped = self.content.skip_to(to);
            skipped.map_err(GapCause::from)?;
            self.window.clear();
            self.position = to;
        }
        Ok(())
    }

    /// Reads up to byte `to`, or to the end.
    fn take(&mut self, to: u64) -> Result<(), GapCause> {
        let mut chunk = vec![0; CHUNK];
        while self.position < to {
            let wanted = usize::try_from(to - self.position).unwrap_or(CHUNK).min(CHUNK);
            let count = match self.content.read(&mut chunk[..wanted]) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            };
            self.window.extend_from_slice(&chunk[..count]);
            self.position = self.position.saturating_add(u64_of(count));
            self.strings.look_through(&self.window, count, self.position);
            let kept = self.kept.max(TEXT_START.len());
            if self.window.len() > kept + kept / 4 + CHUNK {
                self.window.drain(..self.window.len() - kept);
            }
        }
        Ok(())
    }

    /// What is still kept of bytes that have gone by.
    fn passed(&self, at: u64, length: usize) -> Option<&[u8]> {
        let window_at = self.position - u64_of(self.window.len());
        if let Some(start) = at.checked_sub(window_at) {
            let start = usize::try_from(start).ok()?;
            return self.window.get(start..start.checked_add(length)?);
        }
        self.strings.get(at, length)
    }
}

impl Bytes for Passing<'_> {
    fn size(&self) -> u64 {
        self.content.size()
    }

    fn bytes(&mut self, at: u64, length: usize) -> Result<Vec<u8>, GapCause> {
        let end = at.saturating_add(u64_of(length)).min(self.size());
        let length = usize::try_from(end.saturating_sub(at)).unwrap_or_default();
        if at > self.position {
            self.pass(at)?;
        }
        // Of what is asked for nothing may be dropped on the way.
        let kept = self.kept;
        self.kept = kept.max(length);
        let taken = self.take(end);
        self.kept = kept;
        taken?;
        // A file may end before its size.
        let end = end.min(self.position);
        let length = length.min(usize::try_from(end.saturating_sub(at)).unwrap_or_default());
        let bytes = self.passed(at, length).map(<[u8]>::to_vec);
        bytes.ok_or_else(|| {
            let why =
                "is a program of Go before 1.18, and what it was built from stands too far back for a stream";
            GapCause::Limit(why.to_owned())
        })
    }

    fn goes_by(&self) -> bool {
        true
    }

    fn remember_from(&mut self, at: u64) -> Result<(), GapCause> {
        self.pass(at)?;
        self.kept = WINDOW;
        Ok(())
    }
}

/// Stretches of a file that could be a toolchain's name or a text about modules.
struct Strings {
    text_start: Finder<'static>,
    text_end: Finder<'static>,
    versions: [Finder<'static>; 2],
    /// Some of their bytes are still to come.
    open: Vec<Stretch>,
    whole: Vec<Stretch>,
    texts: usize,
    names: usize,
}

struct Stretch {
    at: u64,
    bytes: Vec<u8>,
    is_text: bool,
}

impl Strings {
    fn new() -> Self {
        Self {
            text_start: Finder::new(TEXT_START),
            text_end: Finder::new(TEXT_END),
            versions: VERSIONS.map(Finder::new),
            open: Vec::new(),
            whole: Vec::new(),
            texts: 0,
            names: 0,
        }
    }

    /// Looks through the last `new` bytes of a window that ends at `position`.
    fn look_through(&mut self, window: &[u8], new: usize, position: u64) {
        for mut stretch in std::mem::take(&mut self.open) {
            let before = stretch.bytes.len();
            stretch.bytes.extend_from_slice(&window[window.len() - new..]);
            self.keep(stretch, before);
        }
        let window_at = position - u64_of(window.len());
        if self.texts < TEXTS {
            for index in begin_of(&self.text_start, window, new) {
                self.texts += 1;
                self.keep(
                    Stretch { at: window_at + u64_of(index), bytes: window[index..].to_vec(), is_text: true },
                    0,
                );
            }
        }
        for number in 0..self.versions.len() {
            for index in begin_of(&self.versions[number], window, new) {
                if self.names >= NAMES {
                    return;
                }
                self.names += 1;
                let end = window.len().min(index + NAME);
                let stretch = Stretch {
                    at: window_at + u64_of(index),
                    bytes: window[index..end].to_vec(),
                    is_text: false,
                };
                self.keep(stretch, 0);
            }
        }
    }

    /// Keeps a stretch whose end was looked for in all but the bytes from `before` on.
    fn keep(&mut self, mut stretch: Stretch, before: usize) {
        if !stretch.is_text {
            stretch.bytes.truncate(NAME);
            let list = if stretch.bytes.len() < NAME { &mut self.open } else { &mut self.whole };
            return list.push(stretch);
        }
        let from = before.saturating_sub(TEXT_END.len() - 1);
        match self.text_end.find(&stretch.bytes[from..]) {
            Some(index) => {
                stretch.bytes.truncate(from + index + TEXT_END.len());
                stretch.bytes.shrink_to_fit();
                self.whole.push(stretch);
            }
            None if u64_of(stretch.bytes.len()) <= TEXT => self.open.push(stretch),
            None => {}
        }
    }

    fn get(&self, at: u64, length: usize) -> Option<&[u8]> {
        self.whole.iter().chain(&self.open).find_map(|stretch| {
            let start = usize::try_from(at.checked_sub(stretch.at)?).ok()?;
            stretch.bytes.get(start..start.checked_add(length)?)
        })
    }
}

/// Where a pattern begins whose last byte is one of the last `new`.
fn begin_of<'a>(pattern: &'a Finder<'_>, window: &'a [u8], new: usize) -> Vec<usize> {
    let from = (window.len() - new).saturating_sub(pattern.needle().len() - 1);
    pattern.find_iter(&window[from..]).map(|index| from + index).collect()
}
