//! Folders within folders, deeper than any path reaches.

use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, Mode, OFlags, mkdirat, open, openat, unlinkat};

/// A nest of folders called `d`; taken away from the innermost up, since the standard library would do so by recursion.
pub(crate) struct Nest {
    innermost: OwnedFd,
    depth: u32,
}

impl Nest {
    pub(crate) fn new(root: &Path, depth: u32) -> Self {
        let innermost = open(root, OFlags::PATH, Mode::empty()).expect("opens");
        let mut nest = Self { innermost, depth: 0 };
        while nest.depth < depth {
            mkdirat(&nest.innermost, "d", Mode::RWXU).expect("makes");
            nest.innermost = openat(&nest.innermost, "d", OFlags::PATH, Mode::empty()).expect("opens");
            nest.depth += 1;
        }
        nest
    }
}

impl Drop for Nest {
    fn drop(&mut self) {
        for _ in 0..self.depth {
            let Ok(outer) = openat(&self.innermost, "..", OFlags::PATH, Mode::empty()) else { return };
            let _ = unlinkat(&outer, "d", AtFlags::REMOVEDIR);
            self.innermost = outer;
        }
    }
}
