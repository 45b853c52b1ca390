//! A bill of materials in a document: which form it has, and what it says.
//!
//! Documents come from logs, caches and people, and are not to be trusted: their size and the number of values in them
//! are bounded before any of it is kept, their depth is by `serde_json`.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

use super::cyclonedx::Subject;
use super::purl::Purl;
use super::unread::{Lack, Unread};
use super::{Sbom, cyclonedx, spdx};
use crate::package::{Distro, Package};

/// Largest document that is read, in bytes. The bill of an image of 10,000 packages takes about 10 MiB.
pub const MAX_BYTES: usize = 64 << 20;
/// Most objects and lists in a document: with Syft's properties one takes some hundred bytes.
const MAX_OBJECTS: usize = 1_000_000;
/// Most values in a document.
const MAX_VALUES: usize = 5_000_000;
/// Most components of a document. The largest images have some ten thousand.
pub(super) const MAX_COMPONENTS: usize = 200_000;

/// A bill of materials as it was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Document {
    /// The bill.
    pub sbom: Sbom,
    /// What it is about.
    pub subject: Subject,
    /// What it calls that: a reference, a directory, an application.
    pub name: Option<String>,
    /// What it lists beside the packages of the bill.
    pub unread: Unread,
}

/// A document that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// There is nothing in it.
    #[error("the document is empty")]
    Empty,
    /// It is larger than any bill of materials.
    #[error("the document has more than the {} MiB that are read", MAX_BYTES >> 20)]
    TooLarge,
    /// It holds more than any bill of materials.
    #[error("the document holds more than {limit} {what}")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// How much is read.
        limit: usize,
    },
    /// It is in another form of which something is known.
    #[error("the document is {0}, and not JSON")]
    Form(&'static str),
    /// It is no JSON.
    #[error("the document is no JSON")]
    Syntax(#[source] serde_json::Error),
    /// It is JSON, but not of the shape that it should have.
    #[error("the document is no {format} JSON")]
    Json {
        /// What it should be.
        format: &'static str,
        /// Where it is not.
        #[source]
        source: serde_json::Error,
    },
    /// It is JSON of another kind.
    #[error("the document is neither CycloneDX nor SPDX")]
    Format,
    /// A version that is not known here.
    #[error("the document is {format} {version:?}, of which {known} are read")]
    Version {
        /// CycloneDX or SPDX.
        format: &'static str,
        /// The version as it stands there.
        version: String,
        /// The versions that are read.
        known: &'static str,
    },
}

/// The fields by which the two forms tell themselves.
#[derive(Deserialize)]
struct Kind {
    #[serde(rename = "bomFormat")]
    bom_format: Option<String>,
    #[serde(rename = "spdxVersion")]
    spdx_version: Option<String>,
    /// Of SPDX 3, which is JSON-LD.
    #[serde(rename = "@context")]
    context: Option<serde::de::IgnoredAny>,
}

/// Reads a document of CycloneDX or SPDX.
///
/// # Errors
/// It is of another form, damaged, or too large.
pub fn read(bytes: &[u8]) -> Result<Document, ReadError> {
    if bytes.len() > MAX_BYTES {
        return Err(ReadError::TooLarge);
    }
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes).trim_ascii();
    if let Some(form) = other_form(text)? {
        return Err(ReadError::Form(form));
    }
    let kind: Kind = serde_json::from_slice(text).map_err(|source| match source.classify() {
        serde_json::error::Category::Data => ReadError::Format,
        _ => ReadError::Syntax(source),
    })?;
    match kind {
        Kind { bom_format: Some(format), .. } if format == cyclonedx::FORMAT => cyclonedx::read(text),
        Kind { bom_format: Some(_), .. } => Err(ReadError::Format),
        Kind { spdx_version: Some(_), .. } => spdx::read(text),
        Kind { context: Some(_), .. } => {
            Err(ReadError::Version { format: "SPDX", version: "3".to_owned(), known: spdx::VERSIONS })
        }
        Kind { .. } => Err(ReadError::Format),
    }
}

/// Forms of which people have files, known by their first bytes.
fn other_form(text: &[u8]) -> Result<Option<&'static str>, ReadError> {
    let starts = |with: &[&[u8]]| with.iter().any(|start| text.starts_with(start));
    Ok(if text.is_empty() {
        return Err(ReadError::Empty);
    } else if starts(&[b"<"]) {
        Some("XML")
    } else if starts(&[b"SPDXVersion:", b"#"]) {
        Some("SPDX in its tag-value form")
    } else if starts(&[b"\x1f\x8b", b"PK\x03\x04", b"\x28\xb5\x2f\xfd"]) {
        Some("compressed")
    } else if starts(&[b"\xff\xfe", b"\xfe\xff"]) {
        Some("text in UTF-16")
    } else {
        None
    })
}

/// Refuses what would take far more memory than its bytes: a list of `{}` is small until it is read.
pub(super) fn check_bounds(json: &[u8]) -> Result<(), ReadError> {
    if json.len() > MAX_BYTES {
        return Err(ReadError::TooLarge);
    }
    let (mut objects, mut values) = (0_usize, 0_usize);
    let mut bytes = json.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => skip_string(&mut bytes),
            b'{' | b'[' => objects += 1,
            b',' => values += 1,
            _ => {}
        }
    }
    for (count, what, limit) in [(objects, "objects", MAX_OBJECTS), (values, "values", MAX_VALUES)] {
        if count > limit {
            return Err(ReadError::TooMany { what, limit });
        }
    }
    Ok(())
}

fn skip_string(bytes: &mut std::slice::Iter<'_, u8>) {
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => return,
            b'\\' => {
                bytes.next();
            }
            _ => {}
        }
    }
}

/// A member that some tools write as null where it has nothing.
pub(super) fn or_null<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// Packages as they are found in a document, each with the distribution that its package URL names.
#[derive(Debug, Default)]
pub(super) struct Collected {
    /// Distributions that the document itself names.
    pub(super) named: Vec<Distro>,
    pub(super) unread: Unread,
    packages: Vec<(Package, Option<usize>)>,
    /// Distributions that package URLs name, by the text that names them.
    releases: BTreeMap<(String, Option<String>), usize>,
    of_purls: Vec<(Distro, Option<String>, usize)>,
}

impl Collected {
    /// Adds a package and the package URL that it was read from.
    pub(super) fn add(&mut self, package: Package, purl: &Purl) {
        let release = purl.distro().map(|distro| {
            let said = purl.release().map(ToOwned::to_owned);
            let key = (distro.id.clone(), said.clone());
            let next = self.of_purls.len();
            let index = *self.releases.entry(key).or_insert(next);
            if index == next {
                self.of_purls.push((distro, said, 0));
            }
            self.of_purls[index].2 += 1;
            index
        });
        self.packages.push((package, release));
    }

    /// The bill: one distribution, and the packages that may be of it.
    pub(super) fn finish(self) -> (Sbom, Unread) {
        let distro = self.distro();
        let (mut packages, mut unread) = (Vec::new(), self.unread);
        if let Some(distro) = &distro {
            for other in self.named.iter().filter(|other| !agree(distro, other)) {
                unread.add(Lack::SameDistro(in_words(other)), &other.id);
            }
        }
        let is_of_other: Vec<bool> = self
            .of_purls
            .iter()
            .map(|(of_purl, said, _)| {
                // A vendor alone is none: that of rpm is often another than the distribution.
                let is_said = said.is_some() && *said != distro.as_ref().and_then(Distro::release);
                is_said && distro.as_ref().is_some_and(|distro| !agree(distro, of_purl))
            })
            .collect();
        for (package, release) in self.packages {
            match release.filter(|index| is_of_other[*index]) {
                Some(index) => unread.add(Lack::SameDistro(in_words(&self.of_purls[index].0)), &package.name),
                None => packages.push(package),
            }
        }
        (Sbom { distro, packages: merged(packages), gaps: Vec::new() }, unread)
    }

    /// The distribution that the document names first, or else the one that most package URLs name. They also tell the
    /// version where the document does not.
    fn distro(&self) -> Option<Distro> {
        let weight = |(_, said, count): &&(Distro, Option<String>, usize)| (said.is_some(), *count);
        let of_purls = || self.of_purls.iter().rev();
        let Some(named) = self.named.first() else {
            return of_purls().max_by_key(weight).map(|(distro, ..)| distro.clone());
        };
        let is_bare = named.version_id.is_none() && named.version_codename.is_none();
        let tells_more = |(of_purl, said, _): &&(Distro, Option<String>, usize)| {
            is_bare && of_purl.id == named.id && of_purl.version_id.is_some() && *said != named.release()
        };
        let version = of_purls().filter(tells_more).max_by_key(weight);
        let version_id =
            version.map_or_else(|| named.version_id.clone(), |(of_purl, ..)| of_purl.version_id.clone());
        Some(Distro { version_id, ..named.clone() })
    }
}

/// Sorted and without doubles: what differs in where it was found only is one package.
fn merged(mut packages: Vec<Package>) -> Vec<Package> {
    packages.sort_unstable();
    packages.dedup_by(|next, kept| {
        let locations = std::mem::take(&mut next.locations);
        let of_kept = std::mem::take(&mut kept.locations);
        let is_same = next == kept;
        kept.locations = of_kept;
        if is_same {
            kept.locations.extend(locations);
            kept.locations.dedup();
        } else {
            next.locations = locations;
        }
        is_same
    });
    packages
}

/// Whether both may be the same distribution, one of them said with fewer numbers: `debian 12` and `debian 12.5`.
fn agree(one: &Distro, other: &Distro) -> bool {
    let (Some(a), Some(b)) = (&one.version_id, &other.version_id) else { return one.id == other.id };
    let is_part =
        |a: &str, b: &str| b.strip_prefix(a).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    one.id == other.id && (is_part(a, b) || is_part(b, a))
}

fn in_words(distro: &Distro) -> String {
    let version = distro.version_id.as_ref().or(distro.version_codename.as_ref());
    version.map_or_else(|| distro.id.clone(), |version| format!("{} {version}", distro.id))
}

#[cfg(test)]
mod tests;
