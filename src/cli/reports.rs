//! Reports of scans that are over: from a record, or from a file.

use std::path::{Path, PathBuf};

use clap::Args;

use super::access::AccessArgs;
use super::errors::Explained;
use super::input::{self, InputError};
use super::ui;
use crate::cache::state_namespace;
use crate::cluster::{self, Connection};
use crate::records::{Folder, Header, Listed, Origin, RecordError, SharedRecords, Which};
use crate::report::Report;
use crate::report::json::{self, MAX_BYTES, ReadError};

/// Where the records lie.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct RecordsArgs {
    /// Folder with the records of scans [default: kubectl-clarity/records in the user's cache]
    #[arg(long, value_name = "DIR", env = "CLARITY_RECORDS", hide_env_values = true)]
    records: Option<PathBuf>,
}

/// Which records are meant: those of this machine, or those in the cluster.
#[derive(Clone, Debug, Args)]
pub(super) struct WhichRecordsArgs {
    #[command(flatten)]
    local: RecordsArgs,
    /// Records in the cluster, in the place of those of this machine
    #[arg(long, conflicts_with = "records")]
    shared: bool,
    /// Records in the cluster that this schedule has made
    #[arg(long, value_name = "NAME", conflicts_with = "records")]
    schedule: Option<String>,
    /// Namespace of the records in the cluster [default: clarity-system if there is one, else that of the context]
    #[arg(long, value_name = "NAME", conflicts_with = "records")]
    state_namespace: Option<String>,
}

/// The records that are meant.
pub(super) enum Records {
    /// Those of this machine; what is not there is looked for in the cluster.
    Local(Folder, Box<AccessArgs>),
    /// Those in a namespace, and of them those of a schedule.
    Shared(Box<SharedRecords>, Option<String>),
}

/// A report and, of a record, what else is known of its scan.
#[derive(Clone, Debug)]
pub(super) struct Loaded {
    pub(super) report: Report,
    pub(super) header: Option<Header>,
}

/// A report that cannot be had.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReportError {
    /// There is no such record.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The file cannot be read.
    #[error(transparent)]
    Input(#[from] InputError),
    /// It holds something else.
    #[error("cannot read {} as a report", .path.display())]
    Document {
        path: PathBuf,
        #[source]
        source: ReadError,
    },
    /// There is nothing that it could be held against.
    #[error("there is no record of an earlier scan {0:?}")]
    Before(String),
}

impl RecordsArgs {
    /// The folder that is meant.
    pub(super) fn folder(self) -> Result<Folder, Explained> {
        let cache = || dirs::cache_dir().map(|folder| folder.join("kubectl-clarity").join("records"));
        let folder = self.records.filter(|path| !path.as_os_str().is_empty()).or_else(cache);
        let unknown =
            || std::io::Error::other("neither HOME nor XDG_CACHE_HOME says where the user's cache is");
        folder.map(Folder::at).ok_or_else(|| {
            Explained::new("there is no folder for records of scans", &unknown())
                .hint("name one: --records DIR")
        })
    }
}

impl WhichRecordsArgs {
    /// The records that are meant; connects where they are in the cluster.
    pub(super) async fn complete(self, access: AccessArgs) -> Result<Records, Explained> {
        let Self { local, shared, schedule, state_namespace } = self;
        if !shared && schedule.is_none() && state_namespace.is_none() {
            return Ok(Records::Local(local.folder()?, Box::new(access)));
        }
        let connection = cluster::connect(&access.complete()).await?;
        Ok(Records::Shared(Box::new(in_cluster(&connection, state_namespace.as_deref()).await), schedule))
    }
}

/// The records of the namespace that was named, or of the one that is meant without.
pub(super) async fn in_cluster(connection: &Connection, named: Option<&str>) -> SharedRecords {
    let own = Some(connection.namespace.as_str());
    let namespace = state_namespace(&connection.client, named, own).await;
    SharedRecords::new(&connection.client, namespace.as_deref().unwrap_or(&connection.namespace))
}

impl Records {
    /// All of them, the newest first.
    pub(super) async fn list(&self) -> Result<Vec<Listed>, ReportError> {
        match self {
            Self::Local(folder, _) => Ok(folder.list()?),
            Self::Shared(records, schedule) => {
                let is_meant = |listed: &Listed| match listed {
                    Listed::Record(header) => schedule.is_none() || header.schedule == *schedule,
                    Listed::Damaged { .. } => true,
                };
                Ok(records.list().await?.into_iter().filter(is_meant).collect())
            }
        }
    }

    /// Where they are, in words.
    pub(super) fn place(&self) -> String {
        match self {
            Self::Local(folder, _) => folder.path().display().to_string(),
            Self::Shared(records, _) => records.place(),
        }
    }

    async fn get(&self, which: &Which) -> Result<(Header, Report), ReportError> {
        let (records, schedule) = match self {
            Self::Local(folder, access) => match folder.get(which) {
                Err(error @ (RecordError::Unknown { .. } | RecordError::None(_))) => {
                    // Without a cluster the folder is all there is.
                    let Ok(connection) = cluster::connect(&(**access).clone().complete()).await else {
                        return Err(error.into());
                    };
                    let shared = in_cluster(&connection, None).await;
                    return shared.get(which).await.map_err(|_| error.into());
                }
                other => return Ok(other?),
            },
            Self::Shared(records, schedule) => (records, schedule),
        };
        match schedule {
            Some(schedule) => Ok(records.get_of_schedule(which, schedule).await?),
            None => Ok(records.get(which).await?),
        }
    }
}

/// Keeps the report of a scan. That it cannot be kept is said, and changes nothing else.
pub(super) fn keep(report: &Report, origin: Origin, folder: &Folder) {
    let kept = Header::of(report, origin)
        .map_err(|error| error.to_string())
        .and_then(|header| folder.put(&header, report).map_err(|error| in_words(&error)));
    if let Err(why) = kept {
        ui::say(&format!("note: no record was kept of this scan: {why}"));
    }
}

/// Keeps the report of a scan in the cluster, where others find it.
pub(super) async fn share(report: &Report, origin: Origin, records: &SharedRecords) -> Result<(), String> {
    let header = Header::of(report, origin).map_err(|error| error.to_string())?;
    records.put(&header, report).await.map_err(|error| in_words(&error))
}

/// An error with its cause.
fn in_words(error: &dyn std::error::Error) -> String {
    let cause = error.source().map(|cause| format!(": {cause}"));
    format!("{error}{}", cause.unwrap_or_default())
}

/// The report of a record (`last`, an id, or how one begins), or that in a file. What could be both is a record, if there is one.
pub(super) async fn load(name: &str, records: &Records) -> Result<Loaded, ReportError> {
    let path = Path::new(name);
    match Which::parse(name).filter(|_| !input::is_stdin(path)) {
        Some(which) => match records.get(&which).await {
            Ok((header, report)) => Ok(Loaded { report, header: Some(header) }),
            Err(ReportError::Record(RecordError::Unknown { .. })) if path.exists() => read(path),
            Err(error) => Err(error),
        },
        None => read(path),
    }
}

/// The report of the last scan of the same scope before another one.
pub(super) async fn before(loaded: &Loaded, records: &Records) -> Result<Loaded, ReportError> {
    let scope = || ReportError::Before(loaded.report.scan.scope.clone());
    let header = loaded.header.as_ref().ok_or_else(scope)?;
    let found = match records {
        Records::Local(folder, _) => folder.before(header)?,
        Records::Shared(records, _) => records.before(header).await?,
    };
    let (header, report) = found.ok_or_else(scope)?;
    Ok(Loaded { report, header: Some(header) })
}

fn read(path: &Path) -> Result<Loaded, ReportError> {
    let bytes = input::read(path, MAX_BYTES)?;
    let wrong = |source| ReportError::Document { path: input::shown(path).to_owned(), source };
    Ok(Loaded { report: json::read(&bytes).map_err(wrong)?, header: None })
}
