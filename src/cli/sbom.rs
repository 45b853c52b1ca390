//! `kubectl clarity sbom`.

use std::io::IsTerminal as _;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::Exit;
use super::errors::Explained;
use super::input;
use super::match_sbom::read_document;
use super::ui;
use crate::report::packages;
use crate::report::table::TableOptions;
use crate::sbom::{Document, cyclonedx, spdx};

/// Flags of `sbom`.
#[derive(Debug, Args)]
pub(super) struct SbomArgs {
    /// Bill of materials as CycloneDX or SPDX in JSON; - is standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    form: FormArgs,
}

/// How a bill of materials is shown.
#[derive(Debug, Args)]
pub(super) struct FormArgs {
    /// Form of the result
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    output: Form,
    /// Write the result to a file instead of stdout
    #[arg(long, value_name = "FILE")]
    output_file: Option<PathBuf>,
    /// Name all places of a package, and all that was not read, in the table
    #[arg(long)]
    all: bool,
}

/// Forms of the result.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Form {
    /// CycloneDX 1.5 in JSON.
    Cyclonedx,
    /// SPDX 2.3 in JSON.
    Spdx,
    /// For people.
    Table,
    /// A line NAME@VERSION for each package.
    Names,
}

/// Shows a bill of materials in another form.
pub(super) fn run(args: SbomArgs) -> Result<Exit, Explained> {
    let SbomArgs { file, form } = args;
    let (_, document) = read_document(&file)?;
    let shown = input::shown(&file).display().to_string();
    form.show(&document, &shown)
}

impl FormArgs {
    /// Shows a document; `called` is what it is called where it does not say what it is about. What it lists and cannot be
    /// shown is said.
    pub(super) fn show(self, document: &Document, called: &str) -> Result<Exit, Explained> {
        let Self { output, output_file, all } = self;
        let Document { sbom, subject, name, unread } = document;
        let is_stdout = output_file.is_none();
        let file = output_file.map(ui::OutputFile::create).transpose()?;
        let reference = subject.reference.as_ref().map(ToString::to_string);
        let name = reference.or_else(|| name.clone()).unwrap_or_else(|| called.to_owned());
        let text = match output {
            Form::Cyclonedx => {
                let unwritten = |error| Explained::new(format!("cannot show {called}"), &error);
                let json = cyclonedx::write(sbom, subject).map_err(unwritten)?;
                format!("{}\n", String::from_utf8_lossy(&json).trim_end())
            }
            Form::Spdx => spdx::write(sbom, subject, Some(&name)),
            Form::Names => packages::names(sbom),
            Form::Table => {
                let to_terminal = is_stdout && std::io::stdout().is_terminal();
                let width = if to_terminal { ui::terminal_width() } else { None };
                packages::table(sbom, &name, &TableOptions { width, color: false, all })
            }
        };
        ui::data(file, &text)?;
        for words in unread.in_words() {
            ui::say(&format!("note: not shown: {words}"));
        }
        Ok(Exit::Passed)
    }
}
