//! Paths as numbers, which is all that is kept of most files.

use sha2::{Digest as _, Sha256};

use super::path::EntryPath;

/// Hash of a path. Cut from SHA-256, since an image's author may look for paths that collide in order to hide a file.
#[must_use]
pub fn path_hash(path: &[u8]) -> u64 {
    cut(&Sha256::digest(path))
}

/// Hashes of a path and of all directories above it, in a time that goes by the path's length and not by its square.
pub(super) struct PathHashes {
    /// Of the path.
    pub(super) own: u64,
    /// Of the directories above it, the root first.
    pub(super) ancestors: Vec<u64>,
}

impl PathHashes {
    pub(super) fn of(path: &EntryPath) -> Self {
        let mut hash = PathHash::root();
        let mut ancestors = Vec::new();
        for name in path.components() {
            ancestors.push(hash.get());
            hash = hash.join(name);
        }
        Self { own: hash.get(), ancestors }
    }
}

/// The hash of a path that can be made longer.
#[derive(Clone)]
pub(super) struct PathHash {
    state: Sha256,
    is_root: bool,
}

impl PathHash {
    pub(super) fn root() -> Self {
        Self { state: Sha256::new(), is_root: true }
    }

    /// That of `name` in this directory.
    pub(super) fn join(&self, name: &[u8]) -> Self {
        let mut state = self.state.clone();
        if !self.is_root {
            state.update(b"/");
        }
        state.update(name);
        Self { state, is_root: false }
    }

    /// As [`path_hash`] of the whole path.
    pub(super) fn get(&self) -> u64 {
        cut(&self.state.clone().finalize())
    }
}

fn cut(hash: &[u8]) -> u64 {
    hash.iter().take(8).fold(0, |sum, &byte| (sum << 8) | u64::from(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_ways_to_hash_a_path_agree() {
        let path = EntryPath::new(b"usr/lib/a").expect("a path");
        let hashes = PathHashes::of(&path);
        assert_eq!(hashes.own, path_hash(b"usr/lib/a"));
        assert_eq!(hashes.ancestors, [path_hash(b""), path_hash(b"usr"), path_hash(b"usr/lib")]);
        assert_eq!(PathHashes::of(&EntryPath::root()).own, path_hash(b""));
        assert_eq!(PathHash::root().join(b"usr").join(b"lib").get(), path_hash(b"usr/lib"));
    }
}
