//! From files to packages: who wants which file, what each file says, and what it all comes to.
//!
//! A [`Cataloger`] reads one file at a time and knows nothing of others; its [`Evidence`] is kept with the layer. Every join
//! across files happens when all layers lie on each other, in its `assemble`. So a layer that two images share is read
//! once, and nothing about the image it was read for is baked into what is kept.

mod apk;
mod copyright;
mod dpkg;
mod dpkg_files;
mod filling;
mod go;
mod installed;
mod java;
mod lines;
mod node;
mod os_release;
mod ownership;
mod python;
mod read;
mod rpm;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use go::{GoModule, GoProgram};
pub use installed::{InstalledDatabase, InstalledPackage};
pub use java::{JavaArchive, JavaArchives, JavaArtifact, JavaManifest, JavaUnread};
pub use node::NodePackage;
pub use os_release::ReleaseFile;
pub use ownership::{OwnedFiles, Owners, PathSet};
pub use python::PythonDistribution;
pub use read::{ReadContext, Scratch, read_tree, replay};
pub use rpm::{RpmDatabase, RpmFormat, RpmPackage, RpmUnread};

use crate::package::{Location, Package};
use crate::sbom::{self, Sbom};
use crate::tree::squash::{Sighting, Stacked};
use crate::tree::{self, Entry, GapCause, Source};

/// Version of the serialised form of [`Evidence`]; changes when a reader of stored evidence must.
pub const EVIDENCE_VERSION: u16 = 2;

/// What was found in one layer or directory.
pub type Record = tree::Record<Evidence>;
/// All layers of an image, seen from above.
pub type Squashed = tree::Squashed<Evidence>;

/// What one file says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "value", rename_all = "kebab-case")]
pub enum Evidence {
    /// A file that names the distribution.
    Release(ReleaseFile),
    /// A database of dpkg or opkg.
    Dpkg(InstalledDatabase),
    /// Licences of a Debian `copyright` file.
    Copyright(Vec<String>),
    /// A database of apk.
    Apk(InstalledDatabase),
    /// The files of one package of dpkg or opkg.
    OwnedFiles(OwnedFiles),
    /// Metadata of a Python distribution; none if the file is of another kind.
    Python(Option<PythonDistribution>),
    /// Manifest of a Node package; none if it names no package.
    Node(Option<NodePackage>),
    /// Build information of a Go program.
    Go(GoProgram),
    /// Java archives in one file.
    Java(JavaArchives),
    /// A database of rpm.
    Rpm(RpmDatabase),
    /// What lies beside a database of rpm and is not read.
    RpmUnread(RpmUnread),
    /// Not what it looked like: of no interest, and not kept.
    Nothing,
}

/// How a cataloger wants a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// Front to back.
    Forward {
        /// Files with more bytes are a gap.
        cap: u64,
    },
    /// At any place: held in memory where the tree is a stream.
    Random {
        /// Files with more bytes are a gap.
        cap: u64,
    },
    /// At any place where the tree can do so, else front to back: never held in memory for this reader alone.
    Either {
        /// Files with more bytes are a gap.
        cap: u64,
    },
}

/// Reads one kind of package metadata.
#[derive(Clone, Copy)]
pub struct Cataloger {
    /// Its name in cache keys and documents.
    pub id: &'static str,
    /// Changes when the same file gives other evidence, or the same evidence other packages.
    pub version: u16,
    /// It looks at the first bytes of files that it cannot tell by name.
    pub sniffs: bool,
    /// Paths that it looks up by name after the squash, through links; a directory's end in `/`.
    pub fixed: &'static [&'static str],
    /// Whether it wants a file, from its entry and its first bytes (none unless `sniffs`).
    pub wants: fn(&Entry, &[u8]) -> Option<Want>,
    /// Reads one file. Pure, but for the memory that it may ask for.
    pub read: fn(&Entry, Source<'_>, &Scratch<'_>) -> Result<Evidence, GapCause>,
    /// Makes packages of all evidence of an image. Pure.
    pub assemble: fn(&Squashed, &mut Assembly),
}

/// Most packages of one image, doubles included. The largest images have some ten thousand; each takes 4 KB in a document.
const PACKAGES: usize = 50_000;

/// Packages and gaps as catalogers find them, in any order and with doubles.
#[derive(Debug, Default)]
pub struct Assembly {
    /// Packages; those that differ in locations only become one.
    pub packages: Packages,
    /// What could not be understood.
    pub gaps: Vec<sbom::Gap>,
    /// Which files belong to packages of the distribution.
    pub owners: Owners,
}

/// Packages as they are found; no more than a document may hold.
#[derive(Debug, Default)]
pub struct Packages {
    kept: Vec<Package>,
    has_more: bool,
}

impl Packages {
    /// Adds one.
    pub fn push(&mut self, package: Package) {
        if self.kept.len() < PACKAGES {
            self.kept.push(package);
        } else {
            self.has_more = true;
        }
    }

    /// Those that are kept.
    pub fn iter(&self) -> impl Iterator<Item = &Package> {
        self.kept.iter()
    }
}

impl Extend<Package> for Packages {
    fn extend<I: IntoIterator<Item = Package>>(&mut self, packages: I) {
        for package in packages {
            self.push(package);
        }
    }
}

/// All catalogers.
pub const CATALOGERS: &[Cataloger] = &[
    os_release::CATALOGER,
    dpkg::CATALOGER,
    dpkg_files::CATALOGER,
    copyright::CATALOGER,
    apk::CATALOGER,
    rpm::CATALOGER,
    python::CATALOGER,
    node::CATALOGER,
    go::CATALOGER,
    java::CATALOGER,
];

/// Names and versions of all catalogers: part of the key under which results are cached.
#[must_use]
pub fn analysers() -> String {
    let names = CATALOGERS.iter().map(|cataloger| format!("{}/{}", cataloger.id, cataloger.version));
    names.collect::<Vec<_>>().join(",")
}

/// Lays the records of an image's layers over each other, the bottom one first. A directory is a stack of one.
#[must_use]
pub fn squash(layers: Vec<Stacked<Evidence>>) -> Squashed {
    let fixed: Vec<&str> = CATALOGERS.iter().flat_map(|cataloger| cataloger.fixed).copied().collect();
    tree::squash(layers, &fixed)
}

/// Makes the bill of materials of what was found.
#[must_use]
pub fn assemble(squashed: &Squashed) -> Sbom {
    let mut assembly = Assembly { owners: Owners::of(squashed), ..Assembly::default() };
    for cataloger in CATALOGERS {
        (cataloger.assemble)(squashed, &mut assembly);
    }
    assembly.name_owners();
    let gaps = squashed.gaps();
    let gaps = gaps.iter().map(|gap| sbom::Gap { path: gap.path.to_string(), reason: gap.cause.to_string() });
    let more = assembly.packages.has_more.then(|| {
        let reason = format!("it has more than {PACKAGES} packages; the others are left out");
        sbom::Gap { path: String::new(), reason }
    });
    let mut gaps: Vec<sbom::Gap> = gaps.chain(assembly.gaps).chain(more).collect();
    gaps.sort_unstable();
    gaps.dedup();
    Sbom { distro: os_release::distro(squashed), packages: merge(assembly.packages.kept), gaps }
}

/// Sorts packages and makes one of those that differ in their locations only.
fn merge(packages: Vec<Package>) -> Vec<Package> {
    let mut merged: BTreeMap<Package, Vec<Location>> = BTreeMap::new();
    for mut package in packages {
        let locations = std::mem::take(&mut package.locations);
        merged.entry(package).or_default().extend(locations);
    }
    let packages = merged.into_iter().map(|(package, mut locations)| {
        locations.sort_unstable();
        locations.dedup();
        Package { locations, ..package }
    });
    packages.collect()
}

impl Assembly {
    /// Names the owners of packages of languages, whichever cataloger found them.
    fn name_owners(&mut self) {
        for package in &mut self.packages.kept {
            if package.package_type.is_of_distribution() || package.owner.is_some() {
                continue;
            }
            let mut owners = package.locations.iter().filter_map(|location| self.owners.owner_at(location));
            package.owner = owners.next().map(ToOwned::to_owned);
        }
    }
}

impl Evidence {
    /// About how many bytes of memory it takes.
    #[must_use]
    pub fn weight(&self) -> u64 {
        let bytes = match self {
            Self::Release(release) => release.weight(),
            Self::Copyright(licenses) => licenses.iter().map(|license| license.len() + 24).sum(),
            Self::Dpkg(database) | Self::Apk(database) => database.weight(),
            Self::OwnedFiles(owned) => owned.package.len() + owned.files.weight(),
            Self::Python(distribution) => distribution.as_ref().map_or(0, PythonDistribution::weight),
            Self::Node(package) => package.as_ref().map_or(0, NodePackage::weight),
            Self::Go(program) => program.weight(),
            Self::Java(archives) => archives.weight(),
            Self::Rpm(database) => database.weight(),
            Self::RpmUnread(_) | Self::Nothing => 0,
        };
        u64::try_from(bytes).unwrap_or(u64::MAX).saturating_add(200)
    }

    /// The most memory that was asked for in vain, in bytes: with that much there would be more evidence.
    #[must_use]
    pub fn needs_memory(&self) -> Option<u64> {
        match self {
            Self::Java(archives) => archives.needs_memory,
            _ => None,
        }
    }
}

impl Sighting<'_, Evidence> {
    /// Where this evidence lies, as a document says it.
    #[must_use]
    pub fn location(&self) -> Location {
        Location { path: self.path.to_string(), layer: self.diff_id.cloned() }
    }
}

#[cfg(test)]
mod tests;
