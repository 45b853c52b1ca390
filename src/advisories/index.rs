//! Advisories by ecosystem and package name, in memory.

use std::collections::hash_map::Entry as Slot;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::ecosystem::Ecosystem;
use super::modules::Streams;
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
    /// The streams of modules that it speaks of; none for packages of no module.
    pub streams: Option<Streams>,
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
    /// Those that are only counted by their position.
    ecosystems: Vec<Ecosystem>,
    advisories: HashMap<Box<str>, Seen>,
}

/// A record by its id. There are hundreds of thousands of which nothing else is wanted.
#[derive(Debug)]
struct Seen {
    modified: Option<Box<str>>,
    /// Positions of its ecosystems.
    ecosystems: Box<[usize]>,
    wanted: Option<Box<Advisory>>,
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

    /// What is said about an artifact of Maven under the names of all its groups.
    pub fn entries_of_artifact(&self, ecosystem: &Ecosystem, artifact: &str) -> impl Iterator<Item = &Entry> {
        let packages = self.partitions.get(ecosystem).into_iter().flat_map(|partition| &partition.packages);
        let is_it = move |name: &str| name.split_once(':').is_some_and(|(_, of_name)| of_name == artifact);
        packages.filter(move |(name, _)| is_it(name)).flat_map(|(_, entries)| entries)
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
        Self { source, ecosystems: Vec::new(), advisories: HashMap::new() }
    }

    /// Takes a record. Of those with the same id the one changed last stays: mirrors keep a record both under the
    /// ecosystem and under its releases.
    pub(super) fn add(&mut self, advisory: Advisory) {
        let positions = advisory.ecosystems.iter().map(|ecosystem| self.position(ecosystem)).collect();
        let id = advisory.id.clone().into_boxed_str();
        let seen = Seen {
            modified: advisory.modified.as_deref().map(Into::into),
            ecosystems: positions,
            wanted: (!advisory.affected.is_empty()).then(|| Box::new(advisory)),
        };
        match self.advisories.entry(id) {
            Slot::Vacant(slot) => {
                slot.insert(seen);
            }
            Slot::Occupied(mut slot) if slot.get().modified < seen.modified => {
                slot.insert(seen);
            }
            Slot::Occupied(_) => {}
        }
    }

    fn position(&mut self, ecosystem: &Ecosystem) -> usize {
        let known = self.ecosystems.iter().position(|known| known == ecosystem);
        known.unwrap_or_else(|| {
            self.ecosystems.push(ecosystem.clone());
            self.ecosystems.len() - 1
        })
    }

    pub(super) fn finish(self, notes: Vec<String>) -> Index {
        let mut counts = vec![0; self.ecosystems.len()];
        let mut newest = None;
        let mut wanted = Vec::new();
        for seen in self.advisories.into_values() {
            seen.ecosystems.iter().for_each(|position| counts[*position] += 1);
            newest = newest.max(seen.modified);
            wanted.extend(seen.wanted);
        }
        let partition = |advisories| Partition { advisories, packages: HashMap::new() };
        let mut partitions: BTreeMap<Ecosystem, Partition> =
            self.ecosystems.into_iter().zip(counts.into_iter().map(partition)).collect();
        // The order of what is said about a package is that of the ids, whatever that of the records was.
        wanted.sort_by(|a, b| a.id.cmp(&b.id));
        for advisory in wanted {
            let Advisory { id, vulnerabilities, aliases, affected, .. } = *advisory;
            let identity = Arc::new(Identity { id, vulnerabilities, aliases });
            for affected in affected {
                let partition = partitions.entry(affected.ecosystem).or_default();
                partition.packages.entry(affected.package).or_default().push(Entry {
                    advisory: Arc::clone(&identity),
                    streams: affected.streams,
                    versions: affected.versions,
                    rating: affected.rating,
                });
            }
        }
        Index { source: Some(self.source), newest: newest.map(Into::into), notes, partitions }
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
            ecosystems: ["Debian:12".parse().expect("valid")].into(),
            vulnerabilities: vec![id.to_owned()],
            aliases: Vec::new(),
            affected: vec![Affected {
                ecosystem: "Debian:12".parse().expect("valid"),
                package: package.to_owned(),
                streams: None,
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
    fn record_about_other_packages_counts_and_displaces_an_older_one() {
        let old = advisory("DSA-1", "2024-01-01T00:00:00Z", "old");
        let other = Advisory { affected: Vec::new(), ..advisory("DSA-1", "2024-02-01T00:00:00Z", "") };
        let debian = "Debian:12".parse().expect("valid");
        for records in [vec![old.clone(), other.clone()], vec![other, old]] {
            let index = index(records);
            assert!(index.covers(&debian) && index.entries(&debian, "old").is_empty());
            assert_eq!(index.info().ecosystems, BTreeMap::from([("Debian:12".to_owned(), 1)]));
            assert_eq!(index.info().newest.as_deref(), Some("2024-02-01T00:00:00Z"));
        }
    }

    #[test]
    fn artifact_is_found_under_all_its_groups() {
        let mut builder = Builder::new("made".to_owned());
        for package in ["a:x", "b:x", "a:y", "x"] {
            let mut advisory = advisory(package, "2024-01-01T00:00:00Z", package);
            advisory.affected[0].ecosystem = "Maven".parse().expect("valid");
            advisory.ecosystems = ["Maven".parse().expect("valid")].into();
            builder.add(advisory);
        }
        let index = builder.finish(Vec::new());
        let (maven, npm) = ("Maven".parse().expect("valid"), "npm".parse().expect("valid"));
        let entries = index.entries_of_artifact(&maven, "x");
        let mut ids: Vec<&str> = entries.map(|entry| entry.advisory.id.as_str()).collect();
        ids.sort_unstable();
        assert_eq!(ids, ["a:x", "b:x"]);
        assert_eq!(index.entries_of_artifact(&npm, "x").count(), 0);
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
