//! Checksums: the digest that a file gets, and the one that some servers send along.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::Md5;
use reqwest::header::{HeaderMap, HeaderName};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::image::Digest;

/// `Content-MD5`, of the body that is sent. RFC 1864.
const CONTENT_MD5: HeaderName = HeaderName::from_static("content-md5");
/// Of the whole object, as Google's buckets send it: `crc32c=…` and `md5=…`, in one header or two.
const GOOG_HASH: HeaderName = HeaderName::from_static("x-goog-hash");
/// How the object lies in the bucket, which is what the sums above are of.
const GOOG_STORED_ENCODING: HeaderName = HeaderName::from_static("x-goog-stored-content-encoding");

/// A sum against damage on the way, not against malice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Md5Sum([u8; 16]);

/// The sums of what has come.
#[derive(Clone, Default)]
pub(super) struct Sums {
    sha256: Sha256,
    md5: Md5,
}

impl Sums {
    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        self.md5.update(bytes);
    }

    pub(super) fn sha256(&self) -> Digest {
        Digest::from_hash(&self.sha256.clone().finalize().into())
    }

    pub(super) fn md5(&self) -> Md5Sum {
        Md5Sum(self.md5.clone().finalize().into())
    }
}

/// What a server says that the whole file adds up to; `is_whole` if the body is the whole file.
pub(super) fn md5_of_headers(headers: &HeaderMap, is_whole: bool) -> Option<Md5Sum> {
    let stored = headers.get(GOOG_STORED_ENCODING);
    if stored.is_none_or(|encoding| encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        let sums = headers.get_all(GOOG_HASH).iter().filter_map(|value| value.to_str().ok());
        let sum = sums.flat_map(|text| text.split(',')).find_map(|one| one.trim().strip_prefix("md5="));
        if let Some(sum) = sum.and_then(parse) {
            return Some(sum);
        }
    }
    headers.get(CONTENT_MD5).filter(|_| is_whole).and_then(|value| parse(value.to_str().ok()?))
}

fn parse(text: &str) -> Option<Md5Sum> {
    STANDARD.decode(text.trim()).ok()?.try_into().ok().map(Md5Sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of `hello`, by md5sum.
    const HELLO: &str = "XUFAKrxLKna5cZ2REBfFkg==";

    fn found(pairs: &[(&'static str, &str)], is_whole: bool) -> bool {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().expect("a header"));
        }
        let mut sums = Sums::default();
        sums.update(b"hel");
        sums.update(b"lo");
        md5_of_headers(&headers, is_whole) == Some(sums.md5())
    }

    #[test]
    fn the_sum_of_a_bucket_is_found_in_one_header_or_two() {
        let md5 = format!("md5={HELLO}");
        assert!(found(&[("x-goog-hash", "crc32c=mnG7TA=="), ("x-goog-hash", &md5)], false));
        assert!(found(&[("x-goog-hash", &format!("crc32c=mnG7TA==, {md5}"))], true));
        assert!(found(&[("x-goog-hash", &md5), ("x-goog-stored-content-encoding", "identity")], true));
        assert!(!found(&[("x-goog-hash", &md5), ("x-goog-stored-content-encoding", "gzip")], true));
        assert!(!found(&[("x-goog-hash", "crc32c=mnG7TA==")], true));
    }

    #[test]
    fn content_md5_is_of_the_body_and_so_of_no_use_for_a_range() {
        assert!(found(&[("content-md5", HELLO)], true));
        assert!(!found(&[("content-md5", HELLO)], false));
        assert!(!found(&[("content-md5", "hello")], true));
    }
}
