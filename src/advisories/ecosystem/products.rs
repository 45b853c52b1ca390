//! Red Hat and SUSE, whose advisories are filed under products and their parts: an image says which release it is of, and
//! its packages come from several of those.
//!
//! The first name is that of the part which each such image has packages of; without advisories for it there are none.
//! A name that no advisory has does no harm.

/// Minor releases of RHEL 10, each of which is a product of its own. A release gets ten of them.
const MINORS: std::ops::RangeInclusive<u32> = 0..=10;

/// Modules of SUSE Linux Enterprise 15. Images for containers (BCI) have packages of all of them in one repository.
const MODULES: [&str; 11] = [
    "Server Applications",
    "Development Tools",
    "Web and Scripting",
    "Web Scripting",
    "Python 3",
    "Containers",
    "Desktop Applications",
    "Legacy",
    "Public Cloud",
    "Package Hub",
    "Systems Management",
];

/// The repositories of a release of RHEL that the Universal Base Images are made of. OSV schema, "Red Hat": the rest of
/// the product's CPE.
///
/// Extended support of a minor release (`rhel_eus`) has other fixes for the same vulnerabilities: no image says that it
/// is subscribed to it. What Red Hat fixes for RHEL 6 and 7 after their end comes as `rhel_els`.
pub(super) fn red_hat(numbers: &[u32]) -> Option<Vec<String>> {
    let major = *numbers.first()?;
    let of_linux = |part: &str| format!("Red Hat:enterprise_linux:{part}");
    Some(match major {
        6 | 7 => vec![of_linux(&format!("{major}::server")), format!("Red Hat:rhel_els:{major}")],
        8 | 9 => ["baseos", "appstream", "crb"].map(|part| of_linux(&format!("{major}::{part}"))).into(),
        10 => MINORS.map(|minor| of_linux(&format!("10.{minor}"))).collect(),
        _ => return None,
    })
}

/// The products that packages of a SUSE Linux Enterprise come from. OSV schema, "SUSE": its marketing name.
///
/// Since SUSE Linux Enterprise 15 nearly all packages belong to modules. Once a service pack is in long-term support, fixes
/// are filed under that only: who has no contract for it is affected all the same.
pub(super) fn suse(id: &str, numbers: &[u32]) -> Option<Vec<String>> {
    let (major, minor) = (*numbers.first()?, numbers.get(1).copied().unwrap_or(0));
    let product = match id {
        "sle-micro" => return Some(vec![format!("SUSE:Linux Enterprise Micro {major}.{minor}")]),
        "sl-micro" => return Some(vec![format!("SUSE:Linux Micro {major}.{minor}")]),
        "sles" => "Server",
        "sled" => "Desktop",
        "sles_sap" if major < 16 => "Server for SAP Applications",
        "sles_sap" => "Server for SAP applications",
        "sle_hpc" => "High Performance Computing",
        _ => return None,
    };
    let of_linux = |name: String| format!("SUSE:Linux Enterprise {name}");
    let release = match minor {
        _ if major >= 16 => format!("{major}.{minor}"),
        0 => major.to_string(),
        service_pack => format!("{major} SP{service_pack}"),
    };
    let mut names = match major {
        12 => vec![format!("Server {release}"), format!("Server LTSS Extended Security {release}")],
        15 => vec![format!("Module for Basesystem {release}"), format!("Server {release}")],
        16.. => vec![format!("Server {release}")],
        _ => return None,
    };
    if major < 16 {
        names.push(format!("Server {release}-LTSS"));
    }
    if product != "Server" {
        names.push(format!("{product} {release}"));
    }
    match major {
        12 => names.extend([
            format!("Software Development Kit {release}"),
            "Module for Web Scripting 12".to_owned(),
            "Module for Web and Scripting 12".to_owned(),
        ]),
        15 => names.extend(MODULES.map(|module| format!("Module for {module} {release}"))),
        _ => {}
    }
    Some(names.into_iter().map(of_linux).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn universal_base_images_are_made_of_three_repositories() {
        assert_eq!(
            red_hat(&[9, 4]).expect("known"),
            [
                "Red Hat:enterprise_linux:9::baseos",
                "Red Hat:enterprise_linux:9::appstream",
                "Red Hat:enterprise_linux:9::crb",
            ]
        );
        assert_eq!(
            red_hat(&[7, 9]).expect("known"),
            ["Red Hat:enterprise_linux:7::server", "Red Hat:rhel_els:7"]
        );
        assert_eq!(red_hat(&[5]), None);
        assert_eq!(red_hat(&[]), None);
    }

    #[test]
    fn minor_releases_of_rhel_10_are_products_of_their_own() {
        let names = red_hat(&[10, 1]).expect("known");
        assert_eq!(names[..2], ["Red Hat:enterprise_linux:10.0", "Red Hat:enterprise_linux:10.1"]);
        assert_eq!(names.last().map(String::as_str), Some("Red Hat:enterprise_linux:10.10"));
    }

    #[test]
    fn packages_of_suse_linux_enterprise_15_belong_to_modules() {
        let names = suse("sles", &[15, 6]).expect("known");
        assert_eq!(
            names[..5],
            [
                "SUSE:Linux Enterprise Module for Basesystem 15 SP6",
                "SUSE:Linux Enterprise Server 15 SP6",
                "SUSE:Linux Enterprise Server 15 SP6-LTSS",
                "SUSE:Linux Enterprise Module for Server Applications 15 SP6",
                "SUSE:Linux Enterprise Module for Development Tools 15 SP6",
            ]
        );
        assert!(names.contains(&"SUSE:Linux Enterprise Module for Python 3 15 SP6".to_owned()));
        let names = suse("sles", &[15]).expect("known");
        assert_eq!(names[0], "SUSE:Linux Enterprise Module for Basesystem 15");
    }

    #[test]
    fn products_of_suse_are_named_by_their_id_and_release() {
        for (id, numbers, main, another) in [
            ("sles", vec![12, 5], "Enterprise Server 12 SP5", "Enterprise Server 12 SP5-LTSS"),
            (
                "sles",
                vec![12, 5],
                "Enterprise Server 12 SP5",
                "Enterprise Server LTSS Extended Security 12 SP5",
            ),
            ("sles", vec![12, 0, 1], "Enterprise Server 12", "Enterprise Module for Web Scripting 12"),
            ("sled", vec![15, 5], "Enterprise Module for Basesystem 15 SP5", "Enterprise Desktop 15 SP5"),
            (
                "sles_sap",
                vec![15, 3],
                "Enterprise Module for Basesystem 15 SP3",
                "Enterprise Server for SAP Applications 15 SP3",
            ),
            ("sles_sap", vec![16, 0], "Enterprise Server 16.0", "Enterprise Server for SAP applications 16.0"),
            ("sle-micro", vec![5, 5], "Enterprise Micro 5.5", "Enterprise Micro 5.5"),
            ("sl-micro", vec![6, 0], "Micro 6.0", "Micro 6.0"),
        ] {
            let names = suse(id, &numbers).expect("known");
            assert_eq!(names[0], format!("SUSE:Linux {main}"), "{id}");
            assert!(names.contains(&format!("SUSE:Linux {another}")), "{id}: {names:?}");
        }
        assert_eq!(suse("sles", &[11, 4]), None);
        assert_eq!(suse("opensuse-leap", &[15, 6]), None);
    }
}
