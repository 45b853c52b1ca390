use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use jiff::SignedDuration;
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::cache::tests::{entry, key, remade};

/// What somebody does to a file.
type Damaging<'a> = &'a dyn Fn(&[u8]) -> Vec<u8>;

fn folder_at(path: &Path) -> Folder {
    Folder::new(path.to_owned(), LIMITS)
}

fn stored(folder: &Folder) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder.path()).expect("a folder").map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    files
}

fn document(found: Option<Found>) -> Vec<u8> {
    match found {
        Some(Found::Whole(entry)) => entry.document,
        other => panic!("{other:?}"),
    }
}

fn damage(found: Option<Found>) -> String {
    match found {
        Some(Found::Damaged(_, why)) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_entry_that_was_put_is_listed_read_and_removed() {
    let place = TempDir::new().expect("a folder");
    let folder = folder_at(&place.path().join("not/yet"));
    let (one, two) = (entry(1, "linux/amd64"), entry(2, "linux/arm/v7"));
    assert_eq!(folder.list().expect("nothing"), []);
    assert_eq!(folder.get(&one.about.key), None);
    folder.put(&one).expect("put");
    folder.put(&two).expect("put");
    let mut list = folder.list().expect("listed");
    list.sort_by_key(|about| about.document != one.about.document);
    let expected = About { stored: list[0].stored, used: list[0].used, ..one.about.clone() };
    assert_eq!(list[0], expected);
    assert!(list[0].stored > 0 && list.len() == 2);
    assert_eq!(document(folder.get(&two.about.key)), two.document);
    folder.remove(&one.about.key).expect("removed");
    folder.remove(&one.about.key).expect("gone before");
    assert_eq!(folder.get(&one.about.key), None);
    assert_eq!(stored(&folder).len(), 1, "nothing temporary is left");
}

#[test]
fn an_entry_of_the_same_makers_stays_and_that_of_others_is_replaced() {
    let place = TempDir::new().expect("a folder");
    let folder = folder_at(place.path());
    let first = entry(1, "linux/amd64");
    folder.put(&first).expect("put");
    let mut second = remade(&first, "x");
    second.about.analysers.clone_from(&first.about.analysers);
    folder.put(&second).expect("put");
    assert_eq!(document(folder.get(&first.about.key)), first.document);
    let newer = remade(&first, "dpkg/2");
    folder.put(&newer).expect("put");
    assert_eq!(document(folder.get(&first.about.key)), newer.document);
    assert_eq!(stored(&folder).len(), 1);
}

#[test]
fn what_is_no_entry_of_its_name_is_named_and_may_be_made_anew() {
    let place = TempDir::new().expect("a folder");
    let folder = folder_at(place.path());
    let (one, two) = (entry(1, "linux/amd64"), entry(2, "linux/amd64"));
    let path = folder.path().join(format!("{}.sbom", form_name(&one)));
    let damages: [(&str, Damaging<'_>); 6] = [
        ("what it says of itself cannot be read", &|_| Vec::new()),
        ("bytes in the place of", &|good| good[..good.len() - 1].to_vec()),
        ("bytes in the place of", &|good| [good, b"x"].concat()),
        ("what it says of itself cannot be read", &|good| [b"x", &good[1..]].concat()),
        ("it says too much of itself", &|_| vec![b' '; 1 << 20]),
        ("in the place of", &|good| replaced(good, one.about.document.hex(), two.about.document.hex())),
    ];
    for (why, damaged) in damages {
        folder.put(&one).expect("put");
        let good = fs::read(&path).expect("there");
        fs::write(&path, damaged(&good)).expect("written");
        let said = damage(folder.get(&one.about.key));
        assert!(said.contains(why), "{said}");
        assert_eq!(folder.verify().expect("read").damaged.len(), 1);
        folder.remove(&one.about.key).expect("removed");
        folder.put(&one).expect("put again");
        assert_eq!(document(folder.get(&one.about.key)), one.document);
    }
    // The entry of another image under this name.
    folder.put(&two).expect("put");
    fs::rename(folder.path().join(format!("{}.sbom", form_name(&two))), &path).expect("renamed");
    let said = damage(folder.get(&one.about.key));
    assert!(said.contains(&two.about.key.to_string()), "{said}");
    assert_eq!(folder.list().expect("listed"), [], "it is not listed as what it is not");
    assert_eq!(folder.sweep().expect("swept"), 1);
}

fn form_name(entry: &Entry) -> String {
    crate::cache::form::name(&entry.about.key).expect("a name")
}

fn replaced(bytes: &[u8], old: &str, new: &str) -> Vec<u8> {
    let line = bytes.iter().position(|byte| *byte == b'\n').expect("a line");
    let header = std::str::from_utf8(&bytes[..line]).expect("text").replacen(old, new, 9);
    [header.as_bytes(), &bytes[line..]].concat()
}

#[test]
fn a_damaged_entry_is_replaced_by_the_next_that_is_put() {
    let place = TempDir::new().expect("a folder");
    let folder = folder_at(place.path());
    let one = entry(1, "linux/amd64");
    let path = folder.path().join(format!("{}.sbom", form_name(&one)));
    fs::write(&path, "nonsense").expect("written");
    folder.put(&one).expect("put");
    assert_eq!(document(folder.get(&one.about.key)), one.document);
}

#[test]
fn links_pipes_and_foreign_files_are_passed_by() {
    let place = TempDir::new().expect("a folder");
    let folder = folder_at(place.path());
    let one = entry(1, "linux/amd64");
    let path = folder.path().join(format!("{}.sbom", form_name(&one)));
    std::os::unix::fs::symlink("/dev/zero", &path).expect("linked");
    fs::write(folder.path().join("README"), "mine").expect("written");
    assert_eq!(folder.list().expect("listed"), []);
    let said = damage(folder.get(&one.about.key));
    assert_eq!(said, "it cannot be read: it is no file", "a link is not followed");
    folder.put(&one).expect("the link is replaced, not followed");
    assert_eq!(document(folder.get(&one.about.key)), one.document);
    folder.sweep().expect("swept");
    assert!(folder.path().join("README").exists());
}

#[test]
fn use_is_noted_once_in_a_week() {
    let place = TempDir::new().expect("a folder");
    let folder = folder_at(place.path());
    let mut one = entry(1, "linux/amd64");
    let now = Timestamp::now();
    let six_days = now - SignedDuration::from_hours(6 * 24);
    one.about.used = six_days;
    folder.put(&one).expect("put");
    let used = || folder.list().expect("listed")[0].used;
    folder.touch(&one.about.key, now).expect("touched");
    assert_eq!(used(), six_days);
    folder.touch(&one.about.key, now + SignedDuration::from_hours(25)).expect("touched");
    // A time to come, of a clock that was wrong say, is not believed.
    assert!(used() >= now && used() <= Timestamp::now());
    folder.touch(&key(9, "linux/amd64"), now).expect("not there");
}

#[test]
fn the_least_recently_used_goes_when_there_is_no_room() {
    let place = TempDir::new().expect("a folder");
    let folder = Folder::new(place.path().to_owned(), Limits { bytes: 1 << 20, entries: 2 });
    let now = Timestamp::now();
    for (number, age) in [(1, 3), (2, 5)] {
        let mut entry = entry(number, "linux/amd64");
        entry.about.used = now - SignedDuration::from_hours(age);
        folder.put(&entry).expect("put");
    }
    // The first write of a process looks for room.
    let folder = Folder::new(place.path().to_owned(), Limits { bytes: 1 << 20, entries: 2 });
    folder.put(&entry(3, "linux/amd64")).expect("put");
    assert_eq!(folder.get(&key(2, "linux/amd64")), None);
    assert_eq!(folder.list().expect("listed").len(), 2);
}

#[test]
fn writers_that_were_ended_leave_nothing_for_ever() {
    let place = TempDir::new().expect("a folder");
    let folder = folder_at(place.path());
    let (old, new) = (folder.path().join(".tmp-1-0"), folder.path().join(".tmp-2-0"));
    for path in [&old, &new] {
        fs::write(path, "half").expect("written");
    }
    let hours = std::time::SystemTime::now() - Duration::from_hours(2);
    fs::File::options().append(true).open(&old).expect("there").set_modified(hours).expect("set");
    assert_eq!(folder.sweep().expect("swept"), 1);
    assert_eq!(stored(&folder), [new]);
}

#[test]
fn many_writers_at_once_lose_and_double_nothing() {
    let place = TempDir::new().expect("a folder");
    let path = place.path();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                // What they share is the folder alone, as processes do.
                let folder = folder_at(path);
                for number in 0..30 {
                    folder.put(&entry(number, "linux/amd64")).expect("put");
                    assert!(folder.get(&key(number, "linux/amd64")).is_some());
                }
            });
        }
    });
    let folder = folder_at(path);
    assert_eq!(folder.verify().expect("read"), Verified { whole: 30, damaged: Vec::new() });
    assert_eq!(stored(&folder).len(), 30);
}

#[tokio::test]
async fn the_store_reads_many_keys_and_leaves_out_those_that_are_not_there() {
    let place = TempDir::new().expect("a folder");
    let store = LocalStore::at(place.path());
    for number in 0..10 {
        store.put(&entry(number, "linux/amd64")).await.expect("put");
    }
    let keys: Vec<ImageKey> = (5..15).map(|number| key(number, "linux/amd64")).collect();
    assert_eq!(store.get(&keys).await.expect("read").len(), 5);
    assert_eq!(store.get(&[]).await.expect("read"), []);
    assert_eq!(store.list().await.expect("listed").len(), 10);
}

#[tokio::test]
async fn what_is_no_folder_is_one_error_and_not_one_for_each_key() {
    let place = TempDir::new().expect("a folder");
    let file = place.path().join("file");
    fs::write(&file, "").expect("written");
    let error = LocalStore::at(&file).get(&[key(1, "linux/amd64")]).await.expect_err("no folder");
    assert!(error.in_words().starts_with("cannot read "), "{}", error.in_words());
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_folder_that_cannot_be_made_is_an_error_that_names_it() {
    let store = LocalStore::at("/proc/no/such");
    let error = store.put(&entry(1, "linux/amd64")).await.expect_err("no room there");
    assert!(error.in_words().starts_with("cannot write /proc/no/such: "), "{}", error.in_words());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn any_file_is_whole_or_damaged_and_never_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let place = TempDir::new().expect("a folder");
        let folder = folder_at(place.path());
        let one = entry(1, "linux/amd64");
        let path = folder.path().join(format!("{}.sbom", form_name(&one)));
        fs::write(&path, &bytes).expect("written");
        prop_assert!(matches!(folder.get(&one.about.key), Some(Found::Damaged(..))));
        prop_assert_eq!(folder.list().expect("listed"), []);
    }
}
