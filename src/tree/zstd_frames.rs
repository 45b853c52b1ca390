//! zstd streams, frame by frame, so that a window is known before it is allocated (RFC 8878, section 3.1).

use std::io::{self, BufRead, Read};

use zstd::stream::raw::{DParameter, Decoder, Operation as _};

use super::budget::{Budget, Grant};
use super::gap::GapCause;
use super::inflate::Stopped;
use super::input::Input;
use super::limits::Limits;

/// Magic number of a frame.
pub(super) const MAGIC: [u8; 4] = 0xfd2f_b528_u32.to_le_bytes();
/// Longest frame header, magic number included.
const HEADER: usize = 18;

/// Whether four bytes begin a frame that holds no data: `0x184d2a5?`.
pub(super) fn is_skippable(magic: [u8; 4]) -> bool {
    u32::from_le_bytes(magic) & 0xffff_fff0 == 0x184d_2a50
}

/// Decodes concatenated frames.
pub(super) struct ZstdFrames<R> {
    input: Input<R>,
    decoder: Decoder<'static>,
    is_in_frame: bool,
    large_window: Option<Grant>,
    small_window: u64,
    window: u64,
    wait: std::time::Duration,
    budget: Budget,
}

impl<R: Read> ZstdFrames<R> {
    pub(super) fn new(input: Input<R>, limits: &Limits, budget: &Budget) -> io::Result<Self> {
        Ok(Self {
            input,
            decoder: decoder(limits.window)?,
            is_in_frame: false,
            large_window: None,
            small_window: limits.small_window,
            window: limits.window,
            wait: limits.memory_wait,
            budget: budget.clone(),
        })
    }

    pub(super) fn input(&self) -> &Input<R> {
        &self.input
    }

    pub(super) fn into_input(self) -> Input<R> {
        self.input
    }

    /// Goes to the next frame that holds data. False at the end of the stream.
    fn begin_frame(&mut self) -> io::Result<bool> {
        loop {
            let header = self.input.peek(HEADER)?;
            if header.is_empty() {
                return Ok(false);
            }
            let Some((&magic, rest)) = header.split_first_chunk::<4>() else { return Err(truncated()) };
            if is_skippable(magic) {
                let Some((&size, _)) = rest.split_first_chunk::<4>() else { return Err(truncated()) };
                self.skip(8 + u64::from(u32::from_le_bytes(size)))?;
                continue;
            }
            if magic != MAGIC {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "what follows a frame is none"));
            }
            let window = window_size(rest).ok_or_else(truncated)?;
            if window > self.window {
                let why = format!("its zstd window of {window} bytes is over the limit of {}", self.window);
                return Err(Stopped(GapCause::Limit(why)).into());
            }
            if window > self.small_window {
                let grant = self.budget.acquire_window(window, self.wait).map_err(Stopped)?;
                self.large_window = Some(grant);
            }
            self.is_in_frame = true;
            return Ok(true);
        }
    }

    fn end_frame(&mut self) -> io::Result<()> {
        self.is_in_frame = false;
        if self.large_window.is_some() {
            // The decoder keeps its largest window for the next frame; a new one has none.
            self.decoder = decoder(self.window)?;
            self.large_window = None;
        }
        Ok(())
    }

    fn skip(&mut self, mut count: u64) -> io::Result<()> {
        while count > 0 {
            let available = self.input.fill_buf()?.len();
            if available == 0 {
                return Err(truncated());
            }
            let step = usize::try_from(count).unwrap_or(usize::MAX).min(available);
            self.input.consume(step);
            count = count.saturating_sub(u64::try_from(step).unwrap_or(u64::MAX));
        }
        Ok(())
    }
}

impl<R: Read> Read for ZstdFrames<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        loop {
            if !self.is_in_frame && !self.begin_frame()? {
                return Ok(0);
            }
            let source = self.input.fill_buf()?;
            let is_end = source.is_empty();
            let status = self.decoder.run_on_buffers(source, buf)?;
            self.input.consume(status.bytes_read);
            if status.remaining == 0 {
                self.end_frame()?;
            }
            if status.bytes_written > 0 {
                return Ok(status.bytes_written);
            }
            if status.remaining > 0 && (is_end || status.bytes_read == 0) {
                return Err(truncated());
            }
        }
    }
}

fn decoder(window: u64) -> io::Result<Decoder<'static>> {
    let mut decoder = Decoder::new()?;
    // libzstd takes 10 to 31; what it refuses beyond this is what `begin_frame` has refused before.
    decoder.set_parameter(DParameter::WindowLogMax(window.max(1024).ilog2().min(31)))?;
    Ok(decoder)
}

/// The memory that a frame asks for, from what follows its magic number. None if the header is cut short.
fn window_size(header: &[u8]) -> Option<u64> {
    let descriptor = *header.first()?;
    let is_single_segment = descriptor & 0x20 != 0;
    if !is_single_segment {
        let window = *header.get(1)?;
        let base = 1_u64 << (10 + (window >> 3));
        return Some(base + base / 8 * u64::from(window & 7));
    }
    let dictionary_id = [0, 1, 2, 4][usize::from(descriptor & 3)];
    let content = header.get(1 + dictionary_id..)?;
    Some(match descriptor >> 6 {
        0 => u64::from(*content.first()?),
        1 => u64::from(u16::from_le_bytes(*content.first_chunk()?)) + 256,
        2 => u64::from(u32::from_le_bytes(*content.first_chunk()?)),
        _ => u64::from_le_bytes(*content.first_chunk()?),
    })
}

fn truncated() -> io::Error {
    io::ErrorKind::UnexpectedEof.into()
}
