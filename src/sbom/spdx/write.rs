//! Writing SPDX 2.3 JSON.

use std::collections::BTreeMap;

use serde::Serialize;

use super::super::cyclonedx::Subject;
use super::super::cyclonedx::properties::{Properties, of_bill, of_distro, of_image, of_package};
use super::licenses::{Extracted, NOTHING_SAID};
use super::{BUILT_FROM, DOCUMENT, ROOT, UNKNOWN_TIME, annotations};
use crate::image::Digest;
use crate::package::{Distro, Package};
use crate::sbom::Sbom;

const TOOL: &str = concat!("Tool: kubectl-clarity-", env!("CARGO_PKG_VERSION"));

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    spdx_version: &'static str,
    data_license: &'static str,
    #[serde(rename = "SPDXID")]
    id: &'static str,
    name: String,
    #[serde(rename = "documentNamespace")]
    namespace: String,
    creation_info: Creation,
    packages: Vec<Item>,
    relationships: Vec<Relationship>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    has_extracted_licensing_infos: Vec<ExtractedLicense>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    annotations: Vec<Annotation>,
}

#[derive(Serialize)]
struct Creation {
    created: String,
    creators: [&'static str; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Item {
    #[serde(rename = "SPDXID")]
    id: String,
    name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    version_info: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    supplier: Option<String>,
    download_location: &'static str,
    files_analyzed: bool,
    license_concluded: &'static str,
    license_declared: String,
    copyright_text: &'static str,
    primary_package_purpose: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    source_info: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    external_refs: Vec<External>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    annotations: Vec<Annotation>,
}

#[derive(Serialize)]
struct External {
    #[serde(rename = "referenceCategory")]
    category: &'static str,
    #[serde(rename = "referenceType")]
    kind: &'static str,
    #[serde(rename = "referenceLocator")]
    locator: String,
}

#[derive(Serialize)]
struct Relationship {
    #[serde(rename = "spdxElementId")]
    of: &'static str,
    #[serde(rename = "relationshipType")]
    kind: &'static str,
    #[serde(rename = "relatedSpdxElement")]
    to: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ExtractedLicense {
    license_id: String,
    extracted_text: String,
    name: String,
}

#[derive(Serialize)]
struct Annotation {
    #[serde(rename = "annotationDate")]
    date: String,
    #[serde(rename = "annotationType")]
    kind: &'static str,
    annotator: &'static str,
    comment: String,
}

/// Writes a bill of materials as SPDX 2.3 JSON, indented. The same bill gives the same bytes. `name` is what the bill is of,
/// where that is no image.
///
/// # Panics
/// Never: a bill consists of what JSON can hold.
#[must_use]
pub fn write(sbom: &Sbom, subject: &Subject, name: Option<&str>) -> String {
    let created = subject.created.as_deref().and_then(time).unwrap_or_else(|| UNKNOWN_TIME.to_owned());
    let reference = subject.reference.as_ref().map(ToString::to_string);
    let name = reference.or_else(|| name.map(ToOwned::to_owned)).unwrap_or_else(|| "unnamed".to_owned());
    let mut writer = Writer { created: created.clone(), extracted: Extracted::default(), ids: BTreeMap::new() };
    let mut packages = vec![writer.root(subject, &name)];
    packages.extend(sbom.distro.as_ref().map(|distro| writer.system(distro)));
    packages.extend(sbom.packages.iter().map(|package| writer.package(package, sbom.distro.as_ref())));
    let contained =
        packages.iter().skip(1).map(|item| Relationship { of: ROOT, kind: "CONTAINS", to: item.id.clone() });
    let described = Relationship { of: DOCUMENT, kind: "DESCRIBES", to: ROOT.to_owned() };
    let relationships = std::iter::once(described).chain(contained).collect();
    let annotations = writer.annotations(&of_bill(sbom, subject));
    let extracted = writer.extracted.0.into_iter();
    let mut document = Document {
        spdx_version: "SPDX-2.3",
        data_license: "CC0-1.0",
        id: DOCUMENT,
        name,
        namespace: String::new(),
        creation_info: Creation { created, creators: [TOOL] },
        packages,
        relationships,
        has_extracted_licensing_infos: extracted
            .map(|(license_id, text)| ExtractedLicense { license_id, extracted_text: text.clone(), name: text })
            .collect(),
        annotations,
    };
    let json = |document: &Document| serde_json::to_string_pretty(document).expect("strings and lists");
    // Its name must be of no other document: that is one of other content.
    let digest = Digest::of(json(&document).as_bytes());
    document.namespace = format!("https://spdx.org/spdxdocs/kubectl-clarity-{}", digest.hex());
    let mut text = json(&document);
    text.push('\n');
    text
}

/// A time as SPDX has it, to the second.
fn time(text: &str) -> Option<String> {
    let time: jiff::Timestamp = text.parse().ok()?;
    Some(time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

struct Writer {
    created: String,
    extracted: Extracted,
    /// How many packages have had an id.
    ids: BTreeMap<String, usize>,
}

impl Writer {
    fn root(&self, subject: &Subject, name: &str) -> Item {
        let is_image = subject.reference.is_some();
        let purpose = if is_image { "CONTAINER" } else { "OTHER" };
        let version = subject.manifest.as_ref().map(ToString::to_string).unwrap_or_default();
        Item {
            annotations: self.annotations(&of_image(subject)),
            ..item(ROOT.to_owned(), name, &version, purpose)
        }
    }

    fn system(&self, distro: &Distro) -> Item {
        let version = distro.version_id.as_deref().unwrap_or_default();
        Item {
            annotations: self.annotations(&of_distro(distro)),
            ..item("SPDXRef-OperatingSystem".to_owned(), &distro.id, version, "OPERATING-SYSTEM")
        }
    }

    fn package(&mut self, package: &Package, distro: Option<&Distro>) -> Item {
        let id = self.id(package);
        let source = package.source.as_ref().filter(|_| package.package_type.is_of_distribution());
        let purl = External { category: "PACKAGE-MANAGER", kind: "purl", locator: package.purl(distro) };
        Item {
            supplier: package.supplier.as_deref().map(supplier),
            license_declared: self.extracted.expression(&package.licenses),
            source_info: source.map(|source| format!("{BUILT_FROM}{} {}", source.name, source.version)),
            external_refs: vec![purl],
            annotations: self.annotations(&of_package(package)),
            ..item(id, &package.name, &package.version, "LIBRARY")
        }
    }

    /// An id that says which package it is, and that no other has. Clause 7.2: letters, digits, `.` and `-`.
    fn id(&mut self, package: &Package) -> String {
        let plain = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' };
        let name: String = package.name.chars().take(100).map(plain).collect();
        let identity = format!("{} {}", package.purl(None), package.name);
        let digest = Digest::of(identity.as_bytes());
        let id = format!("SPDXRef-Package-{}-{name}-{}", package.package_type.as_str(), digest.short());
        let count = self.ids.entry(id.clone()).or_insert(0);
        *count += 1;
        if *count == 1 { id } else { format!("{id}-{count}") }
    }

    fn annotations(&self, properties: &Properties) -> Vec<Annotation> {
        let annotation =
            |comment| Annotation { date: self.created.clone(), kind: "OTHER", annotator: TOOL, comment };
        annotations::comment(properties).map(annotation).into_iter().collect()
    }
}

fn item(id: String, name: &str, version: &str, purpose: &'static str) -> Item {
    Item {
        id,
        name: name.to_owned(),
        version_info: version.to_owned(),
        supplier: None,
        download_location: NOTHING_SAID,
        files_analyzed: false,
        license_concluded: NOTHING_SAID,
        license_declared: NOTHING_SAID.to_owned(),
        copyright_text: NOTHING_SAID,
        primary_package_purpose: purpose,
        source_info: None,
        external_refs: Vec::new(),
        annotations: Vec::new(),
    }
}

/// A maintainer with an address is a person, or calls himself one; everything else is an organization. On one line, as the
/// form has it.
fn supplier(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let kind = if text.contains('@') { "Person" } else { "Organization" };
    format!("{kind}: {text}")
}
