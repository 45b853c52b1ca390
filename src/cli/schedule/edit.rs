//! `kubectl clarity schedule edit`.

use std::io::{Read as _, Write as _};
use std::process::Command;

use super::super::Exit;
use super::super::access::AccessArgs;
use super::super::errors::Explained;
use super::super::ui;
use super::list::when;
use super::show::{plain, yaml};
use super::{NamedArgs, named};
use crate::runner::{CronJob, SeenSchedule, replace_schedule};

/// Largest text that is read back from an editor.
const MAX_TEXT: u64 = 1 << 20;

/// A schedule that was not changed.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum EditError {
    /// It has not ended well.
    #[error("the editor {0:?} has failed")]
    Editor(String),
    /// What came back is no CronJob.
    #[error("what came back from the editor is no CronJob: {0}")]
    Form(String),
    /// It is another one.
    #[error("name and namespace of a schedule cannot be changed")]
    Renamed,
    /// Its time means nothing.
    #[error("the changed schedule cannot run: {0}")]
    Time(String),
}

/// Changes a schedule in an editor, as `kubectl edit` does.
pub(super) async fn run(args: NamedArgs, access: AccessArgs) -> Result<Exit, Explained> {
    let (connection, schedule) = named(args, access).await?;
    let before = yaml(&[plain(serde_json::to_value(&schedule.object).unwrap_or_default())])?;
    let after = edited(&before)?;
    if after == before || after.trim().is_empty() {
        ui::say("nothing was changed");
        return Ok(Exit::Passed);
    }
    let mut changed: CronJob =
        serde_saphyr::from_str(&after).map_err(|error| EditError::Form(error.to_string()))?;
    if changed.metadata.name.as_deref() != Some(&schedule.name)
        || changed.metadata.namespace.as_deref() != Some(&schedule.namespace)
    {
        return Err(EditError::Renamed.into());
    }
    // What somebody else has changed meanwhile is not written over.
    changed.metadata.resource_version.clone_from(&schedule.object.metadata.resource_version);
    let seen = SeenSchedule::of(changed.clone());
    if let Err(error) = &seen.timing {
        return Err(EditError::Time(error.to_string()).into());
    }
    replace_schedule(&connection.client, &changed).await?;
    ui::data(None, &format!("schedule {} in namespace {} runs {}\n", seen.name, seen.namespace, when(&seen)))?;
    Ok(Exit::Passed)
}

/// What a person makes of a text in their editor.
fn edited(text: &str) -> Result<String, Explained> {
    let wrong = |error: std::io::Error| Explained::new("cannot edit the schedule", &error);
    let mut file = tempfile::Builder::new().prefix("clarity-").suffix(".yaml").tempfile().map_err(wrong)?;
    file.write_all(text.as_bytes()).and_then(|()| file.flush()).map_err(wrong)?;
    let named = |name: &str| std::env::var(name).ok().filter(|editor| !editor.trim().is_empty());
    let editor = named("KUBE_EDITOR").or_else(|| named("EDITOR")).unwrap_or_else(|| "vi".to_owned());
    // An editor may come with arguments, as for kubectl.
    let status = Command::new("sh")
        .args(["-c", &format!("{editor} \"$1\""), "sh"])
        .arg(file.path())
        .status()
        .map_err(wrong)?;
    if !status.success() {
        return Err(EditError::Editor(editor).into());
    }
    // Editors put another file in its place.
    let mut after = String::new();
    let read = std::fs::File::open(file.path()).and_then(|file| file.take(MAX_TEXT).read_to_string(&mut after));
    read.map_err(wrong)?;
    Ok(after)
}
