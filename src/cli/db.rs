//! `kubectl clarity db`: the advisories of this machine.

use std::fs::File;
use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use jiff::Timestamp;
use serde::Serialize;

use super::Exit;
use super::access::AccessArgs;
use super::database::{FolderArgs, SOURCE, source};
use super::errors::Explained;
use super::network::TransportArgs;
use super::transfer::{Transfer, counted, mebibytes};
use super::ui;
use crate::advisories::overlays::Kind;
use crate::advisories::{Ecosystem, Wanted};
use crate::database::{Database, DatabaseError, Outcome, OverlaySource, Source, Status, days};
use crate::image::{Reference, ReferenceError};
use crate::report::table::{TableOptions, columns};
use crate::report::text::shortened;

/// Bring advisories to this machine, and say which there are
#[derive(Debug, Args)]
pub(super) struct DbArgs {
    #[command(subcommand)]
    command: DbCommand,
}

#[derive(Debug, Subcommand)]
enum DbCommand {
    /// Fetch advisories, or compile raw OSV records
    Update(UpdateArgs),
    /// Say which advisories there are, from where and how old
    Status(StatusArgs),
    /// Put compiled advisories into a registry, for others to update from
    Push(PushArgs),
    /// Write advisories to a file, for machines without a network
    Export(ExportArgs),
    /// Take in what `db export` wrote, or single index files
    Import(ImportArgs),
}

#[derive(Debug, Args)]
struct UpdateArgs {
    /// Ecosystems: Debian:12 for one release, Debian for all [default: those there are, and those that scans asked for]
    #[arg(value_name = "ECOSYSTEM", value_parser = ecosystem)]
    ecosystems: Vec<Ecosystem>,
    /// Where from: compiled indexes in a registry, or raw OSV records: a mirror of the public bucket by its address, a
    /// folder, a zip
    #[arg(long, value_name = "REF|URL|DIR|ZIP", env = "CLARITY_DB_SOURCE", hide_env_values = true, value_parser = source)]
    from: Option<Source>,
    /// All ecosystems that the source has
    #[arg(long, conflicts_with = "ecosystems")]
    all: bool,
    #[command(flatten)]
    overlays: OverlayArgs,
    #[command(flatten)]
    folder: FolderArgs,
    #[command(flatten)]
    transport: TransportArgs,
}

#[derive(Debug, Args)]
struct StatusArgs {
    /// Form of the result
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    output: Format,
    #[command(flatten)]
    folder: FolderArgs,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// For people.
    Table,
    /// For programs.
    Json,
}

#[derive(Debug, Args)]
struct PushArgs {
    /// Where to push them, for example registry.example.com/tools/advisories:v1
    #[arg(value_name = "REF", value_parser = reference)]
    target: Reference,
    /// Ecosystems, with their releases [default: all there are]
    #[arg(value_name = "ECOSYSTEM", value_parser = ecosystem)]
    ecosystems: Vec<Ecosystem>,
    /// Update from raw OSV records first: a mirror's address, a folder, a zip
    #[arg(long, value_name = "URL|DIR|ZIP", value_parser = source)]
    from: Option<Source>,
    #[command(flatten)]
    overlays: OverlayArgs,
    #[command(flatten)]
    folder: FolderArgs,
    #[command(flatten)]
    transport: TransportArgs,
}

/// Documents that are laid over findings.
#[derive(Clone, Debug, Args)]
struct OverlayArgs {
    /// CISA's catalogue of known exploited vulnerabilities, JSON; alone, nothing else is updated, and so for the others
    #[arg(long, value_name = "FILE|URL")]
    kev: Option<String>,
    /// FIRST's EPSS scores, CSV or CSV.gz
    #[arg(long, value_name = "FILE|URL")]
    epss: Option<String>,
    /// Debian's security tracker, JSON
    #[arg(long, value_name = "FILE|URL")]
    debian_tracker: Option<String>,
    /// Ubuntu's CVE tracker, its repository or a tar of it
    #[arg(long, value_name = "DIR|FILE|URL")]
    ubuntu_tracker: Option<String>,
}

impl OverlayArgs {
    fn sources(self) -> Vec<OverlaySource> {
        let Self { kev, epss, debian_tracker, ubuntu_tracker } = self;
        let places = [
            (Kind::Kev, kev),
            (Kind::Epss, epss),
            (Kind::DebianTracker, debian_tracker),
            (Kind::UbuntuTracker, ubuntu_tracker),
        ];
        places.into_iter().filter_map(|(kind, place)| Some(OverlaySource { kind, place: place? })).collect()
    }
}

#[derive(Debug, Args)]
struct ExportArgs {
    /// The file to write, a tar; - is standard output
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Ecosystems, with their releases [default: all there are]
    #[arg(value_name = "ECOSYSTEM", value_parser = ecosystem)]
    ecosystems: Vec<Ecosystem>,
    #[command(flatten)]
    folder: FolderArgs,
}

#[derive(Debug, Args)]
struct ImportArgs {
    /// What `db export` wrote, or index files
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    #[command(flatten)]
    folder: FolderArgs,
}

fn ecosystem(text: &str) -> Result<Ecosystem, String> {
    let known: Option<Ecosystem> = text.parse().ok().filter(Ecosystem::can_be_matched);
    known.ok_or_else(|| {
        "no ecosystem of OSV whose packages can be matched; for example Debian:12, PyPI".to_owned()
    })
}

pub(super) async fn run(args: DbArgs, access: AccessArgs) -> Result<Exit, Explained> {
    match args.command {
        DbCommand::Update(args) => update(args, &access).await,
        DbCommand::Status(args) => status(args),
        DbCommand::Push(args) => push(args, &access).await,
        DbCommand::Export(args) => export(args),
        DbCommand::Import(args) => import(args),
    }
}

async fn update(args: UpdateArgs, access: &AccessArgs) -> Result<Exit, Explained> {
    let transfer = Transfer::new();
    let UpdateArgs { ecosystems, from, all, overlays, folder, transport } = args;
    let database = folder.database()?;
    let overlays = overlays.sources();
    let is_only_overlays = !overlays.is_empty() && ecosystems.is_empty() && !all;
    let reach = transport.complete(Some(access), None).await?;
    let update = reach.update(from.unwrap_or_else(published));
    if !overlays.is_empty() {
        let count = database.lay_over(&overlays, &update.settings, &|progress| transfer.tell(progress)).await?;
        if is_only_overlays {
            ui::data(None, &format!("{} new in {}\n", counted(count), database.folder().display()))?;
            return Ok(Exit::Passed);
        }
    }
    let wanted = wanted(&database, &ecosystems, all, &update.source)?;
    let outcome = update.run(&database, &wanted, &|progress| transfer.tell(progress)).await?;
    let Outcome { installed, unchanged, missing, failed } = outcome;
    let text = format!(
        "{} new, {} unchanged in {}\n",
        counted(installed.len()),
        unchanged.len(),
        database.folder().display()
    );
    ui::data(None, &text)?;
    if let Some(error) = failed {
        return Err((*error).into());
    }
    // What nobody named need not be there: of a language there may be nothing about malware.
    let is_named = |name: &String| ecosystems.iter().any(|ecosystem| ecosystem.to_string() == *name);
    let missing: Vec<String> = missing.into_iter().filter(is_named).collect();
    if missing.is_empty() { Ok(Exit::Passed) } else { Err(DatabaseError::Unknown(missing).into()) }
}

/// What an update is about. A name without a release means all of them.
fn wanted(
    database: &Database,
    ecosystems: &[Ecosystem],
    all: bool,
    source: &Source,
) -> Result<Wanted, Explained> {
    if all {
        return Ok(Wanted::all());
    }
    if !ecosystems.is_empty() {
        return Ok(of_names(ecosystems));
    }
    let wanted = Wanted::whole(database.ecosystems()?.into_iter().chain(database.seen()?));
    match source {
        Source::Records(_) if wanted.is_empty() => Ok(Wanted::all()),
        Source::Artifact(_) | Source::Mirror(_) if wanted.is_empty() => {
            let unknown = io::Error::other("nothing was scanned yet, so it is not known what is needed");
            let explained = Explained::new("nothing to fetch", &unknown);
            Err(explained.hint("name ecosystems: kubectl clarity db update Debian:12 Go; or --all"))
        }
        _ => Ok(wanted),
    }
}

/// Where the published indexes are.
fn published() -> Source {
    source(SOURCE).unwrap_or_else(|_| Source::Mirror(SOURCE.to_owned()))
}

fn of_names(ecosystems: &[Ecosystem]) -> Wanted {
    let mut wanted = Wanted::whole(ecosystems.iter().filter(|one| one.release().is_some()).cloned());
    for ecosystem in ecosystems.iter().filter(|ecosystem| ecosystem.release().is_none()) {
        wanted.add_releases(ecosystem.name());
    }
    wanted
}

/// One line of `db status -o json`.
#[derive(Serialize)]
struct Line<'a> {
    ecosystem: &'a str,
    advisories: Option<usize>,
    packages: Option<usize>,
    bytes: u64,
    digest: &'a str,
    origin: &'a str,
    as_of: Option<Timestamp>,
    checked: Option<Timestamp>,
    newest: Option<&'a str>,
    damaged: Option<&'a str>,
}

fn status(args: StatusArgs) -> Result<Exit, Explained> {
    let StatusArgs { output, folder } = args;
    let database = folder.database()?;
    let (status, notes) = database.status()?;
    for note in &notes {
        ui::say(&format!("note: {note}"));
    }
    let is_damaged = status.iter().any(|status| status.header.is_err());
    let text = match output {
        Format::Json => json(&status),
        Format::Table => table(&status, &database),
    };
    ui::data(None, &text)?;
    Ok(if is_damaged { Exit::Error } else { Exit::Passed })
}

fn json(status: &[Status]) -> String {
    let line = |status: &'_ Status| {
        let header = status.header.as_ref().ok();
        serde_json::to_value(Line {
            ecosystem: &status.name,
            advisories: header.map(|header| header.records),
            packages: header.map(|header| header.keys),
            bytes: status.installed.size,
            digest: &status.installed.digest,
            origin: &status.installed.origin,
            as_of: status.installed.as_of,
            checked: status.installed.checked,
            newest: header.and_then(|header| header.newest.as_deref()),
            damaged: status.header.as_ref().err().map(String::as_str),
        })
        .unwrap_or_default()
    };
    let lines: Vec<serde_json::Value> = status.iter().map(line).collect();
    format!("{:#}\n", serde_json::Value::from(lines))
}

fn table(status: &[Status], database: &Database) -> String {
    if status.is_empty() {
        return format!("No advisories in {}: kubectl clarity db update\n", database.folder().display());
    }
    let now = Timestamp::now();
    let row = |status: &Status| {
        let age = status.installed.as_of.map_or("unknown".to_owned(), |time| days(now.duration_since(time)));
        let (records, from) = match &status.header {
            Ok(header) => (header.records.to_string(), shortened(&status.installed.origin)),
            Err(why) => ("-".to_owned(), format!("cannot be used: {why}")),
        };
        vec![status.name.clone(), records, mebibytes(status.installed.size), age, from]
    };
    let heads = [("ECOSYSTEM", false), ("ADVISORIES", true), ("SIZE", true), ("AGE", true), ("FROM", false)];
    let to_terminal = io::stdout().is_terminal();
    let width = if to_terminal { ui::terminal_width() } else { None };
    let options = TableOptions { width, ..TableOptions::default() };
    columns(&heads, &status.iter().map(row).collect::<Vec<_>>(), options)
}

async fn push(args: PushArgs, access: &AccessArgs) -> Result<Exit, Explained> {
    let transfer = Transfer::new();
    let PushArgs { target, ecosystems, from, overlays, folder, transport } = args;
    let database = folder.database()?;
    let source = from.clone().unwrap_or(Source::Artifact(target.clone()));
    let update = transport.complete(Some(access), None).await?.update(source);
    if from.is_some() {
        let wanted = if ecosystems.is_empty() { Wanted::all() } else { of_names(&ecosystems) };
        let outcome = update.run(&database, &wanted, &|progress| transfer.tell(progress)).await?;
        // Half of the data would look like all of them to whoever fetches them.
        if let Some(error) = outcome.failed {
            return Err((*error).into());
        }
    }
    let overlays = overlays.sources();
    if !overlays.is_empty() {
        database.lay_over(&overlays, &update.settings, &|progress| transfer.tell(progress)).await?;
    }
    let (status, _) = database.status()?;
    let named = of_names(&ecosystems);
    let is_chosen = |status: &&Status| match status.name.parse::<Kind>() {
        Ok(kind) => ecosystems.is_empty() || kind.ecosystem().is_none_or(|name| named.holds_release_of(name)),
        Err(()) => ecosystems.is_empty() || status.name.parse().is_ok_and(|name| named.holds(&name)),
    };
    let chosen: Vec<String> = status.iter().filter(is_chosen).map(|status| status.name.clone()).collect();
    if chosen.is_empty() {
        let named = ecosystems.iter().map(ToString::to_string).collect();
        return Err(DatabaseError::Unknown(named).into());
    }
    let way = update.way(&target, &|progress| transfer.tell(progress))?;
    let digest = database.push(&way, &target, &chosen, &|progress| transfer.tell(progress)).await?;
    ui::data(None, &format!("{}\n", Reference { digest: Some(digest), ..target }))?;
    Ok(Exit::Passed)
}

fn reference(text: &str) -> Result<Reference, String> {
    text.parse().map_err(|error: ReferenceError| error.to_string())
}

fn export(args: ExportArgs) -> Result<Exit, Explained> {
    let ExportArgs { file, ecosystems, folder } = args;
    let database = folder.database()?;
    let names: Vec<String> = ecosystems.iter().map(ToString::to_string).collect();
    let count = if file == Path::new("-") {
        database.export(&names, io::stdout().lock())?
    } else {
        let unwritten = |error| Explained::new(format!("cannot write {}", file.display()), &error);
        let out = File::create(&file).map_err(unwritten)?;
        let count = database.export(&names, &out);
        if count.is_err() {
            let _ = std::fs::remove_file(&file);
        }
        let count = count?;
        out.sync_all().map_err(unwritten)?;
        count
    };
    ui::say(&format!("{} written", counted(count)));
    Ok(Exit::Passed)
}

fn import(args: ImportArgs) -> Result<Exit, Explained> {
    let transfer = Transfer::new();
    let ImportArgs { files, folder } = args;
    let database = folder.database()?;
    let mut change = database.change(&|progress| transfer.tell(progress))?;
    let mut count = 0;
    for file in &files {
        count += change.import(file, &|progress| transfer.tell(progress))?.len();
    }
    change.commit()?;
    ui::data(None, &format!("{} in {}\n", counted(count), database.folder().display()))?;
    Ok(Exit::Passed)
}
