//! The report for people: what is worst first, then what was not seen, then the sum of it.
//!
//! Rows stand without borders, as kubectl's do. Every text of strangers passes [`sanitize`](super::text::sanitize);
//! severity is a word and at most additionally a colour.

mod coverage;
mod drift;
pub(super) mod findings;
pub(super) mod grid;
pub(super) mod overview;
mod suppressed;

use super::text::sanitize;
use super::{ContainerReport, Report};
use crate::package::Distro;

/// How to render.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TableOptions {
    /// Columns of the terminal. Without, no line is broken: one row is one line, as pipes want it.
    pub width: Option<u16>,
    /// Whether severities are coloured too.
    pub color: bool,
    /// Whether to list also negligible findings without a fix, and all names where there are many.
    pub all: bool,
}

/// Renders a report.
#[must_use]
pub fn render(report: &Report, options: &TableOptions) -> String {
    let sections = [
        overview::workloads(report, *options),
        findings::images(report, *options),
        suppressed::suppressed(report, *options),
        coverage::coverage(report, *options),
        coverage::without_data(report, *options),
        coverage::end_of_life(report, *options),
        drift::drift(report, *options),
        coverage::notes(report, *options),
        overview::total(report, *options),
    ];
    let sections: Vec<String> = sections.into_iter().filter(|section| !section.is_empty()).collect();
    sections.join("\n")
}

/// Sets texts in columns, as kubectl does; those that are numbers to the right.
#[must_use]
pub fn columns(heads: &[(&str, bool)], rows: &[Vec<String>], options: TableOptions) -> String {
    let columns: Vec<_> = heads
        .iter()
        .map(|(head, is_number)| {
            (*head, if *is_number { grid::Column::Number } else { grid::Column::Flexible })
        })
        .collect();
    let rows = rows.iter().map(|row| row.iter().map(|text| grid::cell(text)).collect()).collect();
    grid::grid(&columns, rows, options)
}

/// How a workload is called: with its namespace only where there are several.
fn workload_name(report: &Report, namespace: &str, workload: &str) -> String {
    if has_namespaces(report) { format!("{namespace}/{workload}") } else { workload.to_owned() }
}

/// How a container is called: by its workload.
fn container_name(report: &Report, container: &ContainerReport) -> String {
    let workload = workload_name(report, &container.namespace, &container.workload);
    match container.container.as_str() {
        "" => sanitize(&workload),
        name => sanitize(&format!("{workload} ({name})")),
    }
}

/// `debian 12`
fn distro_name(distro: &Distro) -> String {
    let version = distro.version_id.as_deref().map(|version| format!(" {version}")).unwrap_or_default();
    sanitize(&format!("{}{version}", distro.id))
}

/// What is covered or not.
fn unit(report: &Report) -> &'static str {
    if report.is_of_documents() { "document" } else { "container" }
}

fn has_namespaces(report: &Report) -> bool {
    let mut namespaces = report.containers.iter().map(|container| &container.namespace);
    let first = namespaces.next();
    namespaces.any(|namespace| Some(namespace) != first)
}

#[cfg(test)]
mod tests;
