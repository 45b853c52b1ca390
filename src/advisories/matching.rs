//! Packages against advisories. Pure: the same SBOM and index give the same findings.
//!
//! Debian and Alpine publish by source package, so the source's name and *its* version are looked up: the binary
//! package may count differently (`+b1`, `libc6` of `glibc`). A finding is one vulnerability in one package, also
//! when several advisories are about it.
//!
//! An artifact of Maven without a group is held against the advisories of all groups, and a package without a usable
//! version against all advisories for its name: where none is about it, it is clean; otherwise it is
//! [undecided](undecided).

mod undecided;

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::ecosystem::{self, Ecosystem};
use super::index::{Entry, Index};
use super::rating::Rating;
use super::versions::Comparator;
use super::{AffectedVersions, Wanted};
use crate::finding::Finding;
use crate::package::{Distro, Package, PackageType};
use crate::sbom::Sbom;
use crate::severity::Severity;
use undecided::{Lack, Undecided};

/// What the advisories say about one SBOM.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matches {
    /// Most severe first, then by package and vulnerability.
    pub findings: Vec<Finding>,
    /// Ecosystems of its packages for which there were no advisories, and packages of which too little is known to
    /// tell: "no data", not "clean".
    pub without_data: Vec<String>,
}

/// An advisory that affects an installed version, and the range that says so.
struct Hit<'a> {
    entry: &'a Entry,
    range: String,
    fixed: Option<&'a str>,
}

/// A package that is held against advisories.
struct Subject<'a> {
    package: &'a Package,
    look_up: LookUp<'a>,
    comparator: Comparator,
}

/// The name and version by which advisories know a package.
struct LookUp<'a> {
    name: Cow<'a, str>,
    version: &'a str,
}

/// What advisories are needed for.
#[must_use]
pub fn wanted<'a>(sboms: impl IntoIterator<Item = &'a Sbom>) -> Wanted {
    let mut wanted = Wanted::default();
    for sbom in sboms {
        for package in not_owned(sbom) {
            if let Ok(ecosystem) = Ecosystem::of(package.package_type, sbom.distro.as_ref()) {
                let look_up = LookUp::of(package, &ecosystem);
                wanted.add(ecosystem.clone(), &look_up.name);
            }
        }
    }
    wanted
}

/// What a package of the distribution brought, the distribution's advisories speak for.
fn not_owned(sbom: &Sbom) -> impl Iterator<Item = &Package> {
    sbom.packages.iter().filter(|package| package.owner.is_none())
}

/// Holds the packages of an SBOM against an index.
#[must_use]
pub fn match_sbom(sbom: &Sbom, index: &Index) -> Matches {
    let distro = sbom.distro.as_ref();
    let mut findings = Vec::new();
    let mut without_data = BTreeSet::new();
    let mut undecided = Undecided::default();
    let mut covered: BTreeMap<PackageType, Option<(Ecosystem, Comparator)>> = BTreeMap::new();
    for package in not_owned(sbom) {
        let known = covered.entry(package.package_type).or_insert_with_key(|kind| {
            let found = covered_ecosystem(*kind, distro, index);
            found.map_err(|name| without_data.insert(name)).ok()
        });
        let Some((ecosystem, comparator)) = known else { continue };
        let subject = Subject { package, look_up: LookUp::of(package, ecosystem), comparator: *comparator };
        let entries = index.entries(ecosystem, &subject.look_up.name);
        let lack = if package.package_type == PackageType::Maven && !package.name.contains(':') {
            let mut of_any_group = index.entries_of_artifact(ecosystem, &package.name);
            of_any_group.any(|entry| subject.may_be_affected(entry)).then_some(Lack::Group)
        } else if undecided::has_version(package) {
            findings.extend(subject.findings(entries, distro));
            let has_place = |entry| undecided::is_decided(entry, subject.look_up.version);
            (!entries.iter().all(has_place)).then_some(Lack::Version)
        } else {
            (!entries.is_empty()).then_some(Lack::Version)
        };
        if let Some(lack) = lack {
            undecided.add(ecosystem, lack, package);
        }
    }
    without_data.extend(undecided.in_words());
    // A distribution whose packages nobody here can read looks like one without packages.
    let has_own = sbom.packages.iter().any(|package| package.package_type.is_of_distribution());
    if let Some(distro) = distro.filter(|distro| !has_own && !is_readable(distro)) {
        without_data.insert(ecosystem::describe(distro));
    }
    findings.sort_by(|a, b| rank(a).cmp(&rank(b)));
    Matches { findings, without_data: without_data.into_iter().collect() }
}

/// The ecosystem of a kind of package, if its versions can be ordered and there are advisories for it; otherwise the
/// name that is reported as without data.
fn covered_ecosystem(
    package_type: PackageType,
    distro: Option<&Distro>,
    index: &Index,
) -> Result<(Ecosystem, Comparator), String> {
    let ecosystem = Ecosystem::of(package_type, distro)?;
    match Comparator::of(&ecosystem) {
        Some(comparator) if index.covers(&ecosystem) => Ok((ecosystem, comparator)),
        _ => Err(ecosystem.to_string()),
    }
}

fn is_readable(distro: &Distro) -> bool {
    [PackageType::Deb, PackageType::Apk, PackageType::Rpm]
        .into_iter()
        .any(|kind| Ecosystem::of(kind, Some(distro)).is_ok())
}

fn rank(finding: &Finding) -> (Reverse<Severity>, &str, &str, &str) {
    (Reverse(finding.severity), &finding.package, &finding.vulnerability, &finding.purl)
}

impl<'a> LookUp<'a> {
    fn of(package: &'a Package, ecosystem: &Ecosystem) -> Self {
        match &package.source {
            Some(source) => Self { name: ecosystem.package_name(&source.name), version: &source.version },
            None => Self { name: ecosystem.package_name(&package.name), version: &package.version },
        }
    }

    /// In words, where it is not what the package calls itself.
    fn unless_own(&self, package: &Package) -> Option<String> {
        let source = package.source.as_ref()?;
        let is_own = source.name == package.name && source.version == package.version;
        (!is_own).then(|| format!("{} {}", self.name, self.version))
    }
}

impl Subject<'_> {
    /// Whether an advisory would affect it, were it the package that is meant.
    fn may_be_affected(&self, entry: &Entry) -> bool {
        !undecided::has_version(self.package)
            || Hit::find(entry, self.look_up.version, self.comparator).is_some()
    }

    fn findings(&self, entries: &[Entry], distro: Option<&Distro>) -> Vec<Finding> {
        let Self { package, look_up, comparator } = self;
        let mut by_vulnerability: BTreeMap<&str, Vec<Hit<'_>>> = BTreeMap::new();
        for entry in entries {
            for vulnerability in &entry.advisory.vulnerabilities {
                if let Some(hit) = Hit::find(entry, look_up.version, *comparator) {
                    by_vulnerability.entry(vulnerability).or_default().push(hit);
                }
            }
        }
        let finding = |(vulnerability, hits): (&str, Vec<Hit<'_>>)| {
            let deciding = deciding(&hits, *comparator)?;
            let rating = hits.iter().filter_map(|hit| hit.entry.rating.as_ref()).max();
            Some(Finding {
                vulnerability: vulnerability.to_owned(),
                advisory: deciding.entry.advisory.id.clone(),
                aliases: aliases(vulnerability, &deciding.entry.advisory.id, &hits),
                package: package.name.clone(),
                installed: package.version.clone(),
                purl: package.purl(distro),
                fixed: deciding.fixed.map(ToOwned::to_owned),
                severity: rating.map_or(Severity::Unknown, |rating| rating.severity),
                severity_source: rating.map(|Rating { source, .. }| source.clone()),
                matched_as: look_up.unless_own(package),
                range: deciding.range.clone(),
                locations: package.locations.clone(),
            })
        };
        by_vulnerability.into_iter().filter_map(finding).collect()
    }
}

impl<'a> Hit<'a> {
    fn find(entry: &'a Entry, version: &str, comparator: Comparator) -> Option<Self> {
        match &entry.versions {
            AffectedVersions::Listed(versions) => {
                let is_it = |listed: &&String| comparator.compare_installed(version, listed).is_eq();
                let listed = versions.iter().find(is_it)?;
                Some(Self { entry, range: format!("= {listed}"), fixed: None })
            }
            AffectedVersions::Releases(_) if !undecided::is_decided(entry, version) => None,
            AffectedVersions::Ranges(intervals) | AffectedVersions::Releases(intervals) => {
                let interval = intervals.iter().find(|interval| interval.contains(version, comparator))?;
                Some(Self { entry, range: interval.to_string(), fixed: interval.fixed() })
            }
        }
    }
}

/// The hit that says which version fixes a vulnerability: of one advisory that names the package several times the
/// lowest fix, of several advisories the highest.
///
/// Several advisories of a distribution about one vulnerability mean that the first fix was not enough: DSA-5576-2
/// came after DSA-5576-1 since CVE-2023-6377 was still there, and DLA-3942-2 after DLA-3942-1 since that did not
/// help a newer upstream version. The lowest would name a version that these very advisories call affected. What
/// does not name a fix does not hide one that another names.
fn deciding<'h, 'a>(hits: &'h [Hit<'a>], comparator: Comparator) -> Option<&'h Hit<'a>> {
    let mut of_advisory: BTreeMap<&str, &Hit<'_>> = BTreeMap::new();
    for hit in hits {
        let lowest = of_advisory.entry(&hit.entry.advisory.id).or_insert(hit);
        let is_lower = match (hit.fixed, lowest.fixed) {
            (Some(new), Some(old)) => comparator.compare(new, old).is_lt(),
            (new, old) => new.is_some() && old.is_none(),
        };
        if is_lower {
            *lowest = hit;
        }
    }
    let by_fix = |a: &&Hit<'_>, b: &&Hit<'_>| match (a.fixed, b.fixed) {
        (Some(a), Some(b)) => comparator.compare(a, b),
        (a, b) => a.is_some().cmp(&b.is_some()),
    };
    // The last of equals wins a maximum; turned round, the first id of those with the same fix is shown.
    of_advisory.into_values().rev().max_by(by_fix)
}

/// All other ids of the advisories, but not the other vulnerabilities that they are about: those are findings of
/// their own.
fn aliases(vulnerability: &str, advisory: &str, hits: &[Hit<'_>]) -> Vec<String> {
    let mut ids: BTreeSet<&str> = BTreeSet::new();
    for identity in hits.iter().map(|hit| &*hit.entry.advisory) {
        let is_other = |id: &&str| *id != vulnerability && !identity.vulnerabilities.iter().any(|v| v == id);
        ids.extend(identity.aliases.iter().map(String::as_str).filter(is_other));
        ids.insert(&identity.id);
    }
    ids.remove(vulnerability);
    ids.remove(advisory);
    ids.into_iter().map(ToOwned::to_owned).collect()
}

#[cfg(test)]
mod tests;
