//! What the runner asks itself before it scans, where cron starts it more often than was asked for.

use std::fmt;
use std::str::FromStr;

use jiff::{SignedDuration, Timestamp};

use super::ScheduleError;
use super::interval::Interval;

/// How much too early a start is that still counts as the one: clocks of machines differ. Less than what any zone puts its clocks
/// back by, so that of a time that exists twice the right one is taken.
const EARLY: SignedDuration = SignedDuration::from_mins(10);
/// How late: half of the year after which its expression comes round again. A pod may wait long for a node.
const LATE: SignedDuration = SignedDuration::from_hours(183 * 24);

/// By what a start is judged. As text, for an annotation or a variable: `every=864000`, in seconds, or
/// `once=2027-01-31T02:00:00Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guard {
    /// By the time since the last run.
    Every(Interval),
    /// By the moment, as cron has no years.
    Once(Timestamp),
}

/// What the runner is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Scan.
    Run,
    /// End: it is not time.
    NotYet {
        /// When it will be. The start that is meant is the one that comes nearest.
        next: Timestamp,
    },
    /// End, and for good: it has run, or its time has passed. The schedule may be removed.
    Over,
}

/// Whether a start at `now` is one that was meant; `last_run` is when the last one that was meant began.
///
/// The starts of [`Guard::Every`] are a tick apart, and the interval is a whole number of ticks; but each is some seconds late, an hour off
/// where clocks were changed, or hours late after an outage. So a run that is due in less than half a tick is due now: of all starts
/// that is the nearest to its time, whichever way it is off. A last run that lies in the future is none.
#[must_use]
pub fn decide(guard: Guard, now: Timestamp, last_run: Option<Timestamp>) -> Decision {
    match guard {
        Guard::Every(interval) => {
            let half = interval.tick().duration() / 2;
            let Some(last) = last_run.filter(|last| last.duration_since(now) <= half) else {
                return Decision::Run;
            };
            let Ok(next) = last.checked_add(interval.duration()) else { return Decision::Run };
            if next.duration_since(now) < half { Decision::Run } else { Decision::NotYet { next } }
        }
        Guard::Once(moment) => {
            let late = now.duration_since(moment);
            if late > LATE || last_run.is_some_and(|last| last.duration_since(moment) >= -EARLY) {
                Decision::Over
            } else if late < -EARLY {
                Decision::NotYet { next: moment }
            } else {
                Decision::Run
            }
        }
    }
}

impl fmt::Display for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Every(interval) => write!(f, "every={}", interval.seconds()),
            Self::Once(moment) => write!(f, "once={moment}"),
        }
    }
}

impl FromStr for Guard {
    type Err = ScheduleError;

    /// Takes what is written here and nothing else.
    fn from_str(text: &str) -> Result<Self, ScheduleError> {
        // The longest is a moment.
        let none = || ScheduleError::Guard(text.chars().take(64).collect());
        let guard = match text.split_once('=') {
            Some(("every", seconds)) => Interval::from_seconds(seconds.parse().map_err(|_| none())?)
                .map(Self::Every)
                .ok_or_else(none)?,
            Some(("once", moment)) if moment.len() <= 64 => Self::Once(moment.parse().map_err(|_| none())?),
            _ => return Err(none()),
        };
        if guard.to_string() == text { Ok(guard) } else { Err(none()) }
    }
}
