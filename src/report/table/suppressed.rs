//! Findings that somebody decided to ignore, with the reason: suppressed, not hidden.

use std::collections::{BTreeMap, BTreeSet};

use super::TableOptions;
use super::coverage::list;
use crate::finding::Ignored;
use crate::report::Report;
use crate::report::text::{first_of, sanitize, wrap};

/// How many of them are listed.
const LISTED: usize = 20;
/// How many packages of one are named.
const PACKAGES: usize = 3;

/// Packages and images that one decision is about.
#[derive(Default)]
struct Extent {
    packages: BTreeSet<String>,
    images: BTreeSet<String>,
}

/// Each vulnerability and the reason for ignoring it once, with the images that it is in.
pub(super) fn suppressed(report: &Report, options: TableOptions) -> String {
    let mut decisions: BTreeMap<(&str, &Ignored), Extent> = BTreeMap::new();
    for (index, image) in report.images.iter().enumerate() {
        for finding in image.ignored() {
            let Some(ignored) = &finding.ignored else { continue };
            let extent = decisions.entry((&finding.vulnerability, ignored)).or_default();
            extent.packages.insert(sanitize(&finding.package));
            extent.images.insert(sanitize(&report.image_name(index)));
        }
    }
    if decisions.is_empty() {
        return String::new();
    }
    let listed = if options.all { usize::MAX } else { LISTED };
    let more = decisions.len().saturating_sub(listed);
    let mut text = "Suppressed\n".to_owned();
    for ((vulnerability, ignored), extent) in decisions.into_iter().take(listed) {
        let packages: Vec<String> = extent.packages.into_iter().collect();
        let packages = first_of(&packages, if options.all { usize::MAX } else { PACKAGES });
        let until = ignored.until.map(|until| format!(", until {until}")).unwrap_or_default();
        let line = format!(
            "{} in {packages}: {} ({}{until})",
            sanitize(vulnerability),
            sanitize(&ignored.reason),
            sanitize(&ignored.source)
        );
        text.push_str(&wrap(&line, 2, options.width));
        text.push_str(&list(extent.images, options));
    }
    if more > 0 {
        text.push_str(&wrap(&format!("{more} more not listed; -o json lists all"), 2, options.width));
    }
    text
}
