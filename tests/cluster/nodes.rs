//! The nodes of the cluster, which all tests share: most use them as they are, and one at a time may close one.

use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::environment::kubectl;

static NODES: RwLock<()> = RwLock::new(());

/// While it lives, all nodes take pods.
pub(crate) fn open_nodes() -> RwLockReadGuard<'static, ()> {
    NODES.read().unwrap_or_else(PoisonError::into_inner)
}

/// A node that is cordoned while this lives.
pub(crate) struct Cordoned(&'static str, #[expect(dead_code, reason = "held")] RwLockWriteGuard<'static, ()>);

impl Cordoned {
    pub(crate) fn new(node: &'static str) -> Self {
        let guard = NODES.write().unwrap_or_else(PoisonError::into_inner);
        kubectl(&["cordon", node]);
        Self(node, guard)
    }
}

impl Drop for Cordoned {
    fn drop(&mut self) {
        // The test may be failing already.
        let _ = std::process::Command::new("kubectl").args(["uncordon", self.0]).output();
    }
}
