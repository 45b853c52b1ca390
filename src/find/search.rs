//! One document after the other.

use std::collections::{BTreeMap, BTreeSet};

use super::answer::{Hit, Known};
use super::excerpt::excerpt;
use super::needles::Needles;
use super::query::{PackageQuery, Query};
use crate::advisories::matching::{self, Texts};
use crate::advisories::versions::Comparator;
use crate::advisories::{Ecosystem, Index};
use crate::finding::Finding;
use crate::package::{Distro, Package, PackageType};
use crate::sbom::{self, ReadError, Sbom};

/// A query, and what is known of it beforehand.
#[derive(Debug)]
pub struct Search {
    query: Query,
    needles: Needles,
    /// What an advisory calls packages, for a vulnerability.
    affected: BTreeMap<Ecosystem, BTreeSet<String>>,
    index: Index,
    notes: Vec<String>,
}

/// What a document came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Looked {
    /// What was found in it.
    pub hits: Vec<Hit>,
    /// Packages of a vulnerability's name of which too little is known to tell, in words.
    pub undecided: Vec<String>,
}

impl Search {
    /// Prepares a search. For a vulnerability all of the index is read once.
    #[must_use]
    pub fn new(query: Query, index: Index) -> Self {
        let mut notes = Vec::new();
        let (affected, needles) = match &query {
            Query::Package(package) => {
                let types = [PackageType::Nuget, PackageType::Swift];
                let is_caseless = |kind: &PackageType| package.kind == Some(*kind);
                let types: Vec<&str> =
                    types.iter().filter(|kind| is_caseless(kind)).map(|kind| kind.as_str()).collect();
                (BTreeMap::new(), Needles::of([package.name.as_str()], &types))
            }
            Query::Vulnerability(id) => {
                let (affected, damaged) = index.packages_of(id);
                for ecosystem in damaged {
                    notes.push(format!("the index of {ecosystem} is damaged and was not searched"));
                }
                notes.push(known_to(id, &affected, &index));
                let types = caseless(&affected);
                let names = affected.values().flatten().map(String::as_str);
                let artifacts = names.clone().filter_map(|name| name.rsplit_once(':').map(|(_, name)| name));
                let needles = Needles::of(names.chain(artifacts), &types);
                (affected, needles)
            }
        };
        Self { query, needles, affected, index, notes }
    }

    /// What is looked for.
    #[must_use]
    pub fn query(&self) -> &Query {
        &self.query
    }

    /// What a person should know about all of it.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Looks into a document.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn look(&self, document: &[u8]) -> Result<Looked, ReadError> {
        if matches!(self.query, Query::Vulnerability(_)) && self.affected.is_empty()
            || !self.needles.may_be_in(document)
        {
            return Ok(Looked::default());
        }
        let part = excerpt(document, &self.needles);
        let sbom = sbom::read(part.as_deref().unwrap_or(document))?.sbom;
        let mut looked = match &self.query {
            Query::Package(query) => Looked { hits: packages(query, &sbom), undecided: Vec::new() },
            Query::Vulnerability(id) => self.vulnerable(id, sbom),
        };
        looked.hits.sort();
        looked.hits.dedup();
        Ok(looked)
    }

    /// Packages that have a vulnerability: only those that its advisories name are held against them.
    fn vulnerable(&self, id: &str, sbom: Sbom) -> Looked {
        let distro = sbom.distro.clone();
        let is_named = |package: &Package| self.is_named(package, distro.as_ref());
        let packages: Vec<Package> = sbom.packages.into_iter().filter(is_named).collect();
        if packages.is_empty() {
            return Looked::default();
        }
        let sbom = Sbom { packages, ..sbom };
        let matches = matching::match_sbom(&sbom, &self.index, Texts::Left);
        let findings = matches.findings.into_iter().filter(|finding| is_about(finding, id));
        Looked {
            hits: findings.map(|finding| hit_of(finding, &sbom)).collect(),
            undecided: matches.without_data,
        }
    }

    fn is_named(&self, package: &Package, distro: Option<&Distro>) -> bool {
        let Ok(ecosystems) = Ecosystem::all_of(package.package_type, distro) else { return false };
        let own = [Some(&package.name), package.source.as_ref().map(|source| &source.name)];
        ecosystems.iter().any(|ecosystem| {
            let Some(names) = self.affected.get(ecosystem) else { return false };
            own.into_iter().flatten().any(|name| {
                let is_artifact = package.package_type == PackageType::Maven && !name.contains(':');
                let has = |full: &String| full.rsplit(':').next() == Some(name.as_str());
                names.contains(&*ecosystem.package_name(name)) || (is_artifact && names.iter().any(has))
            })
        })
    }
}

/// Package types of which advisories have lost the case of names.
fn caseless(affected: &BTreeMap<Ecosystem, BTreeSet<String>>) -> Vec<&'static str> {
    let kinds = [("NuGet", PackageType::Nuget), ("SwiftURL", PackageType::Swift)];
    let is_there = |name: &str| affected.keys().any(|ecosystem| ecosystem.name() == name);
    kinds.into_iter().filter(|(name, _)| is_there(name)).map(|(_, kind)| kind.as_str()).collect()
}

/// Whether an advisory knows the id at all, in which of the ecosystems that were searched.
fn known_to(id: &str, affected: &BTreeMap<Ecosystem, BTreeSet<String>>, index: &Index) -> String {
    let in_words = |ecosystems: Vec<String>| match ecosystems.len() {
        0 => "no advisories at all".to_owned(),
        _ => format!("the advisories of {}", ecosystems.join(", ")),
    };
    if affected.is_empty() {
        let searched = index.ecosystems().map(ToString::to_string).collect();
        return format!("{id} is in none of {}: that nothing is found says little", in_words(searched));
    }
    format!("{id} is in {}", in_words(affected.keys().map(ToString::to_string).collect()))
}

/// Whether a finding is about an id. The aliases of a finding name related vulnerabilities too, and those are others.
fn is_about(finding: &Finding, id: &str) -> bool {
    let is_it = |text: &str| text.eq_ignore_ascii_case(id);
    let is_other = is_cve(id) && is_cve(&finding.vulnerability);
    is_it(&finding.vulnerability)
        || (!is_other && (is_it(&finding.advisory) || finding.aliases.iter().any(|alias| is_it(alias))))
}

fn is_cve(id: &str) -> bool {
    id.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("CVE-"))
}

fn hit_of(finding: Finding, sbom: &Sbom) -> Hit {
    let is_it = |package: &&Package| package.name == finding.package && package.version == finding.installed;
    let kind = sbom.packages.iter().find(is_it).map_or(PackageType::Deb, |package| package.package_type);
    Hit {
        package: finding.package,
        version: finding.installed,
        kind,
        purl: finding.purl,
        source: finding.matched_as,
        // What the distribution speaks for is not matched on its own.
        owner: None,
        locations: finding.locations,
        known: Known::Affected {
            vulnerability: finding.vulnerability,
            advisory: finding.advisory,
            severity: finding.severity,
            fixed: finding.fixed,
        },
    }
}

/// Packages of a name.
fn packages(query: &PackageQuery, sbom: &Sbom) -> Vec<Hit> {
    let distro = sbom.distro.as_ref();
    let hit = |package: &Package| {
        let version = query.version_of(package)?;
        let known = match &query.versions {
            None => Known::Package,
            Some(range) => match range.holds(version, comparator(package.package_type, distro)) {
                Some(true) => Known::Package,
                Some(false) => return None,
                None => Known::Name,
            },
        };
        let source = package.source.as_ref().filter(|source| source.name != package.name);
        Some(Hit {
            package: package.name.clone(),
            version: package.version.clone(),
            kind: package.package_type,
            purl: package.purl(distro),
            source: source.map(|source| format!("{} {}", source.name, source.version)),
            owner: package.owner.clone(),
            locations: package.locations.clone(),
            known,
        })
    };
    sbom.packages.iter().filter_map(hit).collect()
}

fn comparator(kind: PackageType, distro: Option<&Distro>) -> Option<Comparator> {
    Comparator::of(Ecosystem::all_of(kind, distro).ok()?.first()?)
}

#[cfg(test)]
mod tests;
