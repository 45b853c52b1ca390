//! Looking a path up in a stack of layers.

use super::super::path::EntryPath;
use super::super::record::{LinkTarget, Record, path_hash};
use super::{LINKS, Squashed};

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
    Directory,
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
        let mut links = 0;
        while let Some(name) = rest.pop() {
            let Ok(next) = real.join(&name) else { return Resolved::Nothing };
            if name == b".." {
                real = next;
                continue;
            }
            match self.standing_at(&next) {
                Standing::Directory => real = next,
                Standing::File(layer) if rest.is_empty() => return Resolved::File { layer, path: next },
                Standing::File(_) | Standing::Nothing => return Resolved::Nothing,
                Standing::Symlink(target) => {
                    links += 1;
                    if links > LINKS || target.len() > 4096 {
                        return Resolved::Nothing;
                    }
                    if target.starts_with(b"/") {
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

    /// What the topmost layer that says anything about a path says.
    fn standing_at(&self, path: &EntryPath) -> Standing<'_> {
        let hashes = PathHashes::of(path);
        for (index, layer) in self.layers.iter().enumerate().rev() {
            let record = &layer.record;
            if contains(&record.files, hashes.own) {
                return match record.link(path).map(|link| &link.target) {
                    Some(LinkTarget::Symbolic(target)) => Standing::Symlink(target),
                    _ => Standing::File(index),
                };
            }
            if contains(&record.dirs, hashes.own) {
                return Standing::Directory;
            }
            if hides(record, path, &hashes) {
                return Standing::Nothing;
            }
        }
        if path.as_bytes().is_empty() { Standing::Directory } else { Standing::Nothing }
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

/// Hashes of a path and of all directories above it.
struct PathHashes {
    own: u64,
    ancestors: Vec<u64>,
}

impl PathHashes {
    fn of(path: &EntryPath) -> Self {
        Self { own: path_hash(path.as_bytes()), ancestors: path.ancestors().map(path_hash).collect() }
    }
}

/// Whether a layer hides what the layers below have at a path, apart from putting something there.
fn hides<E>(record: &Record<E>, path: &EntryPath, hashes: &PathHashes) -> bool {
    if !record.whiteouts.is_empty() {
        let whiteouts = &record.whiteouts;
        let is_removed = |path: &[u8]| whiteouts.binary_search_by(|other| other.as_bytes().cmp(path)).is_ok();
        if is_removed(path.as_bytes()) || path.ancestors().any(is_removed) {
            return true;
        }
    }
    if !record.opaque.is_empty() {
        let opaque = &record.opaque;
        let mut ancestors = path.ancestors();
        if ancestors.any(|path| opaque.binary_search_by(|other| other.as_bytes().cmp(path)).is_ok()) {
            return true;
        }
    }
    hashes.ancestors.iter().any(|&hash| contains(&record.files, hash))
}

fn contains(sorted: &[u64], hash: u64) -> bool {
    sorted.binary_search(&hash).is_ok()
}
