//! `kubectl clarity report`.

use clap::Args;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::Exit;
use super::access::AccessArgs;
use super::errors::Explained;
use super::reports::{Loaded, WhichRecordsArgs, load};
use super::result::ResultArgs;
use super::ui;
use crate::records::{Header, Listed};
use crate::report::table::{TableOptions, columns};
use crate::severity::Severity;

/// Flags of `report`.
#[derive(Debug, Args)]
pub(super) struct ReportArgs {
    /// Id of a scan or how it begins, last, or a file with a report in JSON; - is standard input
    #[arg(value_name = "ID|FILE", default_value = "last")]
    which: String,
    /// List the records of scans instead of showing one
    #[arg(long, conflicts_with_all = ["which", "severity", "only_fixed", "fail_on", "vex"])]
    list: bool,
    #[command(flatten)]
    result: ResultArgs,
    #[command(flatten)]
    records: WhichRecordsArgs,
}

/// Shows the report of an earlier scan, or which there are.
pub(super) async fn run(args: ReportArgs, access: AccessArgs) -> Result<Exit, Explained> {
    let ReportArgs { which, list, result, records } = args;
    let records = records.complete(access).await?;
    if list {
        let place = result.open()?;
        let listed = records.list().await?;
        let mut headers = Vec::new();
        for one in listed {
            match one {
                Listed::Record(header) => headers.push(*header),
                Listed::Damaged { file, why } => ui::say(&format!("note: {file} is damaged: {why}")),
            }
        }
        let now = Timestamp::now();
        place.write(|| json(&headers), |options| table(&headers, &records.place(), now, *options))?;
        return Ok(Exit::Passed);
    }
    let Loaded { report, header } = load(&which, &records).await?;
    // Only now, so that a result may go where a report came from.
    let place = result.open()?;
    if let Some(header) = header {
        ui::say(&in_words(&header, Timestamp::now()));
    }
    if !report.filter.is_open() && report.not_shown() > 0 {
        ui::say("note: this report was made with a filter: what it left out is counted, and judged by nothing");
    }
    place.show(report)
}

/// `scan 7f3a of -n shop, 3h ago, by eve`
fn in_words(header: &Header, now: Timestamp) -> String {
    let who = header.who.as_ref().map(|who| format!(", by {who}")).unwrap_or_default();
    let schedule = header.schedule.as_ref().map(|name| format!(", by schedule {name}"));
    let by = schedule.unwrap_or(who);
    format!("scan {} of {}, {} ago{by}", header.id, header.scope, age(now.duration_since(header.started)))
}

/// A record as JSON has it.
#[derive(Serialize)]
struct Line<'a> {
    file: String,
    #[serde(flatten)]
    header: &'a Header,
}

/// Records as JSON.
pub(super) fn json(headers: &[Header]) -> String {
    let line =
        |header| serde_json::to_value(Line { file: Header::file_name(header), header }).unwrap_or_default();
    let lines: Vec<serde_json::Value> = headers.iter().map(line).collect();
    format!("{:#}\n", serde_json::Value::from(lines))
}

/// Records as a table.
pub(super) fn table(headers: &[Header], place: &str, now: Timestamp, options: TableOptions) -> String {
    if headers.is_empty() {
        return format!("No records of scans in {place}\n");
    }
    let row = |header: &Header| {
        let coverage = header.coverage;
        let read = coverage.scanned + coverage.cached;
        let all = read + coverage.approximate + coverage.partial + coverage.failed + coverage.skipped;
        let count = |number: usize| if header.matched { number.to_string() } else { "-".to_owned() };
        let of = |severity| count(header.findings.get(severity));
        vec![
            header.id.clone(),
            age(now.duration_since(header.started)),
            header.scope.clone(),
            format!("{read}/{all}"),
            of(Severity::Critical),
            of(Severity::High),
            of(Severity::Medium),
            of(Severity::Low),
            count(header.findings.total()),
            header.schedule.as_ref().or(header.who.as_ref()).cloned().unwrap_or_else(|| "-".to_owned()),
        ]
    };
    let heads = [
        ("SCAN", false),
        ("AGE", true),
        ("SCOPE", false),
        ("READ", true),
        ("CRIT", true),
        ("HIGH", true),
        ("MED", true),
        ("LOW", true),
        ("ALL", true),
        ("BY", false),
    ];
    columns(&heads, &headers.iter().map(row).collect::<Vec<_>>(), options)
}

/// As kubectl has it: the largest unit of which there are at least two, or one of seconds.
pub(super) fn age(duration: SignedDuration) -> String {
    let seconds = duration.as_secs().max(0);
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7_200 => format!("{}m", seconds / 60),
        7_200..172_800 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_told_in_one_unit() {
        for (seconds, words) in
            [(-5, "0s"), (119, "119s"), (120, "2m"), (7_199, "119m"), (7_200, "2h"), (172_800, "2d")]
        {
            assert_eq!(age(SignedDuration::from_secs(seconds)), words);
        }
    }
}
