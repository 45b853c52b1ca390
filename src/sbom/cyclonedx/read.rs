//! Reading, through a narrow view: only the fields that matter, from our own documents and from those of other tools.
//!
//! What is read comes from logs, caches and people, and is not to be trusted.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{FORMAT, Subject, VERSIONS, names};
use crate::package::{Distro, Location, Package, PackageType, SourcePackage};
use crate::sbom::Gap;
use crate::sbom::document::{Collected, Document, MAX_COMPONENTS, ReadError, check_bounds, or_null};
use crate::sbom::purl::{Described, Purl, os_release_id};
use crate::sbom::unread::Lack;

/// Kinds of components that are no software that somebody released under a version.
const NO_PACKAGES: [&str; 5] = ["operating-system", "container", "file", "data", "cryptographic-asset"];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct View {
    bom_format: String,
    spec_version: Option<String>,
    #[serde(default, deserialize_with = "or_null")]
    metadata: MetadataView,
    #[serde(default, deserialize_with = "or_null")]
    components: Vec<ComponentView>,
}

#[derive(Default, Deserialize)]
struct MetadataView {
    timestamp: Option<String>,
    component: Option<Box<ComponentView>>,
    #[serde(default, deserialize_with = "or_null")]
    properties: Vec<PropertyView>,
}

#[derive(Default, Deserialize)]
struct ComponentView {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    name: String,
    version: Option<String>,
    purl: Option<String>,
    supplier: Option<SupplierView>,
    /// Where Syft puts what a package says of its maintainer.
    publisher: Option<String>,
    #[serde(default, deserialize_with = "or_null")]
    licenses: Vec<LicenseView>,
    #[serde(default, deserialize_with = "or_null")]
    properties: Vec<PropertyView>,
    /// Other tools nest components.
    #[serde(default, deserialize_with = "or_null")]
    components: Vec<ComponentView>,
}

#[derive(Deserialize)]
struct SupplierView {
    name: Option<String>,
}

#[derive(Deserialize)]
struct LicenseView {
    expression: Option<String>,
    license: Option<NamedLicense>,
}

#[derive(Deserialize)]
struct NamedLicense {
    id: Option<String>,
    name: Option<String>,
}

#[derive(Deserialize)]
pub(in crate::sbom) struct PropertyView {
    #[serde(default)]
    pub(in crate::sbom) name: String,
    #[serde(default)]
    pub(in crate::sbom) value: String,
}

/// Reads a CycloneDX document.
///
/// # Errors
/// It is no CycloneDX JSON, or too large. Components that are no packages of a known type are counted.
pub fn read(json: &[u8]) -> Result<Document, ReadError> {
    check_bounds(json)?;
    let wrong = |source| ReadError::Json { format: FORMAT, source };
    let mut view: View = serde_json::from_slice(json).map_err(wrong)?;
    if view.bom_format != FORMAT {
        return Err(ReadError::Format);
    }
    if let Some(version) = view.spec_version.filter(|version| !version.starts_with("1.")) {
        let version = version.chars().take(20).collect();
        return Err(ReadError::Version { format: FORMAT, version, known: VERSIONS });
    }
    let subject = subject(&view.metadata);
    let gaps = gaps(&view.metadata.properties);
    let about = view.metadata.component.as_mut();
    let name = about.as_ref().map(|component| component.name.clone()).filter(|name| !name.is_empty());
    let mut components = view.components;
    components.extend(about.map(|component| std::mem::take(&mut component.components)).unwrap_or_default());
    let (mut sbom, unread) = collect(components)?.finish();
    sbom.gaps = gaps;
    Ok(Document { sbom, subject, name, unread })
}

/// Packages and distributions of components and of those in them.
fn collect(mut components: Vec<ComponentView>) -> Result<Collected, ReadError> {
    let mut collected = Collected::default();
    let mut count = 0;
    components.reverse();
    while let Some(mut component) = components.pop() {
        count += 1;
        if count > MAX_COMPONENTS {
            return Err(ReadError::TooMany { what: "components", limit: MAX_COMPONENTS });
        }
        components.extend(std::mem::take(&mut component.components));
        if component.kind == "operating-system" {
            collected.named.push(distro(&component.name, component.version, &component.properties));
        } else if let Some(text) = component.purl.take() {
            let name = component.name.clone();
            let read = Purl::parse(&text).and_then(|purl| Ok((package(component, &purl)?, purl)));
            match read {
                Ok((package, purl)) => collected.add(package, &purl),
                Err(lack) => collected.unread.add(lack, if name.is_empty() { &text } else { &name }),
            }
        } else if !NO_PACKAGES.contains(&component.kind.as_str()) && !is_group_of_trivy(&component) {
            collected.unread.add(Lack::Purl, &component.name);
        }
    }
    Ok(collected)
}

/// Trivy writes a component for each lock file and each kind of package, to hang packages on.
fn is_group_of_trivy(component: &ComponentView) -> bool {
    component.kind == "application"
        && component.properties.iter().any(|property| property.name == names::TRIVY_CLASS)
}

fn package(component: ComponentView, purl: &Purl) -> Result<Package, Lack> {
    let properties: BTreeMap<&str, &str> =
        component.properties.iter().map(|property| (property.name.as_str(), property.value.as_str())).collect();
    let source = trivy_source(&properties);
    let package = purl.package(Described { name: component.name, version: component.version, source })?;
    let labels =
        [names::MODULARITY, names::TRIVY_MODULARITY].into_iter().filter_map(|name| properties.get(name));
    let label = labels.map(|label| (*label).to_owned()).find(|label| !label.is_empty());
    let modularity =
        label.filter(|_| package.package_type == PackageType::Rpm).or_else(|| package.modularity.clone());
    let licenses = component.licenses.into_iter().filter_map(|choice| {
        let named = choice.license.and_then(|license| license.id.or(license.name));
        choice.expression.or(named)
    });
    Ok(Package {
        licenses: licenses.collect(),
        supplier: component.supplier.and_then(|supplier| supplier.name).or(component.publisher),
        owner: properties.get(names::OWNER).map(|owner| (*owner).to_owned()),
        modularity,
        locations: locations(&component.properties),
        ..package
    })
}

fn trivy_source(properties: &BTreeMap<&str, &str>) -> Option<SourcePackage> {
    let name = properties.get(names::SOURCE_NAME)?;
    let mut version = (*properties.get(names::SOURCE_VERSION)?).to_owned();
    if let Some(release) = properties.get(names::SOURCE_RELEASE) {
        version = format!("{version}-{release}");
    }
    if let Some(epoch) = properties.get(names::SOURCE_EPOCH).filter(|epoch| **epoch != "0") {
        version = format!("{epoch}:{version}");
    }
    Some(SourcePackage { name: (*name).to_owned(), version })
}

/// Where a package was found, by Syft's properties or by Trivy's. Syft's paths begin with a slash.
pub(in crate::sbom) fn locations(properties: &[PropertyView]) -> Vec<Location> {
    let location = |path: &str, layer: Option<&str>| Location {
        path: path.trim_start_matches('/').to_owned(),
        layer: layer.and_then(|digest| digest.parse().ok()),
    };
    let fields = numbered(properties, names::LOCATION);
    let of_syft = fields
        .values()
        .filter_map(|fields| Some(location(fields.get("path")?, fields.get("layerID").copied())));
    let of_trivy =
        value(properties, names::TRIVY_PATH).map(|path| location(path, value(properties, names::TRIVY_LAYER)));
    of_syft.chain(of_trivy).collect()
}

pub(in crate::sbom) fn gaps(properties: &[PropertyView]) -> Vec<Gap> {
    let fields = numbered(properties, names::GAP);
    let field =
        |fields: &BTreeMap<&str, &str>, name: &str| fields.get(name).copied().unwrap_or_default().to_owned();
    fields.values().map(|fields| Gap { path: field(fields, "path"), reason: field(fields, "reason") }).collect()
}

/// Properties `PREFIX N:NAME` as a list of records, by number.
fn numbered<'a>(properties: &'a [PropertyView], prefix: &str) -> BTreeMap<u64, BTreeMap<&'a str, &'a str>> {
    let mut records: BTreeMap<u64, BTreeMap<&str, &str>> = BTreeMap::new();
    for property in properties {
        let Some(rest) = property.name.strip_prefix(prefix) else { continue };
        let (number, name) = rest.split_once(':').unwrap_or((rest, ""));
        if let Ok(number) = number.parse() {
            records.entry(number).or_default().insert(name, &property.value);
        }
    }
    records
}

/// A distribution by its component, and by what is said of it beside.
pub(in crate::sbom) fn distro(name: &str, version: Option<String>, properties: &[PropertyView]) -> Distro {
    let get = |name: &str| value(properties, name).map(ToOwned::to_owned);
    let id_like = numbered(properties, names::DISTRO_ID_LIKE);
    Distro {
        id: get(names::DISTRO_ID).unwrap_or_else(|| os_release_id(name)),
        version_id: get(names::DISTRO_VERSION_ID).or(version).filter(|version| !version.is_empty()),
        version_codename: get(names::DISTRO_CODENAME),
        id_like: id_like.values().filter_map(|fields| fields.get("")).map(|like| (*like).to_owned()).collect(),
        pretty_name: get(names::DISTRO_PRETTY_NAME),
    }
}

/// What is said of the image and of the bill of it, without its name and the time.
pub(in crate::sbom) fn image_facts(of_image: &[PropertyView], of_bill: &[PropertyView]) -> Subject {
    let layers = numbered(of_bill, names::LAYER);
    Subject {
        manifest: value(of_image, names::MANIFEST).and_then(|digest| digest.parse().ok()),
        config: value(of_image, names::CONFIG).and_then(|digest| digest.parse().ok()),
        platform: value(of_image, names::PLATFORM).and_then(platform),
        layers: layers.values().filter_map(|fields| fields.get("")?.parse().ok()).collect(),
        analysers: value(of_bill, names::ANALYSERS).map(ToOwned::to_owned),
        ..Subject::default()
    }
}

/// The value of the first property of a name.
pub(in crate::sbom) fn value<'a>(properties: &'a [PropertyView], name: &str) -> Option<&'a str> {
    properties.iter().find(|property| property.name == name).map(|property| property.value.as_str())
}

fn subject(metadata: &MetadataView) -> Subject {
    let created = metadata.timestamp.clone();
    let Some(component) = &metadata.component else {
        return Subject { created, ..image_facts(&[], &metadata.properties) };
    };
    let facts = image_facts(&component.properties, &metadata.properties);
    let is_image = component.kind == "container";
    // Syft names the manifest here.
    let version = component.version.as_deref().filter(|_| is_image);
    Subject {
        reference: component.name.parse().ok().filter(|_| is_image),
        manifest: facts.manifest.or_else(|| version?.parse().ok()),
        created,
        ..facts
    }
}

fn platform(text: &str) -> Option<crate::image::Platform> {
    let mut parts = text.splitn(3, '/').map(ToOwned::to_owned);
    Some(crate::image::Platform { os: parts.next()?, architecture: parts.next()?, variant: parts.next() })
}
