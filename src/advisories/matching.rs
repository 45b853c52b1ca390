//! Packages against advisories. Pure: the same SBOM and index give the same findings.
//!
//! Most distributions publish by source package, so the source's name and *its* version are looked up: the binary
//! package may count differently (`+b1`, `libc6` of `glibc`). A finding is one vulnerability in one package, also
//! when several advisories are about it.
//!
//! An artifact of Maven without a group is held against the advisories of all groups, and a package without a usable
//! version, or of a maker that is not the distribution, against all advisories for its name: where none is about it, it is
//! clean; otherwise it is undecided. So is a package of a module of rpm that is affected if the advisory
//! is about its stream, where that cannot be told.

mod look_up;
mod undecided;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::ecosystem::{self, Ecosystem};
use super::index::{Entry, Index};
use super::modules::{self, Relation, Streams};
use super::rating::Rating;
use super::versions::Comparator;
use super::{AffectedVersions, Wanted};
use crate::finding::Finding;
use crate::package::{Distro, Package, PackageType};
use crate::sbom::Sbom;
use crate::severity::Severity;
use look_up::LookUp;
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
#[derive(Clone)]
struct Hit<'a> {
    entry: &'a Entry,
    look_up: &'a LookUp<'a>,
    range: String,
    fixed: Option<&'a str>,
}

/// A package that is held against advisories.
struct Subject<'a> {
    package: &'a Package,
    look_ups: Vec<LookUp<'a>>,
    comparator: Comparator,
    streams: Option<Streams>,
}

/// What the advisories say about one package.
#[derive(Default)]
struct Judgement {
    findings: Vec<Finding>,
    lack: Option<Lack>,
}

/// What advisories are needed for.
#[must_use]
pub fn wanted<'a>(sboms: impl IntoIterator<Item = &'a Sbom>) -> Wanted {
    let mut wanted = Wanted::default();
    for sbom in sboms {
        for package in not_owned(sbom) {
            if let Ok(ecosystem) = Ecosystem::of(package.package_type, sbom.distro.as_ref()) {
                for look_up in LookUp::all(package, &ecosystem) {
                    wanted.add(ecosystem.clone(), &look_up.name);
                }
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
        let judgement = Subject::new(package, ecosystem, *comparator).judge(ecosystem, index, distro);
        findings.extend(judgement.findings);
        if let Some(lack) = judgement.lack {
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

impl<'a> Subject<'a> {
    fn new(package: &'a Package, ecosystem: &Ecosystem, comparator: Comparator) -> Self {
        let look_ups = LookUp::all(package, ecosystem);
        Self { package, look_ups, comparator, streams: Streams::of_package(package) }
    }

    fn judge(&self, ecosystem: &Ecosystem, index: &Index, distro: Option<&Distro>) -> Judgement {
        let package = self.package;
        let entries = |look_up: &LookUp<'_>| index.entries(ecosystem, &look_up.name);
        let is_known = self.look_ups.iter().any(|look_up| !entries(look_up).is_empty());
        let only = |lack: Option<Lack>| Judgement { lack, ..Judgement::default() };
        if package.package_type == PackageType::Maven && !package.name.contains(':') {
            let mut of_any_group = index.entries_of_artifact(ecosystem, &package.name);
            return only(of_any_group.any(|entry| self.may_be_affected(entry)).then_some(Lack::Group));
        }
        if !is_known {
            return Judgement::default();
        }
        if !undecided::has_version(package) {
            return only(Some(Lack::Version));
        }
        if look_up::is_of_other_vendor(package, ecosystem) {
            return only(Some(Lack::Vendor));
        }
        let mut lack = None;
        let mut hits = Vec::new();
        for look_up in &self.look_ups {
            for entry in entries(look_up) {
                if !undecided::is_decided(entry, look_up.version) {
                    lack = Some(Lack::Version);
                }
                let Some(hit) = Hit::find(entry, look_up, self.comparator) else { continue };
                match modules::relation(self.streams.as_ref(), entry.streams.as_ref()) {
                    Relation::Same => hits.push(hit),
                    Relation::Other => {}
                    Relation::Unknown => lack = Some(Lack::Stream),
                }
            }
        }
        Judgement { findings: self.findings(&hits, distro), lack }
    }

    /// Whether an advisory would affect it, were it the package that is meant.
    fn may_be_affected(&self, entry: &Entry) -> bool {
        let is_hit = |look_up| Hit::find(entry, look_up, self.comparator).is_some();
        !undecided::has_version(self.package) || self.look_ups.iter().any(is_hit)
    }

    fn findings(&self, hits: &[Hit<'_>], distro: Option<&Distro>) -> Vec<Finding> {
        let Self { package, comparator, .. } = self;
        let mut by_vulnerability: BTreeMap<&str, Vec<Hit<'_>>> = BTreeMap::new();
        for hit in hits {
            for vulnerability in &hit.entry.advisory.vulnerabilities {
                by_vulnerability.entry(vulnerability).or_default().push(hit.clone());
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
                matched_as: deciding.look_up.unless_own(package),
                range: deciding.range.clone(),
                locations: package.locations.clone(),
                exploited: None,
                epss: None,
                fix_state: None,
                ignored: None,
            })
        };
        by_vulnerability.into_iter().filter_map(finding).collect()
    }
}

impl<'a> Hit<'a> {
    fn find(entry: &'a Entry, look_up: &'a LookUp<'a>, comparator: Comparator) -> Option<Self> {
        let version = look_up.version;
        match &entry.versions {
            AffectedVersions::Listed(versions) => {
                let is_it = |listed: &&String| comparator.compare_installed(version, listed).is_eq();
                let listed = versions.iter().find(is_it)?;
                Some(Self { entry, look_up, range: format!("= {listed}"), fixed: None })
            }
            AffectedVersions::Releases(_) if !undecided::is_decided(entry, version) => None,
            AffectedVersions::Ranges(intervals) | AffectedVersions::Releases(intervals) => {
                let interval = intervals.iter().find(|interval| interval.contains(version, comparator))?;
                Some(Self { entry, look_up, range: interval.to_string(), fixed: interval.fixed() })
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
