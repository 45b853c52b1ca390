//! What one walk of a tree found.
//!
//! A record is a pure function of the tree (for a layer: of its blob's digest) and of who looked at it. Which paths a
//! layer has is kept as sorted hashes, so that a layer of a million files takes 8 MB; only evidence and links have paths.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Bound;

use super::budget::Grant;
use super::gap::{Gap, GapCause, Gaps};
use super::hash::{PathHashes, path_hash};
use super::path::EntryPath;
use super::{Entry, Kind};

/// What was found in one layer or directory.
#[derive(Debug)]
pub struct Record<E> {
    /// What was read of files, by path.
    pub evidence: Vec<Found<E>>,
    /// All links, by path.
    pub links: Vec<Link>,
    /// Paths that are removed from the layers below, sorted.
    pub whiteouts: Vec<EntryPath>,
    /// Directories whose content in the layers below is hidden, sorted.
    pub opaque: Vec<EntryPath>,
    /// Hashes of the paths of everything that is no directory, sorted.
    pub files: Vec<u64>,
    /// Hashes of the paths of all directories, those only implied by a path included, sorted.
    pub dirs: Vec<u64>,
    /// What could not be read.
    pub gaps: Vec<Gap>,
    /// The memory that it takes, given back with it.
    pub(crate) memory: Vec<Grant>,
}

/// Something that was read of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found<E> {
    /// The file.
    pub path: EntryPath,
    /// Who read it.
    pub reader: &'static str,
    /// What it says.
    pub evidence: E,
}

/// A link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Where it stands.
    pub path: EntryPath,
    /// Where it points to.
    pub target: LinkTarget,
    /// Somebody would have read it, had it been a file.
    pub is_wanted: bool,
}

/// Where a link points to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkTarget {
    /// As written: relative to the link's directory, or absolute.
    Symbolic(Box<[u8]>),
    /// Another name of a file of this layer or of one below.
    Hard(EntryPath),
}

/// Collects what a walk finds. Of a path that comes twice, the last one counts.
#[derive(Debug)]
pub struct RecordBuilder<E> {
    evidence: BTreeMap<EntryPath, Vec<Found<E>>>,
    links: BTreeMap<EntryPath, Link>,
    file_gaps: BTreeMap<EntryPath, GapCause>,
    /// Hashes of the paths in the three maps: most paths are in none, and this tells so fast.
    noted: HashSet<u64>,
    link_bytes: u64,
    link_limit: u64,
    whiteouts: Vec<EntryPath>,
    opaque: Vec<EntryPath>,
    files: Vec<u64>,
    /// Hash of each directory, with the number of files that came before it last.
    dirs: HashMap<u64, usize>,
    /// The number of files when a directory last became something else: directories noted before may be gone.
    replaced: usize,
    /// Bytes of the names of whiteouts and opaque directories.
    whiteout_bytes: u64,
    gaps: Gaps,
    last_parent: Option<EntryPath>,
}

impl<E> RecordBuilder<E> {
    /// Nothing yet; links may take `link_limit` bytes.
    #[must_use]
    pub fn new(link_limit: u64) -> Self {
        Self {
            evidence: BTreeMap::new(),
            links: BTreeMap::new(),
            file_gaps: BTreeMap::new(),
            noted: HashSet::new(),
            link_bytes: 0,
            link_limit,
            whiteouts: Vec::new(),
            opaque: Vec::new(),
            files: Vec::new(),
            dirs: HashMap::new(),
            replaced: 0,
            whiteout_bytes: 0,
            gaps: Gaps::default(),
            last_parent: None,
        }
    }

    /// Notes that the entry is there. Evidence and gaps of it are added after this.
    pub fn add_entry(&mut self, entry: &Entry, is_wanted: bool) {
        match &entry.kind {
            Kind::Whiteout => {
                self.whiteout_bytes = self.whiteout_bytes.saturating_add(held_by(&entry.path));
                return self.whiteouts.push(entry.path.clone());
            }
            Kind::Opaque => {
                self.add_parents(&entry.path);
                self.add_dir(path_hash(entry.path.as_bytes()));
                self.whiteout_bytes = self.whiteout_bytes.saturating_add(held_by(&entry.path));
                return self.opaque.push(entry.path.clone());
            }
            _ => {}
        }
        self.add_parents(&entry.path);
        let hash = path_hash(entry.path.as_bytes());
        if self.noted.remove(&hash) {
            self.forget(&entry.path);
        }
        if entry.kind == Kind::Directory {
            return self.add_dir(hash);
        }
        self.files.push(hash);
        if self.dirs.contains_key(&hash) {
            self.forget_below(&entry.path);
            self.last_parent = None;
            self.replaced = self.files.len();
        }
        match &entry.kind {
            Kind::Symlink { target } => {
                self.add_link(&entry.path, LinkTarget::Symbolic(target.clone()), is_wanted);
            }
            Kind::Hardlink { target } => {
                self.add_link(&entry.path, LinkTarget::Hard(target.clone()), is_wanted);
            }
            _ => {}
        }
    }

    /// Adds what was read of the entry that was added last.
    pub fn add_evidence(&mut self, path: &EntryPath, reader: &'static str, evidence: E) {
        self.note(path);
        let found = Found { path: path.clone(), reader, evidence };
        self.evidence.entry(path.clone()).or_default().push(found);
    }

    /// Who has read something of the file at a path so far.
    pub fn readers_of(&self, path: &EntryPath) -> impl Iterator<Item = &'static str> + '_ {
        self.evidence.get(path).into_iter().flatten().map(|found| found.reader)
    }

    /// Adds why the entry that was added last could not be read.
    pub fn add_gap(&mut self, path: &EntryPath, cause: GapCause) {
        /// Gaps of files that are kept apart until the end, since their path may come again.
        const KEPT: usize = 1000;
        if self.file_gaps.len() < KEPT {
            self.note(path);
            self.file_gaps.insert(path.clone(), cause);
        } else {
            self.gaps.push(path.clone(), cause);
        }
    }

    /// Adds what the tree itself could not see.
    pub fn add_tree_gaps(&mut self, gaps: Vec<Gap>) {
        for gap in gaps {
            self.gaps.push(gap.path, gap.cause);
        }
    }

    /// About how many bytes of memory all of it takes, but for the evidence; tables are up to half empty.
    #[must_use]
    pub fn weight(&self) -> u64 {
        let tables = 16 * self.files.len() + 48 * self.dirs.len() + 40 * self.noted.len();
        let names = self.link_bytes.saturating_add(self.whiteout_bytes);
        names.saturating_add(u64::try_from(tables).unwrap_or(u64::MAX))
    }

    /// Sorts everything.
    #[must_use]
    pub fn finish(mut self) -> Record<E> {
        let dirs = &mut self.dirs;
        let files = std::mem::take(&mut self.files).into_iter().enumerate();
        let mut files: Vec<u64> = files
            .filter_map(|(index, hash)| match dirs.get(&hash) {
                Some(&files_before) if index < files_before => None,
                Some(_) => {
                    dirs.remove(&hash);
                    Some(hash)
                }
                None => Some(hash),
            })
            .collect();
        files.sort_unstable();
        files.dedup();
        files.shrink_to_fit();
        let mut dirs: Vec<u64> = self.dirs.into_keys().collect();
        dirs.sort_unstable();
        let mut evidence: Vec<_> = self.evidence.into_values().flatten().collect();
        evidence.sort_by(|a, b| (&a.path, a.reader).cmp(&(&b.path, b.reader)));
        self.whiteouts.sort_unstable();
        self.whiteouts.dedup();
        self.opaque.sort_unstable();
        self.opaque.dedup();
        for (path, cause) in self.file_gaps {
            self.gaps.push(path, cause);
        }
        Record {
            evidence,
            links: self.links.into_values().collect(),
            whiteouts: self.whiteouts,
            opaque: self.opaque,
            files,
            dirs,
            gaps: self.gaps.into_vec(),
            memory: Vec::new(),
        }
    }

    fn add_link(&mut self, path: &EntryPath, target: LinkTarget, is_wanted: bool) {
        let target_bytes = match &target {
            LinkTarget::Symbolic(target) => target.len(),
            LinkTarget::Hard(target) => target.as_bytes().len(),
        };
        // The path is kept twice, as is that of each entry in a map.
        let held = held_by(path).saturating_mul(2);
        let bytes = u64::try_from(target_bytes + size_of::<Link>()).unwrap_or(u64::MAX).saturating_add(held);
        let total = self.link_bytes.saturating_add(bytes);
        if total > self.link_limit {
            let why = format!("its links take more than {} bytes; this one is not followed", self.link_limit);
            return self.gaps.push(path.clone(), GapCause::Limit(why));
        }
        self.link_bytes = total;
        self.note(path);
        self.links.insert(path.clone(), Link { path: path.clone(), target, is_wanted });
    }

    /// A path implies the directories above it; entries mostly come folder by folder, so that is looked at once.
    fn add_parents(&mut self, path: &EntryPath) {
        let Some(parent) = path.parent() else { return };
        if self.last_parent.as_ref().is_some_and(|last| last.as_bytes() == parent) {
            return;
        }
        // Where the nearest is known, so are those above it: paths may be some thousand folders long.
        let known = self.dirs.get(&path_hash(parent));
        if known.is_none_or(|&files_before| files_before < self.replaced) {
            for ancestor in PathHashes::of(path).ancestors {
                self.add_dir(ancestor);
            }
        }
        self.last_parent = EntryPath::new(parent).ok();
    }

    fn add_dir(&mut self, hash: u64) {
        self.dirs.insert(hash, self.files.len());
    }

    fn note(&mut self, path: &EntryPath) {
        self.noted.insert(path_hash(path.as_bytes()));
    }

    /// The path comes again.
    fn forget(&mut self, path: &EntryPath) {
        self.evidence.remove(path);
        self.links.remove(path);
        self.file_gaps.remove(path);
    }

    /// The directory becomes something else; what was in it is gone.
    fn forget_below(&mut self, directory: &EntryPath) {
        remove_below(&mut self.evidence, directory);
        remove_below(&mut self.links, directory);
        remove_below(&mut self.file_gaps, directory);
    }
}

fn remove_below<V>(map: &mut BTreeMap<EntryPath, V>, directory: &EntryPath) {
    // All that begins with the directory's path and a slash, and nothing else: `0` comes after `/`.
    let (first, end) = ([directory.as_bytes(), b"/"].concat(), [directory.as_bytes(), b"0"].concat());
    let range = (Bound::Excluded(&first[..]), Bound::Excluded(&end[..]));
    let below: Vec<EntryPath> = map.range::<[u8], _>(range).map(|(path, _)| path.clone()).collect();
    for path in below {
        map.remove(&path);
    }
}

/// About how many bytes of memory a path of its own takes.
fn held_by(path: &EntryPath) -> u64 {
    /// What an allocation and a place in a map cost.
    const OVERHEAD: usize = 48;
    u64::try_from(path.as_bytes().len() + OVERHEAD).unwrap_or(u64::MAX)
}

impl<E> Record<E> {
    /// The most memory that a file of this tree asked for in vain: with that much the image is worth another try.
    #[must_use]
    pub fn needs_memory(&self) -> Option<u64> {
        let bytes = self.gaps.iter().map(|gap| match gap.cause {
            GapCause::NeedsMemory { bytes } => Some(bytes),
            _ => None,
        });
        bytes.max().flatten()
    }

    /// About how many bytes of memory all of it takes, but for the evidence.
    #[must_use]
    pub fn weight(&self) -> u64 {
        let links = self.links.iter().map(|link| {
            let target = match &link.target {
                LinkTarget::Symbolic(target) => target.len(),
                LinkTarget::Hard(target) => target.as_bytes().len(),
            };
            held_by(&link.path).saturating_add(u64::try_from(target).unwrap_or(u64::MAX))
        });
        let names = self.whiteouts.iter().chain(&self.opaque).map(held_by).chain(links);
        let hashes = u64::try_from(8 * (self.files.len() + self.dirs.len())).unwrap_or(u64::MAX);
        names.fold(hashes, u64::saturating_add)
    }

    /// The link at a path.
    pub(super) fn link(&self, path: &EntryPath) -> Option<&Link> {
        let index = self.links.binary_search_by(|link| link.path.cmp(path)).ok()?;
        self.links.get(index)
    }

    /// All that was read of the file at a path: indices into the evidence.
    pub(super) fn evidence_at(&self, path: &EntryPath) -> std::ops::Range<usize> {
        let start = self.evidence.partition_point(|found| found.path < *path);
        let end = self.evidence.partition_point(|found| found.path <= *path);
        start..end
    }
}

#[cfg(test)]
mod tests;
