//! What is known of what runs, without reading anything.

use std::collections::BTreeSet;

use tokio_util::sync::CancellationToken;

use super::coordinate::ImageResult;
use super::recall::Recall;
use super::{Prepared, ReadConfig, ScanError, prepare};
use crate::cache::About;
use crate::cluster::Connection;
use crate::coverage::State;
use crate::sbom::Document;

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
    /// What the cache has of it; none if nobody has read it yet.
    pub held: Option<(Box<About>, Box<Document>)>,
}

/// Looks at what runs, and into the cache.
pub async fn known(connection: &Connection, config: &ReadConfig) -> Result<Known, ScanError> {
    let stop = CancellationToken::new();
    let prepared = prepare(connection, config, Recall::Documents, &stop, &|_| {}).await?;
    let Prepared { discovery, plan, recalled, notes, .. } = prepared;
    let mut images: Vec<KnownImage> = plan
        .targets
        .iter()
        .zip(recalled.images)
        .map(|(target, result)| KnownImage {
            image: target.reference.to_string(),
            users: BTreeSet::new(),
            held: match result {
                Some(ImageResult::Recalled(about, document)) => Some((about, document)),
                _ => None,
            },
        })
        .collect();
    let mut left_out = Vec::new();
    for (container, planned) in discovery.containers.iter().zip(&plan.containers) {
        let user = format!("{}/{} ({})", container.pod.namespace, container.pod.workload, container.name);
        match planned {
            Ok(target) => drop(images.get_mut(*target).map(|image| image.users.insert(user))),
            Err(state) => left_out.push((user, reason(state))),
        }
    }
    Ok(Known { images, left_out, notes })
}

fn reason(state: &State) -> String {
    let reason = state.reason().map(|reason| format!(": {reason}"));
    format!("{}{}", state.as_str(), reason.unwrap_or_default())
}
