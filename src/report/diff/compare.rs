//! The findings of images that are paired.

use std::collections::{BTreeMap, BTreeSet};

use super::pair::{Pair, pairs, place, users};
use super::{Change, ImageDiff, ImageName};
use crate::coverage::State;
use crate::report::{ContainerReport, Finding, ImageReport, Report};

/// One for each image of after, and for each of before that is not there any more.
pub(super) fn images(before: &Report, after: &Report) -> Vec<ImageDiff> {
    let pairs = pairs(before, after);
    let paired: BTreeSet<usize> = pairs.iter().flat_map(|pair| pair.before.iter().copied()).collect();
    let left = (0..before.images.len()).filter(|index| !paired.contains(index));
    let compared = pairs.iter().map(|pair| compared(before, after, pair));
    compared.chain(left.map(|index| not_there(before, after, index))).collect()
}

fn compared(before: &Report, after: &Report, pair: &Pair) -> ImageDiff {
    let new_image = &after.images[pair.after];
    let old_images = || pair.before.iter().map(|index| &before.images[*index]);
    let old: Vec<&Finding> = old_images().flat_map(|image| &image.findings).collect();
    let mut diff = ImageDiff {
        change: match pair.before.as_slice() {
            [] => Change::Came,
            _ if pair.is_same => Change::Same,
            _ => Change::Replaced,
        },
        before: pair.before.iter().map(|index| name(before, *index)).collect(),
        after: Some(name(after, pair.after)),
        used_by: used_by(users(after, pair.after)),
        new: Vec::new(),
        fixed: Vec::new(),
        unchanged: 0,
        suppressed: 0,
        unknown: 0,
        unknown_because: None,
        new_because: None,
    };
    let same = Same::of(&old, &new_image.findings);
    for finding in &new_image.findings {
        let known = same.before(finding);
        let was_counted = known.iter().any(|old| old.ignored.is_none());
        match (finding.ignored.is_some(), was_counted) {
            (false, false) => diff.new.push(finding.clone()),
            (false, true) => diff.unchanged += 1,
            (true, true) => diff.suppressed += 1,
            (true, false) => {}
        }
    }
    let gone: Vec<&Finding> =
        old.into_iter().filter(|old| old.ignored.is_none() && !same.is_still(old)).collect();
    let known_without: BTreeSet<&String> = old_images().flat_map(|image| &image.without_data).collect();
    match (gone.is_empty(), unknown_because(after, new_image, &known_without)) {
        (true, _) => {}
        (false, Some(why)) => {
            diff.unknown = gone.len();
            diff.unknown_because = Some(why);
        }
        (false, None) => diff.fixed = gone.into_iter().cloned().collect(),
    }
    if !diff.new.is_empty() {
        diff.new_because = old_images().find_map(|image| not_known_before(before, image));
    }
    Finding::sort(&mut diff.new);
    Finding::sort(&mut diff.fixed);
    diff
}

/// An image in whose place there is no other.
fn not_there(before: &Report, after: &Report, index: usize) -> ImageDiff {
    let places: BTreeSet<_> = users(before, index).map(place).collect();
    let unread = after
        .containers
        .iter()
        .find(|container| container.image_index.is_none() && places.contains(&place(container)));
    let why = unread.map(|container| in_words(&container.state));
    ImageDiff {
        change: if unread.is_some() { Change::Unread } else { Change::Went },
        before: vec![name(before, index)],
        after: None,
        used_by: used_by(users(before, index)),
        new: Vec::new(),
        fixed: Vec::new(),
        unchanged: 0,
        suppressed: 0,
        unknown: before.images[index].counted().count(),
        unknown_because: why,
        new_because: None,
    }
}

/// Findings of before and after that are the same: one vulnerability in one package, of whatever version.
struct Same<'a> {
    before: BTreeMap<(&'a str, &'a str), Vec<&'a Finding>>,
    /// Those of after by the advisory, which may have got a better name meanwhile.
    renamed: BTreeMap<(&'a str, &'a str), &'a str>,
    after: BTreeSet<(&'a str, &'a str)>,
}

impl<'a> Same<'a> {
    fn of(before: &[&'a Finding], after: &'a [Finding]) -> Self {
        let mut same =
            Self { before: BTreeMap::new(), renamed: BTreeMap::new(), after: after.iter().map(key).collect() };
        for finding in before {
            same.before.entry(key(finding)).or_default().push(finding);
        }
        // An advisory without a CVE may be given one, and is then found under that.
        for finding in after.iter().filter(|finding| !same.before.contains_key(&key(finding))) {
            let package = package(finding);
            let earlier = finding.aliases.iter().chain([&finding.advisory]);
            let mut earlier = earlier.filter(|alias| !alias.starts_with("CVE-")).map(String::as_str);
            let former = earlier.find(|name| {
                same.before.contains_key(&(name, package)) && !same.after.contains(&(name, package))
            });
            if let Some(former) = former {
                same.renamed.insert(key(finding), former);
            }
        }
        let former: Vec<_> = same.renamed.iter().map(|((_, package), former)| (*former, *package)).collect();
        same.after.extend(former);
        same
    }

    /// Those of before that are the same.
    fn before(&self, finding: &'a Finding) -> &[&'a Finding] {
        let own = key(finding);
        let former = self.renamed.get(&own).map_or(own, |former| (*former, own.1));
        self.before.get(&former).map_or(&[], Vec::as_slice)
    }

    /// Whether one of before is still there.
    fn is_still(&self, finding: &Finding) -> bool {
        self.after.contains(&key(finding))
    }
}

fn key(finding: &Finding) -> (&str, &str) {
    (&finding.vulnerability, package(finding))
}

/// The package URL without version and qualifiers.
fn package(finding: &Finding) -> &str {
    let path = finding.purl.split(['?', '#']).next().unwrap_or_default();
    path.rsplit_once('@').filter(|(_, version)| !version.contains('/')).map_or(path, |(name, _)| name)
}

/// Why a finding that is not there any more may still be, if that is so.
fn unknown_because(after: &Report, image: &ImageReport, known_without: &BTreeSet<&String>) -> Option<String> {
    if !image.state.is_complete() {
        return Some(in_words(&image.state));
    }
    if after.advisories.source.is_none() {
        return Some("held against no advisories".to_owned());
    }
    let less: Vec<&str> =
        image.without_data.iter().filter(|name| !known_without.contains(name)).map(String::as_str).collect();
    (!less.is_empty()).then(|| format!("no advisories for {}", less.join(", ")))
}

/// Why what an image has now may have been there before, if that is so.
fn not_known_before(before: &Report, image: &ImageReport) -> Option<String> {
    if !image.state.is_complete() {
        return Some(in_words(&image.state));
    }
    if before.advisories.source.is_none() {
        return Some("held against no advisories".to_owned());
    }
    (!image.without_data.is_empty()).then(|| format!("no advisories for {}", image.without_data.join(", ")))
}

/// `failed: manifest unknown`
fn in_words(state: &State) -> String {
    match state.reason() {
        Some(reason) => format!("{}: {reason}", state.as_str()),
        None => state.as_str().to_owned(),
    }
}

fn name(report: &Report, index: usize) -> ImageName {
    let image = &report.images[index];
    ImageName {
        name: report.image_name(index),
        reference: image.reference.clone(),
        digest: image.digest.clone(),
        platform: image.platform.clone(),
    }
}

/// `shop/deployment/cart (web)`, each once.
fn used_by<'a>(users: impl Iterator<Item = &'a ContainerReport>) -> Vec<String> {
    users.map(place).collect::<BTreeSet<_>>().into_iter().map(super::coverage::place_in_words).collect()
}
