//! A layer's blob, inflated. The first bytes decide how: media types lie.

use std::io::{self, Read};

use flate2::bufread::MultiGzDecoder;

use super::budget::Budget;
use super::gap::GapCause;
use super::input::Input;
use super::limits::Limits;
use super::zstd_frames::{self, ZstdFrames};

/// First bytes of a gzip member with deflate, the only method there is (RFC 1952).
const GZIP: [u8; 3] = [0x1f, 0x8b, 8];

/// The uncompressed bytes of a blob, counted and bounded.
pub(super) struct Inflate<R> {
    decoder: Decoder<R>,
    inflated: u64,
    limits: Bounds,
}

/// A limit ended the stream; carried through `io::Error`.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub(super) struct Stopped(pub(super) GapCause);

impl From<Stopped> for io::Error {
    fn from(stopped: Stopped) -> Self {
        Self::other(stopped)
    }
}

/// The part of [`Limits`] that bounds the output.
struct Bounds {
    inflated: u64,
    ratio: u64,
    grace: u64,
}

enum Decoder<R> {
    Plain(Input<R>),
    Gzip(Box<MultiGzDecoder<Input<R>>>),
    Zstd(Box<ZstdFrames<R>>),
}

impl<R: Read> Inflate<R> {
    /// Looks at the first bytes and chooses the decoder.
    pub(super) fn new(mut input: Input<R>, limits: &Limits, budget: &Budget) -> io::Result<Self> {
        // A stream that fails at once fails again at the first read, where errors are looked at.
        let magic = input.peek(4).unwrap_or_default();
        let decoder = match magic.first_chunk::<4>() {
            Some(magic) if magic.starts_with(&GZIP) => Decoder::Gzip(Box::new(MultiGzDecoder::new(input))),
            Some(magic) if *magic == zstd_frames::MAGIC || zstd_frames::is_skippable(*magic) => {
                Decoder::Zstd(Box::new(ZstdFrames::new(input, limits, budget)?))
            }
            _ => Decoder::Plain(input),
        };
        let limits = Bounds { inflated: limits.inflated, ratio: limits.ratio, grace: limits.ratio_grace };
        Ok(Self { decoder, inflated: 0, limits })
    }

    /// The stream below, for what the decoder did not take.
    pub(super) fn into_input(self) -> Input<R> {
        match self.decoder {
            Decoder::Plain(input) => input,
            Decoder::Gzip(decoder) => decoder.into_inner(),
            Decoder::Zstd(decoder) => decoder.into_input(),
        }
    }

    fn check(&self) -> Result<(), Stopped> {
        let Bounds { inflated, ratio, grace } = self.limits;
        if self.inflated > inflated {
            let why = format!("the layer has more than {inflated} bytes; what comes after was not read");
            return Err(Stopped(GapCause::Limit(why)));
        }
        if self.inflated > grace && self.inflated / ratio.max(1) > self.taken() {
            let why = format!(
                "the layer inflates to more than {ratio} times its size; what comes after {} bytes was not read",
                self.inflated
            );
            return Err(Stopped(GapCause::Limit(why)));
        }
        Ok(())
    }

    fn taken(&self) -> u64 {
        match &self.decoder {
            Decoder::Plain(input) => input.taken(),
            Decoder::Gzip(decoder) => decoder.get_ref().taken(),
            Decoder::Zstd(decoder) => decoder.input().taken(),
        }
    }
}

impl<R: Read> Read for Inflate<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.check()?;
        let count = match &mut self.decoder {
            Decoder::Plain(input) => input.read(buf),
            Decoder::Gzip(decoder) => decoder.read(buf),
            Decoder::Zstd(decoder) => decoder.read(buf),
        }?;
        self.inflated = self.inflated.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use proptest::prelude::*;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).expect("to memory");
        encoder.finish().expect("to memory")
    }

    fn zstd(bytes: &[u8], window_log: u32) -> Vec<u8> {
        let mut encoder = zstd::Encoder::new(Vec::new(), 1).expect("to memory");
        encoder.window_log(window_log).expect("valid");
        encoder.write_all(bytes).expect("to memory");
        encoder.finish().expect("to memory")
    }

    fn inflate(blob: &[u8], limits: &Limits, budget: &Budget) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        Inflate::new(Input::new(blob), limits, budget)?.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn plainly(blob: &[u8]) -> io::Result<Vec<u8>> {
        inflate(blob, &Limits::default(), &Budget::new(64 << 20))
    }

    fn stopped(result: io::Result<Vec<u8>>) -> GapCause {
        let Err(error) = result else { panic!("must stop") };
        error.get_ref().and_then(|e| e.downcast_ref::<Stopped>()).expect("a limit").0.clone()
    }

    #[test]
    fn members_and_frames_are_read_to_the_last() {
        assert_eq!(plainly(&[gzip(b"one "), gzip(b"two")].concat()).expect("valid"), b"one two");
        let skippable = [&0x184d_2a53_u32.to_le_bytes()[..], &3_u32.to_le_bytes(), b"xyz"].concat();
        let frames = [&skippable[..], &zstd(b"one ", 20), &skippable, &zstd(b"two", 20), &skippable].concat();
        assert_eq!(plainly(&frames).expect("valid"), b"one two");
        assert_eq!(plainly(b"neither").expect("valid"), b"neither");
        assert_eq!(plainly(b"").expect("valid"), b"");
    }

    #[test]
    fn a_cut_stream_is_an_error() {
        for blob in [gzip(&[7; 5000]), zstd(&[7; 5000], 20)] {
            assert!(plainly(&blob[..blob.len() - 1]).is_err());
        }
    }

    #[test]
    fn large_windows_ask_the_budget_and_larger_ones_are_refused() {
        let bytes: Vec<u8> = (0..100_u8).cycle().take(300_000).collect();
        let blob = zstd(&bytes, 25);
        let limits = Limits { memory_wait: std::time::Duration::ZERO, ..Limits::default() };
        assert_eq!(inflate(&blob, &limits, &Budget::new(32 << 20)).expect("granted"), bytes);
        let small = inflate(&blob, &limits, &Budget::new(16 << 20));
        assert_eq!(stopped(small), GapCause::NeedsMemory { bytes: 32 << 20 });
        let limits = Limits { window: 16 << 20, ..limits };
        let cause = stopped(inflate(&blob, &limits, &Budget::new(64 << 20)));
        assert_eq!(cause.to_string(), "its zstd window of 33554432 bytes is over the limit of 16777216");
    }

    #[test]
    fn a_window_is_given_back_after_its_frame() {
        let budget = Budget::new(32 << 20);
        let bytes = vec![1; 100_000];
        let frames = [zstd(&bytes, 25), zstd(&bytes, 25)].concat();
        assert_eq!(inflate(&frames, &Limits::default(), &budget).expect("granted").len(), 200_000);
        assert_eq!(budget.free(), 32 << 20);
    }

    #[test]
    fn a_bomb_is_stopped_by_its_ratio_or_size() {
        let limits = Limits { ratio: 100, ratio_grace: 100_000, ..Limits::default() };
        let budget = Budget::new(1 << 20);
        let cause = stopped(inflate(&gzip(&vec![0; 4_000_000]), &limits, &budget));
        assert!(matches!(cause, GapCause::Limit(_)), "{cause}");
        let limits = Limits { inflated: 100_000, ..Limits::default() };
        let cause = stopped(inflate(&gzip(&vec![0; 4_000_000]), &limits, &budget));
        assert!(matches!(cause, GapCause::Limit(_)), "{cause}");
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_end_as_bytes_or_an_error(
            magic in prop::sample::select(vec![&[0x1f, 0x8b, 8, 0][..], &[0x28, 0xb5, 0x2f, 0xfd], &[0x50, 0x2a, 0x4d, 0x18], &[]]),
            rest in prop::collection::vec(any::<u8>(), 0..300),
        ) {
            let limits = Limits { inflated: 1 << 20, memory_wait: std::time::Duration::ZERO, ..Limits::default() };
            let blob = [magic, &rest].concat();
            if let Ok(bytes) = inflate(&blob, &limits, &Budget::new(1 << 20)) {
                prop_assert!(bytes.len() < 2 << 20);
            }
        }
    }
}
