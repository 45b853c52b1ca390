//! Looking a path up in a stack of layers.

use super::super::hash::{PathHash, PathHashes, path_hash};
use super::super::path::EntryPath;
use super::super::record::{LinkTarget, Record};
use super::{LINKS, LOOKUPS, Squashed};

/// Where a path leads once all links are followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolved {
    /// To a file, or to something else that is no directory.
    File {
        /// Index of the layer that brought it.
        layer: usize,
        /// Its path without links.
        path: EntryPath,
    },
    /// To a directory.
    Directory {
        /// Its path without links.
        path: EntryPath,
    },
    /// Nowhere, or through more links than anybody follows.
    Nothing,
}

/// What stands at a literal path.
enum Standing<'a> {
    /// A directory, with the lowest layer that may add to it.
    Directory(usize),
    File(usize),
    Symlink(&'a [u8]),
    Nothing,
}

impl<E> Squashed<E> {
    /// Follows all links of a path, the last one too.
    #[must_use]
    pub fn resolve(&self, path: &EntryPath) -> Resolved {
        let mut rest: Vec<Vec<u8>> = path.components().map(<[u8]>::to_vec).collect();
        rest.reverse();
        let mut real = EntryPath::root();
        // The directories down to `real`, the root left out: the hash of each, and the lowest layer that may add to it.
        let mut above: Vec<(PathHash, usize)> = Vec::new();
        let mut links = 0;
        while let Some(name) = rest.pop() {
            let Ok(next) = real.join(&name) else { return Resolved::Nothing };
            if name == b".." {
                above.pop();
                real = next;
                continue;
            }
            let (hash, floor) = match above.last() {
                Some((hash, floor)) => (hash.join(&name), *floor),
                None => (PathHash::root().join(&name), 0),
            };
            match self.standing_at(&next, hash.get(), floor) {
                Standing::Directory(floor) => {
                    above.push((hash, floor));
                    real = next;
                }
                Standing::File(layer) if rest.is_empty() => return Resolved::File { layer, path: next },
                Standing::File(_) | Standing::Nothing => return Resolved::Nothing,
                Standing::Symlink(target) => {
                    links += 1;
                    if links > LINKS || target.len() > 4096 {
                        return Resolved::Nothing;
                    }
                    if target.starts_with(b"/") {
                        above.clear();
                        real = EntryPath::root();
                    }
                    // `..` is kept: it means the parent of where the link's own path really is.
                    let names = target.split(|&byte| byte == b'/').filter(|name| !matches!(*name, b"" | b"."));
                    rest.extend(names.rev().map(<[u8]>::to_vec));
                }
            }
        }
        Resolved::Directory { path: real }
    }

    /// What stands at a path whose directory no layer below `floor` adds to.
    fn standing_at(&self, path: &EntryPath, hash: u64, floor: usize) -> Standing<'_> {
        let has_removed = |record: &Record<E>| has(&record.whiteouts, path.as_bytes());
        for (index, layer) in self.layers.iter().enumerate().skip(floor).rev() {
            if !self.may_look_up() {
                break;
            }
            let record = &layer.record;
            if contains(&record.files, hash) {
                return match record.link(path).map(|link| &link.target) {
                    Some(LinkTarget::Symbolic(target)) => Standing::Symlink(target),
                    _ => Standing::File(index),
                };
            }
            if contains(&record.dirs, hash) {
                let hides = |record: &Record<E>| {
                    has(&record.opaque, path.as_bytes()) || has_removed(record) || contains(&record.files, hash)
                };
                let hiding = (floor..=index).rev().find(|&index| hides(&self.layers[index].record));
                return Standing::Directory(hiding.unwrap_or(floor));
            }
            if has_removed(record) {
                break;
            }
        }
        Standing::Nothing
    }

    /// Counts what is looked up for links: some lead through thousands of folders, again and again.
    fn may_look_up(&self) -> bool {
        let lookups = self.lookups.get() + 1;
        self.lookups.set(lookups.min(LOOKUPS + 1));
        lookups <= LOOKUPS
    }

    /// Whether a layer above `layer` takes the path away or puts something else there.
    pub(super) fn is_hidden(&self, layer: usize, path: &EntryPath) -> bool {
        let above = self.layers.get(layer + 1..).unwrap_or_default();
        if above.is_empty() {
            return false;
        }
        let hashes = PathHashes::of(path);
        above.iter().any(|layer| {
            let record = &layer.record;
            contains(&record.files, hashes.own)
                || contains(&record.dirs, hashes.own)
                || hides(record, path, &hashes)
        })
    }

    /// The layer and path under which the bytes of a file stand, through hard links.
    pub(super) fn content_of(&self, layer: usize, path: &EntryPath) -> Option<(usize, EntryPath)> {
        let (mut layer, mut path) = (layer, path.clone());
        for _ in 0..LINKS {
            let Some(link) = self.layers[layer].record.link(&path) else { return Some((layer, path)) };
            let LinkTarget::Hard(target) = &link.target else { return None };
            let hash = path_hash(target.as_bytes());
            // The other name is in the same layer, or the topmost of those below that has it.
            layer = (0..=layer).rev().find(|&index| contains(&self.layers[index].record.files, hash))?;
            path = target.clone();
        }
        None
    }
}

/// Whether a layer hides what the layers below have at a path, apart from putting something there.
fn hides<E>(record: &Record<E>, path: &EntryPath, hashes: &PathHashes) -> bool {
    let is_removed = |path: &[u8]| has(&record.whiteouts, path);
    if is_removed(path.as_bytes()) || path.ancestors().any(is_removed) {
        return true;
    }
    if path.ancestors().any(|path| has(&record.opaque, path)) {
        return true;
    }
    hashes.ancestors.iter().any(|&hash| contains(&record.files, hash))
}

fn has(sorted: &[EntryPath], path: &[u8]) -> bool {
    sorted.binary_search_by(|other| other.as_bytes().cmp(path)).is_ok()
}

fn contains(sorted: &[u64], hash: u64) -> bool {
    sorted.binary_search(&hash).is_ok()
}
