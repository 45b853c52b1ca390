//! What the trackers of distributions say about a vulnerability in a package of a release: how bad, and what is to come.
//!
//! Keys are `12/openssl/CVE-2024-0727`: the number of the release, the source package, the vulnerability.

use std::collections::BTreeMap;

use super::bytes::Malformed;
use super::{Damaged, is_id};
use crate::finding::Fix;
use crate::severity::Severity;

/// Version of the form of the values.
const FORM: u8 = 1;
/// Longest name of a source package, in bytes.
const MAX_NAME: usize = 128;
/// All states, by their byte less one.
const FIXES: [Fix; 8] = [
    Fix::Needed,
    Fix::Pending,
    Fix::Postponed,
    Fix::WontFix,
    Fix::Minor,
    Fix::Undetermined,
    Fix::EndOfLife,
    Fix::Unimportant,
];

/// What a tracker says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tracked {
    /// What is to become of it, while nothing fixes it.
    pub state: Option<Fix>,
    /// How bad its people find it, if they rated it.
    pub severity: Option<Severity>,
}

/// All that a tracker says that is worth keeping.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tracker {
    tracked: BTreeMap<String, Tracked>,
    /// Entries that could not be read.
    pub damaged: Damaged,
}

impl Tracker {
    /// The entries, sorted by key.
    pub fn entries(&self) -> impl Iterator<Item = (String, Vec<u8>)> {
        self.tracked.iter().map(|(key, tracked)| (key.clone(), encode(*tracked)))
    }

    /// Keeps what says anything.
    pub(super) fn add(&mut self, release: &str, package: &str, id: &str, tracked: Tracked) {
        if !is_package(package) || !is_id(id) {
            self.damaged.add(&format!("{package} {id}"));
        } else if tracked != Tracked::default() {
            self.tracked.insert(key(release, package, id), tracked);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.tracked.len()
    }
}

/// The key of an entry.
#[must_use]
pub(super) fn key(release: &str, package: &str, id: &str) -> String {
    format!("{release}/{package}/{id}")
}

fn is_package(name: &str) -> bool {
    (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_graphic() && b != b'/')
}

fn encode(tracked: Tracked) -> Vec<u8> {
    let Tracked { state, severity } = tracked;
    vec![FORM, byte(&FIXES, state), byte(&Severity::DESCENDING, severity)]
}

/// The value of an entry; none if the bytes are none.
#[must_use]
pub fn decode(bytes: &[u8]) -> Option<Tracked> {
    let [FORM, state, severity] = *bytes else { return None };
    Some(Tracked { state: value(&FIXES, state).ok()?, severity: value(&Severity::DESCENDING, severity).ok()? })
}

/// The byte of a value in a list: 0 for none.
fn byte<T: PartialEq>(all: &[T], one: Option<T>) -> u8 {
    let place = one.and_then(|one| all.iter().position(|other| *other == one));
    place.and_then(|place| u8::try_from(place + 1).ok()).unwrap_or(0)
}

/// The value of a byte, or that there is none.
fn value<T: Copy>(all: &[T], byte: u8) -> Result<Option<T>, Malformed> {
    match byte.checked_sub(1) {
        None => Ok(None),
        Some(place) => all.get(usize::from(place)).copied().map(Some).ok_or(Malformed),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_state_and_severity_has_a_byte() {
        for state in FIXES.into_iter().map(Some).chain([None]) {
            for severity in Severity::DESCENDING.into_iter().map(Some).chain([None]) {
                let tracked = Tracked { state, severity };
                assert_eq!(decode(&encode(tracked)), Some(tracked));
            }
        }
    }

    #[test]
    fn names_that_would_break_a_key_are_damaged() {
        let mut tracker = Tracker::default();
        let minor = Tracked { state: Some(Fix::Minor), severity: None };
        for (package, id) in
            [("a/b", "CVE-1"), ("", "CVE-1"), ("a", "CVE/1"), ("a b", "CVE-1"), ("gtk+3.0", "CVE-1")]
        {
            tracker.add("12", package, id, minor);
        }
        let keys: Vec<_> = tracker.entries().map(|(key, _)| key).collect();
        assert_eq!((keys, tracker.damaged.count()), (vec!["12/gtk+3.0/CVE-1".to_owned()], 4));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..5)) {
            if let Some(tracked) = decode(&bytes) {
                prop_assert_eq!(encode(tracked), bytes);
            }
        }
    }
}
