//! Sparse files: which bytes of a file an archive holds.

use super::pax::decimal;
use crate::tree::Damage;

/// A piece of a file that is in the archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) offset: u64,
    pub(super) length: u64,
}

impl Extent {
    pub(super) fn end(self) -> u64 {
        self.offset.saturating_add(self.length)
    }
}

/// All pieces of a file, in order.
#[derive(Debug, Default)]
pub(super) struct SparseMap {
    size: u64,
    stored: u64,
    extents: Vec<Extent>,
    is_readable: bool,
}

impl SparseMap {
    /// A file without holes.
    pub(super) fn plain(size: u64) -> Self {
        let extents = vec![Extent { offset: 0, length: size }];
        Self { size, stored: size, extents, is_readable: true }
    }

    /// Checks that the pieces stand in order and within the file. More than `limit` make a file that cannot be read,
    /// which does not keep what comes after it from being read.
    pub(super) fn new(size: u64, extents: Vec<Extent>, limit: usize) -> Result<Self, Damage> {
        if extents.len() > limit {
            return Ok(Self { size, stored: 0, extents: Vec::new(), is_readable: false });
        }
        let (mut end, mut stored) = (0_u64, 0_u64);
        for extent in &extents {
            if extent.offset < end {
                return Err(Damage::SparseMap);
            }
            end = extent.offset.checked_add(extent.length).ok_or(Damage::SparseMap)?;
            stored = stored.checked_add(extent.length).ok_or(Damage::SparseMap)?;
        }
        if end > size {
            return Err(Damage::SparseMap);
        }
        Ok(Self { size, stored, extents, is_readable: true })
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }

    pub(super) fn stored(&self) -> u64 {
        self.stored
    }

    pub(super) fn extents(&self) -> &[Extent] {
        &self.extents
    }

    pub(super) fn is_readable(&self) -> bool {
        self.is_readable
    }
}

/// The decimal lines of PAX format 1.0: how many pieces, then offset and length of each.
pub(super) struct MapLines {
    limit: usize,
    number: Vec<u8>,
    announced: Option<u64>,
    numbers: Vec<u64>,
    seen: u64,
}

impl MapLines {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, number: Vec::new(), announced: None, numbers: Vec::new(), seen: 0 }
    }

    /// Whether all announced numbers were read, or more were announced than are read.
    pub(super) fn is_done(&self) -> bool {
        self.announced.is_some_and(|count| self.is_over_limit() || self.seen >= count * 2)
    }

    pub(super) fn feed(&mut self, block: &[u8]) -> Result<(), Damage> {
        for &byte in block {
            if self.is_done() {
                break;
            }
            if byte != b'\n' {
                if self.number.len() > 20 {
                    return Err(Damage::SparseMap);
                }
                self.number.push(byte);
                continue;
            }
            let number = decimal(&self.number).map_err(|_| Damage::SparseMap)?;
            self.number.clear();
            if self.announced.is_none() {
                self.announced = Some(number);
            } else {
                self.numbers.push(number);
                self.seen += 1;
            }
        }
        Ok(())
    }

    pub(super) fn finish(self, size: u64) -> Result<SparseMap, Damage> {
        if self.is_over_limit() {
            return Ok(SparseMap { size, stored: 0, extents: Vec::new(), is_readable: false });
        }
        let pairs = self.numbers.chunks_exact(2);
        let extents = pairs.map(|pair| Extent { offset: pair[0], length: pair[1] }).collect();
        SparseMap::new(size, extents, self.limit)
    }

    fn is_over_limit(&self) -> bool {
        let limit = u64::try_from(self.limit).unwrap_or(u64::MAX);
        self.announced.is_some_and(|count| count > limit)
    }
}
