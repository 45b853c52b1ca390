//! `kubectl clarity attach`: takes a scan up again that somebody else has started, or that nobody waits for.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use clap::Args;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Exit;
use super::access::AccessArgs;
use super::database::AdvisoriesArgs;
use super::errors::Explained;
use super::network::TransportArgs;
use super::reports::{self, RecordsArgs};
use super::result::ResultArgs;
use super::scan::{ReadArgs, keep, scanned};
use super::scans::{self, ScansArgs};
use super::ui::{self, Progress};
use crate::cache::Entry;
use crate::cluster::{self, Connection};
use crate::job::{SeenScan, remove_scan};
use crate::records::{RecordError, SharedRecords, Which};
use crate::report::Report;
use crate::runner::{Phase, SeenRunner};
use crate::scan::{Harvest, Harvester, ImageState, ReadConfig, ScanConfig, Update};

/// How often the cluster is asked anew.
const INTERVAL: Duration = Duration::from_millis(700);
/// How long Jobs that have ended stay as they are: whoever has started them may be about to go on.
const GRACE: Duration = Duration::from_secs(3);
/// How long the removal of Jobs whose results are here may take.
const CLEAN_UP: Duration = Duration::from_secs(20);

/// Flags of `attach`.
#[derive(Debug, Args)]
pub(super) struct AttachArgs {
    /// The scan, by its id or how that begins
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    scans: ScansArgs,
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
}

/// A scan that cannot be taken up.
#[derive(Debug, thiserror::Error)]
pub(super) enum AttachError {
    /// It has nothing in the cluster, and has left no record.
    #[error("scan {0} has nothing in the cluster, and there is no record of it")]
    Unknown(String),
    /// Its Jobs do not say what it was to read.
    #[error("the jobs of scan {0} do not say what its scope is")]
    NoScope(String),
    /// Its runner has not done its work.
    #[error("the runner of scan {scan} has failed: {why}")]
    Runner {
        /// The scan.
        scan: String,
        /// Why, in the cluster's words.
        why: String,
    },
    /// Its runner was removed before it left a record.
    #[error("the runner of scan {0} was removed before it left a record")]
    Gone(String),
    /// The person would not wait.
    #[error("scan {0} goes on")]
    Left(String),
}

/// Waits for a scan, does what is left of it, and shows its report.
pub(super) async fn run(args: AttachArgs, access: AccessArgs, verbosity: u8) -> Result<Exit, Explained> {
    let AttachArgs { id, scans, result, advisories, reading, transport, records } = args;
    let reach = transport.complete(Some(&access), None).await?;
    let network = reach.network.clone();
    let advisories = advisories.complete(reach)?;
    let place = result.open()?;
    let folder = records.folder().ok();
    let connection = cluster::connect(&access.complete()).await?;
    let seen = scans.look(&connection).await?;
    let Some(found) = scans::choose(&id, seen)? else {
        let report = recorded(&connection, &id, None).await.or_else(|error| match &folder {
            Some(folder) => folder.get(&Which::Id(id.clone())).map(|(_, report)| report),
            None => Err(error),
        });
        return place.show(report.map_err(|_| AttachError::Unknown(id))?);
    };
    let stop = CancellationToken::new();
    ui::leave_on_signal(stop.clone());
    let watching = Watching { connection: &connection, scans: &scans, stop: &stop, verbosity };
    if let Some(runner) = found.runner {
        watching.until_recorded(&runner).await?;
        return place.show(recorded(&connection, &runner.scan, runner.state_namespace).await?);
    }
    let scan = found.scan.ok_or(AttachError::Unknown(id))?;
    let scope = scan.selection.clone().ok_or_else(|| AttachError::NoScope(scan.id.clone()))?;
    let entries = watching.until_over(&scan).await?;
    // The names of its Jobs are needed for what is left to be done.
    remove_scan(&connection.client, &scan.id, &scan.namespaces(), CLEAN_UP).await?;
    let mut readers = scan.jobs.iter().filter(|job| !job.images.is_empty()).map(|job| &job.namespace);
    let elsewhere = readers.find(|name| scope.namespace.as_ref().is_some_and(|own| own != *name)).cloned();
    let reading = reading.complete(scope, network)?;
    // Credentials are copied only to where the person wants them: anybody may have made Jobs that look so.
    if let Some(name) = elsewhere.filter(|_| reading.job_namespace.is_none()) {
        ui::say(&format!(
            "note: its pods ran in namespace {name}; what is left is read beside the workloads, as --job-namespace is not given"
        ));
    }
    let reading = ReadConfig { id: Some(scan.id), schedule: scan.schedule, known: entries, ..reading };
    let config = ScanConfig { reading, advisories, texts: place.texts() };
    let report: Report = scanned(&connection, &config, verbosity).await?;
    let kept = keep(&report, &connection, &config.reading, folder).await;
    kept.unwrap_or_else(|why| ui::say(&format!("note: {why}")));
    place.show(report)
}

/// The report of a scan that is over, from the namespace that it was left in, or from the one that is meant.
async fn recorded(connection: &Connection, id: &str, namespace: Option<String>) -> Result<Report, RecordError> {
    let records = match namespace {
        Some(namespace) => SharedRecords::new(&connection.client, &namespace),
        None => reports::in_cluster(connection, None).await,
    };
    records.get(&Which::Id(id.to_owned())).await.map(|(_, report)| report)
}

/// Who watches.
struct Watching<'a> {
    connection: &'a Connection,
    scans: &'a ScansArgs,
    stop: &'a CancellationToken,
    verbosity: u8,
}

impl Watching<'_> {
    /// Shows how far the scan of a runner is, until it has left its record.
    async fn until_recorded(&self, runner: &SeenRunner) -> Result<(), Explained> {
        let (mut shown, mut harvester) = (Shown::new(self.verbosity), Harvester::looking());
        loop {
            let found = scans::choose(&runner.scan, self.scans.look(self.connection).await?)?;
            let (scan, now) = found.map_or((None, None), |found| (found.scan, found.runner));
            if let Some(scan) = scan {
                shown.show(&scan, &harvester.harvest(self.connection, &scan).await);
            }
            match now.map(|runner| runner.phase) {
                Some(Phase::Active) => {}
                Some(Phase::Failed(why)) => {
                    shown.end();
                    for line in runner.last_words(&self.connection.client).await {
                        ui::say(&format!("runner: {line}"));
                    }
                    return Err(AttachError::Runner { scan: runner.scan.clone(), why }.into());
                }
                // Done, or somebody has stopped it.
                Some(Phase::Done) | None => break shown.end(),
            }
            self.pause(&runner.scan).await?;
        }
        let namespace = runner.state_namespace.clone();
        match recorded(self.connection, &runner.scan, namespace).await {
            Err(RecordError::Unknown { .. } | RecordError::None(_)) => {
                Err(AttachError::Gone(runner.scan.clone()).into())
            }
            _ => Ok(()),
        }
    }

    /// Shows how far a scan is until all its Jobs have ended; what they have read.
    async fn until_over(&self, scan: &SeenScan) -> Result<Vec<Entry>, Explained> {
        let mut shown = Shown::new(self.verbosity);
        let mut entries: BTreeMap<String, Entry> = BTreeMap::new();
        let (mut over_since, mut harvester) = (None, Harvester::default());
        loop {
            let found = scans::choose(&scan.id, self.scans.look(self.connection).await?)?;
            // Who has started it is alive, and has removed them.
            let Some(now) = found.and_then(|found| found.scan) else { break };
            let harvest = harvester.harvest(self.connection, &now).await;
            shown.show(&now, &harvest);
            entries.extend(harvest.entries.into_iter().map(|entry| (entry.about.key.to_string(), entry)));
            if now.is_over() {
                let since = *over_since.get_or_insert_with(Instant::now);
                if since.elapsed() >= GRACE {
                    break;
                }
            } else {
                over_since = None;
            }
            self.pause(&scan.id).await?;
        }
        shown.end();
        Ok(entries.into_values().collect())
    }

    async fn pause(&self, scan: &str) -> Result<(), Explained> {
        tokio::select! {
            () = self.stop.cancelled() => Err(AttachError::Left(scan.to_owned()).into()),
            () = tokio::time::sleep(INTERVAL) => Ok(()),
        }
    }
}

/// Progress, from what is seen again and again.
struct Shown {
    progress: Progress,
    is_planned: bool,
    finished: BTreeSet<String>,
    noted: BTreeSet<String>,
}

impl Shown {
    fn new(verbosity: u8) -> Self {
        Self {
            progress: Progress::start(verbosity),
            is_planned: false,
            finished: BTreeSet::new(),
            noted: BTreeSet::new(),
        }
    }

    fn show(&mut self, scan: &SeenScan, harvest: &Harvest) {
        if !self.is_planned {
            self.is_planned = true;
            self.progress.update(Update::Detail(format!("scan {}", scan.id)));
        }
        for note in &harvest.notes {
            if self.noted.insert(note.clone()) {
                self.progress.update(Update::Note(note.clone()));
            }
        }
        self.progress.expect(harvest.images.len());
        for (target, image) in harvest.images.iter().enumerate() {
            let name = image.image.clone();
            let update = match &image.state {
                ImageState::Reading { read, total } => {
                    Update::Reading { image: name, target, read: *read, total: *total }
                }
                ImageState::Read { .. } | ImageState::Failed(_) if self.finished.insert(name.clone()) => {
                    Update::Finished { image: name, target }
                }
                ImageState::Waiting(Some(text)) => {
                    Update::Waiting { job: image.job.clone(), text: text.clone() }
                }
                _ => continue,
            };
            self.progress.update(update);
        }
    }

    fn end(self) {
        self.progress.end();
    }
}

/// What to do about a scan that cannot be taken up.
pub(super) fn hint(error: &AttachError) -> Option<String> {
    match error {
        AttachError::Unknown(_) => {
            Some("see which there are: kubectl clarity status, or report --shared --list".to_owned())
        }
        AttachError::NoScope(_) => {
            Some("scan anew: what was read is not lost, kubectl clarity stop keeps it".to_owned())
        }
        AttachError::Left(scan) => Some(format!("take it up again: kubectl clarity attach {scan}")),
        AttachError::Runner { .. } | AttachError::Gone(_) => None,
    }
}
