//! Numbers and texts as they stand in index files: lengths before contents, numbers in the variable length of LEB128.
//!
//! Whatever is read comes from a file that anybody may have written, so each length is held against what is left.

/// What is written one after the other.
#[derive(Debug, Default)]
pub(super) struct Encoder(Vec<u8>);

/// What is left to be read.
#[derive(Clone, Debug)]
pub(super) struct Decoder<'a>(&'a [u8]);

impl Encoder {
    pub(super) fn number(&mut self, number: usize) {
        let mut rest = number;
        while rest >= 0x80 {
            self.0.push(u8::try_from(rest & 0x7f).unwrap_or_default() | 0x80);
            rest >>= 7;
        }
        self.0.push(u8::try_from(rest).unwrap_or_default());
    }

    pub(super) fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }

    /// A number of fixed width, little-endian.
    pub(super) fn word(&mut self, word: u32) {
        self.0.extend_from_slice(&word.to_le_bytes());
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len());
        self.0.extend_from_slice(bytes);
    }

    pub(super) fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    /// A list of texts, their number first.
    pub(super) fn texts<T: AsRef<str>>(&mut self, texts: impl ExactSizeIterator<Item = T>) {
        self.number(texts.len());
        for text in texts {
            self.text(text.as_ref());
        }
    }

    /// What was written elsewhere, without its length.
    pub(super) fn append(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    pub(super) fn into_vec(self) -> Vec<u8> {
        self.0
    }
}

impl<'a> Decoder<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many bytes are left.
    pub(super) fn length(&self) -> usize {
        self.0.len()
    }

    pub(super) fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// At most five bytes: nothing that is counted here is larger than 4 GiB.
    pub(super) fn number(&mut self) -> Option<usize> {
        let mut number: u64 = 0;
        for shift in [0, 7, 14, 21, 28] {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return usize::try_from(number).ok();
            }
        }
        None
    }

    pub(super) fn word(&mut self) -> Option<u32> {
        let (word, rest) = self.0.split_first_chunk::<4>()?;
        self.0 = rest;
        Some(u32::from_le_bytes(*word))
    }

    pub(super) fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = self.number()?;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    pub(super) fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    /// A number of things of which each takes at least one byte.
    pub(super) fn count(&mut self) -> Option<usize> {
        self.number().filter(|count| *count <= self.0.len())
    }

    pub(super) fn texts(&mut self) -> Option<Vec<&'a str>> {
        let count = self.count()?;
        (0..count).map(|_| self.text()).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_length_beyond_the_end_is_refused() {
        assert_eq!(Decoder::new(&[5, b'a']).bytes(), None);
        assert_eq!(Decoder::new(&[200, 1]).count(), None);
        assert_eq!(Decoder::new(&[0x80, 0x80, 0x80, 0x80, 0x80, 1]).number(), None);
        assert_eq!(Decoder::new(&[1, 0xff]).text(), None);
        assert_eq!(Decoder::new(&[]).byte(), None);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            numbers in prop::collection::vec(0_usize..=u32::MAX as usize, 0..9),
            texts in prop::collection::vec("\\PC{0,9}", 0..9),
            word in any::<u32>(),
        ) {
            let mut encoder = Encoder::default();
            for number in &numbers {
                encoder.number(*number);
            }
            encoder.texts(texts.iter());
            encoder.word(word);
            let bytes = encoder.into_vec();
            let mut decoder = Decoder::new(&bytes);
            for number in numbers {
                prop_assert_eq!(decoder.number(), Some(number));
            }
            prop_assert_eq!(decoder.texts(), Some(texts.iter().map(String::as_str).collect()));
            prop_assert_eq!(decoder.word(), Some(word));
            prop_assert!(decoder.is_empty());
        }
    }
}
