//! `kubectl clarity explain-auth`: why an image can be read from its registry, or why not.

mod text;

use std::io::IsTerminal as _;
use std::time::Duration;

use clap::{Args, ValueEnum};
use tokio_util::sync::CancellationToken;

use super::Exit;
use super::access::AccessArgs;
use super::errors::Explained;
use super::kept::ScannerArgs;
use super::network::{PodNetworkArgs, TransportArgs};
use super::scan::duration;
use super::ui;
use crate::cluster::{self, Scope};
use crate::image::Reference;
use crate::report::json::escape;
use crate::scan::{Asker, CacheConfig, ExplainedImage, ReadConfig, Subject, explain};
use crate::workload::WorkloadRef;

/// Flags of `explain-auth`.
#[derive(Debug, Args)]
pub(super) struct ExplainAuthArgs {
    /// What runs (the name of a pod, or TYPE/NAME such as deploy/cart), or an image by its reference
    #[arg(value_name = "POD|TYPE/NAME|IMAGE")]
    subject: String,
    /// Namespace of the pod, or the one in which the image is to be pulled; that of the context without it
    #[arg(short, long, value_name = "NAME")]
    namespace: Option<String>,
    /// Container, where several images run
    #[arg(short, long, value_name = "NAME")]
    container: Option<String>,
    /// Pull secret to try for an image, in the place of those of the namespace's default ServiceAccount; may be given
    /// several times
    #[arg(long, value_name = "NAME")]
    pull_secret: Vec<String>,
    /// Ask from this machine and start no pod: pull secrets are read through the API, which takes the right to get them
    #[arg(long)]
    local: bool,
    /// Time for the whole answer, for example 30s
    #[arg(long, value_name = "DURATION", default_value = "2m", value_parser = duration)]
    timeout: Duration,
    /// Form of the result
    #[arg(short, long, value_name = "FORMAT", default_value = "table", hide_possible_values = true)]
    output: Format,
    #[command(flatten)]
    scanner: ScannerArgs,
    #[command(flatten)]
    transport: TransportArgs,
    #[command(flatten)]
    network: PodNetworkArgs,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Table,
    Json,
}

/// What was named is nothing that can be asked for.
#[derive(Debug, thiserror::Error)]
pub(super) enum SubjectError {
    /// Neither.
    #[error("{0:?} is no pod, nothing of the form TYPE/NAME, and no image")]
    Unknown(String),
    /// No container of that name.
    #[error("{target} has no container {container:?}")]
    NoContainer { target: String, container: String },
    /// A container of an image.
    #[error("an image has no containers, and no pull secrets but those that are named")]
    OfImage,
    /// Pull secrets of something that has its own.
    #[error("what runs has pull secrets of its own")]
    OfRunning,
}

/// What was named. Names of pods have neither slash nor colon; every image that is given without them has a tag or a path.
fn named(text: &str) -> Result<Named, SubjectError> {
    if let Some(workload) = WorkloadRef::parse(text) {
        return Ok(Named::Running(workload));
    }
    let unknown = || SubjectError::Unknown(text.chars().take(200).collect());
    if text.contains(['/', ':', '@']) {
        return text.parse().map(|image| Named::Image(Box::new(image))).map_err(|_| unknown());
    }
    if super::kept::is_subdomain(text) {
        return Ok(Named::Running(WorkloadRef { kind: "pod".to_owned(), name: text.to_owned() }));
    }
    Err(unknown())
}

enum Named {
    Running(WorkloadRef),
    Image(Box<Reference>),
}

/// Asks, and shows what came of it. Complete only if every image can be read.
pub(super) async fn run(args: ExplainAuthArgs, access: AccessArgs) -> Result<Exit, Explained> {
    let ExplainAuthArgs {
        subject,
        namespace,
        container,
        pull_secret,
        local,
        timeout,
        output,
        scanner,
        transport,
        network,
    } = args;
    let target = subject;
    let (targets, subject) = match named(&target)? {
        Named::Running(_) if !pull_secret.is_empty() => return Err(SubjectError::OfRunning.into()),
        Named::Running(workload) => (vec![workload], Subject::Running),
        Named::Image(_) if container.is_some() => return Err(SubjectError::OfImage.into()),
        Named::Image(reference) => (Vec::new(), Subject::Image { reference, pull_secrets: pull_secret }),
    };
    let reach = transport.complete(Some(&access), namespace.as_deref()).await?;
    let (network, asker) = if local {
        (reach.network, Asker::Here(Box::new(reach.settings)))
    } else {
        (network.complete(reach.network)?, Asker::Pod)
    };
    let connection = cluster::connect(&access.complete()).await?;
    let namespace = namespace.unwrap_or_else(|| connection.namespace.clone());
    let scope = Scope { namespace: Some(namespace), label_selector: None, field_selector: None, targets };
    let looking = ReadConfig::looking(scope, CacheConfig::default(), scanner.complete());
    let config = ReadConfig { container: container.clone(), network, timeout, ..looking };
    let stop = CancellationToken::new();
    // Who asks from here leaves nothing behind.
    if !local {
        ui::stop_on_signal(stop.clone());
    }
    let explained = explain(&connection, &config, &subject, asker, &stop).await;
    let explained = explained.map_err(|error| Explained::of_scan(&error, &connection.server))?;
    if let Some(container) = container.filter(|_| explained.images.is_empty()) {
        return Err(SubjectError::NoContainer { target, container }.into());
    }
    let text = match output {
        Format::Json => {
            let json = serde_json::to_string_pretty(&explained).expect("it holds only strings and numbers");
            format!("{}\n", escape(&json))
        }
        Format::Table => {
            let width = if std::io::stdout().is_terminal() { ui::terminal_width() } else { None };
            text::text(&explained, local, width)
        }
    };
    ui::data(None, &text)?;
    for note in &explained.notes {
        ui::say(&format!("note: {note}"));
    }
    let is_complete = explained.images.iter().all(ExplainedImage::is_readable);
    Ok(if is_complete { Exit::Passed } else { Exit::Incomplete })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_workloads_and_images_are_told_apart() {
        let kind = |text: &str| match named(text) {
            Ok(Named::Running(workload)) => workload.to_string(),
            Ok(Named::Image(image)) => format!("image {image}"),
            Err(error) => error.to_string(),
        };
        for (text, wanted) in [
            ("cart-0", "pod/cart-0"),
            ("pod/cart-0", "pod/cart-0"),
            ("deploy/cart", "deployment/cart"),
            ("nginx:1", "image docker.io/library/nginx:1"),
            ("quay.io/a/b", "image quay.io/a/b:latest"),
            ("team/app", "image docker.io/team/app:latest"),
            ("A b", "\"A b\" is no pod, nothing of the form TYPE/NAME, and no image"),
            ("a:b:c", "\"a:b:c\" is no pod, nothing of the form TYPE/NAME, and no image"),
        ] {
            assert_eq!(kind(text), wanted, "{text}");
        }
    }
}
