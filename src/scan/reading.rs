//! The half of a scan that reads: discover, plan, run, keep. What it means is none of its business.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::coordinate::{Coordination, KeepJobs, Pods, Reading, coordinate, remove_finished};
use super::credentials::Credentials;
use super::recall::{Recall, Recalled, keep, recall};
use super::stores::cache_for;
use super::{ReadConfig, ScanError, Stages, Update};
use crate::cache::Cache;
use crate::cluster::{self, Connection, DiscoverError, Discovery};
use crate::facts::Facts;
use crate::job::{self, JobSettings};
use crate::plan::{self, PlanOptions, ScanPlan};

/// How long leaving things tidy may take after an interruption.
const CLEAN_UP: Duration = Duration::from_secs(20);

/// How long what is finished may take to be kept after an interruption.
const KEEPING: Duration = Duration::from_secs(5);

/// Everything in scope, and what was read of it.
pub(super) struct WasRead {
    pub(super) scan: String,
    pub(super) discovery: Discovery,
    pub(super) plan: ScanPlan,
    pub(super) reading: Reading,
    /// The removal of its Jobs: why some stay.
    pub(super) removing: JoinHandle<Vec<String>>,
    /// What a person should know and was not told on the way.
    pub(super) notes: Vec<String>,
}

/// Reads what is in scope and not in the cache, and keeps it there. Stopped, it leaves nothing of what it created.
pub(super) async fn read(
    connection: &Connection,
    config: &ReadConfig,
    stop: &CancellationToken,
    on: &(impl Fn(Update) + Sync),
    stages: &Stages<'_, impl Fn(Update)>,
) -> Result<WasRead, ScanError> {
    let prepared = prepare(connection, config, Recall::Documents, stop, &|stage| stages.over(stage)).await?;
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
        config,
        credentials: Arc::new(Credentials::new(connection)),
        stop,
    };
    let mut reading = coordinate(&coordination, recalled.images, on).await;
    stages.over("read images");
    let keeping = keep(&cache, &plan, &reading.ends, config.refresh);
    reading.namespaces.extend(config.cache.namespace_of_pods());
    if stop.is_cancelled() {
        // What is finished need not be read again by the next scan.
        let _ = tokio::time::timeout(KEEPING, keeping).await;
        cache.close().await;
        let interrupted = interrupted(connection, scan, reading.namespaces).await;
        return Err(match (interrupted, reading.stopped_by) {
            (ScanError::Interrupted { scan }, Some(by)) => ScanError::Stopped { scan, by },
            (error, _) => error,
        });
    }
    tokio::select! {
        kept = keeping => notes.extend(kept),
        () = stop.cancelled() => {
            cache.close().await;
            return Err(interrupted(connection, scan, reading.namespaces).await);
        }
    }
    notes.extend(cache.close().await);
    stages.over("keep what was read");
    // Only now may the Jobs go: until here, somebody else could still have taken from them what they had read.
    let finished = std::mem::take(&mut reading.finished);
    let removing = tokio::spawn(remove_finished(connection.client.clone(), finished));
    Ok(WasRead { scan, discovery, plan, reading, removing, notes })
}

/// All that is known before the first pod is started.
pub(super) struct Prepared {
    pub(super) scan: String,
    pub(super) discovery: Discovery,
    pub(super) facts: Facts,
    pub(super) plan: ScanPlan,
    pub(super) cache: Cache,
    pub(super) recalled: Recalled,
    pub(super) settings: JobSettings,
    pub(super) notes: Vec<String>,
}

pub(super) async fn prepare(
    connection: &Connection,
    config: &ReadConfig,
    wanted: Recall,
    stop: &CancellationToken,
    over: &dyn Fn(&'static str),
) -> Result<Prepared, ScanError> {
    let scan = config.id.clone().map_or_else(new_id, Ok)?;
    let mut discovery = tokio::select! {
        () = stop.cancelled() => return Err(ScanError::Interrupted { scan }),
        discovery = cluster::discover(&connection.client, &config.scope) => discovery?,
    };
    if let Some(name) = &config.container {
        discovery.containers.retain(|container| container.name == *name);
    }
    let mut facts = std::mem::take(&mut discovery.facts);
    let job_namespace = config.job_namespace.as_deref();
    if let Some(name) = job_namespace
        && !cluster::add_namespace(&connection.client, name, &mut facts).await
    {
        return Err(DiscoverError::NoNamespace(name.to_owned()).into());
    }
    let options =
        PlanOptions { read: config.read, parallelism: config.parallelism, job_namespace, facts: &facts };
    let mut plan = plan::plan(&discovery.containers, options);
    over("discover and plan");
    let mut notes = std::mem::take(&mut discovery.notes);
    notes.extend(plan::drift(&discovery.containers));
    let settings = settings(connection, config, &scan);
    let cache = cache_for(connection, config, &settings, &mut notes).await;
    let recalling = async {
        if config.refresh && config.known.is_empty() {
            Recalled::nothing(&plan)
        } else {
            recall(&cache, &plan, &config.known, wanted).await
        }
    };
    // A volume takes a pod.
    let recalled = tokio::select! {
        recalled = recalling => Some(recalled),
        () = stop.cancelled() => None,
    };
    let Some(mut recalled) = recalled else {
        cache.close().await;
        let namespaces = config.cache.namespace_of_pods().into_iter().collect();
        return Err(interrupted(connection, scan, namespaces).await);
    };
    let is_left_out = |target: usize| config.pods != Pods::Start || recalled.images[target].is_some();
    plan.leave_out(is_left_out, config.parallelism);
    let is_elsewhere = |name: &&str| config.scope.namespace.as_deref() != Some(*name);
    if let Some(name) = job_namespace.filter(is_elsewhere).filter(|_| !plan.groups.is_empty()) {
        notes.push(format!(
            "the scanner pods run in namespace {name:?}: status and stop find them there (-n {name})"
        ));
    }
    notes.append(&mut recalled.notes);
    over("look into the cache");
    Ok(Prepared { scan, discovery, facts, plan, cache, recalled, settings, notes })
}

/// What all Jobs of a scan share.
pub(super) fn settings(connection: &Connection, config: &ReadConfig, scan: &str) -> JobSettings {
    JobSettings {
        scan: scan.to_owned(),
        scanner_image: config.scanner_image.clone(),
        scanner_pull_secret: config.scanner_pull_secret.clone(),
        service_account: config.service_account.clone(),
        network: config.network.clone(),
        keep: config.keep_jobs != KeepJobs::Never,
        requester: connection.requester.clone(),
        scope: config.scope.in_words(),
        schedule: config.schedule.clone(),
        selection: config.scope.to_json(),
    }
}

/// Removes what an interrupted scan created.
pub(super) async fn interrupted(
    connection: &Connection,
    scan: String,
    namespaces: BTreeSet<String>,
) -> ScanError {
    match job::remove_scan(&connection.client, &scan, &namespaces, CLEAN_UP).await {
        Ok(()) => ScanError::Interrupted { scan },
        Err(source) => ScanError::NotRemoved { scan, namespaces: namespaces.into_iter().collect(), source },
    }
}

/// Ten characters that no other scan has: 50 random bits in Crockford's base 32 without vowels' look-alikes.
pub(super) fn new_id() -> Result<String, ScanError> {
    const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
    let mut random = [0_u8; 10];
    getrandom::fill(&mut random).map_err(|error| ScanError::Random(error.to_string()))?;
    Ok(random.iter().map(|byte| char::from(ALPHABET[usize::from(byte % 32)])).collect())
}
