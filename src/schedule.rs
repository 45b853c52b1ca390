//! When a schedule runs: what a person asks for, the CronJob's `spec.schedule` and `spec.timeZone` that come of it, and back.
//!
//! Cron's steps begin anew with each hour, day and month, and it has no years. What it cannot say (every 5 hours, every 10 days,
//! once) is said by an expression that runs more often, and a [`Guard`] by which the runner decides whether this is one of the
//! moments that were meant.
//!
//! Pure: moments are arguments, nothing here asks a clock. CronJobs are read as hostile: expressions are bounded, and so is the
//! search for a moment.

use std::borrow::Cow;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

mod clock;
mod expression;
mod guard;
mod interval;
mod name;
mod runs;
mod walk;
mod words;
mod zone;

pub use guard::{Decision, Guard, decide};
pub use interval::{Interval, Spread};
pub use name::{NameError, check_name};
pub use runs::{MOST_MISSED, Runs};
pub use words::until_in_words;
pub use zone::Zone;

use expression::Expression;

/// Least and most that a start may be late, and what it may be where there is no second chance.
const LEAST_DEADLINE: SignedDuration = SignedDuration::from_mins(2);
const MOST_DEADLINE: SignedDuration = SignedDuration::from_hours(12);
const ONLY_DEADLINE: SignedDuration = SignedDuration::from_hours(24);
/// What `@every` is followed by.
const EVERY: &str = "@every ";

/// What somebody asked for, as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When<'a> {
    /// Five fields, `@daily` and the like, or `@every 90m`, which is [`When::Every`].
    Cron(&'a str),
    /// `45m`, `6h`, `1h30m`, `10d`, `2w`: one minute to 366 days.
    Every(&'a str),
    /// `03:00`.
    Daily(&'a str),
    /// `sun@03:00`, `mon,thu@03:00`, `mon-fri@03:00`.
    Weekly(&'a str),
    /// `2027-01-31T03:00` on the clock of the zone, or with an offset or `Z`.
    At(&'a str),
}

/// When a schedule runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timing {
    expression: Expression,
    /// None for a CronJob that names none: the controller takes the zone of its own machine.
    zone: Option<Zone>,
    guard: Option<Guard>,
}

/// What is no time of a schedule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// An expression that Kubernetes would refuse.
    #[error("{expression:?} is no cron expression: {reason}")]
    Expression {
        /// As it was given.
        expression: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A text of any kind that is longer than it can have reason to be.
    #[error("a time of {bytes} bytes is not read: {most} are the most")]
    TooLong {
        /// What it has.
        bytes: usize,
        /// What it may have.
        most: usize,
    },
    /// `TZ=` or `CRON_TZ=` in front of the fields, which Kubernetes refuses.
    #[error("the cron expression {expression:?} names a time zone, which Kubernetes takes on its own only")]
    ZoneInExpression {
        /// As it was given.
        expression: String,
    },
    /// A day that none of its months has, such as the 30th of February.
    #[error("{expression:?} never runs: none of its months has such a day")]
    Never {
        /// As it was given.
        expression: String,
    },
    /// A zone that the time zone database does not know.
    #[error("{0:?} is no time zone: Europe/Berlin, America/New_York, UTC")]
    Zone(String),
    /// No interval.
    #[error("{interval:?} is no interval: {reason}")]
    Interval {
        /// As it was given.
        interval: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// An interval that only a CronJob of nearly every minute would hit.
    #[error(
        "every {interval} would start a pod every {tick} to find out whether it is time: {below} or {above} would not"
    )]
    TooFine {
        /// What was asked for.
        interval: Interval,
        /// What it would take.
        tick: Interval,
        /// The next shorter one that can be had.
        below: Interval,
        /// The next longer one.
        above: Interval,
    },
    /// No time of a day.
    #[error("{0:?} is no time of a day: 03:00, 18:30")]
    TimeOfDay(String),
    /// No days of a week with a time.
    #[error("{weekly:?} is no day of a week with a time, such as sun@03:00 or mon,thu@03:00: {reason}")]
    Weekly {
        /// As it was given.
        weekly: String,
        /// What is wrong with it.
        reason: String,
    },
    /// No moment.
    #[error("{0:?} is no date with a time: 2027-01-31T03:00, 2027-01-31T03:00+01:00, 2027-01-31T02:00Z")]
    Moment(String),
    /// A moment that is no whole minute.
    #[error("{0:?} has seconds, and a schedule runs at whole minutes")]
    Seconds(String),
    /// A moment that is over.
    #[error("{0:?} is over")]
    Past(String),
    /// A moment that is more than five years away.
    #[error("{0:?} is more than five years away")]
    TooFar(String),
    /// A time that clocks pass over when they are put forward.
    #[error("{moment:?} does not exist in {zone}: clocks are put forward over it")]
    Skipped {
        /// As it was given.
        moment: String,
        /// In which zone.
        zone: String,
    },
    /// A guard that is none.
    #[error("{0:?} is no guard of a schedule: every=864000, once=2027-01-31T02:00:00Z")]
    Guard(String),
    /// A guard for a moment at which the expression does not run.
    #[error("{expression:?} does not run at {moment}, for which it stands")]
    Mismatch {
        /// Of the CronJob.
        expression: String,
        /// Of the guard.
        moment: Timestamp,
    },
}

impl Timing {
    /// What was asked for, on the clocks of a zone. `spread` decides the minute, the hour and the weekday where nobody named them; `now`
    /// what is over.
    pub fn new(when: When<'_>, zone: &Zone, spread: Spread, now: Timestamp) -> Result<Self, ScheduleError> {
        let (expression, guard): (Cow<'_, str>, _) = match when {
            When::Cron(text) => match text.trim().strip_prefix(EVERY) {
                Some(interval) => return Self::new(When::Every(interval.trim()), zone, spread, now),
                None => (text.into(), None),
            },
            When::Every(text) => {
                let interval: Interval = text.parse()?;
                (interval.cron(spread)?.into(), (!interval.is_even()).then_some(Guard::Every(interval)))
            }
            When::Daily(text) => {
                let (hour, minute) = clock::time_of_day(text)?;
                (format!("{minute} {hour} * * *").into(), None)
            }
            When::Weekly(text) => (clock::weekly(text)?.into(), None),
            When::At(text) => {
                let moment = clock::moment(text, zone, now)?;
                let at = zone.rules().to_datetime(moment);
                let cron = format!("{} {} {} {} *", at.minute(), at.hour(), at.day(), at.month());
                (cron.into(), Some(Guard::Once(moment)))
            }
        };
        let expression = Expression::parse(&expression)?;
        Self { expression, zone: Some(zone.clone()), guard }.checked()
    }

    /// What a CronJob says: `spec.schedule`, `spec.timeZone` and its guard's text.
    pub fn read(cron: &str, time_zone: Option<&str>, guard: Option<&str>) -> Result<Self, ScheduleError> {
        let expression = Expression::parse(cron)?;
        let zone = time_zone.map(str::parse).transpose()?;
        let guard = guard.map(str::parse).transpose()?;
        Self { expression, zone, guard }.checked()
    }

    fn checked(self) -> Result<Self, ScheduleError> {
        let Some(Guard::Once(moment)) = self.guard else { return Ok(self) };
        // From a day before, as the controller comes from it: some half hours after a change of clocks it passes over.
        let from = moment.checked_sub(SignedDuration::from_hours(24)).unwrap_or(moment);
        let mut after = Some(from);
        for _ in 0..3 {
            after = after.and_then(|after| walk::next(&self.expression, self.rules(), after));
            if after == Some(moment) {
                return Ok(self);
            }
        }
        Err(ScheduleError::Mismatch { expression: self.expression.as_str().to_owned(), moment })
    }

    /// For `spec.schedule`: five fields.
    #[must_use]
    pub fn cron(&self) -> &str {
        self.expression.as_str()
    }

    /// For `spec.timeZone`.
    #[must_use]
    pub fn time_zone(&self) -> Option<&str> {
        self.zone.as_ref().map(Zone::name)
    }

    /// By what the runner decides whether a start is one that was meant; none if each is.
    #[must_use]
    pub fn guard(&self) -> Option<Guard> {
        self.guard
    }

    /// For `spec.startingDeadlineSeconds`: how late the controller may start it if it was away at the moment. Half the way from
    /// the next start to the one after it, so that what was missed never meets what comes, between 2 minutes and 12 hours; a day for what
    /// runs once, which is given up after that.
    #[must_use]
    pub fn starting_deadline(&self, now: Timestamp) -> SignedDuration {
        if let Some(Guard::Once(_)) = self.guard {
            return ONLY_DEADLINE;
        }
        let next = |after| walk::next(&self.expression, self.rules(), after);
        let gap = next(now).and_then(|first| Some(next(first)?.duration_since(first)));
        gap.map_or(MOST_DEADLINE, |gap| (gap / 2).clamp(LEAST_DEADLINE, MOST_DEADLINE))
    }

    /// Rules of its zone. Controllers run in UTC unless somebody made an effort, so that is what an unnamed zone is taken for.
    fn rules(&self) -> &TimeZone {
        const UTC: &TimeZone = &TimeZone::UTC;
        self.zone.as_ref().map_or(UTC, Zone::rules)
    }
}

#[cfg(test)]
mod tests;
