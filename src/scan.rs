//! The plugin's flow: discover, plan, run, match, report.

mod assemble;
mod attempts;
mod coordinate;
mod known;
mod ladder;
mod preview;
mod recall;
mod tell;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub use coordinate::{KeepJobs, Pods};
pub use known::{Known, KnownImage, known};
pub use preview::{How, LeftOut, PlannedImage, Preview, preview};

use crate::advisories::matching::{self, Texts};
use crate::advisories::{Index, Wanted, caveats};
use crate::cache::{self, Cache, ConfigMapStore, LocalStore, Store};
use crate::cluster::{self, Connection, DiscoverError, Discovery, Scope};
use crate::database::{Advisories, DatabaseError, Progress};
use crate::facts::Facts;
use crate::job::{self, CleanUpError, JobSettings};
use crate::plan::{self, PlanOptions, Read, ScanPlan};
use crate::report::{Filter, REPORT_VERSION, Report, ScanInfo};
use assemble::{Assembled, Assembly, assemble};
use coordinate::{Coordination, coordinate};
use recall::{Recall, Recalled, keep, recall};

/// How long leaving things tidy may take after an interruption.
const CLEAN_UP: Duration = Duration::from_secs(20);

/// How long what is finished may take to be kept after an interruption.
const KEEPING: Duration = Duration::from_secs(5);

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
    /// Image that holds the scanner.
    pub scanner_image: String,
    /// Secret for pulling it, in every namespace that is scanned.
    pub scanner_pull_secret: Option<String>,
    /// ServiceAccount of the scanner pods.
    pub service_account: Option<String>,
    /// Extra root certificates of registries, PEM.
    pub registry_ca: Option<String>,
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
}

impl ReadConfig {
    /// For who only looks at what runs and at what is kept of it: nothing is read.
    #[must_use]
    pub fn looking(scope: Scope, cache: CacheConfig) -> Self {
        Self {
            scope,
            scanner_image: String::new(),
            scanner_pull_secret: None,
            service_account: None,
            registry_ca: None,
            timeout: Duration::ZERO,
            read: Read::Auto,
            parallelism: 1,
            max_memory: 0,
            keep_jobs: KeepJobs::Never,
            cache,
            refresh: false,
            pods: Pods::None,
        }
    }
}

/// Where what was read is kept.
#[derive(Clone, Debug, Default)]
pub struct CacheConfig {
    /// A folder of this machine.
    pub local: Option<PathBuf>,
    /// Whether others share it.
    pub shared: Shared,
    /// The namespace that holds what is shared.
    pub state_namespace: Option<String>,
}

/// Whether what was read is shared with others, as ConfigMaps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Shared {
    /// Where somebody has made a namespace for it.
    WherePrepared,
    /// Always: without a namespace for it in the one that is scanned.
    Always,
    /// Never.
    #[default]
    Never,
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
    let prepared =
        prepare(connection, &config.reading, Recall::Documents, stop, &|stage| stages.over(stage)).await?;
    let Prepared { scan, discovery, facts, plan, cache, recalled, settings, mut notes } = prepared;
    on(Update::Planned {
        scan: scan.clone(),
        containers: discovery.containers.len(),
        images: plan.groups.iter().map(|group| group.images.len()).sum(),
        cached: recalled.images.iter().flatten().count(),
        jobs: plan.groups.len(),
    });
    let coordination = Coordination {
        connection,
        plan: &plan,
        facts: &facts,
        settings: &settings,
        config: &config.reading,
        stop,
    };
    let read = coordinate(&coordination, recalled.images, on).await;
    stages.over("read images");
    let keeping = keep(&cache, &plan, &read.ends, config.reading.refresh);
    if stop.is_cancelled() {
        // What is finished need not be read again by the next scan.
        let _ = tokio::time::timeout(KEEPING, keeping).await;
        return Err(interrupted(connection, scan, read.namespaces).await);
    }
    notes.extend(keeping.await);
    stages.over("keep what was read");
    let wanted = matching::wanted(read.sboms());
    let loading = Loading { advisories: &config.advisories, wanted: &wanted, stop };
    let Some(index) = loading
        .run(on, |advisories, wanted, tell| async move { advisories.index(&wanted, &tell).await })
        .await?
    else {
        return Err(interrupted(connection, scan, read.namespaces).await);
    };
    let mut index = index?;
    stages.over("load advisories");
    let today = started.0.to_zoned(jiff::tz::TimeZone::UTC).date();
    let assembled = |index: &Index| {
        assemble(&Assembly {
            containers: &discovery.containers,
            plan: &plan,
            ends: &read.ends,
            index,
            texts: config.texts,
            today,
        })
    };
    let mut parts = assembled(&index);
    if !parts.damaged.is_empty() {
        let damaged = parts.damaged.clone();
        let repaired = loading.run(on, |advisories, wanted, tell| async move {
            advisories.repaired(&wanted, &damaged, &tell).await
        });
        match repaired.await? {
            None => return Err(interrupted(connection, scan, read.namespaces).await),
            Some(None) => {}
            Some(Some(repaired)) => {
                index = repaired;
                parts = assembled(&index);
            }
        }
    }
    stages.over("match");
    notes.extend(read.notes.iter().cloned());
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

/// All that is known before the first pod is started.
struct Prepared {
    scan: String,
    discovery: Discovery,
    facts: Facts,
    plan: ScanPlan,
    cache: Cache,
    recalled: Recalled,
    settings: JobSettings,
    notes: Vec<String>,
}

async fn prepare(
    connection: &Connection,
    config: &ReadConfig,
    wanted: Recall,
    stop: &CancellationToken,
    over: &dyn Fn(&'static str),
) -> Result<Prepared, ScanError> {
    let scan = new_id()?;
    let mut discovery = tokio::select! {
        () = stop.cancelled() => return Err(ScanError::Interrupted { scan }),
        discovery = cluster::discover(&connection.client, &config.scope) => discovery?,
    };
    let facts = std::mem::take(&mut discovery.facts);
    let options = PlanOptions { read: config.read, parallelism: config.parallelism, facts: &facts };
    let mut plan = plan::plan(&discovery.containers, options);
    over("discover and plan");
    let mut notes = std::mem::take(&mut discovery.notes);
    notes.extend(plan::drift(&discovery.containers));
    let cache = open_cache(connection, config, &mut notes).await;
    let mut recalled =
        if config.refresh { Recalled::nothing(&plan) } else { recall(&cache, &plan, wanted).await };
    let is_left_out = |target: usize| config.pods == Pods::None || recalled.images[target].is_some();
    plan.leave_out(is_left_out, config.parallelism);
    notes.append(&mut recalled.notes);
    over("look into the cache");
    let settings = JobSettings {
        scan: scan.clone(),
        scanner_image: config.scanner_image.clone(),
        scanner_pull_secret: config.scanner_pull_secret.clone(),
        service_account: config.service_account.clone(),
        registry_ca: config.registry_ca.clone(),
        keep: config.keep_jobs != KeepJobs::Never,
        requester: connection.requester.clone(),
        scope: config.scope.in_words(),
    };
    Ok(Prepared { scan, discovery, facts, plan, cache, recalled, settings, notes })
}

/// The stores that are asked, and get what is read; the notes say where they are not those that were meant.
pub async fn open_cache(connection: &Connection, config: &ReadConfig, notes: &mut Vec<String>) -> Cache {
    let CacheConfig { local, shared, state_namespace } = &config.cache;
    let own = config.scope.namespace.as_deref().filter(|_| *shared == Shared::Always);
    let namespace = match shared {
        Shared::Never => None,
        Shared::WherePrepared | Shared::Always => {
            cache::state_namespace(&connection.client, state_namespace.as_deref(), own).await
        }
    };
    if *shared == Shared::Always && namespace.is_none() {
        notes.push(format!(
            "what is read is kept on this machine only: there is no namespace {} (or name one: --state-namespace)",
            cache::STATE_NAMESPACE
        ));
    }
    let store = namespace.map(|namespace| {
        Box::new(ConfigMapStore::new(&connection.client, &namespace, cache::BUDGET)) as Box<dyn Store>
    });
    Cache::new(local.as_deref().map(LocalStore::at), store)
}

/// Loads advisories, which can take as long as a download.
#[derive(Clone, Copy)]
struct Loading<'a> {
    advisories: &'a Advisories,
    wanted: &'a Wanted,
    stop: &'a CancellationToken,
}

impl Loading<'_> {
    /// Does it in a task of its own, so that Ctrl-C is heard: then there is no result.
    async fn run<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
        self,
        on: &(impl Fn(Update) + Sync),
        load: impl FnOnce(Advisories, Wanted, Box<dyn Fn(Progress) + Send + Sync>) -> F,
    ) -> Result<Option<T>, ScanError> {
        let (sender, mut progress) = mpsc::unbounded_channel();
        let tell = Box::new(move |progress| drop(sender.send(progress)));
        let mut task = tokio::spawn(load(self.advisories.clone(), self.wanted.clone(), tell));
        loop {
            tokio::select! {
                () = self.stop.cancelled() => {
                    task.abort();
                    return Ok(None);
                }
                Some(progress) = progress.recv() => on(Update::Advisories(progress)),
                loaded = &mut task => {
                    while let Ok(progress) = progress.try_recv() {
                        on(Update::Advisories(progress));
                    }
                    return loaded.map(Some).map_err(|error| ScanError::Internal(error.to_string()));
                }
            }
        }
    }
}

/// Removes what an interrupted scan created.
async fn interrupted(connection: &Connection, scan: String, namespaces: BTreeSet<String>) -> ScanError {
    match job::remove_scan(&connection.client, &scan, &namespaces, CLEAN_UP).await {
        Ok(()) => ScanError::Interrupted { scan },
        Err(source) => ScanError::NotRemoved { scan, namespaces: namespaces.into_iter().collect(), source },
    }
}

/// Ten characters that no other scan has: 50 random bits in Crockford's base 32 without vowels' look-alikes.
fn new_id() -> Result<String, ScanError> {
    const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
    let mut random = [0_u8; 10];
    getrandom::fill(&mut random).map_err(|error| ScanError::Random(error.to_string()))?;
    Ok(random.iter().map(|byte| char::from(ALPHABET[usize::from(byte % 32)])).collect())
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
