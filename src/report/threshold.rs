//! The findings that make a run fail.

use std::fmt;
use std::str::FromStr;

use super::{Finding, Report};
use crate::severity::Severity;

/// The word for findings with a version that fixes them.
const FIXABLE: &str = "fixable";
/// The word for findings that are known to be exploited: CISA's catalogue of them.
const EXPLOITED: &str = "kev";

/// Which findings are too bad. A finding has to meet all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Threshold {
    /// The least severity; any without it. A finding that nobody has rated reaches only `unknown`.
    pub severity: Option<Severity>,
    /// Whether only findings with a fix count.
    pub only_fixable: bool,
    /// Whether only findings that are known to be exploited count.
    pub only_exploited: bool,
}

/// Text that is no threshold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ThresholdError {
    /// A word that is not known.
    #[error("{0:?} is none of critical, high, medium, low, negligible, unknown, fixable and kev")]
    Word(String),
    /// One severity stands for all that are worse, so a second one says nothing.
    #[error("give one severity, it stands for all that are worse too")]
    Severities,
}

impl Threshold {
    /// Whether a finding is too bad.
    pub(super) fn is_met(self, finding: &Finding) -> bool {
        finding.ignored.is_none()
            && self.severity.is_none_or(|least| finding.severity >= least)
            && (finding.fixed.is_some() || !self.only_fixable)
            && (finding.exploited.is_some() || !self.only_exploited)
    }
}

impl Report {
    /// Whether a finding meets a threshold.
    #[must_use]
    pub fn exceeds(&self, threshold: Threshold) -> bool {
        self.images.iter().flat_map(|image| &image.findings).any(|finding| threshold.is_met(finding))
    }
}

impl FromStr for Threshold {
    type Err = ThresholdError;

    /// Reads a list of a severity, `fixable` and `kev`, in any order: `high`, `fixable`, `critical,fixable`, `kev`.
    fn from_str(text: &str) -> Result<Self, ThresholdError> {
        let mut threshold = Self { severity: None, only_fixable: false, only_exploited: false };
        for word in text.split(',').map(str::trim) {
            if word.eq_ignore_ascii_case(FIXABLE) {
                threshold.only_fixable = true;
                continue;
            }
            if word.eq_ignore_ascii_case(EXPLOITED) {
                threshold.only_exploited = true;
                continue;
            }
            let severity = word.parse().map_err(|_| ThresholdError::Word(word.chars().take(40).collect()))?;
            if threshold.severity.replace(severity).is_some() {
                return Err(ThresholdError::Severities);
            }
        }
        Ok(threshold)
    }
}

impl fmt::Display for Threshold {
    /// `fixable findings of severity high or worse`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.only_fixable {
            write!(f, "{FIXABLE} ")?;
        }
        f.write_str("findings")?;
        if let Some(severity) = self.severity {
            write!(f, " of severity {severity} or worse")?;
        }
        if self.only_exploited {
            f.write_str(" that are known to be exploited")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::counts::tests::report;

    #[test]
    fn with_kev_only_findings_that_are_known_to_be_exploited_count() {
        let mut report = report(&[(Severity::High, false), (Severity::Low, true)]);
        let exceeds = |report: &Report, text: &str| report.exceeds(text.parse().expect(text));
        assert!(!exceeds(&report, "kev"));
        let added = jiff::civil::date(2021, 12, 10);
        report.images[0].findings[1].exploited =
            Some(crate::finding::Exploited { added, due: None, ransomware: false });
        assert!(exceeds(&report, "kev") && exceeds(&report, "low,fixable,KEV"));
        assert!(!exceeds(&report, "medium,kev"), "the severe one and the exploited one are two");
    }

    #[test]
    fn ignored_findings_meet_no_threshold() {
        let mut report = report(&[(Severity::Critical, true)]);
        report.images[0].findings[0].ignored = Some(crate::finding::Ignored {
            reason: "not reachable".to_owned(),
            until: None,
            source: "ignore.yaml".to_owned(),
        });
        assert!(!report.exceeds("unknown".parse().expect("valid")));
    }

    fn exceeds(text: &str) -> bool {
        use Severity::{Critical, High, Low, Unknown};
        let report = report(&[(Critical, false), (High, true), (Low, true), (Unknown, false)]);
        report.exceeds(text.parse().expect(text))
    }

    #[test]
    fn threshold_is_met_by_the_same_or_a_worse_severity() {
        for met in ["critical", "high", "medium", "unknown", "High"] {
            assert!(exceeds(met), "{met}");
        }
        let low = report(&[(Severity::Low, true)]);
        assert!(!low.exceeds("medium".parse().expect("valid")));
    }

    #[test]
    fn unrated_finding_reaches_no_threshold_but_unknown() {
        let unrated = report(&[(Severity::Unknown, false)]);
        assert!(!unrated.exceeds("negligible".parse().expect("valid")));
        assert!(unrated.exceeds("unknown".parse().expect("valid")));
        assert!(!report(&[]).exceeds("unknown".parse().expect("valid")));
    }

    #[test]
    fn with_fixable_only_findings_with_a_fix_count() {
        assert!(!exceeds("critical,fixable"));
        assert!(exceeds("high,fixable") && exceeds("fixable, low") && exceeds("fixable"));
        assert!(!report(&[(Severity::Critical, false)]).exceeds("fixable".parse().expect("valid")));
    }

    #[test]
    fn other_words_are_refused_with_the_right_ones() {
        for (text, message) in [
            ("bad", "\"bad\" is none of critical, high, medium, low, negligible, unknown, fixable and kev"),
            ("high,", "\"\" is none of critical, high, medium, low, negligible, unknown, fixable and kev"),
            ("high,critical", "give one severity, it stands for all that are worse too"),
        ] {
            assert_eq!(text.parse::<Threshold>().expect_err(text).to_string(), message);
        }
    }

    #[test]
    fn threshold_is_said_in_words() {
        for (text, words) in [
            ("high", "findings of severity high or worse"),
            ("fixable", "fixable findings"),
            ("fixable,critical", "fixable findings of severity critical or worse"),
            ("kev", "findings that are known to be exploited"),
            ("kev,high", "findings of severity high or worse that are known to be exploited"),
        ] {
            assert_eq!(text.parse::<Threshold>().expect(text).to_string(), words);
        }
    }
}
