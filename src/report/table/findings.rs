//! The findings of each image, once for all workloads that run it.

use std::collections::{BTreeMap, BTreeSet};

use super::grid::{Column, cell, grid, severity_cell};
use super::{TableOptions, distro_name, workload_name};
use crate::report::counts::Counts;
use crate::report::text::{first_of, plural, sanitize, wrap};
use crate::report::{DOCUMENT, Finding, ImageReport, Report};
use crate::severity::Severity;

/// How many packages of one source are named in a row.
const PACKAGES: usize = 3;
/// How many workloads that run an image are named.
const USERS: usize = 8;

/// One line of the table: a vulnerability in all binary packages of a source that it affects alike.
pub(in crate::report) struct Row<'a> {
    first: &'a Finding,
    packages: Vec<String>,
}

/// A section for each image with findings, the worst first, then those without in one list.
pub(super) fn images(report: &Report, options: TableOptions) -> String {
    let matched = report.images.iter().enumerate().filter(|(_, image)| image.is_matched());
    let (mut with, without): (Vec<_>, Vec<_>) =
        matched.partition(|(_, image)| image.counted().next().is_some());
    with.sort_by(|(_, a), (_, b)| Counts::of(&b.findings).cmp_urgency(&Counts::of(&a.findings)));
    let mut sections: Vec<String> =
        with.into_iter().map(|(index, image)| section(report, index, image, options)).collect();
    if !without.is_empty() && report.advisories.source.is_some() {
        let (hidden, rest): (Vec<_>, Vec<_>) = without.into_iter().partition(|(_, image)| image.not_shown > 0);
        let (suppressed, clean): (Vec<_>, Vec<_>) =
            rest.into_iter().partition(|(_, image)| !image.findings.is_empty());
        for (head, images) in [
            ("No findings shown", hidden),
            ("No findings but suppressed ones", suppressed),
            ("No findings", clean),
        ] {
            let lines = images.iter().map(|(index, _)| wrap(&title(report, *index), 2, options.width));
            if !images.is_empty() {
                sections.push(format!("{head}\n{}", lines.collect::<String>()));
            }
        }
    }
    sections.join("\n")
}

fn section(report: &Report, index: usize, image: &ImageReport, options: TableOptions) -> String {
    let mut text = wrap(&title(report, index), 0, options.width);
    let relation = if report.is_of_documents() { "listed in" } else { "used by" };
    text.push_str(&wrap(&format!("{relation} {}", users(report, index, options)), 2, options.width));

    // Who asked for negligible ones by name wants to see them.
    let folds = !options.all && report.filter.severities.is_none();
    let is_folded = |finding: &Finding| folds && is_minor(finding);
    let (folded, shown): (Vec<_>, Vec<_>) = image.counted().partition(|finding| is_folded(finding));
    if !shown.is_empty() {
        let with_epss = shown.iter().any(|finding| finding.epss.is_some());
        let columns = columns(None, with_epss);
        let rows = rows(&shown).iter().map(|row| row.cells(with_epss, options)).collect();
        text.push_str(&grid(&columns, rows, options));
    }
    text.push_str(&exploited(&shown, options));
    if !folded.is_empty() {
        let findings = plural(folded.len(), "negligible finding");
        text.push_str(&wrap(
            &format!("{findings} without a fix not listed; -o json lists all"),
            0,
            options.width,
        ));
    }
    text
}

/// Whether it is only listed for who asks.
pub(in crate::report) fn is_minor(finding: &Finding) -> bool {
    finding.severity == Severity::Negligible && finding.fixed.is_none() && finding.exploited.is_none()
}

/// The columns of findings, with one more before them where there is something to say.
pub(in crate::report) fn columns(first: Option<&'static str>, with_epss: bool) -> Vec<(&'static str, Column)> {
    let first = first.map(|head| (head, Column::Fixed));
    let epss = with_epss.then_some(("EPSS", Column::Number));
    let fixed = [("SEVERITY", Column::Fixed), ("VULNERABILITY", Column::Fixed)];
    let flexible =
        [("PACKAGE", Column::Flexible), ("INSTALLED", Column::Preferred), ("FIXED IN", Column::Preferred)];
    first.into_iter().chain(fixed).chain(epss).chain(flexible).collect()
}

/// Since when, and by whom, the findings are exploited that are.
fn exploited(findings: &[&Finding], options: TableOptions) -> String {
    let exploited = findings.iter().filter_map(|finding| Some((&finding.vulnerability, finding.exploited?)));
    let words: BTreeMap<_, _> = exploited
        .map(|(name, exploited)| {
            let by = if exploited.ransomware { ", also by ransomware" } else { "" };
            (name, format!("{} since {}{by}", sanitize(name), exploited.added))
        })
        .collect();
    if words.is_empty() {
        return String::new();
    }
    let words: Vec<String> = words.into_values().collect();
    wrap(&format!("Known to be exploited: {}", words.join("; ")), 0, options.width)
}

/// `registry.test/cart:1 (debian 12, 88 packages, linux/amd64, sha256:1a2b3c4d5e6f)`
fn title(report: &Report, index: usize) -> String {
    let image = &report.images[index];
    let mut facts = Vec::new();
    facts.extend(image.distro.as_ref().map(distro_name));
    facts.extend(image.end_of_life.map(|end| format!("no longer tracked since {}", end.since)));
    facts.push(plural(image.packages, "package"));
    facts.extend(image.platform.as_ref().map(|platform| sanitize(&platform.to_string())));
    facts.extend(image.digest.as_ref().map(|digest| format!("sha256:{}", digest.short())));
    if !image.state.is_complete() {
        facts.push(image.state.as_str().to_owned());
    }
    // The digest stands in the brackets; shown with the name it would fill the line.
    let name = image.reference.as_ref().and_then(|reference| match (&reference.tag, &image.digest) {
        (Some(tag), _) => Some(format!("{}:{tag}", reference.repository)),
        (None, Some(_)) => Some(reference.repository.to_string()),
        (None, None) => None,
    });
    let name = name.unwrap_or_else(|| report.image_name(index));
    format!("{} ({})", sanitize(&name), facts.join(", "))
}

/// `deployment/cart (web, init migrate), job/import (main)`
fn users(report: &Report, index: usize, options: TableOptions) -> String {
    let mut users: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for container in report.containers.iter().filter(|container| container.image_index == Some(index)) {
        let user = workload_name(report, &container.namespace, &container.workload);
        let name = match container.kind.as_str() {
            "container" | DOCUMENT => container.container.clone(),
            kind => format!("{kind} {}", container.container),
        };
        users.entry(user).or_default().insert(name);
    }
    let users: Vec<String> = users
        .into_iter()
        .map(|(user, names)| {
            let names = names.into_iter().filter(|name| !name.is_empty()).collect::<Vec<_>>().join(", ");
            sanitize(&if names.is_empty() { user } else { format!("{user} ({names})") })
        })
        .collect();
    first_of(&users, if options.all { usize::MAX } else { USERS })
}

/// The lines for findings, in their order.
pub(in crate::report) fn rows<'a>(findings: &[&'a Finding]) -> Vec<Row<'a>> {
    let mut rows: Vec<Row<'a>> = Vec::new();
    let mut places: BTreeMap<_, usize> = BTreeMap::new();
    for finding in findings {
        let source = finding.matched_as.as_deref().and_then(|name| name.split(' ').next());
        let source = source.unwrap_or(&finding.package);
        let key = (finding.severity, &finding.vulnerability, source, &finding.installed, &finding.fixed);
        let place = *places.entry(key).or_insert(rows.len());
        match rows.get_mut(place) {
            Some(row) if row.packages.contains(&finding.package) => {}
            Some(row) => row.packages.push(finding.package.clone()),
            None => rows.push(Row { first: finding, packages: vec![finding.package.clone()] }),
        }
    }
    rows
}

impl Row<'_> {
    /// The cells of [`columns`].
    pub(in crate::report) fn cells(&self, with_epss: bool, options: TableOptions) -> Vec<comfy_table::Cell> {
        let Self { first, packages } = self;
        let packages = first_of(packages, if options.all { usize::MAX } else { PACKAGES });
        let fix_state = || first.fix_state.as_ref().map(|state| state.state.as_str());
        let mark = first.exploited.map(|_| "exploited");
        let mut cells = vec![severity_cell(first.severity, mark, options), cell(&first.vulnerability)];
        if with_epss {
            let likelihood = first.epss.map(|epss| epss.probability.to_string());
            cells.push(cell(likelihood.as_deref().unwrap_or("-")));
        }
        cells.push(cell(&packages));
        cells.push(cell(&first.installed));
        cells.push(cell(first.fixed.as_deref().or_else(fix_state).unwrap_or("-")));
        cells
    }
}
