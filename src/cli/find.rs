//! `kubectl clarity find`.

use std::io::IsTerminal as _;

use clap::{Args, ValueEnum};
use tokio_util::sync::CancellationToken;

use super::Exit;
use super::access::AccessArgs;
use super::database::AdvisoriesArgs;
use super::errors::Explained;
use super::kept::{self, KeptArgs, ScannerArgs};
use super::network::TransportArgs;
use super::transfer::Transfer;
use super::ui;
use crate::advisories::{Index, Wanted};
use crate::cache::{Cache, LocalStore};
use crate::cluster::{self, Scope};
use crate::database::Advisories;
use crate::find::{self, Answer, Query, QueryError, Search};
use crate::report::table::TableOptions;
use crate::scan::{ReadConfig, open_cache};

/// Flags of `find`.
#[derive(Debug, Args)]
pub(super) struct FindArgs {
    /// A vulnerability by any id, a package URL, or the name of a package, with versions if some are meant: log4j-core,
    /// log4j-core@2.14.1, 'log4j-core@>=2.0 <2.17.1'
    #[arg(value_name = "ID|PURL|NAME", value_parser = query)]
    query: Query,
    #[command(flatten)]
    place: PlaceArgs,
    /// Form of the result
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    output: Format,
    /// Name all users of an image and all places of a package in the table
    #[arg(long)]
    all: bool,
    /// End with code 0 although there are images whose packages are not known
    #[arg(long)]
    allow_incomplete: bool,
    #[command(flatten)]
    advisories: AdvisoriesArgs,
    #[command(flatten)]
    transport: TransportArgs,
    #[command(flatten)]
    kept: KeptArgs,
    #[command(flatten)]
    scanner: ScannerArgs,
}

/// What is looked into.
#[derive(Debug, Args)]
struct PlaceArgs {
    /// Namespace to look into; that of the context without it
    #[arg(short, long, value_name = "NAME", conflicts_with = "cached")]
    namespace: Option<String>,
    /// Look into all namespaces
    #[arg(short = 'A', long, conflicts_with_all = ["namespace", "cached"])]
    all_namespaces: bool,
    /// Look into every list of packages that is kept on this machine, whether it runs or not; no cluster is needed
    #[arg(long)]
    cached: bool,
}

/// Forms of the result.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// For people.
    Table,
    /// For programs.
    Json,
}

fn query(text: &str) -> Result<Query, String> {
    text.parse().map_err(|error: QueryError| match std::error::Error::source(&error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    })
}

/// Says where something runs.
pub(super) async fn run(args: FindArgs, access: AccessArgs) -> Result<Exit, Explained> {
    let FindArgs { query, place, output, all, allow_incomplete, advisories, transport, kept, scanner } = args;
    let PlaceArgs { namespace, all_namespaces, cached } = place;
    let index = match &query {
        // The names and versions of packages are enough.
        Query::Package(_) => Index::empty(),
        Query::Vulnerability(_) => {
            let reach = transport.complete(Some(&access), namespace.as_deref()).await?;
            index(&advisories.complete(reach)?).await?
        }
    };
    let mut notes = Vec::new();
    let mut stop = CancellationToken::new();
    let (running, cache) = if cached {
        (None, Cache::new(kept::folder().map(LocalStore::at), None))
    } else {
        let connection = cluster::connect(&access.complete()).await?;
        let namespace = (!all_namespaces).then(|| namespace.unwrap_or_else(|| connection.namespace.clone()));
        let scope = Scope { namespace, ..Scope::default() };
        let kept = kept.complete(&scope)?;
        stop = kept::stop_if_pods(&kept);
        let config = ReadConfig::looking(scope, kept, scanner.complete());
        let (discovered, cache) = tokio::join!(
            cluster::discover(&connection.client, &config.scope),
            open_cache(&connection, &config, &mut notes)
        );
        let discovery = discovered.map_err(|error| Explained::of_scan(&error.into(), &connection.server))?;
        let cache = cache.map_err(|error| Explained::of_scan(&error, &connection.server))?;
        notes.extend(discovery.notes);
        (Some(find::running(&discovery.containers)), cache)
    };
    let search = tokio::task::block_in_place(|| Search::new(query, index));
    let answer = tokio::select! {
        answer = find::ask(&cache, running, search) => Some(answer),
        () = stop.cancelled() => None,
    };
    notes.extend(cache.close().await);
    let Some(mut answer) = answer else { return Ok(Exit::Interrupted) };
    answer.notes.splice(0..0, notes);
    show(&answer, output, all)?;
    Ok(verdict(&answer, allow_incomplete))
}

/// All advisories of this machine: which are needed cannot be known before everything was read.
async fn index(advisories: &Advisories) -> Result<Index, Explained> {
    let wanted = match advisories {
        Advisories::Records(_) => Wanted::all(),
        Advisories::Database(supply) => Wanted::whole(supply.database.ecosystems()?),
    };
    let transfer = Transfer::new();
    let tell = |progress| transfer.tell(progress);
    Ok(advisories.index(&wanted, &tell).await?)
}

fn show(answer: &Answer, output: Format, all: bool) -> Result<(), Explained> {
    let text = match output {
        Format::Json => answer.json(),
        Format::Table => {
            let width = if std::io::stdout().is_terminal() { ui::terminal_width() } else { None };
            find::table(answer, &TableOptions { width, color: false, all })
        }
    };
    ui::data(None, &text)
}

/// Found or not, the answer is one if every image was looked into.
fn verdict(answer: &Answer, allow_incomplete: bool) -> Exit {
    if answer.is_complete() || allow_incomplete {
        return Exit::Passed;
    }
    ui::say("not every running image was searched, see Not searched (--allow-incomplete accepts it)");
    Exit::Incomplete
}
