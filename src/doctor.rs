//! Whether scans will work here, before one is tried: each thing that they need, and what to do where it is missing.

use serde::Serialize;

use crate::cluster::{ApiError, Client, Connection, Scope};
use crate::database::Status;

mod checks;
mod look;
#[cfg(test)]
mod tests;

/// What is to be looked at.
#[derive(Clone, Debug)]
pub struct DoctorSettings {
    /// The namespace that is to be scanned; none means all.
    pub namespace: Option<String>,
    /// `--state-namespace`.
    pub state_namespace: Option<String>,
    /// `--job-namespace`: where scanner pods would run, if not beside the workloads.
    pub job_namespace: Option<String>,
    /// The scanner's image.
    pub scanner_image: String,
}

/// The advisories of this machine: all indexes, or why they cannot be looked at.
pub type AdvisoriesHere = Result<Vec<Status>, String>;

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What it is.
    pub name: &'static str,
    /// How it is.
    pub verdict: Verdict,
    /// What was seen.
    pub detail: String,
    /// What to do; always there if it is not ok.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// Scans work, and less well than they could.
    Warning,
    /// Scans do not work.
    Fail,
}

impl Verdict {
    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Fail => "fail",
        }
    }
}

impl Check {
    fn ok(name: &'static str, detail: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Ok, detail: detail.into(), fix: None }
    }

    fn warning(name: &'static str, detail: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Warning, detail: detail.into(), fix: Some(fix.into()) }
    }

    fn fail(name: &'static str, detail: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Fail, detail: detail.into(), fix: Some(fix.into()) }
    }
}

/// Looks at everything; nothing is created. Where the API server does not answer, only what is on this machine is looked at.
pub async fn examine(
    connection: &Connection,
    settings: &DoctorSettings,
    advisories: &AdvisoriesHere,
) -> Vec<Check> {
    let mut checks = look::cluster(connection, settings).await;
    checks.push(checks::scanner_image(&settings.scanner_image));
    checks.push(checks::advisories(advisories, jiff::Timestamp::now()));
    checks
}

/// A refusal in one line.
fn in_words(error: &ApiError) -> String {
    format!("{error}: {}", error.refusal)
}

/// What the scope is called.
fn scope_in_words(namespace: Option<&str>) -> String {
    match namespace {
        Some(namespace) => format!("namespace {namespace:?}"),
        None => "all namespaces".to_owned(),
    }
}

/// The same as flags.
fn scope_in_flags(namespace: Option<&str>) -> String {
    Scope { namespace: namespace.map(ToOwned::to_owned), ..Scope::default() }.in_words()
}

/// The rights that are asked for beside those of a scan: what they are for.
async fn lacks(
    client: &Client,
    namespace: Option<&str>,
    resource: &'static str,
    verbs: &[&'static str],
) -> Vec<&'static str> {
    let mut lacking = Vec::new();
    for verb in verbs {
        if !crate::cluster::may(client, verb, "", resource, namespace).await {
            lacking.push(*verb);
        }
    }
    lacking
}
