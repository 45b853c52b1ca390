//! Go programs: the modules that they were built from, as the linker wrote them into the program (`go version -m`).
//!
//! Any ELF program or shared library is looked at, whatever its name or mode. Programs for Windows and macOS are not read.
//! In a mount only the head and the writable data are read. In a stream the file goes by once and is not held in memory: see
//! [`passing`].
//!
//! What a program does not state is not made up. The main module of a working copy has no version (`(devel)`), and one that
//! is only stamped with a commit has a version that no advisory can be compared with (`v0.0.0-…`, which is below every fix):
//! its version is then taken from `-ldflags "-X main.version=…"`, or it is kept as evidence and makes no package, since a
//! package has a version. A module that was replaced by a directory has no version either. Programs linked without
//! module information (old toolchains, some build systems) tell their toolchain only.

mod buildinfo;
mod elf;
mod modules;
mod passing;

use serde::{Deserialize, Serialize};

use super::filling::fill_at;
use super::{Assembly, Cataloger, Evidence, Squashed, Want};
use crate::package::{Location, Package, PackageType};
use crate::tree::{Entry, GapCause, ReadAt, Source};
use passing::Passing;

/// Reads build information of Go programs.
pub(super) const CATALOGER: Cataloger = Cataloger {
    id: "go",
    version: 1,
    sniffs: true,
    fixed: &[],
    wants,
    read: |entry, source, _| read(entry, source),
    assemble,
};

/// What a Go program says about how it was built.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GoProgram {
    /// Version of the toolchain, and so of the standard library: `1.24.1`; none of one built between releases.
    pub toolchain: Option<String>,
    /// The module of the program itself.
    pub main: Option<GoModule>,
    /// The modules that it uses, replacements in place of what they replace.
    pub dependencies: Vec<GoModule>,
}

/// A module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GoModule {
    /// Its path.
    pub path: String,
    /// Its version with the leading `v`, if it has one.
    pub version: Option<String>,
}

/// The bytes of a program, at any place or as they go by.
trait Bytes {
    /// Size of the file.
    fn size(&self) -> u64;

    /// The bytes at `at`; fewer only at the end of the file.
    fn bytes(&mut self, at: u64, length: usize) -> Result<Vec<u8>, GapCause>;

    /// Whether what was passed over is gone.
    fn goes_by(&self) -> bool;

    /// From byte `at` on (or where it is, if that is further), what goes by may be asked for again.
    fn remember_from(&mut self, at: u64) -> Result<(), GapCause>;
}

fn wants(_: &Entry, head: &[u8]) -> Option<Want> {
    // Of any size: little of it is read, or nothing of it kept.
    head.starts_with(elf::MAGIC).then_some(Want::Either { cap: u64::MAX })
}

fn read(_: &Entry, source: Source<'_>) -> Result<Evidence, GapCause> {
    let written = match source {
        Source::Forward(content) => buildinfo::read(&mut Passing::new(content))?,
        Source::Random(file) => buildinfo::read(&mut Anywhere(file))?,
    };
    let Some(written) = written else { return Ok(Evidence::Nothing) };
    Ok(Evidence::Go(modules::parse(&written)?))
}

fn assemble(squashed: &Squashed, assembly: &mut Assembly) {
    for sighting in squashed.sightings() {
        let Evidence::Go(program) = sighting.evidence else { continue };
        let stdlib = program.toolchain.as_deref().map(|version| ("stdlib", version));
        let modules = program.main.iter().chain(&program.dependencies);
        let modules = modules.filter_map(|module| Some((module.path.as_str(), module.version.as_deref()?)));
        let location = sighting.location();
        let packages = stdlib.into_iter().chain(modules).map(|named| package(named, location.clone()));
        assembly.packages.extend(packages);
    }
}

fn package((name, version): (&str, &str), location: Location) -> Package {
    Package { locations: vec![location], ..Package::new(PackageType::Golang, name, version) }
}

impl GoProgram {
    /// About how many bytes of memory it takes.
    pub(super) fn weight(&self) -> usize {
        let weight = |module: &GoModule| {
            size_of::<GoModule>() + module.path.len() + module.version.as_ref().map_or(0, String::len)
        };
        self.main.iter().chain(&self.dependencies).map(weight).sum()
    }
}

/// A file of a mount, or one held in memory.
struct Anywhere<'a>(&'a dyn ReadAt);

impl Bytes for Anywhere<'_> {
    fn size(&self) -> u64 {
        self.0.size()
    }

    fn bytes(&mut self, at: u64, length: usize) -> Result<Vec<u8>, GapCause> {
        let rest = usize::try_from(self.size().saturating_sub(at)).unwrap_or(usize::MAX);
        let mut bytes = vec![0; length.min(rest)];
        let filled = fill_at(self.0, &mut bytes, at)?;
        bytes.truncate(filled);
        Ok(bytes)
    }

    fn goes_by(&self) -> bool {
        false
    }

    fn remember_from(&mut self, _: u64) -> Result<(), GapCause> {
        Ok(())
    }
}

fn u64_of(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
