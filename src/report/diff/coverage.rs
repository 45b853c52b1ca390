//! Containers of which more or less is known than before.

use std::collections::BTreeMap;

use serde::Serialize;

use super::pair::{Place, place};
use crate::coverage::State;
use crate::report::Report;
use crate::report::workloads::badness;

/// A container that was read and is not any more, or the other way round; or one that is new and not read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CoverageChange {
    /// `namespace/kind/name (container)`.
    pub container: String,
    /// What became of it before; none if it was not there.
    pub before: Option<State>,
    /// What became of it after.
    pub after: State,
}

impl CoverageChange {
    /// Whether less is known than before.
    #[must_use]
    pub fn is_loss(&self) -> bool {
        !self.after.is_complete()
    }
}

/// All changes, sorted by container.
pub(super) fn changes(before: &Report, after: &Report) -> Vec<CoverageChange> {
    let (old, new) = (states(before), states(after));
    let change = |(place, after): (Place<'_>, &State)| {
        let before = old.get(&place).copied();
        let was_complete = before.is_none_or(State::is_complete);
        (was_complete != after.is_complete()).then(|| CoverageChange {
            container: place_in_words(place),
            before: before.cloned(),
            after: after.clone(),
        })
    };
    new.into_iter().filter_map(change).collect()
}

/// The worst state of the pods of each container.
fn states(report: &Report) -> BTreeMap<Place<'_>, &State> {
    let mut states: BTreeMap<Place<'_>, &State> = BTreeMap::new();
    for container in &report.containers {
        let worst = states.entry(place(container)).or_insert(&container.state);
        if badness(&container.state) < badness(worst) {
            *worst = &container.state;
        }
    }
    states
}

pub(super) fn place_in_words((namespace, workload, container): Place<'_>) -> String {
    let workload = if namespace.is_empty() { workload.to_owned() } else { format!("{namespace}/{workload}") };
    if container.is_empty() { workload } else { format!("{workload} ({container})") }
}
