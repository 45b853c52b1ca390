//! Opening what is needed of a database.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::{Database, DatabaseError, State, in_words};
use crate::advisories::overlays::Kind;
use crate::advisories::{Ecosystem, Index, OverlayIndex, Partition, Wanted};

/// What a database has of what is wanted.
#[derive(Debug)]
pub struct Opened {
    /// The index of it.
    pub index: Index,
    /// Ecosystems that it has no index of.
    pub missing: BTreeSet<Ecosystem>,
    /// The same of those without which there still are data.
    pub missing_parts: BTreeSet<Ecosystem>,
    /// Ecosystems whose index cannot be used, and why.
    pub damaged: Vec<(Ecosystem, String)>,
    /// Ecosystems that nobody asked for before.
    pub unseen: Vec<String>,
    /// When the oldest of its indexes was all that there was; none where that is not known of any.
    pub as_of: Option<Timestamp>,
}

impl Database {
    /// Opens the indexes of the wanted ecosystems.
    pub fn index(&self, wanted: &Wanted) -> Result<Opened, DatabaseError> {
        let (state, notes) = self.state()?;
        let mut opened = self.open_all(&state, wanted);
        // Somebody may have put a new state in place between reading the old one and opening its files.
        if !opened.damaged.is_empty() {
            let (again, _) = self.state()?;
            if again != state {
                opened = self.open_all(&again, wanted);
            }
        }
        let as_of = opened.as_of.map(|time| time.to_string());
        opened.index = opened.index.with_notes(notes).as_of(as_of);
        Ok(opened)
    }

    /// All overlays that can be used, and what is to be said about the others.
    fn overlays(&self, state: &State) -> (Vec<OverlayIndex>, Vec<String>) {
        let (mut overlays, mut notes) = (Vec::new(), Vec::new());
        for kind in Kind::ALL {
            let Some(installed) = state.indexes.get(&kind.to_string()) else { continue };
            match OverlayIndex::open(&self.path_of(&installed.digest)) {
                Ok(overlay) if overlay.kind() == kind => overlays.push(overlay),
                Ok(_) => notes.push(format!("the index of {kind} is that of another overlay")),
                Err(error) => notes.push(format!("the index of {kind} cannot be used: {}", in_words(&error))),
            }
        }
        (overlays, notes)
    }

    fn open_all(&self, state: &State, wanted: &Wanted) -> Opened {
        let (mut partitions, mut damaged) = (Vec::new(), Vec::new());
        let (mut missing, mut missing_parts) = (BTreeSet::new(), BTreeSet::new());
        let mut as_of: Option<Timestamp> = None;
        for ecosystem in wanted.ecosystems() {
            let Some(installed) = state.indexes.get(&ecosystem.to_string()) else {
                let missing = if wanted.is_part(ecosystem) { &mut missing_parts } else { &mut missing };
                missing.insert(ecosystem.clone());
                continue;
            };
            match Partition::open(&self.path_of(&installed.digest)) {
                Ok(partition) if partition.ecosystem() == ecosystem => {
                    partitions.push(partition);
                    as_of = match (as_of, installed.as_of) {
                        (Some(known), Some(time)) => Some(known.min(time)),
                        (known, time) => known.or(time),
                    };
                }
                Ok(other) => damaged.push((ecosystem.clone(), format!("it is about {}", other.ecosystem()))),
                Err(error) => damaged.push((ecosystem.clone(), in_words(&error))),
            }
        }
        let (overlays, unusable) = self.overlays(state);
        let index = if partitions.is_empty() {
            Index::empty()
        } else {
            Index::new(self.folder.display().to_string(), partitions, unusable).with_overlays(overlays)
        };
        let names = wanted.ecosystems().map(ToString::to_string);
        let unseen = names.filter(|name| !state.seen.contains(name)).collect();
        Opened { index, missing, missing_parts, damaged, unseen, as_of }
    }
}
