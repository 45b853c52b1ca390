//! The report as JSON: the value itself, and what one would otherwise have to compute from it with `jq`. It can be read back.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::counts::Counts;
use super::text::is_unsafe;
use super::workloads::WorkloadReport;
use super::{AdvisoryInfo, ContainerReport, Coverage, Filter, ImageReport, REPORT_VERSION, Report, ScanInfo};
use crate::severity::Severity;

/// Largest report that is read, in bytes: some 200,000 findings.
pub const MAX_BYTES: usize = 256 << 20;

/// A report that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It is larger than those that are read.
    #[error("the report has more than the {} MiB that are read", MAX_BYTES >> 20)]
    TooLarge,
    /// It is no JSON.
    #[error("the report is no JSON")]
    Syntax(#[source] serde_json::Error),
    /// It is JSON of another kind.
    #[error("this JSON is no report of kubectl clarity")]
    Format(#[source] serde_json::Error),
    /// A later version of this program made it.
    #[error(
        "the report has version {0} of its form, of which {REPORT_VERSION} is known: a later kubectl clarity made it"
    )]
    Version(u32),
    /// It refers to what is not in it.
    #[error("the report contradicts itself: a container runs image {0}, which is not in it")]
    Contradiction(usize),
}

/// A [`Report`] with two computed members; a reader of reports ignores them.
#[derive(Serialize)]
struct Document<'a> {
    version: u32,
    scan: &'a ScanInfo,
    advisories: &'a AdvisoryInfo,
    coverage: Coverage,
    summary: Summary,
    containers: &'a [ContainerReport],
    images: &'a [ImageReport],
    notes: &'a [String],
    #[serde(skip_serializing_if = "Filter::is_open")]
    filter: &'a Filter,
}

#[derive(Serialize)]
struct Summary {
    /// Whether every container was read whole and held against advisories.
    complete: bool,
    worst: Option<Severity>,
    findings: usize,
    /// Findings that the filter leaves out, here and everywhere.
    not_shown: usize,
    /// Findings that somebody decided to ignore; they are not counted elsewhere.
    ignored: usize,
    /// Images of releases that are no longer tracked.
    end_of_life: usize,
    by_severity: Counts,
    /// By `namespace/kind/name`, or by the file of a bill of materials; images that several containers of a workload run count once. Null where nothing
    /// could be held against advisories.
    by_workload: BTreeMap<String, Option<Counts>>,
}

/// Renders a report, indented, with a line feed at the end.
///
/// Characters that could steer a terminal are escaped beyond what JSON asks for (it lets C1 controls through).
///
/// # Panics
/// Never: a report consists of what JSON can hold.
#[must_use]
pub fn render(report: &Report) -> String {
    // Taken apart so that a new member cannot be forgotten here.
    let Report { version, scan, advisories, containers, images, notes, filter } = report;
    let counts_of = |workload: &WorkloadReport<'_>| workload.is_matched.then_some(workload.counts);
    let workloads = report.workloads();
    let name_of = |workload: &WorkloadReport<'_>| match workload.namespace {
        "" => workload.name.to_owned(),
        namespace => format!("{namespace}/{}", workload.name),
    };
    let by_workload = workloads.iter().map(|workload| (name_of(workload), counts_of(workload))).collect();
    let counts = report.counts();
    let summary = Summary {
        complete: report.is_complete(),
        worst: report.worst(),
        findings: counts.total(),
        not_shown: report.not_shown(),
        ignored: images.iter().map(|image| image.ignored().count()).sum(),
        end_of_life: images.iter().filter(|image| image.end_of_life.is_some()).count(),
        by_severity: counts,
        by_workload,
    };
    let document = Document {
        version: *version,
        scan,
        advisories,
        coverage: report.coverage(),
        summary,
        containers,
        images,
        notes,
        filter,
    };
    let json = serde_json::to_string_pretty(&document)
        .expect("a report consists of strings, numbers and maps with string keys");
    let mut text = escape(&json);
    text.push('\n');
    text
}

/// The member by which a report is known.
#[derive(Deserialize)]
struct Version {
    version: u32,
}

/// Reads what [`render`] wrote, or a [`Report`] alone; other members are left.
///
/// # Errors
/// It is something else, damaged, or too large.
pub fn read(bytes: &[u8]) -> Result<Report, ReadError> {
    if bytes.len() > MAX_BYTES {
        return Err(ReadError::TooLarge);
    }
    let wrong = |error: serde_json::Error| match error.classify() {
        serde_json::error::Category::Data => ReadError::Format(error),
        _ => ReadError::Syntax(error),
    };
    let Version { version } = serde_json::from_slice(bytes).map_err(wrong)?;
    if version > REPORT_VERSION {
        return Err(ReadError::Version(version));
    }
    let report: Report = serde_json::from_slice(bytes).map_err(wrong)?;
    let mut indexes = report.containers.iter().filter_map(|container| container.image_index);
    match indexes.find(|index| *index >= report.images.len()) {
        Some(index) => Err(ReadError::Contradiction(index)),
        None => Ok(report),
    }
}

/// Escapes what could steer a terminal; it can only stand in strings, since the syntax of JSON is ASCII.
///
/// # Panics
/// Never.
#[must_use]
pub fn escape(json: &str) -> String {
    let mut text = String::with_capacity(json.len() + 1);
    for c in json.chars() {
        if c != '\n' && is_unsafe(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(text, "\\u{unit:04x}").expect("writing to a string cannot fail");
            }
        } else {
            text.push(c);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;
    use crate::report::{REPORT_VERSION, State};

    fn report() -> Report {
        Report {
            version: REPORT_VERSION,
            scan: ScanInfo {
                id: "7f3a".to_owned(),
                generator: "0.1.0".to_owned(),
                started: "2026-01-02T03:04:05Z".to_owned(),
                duration_ms: 3200,
                scope: "-n shop".to_owned(),
            },
            advisories: AdvisoryInfo { source: Some("tests/osv".to_owned()), ..AdvisoryInfo::default() },
            containers: vec![ContainerReport {
                namespace: "shop".to_owned(),
                workload: "deployment/gone".to_owned(),
                pod: "gone-1".to_owned(),
                container: "web".to_owned(),
                kind: "container".to_owned(),
                image: "registry.test/gone:1".to_owned(),
                state: State::Failed("manifest unknown".to_owned()),
                image_index: None,
            }],
            images: Vec::new(),
            notes: vec!["a note with \u{9b}31m".to_owned()],
            filter: Filter::default(),
        }
    }

    #[test]
    fn coverage_and_summary_stand_beside_the_report() {
        assert_snapshot!(render(&report()), @r#"
        {
          "version": 1,
          "scan": {
            "id": "7f3a",
            "generator": "0.1.0",
            "started": "2026-01-02T03:04:05Z",
            "duration_ms": 3200,
            "scope": "-n shop"
          },
          "advisories": {
            "source": "tests/osv",
            "ecosystems": {},
            "newest": null
          },
          "coverage": {
            "scanned": 0,
            "cached": 0,
            "approximate": 0,
            "partial": 0,
            "failed": 1,
            "skipped": 0
          },
          "summary": {
            "complete": false,
            "worst": null,
            "findings": 0,
            "not_shown": 0,
            "ignored": 0,
            "end_of_life": 0,
            "by_severity": {
              "critical": 0,
              "high": 0,
              "medium": 0,
              "low": 0,
              "negligible": 0,
              "unknown": 0,
              "fixable": 0,
              "exploited": 0
            },
            "by_workload": {
              "shop/deployment/gone": null
            }
          },
          "containers": [
            {
              "namespace": "shop",
              "workload": "deployment/gone",
              "pod": "gone-1",
              "container": "web",
              "kind": "container",
              "image": "registry.test/gone:1",
              "state": "failed",
              "reason": "manifest unknown",
              "image_index": null
            }
          ],
          "images": [],
          "notes": [
            "a note with \u009b31m"
          ]
        }
        "#);
    }

    #[test]
    fn what_was_rendered_reads_back_as_the_same_report() {
        assert_eq!(read(render(&report()).as_bytes()).expect("a report"), report());
    }

    #[test]
    fn what_is_no_report_says_why() {
        let with = |change: &dyn Fn(&mut serde_json::Value)| {
            let mut json = serde_json::to_value(report()).expect("JSON");
            change(&mut json);
            read(json.to_string().as_bytes()).expect_err("no report").to_string()
        };
        assert_eq!(
            with(&|json| json["containers"][0]["image_index"] = 3.into()),
            "the report contradicts itself: a container runs image 3, which is not in it"
        );
        assert!(with(&|json| json["version"] = 9.into()).starts_with("the report has version 9 "));
        let foreign = with(&|json| *json = serde_json::json!({"version": 1, "bomFormat": "CycloneDX"}));
        assert_eq!(foreign, "this JSON is no report of kubectl clarity");
        assert_eq!(read(b"{").expect_err("cut off").to_string(), "the report is no JSON");
    }
}
