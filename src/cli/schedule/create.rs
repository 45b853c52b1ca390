//! `kubectl clarity schedule create`.

use clap::{ArgGroup, Args, ValueEnum};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::super::Exit;
use super::super::access::AccessArgs;
use super::super::database::AdvisoriesArgs;
use super::super::detach::{self, DetachError, runner_settings};
use super::super::errors::Explained;
use super::super::network::TransportArgs;
use super::super::notify::NotifyArgs;
use super::super::scan::{ReadArgs, ScopeArgs};
use super::super::ui;
use super::show::yaml;
use crate::cluster::{self, Connection};
use crate::roles::{Purpose, RoleObject, RoleSettings, apply, objects};
use crate::runner::{
    RunnerSettings, SERVICE_ACCOUNT, ScheduleSettings, SecretKey, create_schedule, delete_schedule,
    desired_schedule, keep_address, service_account_exists,
};
use crate::scan::ReadConfig;
use crate::schedule::{ScheduleError, Spread, Timing, When, Zone, check_name, until_in_words};

/// Flags of `schedule create`.
// What clap makes of the times is wider than a terminal.
#[derive(Debug, Args)]
#[command(override_usage = "kubectl clarity schedule create NAME TIME [OPTIONS] [TYPE/NAME]...")]
pub(super) struct CreateArgs {
    /// Name of the schedule
    #[arg(value_name = "NAME", value_parser = name)]
    name: String,
    #[command(flatten, next_help_heading = "Time, one of these")]
    when: WhenArgs,
    /// Time zone of the schedule, for example Europe/Berlin [default: that of this machine]
    #[arg(long, value_name = "ZONE", help_heading = "Schedule")]
    time_zone: Option<Zone>,
    /// Start no runs until it is resumed
    #[arg(long, help_heading = "Schedule")]
    suspend: bool,
    /// Print what would be created, and create nothing
    #[arg(long, help_heading = "Schedule")]
    dry_run: bool,
    /// Form in which --dry-run prints it
    #[arg(
        short,
        long,
        value_name = "FORMAT",
        default_value = "yaml",
        requires = "dry_run",
        help_heading = "Schedule"
    )]
    output: Format,
    /// ServiceAccount of the pods that run it
    #[arg(long, value_name = "NAME", default_value = SERVICE_ACCOUNT, help_heading = "Schedule")]
    runner: String,
    /// Take the address to which results are posted from this key of a Secret
    #[arg(long, value_name = "SECRET/KEY", value_parser = secret_key, conflicts_with = "notify", help_heading = "Schedule")]
    notify_secret: Option<SecretKey>,
    #[command(flatten, next_help_heading = "Schedule")]
    notify: NotifyArgs,
    #[command(flatten, next_help_heading = "What is scanned, and how")]
    scope: ScopeArgs,
    #[command(flatten)]
    reading: ReadArgs,
    #[command(flatten)]
    advisories: AdvisoriesArgs,
    #[command(flatten)]
    transport: TransportArgs,
}

/// When it runs.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("time").required(true).args(["cron", "every", "daily", "weekly", "at"])))]
struct WhenArgs {
    /// Five fields as cron has them, for example '0 3 * * 1-5', or @daily and the like
    #[arg(long, value_name = "EXPRESSION")]
    cron: Option<String>,
    /// Again and again, for example 45m, 6h or 10d
    #[arg(long, value_name = "INTERVAL")]
    every: Option<String>,
    /// Each day, for example 03:00
    #[arg(long, value_name = "TIME")]
    daily: Option<String>,
    /// On days of the week, for example sun@03:00 or mon,thu@03:00
    #[arg(long, value_name = "DAYS@TIME")]
    weekly: Option<String>,
    /// Once, for example 2027-01-31T03:00; then it removes itself
    #[arg(long, value_name = "DATE")]
    at: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Yaml,
    Json,
}

fn secret_key(text: &str) -> Result<SecretKey, String> {
    let parts = text.split_once('/').filter(|(secret, key)| !secret.is_empty() && !key.is_empty());
    let (secret, key) = parts.ok_or("expected the name of a Secret and one of its keys: SECRET/KEY")?;
    Ok(SecretKey { secret: secret.to_owned(), key: key.to_owned() })
}

fn name(text: &str) -> Result<String, String> {
    check_name(text).map(|()| text.to_owned()).map_err(|error| error.to_string())
}

impl WhenArgs {
    fn timing(&self, zone: &Zone, name: &str, now: Timestamp) -> Result<Timing, ScheduleError> {
        let Self { cron, every, daily, weekly, at } = self;
        let when = [
            cron.as_deref().map(When::Cron),
            every.as_deref().map(When::Every),
            daily.as_deref().map(When::Daily),
            weekly.as_deref().map(When::Weekly),
            at.as_deref().map(When::At),
        ];
        // clap lets none and several of them not pass.
        let when = when.into_iter().flatten().next().unwrap_or(When::Cron(""));
        Timing::new(when, zone, Spread::of(name), now)
    }
}

/// The zone of this machine; UTC where that has no name.
fn own_zone() -> Result<Zone, ScheduleError> {
    TimeZone::system().iana_name().unwrap_or("UTC").parse().or_else(|_| "UTC".parse())
}

/// Makes a schedule.
pub(super) async fn run(args: CreateArgs, access: AccessArgs) -> Result<Exit, Explained> {
    let CreateArgs {
        name,
        when,
        time_zone,
        suspend,
        dry_run,
        output,
        runner: account,
        notify_secret,
        notify,
        scope,
        reading,
        advisories,
        transport,
    } = args;
    let now = Timestamp::now();
    let zone = time_zone.map_or_else(own_zone, Ok)?;
    let timing = when.timing(&zone, &name, now)?;
    let network = transport.complete(Some(&access), scope.namespace()).await?.network;
    let mut more = advisories.arguments()?;
    let own_key = || SecretKey { secret: format!("{name}-notify"), key: "url".to_owned() };
    let key = notify_secret.or_else(|| notify.is_wanted().then(own_key));
    if key.is_some() {
        more.extend(notify.arguments());
    }
    let connection = cluster::connect(&access.complete()).await?;
    let reading = reading.complete(scope.complete(&connection), network)?;
    let reading = ReadConfig { schedule: Some(name.clone()), ..reading };
    let places = detach::places(&connection, &reading).await?;
    let mut runner = runner_settings(&reading, &account, &places, &connection, more);
    runner.guard = timing.guard().map(|guard| guard.to_string());
    runner.notify = key;
    let settings = ScheduleSettings { runner, timing, suspend, now };
    let object = desired_schedule(&settings);
    if dry_run {
        let text = match output {
            Format::Yaml => yaml(&[serde_json::to_value(&object).unwrap_or_default()])?,
            Format::Json => format!("{:#}\n", serde_json::to_value(&object).unwrap_or_default()),
        };
        ui::data(None, &text)?;
        return Ok(Exit::Passed);
    }
    see_to_account(&connection, &settings.runner, &reading).await?;
    let Some(created) = create_schedule(&connection.client, &object).await? else {
        return Err(CreateError::Exists { name, namespace: settings.runner.namespace }.into());
    };
    if let (Some(key), Some(address)) = (&settings.runner.notify, &notify.notify)
        && let Err(error) = keep_address(&connection.client, &created, key, address.expose()).await
    {
        // A schedule that tells nobody is not what was asked for.
        delete_schedule(&connection.client, &settings.runner.namespace, &name).await?;
        return Err(error.into());
    }
    let ScheduleSettings { timing, runner, .. } = settings;
    let next = match timing.next_runs(now, None).next().filter(|_| !suspend) {
        Some(next) => format!("the next run is {}", until_in_words(next, now, &TimeZone::system())),
        None => "it waits to be resumed".to_owned(),
    };
    let line = format!(
        "schedule {name} in namespace {} scans {} {}; {next}\n",
        runner.namespace,
        runner.scope,
        timing.in_words()
    );
    ui::data(None, &line)?;
    Ok(Exit::Passed)
}

/// A schedule that cannot be made.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum CreateError {
    /// The name is taken.
    #[error("there is a CronJob {name} in namespace {namespace:?} already")]
    Exists {
        /// The name.
        name: String,
        /// Where.
        namespace: String,
    },
}

/// Makes sure that there is a ServiceAccount for the runs. That of one namespace is made where it is missing and whoever asks may
/// make it; one for all namespaces only by who means it.
async fn see_to_account(
    connection: &Connection,
    runner: &RunnerSettings,
    reading: &ReadConfig,
) -> Result<(), Explained> {
    let RunnerSettings { namespace, service_account, state_namespace, .. } = runner;
    // Who may not look may still know.
    if service_account_exists(&connection.client, namespace, service_account).await != Some(false) {
        return Ok(());
    }
    let missing =
        || DetachError::NoServiceAccount { name: service_account.clone(), namespace: namespace.clone() };
    if service_account != SERVICE_ACCOUNT || reading.scope.namespace.is_none() {
        return Err(missing().into());
    }
    let settings = RoleSettings {
        state_namespace: Some(state_namespace.clone()),
        job_namespace: reading.job_namespace.clone(),
        ..RoleSettings::new(Purpose::Runner, namespace)
    };
    let mut objects = objects(Purpose::Runner, &settings);
    // An account without rights would be taken for one that has them.
    objects.sort_by_key(|object| matches!(object, RoleObject::ServiceAccount(_)));
    for object in &objects {
        if let Err(error) = apply(&connection.client, object).await {
            ui::say(&format!("note: {error}: {}", error.refusal));
            return Err(missing().into());
        }
        ui::say(&format!("made for its runs: {} {}", object.kind(), object.name()));
    }
    Ok(())
}
