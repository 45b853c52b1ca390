//! Bringing a database up to date from one of three kinds of sources.

use std::path::PathBuf;
use std::str::FromStr;

use super::artifact::Way;
use super::{Database, DatabaseError, Origin, Progress, Tell};
use crate::advisories::Wanted;
use crate::image::{Reference, ReferenceError};
use crate::mirror::Mirror;
use crate::registry::{Keyring, Registry, Settings};

/// Where indexes come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Compiled indexes in a registry.
    Artifact(Reference),
    /// Raw OSV records as the public bucket lays them out, at this address.
    Mirror(String),
    /// Raw OSV records on this machine: a folder or a zip.
    Records(PathBuf),
}

/// How a database is brought up to date.
#[derive(Clone, Debug)]
pub struct Update {
    /// From where.
    pub source: Source,
    /// How registries and mirrors are spoken to.
    pub settings: Settings,
    /// The person's docker configuration, in which the logins at registries are.
    pub docker_config: Option<PathBuf>,
}

/// What an update came to.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The indexes that are new or were replaced.
    pub installed: Vec<String>,
    /// Those of which there is nothing newer.
    pub unchanged: Vec<String>,
    /// What the source has nothing about.
    pub missing: Vec<String>,
    /// Why some of it is not there, although the rest is.
    pub failed: Option<Box<DatabaseError>>,
}

impl Outcome {
    /// Adds what another part of the same update came to.
    pub(super) fn add(&mut self, other: Self) {
        let Self { installed, unchanged, missing, failed } = other;
        self.installed.extend(installed);
        self.unchanged.extend(unchanged);
        self.missing.extend(missing);
        self.failed = self.failed.take().or(failed);
    }
}

impl FromStr for Source {
    type Err = ReferenceError;

    /// An address begins with `http://` or `https://`, a reference may begin with `oci://`. Of others, what there is or
    /// what looks like a path is one, and the rest a reference.
    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        if let Some(reference) = text.strip_prefix("oci://") {
            return reference.parse().map(Self::Artifact);
        }
        if text.starts_with("https://") || text.starts_with("http://") {
            return Ok(Self::Mirror(text.trim_end_matches('/').to_owned()));
        }
        let path = PathBuf::from(text);
        let is_zip = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("zip"));
        let is_path = text.starts_with(['.', '/', '~']) || is_zip || path.exists();
        if is_path { Ok(Self::Records(path)) } else { text.parse().map(Self::Artifact) }
    }
}

impl Update {
    /// The way to a registry, with the person's login there.
    pub fn way(&self, reference: &Reference, tell: Tell<'_>) -> Result<Way, DatabaseError> {
        let registry = Registry::new(self.settings.clone())?;
        let Some(config) = &self.docker_config else { return Ok(Way { registry, keyring: Keyring::new() }) };
        let mut keyring = Keyring::from_docker_config(config)?;
        keyring.broken().iter().for_each(|broken| tell(Progress::Note(broken.to_string())));
        keyring.ask_helper(&reference.repository)?;
        Ok(Way { registry, keyring })
    }

    /// Brings the wanted ecosystems up to date.
    ///
    /// # Errors
    /// The source cannot be read, or what it has cannot be installed; the database is as it was.
    pub async fn run(
        &self,
        database: &Database,
        wanted: &Wanted,
        tell: Tell<'_>,
    ) -> Result<Outcome, DatabaseError> {
        let mut change = tokio::task::block_in_place(|| database.change(tell))?;
        let outcome = match &self.source {
            Source::Artifact(reference) => {
                let way = self.way(reference, tell)?;
                change.fetch(&way, reference, wanted, tell).await?
            }
            Source::Mirror(base) => {
                let mirror = Mirror::new(base, self.settings.clone())?;
                change.mirror(&mirror, wanted, tell).await?
            }
            Source::Records(path) => tokio::task::block_in_place(|| {
                let origin = Origin { name: path.display().to_string(), as_of: None };
                change.compile(path, wanted, &origin, tell)
            })?,
        };
        change.commit()?;
        Ok(outcome)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kind_of_a_source_is_told_by_how_it_is_written() {
        let source = |text: &str| text.parse::<Source>();
        assert_eq!(source("https://osv.test/a/"), Ok(Source::Mirror("https://osv.test/a".to_owned())));
        for path in ["./osv", "/osv", "all.zip", "src"] {
            assert_eq!(source(path), Ok(Source::Records(PathBuf::from(path))), "{path}");
        }
        for reference in ["registry.test/tools/db:1", "oci://registry.test/tools/db:1"] {
            let expected = "registry.test/tools/db:1".parse().expect("a reference");
            assert_eq!(source(reference), Ok(Source::Artifact(expected)), "{reference}");
        }
        assert!(source("Not A Reference").is_err() && source("oci://").is_err());
    }
}
