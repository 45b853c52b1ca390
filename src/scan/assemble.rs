//! From what was read to the report's containers and images. Pure.

use std::collections::BTreeSet;

use jiff::civil::Date;

use super::coordinate::ImageResult;
use crate::advisories::matching::{self, Texts};
use crate::advisories::overlays::end_of_life::end_of_life;
use crate::advisories::{Ecosystem, Index};
use crate::cache::About;
use crate::coverage::State;
use crate::image::{Platform, Reference};
use crate::plan::{ScanPlan, Target};
use crate::report::{ContainerReport, ImageReport, ReadBy};
use crate::sbom::Sbom;
use crate::wire::{Outcome, Wanted};
use crate::workload::Container;

/// What [`assemble`] works with.
pub(super) struct Assembly<'a> {
    pub(super) containers: &'a [Container],
    pub(super) plan: &'a ScanPlan,
    /// One per target.
    pub(super) ends: &'a [ImageResult],
    pub(super) index: &'a Index,
    pub(super) texts: Texts,
    /// Decides which releases are no longer tracked.
    pub(super) today: Date,
}

/// The parts of a report that come from images.
pub(super) struct Assembled {
    pub(super) containers: Vec<ContainerReport>,
    pub(super) images: Vec<ImageReport>,
    /// Ecosystems whose index turned out to be damaged.
    pub(super) damaged: BTreeSet<Ecosystem>,
}

/// One entry per container in scope and one per image, whatever became of them.
pub(super) fn assemble(assembly: &Assembly<'_>) -> Assembled {
    let Assembly { containers, plan, ends, index, texts, today } = *assembly;
    let mut damaged = BTreeSet::new();
    let mut found_in = |sbom: &Sbom| {
        let mut matches = matching::match_sbom(sbom, index, texts);
        damaged.append(&mut matches.damaged);
        let end_of_life = sbom.distro.as_ref().and_then(|distro| end_of_life(distro, today));
        ImageReport {
            distro: sbom.distro.clone(),
            packages: sbom.packages.len(),
            findings: matches.findings,
            without_data: matches.without_data,
            end_of_life,
            ..ImageReport::unread(State::Scanned)
        }
    };
    let image = |(target, end): (&Target, &ImageResult)| match end {
        ImageResult::Read(outcome, whole, by) => {
            let found = found_in(&whole.sbom);
            read_image(target, outcome, by, found)
        }
        ImageResult::Recalled(about, document) => {
            let found = found_in(&document.sbom);
            recalled_image(target, about, found)
        }
        ImageResult::Failed(why) => unread_image(target, State::Failed(why.clone())),
        ImageResult::Skipped(why) => unread_image(target, State::Skipped(why.clone())),
    };
    let images: Vec<ImageReport> = plan.targets.iter().zip(ends).map(image).collect();
    let containers = containers.iter().zip(&plan.containers).map(|(container, planned)| {
        let (state, image_index) = match planned {
            Ok(target) => (state_of(container, &images[*target].state), Some(*target)),
            Err(state) => (state.clone(), None),
        };
        ContainerReport {
            namespace: container.pod.namespace.clone(),
            workload: container.pod.workload.to_string(),
            pod: container.pod.name.clone(),
            container: container.name.clone(),
            kind: container.kind.as_str().to_owned(),
            image: container.image.clone(),
            state,
            image_index,
        }
    });
    Assembled { containers: containers.collect(), images, damaged }
}

/// The state of its image, in words that are true of this container.
fn state_of(container: &Container, image: &State) -> State {
    match (image, &container.runtime) {
        (State::Approximate(_), Err(id)) => State::Approximate(format!(
            "the runtime names its image {id:?}, which is no digest; its tag was read"
        )),
        _ => image.clone(),
    }
}

fn unread_image(target: &Target, state: State) -> ImageReport {
    ImageReport {
        reference: Some(reference(target)),
        digest: match &target.wanted {
            Wanted::Manifest(digest) => Some(digest.clone()),
            Wanted::Config(_) | Wanted::Reference => None,
        },
        platform: Some(target.platform.clone().unwrap_or_else(Platform::of_this_program)),
        ..ImageReport::unread(state)
    }
}

fn recalled_image(target: &Target, about: &About, found: ImageReport) -> ImageReport {
    ImageReport {
        // It may have been read under another name.
        reference: Some(reference(target)),
        digest: Some(about.key.digest.clone()),
        platform: Some(about.key.platform.clone()),
        state: State::Cached,
        read_by: Some(ReadBy::Cache { created: about.created.to_string() }),
        ..found
    }
}

fn read_image(target: &Target, outcome: &Outcome, by: &ReadBy, found: ImageReport) -> ImageReport {
    let state = state_of_read(outcome);
    let running = match &target.wanted {
        // The index that the runtime names stays the image's name, although one of its manifests was read.
        Wanted::Manifest(digest) if outcome.approximate.is_none() => Some(digest.clone()),
        _ => outcome.manifest.clone(),
    };
    ImageReport {
        reference: Some(outcome.reference.clone()),
        digest: running,
        platform: Some(outcome.platform.clone()),
        state,
        read_by: Some(by.clone()),
        registry: outcome.registry.clone(),
        ..found
    }
}

/// Whether an image was read whole, and whether it is what runs.
pub(super) fn state_of_read(outcome: &Outcome) -> State {
    match (&outcome.approximate, &outcome.partial) {
        (Some(why), None) => State::Approximate(why.clone()),
        (Some(why), Some(part)) => State::Approximate(format!("{why}; and in part only: {part}")),
        (None, Some(part)) => State::Partial(part.clone()),
        (None, None) => State::Scanned,
    }
}

/// The reference that would have been read.
fn reference(target: &Target) -> Reference {
    let reference = &target.reference;
    match &target.wanted {
        Wanted::Manifest(digest) => reference.at(digest.clone()),
        Wanted::Config(_) | Wanted::Reference => reference.clone(),
    }
}
