//! Java archives: jars, and what carries jars (wars, ears, plugins of Jenkins, `NiFi` and Karaf), in each other.
//!
//! What Maven built says so itself, in a `pom.properties` for each artifact that went into an archive. Other archives have the
//! headers of their manifest (JAR File Specification, "Main Attributes"; `OSGi` Core, "Bundle Manifest Headers") and
//! their name, of which [`identity`] makes what is likely. Such a package has no group: none is made up from headers that are
//! written for other ends.
//!
//! An archive is evidence of its own, whatever file it lies in; that its file may have several names is why names are looked at in
//! [`assemble`] only. A plain zip is looked into for archives and is no package itself.

mod archive;
mod identity;
mod manifest;
mod pom;
mod zip;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Assembly, Cataloger, Evidence, Scratch, Squashed, Want};
use crate::package::{Location, Package, PackageType};
use crate::sbom::Gap;
use crate::tree::squash::Sighting;
use crate::tree::{Entry, EntryPath, GapCause, Source};

/// Largest archive that is read; in place, so that of a large one little is.
const CAP: u64 = 4 << 30;
/// Most gaps of one image that are named; the others are only counted.
const GAPS: usize = 100;
/// How archives of Java end: those of the JDK and of Jakarta EE, of `JBoss` (`par`, `sar`), `NiFi` (`nar`), Jenkins (`jpi`, `hpi`),
/// Karaf (`kar`) and Liferay (`lpkg`).
const SUFFIXES: [&str; 10] = [".jar", ".war", ".ear", ".par", ".sar", ".nar", ".jpi", ".hpi", ".kar", ".lpkg"];
/// How archives end that may carry some.
const CARRIER: &str = ".zip";

/// Reads Java archives.
pub(super) const CATALOGER: Cataloger =
    Cataloger { id: "java", version: 1, sniffs: false, fixed: &[], wants, read, assemble };

/// What was found in one file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JavaArchives {
    /// Whether it is a zip at all.
    pub is_zip: bool,
    /// The archive itself and those in it, as far as they say anything.
    pub archives: Vec<JavaArchive>,
    /// What could not be read in it.
    pub unread: Vec<JavaUnread>,
    /// How much more could not be read, and is not named.
    pub more_unread: u64,
    /// The most memory that was asked for in vain, in bytes.
    pub needs_memory: Option<u64>,
}

/// What one archive says about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JavaArchive {
    /// Where it lies in the file, `WEB-INF/lib/a.jar`, for deeper ones joined by `!/`; empty for the file itself.
    pub within: String,
    /// Its artifacts by Maven: its own and those whose classes were put into it.
    pub artifacts: Vec<JavaArtifact>,
    /// The main section of its manifest.
    pub manifest: Option<JavaManifest>,
    /// Whether it holds classes.
    pub has_classes: bool,
}

/// Coordinates as Maven wrote them into an archive; what it left out is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JavaArtifact {
    /// `groupId`.
    pub group: String,
    /// `artifactId`.
    pub artifact: String,
    /// `version`.
    pub version: String,
    /// Names of its licences.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub licenses: Vec<String>,
}

/// Headers of a manifest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct JavaManifest {
    pub implementation_title: Option<String>,
    pub implementation_version: Option<String>,
    pub specification_version: Option<String>,
    pub bundle_symbolic_name: Option<String>,
    pub bundle_version: Option<String>,
    pub automatic_module_name: Option<String>,
    /// Of a plugin of Jenkins, as the next four.
    pub group_id: Option<String>,
    pub artifact_id: Option<String>,
    pub short_name: Option<String>,
    pub extension_name: Option<String>,
    pub plugin_version: Option<String>,
    /// `Implementation-Vendor`, else `Bundle-Vendor`.
    pub vendor: Option<String>,
    /// `Bundle-License`, or those of a plugin of Jenkins.
    pub licenses: Vec<String>,
}

/// Something in a file that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JavaUnread {
    /// Where in the file; empty for the file itself.
    pub within: String,
    /// Why, for people.
    pub reason: String,
}

fn wants(entry: &Entry, _: &[u8]) -> Option<Want> {
    may_hold_packages(entry.path.name()).then_some(Want::Random { cap: CAP })
}

/// Whether a file of this name is looked into.
fn may_hold_packages(name: &[u8]) -> bool {
    SUFFIXES.iter().chain([&CARRIER]).any(|suffix| has_suffix(name, suffix))
}

fn has_suffix(name: &[u8], suffix: &str) -> bool {
    let at = name.len().checked_sub(suffix.len()).filter(|&at| at > 0);
    at.is_some_and(|at| name[at..].eq_ignore_ascii_case(suffix.as_bytes()))
}

#[allow(clippy::needless_pass_by_value, reason = "as catalogers have it")]
fn read(_: &Entry, source: Source<'_>, scratch: &Scratch<'_>) -> Result<Evidence, GapCause> {
    match source {
        Source::Random(file) if file.size() == 0 => Ok(Evidence::Nothing),
        Source::Random(file) => Ok(Evidence::Java(archive::read(file, scratch))),
        Source::Forward(_) => Err(GapCause::Unreadable("an archive is not read front to back".to_owned())),
    }
}

fn assemble(squashed: &Squashed, assembly: &mut Assembly) {
    let (mut packages, mut gaps) = (Vec::new(), Vec::new());
    for sighting in squashed.sightings() {
        let Evidence::Java(found) = sighting.evidence else { continue };
        let is_carrier = has_suffix(sighting.path.name(), CARRIER);
        if !found.is_zip && !is_carrier && found.unread.is_empty() {
            let reason = GapCause::Damaged("it is no zip".to_owned()).to_string();
            gaps.push(Gap { path: sighting.path.to_string(), reason });
        }
        packages.extend(found.archives.iter().flat_map(|archive| packages_of(archive, &sighting)));
        let unread = found.unread.iter();
        gaps.extend(unread.map(|unread| Gap {
            path: location(&sighting, &unread.within).path,
            reason: unread.reason.clone(),
        }));
        if found.more_unread > 0 {
            let reason = GapCause::More(found.more_unread).to_string();
            gaps.push(Gap { path: sighting.path.to_string(), reason });
        }
    }
    if gaps.len() > GAPS {
        gaps.sort_unstable();
        let more = u64::try_from(gaps.split_off(GAPS).len()).unwrap_or(u64::MAX);
        gaps.push(Gap { path: EntryPath::root().to_string(), reason: GapCause::More(more).to_string() });
    }
    agree(&mut packages);
    assembly.packages.extend(packages);
    assembly.gaps.extend(gaps);
}

fn packages_of(archive: &JavaArchive, sighting: &Sighting<'_, Evidence>) -> Vec<Package> {
    let location = location(sighting, &archive.within);
    let name = location.path.rsplit(['/', '\\']).next().unwrap_or_default();
    if has_suffix(name.as_bytes(), CARRIER) {
        return Vec::new();
    }
    let package = |found: identity::Found| Package {
        licenses: found.licenses,
        supplier: found.supplier,
        locations: vec![location.clone()],
        ..Package::new(PackageType::Maven, found.name, found.version)
    };
    identity::of(archive, name).into_iter().map(package).collect()
}

/// What was put into another archive left its manifest behind; where the same artifact lies elsewhere with it, both are the same
/// package, of the same makers and under the same licences.
fn agree(packages: &mut [Package]) {
    let mut known: BTreeMap<(String, String), (Vec<String>, Option<String>)> = BTreeMap::new();
    for package in packages.iter() {
        let key = (package.name.clone(), package.version.clone());
        let (licenses, supplier) = known.entry(key).or_default();
        if licenses.is_empty() {
            licenses.clone_from(&package.licenses);
        }
        if supplier.is_none() {
            supplier.clone_from(&package.supplier);
        }
    }
    for package in packages {
        let key = (package.name.clone(), package.version.clone());
        if let Some((licenses, supplier)) = known.get(&key) {
            package.licenses.clone_from(licenses);
            package.supplier.clone_from(supplier);
        }
    }
}

fn location(sighting: &Sighting<'_, Evidence>, within: &str) -> Location {
    let file = sighting.location();
    let path = if within.is_empty() { file.path } else { format!("{}!/{within}", file.path) };
    Location { path, ..file }
}

impl JavaArchives {
    /// About how many bytes of memory it takes.
    pub(super) fn weight(&self) -> usize {
        let unread = |unread: &JavaUnread| size_of::<JavaUnread>() + unread.within.len() + unread.reason.len();
        let archives: usize = self.archives.iter().map(JavaArchive::weight).sum();
        archives + self.unread.iter().map(unread).sum::<usize>()
    }
}

impl JavaArchive {
    fn weight(&self) -> usize {
        let artifacts: usize = self.artifacts.iter().map(JavaArtifact::weight).sum();
        let manifest = self.manifest.as_ref().map_or(0, JavaManifest::weight);
        size_of::<Self>() + self.within.len() + artifacts + manifest
    }
}

impl JavaArtifact {
    fn weight(&self) -> usize {
        let names = self.group.len() + self.artifact.len() + self.version.len();
        size_of::<Self>() + names + weight_of_all(&self.licenses)
    }
}

impl JavaManifest {
    fn weight(&self) -> usize {
        let headers = [
            &self.implementation_title,
            &self.implementation_version,
            &self.specification_version,
            &self.bundle_symbolic_name,
            &self.bundle_version,
            &self.automatic_module_name,
            &self.group_id,
            &self.artifact_id,
            &self.short_name,
            &self.extension_name,
            &self.plugin_version,
            &self.vendor,
        ];
        headers.into_iter().flatten().map(String::len).sum::<usize>() + weight_of_all(&self.licenses)
    }
}

fn weight_of_all(texts: &[String]) -> usize {
    texts.iter().map(|text| text.len() + size_of::<String>()).sum()
}

#[cfg(test)]
mod tests;
