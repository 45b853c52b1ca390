//! What is known of what runs: from the cache alone, or by reading what is not in it.

use std::collections::BTreeSet;

use tokio_util::sync::CancellationToken;

use super::assemble::state_of_read;
use super::coordinate::{ImageResult, NO_PODS};
use super::reading::{Prepared, WasRead, prepare, read};
use super::recall::Recall;
use super::{ReadConfig, ScanError, Stages, Update, tell};
use crate::cluster::{Connection, Discovery};
use crate::coverage::State;
use crate::plan::ScanPlan;
use crate::sbom::{Document, cyclonedx};

/// What is known of what runs.
#[derive(Clone, Debug)]
pub struct Known {
    /// Every image of the scope, once.
    pub images: Vec<KnownImage>,
    /// Containers that run no image of which anything could be known: who, and why.
    pub left_out: Vec<(String, String)>,
    /// What a person should know.
    pub notes: Vec<String>,
}

/// An image that runs.
#[derive(Clone, Debug)]
pub struct KnownImage {
    /// As the pod spec of the first container that runs it names it.
    pub image: String,
    /// Who runs it: `shop/deployment/cart (web)`.
    pub users: BTreeSet<String>,
    /// What is in it; none if it was not read.
    pub document: Option<Box<Document>>,
    /// What became of it.
    pub state: State,
}

/// Looks at what runs, and into the cache.
pub async fn known(
    connection: &Connection,
    config: &ReadConfig,
    stop: &CancellationToken,
) -> Result<Known, ScanError> {
    let prepared = prepare(connection, config, Recall::Documents, stop, &|_| {}).await?;
    let Prepared { discovery, plan, cache, recalled, mut notes, .. } = prepared;
    notes.extend(cache.close().await);
    let unread = || ImageResult::Skipped(NO_PODS.to_owned());
    let ends = recalled.images.into_iter().map(|end| end.unwrap_or_else(unread));
    Ok(of(&discovery, &plan, ends, notes))
}

/// Looks at what runs and into the cache, and reads what is not there as a scan does: by Jobs, of which nothing is left however
/// it ends.
pub async fn read_packages(
    connection: &Connection,
    config: &ReadConfig,
    stop: &CancellationToken,
    on: &(impl Fn(Update) + Sync),
) -> Result<Known, ScanError> {
    let WasRead { discovery, plan, reading, removing, mut notes, scan: _ } =
        read(connection, config, stop, on, &Stages::new(on)).await?;
    tell::note(&mut notes, on, removing.await.unwrap_or_default());
    Ok(of(&discovery, &plan, reading.ends.into_iter(), notes))
}

fn of(
    discovery: &Discovery,
    plan: &ScanPlan,
    ends: impl Iterator<Item = ImageResult>,
    notes: Vec<String>,
) -> Known {
    let image = |(target, end): (&crate::plan::Target, ImageResult)| {
        let (document, state) = document(end);
        KnownImage { image: target.reference.to_string(), users: BTreeSet::new(), document, state }
    };
    let mut images: Vec<KnownImage> = plan.targets.iter().zip(ends).map(image).collect();
    let mut left_out = Vec::new();
    for (container, planned) in discovery.containers.iter().zip(&plan.containers) {
        let user = format!("{}/{} ({})", container.pod.namespace, container.pod.workload, container.name);
        match planned {
            Ok(target) => drop(images.get_mut(*target).map(|image| image.users.insert(user))),
            Err(state) => left_out.push((user, reason(state))),
        }
    }
    Known { images, left_out, notes }
}

/// What is in an image, and what became of it.
fn document(end: ImageResult) -> (Option<Box<Document>>, State) {
    match end {
        ImageResult::Recalled(_, document) => (Some(document), State::Cached),
        ImageResult::Read(outcome, whole, _) => match cyclonedx::read(&whole.document) {
            Ok(document) => (Some(Box::new(document)), state_of_read(&outcome)),
            Err(error) => (None, State::Failed(format!("the scanner's SBOM cannot be read: {error}"))),
        },
        ImageResult::Failed(why) => (None, State::Failed(why)),
        ImageResult::Skipped(why) => (None, State::Skipped(why)),
    }
}

fn reason(state: &State) -> String {
    let reason = state.reason().map(|reason| format!(": {reason}"));
    format!("{}{}", state.as_str(), reason.unwrap_or_default())
}
