//! Tells others what a scan has found, by a POST to an address that they gave: JSON for programs, or what Slack and those who took
//! over its form understand.
//!
//! Such an address is a credential: whoever knows it may post there. It is shown nowhere, only its host is.

use std::str::FromStr;
use std::time::Duration;

use reqwest::{StatusCode, Url};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::records::Header;
use crate::registry::{Cause, Patience, Secret, Setback, Settings, SettingsError, build_client, retry_after};
use crate::report::counts::Counts;
use crate::report::text::plural;
use crate::severity::Severity;

/// Version of the JSON form.
pub const MESSAGE_VERSION: u32 = 1;
/// Longest address.
const MAX_URL: usize = 4 << 10;
/// How long one answer is waited for.
const ANSWER: Duration = Duration::from_secs(15);
/// The host of Slack's own webhooks.
const SLACK: &str = "hooks.slack.com";

/// Where messages go.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    url: Secret,
    host: String,
}

/// How a message is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// All that is known, for programs.
    Json,
    /// A text, as Slack's incoming webhooks take it.
    Slack,
}

/// What a message is about.
#[derive(Clone, Debug)]
pub struct Message<'a> {
    /// The scan.
    pub header: &'a Header,
    /// Findings that the scan of the same scope before it did not have; none if there was no such scan.
    pub new: Option<Counts>,
}

/// A message that could not be sent.
#[derive(Debug, thiserror::Error)]
pub enum NotifyError {
    /// The transport cannot be set up.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// Nobody answers.
    #[error("{host} cannot be reached")]
    Network {
        /// The host.
        host: String,
        /// Why.
        #[source]
        source: Cause,
    },
    /// It does not answer in time.
    #[error("{host} does not answer in time")]
    Timeout {
        /// The host.
        host: String,
    },
    /// It does not want it.
    #[error("{host} answers {status}")]
    Refused {
        /// The host.
        host: String,
        /// The HTTP status.
        status: u16,
    },
}

impl std::fmt::Debug for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "(an address at {})", self.host)
    }
}

impl FromStr for Address {
    type Err = &'static str;

    /// An `http` or `https` address.
    fn from_str(text: &str) -> Result<Self, &'static str> {
        let wrong = "expected an address that begins with https:// or http://";
        let text = text.trim();
        let url = Url::parse(text).ok().filter(|_| text.len() <= MAX_URL).ok_or(wrong)?;
        if !matches!(url.scheme(), "https" | "http") {
            return Err(wrong);
        }
        let host = url.host_str().ok_or(wrong)?;
        let host = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        Ok(Self { url: Secret::new(text), host })
    }
}

impl Address {
    /// The form that is wanted there, as far as its host tells.
    #[must_use]
    pub fn form(&self) -> Form {
        if self.host == SLACK { Form::Slack } else { Form::Json }
    }

    /// The address itself, to be put into a Secret and nowhere else.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.url.expose()
    }
}

impl Message<'_> {
    /// The body of the request.
    #[must_use]
    pub fn body(&self, form: Form) -> Value {
        match form {
            Form::Slack => json!({ "text": self.text() }),
            Form::Json => json!({
                "version": MESSAGE_VERSION,
                "text": self.text(),
                "scan": self.header,
                "new": self.new,
            }),
        }
    }

    /// `nightly: scan 7f3a of -n shop found 3 critical, 5 high in 12 containers (1 new critical)`
    fn text(&self) -> String {
        let header = self.header;
        let schedule = header.schedule.as_ref().map(|name| format!("{name}: ")).unwrap_or_default();
        let coverage = header.coverage;
        let read = coverage.scanned + coverage.cached;
        let found = if header.matched { counted(&header.findings) } else { "nothing to match with".to_owned() };
        let incomplete = if header.complete { "" } else { "; not everything could be read and matched" };
        let new = match &self.new {
            Some(new) if new.total() > 0 => format!("; new: {}", counted(new)),
            Some(_) => "; nothing new".to_owned(),
            None => String::new(),
        };
        format!(
            "{schedule}scan {} of {}: {found} in {}{new}{incomplete}",
            header.id,
            header.scope,
            plural(read, "container")
        )
    }
}

fn counted(counts: &Counts) -> String {
    let of = |severity| (counts.get(severity), severity);
    let named = [Severity::Critical, Severity::High, Severity::Medium].map(of);
    let named: Vec<String> = named
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, severity)| format!("{count} {severity}"))
        .collect();
    match (named.is_empty(), counts.total()) {
        (_, 0) => "no findings".to_owned(),
        (true, all) => format!("{all} findings, none above low"),
        (false, all) => format!("{} of {all} findings", named.join(", ")),
    }
}

/// Sends a message; tried again where that may help.
///
/// # Errors
/// It was not taken.
pub async fn post(address: &Address, body: &Value, settings: &Settings) -> Result<(), NotifyError> {
    let client = build_client(settings)?;
    let mut patience = Patience::of(settings);
    loop {
        match post_once(&client, address, body).await {
            Ok(()) => return Ok(()),
            Err(setback) => patience.wait_after(setback).await?,
        }
    }
}

async fn post_once(
    client: &reqwest::Client,
    address: &Address,
    body: &Value,
) -> Result<(), Setback<NotifyError>> {
    let host = address.host.clone();
    let request = client
        .post(address.url.expose())
        .header(reqwest::header::CONTENT_TYPE, "application/json")
        .body(body.to_string());
    let response = match timeout(ANSWER, request.send()).await {
        Err(_) => return Err(Setback::passing(NotifyError::Timeout { host })),
        Ok(Err(error)) => {
            let source = Cause::of(&error.without_url());
            return Err(Setback::passing(NotifyError::Network { host, source }));
        }
        Ok(Ok(response)) => response,
    };
    let status = response.status();
    if status.is_success() {
        return Ok(());
    }
    let error = NotifyError::Refused { host, status: status.as_u16() };
    let may_pass = status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
    Err(if may_pass { Setback::after(error, retry_after(response.headers())) } else { Setback::lasting(error) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::Origin;

    fn header() -> Header {
        let report = serde_json::from_value(json!({
            "version": 1, "notes": [], "images": [],
            "containers": [{"namespace": "shop", "workload": "deployment/a", "pod": "a-1", "container": "web",
                "kind": "container", "image": "registry.test/a:1", "state": "scanned", "reason": null, "image_index": null}],
            "scan": {"id": "7f3a", "generator": "x", "started": "2026-01-02T03:04:05Z", "duration_ms": 7, "scope": "-n shop"},
            "advisories": {"source": "x", "ecosystems": {}, "newest": null},
        }))
        .expect("a report");
        let origin = Origin { schedule: Some("nightly".into()), ..Origin::default() };
        Header::of(&report, origin).expect("a header")
    }

    #[test]
    fn address_is_never_shown() {
        let address: Address = "https://hooks.slack.com/services/T0/hunter2".parse().expect("an address");
        assert_eq!(format!("{address:?}"), "(an address at hooks.slack.com)");
        assert_eq!(address.form(), Form::Slack);
        for wrong in ["", "hunter2", "ftp://x/y", "file:///etc/passwd", "https://"] {
            assert!(wrong.parse::<Address>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn message_says_what_was_found_and_what_is_new() {
        let header = header();
        let none = Message { header: &header, new: None };
        assert_eq!(
            none.body(Form::Slack),
            json!({"text": "nightly: scan 7f3a of -n shop: no findings in 1 container"})
        );
        let new = Message { header: &header, new: Some(Counts::default()) };
        let body = new.body(Form::Json);
        assert_eq!(body["scan"]["id"], "7f3a");
        assert!(body["text"].as_str().is_some_and(|text| text.ends_with("; nothing new")), "{body}");
    }
}
