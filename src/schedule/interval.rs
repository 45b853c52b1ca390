//! Intervals, and the cron expressions that come nearest to them.

use std::fmt;
use std::str::FromStr;

use jiff::SignedDuration;
use sha2::{Digest as _, Sha256};

use super::ScheduleError;

const HOUR: u32 = 60;
const DAY: u32 = 24 * HOUR;
const WEEK: u32 = 7 * DAY;
/// Longest interval.
const LONGEST: u32 = 366 * DAY;
/// The CronJob of an interval that cron cannot say starts no pod more often than that.
const FINEST: u32 = 5;
const EXAMPLES: &str = "numbers with units are wanted, such as 45m, 6h, 1h30m or 10d";
const RANGE: &str = "one minute is the shortest and 366 days are the longest";
/// Most bytes of a text.
const MAX_TEXT: usize = 64;

/// A whole number of minutes, one to 366 days. Written as its largest whole unit: `90m`, `36h`, `10d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Interval {
    minutes: u32,
}

/// Which of the minutes, hours and weekdays that would all do is taken, so that many schedules do not start at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spread(u32);

impl Spread {
    /// That of a name, the same each time: by its SHA-256.
    #[must_use]
    pub fn of(name: &str) -> Self {
        let [a, b, c, d, ..]: [u8; 32] = Sha256::digest(name).into();
        Self(u32::from_be_bytes([a, b, c, d]))
    }

    #[cfg(test)]
    pub(super) const fn at(number: u32) -> Self {
        Self(number)
    }

    fn below(self, parts: u32, unit: u32) -> u32 {
        self.0 / unit % parts
    }
}

impl Interval {
    /// None if it is no whole number of minutes, or too long.
    pub(super) fn from_seconds(seconds: u64) -> Option<Self> {
        let minutes = u32::try_from(seconds / 60).ok()?;
        (seconds.is_multiple_of(60) && (1..=LONGEST).contains(&minutes)).then_some(Self { minutes })
    }

    /// In seconds.
    #[must_use]
    pub fn seconds(self) -> u64 {
        u64::from(self.minutes) * 60
    }

    /// As a duration.
    #[must_use]
    pub fn duration(self) -> SignedDuration {
        SignedDuration::from_mins(self.minutes.into())
    }

    /// How often cron must start it so that all its moments are among the starts: the longest of what divides an hour, a day or a
    /// week evenly, and this.
    pub(super) fn tick(self) -> Self {
        let minutes = match self.minutes {
            minutes if minutes.is_multiple_of(WEEK) => WEEK,
            minutes if minutes.is_multiple_of(DAY) => DAY,
            minutes if minutes.is_multiple_of(HOUR) => common(minutes / HOUR, 24) * HOUR,
            minutes => common(minutes, HOUR),
        };
        Self { minutes }
    }

    /// Whether cron can say it.
    pub(super) fn is_even(self) -> bool {
        self.tick() == self
    }

    /// The expression of its tick.
    pub(super) fn cron(self, spread: Spread) -> Result<String, ScheduleError> {
        let tick = self.tick();
        if tick.minutes < FINEST && tick != self {
            let below = Self { minutes: self.minutes / FINEST * FINEST };
            let above = Self { minutes: below.minutes + FINEST };
            return Err(ScheduleError::TooFine { interval: self, tick, below: below.max(tick), above });
        }
        let minute = spread.below(HOUR, 1);
        Ok(match tick.minutes {
            1 => "* * * * *".to_owned(),
            minutes if minutes < HOUR => format!("{}-59/{minutes} * * * *", spread.below(minutes, 1)),
            HOUR => format!("{minute} * * * *"),
            minutes if minutes < DAY => {
                let hours = minutes / HOUR;
                format!("{minute} {}-23/{hours} * * *", spread.below(hours, HOUR))
            }
            DAY => format!("{minute} {} * * *", spread.below(24, HOUR)),
            _ => format!("{minute} {} * * {}", spread.below(24, HOUR), spread.below(7, DAY)),
        })
    }

    /// `10 days`, `5 hours`, `45 minutes`; without the number where it is one.
    pub(super) fn in_words(self) -> String {
        let (number, unit, _) = self.parts();
        if number == 1 { unit.to_owned() } else { format!("{number} {unit}s") }
    }

    fn parts(self) -> (u32, &'static str, char) {
        match self.minutes {
            minutes if minutes.is_multiple_of(DAY) => (minutes / DAY, "day", 'd'),
            minutes if minutes.is_multiple_of(HOUR) => (minutes / HOUR, "hour", 'h'),
            minutes => (minutes, "minute", 'm'),
        }
    }
}

/// Greatest common divisor.
fn common(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { common(b, a % b) }
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (number, _, letter) = self.parts();
        write!(f, "{number}{letter}")
    }
}

impl FromStr for Interval {
    type Err = ScheduleError;

    /// Numbers with units, `w`, `d`, `h`, `m`, `s`, one after the other.
    fn from_str(text: &str) -> Result<Self, ScheduleError> {
        if text.len() > MAX_TEXT {
            return Err(ScheduleError::TooLong { bytes: text.len(), most: MAX_TEXT });
        }
        let refused = |reason| ScheduleError::Interval { interval: text.to_owned(), reason };
        let mut seconds: u64 = 0;
        let mut rest = text.trim();
        if rest.is_empty() {
            return Err(refused(EXAMPLES));
        }
        while !rest.is_empty() {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let (number, unit) = rest.split_at(digits);
            let mut units = unit.chars();
            let in_seconds = match units.next() {
                Some('w') => WEEK * 60,
                Some('d') => DAY * 60,
                Some('h') => HOUR * 60,
                Some('m') => 60,
                Some('s') => 1,
                _ => return Err(refused(EXAMPLES)),
            };
            if digits == 0 {
                return Err(refused(EXAMPLES));
            }
            let more = number.parse::<u64>().ok().and_then(|number| number.checked_mul(in_seconds.into()));
            seconds = more.and_then(|more| seconds.checked_add(more)).ok_or_else(|| refused(RANGE))?;
            rest = units.as_str();
        }
        if seconds >= 60 && !seconds.is_multiple_of(60) {
            return Err(refused("a schedule runs at whole minutes"));
        }
        Self::from_seconds(seconds).ok_or_else(|| refused(RANGE))
    }
}
