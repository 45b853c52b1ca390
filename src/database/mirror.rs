//! Indexes from a mirror of the public OSV bucket: `<base>/<ecosystem>/all.zip`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use futures::StreamExt as _;
use jiff::Timestamp;

use super::state::Download;
use super::{Change, DatabaseError, Origin, Outcome, Progress, Tell};
use crate::advisories::{Ecosystem, Wanted};
use crate::mirror::{Fetched, Mirror, MirrorError, Validators};

/// The bucket's list of its folders.
const LIST: &str = "ecosystems.txt";
/// The file of each folder that holds all of its records.
const RECORDS: &str = "all.zip";
/// Files that are on their way at the same time.
const DOWNLOADS: usize = 3;
/// Largest file in bytes. The largest real ones have some 200 MiB.
const MAX_BYTES: u64 = 4 << 30;

/// One file of the mirror.
struct Folder {
    /// The ecosystem's name without a release.
    name: String,
    /// By what the version that the database has is known again, if it has all that is wanted of it.
    known: Option<Validators>,
}

impl Change<'_> {
    /// Fetches what has changed of the wanted ecosystems, compiles and installs it.
    pub(super) async fn mirror(
        &mut self,
        mirror: &Mirror,
        wanted: &Wanted,
        tell: Tell<'_>,
    ) -> Result<Outcome, DatabaseError> {
        let folders: Vec<Folder> = self.folders(mirror, wanted).await?;
        let parts = self.parts()?;
        tell(Progress::Fetching { from: mirror.to_string(), size: None, count: folders.len() });
        let done = AtomicU64::new(0);
        let downloads = folders.into_iter().map(|folder| download(mirror, &parts, folder, &done, tell));
        let mut downloads = futures::stream::iter(downloads).buffer_unordered(DOWNLOADS);
        let (mut outcome, mut failed) = (Outcome::default(), None);
        while let Some((folder, path, fetched)) = downloads.next().await {
            match fetched {
                Ok(Fetched::NotModified) => self.not_modified(mirror, &folder, &mut outcome, tell),
                Ok(Fetched::Complete { validators, .. }) => {
                    let compiled = tokio::task::block_in_place(|| {
                        self.compile_download(mirror, &folder, validators, &path, wanted, tell)
                    });
                    let _ = std::fs::remove_file(&path);
                    match compiled {
                        Ok(compiled) => outcome.add(compiled),
                        Err(error) => failed = failed.or(Some(error)),
                    }
                }
                Err(error) if error.is_not_found() => outcome.missing.push(folder.name),
                // The others are not lost with it.
                Err(error) => failed = failed.or(Some(error.into())),
            }
        }
        outcome.failed = failed.map(Box::new);
        Ok(outcome)
    }

    /// The files that hold what is wanted.
    async fn folders(&self, mirror: &Mirror, wanted: &Wanted) -> Result<Vec<Folder>, DatabaseError> {
        let names: BTreeSet<String> = if wanted.is_open() {
            let list = mirror.small(&[LIST]).await?;
            let list = String::from_utf8_lossy(&list).into_owned();
            // The list names releases too, whose records the folder without a release has.
            let names = list.lines().filter_map(|line| line.trim().parse::<Ecosystem>().ok());
            names.filter(Ecosystem::can_be_matched).map(|ecosystem| ecosystem.name().to_owned()).collect()
        } else {
            wanted.names().map(ToOwned::to_owned).collect()
        };
        Ok(names.into_iter().map(|name| Folder { known: self.known(mirror, &name, wanted), name }).collect())
    }

    fn known(&self, mirror: &Mirror, name: &str, wanted: &Wanted) -> Option<Validators> {
        let download = self.state().downloads.get(&address(mirror, name))?;
        let mut of_name = wanted.ecosystems().filter(|ecosystem| ecosystem.name() == name);
        let has_all = if wanted.holds_all_releases(name) {
            download.is_whole
        } else {
            of_name.all(|ecosystem| download.is_whole || download.indexes.contains(&ecosystem.to_string()))
        };
        let are_here = download.indexes.iter().all(|index| self.is_whole(index));
        (has_all && are_here).then(|| download.validators.clone())
    }

    fn not_modified(&mut self, mirror: &Mirror, folder: &Folder, outcome: &mut Outcome, tell: Tell<'_>) {
        let address = address(mirror, &folder.name);
        let Some(download) = self.state().downloads.get(&address).cloned() else { return };
        let as_of = as_of(&download.validators);
        for index in download.indexes {
            self.confirm(&index, &Origin { name: address.clone(), as_of });
            tell(Progress::Unchanged(index.clone()));
            outcome.unchanged.push(index);
        }
    }

    fn compile_download(
        &mut self,
        mirror: &Mirror,
        folder: &Folder,
        validators: Validators,
        path: &Path,
        wanted: &Wanted,
        tell: Tell<'_>,
    ) -> Result<Outcome, DatabaseError> {
        let address = address(mirror, &folder.name);
        let mut of_folder = Wanted::whole(wanted.ecosystems().filter(|e| e.name() == folder.name).cloned());
        let is_whole = wanted.holds_all_releases(&folder.name);
        if is_whole {
            of_folder.add_releases(&folder.name);
        }
        let origin = Origin { name: address.clone(), as_of: as_of(&validators) };
        let outcome = self.compile(path, &of_folder, &origin, tell)?;
        let indexes = outcome.installed.iter().chain(&outcome.unchanged).cloned().collect();
        self.state_mut().downloads.insert(address, Download { validators, indexes, is_whole });
        Ok(outcome)
    }
}

async fn download(
    mirror: &Mirror,
    parts: &Path,
    folder: Folder,
    done: &AtomicU64,
    tell: Tell<'_>,
) -> (Folder, PathBuf, Result<Fetched, MirrorError>) {
    let path = parts.join(format!("{}.zip", folder.name.replace(|c: char| !c.is_ascii_alphanumeric(), "_")));
    let before = AtomicU64::new(0);
    let progress = |bytes: u64| {
        let more = bytes.wrapping_sub(before.swap(bytes, Ordering::Relaxed));
        // A part that was begun anew has become shorter.
        let all = done.fetch_add(more, Ordering::Relaxed);
        tell(Progress::Fetched(all.wrapping_add(more)));
    };
    let fetched =
        mirror.fetch(&[&folder.name, RECORDS], folder.known.as_ref(), &path, MAX_BYTES, &progress).await;
    (folder, path, fetched)
}

/// What a file of the mirror is called in the state and to people.
fn address(mirror: &Mirror, name: &str) -> String {
    format!("{mirror}/{name}/{RECORDS}")
}

/// When the file was made: the bucket makes each of them anew whenever it makes any. A mirror that does not say it
/// is taken to be up to date.
fn as_of(validators: &Validators) -> Option<Timestamp> {
    let said = validators.last_modified.as_deref();
    let said = said.and_then(|time| jiff::fmt::rfc2822::parse(time).ok()).map(|time| time.timestamp());
    said.or_else(|| Some(Timestamp::now()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_of_a_file_is_that_of_the_server() {
        let said = |text: &str| as_of(&Validators { etag: None, last_modified: Some(text.to_owned()) });
        let expected: Timestamp = "2015-10-21T07:28:00Z".parse().expect("a time");
        assert_eq!(said("Wed, 21 Oct 2015 07:28:00 GMT"), Some(expected));
        assert!(said("yesterday") > Some(expected));
    }
}
