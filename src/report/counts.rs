//! How many findings of each severity: of an image, a workload, or the whole report.

use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

use super::{Finding, ImageReport, Report, State};
use crate::severity::Severity;

/// Numbers of findings. A finding is one vulnerability in one package of one image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Counts {
    pub critical: usize,
    pub high: usize,
    pub medium: usize,
    pub low: usize,
    pub negligible: usize,
    pub unknown: usize,
    /// How many of all those have a version that fixes them.
    pub fixable: usize,
    /// How many of all those are known to be exploited.
    #[serde(default)]
    pub exploited: usize,
}

impl Counts {
    /// Counts findings, but not those that somebody decided to ignore.
    #[must_use]
    pub fn of(findings: &[Finding]) -> Self {
        let mut counts = Self::default();
        for finding in findings.iter().filter(|finding| finding.ignored.is_none()) {
            *match finding.severity {
                Severity::Critical => &mut counts.critical,
                Severity::High => &mut counts.high,
                Severity::Medium => &mut counts.medium,
                Severity::Low => &mut counts.low,
                Severity::Negligible => &mut counts.negligible,
                Severity::Unknown => &mut counts.unknown,
            } += 1;
            counts.fixable += usize::from(finding.fixed.is_some());
            counts.exploited += usize::from(finding.exploited.is_some());
        }
        counts
    }

    /// The number of a severity.
    #[must_use]
    pub fn get(&self, severity: Severity) -> usize {
        match severity {
            Severity::Critical => self.critical,
            Severity::High => self.high,
            Severity::Medium => self.medium,
            Severity::Low => self.low,
            Severity::Negligible => self.negligible,
            Severity::Unknown => self.unknown,
        }
    }

    /// The order of what to look at first: what is exploited counts more than what is severe.
    #[must_use]
    pub fn cmp_urgency(&self, other: &Self) -> std::cmp::Ordering {
        self.exploited.cmp(&other.exploited).then_with(|| self.cmp(other))
    }

    /// The number of all findings.
    #[must_use]
    pub fn total(&self) -> usize {
        Severity::DESCENDING.into_iter().map(|severity| self.get(severity)).sum()
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.critical += other.critical;
        self.high += other.high;
        self.medium += other.medium;
        self.low += other.low;
        self.negligible += other.negligible;
        self.unknown += other.unknown;
        self.fixable += other.fixable;
        self.exploited += other.exploited;
    }
}

impl Report {
    /// Counts the findings of all images, each image once however many containers run it.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for image in &self.images {
            counts += Counts::of(&image.findings);
        }
        counts
    }

    /// The severity of the most severe finding; none if there is no finding.
    #[must_use]
    pub fn worst(&self) -> Option<Severity> {
        self.images.iter().flat_map(ImageReport::counted).map(|finding| finding.severity).max()
    }
}

impl ImageReport {
    /// Its findings without those that somebody decided to ignore.
    pub fn counted(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.ignored.is_none())
    }

    /// Its findings that somebody decided to ignore.
    pub fn ignored(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.ignored.is_some())
    }

    /// Whether its packages could be held against advisories at all, so that no finding means something.
    #[must_use]
    pub fn is_matched(&self) -> bool {
        let is_read = !matches!(self.state, State::Failed(_) | State::Skipped(_));
        let is_tracked = self.without_data.is_empty() && self.end_of_life.is_none();
        is_read && (is_tracked || !self.findings.is_empty() || self.not_shown > 0)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A report with one finding for each severity; the other half says whether something fixes it.
    pub(in crate::report) fn report(severities: &[(Severity, bool)]) -> Report {
        let findings: Vec<serde_json::Value> = severities
            .iter()
            .map(|(severity, is_fixed)| {
                serde_json::json!({"vulnerability": "CVE-1", "advisory": "A", "aliases": [], "package": "a",
                    "installed": "1", "purl": "pkg:deb/a@1", "fixed": is_fixed.then_some("2"), "severity": severity,
                    "severity_source": null, "matched_as": null, "range": ">= 0", "locations": []})
            })
            .collect();
        serde_json::from_value(serde_json::json!({
            "version": 1, "containers": [], "notes": [],
            "scan": {"id": "x", "generator": "x", "started": "x", "duration_ms": 0, "scope": ""},
            "advisories": {"source": null, "ecosystems": {}, "newest": null},
            "images": [{"reference": "registry.test/a:1", "digest": null, "state": "scanned", "distro": null,
                "platform": {"os": "linux", "architecture": "amd64"}, "packages": 1, "findings": findings,
                "without_data": []}],
        }))
        .expect("a report")
    }

    #[test]
    fn worst_is_the_most_severe_and_unrated_is_the_least() {
        let report = report(&[(Severity::Low, false), (Severity::High, true), (Severity::Unknown, false)]);
        assert_eq!(report.worst(), Some(Severity::High));
        assert_eq!((report.counts().total(), report.counts().fixable), (3, 1));
    }
}
