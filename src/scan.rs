//! The plugin's flow: discover, plan, run, match, report.

mod assemble;
mod attempts;
mod coordinate;
mod credentials;
mod detach;
mod explain;
mod harvest;
mod judge;
mod known;
mod ladder;
mod preview;
mod reading;
mod recall;
mod stores;
mod tell;
mod volume;

use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

pub use coordinate::{KeepJobs, Pods};
pub use detach::{Detached, detach};
pub use explain::{Asker, ExplainedAccess, ExplainedImage, Subject, explain};
pub use harvest::{Harvest, Harvester, ImageState, SeenImage};
pub use known::{Known, KnownImage, known, read_packages};
pub use preview::{How, LeftOut, PlannedImage, Preview, Pull, preview};
pub use stores::{CacheConfig, Shared, open_cache, state_namespace};
pub use volume::{CachePods, volume_store};

use crate::advisories::caveats;
use crate::advisories::matching::Texts;
use crate::cache::Entry;
use crate::cluster::{self, ApiError, Connection, DiscoverError, Scope};
use crate::database::{Advisories, DatabaseError, Progress};
use crate::job::CleanUpError;
use crate::network::Network;
use crate::plan::Read;
use crate::report::{Filter, REPORT_VERSION, Report, ScanInfo};
use assemble::Assembled;
use judge::{Judging, judge};
use reading::{WasRead, interrupted};

/// Everything that a scan is told.
#[derive(Clone, Debug)]
pub struct ScanConfig {
    /// What is read, and how.
    pub reading: ReadConfig,
    /// Where the advisories come from.
    pub advisories: Advisories,
    /// Whether findings get the texts of their advisories.
    pub texts: Texts,
}

/// What is read, and how.
#[derive(Clone, Debug)]
pub struct ReadConfig {
    /// What is looked at.
    pub scope: Scope,
    /// Only containers of this name.
    pub container: Option<String>,
    /// Image that holds the scanner.
    pub scanner_image: String,
    /// Secret for pulling it, in every namespace that is scanned.
    pub scanner_pull_secret: Option<String>,
    /// ServiceAccount of the scanner pods.
    pub service_account: Option<String>,
    /// The namespace in which all scanner pods run; none for that of each workload.
    pub job_namespace: Option<String>,
    /// How registries are reached.
    pub network: Network,
    /// Time for the whole scan.
    pub timeout: Duration,
    /// Which ways of reading images may be taken.
    pub read: Read,
    /// Scanner pods at the same time.
    pub parallelism: usize,
    /// Most memory, in bytes, that a scanner pod is given for one large image.
    pub max_memory: u64,
    /// Which Jobs stay after the scan.
    pub keep_jobs: KeepJobs,
    /// Where what was read is kept.
    pub cache: CacheConfig,
    /// Whether what was read before is read again.
    pub refresh: bool,
    /// Whether scanner pods are started.
    pub pods: Pods,
    /// The scan's id, where it is known beforehand; else it gets one.
    pub id: Option<String>,
    /// The schedule that it belongs to.
    pub schedule: Option<String>,
    /// What pods of the same scan have read before it was taken up again.
    pub known: Vec<Entry>,
}

impl ReadConfig {
    /// For who only looks at what runs and at what is kept of it: nothing is read. A volume is reached by pods that look so.
    #[must_use]
    pub fn looking(scope: Scope, cache: CacheConfig, pods: CachePods) -> Self {
        let CachePods { scanner_image, scanner_pull_secret, service_account } = pods;
        Self {
            scope,
            container: None,
            scanner_image,
            scanner_pull_secret,
            service_account,
            job_namespace: None,
            network: Network::default(),
            timeout: Duration::ZERO,
            read: Read::Auto,
            parallelism: 1,
            max_memory: 0,
            keep_jobs: KeepJobs::Never,
            cache,
            refresh: false,
            pods: Pods::Cache,
            id: None,
            schedule: None,
            known: Vec::new(),
        }
    }
}

/// What happens on the way, for whoever watches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Update {
    /// The scan has its id, and its scope is known.
    Planned {
        /// The scan's id.
        scan: String,
        /// Containers in scope.
        containers: usize,
        /// Images to read.
        images: usize,
        /// Images that were read before.
        cached: usize,
        /// Jobs planned.
        jobs: usize,
    },
    /// A scanner pod has come to a new stage of its life.
    Pod {
        /// Its namespace.
        namespace: String,
        /// What has happened.
        stage: &'static str,
    },
    /// A Job waits, in the cluster's own words.
    Waiting {
        /// Namespace and name of the Job.
        job: String,
        /// For what.
        text: String,
    },
    /// An image is being read.
    Reading {
        /// The image, as the pod spec names it.
        image: String,
        /// Index of the image.
        target: usize,
        /// Compressed bytes read.
        read: u64,
        /// Compressed bytes of all layers; 0 while not known.
        total: u64,
    },
    /// An image has ended.
    Finished {
        /// The image.
        image: String,
        /// Index of the image.
        target: usize,
    },
    /// What is being done about the advisories.
    Advisories(Progress),
    /// Something a person should know now.
    Note(String),
    /// How something is done, for who wants to know.
    Detail(String),
    /// A stage is over; how long it took since the last one.
    Stage(&'static str, Duration),
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// Nothing to scan, or not allowed to look.
    #[error(transparent)]
    Discover(#[from] DiscoverError),
    /// The advisories cannot be read.
    #[error("cannot load the advisories")]
    Advisories(#[from] DatabaseError),
    /// A Job of a scan that nobody waits for cannot be created.
    #[error("cannot start the scan")]
    Start(#[source] ApiError),
    /// More Jobs than are started at once.
    #[error("the scan needs {0} pods, and without a runner at most {1} are started at once")]
    TooLarge(usize, usize),
    /// No randomness for an id.
    #[error("the system gives no random numbers: {0}")]
    Random(String),
    /// A defect of this program.
    #[error("this program failed: {0}")]
    Internal(String),
    /// The person stopped it. All that it created is removed.
    #[error("scan {scan} was interrupted; all that it created is removed")]
    Interrupted {
        /// The scan's id.
        scan: String,
    },
    /// Somebody stopped it from elsewhere. All that it created is removed.
    #[error("scan {scan} was stopped by {by}; all that it created is removed")]
    Stopped {
        /// The scan's id.
        scan: String,
        /// Who, by their own account.
        by: String,
    },
    /// The person stopped it, and something is still there.
    #[error("scan {scan} was interrupted, and not all that it created could be removed")]
    NotRemoved {
        /// The scan's id.
        scan: String,
        /// The namespaces in which Jobs may have been created.
        namespaces: Vec<String>,
        /// Why.
        #[source]
        source: CleanUpError,
    },
}

/// Scans what is in scope and reports on every container of it.
pub async fn scan(
    connection: &Connection,
    config: &ScanConfig,
    stop: &CancellationToken,
    on: &(impl Fn(Update) + Sync),
) -> Result<Report, ScanError> {
    let started = (Timestamp::now(), Instant::now());
    let stages = Stages::new(on);
    let was_read = reading::read(connection, &config.reading, stop, on, &stages).await?;
    let WasRead { scan, discovery, plan, reading: read, removing, mut notes } = was_read;
    let date = started.0.to_zoned(jiff::tz::TimeZone::UTC).date();
    let judging = Judging { discovery: &discovery, plan: &plan, ends: &read.ends, config, stop, date };
    let judged = judge(&judging, &stages).await;
    tell::note(&mut notes, on, removing.await.unwrap_or_default());
    let Some((index, parts)) = judged? else {
        return Err(interrupted(connection, scan, read.namespaces).await);
    };
    notes.extend(read.notes);
    notes.extend(index.notes());
    notes.extend(caveats(&index.info()));
    let info = ScanInfo {
        id: scan,
        generator: format!("{} {}", cluster::NAME, crate::VERSION),
        started: started.0.round(jiff::Unit::Second).unwrap_or(started.0).to_string(),
        duration_ms: u64::try_from(started.1.elapsed().as_millis()).unwrap_or(u64::MAX),
        scope: config.reading.scope.in_words(),
    };
    let Assembled { containers, images, damaged: _ } = parts;
    Ok(Report {
        version: REPORT_VERSION,
        scan: info,
        advisories: index.info(),
        containers,
        images,
        notes,
        filter: Filter::default(),
    })
}

/// Tells how long each stage took.
struct Stages<'a, F> {
    on: &'a F,
    last: std::cell::Cell<Instant>,
}

impl<'a, F: Fn(Update)> Stages<'a, F> {
    fn new(on: &'a F) -> Self {
        Self { on, last: std::cell::Cell::new(Instant::now()) }
    }

    fn over(&self, stage: &'static str) {
        (self.on)(Update::Stage(stage, self.last.replace(Instant::now()).elapsed()));
    }
}
