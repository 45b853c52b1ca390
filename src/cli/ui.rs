//! The screen: data on stdout, progress and notes on stderr, signals.

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use clap::ValueEnum;
use tokio_util::sync::CancellationToken;

use super::errors::Explained;
use super::transfer;
use crate::database;
use crate::report::text::sanitize;
use crate::scan::Update;

/// How often the line of a terminal is drawn anew.
const REDRAW: Duration = Duration::from_millis(100);

/// How often progress is said where there is no terminal.
const INTERVAL: Duration = Duration::from_secs(10);

/// Within this time several signals are one.
const ECHO: Duration = Duration::from_millis(100);

/// When to use colours.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Color {
    /// On a terminal, unless `NO_COLOR` is set or `TERM` is `dumb`.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl Color {
    /// Whether to colour what goes to stdout.
    pub(super) fn enabled(self, to_terminal: bool) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto => {
                let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
                let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
                to_terminal && !refused && !dumb
            }
        }
    }
}

/// Columns of the terminal that stdout is, if it is one.
pub(super) fn terminal_width() -> Option<u16> {
    rustix::termios::tcgetwinsize(std::io::stdout()).ok().map(|size| size.ws_col).filter(|columns| *columns > 0)
}

/// A file for the result, opened before the work begins: a mistyped folder is said at once.
pub(super) struct OutputFile {
    path: PathBuf,
    file: std::fs::File,
}

impl OutputFile {
    pub(super) fn create(path: PathBuf) -> Result<Self, Explained> {
        match std::fs::File::create(&path) {
            Ok(file) => Ok(Self { path, file }),
            Err(error) => Err(Explained::new(format!("cannot write the result to {}", path.display()), &error)),
        }
    }
}

/// Writes the result to a file or to stdout. A pipe that nobody reads any more is no error, as for every filter.
pub(super) fn data(file: Option<OutputFile>, text: &str) -> Result<(), Explained> {
    let (place, written) = if let Some(OutputFile { path, mut file }) = file {
        (path.display().to_string(), file.write_all(text.as_bytes()))
    } else {
        let mut stdout = std::io::stdout();
        let written = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
        let written = written.or_else(|error| match error.kind() {
            std::io::ErrorKind::BrokenPipe => Ok(()),
            _ => Err(error),
        });
        ("stdout".to_owned(), written)
    };
    written.map_err(|error| Explained::new(format!("cannot write the result to {place}"), &error))
}

/// Says one line on stderr.
pub(super) fn say(text: &str) {
    // With stderr gone there is nobody to tell.
    let _ = writeln!(std::io::stderr(), "{}", sanitize(text));
}

/// Asks on stderr; the answer is on the same line.
pub(super) fn ask(text: &str) {
    let _ = write!(std::io::stderr(), "{}", sanitize(text));
    let _ = std::io::stderr().flush();
}

/// Most bytes of certificates that are passed to the scanner: they travel in its Job.
const MAX_CERTIFICATES: usize = 64 << 10;

/// Reads the certificates of a PEM file. What else is in it, a private key say, is left out: the result can be read
/// by whoever may read Jobs.
pub(super) fn read_certificates(path: &Path) -> Result<String, Explained> {
    let message = format!("cannot use --registry-ca {}", path.display());
    let text = std::fs::read(path).map_err(|error| Explained::new(&message, &error))?;
    certificates(&message, &text)
}

/// The certificates of a PEM text, and nothing else of it. `message` says what cannot be done without them.
pub(super) fn certificates(message: &str, text: &[u8]) -> Result<String, Explained> {
    use base64::Engine as _;
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject as _;
    let wrong = |why: &str| Explained::new(message, &std::io::Error::other(why.to_owned()));
    let mut pem = String::new();
    for certificate in CertificateDer::pem_slice_iter(text) {
        let certificate = certificate.map_err(|error| wrong(&error.to_string()))?;
        let encoded = base64::engine::general_purpose::STANDARD.encode(&certificate);
        pem.push_str("-----BEGIN CERTIFICATE-----\n");
        for line in encoded.as_bytes().chunks(64) {
            pem.push_str(&String::from_utf8_lossy(line));
            pem.push('\n');
        }
        pem.push_str("-----END CERTIFICATE-----\n");
    }
    match pem.len() {
        0 => Err(wrong("it holds no PEM certificate")),
        1..=MAX_CERTIFICATES => Ok(pem),
        _ => Err(wrong("it holds too many certificates; give those of the registries' own authority")),
    }
}

/// Stops the scan at the first Ctrl-C or SIGTERM, and leaves at once at the second.
pub(super) fn stop_on_signal(stop: CancellationToken) {
    tokio::spawn(async move {
        let mut signals = Signals::new();
        signals.next().await;
        say("interrupted: removing what this scan created (once more to leave at once)");
        stop.cancel();
        // Whoever runs this may send the signal to the process and to its group: that is still once.
        let echoes = async {
            loop {
                signals.next().await;
            }
        };
        let _ = tokio::time::timeout(ECHO, echoes).await;
        signals.next().await;
        say(
            "left: what is still there ends by itself, or: kubectl delete jobs -A -l app.kubernetes.io/managed-by=kubectl-clarity",
        );
        #[expect(clippy::exit, reason = "the person asked twice to leave at once")]
        std::process::exit(130);
    });
}

/// Stops waiting at the first Ctrl-C or SIGTERM: nothing is removed, so nothing has to be waited for.
pub(super) fn leave_on_signal(stop: CancellationToken) {
    tokio::spawn(async move {
        Signals::new().next().await;
        stop.cancel();
    });
}

/// The signals by which a program is asked to end: Ctrl-C, the end of its terminal, a polite kill.
struct Signals {
    #[cfg(unix)]
    heard: Vec<tokio::signal::unix::Signal>,
}

impl Signals {
    #[cfg(unix)]
    fn new() -> Self {
        use tokio::signal::unix::{SignalKind, signal};
        let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
        Self { heard: kinds.into_iter().filter_map(|kind| signal(kind).ok()).collect() }
    }

    #[cfg(not(unix))]
    fn new() -> Self {
        Self {}
    }

    #[cfg(unix)]
    async fn next(&mut self) {
        let mut next: futures::stream::FuturesUnordered<_> =
            self.heard.iter_mut().map(tokio::signal::unix::Signal::recv).collect();
        if futures::StreamExt::next(&mut next).await.is_none() {
            std::future::pending::<()>().await;
        }
    }

    #[cfg(not(unix))]
    async fn next(&mut self) {
        // An error means that none will come.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Progress on stderr: one line that changes on a terminal, plain lines at intervals elsewhere.
pub(super) struct Progress {
    shown: Arc<Mutex<Shown>>,
    drawing: Option<tokio::task::JoinHandle<()>>,
    verbosity: u8,
}

/// What is known of the scan's progress.
struct Shown {
    started: Instant,
    said: Instant,
    terminal: bool,
    images: usize,
    finished: usize,
    /// Images that are being read: name, bytes, bytes of all layers.
    reading: BTreeMap<usize, (String, u64, u64)>,
    waiting: Option<String>,
    /// Bytes of advisories that are here, and how many there will be.
    fetched: Option<u64>,
    to_fetch: Option<u64>,
}

impl Progress {
    /// Begins to show progress.
    pub(super) fn start(verbosity: u8) -> Self {
        let terminal =
            std::io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        let now = Instant::now();
        let shown = Shown {
            started: now,
            said: now,
            terminal,
            images: 0,
            finished: 0,
            reading: BTreeMap::new(),
            waiting: None,
            fetched: None,
            to_fetch: None,
        };
        let shown = Arc::new(Mutex::new(shown));
        let drawn = Arc::clone(&shown);
        let drawing = tokio::spawn(async move {
            loop {
                tokio::time::sleep(if terminal { REDRAW } else { INTERVAL }).await;
                drawn.lock().unwrap_or_else(PoisonError::into_inner).draw();
            }
        });
        Self { shown, drawing: Some(drawing), verbosity }
    }

    /// Takes in what happened.
    pub(super) fn update(&self, update: Update) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        match update {
            Update::Planned { scan, containers, images, cached, jobs } => {
                shown.images = images;
                let read = match images {
                    0 => "nothing to read".to_owned(),
                    _ => format!("{} to read in {}", counted(images, "image"), counted(jobs, "pod")),
                };
                let known = if cached > 0 { format!(", {cached} cached") } else { String::new() };
                shown.line(&format!("scan {scan}: {}, {read}{known}", counted(containers, "container")));
            }
            Update::Waiting { job, text } => {
                shown.line(&format!("{job} waits: {text}"));
                shown.waiting = Some(text);
            }
            Update::Reading { image, target, read, total } => {
                shown.waiting = None;
                shown.reading.insert(target, (image, read, total));
            }
            Update::Finished { target, .. } => {
                shown.finished += 1;
                shown.reading.remove(&target);
            }
            Update::Advisories(database::Progress::Fetched(bytes)) => shown.fetched = Some(bytes),
            Update::Advisories(progress) => {
                if let database::Progress::Fetching { size, .. } = &progress {
                    shown.to_fetch = *size;
                }
                if let Some(text) = transfer::in_words(progress) {
                    shown.line(&text);
                }
            }
            Update::Note(note) => shown.line(&format!("note: {note}")),
            Update::Stage(stage, took) if self.verbosity > 0 => {
                let at = shown.started.elapsed().as_millis();
                shown.line(&format!("{stage}: {} ms (at {at} ms)", took.as_millis()));
            }
            Update::Pod { namespace, stage } if self.verbosity > 0 => {
                let at = shown.started.elapsed().as_millis();
                shown.line(&format!("namespace {namespace}: {stage} (at {at} ms)"));
            }
            Update::Detail(text) if self.verbosity > 0 => shown.line(&text),
            Update::Stage(..) | Update::Pod { .. } | Update::Detail(_) => {}
        }
    }

    /// Says how many images there are, of a scan that somebody else has planned.
    pub(super) fn expect(&self, images: usize) {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner).images = images;
    }

    /// Ends it and leaves the line empty.
    pub(super) fn end(mut self) {
        if let Some(drawing) = self.drawing.take() {
            drawing.abort();
        }
        self.shown.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl Shown {
    /// A line that stays.
    fn line(&mut self, text: &str) {
        self.clear();
        say(text);
        self.said = Instant::now();
    }

    fn clear(&self) {
        if self.terminal {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }

    fn draw(&mut self) {
        let text = match self.fetched {
            Some(bytes) => format!("advisories: {}", transfer::amount(bytes, self.to_fetch)),
            None if self.images == 0 || self.finished == self.images => return,
            None => self.text(),
        };
        if self.terminal {
            let width =
                rustix::termios::tcgetwinsize(std::io::stderr()).map_or(80, |size| usize::from(size.ws_col));
            let text: String = sanitize(&text).chars().take(width.saturating_sub(1)).collect();
            let _ = write!(std::io::stderr(), "\r\x1b[K{text}");
        } else if self.said.elapsed() >= INTERVAL {
            self.line(&text);
        }
    }

    fn text(&self) -> String {
        let seconds = self.started.elapsed().as_secs();
        let doing = match (self.reading.values().next(), &self.waiting) {
            (Some((image, read, total)), _) if *total > 0 => {
                format!("{} of {} MiB  {image}", read >> 20, total.div_ceil(1 << 20))
            }
            (Some((image, ..)), _) => image.clone(),
            (None, Some(waiting)) => format!("waits: {waiting}"),
            (None, None) => "starting the scanner".to_owned(),
        };
        format!("{seconds}s  {} of {} images  {doing}", self.finished, self.images)
    }
}

fn counted(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}
