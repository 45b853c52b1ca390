//! `kubectl clarity diff`.

use clap::Args;

use super::Exit;
use super::errors::Explained;
use super::reports::{self, RecordsArgs, load};
use super::result::ResultArgs;

/// Flags of `diff`.
#[derive(Debug, Args)]
pub(super) struct DiffArgs {
    /// The scan before: an id or how it begins, last, or a file with a report in JSON. Alone it is the scan after, and
    /// held against the last record of the same scope before it
    #[arg(value_name = "BEFORE", default_value = "last")]
    one: String,
    /// The scan after
    #[arg(value_name = "AFTER")]
    other: Option<String>,
    #[command(flatten)]
    result: ResultArgs,
    #[command(flatten)]
    records: RecordsArgs,
}

/// Compares two scans.
pub(super) fn run(args: DiffArgs) -> Result<Exit, Explained> {
    let DiffArgs { one, other, result, records } = args;
    let folder = records.folder()?;
    let one = load(&one, &folder)?;
    let (before, after) = match other {
        Some(other) => (one, load(&other, &folder)?),
        None => (reports::before(&one, &folder)?, one),
    };
    result.open()?.show_diff(before.report, after.report)
}
