//! The runs of a schedule that are to come, and those that did not.

use jiff::{SignedDuration, Timestamp};

use super::{Decision, Guard, Timing, decide, walk};

/// Most runs that are counted as missed.
pub const MOST_MISSED: usize = 1000;
/// How far the runs that are to come go.
const HORIZON: SignedDuration = SignedDuration::from_hours(10 * 366 * 24);
/// Starts that may pass for one run. An interval's guard is asked from half a tick before its time on, so this is for expressions
/// that were changed by hand.
const MAX_STARTS: usize = 1000;

/// Moments in their order. Ends after ten years, and where none comes for five.
#[derive(Clone, Debug)]
pub struct Runs<'a> {
    timing: &'a Timing,
    after: Timestamp,
    until: Timestamp,
    last_run: Option<Timestamp>,
}

impl Timing {
    /// The runs after a moment, as its controller would start it and its guard let it, if the last one began at `last_run`.
    #[must_use]
    pub fn next_runs(&self, after: Timestamp, last_run: Option<Timestamp>) -> Runs<'_> {
        let until = after.checked_add(HORIZON).unwrap_or(Timestamp::MAX);
        Runs { timing: self, after, until, last_run: last_run.filter(|last| *last <= after) }
    }

    /// How many runs there should have been after the one at `last` and up to `now`, at most [`MOST_MISSED`].
    #[must_use]
    pub fn missed(&self, last: Timestamp, now: Timestamp) -> usize {
        self.next_runs(last, Some(last)).take_while(|run| *run <= now).take(MOST_MISSED).count()
    }
}

impl Iterator for Runs<'_> {
    type Item = Timestamp;

    fn next(&mut self) -> Option<Timestamp> {
        let run = self.search().filter(|run| *run <= self.until);
        // What has come to its end stays there.
        self.after = run.unwrap_or(Timestamp::MAX);
        self.last_run = run;
        run
    }
}

impl Runs<'_> {
    fn search(&self) -> Option<Timestamp> {
        let Timing { expression, guard, .. } = self.timing;
        let mut after = self.after;
        match (guard, self.last_run) {
            (Some(Guard::Once(moment)), last) => {
                return (*moment > after && decide(Guard::Once(*moment), *moment, last) == Decision::Run)
                    .then_some(*moment);
            }
            (Some(Guard::Every(interval)), Some(last)) => {
                let early = interval.duration() - interval.tick().duration() / 2;
                after = after.max(last.checked_add(early).ok()?);
            }
            _ => {}
        }
        for _ in 0..MAX_STARTS {
            after = walk::next(expression, self.timing.rules(), after)?;
            if guard.is_none_or(|guard| decide(guard, after, self.last_run) == Decision::Run) {
                return Some(after);
            }
        }
        None
    }
}
