//! The next moment of an expression, as Kubernetes' controller finds it.
//!
//! It goes from field to field on the clock of the zone, as robfig/cron v3 does (`spec.go`), with what follows from that when
//! clocks are changed: a time that does not exist on a day is left out on that day; one that exists twice is run twice; where clocks
//! are changed by half an hour, or at midnight, some runs come late or not at all. The crate `cron` would need a day to be in both
//! of its fields and knows other rules for clocks, so its own walk is not used. `tests/cron` holds what the controller says.

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan as _};

use super::expression::Expression;

/// Years after which a walk ends without a moment, as the controller's does.
const YEARS: i16 = 5;
/// Most steps of a walk: days of those years with all hours and minutes of the last one, and to spare. The controller itself
/// never comes to an end where a zone leaves out a whole day (Samoa, 2011).
const STEPS: usize = 50_000;

/// The first moment after `after`; none within the next years.
pub(super) fn next(expression: &Expression, zone: &TimeZone, after: Timestamp) -> Option<Timestamp> {
    let mut at = Walk { at: Timestamp::from_second(after.as_second().checked_add(1)?).ok()?, zone };
    let last_year = at.clock().year().saturating_add(YEARS);
    let mut steps = 0..STEPS;
    // Whether a field was moved on already; the smaller ones begin at their first then.
    let mut moved = false;
    'wrap: while at.clock().year() <= last_year {
        while !expression.months.has(at.clock().month()) {
            steps.next()?;
            if !moved {
                moved = true;
                at.to(at.clock().date().first_of_month().at(0, 0, 0, 0))?;
            }
            let clock = at.clock();
            at.to(clock.date().checked_add(1.month()).ok()?.to_datetime(clock.time()))?;
            if at.clock().month() == 1 {
                continue 'wrap;
            }
        }
        while !day_matches(expression, at.clock().date()) {
            steps.next()?;
            if !moved {
                moved = true;
                at.to(at.clock().date().at(0, 0, 0, 0))?;
            }
            let clock = at.clock();
            at.to(clock.date().tomorrow().ok()?.to_datetime(clock.time()))?;
            // Midnight may not exist.
            let hour = i64::from(at.clock().hour());
            if hour > 12 {
                at.on((24 - hour) * 60 * 60)?;
            } else {
                at.on(-hour * 60 * 60)?;
            }
            if at.clock().day() == 1 {
                continue 'wrap;
            }
        }
        while !expression.hours.has(at.clock().hour()) {
            steps.next()?;
            if !moved {
                moved = true;
                let clock = at.clock();
                at.to(clock.date().at(clock.hour(), 0, 0, 0))?;
            }
            at.on(60 * 60)?;
            if at.clock().hour() == 0 {
                continue 'wrap;
            }
        }
        while !expression.minutes.has(at.clock().minute()) {
            steps.next()?;
            if !moved {
                moved = true;
                at.on(-at.at.as_second().rem_euclid(60))?;
            }
            at.on(60)?;
            if at.clock().minute() == 0 {
                continue 'wrap;
            }
        }
        let second = at.clock().second();
        if second == 0 {
            return Some(at.at);
        }
        steps.next()?;
        moved = true;
        at.on(i64::from(60 - second))?;
    }
    None
}

/// A day of the month or a day of the week; if one of them was left open, both.
fn day_matches(expression: &Expression, date: Date) -> bool {
    let day = expression.days.has(date.day());
    let weekday = expression.weekdays.has(date.weekday().to_sunday_zero_offset());
    if expression.both_days { day && weekday } else { day || weekday }
}

/// A moment, read on the clock of a zone.
struct Walk<'a> {
    at: Timestamp,
    zone: &'a TimeZone,
}

impl Walk<'_> {
    fn clock(&self) -> DateTime {
        self.zone.to_datetime(self.at)
    }

    fn on(&mut self, seconds: i64) -> Option<()> {
        self.at = self.at.checked_add(SignedDuration::from_secs(seconds)).ok()?;
        Some(())
    }

    /// To what Go's `time.Date` makes of a clock's time: the offset is that of the moment which the clock's time less the offset at that
    /// time in UTC would be. This decides where a time exists twice or not at all.
    fn to(&mut self, clock: DateTime) -> Option<()> {
        let utc = TimeZone::UTC.to_timestamp(clock).ok()?;
        let less = |offset: i32| utc.checked_sub(SignedDuration::from_secs(offset.into())).ok();
        let first = self.zone.to_offset(utc).seconds();
        self.at = if first == 0 { utc } else { less(self.zone.to_offset(less(first)?).seconds())? };
        Some(())
    }
}
