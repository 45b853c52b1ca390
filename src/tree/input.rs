//! The blob's bytes as they arrive, with a look ahead and a memory of how they ended.

use std::io::{self, BufRead, Read};

/// One read of the caller's stream; also the most that [`Input::peek`] can show.
const BUFFER: usize = 64 * 1024;

/// A buffered stream that keeps its own failure apart from those of the decoders above it.
pub(super) struct Input<R> {
    inner: R,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    taken: u64,
    failure: Option<io::Error>,
}

impl<R: Read> Input<R> {
    pub(super) fn new(inner: R) -> Self {
        let buffer = vec![0; BUFFER].into_boxed_slice();
        Self { inner, buffer, start: 0, end: 0, taken: 0, failure: None }
    }

    /// Bytes handed on so far.
    pub(super) fn taken(&self) -> u64 {
        self.taken
    }

    /// Why the stream itself failed, if it did.
    pub(super) fn take_failure(&mut self) -> Option<io::Error> {
        self.failure.take()
    }

    /// The next bytes without taking them; fewer than `count` only at the end.
    pub(super) fn peek(&mut self, count: usize) -> io::Result<&[u8]> {
        let count = count.min(BUFFER);
        if self.start + count > BUFFER {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        while self.end - self.start < count && self.fill()? > 0 {}
        Ok(&self.buffer[self.start..self.end.min(self.start + count)])
    }

    /// Takes all that is left, so that a check of the whole stream sees every byte.
    pub(super) fn drain(&mut self) -> io::Result<()> {
        loop {
            let count = self.fill_buf()?.len();
            if count == 0 {
                return Ok(());
            }
            self.consume(count);
        }
    }

    /// Reads once behind what is buffered.
    fn fill(&mut self) -> io::Result<usize> {
        if self.failure.is_some() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        loop {
            match self.inner.read(&mut self.buffer[self.end..]) {
                Ok(count) => {
                    self.end += count;
                    return Ok(count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.failure = Some(error);
                    return Err(io::ErrorKind::BrokenPipe.into());
                }
            }
        }
    }
}

impl<R: Read> Read for Input<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let count = available.len().min(buf.len());
        buf[..count].copy_from_slice(&available[..count]);
        self.consume(count);
        Ok(count)
    }
}

impl<R: Read> BufRead for Input<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
            self.fill()?;
        }
        Ok(&self.buffer[self.start..self.end])
    }

    fn consume(&mut self, count: usize) {
        let count = count.min(self.end - self.start);
        self.start += count;
        self.taken += u64::try_from(count).unwrap_or(u64::MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hands out one byte at a time, as a slow network may.
    struct Trickle<'a>(&'a [u8]);

    impl Read for Trickle<'_> {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            let count = self.0.len().min(buf.len()).min(1);
            buf[..count].copy_from_slice(&self.0[..count]);
            self.0 = &self.0[count..];
            Ok(count)
        }
    }

    #[test]
    fn peek_waits_for_bytes_that_trickle_in_and_takes_none() {
        let mut input = Input::new(Trickle(b"abcdef"));
        assert_eq!(input.peek(4).expect("reads"), b"abcd");
        assert_eq!(input.taken(), 0);
        let mut all = Vec::new();
        input.read_to_end(&mut all).expect("reads");
        assert_eq!(all, b"abcdef");
        assert_eq!(input.peek(4).expect("reads"), b"");
        assert_eq!(input.taken(), 6);
    }

    #[test]
    fn peek_works_at_the_end_of_the_buffer() {
        let bytes: Vec<u8> = (0..=255).cycle().take(BUFFER + 100).collect();
        let mut input = Input::new(&bytes[..]);
        input.fill_buf().expect("reads");
        input.consume(BUFFER - 2);
        assert_eq!(input.peek(10).expect("reads"), &bytes[BUFFER - 2..BUFFER + 8]);
    }
}
