//! `kubectl clarity cache`: what was read of images.

mod list;
mod place;
mod prune;
mod transfer;
mod verify;

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args, Subcommand, ValueEnum};
use tokio_util::sync::CancellationToken;

use super::Exit;
use super::access::AccessArgs;
use super::database::age;
use super::errors::Explained;
use super::ui;
use place::{CachePlace, Opened, StoreArgs, bytes};

/// What was read of images, so that it need not be read again
#[derive(Debug, Args)]
pub(super) struct CacheArgs {
    #[command(subcommand)]
    command: CacheCommand,
}

#[derive(Debug, Subcommand)]
enum CacheCommand {
    /// Say which images are there, how large and how old
    List(ListArgs),
    /// Remove what is not needed any more
    Prune(PruneArgs),
    /// Read everything, and name what is damaged
    Verify(VerifyArgs),
    /// Write everything to a file, as plain CycloneDX
    Export(ExportArgs),
    /// Take in what `cache export` wrote, perhaps of another cluster
    Import(ImportArgs),
}

#[derive(Debug, Args)]
struct ListArgs {
    /// Form of the result
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    output: Format,
    #[command(flatten)]
    stores: StoreArgs,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// For people.
    Table,
    /// For programs.
    Json,
}

// What clap makes of the group is wider than a terminal.
#[derive(Debug, Args)]
#[command(override_usage = "kubectl clarity cache prune [OPTIONS]")]
#[command(group(ArgGroup::new("which").required(true).multiple(true).args(["older_than", "keep_bytes", "all"])))]
struct PruneArgs {
    /// Remove what was not used for so long, for example 36h or 30d
    #[arg(long, value_name = "DURATION", value_parser = age)]
    older_than: Option<Duration>,
    /// Remove the least recently used until no more than this is left, for example 32Mi
    #[arg(long, value_name = "QUANTITY", value_parser = bytes)]
    keep_bytes: Option<u64>,
    /// Remove everything
    #[arg(long, conflicts_with_all = ["older_than", "keep_bytes"])]
    all: bool,
    #[command(flatten)]
    stores: StoreArgs,
}

#[derive(Debug, Args)]
struct VerifyArgs {
    #[command(flatten)]
    stores: StoreArgs,
}

#[derive(Debug, Args)]
struct ExportArgs {
    /// The file to write, a tar; - is standard output
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    stores: StoreArgs,
}

#[derive(Debug, Args)]
struct ImportArgs {
    /// What `cache export` wrote
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Most that is kept in ConfigMaps; the least recently used goes
    #[arg(long, value_name = "QUANTITY", default_value = "64Mi", value_parser = bytes)]
    cache_budget: u64,
    #[command(flatten)]
    stores: StoreArgs,
}

pub(super) async fn run(args: CacheArgs, access: AccessArgs) -> Result<Exit, Explained> {
    match args.command {
        CacheCommand::List(ListArgs { output, stores }) => {
            with(stores.open(access).await?, async |stores| list::run(output, stores).await).await
        }
        CacheCommand::Prune(PruneArgs { older_than, keep_bytes, all, stores }) => {
            let rule = if all { prune::Rule::All } else { prune::Rule::Surplus { older_than, keep_bytes } };
            with(stores.open(access).await?, async |stores| prune::run(rule, stores).await).await
        }
        CacheCommand::Verify(VerifyArgs { stores }) => {
            with(stores.open(access).await?, async |stores| verify::run(stores).await).await
        }
        CacheCommand::Export(ExportArgs { file, stores }) => {
            with(stores.open(access).await?, async |stores| transfer::export(&file, stores).await).await
        }
        CacheCommand::Import(ImportArgs { file, cache_budget, stores }) => {
            let stores = stores.open_with(access, cache_budget).await?;
            with(stores, async |stores| transfer::import(file, stores).await).await
        }
    }
}

/// Works with stores and closes them, whatever comes of it.
async fn with(
    stores: Vec<Opened>,
    work: impl AsyncFnOnce(&[Opened]) -> Result<Exit, Explained>,
) -> Result<Exit, Explained> {
    let stop = CancellationToken::new();
    if stores.iter().any(|opened| matches!(opened.place, CachePlace::Claim(_))) {
        ui::stop_on_signal(stop.clone());
    }
    let result = tokio::select! {
        result = work(&stores) => result,
        () = stop.cancelled() => Ok(Exit::Interrupted),
    };
    for opened in &stores {
        if let Some(note) = opened.store.close().await {
            ui::say(&format!("note: {note}"));
        }
    }
    result
}
