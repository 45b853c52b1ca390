//! Times as people write them: of a day, of a week, of a date.

use jiff::civil::DateTime;
use jiff::tz::AmbiguousOffset;
use jiff::{SignedDuration, Timestamp};

use super::expression::DAYS;
use super::{ScheduleError, Zone};

/// Most bytes of one.
const MAX_TEXT: usize = 128;
/// Farthest moment.
const FARTHEST: SignedDuration = SignedDuration::from_hours(5 * 366 * 24);
const FULL_DAYS: [&str; 7] = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];

fn bounded(text: &str) -> Result<&str, ScheduleError> {
    if text.len() > MAX_TEXT {
        return Err(ScheduleError::TooLong { bytes: text.len(), most: MAX_TEXT });
    }
    Ok(text.trim())
}

/// `03:00` or `3:00`: hour and minute.
pub(super) fn time_of_day(text: &str) -> Result<(u8, u8), ScheduleError> {
    let none = || ScheduleError::TimeOfDay(text.to_owned());
    let (hour, minute) = bounded(text)?.split_once(':').ok_or_else(none)?;
    let number = |text: &str, below: u8| {
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|number| digits && *number < below)
    };
    if hour.len() > 2 || minute.len() != 2 {
        return Err(none());
    }
    Ok((number(hour, 24).ok_or_else(none)?, number(minute, 60).ok_or_else(none)?))
}

/// `mon,thu@03:00` as a cron expression. Days in full are taken too, and ranges, also over the end of the week.
pub(super) fn weekly(text: &str) -> Result<String, ScheduleError> {
    let refused = |reason: String| ScheduleError::Weekly { weekly: text.to_owned(), reason };
    let (days, time) = bounded(text)?.split_once('@').ok_or_else(|| refused("it has no @".to_owned()))?;
    let (hour, minute) = time_of_day(time)?;
    let day = |name: &str| {
        let among = |names: &[&str; 7]| names.iter().position(|known| known.eq_ignore_ascii_case(name.trim()));
        among(&DAYS).or_else(|| among(&FULL_DAYS)).ok_or_else(|| refused(format!("{name:?} is no day")))
    };
    let mut wanted = [false; 7];
    for part in days.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (day(first)?, day(last)?);
        for step in 0..=(last + 7 - first) % 7 {
            wanted[(first + step) % 7] = true;
        }
    }
    if wanted == [true; 7] {
        return Ok(format!("{minute} {hour} * * *"));
    }
    let named: Vec<&str> =
        DAYS.iter().zip(wanted).filter_map(|(name, wanted)| wanted.then_some(*name)).collect();
    Ok(format!("{minute} {hour} * * {}", named.join(",")))
}

/// `2027-01-31T03:00` on the clocks of the zone, or anywhere with an offset. Of a time that exists twice it is the first.
pub(super) fn moment(text: &str, zone: &Zone, now: Timestamp) -> Result<Timestamp, ScheduleError> {
    let trimmed = bounded(text)?;
    // A date alone would be midnight, and nobody said so.
    if !trimmed.contains(':') {
        return Err(ScheduleError::Moment(text.to_owned()));
    }
    let moment = if let Ok(moment) = trimmed.parse::<Timestamp>() {
        moment
    } else {
        let time: DateTime = trimmed.parse().map_err(|_| ScheduleError::Moment(text.to_owned()))?;
        let clock = zone.rules().to_ambiguous_timestamp(time);
        if let AmbiguousOffset::Gap { .. } = clock.offset() {
            return Err(ScheduleError::Skipped { moment: text.to_owned(), zone: zone.name().to_owned() });
        }
        clock.compatible().map_err(|_| ScheduleError::Moment(text.to_owned()))?
    };
    if moment.as_second() % 60 != 0 || moment.subsec_nanosecond() != 0 {
        return Err(ScheduleError::Seconds(text.to_owned()));
    }
    if moment <= now {
        return Err(ScheduleError::Past(text.to_owned()));
    }
    if moment.duration_since(now) > FARTHEST {
        return Err(ScheduleError::TooFar(text.to_owned()));
    }
    Ok(moment)
}
