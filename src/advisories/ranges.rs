//! Ranges of affected versions. OSV schema, `affected[].ranges[]`, "Evaluation".

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;

use super::versions::Comparator;

/// One entry of a range's `events`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// From this version on; `0` is before all versions.
    Introduced(String),
    /// Up to but not with this version.
    Fixed(String),
    /// Up to and with this version; which one is fixed is not known.
    LastAffected(String),
}

/// Versions from one event to the next that ends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interval<'a> {
    /// The first affected version; none is minus infinity.
    pub introduced: Option<Cow<'a, str>>,
    /// Where it ends.
    pub end: End<'a>,
}

/// Where an interval of affected versions ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End<'a> {
    /// Before this version, which is fixed.
    Fixed(Cow<'a, str>),
    /// With this version.
    LastAffected(Cow<'a, str>),
    /// Nowhere: no fix is known.
    Never,
}

impl Event {
    /// The version as written; none stands for minus infinity.
    fn version(&self) -> Option<&str> {
        match self {
            Self::Introduced(version) if version == "0" => None,
            Self::Introduced(version) | Self::Fixed(version) | Self::LastAffected(version) => Some(version),
        }
    }
}

impl Interval<'_> {
    /// Whether it holds an installed version.
    #[must_use]
    pub fn contains(&self, version: &str, comparator: Comparator) -> bool {
        let begins = match &self.introduced {
            Some(introduced) => comparator.compare_installed(version, introduced).is_ge(),
            None => true,
        };
        begins
            && match &self.end {
                End::Fixed(fixed) => comparator.compare_installed(version, fixed).is_lt(),
                End::LastAffected(last) => comparator.compare_installed(version, last).is_le(),
                End::Never => true,
            }
    }

    /// The version that it ends before or with.
    #[must_use]
    pub fn last(&self) -> Option<&str> {
        match &self.end {
            End::Fixed(version) | End::LastAffected(version) => Some(version),
            End::Never => None,
        }
    }

    /// The versions that it begins and ends with.
    pub fn bounds(&self) -> impl Iterator<Item = &str> {
        self.introduced.as_deref().into_iter().chain(self.last())
    }

    /// What of it lies at a version or above.
    #[must_use]
    pub fn from(mut self, version: &str, comparator: Comparator) -> Option<Self> {
        if self.introduced.as_deref().is_none_or(|introduced| comparator.compare(introduced, version).is_lt()) {
            self.introduced = Some(Cow::Owned(version.to_owned()));
        }
        let is_left = match &self.end {
            End::Fixed(fixed) => comparator.compare(fixed, version).is_gt(),
            End::LastAffected(last) => comparator.compare(last, version).is_ge(),
            End::Never => true,
        };
        is_left.then_some(self)
    }

    /// The version that fixes it, if one is known.
    #[must_use]
    pub fn fixed(&self) -> Option<&str> {
        match &self.end {
            End::Fixed(fixed) => Some(fixed),
            End::LastAffected(_) | End::Never => None,
        }
    }
}

impl fmt::Display for Interval<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, ">= {}", self.introduced.as_deref().unwrap_or("0"))?;
        match &self.end {
            End::Fixed(fixed) => write!(f, ", < {fixed}"),
            End::LastAffected(last) => write!(f, ", <= {last}"),
            End::Never => Ok(()),
        }
    }
}

/// The intervals that the events of one range describe, in ascending order.
///
/// Events come in any order. Of those at one version the given order holds, except that `last_affected` comes last
/// since it ends after its version. `fixed: 0` is Alpine's way to say "never affected": no interval comes of it,
/// also not for versions below zero (`0_alpha`).
#[must_use]
pub fn intervals(mut events: Vec<Event>, comparator: Comparator) -> Vec<Interval<'static>> {
    events.sort_by(|a, b| order(a, b, comparator));
    let mut intervals = Vec::new();
    let mut open: Option<Option<Cow<'static, str>>> = None;
    for event in events {
        match event {
            Event::Introduced(version) => {
                open.get_or_insert_with(|| (version != "0").then_some(Cow::Owned(version)));
            }
            Event::Fixed(fixed) => {
                if let Some(introduced) = open.take().filter(|_| fixed != "0") {
                    intervals.push(Interval { introduced, end: End::Fixed(Cow::Owned(fixed)) });
                }
            }
            Event::LastAffected(last) => {
                if let Some(introduced) = open.take() {
                    intervals.push(Interval { introduced, end: End::LastAffected(Cow::Owned(last)) });
                }
            }
        }
    }
    if let Some(introduced) = open {
        intervals.push(Interval { introduced, end: End::Never });
    }
    intervals
}

fn order(a: &Event, b: &Event, comparator: Comparator) -> Ordering {
    let by_version = match (a.version(), b.version()) {
        (Some(a), Some(b)) => comparator.compare(a, b),
        (a, b) => a.is_some().cmp(&b.is_some()),
    };
    let ends_after = |event: &Event| matches!(event, Event::LastAffected(_));
    by_version.then_with(|| ends_after(a).cmp(&ends_after(b)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn introduced(version: &str) -> Event {
        Event::Introduced(version.to_owned())
    }

    fn fixed(version: &str) -> Event {
        Event::Fixed(version.to_owned())
    }

    fn last(version: &str) -> Event {
        Event::LastAffected(version.to_owned())
    }

    fn words(events: &[Event]) -> Vec<String> {
        intervals(events.to_vec(), Comparator::Dpkg).iter().map(ToString::to_string).collect()
    }

    fn affected(events: &[Event], version: &str) -> bool {
        intervals(events.to_vec(), Comparator::Dpkg).iter().any(|i| i.contains(version, Comparator::Dpkg))
    }

    #[test]
    fn zero_is_minus_infinity_and_fixed_is_exclusive() {
        let events = [introduced("0"), fixed("1.2-3")];
        assert!(affected(&events, "0~~"));
        assert!(affected(&events, "1.2-3~rc1"));
        assert!(!affected(&events, "1.2-3"));
        assert_eq!(words(&events), [">= 0, < 1.2-3"]);
    }

    #[test]
    fn last_affected_is_inclusive_and_has_no_fix() {
        let events = [introduced("1"), last("2")];
        assert!(affected(&events, "2") && !affected(&events, "2.0.1") && !affected(&events, "0.9"));
        let intervals = intervals(events.to_vec(), Comparator::Dpkg);
        assert_eq!(intervals[0].fixed(), None);
        assert_eq!(intervals[0].to_string(), ">= 1, <= 2");
    }

    #[test]
    fn interval_can_be_cut_from_below() {
        let cut = |events: &[Event]| {
            let cut = |interval: Interval<'static>| interval.from("2", Comparator::Dpkg);
            intervals(events.to_vec(), Comparator::Dpkg)
                .into_iter()
                .filter_map(cut)
                .map(|i| i.to_string())
                .collect()
        };
        let events = [introduced("0"), fixed("1"), introduced("1.5"), fixed("2.5"), introduced("3")];
        let left: Vec<String> = cut(&events);
        assert_eq!(left, [">= 2, < 2.5", ">= 3"]);
        assert_eq!(cut(&[introduced("0"), fixed("2")]), [""; 0]);
        assert_eq!(cut(&[introduced("0"), last("2")]), [">= 2, <= 2"]);
    }

    #[test]
    fn range_without_an_end_is_unfixed() {
        assert!(affected(&[introduced("0")], "999:1"));
        assert_eq!(words(&[introduced("0")]), [">= 0"]);
        assert_eq!(words(&[introduced("2")]), [">= 2"]);
    }

    #[test]
    fn several_pairs_in_any_order_are_several_intervals() {
        let events = [fixed("3"), introduced("2"), fixed("1"), introduced("0")];
        assert_eq!(words(&events), [">= 0, < 1", ">= 2, < 3"]);
        assert!(!affected(&events, "1.5"));
    }

    #[test]
    fn fixed_zero_means_not_affected() {
        assert!(words(&[introduced("0"), fixed("0")]).is_empty());
        let alpine = intervals(vec![introduced("0"), fixed("0")], Comparator::Apk);
        assert!(!alpine.iter().any(|i| i.contains("0_alpha", Comparator::Apk)));
    }

    #[test]
    fn events_of_one_version_keep_their_order() {
        assert_eq!(
            words(&[introduced("0"), fixed("1"), introduced("1"), fixed("2")]),
            [">= 0, < 1", ">= 1, < 2"]
        );
        assert_eq!(words(&[last("1"), introduced("1")]), [">= 1, <= 1"]);
    }

    #[test]
    fn end_without_a_beginning_affects_nothing() {
        assert!(words(&[fixed("1"), last("2")]).is_empty());
        assert!(words(&[]).is_empty());
    }

    /// The algorithm as the OSV schema writes it down.
    fn evaluated(events: &[Event], version: &str) -> bool {
        let mut sorted = events.to_vec();
        sorted.sort_by(|a, b| order(a, b, Comparator::Dpkg));
        let at_least = |bound: &str| bound == "0" || Comparator::Dpkg.compare(version, bound).is_ge();
        let mut vulnerable = false;
        for event in &sorted {
            match event {
                Event::Introduced(bound) if at_least(bound) => vulnerable = true,
                Event::Fixed(bound) if at_least(bound) => vulnerable = false,
                Event::LastAffected(bound) if Comparator::Dpkg.compare(version, bound).is_gt() => {
                    vulnerable = false;
                }
                _ => {}
            }
        }
        vulnerable
    }

    fn event() -> impl Strategy<Value = Event> {
        let version = "[1-9](\\.[0-9])?";
        prop_oneof![
            prop_oneof![Just("0".to_owned()), version.prop_map(String::from)].prop_map(Event::Introduced),
            version.prop_map(Event::Fixed),
            version.prop_map(Event::LastAffected),
        ]
    }

    proptest! {
        #[test]
        fn intervals_hold_what_the_schema_evaluates(
            events in prop::collection::vec(event(), 0..7),
            version in "[0-9](\\.[0-9])?",
        ) {
            prop_assert_eq!(affected(&events, &version), evaluated(&events, &version), "{:?}", events);
        }
    }
}
