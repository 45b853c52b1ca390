use std::collections::BTreeMap;

use super::super::ranges::{Event, intervals};
use super::super::versions::Comparator;
use super::super::{Advisory, Affected, AffectedVersions};
use super::*;

fn advisory(id: &str, modified: &str, package: &str) -> Advisory {
    let events = vec![Event::Introduced("0".to_owned()), Event::Fixed("1".to_owned())];
    Advisory {
        id: id.to_owned(),
        modified: Some(modified.to_owned()),
        ecosystems: ["Debian:12".parse().expect("valid")].into(),
        vulnerabilities: vec![id.to_owned()],
        aliases: Vec::new(),
        text: Text { summary: Some(format!("about {package}")), ..Text::default() },
        affected: vec![Affected {
            ecosystem: "Debian:12".parse().expect("valid"),
            package: package.to_owned(),
            streams: None,
            versions: AffectedVersions::Ranges(intervals(events, Comparator::Dpkg)),
            rating: None,
        }],
    }
}

fn compiled(advisories: Vec<Advisory>) -> Compiled {
    let mut compiler = Compiler::default();
    for advisory in advisories {
        compiler.add(advisory);
    }
    let (all, notes) = compiler.finish();
    assert_eq!(notes, [""; 0]);
    all
}

fn index(advisories: Vec<Advisory>) -> Index {
    Index::in_memory("made".to_owned(), &compiled(advisories), Vec::new()).expect("memory")
}

fn ecosystem(name: &str) -> Ecosystem {
    name.parse().expect("valid")
}

/// The ids of the advisories about a package of Debian 12.
fn ids(index: &Index, package: &str) -> Vec<String> {
    let partition = index.partition(&ecosystem("Debian:12")).expect("covered");
    let entries = partition.entries(package).expect("whole");
    let ids = entries.iter().flat_map(Entries::iter).map(|entry| {
        let identity = partition.identity(entry.expect("whole").advisory);
        identity.expect("whole").id
    });
    ids.collect()
}

#[test]
fn of_records_with_one_id_the_one_changed_last_stays() {
    let old = advisory("DSA-1", "2024-01-01T00:00:00Z", "old");
    let new = advisory("DSA-1", "2024-02-01T00:00:00Z", "new");
    for records in [vec![old.clone(), new.clone()], vec![new, old]] {
        let index = index(records);
        assert_eq!(ids(&index, "new"), ["DSA-1"]);
        assert_eq!(ids(&index, "old"), [""; 0]);
        assert_eq!(index.info().ecosystems, BTreeMap::from([("Debian:12".to_owned(), 1)]));
        assert_eq!(index.info().newest.as_deref(), Some("2024-02-01T00:00:00Z"));
    }
}

#[test]
fn record_about_other_packages_counts_and_displaces_an_older_one() {
    let old = advisory("DSA-1", "2024-01-01T00:00:00Z", "old");
    let other = Advisory { affected: Vec::new(), ..advisory("DSA-1", "2024-02-01T00:00:00Z", "") };
    for records in [vec![old.clone(), other.clone()], vec![other, old]] {
        let index = index(records);
        assert_eq!(ids(&index, "old"), [""; 0]);
        assert_eq!(index.info().ecosystems, BTreeMap::from([("Debian:12".to_owned(), 1)]));
        assert_eq!(index.info().newest.as_deref(), Some("2024-02-01T00:00:00Z"));
    }
}

#[test]
fn ecosystem_of_displaced_records_only_is_not_covered() {
    let old = advisory("DSA-1", "2024-01-01T00:00:00Z", "a");
    let mut new = advisory("DSA-1", "2024-02-01T00:00:00Z", "a");
    new.ecosystems = [ecosystem("Debian:13")].into();
    new.affected[0].ecosystem = ecosystem("Debian:13");
    let index = index(vec![old, new]);
    assert!(index.partition(&ecosystem("Debian:12")).is_none());
    assert!(index.partition(&ecosystem("Debian:13")).is_some());
}

#[test]
fn artifact_is_found_under_all_its_groups() {
    let mut advisories = Vec::new();
    for package in ["a:x", "b:x", "a:y", "x", "a:x-api"] {
        let mut advisory = advisory(package, "2024-01-01T00:00:00Z", package);
        advisory.affected[0].ecosystem = ecosystem("Maven");
        advisory.ecosystems = [ecosystem("Maven")].into();
        advisories.push(advisory);
    }
    let index = index(advisories);
    let maven = index.partition(&ecosystem("Maven")).expect("covered");
    let all = maven.entries_of_artifact("x").expect("whole");
    let ids = all.iter().flat_map(Entries::iter).map(|entry| {
        let identity = maven.identity(entry.expect("whole").advisory);
        identity.expect("whole").id
    });
    assert_eq!(ids.collect::<Vec<_>>(), ["a:x", "b:x"]);
    assert!(maven.entries("b:x").expect("whole").is_some() && maven.entries("b:y").expect("whole").is_none());
}

#[test]
fn ecosystem_without_advisories_is_not_covered() {
    let index = index(vec![advisory("DSA-1", "2024-01-01T00:00:00Z", "a")]);
    assert!(index.partition(&ecosystem("Debian:12")).is_some());
    assert!(index.partition(&ecosystem("Debian:11")).is_none());
    assert!(Index::empty().partition(&ecosystem("Debian:12")).is_none());
    assert_eq!(Index::empty().info(), AdvisoryInfo::default());
}

#[test]
fn the_same_records_in_any_order_give_the_same_bytes() {
    let records: Vec<_> = (0..50)
        .map(|n| advisory(&format!("DSA-{n}"), "2024-01-01T00:00:00Z", &format!("p{}", n % 7)))
        .collect();
    let bytes = |records: Vec<Advisory>| compiled(records).write(0, Vec::new()).expect("memory");
    let reversed = records.iter().rev().cloned().collect();
    assert_eq!(bytes(records), bytes(reversed));
}

#[test]
fn texts_are_those_of_the_advisory() {
    let index = index(vec![
        advisory("DSA-2", "2024-01-01T00:00:00Z", "b"),
        advisory("DSA-1", "2024-01-01T00:00:00Z", "a"),
    ]);
    let partition = index.partition(&ecosystem("Debian:12")).expect("covered");
    partition.verify().expect("whole");
    for (number, id, summary) in [(0, "DSA-1", "about a"), (1, "DSA-2", "about b")] {
        assert_eq!(partition.identity(number).expect("whole").id, id);
        assert_eq!(partition.text(number).expect("whole").summary.as_deref(), Some(summary));
    }
    assert!(partition.identity(2).is_err() && partition.text(2).is_err());
}
