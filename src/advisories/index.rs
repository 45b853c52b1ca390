//! Advisories by ecosystem and package name, in memory.

use std::collections::btree_map::Entry as Slot;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::ecosystem::Ecosystem;
use super::rating::Rating;
use super::{Advisory, AffectedVersions};
use crate::finding::AdvisoryInfo;

/// What is known about the packages of some ecosystems.
#[derive(Clone, Debug, Default)]
pub struct Index {
    source: Option<String>,
    newest: Option<String>,
    notes: Vec<String>,
    partitions: BTreeMap<Ecosystem, Partition>,
}

/// The advisories of one ecosystem.
#[derive(Clone, Debug, Default)]
struct Partition {
    advisories: usize,
    packages: HashMap<String, Vec<Entry>>,
}

/// What one advisory says about one package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The advisory.
    pub advisory: Arc<Identity>,
    /// The affected versions.
    pub versions: AffectedVersions,
    /// How bad, and who said so.
    pub rating: Option<Rating>,
}

/// The ids of an advisory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Its id in the source.
    pub id: String,
    /// The vulnerabilities it is about, see [`Advisory::vulnerabilities`].
    pub vulnerabilities: Vec<String>,
    /// All its other ids, sorted.
    pub aliases: Vec<String>,
}

/// Collects the records of a source.
#[derive(Debug)]
pub(super) struct Builder {
    source: String,
    advisories: BTreeMap<String, Advisory>,
}

impl Index {
    /// An index of no source: nothing is known about anything.
    #[must_use]
    pub fn empty() -> Self {
        Self::default()
    }

    /// What is said about a package, in no particular order.
    #[must_use]
    pub fn entries(&self, ecosystem: &Ecosystem, package: &str) -> &[Entry] {
        let partition = self.partitions.get(ecosystem);
        partition.and_then(|partition| partition.packages.get(package)).map_or(&[], Vec::as_slice)
    }

    /// Whether there is any advisory for an ecosystem. Without one, nothing can be said about its packages.
    #[must_use]
    pub fn covers(&self, ecosystem: &Ecosystem) -> bool {
        self.partitions.contains_key(ecosystem)
    }

    /// Which data this is, for the report.
    #[must_use]
    pub fn info(&self) -> AdvisoryInfo {
        let counts = self.partitions.iter().map(|(ecosystem, p)| (ecosystem.to_string(), p.advisories));
        AdvisoryInfo { source: self.source.clone(), ecosystems: counts.collect(), newest: self.newest.clone() }
    }

    /// What a person should know about the data, for example records that could not be read.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }
}

impl Builder {
    pub(super) fn new(source: String) -> Self {
        Self { source, advisories: BTreeMap::new() }
    }

    /// Takes a record. Of those with the same id the one changed last stays: mirrors keep a record both under the
    /// ecosystem and under its releases.
    pub(super) fn add(&mut self, advisory: Advisory) {
        match self.advisories.entry(advisory.id.clone()) {
            Slot::Vacant(slot) => {
                slot.insert(advisory);
            }
            Slot::Occupied(mut slot) if slot.get().modified < advisory.modified => {
                slot.insert(advisory);
            }
            Slot::Occupied(_) => {}
        }
    }

    pub(super) fn finish(self, notes: Vec<String>) -> Index {
        let mut partitions: BTreeMap<Ecosystem, Partition> = BTreeMap::new();
        let mut newest = None;
        for (id, advisory) in self.advisories {
            let Advisory { modified, vulnerabilities, aliases, affected, .. } = advisory;
            newest = newest.max(modified);
            let identity = Arc::new(Identity { id, vulnerabilities, aliases });
            let mut seen: Vec<Ecosystem> = Vec::new();
            for affected in affected {
                let partition = partitions.entry(affected.ecosystem.clone()).or_default();
                if !seen.contains(&affected.ecosystem) {
                    partition.advisories += 1;
                    seen.push(affected.ecosystem);
                }
                partition.packages.entry(affected.package).or_default().push(Entry {
                    advisory: Arc::clone(&identity),
                    versions: affected.versions,
                    rating: affected.rating,
                });
            }
        }
        Index { source: Some(self.source), newest, notes, partitions }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Affected;
    use super::*;

    fn advisory(id: &str, modified: &str, package: &str) -> Advisory {
        Advisory {
            id: id.to_owned(),
            modified: Some(modified.to_owned()),
            vulnerabilities: vec![id.to_owned()],
            aliases: Vec::new(),
            affected: vec![Affected {
                ecosystem: "Debian:12".parse().expect("valid"),
                package: package.to_owned(),
                versions: AffectedVersions::Ranges(Vec::new()),
                rating: None,
            }],
        }
    }

    fn index(advisories: Vec<Advisory>) -> Index {
        let mut builder = Builder::new("made".to_owned());
        for advisory in advisories {
            builder.add(advisory);
        }
        builder.finish(Vec::new())
    }

    #[test]
    fn of_records_with_one_id_the_one_changed_last_stays() {
        let old = advisory("DSA-1", "2024-01-01T00:00:00Z", "old");
        let new = advisory("DSA-1", "2024-02-01T00:00:00Z", "new");
        let debian = "Debian:12".parse().expect("valid");
        for records in [vec![old.clone(), new.clone()], vec![new, old]] {
            let index = index(records);
            assert_eq!(index.entries(&debian, "new").len(), 1);
            assert!(index.entries(&debian, "old").is_empty());
            assert_eq!(index.info().ecosystems, BTreeMap::from([("Debian:12".to_owned(), 1)]));
            assert_eq!(index.info().newest.as_deref(), Some("2024-02-01T00:00:00Z"));
        }
    }

    #[test]
    fn ecosystem_without_advisories_is_not_covered() {
        let index = index(vec![advisory("DSA-1", "2024-01-01T00:00:00Z", "a")]);
        assert!(index.covers(&"Debian:12".parse().expect("valid")));
        assert!(!index.covers(&"Debian:11".parse().expect("valid")));
        assert!(!Index::empty().covers(&"Debian:12".parse().expect("valid")));
        assert_eq!(Index::empty().info(), AdvisoryInfo::default());
    }
}
