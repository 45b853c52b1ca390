//! The form in which stores keep an entry: what is known of it as JSON, the document as zstd; and the names that they go by.
//!
//! Whoever can write to a store can write anything there, so what is read is bounded before it is held, and checked before it
//! is believed.

use std::io::{self, Read as _};

use serde::{Deserialize, Serialize};

use super::{About, Entry};
use crate::image::{Digest, ImageKey};

/// Changes when a reader must.
const VERSION: u32 = 1;
/// Most bytes of what is known of an entry, as JSON. Real ones have less than 2 KiB.
pub(super) const MAX_HEADER: usize = 16 << 10;
/// Most bytes of a document: no more are read of any bill of materials.
pub(super) const MAX_DOCUMENT: usize = 64 << 20;
/// Most bytes of a document as it is stored.
pub(super) const MAX_PACKED: usize = 32 << 20;
/// Window of zstd that is decoded, as a power of two: that of the largest document.
const MAX_WINDOW_LOG: u32 = 26;
/// Documents are written once and read often.
const LEVEL: i32 = 9;
/// Longest part of a platform's name. The longest real one is `mips64p32le`.
const MAX_PART: usize = 32;

/// Something is no entry, or cannot become one.
#[derive(Debug, thiserror::Error)]
pub(super) enum FormError {
    #[error("what it says of itself cannot be read")]
    Header(#[source] serde_json::Error),
    #[error("it says too much of itself")]
    LongHeader,
    #[error("its form has version {0}, and {VERSION} is known here")]
    Version(u32),
    #[error("it says of itself that it is {0}")]
    OtherKey(ImageKey),
    #[error("the platform {0:?} cannot be part of a name")]
    Platform(String),
    #[error("it has {found} bytes in the place of {expected}")]
    Size { expected: u64, found: u64 },
    #[error("its document cannot be unpacked")]
    Zstd(#[source] io::Error),
    #[error("its document is larger than {} MiB", MAX_DOCUMENT >> 20)]
    LargeDocument,
    #[error("its document is larger than {} MiB as it is stored", MAX_PACKED >> 20)]
    LargePacked,
    #[error("its document has the digest {found} in the place of {expected}")]
    Digest { expected: Digest, found: Digest },
}

#[derive(Serialize)]
struct HeaderOut<'a> {
    version: u32,
    about: &'a About,
}

#[derive(Deserialize)]
struct HeaderVersion {
    version: u32,
}

#[derive(Deserialize)]
struct HeaderIn {
    about: About,
}

/// An entry ready to be stored.
pub(super) struct Packed {
    /// What is known of it, with the true size, as one line of JSON without its end.
    pub(super) header: String,
    /// The document as zstd.
    pub(super) document: Vec<u8>,
}

/// What an entry is called in every store: the hex digest and the platform, `HEX-linux-arm64-v8`. None if the platform is one
/// that no runtime has: names are made of it.
pub(super) fn name(key: &ImageKey) -> Result<String, FormError> {
    let platform = &key.platform;
    let parts = [Some(&platform.os), Some(&platform.architecture), platform.variant.as_ref()];
    let mut name = key.digest.hex().to_owned();
    for part in parts.into_iter().flatten() {
        if !is_part(part) {
            return Err(FormError::Platform(platform.to_string().chars().take(100).collect()));
        }
        name.push('-');
        name.push_str(part);
    }
    Ok(name)
}

/// Whether text can be part of a file's name and of an object's: no separators, no capitals, and dots only within.
fn is_part(text: &str) -> bool {
    let is_word = |word: &str| {
        !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    text.len() <= MAX_PART && text.split('.').all(is_word)
}

/// Packs an entry.
pub(super) fn pack(entry: &Entry) -> Result<Packed, FormError> {
    let Entry { about, document } = entry;
    check_document(about, document)?;
    let packed = zstd::bulk::compress(document, LEVEL).map_err(FormError::Zstd)?;
    if packed.len() > MAX_PACKED {
        return Err(FormError::LargePacked);
    }
    let about = About { stored: packed.len() as u64, ..about.clone() };
    Ok(Packed { header: header(&about)?, document: packed })
}

/// What is known of an entry, as it is stored.
pub(super) fn header(about: &About) -> Result<String, FormError> {
    let header = serde_json::to_string(&HeaderOut { version: VERSION, about });
    let header = header.map_err(FormError::Header)?;
    if header.len() > MAX_HEADER { Err(FormError::LongHeader) } else { Ok(header) }
}

/// Reads what an entry says of itself, which must be of this name.
pub(super) fn read_header(header: &[u8], expected: &str) -> Result<About, FormError> {
    if header.len() > MAX_HEADER {
        return Err(FormError::LongHeader);
    }
    let HeaderVersion { version } = serde_json::from_slice(header).map_err(FormError::Header)?;
    if version != VERSION {
        return Err(FormError::Version(version));
    }
    let HeaderIn { about } = serde_json::from_slice(header).map_err(FormError::Header)?;
    if name(&about.key)? != expected {
        return Err(FormError::OtherKey(about.key));
    }
    if about.stored > MAX_PACKED as u64 {
        return Err(FormError::LargePacked);
    }
    Ok(about)
}

/// Unpacks and checks a document.
pub(super) fn unpack(about: &About, packed: &[u8]) -> Result<Vec<u8>, FormError> {
    check_size(about, packed.len() as u64)?;
    let mut decoder = zstd::Decoder::with_buffer(packed).map_err(FormError::Zstd)?;
    decoder.window_log_max(MAX_WINDOW_LOG).map_err(FormError::Zstd)?;
    let mut document = Vec::new();
    decoder.take(MAX_DOCUMENT as u64 + 1).read_to_end(&mut document).map_err(FormError::Zstd)?;
    check_document(about, &document)?;
    Ok(document)
}

/// Whether as many bytes are there as should be.
pub(super) fn check_size(about: &About, found: u64) -> Result<(), FormError> {
    if about.stored == found { Ok(()) } else { Err(FormError::Size { expected: about.stored, found }) }
}

/// Whether a document is that of an entry.
pub(super) fn check_document(about: &About, document: &[u8]) -> Result<(), FormError> {
    if document.len() > MAX_DOCUMENT {
        return Err(FormError::LargeDocument);
    }
    let found = Digest::of(document);
    if found == about.document {
        return Ok(());
    }
    Err(FormError::Digest { expected: about.document.clone(), found })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::cache::tests::{entry, key};

    #[test]
    fn an_entry_comes_back_as_it_was() {
        let entry = entry(1, "linux/arm64/v8");
        let packed = pack(&entry).expect("packed");
        let name = name(&entry.about.key).expect("a name");
        assert_eq!(name, format!("{}-linux-arm64-v8", entry.about.key.digest.hex()));
        let about = read_header(packed.header.as_bytes(), &name).expect("read");
        assert_eq!(about, About { stored: packed.document.len() as u64, ..entry.about.clone() });
        assert_eq!(unpack(&about, &packed.document).expect("unpacked"), entry.document);
    }

    #[test]
    fn platforms_that_would_leave_the_folder_or_be_taken_for_others_have_no_name() {
        for (platform, has_name) in [
            ("linux/amd64", true),
            ("linux/arm/v8.1", true),
            ("linux/../x", false),
            ("Linux/amd64", false),
            ("linux/a-b", false),
            ("linux/a_b", false),
            ("linux/", false),
            ("linux/a.", false),
            ("linux/amd64\0", false),
        ] {
            assert_eq!(name(&key(1, platform)).is_ok(), has_name, "{platform:?}");
        }
        assert!(name(&key(1, &format!("linux/{}", "a".repeat(33)))).is_err());
    }

    #[test]
    fn a_document_that_inflates_without_end_is_refused() {
        let mut entry = entry(1, "linux/amd64");
        let bomb = zstd::bulk::compress(&vec![b' '; MAX_DOCUMENT + 1], 1).expect("in memory");
        entry.about.stored = bomb.len() as u64;
        assert!(matches!(unpack(&entry.about, &bomb), Err(FormError::LargeDocument)));
        entry.document = vec![b' '; MAX_DOCUMENT + 1];
        assert!(matches!(pack(&entry), Err(FormError::LargeDocument)));
    }

    #[test]
    fn a_form_of_another_version_is_named_and_not_read() {
        let error = read_header(br#"{"version":2,"entry":{}}"#, "x").expect_err("another form");
        assert_eq!(error.to_string(), "its form has version 2, and 1 is known here");
    }

    #[test]
    fn an_entry_whose_digest_is_another_is_not_stored() {
        let mut entry = entry(1, "linux/amd64");
        entry.document.push(b' ');
        assert!(matches!(pack(&entry), Err(FormError::Digest { .. })));
    }

    proptest! {
        #[test]
        fn hostile_headers_and_documents_are_errors_and_no_panics(
            header in proptest::collection::vec(any::<u8>(), 0..300),
            packed in proptest::collection::vec(any::<u8>(), 0..300),
            at in any::<proptest::sample::Index>(),
            byte in any::<u8>(),
        ) {
            prop_assert!(read_header(&header, "x").is_err());
            let entry = entry(2, "linux/amd64");
            let mut good = pack(&entry).expect("packed");
            let about = About { stored: packed.len() as u64, ..entry.about.clone() };
            prop_assert!(unpack(&about, &packed).is_err());
            let at = at.index(good.document.len());
            good.document[at] = byte;
            // A bit that does not matter to zstd may differ; the document may not.
            let about = About { stored: good.document.len() as u64, ..entry.about.clone() };
            if let Ok(document) = unpack(&about, &good.document) {
                prop_assert_eq!(document, entry.document);
            }
        }
    }
}
