//! The flags that say who is told of a scan.

use clap::{Args, ValueEnum};

use super::ui;
use crate::notify::{Address, Form, Message, post};
use crate::records::Header;
use crate::registry::Settings;
use crate::report::Report;
use crate::report::counts::Counts;
use crate::report::diff::Diff;
use crate::runner::NOTIFY_VARIABLE;

/// Who is told, and when.
#[derive(Clone, Debug, Args)]
pub(super) struct NotifyArgs {
    /// Address to which the result is posted; it is shown nowhere
    #[arg(long, value_name = "URL", env = NOTIFY_VARIABLE, hide_env_values = true)]
    pub(super) notify: Option<Address>,
    /// When it is posted: always, or only when there are new findings, or when not everything could be read and matched
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        default_value = "always",
        hide_possible_values = true
    )]
    notify_on: Vec<Occasion>,
    /// Form of what is posted; auto is slack for Slack's own addresses, else json
    #[arg(long, value_name = "FORM", default_value = "auto", hide_possible_values = true)]
    notify_form: NotifyForm,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Occasion {
    Always,
    New,
    Incomplete,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum NotifyForm {
    Auto,
    Json,
    Slack,
}

impl NotifyArgs {
    /// The same flags for a runner, which has the address in its environment.
    pub(super) fn arguments(&self) -> Vec<String> {
        let Self { notify: _, notify_on, notify_form } = self;
        let name = |value: Option<clap::builder::PossibleValue>| {
            value.map(|value| value.get_name().to_owned()).unwrap_or_default()
        };
        let occasions: Vec<String> = notify_on.iter().map(|one| name(one.to_possible_value())).collect();
        let form = name(notify_form.to_possible_value());
        [["--notify-on".to_owned(), occasions.join(",")], ["--notify-form".to_owned(), form]].concat()
    }

    /// Whether anybody is to be told.
    pub(super) fn is_wanted(&self) -> bool {
        self.notify.is_some()
    }

    /// Tells who is to be told; that it cannot be done is said, and changes nothing else.
    pub(super) async fn tell(
        &self,
        header: &Header,
        report: &Report,
        before: Option<Report>,
        settings: &Settings,
    ) {
        let Some(address) = &self.notify else { return };
        let new = before.map(|before| Diff::between(before, report.clone()).summary.new);
        if !self.is_due(header, new) {
            return;
        }
        let form = match self.notify_form {
            NotifyForm::Auto => address.form(),
            NotifyForm::Json => Form::Json,
            NotifyForm::Slack => Form::Slack,
        };
        let body = Message { header, new }.body(form);
        if let Err(error) = post(address, &body, settings).await {
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
            ui::say(&format!("note: nobody was told of this scan: {error}{}", cause.unwrap_or_default()));
        }
    }

    /// Whether this result is one of those that are posted. Without a scan to compare with, all that was found is new.
    fn is_due(&self, header: &Header, new: Option<Counts>) -> bool {
        self.notify_on.iter().any(|occasion| match occasion {
            Occasion::Always => true,
            Occasion::New => new.unwrap_or(header.findings).total() > 0,
            Occasion::Incomplete => !header.complete,
        })
    }
}
