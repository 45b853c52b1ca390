//! `kubectl clarity status`.

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use clap::{Args, ValueEnum};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::Exit;
use super::access::AccessArgs;
use super::errors::Explained;
use super::report::{self, age};
use super::reports::{self, RecordsArgs};
use super::scans::{self, Found, ScansArgs};
use super::ui;
use crate::cluster::{self, Connection};
use crate::job::JobState;
use crate::records::{Header, Listed};
use crate::report::table::{TableOptions, columns};
use crate::report::text::{plural, sanitize, shortened, wrap};
use crate::runner::Phase;
use crate::scan::{Harvest, Harvester, ImageState, SeenImage};

/// Records of scans that are over that are shown.
const RECENT: usize = 5;

/// How often the cluster is asked anew.
const INTERVAL: Duration = Duration::from_secs(1);

/// Flags of `status`.
#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    /// One scan with its images, by its id or how that begins; all scans without it
    #[arg(value_name = "ID")]
    id: Option<String>,
    #[command(flatten)]
    scans: ScansArgs,
    /// Go on until nothing runs any more
    #[arg(short, long)]
    watch: bool,
    /// Form of the result
    #[arg(short, long, value_name = "FORMAT", default_value = "table", hide_possible_values = true)]
    output: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Table,
    Json,
}

/// Shows the scans that run, from what the cluster says of them.
pub(super) async fn run(args: StatusArgs, access: AccessArgs) -> Result<Exit, Explained> {
    let StatusArgs { id, scans, watch, output } = args;
    let connection = cluster::connect(&access.complete()).await?;
    let (mut screen, mut harvester) = (Screen::new(), Harvester::looking());
    loop {
        let mut seen = scans.look(&connection).await?;
        if let Some(id) = &id {
            seen = scans::choose(id, seen)?.into_iter().collect();
        }
        let is_over = seen.iter().all(Found::is_over);
        let known = look(&connection, seen, &mut harvester).await;
        let now = Timestamp::now();
        let text = match output {
            Format::Json => json_of(&known),
            Format::Table => screen.table(&known, id.as_deref(), now),
        };
        if !watch {
            let recent = if id.is_none() && output == Format::Table {
                recent(&connection, now, screen.width).await
            } else {
                String::new()
            };
            ui::data(None, &format!("{text}{recent}"))?;
            return Ok(Exit::Passed);
        }
        screen.show(&text)?;
        if is_over {
            return Ok(Exit::Passed);
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

/// The last scans that have left a record, in the cluster or on this machine.
async fn recent(connection: &Connection, now: Timestamp, width: Option<u16>) -> String {
    let shared = reports::in_cluster(connection, None).await.list().await.unwrap_or_default();
    let local = RecordsArgs::default().folder().ok().and_then(|folder| folder.list().ok()).unwrap_or_default();
    let headers = shared.into_iter().chain(local).filter_map(|listed| match listed {
        Listed::Record(header) => Some(*header),
        Listed::Damaged { .. } => None,
    });
    // A scan may have left one in both.
    let by_id: BTreeMap<String, Header> = headers.map(|header| (header.file_name(), header)).collect();
    let last: Vec<Header> = by_id.into_values().rev().take(RECENT).collect();
    if last.is_empty() {
        return String::new();
    }
    let options = TableOptions { width, ..TableOptions::default() };
    format!("\nRecent, by their records:\n{}", report::table(&last, "", now, options))
}

/// Scans with what their pods have said.
async fn look(connection: &Connection, seen: Vec<Found>, harvester: &mut Harvester) -> Vec<(Found, Harvest)> {
    let mut known = Vec::new();
    for found in seen {
        let harvest = match &found.scan {
            Some(scan) => harvester.harvest(connection, scan).await,
            None => Harvest::default(),
        };
        known.push((found, harvest));
    }
    known
}

/// Where the state is shown: in place on a terminal, once for each change elsewhere.
struct Screen {
    is_terminal: bool,
    width: Option<u16>,
    /// What is there, and how many lines it has.
    shown: String,
}

impl Screen {
    fn new() -> Self {
        let is_terminal = std::io::stdout().is_terminal();
        Self { is_terminal, width: if is_terminal { ui::terminal_width() } else { None }, shown: String::new() }
    }

    fn show(&mut self, text: &str) -> Result<(), Explained> {
        if text == self.shown {
            return Ok(());
        }
        if self.is_terminal && !self.shown.is_empty() {
            // Back to its first line, and clear from there.
            let up = self.shown.lines().count();
            let _ = write!(std::io::stdout(), "\x1b[{up}A\x1b[J");
        }
        text.clone_into(&mut self.shown);
        ui::data(None, text)
    }

    fn table(&self, known: &[(Found, Harvest)], id: Option<&str>, now: Timestamp) -> String {
        let options = TableOptions { width: self.width, ..TableOptions::default() };
        match (known, id) {
            ([], Some(id)) => {
                format!("scan {id} has nothing in the cluster; its report, if there is one: report {id}\n")
            }
            ([], None) => "no scan runs\n".to_owned(),
            ([(scan, harvest)], Some(_)) => one(scan, harvest, now, options),
            _ => all(known, now, options),
        }
    }
}

fn all(known: &[(Found, Harvest)], now: Timestamp, options: TableOptions) -> String {
    let heads =
        [("SCAN", false), ("SCOPE", false), ("BY", false), ("AGE", true), ("READ", true), ("STATE", false)];
    let row = |(scan, harvest): &(Found, Harvest)| {
        vec![
            scan.id.clone(),
            scan.scope().unwrap_or("-").to_owned(),
            scan.schedule().or(scan.requester()).unwrap_or("-").to_owned(),
            scan.started().map_or_else(|| "-".to_owned(), |started| age(now.duration_since(started))),
            match harvest.images.len() {
                0 => "-".to_owned(),
                all => format!("{}/{all}", harvest.read()),
            },
            in_a_word(scan),
        ]
    };
    columns(&heads, &known.iter().map(row).collect::<Vec<_>>(), options)
}

fn one(scan: &Found, harvest: &Harvest, now: Timestamp, options: TableOptions) -> String {
    let by = scan.requester().map(|by| format!(", by {by}")).unwrap_or_default();
    let since = scan.started().map(|started| format!(", {} ago", age(now.duration_since(started))));
    let head = format!("{}{}{by}: {}", scan.named(), since.unwrap_or_default(), in_a_word(scan));
    let mut text = wrap(&sanitize(&head), 0, options.width);
    let heads = [("IMAGE", false), ("NAMESPACE", false), ("STATE", false)];
    let row = |image: &SeenImage| {
        vec![shortened(&image.image), image.namespace.clone(), image_in_words(&image.state)]
    };
    let rows: Vec<Vec<String>> = harvest.images.iter().map(row).collect();
    if !rows.is_empty() {
        text.push_str(&columns(&heads, &rows, options));
    }
    for note in &harvest.notes {
        text.push_str(&wrap(&format!("Note: {}", sanitize(note)), 0, options.width));
    }
    text
}

/// What a scan does, over all its Jobs.
fn in_a_word(found: &Found) -> String {
    match found.runner.as_ref().map(|runner| &runner.phase) {
        Some(Phase::Done) => return "done, see its report".to_owned(),
        Some(Phase::Failed(why)) => return format!("failed: {why}"),
        Some(Phase::Active) if found.scan.is_none() => return "its runner works".to_owned(),
        Some(Phase::Active) | None => {}
    }
    let jobs = found.scan.as_ref().map_or(&[][..], |scan| &scan.jobs);
    let running = jobs.iter().filter(|job| job.state == JobState::Running).count();
    let waiting = jobs.iter().find_map(|job| match &job.state {
        JobState::Waiting(what) => Some(what.clone()),
        _ => None,
    });
    match (running, waiting) {
        (0, Some(Some(what))) => format!("waits: {what}"),
        (0, Some(None)) => "starting".to_owned(),
        (0, None) => "its pods have ended".to_owned(),
        (running, _) => format!("{} running", plural(running, "pod")),
    }
}

fn image_in_words(state: &ImageState) -> String {
    match state {
        ImageState::Waiting(None) => "waiting".to_owned(),
        ImageState::Waiting(Some(what)) => format!("waiting: {what}"),
        ImageState::Reading { read, total } if *total > 0 => {
            format!("reading, {} of {} MiB", read >> 20, total.div_ceil(1 << 20))
        }
        ImageState::Reading { .. } => "reading".to_owned(),
        ImageState::Read { packages } => format!("read, {}", plural(*packages, "package")),
        ImageState::Failed(why) => format!("not read: {why}"),
    }
}

fn json_of(known: &[(Found, Harvest)]) -> String {
    let image = |image: &SeenImage| {
        let (state, more) = match &image.state {
            ImageState::Waiting(what) => ("waiting", json!({ "reason": what })),
            ImageState::Reading { read, total } => ("reading", json!({ "read": read, "total": total })),
            ImageState::Read { packages } => ("read", json!({ "packages": packages })),
            ImageState::Failed(why) => ("failed", json!({ "reason": why })),
        };
        let mut value =
            json!({"image": image.image, "namespace": image.namespace, "job": image.job, "state": state});
        if let (Some(value), Value::Object(more)) = (value.as_object_mut(), more) {
            value.extend(more);
        }
        value
    };
    let scan = |(scan, harvest): &(Found, Harvest)| {
        json!({
            "id": scan.id,
            "scope": scan.scope(),
            "requester": scan.requester(),
            "schedule": scan.schedule(),
            "started": scan.started().map(|started| started.to_string()),
            "runner": scan.runner.as_ref().map(|runner| format!("{}/{}", runner.namespace, runner.name)),
            "pods": scan.scan.as_ref().map_or(0, |scan| scan.planned),
            "over": scan.is_over(),
            "images": harvest.images.iter().map(image).collect::<Vec<_>>(),
        })
    };
    let scans: Vec<Value> = known.iter().map(scan).collect();
    format!("{:#}\n", Value::from(scans))
}
