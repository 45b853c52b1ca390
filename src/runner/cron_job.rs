//! Schedules: a CronJob whose pods are runners. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{CronJob, CronJobSpec, JobSpec, JobTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt as _;

use super::{GUARD_ANNOTATION, RunnerSettings, STATE_ANNOTATION, TTL_SECONDS, annotations, job_spec, labels};
use crate::cluster::{KIND_LABEL, SCHEDULE_KIND};
use crate::job::{REQUESTER_ANNOTATION, SCOPE_ANNOTATION};
use crate::schedule::{Guard, ScheduleError, Timing};

/// Finished Jobs of a schedule that stay for a look at them, of each kind.
const HISTORY: i32 = 3;
/// Longest text that is taken from an annotation.
const MAX_TEXT: usize = 300;

/// A schedule to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduleSettings {
    /// What is run; its schedule is the name.
    pub runner: RunnerSettings,
    /// When.
    pub timing: Timing,
    /// Whether it waits to be resumed.
    pub suspend: bool,
    /// When it is made: it decides how late a start may be.
    pub now: Timestamp,
}

/// A schedule that is in the cluster.
#[derive(Clone, Debug)]
pub struct SeenSchedule {
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// When it runs; why that cannot be told.
    pub timing: Result<Timing, ScheduleError>,
    /// Whether it waits to be resumed.
    pub suspended: bool,
    /// What is scanned, in words of the command line.
    pub scope: Option<String>,
    /// Who has made it.
    pub requester: Option<String>,
    /// Where its records are.
    pub state_namespace: Option<String>,
    /// When it was made.
    pub created: Option<Timestamp>,
    /// When the cluster has started it last.
    pub last_start: Option<Timestamp>,
    /// When a run of it ended well last.
    pub last_success: Option<Timestamp>,
    /// Number of its Jobs that run.
    pub active: usize,
    /// As it is.
    pub object: CronJob,
}

/// The `CronJob` of a schedule.
#[must_use]
pub fn desired_schedule(settings: &ScheduleSettings) -> CronJob {
    let ScheduleSettings { runner, timing, suspend, now } = settings;
    let guard = timing.guard();
    let mut own_labels = labels(runner);
    own_labels.insert(KIND_LABEL.to_owned(), SCHEDULE_KIND.to_owned());
    let mut own_annotations = annotations(runner);
    own_annotations.extend(guard.map(|guard| (GUARD_ANNOTATION.to_owned(), guard.to_string())));
    let spec = JobSpec {
        // The history of a schedule is bounded by its CronJob. Who runs once takes that away.
        ttl_seconds_after_finished: matches!(guard, Some(Guard::Once(_))).then_some(TTL_SECONDS),
        ..job_spec(runner)
    };
    CronJob {
        metadata: ObjectMeta {
            name: runner.schedule.clone(),
            namespace: Some(runner.namespace.clone()),
            labels: Some(own_labels),
            annotations: Some(own_annotations),
            ..ObjectMeta::default()
        },
        spec: CronJobSpec {
            schedule: timing.cron().to_owned(),
            time_zone: timing.time_zone().map(ToOwned::to_owned),
            suspend: Some(*suspend),
            // Two scans of the same would only be in each other's way.
            concurrency_policy: Some("Forbid".to_owned()),
            starting_deadline_seconds: Some(timing.starting_deadline(*now).as_secs()),
            successful_jobs_history_limit: Some(HISTORY),
            failed_jobs_history_limit: Some(HISTORY),
            job_template: JobTemplateSpec {
                metadata: Some(ObjectMeta {
                    labels: Some(labels(runner)),
                    annotations: Some(annotations(runner)),
                    ..ObjectMeta::default()
                }),
                spec: Some(spec),
            },
        },
        status: None,
    }
}

impl SeenSchedule {
    /// Reads a `CronJob` of ours, which others may have changed.
    #[must_use]
    pub fn of(object: CronJob) -> Self {
        let empty = BTreeMap::new();
        let annotations = object.metadata.annotations.as_ref().unwrap_or(&empty);
        let text = |name: &str| annotations.get(name).map(|text| text.chars().take(MAX_TEXT).collect());
        let spec = &object.spec;
        let status = object.status.as_ref();
        let timing = Timing::read(
            &spec.schedule,
            spec.time_zone.as_deref(),
            annotations.get(GUARD_ANNOTATION).map(String::as_str),
        );
        Self {
            name: object.name_any(),
            namespace: object.namespace().unwrap_or_default(),
            timing,
            suspended: spec.suspend == Some(true),
            scope: text(SCOPE_ANNOTATION),
            requester: text(REQUESTER_ANNOTATION),
            state_namespace: text(STATE_ANNOTATION),
            created: object.creation_timestamp().map(|time| time.0),
            last_start: status.and_then(|status| Some(status.last_schedule_time.as_ref()?.0)),
            last_success: status.and_then(|status| Some(status.last_successful_time.as_ref()?.0)),
            active: status.and_then(|status| status.active.as_ref()).map_or(0, Vec::len),
            object,
        }
    }

    /// The next run after a moment, if the last one that was meant began at `last_run`; none if it is suspended or over.
    #[must_use]
    pub fn next_run(&self, after: Timestamp, last_run: Option<Timestamp>) -> Option<Timestamp> {
        let timing = self.timing.as_ref().ok().filter(|_| !self.suspended)?;
        timing.next_runs(after, last_run).next()
    }

    /// How many runs should have been since the last one that the cluster has started.
    #[must_use]
    pub fn missed(&self, last_run: Option<Timestamp>, now: Timestamp) -> usize {
        let Ok(timing) = &self.timing else { return 0 };
        // With a guard the cluster starts it more often than it runs.
        let last = if timing.guard().is_some() { last_run } else { self.last_start };
        let Some(last) = last.or(self.created).filter(|_| !self.suspended) else { return 0 };
        // What is due this very minute is about to be started.
        let now = now.checked_sub(jiff::SignedDuration::from_mins(1)).unwrap_or(now);
        timing.missed(last, now)
    }
}
