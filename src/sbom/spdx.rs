//! SPDX JSON. Reading 2.2 and 2.3, through a narrow view: packages with their package URLs, and what they are about; writing 2.3.
//! SPDX specification 2.3, clauses 6 to 8, 11 and 12.

mod annotations;
mod licenses;
mod write;

use serde::Deserialize;

pub use write::write;

use super::cyclonedx::{self, PropertyView, Subject, names};
use super::document::{Collected, Document, MAX_COMPONENTS, ReadError, check_bounds, or_null};
use super::purl::{Described, Purl};
use super::unread::Lack;
use crate::package::{Distro, Package, SourcePackage};

/// Versions that are read.
pub(super) const VERSIONS: &str = "2.2 and 2.3";
const FORMAT: &str = "SPDX";
/// Id of the document itself.
const DOCUMENT: &str = "SPDXRef-DOCUMENT";
/// A document must say when it was made; what is not known was so at the beginning of time.
const UNKNOWN_TIME: &str = "1970-01-01T00:00:00Z";
/// Id of what our own documents are about.
const ROOT: &str = "SPDXRef-Root";
/// Trivy: the source package of a distribution's package follows, name and version.
const BUILT_FROM: &str = "built package from: ";
/// Trivy: ids of packages that are only there to hang other packages on, one for each lock file or kind.
const TRIVY_GROUP: &str = "SPDXRef-Application-";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct View {
    spdx_version: String,
    #[serde(default, deserialize_with = "or_null")]
    name: String,
    #[serde(default, deserialize_with = "or_null")]
    creation_info: CreationView,
    #[serde(default, deserialize_with = "or_null")]
    document_describes: Vec<String>,
    #[serde(default, deserialize_with = "or_null")]
    packages: Vec<PackageView>,
    #[serde(default, deserialize_with = "or_null")]
    relationships: Vec<RelationshipView>,
    #[serde(default, deserialize_with = "or_null")]
    annotations: Vec<AnnotationView>,
}

#[derive(Default, Deserialize)]
struct CreationView {
    created: Option<String>,
    #[serde(default, deserialize_with = "or_null")]
    creators: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PackageView {
    #[serde(rename = "SPDXID", default)]
    id: String,
    #[serde(default)]
    name: String,
    version_info: Option<String>,
    supplier: Option<String>,
    license_concluded: Option<String>,
    license_declared: Option<String>,
    primary_package_purpose: Option<String>,
    source_info: Option<String>,
    #[serde(default, deserialize_with = "or_null")]
    external_refs: Vec<ExternalView>,
    #[serde(default, deserialize_with = "or_null")]
    annotations: Vec<AnnotationView>,
}

#[derive(Deserialize)]
struct AnnotationView {
    #[serde(default)]
    comment: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ExternalView {
    #[serde(default)]
    reference_type: String,
    #[serde(default)]
    reference_locator: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RelationshipView {
    #[serde(default)]
    spdx_element_id: String,
    #[serde(default)]
    relationship_type: String,
    #[serde(default)]
    related_spdx_element: String,
}

/// Reads an SPDX document.
///
/// # Errors
/// It is no SPDX JSON of a known version, or too large. Packages without a package URL of a known type are counted.
pub(super) fn read(json: &[u8]) -> Result<Document, ReadError> {
    check_bounds(json)?;
    let wrong = |source| ReadError::Json { format: FORMAT, source };
    let view: View = serde_json::from_slice(json).map_err(wrong)?;
    if !["SPDX-2.2", "SPDX-2.3"].contains(&view.spdx_version.as_str()) {
        let version = view.spdx_version.trim_start_matches("SPDX-").chars().take(20).collect();
        return Err(ReadError::Version { format: FORMAT, version, known: VERSIONS });
    }
    if view.packages.len() > MAX_COMPONENTS {
        return Err(ReadError::TooMany { what: "packages", limit: MAX_COMPONENTS });
    }
    let root = view.root();
    let about = root.and_then(|root| view.packages.get(root));
    let (subject, name) = subject(about, &view);
    let gaps = cyclonedx::gaps(&properties(&view.annotations));
    let is_of_trivy = view.creation_info.creators.iter().any(|creator| creator.starts_with("Tool: trivy"));
    let is_alone = view.packages.len() == 1;
    let mut collected = Collected::default();
    for (index, package) in view.packages.into_iter().enumerate() {
        if package.is("OPERATING-SYSTEM") {
            collected.named.push(distro(package));
            continue;
        }
        // What the document is about is no part of it, unless it is all that there is.
        let is_subject = root == Some(index) && !is_alone;
        let is_group = is_of_trivy && package.id.starts_with(TRIVY_GROUP);
        let name = package.name.clone();
        match package.purl() {
            Some(Ok(purl)) => match package.into_package(&purl) {
                Ok(package) => collected.add(package, &purl),
                Err(_) if is_subject => {}
                Err(lack) => collected.unread.add(lack, &name),
            },
            _ if is_subject => {}
            Some(Err(lack)) => collected.unread.add(lack, &name),
            None if is_group || package.is("FILE") || package.is("CONTAINER") || package.id == ROOT => {}
            None => collected.unread.add(Lack::Purl, &name),
        }
    }
    let (mut sbom, unread) = collected.finish();
    sbom.gaps = gaps;
    Ok(Document { sbom, subject, name, unread })
}

impl View {
    /// The one package that the document is about; none if it describes several.
    fn root(&self) -> Option<usize> {
        let of_relations = self.relationships.iter().filter(|relation| {
            relation.relationship_type == "DESCRIBES" && relation.spdx_element_id == DOCUMENT
        });
        let of_relations = of_relations.map(|relation| relation.related_spdx_element.as_str());
        let mut described = of_relations.chain(self.document_describes.iter().map(String::as_str));
        let first = described.next()?;
        if described.any(|other| other != first) {
            return None;
        }
        self.packages.iter().position(|package| package.id == first)
    }
}

impl PackageView {
    fn is(&self, purpose: &str) -> bool {
        self.primary_package_purpose.as_deref().is_some_and(|own| own.replace('_', "-") == purpose)
    }

    /// Its package URL; the first of a known type, where there are several.
    fn purl(&self) -> Option<Result<Purl, Lack>> {
        let of_purls = self.external_refs.iter().filter(|external| {
            // 2.2 knows it also by its URI, which ends so.
            external.reference_type == "purl" || external.reference_type.ends_with("/purl")
        });
        let mut parsed = of_purls.map(|external| Purl::parse(&external.reference_locator));
        let first = parsed.next()?;
        if first.is_ok() {
            return Some(first);
        }
        Some(parsed.find(Result::is_ok).unwrap_or(first))
    }

    fn into_package(self, purl: &Purl) -> Result<Package, Lack> {
        let source = self.source_info.as_deref().and_then(trivy_source);
        let version = stated(self.version_info);
        // GitHub exports what a manifest asks for, which is not what is installed.
        if version.as_deref().is_some_and(|version| version.starts_with(['^', '~', '<', '>', '=', '*'])) {
            return Err(Lack::Version);
        }
        let package = purl.package(Described { name: self.name, version, source })?;
        let license = stated(self.license_concluded).or_else(|| stated(self.license_declared));
        let supplier = stated(self.supplier).map(|supplier| {
            let kinds = ["Organization: ", "Person: ", "Tool: "];
            kinds.iter().find_map(|kind| supplier.strip_prefix(kind)).unwrap_or(&supplier).to_owned()
        });
        let properties = properties(&self.annotations);
        Ok(Package {
            licenses: license.into_iter().collect(),
            supplier,
            owner: cyclonedx::value(&properties, names::OWNER).map(ToOwned::to_owned),
            locations: cyclonedx::locations(&properties),
            ..package
        })
    }
}

/// A text that says something: SPDX has words for "nothing is said" and "there is none".
fn stated(text: Option<String>) -> Option<String> {
    text.filter(|text| !["", "NOASSERTION", "NONE"].contains(&text.as_str()))
}

/// `built package from: util-linux 2.38.1-5`
fn trivy_source(info: &str) -> Option<SourcePackage> {
    let (name, version) = info.strip_prefix(BUILT_FROM)?.split_once(' ')?;
    let is_whole = !name.is_empty() && !version.is_empty();
    is_whole.then(|| SourcePackage { name: name.to_owned(), version: version.to_owned() })
}

fn distro(package: PackageView) -> Distro {
    let version = stated(package.version_info);
    cyclonedx::distro(&package.name, version, &properties(&package.annotations))
}

/// What our own documents say in annotations.
fn properties(annotations: &[AnnotationView]) -> Vec<PropertyView> {
    annotations.iter().flat_map(|annotation| annotations::read(&annotation.comment)).collect()
}

/// What the document is about, and what it calls that: the name of its subject, else its own.
fn subject(about: Option<&PackageView>, view: &View) -> (Subject, Option<String>) {
    let created = view.creation_info.created.clone().filter(|created| created != UNKNOWN_TIME);
    let of_bill = properties(&view.annotations);
    let own_name = Some(view.name.clone()).filter(|name| !name.is_empty());
    let Some(about) = about.filter(|about| !about.name.is_empty()) else {
        return (Subject { created, ..cyclonedx::image_facts(&[], &of_bill) }, own_name);
    };
    let version = about.version_info.as_deref().unwrap_or_default();
    // Syft writes name and tag (or digest) apart, Trivy as one.
    let has_version = about.name.rsplit('/').next().is_some_and(|last| last.contains([':', '@']));
    let name = match version {
        "" => about.name.clone(),
        _ if has_version => about.name.clone(),
        digest if digest.starts_with("sha256:") => format!("{}@{digest}", about.name),
        tag => format!("{}:{tag}", about.name),
    };
    if !about.is("CONTAINER") {
        return (Subject { created, ..cyclonedx::image_facts(&[], &of_bill) }, Some(about.name.clone()));
    }
    let facts = cyclonedx::image_facts(&properties(&about.annotations), &of_bill);
    let manifest = facts.manifest.clone().or_else(|| version.parse().ok());
    (Subject { reference: name.parse().ok(), manifest, created, ..facts }, Some(name))
}

#[cfg(test)]
mod tests;
