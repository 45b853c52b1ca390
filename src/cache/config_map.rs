//! Immutable ConfigMaps in a namespace: for everybody who works there, with no storage of our own.
//!
//! ```text
//! clarity-sbom-HEX-linux-amd64               annotations: About, when it was used last; the document as zstd
//! clarity-sbom-part2-HEX-linux-amd64-HEX     the rest of a document that is too large for one object
//! ```
//!
//! The first object of an entry is created last, so an entry is there whole or not at all. Objects are listed by their metadata;
//! bodies are fetched of what is asked for. Those who create the same entry at once find one there, which is as good; nobody
//! deletes an object other than the very one that was looked at.

mod object;
mod place;
mod room;

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex as SyncMutex, PoisonError};

use futures::future::{BoxFuture, FutureExt as _};
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Client;
use tokio::sync::Mutex;

use super::form;
use super::{About, CacheError, Damage, Entry, Found, Store, Verified, in_words, is_touch_due};
use crate::cluster::{ApiError, ConfigMaps, KIND_LABEL, Owned};
use crate::image::{Digest, ImageKey};
use object::{
    DIGEST_LABEL, Head, KIND, KIND_PART, Objects, Seen, USED, assemble, digest_label, part_name, read_head,
};
use room::Room;

pub use place::{STATE_NAMESPACE, state_namespace};

/// Bytes of documents that are kept in a namespace if nothing else is said. All of etcd has 2 GiB by default.
pub const BUDGET: u64 = 64 << 20;
/// Requests at the same time.
const PARALLEL: usize = 8;
/// How often an entry is created in the place of another one that others create anew again and again.
const TRIES: u32 = 5;

/// Entries in the ConfigMaps of a namespace.
pub struct ConfigMapStore {
    requests: ConfigMaps,
    room: Mutex<Room>,
    /// Objects that were found to be damaged, by their names: their UIDs.
    damaged: SyncMutex<HashMap<String, String>>,
}

impl ConfigMapStore {
    /// The entries of this namespace, of at most so many bytes.
    #[must_use]
    pub fn new(client: &Client, namespace: &str, budget: u64) -> Self {
        Self {
            requests: ConfigMaps::new(client, namespace),
            room: Mutex::new(Room::new(budget)),
            damaged: SyncMutex::new(HashMap::new()),
        }
    }

    /// The metadata of all objects of entries.
    async fn list_ours(&self) -> Result<Vec<ObjectMeta>, ApiError> {
        self.requests.list(&format!("{KIND_LABEL} in ({KIND},{KIND_PART})")).await
    }

    /// The metadata of the parts of entries about images of this digest, or of one that begins as it does.
    async fn list_parts(&self, digest: &Digest) -> Result<Vec<ObjectMeta>, ApiError> {
        self.requests.list(&format!("{KIND_LABEL}={KIND_PART},{DIGEST_LABEL}={}", digest_label(digest))).await
    }

    /// Everything of ours that is there, by its metadata.
    async fn look(&self) -> Result<Seen, CacheError> {
        let seen = Seen::of(&self.list_ours().await?);
        self.room.lock().await.know(&seen);
        Ok(seen)
    }

    /// Makes sure that it is known what takes room.
    async fn bring_up_to_date(&self, room: &mut Room) -> Result<(), CacheError> {
        if !room.is_known() {
            room.know(&Seen::of(&self.list_ours().await?));
        }
        Ok(())
    }

    /// Fetches and checks one entry. None if it has gone meanwhile.
    async fn fetch(&self, name: &str) -> Result<Option<Result<Entry, String>>, CacheError> {
        let Some(first) = self.requests.get(name).await? else { return Ok(None) };
        let uid = first.metadata.uid.clone().unwrap_or_default();
        let checked = self.rest_of(first, name).await?;
        let checked = checked.and_then(|(about, packed)| {
            let document = form::unpack(&about, &packed).map_err(|error| in_words(&error))?;
            Ok(Entry { about, document })
        });
        if checked.is_err() {
            let mut damaged = self.damaged.lock().unwrap_or_else(PoisonError::into_inner);
            damaged.insert(name.to_owned(), uid);
        }
        Ok(Some(checked))
    }

    /// What an entry says of itself, and the bytes of all its objects.
    async fn rest_of(
        &self,
        first: ConfigMap,
        name: &str,
    ) -> Result<Result<(About, Vec<u8>), String>, CacheError> {
        let Head { about, parts } = match read_head(&first.metadata, name) {
            Ok(head) => head,
            Err(why) => return Ok(Err(why)),
        };
        let mut objects = vec![first];
        for number in 2..=parts {
            match self.requests.get(&part_name(name, number, &about.document)).await? {
                Some(part) => objects.push(part),
                None => return Ok(Err(format!("its part {number} of {parts} is missing"))),
            }
        }
        Ok(assemble(objects, about.stored).map(|packed| (about, packed)))
    }

    /// Fetches entries by name.
    async fn fetch_all(&self, names: Vec<String>) -> Result<Vec<(String, Result<Entry, String>)>, CacheError> {
        let fetched = stream::iter(names).map(|name| async {
            let fetched = self.fetch(&name).await?;
            Ok::<_, CacheError>(fetched.map(|fetched| (name, fetched)))
        });
        fetched.buffer_unordered(PARALLEL).try_filter_map(|found| async { Ok(found) }).try_collect().await
    }

    /// Creates the objects of an entry, the first one last; those that were not there before.
    async fn create(&self, objects: &Objects) -> Result<Owned, CacheError> {
        let mut parts = Vec::new();
        for part in &objects.parts {
            // One of this name is of the same document, or is found out to be forged when it is read.
            parts.extend(self.requests.create(part).await?);
        }
        for _ in 0..TRIES {
            if let Some(first) = self.requests.create(&objects.first).await? {
                return Ok(Owned { objects: [vec![first], parts].concat() });
            }
            let Some(there) = self.requests.get_metadata(&objects.name).await? else { continue };
            let head = read_head(&there, &objects.name);
            if head.is_ok_and(|head| head.about.is_by_same_makers(&objects.about)) {
                return Ok(Owned::of(&there));
            }
            self.requests.delete_all(&Owned::of(&there)).await?;
        }
        Err(self.unwritten("others write it again and again".into()))
    }

    fn unwritten(&self, source: Box<dyn std::error::Error + Send + Sync>) -> CacheError {
        CacheError::Write { place: self.name(), source }
    }
}

impl Store for ConfigMapStore {
    fn name(&self) -> String {
        format!("ConfigMaps in namespace {}", self.requests.namespace())
    }

    fn list(&self) -> BoxFuture<'_, Result<Vec<About>, CacheError>> {
        async move { Ok(self.look().await?.into_abouts()) }.boxed()
    }

    fn get<'a>(&'a self, keys: &'a [ImageKey]) -> BoxFuture<'a, Result<Vec<Found>, CacheError>> {
        async move {
            let seen = self.look().await?;
            let wanted = keys.iter().filter_map(|key| Some((object::name_of(&form::name(key).ok()?), key)));
            let wanted: HashMap<String, &ImageKey> = wanted.collect();
            let there: HashSet<String> = seen.names().into_iter().collect();
            let names = wanted.keys().filter(|name| there.contains(*name)).cloned().collect();
            let found = self.fetch_all(names).await?.into_iter().map(|(name, entry)| match entry {
                Ok(entry) => Found::Whole(Box::new(entry)),
                Err(why) => Found::Damaged(wanted[&name].clone(), why),
            });
            Ok(found.collect())
        }
        .boxed()
    }

    fn put<'a>(&'a self, entry: &'a Entry) -> BoxFuture<'a, Result<(), CacheError>> {
        async move {
            let objects = Objects::of(entry).map_err(|error| self.unwritten(error.into()))?;
            {
                // Whoever looks for room sees what was taken before.
                let mut room = self.room.lock().await;
                self.bring_up_to_date(&mut room).await?;
                if room.has_same(&objects) {
                    return Ok(());
                }
                let gone = room.make_for(&objects).map_err(|error| self.unwritten(error.into()))?;
                for owned in gone {
                    self.requests.delete_all(&owned).await?;
                }
            }
            let created = self.create(&objects).await;
            self.room.lock().await.settle(&objects, created.as_ref().ok());
            created.map(|_| ())
        }
        .boxed()
    }

    fn touch<'a>(&'a self, keys: &'a [ImageKey]) -> BoxFuture<'a, Result<(), CacheError>> {
        async move {
            let now = Timestamp::now();
            let due: Vec<String> = {
                let mut room = self.room.lock().await;
                if !keys.is_empty() {
                    self.bring_up_to_date(&mut room).await?;
                }
                let names = keys.iter().filter_map(|key| Some(object::name_of(&form::name(key).ok()?)));
                names.filter(|name| room.used(name).is_some_and(|used| is_touch_due(used, now))).collect()
            };
            let patches = stream::iter(due.clone())
                .map(|name| async move { Ok(self.requests.annotate(&name, USED, &now.to_string()).await?) });
            let done: Result<Vec<()>, CacheError> = patches.buffer_unordered(PARALLEL).try_collect().await;
            self.room.lock().await.set_used(&due, now);
            done.map(|_| ())
        }
        .boxed()
    }

    fn remove<'a>(&'a self, key: &'a ImageKey) -> BoxFuture<'a, Result<(), CacheError>> {
        async move {
            let Ok(name) = form::name(key) else { return Ok(()) };
            let name = object::name_of(&name);
            let damaged = self.damaged.lock().unwrap_or_else(PoisonError::into_inner).remove(&name);
            let first = match damaged {
                Some(uid) => Some(Owned { objects: vec![(name.clone(), uid)] }),
                None => self.requests.get_metadata(&name).await?.map(|there| Owned::of(&there)),
            };
            let parts = self.list_parts(&key.digest).await?;
            let parts = parts.iter().filter(|part| object::is_part_of(part, &name)).map(Owned::of);
            for owned in first.into_iter().chain(parts) {
                self.requests.delete_all(&owned).await?;
            }
            self.room.lock().await.forget(&name);
            Ok(())
        }
        .boxed()
    }

    fn verify(&self) -> BoxFuture<'_, Result<Verified, CacheError>> {
        async move {
            let seen = self.look().await?;
            let mut verified = Verified::default();
            // A few at a time: the documents of all would be a lot of memory.
            let names = seen.names();
            for names in names.chunks(PARALLEL) {
                for (name, entry) in self.fetch_all(names.to_vec()).await? {
                    match entry {
                        Ok(_) => verified.whole += 1,
                        Err(why) => verified.damaged.push(Damage { name, why }),
                    }
                }
            }
            verified.damaged.sort_by(|one, other| one.name.cmp(&other.name));
            Ok(verified)
        }
        .boxed()
    }

    fn sweep(&self) -> BoxFuture<'_, Result<usize, CacheError>> {
        async move {
            let useless = self.look().await?.useless(Timestamp::now());
            for owned in &useless {
                self.requests.delete_all(owned).await?;
            }
            Ok(useless.len())
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests;
