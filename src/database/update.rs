//! Bringing a database up to date from one of three kinds of sources.

use std::path::PathBuf;

use super::{Database, DatabaseError, Origin, Tell};
use crate::advisories::Wanted;

/// Where indexes come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Raw OSV records on this machine: a folder or a zip.
    Records(PathBuf),
}

/// How a database is brought up to date.
#[derive(Clone, Debug)]
pub struct Update {
    /// From where.
    pub source: Source,
}

/// What an update came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The indexes that are new or were replaced.
    pub installed: Vec<String>,
    /// Those of which there is nothing newer.
    pub unchanged: Vec<String>,
    /// What the source has nothing about.
    pub missing: Vec<String>,
}

impl Update {
    /// Brings the wanted ecosystems up to date.
    ///
    /// # Errors
    /// The source cannot be read, or has nothing of what is wanted; the database is as it was.
    pub async fn run(
        &self,
        database: &Database,
        wanted: &Wanted,
        tell: Tell<'_>,
    ) -> Result<Outcome, DatabaseError> {
        match &self.source {
            Source::Records(path) => tokio::task::block_in_place(|| {
                let mut change = database.change(tell)?;
                let origin = Origin { name: path.display().to_string(), as_of: None };
                let outcome = change.compile(path, wanted, &origin, tell)?;
                change.commit()?;
                Ok(outcome)
            }),
        }
    }
}
