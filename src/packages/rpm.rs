//! rpm: its database in SQLite, and the list that distroless images of Azure Linux have in its place.
//!
//! rpm before 4.16 keeps its database in Berkeley DB (`Packages`), SUSE in a format of its own (`Packages.db`, "NDB"). Those are
//! not read; they are named as gaps, unless they are what an upgrade left beside a newer database. The database in SQLite is
//! read as of its last checkpoint; a write-ahead log that was left beside it with something in it is a gap too.

mod header;
mod log;
mod manifest;
mod pages;
mod sqlite;

use std::io::Read as _;

use serde::{Deserialize, Serialize};

use super::installed::PACKAGES;
use super::lines::Cursor;
use super::ownership::{PathSet, PathSetBuilder};
use super::{Assembly, Cataloger, Evidence, Squashed, Want};
use crate::package::{Package, PackageType, SourcePackage};
use crate::sbom::Gap;
use crate::tree::squash::Sighting;
use crate::tree::{Entry, GapCause, Source};
use header::Installed;
use sqlite::{Database, Value};

/// Directories of the database: the old place, the new one, and that of images that are updated as a whole.
const DIRECTORIES: [&[u8]; 3] = [b"var/lib/rpm", b"usr/lib/sysimage/rpm", b"usr/share/rpm"];
/// Lists of packages in images without rpm.
const MANIFEST: &[u8] = b"var/lib/rpmmanifest/container-manifest-2";
/// Largest database that is read. The largest in use, with some thousand packages, have about 300 MB.
const CAP: u64 = 1 << 30;
/// Largest list that is read.
const MANIFEST_CAP: u64 = 32 << 20;

/// Reads databases of rpm.
pub(super) const CATALOGER: Cataloger = Cataloger {
    id: "rpm",
    version: 2,
    sniffs: false,
    fixed: &[
        "var/lib/rpm/rpmdb.sqlite",
        "var/lib/rpm/rpmdb.sqlite-wal",
        "var/lib/rpm/rpmdb.sqlite-journal",
        "var/lib/rpm/Packages",
        "var/lib/rpm/Packages.db",
        "usr/lib/sysimage/rpm/rpmdb.sqlite",
        "usr/lib/sysimage/rpm/Packages.db",
        "usr/share/rpm/rpmdb.sqlite",
        "var/lib/rpmmanifest/container-manifest-2",
    ],
    wants,
    read,
    assemble,
};

/// What a database of rpm says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RpmDatabase {
    /// Installed packages, in the order of the database.
    pub packages: Vec<RpmPackage>,
    /// Number of entries that cannot be understood.
    pub damaged: u32,
}

/// One installed package in rpm's own words.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RpmPackage {
    /// Its name.
    pub name: String,
    /// Its epoch, where it has one.
    pub epoch: Option<u32>,
    /// Its version.
    pub version: String,
    /// Its release.
    pub release: String,
    /// Its architecture.
    pub architecture: Option<String>,
    /// Its licence.
    pub license: Option<String>,
    /// Who made it.
    pub vendor: Option<String>,
    /// File name of the source package.
    pub source_rpm: Option<String>,
    /// `NAME:STREAM:VERSION:CONTEXT` of the module that it was built for.
    pub modularity: Option<String>,
    /// Its files.
    pub files: PathSet,
}

/// A file of rpm that is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RpmUnread {
    /// A database in Berkeley DB.
    BerkeleyDb,
    /// A database in SUSE's format.
    Ndb,
    /// A write-ahead log with changes that are not in the database beside it yet.
    Log,
    /// A rollback journal with what is to be put back into the database beside it.
    Journal,
}

fn wants(entry: &Entry, _: &[u8]) -> Option<Want> {
    let path = entry.path.as_bytes();
    if path == MANIFEST {
        return Some(Want::Forward { cap: MANIFEST_CAP });
    }
    entry.path.parent().filter(|parent| DIRECTORIES.contains(parent))?;
    match entry.path.name() {
        b"rpmdb.sqlite" => Some(Want::Random { cap: CAP }),
        b"rpmdb.sqlite-wal" => Some(Want::Forward { cap: CAP }),
        // Of these only the first bytes are looked at.
        b"rpmdb.sqlite-journal" | b"Packages" | b"Packages.db" => Some(Want::Forward { cap: u64::MAX }),
        _ => None,
    }
}

fn read(entry: &Entry, source: Source<'_>) -> Result<Evidence, GapCause> {
    if entry.path.as_bytes() == MANIFEST {
        return manifest::read(source).map(Evidence::Rpm);
    }
    match (entry.path.name(), source) {
        (b"rpmdb.sqlite", Source::Random(file)) => read_database(&mut Database::open(file)?).map(Evidence::Rpm),
        (b"rpmdb.sqlite", Source::Forward(_)) => {
            Err(GapCause::Unreadable("a database is not read front to back".to_owned()))
        }
        (b"rpmdb.sqlite-wal", source) => {
            let holds_changes = match source {
                Source::Forward(content) => log::holds_changes(content),
                Source::Random(file) => log::holds_changes(&mut Cursor::new(file)),
            };
            Ok(if holds_changes? { Evidence::RpmUnread(RpmUnread::Log) } else { Evidence::Nothing })
        }
        (name, source) => Ok(unread(name, &beginning(source)?).map_or(Evidence::Nothing, Evidence::RpmUnread)),
    }
}

fn read_database(file: &mut Database<'_>) -> Result<RpmDatabase, GapCause> {
    let mut database = RpmDatabase::default();
    let mut paths = PathSetBuilder::default();
    // hnum, blob: the number stands for the row itself and is not stored.
    file.rows("Packages", &mut |row| {
        let installed = match row {
            [_, Value::Bytes(blob), ..] => header::parse(blob, &mut paths),
            _ => Ok(Installed::Damaged),
        };
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

/// What a file is that is not read, by its name and first bytes; none if it holds nothing.
fn unread(name: &[u8], beginning: &[u8]) -> Option<RpmUnread> {
    match name {
        // It is void when its first bytes were zeroed.
        b"rpmdb.sqlite-journal" => {
            beginning.iter().take(8).any(|&byte| byte != 0).then_some(RpmUnread::Journal)
        }
        _ if beginning.is_empty() => None,
        _ if beginning.starts_with(b"RpmP") => Some(RpmUnread::Ndb),
        b"Packages.db" => Some(RpmUnread::Ndb),
        _ => Some(RpmUnread::BerkeleyDb),
    }
}

/// The first bytes, as many as say what a file is.
fn beginning(source: Source<'_>) -> Result<Vec<u8>, GapCause> {
    let mut bytes = Vec::new();
    let read = match source {
        Source::Forward(content) => content.take(8).read_to_end(&mut bytes),
        Source::Random(file) => Cursor::new(file).take(8).read_to_end(&mut bytes),
    };
    read.map_err(|error| GapCause::Unreadable(error.to_string()))?;
    Ok(bytes)
}

fn assemble(squashed: &Squashed, assembly: &mut Assembly) {
    for sighting in squashed.sightings() {
        match sighting.evidence {
            Evidence::Rpm(database) => add_packages(database, &sighting, assembly),
            Evidence::RpmUnread(unread) => assembly.gaps.extend(unread_gap(squashed, &sighting, *unread)),
            _ => {}
        }
    }
}

fn add_packages(database: &RpmDatabase, sighting: &Sighting<'_, Evidence>, assembly: &mut Assembly) {
    for installed in &database.packages {
        assembly.packages.push(Package {
            package_type: PackageType::Rpm,
            name: installed.name.clone(),
            version: installed.full_version(),
            architecture: installed.architecture.clone(),
            source: installed.source_rpm.as_deref().and_then(SourcePackage::of_source_rpm),
            licenses: installed.license.iter().cloned().collect(),
            supplier: installed.vendor.clone(),
            owner: None,
            locations: vec![sighting.location()],
        });
    }
    if database.damaged > 0 {
        let reason = format!("is damaged: {} entries cannot be understood", database.damaged);
        assembly.gaps.push(Gap { path: sighting.path.to_string(), reason });
    }
}

fn unread_gap(squashed: &Squashed, sighting: &Sighting<'_, Evidence>, unread: RpmUnread) -> Option<Gap> {
    let path = sighting.path.to_string();
    let directory = path.rsplit_once('/').map_or("", |(directory, _)| directory);
    let has_database = squashed
        .within(directory)
        .any(|other| matches!(other.evidence, Evidence::Rpm(_)) && other.path.name() == b"rpmdb.sqlite");
    let reason = match unread {
        RpmUnread::Log if has_database => {
            "holds changes that are not in the database beside it, and were not read"
        }
        RpmUnread::Journal if has_database => {
            "holds what is to be put back into the database beside it, and was not read"
        }
        RpmUnread::BerkeleyDb if !has_database => {
            "is a database of rpm in Berkeley DB, a format that is not read yet"
        }
        RpmUnread::Ndb if !has_database => "is a database of rpm in NDB, a format that is not read yet",
        // What an upgrade left behind, or a log without a database.
        _ => return None,
    };
    Some(Gap { path, reason: reason.to_owned() })
}

impl RpmPackage {
    /// `epoch:version-release`, or `version-release` where there is no epoch.
    fn full_version(&self) -> String {
        match self.epoch {
            Some(epoch) => format!("{epoch}:{}-{}", self.version, self.release),
            None => format!("{}-{}", self.version, self.release),
        }
    }
}

impl RpmDatabase {
    /// About how many bytes of memory it takes.
    pub(super) fn weight(&self) -> usize {
        self.packages.iter().map(RpmPackage::weight).sum()
    }
}

impl RpmPackage {
    fn weight(&self) -> usize {
        let optional = [&self.architecture, &self.license, &self.vendor, &self.source_rpm, &self.modularity];
        let optional: usize = optional.into_iter().flatten().map(String::len).sum();
        let required = self.name.len() + self.version.len() + self.release.len();
        size_of::<Self>() + required + optional + self.files.weight()
    }
}

#[cfg(test)]
mod tests;
