//! Reads one file of rpm.

use std::io::Read as _;

use super::super::Evidence;
use super::super::installed::PACKAGES;
use super::super::lines::Cursor;
use super::super::ownership::PathSetBuilder;
use super::header::{self, Installed, Visit};
use super::sqlite::{Database, Value};
use super::{MANIFEST, RpmDatabase, RpmFormat, RpmUnread, berkeley, log, manifest, ndb};
use crate::tree::{Entry, GapCause, ReadAt, Source};

/// Reads a file that [`super::CATALOGER`] wants.
pub(super) fn read(entry: &Entry, source: Source<'_>) -> Result<Evidence, GapCause> {
    if entry.path.as_bytes() == MANIFEST {
        return manifest::read(source).map(Evidence::Rpm);
    }
    match (entry.path.name(), source) {
        (b"rpmdb.sqlite-wal", source) => {
            let holds_changes = match source {
                Source::Forward(content) => log::holds_changes(content),
                Source::Random(file) => log::holds_changes(&mut Cursor::new(file)),
            };
            Ok(if holds_changes? { Evidence::RpmUnread(RpmUnread::Log) } else { Evidence::Nothing })
        }
        (b"rpmdb.sqlite-journal", source) => {
            // It is void when its first bytes were zeroed.
            let is_void = beginning(source)?.iter().all(|&byte| byte == 0);
            Ok(if is_void { Evidence::Nothing } else { Evidence::RpmUnread(RpmUnread::Journal) })
        }
        (_, Source::Forward(_)) => Err(GapCause::Unreadable("a database is not read front to back".to_owned())),
        (b"rpmdb.sqlite", Source::Random(file)) => read_sqlite(file).map(Evidence::Rpm),
        // As a script may have left it that made an empty file.
        (_, Source::Random(file)) if file.size() == 0 => Ok(Evidence::Nothing),
        (b"Packages.db", Source::Random(file)) => {
            read_headers(RpmFormat::Ndb, |visit| ndb::headers(file, visit)).map(Evidence::Rpm)
        }
        (_, Source::Random(file)) => {
            read_headers(RpmFormat::BerkeleyDb, |visit| berkeley::headers(file, visit)).map(Evidence::Rpm)
        }
    }
}

fn read_sqlite(file: &dyn ReadAt) -> Result<RpmDatabase, GapCause> {
    let mut database = Database::open(file)?;
    read_headers(RpmFormat::Sqlite, |visit| {
        // hnum, blob: the number stands for the row itself and is not stored.
        database.rows("Packages", &mut |row| match row {
            [_, Value::Bytes(blob), ..] => visit(Some(blob)),
            _ => visit(None),
        })
    })
}

fn read_headers(
    format: RpmFormat,
    walk: impl FnOnce(&mut Visit<'_>) -> Result<(), GapCause>,
) -> Result<RpmDatabase, GapCause> {
    let mut database = RpmDatabase { format, ..RpmDatabase::default() };
    let mut paths = PathSetBuilder::default();
    walk(&mut |blob| {
        let installed = blob.map_or(Ok(Installed::Damaged), |blob| header::parse(blob, &mut paths));
        match installed.map_err(|error| GapCause::Limit(error.to_string()))? {
            Installed::Package(package) => database.packages.push(*package),
            Installed::Key => {}
            Installed::Damaged => database.damaged = database.damaged.saturating_add(1),
        }
        if database.packages.len() > PACKAGES {
            return Err(GapCause::Limit(format!("holds more than {PACKAGES} packages")));
        }
        Ok(())
    })?;
    Ok(database)
}

/// The first bytes, as many as say what a journal is.
fn beginning(source: Source<'_>) -> Result<Vec<u8>, GapCause> {
    let mut bytes = Vec::new();
    let read = match source {
        Source::Forward(content) => content.take(8).read_to_end(&mut bytes),
        Source::Random(file) => Cursor::new(file).take(8).read_to_end(&mut bytes),
    };
    read?;
    Ok(bytes)
}

#[cfg(test)]
mod tests;
