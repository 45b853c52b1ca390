//! Node packages: a `package.json` with a name and a version, where Node would load a package from or an application starts.
//!
//! What counts, by where the file lies:
//! - `node_modules/NAME` and `node_modules/@SCOPE/NAME` at any depth, which is all that Node resolves by name (Node.js manual,
//!   "Loading from `node_modules` folders"). This takes in the stores of pnpm and Bun, whose packages lie in a `node_modules`
//!   of their own, that of Yarn (`node_modules/.store/SLUG/package`), and Debian's `usr/share/nodejs`. It leaves out files deeper in a
//!   package, such as `esm/package.json`, and any `node_modules` in its tests or examples.
//! - Elsewhere the root of an application or a tool: what has a `node_modules` beside it, or says what it gives or needs and lies neither
//!   among templates and test data nor within a library of another language.
//!
//! Outside of `node_modules` what is marked `private` does not count: npm refuses to publish it, so the advisories that name a
//! package like it mean another one, and those about malware would name the person's own application.

mod manifest;
mod place;

use std::io::Read as _;

use serde::{Deserialize, Serialize};

use self::manifest::Manifest;
use self::place::Place;
use super::lines::Cursor;
use super::{Assembly, Cataloger, Evidence, Squashed, Want};
use crate::package::{Package, PackageType};
use crate::tree::squash::Resolved;
use crate::tree::{Content, Entry, EntryPath, GapCause, Source};

/// Largest file that is read; npm used to write the readme into it.
const CAP: u64 = 4 << 20;

/// Reads manifests of Node packages.
pub(super) const CATALOGER: Cataloger = Cataloger {
    id: "node",
    version: 1,
    sniffs: false,
    fixed: &[],
    wants,
    read: |entry, source, _| read(entry, source),
    assemble,
};

/// What the manifest of a package says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodePackage {
    /// Its name, with the scope.
    pub name: String,
    /// Its version.
    pub version: String,
    /// `license`, or what the older `licenses` lists.
    pub licenses: Vec<String>,
    /// It only counts where its dependencies are installed beside it.
    pub needs_modules: bool,
}

fn wants(entry: &Entry, _: &[u8]) -> Option<Want> {
    place::of(&entry.path).map(|_| Want::Forward { cap: CAP })
}

fn read(entry: &Entry, source: Source<'_>) -> Result<Evidence, GapCause> {
    let Some(place) = place::of(&entry.path) else { return Ok(Evidence::Node(None)) };
    let bytes = match source {
        Source::Forward(content) => read_whole(content),
        Source::Random(file) => read_whole(&mut Cursor::new(file)),
    }?;
    let manifest = match manifest::parse(&bytes) {
        Ok(manifest) => manifest,
        // Templates that are not filled in yet look so; nothing could be loaded from there.
        Err(_) if place != Place::Installed => return Ok(Evidence::Node(None)),
        Err(error) => {
            return Err(GapCause::Damaged(format!("line {} is not that of a JSON object", error.line())));
        }
    };
    Ok(Evidence::Node(package(manifest, place)))
}

fn read_whole(content: &mut dyn Content) -> Result<Vec<u8>, GapCause> {
    let mut bytes = Vec::new();
    let read = content.take(CAP).read_to_end(&mut bytes);
    read.map_err(GapCause::from)?;
    Ok(bytes)
}

fn package(manifest: Manifest, place: Place) -> Option<NodePackage> {
    if place != Place::Installed && manifest.is_private {
        return None;
    }
    let name = manifest.name.filter(|name| manifest::is_name(name))?;
    let version = manifest.version.as_deref().and_then(manifest::clean_version)?;
    let needs_modules = match place {
        Place::Installed => false,
        Place::Anywhere => !manifest.has_purpose,
        Place::Unlikely => true,
    };
    Some(NodePackage { name, version: version.to_owned(), licenses: manifest.licenses, needs_modules })
}

fn assemble(squashed: &Squashed, assembly: &mut Assembly) {
    for sighting in squashed.sightings() {
        let Evidence::Node(Some(package)) = sighting.evidence else { continue };
        if package.needs_modules && !has_modules(squashed, sighting.path) {
            continue;
        }
        assembly.packages.push(Package {
            licenses: package.licenses.clone(),
            locations: vec![sighting.location()],
            ..Package::new(PackageType::Npm, package.name.clone(), package.version.clone())
        });
    }
}

/// Whether a folder of installed packages stands beside a manifest.
fn has_modules(squashed: &Squashed, manifest: &EntryPath) -> bool {
    let folder = EntryPath::new(manifest.parent().unwrap_or_default());
    let modules = folder.and_then(|folder| folder.join(b"node_modules"));
    modules.is_ok_and(|modules| matches!(squashed.resolve(&modules), Resolved::Directory { .. }))
}

impl NodePackage {
    /// About how many bytes of memory it takes.
    pub(super) fn weight(&self) -> usize {
        let licenses: usize = self.licenses.iter().map(|license| license.len() + size_of::<String>()).sum();
        self.name.len() + self.version.len() + licenses
    }
}

#[cfg(test)]
mod tests;
