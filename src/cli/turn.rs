//! Whether it is the turn of a runner, where its schedule is started more often than it is to run.

use jiff::Timestamp;

use super::errors::Explained;
use super::ui;
use crate::cluster::Connection;
use crate::records::{Listed, SharedRecords};
use crate::runner::retire_schedule;
use crate::scan::{ReadConfig, state_namespace};
use crate::schedule::{Decision, Guard, decide};

/// What a runner knows of its schedule's time.
pub(super) struct Turn {
    pub(super) guard: Option<Guard>,
    pub(super) schedule: Option<String>,
    /// Of the schedule, and of the runner.
    pub(super) namespace: Option<String>,
}

impl Turn {
    /// Whether it is to scan now. The last run is the one that has left a record: one that has failed is made up for.
    pub(super) async fn has_come(
        &self,
        connection: &Connection,
        config: &ReadConfig,
    ) -> Result<bool, Explained> {
        let Some(guard) = self.guard else { return Ok(true) };
        let last = last_run(connection, config).await?;
        match decide(guard, Timestamp::now(), last) {
            Decision::Run => Ok(true),
            Decision::NotYet { next } => {
                ui::say(&format!("it is not time yet ({guard}): the next run is at {next}"));
                Ok(false)
            }
            Decision::Over => {
                ui::say("the only run of this schedule is over");
                self.is_over(connection).await;
                Ok(false)
            }
        }
    }

    /// Removes a schedule that has run for the only time.
    pub(super) async fn is_over(&self, connection: &Connection) {
        let (Some(Guard::Once(_)), Some(schedule), Some(namespace)) =
            (self.guard, &self.schedule, &self.namespace)
        else {
            return;
        };
        match retire_schedule(&connection.client, namespace, schedule).await {
            Ok(()) => ui::say(&format!("schedule {schedule} has run and is removed; its record stays")),
            Err(error) => ui::say(&format!(
                "note: {error}: {}: schedule {schedule} stays, and does not run again",
                error.refusal
            )),
        }
    }
}

/// When the last run of the schedule began that has left a record.
async fn last_run(connection: &Connection, config: &ReadConfig) -> Result<Option<Timestamp>, Explained> {
    let Some(namespace) = state_namespace(connection, config).await else { return Ok(None) };
    let listed = SharedRecords::new(&connection.client, &namespace).list().await?;
    let started = listed.into_iter().find_map(|listed| match listed {
        Listed::Record(header) if header.schedule == config.schedule => Some(header.started),
        Listed::Record(_) | Listed::Damaged { .. } => None,
    });
    Ok(started)
}
