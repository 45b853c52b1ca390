//! The folder of this machine before a store that is shared with others. Neither can fail a scan: what they refuse becomes a
//! note, and what they do not give is read anew.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::stream::{self, StreamExt as _};
use jiff::Timestamp;

use super::{CacheError, Entry, Found, LocalStore, Store, is_touch_due};
use crate::image::ImageKey;

/// Requests to a store at the same time.
const PARALLEL: usize = 8;

/// Stores one before the other.
#[derive(Default)]
pub struct Cache {
    local: Option<LocalStore>,
    shared: Option<Box<dyn Store>>,
    /// It has refused, and would again.
    shared_refuses: AtomicBool,
}

/// What a cache had.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Got {
    /// Entries that are what they say, in no particular order.
    pub entries: Vec<Entry>,
    /// What a person should know.
    pub notes: Vec<String>,
}

impl Cache {
    /// A cache of these stores; without any it is always empty.
    #[must_use]
    pub fn new(local: Option<LocalStore>, shared: Option<Box<dyn Store>>) -> Self {
        Self { local, shared, shared_refuses: AtomicBool::new(false) }
    }

    /// The stores, in the order in which they are asked.
    pub fn stores(&self) -> impl Iterator<Item = &dyn Store> {
        let local = self.local.as_ref().map(|local| local as &dyn Store);
        local.into_iter().chain(self.shared.as_deref().map(|shared| shared as &dyn Store))
    }

    /// The entries of these keys that were made by these analysers; all of them without. What only the shared store has is
    /// copied to this machine. Damaged ones are removed.
    pub async fn get(&self, keys: &[ImageKey], analysers: Option<&str>) -> Got {
        let mut missing: BTreeSet<ImageKey> = keys.iter().cloned().collect();
        let mut got = Got::default();
        let mut due = Vec::new();
        if let Some(local) = &self.local {
            let found = ask(local, &missing, analysers, &mut got.notes).await;
            let now = Timestamp::now();
            due = found.iter().filter(|entry| is_touch_due(entry.about.used, now)).map(key_of).collect();
            note_of(local, local.touch(&due).await, &mut got.notes);
            for entry in &found {
                missing.remove(&entry.about.key);
            }
            got.entries = found;
        }
        let Some(shared) = self.usable() else { return got };
        if !missing.is_empty() {
            let found = match ask_or_fail(shared, &missing, analysers, &mut got.notes).await {
                Ok(found) => found,
                Err(error) => {
                    self.give_up_if_refused(&error);
                    got.notes.push(in_a_note(&error));
                    return got;
                }
            };
            self.copy(&found, &mut got.notes).await;
            due.extend(found.iter().map(key_of));
            got.entries.extend(found);
        }
        // What is used from the folder is used from there as well, as far as the least used goes first.
        if !due.is_empty() {
            note_of(shared, shared.touch(&due).await, &mut got.notes);
        }
        got
    }

    /// Keeps entries in all stores; gives what a person should know.
    pub async fn put(&self, entries: &[Entry]) -> Vec<String> {
        let mut notes = Vec::new();
        self.copy(entries, &mut notes).await;
        let Some(shared) = self.usable() else { return notes };
        let puts = stream::iter(entries).map(|entry| async move {
            if self.shared_refuses.load(Ordering::Relaxed) {
                return Ok(());
            }
            shared.put(entry).await.inspect_err(|error| self.give_up_if_refused(error))
        });
        let errors: Vec<CacheError> =
            puts.buffer_unordered(PARALLEL).filter_map(|put| async { put.err() }).collect().await;
        notes.extend(in_one_note(&errors));
        notes
    }

    /// Ends what the stores have started; gives what a person should know.
    pub async fn close(&self) -> Vec<String> {
        let mut notes = Vec::new();
        for store in self.stores() {
            notes.extend(store.close().await);
        }
        notes
    }

    /// Keeps entries in the folder of this machine.
    async fn copy(&self, entries: &[Entry], notes: &mut Vec<String>) {
        let Some(local) = &self.local else { return };
        let mut errors = Vec::new();
        for entry in entries {
            errors.extend(local.put(entry).await.err());
        }
        notes.extend(in_one_note(&errors));
    }

    fn usable(&self) -> Option<&dyn Store> {
        self.shared.as_deref().filter(|_| !self.shared_refuses.load(Ordering::Relaxed))
    }

    fn give_up_if_refused(&self, error: &CacheError) {
        if error.is_lasting() {
            self.shared_refuses.store(true, Ordering::Relaxed);
        }
    }
}

fn key_of(entry: &Entry) -> ImageKey {
    entry.about.key.clone()
}

/// Asks a store; if it fails, that is noted and it has nothing.
async fn ask(
    store: &dyn Store,
    keys: &BTreeSet<ImageKey>,
    analysers: Option<&str>,
    notes: &mut Vec<String>,
) -> Vec<Entry> {
    match ask_or_fail(store, keys, analysers, notes).await {
        Ok(found) => found,
        Err(error) => {
            notes.push(in_a_note(&error));
            Vec::new()
        }
    }
}

async fn ask_or_fail(
    store: &dyn Store,
    keys: &BTreeSet<ImageKey>,
    analysers: Option<&str>,
    notes: &mut Vec<String>,
) -> Result<Vec<Entry>, CacheError> {
    let keys: Vec<ImageKey> = keys.iter().cloned().collect();
    let mut entries = Vec::new();
    for found in store.get(&keys).await? {
        match found {
            Found::Whole(entry) => entries.push(*entry),
            Found::Damaged(key, why) => {
                let end = match store.remove(&key).await {
                    Ok(()) => "it was removed".to_owned(),
                    Err(error) => format!("it could not be removed: {}", error.in_words()),
                };
                notes.push(format!("damaged in the cache ({}): {key}: {why}; {end}", store.name()));
            }
        }
    }
    entries.retain(|entry| analysers.is_none_or(|analysers| entry.about.analysers == analysers));
    Ok(entries)
}

fn note_of(store: &dyn Store, result: Result<(), CacheError>, notes: &mut Vec<String>) {
    if let Err(error) = result {
        notes.push(format!("cache: when {} was used last is not noted: {}", store.name(), error.in_words()));
    }
}

fn in_a_note(error: &CacheError) -> String {
    format!("cache: {}", error.in_words())
}

/// One note for what is probably one reason.
fn in_one_note(errors: &[CacheError]) -> Option<String> {
    let first = errors.first()?;
    Some(match errors.len() {
        1 => in_a_note(first),
        count => format!("{} (and {} more)", in_a_note(first), count - 1),
    })
}

#[cfg(test)]
mod tests;
