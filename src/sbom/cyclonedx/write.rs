//! Writing, by `cyclonedx-bom`.

use std::collections::{HashMap, HashSet};
use std::str::FromStr as _;

use cyclonedx_bom::external_models::date_time::DateTime;
use cyclonedx_bom::external_models::normalized_string::NormalizedString;
use cyclonedx_bom::external_models::spdx::{SpdxExpression, SpdxIdentifier};
use cyclonedx_bom::external_models::uri::Purl;
use cyclonedx_bom::models::bom::{Bom, SpecVersion};
use cyclonedx_bom::models::component::{Classification, Component, Components};
use cyclonedx_bom::models::license::{License, LicenseChoice, LicenseIdentifier, Licenses};
use cyclonedx_bom::models::metadata::Metadata;
use cyclonedx_bom::models::organization::OrganizationalEntity;
use cyclonedx_bom::models::property::{Properties, Property};
use cyclonedx_bom::models::tool::Tools;

use super::{Subject, names, properties};
use crate::package::{Distro, Package};
use crate::sbom::Sbom;

/// A bill of materials could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The time given is none.
    #[error("{0:?} is not a time")]
    Created(String),
    /// The library refused.
    #[error("cannot write the bill of materials as CycloneDX")]
    Format(#[source] cyclonedx_bom::errors::JsonWriteError),
}

/// Writes a bill of materials as CycloneDX 1.5 JSON.
///
/// # Errors
/// [`Subject::created`] is no time.
pub fn write(sbom: &Sbom, subject: &Subject) -> Result<Vec<u8>, WriteError> {
    let mut refs = References::default();
    let system = sbom.distro.iter().map(operating_system);
    let packages = sbom.packages.iter().map(|package| library(package, sbom.distro.as_ref(), &mut refs));
    let components = system.chain(packages).collect();
    let bom = Bom {
        version: 1,
        serial_number: None,
        metadata: Some(metadata(sbom, subject)?),
        components: Some(Components(components)),
        services: None,
        external_references: None,
        dependencies: None,
        compositions: None,
        properties: None,
        vulnerabilities: None,
        signature: None,
        annotations: None,
        formulation: None,
        spec_version: SpecVersion::V1_5,
    };
    let mut json = Vec::new();
    bom.output_as_json(&mut json, SpecVersion::V1_5).map_err(WriteError::Format)?;
    Ok(json)
}

fn metadata(sbom: &Sbom, subject: &Subject) -> Result<Metadata, WriteError> {
    let timestamp = match &subject.created {
        None => None,
        Some(time) => Some(DateTime::try_from(time.clone()).map_err(|_| WriteError::Created(time.clone()))?),
    };
    let tool = Component::new(Classification::Application, names::TOOL, env!("CARGO_PKG_VERSION"), None);
    Ok(Metadata {
        timestamp,
        tools: Some(Tools::Object { services: None, components: Some(Components(vec![tool])) }),
        component: image(subject),
        properties: some_properties(properties::of_bill(sbom, subject)),
        ..Metadata::default()
    })
}

/// The image itself; none if nothing is known of it.
fn image(subject: &Subject) -> Option<Component> {
    let properties = properties::of_image(subject);
    if subject.reference.is_none() && properties.is_empty() {
        return None;
    }
    let name = subject.reference.as_ref().map(ToString::to_string).unwrap_or_default();
    let mut component = Component::new(Classification::Container, &name, "", None);
    component.version = subject.manifest.as_ref().map(|digest| NormalizedString::new(digest.as_str()));
    component.properties = some_properties(properties);
    Some(component)
}

fn operating_system(distro: &Distro) -> Component {
    let mut component = Component::new(Classification::OperatingSystem, &distro.id, "", None);
    component.bom_ref = Some(format!("os:{}", distro.release().unwrap_or_default()));
    component.version = distro.version_id.as_deref().map(NormalizedString::new);
    component.description = distro.pretty_name.as_deref().map(NormalizedString::new);
    component.properties = some_properties(properties::of_distro(distro));
    component
}

fn library(package: &Package, distro: Option<&Distro>, refs: &mut References) -> Component {
    let purl = package.purl(distro);
    let mut component = Component::new(Classification::Library, &package.name, &package.version, None);
    component.version = component.version.filter(|version| !version.is_empty());
    component.bom_ref = Some(refs.unique(&purl));
    component.purl = Purl::from_str(&purl).ok();
    component.supplier = package.supplier.as_deref().map(OrganizationalEntity::new);
    component.licenses = licenses(&package.licenses);
    component.properties = some_properties(properties::of_package(package));
    component
}

/// References of components, each of which is used once.
#[derive(Default)]
struct References {
    used: HashSet<String>,
    /// The next number to try behind a purl that came before: some images have thousands of packages that differ in little.
    next: HashMap<String, u64>,
}

impl References {
    /// A reference that no other component has.
    fn unique(&mut self, purl: &str) -> String {
        if self.used.insert(purl.to_owned()) {
            return purl.to_owned();
        }
        let next = self.next.entry(purl.to_owned()).or_insert(2);
        loop {
            let candidate = format!("{purl}#{next}");
            *next += 1;
            if self.used.insert(candidate.clone()) {
                return candidate;
            }
        }
    }
}

/// An SPDX expression stands alone; otherwise each licence by its SPDX id, if it has one, or by name.
fn licenses(texts: &[String]) -> Option<Licenses> {
    if let [text] = texts {
        let is_compound = text.contains(' ') || (text.ends_with('+') && !is_id(text));
        if let Some(expression) = SpdxExpression::try_from(text.clone()).ok().filter(|_| is_compound) {
            return Some(Licenses(vec![LicenseChoice::Expression(expression)]));
        }
    }
    let choice = |text: &String| {
        let mut license = License::named_license(text);
        if let Some(id) = SpdxIdentifier::try_from(text.clone()).ok().filter(|_| is_id(text)) {
            license.license_identifier = LicenseIdentifier::SpdxId(id);
        }
        LicenseChoice::License(license)
    };
    (!texts.is_empty()).then(|| Licenses(texts.iter().map(choice).collect()))
}

/// Whether what the library takes for an id can be one: it also takes ids with a plus, of which SPDX's list has but these, and
/// words that say that there is none.
fn is_id(text: &str) -> bool {
    const WITH_PLUS: [&str; 6] = ["GPL-1.0+", "GPL-2.0+", "GPL-3.0+", "LGPL-2.0+", "LGPL-2.1+", "LGPL-3.0+"];
    !matches!(text, "NOASSERTION" | "NONE") && (!text.ends_with('+') || WITH_PLUS.contains(&text))
}

fn some_properties(properties: properties::Properties) -> Option<Properties> {
    let properties: Vec<Property> =
        properties.into_iter().map(|(name, value)| Property::new(name, &value)).collect();
    (!properties.is_empty()).then_some(Properties(properties))
}
