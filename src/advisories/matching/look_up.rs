//! The names and versions by which advisories know a package.

use std::borrow::Cow;

use super::super::ecosystem::{Ecosystem, KnownBy};
use crate::package::{Package, PackageType, SourcePackage};

/// Makers that distributions of rpm name in their own packages, by the ecosystem and as that begins, in lower case.
const VENDORS: [(&str, &[&str]); 8] = [
    ("AlmaLinux", &["almalinux"]),
    ("Red Hat", &["red hat"]),
    ("SUSE", &["suse"]),
    ("Rocky Linux", &["rocky"]),
    ("Azure Linux", &["microsoft"]),
    ("Mageia", &["mageia"]),
    // Private projects of its build service are `obs://build.opensuse.org/…`.
    ("openSUSE", &["opensuse", "suse"]),
    ("openEuler", &["http://openeuler.org", "https://openeuler.org", "openeuler"]),
];

/// A name and version by which advisories may know a package.
#[derive(Clone, Debug)]
pub(super) struct LookUp<'a> {
    pub(super) name: Cow<'a, str>,
    pub(super) version: &'a str,
    /// The source package, where it is that which is looked up.
    source: Option<&'a SourcePackage>,
}

impl<'a> LookUp<'a> {
    /// All that are to be looked up, one or two.
    pub(super) fn all(package: &'a Package, ecosystem: &Ecosystem) -> Vec<Self> {
        let own =
            || Self { name: ecosystem.package_name(&package.name), version: &package.version, source: None };
        let Some(source) = &package.source else { return vec![own()] };
        let of_source = || Self {
            name: ecosystem.package_name(&source.name),
            version: &source.version,
            source: Some(source),
        };
        match ecosystem.known_by() {
            KnownBy::Own => vec![own()],
            KnownBy::Source => vec![of_source()],
            KnownBy::Either if source.name == package.name && source.version == package.version => vec![own()],
            KnownBy::Either => vec![own(), of_source()],
        }
    }

    /// In words, where it is not what the package calls itself.
    pub(super) fn unless_own(&self, package: &Package) -> Option<String> {
        let source = self.source?;
        let is_own = source.name == package.name && source.version == package.version;
        (!is_own).then(|| format!("{} {}", self.name, self.version))
    }
}

/// Whether a package of rpm says that somebody else made it than the distribution: its name and version are not those that
/// the distribution's advisories speak of. dpkg names the person who maintains a package, which tells nothing.
pub(super) fn is_of_other_vendor(package: &Package, ecosystem: &Ecosystem) -> bool {
    if package.package_type != PackageType::Rpm {
        return false;
    }
    let Some(vendor) = &package.supplier else { return false };
    let vendor = vendor.to_ascii_lowercase();
    let own = VENDORS.iter().find(|(name, _)| *name == ecosystem.name());
    own.is_some_and(|(_, own)| !own.iter().any(|own| vendor.starts_with(own)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(package_type: PackageType, source: Option<(&str, &str)>) -> Package {
        let source =
            source.map(|(name, version)| SourcePackage { name: name.to_owned(), version: version.to_owned() });
        Package { source, ..Package::new(package_type, "own", "1:2-3") }
    }

    #[test]
    fn each_ecosystem_knows_packages_by_its_own_names() {
        let other = Some(("source", "2-3"));
        for (ecosystem, source, expected) in [
            ("Debian:12", other, vec!["source 2-3"]),
            ("Ubuntu:22.04:LTS", other, vec!["source 2-3"]),
            ("Alpine:v3.19", other, vec!["source 2-3"]),
            ("AlmaLinux:9", other, vec!["own 1:2-3"]),
            ("Rocky Linux:9", other, vec!["source 2-3"]),
            ("Rocky Linux:9", None, vec!["own 1:2-3"]),
            ("openSUSE:Leap 15.6", other, vec!["source 2-3"]),
            ("Red Hat:enterprise_linux:9::baseos", other, vec!["own 1:2-3"]),
            ("SUSE:Linux Enterprise Server 15 SP6", other, vec!["source 2-3"]),
            ("Alpaquita:23", other, vec!["source 2-3"]),
            ("Azure Linux:3", other, vec!["source 2-3"]),
            ("Mageia:9", other, vec!["source 2-3"]),
            ("openEuler:24.03-LTS", other, vec!["source 2-3"]),
            ("Wolfi", other, vec!["own 1:2-3", "source 2-3"]),
            ("Chainguard", other, vec!["own 1:2-3", "source 2-3"]),
            ("MinimOS", other, vec!["own 1:2-3", "source 2-3"]),
            ("Echo", other, vec!["own 1:2-3", "source 2-3"]),
            ("Wolfi", Some(("own", "1:2-3")), vec!["own 1:2-3"]),
            ("Wolfi", Some(("own", "2-3")), vec!["own 1:2-3", "own 2-3"]),
        ] {
            let package = package(PackageType::Rpm, source);
            let look_ups = LookUp::all(&package, &ecosystem.parse().expect("valid"));
            let look_ups = look_ups.iter().map(|look_up| format!("{} {}", look_up.name, look_up.version));
            assert_eq!(look_ups.collect::<Vec<_>>(), expected, "{ecosystem} {source:?}");
        }
    }

    #[test]
    fn packages_of_other_vendors_are_told_from_those_of_the_distribution() {
        for (ecosystem, vendor, expected) in [
            ("AlmaLinux:9", "AlmaLinux", false),
            ("AlmaLinux:9", "Fedora Project", true),
            ("AlmaLinux:9", "NGINX Packaging <nginx-packaging@f5.com>", true),
            ("Rocky Linux:8", "Rocky", false),
            ("Rocky Linux:9", "Rocky Enterprise Software Foundation", false),
            ("Rocky Linux:9", "Docker, Inc.", true),
            ("Azure Linux:3", "Microsoft Corporation", false),
            ("openSUSE:Leap 15.6", "SUSE LLC <https://www.suse.com/>", false),
            ("openSUSE:Leap 15.6", "openSUSE", false),
            ("openSUSE:Leap 15.6", "obs://build.opensuse.org/home:somebody", true),
            ("Red Hat:enterprise_linux:9::baseos", "Red Hat, Inc.", false),
            ("Red Hat:enterprise_linux:9::baseos", "Fedora Project", true),
            ("SUSE:Linux Enterprise Server 15 SP6", "SUSE LLC <https://www.suse.com/>", false),
            ("SUSE:Linux Enterprise Server 15 SP6", "obs://build.suse.de/home:somebody", true),
            ("openEuler:24.03-LTS", "http://openeuler.org", false),
            ("Mageia:9", "Mageia.Org", false),
        ] {
            let supplier = Some(vendor.to_owned());
            let rpm = Package { supplier, ..package(PackageType::Rpm, None) };
            assert_eq!(
                is_of_other_vendor(&rpm, &ecosystem.parse().expect("valid")),
                expected,
                "{ecosystem} {vendor}"
            );
            let deb = Package { package_type: PackageType::Deb, ..rpm };
            assert!(!is_of_other_vendor(&deb, &"Debian:12".parse().expect("valid")));
        }
        assert!(!is_of_other_vendor(&package(PackageType::Rpm, None), &"AlmaLinux:9".parse().expect("valid")));
    }
}
