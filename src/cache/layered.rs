//! The folder of this machine before a store that is shared with others. Neither can fail a scan: what they refuse becomes a
//! note, and what they do not give is read anew.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::stream::{self, StreamExt as _};
use jiff::Timestamp;

use super::local::Damaged;
use super::{CacheError, Entry, Found, LocalStore, Store, is_touch_due};
use crate::image::ImageKey;

/// Requests to a store at the same time.
const PARALLEL: usize = 8;
/// Entries of the shared store that are in memory together.
const BATCH: usize = 32;
/// While one batch is looked into, others come.
const BATCHES_AT_ONCE: usize = 3;

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

/// What was made of the entries that a cache had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Each<T> {
    /// In no particular order.
    pub made: Vec<T>,
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
        let Each { made, notes } = self.each(keys, analysers, |entry| entry).await;
        Got { entries: made, notes }
    }

    /// The same, of which something is made on other threads as they come: all their documents together may be large.
    pub async fn each<T: Send + 'static>(
        &self,
        keys: &[ImageKey],
        analysers: Option<&str>,
        make: impl Fn(Entry) -> T + Send + Sync + 'static,
    ) -> Each<T> {
        let mut missing: BTreeSet<ImageKey> = keys.iter().cloned().collect();
        let mut each = Each { made: Vec::new(), notes: Vec::new() };
        let mut due = Vec::new();
        let make = Arc::new(make);
        if let Some(local) = &self.local {
            let found = of_local(local, &missing, analysers, &make, &mut each.notes).await;
            let now = Timestamp::now();
            for Made { key, used, what } in found {
                missing.remove(&key);
                each.made.push(what);
                if is_touch_due(used, now) {
                    due.push(key);
                }
            }
            note_of(local, local.touch(&due).await, &mut each.notes);
        }
        let Some(shared) = self.usable() else { return each };
        // What is used from the folder is used from there as well, as far as the least used goes first.
        if !due.is_empty() {
            note_of(shared, shared.touch(&due).await, &mut each.notes);
        }
        let missing: Vec<ImageKey> = missing.into_iter().collect();
        let batches = missing.chunks(BATCH).map(|keys| self.of_shared(keys, analysers, Arc::clone(&make)));
        let mut batches = stream::iter(batches).buffer_unordered(BATCHES_AT_ONCE);
        while let Some(more) = batches.next().await {
            each.made.extend(more.made);
            // All batches are refused for the same reason.
            for note in more.notes {
                if !each.notes.contains(&note) {
                    each.notes.push(note);
                }
            }
        }
        each
    }

    /// What the shared store has of some keys.
    async fn of_shared<T: Send + 'static>(
        &self,
        keys: &[ImageKey],
        analysers: Option<&str>,
        make: Arc<impl Fn(Entry) -> T + Send + Sync + 'static>,
    ) -> Each<T> {
        let mut each = Each { made: Vec::new(), notes: Vec::new() };
        let Some(shared) = self.usable() else { return each };
        let found = match ask(shared, keys, analysers, &mut each.notes).await {
            Ok(found) => found,
            Err(error) => {
                self.give_up_if_refused(&error);
                each.notes.push(in_a_note(&error));
                return each;
            }
        };
        if found.is_empty() {
            return each;
        }
        self.copy(&found, &mut each.notes).await;
        let used: Vec<ImageKey> = found.iter().map(|entry| entry.about.key.clone()).collect();
        note_of(shared, shared.touch(&used).await, &mut each.notes);
        let work = tokio::task::spawn_blocking(move || found.into_iter().map(|entry| make(entry)).collect());
        match work.await {
            Ok(all) => each.made = all,
            Err(error) => each.notes.push(format!("cache: some of it was not read: {error}")),
        }
        each
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

/// What was made of an entry.
struct Made<T> {
    key: ImageKey,
    used: Timestamp,
    what: T,
}

/// What the folder of this machine has of some keys; if it fails, that is noted and it has nothing.
async fn of_local<T: Send + 'static>(
    local: &LocalStore,
    keys: &BTreeSet<ImageKey>,
    analysers: Option<&str>,
    make: &Arc<impl Fn(Entry) -> T + Send + Sync + 'static>,
    notes: &mut Vec<String>,
) -> Vec<Made<T>> {
    let (make, analysers) = (Arc::clone(make), analysers.map(ToOwned::to_owned));
    let reading = local.each(keys.iter().cloned().collect(), move |entry| {
        let (key, used) = (entry.about.key.clone(), entry.about.used);
        is_by(&entry, analysers.as_deref()).then(|| Made { key, used, what: make(entry) })
    });
    let found = match reading.await {
        Ok(found) => found,
        Err(error) => {
            notes.push(in_a_note(&error));
            return Vec::new();
        }
    };
    let mut whole = Vec::new();
    for found in found {
        match found {
            Ok(one) => whole.extend(one),
            Err(Damaged { key, why }) => notes.push(remove_damaged(local, &key, &why).await),
        }
    }
    whole
}

/// The entries of a store that are what they say.
async fn ask(
    store: &dyn Store,
    keys: &[ImageKey],
    analysers: Option<&str>,
    notes: &mut Vec<String>,
) -> Result<Vec<Entry>, CacheError> {
    let mut entries = Vec::new();
    for found in store.get(keys).await? {
        match found {
            Found::Whole(entry) => entries.push(*entry),
            Found::Damaged(key, why) => notes.push(remove_damaged(store, &key, &why).await),
        }
    }
    entries.retain(|entry| is_by(entry, analysers));
    Ok(entries)
}

fn is_by(entry: &Entry, analysers: Option<&str>) -> bool {
    analysers.is_none_or(|analysers| entry.about.analysers == analysers)
}

/// Removes what is not what it says; gives what a person should know.
async fn remove_damaged(store: &dyn Store, key: &ImageKey, why: &str) -> String {
    let end = match store.remove(key).await {
        Ok(()) => "it was removed".to_owned(),
        Err(error) => format!("it could not be removed: {}", error.in_words()),
    };
    format!("damaged in the cache ({}): {key}: {why}; {end}", store.name())
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
