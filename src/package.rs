//! Packages as they are installed in an image, and the distribution that they belong to.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};

/// The distribution of an image, from `os-release`. Field names are those of os-release(5).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Distro {
    /// `ID`, lower case: `debian`, `alpine`, `ubuntu`.
    pub id: String,
    /// `VERSION_ID`, absent on rolling releases.
    pub version_id: Option<String>,
    /// `VERSION_CODENAME`.
    pub version_codename: Option<String>,
    /// `ID_LIKE`, split at white space.
    pub id_like: Vec<String>,
    /// `PRETTY_NAME`, for people.
    pub pretty_name: Option<String>,
}

/// What kind of package it is: the `type` of its purl.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PackageType {
    /// dpkg.
    Deb,
    /// Alpine's apk.
    Apk,
}

/// The source package that a binary package was built from; advisories often name it instead.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SourcePackage {
    /// Name of the source package (dpkg `Source`, apk `origin`).
    pub name: String,
    /// Its version, which may differ from that of the binary package.
    pub version: String,
}

/// Where in the image the evidence of a package lies.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Location {
    /// Path from the image's root, without a leading slash.
    pub path: String,
    /// Diff id of the layer that brought it (the digest of the uncompressed tar); unknown when a mount was read.
    pub layer: Option<crate::image::Digest>,
}

/// One installed package.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Package {
    /// Kind of package.
    pub package_type: PackageType,
    /// Name in the package manager's own words.
    pub name: String,
    /// Version in the package manager's own words, epoch included.
    pub version: String,
    /// Architecture, where the package manager keeps one.
    pub architecture: Option<String>,
    /// The source package, when it is known; for dpkg and apk always filled in.
    pub source: Option<SourcePackage>,
    /// Licences as the package states them; not yet an SPDX expression.
    pub licenses: Vec<String>,
    /// Maintainer or vendor as the package states it.
    pub supplier: Option<String>,
    /// Where the evidence lies.
    pub locations: Vec<Location>,
}

impl PackageType {
    /// The `type` of a purl.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deb => "deb",
            Self::Apk => "apk",
        }
    }
}

impl Package {
    /// The package URL, as Syft writes it and Grype reads it: `pkg:deb/debian/libc6@2.36-9?arch=amd64&distro=debian-12&…`.
    ///
    /// `upstream` names the source package where it is another than the package itself. purl-spec, "deb" and "apk".
    #[must_use]
    pub fn purl(&self, distro: Option<&Distro>) -> String {
        let mut purl = format!("pkg:{}/", self.package_type.as_str());
        if let Some(distro) = distro.filter(|distro| !distro.id.is_empty()) {
            push_encoded(&mut purl, &distro.id);
            purl.push('/');
        }
        push_encoded(&mut purl, &self.name);
        purl.push('@');
        push_encoded(&mut purl, &self.version);
        let upstream = self.source.as_ref().and_then(|source| self.upstream(source));
        let qualifiers = [
            ("arch", self.architecture.clone()),
            ("distro", distro.and_then(Distro::release)),
            ("upstream", upstream),
        ];
        let mut separator = '?';
        for (key, value) in qualifiers {
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                purl.push(separator);
                purl.push_str(key);
                purl.push('=');
                push_encoded(&mut purl, &value);
                separator = '&';
            }
        }
        purl
    }

    fn upstream(&self, source: &SourcePackage) -> Option<String> {
        if source.version != self.version {
            Some(format!("{}@{}", source.name, source.version))
        } else if source.name != self.name {
            Some(source.name.clone())
        } else {
            None
        }
    }
}

impl Distro {
    /// `debian-12`, or `debian-sid` where there is a name and no number.
    #[must_use]
    pub fn release(&self) -> Option<String> {
        let version = self.version_id.as_ref().or(self.version_codename.as_ref());
        match version {
            _ if self.id.is_empty() => None,
            Some(version) => Some(format!("{}-{version}", self.id)),
            None => Some(self.id.clone()),
        }
    }
}

/// What stays as it is in a purl: unreserved characters, and the colon, which purl-spec leaves alone.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b':');

fn push_encoded(purl: &mut String, text: &str) {
    purl.extend(utf8_percent_encode(text, PLAIN));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, version: &str, source: Option<(&str, &str)>) -> Package {
        Package {
            package_type: PackageType::Deb,
            name: name.to_owned(),
            version: version.to_owned(),
            architecture: Some("amd64".to_owned()),
            source: source
                .map(|(name, version)| SourcePackage { name: name.to_owned(), version: version.to_owned() }),
            licenses: Vec::new(),
            supplier: None,
            locations: Vec::new(),
        }
    }

    fn debian() -> Distro {
        Distro { id: "debian".to_owned(), version_id: Some("12".to_owned()), ..Distro::default() }
    }

    #[test]
    fn purl_names_the_source_where_it_differs() {
        let distro = debian();
        for (package, purl) in [
            (
                package("bsdutils", "1:2.38.1-5+deb12u1", Some(("util-linux", "2.38.1-5+deb12u1"))),
                "pkg:deb/debian/bsdutils@1:2.38.1-5%2Bdeb12u1?arch=amd64&distro=debian-12&upstream=util-linux%402.38.1-5%2Bdeb12u1",
            ),
            (
                package("libc6", "2.36-9", Some(("glibc", "2.36-9"))),
                "pkg:deb/debian/libc6@2.36-9?arch=amd64&distro=debian-12&upstream=glibc",
            ),
            (
                package("bash", "5.2", Some(("bash", "5.2"))),
                "pkg:deb/debian/bash@5.2?arch=amd64&distro=debian-12",
            ),
        ] {
            assert_eq!(package.purl(Some(&distro)), purl);
        }
        assert_eq!(package("a", "1", None).purl(None), "pkg:deb/a@1?arch=amd64");
    }
}
