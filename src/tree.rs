//! Trees of files: one layer of an image as it streams by, or a directory (a mounted image).
//!
//! Both are walked through the same [`Tree`], so that what is looked for in them is written once. What a walk found
//! is kept as a [`Record`]; the records of an image's layers are laid over each other by [`squash()`].
//! Nothing here knows what a package is.

pub mod budget;
pub mod directory;
pub mod gap;
pub mod hash;
pub mod layer;
pub mod limits;
pub mod path;
pub mod record;
pub mod squash;

mod inflate;
mod input;
mod tar;
mod zstd_frames;

use std::io::{self, Read};

pub use budget::{Budget, Grant};
pub use directory::Directory;
pub use gap::{Gap, GapCause};
pub use layer::Layer;
pub use limits::Limits;
pub use path::EntryPath;
pub use record::Record;
pub use squash::{Squashed, squash};

/// The bytes of one file, front to back.
pub trait Content: Read {
    /// Size in bytes, holes included.
    fn size(&self) -> u64;

    /// Goes forward to byte `at`, or to the end if that comes first.
    ///
    /// # Errors
    /// `at` lies behind the current position, or the bytes in between cannot be read.
    fn skip_to(&mut self, at: u64) -> io::Result<()>;

    /// The same file for reading at any place, where the tree can do so without keeping it in memory.
    fn random(&mut self) -> io::Result<Option<&dyn ReadAt>> {
        Ok(None)
    }
}

/// The bytes of one file, at any place.
pub trait ReadAt {
    /// Size in bytes, holes included.
    fn size(&self) -> u64;

    /// Reads at byte `at`; fewer bytes than asked for are no error, none means the end.
    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize>;
}

impl ReadAt for [u8] {
    fn size(&self) -> u64 {
        u64::try_from(self.len()).unwrap_or(u64::MAX)
    }

    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize> {
        let rest = usize::try_from(at).ok().and_then(|at| self.get(at..)).unwrap_or_default();
        let count = rest.len().min(buf.len());
        buf[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }
}

/// What stands at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link; the target is as written, not normalised.
    Symlink {
        /// Relative to the link's directory, or absolute from the image's root.
        target: Box<[u8]>,
    },
    /// Another name of a file of this layer or of one below. Directories have none: there each name is a file.
    Hardlink {
        /// The other name.
        target: EntryPath,
    },
    /// A device, fifo or socket. Never opened.
    Other,
    /// The layer removes this path of the layers below. OCI image-spec, "Whiteouts".
    Whiteout,
    /// The layer hides what the layers below have in this directory. OCI image-spec, "Opaque Whiteout".
    Opaque,
}

/// One entry of a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where it stands; of a whiteout, the path that it removes.
    pub path: EntryPath,
    /// What it is.
    pub kind: Kind,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// Whether a walk goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// To the next entry.
    Continue,
    /// No further.
    Stop,
}

/// Called with each entry and its content, which is empty for all but files.
pub type Visit<'a> = dyn FnMut(&Entry, &mut dyn Content) -> Step + 'a;

/// A tree of files that can be walked.
pub trait Tree {
    /// Visits each entry once (a layer: as often as it is written), in no particular order.
    ///
    /// # Errors
    /// The tree is damaged or could not be read on. What a limit left out is no error but a gap.
    fn walk(&mut self, visit: &mut Visit<'_>) -> Result<(), ReadError>;

    /// What the walk could not see.
    fn take_gaps(&mut self) -> Vec<Gap>;
}

/// How a file is handed to whoever reads it.
pub enum Source<'a> {
    /// Front to back.
    Forward(&'a mut dyn Content),
    /// At any place: a file of a mount, or one held in memory.
    Random(&'a dyn ReadAt),
}

/// Why a tree could not be read to its end.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The bytes did not arrive: the network, a file, or the check of the blob's digest.
    #[error("cannot read the layer after {at} bytes")]
    Input {
        /// Bytes of the blob that did arrive.
        at: u64,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The bytes arrived and make no layer.
    #[error("the layer is damaged at byte {offset} of its tar")]
    Damaged {
        /// Offset into the uncompressed layer.
        offset: u64,
        /// How.
        #[source]
        source: Damage,
    },
    /// A stream can be walked once only.
    #[error("the layer was read before")]
    AlreadyRead,
    /// The directory itself cannot be opened.
    #[error("cannot open directory {path:?}")]
    Directory {
        /// Which.
        path: std::path::PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// What is wrong with a layer.
#[derive(Debug, thiserror::Error)]
pub enum Damage {
    /// gzip or zstd cannot go on.
    #[error("its compressed data cannot be decoded")]
    Compression(#[source] io::Error),
    /// It ends within an entry.
    #[error("it ends in the middle of an entry")]
    Truncated,
    /// A tar header does not add up.
    #[error("the checksum of a header is wrong")]
    Checksum,
    /// A number of a header is none, or negative.
    #[error("the {0} of a header is not a number")]
    Number(&'static str),
    /// Data follows a single block of zeros; the end is marked by two.
    #[error("an entry follows the mark of the end")]
    EndMark,
    /// A PAX header is not made of `length key=value` lines.
    #[error("an extended header is malformed")]
    ExtendedHeader,
    /// An extension header is larger than anybody writes.
    #[error("an extended header has {0} bytes")]
    ExtendedHeaderSize(u64),
    /// Extension headers follow each other with no entry.
    #[error("too many extended headers before one entry")]
    ExtendedHeaderCount,
    /// The holes of a sparse file overlap or exceed it.
    #[error("the map of a sparse file is malformed")]
    SparseMap,
}
