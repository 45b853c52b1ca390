//! The index of an overlay.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::super::overlays::{Kind, Overlay};
use super::super::table::{Compression, Storage, Table, TableError, TableWriter};
use super::header::{Header, Holds};

const ENTRIES: usize = 0;
/// What is read at once when something is looked up.
const BLOCK: usize = 4 << 10;

/// The index of an overlay. Clones are the same.
#[derive(Clone, Debug)]
pub struct OverlayIndex {
    kind: Kind,
    header: Header,
    table: Arc<Table>,
    is_damaged: Arc<AtomicBool>,
}

impl OverlayIndex {
    /// Opens a file; reads its directory alone.
    ///
    /// # Errors
    /// It cannot be read, or is no such index.
    pub fn open(path: &Path) -> Result<Self, TableError> {
        let file = File::open(path).map_err(TableError::Read)?;
        Self::of(Table::open(Storage::File(Arc::new(file)))?)
    }

    pub(super) fn of(table: Table) -> Result<Self, TableError> {
        let header = Header::decode(table.about());
        let header = header.ok_or(TableError::Damaged("it does not say what it holds"))?;
        let Holds::Overlay(kind) = header.holds else {
            return Err(TableError::Damaged("it holds no overlay"));
        };
        Ok(Self { kind, header, table: Arc::new(table), is_damaged: Arc::default() })
    }

    /// Which overlay it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What the file says about itself.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Whether anything that was looked up could not be read.
    #[must_use]
    pub fn is_damaged(&self) -> bool {
        self.is_damaged.load(Ordering::Relaxed)
    }

    pub(super) fn verify(&self) -> Result<(), TableError> {
        self.table.verify()
    }
}

impl Overlay for OverlayIndex {
    fn get(&self, key: &str) -> Option<Vec<u8>> {
        if let Ok(value) = self.table.get(ENTRIES, key.as_bytes()) {
            value.map(|value| value.to_vec())
        } else {
            self.is_damaged.store(true, Ordering::Relaxed);
            None
        }
    }
}

/// Writes the index of an overlay.
pub(in crate::advisories) fn write<W: Write>(
    kind: Kind,
    newest: Option<String>,
    entries: impl Iterator<Item = (String, Vec<u8>)>,
    out: W,
) -> io::Result<W> {
    let mut writer = TableWriter::new(out);
    writer.section(Compression::None, BLOCK)?;
    let mut keys = 0;
    for (key, value) in entries {
        writer.push(key.as_bytes(), &value)?;
        keys += 1;
    }
    writer.finish(&Header { holds: Holds::Overlay(kind), records: keys, keys, newest }.encode())
}
