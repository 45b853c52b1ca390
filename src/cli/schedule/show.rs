//! `kubectl clarity schedule get`, `history` and `export`.

use std::io::IsTerminal as _;

use clap::Args;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value;

use super::super::Exit;
use super::super::access::AccessArgs;
use super::super::errors::Explained;
use super::super::report;
use super::super::ui;
use super::list::{Known, json_of, known, last_in_words, next_in_words, when};
use super::{NamedArgs, PlaceArgs, named};
use crate::cluster;
use crate::records::{Header, Listed, SharedRecords};
use crate::report::table::TableOptions;
use crate::report::text::{sanitize, wrap};

/// Runs that are shown of those to come.
const TO_COME: usize = 3;

/// Flags of `schedule get`.
#[derive(Debug, Args)]
pub(super) struct GetArgs {
    #[command(flatten)]
    named: NamedArgs,
    /// Form of the result: text, all that is known as JSON, or the CronJob as YAML
    #[arg(short, long, value_name = "FORMAT", default_value = "table", hide_possible_values = true)]
    output: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Table,
    Json,
    Yaml,
}

/// Flags of `schedule history`.
#[derive(Debug, Args)]
pub(super) struct HistoryArgs {
    #[command(flatten)]
    named: NamedArgs,
    /// Form of the result
    #[arg(short, long, value_name = "FORMAT", default_value = "table", hide_possible_values = true)]
    output: HistoryFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum HistoryFormat {
    Table,
    Json,
}

/// Flags of `schedule export`.
#[derive(Debug, Args)]
pub(super) struct ExportArgs {
    /// Names of the schedules; all that are found without
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    #[command(flatten)]
    place: PlaceArgs,
}

/// Shows a schedule.
pub(super) async fn get(args: GetArgs, access: AccessArgs) -> Result<Exit, Explained> {
    let GetArgs { named: which, output } = args;
    let (connection, schedule) = named(which, access).await?;
    let now = Timestamp::now();
    let object = schedule.object.clone();
    let known = known(&connection, vec![schedule], now).await;
    let text = match output {
        Format::Yaml => yaml(&[plain(serde_json::to_value(&object).unwrap_or_default())])?,
        Format::Json => format!("{:#}\n", known.first().map(json_of).unwrap_or_default()),
        Format::Table => known.iter().map(|known| described(known, now)).collect(),
    };
    ui::data(None, &text)?;
    Ok(Exit::Passed)
}

fn described(known: &Known, now: Timestamp) -> String {
    let width = if std::io::stdout().is_terminal() { ui::terminal_width() } else { None };
    let Known { schedule, last, .. } = known;
    let last_run = last.as_ref().map(|header| header.started);
    let local = TimeZone::system();
    let mut lines = vec![
        ("Name", schedule.name.clone()),
        ("Namespace", schedule.namespace.clone()),
        ("Scans", schedule.scope.clone().unwrap_or_else(|| "-".to_owned())),
        ("When", when(schedule)),
        ("Next run", next_in_words(known, now)),
    ];
    if let (Ok(timing), false) = (&schedule.timing, schedule.suspended) {
        let runs = timing.next_runs(now, last_run).take(TO_COME);
        let runs: Vec<String> =
            runs.map(|run| local.to_datetime(run).strftime("%F %H:%M").to_string()).collect();
        lines.push(("To come", runs.join(", ")));
    }
    lines.push(("Last run", last_in_words(known, now)));
    lines.extend(
        last.as_ref().map(|header| ("Report", format!("kubectl clarity report {} --shared", header.id))),
    );
    lines.extend(schedule.requester.clone().map(|who| ("Made by", who)));
    lines.extend(schedule.state_namespace.clone().map(|name| ("Records in", format!("namespace {name}"))));
    let line = |(name, text): &(&str, String)| wrap(&sanitize(&format!("{name:<11} {text}")), 0, width);
    lines.iter().map(line).collect()
}

/// Lists the records of a schedule.
pub(super) async fn history(args: HistoryArgs, access: AccessArgs) -> Result<Exit, Explained> {
    let HistoryArgs { named: which, output } = args;
    let (connection, schedule) = named(which, access).await?;
    let namespace = schedule.state_namespace.clone().unwrap_or_else(|| schedule.namespace.clone());
    let records = SharedRecords::new(&connection.client, &namespace);
    let mut headers: Vec<Header> = Vec::new();
    for listed in records.list().await? {
        match listed {
            Listed::Record(header) if header.schedule.as_deref() == Some(&schedule.name) => {
                headers.push(*header);
            }
            Listed::Record(_) => {}
            Listed::Damaged { file, why } => ui::say(&format!("note: {file} is damaged: {why}")),
        }
    }
    let text = match output {
        HistoryFormat::Json => report::json(&headers),
        HistoryFormat::Table => {
            let width = if std::io::stdout().is_terminal() { ui::terminal_width() } else { None };
            let options = TableOptions { width, ..TableOptions::default() };
            report::table(&headers, &records.place(), Timestamp::now(), options)
        }
    };
    ui::data(None, &text)?;
    Ok(Exit::Passed)
}

/// Prints schedules as they would be applied.
pub(super) async fn export(args: ExportArgs, access: AccessArgs) -> Result<Exit, Explained> {
    let ExportArgs { names, place } = args;
    let connection = cluster::connect(&access.complete()).await?;
    let mut schedules = place.seen(&connection).await?;
    for name in &names {
        if !schedules.iter().any(|schedule| schedule.name == *name) {
            let (name, namespace) = (name.clone(), place.namespace.clone());
            return Err(super::ScheduleNameError::Unknown { name, namespace }.into());
        }
    }
    schedules.retain(|schedule| names.is_empty() || names.contains(&schedule.name));
    let objects: Vec<Value> = schedules
        .iter()
        .map(|schedule| plain(serde_json::to_value(&schedule.object).unwrap_or_default()))
        .collect();
    ui::data(None, &yaml(&objects)?)?;
    Ok(Exit::Passed)
}

/// An object without what only the cluster knows of it.
pub(super) fn plain(mut object: Value) -> Value {
    if let Some(object) = object.as_object_mut() {
        object.remove("status");
    }
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.retain(|key, _| matches!(key.as_str(), "name" | "namespace" | "labels" | "annotations"));
        if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
            annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
        }
    }
    object
}

/// Documents of YAML.
pub(super) fn yaml(objects: &[Value]) -> Result<String, Explained> {
    let document = |object| serde_saphyr::to_string(object).map(|text| format!("---\n{text}"));
    let text = objects.iter().map(document).collect::<Result<String, _>>();
    text.map_err(|error| Explained::new("cannot write it as YAML", &std::io::Error::other(error.to_string())))
}
