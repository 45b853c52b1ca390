//! `kubectl clarity plan`: what a scan would do.

use std::io::IsTerminal as _;

use clap::{Args, ValueEnum};

use super::Exit;
use super::access::AccessArgs;
use super::errors::Explained;
use super::network::TransportArgs;
use super::scan::{ReadArgs, ScopeArgs};
use super::ui;
use crate::cluster::{self, Connection};
use crate::report::table::{TableOptions, columns};
use crate::report::text::{plural, shortened, wrap};
use crate::scan::{How, PlannedImage, Preview, Pull, ReadConfig, preview};

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
    let network = transport.complete(Some(&access), scope.namespace()).await?.network;
    let connection = cluster::connect(&access.complete()).await?;
    let config = reading.complete(scope.complete(&connection), network)?;
    let preview = look(&connection, &config).await?;
    let text = match output {
        Format::Table => {
            let width = if std::io::stdout().is_terminal() { ui::terminal_width() } else { None };
            table(&preview, TableOptions { width, ..TableOptions::default() })
        }
        Format::Json => json(&preview),
        Format::Yaml => {
            let unwritten = |error: &dyn std::fmt::Display| {
                Explained::new("cannot write the plan", &std::io::Error::other(error.to_string()))
            };
            let yaml = |job| serde_saphyr::to_string(job).map(|text| format!("---\n{text}"));
            preview.jobs.iter().map(yaml).collect::<Result<String, _>>().map_err(|error| unwritten(&error))?
        }
    };
    ui::data(None, &text)?;
    Ok(verdict(&preview))
}

/// Looks at everything that a scan would look at before it starts its first pod.
pub(super) async fn look(connection: &Connection, config: &ReadConfig) -> Result<Preview, Explained> {
    preview(connection, config).await.map_err(|error| Explained::of_scan(&error, &connection.server))
}

/// A scan with the same flags would be refused where a right is missing.
pub(super) fn verdict(preview: &Preview) -> Exit {
    if preview.missing_rights.is_empty() { Exit::Passed } else { Exit::Error }
}

/// All of it for programs.
pub(super) fn json(preview: &Preview) -> String {
    let json = serde_json::to_string_pretty(preview).expect("it consists of strings, numbers and lists");
    format!("{}\n", crate::report::json::escape(&json))
}

/// The images and the sum of it for people.
pub(super) fn table(preview: &Preview, options: TableOptions) -> String {
    let width = options.width;
    // A column of nothing but "nothing" says nothing.
    let is_pulled = preview.images.iter().any(|image| image.how.pulls());
    let rows: Vec<Vec<String>> = preview.images.iter().map(|image| row(image, is_pulled)).collect();
    let mut heads = vec![("IMAGE", false), ("CONTAINERS", true), ("HOW", false)];
    heads.extend(is_pulled.then_some(("MIB", true)));
    heads.push(("POD", true));
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
        "{} in {}: {cached} cached, {mounted} mounted, {streamed} streamed{}",
        plural(preview.images.len(), "image"),
        plural(preview.jobs.len(), "pod"),
        if is_pulled { to_pull(preview.pull) } else { String::new() },
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

/// `; 29.7 MiB to pull, and 1 image of unknown size`
fn to_pull(pull: Pull) -> String {
    let Pull { bytes, unknown } = pull;
    match (bytes, unknown) {
        (0, _) => "; how much is pulled is not known".to_owned(),
        (_, 0) => format!("; {} MiB to pull", mib(bytes)),
        _ => {
            format!("; {} MiB to pull, and {} of unknown size", mib(bytes), plural(unknown, "image"))
        }
    }
}

/// Mebibytes with one decimal, rounded up: something is never nothing.
fn mib(bytes: u64) -> String {
    let tenths = bytes.saturating_mul(10).div_ceil(1 << 20);
    format!("{}.{}", tenths / 10, tenths % 10)
}

fn row(image: &PlannedImage, is_pulled: bool) -> Vec<String> {
    let how = match &image.how {
        How::Cached => "cached".to_owned(),
        How::Mounted { node: Some(node) } => format!("mounted on {node}"),
        How::Mounted { node: None } => "mounted on any node, pulled by it".to_owned(),
        // Its name says from where, unless another pod's is asked.
        How::Streamed { registry } if image.image.starts_with(&format!("{registry}/")) => "streamed".to_owned(),
        How::Streamed { registry } => format!("streamed from {registry}"),
        How::Unreachable => {
            let obstacles: Vec<&str> = image.obstacles.iter().map(String::as_str).collect();
            format!("not at all: {}", obstacles.join("; "))
        }
    };
    let job = image.job.map_or_else(|| "-".to_owned(), |job| job.to_string());
    let size = match image.pull_bytes {
        _ if !image.how.pulls() => "-".to_owned(),
        Some(bytes) => mib(bytes),
        None => "not known".to_owned(),
    };
    let mut row = vec![shortened(&image.image), image.containers.to_string(), how];
    row.extend(is_pulled.then_some(size));
    row.push(job);
    row
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn image(how: How, pull_bytes: Option<u64>) -> PlannedImage {
        PlannedImage {
            image: "registry.test/shop/cart:1".to_owned(),
            platform: None,
            how,
            pull_bytes,
            job: Some(1),
            containers: 2,
            obstacles: BTreeSet::new(),
        }
    }

    fn planned(images: Vec<PlannedImage>) -> String {
        let pull = Pull::of(&images);
        let preview = Preview {
            images,
            pull,
            left_out: Vec::new(),
            jobs: Vec::new(),
            missing_rights: Vec::new(),
            notes: Vec::new(),
        };
        table(&preview, TableOptions { width: Some(80), ..TableOptions::default() })
    }

    fn streamed(bytes: Option<u64>) -> PlannedImage {
        image(How::Streamed { registry: "registry.test".to_owned() }, bytes)
    }

    #[test]
    fn what_is_pulled_is_told_image_by_image_and_in_sum_and_so_is_what_is_not_known() {
        insta::assert_snapshot!(planned(vec![
            image(How::Cached, Some(0)),
            streamed(Some(31_070_182)),
            streamed(Some(1)),
            streamed(None),
        ]), @r"
        IMAGE                      CONTAINERS  HOW             MIB  POD
        registry.test/shop/cart:1           2  cached            -    1
        registry.test/shop/cart:1           2  streamed       29.7    1
        registry.test/shop/cart:1           2  streamed        0.1    1
        registry.test/shop/cart:1           2  streamed  not known    1

        4 images in 0 pods: 1 cached, 0 mounted, 3 streamed; 29.7 MiB to pull, and 1
        image of unknown size
        ");
        let unknown = planned(vec![streamed(None)]);
        assert!(unknown.ends_with("1 streamed; how much is pulled is not\nknown\n"), "{unknown}");
    }

    #[test]
    fn where_nothing_is_pulled_nothing_is_said_of_it() {
        let text = planned(vec![image(How::Mounted { node: Some("node1".to_owned()) }, Some(0))]);
        assert!(!text.contains("MIB") && !text.contains("pull"), "{text}");
    }
}
