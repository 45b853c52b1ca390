//! rpm: its database in any of the formats that it was ever kept in, and the list that distroless images of Azure Linux have
//! in its place.
//!
//! rpm before 4.16 keeps its database in Berkeley DB (`Packages`), SUSE in a format of its own (`Packages.db`, "NDB"), all others
//! in SQLite. An upgrade may leave the old one behind; then the newer one counts. The database in SQLite is read as of
//! its last checkpoint; a log that was left beside it with something in it is a gap.

mod berkeley;
mod header;
mod log;
mod manifest;
mod ndb;
mod pages;
mod read;
mod sqlite;

use serde::{Deserialize, Serialize};

use super::ownership::PathSet;
use super::{Assembly, Cataloger, Evidence, Squashed, Want};
use crate::package::{Package, PackageType, SourcePackage};
use crate::sbom::Gap;
use crate::tree::Entry;
use crate::tree::squash::Sighting;

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
    version: 3,
    sniffs: false,
    fixed: &[
        "var/lib/rpm/rpmdb.sqlite",
        "var/lib/rpm/rpmdb.sqlite-wal",
        "var/lib/rpm/rpmdb.sqlite-journal",
        "var/lib/rpm/Packages.db",
        "var/lib/rpm/Packages",
        "usr/lib/sysimage/rpm/rpmdb.sqlite",
        "usr/lib/sysimage/rpm/rpmdb.sqlite-wal",
        "usr/lib/sysimage/rpm/rpmdb.sqlite-journal",
        "usr/lib/sysimage/rpm/Packages.db",
        "usr/lib/sysimage/rpm/Packages",
        "usr/share/rpm/rpmdb.sqlite",
        "usr/share/rpm/rpmdb.sqlite-wal",
        "usr/share/rpm/rpmdb.sqlite-journal",
        "usr/share/rpm/Packages.db",
        "usr/share/rpm/Packages",
        "var/lib/rpmmanifest/container-manifest-2",
    ],
    wants,
    read: |entry, source, _| read::read(entry, source),
    assemble,
};

/// What a database of rpm says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RpmDatabase {
    /// What it is kept in.
    pub format: RpmFormat,
    /// Installed packages, in the order of the database.
    pub packages: Vec<RpmPackage>,
    /// Number of entries that cannot be understood.
    pub damaged: u32,
}

/// What a database of rpm is kept in, older formats before newer ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RpmFormat {
    /// A list in place of a database.
    #[default]
    List,
    /// A hash of Berkeley DB.
    BerkeleyDb,
    /// SUSE's own.
    Ndb,
    /// SQLite.
    Sqlite,
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

/// What lies beside a database in SQLite and is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RpmUnread {
    /// A write-ahead log with changes that are not in the database yet.
    Log,
    /// A rollback journal with what is to be put back into the database.
    Journal,
}

fn wants(entry: &Entry, _: &[u8]) -> Option<Want> {
    let path = entry.path.as_bytes();
    if path == MANIFEST {
        return Some(Want::Forward { cap: MANIFEST_CAP });
    }
    entry.path.parent().filter(|parent| DIRECTORIES.contains(parent))?;
    match entry.path.name() {
        b"rpmdb.sqlite" | b"Packages.db" | b"Packages" => Some(Want::Random { cap: CAP }),
        b"rpmdb.sqlite-wal" => Some(Want::Forward { cap: CAP }),
        // Of it only the first bytes are looked at.
        b"rpmdb.sqlite-journal" => Some(Want::Forward { cap: u64::MAX }),
        _ => None,
    }
}

/// The databases that count. Of several in one directory rpm reads that of the format it is built for; here it is the newest
/// one that has packages: a tool built for another format makes an empty database beside the one in use.
pub(super) fn databases(squashed: &Squashed) -> Vec<(Sighting<'_, Evidence>, &RpmDatabase)> {
    let all: Vec<_> = squashed
        .sightings()
        .filter_map(|sighting| match sighting.evidence {
            Evidence::Rpm(database) => Some((sighting, database)),
            _ => None,
        })
        .collect();
    let counts = |(sighting, database): &(Sighting<'_, Evidence>, &RpmDatabase)| {
        let mut beside = all.iter().filter(|(other, _)| other.path.parent() == sighting.path.parent());
        beside.all(|(_, other)| other.format <= database.format || other.packages.is_empty())
    };
    let counts: Vec<bool> = all.iter().map(counts).collect();
    all.into_iter().zip(counts).filter_map(|(found, counts)| counts.then_some(found)).collect()
}

fn assemble(squashed: &Squashed, assembly: &mut Assembly) {
    for (sighting, database) in databases(squashed) {
        add_packages(database, &sighting, assembly);
    }
    for sighting in squashed.sightings() {
        if let Evidence::RpmUnread(unread) = sighting.evidence {
            assembly.gaps.extend(unread_gap(squashed, &sighting, *unread));
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
            modularity: installed.modularity.clone(),
            locations: vec![sighting.location()],
        });
    }
    if database.damaged > 0 {
        let reason = format!("is damaged: {} entries cannot be understood", database.damaged);
        assembly.gaps.push(Gap { path: sighting.path.to_string(), reason });
    }
}

/// What lies beside no database says nothing.
fn unread_gap(squashed: &Squashed, sighting: &Sighting<'_, Evidence>, unread: RpmUnread) -> Option<Gap> {
    let is_beside = |other: &Sighting<'_, Evidence>| {
        matches!(other.evidence, Evidence::Rpm(database) if database.format == RpmFormat::Sqlite)
            && other.path.parent() == sighting.path.parent()
    };
    squashed.sightings().find(is_beside)?;
    let reason = match unread {
        RpmUnread::Log => "holds changes that are not in the database beside it, and were not read",
        RpmUnread::Journal => "holds what is to be put back into the database beside it, and was not read",
    };
    Some(Gap { path: sighting.path.to_string(), reason: reason.to_owned() })
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
