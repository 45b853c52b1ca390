//! What could not be read, and why: named, never dropped.

use std::io;

use super::path::EntryPath;

/// Most gaps of one walk that are named; the rest is counted.
const NAMED: usize = 100;
/// Most gaps of the tree as a whole that are named beside them.
const NAMED_OF_ROOT: usize = 20;

/// Something in a tree that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Gap {
    /// Where; the root when the whole tree is meant.
    pub path: EntryPath,
    /// Why.
    pub cause: GapCause,
}

/// Why something could not be read, in words for people.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum GapCause {
    /// More memory than there is would make it possible: the image is worth another try, alone.
    #[error("needs {bytes} bytes of memory at once")]
    NeedsMemory {
        /// How much, in bytes.
        bytes: u64,
    },
    /// Larger than files of its kind are.
    #[error("has {size} bytes, more than the {cap} that are read")]
    TooLarge {
        /// Its size in bytes.
        size: u64,
        /// The cap in bytes.
        cap: u64,
    },
    /// Reading failed.
    #[error("cannot be read: {0}")]
    Unreadable(String),
    /// The user that reads may not open it: only a mount has owners that matter.
    #[error("cannot be read: permission denied")]
    Closed,
    /// It is not what its name says.
    #[error("is damaged: {0}")]
    Damaged(String),
    /// A limit on the whole tree was reached; what comes after is unknown.
    #[error("{0}")]
    Limit(String),
    /// A link whose file was not at hand.
    #[error("is a link to {0:?}, which could not be read")]
    LinkTarget(EntryPath),
    /// More of the same in other places.
    #[error("{0} more files or folders could not be read")]
    More(u64),
}

impl From<io::Error> for GapCause {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::PermissionDenied => Self::Closed,
            io::ErrorKind::CrossesDevices => {
                Self::Unreadable("another file system is mounted there".to_owned())
            }
            _ => Self::Unreadable(error.to_string()),
        }
    }
}

/// Gaps of one walk: as many as people read are named, all are counted.
#[derive(Clone, Debug, Default)]
pub struct Gaps {
    named: Vec<Gap>,
    of_root: Vec<Gap>,
    more: u64,
    needs_memory: Option<u64>,
}

impl Gaps {
    /// Adds one.
    pub fn push(&mut self, path: EntryPath, cause: GapCause) {
        if let GapCause::NeedsMemory { bytes } = cause {
            self.needs_memory = self.needs_memory.max(Some(bytes));
        }
        if path.as_bytes().is_empty() && self.of_root.len() < NAMED_OF_ROOT {
            self.of_root.push(Gap { path, cause });
        } else if self.named.len() < NAMED {
            self.named.push(Gap { path, cause });
        } else {
            self.more = self.more.saturating_add(1);
        }
    }

    /// All of them, sorted; those not named as one gap of the whole tree.
    #[must_use]
    pub fn into_vec(self) -> Vec<Gap> {
        let mut gaps = self.named;
        gaps.extend(self.of_root);
        let is_named = |bytes| gaps.iter().any(|gap: &Gap| gap.cause == GapCause::NeedsMemory { bytes });
        if let Some(bytes) = self.needs_memory.filter(|&bytes| !is_named(bytes)) {
            gaps.push(Gap { path: EntryPath::root(), cause: GapCause::NeedsMemory { bytes } });
        }
        if self.more > 0 {
            gaps.push(Gap { path: EntryPath::root(), cause: GapCause::More(self.more) });
        }
        gaps.sort_unstable();
        gaps.dedup();
        gaps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_gaps_is_counted_and_the_need_for_memory_kept() {
        let mut gaps = Gaps::default();
        for index in 0..1000_u64 {
            let path = EntryPath::new(index.to_string().as_bytes()).expect("valid");
            gaps.push(path, GapCause::Closed);
        }
        gaps.push(EntryPath::root(), GapCause::NeedsMemory { bytes: 7 });
        let gaps = gaps.into_vec();
        assert_eq!(gaps.len(), 102);
        assert!(gaps.iter().any(|gap| gap.cause == GapCause::More(900)));
        assert!(gaps.iter().any(|gap| gap.cause == GapCause::NeedsMemory { bytes: 7 }));
    }
}
