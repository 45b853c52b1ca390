//! `kubectl clarity stop`.

use std::collections::BTreeSet;
use std::io::{BufRead as _, IsTerminal as _};
use std::time::Duration;

use clap::Args;

use super::Exit;
use super::access::AccessArgs;
use super::errors::Explained;
use super::kept::{KeptArgs, ScannerArgs};
use super::scans::{self, Found, ScansArgs};
use super::ui;
use crate::cluster::{self, Connection, Scope};
use crate::job::{SeenScan, mark_stopped, remove_scan};
use crate::report::text::plural;
use crate::runner::{self, Phase};
use crate::scan::{Harvest, Harvester, ReadConfig, open_cache};

/// How long leaving nothing behind may take, for one scan.
const PATIENCE: Duration = Duration::from_mins(1);

/// Flags of `stop`.
#[derive(Debug, Args)]
pub(super) struct StopArgs {
    /// The scan to stop, by its id or how that begins; without it the only one that you have started
    #[arg(value_name = "ID", conflicts_with = "all")]
    id: Option<String>,
    /// Stop all scans that are found
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    scans: ScansArgs,
    /// Stop scans of others without asking
    #[arg(short, long)]
    yes: bool,
    #[command(flatten)]
    kept: KeptArgs,
    #[command(flatten)]
    scanner: ScannerArgs,
}

/// A scan that is not stopped.
#[derive(Debug, thiserror::Error)]
pub(super) enum StopError {
    /// Nobody has said which.
    #[error("{}: {}", if .0.len() == 1 { "one scan runs, and you have not started it" } else { "several scans run" }, .0.join("; "))]
    Which(Vec<String>),
    /// It is that of somebody else, and nobody can be asked.
    #[error("{scan} was started by {by}")]
    OfAnother {
        /// The scan.
        scan: String,
        /// Who has started it.
        by: String,
    },
}

/// Ends scans: what they have read is kept, and nothing of them is left.
pub(super) async fn run(args: StopArgs, access: AccessArgs) -> Result<Exit, Explained> {
    let StopArgs { id, all, scans, yes, kept, scanner } = args;
    let connection = cluster::connect(&access.complete()).await?;
    let seen = scans.look(&connection).await?;
    let meant = meant(id.as_deref(), all, seen, &connection)?;
    if meant.is_empty() {
        ui::say(&match id {
            Some(id) => format!("scan {id} has nothing in the cluster"),
            None => "no scan runs".to_owned(),
        });
        return Ok(Exit::Passed);
    }
    let scope = Scope { namespace: Some(connection.namespace.clone()), ..Scope::default() };
    let config = ReadConfig::looking(scope.clone(), kept.complete(&scope)?, scanner.complete());
    let mut exit = Exit::Passed;
    for scan in meant {
        if !yes && !scan.is_of(&connection) && !agree(&scan)? {
            ui::say(&format!("{} goes on", scan.named()));
            continue;
        }
        if let Err(error) = stop(&connection, &config, &scan).await {
            // One that cannot be stopped does not keep the others running.
            exit = error.print();
        }
    }
    Ok(exit)
}

/// The scans that are meant.
fn meant(
    id: Option<&str>,
    all: bool,
    seen: Vec<Found>,
    connection: &Connection,
) -> Result<Vec<Found>, Explained> {
    if all {
        return Ok(seen);
    }
    if let Some(id) = id {
        return Ok(scans::choose(id, seen)?.into_iter().collect());
    }
    let own: Vec<&Found> = seen.iter().filter(|scan| scan.is_of(connection)).collect();
    match own.as_slice() {
        [only] => Ok(vec![(*only).clone()]),
        _ if seen.is_empty() => Ok(seen),
        _ => Err(StopError::Which(seen.iter().map(Found::named).collect()).into()),
    }
}

/// Asks before the scan of somebody else is stopped.
fn agree(scan: &Found) -> Result<bool, Explained> {
    let by = scan.requester().unwrap_or("somebody").to_owned();
    if !std::io::stdin().is_terminal() {
        return Err(StopError::OfAnother { scan: scan.named(), by }.into());
    }
    ui::ask(&format!("{} was started by {by}. Stop it? [y/N] ", scan.named()));
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer);
    Ok(read.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes"))
}

async fn stop(connection: &Connection, config: &ReadConfig, found: &Found) -> Result<(), Explained> {
    let Found { scan, runner, .. } = found;
    let client = &connection.client;
    let harvest = match scan {
        Some(scan) => Harvester::default().harvest(connection, scan).await,
        None => Harvest::default(),
    };
    if let Some(scan) = scan {
        // Before anything goes, those who follow it must know that it is not to be started anew.
        if let Err(error) = mark_stopped(client, scan, &connection.requester).await {
            ui::say(&format!("note: {error}: {}: whoever has started the scan may try again", error.refusal));
        }
    }
    let mut notes = harvest.notes.clone();
    let cache = open_cache(connection, config, &mut notes).await;
    let cache = cache.map_err(|error| Explained::of_scan(&error, &connection.server))?;
    notes.extend(cache.put(&harvest.entries).await);
    notes.extend(cache.close().await);
    if let Some(runner) = runner {
        // It removes what it has created, and keeps what it has read.
        runner::remove(client, runner, PATIENCE).await?;
    }
    let mut namespaces: BTreeSet<String> = scan.iter().flat_map(SeenScan::namespaces).collect();
    namespaces.extend(runner.iter().map(|runner| runner.namespace.clone()));
    remove_scan(client, &found.id, &namespaces, PATIENCE).await?;
    for note in notes {
        ui::say(&format!("note: {note}"));
    }
    let read = match (harvest.read(), harvest.images.len()) {
        (_, 0) => String::new(),
        (0, all) => format!("; none of {} was read", plural(all, "image")),
        (read, all) => {
            let has_store = cache.stores().next().is_some();
            let kept = if has_store { ", and kept" } else { "" };
            format!("; {read} of {} read{kept}", plural(all, "image"))
        }
    };
    let was_over = runner.as_ref().is_some_and(|runner| runner.phase != Phase::Active);
    let done = if was_over { "was over; what was left of it is removed" } else { "is stopped" };
    ui::data(None, &format!("{} {done}{read}\n", found.named()))
}
