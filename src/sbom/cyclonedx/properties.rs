//! What a form of bills of materials has no word for, as names and values; both forms carry the same.

use super::{Subject, names};
use crate::package::{Distro, Package};
use crate::sbom::Sbom;

/// Names and values.
pub(in crate::sbom) type Properties = Vec<(String, String)>;

/// Of the bill itself: who read it, what could not be read, and the layers.
pub(in crate::sbom) fn of_bill(sbom: &Sbom, subject: &Subject) -> Properties {
    let analysers = subject.analysers.iter().map(|analysers| (names::ANALYSERS.to_owned(), analysers.clone()));
    let mut properties: Properties = analysers.collect();
    for (index, gap) in sbom.gaps.iter().enumerate() {
        properties.push((format!("{}{index}:path", names::GAP), gap.path.clone()));
        properties.push((format!("{}{index}:reason", names::GAP), gap.reason.clone()));
    }
    for (index, layer) in subject.layers.iter().enumerate() {
        properties.push((format!("{}{index}", names::LAYER), layer.to_string()));
    }
    properties
}

/// Of the image.
pub(in crate::sbom) fn of_image(subject: &Subject) -> Properties {
    let digests = [(names::MANIFEST, &subject.manifest), (names::CONFIG, &subject.config)];
    let digests = digests.into_iter().filter_map(|(name, digest)| Some((name, digest.as_ref()?.to_string())));
    let platform = subject.platform.iter().map(|platform| (names::PLATFORM, platform.to_string()));
    digests.chain(platform).map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Of a distribution.
pub(in crate::sbom) fn of_distro(distro: &Distro) -> Properties {
    let mut properties = vec![(names::DISTRO_ID.to_owned(), distro.id.clone())];
    for (index, like) in distro.id_like.iter().enumerate() {
        properties.push((format!("{}{index}", names::DISTRO_ID_LIKE), like.clone()));
    }
    let optional = [
        (names::DISTRO_PRETTY_NAME, &distro.pretty_name),
        (names::DISTRO_CODENAME, &distro.version_codename),
        (names::DISTRO_VERSION_ID, &distro.version_id),
    ];
    properties.extend(optional.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value.clone()?))));
    properties
}

/// Of a package.
pub(in crate::sbom) fn of_package(package: &Package) -> Properties {
    let mut properties = vec![(names::PACKAGE_TYPE.to_owned(), package.package_type.as_str().to_owned())];
    if let Some(source) = &package.source {
        properties.push((names::SOURCE_NAME.to_owned(), source.name.clone()));
        properties.push((names::SOURCE_VERSION.to_owned(), source.version.clone()));
    }
    let optional = [(names::OWNER, &package.owner), (names::MODULARITY, &package.modularity)];
    properties.extend(optional.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value.clone()?))));
    for (index, location) in package.locations.iter().enumerate() {
        properties.push((format!("{}{index}:path", names::LOCATION), location.path.clone()));
        if let Some(layer) = &location.layer {
            properties.push((format!("{}{index}:layerID", names::LOCATION), layer.to_string()));
        }
    }
    properties
}
