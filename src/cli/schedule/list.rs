//! `kubectl clarity schedule list`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::IsTerminal as _;

use clap::{Args, ValueEnum};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::super::Exit;
use super::super::access::AccessArgs;
use super::super::errors::Explained;
use super::super::report::age;
use super::super::ui;
use super::PlaceArgs;
use crate::cluster::{self, Connection};
use crate::records::{Header, Listed, SharedRecords};
use crate::report::table::{TableOptions, columns};
use crate::report::text::plural;
use crate::runner::SeenSchedule;
use crate::schedule::{Timing, until_in_words};
use crate::severity::Severity;

/// Flags of `schedule list`.
#[derive(Debug, Args)]
pub(super) struct ListArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// Form of the result
    #[arg(short, long, value_name = "FORMAT", default_value = "table", hide_possible_values = true)]
    output: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Table,
    Json,
}

/// A schedule with the record of its last run.
pub(super) struct Known {
    pub(super) schedule: SeenSchedule,
    pub(super) last: Option<Header>,
    pub(super) next: Option<Timestamp>,
    pub(super) missed: usize,
}

/// Lists schedules.
pub(super) async fn run(args: ListArgs, access: AccessArgs) -> Result<Exit, Explained> {
    let ListArgs { place, output } = args;
    let connection = cluster::connect(&access.complete()).await?;
    let schedules = place.seen(&connection).await?;
    let now = Timestamp::now();
    let known = known(&connection, schedules, now).await;
    let text = match output {
        Format::Json => format!("{:#}\n", Value::from(known.iter().map(json_of).collect::<Vec<_>>())),
        Format::Table if known.is_empty() => "no schedules\n".to_owned(),
        Format::Table => {
            let width = if std::io::stdout().is_terminal() { ui::terminal_width() } else { None };
            table(&known, now, TableOptions { width, ..TableOptions::default() })
        }
    };
    ui::data(None, &text)?;
    Ok(Exit::Passed)
}

/// Schedules with the records of their last runs, as far as those may be read.
pub(super) async fn known(connection: &Connection, schedules: Vec<SeenSchedule>, now: Timestamp) -> Vec<Known> {
    let namespaces: BTreeSet<String> =
        schedules.iter().filter_map(|schedule| schedule.state_namespace.clone()).collect();
    let mut last: BTreeMap<(String, String), Header> = BTreeMap::new();
    for namespace in namespaces {
        let listed = match SharedRecords::new(&connection.client, &namespace).list().await {
            Ok(listed) => listed,
            Err(error) => {
                ui::say(&format!("note: what came of runs is not known: {error}"));
                continue;
            }
        };
        for one in listed {
            let Listed::Record(header) = one else { continue };
            // The newest comes first.
            if let Some(schedule) = header.schedule.clone() {
                last.entry((namespace.clone(), schedule)).or_insert(*header);
            }
        }
    }
    let known = schedules.into_iter().map(|schedule| {
        let key = schedule.state_namespace.clone().map(|namespace| (namespace, schedule.name.clone()));
        let last = key.and_then(|key| last.get(&key).cloned());
        let last_run = last.as_ref().map(|header| header.started);
        let (next, missed) = (schedule.next_run(now, last_run), schedule.missed(last_run, now));
        Known { schedule, last, next, missed }
    });
    known.collect()
}

fn table(known: &[Known], now: Timestamp, options: TableOptions) -> String {
    let heads = [
        ("NAMESPACE", false),
        ("NAME", false),
        ("WHEN", false),
        ("NEXT RUN", false),
        ("LAST RUN", false),
        ("SCOPE", false),
    ];
    let row = |known: &Known| {
        let Known { schedule, .. } = known;
        vec![
            schedule.namespace.clone(),
            schedule.name.clone(),
            when(schedule),
            next_in_words(known, now),
            last_in_words(known, now),
            schedule.scope.clone().unwrap_or_else(|| "-".to_owned()),
        ]
    };
    columns(&heads, &known.iter().map(row).collect::<Vec<_>>(), options)
}

/// When a schedule runs, in words; what it says where that means nothing.
pub(super) fn when(schedule: &SeenSchedule) -> String {
    match &schedule.timing {
        Ok(timing) => timing.in_words(),
        Err(error) => error.to_string(),
    }
}

/// When it runs next, and what there is to know of that.
pub(super) fn next_in_words(known: &Known, now: Timestamp) -> String {
    let Known { schedule, next, missed, .. } = known;
    if schedule.suspended {
        return "suspended".to_owned();
    }
    let next = match next {
        Some(next) => until_in_words(*next, now, &TimeZone::system()),
        None => "never".to_owned(),
    };
    let running = if schedule.active > 0 { "; runs now" } else { "" };
    let missed = if *missed > 0 { format!("; {} missed", plural(*missed, "run")) } else { String::new() };
    format!("{next}{running}{missed}")
}

/// What came of the last run.
pub(super) fn last_in_words(known: &Known, now: Timestamp) -> String {
    let ago = |time: Timestamp| format!("{} ago", age(now.duration_since(time)));
    let Some(header) = &known.last else {
        return match known.schedule.last_start {
            Some(started) if known.schedule.active == 0 => format!("{}: no record", ago(started)),
            Some(started) => ago(started),
            None => "-".to_owned(),
        };
    };
    let count = |severity| header.findings.get(severity);
    let found = if header.matched {
        let (critical, high) = (count(Severity::Critical), count(Severity::High));
        format!("{critical} critical, {high} high")
    } else {
        "nothing to match with".to_owned()
    };
    let incomplete = if header.complete { "" } else { ", incomplete" };
    format!("{}: {found}{incomplete}", ago(header.started))
}

/// All that is known of a schedule.
pub(super) fn json_of(known: &Known) -> Value {
    let Known { schedule, last, next, missed } = known;
    let time = |time: Option<Timestamp>| time.map(|time| time.to_string());
    let spec = &schedule.object.spec;
    let guard = schedule.timing.as_ref().ok().and_then(Timing::guard);
    json!({
        "name": schedule.name,
        "namespace": schedule.namespace,
        "scope": schedule.scope,
        "requester": schedule.requester,
        "cron": spec.schedule,
        "time_zone": spec.time_zone,
        "guard": guard.map(|guard| guard.to_string()),
        "when": when(schedule),
        "suspended": schedule.suspended,
        "active": schedule.active,
        "next": time(*next),
        "missed": missed,
        "last_start": time(schedule.last_start),
        "last_success": time(schedule.last_success),
        "last_record": last,
        "state_namespace": schedule.state_namespace,
    })
}
