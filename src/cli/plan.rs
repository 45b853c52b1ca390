//! `kubectl clarity plan`: what a scan would do.

use std::io::IsTerminal as _;

use clap::{Args, ValueEnum};

use super::Exit;
use super::access::AccessArgs;
use super::database::TransportArgs;
use super::errors::Explained;
use super::scan::{ReadArgs, ScopeArgs};
use super::ui;
use crate::cluster;
use crate::report::table::{TableOptions, columns};
use crate::report::text::{plural, shortened, wrap};
use crate::scan::{How, PlannedImage, Preview, preview};

/// Flags of `plan`: those of `scan`, as far as they decide what is read.
#[derive(Debug, Args)]
pub(super) struct PlanArgs {
    #[command(flatten)]
    scope: ScopeArgs,
    /// Form of the result: a table, all of it as JSON, or the Jobs alone as YAML
    #[arg(short, long, value_name = "FORMAT", default_value = "table", hide_possible_values = true)]
    output: Format,
    #[command(flatten)]
    reading: ReadArgs,
    #[command(flatten)]
    transport: TransportArgs,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Table,
    Json,
    Yaml,
}

/// Shows what a scan would do; creates nothing.
pub(super) async fn run(args: PlanArgs, access: AccessArgs) -> Result<Exit, Explained> {
    let PlanArgs { scope, output, reading, transport } = args;
    let registry_ca = transport.certificates()?;
    let connection = cluster::connect(&access.complete()).await?;
    let config = reading.complete(scope, registry_ca, &connection)?;
    let preview = preview(&connection, &config).await;
    let preview = preview.map_err(|error| Explained::of_scan(&error, &connection.server))?;
    let unwritten = |error: &dyn std::fmt::Display| {
        Explained::new("cannot write the plan", &std::io::Error::other(error.to_string()))
    };
    let text = match output {
        Format::Table => table(&preview),
        Format::Json => {
            let text = serde_json::to_string_pretty(&preview).map_err(|error| unwritten(&error))?;
            format!("{text}\n")
        }
        Format::Yaml => {
            let yaml = |job| serde_saphyr::to_string(job).map(|text| format!("---\n{text}"));
            preview.jobs.iter().map(yaml).collect::<Result<String, _>>().map_err(|error| unwritten(&error))?
        }
    };
    ui::data(None, &text)?;
    // A scan with the same flags would be refused.
    Ok(if preview.missing_rights.is_empty() { Exit::Passed } else { Exit::Error })
}

fn table(preview: &Preview) -> String {
    let width = if std::io::stdout().is_terminal() { ui::terminal_width() } else { None };
    let options = TableOptions { width, ..TableOptions::default() };
    let rows: Vec<Vec<String>> = preview.images.iter().map(row).collect();
    let heads = [("IMAGE", false), ("CONTAINERS", true), ("HOW", false), ("POD", true)];
    let mut text =
        if rows.is_empty() { String::new() } else { format!("{}\n", columns(&heads, &rows, options)) };
    for left_out in &preview.left_out {
        let line = format!("not read: {} is {}: {}", left_out.container, left_out.state, left_out.reason);
        text.push_str(&wrap(&crate::report::text::sanitize(&line), 0, width));
    }
    let cached = preview.images.iter().filter(|image| image.how == How::Cached).count();
    let mounted = preview.images.iter().filter(|image| matches!(image.how, How::Mounted { .. })).count();
    let streamed = preview.images.iter().filter(|image| matches!(image.how, How::Streamed { .. })).count();
    let sum = format!(
        "{} in {}: {cached} cached, {mounted} mounted, {streamed} streamed",
        plural(preview.images.len(), "image"),
        plural(preview.jobs.len(), "pod"),
    );
    text.push_str(&wrap(&sum, 0, width));
    for right in &preview.missing_rights {
        text.push_str(&wrap(&format!("Missing right: {right}"), 0, width));
    }
    for note in &preview.notes {
        text.push_str(&wrap(&format!("Note: {}", crate::report::text::sanitize(note)), 0, width));
    }
    text
}

fn row(image: &PlannedImage) -> Vec<String> {
    let how = match &image.how {
        How::Cached => "cached".to_owned(),
        How::Mounted { node: Some(node) } => format!("mounted on {node}"),
        How::Mounted { node: None } => "mounted on any node, pulled by it".to_owned(),
        How::Streamed { registry } => format!("streamed from {registry}"),
        How::Unreachable => {
            let obstacles: Vec<&str> = image.obstacles.iter().map(String::as_str).collect();
            format!("not at all: {}", obstacles.join("; "))
        }
    };
    let job = image.job.map_or_else(|| "-".to_owned(), |job| job.to_string());
    vec![shortened(&image.image), image.containers.to_string(), how, job]
}
