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
pub mod debian;
pub mod end_of_life;
pub mod epss;
mod input;
pub mod kev;
mod kind;
pub mod tracker;
pub mod ubuntu;

use std::collections::BTreeMap;
use std::io;

pub use kind::{CompiledOverlay, Kind};

use super::Ecosystem;

use crate::finding::{Finding, FixState};
use crate::package::{Distro, PackageType};

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
    /// What Debian's tracker says, by release, source package and CVE: see [`debian`].
    pub debian: Option<Box<dyn Overlay>>,
    /// What Ubuntu's tracker says, in the same way: see [`ubuntu`].
    pub ubuntu: Option<Box<dyn Overlay>>,
}

/// The tracker that speaks of the packages of an image.
struct TrackerOf<'a> {
    overlay: &'a dyn Overlay,
    /// The number of the release, as keys begin.
    release: String,
    /// The distribution in words.
    distribution: &'static str,
    /// What its word for how bad something is is called.
    rating: &'static str,
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
        let tracker = distro.and_then(|distro| self.tracker(distro));
        for finding in findings.iter_mut() {
            let id = &finding.vulnerability;
            let look_up = |overlay: &Option<Box<dyn Overlay>>| overlay.as_ref()?.get(id);
            finding.exploited = look_up(&self.kev).as_deref().and_then(kev::decode);
            finding.epss = look_up(&self.epss).as_deref().and_then(epss::decode);
            // Of what Python or Node packages bring, the distribution knows nothing.
            if let Some(tracker) = tracker.as_ref().filter(|_| finding.purl.starts_with("pkg:deb/")) {
                tracker.apply(finding);
            }
        }
        Finding::sort(findings);
    }

    fn tracker(&self, distro: &Distro) -> Option<TrackerOf<'_>> {
        let ecosystem = Ecosystem::all_of(PackageType::Deb, Some(distro)).ok()?.into_iter().next()?;
        let (overlay, distribution, rating) = match ecosystem.name() {
            "Debian" => (&self.debian, "Debian", "Debian urgency"),
            "Ubuntu" => (&self.ubuntu, "Ubuntu", "Ubuntu priority"),
            _ => return None,
        };
        let release = ecosystem.release()?.trim_end_matches(":LTS").to_owned();
        Some(TrackerOf { overlay: overlay.as_deref()?, release, distribution, rating })
    }
}

impl TrackerOf<'_> {
    /// A rating counts only where nobody else gave one, and a state only where nothing fixes it.
    fn apply(&self, finding: &mut Finding) {
        let source = finding.matched_as.as_deref().and_then(|text| text.split(' ').next());
        let package = source.unwrap_or(&finding.package);
        let key = tracker::key(&self.release, package, &finding.vulnerability);
        let Some(tracked) = self.overlay.get(&key).as_deref().and_then(tracker::decode) else { return };
        if let Some(severity) = tracked.severity.filter(|_| finding.severity_source.is_none()) {
            finding.severity = severity;
            finding.severity_source = Some(format!("{}: {severity}", self.rating));
        }
        if finding.fixed.is_none() {
            let source = self.distribution.to_owned();
            finding.fix_state = tracked.state.map(|state| FixState { state, source });
        }
    }
}

/// Whether a text can be the id of a vulnerability: `CVE-2021-44228`.
fn is_id(text: &str) -> bool {
    let is_of_id = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':');
    (1..=MAX_ID).contains(&text.len()) && text.bytes().all(is_of_id)
}

#[cfg(test)]
mod tests;
