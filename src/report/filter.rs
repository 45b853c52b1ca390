//! Which findings are shown. What is left out stays counted, and changes neither coverage nor exit codes.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{Finding, Report};
use crate::severity::Severity;

/// What a person asked to see of the findings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filter {
    /// Only findings of exactly these severities; all of them without it.
    pub severities: Option<BTreeSet<Severity>>,
    /// Only findings with a version that fixes them.
    pub only_fixed: bool,
}

impl Filter {
    /// Whether everything is shown.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.severities.is_none() && !self.only_fixed
    }

    /// Whether findings of a severity are shown at all.
    #[must_use]
    pub fn shows(&self, severity: Severity) -> bool {
        self.severities.as_ref().is_none_or(|severities| severities.contains(&severity))
    }

    fn passes(&self, finding: &Finding) -> bool {
        self.shows(finding.severity) && (finding.fixed.is_some() || !self.only_fixed)
    }

    /// What passes both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let severities = match (self.severities, other.severities) {
            (Some(own), Some(other)) => Some(own.intersection(&other).copied().collect()),
            (own, other) => own.or(other),
        };
        Self { severities, only_fixed: self.only_fixed || other.only_fixed }
    }

    /// The flags that leave something out: `--severity, --only-fixed`.
    pub(super) fn flags(&self) -> String {
        let flags = [("--severity", self.severities.is_some()), ("--only-fixed", self.only_fixed)];
        let given: Vec<&str> = flags.into_iter().filter(|(_, given)| *given).map(|(flag, _)| flag).collect();
        given.join(", ")
    }
}

impl Report {
    /// The report with the findings that a filter shows, of those that are in it; each image counts those that are not.
    #[must_use]
    pub fn filtered(mut self, filter: Filter) -> Self {
        for image in &mut self.images {
            let found = image.findings.len();
            // Those that are ignored are not shown as findings; that they are ignored is never left out.
            image.findings.retain(|finding| finding.ignored.is_some() || filter.passes(finding));
            image.not_shown += found - image.findings.len();
        }
        self.filter = self.filter.and(filter);
        self
    }

    /// Findings that the filter does not show.
    #[must_use]
    pub fn not_shown(&self) -> usize {
        self.images.iter().map(|image| image.not_shown).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::counts::tests::report;

    fn shown(filter: Filter) -> (Vec<Severity>, usize) {
        use Severity::{Critical, High, Low, Unknown};
        let report = report(&[(Critical, false), (High, true), (High, false), (Low, true), (Unknown, true)]);
        let complete = report.is_complete();
        let report = report.filtered(filter);
        assert_eq!(report.is_complete(), complete);
        (report.images[0].findings.iter().map(|finding| finding.severity).collect(), report.not_shown())
    }

    #[test]
    fn severities_are_exactly_those_that_were_asked_for() {
        use Severity::{Critical, High, Low, Negligible, Unknown};
        let only = |severities: &[Severity]| Filter {
            severities: Some(severities.iter().copied().collect()),
            only_fixed: false,
        };
        assert_eq!(shown(Filter::default()), (vec![Critical, High, High, Low, Unknown], 0));
        assert_eq!(shown(only(&[High])), (vec![High, High], 3));
        assert_eq!(shown(only(&[Critical, Unknown])), (vec![Critical, Unknown], 3));
        assert_eq!(shown(only(&[Negligible])), (vec![], 5));
        let fixed_high = Filter { only_fixed: true, ..only(&[High]) };
        assert_eq!(fixed_high.flags(), "--severity, --only-fixed");
        assert_eq!(shown(fixed_high), (vec![High], 4));
    }

    #[test]
    fn a_second_filter_brings_nothing_back() {
        use Severity::{Critical, High, Low};
        let only =
            |list: &[Severity]| Filter { severities: Some(list.iter().copied().collect()), only_fixed: false };
        let report = report(&[(Critical, false), (High, true), (High, false), (Low, true)]);
        let report = report
            .filtered(only(&[Critical, High]))
            .filtered(Filter { only_fixed: true, ..only(&[High, Low]) });
        assert_eq!(report.filter, Filter { only_fixed: true, ..only(&[High]) });
        assert_eq!((report.images[0].findings.len(), report.not_shown()), (1, 3));
        assert_eq!(report.clone().filtered(Filter::default()), report);
    }

    #[test]
    fn only_fixed_leaves_out_what_nothing_fixes() {
        use Severity::{High, Low, Unknown};
        let filter = Filter { severities: None, only_fixed: true };
        assert_eq!(shown(filter), (vec![High, Low, Unknown], 2));
    }

    #[test]
    fn image_of_which_nothing_is_shown_is_still_a_matched_one() {
        let mut report = report(&[(Severity::Low, false)]);
        report.images[0].without_data = vec!["npm".to_owned()];
        let report = report.filtered(Filter { severities: None, only_fixed: true });
        assert!(report.images[0].findings.is_empty() && report.images[0].is_matched());
    }
}
