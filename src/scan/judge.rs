//! What was read, held against advisories.

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::assemble::{Assembled, Assembly, assemble};
use super::coordinate::{self, ImageResult};
use super::{ScanConfig, ScanError, Stages, Update};
use crate::advisories::matching;
use crate::advisories::{Index, Wanted};
use crate::cluster::Discovery;
use crate::database::{Advisories, Progress};
use crate::plan::ScanPlan;

/// What was read, to be held against advisories.
pub(super) struct Judging<'a> {
    pub(super) discovery: &'a Discovery,
    pub(super) plan: &'a ScanPlan,
    pub(super) ends: &'a [ImageResult],
    pub(super) config: &'a ScanConfig,
    pub(super) stop: &'a CancellationToken,
    pub(super) date: jiff::civil::Date,
}

/// Loads advisories and matches what was read; none if the person has stopped it.
pub(super) async fn judge<F: Fn(Update) + Sync>(
    with: &Judging<'_>,
    stages: &Stages<'_, F>,
) -> Result<Option<(Index, Assembled)>, ScanError> {
    let wanted = matching::wanted(coordinate::sboms(with.ends));
    let loading = Loading { advisories: &with.config.advisories, wanted: &wanted, stop: with.stop };
    let index = loading
        .run(stages.on, |advisories, wanted, tell| async move { advisories.index(&wanted, &tell).await });
    let Some(index) = index.await? else { return Ok(None) };
    let mut index = index?;
    stages.over("load advisories");
    let assembled = |index: &Index| {
        assemble(&Assembly {
            containers: &with.discovery.containers,
            plan: with.plan,
            ends: with.ends,
            index,
            texts: with.config.texts,
            today: with.date,
        })
    };
    let mut parts = assembled(&index);
    if !parts.damaged.is_empty() {
        let damaged = parts.damaged.clone();
        let repaired = loading.run(stages.on, |advisories, wanted, tell| async move {
            advisories.repaired(&wanted, &damaged, &tell).await
        });
        match repaired.await? {
            None => return Ok(None),
            Some(None) => {}
            Some(Some(repaired)) => {
                index = repaired;
                parts = assembled(&index);
            }
        }
    }
    stages.over("match");
    Ok(Some((index, parts)))
}

/// Loads advisories, which can take as long as a download.
#[derive(Clone, Copy)]
struct Loading<'a> {
    advisories: &'a Advisories,
    wanted: &'a Wanted,
    stop: &'a CancellationToken,
}

impl Loading<'_> {
    /// Does it in a task of its own, so that Ctrl-C is heard: then there is no result.
    async fn run<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
        self,
        on: &(impl Fn(Update) + Sync),
        load: impl FnOnce(Advisories, Wanted, Box<dyn Fn(Progress) + Send + Sync>) -> F,
    ) -> Result<Option<T>, ScanError> {
        let (sender, mut progress) = mpsc::unbounded_channel();
        let tell = Box::new(move |progress| drop(sender.send(progress)));
        let mut task = tokio::spawn(load(self.advisories.clone(), self.wanted.clone(), tell));
        loop {
            tokio::select! {
                () = self.stop.cancelled() => {
                    task.abort();
                    return Ok(None);
                }
                Some(progress) = progress.recv() => on(Update::Advisories(progress)),
                loaded = &mut task => {
                    while let Ok(progress) = progress.try_recv() {
                        on(Update::Advisories(progress));
                    }
                    return loaded.map(Some).map_err(|error| ScanError::Internal(error.to_string()));
                }
            }
        }
    }
}
