//! What was read before, and what is kept of what was read now.

use jiff::Timestamp;

use super::coordinate::{ImageResult, Whole};
use crate::cache::{About, Cache, Entry, Got};
use crate::cluster;
use crate::image::{Digest, ImageKey, Platform, Reference};
use crate::packages;
use crate::plan::{ScanPlan, Target};
use crate::report::ReadBy;
use crate::sbom::cyclonedx;
use crate::wire::{Outcome, Wanted};

/// An image was mounted.
pub(super) const VOLUME: &str = "volume";
/// An image was streamed.
pub(super) const STREAM: &str = "stream";

/// An image that need not be read.
pub(super) struct Recalled {
    /// One per target of the plan; none if it has to be read.
    pub(super) images: Vec<Option<ImageResult>>,
    /// What a person should know.
    pub(super) notes: Vec<String>,
}

/// An image as it was asked for.
pub(super) struct Asked<'a> {
    pub(super) reference: &'a Reference,
    pub(super) wanted: &'a Wanted,
    pub(super) platform: Option<&'a Platform>,
}

impl<'a> Asked<'a> {
    fn of(target: &'a Target) -> Self {
        Self { reference: &target.reference, wanted: &target.wanted, platform: target.platform.as_ref() }
    }

    /// The platform of its node. Where nodes may not be read, a scanner pod reads what its own platform runs.
    fn platform(&self) -> Platform {
        self.platform.cloned().unwrap_or_else(Platform::of_this_program)
    }

    /// What it is kept under; none if its digest is not known beforehand.
    fn key(&self) -> Option<ImageKey> {
        let Wanted::Manifest(digest) = self.wanted else { return None };
        Some(ImageKey { digest: digest.clone(), platform: self.platform() })
    }

    /// The platform that it is kept under: as the node has it, if it is that which was read. An index may say more of it, such
    /// as the variant, which would not be known when it is looked up.
    fn platform_of(&self, read: &Platform) -> Platform {
        let asked = self.platform();
        let is_same = (&asked.os, &asked.architecture) == (&read.os, &read.architecture);
        if is_same { asked } else { read.clone() }
    }
}

impl Recalled {
    /// As if nothing had been read before.
    pub(super) fn nothing(plan: &ScanPlan) -> Self {
        Self { images: plan.targets.iter().map(|_| None).collect(), notes: Vec::new() }
    }
}

/// Keeps what was read now; gives what a person should know. Who refreshes means to replace what is there.
pub(super) async fn keep(cache: &Cache, plan: &ScanPlan, ends: &[ImageResult], refresh: bool) -> Vec<String> {
    let entry = |(target, end): (&Target, &ImageResult)| match end {
        ImageResult::Read(outcome, whole, by) => entry(&Asked::of(target), outcome, whole, reader(by)),
        ImageResult::Recalled(..) | ImageResult::Failed(_) | ImageResult::Skipped(_) => None,
    };
    let entries: Vec<Entry> = plan.targets.iter().zip(ends).filter_map(entry).collect();
    if refresh {
        for store in cache.stores() {
            for entry in &entries {
                // What cannot be removed stays, and is as good as it was.
                let _ = store.remove(&entry.about.key).await;
            }
        }
    }
    cache.put(&entries).await
}

/// Asks the cache for every target that is not known anyway.
pub(super) async fn recall(cache: &Cache, plan: &ScanPlan, known: &[Entry]) -> Recalled {
    let keys: Vec<Option<ImageKey>> = plan.targets.iter().map(|target| Asked::of(target).key()).collect();
    let is_known = |key: &&ImageKey| known.iter().any(|entry| entry.about.key == **key);
    let wanted: Vec<ImageKey> = keys.iter().flatten().filter(|key| !is_known(key)).cloned().collect();
    let Got { mut entries, mut notes } = cache.get(&wanted, Some(&packages::analysers())).await;
    entries.extend_from_slice(known);
    let image = |key: Option<ImageKey>| {
        let key = key?;
        let entry = entries.iter().find(|entry| entry.about.key == key)?;
        match cyclonedx::read(&entry.document) {
            Ok(document) => Some(ImageResult::Recalled(Box::new(entry.about.clone()), Box::new(document))),
            Err(error) => {
                notes.push(format!("the cached SBOM of {} cannot be read: {error}", entry.about.reference));
                None
            }
        }
    };
    let images = keys.into_iter().map(image).collect();
    Recalled { images, notes }
}

/// What is kept of an image that was read now: only what is whole, and exactly what runs.
pub(super) fn entry(asked: &Asked<'_>, outcome: &Outcome, whole: &Whole, reader: &str) -> Option<Entry> {
    if outcome.approximate.is_some() || outcome.partial.is_some() {
        return None;
    }
    let Wanted::Manifest(digest) = asked.wanted else { return None };
    let now = Timestamp::now();
    let now = now.round(jiff::Unit::Second).unwrap_or(now);
    let about = About {
        key: ImageKey { digest: digest.clone(), platform: asked.platform_of(&outcome.platform) },
        manifest: outcome.manifest.clone(),
        config: outcome.config.clone(),
        // With the tag, by which people know it.
        reference: Reference { digest: Some(digest.clone()), ..asked.reference.clone() },
        reader: reader.to_owned(),
        generator: format!("{} {}", cluster::NAME, crate::VERSION),
        analysers: whole.analysers.clone()?,
        packages: whole.sbom.packages.len(),
        document: Digest::of(&whole.document),
        stored: 0,
        created: now,
        used: now,
    };
    Some(Entry { about, document: whole.document.clone() })
}

/// How an image was read, in a word.
fn reader(by: &ReadBy) -> &'static str {
    match by {
        ReadBy::Volume { .. } => VOLUME,
        ReadBy::Stream | ReadBy::Cache { .. } => STREAM,
    }
}
