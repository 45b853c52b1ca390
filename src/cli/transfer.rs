//! What is said on stderr while advisories come: lines that stay, and on a terminal how much is there.

use std::io::{IsTerminal as _, Write as _};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::ui;
use crate::advisories::overlays::Kind;
use crate::database::Progress;

/// How often the line of a terminal is drawn anew.
const REDRAW: Duration = Duration::from_millis(100);
/// How often it is said where there is no terminal.
const INTERVAL: Duration = Duration::from_secs(10);

/// Shows what a database is doing.
pub(super) struct Transfer(Mutex<Shown>);

struct Shown {
    terminal: bool,
    /// Bytes of what is on its way, if that is known.
    size: Option<u64>,
    drawn: Instant,
    is_drawn: bool,
}

impl Transfer {
    pub(super) fn new() -> Self {
        let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let terminal = std::io::stderr().is_terminal() && !is_dumb;
        Self(Mutex::new(Shown { terminal, size: None, drawn: Instant::now(), is_drawn: false }))
    }

    /// Takes in what happened.
    pub(super) fn tell(&self, progress: Progress) {
        let mut shown = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Progress::Fetched(bytes) = progress {
            shown.draw(bytes);
            return;
        }
        if let Progress::Fetching { size, .. } = &progress {
            shown.size = *size;
        }
        if let Progress::Pushing { size, .. } = &progress {
            shown.size = Some(*size);
        }
        if let Some(text) = in_words(progress) {
            shown.clear();
            ui::say(&text);
        }
    }
}

impl Drop for Transfer {
    fn drop(&mut self) {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl Shown {
    fn draw(&mut self, bytes: u64) {
        if self.drawn.elapsed() < if self.terminal { REDRAW } else { INTERVAL } {
            return;
        }
        self.drawn = Instant::now();
        let text = amount(bytes, self.size);
        if self.terminal {
            self.is_drawn = true;
            let _ = write!(std::io::stderr(), "\r\x1b[K{text}");
        } else {
            ui::say(&text);
        }
    }

    fn clear(&mut self) {
        if std::mem::take(&mut self.is_drawn) {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

/// How much is there: `3.1 MiB of 12.0 MiB`.
pub(super) fn amount(bytes: u64, size: Option<u64>) -> String {
    match size {
        Some(size) => format!("{} of {}", mebibytes(bytes), mebibytes(size)),
        None => mebibytes(bytes),
    }
}

/// What is going on; none where it is not worth a line.
pub(super) fn in_words(progress: Progress) -> Option<String> {
    Some(match progress {
        Progress::Waiting => "another process changes the same database: waiting for it".to_owned(),
        Progress::Fetching { from, size, count } => {
            let size = size.map(|size| format!(", {}", mebibytes(size))).unwrap_or_default();
            format!("fetching advisories, {} from {from}{size}", counted(count))
        }
        Progress::Pushing { to, size, count } => {
            format!("pushing {}, {} to {to}", counted(count), mebibytes(size))
        }
        Progress::Fetched(_) | Progress::Unchanged(_) => return None,
        Progress::Reading(from) => format!("reading records of {from}"),
        Progress::Installed(name, records) => {
            let noun =
                if name.parse::<Kind>().is_ok() { ("entry", "entries") } else { ("advisory", "advisories") };
            format!("{name}: {records} {}", if records == 1 { noun.0 } else { noun.1 })
        }
        Progress::Note(note) => format!("note: {note}"),
    })
}

/// A size with one digit after the point: `0.4 MiB`.
pub(super) fn mebibytes(bytes: u64) -> String {
    let tenths = bytes.saturating_mul(10).div_ceil(1 << 20);
    format!("{}.{} MiB", tenths / 10, tenths % 10)
}

/// A size in the unit that suits it: `31 KiB`, `1.2 MiB`.
pub(super) fn size(bytes: u64) -> String {
    if bytes < 1 << 20 { format!("{} KiB", bytes.div_ceil(1 << 10)) } else { mebibytes(bytes) }
}

/// Indexes in words.
pub(super) fn counted(indexes: usize) -> String {
    if indexes == 1 { "1 index".to_owned() } else { format!("{indexes} indexes") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_rounded_up_to_tenths_of_a_mebibyte() {
        for (bytes, words) in [(0, "0.0 MiB"), (1, "0.1 MiB"), (1 << 20, "1.0 MiB"), ((1 << 20) + 1, "1.1 MiB")]
        {
            assert_eq!(mebibytes(bytes), words);
        }
        assert_eq!(amount(1 << 20, Some(3 << 20)), "1.0 MiB of 3.0 MiB");
        assert_eq!(amount(1 << 20, None), "1.0 MiB");
    }
}
