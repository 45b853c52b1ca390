//! Many documents at once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::answer::{Answer, Found, NotSearched};
use super::running::Running;
use super::search::{Looked, Search};
use crate::cache::{Cache, Each, Entry};
use crate::image::{ImageKey, Reference};

/// Images that are named in a note.
const NAMED: usize = 5;
/// Version of the JSON form of an answer.
const VERSION: u32 = 1;

/// A document that was looked into.
struct Seen {
    key: ImageKey,
    reference: Reference,
    /// The error is why it cannot be read.
    looked: Result<Looked, String>,
}

/// Looks into the kept bills of what runs; without, into all that are kept.
pub async fn ask(cache: &Cache, running: Option<Vec<Running>>, search: Search) -> Answer {
    let search = Arc::new(search);
    let mut notes = search.notes().to_vec();
    let (seen, owners) = match &running {
        Some(running) => of_running(cache, running, &search, &mut notes).await,
        None => (of_kept(cache, &search, &mut notes).await, BTreeMap::new()),
    };
    let mut answer = Answer {
        version: VERSION,
        query: search.query().to_string(),
        images: Vec::new(),
        searched: 0,
        not_searched: Vec::new(),
        notes: Vec::new(),
    };
    let all = running.as_deref().unwrap_or_default();
    let mut undecided: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut is_seen = BTreeSet::new();
    for Seen { key, reference, looked } in seen {
        let users: Vec<&Running> =
            owners.get(&key).into_iter().flatten().filter_map(|index| all.get(*index)).collect();
        let used_by: BTreeSet<String> = users.iter().flat_map(|image| image.used_by.iter().cloned()).collect();
        let image = users.first().map_or_else(|| reference.to_string(), |image| image.image.clone());
        is_seen.extend(owners.get(&key).into_iter().flatten().copied());
        match looked {
            Err(why) => {
                let reason = format!("the list of its packages cannot be read: {why}");
                answer.not_searched.push(NotSearched { image, used_by, reason });
            }
            Ok(Looked { hits, undecided: why }) => {
                answer.searched += 1;
                for why in why {
                    undecided.entry(why).or_default().push(image.clone());
                }
                if !hits.is_empty() {
                    let digest = key.digest.to_string();
                    answer.images.push(Found { image, digest, platform: key.platform.clone(), used_by, hits });
                }
            }
        }
    }
    for (_, image) in all.iter().enumerate().filter(|(index, _)| !is_seen.contains(index)) {
        let (image, used_by, reason) = (image.image.clone(), image.used_by.clone(), image.reason().to_owned());
        answer.not_searched.push(NotSearched { image, used_by, reason });
    }
    notes.extend(undecided.into_iter().map(|(why, images)| {
        let more = images.len().saturating_sub(NAMED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let named: Vec<&str> = images.iter().take(NAMED).map(String::as_str).collect();
        format!("not decided for {}{more}: {why}", named.join(", "))
    }));
    answer.notes = notes;
    answer.sort();
    answer
}

/// Which of the running images each key stands for, by index.
type Owners = BTreeMap<ImageKey, BTreeSet<usize>>;

async fn of_running(
    cache: &Cache,
    running: &[Running],
    search: &Arc<Search>,
    notes: &mut Vec<String>,
) -> (Vec<Seen>, Owners) {
    let mut owners = Owners::new();
    for (index, image) in running.iter().enumerate() {
        if let Some(key) = image.key() {
            owners.entry(key).or_default().insert(index);
        }
    }
    let keys: Vec<ImageKey> = owners.keys().cloned().collect();
    let mut seen = look_into(cache, keys, search, notes).await;
    // What is not kept under the digest that the runtime names may be kept under another one of the same image.
    let found: BTreeSet<ImageKey> = seen.iter().map(|seen| seen.key.clone()).collect();
    let is_left =
        |image: &Running| image.digest.is_some() && image.key().is_none_or(|key| !found.contains(&key));
    let left: Vec<usize> = (0..running.len()).filter(|index| is_left(&running[*index])).collect();
    if left.is_empty() {
        return (seen, owners);
    }
    let mut others = BTreeSet::new();
    for about in kept(cache, notes).await {
        let users: Vec<usize> = left.iter().copied().filter(|index| running[*index].is_of(&about)).collect();
        if !users.is_empty() {
            owners.entry(about.key.clone()).or_default().extend(users);
            others.insert(about.key);
        }
    }
    let others = others.into_iter().filter(|key| !found.contains(key)).collect();
    seen.extend(look_into(cache, others, search, notes).await);
    (seen, owners)
}

async fn of_kept(cache: &Cache, search: &Arc<Search>, notes: &mut Vec<String>) -> Vec<Seen> {
    let keys: BTreeSet<ImageKey> = kept(cache, notes).await.into_iter().map(|about| about.key).collect();
    look_into(cache, keys.into_iter().collect(), search, notes).await
}

async fn kept(cache: &Cache, notes: &mut Vec<String>) -> Vec<crate::cache::About> {
    let mut all = Vec::new();
    for store in cache.stores() {
        match store.list().await {
            Ok(list) => all.extend(list),
            Err(error) => notes.push(format!("{} was not looked into: {}", store.name(), error.in_words())),
        }
    }
    all
}

/// Looks into documents as they come.
async fn look_into(
    cache: &Cache,
    keys: Vec<ImageKey>,
    search: &Arc<Search>,
    notes: &mut Vec<String>,
) -> Vec<Seen> {
    let search = Arc::clone(search);
    let Each { made, notes: more } = cache.each(&keys, None, move |entry| look(&entry, &search)).await;
    notes.extend(more);
    made
}

fn look(entry: &Entry, search: &Search) -> Seen {
    let looked = search.look(&entry.document).map_err(|error| {
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
        format!("{error}{}", cause.unwrap_or_default())
    });
    Seen { key: entry.about.key.clone(), reference: entry.about.reference.clone(), looked }
}

#[cfg(test)]
mod tests;
