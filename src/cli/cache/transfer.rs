//! `kubectl clarity cache export` and `import`.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use tokio::sync::mpsc;

use super::super::{Exit, errors::Explained, input, ui};
use super::place::Opened;
use crate::cache::archive::{self, Archive, ArchiveError};
use crate::cache::{About, Entry, Found};
use crate::image::ImageKey;
use crate::report::text::plural;
use crate::sbom::cyclonedx;

/// Entries that are fetched at once: their documents are in memory together.
const BATCH: usize = 32;

pub(super) async fn export(file: &Path, stores: &[Opened]) -> Result<Exit, Explained> {
    let count = if input::is_stdin(file) {
        write(BufWriter::new(io::stdout()), file, stores).await?
    } else {
        let out = File::create(file).map_err(|error| unwritten(file, &error))?;
        let count = write(BufWriter::new(&out), file, stores).await;
        if count.is_err() {
            let _ = std::fs::remove_file(file);
        }
        let count = count?;
        out.sync_all().map_err(|error| unwritten(file, &error))?;
        count
    };
    ui::say(&format!("{} written", plural(count, "document")));
    Ok(Exit::Passed)
}

fn unwritten(file: &Path, error: &(dyn std::error::Error + 'static)) -> Explained {
    Explained::new(format!("cannot write {}", file.display()), error)
}

/// Writes what is in the stores; what several have is taken from the first.
async fn write(out: impl Write, file: &Path, stores: &[Opened]) -> Result<usize, Explained> {
    let failed = |error: ArchiveError| unwritten(file, &error);
    let mut archive = Archive::new(out);
    let mut written: HashSet<ImageKey> = HashSet::new();
    for opened in stores {
        let Some(abouts) = opened.or_note(opened.store.list().await)? else { continue };
        let mut keys: Vec<ImageKey> = abouts.into_iter().map(|about| about.key).collect();
        keys.retain(|key| !written.contains(key));
        keys.sort();
        for keys in keys.chunks(BATCH) {
            let Some(found) = opened.or_note(opened.store.get(keys).await)? else { break };
            for found in found {
                match found {
                    Found::Whole(entry) => {
                        archive.add(&entry).map_err(failed)?;
                        written.insert(entry.about.key);
                    }
                    Found::Damaged(key, why) => ui::say(&format!("note: left out {key}: damaged: {why}")),
                }
            }
        }
    }
    let (mut out, count) = archive.finish().map_err(failed)?;
    out.flush().map_err(|error| unwritten(file, &error))?;
    Ok(count)
}

pub(super) async fn import(file: PathBuf, stores: &[Opened]) -> Result<Exit, Explained> {
    let name = file.display().to_string();
    let refused = |error: &(dyn std::error::Error + 'static)| {
        Explained::new(format!("cannot take in all of {name}"), error)
    };
    let mut stores: Vec<&Opened> = stores.iter().collect();
    let (send, mut receive) = mpsc::channel(2);
    let reading =
        tokio::task::spawn_blocking(move || archive::read(&file, |entry| send.blocking_send(entry).is_ok()));
    while let Some(Entry { about, document }) = receive.recv().await {
        if let Err(error) = cyclonedx::read(&document) {
            return Err(refused(&error));
        }
        let entry = Entry { about: About { used: Timestamp::now(), ..about }, document };
        let mut kept = Vec::new();
        for opened in stores {
            // One that has refused once would refuse each, and say so each time.
            if opened.or_note(opened.store.put(&entry).await)?.is_some() {
                kept.push(opened);
            }
        }
        stores = kept;
    }
    let count = reading.await.map_err(|error| refused(&error))?.map_err(|error| refused(&error))?;
    for opened in stores {
        ui::data(None, &format!("{} in {}\n", plural(count, "document"), opened.store.name()))?;
    }
    Ok(Exit::Passed)
}
