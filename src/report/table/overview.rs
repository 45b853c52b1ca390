//! The first and the last thing that is read: workloads by severity, and the totals.

use comfy_table::Cell;

use super::grid::{Column, cell, grid};
use super::{TableOptions, has_namespaces, unit};
use crate::report::counts::Counts;
use crate::report::text::{plural, sanitize, wrap};
use crate::report::workloads::WorkloadReport;
use crate::report::{Coverage, Report};
use crate::severity::Severity;

/// Head and severity of the columns that count.
const COUNTED: [(&str, Severity); 6] = [
    ("CRIT", Severity::Critical),
    ("HIGH", Severity::High),
    ("MED", Severity::Medium),
    ("LOW", Severity::Low),
    ("NEGL", Severity::Negligible),
    ("UNKN", Severity::Unknown),
];

/// A row for each workload, the worst first.
pub(super) fn workloads(report: &Report, options: TableOptions) -> String {
    let workloads = report.workloads();
    if workloads.is_empty() {
        return wrap(&format!("No containers in scope: {}", sanitize(&report.scan.scope)), 0, options.width);
    }
    let mut columns = Vec::new();
    if has_namespaces(report) {
        columns.push(("NAMESPACE", Column::Flexible));
    }
    columns.push((if report.is_of_documents() { "DOCUMENT" } else { "WORKLOAD" }, Column::Flexible));
    // A severity that is not shown was not counted either.
    let counted: Vec<_> = COUNTED.into_iter().filter(|(_, severity)| report.filter.shows(*severity)).collect();
    columns.extend(counted.iter().map(|(head, _)| (*head, Column::Number)));
    columns.push(("FIX", Column::Number));
    let with_exploited = report.counts().exploited > 0;
    if with_exploited {
        columns.push(("EXPL", Column::Number));
    }
    columns.push(("STATE", Column::Flexible));
    let with_namespaces = has_namespaces(report);
    let row = |workload: &WorkloadReport<'_>| {
        let mut row = Vec::new();
        if with_namespaces {
            row.push(cell(workload.namespace));
        }
        row.push(cell(workload.name));
        row.extend(counted.iter().map(|(_, severity)| number(workload, workload.counts.get(*severity))));
        row.push(number(workload, workload.counts.fixable));
        if with_exploited {
            row.push(number(workload, workload.counts.exploited));
        }
        row.push(cell(&state(workload)));
        row
    };
    grid(&columns, workloads.iter().map(row).collect(), options)
}

/// A number would read as "clean" where nothing could be known.
fn number(workload: &WorkloadReport<'_>, count: usize) -> Cell {
    if workload.is_matched { cell(&count.to_string()) } else { cell("-") }
}

fn state(workload: &WorkloadReport<'_>) -> String {
    let is_read = workload.states.iter().all(|(state, _)| ["scanned", "cached"].contains(state));
    if is_read && !workload.is_matched {
        return if workload.is_end_of_life { "end of life" } else { "no data" }.to_owned();
    }
    let mut state = match workload.states.as_slice() {
        [(state, _)] => (*state).to_owned(),
        states => states.iter().map(|(state, count)| format!("{count} {state}")).collect::<Vec<_>>().join(", "),
    };
    if workload.is_without_data {
        state.push_str(", no data");
    }
    if workload.is_end_of_life {
        state.push_str(", end of life");
    }
    state
}

/// What it all comes to, and whether all was seen.
pub(super) fn total(report: &Report, options: TableOptions) -> String {
    if report.containers.is_empty() {
        return String::new();
    }
    let counts = report.counts();
    let images = report.images.iter().filter(|image| image.is_matched()).count();
    let sum = if report.advisories.source.is_none() {
        "Not known: there are no advisories to hold packages against".to_owned()
    } else if images == 0 {
        "Not known: no image could be held against advisories".to_owned()
    } else {
        let place = if report.is_of_documents() {
            plural(images, "document")
        } else {
            format!("{} of {}", plural(images, "image"), plural(report.workloads().len(), "workload"))
        };
        let shown = if report.filter.is_open() { "" } else { " shown" };
        format!("{}{shown} in {place}{}", plural(counts.total(), "finding"), by_severity(&counts))
    };
    let mut text = wrap(&sum, 0, options.width);
    if report.not_shown() > 0 {
        let findings = plural(report.not_shown(), "finding");
        text.push_str(&wrap(&format!("{findings} not shown: {}", report.filter.flags()), 0, options.width));
    }
    let ignored: usize = report.images.iter().map(|image| image.ignored().count()).sum();
    if ignored > 0 {
        let findings = plural(ignored, "finding");
        text.push_str(&wrap(&format!("{findings} suppressed, and not counted"), 0, options.width));
    }
    let end_of_life = report.images.iter().filter(|image| image.end_of_life.is_some()).count();
    if end_of_life > 0 {
        let images = plural(end_of_life, document_or_image(report));
        let words = format!("{images} no longer tracked: not all that is wrong is known");
        text.push_str(&wrap(&words, 0, options.width));
    }
    let incomplete = incomplete(report, report.coverage());
    if !incomplete.is_empty() {
        text.push_str(&wrap(&format!("Incomplete: {}", incomplete.join("; ")), 0, options.width));
    }
    text
}

/// What holds the packages.
fn document_or_image(report: &Report) -> &'static str {
    if report.is_of_documents() { "document" } else { "image" }
}

/// `: 1 critical, 2 high; 2 fixable`
pub(in crate::report) fn by_severity(counts: &Counts) -> String {
    if counts.total() == 0 {
        return String::new();
    }
    let numbers = Severity::DESCENDING.into_iter().filter(|severity| counts.get(*severity) > 0);
    let numbers: Vec<_> = numbers.map(|severity| format!("{} {severity}", counts.get(severity))).collect();
    let exploited = match counts.exploited {
        0 => String::new(),
        count => format!(", {count} known to be exploited"),
    };
    format!(": {}; {} fixable{exploited}", numbers.join(", "), counts.fixable)
}

fn incomplete(report: &Report, coverage: Coverage) -> Vec<String> {
    let containers = report.containers.len();
    let unseen = containers - coverage.scanned - coverage.cached;
    let without_data = report.images.iter().filter(|image| !image.without_data.is_empty()).count();
    let mut reasons = Vec::new();
    if unseen > 0 {
        reasons.push(format!("{unseen} of {} not read whole", plural(containers, unit(report))));
    }
    if without_data > 0 {
        let images = plural(without_data, document_or_image(report));
        reasons.push(format!("{images} with packages that have no advisories"));
    }
    reasons
}
