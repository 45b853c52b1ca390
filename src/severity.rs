//! How bad a vulnerability is, and who said so.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Longest CVSS vector that is read; a v4 vector with every metric has some 250 bytes.
const MAX_VECTOR: usize = 512;

/// Severity of a finding. Orders from least to most severe; unknown is not low, it is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Nobody has rated it.
    Unknown,
    /// Rated as of no practical consequence (Debian `unimportant`, CVSS 0.0).
    Negligible,
    /// CVSS 0.1 to 3.9.
    Low,
    /// CVSS 4.0 to 6.9.
    Medium,
    /// CVSS 7.0 to 8.9.
    High,
    /// CVSS 9.0 to 10.0.
    Critical,
}

/// Text that is no severity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a severity: critical, high, medium, low, negligible or unknown")]
pub struct SeverityError(String);

impl Severity {
    /// All of them, most severe first: the order of every table.
    pub const DESCENDING: [Self; 6] =
        [Self::Critical, Self::High, Self::Medium, Self::Low, Self::Negligible, Self::Unknown];

    /// The word for people and for JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Negligible => "negligible",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }

    /// The severity of a CVSS vector, `CVSS:3.1/AV:N/…`, by the qualitative scale that v3 and v4 share. None if it
    /// is no vector of a version that is known here.
    #[must_use]
    pub fn from_cvss(vector: &str) -> Option<Self> {
        if vector.len() > MAX_VECTOR {
            return None;
        }
        Some(match vector.parse::<cvss::Cvss>().ok()?.severity() {
            cvss::Severity::None => Self::Negligible,
            cvss::Severity::Low => Self::Low,
            cvss::Severity::Medium => Self::Medium,
            cvss::Severity::High => Self::High,
            cvss::Severity::Critical => Self::Critical,
        })
    }

    /// The severity that a distribution's or database's own word stands for: Debian's urgency, Ubuntu's priority,
    /// Red Hat's impact, the severity of GHSA. None for words that rate nothing (`not yet assigned`, `end-of-life`).
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Some(match word.to_ascii_lowercase().as_str() {
            "critical" => Self::Critical,
            "high" | "important" => Self::High,
            "medium" | "moderate" => Self::Medium,
            "low" => Self::Low,
            "negligible" | "unimportant" => Self::Negligible,
            _ => return None,
        })
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Severity {
    type Err = SeverityError;

    fn from_str(text: &str) -> Result<Self, SeverityError> {
        let known = Self::DESCENDING.into_iter().find(|severity| severity.as_str().eq_ignore_ascii_case(text));
        known.ok_or_else(|| SeverityError(text.chars().take(40).collect()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn cvss_scores_fall_into_the_qualitative_scale() {
        for (vector, expected) in [
            ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", Some(Severity::Critical)),
            ("CVSS:3.1/AV:L/AC:L/PR:L/UI:N/S:U/C:H/I:H/A:H", Some(Severity::High)),
            ("CVSS:3.0/AV:N/AC:H/PR:N/UI:N/S:U/C:N/I:L/A:N", Some(Severity::Low)),
            ("CVSS:3.1/AV:L/AC:L/PR:L/UI:N/S:U/C:H/I:N/A:N", Some(Severity::Medium)),
            ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:N", Some(Severity::Negligible)),
            ("CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N", Some(Severity::Critical)),
            ("CVSS:9.9/AV:N", None),
            ("7.5", None),
            ("", None),
        ] {
            assert_eq!(Severity::from_cvss(vector), expected, "{vector}");
        }
    }

    #[test]
    fn words_of_distributions_are_known_in_any_case() {
        assert_eq!(Severity::from_word("MODERATE"), Some(Severity::Medium));
        assert_eq!(Severity::from_word("Important"), Some(Severity::High));
        assert_eq!(Severity::from_word("unimportant"), Some(Severity::Negligible));
        assert_eq!(Severity::from_word("not yet assigned"), None);
        assert_eq!(Severity::from_word("end-of-life"), None);
    }

    #[test]
    fn thresholds_are_read_and_others_are_refused_in_words() {
        assert_eq!("High".parse(), Ok(Severity::High));
        assert_eq!("unknown".parse(), Ok(Severity::Unknown));
        let error = "bad".parse::<Severity>().expect_err("no severity");
        assert_eq!(
            error.to_string(),
            "\"bad\" is not a severity: critical, high, medium, low, negligible or unknown"
        );
    }

    proptest! {
        #[test]
        fn no_vector_panics(text in "(CVSS:[234]\\.[01]/)?([A-Z]{1,3}:[A-Z]/?){0,12}|\\PC{0,40}") {
            let _ = Severity::from_cvss(&text);
        }
    }
}
