use std::fs;
use std::path::Path;

use jiff::SignedDuration;
use tempfile::TempDir;

use super::*;
use crate::cache::tests::{ANALYSERS, entry, key, remade};

/// A cache of two folders: the second stands where others would share one.
fn cache(place: &TempDir) -> (Cache, LocalStore, LocalStore) {
    let (local, shared) =
        (LocalStore::at(place.path().join("local")), LocalStore::at(place.path().join("shared")));
    (Cache::new(Some(local.clone()), Some(Box::new(shared.clone()))), local, shared)
}

fn documents(got: &Got) -> Vec<Vec<u8>> {
    let mut documents: Vec<Vec<u8>> = got.entries.iter().map(|entry| entry.document.clone()).collect();
    documents.sort();
    documents
}

fn only_file(folder: &Path) -> std::path::PathBuf {
    let mut files = fs::read_dir(folder).expect("a folder");
    let file = files.next().expect("a file").expect("an entry").path();
    assert!(files.next().is_none());
    file
}

#[tokio::test]
async fn what_only_the_shared_store_has_is_copied_to_this_machine() {
    let place = TempDir::new().expect("a folder");
    let (cache, local, shared) = cache(&place);
    let (one, two) = (entry(1, "linux/amd64"), entry(2, "linux/amd64"));
    local.put(&one).await.expect("put");
    shared.put(&two).await.expect("put");
    let keys = [one.about.key.clone(), two.about.key.clone(), two.about.key.clone(), key(3, "linux/amd64")];
    let got = cache.get(&keys, Some(ANALYSERS)).await;
    assert_eq!(documents(&got), [one.document, two.document]);
    assert_eq!(got.notes, [""; 0]);
    assert!(local.look(&keys[1]).expect("read").is_some());
}

#[tokio::test]
async fn what_is_put_is_in_both_stores() {
    let place = TempDir::new().expect("a folder");
    let (cache, local, shared) = cache(&place);
    let entries: Vec<Entry> = (0..20).map(|number| entry(number, "linux/amd64")).collect();
    assert_eq!(cache.put(&entries).await, [""; 0]);
    for store in [&local, &shared] {
        assert_eq!(store.list().await.expect("listed").len(), 20);
    }
}

#[tokio::test]
async fn entries_of_other_analysers_are_not_given_and_the_shared_store_is_asked_instead() {
    let place = TempDir::new().expect("a folder");
    let (cache, local, shared) = cache(&place);
    let old = entry(1, "linux/amd64");
    let new = remade(&old, "dpkg/9");
    local.put(&old).await.expect("put");
    let keys = [old.about.key.clone()];
    assert_eq!(cache.get(&keys, Some("dpkg/9")).await, Got::default());
    shared.put(&new).await.expect("put");
    assert_eq!(documents(&cache.get(&keys, Some("dpkg/9")).await), [new.document]);
    assert_eq!(local.list().await.expect("listed")[0].analysers, "dpkg/9", "the old one was replaced");
    assert_eq!(cache.get(&keys, None).await.entries.len(), 1);
}

#[tokio::test]
async fn a_damaged_entry_is_noted_removed_and_had_from_the_other_store() {
    let place = TempDir::new().expect("a folder");
    let (cache, local, _) = cache(&place);
    let one = entry(1, "linux/amd64");
    cache.put(std::slice::from_ref(&one)).await;
    let file = only_file(local.path());
    let mut bytes = fs::read(&file).expect("there");
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&file, bytes).expect("written");
    let keys = [one.about.key.clone()];
    let got = cache.get(&keys, Some(ANALYSERS)).await;
    assert_eq!(documents(&got), [one.document]);
    assert_eq!(got.notes.len(), 1);
    assert!(got.notes[0].contains(&one.about.key.to_string()), "{:?}", got.notes);
    assert!(got.notes[0].ends_with("it was removed"), "{:?}", got.notes);
    assert_eq!(cache.get(&keys, Some(ANALYSERS)).await.notes, [""; 0], "it was made anew");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_store_that_cannot_be_written_is_one_note_and_no_error() {
    let place = TempDir::new().expect("a folder");
    let local = LocalStore::at(place.path());
    let cache = Cache::new(Some(local.clone()), Some(Box::new(LocalStore::at("/proc/no/such"))));
    let entries: Vec<Entry> = (0..3).map(|number| entry(number, "linux/amd64")).collect();
    let notes = cache.put(&entries).await;
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert!(notes[0].starts_with("cache: cannot write /proc/no/such: "), "{notes:?}");
    assert!(notes[0].ends_with("(and 2 more)"), "{notes:?}");
    assert_eq!(local.list().await.expect("listed").len(), 3);
}

#[tokio::test]
async fn use_on_this_machine_is_use_of_the_shared_store_too() {
    let place = TempDir::new().expect("a folder");
    let (cache, local, shared) = cache(&place);
    let mut one = entry(1, "linux/amd64");
    let long_ago = Timestamp::now() - SignedDuration::from_hours(24 * 30);
    one.about.used = long_ago;
    cache.put(std::slice::from_ref(&one)).await;
    cache.get(&[one.about.key.clone()], None).await;
    for store in [&local, &shared] {
        assert!(store.list().await.expect("listed")[0].used > long_ago, "{}", store.name());
    }
}

#[tokio::test]
async fn without_stores_nothing_is_kept_and_nothing_is_wrong() {
    let one = entry(1, "linux/amd64");
    let cache = Cache::default();
    assert_eq!(cache.put(std::slice::from_ref(&one)).await, [""; 0]);
    assert_eq!(cache.get(&[one.about.key], None).await, Got::default());
    assert_eq!(cache.stores().count(), 0);
}
