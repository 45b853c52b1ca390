//! The report by workload: what each one runs, and how bad it is.

use std::collections::{BTreeMap, BTreeSet};

use super::counts::Counts;
use super::{ContainerReport, Report, State};

/// The containers of one workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkloadReport<'a> {
    /// Namespace of its pods.
    pub namespace: &'a str,
    /// `kind/name`.
    pub name: &'a str,
    /// Findings of all its images, each image once.
    pub counts: Counts,
    /// Whether any of its images could be held against advisories; without, the counts say nothing.
    pub is_matched: bool,
    /// Whether packages of any image had no advisories.
    pub is_without_data: bool,
    /// Whether any of its images is of a release that is no longer tracked.
    pub is_end_of_life: bool,
    /// How many containers are in each state, the worst first.
    pub states: Vec<(&'static str, usize)>,
}

impl Report {
    /// All workloads: those with the worst findings first, those of which nothing is known before the clean ones.
    #[must_use]
    pub fn workloads(&self) -> Vec<WorkloadReport<'_>> {
        let mut containers: BTreeMap<(&str, &str), Vec<&ContainerReport>> = BTreeMap::new();
        for container in &self.containers {
            containers.entry((&container.namespace, &container.workload)).or_default().push(container);
        }
        let mut workloads: Vec<_> =
            containers.into_iter().map(|((namespace, name), of)| self.workload(namespace, name, &of)).collect();
        // Stable, so that equals stay in the order of their names.
        workloads.sort_by(|a, b| b.counts.cmp_urgency(&a.counts).then(a.is_matched.cmp(&b.is_matched)));
        workloads
    }

    fn workload<'a>(
        &'a self,
        namespace: &'a str,
        name: &'a str,
        containers: &[&ContainerReport],
    ) -> WorkloadReport<'a> {
        let images: BTreeSet<usize> = containers.iter().filter_map(|c| c.image_index).collect();
        let images = images.into_iter().filter_map(|index| self.images.get(index));
        let mut counts = Counts::default();
        let (mut is_matched, mut is_without_data, mut is_end_of_life) = (false, false, false);
        for image in images {
            counts += Counts::of(&image.findings);
            is_matched |= image.is_matched() && self.advisories.source.is_some();
            is_without_data |= !image.without_data.is_empty();
            is_end_of_life |= image.end_of_life.is_some();
        }
        let mut states: BTreeMap<(usize, &'static str), usize> = BTreeMap::new();
        for container in containers {
            *states.entry((badness(&container.state), container.state.as_str())).or_default() += 1;
        }
        let states = states.into_iter().map(|((_, state), count)| (state, count)).collect();
        WorkloadReport { namespace, name, counts, is_matched, is_without_data, is_end_of_life, states }
    }
}

/// The order of states, the worst first.
pub(super) fn badness(state: &State) -> usize {
    match state {
        State::Failed(_) => 0,
        State::Partial(_) => 1,
        State::Approximate(_) => 2,
        State::Skipped(_) => 3,
        State::Scanned => 4,
        State::Cached => 5,
    }
}
