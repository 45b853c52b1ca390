//! Plain files over HTTPS, as a mirror of the public OSV bucket lays them out: `<base>/Debian/all.zip`.
//!
//! What was fetched before is not fetched again while the server says that it has not changed, and what was begun is
//! gone on with. Nothing here knows what the files hold: who unpacks a zip verifies it by the sums in it.

mod address;
mod download;
mod error;
mod exchange;
mod record;
mod sums;

use std::fmt;
use std::path::Path;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use address::Address;
use download::{Download, Order};

pub use error::MirrorError;

use crate::image::Digest;
use crate::registry::{Settings, build_client};

/// Largest file that is read into memory, in bytes.
const SMALL_LIMIT: usize = 1024 * 1024;

/// The way to one mirror. Cheap to clone; clones share connections.
#[derive(Clone, Debug)]
pub struct Mirror {
    client: reqwest::Client,
    address: Address,
    settings: Settings,
}

/// By what a server knows a version of a file again. RFC 9110, section 8.8.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Validators {
    /// `ETag`, as it was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// `Last-Modified`, as it was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_modified: Option<String>,
}

/// What became of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fetched {
    /// The server has the version that is known already. Nothing was written.
    NotModified,
    /// The file is in its place.
    Complete {
        /// What to show the next time.
        validators: Validators,
        /// Its size in bytes.
        size: u64,
        /// Its digest.
        sha256: Digest,
    },
}

impl fmt::Display for Mirror {
    /// The address, without name and password, and without a slash at the end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.address.as_str())
    }
}

impl Mirror {
    /// Sets up the way to a mirror: an HTTPS address with any path. Connects to nothing.
    ///
    /// Plain HTTP is spoken only to hosts that the settings allow it for. A name and password in the address are sent to
    /// that server and to no other.
    pub fn new(base: &str, settings: Settings) -> Result<Self, MirrorError> {
        let address = Address::parse(base, &settings.plain_http)?;
        let client = build_client(&settings).map_err(MirrorError::Settings)?;
        Ok(Self { client, address, settings })
    }

    /// Downloads a file of the mirror, named by the parts of its path, into one whose folder must be there.
    ///
    /// With the validators of a version that is `known`, nothing is sent if it has not changed. What came before an
    /// interruption lies in `NAME.part` (and what the server said about it in `NAME.part.json`); the next call goes on
    /// with it if the server still has the same version, and begins anew otherwise. A file that was there before is
    /// replaced only by a whole one. `progress` is told how many bytes are there.
    pub async fn fetch(
        &self,
        path: &[&str],
        known: Option<&Validators>,
        into: &Path,
        max_bytes: u64,
        progress: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<Fetched, MirrorError> {
        let url = self.address.of(path)?;
        Download::begin(self, Order { url, known, into, max_bytes, progress }).await?.run().await
    }

    /// Reads a file of at most 1 MiB.
    pub async fn small(&self, path: &[&str]) -> Result<Bytes, MirrorError> {
        self.read(&self.address.of(path)?, SMALL_LIMIT).await
    }
}
