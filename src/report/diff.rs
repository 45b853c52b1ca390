//! Two reports held against each other: what is new, what is fixed, and what cannot be told.
//!
//! Findings are compared image by image: an image of before with the one that took its place, see [`pair`]. One that is not
//! there any more is called fixed only where somebody has looked: of an image that was not read whole, or that could be held
//! against less than before, it is not known.

mod compare;
mod coverage;
mod pair;
mod table;

use serde::Serialize;

pub use coverage::CoverageChange;
pub use table::render as table;

use super::counts::Counts;
use super::{Coverage, Filter, Finding, Report, ScanInfo, Threshold, json};
use crate::image::{Digest, Platform, Reference};

/// Version of the JSON form of [`Diff`].
pub const DIFF_VERSION: u32 = 1;

/// What has changed from one report to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diff {
    /// [`DIFF_VERSION`].
    pub version: u32,
    /// The report that the other one is held against.
    pub before: Side,
    /// The report that tells what is new.
    pub after: Side,
    /// The sum of all images.
    pub summary: Summary,
    /// Images in which something has changed: those with new findings first.
    pub images: Vec<ImageDiff>,
    /// Images that are as before.
    pub images_unchanged: usize,
    /// Containers that are read now and were not before, or the other way round.
    pub coverage: Vec<CoverageChange>,
    /// What a person should know about the whole comparison.
    pub notes: Vec<String>,
    /// Which findings are compared, where not all are.
    #[serde(skip_serializing_if = "Filter::is_open")]
    pub filter: Filter,
}

/// One of the two reports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Side {
    /// Its scan.
    pub scan: ScanInfo,
    /// How many containers ended in each state.
    pub coverage: Coverage,
    /// When its advisories were last known to be all that there were.
    pub advisories_as_of: Option<String>,
}

/// How many findings have become what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Findings that were not there before.
    pub new: Counts,
    /// Findings that are not there any more, although somebody has looked.
    pub fixed: Counts,
    /// Findings that were there before.
    pub unchanged: usize,
    /// Findings that are ignored now and were not before.
    pub suppressed: usize,
    /// Findings of before of which nothing is known now.
    pub unknown: usize,
    /// Findings that went with their image.
    pub gone: usize,
}

/// What has become of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// It is the same, by its digest.
    Same,
    /// Another one has taken its place: under the same name, or in the same containers.
    Replaced,
    /// There was nothing in its place.
    Came,
    /// There is nothing in its place.
    Went,
    /// What runs it is still there, but which image that is could not be found out.
    Unread,
}

/// The name of an image in one of the reports.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct ImageName {
    /// What it is called.
    pub name: String,
    /// The reference that was read.
    pub reference: Option<Reference>,
    /// Digest of manifest or index.
    pub digest: Option<Digest>,
    /// The platform that was read.
    pub platform: Option<Platform>,
}

/// What has changed in an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ImageDiff {
    /// What has become of it.
    pub change: Change,
    /// The image, or the several ones in whose place one has come.
    pub before: Vec<ImageName>,
    /// What there is now.
    pub after: Option<ImageName>,
    /// Who runs it now, or ran it: `namespace/kind/name (container)`.
    pub used_by: Vec<String>,
    /// Findings that were not there before, most severe first.
    pub new: Vec<Finding>,
    /// Findings that are not there any more, although somebody has looked.
    pub fixed: Vec<Finding>,
    /// How many were there before.
    pub unchanged: usize,
    /// How many are ignored now and were not before.
    pub suppressed: usize,
    /// How many of before are not known to be there or not.
    pub unknown: usize,
    /// Why that is not known.
    pub unknown_because: Option<String>,
    /// Why what is new may have been there before.
    pub new_because: Option<String>,
}

impl Diff {
    /// Compares two reports. What one of them was told not to show is left out of both.
    #[must_use]
    pub fn between(before: Report, after: Report) -> Self {
        let filter = before.filter.clone().and(after.filter.clone());
        let (before, after) = (before.filtered(filter.clone()), after.filtered(filter.clone()));
        let mut images = compare::images(&before, &after);
        let mut summary = Summary::default();
        for image in &images {
            summary.new += Counts::of(&image.new);
            summary.fixed += Counts::of(&image.fixed);
            summary.unchanged += image.unchanged;
            summary.suppressed += image.suppressed;
            match image.change {
                Change::Went => summary.gone += image.unknown,
                _ => summary.unknown += image.unknown,
            }
        }
        let all = images.len();
        images.retain(|image| !image.is_as_before());
        images.sort_by(|a, b| {
            let urgency = |image: &ImageDiff| (Counts::of(&image.new), Counts::of(&image.fixed));
            let ((new_a, fixed_a), (new_b, fixed_b)) = (urgency(a), urgency(b));
            let by_name = || (a.change, a.name()).cmp(&(b.change, b.name()));
            new_b.cmp_urgency(&new_a).then_with(|| fixed_b.cmp_urgency(&fixed_a)).then_with(by_name)
        });
        Self {
            version: DIFF_VERSION,
            images_unchanged: all - images.len(),
            coverage: coverage::changes(&before, &after),
            notes: notes(&before, &after, &filter),
            before: Side::of(before),
            after: Side::of(after),
            summary,
            images,
            filter,
        }
    }

    /// Whether a finding that is new meets a threshold.
    #[must_use]
    pub fn exceeds(&self, threshold: Threshold) -> bool {
        self.images.iter().flat_map(|image| &image.new).any(|finding| threshold.is_met(finding))
    }

    /// As JSON, indented, with a line feed at the end.
    ///
    /// # Panics
    /// Never: it consists of what JSON can hold.
    #[must_use]
    pub fn json(&self) -> String {
        let json = serde_json::to_string_pretty(self).expect("strings, numbers and lists");
        let mut text = json::escape(&json);
        text.push('\n');
        text
    }
}

impl ImageDiff {
    /// Whether there is nothing to say of it.
    fn is_as_before(&self) -> bool {
        self.change == Change::Same
            && self.new.is_empty()
            && self.fixed.is_empty()
            && self.suppressed == 0
            && self.unknown == 0
    }

    /// What it is called now, or was.
    fn name(&self) -> &str {
        self.after.as_ref().or(self.before.first()).map_or("", |image| &image.name)
    }
}

impl Side {
    fn of(report: Report) -> Self {
        Self { coverage: report.coverage(), scan: report.scan, advisories_as_of: report.advisories.as_of }
    }
}

fn notes(before: &Report, after: &Report, filter: &Filter) -> Vec<String> {
    let mut notes = Vec::new();
    let (old, new) = (&before.scan, &after.scan);
    if old.scope != new.scope {
        notes.push(format!(
            "the scopes differ: {} before and {} after; what came or went may only have been out of scope",
            old.scope, new.scope
        ));
    }
    let time = |scan: &ScanInfo| scan.started.parse::<jiff::Timestamp>().ok();
    if let (Some(old), Some(new)) = (time(old), time(new))
        && old > new
    {
        notes.push("the first report is the newer one".to_owned());
    }
    if old.generator != new.generator {
        notes.push(format!(
            "made by {} before and by {} after: what is found may differ by that",
            old.generator, new.generator
        ));
    }
    if !filter.is_open() {
        notes.push(format!("only what both reports show is compared: {}", filter.flags()));
    }
    notes
}

#[cfg(test)]
mod tests;
