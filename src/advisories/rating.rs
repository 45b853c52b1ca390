//! The severity of a record's vulnerability: who rated it, and whose word counts.
//!
//! The chain: the rating of the affected package, the record's CVSS vectors (v4, then v3), the distribution's or
//! database's own word. What none of them rates stays unknown.

use serde_json::Value;

use super::ecosystem::Ecosystem;
use super::osv::record::Score;
use crate::severity::Severity;

/// Longest source of a rating that is kept, in characters.
const MAX_SOURCE: usize = 300;

/// A severity with its source.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rating {
    /// How the source came to count; the greater one counts.
    pub basis: Basis,
    /// How bad.
    pub severity: Severity,
    /// A CVSS vector, or the source's own word: `Debian urgency: low`.
    pub source: String,
}

/// On what a rating rests, in ascending order of what counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Basis {
    /// The word of a distribution or database.
    Word,
    /// The CVSS vector of the whole record.
    Record,
    /// The rating of the affected package.
    Affected,
}

/// Everything in a record that may rate one of its affected packages.
pub(super) struct Ratings<'a> {
    pub(super) id: &'a str,
    pub(super) summary: &'a str,
    pub(super) ecosystem: &'a Ecosystem,
    /// `affected[].severity`.
    pub(super) of_affected: &'a [Score],
    /// `severity`.
    pub(super) of_record: &'a [Score],
    /// `affected[].ecosystem_specific` and `affected[].database_specific`.
    pub(super) specific: [&'a Value; 2],
    /// `database_specific`.
    pub(super) database: &'a Value,
}

impl Ratings<'_> {
    /// The rating that counts.
    pub(super) fn resolve(&self) -> Option<Rating> {
        scored(self.of_affected, Basis::Affected)
            .or_else(|| scored(self.of_record, Basis::Record))
            .or_else(|| self.word())
    }

    fn word(&self) -> Option<Rating> {
        let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).map(ToOwned::to_owned);
        let urgency = || self.specific.iter().find_map(|value| text(value, "urgency"));
        let priority = || {
            let of_distro =
                |scores: &[Score]| scores.iter().find(|s| s.kind == "Ubuntu").map(|s| s.score.clone());
            of_distro(self.of_affected).or_else(|| of_distro(self.of_record))
        };
        let impact = || {
            let is_of_family = ["RH", "AL", "RL"].iter().any(|family| self.id.starts_with(family));
            let is_advisory = self.id.get(2..5).is_some_and(|kind| matches!(kind, "SA-" | "BA-" | "EA-"));
            let (word, _) = self.summary.split_once(':').filter(|_| is_of_family && is_advisory)?;
            Some(word.to_owned())
        };
        let of_database = || {
            let of_package = self.specific.iter().find_map(|value| text(value, "severity"));
            of_package.or_else(|| text(self.database, "severity"))
        };
        let word = |who: &str, word: Option<String>| {
            let word = word?;
            let severity = Severity::from_word(&word)?;
            Some(Rating { basis: Basis::Word, severity, source: format!("{who}: {word}") })
        };
        match self.ecosystem.name() {
            "Debian" => word("Debian urgency", urgency()),
            "Ubuntu" => word("Ubuntu priority", priority()),
            // Nobody rates malware, and whoever runs it has lost.
            _ if self.id.starts_with("MAL-") => Some(Rating {
                basis: Basis::Word,
                severity: Severity::Critical,
                source: "malicious package".to_owned(),
            }),
            _ => word("impact", impact()),
        }
        .or_else(|| word("database severity", of_database()))
    }
}

/// The first vector that can be read, of the newest version of CVSS.
fn scored(scores: &[Score], basis: Basis) -> Option<Rating> {
    let rate = |kind: &str| {
        scores.iter().filter(|score| score.kind == kind).find_map(|score| {
            let severity = Severity::from_cvss(&score.score)?;
            Some(Rating { basis, severity, source: score.score.chars().take(MAX_SOURCE).collect() })
        })
    };
    ["CVSS_V4", "CVSS_V3", "CVSS_V2"].into_iter().find_map(rate)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const CRITICAL: &str = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H";
    const HIGH: &str = "CVSS:3.1/AV:L/AC:L/PR:L/UI:N/S:U/C:H/I:H/A:H";

    fn score(kind: &str, score: &str) -> Score {
        Score { kind: kind.to_owned(), score: score.to_owned() }
    }

    fn resolve(
        ecosystem: &str,
        of_affected: &[Score],
        of_record: &[Score],
        specific: &Value,
    ) -> Option<Rating> {
        let ecosystem = &ecosystem.parse().expect("valid");
        let database = &json!({"severity": "MODERATE"});
        Ratings {
            id: "RHSA-2024:1",
            summary: "Important: thing security update",
            ecosystem,
            of_affected,
            of_record,
            specific: [specific, &Value::Null],
            database,
        }
        .resolve()
    }

    #[test]
    fn rating_of_the_package_counts_before_that_of_the_record_and_words_come_last() {
        let urgency = json!({"urgency": "low"});
        let (affected, record) = ([score("CVSS_V3", HIGH)], [score("CVSS_V3", CRITICAL)]);

        let rating = resolve("Debian:12", &affected, &record, &urgency).expect("rated");
        assert_eq!(
            (rating.basis, rating.severity, rating.source.as_str()),
            (Basis::Affected, Severity::High, HIGH)
        );

        let rating = resolve("Debian:12", &[], &record, &urgency).expect("rated");
        assert_eq!((rating.basis, rating.severity), (Basis::Record, Severity::Critical));

        let rating = resolve("Debian:12", &[], &[], &urgency).expect("rated");
        assert_eq!((rating.severity, rating.source.as_str()), (Severity::Low, "Debian urgency: low"));
    }

    #[test]
    fn unreadable_vector_gives_way_to_the_next_source() {
        let broken = [score("CVSS_V4", "CVSS:4.0/nonsense"), score("CVSS_V3", HIGH)];
        assert_eq!(resolve("Debian:12", &broken, &[], &Value::Null).expect("rated").severity, Severity::High);
        let rating = resolve("Debian:12", &[score("CVSS_V3", "?")], &[], &json!({"urgency": "unimportant"}));
        assert_eq!(rating.expect("rated").severity, Severity::Negligible);
    }

    #[test]
    fn each_distribution_has_its_own_word() {
        let ubuntu = resolve("Ubuntu:22.04:LTS", &[], &[score("Ubuntu", "negligible")], &Value::Null);
        assert_eq!(ubuntu.expect("rated").source, "Ubuntu priority: negligible");
        let red_hat = resolve("Red Hat:enterprise_linux:9::baseos", &[], &[], &Value::Null);
        assert_eq!(red_hat.expect("rated").source, "impact: Important");
    }

    #[test]
    fn impact_stands_in_front_of_the_summaries_of_one_family_only() {
        let rate = |id: &str, summary: &str| {
            let ecosystem = &"AlmaLinux:9".parse().expect("valid");
            let (of_affected, of_record, specific, database) = (&[], &[], [&Value::Null; 2], &Value::Null);
            let ratings = Ratings { id, summary, ecosystem, of_affected, of_record, specific, database };
            ratings.resolve().map(|rating| rating.severity)
        };
        for (id, summary, expected) in [
            ("ALSA-2024:1", "Important: bind security update", Some(Severity::High)),
            ("RLSA-2024:1", "Moderate: nodejs:18 security update", Some(Severity::Medium)),
            ("ALBA-2024:1", "Low: bind bug fix update", Some(Severity::Low)),
            ("ALBA-2024:1", "nodejs:18 bug fix update", None),
            ("USN-1-1", "Important: bind vulnerabilities", None),
            ("ALÉ", "Important: a", None),
        ] {
            assert_eq!(rate(id, summary), expected, "{id} {summary}");
        }
    }

    #[test]
    fn malware_is_critical_unless_it_is_rated() {
        let rate = |of_record: &[Score]| {
            let ecosystem = &"npm".parse().expect("valid");
            let ratings = Ratings {
                id: "MAL-2024-1",
                summary: "Malicious code in left-pod (npm)",
                ecosystem,
                of_affected: &[],
                of_record,
                specific: [&Value::Null; 2],
                database: &Value::Null,
            };
            ratings.resolve().map(|rating| (rating.severity, rating.source))
        };
        assert_eq!(rate(&[]), Some((Severity::Critical, "malicious package".to_owned())));
        assert_eq!(rate(&[score("CVSS_V3", HIGH)]), Some((Severity::High, HIGH.to_owned())));
    }

    #[test]
    fn word_that_rates_nothing_gives_way_to_the_database() {
        let rating = resolve("Debian:12", &[], &[], &json!({"urgency": "not yet assigned"})).expect("rated");
        assert_eq!(
            (rating.severity, rating.source.as_str()),
            (Severity::Medium, "database severity: MODERATE")
        );
    }
}
