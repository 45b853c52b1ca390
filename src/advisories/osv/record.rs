//! One record of the OSV schema (1.7), as far as matching needs it.

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::advisories::ranges::{self, Event};
use crate::advisories::rating::Ratings;
use crate::advisories::versions::Comparator;
use crate::advisories::{Advisory, Affected, AffectedVersions, Ecosystem};

/// What became of a record.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// It affects a wanted ecosystem.
    Wanted(Advisory),
    /// It affects others only.
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

/// Absent and null mean the same everywhere in OSV data.
#[derive(Deserialize)]
struct Record<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow, default)]
    modified: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    withdrawn: Option<Cow<'a, str>>,
    #[serde(default, deserialize_with = "or_default")]
    aliases: Vec<String>,
    #[serde(default, deserialize_with = "or_default")]
    upstream: Vec<String>,
    #[serde(default, deserialize_with = "or_default")]
    related: Vec<String>,
    #[serde(borrow, default)]
    summary: Option<Cow<'a, str>>,
    #[serde(default, deserialize_with = "or_default")]
    severity: Vec<Score>,
    #[serde(borrow, default, deserialize_with = "or_default")]
    affected: Vec<AffectedRecord<'a>>,
    #[serde(default)]
    database_specific: Value,
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
    name: String,
}

#[derive(Deserialize)]
struct RangeRecord<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(default, deserialize_with = "or_default")]
    events: Vec<EventRecord>,
}

/// The schema wants one of them in each event; two in one are taken as two events.
#[derive(Deserialize)]
struct EventRecord {
    #[serde(default)]
    introduced: Option<String>,
    #[serde(default)]
    fixed: Option<String>,
    #[serde(default)]
    last_affected: Option<String>,
}

fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Reads a record, and of its affected packages those of the wanted ecosystems.
pub(super) fn read(text: &[u8], wanted: &BTreeSet<Ecosystem>) -> Result<Reading, serde_json::Error> {
    let mut record: Record<'_> = serde_json::from_slice(text)?;
    if record.withdrawn.is_some() {
        return Ok(Reading::Withdrawn);
    }
    let affected = std::mem::take(&mut record.affected);
    let affected: Vec<Affected> =
        affected.into_iter().filter_map(|affected| record.affected(affected, wanted)).collect();
    if affected.is_empty() {
        return Ok(Reading::NotWanted);
    }
    let vulnerabilities = record.vulnerabilities();
    let Record { id, modified, aliases, upstream, related, .. } = record;
    let others: BTreeSet<String> =
        aliases.into_iter().chain(upstream).chain(related).filter(|other| *other != id).collect();
    Ok(Reading::Wanted(Advisory {
        id: id.into_owned(),
        modified: modified.map(Cow::into_owned),
        vulnerabilities,
        aliases: others.into_iter().collect(),
        affected,
    }))
}

impl Record<'_> {
    /// CVE names in `aliases` and `upstream`; where there is none, the one in the id itself (`DEBIAN-CVE-…`); where
    /// that has none, those in `related`, which may also name mere neighbours. Without any, the id.
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
            return vec![self.id.clone().into_owned()];
        }
        names.into_iter().map(ToOwned::to_owned).collect()
    }

    fn affected(&self, affected: AffectedRecord<'_>, wanted: &BTreeSet<Ecosystem>) -> Option<Affected> {
        let package = affected.package?;
        let ecosystem: Ecosystem = package.ecosystem.parse().ok()?;
        let comparator = Comparator::of(&ecosystem).filter(|_| wanted.contains(&ecosystem))?;
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
        let versions = affected_versions(affected.ranges, affected.versions, comparator);
        Some(Affected { ecosystem, package: package.name, versions, rating })
    }
}

/// `versions` counts only where no range can be evaluated: our comparators are good, and the lists lag behind.
fn affected_versions(
    ranges: Vec<RangeRecord<'_>>,
    listed: BTreeSet<String>,
    comparator: Comparator,
) -> AffectedVersions {
    let mut usable =
        ranges.into_iter().filter(|range| range.kind != "GIT" && !range.events.is_empty()).peekable();
    if usable.peek().is_none() {
        return AffectedVersions::Listed(listed);
    }
    AffectedVersions::Ranges(
        usable.flat_map(|range| ranges::intervals(range.into_events(), comparator)).collect(),
    )
}

impl RangeRecord<'_> {
    fn into_events(self) -> Vec<Event> {
        let events = self.events.into_iter().flat_map(|event| {
            let EventRecord { introduced, fixed, last_affected } = event;
            [introduced.map(Event::Introduced), fixed.map(Event::Fixed), last_affected.map(Event::LastAffected)]
        });
        events.flatten().collect()
    }
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

    fn wanted() -> BTreeSet<Ecosystem> {
        ["Debian:12", "Alpine:v3.19"].map(|name| name.parse().expect("valid")).into()
    }

    fn parse(record: &Value) -> Reading {
        read(record.to_string().as_bytes(), &wanted()).expect("a record")
    }

    #[track_caller]
    fn advisory(record: &Value) -> Advisory {
        match parse(record) {
            Reading::Wanted(advisory) => advisory,
            other => panic!("{other:?}"),
        }
    }

    fn affected(ecosystem: &str, ranges: &Value) -> Value {
        json!({"package": {"ecosystem": ecosystem, "name": "a"}, "ranges": ranges})
    }

    fn unfixed() -> Value {
        json!([{"type": "ECOSYSTEM", "events": [{"introduced": "0"}]}])
    }

    fn ranges_of(affected: &Value) -> Vec<String> {
        let advisory = advisory(&json!({"id": "X-1", "affected": [affected]}));
        match &advisory.affected[0].versions {
            AffectedVersions::Ranges(intervals) => intervals.iter().map(ToString::to_string).collect(),
            AffectedVersions::Listed(versions) => versions.iter().map(|v| format!("= {v}")).collect(),
        }
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
    fn withdrawn_record_is_dropped_and_null_is_not_withdrawn() {
        let record = |withdrawn: Value| json!({"id": "DSA-1-1", "withdrawn": withdrawn, "affected": [affected("Debian:12", &unfixed())]});
        assert_eq!(parse(&record(json!("2024-01-01T00:00:00Z"))), Reading::Withdrawn);
        assert!(matches!(parse(&record(Value::Null)), Reading::Wanted(_)));
    }

    #[test]
    fn git_range_is_skipped_and_the_next_one_counts() {
        let ranges = json!([
            {"type": "GIT", "repo": "https://example.test", "events": [{"introduced": "0"}, {"fixed": "c0ffee"}]},
            {"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "1.2"}]},
        ]);
        assert_eq!(ranges_of(&affected("Debian:12", &ranges)), [">= 0, < 1.2"]);
    }

    #[test]
    fn listed_versions_count_only_where_no_range_does() {
        let mut both = affected(
            "Debian:12",
            &json!([{"type": "SEMVER", "events": [{"introduced": "0"}, {"fixed": "1"}]}]),
        );
        both["versions"] = json!(["5"]);
        assert_eq!(ranges_of(&both), [">= 0, < 1"]);

        let mut git = affected("Debian:12", &json!([{"type": "GIT", "events": [{"introduced": "0"}]}]));
        git["versions"] = json!(["5", "6"]);
        assert_eq!(ranges_of(&git), ["= 5", "= 6"]);
    }

    #[test]
    fn range_that_affects_nothing_does_not_fall_back_to_listed_versions() {
        let events = json!([{"introduced": "0"}, {"fixed": "0"}]);
        let mut never = affected("Alpine:v3.19", &json!([{"type": "ECOSYSTEM", "events": events}]));
        never["versions"] = json!(["1.2.3-r0"]);
        assert!(ranges_of(&never).is_empty());
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
