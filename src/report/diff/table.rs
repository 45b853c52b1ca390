//! A comparison for people.

use super::{Change, CoverageChange, Diff, ImageDiff, ImageName, Side};
use crate::report::Finding;
use crate::report::counts::Counts;
use crate::report::table::findings::{columns, is_minor, rows};
use crate::report::table::grid::{cell, grid};
use crate::report::table::{TableOptions, overview};
use crate::report::text::{first_of, plural, sanitize, wrap};

/// How many users of an image, or containers with a state, are named.
const NAMED: usize = 8;

/// Renders a comparison: what is new first, then what is fixed, then what cannot be told, then the sum.
#[must_use]
pub fn render(diff: &Diff, options: &TableOptions) -> String {
    let options = *options;
    let (listed, brief): (Vec<_>, Vec<_>) = diff.images.iter().partition(|image| image.has_findings());
    let mut sections = vec![heading(diff, options)];
    sections.extend(listed.iter().map(|image| section(image, options)));
    sections.push(others(&brief, options));
    sections.push(coverage(&diff.coverage, options));
    sections.push(
        diff.notes.iter().map(|note| wrap(&format!("Note: {}", sanitize(note)), 0, options.width)).collect(),
    );
    sections.push(total(diff, options));
    sections.retain(|section| !section.is_empty());
    sections.join("\n")
}

impl ImageDiff {
    fn has_findings(&self) -> bool {
        !self.new.is_empty() || !self.fixed.is_empty()
    }
}

fn heading(diff: &Diff, options: TableOptions) -> String {
    let side = |Side { scan, advisories_as_of, .. }: &Side| {
        let advisories = advisories_as_of.as_ref().map(|time| format!(", advisories of {time}"));
        sanitize(&format!("{} of {} ({}{})", scan.id, scan.started, scan.scope, advisories.unwrap_or_default()))
    };
    [("before", &diff.before), ("after ", &diff.after)]
        .into_iter()
        .map(|(word, of)| wrap(&format!("{word} {}", side(of)), 0, options.width))
        .collect()
}

/// An image in which findings have changed.
fn section(image: &ImageDiff, options: TableOptions) -> String {
    let mut text = wrap(&title(image), 0, options.width);
    let users: Vec<String> = image.used_by.iter().map(|user| sanitize(user)).collect();
    if !users.is_empty() {
        let limit = if options.all { usize::MAX } else { NAMED };
        text.push_str(&wrap(&format!("used by {}", first_of(&users, limit)), 2, options.width));
    }
    let mut folded = 0;
    let mut cells = Vec::new();
    let all = || image.new.iter().chain(&image.fixed);
    let with_epss = all().any(|finding| finding.epss.is_some());
    for (word, findings) in [("new", &image.new), ("fixed", &image.fixed)] {
        let (minor, shown): (Vec<&Finding>, Vec<&Finding>) =
            findings.iter().partition(|finding| !options.all && is_minor(finding));
        folded += minor.len();
        cells.extend(rows(&shown).iter().map(|row| {
            let mut cells = vec![cell(word)];
            cells.extend(row.cells(with_epss, options));
            cells
        }));
    }
    if !cells.is_empty() {
        text.push_str(&grid(&columns(Some("CHANGE"), with_epss), cells, options));
    }
    for line in remarks(image, folded) {
        text.push_str(&wrap(&sanitize(&line), 0, options.width));
    }
    text
}

fn remarks(image: &ImageDiff, folded: usize) -> Vec<String> {
    let mut lines = Vec::new();
    if folded > 0 {
        let findings = plural(folded, "negligible finding");
        lines.push(format!("{findings} without a fix not listed; --all-findings lists them"));
    }
    if image.change == Change::Came {
        lines.push("this image was not there before".to_owned());
    }
    if let Some(why) = &image.new_because {
        lines.push(format!("before, not all of it was known ({why}): what is new may not be"));
    }
    if image.change == Change::Same && image.new_because.is_none() && !image.new.is_empty() {
        lines.push("the image is the same: what is new is new in the advisories".to_owned());
    }
    if image.unknown > 0 {
        lines.push(unknown(image));
    }
    let others = [(image.unchanged, "as before"), (image.suppressed, "suppressed now")];
    let others = others.iter().filter(|(count, _)| *count > 0);
    let others: Vec<String> = others.map(|(count, words)| format!("{count} {words}")).collect();
    if !others.is_empty() {
        lines.push(others.join(", "));
    }
    lines
}

fn unknown(image: &ImageDiff) -> String {
    let why = image.unknown_because.as_deref().unwrap_or("not read");
    format!("{} of before not known now: {why}", plural(image.unknown, "finding"))
}

/// Images of which there is a line to say.
fn others(images: &[&ImageDiff], options: TableOptions) -> String {
    let mut text = String::new();
    for (change, head) in [
        (Change::Unread, "Not read any more"),
        (Change::Same, "Not known any more, or suppressed"),
        (Change::Replaced, "Replaced, with the same findings"),
        (Change::Came, "Came, without findings"),
        (Change::Went, "Went"),
    ] {
        let of_change: Vec<_> = images.iter().filter(|image| image.change == change).collect();
        if of_change.is_empty() {
            continue;
        }
        text.push_str(head);
        text.push('\n');
        for image in of_change {
            let about = match (change, image.unknown, image.suppressed) {
                (Change::Went, 0, _) | (_, 0, 0) => String::new(),
                (Change::Went, count, _) => format!(": {} went with it", plural(count, "finding")),
                (_, 0, count) => format!(": {} suppressed now", plural(count, "finding")),
                _ => format!(": {}", unknown(image)),
            };
            text.push_str(&wrap(&format!("{}{}", title(image), sanitize(&about)), 2, options.width));
        }
    }
    text
}

/// `registry.test/cart:1 -> registry.test/cart:2 (linux/amd64, sha256:1a2b3c4d5e6f -> sha256:6f5e4d3c2b1a)`
fn title(image: &ImageDiff) -> String {
    let name = |image: &ImageName| match &image.reference {
        // The digest stands in the brackets.
        Some(reference) if image.digest.is_some() => match &reference.tag {
            Some(tag) => format!("{}:{tag}", reference.repository),
            None => reference.repository.to_string(),
        },
        _ => image.name.clone(),
    };
    let digest = |image: &ImageName| image.digest.as_ref().map(|digest| format!("sha256:{}", digest.short()));
    let either = |of: &dyn Fn(&ImageName) -> Option<String>| -> String {
        let before: Vec<String> = image.before.iter().filter_map(of).collect();
        let after = image.after.as_ref().and_then(of);
        match after {
            Some(after) if before.is_empty() || before.iter().all(|before| *before == after) => after,
            Some(after) => format!("{} -> {after}", before.join(", ")),
            None => before.join(", "),
        }
    };
    let platform = either(&|image| image.platform.as_ref().map(ToString::to_string));
    let mut facts = vec![platform, either(&digest)];
    facts.retain(|fact| !fact.is_empty());
    let name = either(&|image| Some(name(image)));
    sanitize(&if facts.is_empty() { name } else { format!("{name} ({})", facts.join(", ")) })
}

fn coverage(changes: &[CoverageChange], options: TableOptions) -> String {
    if changes.is_empty() {
        return String::new();
    }
    let mut text = "Coverage\n".to_owned();
    let limit = if options.all { usize::MAX } else { NAMED };
    for (is_loss, head) in [(true, "not read whole now"), (false, "read whole now, and not before")] {
        let of_kind: Vec<&CoverageChange> =
            changes.iter().filter(|change| change.is_loss() == is_loss).collect();
        if of_kind.is_empty() {
            continue;
        }
        text.push_str(&wrap(&format!("{head}: {}", plural(of_kind.len(), "container")), 2, options.width));
        for change in of_kind.iter().take(limit) {
            let state = if is_loss { Some(&change.after) } else { change.before.as_ref() };
            let state = state.map_or("", |state| state.as_str());
            let reason = change.after.reason().map(|reason| format!(", {reason}")).unwrap_or_default();
            let was = if is_loss { "" } else { "was " };
            text.push_str(&wrap(
                &sanitize(&format!("{}: {was}{state}{reason}", change.container)),
                4,
                options.width,
            ));
        }
        if of_kind.len() > limit {
            text.push_str(&wrap(&format!("and {} more", of_kind.len() - limit), 4, options.width));
        }
    }
    text
}

fn total(diff: &Diff, options: TableOptions) -> String {
    let summary = &diff.summary;
    let counted =
        |word: &str, counts: &Counts| format!("{} {word}{}", counts.total(), overview::by_severity(counts));
    let mut text = wrap(&counted("new", &summary.new), 0, options.width);
    text.push_str(&wrap(&counted("fixed", &summary.fixed), 0, options.width));
    let rest = [
        (summary.unchanged, "as before"),
        (summary.suppressed, "suppressed now"),
        (summary.gone, "gone with their image"),
        (summary.unknown, "not known now"),
    ];
    let rest = rest.iter().filter(|(count, _)| *count > 0);
    let mut rest: Vec<String> = rest.map(|(count, words)| format!("{count} {words}")).collect();
    if diff.images_unchanged > 0 {
        rest.push(format!("{} without a change", plural(diff.images_unchanged, "image")));
    }
    if !rest.is_empty() {
        text.push_str(&wrap(&rest.join(", "), 0, options.width));
    }
    text
}
