//! Advisories by ecosystem and package name: opened, not loaded.
//!
//! [`compile`] makes one index of each ecosystem and release from records, [`partition`] answers from it. An index lies
//! in a file or, made from raw records for one run, in memory; its form is the same.

mod compile;
mod entry;
mod file;
mod header;
mod identity;
pub(super) mod overlay;
mod partition;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub use compile::Compiled;
pub(super) use compile::Compiler;
pub use entry::Entry;
pub use file::IndexFile;
pub use header::{Header, Holds};
pub use identity::{Identity, Text};
pub use overlay::OverlayIndex;
pub use partition::{Entries, Partition};

use super::ecosystem::Ecosystem;
use super::overlays::{Kind, Overlay, Overlays};
use super::table::{Storage, Table, TableError};
use crate::finding::AdvisoryInfo;

/// What is known about the packages of some ecosystems.
#[derive(Clone, Debug, Default)]
pub struct Index {
    source: Option<String>,
    as_of: Option<String>,
    notes: Vec<String>,
    partitions: BTreeMap<Ecosystem, Arc<Partition>>,
    overlays: BTreeMap<Kind, OverlayIndex>,
}

impl Index {
    /// An index of no source: nothing is known about anything.
    #[must_use]
    pub fn empty() -> Self {
        Self::default()
    }

    /// An index of a source that is called so.
    #[must_use]
    pub fn new(source: String, partitions: impl IntoIterator<Item = Partition>, notes: Vec<String>) -> Self {
        let partitions = partitions.into_iter().map(|part| (part.ecosystem().clone(), Arc::new(part)));
        let partitions = partitions.collect();
        Self { source: Some(source), as_of: None, notes, partitions, overlays: BTreeMap::new() }
    }

    /// Says at which time its data were the newest that there were, RFC 3339.
    #[must_use]
    pub fn as_of(self, time: Option<String>) -> Self {
        Self { as_of: time, ..self }
    }

    /// Adds what is laid over the findings.
    #[must_use]
    pub fn with_overlays(mut self, overlays: impl IntoIterator<Item = OverlayIndex>) -> Self {
        self.overlays.extend(overlays.into_iter().map(|overlay| (overlay.kind(), overlay)));
        self
    }

    /// What is laid over the findings.
    #[must_use]
    pub fn overlays(&self) -> Overlays {
        let of = |kind: Kind| {
            let overlay = self.overlays.get(&kind).cloned();
            overlay.map(|overlay| Box::new(overlay) as Box<dyn Overlay>)
        };
        Overlays {
            kev: of(Kind::Kev),
            epss: of(Kind::Epss),
            debian: of(Kind::DebianTracker),
            ubuntu: of(Kind::UbuntuTracker),
        }
    }

    /// Adds what a person should know.
    #[must_use]
    pub fn with_notes(mut self, notes: Vec<String>) -> Self {
        self.notes.extend(notes);
        self
    }

    /// Indexes in memory of what was compiled.
    pub(super) fn in_memory(
        source: String,
        compiled: &Compiled,
        notes: Vec<String>,
    ) -> Result<Self, TableError> {
        let open = |(position, _): (usize, &Ecosystem)| {
            let bytes = compiled.write(position, Vec::new()).map_err(TableError::Read)?;
            Partition::of(Table::open(Storage::Memory(bytes.into()))?)
        };
        let partitions: Vec<Partition> = compiled.ecosystems().map(open).collect::<Result<_, _>>()?;
        Ok(Self::new(source, partitions, notes))
    }

    /// The index of an ecosystem; without one, nothing can be said about its packages.
    #[must_use]
    pub fn partition(&self, ecosystem: &Ecosystem) -> Option<&Partition> {
        self.partitions.get(ecosystem).map(|partition| &**partition)
    }

    /// The packages that the advisories known by an id are about, by ecosystem, in the names of these; and the ecosystems
    /// whose index is damaged. Reads all of every index once.
    #[must_use]
    pub fn packages_of(&self, id: &str) -> (BTreeMap<Ecosystem, BTreeSet<String>>, BTreeSet<Ecosystem>) {
        let (mut packages, mut damaged) = (BTreeMap::new(), BTreeSet::new());
        for (ecosystem, partition) in &self.partitions {
            match partition.packages_of(id) {
                Ok(names) if names.is_empty() => {}
                Ok(names) => {
                    packages.insert(ecosystem.clone(), names);
                }
                Err(_) => {
                    damaged.insert(ecosystem.clone());
                }
            }
        }
        (packages, damaged)
    }

    /// The ecosystems that it knows something of.
    pub fn ecosystems(&self) -> impl Iterator<Item = &Ecosystem> {
        self.partitions.keys()
    }

    /// Which data this is, for the report.
    #[must_use]
    pub fn info(&self) -> AdvisoryInfo {
        let headers = || self.partitions.iter().map(|(ecosystem, part)| (ecosystem, part.header()));
        AdvisoryInfo {
            source: self.source.clone(),
            ecosystems: headers().map(|(ecosystem, header)| (ecosystem.to_string(), header.records)).collect(),
            newest: headers().filter_map(|(_, header)| header.newest.clone()).max(),
            as_of: self.as_of.clone(),
            overlays: self.overlays.keys().map(|kind| kind.as_str().to_owned()).collect(),
        }
    }

    /// What a person should know about the data, for example records that could not be read.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        let damaged = self.overlays.values().filter(|overlay| overlay.is_damaged());
        let damaged = damaged.map(|overlay| {
            format!("the index of {} is damaged: what it says of some findings is missing", overlay.kind())
        });
        self.notes.iter().cloned().chain(damaged).collect()
    }
}

#[cfg(test)]
mod tests;
