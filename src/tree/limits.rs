//! Bounds on what one tree may ask of the scanner. A limit reached is a finding about the image.

use std::time::Duration;

/// Bounds of one tree. The defaults leave room over the largest images in use and keep a hostile one from harm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Entries of one layer or directory. The largest images hold about a million.
    pub entries: u64,
    /// Bytes of one layer once inflated.
    pub inflated: u64,
    /// Inflated bytes per byte of the blob, looked at once `ratio_grace` bytes were inflated. gzip cannot exceed 1032, and
    /// images of virtual machines, mostly zeros, come near it; only zstd can go beyond.
    pub ratio: u64,
    /// Inflated bytes below which any ratio is fine.
    pub ratio_grace: u64,
    /// Bytes of one extension header (PAX, GNU long name); Go's `archive/tar` has the same bound.
    pub extended_header: u64,
    /// Extension headers before one entry.
    pub extended_headers: u32,
    /// Pieces of a sparse file.
    pub sparse_extents: usize,
    /// Bytes that are read of the holes of one layer's sparse files, which cost the layer nothing.
    pub holes: u64,
    /// Bytes that are read of the files of one directory; many names of one file cost an image nothing.
    pub content: u64,
    /// Bytes of the paths and targets of all links of one tree.
    pub link_bytes: u64,
    /// Bytes of the paths of folders found and not yet entered.
    pub pending_bytes: u64,
    /// zstd window that is taken without asking the budget.
    pub small_window: u64,
    /// Largest zstd window.
    pub window: u64,
    /// How long a reader waits for memory that others hold.
    pub memory_wait: Duration,
}

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

impl Default for Limits {
    fn default() -> Self {
        Self {
            entries: 5_000_000,
            inflated: 64 * GIB,
            ratio: 1100,
            ratio_grace: GIB,
            extended_header: MIB,
            extended_headers: 16,
            sparse_extents: 65_536,
            holes: GIB,
            content: 16 * GIB,
            link_bytes: 32 * MIB,
            pending_bytes: 32 * MIB,
            small_window: 8 * MIB,
            window: 128 * MIB,
            memory_wait: Duration::from_mins(1),
        }
    }
}
