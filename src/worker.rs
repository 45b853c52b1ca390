//! The scanner's program: what runs in the pod, and by hand on a directory or on layers in files.

mod config;
pub mod dir;
mod image;
pub mod keep;
mod memory;
mod mount;
mod registered;
pub mod run;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};

use crate::packages;
use crate::sbom::Sbom;
use crate::sbom::cyclonedx::{self, Subject};
use crate::tree::ReadError;

/// Layers that are read at the same time. More than the cores of a scanner pod bring nothing.
const LAYERS_AT_ONCE: usize = 4;

/// Turns images into bills of materials.
#[derive(Debug, Parser)]
#[command(name = "clarity-scan", version, about)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What the scanner can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Read a directory that holds an image's files
    Dir(DirArguments),
    /// Read layers from files, the bottom one first
    Layers(LayersArguments),
    /// Read the images that a scanner Job names and print the result as frames
    Run,
    /// Keep lists of packages in a folder for whoever speaks on standard input and output
    Keep(KeepArguments),
}

/// Arguments of `keep`.
#[derive(Debug, clap::Args)]
pub struct KeepArguments {
    /// The folder; it is made if it is not there
    #[arg(long, value_name = "DIR")]
    pub folder: PathBuf,
}

/// Arguments of `dir`.
#[derive(Debug, clap::Args)]
pub struct DirArguments {
    /// The root of the image
    pub path: PathBuf,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub output: Output,
}

/// Arguments of `layers`.
#[derive(Debug, clap::Args)]
pub struct LayersArguments {
    /// Layers as tar, gzip or zstd
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub output: Output,
}

/// How a bill of materials is printed.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Output {
    /// Format of the output
    #[arg(short = 'o', long = "output", value_enum, default_value = "table", value_name = "FORMAT")]
    pub format: Format,
    /// Memory that the process may use, in MiB
    #[arg(long, default_value_t = 256, value_name = "MIB", value_parser = clap::value_parser!(u64).range(1..=1_048_576))]
    pub memory: u64,
}

/// Formats of a bill of materials.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    Table,
    /// CycloneDX 1.5 JSON
    Cyclonedx,
}

/// Why the scanner could not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// A tree could not be read.
    #[error("cannot read {path:?}")]
    Read {
        /// Directory or file.
        path: PathBuf,
        /// Why.
        #[source]
        source: ReadError,
    },
    /// A file could not be opened.
    #[error("cannot open {path:?}")]
    Open {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The result could not be written as CycloneDX.
    #[error("cannot make a document")]
    Document(#[from] cyclonedx::WriteError),
    /// The pod's work could not be begun, or its result not be told.
    #[error("cannot do the work of this pod")]
    Run(#[from] run::RunError),
    /// What is kept could not be served.
    #[error("cannot serve what is kept")]
    Keep(#[from] keep::KeepError),
    /// The output is closed.
    #[error("cannot write the output")]
    Output(#[source] io::Error),
}

/// Everything was read.
const COMPLETE: u8 = 0;
/// Nothing could be read.
const FAILED: u8 = 1;
/// The arguments make no sense.
const USAGE: u8 = 2;
/// Something was left out.
const INCOMPLETE: u8 = 4;

/// The whole program.
pub fn main(
    arguments: impl IntoIterator<Item = std::ffi::OsString>,
    out: &mut dyn Write,
    errors: &mut dyn Write,
) -> ExitCode {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help is an answer, not an error. Where nobody listens there is nobody to tell.
            let (is_help, text) = (!error.use_stderr(), error.to_string());
            let _ = if is_help { out.write_all(text.as_bytes()) } else { errors.write_all(text.as_bytes()) };
            return ExitCode::from(if is_help { COMPLETE } else { USAGE });
        }
    };
    match run(arguments.command, out) {
        Ok(sbom) if sbom.gaps.is_empty() => ExitCode::from(COMPLETE),
        Ok(sbom) => {
            for gap in &sbom.gaps {
                let path = if gap.path.is_empty() { "/" } else { &gap.path };
                let _ = writeln!(errors, "incomplete: {path}: {}", gap.reason);
            }
            ExitCode::from(INCOMPLETE)
        }
        // Whoever reads the output has seen enough, as `head` does.
        Err(WorkerError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            ExitCode::from(COMPLETE)
        }
        Err(error) => {
            let _ = writeln!(errors, "error: {error}");
            let mut cause = std::error::Error::source(&error);
            while let Some(error) = cause {
                let _ = writeln!(errors, "  cause: {error}");
                cause = error.source();
            }
            ExitCode::from(FAILED)
        }
    }
}

fn run(command: Command, out: &mut dyn Write) -> Result<Sbom, WorkerError> {
    match command {
        Command::Dir(DirArguments { path, output }) => {
            print(dir::read_directory(&path, output.memory << 20)?, output.format, out)
        }
        Command::Layers(LayersArguments { files, output }) => {
            print(dir::read_layers(&files, output.memory << 20)?, output.format, out)
        }
        // Its frames say what was left out of which image.
        Command::Run => Ok(run::in_pod().map(|()| Sbom::default())?),
        Command::Keep(KeepArguments { folder }) => Ok(keep::in_pod(&folder).map(|()| Sbom::default())?),
    }
}

fn print(sbom: Sbom, format: Format, out: &mut dyn Write) -> Result<Sbom, WorkerError> {
    let text = match format {
        Format::Table => dir::table(&sbom).into_bytes(),
        Format::Cyclonedx => {
            let subject = Subject { analysers: Some(packages::analysers()), ..Subject::default() };
            let mut json = cyclonedx::write(&sbom, &subject)?;
            json.push(b'\n');
            json
        }
    };
    out.write_all(&text).and_then(|()| out.flush()).map_err(WorkerError::Output)?;
    Ok(sbom)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(arguments: &[&str]) -> (ExitCode, String, String) {
        let (mut out, mut errors) = (Vec::new(), Vec::new());
        let arguments = std::iter::once("clarity-scan").chain(arguments.iter().copied());
        let code = main(arguments.map(Into::into), &mut out, &mut errors);
        let text = |bytes| String::from_utf8(bytes).expect("text");
        (code, text(out), text(errors))
    }

    #[test]
    fn a_directory_is_printed_as_a_table_or_as_cyclonedx() {
        let root = tempfile::tempdir().expect("a folder");
        let database = root.path().join("lib/apk/db/installed");
        std::fs::create_dir_all(database.parent().expect("has one")).expect("makes");
        std::fs::write(database, "P:musl\nV:1.2.4-r2\nA:x86_64\n\nP:broken\n").expect("writes");
        let path = root.path().to_str().expect("text");

        let (code, out, errors) = call(&["dir", path]);
        assert_eq!(code, ExitCode::from(INCOMPLETE));
        insta::assert_snapshot!(out, @r"
        Distribution: unknown
        Packages: 1
        PACKAGE  VERSION   TYPE  ARCHITECTURE  SOURCE
        musl     1.2.4-r2  apk   x86_64        musl
        ");
        assert_eq!(
            errors,
            "incomplete: lib/apk/db/installed: 1 of its entries name no package or no version\n"
        );

        let (_, out, _) = call(&["dir", path, "-o", "cyclonedx"]);
        let document = cyclonedx::read(out.as_bytes()).expect("CycloneDX");
        assert_eq!(document.sbom.packages.len(), 1);
        assert_eq!(document.sbom.gaps.len(), 1);
    }

    #[test]
    fn what_cannot_be_read_is_said_with_its_cause() {
        let (code, out, errors) = call(&["dir", "/nowhere/at/all"]);
        assert_eq!((code, out.as_str()), (ExitCode::from(FAILED), ""));
        insta::assert_snapshot!(errors, @r#"
        error: cannot read "/nowhere/at/all"
          cause: cannot open directory "/nowhere/at/all"
          cause: No such file or directory (os error 2)
        "#);
    }

    #[test]
    fn wrong_usage_and_help_are_told_apart() {
        let (code, out, errors) = call(&["dir"]);
        assert_eq!((code, out.is_empty(), errors.is_empty()), (ExitCode::from(USAGE), true, false));
        let (code, out, errors) = call(&["--help"]);
        assert_eq!((code, out.is_empty(), errors.is_empty()), (ExitCode::from(COMPLETE), false, true));
    }
}
