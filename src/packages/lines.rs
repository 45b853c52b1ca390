//! Lines of a file that anybody may have written.

use std::io::{self, BufRead, BufReader, Read};

use crate::tree::{Content, GapCause, ReadAt, Source};

/// Lines are read up to here, the rest of a longer one is dropped: apk writes lines far longer, in fields that nobody asks for.
const LINE: usize = 64 * 1024;
/// Longest value of a field that names something.
const VALUE: usize = 4096;

/// Reads lines into one buffer.
pub(super) struct Lines<'a> {
    reader: BufReader<Box<dyn Read + 'a>>,
    line: Vec<u8>,
}

impl<'a> Lines<'a> {
    pub(super) fn new(source: Source<'a>) -> Self {
        let reader: Box<dyn Read + 'a> = match source {
            Source::Forward(content) => Box::new(content),
            Source::Random(file) => Box::new(Cursor::new(file)),
        };
        Self { reader: BufReader::with_capacity(32 * 1024, reader), line: Vec::new() }
    }

    /// The next line without its end (also a Windows one), none at the end of the file.
    pub(super) fn next(&mut self) -> Result<Option<&[u8]>, GapCause> {
        self.line.clear();
        let mut is_end = true;
        loop {
            let available = match self.reader.fill_buf() {
                Ok(available) => available,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            };
            if available.is_empty() {
                break;
            }
            is_end = false;
            let newline = available.iter().position(|&byte| byte == b'\n');
            let taken = newline.map_or(available.len(), |at| at + 1);
            let room = LINE - self.line.len();
            self.line.extend_from_slice(&available[..newline.unwrap_or(taken).min(room)]);
            self.reader.consume(taken);
            if newline.is_some() {
                break;
            }
        }
        if self.line.last() == Some(&b'\r') {
            self.line.pop();
        }
        Ok((!is_end).then_some(self.line.as_slice()))
    }
}

/// A value as text: what is no UTF-8 replaced, control characters as spaces, trimmed. None if nothing is left or too much.
pub(super) fn text(value: &[u8]) -> Option<String> {
    let value = value.trim_ascii();
    if value.is_empty() || value.len() > VALUE {
        return None;
    }
    let text = String::from_utf8_lossy(value);
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// A file that can be read at any place, front to back.
pub(super) struct Cursor<'a> {
    file: &'a dyn ReadAt,
    position: u64,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(file: &'a dyn ReadAt) -> Self {
        Self { file, position: 0 }
    }
}

impl Content for Cursor<'_> {
    fn size(&self) -> u64 {
        self.file.size()
    }

    fn skip_to(&mut self, at: u64) -> io::Result<()> {
        if at < self.position {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a content is read forward only"));
        }
        self.position = at.min(self.file.size());
        Ok(())
    }
}

impl Read for Cursor<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(buf, self.position)?;
        self.position = self.position.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
        Ok(count)
    }
}
