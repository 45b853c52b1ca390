//! What a scan needs of advisories: opened, and fetched before where it is missing.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::{Database, DatabaseError, Opened, Tell, Update, in_words};
use crate::advisories::{self, Ecosystem, Index, OsvSource, Wanted};

/// Data older than this are used, and said to be old.
pub const STALE: Duration = Duration::from_hours(5 * 24);

/// Where a scan gets its advisories.
#[derive(Clone, Debug)]
pub enum Advisories {
    /// Raw OSV records, for this run alone.
    Records(OsvSource),
    /// The database of this machine.
    Database(Box<Supply>),
}

/// A database, and what may be done to complete it.
#[derive(Clone, Debug)]
pub struct Supply {
    /// The database.
    pub database: Database,
    /// How to fetch what is missing; none if nothing may be fetched.
    pub update: Option<Update>,
    /// How old the data may be.
    pub max_age: Option<Duration>,
}

impl Advisories {
    /// The index of what is wanted, see [`Supply::index`].
    ///
    /// # Errors
    /// The records or the database cannot be read, or the data are older than they may be.
    pub async fn index(&self, wanted: &Wanted, tell: Tell<'_>) -> Result<Index, DatabaseError> {
        match self {
            Self::Records(source) => {
                tokio::task::block_in_place(|| advisories::load(source, wanted)).map_err(DatabaseError::Records)
            }
            Self::Database(supply) => supply.index(wanted, tell).await,
        }
    }

    /// Fetches indexes that turned out to be damaged while they were used, and opens all once more. None if nothing could
    /// be fetched.
    pub async fn repaired(
        &self,
        wanted: &Wanted,
        damaged: &BTreeSet<Ecosystem>,
        tell: Tell<'_>,
    ) -> Option<Index> {
        match self {
            Self::Records(_) => None,
            Self::Database(supply) => supply.repaired(wanted, damaged, tell).await,
        }
    }
}

impl Supply {
    /// The index of what is wanted.
    ///
    /// What cannot be had is missing in the index, and its notes say how to get it.
    ///
    /// # Errors
    /// The database cannot be read, or its data are older than they may be.
    async fn index(&self, wanted: &Wanted, tell: Tell<'_>) -> Result<Index, DatabaseError> {
        let mut opened = self.database.index(wanted)?;
        self.database.remember(std::mem::take(&mut opened.unseen));
        let mut notes = Vec::new();
        for (ecosystem, why) in &opened.damaged {
            notes.push(format!("the index of {ecosystem} cannot be used: {why}"));
        }
        let needed = opened.needed();
        if let Some(update) = self.update.as_ref().filter(|_| !needed.is_empty()) {
            let all = needed.union(&opened.missing_parts).cloned().collect();
            if let Err(error) = self.fetch(update, &all, tell).await {
                notes.push(format!("no advisories could be fetched: {}", in_words(&error)));
            }
            opened = self.database.index(wanted)?;
        }
        let left: Vec<String> =
            opened.needed().iter().map(|ecosystem| quoted(&ecosystem.to_string())).collect();
        if !left.is_empty() {
            notes.push(format!("to get what is missing: kubectl clarity db update {}", left.join(" ")));
        }
        notes.extend(self.judge_age(opened.as_of, Timestamp::now())?);
        Ok(opened.index.with_notes(notes))
    }

    async fn repaired(&self, wanted: &Wanted, damaged: &BTreeSet<Ecosystem>, tell: Tell<'_>) -> Option<Index> {
        let update = self.update.as_ref()?;
        self.fetch(update, damaged, tell).await.ok()?;
        let opened = self.database.index(wanted).ok()?;
        let names: Vec<String> = damaged.iter().map(ToString::to_string).collect();
        Some(opened.index.with_notes(vec![format!("damaged indexes were fetched anew: {}", names.join(", "))]))
    }

    async fn fetch(
        &self,
        update: &Update,
        needed: &BTreeSet<Ecosystem>,
        tell: Tell<'_>,
    ) -> Result<(), DatabaseError> {
        let outcome = update.run(&self.database, &Wanted::whole(needed.iter().cloned()), tell).await?;
        outcome.failed.map_or(Ok(()), |error| Err(*error))
    }

    fn judge_age(&self, as_of: Option<Timestamp>, now: Timestamp) -> Result<Option<String>, DatabaseError> {
        let Some(age) = as_of.map(|as_of| now.duration_since(as_of)) else { return Ok(None) };
        let exceeds = |limit: Duration| SignedDuration::try_from(limit).is_ok_and(|limit| age > limit);
        match self.max_age {
            Some(limit) if exceeds(limit) => Err(DatabaseError::TooOld { age: days(age) }),
            None if exceeds(STALE) => {
                Ok(Some(format!("the advisories are {} old: kubectl clarity db update", days(age))))
            }
            _ => Ok(None),
        }
    }
}

impl Opened {
    /// Ecosystems of which there is no index that can be used.
    fn needed(&self) -> BTreeSet<Ecosystem> {
        self.missing.iter().chain(self.damaged.iter().map(|(ecosystem, _)| ecosystem)).cloned().collect()
    }
}

/// An age in words: `5 hours`, `12 days`.
#[must_use]
pub fn days(age: SignedDuration) -> String {
    let hours = age.as_hours().max(0);
    let (number, unit) = if hours < 48 { (hours, "hour") } else { (hours / 24, "day") };
    if number == 1 { format!("1 {unit}") } else { format!("{number} {unit}s") }
}

/// A name as a shell takes it.
fn quoted(name: &str) -> String {
    if name.contains(char::is_whitespace) { format!("{name:?}") } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn supply(max_age: Option<Duration>) -> Supply {
        Supply { database: Database::at("/nowhere"), update: None, max_age }
    }

    #[test]
    fn age_is_said_when_it_is_great_and_an_error_when_it_is_greater_than_allowed() {
        let now: Timestamp = "2026-11-25T12:00:00Z".parse().expect("a time");
        let judge = |max_age: Option<u64>, as_of: &str| {
            let supply = supply(max_age.map(Duration::from_hours));
            supply.judge_age(Some(as_of.parse().expect("a time")), now).map_err(|error| error.to_string())
        };
        let old = "the advisories are 6 days old: kubectl clarity db update".to_owned();
        assert_eq!(judge(None, "2026-11-19T11:00:00Z"), Ok(Some(old)));
        assert_eq!(judge(None, "2026-11-20T13:00:00Z"), Ok(None));
        assert_eq!(judge(None, "2026-12-20T13:00:00Z"), Ok(None));
        assert_eq!(judge(Some(48), "2026-11-23T13:00:00Z"), Ok(None));
        assert!(judge(Some(24), "2026-11-23T13:00:00Z").is_err());
        assert_eq!(supply(Some(Duration::from_hours(1))).judge_age(None, now).expect("no age"), None);
    }

    #[test]
    fn ages_are_in_words() {
        for (hours, words) in
            [(-3, "0 hours"), (1, "1 hour"), (47, "47 hours"), (48, "2 days"), (900, "37 days")]
        {
            assert_eq!(days(SignedDuration::from_hours(hours)), words);
        }
    }
}
