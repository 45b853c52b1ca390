//! `kubectl clarity scan --detach`: starts a scan, and leaves.

use clap::Args;

use super::Exit;
use super::errors::Explained;
use super::ui;
use crate::cache::STATE_NAMESPACE;
use crate::cluster::{Connection, Scope};
use crate::plan::Read;
use crate::report::text::plural;
use crate::runner::{self, RunnerSettings, SERVICE_ACCOUNT, service_account_exists};
use crate::scan::{Detached, KeepJobs, Pods, ReadConfig, Shared, detach, state_namespace};

/// Flags about a scan that nobody waits for.
#[derive(Debug, Args)]
pub(super) struct DetachArgs {
    /// Print the scan's id and leave: it goes on in the cluster, see status and attach
    #[arg(long, conflicts_with_all = ["dry_run", "no_pods", "output_file", "fail_on", "ignore_file", "vex", "notify"])]
    pub(super) detach: bool,
    /// ServiceAccount of the pod that runs a detached scan [default: clarity-runner if there is one; without one the
    /// scanner pods are started at once, and attach brings their results together]
    #[arg(long, value_name = "NAME", requires = "detach")]
    runner: Option<String>,
}

/// A scan that cannot be detached.
#[derive(Debug, thiserror::Error)]
pub(super) enum DetachError {
    /// Nowhere to run, and nowhere to leave a result.
    #[error("a detached scan of all namespaces needs a namespace for its runner and its record")]
    NoNamespace,
    /// A runner shares what it reads in ConfigMaps.
    #[error("a detached scan leaves its record and what it reads in ConfigMaps, not on a volume")]
    Volume,
    /// The ServiceAccount is not there.
    #[error("there is no ServiceAccount {name} in namespace {namespace:?}")]
    NoServiceAccount {
        /// Its name.
        name: String,
        /// Where it should be.
        namespace: String,
    },
}

/// Starts the scan by a runner, or without one by its scanner Jobs alone; prints its id.
pub(super) async fn run(
    args: DetachArgs,
    connection: &Connection,
    config: ReadConfig,
    more: Vec<String>,
) -> Result<Exit, Explained> {
    let DetachArgs { detach: _, runner: named } = args;
    let client = &connection.client;
    let places = places(connection, &config).await?;
    let namespace = places.namespace.clone();
    let account = named.clone().unwrap_or_else(|| SERVICE_ACCOUNT.to_owned());
    let is_there = service_account_exists(client, &namespace, &account).await;
    match (is_there, named) {
        (Some(true), _) | (None, Some(_)) => {
            let settings = runner_settings(&config, &account, &places, connection, more);
            let runner = runner::create(client, &runner::desired_runner(&settings)).await?;
            said(&runner.scan, &format!("runs in job {}/{}", runner.namespace, runner.name))
        }
        (Some(false), Some(name)) => Err(DetachError::NoServiceAccount { name, namespace }.into()),
        (Some(false) | None, None) => {
            let Detached { scan, jobs, images, timeout, notes } = detach(connection, &config)
                .await
                .map_err(|error| Explained::of_scan(&error, &connection.server))?;
            for note in notes {
                ui::say(&format!("note: {note}"));
            }
            if jobs == 0 {
                ui::say("nothing is to be read that is not known: kubectl clarity scan says what it means");
                return Ok(Exit::Passed);
            }
            let read = plural(images, "image");
            let pods = plural(jobs, "pod");
            said(&scan, &format!("reads {read} in {pods}, for at most {} s", timeout.as_secs()))
        }
    }
}

fn said(scan: &str, doing: &str) -> Result<Exit, Explained> {
    ui::say(&format!("scan {scan} {doing}"));
    ui::say(&format!(
        "see how far it is: kubectl clarity status {scan}; get its report: kubectl clarity attach {scan}"
    ));
    ui::data(None, &format!("{scan}\n"))?;
    Ok(Exit::Passed)
}

/// Where a runner is, and where it leaves what it finds.
pub(super) struct Places {
    pub(super) namespace: String,
    state: String,
}

/// Where the runner of a scan is to be. A record is what it is for: without a place that somebody has prepared that lies beside
/// what is scanned.
pub(super) async fn places(connection: &Connection, config: &ReadConfig) -> Result<Places, DetachError> {
    if matches!(config.cache.shared, Shared::Claim(_)) {
        return Err(DetachError::Volume);
    }
    let (own, named) = (config.scope.namespace.clone(), config.cache.state_namespace.clone());
    let state = state_namespace(connection, config).await.or(named).or(own.clone());
    let state = state.ok_or(DetachError::NoNamespace)?;
    Ok(Places { namespace: own.unwrap_or_else(|| state.clone()), state })
}

/// What a runner is to do for a scan.
pub(super) fn runner_settings(
    config: &ReadConfig,
    account: &str,
    places: &Places,
    connection: &Connection,
    more: Vec<String>,
) -> RunnerSettings {
    RunnerSettings {
        namespace: places.namespace.clone(),
        service_account: account.to_owned(),
        image: config.scanner_image.clone(),
        pull_secret: config.scanner_pull_secret.clone(),
        arguments: [arguments(config, &places.state), more].concat(),
        network: config.network.clone(),
        scope: config.scope.in_words(),
        requester: connection.requester.clone(),
        state_namespace: places.state.clone(),
        schedule: config.schedule.clone(),
        guard: None,
        notify: None,
        timeout: config.timeout,
    }
}

/// The command line of a scan of this configuration, for a pod: nothing in it names anything of this machine.
fn arguments(config: &ReadConfig, state: &str) -> Vec<String> {
    let ReadConfig {
        scope: Scope { namespace, label_selector, field_selector, targets },
        container: _,
        scanner_image,
        scanner_pull_secret,
        service_account,
        job_namespace,
        // In the environment.
        network: _,
        timeout,
        read,
        parallelism,
        max_memory,
        keep_jobs,
        // A runner shares what it reads.
        cache: _,
        refresh,
        pods,
        // The runner's own.
        id: _,
        schedule: _,
        known: _,
    } = config;
    let mut all = vec!["scan".to_owned()];
    let mut flag = |name: &str, value: &str| all.extend([name.to_owned(), value.to_owned()]);
    if let Some(namespace) = namespace {
        flag("--namespace", namespace);
    }
    let texts = [
        ("--selector", label_selector),
        ("--field-selector", field_selector),
        ("--scanner-pull-secret", scanner_pull_secret),
        ("--service-account", service_account),
        ("--job-namespace", job_namespace),
    ];
    for (name, value) in texts {
        if let Some(value) = value {
            flag(name, value);
        }
    }
    flag("--scanner-image", scanner_image);
    flag("--timeout", &format!("{}s", timeout.as_secs()));
    flag(
        "--read",
        match read {
            Read::Auto => "auto",
            Read::Volume => "volume",
            Read::Stream => "stream",
            Read::Pull => "pull",
        },
    );
    flag("--parallelism", &parallelism.to_string());
    flag("--max-memory", &format!("{}Mi", max_memory >> 20));
    flag(
        "--keep-jobs",
        match keep_jobs {
            KeepJobs::Never => "never",
            KeepJobs::Failed => "failed",
            KeepJobs::Always => "always",
        },
    );
    flag("--cache", "configmap");
    flag("--state-namespace", state);
    let switches = [
        ("--all-namespaces", namespace.is_none()),
        ("--refresh", *refresh),
        ("--no-pods", *pods == Pods::None),
    ];
    all.extend(switches.into_iter().filter(|(_, is_set)| *is_set).map(|(name, _)| name.to_owned()));
    all.extend(targets.iter().map(ToString::to_string));
    all
}

/// What to do about a scan that cannot be detached.
pub(super) fn hint(error: &DetachError) -> String {
    match error {
        DetachError::NoNamespace => {
            format!("name one with --state-namespace NAME, or make the namespace {STATE_NAMESPACE}")
        }
        DetachError::Volume => "--cache configmap".to_owned(),
        DetachError::NoServiceAccount { namespace, .. } => {
            format!(
                "have it made by somebody who may give rights: kubectl clarity rbac runner -n {namespace} --apply"
            )
        }
    }
}
