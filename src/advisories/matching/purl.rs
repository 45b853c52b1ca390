//! Package URLs of findings: `pkg:deb/debian/libc6@2.36-9?arch=amd64&distro=debian-12&upstream=glibc`.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::package::{Distro, Package};

/// What stays as it is: the purl specification's unreserved characters, and the colon.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b':');

/// The package URL of an installed package of a distribution.
pub(super) fn purl(package: &Package, distro: Option<&Distro>) -> String {
    let encode = |text: &str| utf8_percent_encode(text, ENCODED).to_string();
    let kind = package.package_type.as_str();
    let namespace = distro.map(|distro| format!("{}/", encode(&distro.id))).unwrap_or_default();
    let mut qualifiers = Vec::new();
    if let Some(architecture) = &package.architecture {
        qualifiers.push(format!("arch={}", encode(architecture)));
    }
    if let Some((id, version)) = distro.and_then(|d| Some((&d.id, d.version_id.as_ref()?))) {
        qualifiers.push(format!("distro={}-{}", encode(id), encode(version)));
    }
    if let Some(source) = package.source.as_ref().filter(|source| source.name != package.name) {
        let version = Some(&source.version).filter(|version| **version != package.version);
        let version = version.map(|version| format!("@{version}")).unwrap_or_default();
        qualifiers.push(format!("upstream={}", encode(&format!("{}{version}", source.name))));
    }
    let qualifiers = if qualifiers.is_empty() { String::new() } else { format!("?{}", qualifiers.join("&")) };
    format!("pkg:{kind}/{namespace}{}@{}{qualifiers}", encode(&package.name), encode(&package.version))
}
