//! Which versions a record affects: its ranges, or the list of versions.

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::Value;

use super::record::or_default;
use crate::advisories::AffectedVersions;
use crate::advisories::ranges::{self, Event, Interval};
use crate::advisories::versions::Comparator;

/// One of `affected[].ranges`.
#[derive(Deserialize)]
pub(super) struct RangeRecord<'a> {
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

/// `versions` counts only where no range can be evaluated: our comparators are good, and the lists lag behind.
///
/// Go's database keeps ranges in the numbers of a project's own releases apart (`ecosystem_specific.custom_ranges`)
/// where those are no versions of its Go module. The other range then often says `introduced: 0` and nothing else, since
/// Go knows of no version with the fix: that is no reason to call all of them affected.
pub(super) fn affected_versions(
    ranges: Vec<RangeRecord<'_>>,
    listed: BTreeSet<String>,
    custom: Option<&Value>,
    comparator: Comparator,
) -> AffectedVersions<'static> {
    let custom = custom.and_then(|custom| Vec::<RangeRecord<'_>>::deserialize(custom).ok());
    let custom = custom.and_then(|custom| intervals(custom, comparator));
    match (intervals(ranges, comparator), custom) {
        (Some(of_module), Some(of_releases)) => with_releases(of_module, of_releases, comparator),
        (Some(intervals), None) => AffectedVersions::Ranges(intervals),
        (None, Some(of_releases)) => AffectedVersions::Releases(of_releases),
        (None, None) => AffectedVersions::Listed(listed.into_iter().map(Cow::Owned).collect()),
    }
}

/// The intervals of all ranges that can be evaluated; none if there is no such range.
fn intervals(ranges: Vec<RangeRecord<'_>>, comparator: Comparator) -> Option<Vec<Interval<'static>>> {
    let mut usable =
        ranges.into_iter().filter(|range| range.kind != "GIT" && !range.events.is_empty()).peekable();
    usable.peek()?;
    Some(usable.flat_map(|range| ranges::intervals(range.into_events(), comparator)).collect())
}

/// Intervals in the versions of a Go module, and those in the numbers of the project's releases.
///
/// Where the first ones end, they hold for versions of the module, which are lower (etcd 3.4.22 is `0.5.0-alpha…` as a
/// module, Vitess 17.0.7 is 0.17.7): of the others only what lies in higher major versions cannot mean the module.
/// Where they do not end, only the others tell anything.
fn with_releases(
    of_module: Vec<Interval<'static>>,
    of_releases: Vec<Interval<'static>>,
    comparator: Comparator,
) -> AffectedVersions<'static> {
    let mut known: Vec<Interval<'static>> =
        of_module.into_iter().filter(|interval| interval.last().is_some()).collect();
    let last = known.iter().filter_map(Interval::last).max_by(|a, b| comparator.compare(a, b));
    let Some(beyond) = last.map(next_major) else {
        return AffectedVersions::Releases(of_releases);
    };
    if let Some(beyond) = beyond {
        known.extend(of_releases.into_iter().filter_map(|interval| interval.from(&beyond, comparator)));
    }
    AffectedVersions::Ranges(known)
}

/// The first version of the next major one; none where there is no number to count on from.
fn next_major(version: &str) -> Option<String> {
    let major: u64 = version.trim_start_matches('v').split('.').next()?.parse().ok()?;
    Some(format!("{}.0.0", major.checked_add(1)?))
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// What an element of `affected` says, in words; a question mark where it is about releases only.
    fn words(affected: &Value, comparator: Comparator) -> Vec<String> {
        let ranges = Vec::<RangeRecord<'_>>::deserialize(&affected["ranges"]).expect("ranges");
        let listed = BTreeSet::<String>::deserialize(&affected["versions"]).unwrap_or_default();
        let custom = affected["ecosystem_specific"].get("custom_ranges");
        match affected_versions(ranges, listed, custom, comparator) {
            AffectedVersions::Ranges(intervals) => intervals.iter().map(ToString::to_string).collect(),
            AffectedVersions::Releases(intervals) => intervals.iter().map(|i| format!("{i} ?")).collect(),
            AffectedVersions::Listed(versions) => versions.iter().map(|v| format!("= {v}")).collect(),
        }
    }

    fn range(kind: &str, events: &Value) -> Value {
        json!([{"type": kind, "events": events}])
    }

    #[test]
    fn git_range_is_skipped_and_the_next_one_counts() {
        let ranges = json!([
            {"type": "GIT", "repo": "https://example.test", "events": [{"introduced": "0"}, {"fixed": "c0ffee"}]},
            {"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "1.2"}]},
        ]);
        assert_eq!(words(&json!({"ranges": ranges}), Comparator::Dpkg), [">= 0, < 1.2"]);
    }

    #[test]
    fn listed_versions_count_only_where_no_range_does() {
        let events = json!([{"introduced": "0"}, {"fixed": "1"}]);
        let both = json!({"ranges": range("SEMVER", &events), "versions": ["5"]});
        assert_eq!(words(&both, Comparator::Dpkg), [">= 0, < 1"]);

        let git = json!({"ranges": range("GIT", &events), "versions": ["5", "6"]});
        assert_eq!(words(&git, Comparator::Dpkg), ["= 5", "= 6"]);
    }

    #[test]
    fn range_that_affects_nothing_does_not_fall_back_to_listed_versions() {
        let events = json!([{"introduced": "0"}, {"fixed": "0"}]);
        let never = json!({"ranges": range("ECOSYSTEM", &events), "versions": ["1.2.3-r0"]});
        assert!(words(&never, Comparator::Apk).is_empty());
    }

    #[test]
    fn type_of_a_range_does_not_choose_the_comparator() {
        let events = json!([{"fixed": "1.0"}, {"introduced": "1.0rc1"}, {"introduced": "2.0"}]);
        let wrong = json!({"ranges": range("SEMVER", &events)});
        assert_eq!(words(&wrong, Comparator::Pep440), [">= 1.0rc1, < 1.0", ">= 2.0"]);
    }

    fn go(events: &Value, custom: &Value) -> Value {
        json!({"ranges": range("SEMVER", events), "ecosystem_specific": {"custom_ranges": range("ECOSYSTEM", custom)}})
    }

    #[test]
    fn ranges_of_releases_replace_one_without_an_end() {
        let custom = json!([{"introduced": "0"}, {"fixed": "3.3.1"}]);
        for events in [json!([{"introduced": "0"}]), json!([{"introduced": "2.0.0+incompatible"}])] {
            assert_eq!(words(&go(&events, &custom), Comparator::Go), [">= 0, < 3.3.1 ?"]);
        }
        let none = json!({"ranges": [], "ecosystem_specific": {"custom_ranges": range("ECOSYSTEM", &custom)}});
        assert_eq!(words(&none, Comparator::Go), [">= 0, < 3.3.1 ?"]);
    }

    #[test]
    fn ranges_of_releases_count_above_the_versions_of_the_module() {
        let vitess = go(
            &json!([{"introduced": "0"}, {"fixed": "0.17.7"}, {"introduced": "0.18.0"}, {"fixed": "0.18.5"}]),
            &json!([{"introduced": "0"}, {"fixed": "17.0.7"}, {"introduced": "18.0.0"}, {"fixed": "18.0.5"}]),
        );
        assert_eq!(
            words(&vitess, Comparator::Go),
            [">= 0, < 0.17.7", ">= 0.18.0, < 0.18.5", ">= 1.0.0, < 17.0.7", ">= 18.0.0, < 18.0.5"]
        );
        let vault = go(
            &json!([{"introduced": "0.11.0"}, {"fixed": "1.16.3"}]),
            &json!([{"introduced": "0"}, {"fixed": "1.15.9"}]),
        );
        assert_eq!(words(&vault, Comparator::Go), [">= 0.11.0, < 1.16.3"]);
    }

    #[test]
    fn custom_ranges_of_another_shape_are_left_alone() {
        let events = json!([{"introduced": "0"}]);
        for custom in [json!("text"), json!([7]), json!([]), json!(null), range("GIT", &events)] {
            let affected =
                json!({"ranges": range("SEMVER", &events), "ecosystem_specific": {"custom_ranges": custom}});
            assert_eq!(words(&affected, Comparator::Go), [">= 0"], "{custom}");
        }
    }
}
