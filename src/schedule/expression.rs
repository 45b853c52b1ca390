//! Cron expressions as Kubernetes' controller reads them: `ParseStandard` of robfig/cron v3, five fields without seconds.
//!
//! The crate `cron` keeps the fields and checks their bounds. It has six or seven of them, counts Sunday as 1, knows no `?` in most of
//! them and takes names that Kubernetes refuses, so what is given to it is written in numbers here first: this is the only place
//! that knows both.

use std::str::FromStr as _;

use cron::TimeUnitSpec;

use super::ScheduleError;

/// Most bytes of an expression; all minutes, hours and days as lists have some 400.
const MAX_EXPRESSION: usize = 1024;
/// The fields in their order.
const FIELDS: [Field; 5] = [
    Field { name: "minute", low: 0, high: 59, names: &[] },
    Field { name: "hour", low: 0, high: 23, names: &[] },
    Field { name: "day of the month", low: 1, high: 31, names: &[] },
    Field { name: "month", low: 1, high: 12, names: &MONTHS },
    Field { name: "day of the week", low: 0, high: 6, names: &DAYS },
];
/// Months as Kubernetes takes them, in either case; the first is 1.
pub(super) const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
/// Days as Kubernetes takes them, in either case; the first is 0.
pub(super) const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
/// Days of each month, with the 29th of February.
const DAYS_OF_MONTH: [u32; 12] = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/// What a field may hold.
struct Field {
    name: &'static str,
    low: u32,
    high: u32,
    names: &'static [&'static str],
}

/// Numbers below 64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Set(u64);

impl Set {
    fn of(unit: &impl TimeUnitSpec, less: u32) -> Self {
        Self(unit.iter().fold(0, |bits, ordinal| bits | 1 << (ordinal - less)))
    }

    pub(super) fn has(self, number: i8) -> bool {
        u32::try_from(number).is_ok_and(|number| self.0.checked_shr(number).is_some_and(|bits| bits & 1 == 1))
    }

    pub(super) fn numbers(self) -> impl Iterator<Item = u32> {
        (0..u64::BITS).filter(move |number| self.0 >> number & 1 == 1)
    }

    pub(super) fn only(self) -> Option<u32> {
        self.0.is_power_of_two().then(|| self.0.trailing_zeros())
    }

    pub(super) fn len(self) -> u32 {
        self.0.count_ones()
    }
}

/// An expression that was read, and that has a moment to run at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Expression {
    /// Five fields, as Kubernetes takes them.
    text: String,
    pub(super) minutes: Set,
    pub(super) hours: Set,
    pub(super) days: Set,
    pub(super) months: Set,
    /// Sunday is 0.
    pub(super) weekdays: Set,
    /// A day must be in `days` and in `weekdays`: one of them was left open. Otherwise either is enough.
    pub(super) both_days: bool,
}

impl Expression {
    /// Reads five fields or one of `@yearly`, `@annually`, `@monthly`, `@weekly`, `@daily`, `@midnight`, `@hourly`. Takes 7 for Sunday,
    /// which Kubernetes does not, and writes it as 0.
    pub(super) fn parse(text: &str) -> Result<Self, ScheduleError> {
        if text.len() > MAX_EXPRESSION {
            return Err(ScheduleError::TooLong { bytes: text.len(), most: MAX_EXPRESSION });
        }
        let refused = |reason: String| ScheduleError::Expression { expression: text.to_owned(), reason };
        let trimmed = text.trim();
        if trimmed.starts_with("TZ=") || trimmed.starts_with("CRON_TZ=") {
            return Err(ScheduleError::ZoneInExpression { expression: text.to_owned() });
        }
        let five = if trimmed.starts_with('@') { descriptor(trimmed).map_err(&refused)? } else { trimmed };
        let fields: Vec<&str> = five.split_whitespace().collect();
        let &[minute, hour, day, month, weekday] = &fields[..] else {
            let hint =
                if fields.len() > FIELDS.len() { ": Kubernetes takes no seconds and no years" } else { "" };
            return Err(refused(format!("it has {} fields in place of 5{hint}", fields.len())));
        };
        let mut items = Vec::with_capacity(FIELDS.len());
        for (field, text) in FIELDS.iter().zip([minute, hour, day, month, weekday]) {
            items.push(items_of(field, text).map_err(&refused)?);
        }
        let [minutes, hours, days, months, weekdays] = &items[..] else {
            unreachable!("an entry for each of five fields");
        };
        let open = |items: &[Item]| items.iter().any(|item| item.open && item.step == 1);
        let written =
            |items: &[Item], more| items.iter().map(|item| item.written(more)).collect::<Vec<_>>().join(",");
        let schedule = cron::Schedule::from_str(&format!(
            "0 {} {} {} {} {}",
            written(minutes, 0),
            written(hours, 0),
            written(days, 0),
            written(months, 0),
            written(weekdays, 1),
        ))
        .map_err(|error| refused(error.to_string()))?;
        let sunday_is_seven = weekdays.iter().any(|item| item.seven);
        let read = Self {
            text: fields
                .iter()
                .enumerate()
                .map(|(at, field)| match at {
                    // A list of all days is not the same as a field that was left open.
                    4 if sunday_is_seven && open(weekdays) => "*".to_owned(),
                    4 if sunday_is_seven => numbers(Set::of(schedule.days_of_week(), 1)),
                    _ => field.replace('?', "*"),
                })
                .collect::<Vec<_>>()
                .join(" "),
            minutes: Set::of(schedule.minutes(), 0),
            hours: Set::of(schedule.hours(), 0),
            days: Set::of(schedule.days_of_month(), 0),
            months: Set::of(schedule.months(), 0),
            weekdays: Set::of(schedule.days_of_week(), 1),
            both_days: open(days) || open(weekdays),
        };
        if read.never() { Err(ScheduleError::Never { expression: text.to_owned() }) } else { Ok(read) }
    }

    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether no month that it names has a day that it names.
    fn never(&self) -> bool {
        self.both_days
            && !self.months.numbers().any(|month| {
                let length = DAYS_OF_MONTH.get(month as usize - 1).copied().unwrap_or(0);
                self.days.numbers().any(|day| day <= length)
            })
    }
}

/// The numbers of a set as a list of cron.
fn numbers(set: Set) -> String {
    set.numbers().map(|number| number.to_string()).collect::<Vec<_>>().join(",")
}

fn descriptor(text: &str) -> Result<&'static str, String> {
    Ok(match text {
        "@yearly" | "@annually" => "0 0 1 1 *",
        "@monthly" => "0 0 1 * *",
        "@weekly" => "0 0 * * 0",
        "@daily" | "@midnight" => "0 0 * * *",
        "@hourly" => "0 * * * *",
        _ if text.starts_with("@every") => {
            return Err(
                "@every counts from when the controller last started it, and has no moments of its own"
                    .to_owned(),
            );
        }
        _ => return Err(format!("{text:?} is none of @hourly, @daily, @weekly, @monthly, @yearly")),
    })
}

/// One part of a list: numbers from `first` to `last`, of which each `step`th is meant.
struct Item {
    first: u32,
    last: u32,
    step: u32,
    /// It was `*` or `?`.
    open: bool,
    /// It names Sunday as 7.
    seven: bool,
}

impl Item {
    /// For the crate, whose numbers are `more` higher. Sunday as 7 is taken round to the front.
    fn written(&self, more: u32) -> String {
        if self.seven {
            let points = (self.first..=self.last).step_by(self.step as usize);
            return points.map(|day| (day % 7 + more).to_string()).collect::<Vec<_>>().join(",");
        }
        let (first, last) = (self.first + more, self.last + more);
        match self.step {
            1 if first == last => first.to_string(),
            1 => format!("{first}-{last}"),
            // The crate takes no step that is larger than the field; such a one leaves the first alone.
            step if step > self.last - self.first => first.to_string(),
            step => format!("{first}-{last}/{step}"),
        }
    }
}

/// A list. Empty parts are passed over, as the controller does.
fn items_of(field: &Field, text: &str) -> Result<Vec<Item>, String> {
    let items: Vec<Item> = text
        .split(',')
        .filter(|part| !part.is_empty())
        .map(|part| item(field, part))
        .collect::<Result<_, _>>()?;
    if items.is_empty() {
        return Err(format!("{text:?} names no {}", field.name));
    }
    Ok(items)
}

/// `*`, `5`, `5-9`, each with `/step`; `5/step` goes on to the end of the field.
fn item(field: &Field, text: &str) -> Result<Item, String> {
    let (range, step) = match text.split_once('/') {
        Some((range, step)) => (range, Some(number(step).ok_or_else(|| no_number(step, text))?)),
        None => (text, None),
    };
    if step == Some(0) {
        return Err(format!("{text:?} has a step of 0"));
    }
    let (low, high) = match range.split_once('-') {
        Some((low, high)) => (low, Some(high)),
        None => (range, None),
    };
    let value = |text: &str| named(field, text).or_else(|| number(text));
    let open = matches!(low, "*" | "?");
    let (first, last) = if open {
        if high.is_some_and(|high| high.contains('-')) {
            return Err(no_number(range, text));
        }
        (field.low, field.high)
    } else {
        let first = value(low).ok_or_else(|| no_value(field, low))?;
        let last = match high {
            Some(high) => value(high).ok_or_else(|| no_value(field, high))?,
            None if step.is_some() => first.max(field.high),
            None => first,
        };
        (first, last)
    };
    let most = if field.high == 6 { 7 } else { field.high };
    if first < field.low || first > most || last > most {
        let outside = if first < field.low || first > most { first } else { last };
        return Err(format!("{outside} is no {}: they go from {} to {}", field.name, field.low, field.high));
    }
    if first > last {
        return Err(format!("the range {range:?} ends before it begins"));
    }
    // No step needs more than the field has.
    Ok(Item { first, last, step: step.unwrap_or(1).min(64), open, seven: last > field.high })
}

fn named(field: &Field, text: &str) -> Option<u32> {
    let at = field.names.iter().position(|name| name.eq_ignore_ascii_case(text))?;
    Some(u32::try_from(at).ok()? + field.low)
}

/// As the controller reads one: a plus sign, zeros in front, up to 63 bits. What is larger than any field comes out as 999.
fn number(text: &str) -> Option<u32> {
    let number: i64 = text.parse().ok()?;
    if text.starts_with('-') {
        return None;
    }
    Some(u32::try_from(number).unwrap_or(999).min(999))
}

fn no_number(part: &str, whole: &str) -> String {
    format!("{part:?} in {whole:?} is no number")
}

fn no_value(field: &Field, text: &str) -> String {
    match field.names {
        [] => format!("{text:?} is no {}: they go from {} to {}", field.name, field.low, field.high),
        names => {
            format!("{text:?} is no {}: {} to {}, or {}", field.name, field.low, field.high, names.join(", "))
        }
    }
}
