//! `kubectl clarity schedule`.

mod create;
mod edit;
mod list;
mod show;

pub(super) use create::CreateError;
pub(super) use edit::EditError;

use clap::{Args, Subcommand};

use super::Exit;
use super::access::AccessArgs;
use super::errors::Explained;
use super::ui;
use crate::cluster::{self, Connection};
use crate::runner::{SeenSchedule, delete_schedule, run_schedule, seen_schedules, suspend_schedule};

/// Arguments of `schedule`.
#[derive(Debug, Args)]
pub(super) struct ScheduleArgs {
    #[command(subcommand)]
    command: ScheduleCommand,
}

#[derive(Debug, Subcommand)]
enum ScheduleCommand {
    /// Make a schedule, with the flags of `scan`
    Create(Box<create::CreateArgs>),
    /// List schedules: when they run next, and what came of the last run
    List(list::ListArgs),
    /// Show all that is known of a schedule
    Get(show::GetArgs),
    /// List the runs of a schedule that have left a record
    History(show::HistoryArgs),
    /// Start no runs until it is resumed
    Suspend(NamedArgs),
    /// Start runs again
    Resume(NamedArgs),
    /// Start a run now
    Run(NamedArgs),
    /// Change a schedule in an editor
    Edit(NamedArgs),
    /// Remove a schedule, and end a run of it; its records stay
    Delete(NamedArgs),
    /// Print schedules as YAML that `kubectl apply` takes
    Export(show::ExportArgs),
}

/// A schedule by its name.
#[derive(Debug, Args)]
struct NamedArgs {
    /// Name of the schedule
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    place: PlaceArgs,
}

/// Where schedules are looked for.
#[derive(Clone, Debug, Args)]
struct PlaceArgs {
    /// Namespace of the schedule [default: all namespaces, or where that is not allowed the one of the context]
    #[arg(short, long, value_name = "NAME")]
    namespace: Option<String>,
}

/// No schedule is meant, or more than one.
#[derive(Debug, thiserror::Error)]
pub(super) enum ScheduleNameError {
    /// There is none of this name.
    #[error("there is no schedule {name}{}", .namespace.as_ref().map(|namespace| format!(" in namespace {namespace:?}")).unwrap_or_default())]
    Unknown {
        /// What was asked for.
        name: String,
        /// Where, if in one namespace only.
        namespace: Option<String>,
    },
    /// Several namespaces have one.
    #[error("there is a schedule {name} in several namespaces: {}", .namespaces.join(", "))]
    Several {
        /// What was asked for.
        name: String,
        /// Where.
        namespaces: Vec<String>,
    },
}

/// Runs a command about schedules.
pub(super) async fn run(args: ScheduleArgs, access: AccessArgs) -> Result<Exit, Explained> {
    let NamedArgs { name, place } = match args.command {
        ScheduleCommand::Create(args) => return create::run(*args, access).await,
        ScheduleCommand::List(args) => return list::run(args, access).await,
        ScheduleCommand::Get(args) => return show::get(args, access).await,
        ScheduleCommand::History(args) => return show::history(args, access).await,
        ScheduleCommand::Export(args) => return show::export(args, access).await,
        ScheduleCommand::Edit(args) => return edit::run(args, access).await,
        ScheduleCommand::Suspend(args) => return set(args, access, true).await,
        ScheduleCommand::Resume(args) => return set(args, access, false).await,
        ScheduleCommand::Run(args) => {
            let (connection, schedule) = named(args, access).await?;
            let runner = run_schedule(&connection.client, &schedule).await?;
            ui::say(&format!("scan {} runs in job {}/{}", runner.scan, runner.namespace, runner.name));
            ui::say(&format!("get its report: kubectl clarity attach {}", runner.scan));
            ui::data(None, &format!("{}\n", runner.scan))?;
            return Ok(Exit::Passed);
        }
        ScheduleCommand::Delete(args) => args,
    };
    let (connection, schedule) = named(NamedArgs { name, place }, access).await?;
    delete_schedule(&connection.client, &schedule.namespace, &schedule.name).await?;
    said(&schedule, "is removed; its records stay")
}

async fn set(args: NamedArgs, access: AccessArgs, suspend: bool) -> Result<Exit, Explained> {
    let (connection, schedule) = named(args, access).await?;
    suspend_schedule(&connection.client, &schedule, suspend).await?;
    said(&schedule, if suspend { "is suspended" } else { "is resumed" })
}

fn said(schedule: &SeenSchedule, what: &str) -> Result<Exit, Explained> {
    ui::data(None, &format!("schedule {} in namespace {} {what}\n", schedule.name, schedule.namespace))?;
    Ok(Exit::Passed)
}

/// The schedule of a name.
async fn named(args: NamedArgs, access: AccessArgs) -> Result<(Connection, SeenSchedule), Explained> {
    let NamedArgs { name, place } = args;
    let connection = cluster::connect(&access.complete()).await?;
    let mut alike = place.seen(&connection).await?;
    alike.retain(|schedule| schedule.name == name);
    let namespaces: Vec<String> = alike.iter().map(|schedule| schedule.namespace.clone()).collect();
    match (alike.pop(), namespaces.len()) {
        (Some(schedule), 1) => Ok((connection, schedule)),
        (None, _) => Err(ScheduleNameError::Unknown { name, namespace: place.namespace }.into()),
        _ => Err(ScheduleNameError::Several { name, namespaces }.into()),
    }
}

impl PlaceArgs {
    /// The schedules that are there.
    async fn seen(&self, connection: &Connection) -> Result<Vec<SeenSchedule>, Explained> {
        let client = &connection.client;
        if let Some(namespace) = &self.namespace {
            return Ok(seen_schedules(client, Some(namespace)).await?);
        }
        match seen_schedules(client, None).await {
            Err(error) if error.is_missing_right() => {
                Ok(seen_schedules(client, Some(&connection.namespace)).await?)
            }
            seen => Ok(seen?),
        }
    }
}
