//! Python distributions: what pip, setuptools and the distributions' own builds leave beside the modules.
//!
//! The core metadata (`PyPA`, "Core metadata specifications", PEP 566, PEP 639) lie in `NAME.dist-info/METADATA`, before wheels in
//! `NAME.egg-info/PKG-INFO` or, from distutils, in a file `NAME.egg-info`, and in `EGG-INFO/PKG-INFO` of an egg, which is a folder or
//! a zip. They are headers as in RFC 822, then an empty line and a description that is not read. Distributions that another
//! one carries with it (`pip/_vendor`) are code that runs, and count; test data of installed modules do not.

mod egg;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::lines::{Cursor, Lines, text};
use super::read::Slice;
use super::{Assembly, Cataloger, Evidence, Squashed, Want};
use crate::package::{Package, PackageType};
use crate::tree::{Entry, EntryPath, GapCause, Source};

/// Largest metadata that are read; the description may be long.
const CAP: u64 = 4 << 20;
/// Largest egg; it is passed through and never held in memory.
const EGG_CAP: u64 = 1 << 30;
/// Longest header that is kept: longer ones are texts of licences.
const HEADER: usize = 4096;
/// Longest name of a licence; some write the licence itself.
const LICENSE: usize = 200;
/// Most licences of one distribution.
const LICENSES: usize = 20;

/// Reads metadata of Python distributions.
pub(super) const CATALOGER: Cataloger = Cataloger {
    id: "python",
    version: 1,
    sniffs: false,
    fixed: &[],
    wants,
    read: |entry, source, _| read(entry, source),
    assemble,
};

/// What the metadata of a distribution say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PythonDistribution {
    /// `Name`, as it is written.
    pub name: String,
    /// `Version`.
    pub version: String,
    /// `License-Expression`, else `License`, else what the classifiers say.
    pub licenses: Vec<String>,
}

/// How metadata lie in the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// A file of headers.
    Headers,
    /// A zip with such a file in it.
    Egg,
}

fn form(path: &EntryPath) -> Option<Form> {
    let name = path.name();
    let form = if name == b"METADATA" {
        parent_name(path).ends_with(b".dist-info").then_some(Form::Headers)
    } else if name == b"PKG-INFO" {
        let parent = parent_name(path);
        (parent.ends_with(b".egg-info") || parent == b"EGG-INFO").then_some(Form::Headers)
    } else if name.ends_with(b".egg-info") {
        Some(Form::Headers)
    } else if name.ends_with(b".egg") {
        Some(Form::Egg)
    } else {
        None
    };
    form.filter(|_| !is_test_data(path))
}

fn parent_name(path: &EntryPath) -> &[u8] {
    let parent = path.parent().unwrap_or_default();
    parent.rsplit(|&byte| byte == b'/').next().unwrap_or_default()
}

/// Whether the path lies in a folder of tests within a folder of modules. setuptools and Python itself install made-up
/// distributions there, to test the reading of metadata with.
fn is_test_data(path: &EntryPath) -> bool {
    let is_of_modules = |name: &[u8]| {
        matches!(name, b"site-packages" | b"dist-packages")
            || name.starts_with(b"python2")
            || name.starts_with(b"python3")
    };
    let mut names = path.components().skip_while(|name| !is_of_modules(name));
    names.any(|name| matches!(name, b"test" | b"tests"))
}

fn wants(entry: &Entry, _: &[u8]) -> Option<Want> {
    let cap = match form(&entry.path)? {
        Form::Headers => CAP,
        Form::Egg => EGG_CAP,
    };
    Some(Want::Forward { cap })
}

fn read(entry: &Entry, source: Source<'_>) -> Result<Evidence, GapCause> {
    let mut distribution = match form(&entry.path) {
        Some(Form::Egg) => {
            let headers = match source {
                Source::Forward(content) => egg::metadata(content, CAP),
                Source::Random(file) => egg::metadata(&mut Cursor::new(file), CAP),
            };
            let Some(headers) = headers? else { return Ok(Evidence::Python(None)) };
            read_headers(Source::Random(&Slice(&headers)))?
        }
        _ => read_headers(source)?,
    };
    let (name, version) = named_by_path(&entry.path).unzip();
    if distribution.name.is_empty() {
        distribution.name = name.flatten().unwrap_or_default();
    }
    if distribution.version.is_empty() {
        distribution.version = version.flatten().unwrap_or_default();
    }
    if distribution.name.is_empty() || distribution.version.is_empty() {
        return Err(GapCause::Damaged("it names no distribution or no version".to_owned()));
    }
    Ok(Evidence::Python(Some(distribution)))
}

/// `NAME-VERSION`, as the file or folder is called that holds the metadata; for eggs followed by `-pyX.Y` and a platform. The
/// binary distribution format escapes other hyphens.
fn named_by_path(path: &EntryPath) -> Option<(Option<String>, Option<String>)> {
    let is_holder =
        |name: &&[u8]| [&b".dist-info"[..], b".egg-info", b".egg"].iter().any(|end| name.ends_with(end));
    let holder = path.components().filter(is_holder).last()?;
    let stem = &holder[..holder.iter().rposition(|&byte| byte == b'.')?];
    let mut parts = stem.split(|&byte| byte == b'-');
    Some((parts.next().and_then(text), parts.next().and_then(text)))
}

fn read_headers(source: Source<'_>) -> Result<PythonDistribution, GapCause> {
    let mut lines = Lines::new(source);
    let mut headers = Headers::default();
    while let Some(line) = lines.next()? {
        if line.is_empty() {
            break;
        }
        headers.read_line(line);
    }
    Ok(headers.finish())
}

/// The headers of one distribution. Of one that may come once only the first counts, as for pip.
#[derive(Default)]
struct Headers {
    field: Option<Field>,
    /// Of the header that is being read, folded lines joined by line ends.
    value: Vec<u8>,
    name: Option<String>,
    version: Option<String>,
    expression: Option<String>,
    license: Option<String>,
    classified: BTreeSet<String>,
}

#[derive(Clone, Copy)]
enum Field {
    Name,
    Version,
    Expression,
    License,
    Classifier,
}

impl Headers {
    fn read_line(&mut self, line: &[u8]) {
        if line.starts_with(b" ") || line.starts_with(b"\t") {
            if self.field.is_some() && self.value.len() <= HEADER {
                self.value.push(b'\n');
                let room = (HEADER + 1).saturating_sub(self.value.len());
                self.value.extend(line.trim_ascii().iter().take(room));
            }
            return;
        }
        self.end_field();
        let Some(colon) = line.iter().position(|&byte| byte == b':') else { return };
        self.field = match line[..colon].trim_ascii_end().to_ascii_lowercase().as_slice() {
            b"name" => Some(Field::Name),
            b"version" => Some(Field::Version),
            b"license-expression" => Some(Field::Expression),
            b"license" => Some(Field::License),
            b"classifier" => Some(Field::Classifier),
            _ => None,
        };
        if self.field.is_some() {
            self.value.extend(line[colon + 1..].trim_ascii().iter().take(HEADER + 1));
        }
    }

    fn end_field(&mut self) {
        let value = std::mem::take(&mut self.value);
        let known = || text(&value).filter(|value| !value.eq_ignore_ascii_case("unknown"));
        match self.field.take() {
            Some(Field::Name) if self.name.is_none() => self.name = text(&value),
            Some(Field::Version) if self.version.is_none() => self.version = text(&value),
            Some(Field::Expression) if self.expression.is_none() => self.expression = known(),
            // More than a line is the licence itself and not its name.
            Some(Field::License) if self.license.is_none() && !value.trim_ascii().contains(&b'\n') => {
                self.license = known().filter(|license| license.len() <= LICENSE);
            }
            Some(Field::Classifier) if self.classified.len() < LICENSES => {
                let classifier = text(&value).unwrap_or_default();
                let license = classifier.strip_prefix("License ::").and_then(|rest| rest.rsplit("::").next());
                // `OSI Approved` alone is a class of licences.
                let license = license.map(str::trim).filter(|name| !name.is_empty() && *name != "OSI Approved");
                self.classified.extend(license.filter(|name| name.len() <= LICENSE).map(ToOwned::to_owned));
            }
            _ => {}
        }
    }

    fn finish(mut self) -> PythonDistribution {
        self.end_field();
        let stated = self.expression.or(self.license);
        let licenses = stated.map_or_else(|| self.classified.into_iter().collect(), |license| vec![license]);
        let (name, version) = (self.name.unwrap_or_default(), self.version.unwrap_or_default());
        PythonDistribution { name, version, licenses }
    }
}

fn assemble(squashed: &Squashed, assembly: &mut Assembly) {
    for sighting in squashed.sightings() {
        let Evidence::Python(Some(distribution)) = sighting.evidence else { continue };
        assembly.packages.push(Package {
            licenses: distribution.licenses.clone(),
            locations: vec![sighting.location()],
            ..Package::new(PackageType::Pypi, distribution.name.clone(), distribution.version.clone())
        });
    }
}

impl PythonDistribution {
    /// About how many bytes of memory it takes.
    pub(super) fn weight(&self) -> usize {
        let licenses: usize = self.licenses.iter().map(|license| license.len() + size_of::<String>()).sum();
        self.name.len() + self.version.len() + licenses
    }
}

#[cfg(test)]
mod tests;
