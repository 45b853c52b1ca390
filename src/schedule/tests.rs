use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use super::*;

const SPREAD: Spread = Spread::at(17 + 60 * 4);

fn zone(name: &str) -> Zone {
    name.parse().expect("a zone")
}

fn at(text: &str) -> Timestamp {
    text.parse().expect("a moment")
}

fn now() -> Timestamp {
    at("2026-11-25T12:00:00Z")
}

fn berlin(when: When<'_>) -> Result<Timing, ScheduleError> {
    Timing::new(when, &zone("Europe/Berlin"), SPREAD, now())
}

fn made(when: When<'_>) -> Timing {
    berlin(when).expect("a timing")
}

fn refused(when: When<'_>) -> String {
    berlin(when).expect_err("no timing").to_string()
}

#[test]
fn what_people_ask_for_becomes_five_fields_and_a_guard_where_those_do_not_say_it() {
    for (when, cron, guard, words) in [
        (When::Daily("03:00"), "0 3 * * *", None, "daily at 03:00 Europe/Berlin"),
        (When::Daily("3:05"), "5 3 * * *", None, "daily at 03:05 Europe/Berlin"),
        (When::Weekly("sun@03:00"), "0 3 * * sun", None, "Sundays at 03:00 Europe/Berlin"),
        (
            When::Weekly("Thu,monday@03:00"),
            "0 3 * * mon,thu",
            None,
            "Mondays and Thursdays at 03:00 Europe/Berlin",
        ),
        (
            When::Weekly("mon-fri@7:30"),
            "30 7 * * mon,tue,wed,thu,fri",
            None,
            "Mondays to Fridays at 07:30 Europe/Berlin",
        ),
        (
            When::Weekly("fri-mon@7:30"),
            "30 7 * * sun,mon,fri,sat",
            None,
            "Mondays, Fridays, Saturdays and Sundays at 07:30 Europe/Berlin",
        ),
        (When::Weekly("mon-sun@7:30"), "30 7 * * *", None, "daily at 07:30 Europe/Berlin"),
        (When::Cron("@daily"), "0 0 * * *", None, "daily at 00:00 Europe/Berlin"),
        (When::Cron("@weekly"), "0 0 * * 0", None, "Sundays at 00:00 Europe/Berlin"),
        (When::Cron("@monthly"), "0 0 1 * *", None, "monthly on day 1 at 00:00 Europe/Berlin"),
        (When::Cron("@yearly"), "0 0 1 1 *", None, "yearly on 1 January at 00:00 Europe/Berlin"),
        (When::Cron("  0  3 ? * 7 "), "0 3 * * 0", None, "Sundays at 03:00 Europe/Berlin"),
        (When::Cron("0 3 * * 5-7"), "0 3 * * 0,5,6", None, "Fridays to Sundays at 03:00 Europe/Berlin"),
        (
            When::Cron("0 3 * * 1-7/3"),
            "0 3 * * 0,1,4",
            None,
            "Mondays, Thursdays and Sundays at 03:00 Europe/Berlin",
        ),
        (When::Cron("0 3 1 * *,7"), "0 3 1 * *", None, "monthly on day 1 at 03:00 Europe/Berlin"),
        (When::Cron("0 3 1 * 1-7"), "0 3 1 * 0,1,2,3,4,5,6", None, "daily at 03:00 Europe/Berlin"),
        (When::Cron("0 3 13 * fri"), "0 3 13 * fri", None, "0 3 13 * fri Europe/Berlin"),
        (When::Cron("*/7 * * * *"), "*/7 * * * *", None, "*/7 * * * * Europe/Berlin"),
        (When::Cron("@every 90m"), "17-59/30 * * * *", Some("every=5400"), "every 90 minutes"),
        (When::Every("1m"), "* * * * *", None, "every minute"),
        (When::Every("15m"), "2-59/15 * * * *", None, "every 15 minutes"),
        (When::Every("45m"), "2-59/15 * * * *", Some("every=2700"), "every 45 minutes"),
        (When::Every("1h"), "17 * * * *", None, "every hour"),
        (When::Every("5h"), "17 * * * *", Some("every=18000"), "every 5 hours"),
        (When::Every("6h"), "17 4-23/6 * * *", None, "every 6 hours"),
        (When::Every("10h"), "17 0-23/2 * * *", Some("every=36000"), "every 10 hours"),
        (When::Every("36h"), "17 4-23/12 * * *", Some("every=129600"), "every 36 hours"),
        (When::Every("1d"), "17 4 * * *", None, "daily at 04:17 Europe/Berlin"),
        (When::Every("24h"), "17 4 * * *", None, "daily at 04:17 Europe/Berlin"),
        (When::Every("7d"), "17 4 * * 0", None, "Sundays at 04:17 Europe/Berlin"),
        (When::Every("10d"), "17 4 * * *", Some("every=864000"), "every 10 days at 04:17 Europe/Berlin"),
        (When::Every("2w"), "17 4 * * 0", Some("every=1209600"), "every 14 days at 04:17 Europe/Berlin"),
        (
            When::At("2027-01-31T03:00"),
            "0 3 31 1 *",
            Some("once=2027-01-31T02:00:00Z"),
            "once, on 2027-01-31 at 03:00 Europe/Berlin",
        ),
        (
            When::At("2027-01-31T03:00Z"),
            "0 4 31 1 *",
            Some("once=2027-01-31T03:00:00Z"),
            "once, on 2027-01-31 at 04:00 Europe/Berlin",
        ),
        (
            When::At("2027-01-31 03:00-05:00"),
            "0 9 31 1 *",
            Some("once=2027-01-31T08:00:00Z"),
            "once, on 2027-01-31 at 09:00 Europe/Berlin",
        ),
        // twice on the clock: the first, or the one whose offset is given
        (
            When::At("2027-10-31T02:30"),
            "30 2 31 10 *",
            Some("once=2027-10-31T00:30:00Z"),
            "once, on 2027-10-31 at 02:30 Europe/Berlin",
        ),
        (
            When::At("2027-10-31T02:30+01:00"),
            "30 2 31 10 *",
            Some("once=2027-10-31T01:30:00Z"),
            "once, on 2027-10-31 at 02:30 Europe/Berlin",
        ),
        (
            When::At("2028-02-29T03:00"),
            "0 3 29 2 *",
            Some("once=2028-02-29T02:00:00Z"),
            "once, on 2028-02-29 at 03:00 Europe/Berlin",
        ),
    ] {
        let timing = made(when);
        let text = timing.guard().map(|guard| guard.to_string());
        assert_eq!(
            (timing.cron(), text.as_deref(), timing.in_words().as_str()),
            (cron, guard, words),
            "{when:?}"
        );
        assert_eq!(Timing::read(cron, timing.time_zone(), text.as_deref()), Ok(timing), "{when:?}");
    }
}

#[test]
fn what_is_no_time_is_refused_in_words() {
    let answers: Vec<String> = [
        When::Cron("61 * * * *"),
        When::Cron("* 24 * * *"),
        When::Cron("0 0 30 2 *"),
        When::Cron("0 0 31 4,6 *"),
        When::Cron("0 0 3 * * *"),
        When::Cron("0 3 * *"),
        When::Cron("TZ=UTC 0 3 * * *"),
        When::Cron("@reboot"),
        When::Cron("@every 1s"),
        When::Cron("*/0 * * * *"),
        When::Cron(", * * * *"),
        When::Cron("9-5 * * * *"),
        When::Cron("0 3 * * sunday"),
        When::Cron("0 3 * * 8"),
        When::Cron("0 3 * * fri-sun"),
        When::Cron("0 3 * foo *"),
        When::Cron("x 3 * * *"),
        When::Every("6"),
        When::Every("0m"),
        When::Every("90s"),
        When::Every("400d"),
        When::Every("61m"),
        When::Every("7m"),
        When::Daily("24:00"),
        When::Daily("3"),
        When::Weekly("03:00"),
        When::Weekly("someday@03:00"),
        When::At("2026-11-25T12:00"),
        When::At("2027-02-30T03:00"),
        When::At("2027-01-31"),
        When::At("2027-01-31T03:00:30"),
        When::At("2027-03-28T02:30"),
        When::At("2032-01-31T03:00"),
    ]
    .into_iter()
    .map(refused)
    .collect();
    insta::assert_snapshot!(answers.join("\n"));
}

#[test]
fn zones_are_written_as_the_database_writes_them_and_unknown_ones_refused() {
    assert_eq!(zone("europe/berlin").name(), "Europe/Berlin");
    assert_eq!(zone("utc").name(), "UTC");
    for none in ["", "Local", "local", "Europe/Atlantis", "Etc/Unknown", "CET+1", "../etc/passwd", "+02:00"] {
        assert_eq!(none.parse::<Zone>(), Err(ScheduleError::Zone(none.to_owned())));
    }
}

#[test]
fn guard_is_read_as_it_is_written_and_no_other_way() {
    for text in ["every=60", "every=864000", "once=2027-01-31T02:00:00Z"] {
        assert_eq!(text.parse::<Guard>().expect("a guard").to_string(), text);
    }
    for text in [
        "",
        "every",
        "every=",
        "every=0",
        "every=61",
        "every=+60",
        "every=060",
        "every= 60",
        "every=99999999999",
        "once=2027-01-31T02:00Z",
        "once=2027-01-31T03:00:00+01:00",
        "once=tomorrow",
        "Every=60",
        "never=60",
    ] {
        assert!(matches!(text.parse::<Guard>(), Err(ScheduleError::Guard(_))), "{text}");
    }
}

#[test]
fn a_guard_for_a_moment_that_the_expression_does_not_have_is_refused() {
    let read = |cron| Timing::read(cron, Some("UTC"), Some("once=2027-01-31T02:00:00Z"));
    assert!(read("0 2 31 1 *").is_ok());
    assert!(matches!(read("0 3 31 1 *"), Err(ScheduleError::Mismatch { .. })));
}

/// Starts a runner as the controller would, with what delays it, and the moments at which it ran.
fn simulate(
    timing: &Timing,
    from: Timestamp,
    days: i64,
    delay: impl Fn(Timestamp) -> Option<SignedDuration>,
) -> Vec<Timestamp> {
    let until = from + SignedDuration::from_hours(24 * days);
    let starts = Timing { guard: None, ..timing.clone() };
    let mut runs = Vec::new();
    for tick in starts.next_runs(from, None).take_while(|tick| *tick < until) {
        let Some(delay) = delay(tick) else { continue };
        let now = tick + delay;
        if timing.guard().is_none_or(|guard| decide(guard, now, runs.last().copied()) == Decision::Run) {
            runs.push(now);
        }
    }
    runs
}

/// Delays between none and the most that a start may be late, not the same twice in a row.
fn jitter(timing: &Timing) -> impl Fn(Timestamp) -> Option<SignedDuration> {
    let most = (timing.starting_deadline(now()) / 2).as_secs();
    move |tick| Some(SignedDuration::from_secs((tick.as_second() / 60 * 7919) % most))
}

#[test]
fn runs_over_months_keep_their_interval_and_do_not_drift_however_late_each_is() {
    for interval in ["45m", "90m", "5h", "7h", "10h", "36h", "10d", "3d", "2w", "100h"] {
        for name in ["UTC", "Europe/Berlin", "America/Havana", "Asia/Kathmandu"] {
            let timing = Timing::new(When::Every(interval), &zone(name), SPREAD, now()).expect("a timing");
            let Some(Guard::Every(every)) = timing.guard() else { panic!("{interval} has no guard") };
            let runs = simulate(&timing, now(), 400, jitter(&timing));
            let tick = every.tick().duration();
            for pair in runs.windows(2) {
                let apart = pair[1].duration_since(pair[0]);
                let off = (apart - every.duration()).abs();
                // An hour for clocks that were changed, which a tick of one to two hours catches up with at once.
                assert!(off <= tick + SignedDuration::from_hours(1), "{interval} in {name}: {apart:?}");
                assert!(
                    apart > every.duration() - tick / 2 - SignedDuration::from_secs(1),
                    "{interval} in {name}: {apart:?}"
                );
            }
            let expected = SignedDuration::from_hours(24 * 400).as_secs() / every.duration().as_secs();
            let count = i64::try_from(runs.len()).expect("few");
            assert!((count - expected).abs() <= 2, "{interval} in {name}: {count} runs and not {expected}");
        }
    }
}

#[test]
fn every_ten_days_stays_at_its_time_of_day_through_changes_of_clocks() {
    let timing = made(When::Every("10d"));
    for run in simulate(&timing, now(), 400, |_| Some(SignedDuration::from_secs(20))) {
        assert_eq!(run.to_zoned(timing.rules().clone()).strftime("%H:%M").to_string(), "04:17");
    }
}

#[test]
fn after_an_outage_the_first_start_runs_and_the_next_keeps_the_interval() {
    let timing = made(When::Every("10d"));
    let (down, up) = (at("2027-01-01T00:00:00Z"), at("2027-02-14T12:00:00Z"));
    let runs = simulate(&timing, now(), 120, |tick| (tick < down || tick > up).then_some(SignedDuration::ZERO));
    let after: Vec<String> = runs.iter().filter(|run| **run > up).map(ToString::to_string).collect();
    assert_eq!(
        after,
        ["2027-02-15T03:17:00Z", "2027-02-25T03:17:00Z", "2027-03-07T03:17:00Z", "2027-03-17T03:17:00Z"]
    );
    assert_eq!(timing.missed(at("2026-12-26T03:17:00Z"), up), 5);
}

#[test]
fn once_runs_once_in_its_year_and_is_over_after_that() {
    let timing = made(When::At("2028-01-31T03:00"));
    let guard = timing.guard().expect("a guard");
    let moment = at("2028-01-31T02:00:00Z");
    let later = |hours| moment + SignedDuration::from_hours(hours);
    assert_eq!(decide(guard, at("2027-01-31T02:00:20Z"), None), Decision::NotYet { next: moment });
    assert_eq!(decide(guard, moment, None), Decision::Run);
    assert_eq!(decide(guard, moment - SignedDuration::from_secs(30), None), Decision::Run);
    assert_eq!(decide(guard, later(24), None), Decision::Run);
    assert_eq!(decide(guard, later(24), Some(moment)), Decision::Over);
    assert_eq!(decide(guard, at("2029-01-31T02:00:20Z"), None), Decision::Over);
    assert_eq!(
        simulate(&timing, now(), 2000, |_| Some(SignedDuration::from_secs(3))),
        [moment + SignedDuration::from_secs(3)]
    );
    assert_eq!(timing.next_runs(now(), None).collect::<Vec<_>>(), [moment]);
    assert_eq!(timing.next_runs(moment, None).next(), None);
    assert_eq!(timing.starting_deadline(now()), SignedDuration::from_hours(24));
}

#[test]
fn of_a_time_that_exists_twice_only_the_one_that_was_meant_runs() {
    for (text, moment) in
        [("2027-10-31T02:30", "2027-10-31T00:30:00Z"), ("2027-10-31T02:30+01:00", "2027-10-31T01:30:00Z")]
    {
        assert_eq!(simulate(&made(When::At(text)), now(), 700, |_| Some(SignedDuration::ZERO)), [at(moment)]);
    }
}

#[test]
fn a_last_run_in_the_future_holds_nothing_up() {
    let guard: Guard = "every=864000".parse().expect("a guard");
    assert_eq!(decide(guard, now(), Some(at("2099-01-01T00:00:00Z"))), Decision::Run);
    let timing = made(When::Every("10d"));
    assert_eq!(
        timing.next_runs(now(), Some(at("2099-01-01T00:00:00Z"))).next(),
        Some(at("2026-11-26T03:17:00Z"))
    );
}

#[test]
fn next_runs_take_the_last_one_into_account() {
    let timing = made(When::Every("10d"));
    let runs: Vec<String> =
        timing.next_runs(now(), Some(at("2026-11-20T03:17:21Z"))).take(2).map(|run| run.to_string()).collect();
    assert_eq!(runs, ["2026-11-30T03:17:00Z", "2026-12-10T03:17:00Z"]);
}

#[test]
fn missed_runs_are_counted_up_to_a_bound() {
    let timing = made(When::Daily("03:00"));
    assert_eq!(timing.missed(at("2026-11-20T02:00:00Z"), at("2026-11-24T01:59:59Z")), 3);
    assert_eq!(timing.missed(at("2026-11-20T02:00:00Z"), at("2026-11-24T02:00:00Z")), 4);
    assert_eq!(made(When::Every("1m")).missed(at("1990-01-01T00:00:00Z"), now()), MOST_MISSED);
}

#[test]
fn runs_come_to_an_end() {
    let yearly = Timing::read("0 0 29 2 *", Some("UTC"), None).expect("a timing");
    assert_eq!(yearly.next_runs(now(), None).count(), 3);
    assert_eq!(yearly.next_runs(at("2096-03-01T00:00:00Z"), None).next(), None);
    assert_eq!(yearly.next_runs(Timestamp::MAX, None).next(), None);
    // Samoa left out the 30th of December, where the controller itself does not come to an end.
    let apia = Timing::read("0 3 1 * *", Some("Pacific/Apia"), None).expect("a timing");
    assert_eq!(apia.next_runs(at("2011-12-29T12:00:00Z"), None).next(), None);
}

#[test]
fn a_start_may_be_late_by_half_of_the_way_to_the_next_one() {
    for (when, minutes) in [
        (When::Every("1m"), 2),
        (When::Every("5h"), 30),
        (When::Every("6h"), 180),
        (When::Daily("03:00"), 720),
        (When::Weekly("sun@03:00"), 720),
    ] {
        assert_eq!(made(when).starting_deadline(now()), SignedDuration::from_mins(minutes), "{when:?}");
    }
}

#[test]
fn names_of_schedules_spread_over_the_minutes() {
    let minutes: std::collections::BTreeSet<u32> = (0..200)
        .filter_map(|number| {
            let timing =
                Timing::new(When::Every("6h"), &zone("UTC"), Spread::of(&format!("shop-{number}")), now())
                    .ok()?;
            timing.expression.minutes.only()
        })
        .collect();
    assert!(minutes.len() > 50, "{}", minutes.len());
    assert_eq!(Spread::of("shop"), Spread::of("shop"));
}

#[test]
fn next_run_is_told_by_the_clock_of_who_asks() {
    let local = zone("Europe/Berlin");
    for (moment, words) in [
        ("2026-11-25T12:00:30Z", "in less than a minute, today at 13:00"),
        ("2026-11-25T12:25:00Z", "in 25m, today at 13:25"),
        ("2026-11-25T17:00:00Z", "in 5h, today at 18:00"),
        ("2026-11-25T23:30:00Z", "in 12h, tomorrow at 00:30"),
        ("2026-11-29T02:00:00Z", "in 4d, on Sunday at 03:00"),
        ("2027-01-31T02:00:00Z", "in 67d, on 2027-01-31 at 03:00"),
        ("2026-11-25T11:00:00Z", "now"),
    ] {
        assert_eq!(until_in_words(at(moment), now(), local.rules()), words);
    }
}

#[test]
fn a_name_is_a_dns_label_of_at_most_52_characters() {
    assert_eq!(check_name("shop-nightly-2"), Ok(()));
    assert_eq!(check_name(&"a".repeat(52)), Ok(()));
    assert_eq!(check_name(&"a".repeat(53)), Err(NameError::TooLong(53)));
    assert_eq!(check_name(""), Err(NameError::Empty));
    for name in ["Shop", "shop.nightly", "shop_nightly", "shöp", "shop nightly"] {
        assert!(matches!(check_name(name), Err(NameError::Character { .. })), "{name}");
    }
    for name in ["-shop", "shop-", "-"] {
        assert_eq!(check_name(name), Err(NameError::Dash(name.to_owned())));
    }
}

proptest! {
    #[test]
    fn whatever_a_cronjob_says_is_read_or_refused_and_its_runs_go_forward(
        cron in "([0-9*?/,a-z-]{1,6} ){4}[0-9*?/,a-z-]{1,6}|\\PC{0,40}",
        guard in proptest::option::of("every=[0-9]{1,9}|once=\\PC{0,24}|\\PC{0,12}"),
        second in 0i64..4_000_000_000,
    ) {
        let after = Timestamp::from_second(second).expect("a moment");
        if let Ok(timing) = Timing::read(&cron, Some("America/New_York"), guard.as_deref()) {
            let mut last = after;
            for run in timing.next_runs(after, Some(after)).take(3) {
                prop_assert!(run > last);
                last = run;
            }
            let again = Timing::read(timing.cron(), timing.time_zone(), guard.as_deref());
            prop_assert_eq!(again.as_ref(), Ok(&timing));
            let _ = (timing.in_words(), timing.starting_deadline(after), timing.missed(after, last));
        }
    }

    #[test]
    fn any_fields_that_are_taken_have_a_run_within_five_years(
        minute in 0u8..60, hour in 0u8..24, day in 1u8..=28, month in 1u8..=12, weekday in 0u8..=7,
        second in 0i64..4_000_000_000,
    ) {
        let after = Timestamp::from_second(second).expect("a moment");
        for cron in [format!("{minute} {hour} {day} {month} *"), format!("{minute} {hour} * {month} {weekday}")] {
            let timing = Timing::read(&cron, Some("UTC"), None).expect("a timing");
            prop_assert!(timing.next_runs(after, None).next().is_some());
        }
    }

    #[test]
    fn any_text_is_a_time_or_an_error(text in "\\PC{0,40}") {
        for when in [When::Cron(&text), When::Every(&text), When::Daily(&text), When::Weekly(&text), When::At(&text)] {
            let _ = berlin(when);
        }
    }
}
