//! What the tests of all stores are made of.

use jiff::Timestamp;

use super::{About, Entry};
use crate::image::{Digest, ImageKey, Platform};

/// Names and versions of analysers.
pub(super) const ANALYSERS: &str = "os-release/1,dpkg/1";

pub(super) fn key(number: u32, platform: &str) -> ImageKey {
    let mut parts = platform.splitn(3, '/').map(ToOwned::to_owned);
    let platform = Platform {
        os: parts.next().expect("an os"),
        architecture: parts.next().expect("an architecture"),
        variant: parts.next(),
    };
    ImageKey { digest: Digest::of(&number.to_be_bytes()), platform }
}

/// An entry whose document is another for each number.
pub(super) fn entry(number: u32, platform: &str) -> Entry {
    let key = key(number, platform);
    let document =
        format!(r#"{{"bomFormat":"CycloneDX","specVersion":"1.5","version":{number}}}"#).into_bytes();
    let now = Timestamp::now();
    let about = About {
        manifest: Some(key.digest.clone()),
        config: None,
        reference: "registry.test/shop/cart:1".parse().expect("a reference"),
        reader: "volume".to_owned(),
        generator: "kubectl-clarity 0.1.0".to_owned(),
        analysers: ANALYSERS.to_owned(),
        packages: 3,
        document: Digest::of(&document),
        stored: 0,
        created: now,
        used: now,
        key,
    };
    Entry { about, document }
}

/// The same entry made by other analysers.
pub(super) fn remade(entry: &Entry, analysers: &str) -> Entry {
    let document = [&entry.document[..], analysers.as_bytes()].concat();
    let about =
        About { analysers: analysers.to_owned(), document: Digest::of(&document), ..entry.about.clone() };
    Entry { about, document }
}
