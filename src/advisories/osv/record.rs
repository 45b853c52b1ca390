//! One record of the OSV schema (1.7), as far as matching needs it.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::versions::{RangeRecord, affected_versions};
use crate::advisories::modules::Streams;
use crate::advisories::ranges::Interval;
use crate::advisories::rating::Ratings;
use crate::advisories::versions::Comparator;
use crate::advisories::{Advisory, Affected, AffectedVersions, Ecosystem, Text, Wanted};

/// How ids of updates begin that are no matter of security: AlmaLinux, Rocky, SUSE and Mageia publish all in one.
const UPDATES: [&str; 12] = [
    "ALBA-",
    "ALEA-",
    "RLBA-",
    "RLEA-",
    "MGAA-",
    "SUSE-FU-",
    "SUSE-OU-",
    "SUSE-RU-",
    "openSUSE-FU-",
    "openSUSE-OU-",
    "openSUSE-RU-",
    "openSUSE-EU-",
];

/// Longest summary that is kept, in characters.
const MAX_SUMMARY: usize = 300;
/// Longest address of a reference that is kept, in bytes.
const MAX_URL: usize = 300;
/// Most references of one record that are kept.
const MAX_REFERENCES: usize = 5;
/// Longest time that is one: `2024-01-02T03:04:05.123456789+01:00`.
const MAX_TIME: usize = 40;

/// What became of a record.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::advisories) enum Reading {
    /// It is about a wanted ecosystem.
    Wanted(Box<Advisory>),
    /// It is about others only.
    NotWanted,
    /// It no longer holds.
    Withdrawn,
}

/// One entry of `severity` or of `affected[].severity`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(in crate::advisories) struct Score {
    /// `CVSS_V3`, `CVSS_V4`, `Ubuntu`, ….
    #[serde(rename = "type")]
    pub(in crate::advisories) kind: String,
    /// A vector, or a word.
    pub(in crate::advisories) score: String,
}

/// What decides whether a record is wanted: most are not, and need not be read any further.
#[derive(Deserialize)]
struct Outline<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow, default)]
    modified: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    withdrawn: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "or_default")]
    affected: Vec<AffectedOutline<'a>>,
}

#[derive(Deserialize)]
struct AffectedOutline<'a> {
    #[serde(borrow, default)]
    package: Option<PackageRecord<'a>>,
}

/// Absent and null mean the same everywhere in OSV data.
#[derive(Deserialize)]
struct Record<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(default, deserialize_with = "or_default")]
    aliases: Vec<String>,
    #[serde(default, deserialize_with = "or_default")]
    upstream: Vec<String>,
    #[serde(default, deserialize_with = "or_default")]
    related: Vec<String>,
    #[serde(borrow, default)]
    summary: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    details: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    published: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "or_default")]
    references: Vec<Reference<'a>>,
    #[serde(default, deserialize_with = "or_default")]
    severity: Vec<Score>,
    #[serde(borrow, default, deserialize_with = "or_default")]
    affected: Vec<AffectedRecord<'a>>,
    #[serde(default)]
    database_specific: Value,
}

/// One of `references`.
#[derive(Deserialize)]
struct Reference<'a> {
    #[serde(rename = "type", borrow, default)]
    kind: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    url: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct AffectedRecord<'a> {
    /// Absent where only a repository is affected.
    #[serde(borrow, default)]
    package: Option<PackageRecord<'a>>,
    #[serde(borrow, default, deserialize_with = "or_default")]
    ranges: Vec<RangeRecord<'a>>,
    #[serde(default, deserialize_with = "or_default")]
    versions: BTreeSet<String>,
    #[serde(default, deserialize_with = "or_default")]
    severity: Vec<Score>,
    #[serde(default)]
    ecosystem_specific: Value,
    #[serde(default)]
    database_specific: Value,
}

#[derive(Deserialize)]
struct PackageRecord<'a> {
    #[serde(borrow)]
    ecosystem: Cow<'a, str>,
    #[serde(borrow)]
    name: Cow<'a, str>,
}

pub(super) fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Reads a record, and of its affected packages the wanted ones.
pub(in crate::advisories) fn read(text: &[u8], wanted: &Wanted) -> Result<Reading, serde_json::Error> {
    let outline: Outline<'_> = serde_json::from_slice(text)?;
    if outline.withdrawn.is_some() {
        return Ok(Reading::Withdrawn);
    }
    let mut ecosystems = BTreeSet::new();
    let mut is_package_wanted = false;
    for package in outline.affected.iter().filter_map(|affected| affected.package.as_ref()) {
        if let Some((ecosystem, _)) =
            package.matchable(&outline.id).filter(|(ecosystem, _)| wanted.holds(ecosystem))
        {
            is_package_wanted |= wanted.holds_package(&ecosystem, &ecosystem.package_name(&package.name));
            ecosystems.insert(ecosystem);
        }
    }
    if ecosystems.is_empty() {
        return Ok(Reading::NotWanted);
    }
    let mut advisory = Advisory {
        id: outline.id.into_owned(),
        modified: outline.modified.map(Cow::into_owned),
        ecosystems,
        vulnerabilities: Vec::new(),
        aliases: Vec::new(),
        text: Text::default(),
        affected: Vec::new(),
    };
    if is_package_wanted {
        let mut record: Record<'_> = serde_json::from_slice(text)?;
        let vulnerabilities = record.vulnerabilities();
        if is_mere_update(&advisory.id, &vulnerabilities) {
            return Ok(Reading::Wanted(Box::new(advisory)));
        }
        let affected = std::mem::take(&mut record.affected);
        let affected = affected.into_iter().filter_map(|affected| record.affected(affected, wanted));
        advisory.affected = lowest_fixes(affected);
        advisory.vulnerabilities = vulnerabilities;
        advisory.text = record.text();
        let Record { aliases, upstream, related, .. } = record;
        let others: BTreeSet<String> = aliases.into_iter().chain(upstream).chain(related).collect();
        advisory.aliases = others.into_iter().filter(|other| *other != advisory.id).collect();
    }
    Ok(Reading::Wanted(Box::new(advisory)))
}

impl PackageRecord<'_> {
    /// Its ecosystem in a record of this id, if that is one whose versions can be compared.
    fn matchable(&self, id: &str) -> Option<(Ecosystem, Comparator)> {
        let ecosystem: Ecosystem = self.ecosystem.parse().ok()?;
        let comparator = Comparator::of(&ecosystem)?;
        Some((ecosystem.of_record(id), comparator))
    }
}

impl Record<'_> {
    /// CVE names in `aliases` and `upstream`; where there is none, the one in the id itself (`DEBIAN-CVE-…`); where
    /// that has none, those in `related`, which may also name mere neighbours. Without any, the first name of GitHub,
    /// which records of other databases about the same thing share; without that, the id.
    fn vulnerabilities(&self) -> Vec<String> {
        let own = cve_in(&self.id);
        let said = || self.aliases.iter().chain(&self.upstream).map(String::as_str);
        let related = || self.related.iter().map(String::as_str);
        let names: BTreeSet<&str> = match own {
            Some(own) if !said().any(is_cve) => BTreeSet::from([own]),
            None if !said().any(is_cve) => related().filter(|id| is_cve(id)).collect(),
            _ => said().filter(|id| is_cve(id)).collect(),
        };
        if names.is_empty() {
            let others = self.aliases.iter().chain(&self.upstream);
            let ids = std::iter::once(&*self.id).chain(others.map(String::as_str));
            let of_github = ids.filter(|id| id.starts_with("GHSA-")).min();
            return vec![of_github.unwrap_or(&self.id).to_owned()];
        }
        names.into_iter().map(ToOwned::to_owned).collect()
    }

    /// What it says to people, shortened to what fits on a screen.
    fn text(&self) -> Text {
        let line = |text: &Cow<'_, str>| {
            let line = text.lines().map(str::trim).find(|line| !line.is_empty())?;
            Some(line.chars().take(MAX_SUMMARY).collect::<String>())
        };
        let mut references: Vec<&Reference<'_>> = self.references.iter().collect();
        references.sort_by_key(|reference| reference.kind.as_deref() != Some("ADVISORY"));
        let urls = references.into_iter().filter_map(|reference| reference.url.as_deref());
        let urls = urls.filter(|url| url.len() <= MAX_URL && url.starts_with("http"));
        let published = self.published.as_deref().filter(|time| time.len() <= MAX_TIME);
        Text {
            summary: self.summary.as_ref().and_then(line).or_else(|| self.details.as_ref().and_then(line)),
            published: published.map(ToOwned::to_owned),
            references: urls.take(MAX_REFERENCES).map(ToOwned::to_owned).collect(),
        }
    }

    fn affected(&self, affected: AffectedRecord<'_>, wanted: &Wanted) -> Option<Affected> {
        let package = affected.package?;
        let (ecosystem, comparator) = package.matchable(&self.id)?;
        let name = ecosystem.package_name(&package.name).into_owned();
        if !wanted.holds_package(&ecosystem, &name) {
            return None;
        }
        let rating = Ratings {
            id: &self.id,
            summary: self.summary.as_deref().unwrap_or_default(),
            ecosystem: &ecosystem,
            of_affected: &affected.severity,
            of_record: &self.severity,
            specific: [&affected.ecosystem_specific, &affected.database_specific],
            database: &self.database_specific,
        }
        .resolve();
        let custom = affected.ecosystem_specific.get("custom_ranges").filter(|_| ecosystem.name() == "Go");
        let versions = affected_versions(affected.ranges, affected.versions, custom, comparator);
        let summary = self.summary.as_deref().unwrap_or_default();
        let has_modules = matches!(comparator, Comparator::Rpm | Comparator::RpmSource);
        let streams = Streams::of_record(&versions, summary).filter(|_| has_modules);
        Some(Affected { ecosystem, package: name, streams, versions, rating })
    }
}

/// AlmaLinux names a package once for each of its repositories, with whatever build that has: the lowest has the fix
/// already. Where it is open which stream of a module is meant, each may be meant.
fn lowest_fixes(affected: impl Iterator<Item = Affected>) -> Vec<Affected> {
    let mut all = Vec::new();
    let mut lowest: BTreeMap<(Ecosystem, String, Option<Streams>), Affected> = BTreeMap::new();
    for affected in affected {
        let is_open = affected.streams.as_ref().is_some_and(Streams::is_ambiguous);
        if affected.ecosystem.name() != "AlmaLinux" || is_open {
            all.push(affected);
            continue;
        }
        let key = (affected.ecosystem.clone(), affected.package.clone(), affected.streams.clone());
        let is_lower = lowest.get(&key).is_none_or(|known| match (fix(&affected), fix(known)) {
            (Some(new), Some(known)) => Comparator::Rpm.compare(new, known).is_lt(),
            (new, known) => new.is_some() && known.is_none(),
        });
        if is_lower {
            lowest.insert(key, affected);
        }
    }
    all.extend(lowest.into_values());
    all
}

fn fix(affected: &Affected) -> Option<&str> {
    let AffectedVersions::Ranges(intervals) = &affected.versions else { return None };
    intervals.last().and_then(Interval::fixed)
}

/// Whether a record is about an update that names no vulnerability.
fn is_mere_update(id: &str, vulnerabilities: &[String]) -> bool {
    UPDATES.iter().any(|prefix| id.starts_with(prefix)) && !vulnerabilities.iter().any(|name| is_cve(name))
}

fn is_cve(id: &str) -> bool {
    id.starts_with("CVE-")
}

/// The CVE name that an id is or ends with.
fn cve_in(id: &str) -> Option<&str> {
    let at = if is_cve(id) { 0 } else { id.find("-CVE-")? + 1 };
    id.get(at..)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::severity::Severity;

    fn wanted() -> Wanted {
        Wanted::whole(["Debian:12", "Alpine:v3.19", "Go", "PyPI"].map(|name| name.parse().expect("valid")))
    }

    fn parse(record: &Value) -> Reading {
        read(record.to_string().as_bytes(), &wanted()).expect("a record")
    }

    #[track_caller]
    fn advisory(record: &Value) -> Advisory {
        match parse(record) {
            Reading::Wanted(advisory) => *advisory,
            other => panic!("{other:?}"),
        }
    }

    fn affected(ecosystem: &str, ranges: &Value) -> Value {
        json!({"package": {"ecosystem": ecosystem, "name": "a"}, "ranges": ranges})
    }

    fn unfixed() -> Value {
        json!([{"type": "ECOSYSTEM", "events": [{"introduced": "0"}]}])
    }

    #[test]
    fn only_wanted_ecosystems_are_taken() {
        let record = json!({"id": "DSA-1-1", "affected": [
            affected("Debian:11", &unfixed()),
            affected("Debian:12", &unfixed()),
            affected("Debian", &unfixed()),
            {"ranges": [{"type": "GIT", "events": [{"introduced": "0"}]}]},
        ]});
        let ecosystems: Vec<_> = advisory(&record).affected.iter().map(|a| a.ecosystem.to_string()).collect();
        assert_eq!(ecosystems, ["Debian:12"]);
        assert_eq!(
            parse(&json!({"id": "DSA-2-1", "affected": [affected("Debian", &unfixed())]})),
            Reading::NotWanted
        );
    }

    #[test]
    fn record_about_packages_that_are_not_wanted_is_only_counted() {
        let record =
            json!({"id": "PYSEC-1", "aliases": ["CVE-2024-1"], "affected": [affected("PyPI", &unfixed())]});
        let read = |package: &str| {
            let mut wanted = Wanted::default();
            wanted.add("PyPI".parse().expect("valid"), package);
            match read(record.to_string().as_bytes(), &wanted).expect("a record") {
                Reading::Wanted(advisory) => *advisory,
                other => panic!("{other:?}"),
            }
        };
        let (other, named) = (read("b"), read("a"));
        assert_eq!((other.affected.len(), other.aliases.len(), other.ecosystems.len()), (0, 0, 1));
        assert_eq!((named.affected.len(), named.aliases.len(), named.ecosystems.len()), (1, 1, 1));
    }

    #[test]
    fn names_of_python_packages_are_read_in_their_one_spelling() {
        let mut package = affected("PyPI", &unfixed());
        package["package"]["name"] = json!("Zope._Interface");
        assert_eq!(
            advisory(&json!({"id": "X-1", "affected": [package]})).affected[0].package,
            "zope-interface"
        );
    }

    #[test]
    fn withdrawn_record_is_dropped_and_null_is_not_withdrawn() {
        let record = |withdrawn: Value| json!({"id": "DSA-1-1", "withdrawn": withdrawn, "affected": [affected("Debian:12", &unfixed())]});
        assert_eq!(parse(&record(json!("2024-01-01T00:00:00Z"))), Reading::Withdrawn);
        assert!(matches!(parse(&record(Value::Null)), Reading::Wanted(_)));
    }

    #[test]
    fn names_of_vulnerabilities_come_from_where_they_stand() {
        for (ids, expected) in [
            (
                json!({"id": "DSA-1-1", "upstream": ["CVE-2024-2", "CVE-2024-1"]}),
                vec!["CVE-2024-1", "CVE-2024-2"],
            ),
            (json!({"id": "DEBIAN-CVE-2024-1"}), vec!["CVE-2024-1"]),
            (json!({"id": "CVE-2024-1", "related": ["CVE-2020-1"]}), vec!["CVE-2024-1"]),
            (json!({"id": "ALSA-2024:1", "related": ["CVE-2024-1", "GHSA-x"]}), vec!["CVE-2024-1"]),
            (json!({"id": "GHSA-x", "aliases": ["CVE-2024-1"], "related": ["CVE-2020-1"]}), vec!["CVE-2024-1"]),
            (json!({"id": "DSA-2-1", "aliases": null}), vec!["DSA-2-1"]),
            (json!({"id": "PYSEC-2024-1", "aliases": ["SNYK-1", "GHSA-y", "GHSA-x"]}), vec!["GHSA-x"]),
            (json!({"id": "GHSA-x", "aliases": ["PYSEC-2024-1"], "related": ["GHSA-a"]}), vec!["GHSA-x"]),
            (json!({"id": "CGA-1", "upstream": ["GHSA-y", "CVE-2024-1"]}), vec!["CVE-2024-1"]),
            (json!({"id": "CGA-1", "upstream": ["GHSA-y"]}), vec!["GHSA-y"]),
        ] {
            let mut record = ids;
            record["affected"] = json!([affected("Debian:12", &unfixed())]);
            assert_eq!(advisory(&record).vulnerabilities, expected, "{record}");
        }
    }

    #[test]
    fn ratings_reach_the_affected_package() {
        let mut package = affected("Debian:12", &unfixed());
        package["ecosystem_specific"] = json!({"urgency": "unimportant"});
        let rating = advisory(&json!({"id": "X-1", "affected": [package]})).affected[0].rating.clone();
        assert_eq!(rating.map(|rating| rating.severity), Some(Severity::Negligible));
    }

    #[test]
    fn foreign_members_of_any_shape_do_no_harm() {
        let mut package = affected("Debian:12", &unfixed());
        package["ecosystem_specific"] = json!(["x", 1]);
        package["database_specific"] = json!("text");
        let record =
            json!({"id": "X-1", "affected": [package], "database_specific": [{"severity": 7}], "credits": 3});
        assert_eq!(advisory(&record).affected[0].rating, None);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,80}", events in prop::collection::vec("[0-9a-z.~:-]{0,6}", 0..6)) {
            let _ = read(text.as_bytes(), &wanted());
            let events: Vec<Value> = events
                .iter()
                .enumerate()
                .map(|(i, version)| json!({["introduced", "fixed", "last_affected"][i % 3]: version}))
                .collect();
            let ranges = json!([{"type": "ECOSYSTEM", "events": events}]);
            let record = json!({"id": text, "affected": [affected("Debian:12", &ranges)]});
            prop_assert!(read(record.to_string().as_bytes(), &wanted()).is_ok());
        }
    }
}
