//! Reading, through a narrow view: only the fields that matter, from our own documents and from those of other tools.
//!
//! What is read comes from logs, caches and people, and is not to be trusted.

use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;
use serde::Deserialize;

use super::{Subject, names};
use crate::package::{Distro, Location, Package, PackageType, SourcePackage};
use crate::sbom::{Gap, Sbom};

/// Largest document that is read. The bill of an image of 10,000 packages takes about 10 MiB.
const DOCUMENT: usize = 64 << 20;

/// A bill of materials as it was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Document {
    /// The bill.
    pub sbom: Sbom,
    /// What it is about.
    pub subject: Subject,
    /// Number of components with a purl of a type that is not known here.
    pub skipped: usize,
}

/// A document that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It is larger than any bill of materials.
    #[error("the document has {0} bytes, more than the {DOCUMENT} that are read")]
    TooLarge(usize),
    /// It is no JSON, or not of this shape.
    #[error("the document is no CycloneDX JSON")]
    Json(#[source] serde_json::Error),
    /// It is JSON of another kind.
    #[error("the document is no CycloneDX: its format is {0:?}")]
    Format(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct View {
    bom_format: String,
    #[serde(default)]
    metadata: MetadataView,
    #[serde(default)]
    components: Vec<ComponentView>,
}

#[derive(Default, Deserialize)]
struct MetadataView {
    timestamp: Option<String>,
    component: Option<Box<ComponentView>>,
    #[serde(default)]
    properties: Vec<PropertyView>,
}

#[derive(Deserialize)]
struct ComponentView {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    name: String,
    version: Option<String>,
    purl: Option<String>,
    supplier: Option<SupplierView>,
    #[serde(default)]
    licenses: Vec<LicenseView>,
    #[serde(default)]
    properties: Vec<PropertyView>,
    /// Other tools nest components.
    #[serde(default)]
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
struct PropertyView {
    #[serde(default)]
    name: String,
    #[serde(default)]
    value: String,
}

/// Reads a CycloneDX document.
///
/// # Errors
/// It is no CycloneDX JSON, or too large. Components that are no packages of a known type are passed over.
pub fn read(json: &[u8]) -> Result<Document, ReadError> {
    if json.len() > DOCUMENT {
        return Err(ReadError::TooLarge(json.len()));
    }
    // serde_json bounds the nesting.
    let view: View = serde_json::from_slice(json).map_err(ReadError::Json)?;
    if view.bom_format != "CycloneDX" {
        return Err(ReadError::Format(view.bom_format.chars().take(100).collect()));
    }
    let mut document = Document::default();
    document.sbom.gaps = gaps(&view.metadata.properties);
    document.subject = subject(&view.metadata);
    let mut components: Vec<ComponentView> = view.components;
    components.reverse();
    while let Some(mut component) = components.pop() {
        components.extend(std::mem::take(&mut component.components));
        if component.kind == "operating-system" {
            document.sbom.distro.get_or_insert_with(|| distro(component));
        } else if component.purl.is_some() {
            match package(component) {
                Some(package) => document.sbom.packages.push(package),
                None => document.skipped += 1,
            }
        }
    }
    document.sbom.packages.sort_unstable();
    document.sbom.packages.dedup();
    Ok(document)
}

fn package(component: ComponentView) -> Option<Package> {
    let purl = Purl::parse(component.purl.as_deref()?)?;
    // Other tools leave the scope or group to the purl.
    let is_whole = !component.name.is_empty() && !purl.name.ends_with(&component.name);
    let name = if is_whole { component.name } else { purl.name };
    let mut version = component.version.filter(|version| !version.is_empty()).unwrap_or(purl.version);
    // Other tools leave the epoch of rpm to the purl.
    let epoch = purl.qualifiers.get("epoch").filter(|epoch| *epoch != "0" && !version.contains(':'));
    if let Some(epoch) = epoch.filter(|_| purl.package_type == PackageType::Rpm && !version.is_empty()) {
        version = format!("{epoch}:{version}");
    }
    // A Java archive may have been released without a version in it; others have one or are none.
    if name.is_empty() || (version.is_empty() && purl.package_type != PackageType::Maven) {
        return None;
    }
    let properties: BTreeMap<&str, &str> =
        component.properties.iter().map(|property| (property.name.as_str(), property.value.as_str())).collect();
    let source = trivy_source(&properties)
        .or_else(|| syft_source(purl.qualifiers.get("upstream")?, &version))
        .unwrap_or_else(|| SourcePackage { name: name.clone(), version: version.clone() });
    let source = Some(source).filter(|_| purl.package_type.is_of_distribution());
    let labels =
        [names::MODULARITY, names::TRIVY_MODULARITY].into_iter().filter_map(|name| properties.get(name));
    let mut labels = labels.map(|label| (*label).to_owned()).chain(purl.qualifiers.get("rpmmod").cloned());
    let modularity = labels.find(|label| !label.is_empty()).filter(|_| purl.package_type == PackageType::Rpm);
    let licenses = component.licenses.into_iter().filter_map(|choice| {
        let named = choice.license.and_then(|license| license.id.or(license.name));
        choice.expression.or(named)
    });
    Some(Package {
        package_type: purl.package_type,
        name,
        version,
        architecture: purl.qualifiers.get("arch").cloned(),
        source,
        licenses: licenses.collect(),
        supplier: component.supplier.and_then(|supplier| supplier.name),
        owner: properties.get(names::OWNER).map(|owner| (*owner).to_owned()),
        modularity,
        locations: locations(&component.properties),
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

/// `NAME@VERSION`, or the name alone when the version is that of the package; for rpm the source package's file.
fn syft_source(upstream: &str, version: &str) -> Option<SourcePackage> {
    if let Some(source) = SourcePackage::of_source_rpm(upstream) {
        return Some(source);
    }
    let (name, version) = upstream.split_once('@').unwrap_or((upstream, version));
    let is_whole = !name.is_empty() && !version.is_empty();
    is_whole.then(|| SourcePackage { name: name.to_owned(), version: version.to_owned() })
}

fn locations(properties: &[PropertyView]) -> Vec<Location> {
    let fields = numbered(properties, names::LOCATION);
    let location = |fields: &BTreeMap<&str, &str>| {
        let path = (*fields.get("path")?).to_owned();
        Some(Location { path, layer: fields.get("layerID").and_then(|digest| digest.parse().ok()) })
    };
    fields.values().filter_map(location).collect()
}

fn gaps(properties: &[PropertyView]) -> Vec<Gap> {
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

fn distro(component: ComponentView) -> Distro {
    let get = |name: &str| {
        component
            .properties
            .iter()
            .find(|property| property.name == name)
            .map(|property| property.value.clone())
    };
    let id_like = numbered(&component.properties, names::DISTRO_ID_LIKE);
    Distro {
        id: get(names::DISTRO_ID).unwrap_or(component.name),
        version_id: get(names::DISTRO_VERSION_ID).or(component.version).filter(|version| !version.is_empty()),
        version_codename: get(names::DISTRO_CODENAME),
        id_like: id_like.values().filter_map(|fields| fields.get("")).map(|like| (*like).to_owned()).collect(),
        pretty_name: get(names::DISTRO_PRETTY_NAME),
    }
}

fn subject(metadata: &MetadataView) -> Subject {
    let layers = numbered(&metadata.properties, names::LAYER);
    let layers = layers.values().filter_map(|fields| fields.get("")?.parse().ok()).collect();
    let analysers = metadata.properties.iter().find(|property| property.name == names::ANALYSERS);
    let analysers = analysers.map(|property| property.value.clone());
    let created = metadata.timestamp.clone();
    let Some(component) = &metadata.component else {
        return Subject { layers, analysers, created, ..Subject::default() };
    };
    let get = |name: &str| {
        let property = component.properties.iter().find(|property| property.name == name)?;
        Some(property.value.as_str())
    };
    let is_image = component.kind == "container";
    Subject {
        reference: component.name.parse().ok().filter(|_| is_image),
        manifest: get(names::MANIFEST).and_then(|digest| digest.parse().ok()),
        config: get(names::CONFIG).and_then(|digest| digest.parse().ok()),
        platform: get(names::PLATFORM).and_then(platform),
        layers,
        analysers,
        created,
    }
}

fn platform(text: &str) -> Option<crate::image::Platform> {
    let mut parts = text.splitn(3, '/').map(ToOwned::to_owned);
    Some(crate::image::Platform { os: parts.next()?, architecture: parts.next()?, variant: parts.next() })
}

/// The parts of a package URL that matter. purl-spec, "Parse".
struct Purl {
    package_type: PackageType,
    name: String,
    version: String,
    qualifiers: BTreeMap<String, String>,
}

impl Purl {
    fn parse(purl: &str) -> Option<Self> {
        let rest = purl.strip_prefix("pkg:")?.trim_start_matches('/');
        let rest = rest.split_once('#').map_or(rest, |(rest, _)| rest);
        let (path, qualifiers) = rest.split_once('?').unwrap_or((rest, ""));
        let (package_type, path) = path.split_once('/')?;
        let package_type = match package_type.to_ascii_lowercase().as_str() {
            "deb" => PackageType::Deb,
            "apk" => PackageType::Apk,
            "rpm" => PackageType::Rpm,
            "pypi" => PackageType::Pypi,
            "npm" => PackageType::Npm,
            "golang" => PackageType::Golang,
            "maven" => PackageType::Maven,
            _ => return None,
        };
        let (path, version) = path.rsplit_once('@').unwrap_or((path, ""));
        let (namespace, name) = path.rsplit_once('/').unwrap_or(("", path));
        let name = match package_type {
            PackageType::Npm | PackageType::Golang if !namespace.is_empty() => decode(path),
            PackageType::Maven if !namespace.is_empty() => format!("{}:{}", decode(namespace), decode(name)),
            _ => decode(name),
        };
        let pairs = qualifiers.split('&').filter_map(|pair| pair.split_once('='));
        let qualifiers = pairs.map(|(key, value)| (key.to_ascii_lowercase(), decode(value))).collect();
        Some(Self { package_type, name, version: decode(version), qualifiers })
    }
}

fn decode(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}
