//! How much memory this process may use.

use std::path::Path;

/// Taken where no limit can be read: what a scanner pod is given at least.
const UNKNOWN: u64 = 256 << 20;

/// The limit of the control group that this process is in, of either version, in bytes.
pub(super) fn limit() -> u64 {
    // In a container these are the container's own; cgroup(7), kernel documentation "memory.max".
    let files = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
    files.iter().find_map(|file| read(Path::new(file))).unwrap_or(UNKNOWN)
}

fn read(file: &Path) -> Option<u64> {
    let text = std::fs::read_to_string(file).ok()?;
    // "max", and on version 1 a number near 2^63, mean that there is none.
    text.trim().parse().ok().filter(|bytes| *bytes < 1 << 40)
}
