//! What has to go so that the rest fits: the least recently used first. Pure.

use jiff::Timestamp;

/// Something that takes room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held<T> {
    /// What it is. Decides between those that were used at the same time, so that several who tidy up agree.
    pub what: T,
    /// How much room it takes.
    pub bytes: u64,
    /// When it was used last.
    pub used: Timestamp,
}

/// How much room there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// In bytes.
    pub bytes: u64,
    /// In entries.
    pub entries: usize,
}

/// The least recently used of what is held, so many that the rest and what is to come fit.
#[must_use]
pub fn surplus<T: Ord>(held: &[Held<T>], incoming: Option<u64>, limits: Limits) -> Vec<&Held<T>> {
    let total = held.iter().map(|held| held.bytes).fold(0_u64, u64::saturating_add);
    let mut bytes = total.saturating_add(incoming.unwrap_or_default());
    let mut entries = held.len() + usize::from(incoming.is_some());
    let mut oldest: Vec<&Held<T>> = held.iter().collect();
    oldest.sort_by_key(|held| (held.used, &held.what));
    let is_too_much = |held: &&Held<T>| {
        let is_over = bytes > limits.bytes || entries > limits.entries;
        bytes = bytes.saturating_sub(held.bytes);
        entries = entries.saturating_sub(1);
        is_over
    };
    oldest.into_iter().take_while(is_too_much).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn held(what: &str, bytes: u64, used: i64) -> Held<String> {
        Held { what: what.to_owned(), bytes, used: Timestamp::from_second(used).expect("a time") }
    }

    fn names(held: &[Held<String>], incoming: Option<u64>, bytes: u64, entries: usize) -> Vec<String> {
        surplus(held, incoming, Limits { bytes, entries }).into_iter().map(|held| held.what.clone()).collect()
    }

    #[test]
    fn the_least_recently_used_goes_first_and_no_more_than_needed() {
        let all = [held("new", 10, 30), held("old", 10, 10), held("middle", 10, 20)];
        assert_eq!(names(&all, None, 30, 9), [""; 0]);
        assert_eq!(names(&all, Some(1), 30, 9), ["old"]);
        assert_eq!(names(&all, Some(11), 30, 9), ["old", "middle"]);
        assert_eq!(names(&all, None, 15, 9), ["old", "middle"]);
        assert_eq!(names(&all, None, 0, 9), ["old", "middle", "new"]);
    }

    #[test]
    fn too_many_entries_are_too_much_as_well() {
        let all = [held("b", 1, 10), held("a", 1, 10)];
        assert_eq!(names(&all, Some(0), 100, 2), ["a"]);
        assert_eq!(names(&all, None, 100, 2), [""; 0]);
    }

    proptest! {
        #[test]
        fn what_is_left_fits_and_nothing_that_went_was_used_later(
            sizes in proptest::collection::vec((0..1000_u64, 0..100_i64), 0..30),
            incoming in 0..1000_u64,
            limit in 0..5000_u64,
        ) {
            let all: Vec<_> =
                sizes.iter().enumerate().map(|(n, (bytes, used))| held(&format!("{n}"), *bytes, *used)).collect();
            let gone = names(&all, Some(incoming), limit, 1000);
            let is_gone = |held: &&Held<String>| gone.contains(&held.what);
            let left: u64 = all.iter().filter(|held| !is_gone(held)).map(|held| held.bytes).sum();
            prop_assert!(left + incoming <= limit || gone.len() == all.len());
            let latest_gone = all.iter().filter(is_gone).map(|held| held.used).max();
            let first_left = all.iter().filter(|held| !is_gone(held)).map(|held| held.used).min();
            prop_assert!(latest_gone <= first_left || first_left.is_none());
            // Without the last that went it would not have fitted.
            if let Some(last) = gone.last().and_then(|last| all.iter().find(|held| held.what == *last)) {
                prop_assert!(left + incoming + last.bytes > limit);
            }
        }

        #[test]
        fn absurd_sizes_do_not_overflow(sizes in proptest::collection::vec(any::<u64>(), 0..5)) {
            let all: Vec<_> = sizes.iter().enumerate().map(|(n, bytes)| held(&format!("{n}"), *bytes, 0)).collect();
            let gone = names(&all, Some(u64::MAX), u64::MAX, usize::MAX);
            prop_assert!(gone.len() <= all.len());
        }
    }
}
