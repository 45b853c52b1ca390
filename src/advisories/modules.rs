//! Modules of rpm: one release of a distribution has several streams of a package, `nodejs:18` and `nodejs:20`, each with
//! advisories of its own. A build of one stream is older than that of another without being affected by what was fixed there.
//!
//! An installed package carries its stream in a label. A record says it in its summary only, `Important: nodejs:18
//! security update`, and by the release of the fixed version, `1.module_el8.10.0+3858+6ad51f9f`.

use std::collections::BTreeSet;

use super::AffectedVersions;
use super::ranges::Interval;
use crate::package::{Package, PackageType};

/// Most streams of one record that are kept. The largest real number is 4.
const MAX_STREAMS: usize = 16;

/// The streams that a build of a module may belong to; empty where they are not known.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Streams(BTreeSet<String>);

/// Whether what a record says about a package is about an installed build of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Relation {
    /// It is, as far as modules decide it.
    Same,
    /// It is about another stream, or about builds that are of no module.
    Other,
    /// That cannot be told.
    Unknown,
}

impl Streams {
    /// The stream of an installed package; none if it is of no module.
    pub(super) fn of_package(package: &Package) -> Option<Self> {
        if package.package_type != PackageType::Rpm {
            return None;
        }
        match package.modularity.as_deref() {
            Some(label) => Some(Self(stream(label).into_iter().collect())),
            None => is_of_module(&package.version).then(Self::default),
        }
    }

    /// The streams of what a record says about a package; none if it is of no module.
    pub(super) fn of_record(versions: &AffectedVersions<'_>, summary: &str) -> Option<Self> {
        let is_modular = match versions {
            AffectedVersions::Ranges(intervals) | AffectedVersions::Releases(intervals) => {
                intervals.iter().flat_map(Interval::bounds).any(is_of_module)
            }
            AffectedVersions::Listed(versions) => versions.iter().any(|version| is_of_module(version)),
        };
        let words = summary.split_whitespace().map(|word| word.trim_end_matches([',', ';', '.']));
        let streams = words.filter(|word| !word.contains('/')).filter_map(stream);
        is_modular.then(|| Self(streams.take(MAX_STREAMS).collect()))
    }

    /// Each of them, sorted.
    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = &String> {
        self.0.iter()
    }

    /// Whether a package may be of several of them: then what is said about it more than once may be about each.
    pub(super) fn is_ambiguous(&self) -> bool {
        self.0.len() != 1
    }
}

impl<'a> FromIterator<&'a str> for Streams {
    fn from_iter<T: IntoIterator<Item = &'a str>>(streams: T) -> Self {
        Self(streams.into_iter().map(ToOwned::to_owned).collect())
    }
}

/// Relates an installed build to what a record says.
pub(super) fn relation(installed: Option<&Streams>, said: Option<&Streams>) -> Relation {
    let (installed, said) = match (installed, said) {
        (None, None) => return Relation::Same,
        (Some(Streams(installed)), Some(Streams(said))) => (installed, said),
        (None, Some(_)) | (Some(_), None) => return Relation::Other,
    };
    let Some(stream) = installed.first().filter(|_| !said.is_empty()) else { return Relation::Unknown };
    if !said.contains(stream) {
        return Relation::Other;
    }
    // `idm:DL1 and idm:client` have packages of the same names, of which the record does not say which is which.
    let module = |stream: &str| stream.split(':').next().map(ToOwned::to_owned);
    let is_only = said.iter().filter(|other| module(other) == module(stream)).count() == 1;
    if is_only { Relation::Same } else { Relation::Unknown }
}

/// `nodejs:18` of `nodejs:18` and `nodejs:18:8100020250506132245:489197e6`.
fn stream(label: &str) -> Option<String> {
    let mut parts = label.split(':');
    let (module, stream) = (parts.next()?, parts.next()?);
    (!module.is_empty() && !stream.is_empty()).then(|| format!("{module}:{stream}"))
}

/// Whether a release is that of a module: `1.module+el8…` at Red Hat and Rocky, `1.module_el8…` at AlmaLinux.
fn is_of_module(version: &str) -> bool {
    version.contains(".module+") || version.contains(".module_")
}

#[cfg(test)]
mod tests {
    use super::super::ranges::End;
    use super::*;

    const MODULAR: &str = "1:18.20.8-1.module_el8.10.0+3858+6ad51f9f";

    fn said(fixed: &str, summary: &str) -> Option<Streams> {
        let interval = Interval { introduced: None, end: End::Fixed(fixed.into()) };
        Streams::of_record(&AffectedVersions::Ranges(vec![interval]), summary)
    }

    fn installed(version: &str, label: Option<&str>) -> Option<Streams> {
        Streams::of_package(&Package {
            package_type: PackageType::Rpm,
            name: "a".to_owned(),
            version: version.to_owned(),
            architecture: None,
            source: None,
            licenses: Vec::new(),
            supplier: None,
            owner: None,
            modularity: label.map(ToOwned::to_owned),
            locations: Vec::new(),
        })
    }

    #[test]
    fn streams_of_a_record_stand_in_its_summary() {
        for (summary, expected) in [
            ("Important: nodejs:18 security update", vec!["nodejs:18"]),
            (
                "Moderate: container-tools:rhel8 security, bug fix, and enhancement update",
                vec!["container-tools:rhel8"],
            ),
            ("Important: virt:rhel and virt-devel:rhel security update", vec!["virt-devel:rhel", "virt:rhel"]),
            ("Moderate: php:7.4, security update", vec!["php:7.4"]),
            ("Moderate: go-toolset security update", vec![]),
            ("Important: varnish security update", vec![]),
            ("Moderate: see https://example.test", vec![]),
            ("", vec![]),
        ] {
            let streams = said(MODULAR, summary).expect("of a module").0;
            assert_eq!(streams.iter().map(String::as_str).collect::<Vec<_>>(), expected, "{summary}");
            assert_eq!(said("8.4-1.el8", summary), None, "{summary}");
        }
        assert!(said("0:2.7.0-10.module+el8.4.0+570+c2eaf144", "").is_some());
    }

    #[test]
    fn installed_build_is_held_against_advisories_of_its_own_stream_only() {
        let labelled = installed(MODULAR, Some("nodejs:18:8100020250506132245:489197e6"));
        let client = installed(MODULAR, Some("idm:client:8100020250506132245:489197e6"));
        let nameless = installed(MODULAR, None);
        let broken = installed(MODULAR, Some("nodejs"));
        let plain = installed("1:18.20.8-1.el8", None);
        for (installed, fixed, summary, expected) in [
            (&labelled, MODULAR, "Important: nodejs:18 security update", Relation::Same),
            (&labelled, MODULAR, "Important: nodejs:20 security update", Relation::Other),
            (&labelled, MODULAR, "Important: nodejs security update", Relation::Unknown),
            (&labelled, MODULAR, "Low: nodejs:18 and nodejs-devel:18 security update", Relation::Same),
            (&labelled, MODULAR, "Low: nodejs:18 and nodejs:20 security update", Relation::Unknown),
            (&labelled, "1:16-1.el8", "Important: nodejs security update", Relation::Other),
            (&client, MODULAR, "Critical: idm:DL1 and idm:client security update", Relation::Unknown),
            (&nameless, MODULAR, "Important: nodejs:18 security update", Relation::Unknown),
            (&nameless, "1:16-1.el8", "Important: nodejs security update", Relation::Other),
            (&broken, MODULAR, "Important: nodejs:18 security update", Relation::Unknown),
            (&plain, MODULAR, "Important: nodejs:18 security update", Relation::Other),
            (&plain, "1:16-1.el8", "Important: nodejs security update", Relation::Same),
        ] {
            let found = relation(installed.as_ref(), said(fixed, summary).as_ref());
            assert_eq!(found, expected, "{installed:?} {fixed} {summary}");
        }
    }

    #[test]
    fn only_rpm_has_modules() {
        let package = Package::new(PackageType::Golang, "example.com/m", "1.module+el8");
        assert_eq!(Streams::of_package(&package), None);
    }
}
