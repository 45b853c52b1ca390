//! What others than the advisories say about a finding or a release: catalogues, trackers, and people.

use std::fmt;

use jiff::civil::Date;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A vulnerability that attackers are known to use: CISA's catalogue of known exploited vulnerabilities (KEV).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exploited {
    /// When it was added to the catalogue.
    pub added: Date,
    /// By when agencies of the United States have to deal with it.
    pub due: Option<Date>,
    /// Whether it is known to be used by ransomware; false also where nobody knows.
    pub ransomware: bool,
}

/// How likely a vulnerability is to be exploited in the next 30 days: FIRST's Exploit Prediction Scoring System.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Epss {
    /// The probability.
    pub probability: Share,
    /// The share of all vulnerabilities that are no more likely to be.
    pub percentile: Share,
    /// The day for which it was computed; it changes daily.
    pub as_of: Option<Date>,
}

/// A number from 0 to 1, in millionths, so that it has an order and can be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Share(u32);

/// What a distribution means to do about a vulnerability in one of its releases.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FixState {
    /// What.
    pub state: Fix,
    /// Who says so: `Debian`, `Ubuntu`.
    pub source: String,
}

/// The state of a fix that there is not. The words are ours; each tracker has its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fix {
    /// There will be one (Ubuntu `needed`, `in-progress`).
    Needed,
    /// There is one that waits to be published (Ubuntu `pending`).
    Pending,
    /// Later, with another one (Debian `postponed`, Ubuntu `deferred`).
    Postponed,
    /// Never in this release (`ignored`).
    WontFix,
    /// Not worth an advisory; maybe with a point release (Debian `no-dsa`).
    Minor,
    /// Nobody has found out yet whether it is affected (Debian `undetermined`, Ubuntu `needs-triage`).
    Undetermined,
    /// The package is no longer supported in this release (Debian `end-of-life`).
    EndOfLife,
    /// Of no practical consequence as it is built or used there (Debian `unimportant`).
    Unimportant,
}

/// Why a finding counts nowhere.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Ignored {
    /// The reason, as somebody wrote it.
    pub reason: String,
    /// The last day on which that holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Date>,
    /// The file that says so.
    pub source: String,
}

/// A release that its distribution no longer publishes advisories for: what is found in it is not all there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndOfLife {
    /// The last day on which it was tracked for everybody.
    pub since: Date,
    /// The last day of support for those who pay for it, if that is yet to come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paid_until: Option<Date>,
    /// The day up to which the table of releases is right.
    pub as_of: Date,
}

impl Share {
    /// Nothing, and all.
    const ONE: u32 = 1_000_000;

    /// From millionths; none if there are more than a million.
    #[must_use]
    pub fn of_millionths(millionths: u32) -> Option<Self> {
        (millionths <= Self::ONE).then_some(Self(millionths))
    }

    /// From a number, rounded; none if it is not between 0 and 1.
    #[must_use]
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    pub fn of(number: f64) -> Option<Self> {
        (0.0..=1.0).contains(&number).then(|| Self((number * f64::from(Self::ONE)).round() as u32))
    }

    /// In millionths.
    #[must_use]
    pub fn millionths(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Share {
    /// In per cent, with one digit after the point: `97.6%`. What is less than that is said to be.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.pad("0%"),
            1..500 => f.pad("<0.1%"),
            millionths => f.pad(&format!("{:.1}%", f64::from(millionths) / 10_000.0)),
        }
    }
}

impl Serialize for Share {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(f64::from(self.0) / f64::from(Self::ONE))
    }
}

impl<'de> Deserialize<'de> for Share {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = f64::deserialize(deserializer)?;
        Self::of(number).ok_or_else(|| serde::de::Error::custom(format!("{number} is not between 0 and 1")))
    }
}

impl Fix {
    /// The words for people, short enough for a column.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Needed => "needed",
            Self::Pending => "pending",
            Self::Postponed => "postponed",
            Self::WontFix => "won't fix",
            Self::Minor => "minor issue",
            Self::Undetermined => "undetermined",
            Self::EndOfLife => "end of life",
            Self::Unimportant => "unimportant",
        }
    }
}

impl fmt::Display for Fix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_between_nothing_and_all() {
        assert_eq!(Share::of(0.97565).map(Share::millionths), Some(975_650));
        assert_eq!(Share::of(1.0), Share::of_millionths(1_000_000));
        for wrong in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
            assert_eq!(Share::of(wrong), None, "{wrong}");
        }
        assert_eq!(Share::of_millionths(1_000_001), None);
    }

    #[test]
    fn shares_are_numbers_in_json_and_per_cent_for_people() {
        for (json, words) in
            [("0.97565", "97.6%"), ("0.00043", "<0.1%"), ("0.0005", "0.1%"), ("0.0", "0%"), ("1.0", "100.0%")]
        {
            let share: Share = serde_json::from_str(json).expect(json);
            assert_eq!(serde_json::to_string(&share).expect("a number"), json);
            assert_eq!(share.to_string(), words);
        }
        assert!(serde_json::from_str::<Share>("1.5").is_err());
    }
}
