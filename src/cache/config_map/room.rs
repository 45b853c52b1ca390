//! What takes room in a namespace, and what goes when there is too little. Pure but for the clock.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::super::About;
use super::super::budget::{Held, Limits, surplus};
use super::object::{Objects, Seen};
use crate::cluster::{Owned, PART_BYTES};

/// Most entries of a namespace: who lists them gets some 2 KiB of each.
const MAX_ENTRIES: usize = 10_000;
/// How long what was seen is believed: others write too.
const FRESH: Duration = Duration::from_secs(10);

/// What takes room.
pub(super) struct Room {
    budget: u64,
    seen: Option<Instant>,
    held: Vec<Held<Owned>>,
    /// What is known of entries, by the names of their first objects.
    abouts: HashMap<String, About>,
    /// Bytes of what is being written, by name.
    pending: HashMap<String, u64>,
}

/// An entry does not fit.
#[derive(Debug, thiserror::Error)]
#[error("it takes {bytes} bytes, of the {budget} that there may be in all")]
pub(super) struct NoRoom {
    bytes: u64,
    budget: u64,
}

impl Room {
    pub(super) fn new(budget: u64) -> Self {
        Self { budget, seen: None, held: Vec::new(), abouts: HashMap::new(), pending: HashMap::new() }
    }

    /// Takes in what was seen.
    pub(super) fn know(&mut self, seen: &Seen) {
        self.seen = Some(Instant::now());
        self.abouts.clear();
        self.held.clear();
        for (owned, about) in seen.entries() {
            let name = owned.name().unwrap_or_default().to_owned();
            if !self.pending.contains_key(&name) {
                self.held.push(Held { what: owned.clone(), bytes: about.stored, used: about.used });
            }
            self.abouts.insert(name, about.clone());
        }
        // Their size is not known, so they count as much as they can have, and go first.
        let useless = seen.useless(Timestamp::now()).into_iter();
        self.held.extend(useless.map(|what| Held { what, bytes: PART_BYTES as u64, used: Timestamp::MIN }));
    }

    /// Whether it was looked lately.
    pub(super) fn is_known(&self) -> bool {
        self.seen.is_some_and(|seen| seen.elapsed() < FRESH)
    }

    /// Whether this entry is there, made by the same makers.
    pub(super) fn has_same(&self, objects: &Objects) -> bool {
        self.abouts.get(&objects.name).is_some_and(|about| about.is_by_same_makers(&objects.about))
    }

    /// Takes room for an entry; what has to go for it, an older one of the same name included.
    pub(super) fn make_for(&mut self, objects: &Objects) -> Result<Vec<Owned>, NoRoom> {
        let (bytes, budget) = (objects.bytes, self.budget);
        if bytes > budget {
            return Err(NoRoom { bytes, budget });
        }
        let is_older = |held: &Held<Owned>| held.what.name() == Some(&objects.name);
        let mut gone: Vec<Owned> =
            self.held.iter().filter(|held| is_older(held)).map(|held| held.what.clone()).collect();
        self.held.retain(|held| !is_older(held));
        let pending = self.pending.values().fold(0_u64, |sum, bytes| sum.saturating_add(*bytes));
        let limits = Limits { bytes: budget, entries: MAX_ENTRIES.saturating_sub(self.pending.len()) };
        let surplus = surplus(&self.held, Some(bytes.saturating_add(pending)), limits);
        gone.extend(surplus.into_iter().map(|held| held.what.clone()));
        self.held.retain(|held| !gone.contains(&held.what));
        for owned in &gone {
            self.abouts.remove(owned.name().unwrap_or_default());
        }
        self.pending.insert(objects.name.clone(), bytes);
        Ok(gone)
    }

    /// An entry for which room was taken is there, or will not come.
    pub(super) fn settle(&mut self, objects: &Objects, created: Option<&Owned>) {
        self.pending.remove(&objects.name);
        if let Some(owned) = created {
            self.held.push(Held { what: owned.clone(), bytes: objects.bytes, used: objects.about.used });
            self.abouts.insert(objects.name.clone(), objects.about.clone());
        }
    }

    /// When an entry was used last.
    pub(super) fn used(&self, name: &str) -> Option<Timestamp> {
        self.abouts.get(name).map(|about| about.used)
    }

    /// Entries are used now.
    pub(super) fn set_used(&mut self, names: &[String], now: Timestamp) {
        for name in names {
            if let Some(about) = self.abouts.get_mut(name) {
                about.used = now;
            }
        }
        let is_named = |held: &&mut Held<Owned>| names.iter().any(|name| held.what.name() == Some(name));
        for held in self.held.iter_mut().filter(is_named) {
            held.used = now;
        }
    }

    /// An entry was removed.
    pub(super) fn forget(&mut self, name: &str) {
        self.held.retain(|held| held.what.name() != Some(name));
        self.abouts.remove(name);
    }
}
