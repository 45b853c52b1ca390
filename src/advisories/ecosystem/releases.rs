//! Distributions and their releases, as OSV names them.
//!
//! None of these names can be guessed: a bucket has nothing under `Azure Linux:3.0` or `Alpine:3.19`, which would look
//! like a clean image. What is not in this table has no data: CentOS Stream, Oracle, Amazon, Photon, Fedora, Arch and
//! others.

use super::{describe, products};
use crate::package::{Distro, PackageType};

/// The names of the ecosystems of a distribution's own packages, one for most; the error is what to report as without
/// data, in words.
pub(super) fn ecosystems(package_type: PackageType, distro: &Distro) -> Result<Vec<String>, String> {
    let id = distro.id.to_ascii_lowercase();
    let one = |name: Option<String>| name.map(|name| vec![name]);
    let (own_type, names) = match id.as_str() {
        "debian" => (PackageType::Deb, one(debian(distro))),
        "ubuntu" => (PackageType::Deb, one(ubuntu(distro))),
        "echo" => (PackageType::Deb, one(Some("Echo".to_owned()))),
        "alpine" => (PackageType::Apk, one(alpine(distro))),
        // What they call a version in os-release is that of a tool. There is but one release, which rolls.
        "wolfi" => (PackageType::Apk, one(Some("Wolfi".to_owned()))),
        "chainguard" => (PackageType::Apk, one(Some("Chainguard".to_owned()))),
        "minimos" => (PackageType::Apk, one(Some("MinimOS".to_owned()))),
        "alpaquita" => (PackageType::Apk, one(bellsoft("Alpaquita", distro))),
        "bellsoft-hardened-containers" => {
            (PackageType::Apk, one(bellsoft("BellSoft Hardened Containers", distro)))
        }
        "almalinux" => (PackageType::Rpm, one(alma(distro))),
        "rocky" => (PackageType::Rpm, one(major("Rocky Linux", distro))),
        "azurelinux" | "mariner" => (PackageType::Rpm, one(major("Azure Linux", distro))),
        "mageia" => (PackageType::Rpm, one(major("Mageia", distro))),
        "opensuse-leap" => (PackageType::Rpm, one(leap("Leap", distro))),
        "opensuse-leap-micro" => (PackageType::Rpm, one(leap("Leap Micro", distro))),
        "opensuse-tumbleweed" => (PackageType::Rpm, one(Some("openSUSE:Tumbleweed".to_owned()))),
        "openeuler" => (PackageType::Rpm, one(open_euler(distro))),
        "rhel" => (PackageType::Rpm, numbers(distro).and_then(|numbers| products::red_hat(&numbers))),
        "sles" | "sled" | "sles_sap" | "sle_hpc" | "sle-micro" | "sl-micro" => {
            (PackageType::Rpm, numbers(distro).and_then(|numbers| products::suse(&id, &numbers)))
        }
        _ => return Err(describe(distro)),
    };
    if own_type != package_type {
        return Err(format!("{} packages in {}", package_type.as_str(), describe(distro)));
    }
    names.ok_or_else(|| describe(distro))
}

/// `9` of `9`, `9.4` and `9.4.1`.
fn major(name: &str, distro: &Distro) -> Option<String> {
    let [major, ..] = numbers(distro)?[..] else { return None };
    Some(format!("{name}:{major}"))
}

/// The numbers of `VERSION_ID`; none if there is anything else in it.
fn numbers(distro: &Distro) -> Option<Vec<u32>> {
    distro.version_id.as_deref()?.split('.').map(|number| number.parse().ok()).collect()
}

/// `12` of `12` and `12.5`; `6.0` of `6.0.10`, since releases before 7 counted so. None for testing and sid.
fn debian(distro: &Distro) -> Option<String> {
    match numbers(distro)?[..] {
        [major, ..] if major >= 7 => Some(format!("Debian:{major}")),
        [major, minor, ..] => Some(format!("Debian:{major}.{minor}")),
        _ => None,
    }
}

/// `22.04:LTS`, `24.10`: every second April brings a release with long-term support. `Ubuntu:Pro:…` is for those who pay.
fn ubuntu(distro: &Distro) -> Option<String> {
    let [year, month] = numbers(distro)?[..] else { return None };
    let support = if year % 2 == 0 && month == 4 { ":LTS" } else { "" };
    Some(format!("Ubuntu:{year}.{month:02}{support}"))
}

/// `v3.19` of `3.19.1`. None for edge, which calls itself by the coming release with `_alpha`.
fn alpine(distro: &Distro) -> Option<String> {
    let version = distro.version_id.as_deref()?;
    if version.contains("_alpha") {
        return None;
    }
    let mut numbers = version.split(['.', '_']);
    let major: u32 = numbers.next()?.parse().ok()?;
    let minor: u32 = numbers.next()?.parse().ok()?;
    Some(format!("Alpine:v{major}.{minor}"))
}

/// Kitten calls itself by the release that it will become, whose advisories are not about it.
fn alma(distro: &Distro) -> Option<String> {
    let is_kitten = distro.pretty_name.as_deref().is_some_and(|name| name.contains("Kitten"));
    if is_kitten { None } else { major("AlmaLinux", distro) }
}

fn leap(name: &str, distro: &Distro) -> Option<String> {
    let [major, minor] = numbers(distro)?[..] else { return None };
    Some(format!("openSUSE:{name} {major}.{minor}"))
}

/// `stream`, which rolls, or `23`.
fn bellsoft(name: &str, distro: &Distro) -> Option<String> {
    if distro.version_id.as_deref() == Some("stream") {
        Some(format!("{name}:stream"))
    } else {
        major(name, distro)
    }
}

/// `22.03-LTS-SP3` of `openEuler 22.03 (LTS-SP3)`: `VERSION_ID` does not say which service pack it is.
fn open_euler(distro: &Distro) -> Option<String> {
    let [year, month] = numbers(distro)?[..] else { return None };
    let number = format!("{year}.{month:02}");
    let (_, name) = distro.pretty_name.as_deref()?.split_once(' ')?;
    let rest = name.strip_prefix(&number)?.trim();
    if rest.is_empty() {
        return Some(format!("openEuler:{number}"));
    }
    let support = rest.strip_prefix('(')?.strip_suffix(')')?;
    let is_support =
        support.starts_with("LTS") && support.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    is_support.then(|| format!("openEuler:{number}-{support}"))
}

#[cfg(test)]
mod tests {
    use super::super::Ecosystem;
    use super::*;

    /// `id version`, or `id version|pretty name`.
    fn distro(text: &str) -> Distro {
        let (text, pretty_name) = text.split_once('|').map_or((text, None), |(text, name)| (text, Some(name)));
        let (id, version) = text.split_once(' ').map_or((text, None), |(id, version)| (id, Some(version)));
        Distro {
            id: id.to_owned(),
            version_id: version.map(ToOwned::to_owned),
            pretty_name: pretty_name.map(ToOwned::to_owned),
            ..Distro::default()
        }
    }

    #[test]
    fn releases_have_the_names_that_osv_gives_them() {
        for (package_type, text, expected) in [
            (PackageType::Deb, "debian 12", "Debian:12"),
            (PackageType::Deb, "debian 12.5", "Debian:12"),
            (PackageType::Deb, "debian 6.0.10", "Debian:6.0"),
            (PackageType::Deb, "ubuntu 22.04", "Ubuntu:22.04:LTS"),
            (PackageType::Deb, "ubuntu 24.04", "Ubuntu:24.04:LTS"),
            (PackageType::Deb, "ubuntu 24.10", "Ubuntu:24.10"),
            (PackageType::Deb, "ubuntu 25.04", "Ubuntu:25.04"),
            (PackageType::Deb, "echo 1", "Echo"),
            (PackageType::Apk, "alpine 3.19.1", "Alpine:v3.19"),
            (PackageType::Apk, "alpine 3.20.0_rc1", "Alpine:v3.20"),
            (PackageType::Apk, "wolfi 20230201", "Wolfi"),
            (PackageType::Apk, "chainguard 20230214", "Chainguard"),
            (PackageType::Apk, "minimos 20241031", "MinimOS"),
            (PackageType::Apk, "alpaquita stream", "Alpaquita:stream"),
            (PackageType::Apk, "alpaquita 23", "Alpaquita:23"),
            (PackageType::Apk, "bellsoft-hardened-containers 25", "BellSoft Hardened Containers:25"),
            (PackageType::Rpm, "almalinux 8.10", "AlmaLinux:8"),
            (PackageType::Rpm, "almalinux 10.0|AlmaLinux 10.0 (Purple Lion)", "AlmaLinux:10"),
            (PackageType::Rpm, "rocky 9.4", "Rocky Linux:9"),
            (PackageType::Rpm, "azurelinux 3.0", "Azure Linux:3"),
            (PackageType::Rpm, "mariner 2.0", "Azure Linux:2"),
            (PackageType::Rpm, "mageia 9", "Mageia:9"),
            (PackageType::Rpm, "opensuse-leap 15.6", "openSUSE:Leap 15.6"),
            (PackageType::Rpm, "opensuse-leap-micro 5.5", "openSUSE:Leap Micro 5.5"),
            (PackageType::Rpm, "opensuse-tumbleweed 20240801", "openSUSE:Tumbleweed"),
            (PackageType::Rpm, "rhel 9.4", "Red Hat:enterprise_linux:9::baseos"),
            (PackageType::Rpm, "sles 15.6", "SUSE:Linux Enterprise Module for Basesystem 15 SP6"),
            (PackageType::Rpm, "openeuler 22.03|openEuler 22.03 (LTS-SP3)", "openEuler:22.03-LTS-SP3"),
            (PackageType::Rpm, "openEuler 24.03|openEuler 24.03 (LTS)", "openEuler:24.03-LTS"),
            (PackageType::Rpm, "openeuler 23.09|openEuler 23.09", "openEuler:23.09"),
        ] {
            let ecosystems = Ecosystem::all_of(package_type, Some(&distro(text)));
            assert_eq!(ecosystems.map(|all| all[0].to_string()), Ok(expected.to_owned()), "{text}");
        }
    }

    #[test]
    fn what_has_no_ecosystem_is_named() {
        for (package_type, text, expected) in [
            (PackageType::Deb, "debian", "debian without a release"),
            (PackageType::Apk, "alpine 3.21.0_alpha20240807", "alpine 3.21.0_alpha20240807"),
            (PackageType::Apk, "debian 12", "apk packages in debian 12"),
            (PackageType::Deb, "rocky 9.4", "deb packages in rocky 9.4"),
            (PackageType::Rpm, "wolfi 20230201", "rpm packages in wolfi 20230201"),
            (PackageType::Rpm, "almalinux 10|AlmaLinux Kitten 10 (Lion Cub)", "almalinux 10"),
            (PackageType::Rpm, "openeuler 22.03", "openeuler 22.03"),
            (PackageType::Rpm, "openeuler 22.03|openEuler 22.03 (a: b)", "openeuler 22.03"),
            (PackageType::Rpm, "opensuse-leap 15", "opensuse-leap 15"),
            (PackageType::Rpm, "rhel 5.11", "rhel 5.11"),
            (PackageType::Rpm, "sles 11.4", "sles 11.4"),
            (PackageType::Apk, "alpaquita edge", "alpaquita edge"),
            (PackageType::Rpm, "centos 9", "centos 9"),
            (PackageType::Rpm, "fedora 40", "fedora 40"),
            (PackageType::Rpm, "amzn 2023", "amzn 2023"),
            (PackageType::Rpm, "ol 9.4", "ol 9.4"),
            (PackageType::Rpm, "photon 5.0", "photon 5.0"),
            (PackageType::Rpm, "arch", "arch without a release"),
        ] {
            assert_eq!(
                Ecosystem::all_of(package_type, Some(&distro(text))),
                Err(expected.to_owned()),
                "{text}"
            );
        }
    }
}
