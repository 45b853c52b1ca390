use jiff::civil::date;

use super::*;
use crate::finding::{Epss, Exploited, Fix, Share};
use crate::severity::Severity;

fn overlay(entries: impl Iterator<Item = (String, Vec<u8>)>) -> Box<dyn Overlay> {
    Box::new(entries.collect::<BTreeMap<_, _>>())
}

fn finding(vulnerability: &str, severity: Severity) -> Finding {
    serde_json::from_value(serde_json::json!({"vulnerability": vulnerability, "advisory": "A", "aliases": [],
        "package": "libssl3", "installed": "1", "purl": "pkg:deb/debian/libssl3@1", "fixed": null,
        "severity": severity, "severity_source": null, "matched_as": "openssl 1", "range": ">= 0", "locations": []}))
    .expect("a finding")
}

fn exploits_and_scores() -> Overlays {
    let kev = r#"{"vulnerabilities": [{"cveID": "CVE-1", "dateAdded": "2021-12-10"}]}"#;
    let epss = "#score_date:2024-05-01\ncve,epss,percentile\nCVE-2,0.2,0.3\nCVE-3,0.4,0.5\n";
    Overlays {
        kev: Some(overlay(kev::Catalog::read(kev.as_bytes()).expect("a catalogue").entries())),
        epss: Some(overlay(epss::Scores::read(epss.as_bytes()).expect("scores").entries())),
        ..Overlays::default()
    }
}

#[test]
fn exploited_comes_before_severe_and_severe_before_likely() {
    use Severity::{Critical, High, Low};
    let mut findings = ["CVE-4", "CVE-2", "CVE-3"].map(|id| finding(id, High)).to_vec();
    findings.extend([finding("CVE-1", Low), finding("CVE-5", Critical)]);
    exploits_and_scores().apply(&mut findings, None);
    let order: Vec<_> = findings.iter().map(|finding| finding.vulnerability.as_str()).collect();
    assert_eq!(order, ["CVE-1", "CVE-5", "CVE-3", "CVE-2", "CVE-4"]);
    let exploited = Exploited { added: date(2021, 12, 10), due: None, ransomware: false };
    assert_eq!((findings[0].exploited, findings[0].epss), (Some(exploited), None));
    let share = |number| Share::of(number).expect("a share");
    let likely = Epss { probability: share(0.4), percentile: share(0.5), as_of: Some(date(2024, 5, 1)) };
    assert_eq!((findings[2].exploited, findings[2].epss), (None, Some(likely)));
}

#[test]
fn without_overlays_findings_keep_the_order_of_the_matching() {
    let mut findings = vec![finding("CVE-1", Severity::Low), finding("CVE-2", Severity::High)];
    Overlays::default().apply(&mut findings, None);
    assert_eq!(findings, [finding("CVE-2", Severity::High), finding("CVE-1", Severity::Low)]);
}

#[test]
fn values_that_cannot_be_decoded_say_nothing() {
    let damaged = || overlay([("CVE-1".to_owned(), vec![1, 2, 3])].into_iter());
    let overlays = Overlays { kev: Some(damaged()), epss: Some(damaged()), ..Overlays::default() };
    let mut findings = vec![finding("CVE-1", Severity::Low)];
    overlays.apply(&mut findings, None);
    assert_eq!(findings, [finding("CVE-1", Severity::Low)]);
}

fn trackers() -> Overlays {
    let debian = r#"{"openssl": {
        "CVE-1": {"releases": {"bookworm": {"status": "open", "urgency": "low", "nodsa": "x", "nodsa_reason": "postponed"}}},
        "CVE-2": {"releases": {"bookworm": {"status": "open", "urgency": "not yet assigned", "nodsa": "x"}}}}}"#;
    let ubuntu = "Priority: medium\nnoble_openssl: needed\n";
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("CVE-1"), ubuntu).expect("a file");
    Overlays {
        debian: Some(overlay(debian::read(debian.as_bytes()).expect("a tracker").entries())),
        ubuntu: Some(overlay(ubuntu::read(folder.path()).expect("a tracker").entries())),
        ..Overlays::default()
    }
}

/// What is said of a finding in an image of a release.
fn tracked(distro: &str, change: impl FnOnce(&mut Finding)) -> (Severity, Option<String>, Option<Fix>) {
    let (id, version) = distro.split_once(' ').expect("a distribution and its version");
    let distro = Distro { id: id.to_owned(), version_id: Some(version.to_owned()), ..Distro::default() };
    let mut findings = vec![finding("CVE-1", Severity::Unknown)];
    change(&mut findings[0]);
    trackers().apply(&mut findings, Some(&distro));
    let Finding { severity, severity_source, fix_state, .. } = findings.remove(0);
    let expected = id.to_owned();
    assert!(fix_state.as_ref().is_none_or(|state| state.source.eq_ignore_ascii_case(&expected)));
    (severity, severity_source, fix_state.map(|state| state.state))
}

#[test]
fn trackers_speak_of_their_own_release_and_source_packages() {
    let low = Some("Debian urgency: low".to_owned());
    let medium = Some("Ubuntu priority: medium".to_owned());
    assert_eq!(tracked("debian 12.5", |_| {}), (Severity::Low, low, Some(Fix::Postponed)));
    assert_eq!(tracked("ubuntu 24.04", |_| {}), (Severity::Medium, medium, Some(Fix::Needed)));
    let nothing = (Severity::Unknown, None, None);
    assert_eq!(tracked("debian 11", |_| {}), nothing);
    assert_eq!(tracked("ubuntu 22.04", |_| {}), nothing);
    assert_eq!(tracked("alpine 3.19", |_| {}), nothing);
    assert_eq!(tracked("debian 12", |finding| finding.matched_as = None), nothing);
    assert_eq!(tracked("debian 12", |finding| finding.purl = "pkg:pypi/openssl@1".to_owned()), nothing);
}

#[test]
fn rating_of_a_tracker_counts_only_where_there_is_no_other_and_unknown_is_not_low() {
    let rated = tracked("debian 12", |finding| {
        finding.severity = Severity::High;
        finding.severity_source = Some("CVSS:3.1/…".to_owned());
    });
    assert_eq!(rated, (Severity::High, Some("CVSS:3.1/…".to_owned()), Some(Fix::Postponed)));
    let unrated = tracked("debian 12", |finding| finding.vulnerability = "CVE-2".to_owned());
    assert_eq!(unrated, (Severity::Unknown, None, Some(Fix::Minor)));
}

#[test]
fn what_is_fixed_has_no_state() {
    let fixed = tracked("debian 12", |finding| finding.fixed = Some("2".to_owned()));
    assert_eq!(fixed, (Severity::Low, Some("Debian urgency: low".to_owned()), None));
}
