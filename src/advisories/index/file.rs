//! Any index file, whatever it holds.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use super::super::table::{Storage, Table, TableError};
use super::header::{Header, Holds};
use super::overlay::OverlayIndex;
use super::partition::Partition;

/// Any index file.
#[derive(Debug)]
pub enum IndexFile {
    /// Advisories of an ecosystem.
    Advisories(Partition),
    /// An overlay.
    Overlay(OverlayIndex),
}

impl IndexFile {
    /// Opens a file; reads its directory alone.
    ///
    /// # Errors
    /// It cannot be read, or is no index.
    pub fn open(path: &Path) -> Result<Self, TableError> {
        let file = File::open(path).map_err(TableError::Read)?;
        let table = Table::open(Storage::File(Arc::new(file)))?;
        match Header::decode(table.about()).map(|header| header.holds) {
            Some(Holds::Advisories(_)) => Partition::of(table).map(Self::Advisories),
            Some(Holds::Overlay(_)) => OverlayIndex::of(table).map(Self::Overlay),
            None => Err(TableError::Damaged("it does not say what it holds")),
        }
    }

    /// What the file says about itself.
    #[must_use]
    pub fn header(&self) -> &Header {
        match self {
            Self::Advisories(partition) => partition.header(),
            Self::Overlay(overlay) => overlay.header(),
        }
    }

    /// Reads all of it once.
    ///
    /// # Errors
    /// Something in it is not as it was written.
    pub fn verify(&self) -> Result<(), TableError> {
        match self {
            Self::Advisories(partition) => partition.verify(),
            Self::Overlay(overlay) => overlay.verify(),
        }
    }
}
