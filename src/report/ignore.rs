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

use std::collections::BTreeMap;

use jiff::civil::Date;

pub use file::{IgnoreError, MAX_BYTES, read};

use super::Finding;
use crate::finding::Ignored;
use pattern::{PackagePattern, Pattern};

/// The rules of one file, of which the first that fits a finding decides.
#[derive(Debug)]
pub struct RuleSet {
    /// The file, as the person named it.
    source: String,
    rules: Vec<Rule>,
    /// Places of rules by the id that they name, in lower case.
    by_id: BTreeMap<String, Vec<usize>>,
    /// Places of rules that name none.
    without_id: Vec<usize>,
}

/// What is ignored, and why. All conditions that it names have to hold.
#[derive(Debug)]
struct Rule {
    /// How it is named to people: `line 3 (CVE-2005-2541)`.
    name: String,
    /// Any id of the finding; all of them name the same vulnerability.
    ids: Vec<String>,
    package: Option<PackagePattern>,
    /// The image without tag and digest.
    image: Option<Pattern>,
    /// Where in the image.
    path: Option<Pattern>,
    /// That of all containers that run the image.
    namespace: Option<Pattern>,
    reason: String,
    /// The last day on which it holds.
    until: Option<Date>,
}

/// What rules ask of an image.
struct Subject<'a> {
    /// What it is called without tag and digest; images of Docker Hub also as people shorten them.
    names: Vec<String>,
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
    fn new(source: String, rules: Vec<Rule>) -> Self {
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
        Self { source, rules, by_id, without_id }
    }

    /// The places of all rules that may fit by their ids, in the order of the file.
    fn candidates(&self, finding: &Finding) -> Vec<usize> {
        let ids = [&finding.vulnerability, &finding.advisory].into_iter().chain(&finding.aliases);
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
        let holds =
            |pattern: &Option<Pattern>, hold: &dyn Fn(&Pattern) -> bool| pattern.as_ref().is_none_or(hold);
        let is_of_package = self.package.as_ref().is_none_or(|package| package.matches(finding));
        let is_of_image = holds(&self.image, &|image| subject.names.iter().any(|name| image.matches(name)));
        // A package that lies in several places is a finding in each of them.
        let is_in_path = holds(&self.path, &|path| {
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

    fn ignored(&self, source: &str) -> Ignored {
        Ignored { reason: self.reason.clone(), until: self.until, source: source.to_owned() }
    }
}

#[cfg(test)]
mod tests;
