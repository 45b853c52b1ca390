//! `kubectl clarity diff`.

use clap::Args;

use super::Exit;
use super::access::AccessArgs;
use super::errors::Explained;
use super::reports::{self, WhichRecordsArgs, load};
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
    records: WhichRecordsArgs,
}

/// Compares two scans.
pub(super) async fn run(args: DiffArgs, access: AccessArgs) -> Result<Exit, Explained> {
    let DiffArgs { one, other, result, records } = args;
    let records = records.complete(access).await?;
    let one = load(&one, &records).await?;
    let (before, after) = match other {
        Some(other) => (one, load(&other, &records).await?),
        None => (reports::before(&one, &records).await?, one),
    };
    result.open()?.show_diff(before.report, after.report)
}
