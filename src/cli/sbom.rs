//! `kubectl clarity sbom`.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use tokio_util::sync::CancellationToken;

use super::Exit;
use super::access::AccessArgs;
use super::errors::Explained;
use super::input;
use super::kept;
use super::match_sbom::{read_bytes, read_document};
use super::network::TransportArgs;
use super::scan::ReadArgs;
use super::ui::{self, Progress};
use crate::cache::{About, CacheError, Found, LocalStore, Store as _};
use crate::cluster::{self, Connection, Scope};
use crate::coverage::State;
use crate::image::Digest;
use crate::report::packages;
use crate::report::table::TableOptions;
use crate::sbom::{Document, cyclonedx, spdx};
use crate::scan::{Known, KnownImage, ReadConfig, known, read_packages};
use crate::workload::WorkloadRef;

/// Flags of `sbom`.
#[derive(Debug, Args)]
pub(super) struct SbomArgs {
    /// What runs (deploy/cart, pod/cart-0), which a scanner pod reads if nobody has read it yet; an image that was read
    /// before (by its reference or digest); or a bill of materials as CycloneDX or SPDX in JSON, - is standard input
    #[arg(value_name = "TYPE/NAME|IMAGE|FILE")]
    target: String,
    /// Namespace of what runs; that of the context without it
    #[arg(short, long, value_name = "NAME")]
    namespace: Option<String>,
    /// Container, where several images run
    #[arg(short, long, value_name = "NAME")]
    container: Option<String>,
    #[command(flatten)]
    form: FormArgs,
    #[command(flatten, next_help_heading = "Reading what was not read before")]
    reading: ReadArgs,
    #[command(flatten)]
    transport: TransportArgs,
}

/// There is no bill of materials of what was named.
#[derive(Debug, thiserror::Error)]
pub(super) enum SbomError {
    /// Several images run.
    #[error("{target} runs several images: {}", .images.join(", "))]
    Several { target: String, images: Vec<String> },
    /// No container of that name.
    #[error("{target} has no container {container:?}")]
    NoContainer { target: String, container: String },
    /// Nothing of it can be read.
    #[error("{who} is {why}")]
    LeftOut { who: String, why: String },
    /// Nobody has read it yet, and no pod may.
    #[error("nobody has read {image} yet")]
    Unread { target: String, namespace: Option<String>, image: String },
    /// It was to be read, and was not.
    #[error("cannot read {image}: {why}")]
    NotRead { image: String, why: String },
    /// Neither a file nor an image that was read.
    #[error("{0} is no file, nothing of the form TYPE/NAME, and no image that was read before")]
    Unknown(String),
    /// What was read before cannot be looked at.
    #[error(transparent)]
    Cache(#[from] CacheError),
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

/// Shows a bill of materials, of what runs or of a file.
pub(super) async fn run(args: SbomArgs, access: AccessArgs, verbosity: u8) -> Result<Exit, Explained> {
    let SbomArgs { target, namespace, container, form, reading, transport } = args;
    let path = Path::new(&target);
    if input::is_stdin(path) || path.exists() {
        let (_, document) = read_document(path)?;
        return form.show(&document, &input::shown(path).display().to_string());
    }
    if let Some(workload) = WorkloadRef::parse(&target) {
        let may_read = !reading.starts_no_pods();
        let network = transport.complete(Some(&access), namespace.as_deref()).await?.network;
        let connection = cluster::connect(&access.complete()).await?;
        let scope = Scope {
            namespace: Some(namespace.clone().unwrap_or_else(|| connection.namespace.clone())),
            label_selector: None,
            field_selector: None,
            targets: vec![workload],
        };
        let config = ReadConfig { container: container.clone(), ..reading.complete(scope, network)? };
        let asked = Asked { target: target.clone(), namespace, container };
        let image = running(&asked, &connection, config, may_read, verbosity).await?;
        let Some(document) = &image.document else { return Err(asked.unread(image).into()) };
        let exit = form.show(document, &target)?;
        // Whoever goes on working with it takes it for the whole.
        return Ok(match (&image.state, image.state.reason()) {
            (state, Some(why)) => {
                ui::say(&format!("{} is {}: {why}", image.image, state.as_str()));
                Exit::Incomplete
            }
            _ => exit,
        });
    }
    let document = read_before(&target).await?;
    form.show(&document, &target)
}

/// What was asked for.
struct Asked {
    target: String,
    namespace: Option<String>,
    container: Option<String>,
}

impl Asked {
    /// The only image that is meant.
    fn only(&self, known: Known) -> Result<KnownImage, SbomError> {
        let target = self.target.clone();
        let mut images = known.images;
        match (images.pop(), images.is_empty()) {
            (None, _) => Err(match known.left_out.into_iter().next() {
                Some((who, why)) => SbomError::LeftOut { who, why },
                None => {
                    SbomError::NoContainer { target, container: self.container.clone().unwrap_or_default() }
                }
            }),
            (Some(image), true) => Ok(image),
            (Some(last), false) => {
                let users = images.into_iter().chain([last]).flat_map(|image| image.users);
                Err(SbomError::Several { target, images: users.collect() })
            }
        }
    }

    /// Why there is no bill of an image.
    fn unread(&self, image: KnownImage) -> SbomError {
        match image.state {
            State::Failed(why) => SbomError::NotRead { image: image.image, why },
            _ => SbomError::Unread {
                target: self.target.clone(),
                namespace: self.namespace.clone(),
                image: image.image,
            },
        }
    }
}

/// The image that runs in the cluster: from the cache, or read now. Which one is meant is settled before a pod is started.
async fn running(
    asked: &Asked,
    connection: &Connection,
    config: ReadConfig,
    may_read: bool,
    verbosity: u8,
) -> Result<KnownImage, Explained> {
    let explained = |error| Explained::of_scan(&error, &connection.server);
    let stop = CancellationToken::new();
    ui::stop_on_signal(stop.clone());
    let mut known = Box::pin(known(connection, &config, &stop)).await.map_err(explained)?;
    let said = std::mem::take(&mut known.notes);
    for note in &said {
        ui::say(&format!("note: {note}"));
    }
    let image = asked.only(known)?;
    if image.document.is_some() || !may_read {
        return Ok(image);
    }
    let progress = Progress::start(verbosity);
    let read = Box::pin(read_packages(connection, &config, &stop, &|update| progress.update(update))).await;
    progress.end();
    let mut known = read.map_err(explained)?;
    for note in std::mem::take(&mut known.notes).iter().filter(|note| !said.contains(note)) {
        ui::say(&format!("note: {note}"));
    }
    Ok(asked.only(known)?)
}

/// The document of an image that was read before, whether it runs or not; of several the one that was read last.
async fn read_before(target: &str) -> Result<Document, Explained> {
    let unknown = || SbomError::Unknown(target.to_owned());
    let store = LocalStore::at(kept::folder().ok_or_else(unknown)?);
    let all = store.list().await.map_err(SbomError::Cache)?;
    let about = all.into_iter().filter(|about| is_of(about, target)).max_by_key(|about| about.created);
    let key = about.ok_or_else(unknown)?.key;
    match store.look(&key).map_err(SbomError::Cache)? {
        Some(Found::Whole(entry)) => Ok(read_bytes(Path::new(target), &entry.document)?),
        Some(Found::Damaged(..)) | None => Err(unknown().into()),
    }
}

/// Whether an entry is about an image that is named by its reference, with or without a digest, or by (the beginning of) a
/// digest.
fn is_of(about: &About, target: &str) -> bool {
    let reference = about.reference.to_string();
    let is_reference = reference == target || reference.split('@').next() == Some(target);
    let digests = [Some(&about.key.digest), about.manifest.as_ref(), about.config.as_ref()];
    let is_digest = |digest: &Digest| target.len() > "sha256:".len() + 6 && digest.as_str().starts_with(target);
    is_reference || digests.into_iter().flatten().any(is_digest)
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
