//! Tar as container runtimes read it, from a stream that may be anything.
//!
//! containerd and CRI-O unpack layers with Go's `archive/tar`; what runs is what that reader made of the bytes, so its choices
//! are followed where POSIX and other readers differ: global PAX headers change nothing, links and folders have no data
//! whatever their size says, a GNU long name wins over a PAX path, one block of zeros may only stand at the end.
//! (The `tar` crate keeps extension headers of any size in memory and so cannot be used on a hostile stream.)

mod header;
mod pax;
mod sparse;

use std::io::{self, BufRead, Read};

use header::{BLOCK, Block};
use pax::Pax;
use sparse::{Extent, SparseMap};

use super::limits::Limits;
use super::{Content, Damage};

/// What a member is, before its names are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MemberKind {
    File,
    Hardlink,
    Symlink,
    Directory,
    Other,
}

/// One member: header and extension headers made one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) name: Vec<u8>,
    pub(super) link: Vec<u8>,
    pub(super) kind: MemberKind,
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
}

/// Reads members one after the other.
pub(super) struct TarReader<S> {
    source: S,
    limits: TarLimits,
    /// Bytes taken from the source.
    offset: u64,
    /// Bytes of the current member's data that are still in the source.
    left: u64,
    /// Bytes after them up to the next block.
    padding: u64,
    /// Size of the current member, holes included.
    size: u64,
    /// Position in the current member, holes included.
    position: u64,
    map: SparseMap,
    /// Index of the extent that was read last.
    extent: usize,
    /// Bytes of holes that were read so far.
    holes: u64,
    /// Set once the source cannot go on; every later read fails.
    failure: Option<Damage>,
}

struct TarLimits {
    extended_header: u64,
    extended_headers: u32,
    sparse_extents: usize,
    holes: u64,
}

impl<S: BufRead> TarReader<S> {
    pub(super) fn new(source: S, limits: &Limits) -> Self {
        let limits = TarLimits {
            extended_header: limits.extended_header,
            extended_headers: limits.extended_headers,
            sparse_extents: limits.sparse_extents,
            holes: limits.holes,
        };
        Self {
            source,
            limits,
            offset: 0,
            left: 0,
            padding: 0,
            size: 0,
            position: 0,
            map: SparseMap::default(),
            extent: 0,
            holes: 0,
            failure: None,
        }
    }

    /// Bytes of the tar read so far.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// Whether more was to be read of holes than may be.
    pub(super) fn was_short_of_holes(&self) -> bool {
        self.holes > self.limits.holes
    }

    pub(super) fn into_source(self) -> S {
        self.source
    }

    /// The next member; none at the end. What the last one's reader left is skipped.
    pub(super) fn next_member(&mut self) -> Result<Option<Member>, Damage> {
        let result = self.read_member();
        // A failure inside the member's content is the reason, whatever came of it later.
        match self.failure.take() {
            Some(failure) => Err(failure),
            None => result,
        }
    }

    fn read_member(&mut self) -> Result<Option<Member>, Damage> {
        let mut pax = Pax::default();
        let mut long_name = None;
        let mut long_link = None;
        for _ in 0..=self.limits.extended_headers {
            self.skip_member()?;
            let Some(block) = self.read_header()? else { return Ok(None) };
            match block.type_flag() {
                b'x' => {
                    let records = self.read_extension(&block)?;
                    pax = Pax::parse(&records)?;
                }
                b'g' => {
                    // Read for its damage only: Go hands it out as an entry and runtimes pass over it.
                    Pax::parse(&self.read_extension(&block)?)?;
                }
                b'L' => long_name = Some(header::until_nul(&self.read_extension(&block)?).to_vec()),
                b'K' => long_link = Some(header::until_nul(&self.read_extension(&block)?).to_vec()),
                _ => return self.finish_member(&block, pax, long_name, long_link).map(Some),
            }
        }
        Err(Damage::ExtendedHeaderCount)
    }

    fn finish_member(
        &mut self,
        block: &Block,
        pax: Pax,
        long_name: Option<Vec<u8>>,
        long_link: Option<Vec<u8>>,
    ) -> Result<Member, Damage> {
        let (mode, uid, gid) = (block.mode()?, block.uid()?, block.gid()?);
        let stored = match pax.size {
            Some(size) => size,
            None => block.size()?,
        };
        let sparse = pax.sparse;
        let name = long_name.or(pax.path).unwrap_or_else(|| block.name());
        let link = long_link.or(pax.linkpath).unwrap_or_else(|| block.link().to_vec());
        let kind = match block.type_flag() {
            // Before ustar a folder was a file whose name ends so.
            0 if name.ends_with(b"/") => MemberKind::Directory,
            b'0' | 0 | b'7' | b'S' => MemberKind::File,
            b'1' => MemberKind::Hardlink,
            b'2' => MemberKind::Symlink,
            b'5' => MemberKind::Directory,
            _ => MemberKind::Other,
        };
        let is_header_only = matches!(block.type_flag(), b'1'..=b'6') || kind == MemberKind::Directory;
        let has_data = !is_header_only;
        self.begin_data(if has_data { stored } else { 0 });
        let mut name = name;
        if block.type_flag() == b'S' && has_data {
            let map = self.read_old_sparse_map(block)?;
            self.begin_sparse(map)?;
        } else if let Some(sparse) = sparse.filter(|_| kind == MemberKind::File) {
            if let Some(real) = sparse.name {
                name = real;
            }
            let size = sparse.size.unwrap_or(stored);
            let map = match sparse.map {
                Some(map) => SparseMap::new(size, map, self.limits.sparse_extents)?,
                None => self.read_sparse_map(size)?,
            };
            self.begin_sparse(map)?;
        }
        Ok(Member { name, link, kind, mode, uid, gid })
    }

    fn begin_data(&mut self, stored: u64) {
        self.left = stored;
        self.padding = stored.wrapping_neg() % BLOCK_BYTES;
        self.size = stored;
        self.position = 0;
        self.extent = 0;
        self.map = SparseMap::plain(stored);
    }

    fn begin_sparse(&mut self, map: SparseMap) -> Result<(), Damage> {
        if map.is_readable() && map.stored() > self.left {
            return Err(Damage::SparseMap);
        }
        self.size = map.size();
        self.map = map;
        Ok(())
    }

    /// The next header; none at the end of the archive.
    fn read_header(&mut self) -> Result<Option<Block>, Damage> {
        let Some(block) = self.read_block()? else { return Ok(None) };
        if !block.is_zero() {
            block.check()?;
            return Ok(Some(block));
        }
        match self.read_block()? {
            Some(block) if !block.is_zero() => Err(Damage::EndMark),
            _ => Ok(None),
        }
    }

    /// One block; none at the end of the source.
    fn read_block(&mut self) -> Result<Option<Block>, Damage> {
        let mut block = [0; BLOCK];
        match self.read_full(&mut block)? {
            0 => Ok(None),
            BLOCK => Ok(Some(Block(block))),
            _ => Err(Damage::Truncated),
        }
    }

    fn read_extension(&mut self, block: &Block) -> Result<Vec<u8>, Damage> {
        let size = block.size()?;
        self.begin_data(size);
        if size > self.limits.extended_header {
            return Err(Damage::ExtendedHeaderSize(size));
        }
        let mut bytes = Vec::new();
        while self.left > 0 {
            let mut chunk = [0; BLOCK];
            let wanted = usize::try_from(self.left).unwrap_or(BLOCK).min(BLOCK);
            let count = self.read_full(&mut chunk[..wanted])?;
            if count < wanted {
                return Err(Damage::Truncated);
            }
            self.left -= u64_of(count);
            bytes.extend_from_slice(&chunk[..count]);
        }
        Ok(bytes)
    }

    /// GNU format: the map starts in the header and goes on in blocks between header and data.
    fn read_old_sparse_map(&mut self, block: &Block) -> Result<SparseMap, Damage> {
        let mut extents = Vec::new();
        let (mut goes_on, size) = block.old_sparse(&mut extents)?;
        while goes_on {
            let Some(next) = self.read_block()? else { return Err(Damage::Truncated) };
            goes_on = next.old_sparse_extension(&mut extents)?;
            // One more than allowed is enough to know; the blocks are still read, since the data comes after them.
            extents.truncate(self.limits.sparse_extents + 1);
        }
        SparseMap::new(size, extents, self.limits.sparse_extents)
    }

    /// PAX format 1.0: the map stands in front of the data, as decimal lines, filled up to a whole block.
    fn read_sparse_map(&mut self, size: u64) -> Result<SparseMap, Damage> {
        let mut lines = sparse::MapLines::new(self.limits.sparse_extents);
        while !lines.is_done() {
            if self.left < BLOCK_BYTES {
                return Err(Damage::SparseMap);
            }
            let Some(block) = self.read_block()? else { return Err(Damage::Truncated) };
            self.left -= BLOCK_BYTES;
            lines.feed(&block.0)?;
        }
        lines.finish(size)
    }

    fn skip_member(&mut self) -> Result<(), Damage> {
        let rest = self.left.checked_add(self.padding).ok_or(Damage::Number("size"))?;
        self.skip_bytes(rest)?;
        (self.left, self.padding) = (0, 0);
        Ok(())
    }

    fn skip_bytes(&mut self, mut count: u64) -> Result<(), Damage> {
        while count > 0 {
            let available = self.fill()?.len();
            if available == 0 {
                return Err(Damage::Truncated);
            }
            let step = usize::try_from(count).unwrap_or(usize::MAX).min(available);
            self.consume(step);
            count -= u64_of(step);
        }
        Ok(())
    }

    /// Fills the buffer as far as the source goes.
    fn read_full(&mut self, buf: &mut [u8]) -> Result<usize, Damage> {
        let mut filled = 0;
        while filled < buf.len() {
            let available = self.fill()?;
            if available.is_empty() {
                break;
            }
            let count = available.len().min(buf.len() - filled);
            buf[filled..filled + count].copy_from_slice(&available[..count]);
            self.consume(count);
            filled += count;
        }
        Ok(filled)
    }

    fn fill(&mut self) -> Result<&[u8], Damage> {
        if self.failure.is_some() {
            return Err(Damage::Truncated);
        }
        loop {
            match self.source.fill_buf() {
                Ok(_) => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Damage::Compression(error)),
            }
        }
        // What is buffered is handed out again without asking the source, so this cannot fail.
        self.source.fill_buf().map_err(Damage::Compression)
    }

    fn consume(&mut self, count: usize) {
        self.source.consume(count);
        self.offset = self.offset.saturating_add(u64_of(count));
    }

    /// Keeps the reason for [`Self::next_member`] and tells the content's reader.
    fn fail(&mut self, damage: Damage) -> io::Error {
        let error = io::Error::new(io::ErrorKind::InvalidData, damage.to_string());
        self.failure.get_or_insert(damage);
        error
    }

    /// The extent that holds the current position, or the next one after it.
    fn current_extent(&mut self) -> Option<Extent> {
        let extents = self.map.extents();
        while extents.get(self.extent).is_some_and(|extent| extent.end() <= self.position) {
            self.extent += 1;
        }
        extents.get(self.extent).copied()
    }

    /// How far the position is from the next change between data and hole, and whether there is data.
    fn run(&mut self) -> (u64, bool) {
        let (position, size) = (self.position, self.size);
        match self.current_extent() {
            Some(extent) if extent.offset <= position => (extent.end().min(size) - position, true),
            Some(extent) => (extent.offset.min(size) - position, false),
            None => (size - position, false),
        }
    }
}

/// The content of the current member.
impl<S: BufRead> Content for TarReader<S> {
    fn size(&self) -> u64 {
        self.size
    }

    fn skip_to(&mut self, at: u64) -> io::Result<()> {
        if at < self.position {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a stream cannot go back"));
        }
        let at = at.min(self.size);
        while self.position < at {
            let (run, is_data) = self.run();
            let step = run.min(at - self.position);
            if is_data {
                self.skip_bytes(step).map_err(|damage| self.fail(damage))?;
                self.left -= step;
            }
            self.position += step;
        }
        Ok(())
    }
}

impl<S: BufRead> Read for TarReader<S> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.position >= self.size || buf.is_empty() {
            return Ok(0);
        }
        if !self.map.is_readable() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the file has too many holes"));
        }
        let (run, is_data) = self.run();
        let wanted = usize::try_from(run).unwrap_or(usize::MAX).min(buf.len());
        let buf = &mut buf[..wanted];
        let count = if is_data {
            let available = match self.fill() {
                Ok(available) => available,
                Err(damage) => return Err(self.fail(damage)),
            };
            let count = available.len().min(buf.len());
            buf[..count].copy_from_slice(&available[..count]);
            if count == 0 {
                return Err(self.fail(Damage::Truncated));
            }
            self.consume(count);
            self.left -= u64_of(count);
            count
        } else {
            self.holes = self.holes.saturating_add(u64_of(buf.len()));
            if self.holes > self.limits.holes {
                let why = "as much as may be was read of the holes of other files";
                return Err(io::Error::new(io::ErrorKind::InvalidData, why));
            }
            buf.fill(0);
            buf.len()
        };
        self.position += u64_of(count);
        Ok(count)
    }
}

const BLOCK_BYTES: u64 = BLOCK as u64;

fn u64_of(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
