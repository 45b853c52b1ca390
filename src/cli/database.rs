//! The flags that say where advisories are, for every command that needs some.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use clap::builder::FalseyValueParser;

use super::errors::Explained;
use super::network::Reach;
use crate::advisories::OsvSource;
use crate::database::{Advisories, Database, DatabaseError, Source, Supply};

/// The published indexes.
pub(super) const SOURCE: &str = "ghcr.io/kubectl-clarity/advisories:v1";

/// Where the database lies.
#[derive(Clone, Debug, Args)]
pub(super) struct FolderArgs {
    /// Folder with the advisories of this machine [default: kubectl-clarity/db in the user's cache]
    #[arg(long, value_name = "DIR", env = "CLARITY_DB", hide_env_values = true)]
    db: Option<PathBuf>,
}

/// Flags of every command that holds packages against advisories.
#[derive(Clone, Debug, Args)]
pub(super) struct AdvisoriesArgs {
    /// Raw OSV records to match with this once, in the place of the database: a directory or a zip
    #[arg(long, value_name = "DIR|ZIP", conflicts_with = "max_db_age")]
    advisories: Option<PathBuf>,
    #[command(flatten)]
    folder: FolderArgs,
    /// Where missing advisories are fetched from, as `db update --from` takes it
    #[arg(long, value_name = "REF|URL|DIR|ZIP", env = "CLARITY_DB_SOURCE", default_value = SOURCE, hide_env_values = true, value_parser = source)]
    db_source: Source,
    /// Fetch no advisories
    #[arg(long, env = "CLARITY_OFFLINE", hide_env_values = true, value_parser = FalseyValueParser::new())]
    offline: bool,
    /// How old the advisories may be, for example 36h or 7d; without it old ones are used and said to be old
    #[arg(long, value_name = "DURATION", value_parser = age)]
    max_db_age: Option<Duration>,
}

impl FolderArgs {
    /// The database that is meant.
    pub(super) fn database(self) -> Result<Database, Explained> {
        let folder =
            self.db.or_else(|| dirs::cache_dir().map(|folder| folder.join("kubectl-clarity").join("db")));
        let unknown =
            || std::io::Error::other("neither HOME nor XDG_CACHE_HOME says where the user's cache is");
        folder.map(Database::at).ok_or_else(|| {
            Explained::new("there is no folder for advisories", &unknown()).hint("name one: --db DIR")
        })
    }
}

impl AdvisoriesArgs {
    /// Where the advisories come from. A folder without records is said before anything else is done.
    pub(super) fn complete(self, reach: Reach) -> Result<Advisories, Explained> {
        let Self { advisories, folder, db_source, offline, max_db_age } = self;
        if let Some(path) = advisories {
            let source = OsvSource::open(&path).map_err(DatabaseError::Records);
            let wrong = |error| Explained::new("cannot load the advisories", &error);
            return source.map(Advisories::Records).map_err(wrong);
        }
        let update = if offline { None } else { Some(reach.update(db_source)) };
        let supply = Supply { database: folder.database()?, update, max_age: max_db_age };
        Ok(Advisories::Database(Box::new(supply)))
    }
}

/// A flag that names something of this machine.
#[derive(Debug, thiserror::Error)]
#[error("{0} names something of this machine, which a pod does not have")]
pub(super) struct LocalError(&'static str);

impl AdvisoriesArgs {
    /// The same flags for a runner, as far as they make sense in a pod.
    pub(super) fn arguments(&self) -> Result<Vec<String>, LocalError> {
        let Self { advisories, folder: _, db_source, offline, max_db_age } = self;
        if advisories.is_some() {
            return Err(LocalError("--advisories"));
        }
        let source = match db_source {
            Source::Artifact(reference) => format!("oci://{reference}"),
            Source::Mirror(address) => address.clone(),
            Source::Records(_) => return Err(LocalError("--db-source")),
        };
        let mut arguments = vec!["--db-source".to_owned(), source];
        arguments.extend(offline.then(|| "--offline".to_owned()));
        if let Some(age) = max_db_age {
            arguments.extend(["--max-db-age".to_owned(), format!("{}s", age.as_secs())]);
        }
        Ok(arguments)
    }
}

/// Reads where advisories come from.
pub(super) fn source(text: &str) -> Result<Source, String> {
    text.parse()
        .map_err(|_| "neither a reference in a registry, nor an address, nor a folder or zip".to_owned())
}

/// Reads an age, for which days are usual.
pub(super) fn age(text: &str) -> Result<Duration, String> {
    let wrong = || "expected a time such as 36h or 7d".to_owned();
    if let Some(days) = text.strip_suffix('d') {
        let hours =
            days.parse::<u64>().ok().and_then(|days| days.checked_mul(24)).filter(|hours| *hours <= 1 << 20);
        return hours.map(Duration::from_hours).ok_or_else(wrong);
    }
    let parsed: jiff::SignedDuration = text.parse().map_err(|_| wrong())?;
    Duration::try_from(parsed).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_may_be_in_days() {
        assert_eq!(age("7d"), Ok(Duration::from_hours(168)));
        assert_eq!(age("36h"), Ok(Duration::from_hours(36)));
        for wrong in ["", "7", "d", "-3d", "-1h", "99999999999999999999d", "1000000000d", "soon"] {
            assert!(age(wrong).is_err(), "{wrong}");
        }
    }
}
