//! What is laid over findings: that a vulnerability is exploited, how likely that is, and what a distribution's tracker
//! says about it.
//!
//! ```text
//! raw document -> kev::Catalog, epss::Scores, tracker::Tracker -> entries (key, bytes) -> an index on disk
//! finding -> key -> Overlay::get -> bytes -> decode -> a field of the finding
//! ```
//!
//! The documents are strangers' and may be damaged: an entry that cannot be read is counted and named, and the others
//! are used. Everything here is pure; whoever keeps the entries implements [`Overlay`].

mod bytes;
pub mod end_of_life;
pub mod epss;
mod input;
pub mod kev;

use std::collections::BTreeMap;
use std::io;

use crate::finding::Finding;
use crate::package::Distro;

/// Longest id of a vulnerability that is read, in bytes.
const MAX_ID: usize = 64;
/// How many damaged entries are named.
const MAX_NAMED: usize = 5;

/// Where the entries of an overlay are looked up, whoever keeps them.
pub trait Overlay: Send + Sync {
    /// The value of a key; none if there is no such entry.
    fn get(&self, key: &str) -> Option<Vec<u8>>;
}

impl Overlay for BTreeMap<String, Vec<u8>> {
    fn get(&self, key: &str) -> Option<Vec<u8>> {
        BTreeMap::get(self, key).cloned()
    }
}

/// All that is laid over findings. What is not there says nothing.
#[derive(Default)]
pub struct Overlays {
    /// Vulnerabilities that are known to be exploited, by CVE: see [`kev`].
    pub kev: Option<Box<dyn Overlay>>,
    /// How likely vulnerabilities are to be exploited, by CVE: see [`epss`].
    pub epss: Option<Box<dyn Overlay>>,
}

/// A document that gives no overlay.
#[derive(Debug, thiserror::Error)]
pub enum OverlayError {
    /// Its bytes cannot be had.
    #[error("cannot read {what}")]
    Read {
        /// Which document.
        what: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is no JSON, or ends too early.
    #[error("{what} cannot be read as JSON")]
    Json {
        /// Which document.
        what: &'static str,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// It is something else.
    #[error("this is not {what}: {problem}")]
    Form {
        /// Which document.
        what: &'static str,
        /// How that shows.
        problem: &'static str,
    },
    /// It holds more than any real one.
    #[error("{what} has more than {limit} entries")]
    TooMany {
        /// Which document.
        what: &'static str,
        /// How many are accepted.
        limit: usize,
    },
}

/// Entries of a document that could not be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Damaged {
    count: usize,
    named: Vec<String>,
}

impl Damaged {
    /// Adds an entry by whatever it is known by.
    fn add(&mut self, name: &str) {
        self.count += 1;
        if self.named.len() < MAX_NAMED {
            self.named.push(name.chars().filter(|c| !c.is_control()).take(MAX_ID).collect());
        }
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// A note about them: `3 entries of the EPSS scores cannot be read: CVE-1, CVE-2, CVE-3`. None if there are none.
    #[must_use]
    pub fn note(&self, what: &str) -> Option<String> {
        let more = match self.count.saturating_sub(self.named.len()) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let entries = if self.count == 1 { "1 entry".to_owned() } else { format!("{} entries", self.count) };
        let names = self.named.join(", ");
        (self.count > 0).then(|| format!("{entries} of {what} cannot be read: {names}{more}"))
    }
}

impl Overlays {
    /// Lays everything over the findings of an image, and sorts them anew.
    pub fn apply(&self, findings: &mut [Finding], distro: Option<&Distro>) {
        let _ = distro;
        for finding in findings.iter_mut() {
            let id = &finding.vulnerability;
            let look_up = |overlay: &Option<Box<dyn Overlay>>| overlay.as_ref()?.get(id);
            finding.exploited = look_up(&self.kev).as_deref().and_then(kev::decode);
            finding.epss = look_up(&self.epss).as_deref().and_then(epss::decode);
        }
        Finding::sort(findings);
    }
}

/// Whether a text can be the id of a vulnerability: `CVE-2021-44228`.
fn is_id(text: &str) -> bool {
    let is_of_id = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':');
    (1..=MAX_ID).contains(&text.len()) && text.bytes().all(is_of_id)
}

#[cfg(test)]
mod tests;
