//! Findings that somebody decided do not matter: they stay in the report with the reason, and count nowhere.
//!
//! ```text
//! ignore file, VEX documents -> RuleSet -> Report::suppressed -> Finding::ignored, notes
//! ```
//!
//! A finding is one vulnerability in one package of one image, and an image is read once for all who run it. So a rule for
//! a namespace holds only where all containers that run the image are in such namespaces: otherwise the decision of one
//! team would hide a finding from another.

mod apply;
mod file;
mod pattern;
pub mod vex;

use std::collections::BTreeMap;

use jiff::civil::Date;

pub use file::{IgnoreError, MAX_BYTES, read};

use super::Finding;
use crate::finding::Ignored;
use crate::image::Digest;
use pattern::{ImagePattern, PackagePattern, Pattern};

/// The rules of one file, of which the first that fits a finding decides.
#[derive(Debug)]
pub struct RuleSet {
    /// The file, as the person named it.
    source: String,
    kind: Kind,
    rules: Vec<Rule>,
    /// Places of rules by the id that they name, in lower case.
    by_id: BTreeMap<String, Vec<usize>>,
    /// Places of rules that name none.
    without_id: Vec<usize>,
}

/// Who wrote the rules, which says what a person wants to know of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// The person who scans: each rule is there for a finding.
    Own,
    /// The maker of what is scanned, who speaks of more than is here.
    Vex {
        /// Statements about products that cannot be told from images or packages here.
        unknown: usize,
    },
}

/// What is ignored, and why. All conditions that it names have to hold.
#[derive(Debug)]
struct Rule {
    /// How it is named to people: `line 3 (CVE-2005-2541)`.
    name: String,
    /// Any id of the finding; all of them name the same vulnerability.
    ids: Vec<String>,
    package: Option<PackagePattern>,
    image: Option<ImagePattern>,
    /// Where in the image.
    path: Option<Pattern>,
    /// That of all containers that run the image.
    namespace: Option<Pattern>,
    verdict: Verdict,
    /// The last day on which it holds.
    until: Option<Date>,
}

/// What becomes of the findings that a rule fits.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Verdict {
    /// They are ignored for a reason.
    Ignore(String),
    /// They count, whatever rules say that come later.
    Count,
}

/// What rules ask of an image.
struct Subject<'a> {
    /// What it is called without tag and digest; images of Docker Hub also as people shorten them.
    names: Vec<String>,
    digest: Option<&'a Digest>,
    /// The namespaces in which it runs.
    namespaces: Vec<&'a str>,
}

/// Whether a rule fits a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fit {
    Yes,
    No,
    /// But for containers in other namespaces, which run the image too.
    ElsewhereToo,
}

impl RuleSet {
    fn new(source: String, kind: Kind, rules: Vec<Rule>) -> Self {
        let mut by_id: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        let mut without_id = Vec::new();
        for (place, rule) in rules.iter().enumerate() {
            for id in &rule.ids {
                by_id.entry(id.to_ascii_lowercase()).or_default().push(place);
            }
            if rule.ids.is_empty() {
                without_id.push(place);
            }
        }
        Self { source, kind, rules, by_id, without_id }
    }

    /// The places of all rules that may fit by their ids, in the order of the file.
    fn candidates(&self, finding: &Finding) -> Vec<usize> {
        // Advisories also name vulnerabilities that are only related: what has a CVE is known by that one alone.
        let is_cve = |id: &str| id.starts_with("CVE-");
        let is_other = |id: &&String| is_cve(&finding.vulnerability) && is_cve(id);
        let others = [&finding.advisory].into_iter().chain(&finding.aliases).filter(|id| !is_other(id));
        let ids = [&finding.vulnerability].into_iter().chain(others);
        let by_id = ids.filter_map(|id| self.by_id.get(&id.to_ascii_lowercase())).flatten();
        let mut places: Vec<usize> = by_id.chain(&self.without_id).copied().collect();
        places.sort_unstable();
        places.dedup();
        places
    }
}

impl Rule {
    /// Whether it fits a finding of an image; that the ids fit is known.
    fn fit(&self, finding: &Finding, subject: &Subject<'_>) -> Fit {
        let is_of_package = self.package.as_ref().is_none_or(|package| package.matches(finding));
        let is_of_image = self.image.as_ref().is_none_or(|image| image.matches(subject));
        // A package that lies in several places is a finding in each of them.
        let is_in_path = self.path.as_ref().is_none_or(|path| {
            let mut paths = finding.locations.iter().map(|location| &location.path);
            !finding.locations.is_empty() && paths.all(|place| path.matches(place))
        });
        if !(is_of_package && is_of_image && is_in_path) {
            return Fit::No;
        }
        let Some(namespace) = &self.namespace else { return Fit::Yes };
        let inside = subject.namespaces.iter().filter(|name| namespace.matches(name)).count();
        match inside {
            0 => Fit::No,
            count if count == subject.namespaces.len() => Fit::Yes,
            _ => Fit::ElsewhereToo,
        }
    }

    /// What becomes of a finding that it fits: none if it counts.
    fn ignored(&self, source: &str) -> Option<Ignored> {
        let Verdict::Ignore(reason) = &self.verdict else { return None };
        Some(Ignored { reason: reason.clone(), until: self.until, source: source.to_owned() })
    }
}

#[cfg(test)]
mod tests;
