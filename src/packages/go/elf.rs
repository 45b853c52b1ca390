//! Just enough of ELF to know where a program's data lies. System V ABI, chapters 4 and 5.

use crate::elf::{Fields, Layout};

pub(super) use crate::elf::MAGIC;

/// Bytes of the larger of the two file headers.
pub(super) const HEADER: usize = 64;

const PT_LOAD: u32 = 1;
const PF_W: u32 = 2;
/// Programs have around ten.
const SEGMENTS: u16 = 256;

/// The header of a program or a shared library.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    layout: Layout,
    /// Where the table of segments lies.
    pub(super) table_at: u64,
    /// Its size in bytes.
    pub(super) table_length: usize,
}

/// A part of the file that is loaded into memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    /// Where it lies in the file.
    pub(super) offset: u64,
    /// How many bytes of it are in the file.
    pub(super) length: u64,
    /// Where it lies in memory.
    pub(super) address: u64,
    /// The program may write to it.
    pub(super) is_writable: bool,
}

impl Header {
    /// Reads a file's first bytes. None for what cannot be run: object files, core dumps, and what is no ELF at all.
    pub(super) fn parse(head: &[u8]) -> Option<Self> {
        let fields = Fields::of_file(head)?;
        let layout = fields.layout;
        // ET_EXEC and ET_DYN
        fields.half(16).filter(|kind| matches!(kind, 2 | 3))?;
        let (table_at, size_at, count_at) =
            if layout.is_wide { (fields.address(32)?, 54, 56) } else { (fields.address(28)?, 42, 44) };
        let size = usize::from(fields.half(size_at)?);
        let count = fields.half(count_at).filter(|&count| count <= SEGMENTS)?;
        let is_known_size = size == segment_size(layout);
        is_known_size.then_some(Self { layout, table_at, table_length: size * usize::from(count) })
    }

    /// Reads the table of segments; those that are loaded, in the order of the file.
    pub(super) fn segments(&self, table: &[u8]) -> Vec<Segment> {
        let entries = table.chunks_exact(segment_size(self.layout));
        let mut segments: Vec<Segment> = entries.filter_map(|entry| self.segment(entry)).collect();
        segments.sort_by_key(|segment| segment.offset);
        segments
    }

    fn segment(&self, entry: &[u8]) -> Option<Segment> {
        let fields = Fields { bytes: entry, layout: self.layout };
        fields.word(0).filter(|&kind| kind == PT_LOAD)?;
        let (flags_at, offset_at, address_at, length_at) =
            if self.layout.is_wide { (4, 8, 16, 32) } else { (24, 4, 8, 16) };
        let flags = fields.word(flags_at)?;
        let (offset, length) = (fields.address(offset_at)?, fields.address(length_at)?);
        offset.checked_add(length)?;
        let address = fields.address(address_at)?;
        Some(Segment { offset, length, address, is_writable: flags & PF_W != 0 })
    }
}

impl Segment {
    /// A whole file whose table of segments is not at hand: no address leads into it.
    pub(super) fn of_unknown_address(length: u64) -> Self {
        // Addresses at the very end of memory: they keep the alignment of the file, and no program has any there.
        Self { offset: 0, length, address: 0_u64.wrapping_sub(1 << 48), is_writable: true }
    }

    /// Where the end of it lies in the file.
    pub(super) fn end(&self) -> u64 {
        self.offset.saturating_add(self.length)
    }

    /// Where in the file an address lies.
    pub(super) fn offset_of(&self, address: u64) -> Option<u64> {
        let distance = address.checked_sub(self.address).filter(|&distance| distance < self.length)?;
        self.offset.checked_add(distance)
    }

    /// The address of a byte of the file; it wraps around for segments that cannot be.
    pub(super) fn address_of(&self, offset: u64) -> u64 {
        self.address.wrapping_add(offset.wrapping_sub(self.offset))
    }
}

fn segment_size(layout: Layout) -> usize {
    if layout.is_wide { 56 } else { 32 }
}
