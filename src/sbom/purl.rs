//! Package URLs as tools write them, and the package that one stands for. purl-spec, "Parse" and "Known purl types".

use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;

use super::unread::Lack;
use crate::package::{Distro, Package, PackageType, SourcePackage};

/// Longest package URL that is read, in bytes.
const MAX_LENGTH: usize = 8192;

/// The parts of a package URL that matter.
#[derive(Debug)]
pub(super) struct Purl {
    package_type: PackageType,
    /// For the packages of a distribution its vendor: `debian`, `redhat`.
    namespace: String,
    name: String,
    version: String,
    qualifiers: BTreeMap<String, String>,
}

/// What a document says of a package beside its package URL.
#[derive(Debug, Default)]
pub(super) struct Described {
    /// The document's own name for it; empty if it has none.
    pub(super) name: String,
    /// The document's own version of it.
    pub(super) version: Option<String>,
    /// The source package, where it does not stand in the package URL.
    pub(super) source: Option<SourcePackage>,
}

impl Purl {
    /// Takes a package URL apart.
    ///
    /// # Errors
    /// It is none, or of a type that is not known here.
    pub(super) fn parse(purl: &str) -> Result<Self, Lack> {
        let rest = purl.strip_prefix("pkg:").filter(|_| purl.len() <= MAX_LENGTH).ok_or(Lack::ValidPurl)?;
        let rest = rest.trim_start_matches('/');
        let rest = rest.split_once('#').map_or(rest, |(rest, _)| rest);
        let (path, qualifiers) = rest.split_once('?').unwrap_or((rest, ""));
        let (kind, path) = path.split_once('/').ok_or(Lack::ValidPurl)?;
        let kind = kind.to_ascii_lowercase();
        let package_type = package_type(&kind).ok_or(Lack::KnownType(kind))?;
        // Some leave the `@` of a scope of npm as it is: what holds a slash is no version.
        let versioned = path.rsplit_once('@').filter(|(_, version)| !version.contains('/'));
        let (path, version) = versioned.unwrap_or((path, ""));
        let path = path.trim_end_matches('/');
        let (namespace, name) = path.rsplit_once('/').unwrap_or(("", path));
        let name = match package_type {
            PackageType::Maven if !namespace.is_empty() => format!("{}:{}", decode(namespace), decode(name)),
            kind if has_namespace_in_its_name(kind) => decode(path),
            _ => decode(name),
        };
        let name = if package_type.is_lower_case() { name.to_lowercase() } else { name };
        let pairs = qualifiers.split('&').filter_map(|pair| pair.split_once('='));
        let qualifiers = pairs.map(|(key, value)| (key.to_ascii_lowercase(), decode(value))).collect();
        Ok(Self { package_type, namespace: decode(namespace), name, version: decode(version), qualifiers })
    }

    /// The release that its qualifier names, if it is a package of a distribution: `debian-12`.
    pub(super) fn release(&self) -> Option<&str> {
        let release = self.qualifiers.get("distro").filter(|release| !release.is_empty())?;
        self.package_type.is_of_distribution().then_some(release)
    }

    /// The distribution it belongs to, as far as it says so: by its qualifier, else by its vendor.
    ///
    /// Syft and Trivy write `debian-12`; Trivy for apk, and purl-spec in its examples, the version or code name alone.
    pub(super) fn distro(&self) -> Option<Distro> {
        let vendor = os_release_id(&self.namespace);
        let named = |id: &str| Distro { id: os_release_id(id), ..Distro::default() };
        let Some(release) = self.release() else {
            let says_so = self.package_type.is_of_distribution() && !vendor.is_empty();
            return says_so.then(|| named(&vendor));
        };
        let is_number = |text: &str| text.starts_with(|c: char| c.is_ascii_digit());
        let codename = |id: &str, name: &str| Distro { version_codename: Some(name.to_owned()), ..named(id) };
        Some(match release.rsplit_once('-') {
            _ if is_number(release) => Distro { version_id: Some(release.to_owned()), ..named(&vendor) },
            Some((id, version)) if is_number(version) => {
                Distro { version_id: Some(version.to_owned()), ..named(id) }
            }
            // The releases of others that have no number are distributions of their own: `opensuse-tumbleweed`.
            Some((id @ ("debian" | "ubuntu"), name)) if !name.is_empty() => codename(id, name),
            None if !vendor.is_empty() && os_release_id(release) != vendor => codename(&vendor, release),
            _ => named(release),
        })
    }

    /// The package that it stands for, without what only the document knows.
    ///
    /// # Errors
    /// It has no name or no version. A Java archive may have been released without a version in it.
    pub(super) fn package(&self, described: Described) -> Result<Package, Lack> {
        // Other tools leave the scope or group to the purl.
        let is_whole = !described.name.is_empty() && !self.name.ends_with(&described.name);
        let name = if is_whole { described.name } else { self.name.clone() };
        let version = described.version.filter(|version| !version.is_empty());
        let version = self.whole_version(&name, version.unwrap_or_else(|| self.version.clone()));
        if name.is_empty() {
            return Err(Lack::ValidPurl);
        }
        if version.is_empty() && self.package_type != PackageType::Maven {
            return Err(Lack::Version);
        }
        let upstream =
            || self.qualifiers.get("upstream").and_then(|upstream| upstream_source(upstream, &version));
        let own = || SourcePackage { name: name.clone(), version: version.clone() };
        let source = described.source.or_else(upstream).unwrap_or_else(own);
        Ok(Package {
            package_type: self.package_type,
            source: Some(source).filter(|_| self.package_type.is_of_distribution()),
            architecture: self.qualifiers.get("arch").cloned(),
            name,
            version,
            licenses: Vec::new(),
            supplier: None,
            owner: None,
            modularity: self
                .qualifiers
                .get("rpmmod")
                .filter(|label| !label.is_empty() && self.package_type == PackageType::Rpm)
                .cloned(),
            locations: Vec::new(),
        })
    }

    /// The version as the package manager has it: with its epoch, which may be a qualifier; that of Go's standard library
    /// without the name of the toolchain, which Syft leaves in.
    fn whole_version(&self, name: &str, version: String) -> String {
        let epoch = self.qualifiers.get("epoch").filter(|epoch| !["", "0"].contains(&epoch.as_str()));
        match (self.package_type, epoch) {
            (PackageType::Deb | PackageType::Rpm, Some(epoch))
                if !version.contains(':') && !version.is_empty() =>
            {
                format!("{epoch}:{version}")
            }
            (PackageType::Golang, _) if name == "stdlib" => {
                version.strip_prefix("go").map(ToOwned::to_owned).unwrap_or(version)
            }
            _ => version,
        }
    }
}

/// Type, name and version of a package URL, the last empty if it has none; the name as packages have it. None if it is none of
/// a known type.
#[must_use]
pub fn parts_of_purl(text: &str) -> Option<(PackageType, String, String)> {
    let purl = Purl::parse(text).ok().filter(|purl| !purl.name.is_empty())?;
    let version = purl.whole_version(&purl.name, purl.version.clone());
    Some((purl.package_type, purl.name, version))
}

/// The name that os-release has for a distribution, of one that Trivy or a vendor's namespace has.
pub(super) fn os_release_id(name: &str) -> String {
    let name = name.to_ascii_lowercase();
    let id = match name.as_str() {
        "redhat" => "rhel",
        "alma" => "almalinux",
        "oracle" | "oraclelinux" => "ol",
        "amazon" => "amzn",
        "suse linux enterprise server" | "suse" => "sles",
        "opensuse.leap" => "opensuse-leap",
        "opensuse.tumbleweed" => "opensuse-tumbleweed",
        "cbl-mariner" => "mariner",
        _ => return name,
    };
    id.to_owned()
}

fn package_type(text: &str) -> Option<PackageType> {
    PackageType::ALL.into_iter().find(|kind| kind.as_str() == text)
}

/// Whether a package is known by its namespace and its name together.
fn has_namespace_in_its_name(kind: PackageType) -> bool {
    use PackageType::{Composer, Golang, Hex, Npm, Swift};
    matches!(kind, Npm | Golang | Composer | Hex | Swift)
}

/// `NAME@VERSION`, or the name alone when the version is that of the package; for rpm the source package's file.
fn upstream_source(upstream: &str, version: &str) -> Option<SourcePackage> {
    if let Some(source) = SourcePackage::of_source_rpm(upstream) {
        return Some(source);
    }
    let (name, version) = upstream.split_once('@').unwrap_or((upstream, version));
    let is_whole = !name.is_empty() && !version.is_empty();
    is_whole.then(|| SourcePackage { name: name.to_owned(), version: version.to_owned() })
}

fn decode(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn distribution_is_read_as_each_tool_writes_it() {
        for (purl, id, version, codename) in [
            ("pkg:deb/debian/x@1?distro=debian-12", "debian", Some("12"), None),
            ("pkg:deb/debian/x@1?distro=debian-12.5", "debian", Some("12.5"), None),
            ("pkg:deb/debian/x@1?distro=debian-sid", "debian", None, Some("sid")),
            ("pkg:deb/debian/x@1?distro=jessie", "debian", None, Some("jessie")),
            ("pkg:deb/ubuntu/x@1?distro=ubuntu-22.04&distro_name=jammy", "ubuntu", Some("22.04"), None),
            ("pkg:apk/alpine/x@1?distro=3.19.1", "alpine", Some("3.19.1"), None),
            ("pkg:apk/wolfi/x@1?distro=wolfi", "wolfi", None, None),
            ("pkg:rpm/redhat/x@1?distro=rhel-9.3", "rhel", Some("9.3"), None),
            ("pkg:rpm/redhat/x@1?distro=redhat-8.9", "rhel", Some("8.9"), None),
            ("pkg:rpm/opensuse/x@1?distro=opensuse-leap-15.5", "opensuse-leap", Some("15.5"), None),
            ("pkg:rpm/opensuse/x@1?distro=opensuse-tumbleweed", "opensuse-tumbleweed", None, None),
            ("pkg:rpm/amazon/x@1", "amzn", None, None),
        ] {
            let distro = Purl::parse(purl).expect(purl).distro().expect(purl);
            let read = (distro.id.as_str(), distro.version_id.as_deref(), distro.version_codename.as_deref());
            assert_eq!(read, (id, version, codename), "{purl}");
        }
        assert!(Purl::parse("pkg:npm/%40a/x@1?distro=debian-12").expect("valid").distro().is_none());
        assert!(Purl::parse("pkg:deb/x@1").expect("valid").distro().is_none());
    }

    #[test]
    fn version_has_its_epoch_and_no_toolchain() {
        for (purl, version, expected) in [
            ("pkg:deb/debian/x@2.38-5?epoch=1", None, "1:2.38-5"),
            ("pkg:deb/debian/x@2.38-5?epoch=1", Some("1:2.38-5"), "1:2.38-5"),
            ("pkg:rpm/redhat/x@5.1-6.el9?epoch=0", None, "5.1-6.el9"),
            ("pkg:rpm/redhat/x@5.1-6.el9?epoch=2", Some("5.1-6.el9"), "2:5.1-6.el9"),
            ("pkg:golang/stdlib@1.21.5", Some("go1.21.5"), "1.21.5"),
            ("pkg:npm/x@1.0.0?epoch=1", None, "1.0.0"),
        ] {
            let described = Described { version: version.map(ToOwned::to_owned), ..Described::default() };
            let package = Purl::parse(purl).and_then(|purl| purl.package(described)).expect(purl);
            assert_eq!(package.version, expected, "{purl}");
        }
    }

    #[test]
    fn name_is_that_of_the_ecosystem() {
        for (purl, name) in [
            ("pkg:npm/%40babel/core@1", "@babel/core"),
            ("pkg:maven/org.slf4j/slf4j-api@1", "org.slf4j:slf4j-api"),
            ("pkg:gem/RedCloth@4.3.2?platform=ruby", "RedCloth"),
            ("pkg:nuget/Newtonsoft.Json@13.0.1", "Newtonsoft.Json"),
            ("pkg:cargo/serde_json@1.0.0", "serde_json"),
            ("pkg:composer/Symfony/http-kernel@v5.4.0", "symfony/http-kernel"),
            ("pkg:hex/phoenix@1.7.0", "phoenix"),
            ("pkg:hex/acme/foo@2.3.0", "acme/foo"),
            ("pkg:pub/http@1.0.0", "http"),
            ("pkg:bitnami/wordpress@6.2.0-3?arch=arm64&distro=debian-12", "wordpress"),
            ("pkg:hackage/a50@0.5", "a50"),
            ("pkg:cran/A3@1.0.0", "A3"),
            ("pkg:swift/github.com/Alamofire/Alamofire@5.4.3", "github.com/Alamofire/Alamofire"),
        ] {
            let package = Purl::parse(purl).and_then(|purl| purl.package(Described::default())).expect(purl);
            assert_eq!(package.name, name, "{purl}");
            let again = Purl::parse(&package.purl(None)).and_then(|purl| purl.package(Described::default()));
            assert_eq!(again.map(|again| again.name), Ok(name.to_owned()), "{purl}");
        }
    }

    #[test]
    fn what_cannot_be_a_package_says_why() {
        for (purl, lack) in [
            ("", Lack::ValidPurl),
            ("https://example.com", Lack::ValidPurl),
            ("pkg:npm", Lack::ValidPurl),
            ("pkg:npm/@1", Lack::ValidPurl),
            ("pkg:Generic/openssl@3", Lack::KnownType("generic".to_owned())),
            ("pkg:npm/@scope/name", Lack::Version),
        ] {
            let package = Purl::parse(purl).and_then(|purl| purl.package(Described::default()));
            assert_eq!(package.expect_err(purl), lack);
        }
    }

    proptest! {
        #[test]
        fn no_purl_panics(purl in "(pkg:)?/{0,2}(deb|apk|rpm|npm|golang|maven|gem|nuget|composer|swift|generic)?[/@?&=%#:a-zA-Z0-9é.-]{0,40}(distro=[a-z0-9.-]{0,9})?") {
            if let Ok(purl) = Purl::parse(&purl) {
                let _ = purl.distro();
                let _ = purl.package(Described::default());
            }
        }
    }
}
