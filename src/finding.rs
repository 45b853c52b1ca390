//! What is wrong with an image: vulnerabilities of its packages, and the data that says so.

mod overlaid;

use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use overlaid::{EndOfLife, Epss, Exploited, Fix, FixState, Ignored, Share};

use crate::package::Location;
use crate::severity::Severity;

/// One vulnerability in one package of one image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The name people know it by: the CVE where there is one, else the advisory's id.
    pub vulnerability: String,
    /// Id of the OSV record that says so.
    pub advisory: String,
    /// All other ids: aliases, upstream, related, and advisories of the same CVE.
    pub aliases: Vec<String>,
    /// Name of the installed package.
    pub package: String,
    /// Its installed version.
    pub installed: String,
    /// Its package URL.
    pub purl: String,
    /// The version that fixes it, in the terms of the name that was looked up.
    pub fixed: Option<String>,
    /// How bad.
    pub severity: Severity,
    /// Who said so: `CVSS:3.1/…` as vector, or the source's own word.
    pub severity_source: Option<String>,
    /// Name and version that were looked up, when not the package's own: the source package.
    pub matched_as: Option<String>,
    /// The range that holds the version, for example `>= 0, < 1.2.3-1`.
    pub range: String,
    /// What the advisory says in a line, where the form of the report has room for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    /// Addresses of pages about it, likewise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub references: Vec<String>,
    /// Where in the image.
    pub locations: Vec<Location>,
    /// That it is known to be exploited, and since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exploited: Option<Exploited>,
    /// How likely it is to be exploited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epss: Option<Epss>,
    /// What its distribution means to do about it, while nothing fixes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fix_state: Option<FixState>,
    /// That somebody decided that it does not matter, and why. Then it counts nowhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ignored: Option<Ignored>,
}

impl Finding {
    /// Sorts findings by what to look at first: what is exploited, then what is severe, then what is likely to be exploited.
    pub fn sort(findings: &mut [Self]) {
        findings.sort_by(|a, b| a.rank().cmp(&b.rank()));
    }

    fn rank(&self) -> impl Ord + '_ {
        let likelihood = self.epss.map(|epss| epss.probability);
        (
            Reverse((self.exploited.is_some(), self.severity, likelihood)),
            (&self.package, &self.vulnerability, &self.purl),
        )
    }
}

/// Which advisory data was used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdvisoryInfo {
    /// Where it came from; none means that nothing was matched.
    pub source: Option<String>,
    /// Number of advisories by OSV ecosystem, of those that were loaded.
    pub ecosystems: BTreeMap<String, usize>,
    /// Newest `modified` of all records, RFC 3339.
    pub newest: Option<String>,
    /// When the oldest of them were last known to be all that there were, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_of: Option<String>,
    /// What was laid over the findings: `kev`, `epss`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub overlays: Vec<String>,
}
