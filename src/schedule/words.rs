//! Times in words.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::expression::{Expression, Set};
use super::interval::Interval;
use super::{Guard, Timing};

const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

impl Timing {
    /// `daily at 03:00 Europe/Berlin`, `every 10 days at 04:17 UTC`, `Sundays at 03:00 UTC`, `every 15 minutes`, and the expression where
    /// there are no such words.
    #[must_use]
    pub fn in_words(&self) -> String {
        let zone = self.time_zone().unwrap_or("in the cluster's own time zone");
        let expression = &self.expression;
        match self.guard {
            Some(Guard::Once(moment)) => {
                let at = self.rules().to_datetime(moment);
                format!("once, on {} at {} {zone}", at.date(), at.strftime("%H:%M"))
            }
            Some(Guard::Every(interval)) => match time_of_day(expression) {
                Some(time) => format!("every {} at {time} {zone}", interval.in_words()),
                None => format!("every {}", interval.in_words()),
            },
            None => match (time_of_day(expression), every(expression)) {
                (None, Some(interval)) => format!("every {}", interval.in_words()),
                (Some(time), _) => match days(expression) {
                    Some(days) => format!("{days} at {time} {zone}"),
                    None => format!("{} {zone}", self.cron()),
                },
                (None, None) => format!("{} {zone}", self.cron()),
            },
        }
    }
}

/// The one time of a day.
fn time_of_day(expression: &Expression) -> Option<String> {
    Some(format!("{:02}:{:02}", expression.hours.only()?, expression.minutes.only()?))
}

/// On which days, if that can be said in a few words.
fn days(expression: &Expression) -> Option<String> {
    let every_day = expression.days.len() == 31;
    let every_month = expression.months.len() == 12;
    let every_weekday = expression.weekdays.len() == 7;
    // Where either is enough, a full one makes it every day.
    if every_month
        && (if expression.both_days { every_day && every_weekday } else { every_day || every_weekday })
    {
        return Some("daily".to_owned());
    }
    if !expression.both_days {
        return None;
    }
    if every_day && every_month {
        return Some(weekdays(expression.weekdays));
    }
    if !every_weekday {
        return None;
    }
    let day = expression.days.only()?;
    if every_month {
        return Some(format!("monthly on day {day}"));
    }
    let month = MONTHS.get(expression.months.only()? as usize - 1)?;
    Some(format!("yearly on {day} {month}"))
}

/// `Sundays`, `Mondays to Fridays`, `Mondays and Thursdays`.
fn weekdays(set: Set) -> String {
    // A week begins with Monday where it is told.
    let mut numbers: Vec<usize> = set.numbers().map(|day| (day as usize + 6) % 7).collect();
    numbers.sort_unstable();
    let name = |monday_first: usize| format!("{}s", DAYS.get((monday_first + 1) % 7).unwrap_or(&"day"));
    match &numbers[..] {
        [first, .., last] if numbers.len() > 2 && last - first == numbers.len() - 1 => {
            format!("{} to {}", name(*first), name(*last))
        }
        [before @ .., last] if !before.is_empty() => {
            let before: Vec<String> = before.iter().map(|day| name(*day)).collect();
            format!("{} and {}", before.join(", "), name(*last))
        }
        [only] => name(*only),
        _ => "never".to_owned(),
    }
}

/// What divides an hour or a day evenly.
fn every(expression: &Expression) -> Option<Interval> {
    if days(expression)? != "daily" {
        return None;
    }
    if expression.hours.len() == 24 {
        return Interval::from_seconds(u64::from(step(expression.minutes, 60)?) * 60);
    }
    expression.minutes.only()?;
    Interval::from_seconds(u64::from(step(expression.hours, 24)?) * 60 * 60)
}

/// How far apart the numbers are if they go round evenly.
fn step(set: Set, whole: u32) -> Option<u32> {
    let step = whole / set.len();
    let first = set.numbers().next()?;
    let even = step * set.len() == whole && set.numbers().eq((first..whole).step_by(step as usize));
    even.then_some(step)
}

/// How long until a moment, and when that is on the clock of who asks: `in 3h, today at 18:00`.
#[must_use]
pub fn until_in_words(moment: Timestamp, now: Timestamp, local: &TimeZone) -> String {
    let minutes = moment.duration_since(now).as_secs().div_euclid(60);
    let how_long = match minutes {
        ..0 => return "now".to_owned(),
        0 => "in less than a minute".to_owned(),
        1..60 => format!("in {minutes}m"),
        // To the nearest, as nobody counts with it.
        60..2850 => format!("in {}h", (minutes + 30) / 60),
        _ => format!("in {}d", (minutes + 720) / 1440),
    };
    let (at, today) = (local.to_datetime(moment), local.to_datetime(now).date());
    let days = at.date().since(today).map_or(i32::MAX, |span| span.get_days());
    let day = match days {
        0 => "today".to_owned(),
        1 => "tomorrow".to_owned(),
        2..=6 => {
            let weekday = usize::try_from(at.weekday().to_sunday_zero_offset()).unwrap_or(0);
            format!("on {}", DAYS.get(weekday).unwrap_or(&"day"))
        }
        _ => format!("on {}", at.date()),
    };
    format!("{how_long}, {day} at {}", at.strftime("%H:%M"))
}
