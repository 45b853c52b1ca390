//! Which files belong to a package of the distribution: its advisories speak for them, and not those of the language.
//!
//! The lists of all packages of an image hold some hundred thousand paths. Kept are sorted hashes of those that could be
//! evidence of a package of another kind, which is eight bytes each. Whoever finds something at any path, a
//! Python distribution as well as an executable, asks the same [`Owners`].

use serde::{Deserialize, Serialize};

use super::{Evidence, Squashed, rpm};
use crate::package::Location;
use crate::tree::EntryPath;
use crate::tree::hash::path_hash;
use crate::tree::squash::{Resolved, Sighting};

/// Most files of one list; the largest packages have some ten thousand, the largest databases of all packages some
/// hundred thousand.
const FILES: usize = 1_000_000;
/// Folders that are links into others where `usr` is merged. Packages may still list their files by the old names
/// (Debian's `UsrMerge`, Fedora's `Unify bin and sbin`).
const MERGED: [&str; 8] = ["bin", "sbin", "lib", "lib32", "lib64", "libx32", "usr/sbin", "usr/lib64"];

/// Hashes of the paths of files, sorted, each once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PathSet(Vec<u64>);

/// The files that one package brought, from a file of their own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnedFiles {
    /// The package as the list's own name has it.
    pub package: String,
    /// Its files.
    pub files: PathSet,
}

/// Collects the paths of one file of lists, set by set.
#[derive(Debug, Default)]
pub(super) struct PathSetBuilder {
    paths: Vec<u64>,
    /// Paths of all sets.
    total: usize,
}

/// More files than any package or database has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("lists more than {FILES} files")]
pub(super) struct TooManyFiles;

/// The owners of all files of an image.
#[derive(Clone, Debug, Default)]
pub struct Owners {
    /// Names of packages, sorted.
    names: Vec<String>,
    /// Hash of each owned path with the index of its owner's name, sorted.
    files: Vec<(u64, u32)>,
    /// Folders by the name under which files really stand, with the one under which they may be listed.
    merged: Vec<(EntryPath, EntryPath)>,
}

impl PathSet {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// About how many bytes of memory it takes.
    pub(super) fn weight(&self) -> usize {
        8 * self.0.len()
    }
}

impl PathSetBuilder {
    /// Adds a path as a list has it, unless nothing could be found there; what is no path is passed over.
    pub(super) fn add(&mut self, raw: &[u8]) -> Result<(), TooManyFiles> {
        let Ok(path) = EntryPath::new(raw) else { return Ok(()) };
        if !may_be_evidence(path.name()) {
            return Ok(());
        }
        if self.total >= FILES {
            return Err(TooManyFiles);
        }
        self.total += 1;
        self.paths.push(path_hash(path.as_bytes()));
        Ok(())
    }

    /// Ends a set: what was added since the last one.
    pub(super) fn take(&mut self) -> PathSet {
        let mut paths = std::mem::take(&mut self.paths);
        paths.sort_unstable();
        paths.dedup();
        paths.shrink_to_fit();
        PathSet(paths)
    }
}

/// Whether a file of this name could be evidence: more than half of what packages list could not. JSON could, though it holds
/// no program.
fn may_be_evidence(name: &[u8]) -> bool {
    !name.is_empty() && (!super::read::is_harmless(name) || name.ends_with(b".json"))
}

impl Owners {
    /// The owners of all files of an image.
    #[must_use]
    pub fn of(squashed: &Squashed) -> Self {
        let mut lists: Vec<(String, &PathSet)> = Vec::new();
        for sighting in squashed.sightings() {
            match sighting.evidence {
                Evidence::OwnedFiles(owned) => {
                    lists.push((owner_name(squashed, &sighting, owned), &owned.files));
                }
                Evidence::Dpkg(database) | Evidence::Apk(database) => {
                    lists
                        .extend(database.packages.iter().map(|package| (package.name.clone(), &package.files)));
                }
                // Not all of them count: see below.
                Evidence::Rpm(_)
                | Evidence::RpmUnread(_)
                | Evidence::Release(_)
                | Evidence::Copyright(_)
                | Evidence::Python(_)
                | Evidence::Node(_)
                | Evidence::Go(_)
                | Evidence::Java(_)
                | Evidence::Nothing => {}
            }
        }
        for (_, database) in rpm::databases(squashed) {
            lists.extend(database.packages.iter().map(|package| (package.name.clone(), &package.files)));
        }
        let merged = MERGED.iter().filter_map(|listed| {
            let listed = EntryPath::new(listed.as_bytes()).ok()?;
            match squashed.resolve(&listed) {
                Resolved::Directory { path } if path != listed => Some((path, listed)),
                _ => None,
            }
        });
        Self::new(lists, merged.collect())
    }

    fn new(mut lists: Vec<(String, &PathSet)>, merged: Vec<(EntryPath, EntryPath)>) -> Self {
        lists.retain(|(_, files)| !files.is_empty());
        lists.sort_by(|(a, _), (b, _)| a.cmp(b));
        let mut owners = Self { merged, ..Self::default() };
        for (name, files) in lists {
            if owners.names.last() != Some(&name) {
                owners.names.push(name);
            }
            // There are as many lists as an image has files at most, which is far below 32 bits.
            let Ok(index) = u32::try_from(owners.names.len() - 1) else { break };
            owners.files.extend(files.0.iter().map(|&hash| (hash, index)));
        }
        owners.files.sort_unstable();
        owners
    }

    /// The package that brought the file at a path of the image, as it stands there without links. Of several the first by
    /// name.
    #[must_use]
    pub fn owner_of(&self, path: &[u8]) -> Option<&str> {
        let by_other_name = || {
            self.merged.iter().find_map(|(real, listed)| {
                let rest = path.strip_prefix(real.as_bytes())?.strip_prefix(b"/")?;
                self.listed(&[listed.as_bytes(), rest].join(&b'/'))
            })
        };
        self.listed(path).or_else(by_other_name)
    }

    /// The package that brought the file at a location; for one inside of an archive, `ARCHIVE!/ENTRY`, the archive.
    #[must_use]
    pub fn owner_at(&self, location: &Location) -> Option<&str> {
        let archive = location.path.split_once("!/").map(|(archive, _)| archive);
        self.owner_of(location.path.as_bytes()).or_else(|| self.owner_of(archive?.as_bytes()))
    }

    fn listed(&self, path: &[u8]) -> Option<&str> {
        let hash = path_hash(path);
        let at = self.files.partition_point(|(other, _)| *other < hash);
        let (found, name) = self.files.get(at)?;
        let name = usize::try_from(*name).ok()?;
        (*found == hash).then(|| self.names.get(name).map(String::as_str)).flatten()
    }
}

/// In `status.d` the list `NAME.md5sums` stands beside `NAME`, which may be short for the package's name.
fn owner_name(squashed: &Squashed, sighting: &Sighting<'_, Evidence>, owned: &OwnedFiles) -> String {
    let beside = sighting.path.to_string();
    let beside = beside.strip_suffix(".md5sums").into_iter().flat_map(|path| squashed.at(path));
    let mut names = beside.filter_map(|sighting| match sighting.evidence {
        Evidence::Dpkg(database) => database.packages.first().map(|package| package.name.clone()),
        _ => None,
    });
    names.next().unwrap_or_else(|| owned.package.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(paths: &[&str]) -> PathSet {
        let mut builder = PathSetBuilder::default();
        for path in paths {
            builder.add(path.as_bytes()).expect("few");
        }
        builder.take()
    }

    fn path(path: &str) -> EntryPath {
        EntryPath::new(path.as_bytes()).expect("a path")
    }

    #[test]
    fn owners_are_found_by_listed_and_by_merged_names() {
        let (coreutils, zlib) = (set(&["/bin/ls", "/usr/bin/env"]), set(&["/lib/libz.so.1"]));
        let lists = vec![("zlib1g".to_owned(), &zlib), ("coreutils".to_owned(), &coreutils)];
        let merged = vec![(path("usr/bin"), path("bin")), (path("usr/lib"), path("lib"))];
        let owners = Owners::new(lists, merged);
        for (path, owner) in [
            ("usr/bin/ls", Some("coreutils")),
            ("bin/ls", Some("coreutils")),
            ("usr/bin/env", Some("coreutils")),
            ("usr/lib/libz.so.1", Some("zlib1g")),
            ("usr/libz.so.1", None),
            ("usr/local/bin/ls", None),
            ("", None),
        ] {
            assert_eq!(owners.owner_of(path.as_bytes()), owner, "{path}");
        }
    }

    #[test]
    fn what_lies_in_an_archive_belongs_to_the_owner_of_the_archive() {
        let files = set(&["usr/share/java/a.war"]);
        let owners = Owners::new(vec![("a".to_owned(), &files)], Vec::new());
        for (path, owner) in
            [("usr/share/java/a.war!/WEB-INF/lib/b.jar!/c.jar", Some("a")), ("srv/a.war!/b.jar", None)]
        {
            assert_eq!(owners.owner_at(&Location { path: path.to_owned(), layer: None }), owner, "{path}");
        }
    }

    #[test]
    fn a_file_of_several_packages_has_the_first_by_name() {
        let files = set(&["usr/lib/a"]);
        let lists = vec![("b".to_owned(), &files), ("a".to_owned(), &files), ("b".to_owned(), &files)];
        assert_eq!(Owners::new(lists, Vec::new()).owner_of(b"usr/lib/a"), Some("a"));
    }

    #[test]
    fn only_what_could_be_evidence_is_kept() {
        let all =
            ["/.", "/usr/include/a.h", "/usr/lib/a.py", "usr/bin/a", "usr/bin/a", "/x/package.json", "/a.jar"];
        assert_eq!(set(&all).len(), 3);
        let mut builder = PathSetBuilder::default();
        assert_eq!(builder.add(&[b'a'; 5000]), Ok(()));
        assert!(builder.take().is_empty());
    }

    #[test]
    fn a_list_without_end_is_refused() {
        let mut builder = PathSetBuilder { total: FILES, ..PathSetBuilder::default() };
        assert_eq!(builder.add(b"/usr/bin/a"), Err(TooManyFiles));
    }
}
