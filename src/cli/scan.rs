//! `kubectl clarity scan`.

use std::time::Duration;

use clap::{Args, ValueEnum};
use tokio_util::sync::CancellationToken;

use super::Exit;
use super::access::AccessArgs;
use super::database::AdvisoriesArgs;
use super::detach::{self, DetachArgs};
use super::errors::Explained;
use super::kept::{KeptArgs, ScannerArgs, label};
use super::network::{PodNetworkArgs, TransportArgs};
use super::notify::NotifyArgs;
use super::plan;
use super::reports::{self, RecordsArgs};
use super::result::ResultArgs;
use super::turn::Turn;
use super::ui::{self, Progress};
use crate::cluster::{self, Connection, Scope};
use crate::network::Network;
use crate::plan::Read;
use crate::records::{Folder, Header, Origin, SharedRecords};
use crate::report::Report;
use crate::runner;
use crate::scan::{CachePods, KeepJobs, Pods, ReadConfig, ScanConfig, scan, state_namespace};
use crate::schedule::Guard;
use crate::workload::WorkloadRef;

/// Flags of `scan`.
#[derive(Debug, Args)]
pub(super) struct ScanArgs {
    #[command(flatten)]
    scope: ScopeArgs,
    #[command(flatten)]
    result: ResultArgs,
    #[command(flatten)]
    advisories: AdvisoriesArgs,
    #[command(flatten)]
    reading: ReadArgs,
    #[command(flatten)]
    transport: TransportArgs,
    #[command(flatten)]
    records: RecordsArgs,
    /// Say what would be read, how and where, as `plan` does; create nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    notify: NotifyArgs,
    #[command(flatten)]
    detaching: DetachArgs,
    #[command(flatten)]
    run: RunArgs,
}

/// What a runner is told by its environment.
#[derive(Debug, Args)]
struct RunArgs {
    /// UID of the runner's Job
    #[arg(long, hide = true, env = runner::UID_VARIABLE)]
    run: Option<String>,
    /// The schedule that it belongs to
    #[arg(long, hide = true, env = runner::SCHEDULE_VARIABLE)]
    run_schedule: Option<String>,
    /// Who has asked for it
    #[arg(long, hide = true, env = runner::REQUESTER_VARIABLE)]
    run_requester: Option<String>,
    /// By what it is judged whether this start is one that was meant
    #[arg(long, hide = true, env = runner::GUARD_VARIABLE)]
    run_guard: Option<Guard>,
    /// Its own namespace
    #[arg(long, hide = true, env = runner::NAMESPACE_VARIABLE)]
    run_namespace: Option<String>,
}

/// What is looked at.
#[derive(Debug, Args)]
pub(super) struct ScopeArgs {
    /// What to scan, for example deploy/cart or pod/cart-0; everything in the namespace without it
    #[arg(value_name = "TYPE/NAME", value_parser = target)]
    targets: Vec<WorkloadRef>,
    /// Namespace to scan; that of the context without it
    #[arg(short, long, value_name = "NAME")]
    namespace: Option<String>,
    /// Scan all namespaces
    #[arg(short = 'A', long, conflicts_with_all = ["namespace", "targets"])]
    all_namespaces: bool,
    /// Label selector of the pods, as kubectl has it
    #[arg(short = 'l', long, value_name = "SELECTOR")]
    selector: Option<String>,
    /// Field selector of the pods, as kubectl has it
    #[arg(long, value_name = "SELECTOR")]
    field_selector: Option<String>,
}

/// How it is read.
#[derive(Debug, Args)]
pub(super) struct ReadArgs {
    /// Time for the whole scan, for example 90s, 10m, 1h
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = duration)]
    timeout: Duration,
    /// Where images are read: auto mounts what a node has unpacked and streams the rest, volume only mounts, stream only
    /// reads from registries, pull lets the nodes pull what they mount
    #[arg(long, value_name = "HOW", default_value = "auto", hide_possible_values = true)]
    read: How,
    /// Scanner pods that run at the same time
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=100))]
    parallelism: u16,
    /// Most memory that a scanner pod is given for one large image, for example 1Gi
    #[arg(long, value_name = "QUANTITY", default_value = "1Gi", value_parser = memory)]
    max_memory: u64,
    #[command(flatten)]
    scanner: ScannerArgs,
    /// Namespace in which all scanner pods run, with copies of those entries of pull secrets that their images need [default:
    /// the namespace of each workload, where nothing is copied]
    #[arg(long, value_name = "NAME", value_parser = label)]
    job_namespace: Option<String>,
    #[command(flatten)]
    network: PodNetworkArgs,
    #[command(flatten)]
    kept: KeptArgs,
    /// Read again what was read before
    #[arg(long)]
    refresh: bool,
    /// Start no pods: only what was read before is looked at
    #[arg(long, conflicts_with = "refresh")]
    no_pods: bool,
    /// Which Jobs stay after the scan for a day, for a look at them
    #[arg(long, value_name = "WHICH", default_value = "never")]
    keep_jobs: Keep,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum How {
    Auto,
    Volume,
    Stream,
    Pull,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Keep {
    Never,
    Failed,
    Always,
}

fn target(text: &str) -> Result<WorkloadRef, String> {
    WorkloadRef::parse(text).ok_or_else(|| {
        "expected TYPE/NAME with one of pod, deployment, statefulset, daemonset, replicaset, job, cronjob"
            .to_owned()
    })
}

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let parsed: jiff::SignedDuration =
        text.parse().map_err(|_| "expected a time such as 90s, 10m or 1h".to_owned())?;
    let duration = Duration::try_from(parsed).map_err(|_| "a time before now".to_owned())?;
    let day = Duration::from_hours(24);
    if (Duration::from_secs(10)..=day).contains(&duration) {
        Ok(duration)
    } else {
        Err("expected at least 10s and at most 24h".to_owned())
    }
}

fn memory(text: &str) -> Result<u64, String> {
    let wrong = || "expected a quantity such as 512Mi or 1Gi".to_owned();
    let unit = |suffix: &str, shift: u32| Some((text.strip_suffix(suffix)?, shift));
    let (digits, shift) = unit("Gi", 30).or_else(|| unit("Mi", 20)).ok_or_else(wrong)?;
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    let bytes = number.checked_mul(1 << shift).ok_or_else(wrong)?;
    if bytes < crate::job::MEMORY { Err("expected at least 256Mi".to_owned()) } else { Ok(bytes) }
}

impl ScopeArgs {
    /// The namespace that is named.
    pub(super) fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }

    /// What is looked at; the namespace is that of the context unless another one is named.
    pub(super) fn complete(self, connection: &Connection) -> Scope {
        let Self { targets, namespace, all_namespaces, selector, field_selector } = self;
        let namespace = (!all_namespaces).then(|| namespace.unwrap_or_else(|| connection.namespace.clone()));
        Scope { namespace, label_selector: selector, field_selector, targets }
    }
}

impl ReadArgs {
    /// Whether no pods are started.
    pub(super) fn starts_no_pods(&self) -> bool {
        self.no_pods
    }

    /// Everything that decides what is read, and how.
    pub(super) fn complete(self, scope: Scope, network: Network) -> Result<ReadConfig, Explained> {
        let Self {
            timeout,
            read,
            parallelism,
            max_memory,
            scanner,
            network: pods,
            job_namespace,
            kept,
            refresh,
            no_pods,
            keep_jobs,
        } = self;
        let network = if no_pods { network } else { pods.complete(network)? };
        let CachePods { scanner_image, scanner_pull_secret, service_account } = scanner.complete();
        Ok(ReadConfig {
            cache: kept.complete(&scope)?,
            scope,
            container: None,
            scanner_image,
            scanner_pull_secret,
            service_account,
            job_namespace,
            network,
            timeout,
            read: match read {
                How::Auto => Read::Auto,
                How::Volume => Read::Volume,
                How::Stream => Read::Stream,
                How::Pull => Read::Pull,
            },
            parallelism: usize::from(parallelism),
            max_memory,
            keep_jobs: match keep_jobs {
                Keep::Never => KeepJobs::Never,
                Keep::Failed => KeepJobs::Failed,
                Keep::Always => KeepJobs::Always,
            },
            refresh,
            pods: if no_pods { Pods::None } else { Pods::Start },
            id: None,
            schedule: None,
            known: Vec::new(),
        })
    }
}

/// Completes the flags and runs the scan.
pub(super) async fn run(args: ScanArgs, access: AccessArgs, verbosity: u8) -> Result<Exit, Explained> {
    let ScanArgs { scope, result, advisories, reading, transport, records, dry_run, notify, detaching, run } =
        args;
    let reach = transport.complete(Some(&access), scope.namespace()).await?;
    let network = reach.network.clone();
    if dry_run {
        let place = result.open()?;
        let connection = cluster::connect(&access.complete()).await?;
        let preview = plan::look(&connection, &reading.complete(scope.complete(&connection), network)?).await?;
        place.write(|| plan::json(&preview), |options| plan::table(&preview, *options))?;
        return Ok(plan::verdict(&preview));
    }
    if detaching.detach {
        let arguments = advisories.arguments()?;
        let connection = cluster::connect(&access.complete()).await?;
        let reading = reading.complete(scope.complete(&connection), network)?;
        return detach::run(detaching, &connection, reading, arguments).await;
    }
    let settings = reach.settings.clone();
    let advisories = advisories.complete(reach)?;
    let place = result.open()?;
    // Without a home folder there is none for records either, and a scan does not need one.
    let records = records.folder().ok();
    let mut connection = cluster::connect(&access.complete()).await?;
    let mut reading = reading.complete(scope.complete(&connection), network)?;
    let RunArgs { run, run_schedule, run_requester, run_guard, run_namespace } = run;
    connection.requester = run_requester.unwrap_or(connection.requester);
    reading.id = run.as_deref().and_then(runner::scan_id);
    reading.schedule = run_schedule;
    let is_runner = run.is_some();
    let turn = Turn { guard: run_guard, schedule: reading.schedule.clone(), namespace: run_namespace };
    if !turn.has_come(&connection, &reading).await? {
        return Ok(Exit::Passed);
    }
    let config = ScanConfig { reading, advisories, texts: place.texts() };
    let report = scanned(&connection, &config, verbosity).await?;
    // Before there is a record of this one.
    let before = if notify.is_wanted() {
        before(&report, &connection, &config.reading, records.as_ref()).await
    } else {
        None
    };
    let kept = keep(&report, &connection, &config.reading, records).await;
    if let Ok(header) = Header::of(&report, origin(&connection, &config.reading)) {
        notify.tell(&header, &report, before, &settings).await;
    }
    if !is_runner {
        kept.unwrap_or_else(|why| ui::say(&format!("note: {why}")));
        return place.show(report);
    }
    // Findings are no failure of a runner; a result that nobody can see is one, and its last words.
    place.show(report)?;
    match kept {
        Ok(()) => {
            turn.is_over(&connection).await;
            Ok(Exit::Passed)
        }
        Err(why) => {
            // On the stream of the report, or it might stand before that in the pod's log.
            ui::data(None, &format!("error: {why}\n"))?;
            Ok(Exit::Error)
        }
    }
}

/// Runs the scan, and shows how far it is.
pub(super) async fn scanned(
    connection: &Connection,
    config: &ScanConfig,
    verbosity: u8,
) -> Result<Report, Explained> {
    let stop = CancellationToken::new();
    ui::stop_on_signal(stop.clone());
    let progress = Progress::start(verbosity);
    let result = scan(connection, config, &stop, &|update| progress.update(update)).await;
    progress.end();
    result.map_err(|error| Explained::of_scan(&error, &connection.server))
}

/// Keeps the record of a scan on this machine, and in the cluster where others share what is read. Whole, whatever is shown of it,
/// and before the rules of today are applied. Why others cannot see it who should.
pub(super) async fn keep(
    report: &Report,
    connection: &Connection,
    config: &ReadConfig,
    folder: Option<Folder>,
) -> Result<(), String> {
    let origin = origin(connection, config);
    if let Some(folder) = folder {
        reports::keep(report, origin.clone(), &folder);
    }
    let Some(namespace) = state_namespace(connection, config).await else { return Ok(()) };
    let records = SharedRecords::new(&connection.client, &namespace);
    let shared = reports::share(report, origin, &records).await;
    shared.map_err(|why| format!("no record was kept in {}: {why}", records.place()))
}

fn origin(connection: &Connection, config: &ReadConfig) -> Origin {
    Origin {
        who: Some(connection.requester.clone()),
        server: Some(connection.server.clone()),
        schedule: config.schedule.clone(),
    }
}

/// The report of the last scan of the same scope, from the cluster or else from this machine.
async fn before(
    report: &Report,
    connection: &Connection,
    config: &ReadConfig,
    folder: Option<&Folder>,
) -> Option<Report> {
    let header = Header::of(report, origin(connection, config)).ok()?;
    if let Some(namespace) = state_namespace(connection, config).await {
        let found = SharedRecords::new(&connection.client, &namespace).before(&header).await;
        if let Ok(Some((_, before))) = found {
            return Some(before);
        }
    }
    folder?.before(&header).ok()?.map(|(_, before)| before)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_in_go() {
        assert_eq!(duration("1h30m"), Ok(Duration::from_mins(90)));
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        for wrong in ["", "10", "-5m", "1s", "48h", "soon"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn memory_is_a_quantity() {
        assert_eq!(memory("512Mi"), Ok(512 << 20));
        for wrong in ["", "1", "1G", "-1Gi", "1Mi", "99999999999999999Gi"] {
            assert!(memory(wrong).is_err(), "{wrong}");
        }
    }
}
