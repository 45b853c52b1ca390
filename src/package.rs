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
    /// rpm.
    Rpm,
    /// Python distributions; the name as the metadata writes it.
    Pypi,
    /// Node packages; a scope is part of the name: `@babel/core`.
    Npm,
    /// Go modules, the standard library among them as `stdlib`; the name is the module path.
    Golang,
    /// Java archives; the name is `group:artifact`, or the artifact alone where no group is confirmed.
    Maven,
    /// Ruby gems.
    Gem,
    /// .NET packages; names have no case.
    Nuget,
    /// Rust crates.
    Cargo,
    /// PHP packages; the name is `vendor/name`.
    Composer,
    /// Packages of Erlang and Elixir; one of an organization is named `organization/name`.
    Hex,
    /// Dart packages.
    Pub,
    /// Components of Bitnami's images.
    Bitnami,
    /// Haskell packages.
    Hackage,
    /// R packages.
    Cran,
    /// Swift packages; the name is where the source lies: `github.com/apple/swift-nio`.
    Swift,
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
    /// Version in the package manager's own words, epoch included; empty for a Java archive that nobody gave one.
    pub version: String,
    /// Architecture, where the package manager keeps one.
    pub architecture: Option<String>,
    /// The source package of a distribution's package, when it is known; for dpkg and apk always filled in.
    pub source: Option<SourcePackage>,
    /// Licences as the package states them; not yet an SPDX expression.
    pub licenses: Vec<String>,
    /// Maintainer or vendor as the package states it.
    pub supplier: Option<String>,
    /// The distribution's package that owns its files: advisories of the distribution speak for it.
    pub owner: Option<String>,
    /// The module of rpm that it was built for, `NAME:STREAM:VERSION:CONTEXT`, where it is known.
    pub modularity: Option<String>,
    /// Where the evidence lies.
    pub locations: Vec<Location>,
}

impl PackageType {
    /// All of them.
    pub const ALL: [Self; 17] = [
        Self::Deb,
        Self::Apk,
        Self::Rpm,
        Self::Pypi,
        Self::Npm,
        Self::Golang,
        Self::Maven,
        Self::Gem,
        Self::Nuget,
        Self::Cargo,
        Self::Composer,
        Self::Hex,
        Self::Pub,
        Self::Bitnami,
        Self::Hackage,
        Self::Cran,
        Self::Swift,
    ];

    /// The `type` of a purl.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deb => "deb",
            Self::Apk => "apk",
            Self::Rpm => "rpm",
            Self::Pypi => "pypi",
            Self::Npm => "npm",
            Self::Golang => "golang",
            Self::Maven => "maven",
            Self::Gem => "gem",
            Self::Nuget => "nuget",
            Self::Cargo => "cargo",
            Self::Composer => "composer",
            Self::Hex => "hex",
            Self::Pub => "pub",
            Self::Bitnami => "bitnami",
            Self::Hackage => "hackage",
            Self::Cran => "cran",
            Self::Swift => "swift",
        }
    }

    /// Whether the packages are those of a distribution, and not of a programming language or a vendor.
    #[must_use]
    pub fn is_of_distribution(self) -> bool {
        matches!(self, Self::Deb | Self::Apk | Self::Rpm)
    }

    /// Whether purl-spec has the names in lower case only. Those of .NET have no case either, but keep it.
    #[must_use]
    pub fn is_lower_case(self) -> bool {
        matches!(self, Self::Composer | Self::Hex | Self::Pub | Self::Bitnami)
    }
}

impl SourcePackage {
    /// Name and version of the file name of a source package of rpm: `bash-5.1.8-6.el9.src.rpm`. The epoch is not part of it.
    #[must_use]
    pub fn of_source_rpm(file: &str) -> Option<Self> {
        let stem = file.strip_suffix(".src.rpm").or_else(|| file.strip_suffix(".nosrc.rpm"))?;
        let (rest, _release) = stem.rsplit_once('-')?;
        let (name, _version) = rest.rsplit_once('-').filter(|(name, _)| !name.is_empty())?;
        Some(Self { name: name.to_owned(), version: stem[name.len() + 1..].to_owned() })
    }
}

impl Package {
    /// A package of which no more is known than this.
    #[must_use]
    pub fn new(package_type: PackageType, name: impl Into<String>, version: impl Into<String>) -> Self {
        Self {
            package_type,
            name: name.into(),
            version: version.into(),
            architecture: None,
            source: None,
            licenses: Vec::new(),
            supplier: None,
            owner: None,
            modularity: None,
            locations: Vec::new(),
        }
    }

    /// The package URL, as Syft writes it and Grype reads it: `pkg:deb/debian/libc6@2.36-9?arch=amd64&distro=debian-12&…`.
    ///
    /// `upstream` names the source package where it is another than the package itself, for rpm its file. purl-spec,
    /// "Known purl types".
    #[must_use]
    pub fn purl(&self, distro: Option<&Distro>) -> String {
        let mut purl = format!("pkg:{}/", self.package_type.as_str());
        let distro = distro.filter(|distro| self.package_type.is_of_distribution() && !distro.id.is_empty());
        if let Some(distro) = distro {
            push_encoded(&mut purl, &distro.id);
            purl.push('/');
        }
        self.push_name(&mut purl);
        let (epoch, version) = match self.version.split_once(':') {
            Some((epoch, version)) if self.package_type == PackageType::Rpm => (Some(epoch), version),
            _ => (None, self.version.as_str()),
        };
        if !version.is_empty() {
            purl.push('@');
            push_encoded(&mut purl, version);
        }
        let upstream = self.source.as_ref().and_then(|source| self.upstream(source));
        let qualifiers = [
            ("arch", self.architecture.clone()),
            ("distro", distro.and_then(Distro::release)),
            ("epoch", epoch.map(ToOwned::to_owned)),
            ("rpmmod", self.modularity.clone()),
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

    /// Name and namespace as the type has them.
    fn push_name(&self, purl: &mut String) {
        match self.package_type {
            PackageType::Pypi => push_encoded(purl, &normalized_python_name(&self.name)),
            PackageType::Npm => match self.name.split_once('/').filter(|(scope, _)| scope.starts_with('@')) {
                Some((scope, name)) => push_parts(purl, [scope, name]),
                None => push_encoded(purl, &self.name),
            },
            PackageType::Golang | PackageType::Swift => push_parts(purl, self.name.split('/')),
            PackageType::Composer | PackageType::Hex => push_parts(purl, self.name.to_lowercase().split('/')),
            PackageType::Maven => match self.name.split_once(':') {
                Some((group, artifact)) => push_parts(purl, [group, artifact]),
                None => push_encoded(purl, &self.name),
            },
            kind if kind.is_lower_case() => push_encoded(purl, &self.name.to_lowercase()),
            _ => push_encoded(purl, &self.name),
        }
    }

    fn upstream(&self, source: &SourcePackage) -> Option<String> {
        if self.package_type == PackageType::Rpm {
            Some(format!("{}-{}.src.rpm", source.name, source.version))
        } else if source.version != self.version {
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

/// The name by which a Python distribution is known everywhere: lower case, each run of `-`, `_` and `.` one `-`. PEP 503.
#[must_use]
pub fn normalized_python_name(name: &str) -> String {
    let mut normalized = String::with_capacity(name.len());
    for character in name.chars() {
        if !matches!(character, '-' | '_' | '.') {
            normalized.extend(character.to_lowercase());
        } else if !normalized.ends_with('-') {
            normalized.push('-');
        }
    }
    normalized
}

fn push_parts<'a>(purl: &mut String, parts: impl IntoIterator<Item = &'a str>) {
    for (number, part) in parts.into_iter().enumerate() {
        if number > 0 {
            purl.push('/');
        }
        push_encoded(purl, part);
    }
}

/// A part of a package URL as it stands there.
#[must_use]
pub fn encoded(part: &str) -> String {
    let mut text = String::with_capacity(part.len());
    push_encoded(&mut text, part);
    text
}

fn push_encoded(purl: &mut String, text: &str) {
    purl.extend(utf8_percent_encode(text, PLAIN));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, version: &str, source: Option<(&str, &str)>) -> Package {
        Package {
            architecture: Some("amd64".to_owned()),
            source: source
                .map(|(name, version)| SourcePackage { name: name.to_owned(), version: version.to_owned() }),
            ..Package::new(PackageType::Deb, name, version)
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
        assert_eq!(package("a", "", None).purl(None), "pkg:deb/a?arch=amd64");
    }

    #[test]
    fn purl_has_the_namespace_of_its_type() {
        for (package_type, name, purl) in [
            (PackageType::Npm, "@babel/core", "pkg:npm/%40babel/core@1"),
            (PackageType::Npm, "left-pad", "pkg:npm/left-pad@1"),
            (PackageType::Golang, "github.com/a/b/v2", "pkg:golang/github.com/a/b/v2@1"),
            (PackageType::Maven, "org.slf4j:slf4j-api", "pkg:maven/org.slf4j/slf4j-api@1"),
            (PackageType::Maven, "lonely", "pkg:maven/lonely@1"),
            (PackageType::Pypi, "Zope._Interface", "pkg:pypi/zope-interface@1"),
            (PackageType::Gem, "RedCloth", "pkg:gem/RedCloth@1"),
            (PackageType::Nuget, "Newtonsoft.Json", "pkg:nuget/Newtonsoft.Json@1"),
            (PackageType::Cargo, "serde_json", "pkg:cargo/serde_json@1"),
            (PackageType::Composer, "Symfony/HTTP-Kernel", "pkg:composer/symfony/http-kernel@1"),
            (PackageType::Hex, "Phoenix", "pkg:hex/phoenix@1"),
            (PackageType::Hex, "acme/foo", "pkg:hex/acme/foo@1"),
            (PackageType::Pub, "http_parser", "pkg:pub/http_parser@1"),
            (PackageType::Bitnami, "wordpress", "pkg:bitnami/wordpress@1"),
            (PackageType::Hackage, "HTTP", "pkg:hackage/HTTP@1"),
            (PackageType::Cran, "Rcpp", "pkg:cran/Rcpp@1"),
            (PackageType::Swift, "github.com/apple/swift-nio", "pkg:swift/github.com/apple/swift-nio@1"),
        ] {
            let package = Package { package_type, architecture: None, ..package(name, "1", None) };
            assert_eq!(package.purl(Some(&debian())), purl);
        }
    }

    #[test]
    fn epoch_of_an_rpm_is_a_qualifier() {
        let distro = Distro { id: "rocky".to_owned(), version_id: Some("9.3".to_owned()), ..Distro::default() };
        let package = Package { package_type: PackageType::Rpm, ..package("bind", "32:9.16.23-14.el9", None) };
        assert_eq!(
            package.purl(Some(&distro)),
            "pkg:rpm/rocky/bind@9.16.23-14.el9?arch=amd64&distro=rocky-9.3&epoch=32"
        );
        let source = SourcePackage::of_source_rpm("bind-9.16.23-14.el9.src.rpm");
        let purl = Package { source, ..package.clone() }.purl(Some(&distro));
        assert!(purl.ends_with("&epoch=32&upstream=bind-9.16.23-14.el9.src.rpm"), "{purl}");
        let modularity = Some("bind:9:8100020250506132245:489197e6".to_owned());
        let purl = Package { modularity, ..package }.purl(Some(&distro));
        assert!(purl.ends_with("&epoch=32&rpmmod=bind:9:8100020250506132245:489197e6"), "{purl}");
    }

    #[test]
    fn file_names_of_source_rpms_are_split_at_the_last_two_dashes() {
        for (file, expected) in [
            ("bash-5.1.8-6.el9.src.rpm", Some(("bash", "5.1.8-6.el9"))),
            ("java-17-openjdk-17.0.9-1.el9.src.rpm", Some(("java-17-openjdk", "17.0.9-1.el9"))),
            ("kernel-6.1-1.nosrc.rpm", Some(("kernel", "6.1-1"))),
            ("bash-5.1.8.src.rpm", None),
            ("bash-5.1.8-6.el9.x86_64.rpm", None),
            ("-1-2.src.rpm", None),
            ("", None),
        ] {
            let source = SourcePackage::of_source_rpm(file);
            let found = source.as_ref().map(|source| (source.name.as_str(), source.version.as_str()));
            assert_eq!(found, expected, "{file}");
        }
    }
}
