//! The flags by which commands show a report, and the exit code that it comes to.

use std::io::IsTerminal as _;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::Exit;
use super::errors::Explained;
use super::rules;
use super::ui::{self, Color};
use crate::advisories::matching::Texts;
use crate::report::diff::{self, Diff};
use crate::report::ignore::RuleSet;
use crate::report::table::{self, TableOptions};
use crate::report::{Filter, Report, Threshold, json};
use crate::severity::Severity;

/// Flags of every command that makes a report.
#[derive(Debug, Args)]
pub(super) struct ResultArgs {
    /// Form of the result
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    output: Format,
    /// Write the result to a file instead of stdout
    #[arg(long, value_name = "FILE")]
    output_file: Option<PathBuf>,
    /// List every finding in the table, those without a fix and of little severity too
    #[arg(long)]
    all_findings: bool,
    /// Show only findings of these severities, for example high,critical
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    severity: Option<Vec<Severity>>,
    /// Show only findings that have a version that fixes them
    #[arg(long)]
    only_fixed: bool,
    /// End with code 3 if there is a finding of this severity or worse, shown or not; with fixable only those with a
    /// fix count, with kev only those that are known to be exploited: high, fixable, or critical,fixable,kev
    #[arg(long, value_name = "LIST")]
    fail_on: Option<Threshold>,
    /// Do not count findings that the rules in this YAML file say to ignore; they are listed with the reason
    #[arg(long, value_name = "FILE", env = "CLARITY_IGNORE_FILE", hide_env_values = true)]
    ignore_file: Option<PathBuf>,
    /// Do not count findings that this VEX document (OpenVEX or CycloneDX, JSON) says do not apply; may be repeated
    #[arg(long, value_name = "FILE")]
    vex: Vec<PathBuf>,
    /// End with code 0 although something in scope could not be read or matched
    #[arg(long)]
    allow_incomplete: bool,
    /// Colours
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    color: Color,
}

/// Forms of the result.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// For people.
    Table,
    /// For programs.
    Json,
}

/// Where a report goes and how it is judged.
pub(super) struct ResultPlace {
    file: Option<ui::OutputFile>,
    format: Format,
    all: bool,
    filter: Filter,
    fail_on: Option<Threshold>,
    rules: Vec<RuleSet>,
    allow_incomplete: bool,
    color: Color,
}

impl ResultArgs {
    /// Reads the rules, and opens the file for the result, if there is to be one.
    pub(super) fn open(self) -> Result<ResultPlace, Explained> {
        let Self {
            output,
            output_file,
            all_findings,
            severity,
            only_fixed,
            fail_on,
            ignore_file,
            vex,
            allow_incomplete,
            color,
        } = self;
        // A variable that is set to nothing names no file.
        let ignore_file = ignore_file.filter(|path| !path.as_os_str().is_empty());
        let ignore_file = ignore_file.as_deref().map(rules::ignore_file);
        let documents = vex.iter().map(|path| rules::vex_document(path));
        let rules = ignore_file.into_iter().chain(documents).collect::<Result<_, _>>()?;
        Ok(ResultPlace {
            file: output_file.map(ui::OutputFile::create).transpose()?,
            format: output,
            all: all_findings,
            filter: Filter { severities: severity.map(|list| list.into_iter().collect()), only_fixed },
            fail_on,
            rules,
            allow_incomplete,
            color,
        })
    }
}

impl ResultPlace {
    /// Whether the form of the result has room for what advisories say.
    pub(super) fn texts(&self) -> Texts {
        match self.format {
            Format::Json => Texts::Shown,
            Format::Table => Texts::Left,
        }
    }

    /// Shows a report and judges it; all of it, whatever is shown.
    pub(super) fn show(self, report: Report) -> Result<Exit, Explained> {
        let report = self.suppressed(report);
        let verdict = self.verdict(&report, |threshold| report.exceeds(threshold));
        let report = report.filtered(self.filter.clone());
        self.write(|| json::render(&report), |options| table::render(&report, options))?;
        Ok(verdict.say(""))
    }

    /// Shows what has changed from one report to another. Of the findings only the new ones are judged.
    pub(super) fn show_diff(self, before: Report, after: Report) -> Result<Exit, Explained> {
        let (before, after) = (self.suppressed(before), self.suppressed(after));
        let whole = Diff::between(before.clone(), after.clone());
        let verdict = self.verdict(&after, |threshold| whole.exceeds(threshold));
        let shown = if self.filter.is_open() {
            whole
        } else {
            Diff::between(before.filtered(self.filter.clone()), after.filtered(self.filter.clone()))
        };
        self.write(|| shown.json(), |options| diff::table(&shown, options))?;
        Ok(verdict.say("new "))
    }

    /// The report with the findings marked that the rules say to ignore.
    fn suppressed(&self, report: Report) -> Report {
        let today = Timestamp::now().to_zoned(TimeZone::UTC).date();
        report.suppressed(&self.rules, today)
    }

    fn verdict(&self, report: &Report, exceeds: impl Fn(Threshold) -> bool) -> Verdict {
        Verdict {
            is_incomplete: !report.is_complete() && !self.allow_incomplete,
            exceeded: self.fail_on.filter(|threshold| exceeds(*threshold)),
        }
    }

    /// Writes a result in the form that was asked for.
    pub(super) fn write(
        self,
        json: impl FnOnce() -> String,
        table: impl FnOnce(&TableOptions) -> String,
    ) -> Result<(), Explained> {
        let to_terminal = self.file.is_none() && std::io::stdout().is_terminal();
        let text = match self.format {
            Format::Json => json(),
            Format::Table => {
                let width = if to_terminal { ui::terminal_width() } else { None };
                let color = self.color.enabled(to_terminal);
                table(&TableOptions { width, color, all: self.all })
            }
        };
        ui::data(self.file, &text)
    }
}

/// What a report comes to.
struct Verdict {
    is_incomplete: bool,
    exceeded: Option<Threshold>,
}

impl Verdict {
    /// The exit code, and the reason for it on stderr when it is not 0. Both reasons are said when both hold.
    fn say(&self, which: &str) -> Exit {
        if self.is_incomplete {
            ui::say(
                "not everything in scope could be read and matched, see Coverage (--allow-incomplete accepts it)",
            );
        }
        if let Some(threshold) = self.exceeded {
            ui::say(&format!("there are {which}{threshold} (--fail-on)"));
        }
        match (self.exceeded, self.is_incomplete) {
            (Some(_), _) => Exit::Threshold,
            (None, true) => Exit::Incomplete,
            (None, false) => Exit::Passed,
        }
    }
}
