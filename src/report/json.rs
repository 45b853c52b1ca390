//! The report as JSON: the value itself, and what one would otherwise have to compute from it with `jq`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use super::counts::Counts;
use super::text::is_unsafe;
use super::{AdvisoryInfo, ContainerReport, Coverage, ImageReport, Report, ScanInfo};
use crate::severity::Severity;

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
}

#[derive(Serialize)]
struct Summary {
    /// Whether every container was read whole and held against advisories.
    complete: bool,
    worst: Option<Severity>,
    findings: usize,
    by_severity: Counts,
    /// By `namespace/kind/name`; images that several containers of a workload run count once.
    by_workload: BTreeMap<String, Counts>,
}

/// Renders a report, indented, with a line feed at the end.
///
/// Characters that could steer a terminal are escaped beyond what JSON asks for (it lets C1 controls through).
#[must_use]
pub fn render(report: &Report) -> String {
    // Taken apart so that a new member cannot be forgotten here.
    let Report { version, scan, advisories, containers, images, notes } = report;
    let by_workload =
        report.workloads().into_iter().map(|w| (format!("{}/{}", w.namespace, w.name), w.counts)).collect();
    let counts = report.counts();
    let summary = Summary {
        complete: report.is_complete(),
        worst: report.worst(),
        findings: counts.total(),
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
    };
    let json = serde_json::to_string_pretty(&document)
        .expect("a report consists of strings, numbers and maps with string keys");
    let mut text = escape(&json);
    text.push('\n');
    text
}

/// Escapes characters that can only stand in strings here, since the syntax of JSON is ASCII.
fn escape(json: &str) -> String {
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
