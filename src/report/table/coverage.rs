//! What was seen and what was not, so that nothing is silently left out.

use std::collections::{BTreeMap, BTreeSet};

use super::{TableOptions, container_name, distro_name, unit};
use crate::report::text::{first_of, plural, sanitize, wrap};
use crate::report::workloads::badness;
use crate::report::{Coverage, ReadBy, Report};

/// How many containers with the same reason, or images without data, are named.
const NAMED: usize = 8;

/// The six states with their numbers, then every reason once with the containers it holds for.
pub(super) fn coverage(report: &Report, options: TableOptions) -> String {
    if report.containers.is_empty() {
        return String::new();
    }
    let Coverage { scanned, cached, approximate, partial, failed, skipped } = report.coverage();
    let numbers = format!(
        "{}: {scanned} scanned, {cached} cached, {approximate} approximate, {partial} partial, {failed} failed, \
         {skipped} skipped",
        plural(report.containers.len(), unit(report))
    );
    let mut text = format!("Coverage\n{}", wrap(&numbers, 2, options.width));
    if let Some(ways) = ways(report) {
        text.push_str(&wrap(&ways, 2, options.width));
    }

    let mut reasons: BTreeMap<(usize, &str, &str), BTreeSet<String>> = BTreeMap::new();
    for container in &report.containers {
        let Some(reason) = container.state.reason() else { continue };
        let key = (badness(&container.state), container.state.as_str(), reason);
        reasons.entry(key).or_default().insert(container_name(report, container));
    }
    for ((_, state, reason), containers) in reasons {
        text.push_str(&wrap(&format!("{state}: {}", sanitize(reason)), 2, options.width));
        text.push_str(&list(containers, options));
    }
    text
}

/// Where the images were read.
fn ways(report: &Report) -> Option<String> {
    let ways = || report.images.iter().filter_map(|image| image.read_by.as_ref());
    let streamed = ways().filter(|way| **way == ReadBy::Stream).count();
    let cached = ways().filter(|way| matches!(way, ReadBy::Cache { .. })).count();
    let mounted = ways().count() - streamed - cached;
    let nodes: Vec<String> = ways()
        .filter_map(|way| match way {
            ReadBy::Volume { node, .. } => {
                Some(sanitize(node.as_deref().unwrap_or("a node of the cluster's choice")))
            }
            ReadBy::Stream | ReadBy::Cache { .. } => None,
        })
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect();
    let on_nodes = format!("{} mounted on {}", plural(mounted, "image"), first_of(&nodes, NAMED));
    let parts = [
        (mounted, on_nodes),
        (streamed, format!("{} streamed", plural(streamed, "image"))),
        (cached, format!("{} from the cache", plural(cached, "image"))),
    ];
    let parts: Vec<String> =
        parts.into_iter().filter(|(count, _)| *count > 0).map(|(_, words)| words).collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// Ecosystems without advisories, and the images that have packages of them.
pub(super) fn without_data(report: &Report, options: TableOptions) -> String {
    let mut ecosystems: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for (index, image) in report.images.iter().enumerate() {
        for ecosystem in &image.without_data {
            ecosystems.entry(ecosystem).or_default().insert(sanitize(&report.image_name(index)));
        }
    }
    if ecosystems.is_empty() {
        return String::new();
    }
    let meaning = "No data: these packages were held against nothing, which does not mean that they are clean";
    let mut text = wrap(meaning, 0, options.width);
    for (ecosystem, images) in ecosystems {
        text.push_str(&wrap(&sanitize(ecosystem), 2, options.width));
        text.push_str(&list(images, options));
    }
    text
}

/// Releases that are no longer tracked, and the images of them.
pub(super) fn end_of_life(report: &Report, options: TableOptions) -> String {
    let mut releases: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
    for (index, image) in report.images.iter().enumerate() {
        let Some(end) = &image.end_of_life else { continue };
        let paid = end.paid_until.map(|until| format!("; those who pay get fixes until {until}"));
        let words = format!("since {}{}", end.since, paid.unwrap_or_default());
        let name = image.distro.as_ref().map(distro_name).unwrap_or_default();
        releases.entry((name, words)).or_default().insert(sanitize(&report.image_name(index)));
    }
    if releases.is_empty() {
        return String::new();
    }
    let meaning =
        "No longer tracked: these releases get no more advisories, which does not mean that they are clean";
    let mut text = wrap(meaning, 0, options.width);
    for ((name, words), images) in releases {
        text.push_str(&wrap(&format!("{name} {words}"), 2, options.width));
        text.push_str(&list(images, options));
    }
    text
}

/// What else a person should know.
pub(super) fn notes(report: &Report, options: TableOptions) -> String {
    report.notes.iter().map(|note| wrap(&format!("Note: {}", sanitize(note)), 0, options.width)).collect()
}

/// Names, of many the first.
pub(super) fn list(names: BTreeSet<String>, options: TableOptions) -> String {
    let names: Vec<String> = names.into_iter().collect();
    wrap(&first_of(&names, if options.all { usize::MAX } else { NAMED }), 4, options.width)
}
