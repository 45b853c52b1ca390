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

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use super::ecosystem::{self, Ecosystem};
use super::index::{Entries, Entry, Identity, Index, Partition};
use super::modules::{self, Relation, Streams};
use super::rating::Rating;
use super::versions::Comparator;
use super::{AffectedVersions, Text, Wanted};
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
    /// Ecosystems whose index turned out to be damaged: nothing that it said is in the findings.
    pub damaged: BTreeSet<Ecosystem>,
}

/// Whether findings get the texts of their advisories, which cost more to read than all the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Texts {
    /// They do.
    Shown,
    /// They do not.
    Left,
}

/// An advisory that affects an installed version, and the range that says so.
struct Hit<'a> {
    partition: &'a Partition,
    advisory: u32,
    identity: Identity,
    rating: Option<usize>,
    look_up: &'a LookUp<'a>,
    range: String,
    fixed: Option<String>,
}

/// The indexes for a kind of package, and the order of its versions.
struct Coverage<'a> {
    /// The ecosystem without which there are no data, whatever the others say.
    main: Ecosystem,
    /// Whether there is an index of it.
    is_whole: bool,
    partitions: Vec<&'a Partition>,
    comparator: Comparator,
}

/// A package that is held against advisories.
struct Subject<'a> {
    package: &'a Package,
    coverage: &'a Coverage<'a>,
    look_ups: Vec<LookUp<'a>>,
    streams: Option<Streams>,
}

/// The index of an ecosystem contradicts itself or its checksums.
struct Damaged(Ecosystem);

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
            let ecosystems = Ecosystem::all_of(package.package_type, sbom.distro.as_ref());
            for (position, ecosystem) in ecosystems.into_iter().flatten().enumerate() {
                for look_up in LookUp::all(package, &ecosystem) {
                    if position == 0 {
                        wanted.add(ecosystem.clone(), &look_up.name);
                    } else {
                        wanted.add_in_part(ecosystem.clone(), &look_up.name);
                    }
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
pub fn match_sbom(sbom: &Sbom, index: &Index, texts: Texts) -> Matches {
    let mut damaged = BTreeSet::new();
    loop {
        // Half of what an index says would look like all of it: once more without it.
        match match_without(&damaged, sbom, index, texts) {
            Ok(mut matches) => {
                matches.without_data.retain(|name| !damaged.iter().any(|one| one.to_string() == *name));
                let in_words = damaged.iter().map(|ecosystem| format!("{ecosystem}, whose index is damaged"));
                matches.without_data.extend(in_words);
                matches.without_data.sort();
                return Matches { damaged, ..matches };
            }
            Err(Damaged(ecosystem)) => damaged.insert(ecosystem),
        };
    }
}

/// Holds the packages of an SBOM against all indexes but the damaged ones.
fn match_without(
    damaged: &BTreeSet<Ecosystem>,
    sbom: &Sbom,
    index: &Index,
    texts: Texts,
) -> Result<Matches, Damaged> {
    let distro = sbom.distro.as_ref();
    let mut findings = Vec::new();
    let mut without_data = BTreeSet::new();
    let mut undecided = Undecided::default();
    let mut covered: BTreeMap<PackageType, Option<Coverage<'_>>> = BTreeMap::new();
    let partition = |ecosystem: &Ecosystem| index.partition(ecosystem).filter(|_| !damaged.contains(ecosystem));
    for package in not_owned(sbom) {
        let known = covered.entry(package.package_type).or_insert_with_key(|kind| {
            let found = Coverage::of(*kind, distro, partition);
            let missing = match &found {
                Ok(coverage) => (!coverage.is_whole).then(|| coverage.main.to_string()),
                Err(name) => Some(name.clone()),
            };
            without_data.extend(missing);
            found.ok()
        });
        let Some(coverage) = known else { continue };
        let judgement = Subject::new(package, coverage).judge(distro, texts)?;
        findings.extend(judgement.findings);
        if let Some(lack) = judgement.lack {
            undecided.add(&coverage.main, lack, package);
        }
    }
    without_data.extend(undecided.in_words());
    // A distribution whose packages nobody here can read looks like one without packages.
    let has_own = sbom.packages.iter().any(|package| package.package_type.is_of_distribution());
    if let Some(distro) = distro.filter(|distro| !has_own && !is_readable(distro)) {
        without_data.insert(ecosystem::describe(distro));
    }
    index.overlays().apply(&mut findings, distro);
    Ok(Matches { findings, without_data: without_data.into_iter().collect(), damaged: BTreeSet::new() })
}

impl<'a> Coverage<'a> {
    /// The error is the name that is reported as without data.
    fn of(
        package_type: PackageType,
        distro: Option<&Distro>,
        partition: impl Fn(&Ecosystem) -> Option<&'a Partition>,
    ) -> Result<Self, String> {
        let ecosystems = Ecosystem::all_of(package_type, distro)?;
        let main = ecosystems.first().ok_or_else(|| package_type.as_str().to_owned())?.clone();
        let comparator = Comparator::of(&main).ok_or_else(|| main.to_string())?;
        let partitions = ecosystems.iter().filter_map(&partition).collect();
        Ok(Self { is_whole: partition(&main).is_some(), main, partitions, comparator })
    }
}

fn is_readable(distro: &Distro) -> bool {
    [PackageType::Deb, PackageType::Apk, PackageType::Rpm]
        .into_iter()
        .any(|kind| Ecosystem::all_of(kind, Some(distro)).is_ok())
}

impl<'a> Subject<'a> {
    fn new(package: &'a Package, coverage: &'a Coverage<'a>) -> Self {
        let look_ups = LookUp::all(package, &coverage.main);
        Self { package, coverage, look_ups, streams: Streams::of_package(package) }
    }

    fn judge(&self, distro: Option<&Distro>, texts: Texts) -> Result<Judgement, Damaged> {
        let Self { package, coverage, .. } = *self;
        let only = |lack: Option<Lack>| Ok(Judgement { lack, ..Judgement::default() });
        if package.package_type == PackageType::Maven && !package.name.contains(':') {
            return only(self.may_be_of_a_group()?.then_some(Lack::Group));
        }
        let said = self.said()?;
        if said.is_empty() {
            return Ok(Judgement::default());
        }
        if !undecided::has_version(package) {
            return only(Some(Lack::Version));
        }
        if look_up::is_of_other_vendor(package, &coverage.main) {
            return only(Some(Lack::Vendor));
        }
        let mut lack = None;
        let mut hits = Vec::new();
        for (look_up, partition, entries) in &said {
            for entry in entries.iter() {
                let entry = entry.map_err(|_| Damaged::of(partition))?;
                if !undecided::is_decided(&entry, look_up.version) {
                    lack = Some(Lack::Version);
                }
                let Some((range, fixed)) = affected_range(&entry, look_up.version, coverage.comparator) else {
                    continue;
                };
                match modules::relation(self.streams.as_ref(), entry.streams.as_ref()) {
                    Relation::Same => hits.push(Hit {
                        partition,
                        advisory: entry.advisory,
                        identity: partition.identity(entry.advisory).map_err(|_| Damaged::of(partition))?,
                        rating: entry.rating,
                        look_up,
                        range,
                        fixed,
                    }),
                    Relation::Other => {}
                    Relation::Unknown => lack = Some(Lack::Stream),
                }
            }
        }
        Ok(Judgement { findings: self.findings(&hits, distro, texts)?, lack })
    }

    /// What is said about it under all its names, in all its ecosystems.
    fn said(&self) -> Result<Vec<(&LookUp<'a>, &'a Partition, Entries)>, Damaged> {
        let mut said = Vec::new();
        for look_up in &self.look_ups {
            for partition in &self.coverage.partitions {
                let entries = partition.entries(&look_up.name).map_err(|_| Damaged::of(partition))?;
                said.extend(entries.map(|entries| (look_up, *partition, entries)));
            }
        }
        Ok(said)
    }

    /// Whether an advisory would affect an artifact of Maven, were it of the group that is meant.
    fn may_be_of_a_group(&self) -> Result<bool, Damaged> {
        let (comparator, has_version) = (self.coverage.comparator, undecided::has_version(self.package));
        for partition in &self.coverage.partitions {
            let damaged = |_| Damaged::of(partition);
            for entries in partition.entries_of_artifact(&self.package.name).map_err(damaged)? {
                for entry in entries.iter() {
                    let entry = entry.map_err(damaged)?;
                    let is_affected =
                        |look_up: &LookUp<'_>| affected_range(&entry, look_up.version, comparator).is_some();
                    if !has_version || self.look_ups.iter().any(is_affected) {
                        return Ok(true);
                    }
                }
            }
        }
        Ok(false)
    }

    fn findings(
        &self,
        hits: &[Hit<'_>],
        distro: Option<&Distro>,
        texts: Texts,
    ) -> Result<Vec<Finding>, Damaged> {
        let Self { package, coverage, .. } = self;
        let mut by_vulnerability: BTreeMap<&str, Vec<&Hit<'_>>> = BTreeMap::new();
        for hit in hits {
            for vulnerability in &hit.identity.vulnerabilities {
                by_vulnerability.entry(vulnerability).or_default().push(hit);
            }
        }
        let mut findings = Vec::new();
        for (vulnerability, hits) in by_vulnerability {
            let Some(deciding) = deciding(&hits, coverage.comparator) else { continue };
            let rating = hits.iter().filter_map(|hit| hit.rating()).max();
            let text = match texts {
                Texts::Shown => deciding.partition.text(deciding.advisory),
                Texts::Left => Ok(Text::default()),
            };
            let text = text.map_err(|_| Damaged::of(deciding.partition))?;
            findings.push(Finding {
                vulnerability: vulnerability.to_owned(),
                advisory: deciding.identity.id.clone(),
                aliases: aliases(vulnerability, &deciding.identity.id, &hits),
                package: package.name.clone(),
                installed: package.version.clone(),
                purl: package.purl(distro),
                fixed: deciding.fixed.clone(),
                severity: rating.map_or(Severity::Unknown, |rating| rating.severity),
                severity_source: rating.map(|Rating { source, .. }| source.clone()),
                matched_as: deciding.look_up.unless_own(package),
                range: deciding.range.clone(),
                summary: text.summary,
                references: text.references,
                locations: package.locations.clone(),
                exploited: None,
                epss: None,
                fix_state: None,
                ignored: None,
            });
        }
        Ok(findings)
    }
}

impl Damaged {
    fn of(partition: &Partition) -> Self {
        Self(partition.ecosystem().clone())
    }
}

impl Hit<'_> {
    fn rating(&self) -> Option<&Rating> {
        self.identity.ratings.get(self.rating?)
    }
}

/// The range that an installed version is in, in words, and the version that ends it, if that fixes it.
fn affected_range(
    entry: &Entry<'_>,
    version: &str,
    comparator: Comparator,
) -> Option<(String, Option<String>)> {
    match &entry.versions {
        AffectedVersions::Listed(versions) => {
            let is_it = |listed: &&Cow<'_, str>| comparator.compare_installed(version, listed).is_eq();
            let listed = versions.iter().find(is_it)?;
            Some((format!("= {listed}"), None))
        }
        AffectedVersions::Releases(_) if !undecided::is_decided(entry, version) => None,
        AffectedVersions::Ranges(intervals) | AffectedVersions::Releases(intervals) => {
            let interval = intervals.iter().find(|interval| interval.contains(version, comparator))?;
            Some((interval.to_string(), interval.fixed().map(ToOwned::to_owned)))
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
fn deciding<'h, 'a>(hits: &[&'h Hit<'a>], comparator: Comparator) -> Option<&'h Hit<'a>> {
    let mut of_advisory: BTreeMap<&str, &Hit<'_>> = BTreeMap::new();
    for hit in hits {
        let lowest = of_advisory.entry(&hit.identity.id).or_insert(hit);
        let is_lower = match (&hit.fixed, &lowest.fixed) {
            (Some(new), Some(old)) => comparator.compare(new, old).is_lt(),
            (new, old) => new.is_some() && old.is_none(),
        };
        if is_lower {
            *lowest = hit;
        }
    }
    let by_fix = |a: &&Hit<'_>, b: &&Hit<'_>| match (&a.fixed, &b.fixed) {
        (Some(a), Some(b)) => comparator.compare(a, b),
        (a, b) => a.is_some().cmp(&b.is_some()),
    };
    // The last of equals wins a maximum; turned round, the first id of those with the same fix is shown.
    of_advisory.into_values().rev().max_by(by_fix)
}

/// All other ids of the advisories, but not the other vulnerabilities that they are about: those are findings of
/// their own.
fn aliases(vulnerability: &str, advisory: &str, hits: &[&Hit<'_>]) -> Vec<String> {
    let mut ids: BTreeSet<&str> = BTreeSet::new();
    for identity in hits.iter().map(|hit| &hit.identity) {
        ids.extend(identity.aliases.iter().map(String::as_str));
        ids.insert(&identity.id);
    }
    ids.remove(vulnerability);
    ids.remove(advisory);
    ids.into_iter().map(ToOwned::to_owned).collect()
}

#[cfg(test)]
mod tests;
