//! The nodes of the cluster, which all tests share: most use them as they are, and one at a time may close one.

use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use serde_json::json;

use crate::environment::kubectl;
use crate::namespace::{Namespace, PullSecret, on_node, running_pod};

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

/// A node that has no memory to give while this lives.
pub(crate) struct Full {
    namespace: Namespace,
    #[expect(dead_code, reason = "held")]
    guard: RwLockWriteGuard<'static, ()>,
}

impl Full {
    /// A pod with this image asks for all memory that no other pod of the node asks for.
    pub(crate) fn new(node: &'static str, image: &str) -> Self {
        let guard = NODES.write().unwrap_or_else(PoisonError::into_inner);
        let described = kubectl(&["describe", "node", node]);
        let (_, resources) = described.split_once("Allocated resources:").expect("kubectl lists them");
        let asked =
            resources.lines().find_map(|line| line.trim().strip_prefix("memory")).expect("memory is one");
        let asked = bytes(asked.split_whitespace().next().expect("a quantity"));
        let there = bytes(&kubectl(&["get", "node", node, "-o", "jsonpath={.status.allocatable.memory}"]));
        let mut pod = on_node(node, running_pod("full", image));
        let memory = json!({"memory": (there - asked - (32 << 20)).to_string()});
        pod["spec"]["containers"][0]["resources"] = json!({"requests": memory});
        let namespace = Namespace::new("filling", PullSecret::None, vec![pod]);
        namespace.wait_until_ready();
        Self { namespace, guard }
    }
}

impl Drop for Full {
    fn drop(&mut self) {
        // The test may be failing already; the scheduler must count the memory as free before others go on.
        let delete = ["delete", "pod", "full", "-n", &self.namespace.name, "--ignore-not-found"];
        let _ = std::process::Command::new("kubectl").args(delete).output();
    }
}

/// A quantity of memory as the API writes it.
fn bytes(quantity: &str) -> u64 {
    let units = [("Ki", 10), ("Mi", 20), ("Gi", 30)];
    let unit = units.iter().find_map(|(suffix, shift)| Some((quantity.strip_suffix(suffix)?, *shift)));
    let (number, shift) = unit.unwrap_or((quantity, 0));
    number.parse::<u64>().expect("a number") << shift
}
