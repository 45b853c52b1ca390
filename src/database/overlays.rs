//! Overlays from the documents that others publish.

use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::{Change, Database, DatabaseError, Origin, Progress, Tell};
use crate::advisories::overlays::Kind;
use crate::mirror::{Fetched, Mirror};
use crate::registry::Settings;

/// Largest document in bytes. The largest real one, Ubuntu's repository, has some 200 MB.
const MAX_BYTES: u64 = 2 << 30;

/// Where the document of an overlay is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OverlaySource {
    /// What is in it.
    pub kind: Kind,
    /// A path on this machine, or an address that begins with `https://` or `http://`.
    pub place: String,
}

impl Database {
    /// Takes in the documents of overlays.
    ///
    /// # Errors
    /// One of them cannot be had or read; then nothing is changed.
    pub async fn lay_over(
        &self,
        sources: &[OverlaySource],
        settings: &Settings,
        tell: Tell<'_>,
    ) -> Result<usize, DatabaseError> {
        let mut change = tokio::task::block_in_place(|| self.change(tell))?;
        for source in sources {
            change.overlay(source, settings, tell).await?;
        }
        change.commit()?;
        Ok(sources.len())
    }
}

impl Change<'_> {
    /// Fetches a document if it is elsewhere, compiles and installs it.
    async fn overlay(
        &mut self,
        source: &OverlaySource,
        settings: &Settings,
        tell: Tell<'_>,
    ) -> Result<(), DatabaseError> {
        let is_address = source.place.starts_with("https://") || source.place.starts_with("http://");
        if !is_address {
            let path = PathBuf::from(&source.place);
            let modified = std::fs::metadata(&path).and_then(|metadata| metadata.modified()).ok();
            let as_of = modified.and_then(|time| Timestamp::try_from(time).ok());
            return self.install_overlay(
                source.kind,
                &path,
                &Origin { name: source.place.clone(), as_of },
                tell,
            );
        }
        let (base, name) = source.place.rsplit_once('/').unwrap_or((&source.place, ""));
        let mirror = Mirror::new(base, settings.clone())?;
        let origin = Origin { name: format!("{mirror}/{name}"), as_of: Some(Timestamp::now()) };
        let path = self.parts()?.join(source.kind.as_str());
        tell(Progress::Fetching { from: origin.name.clone(), size: None, count: 1 });
        let progress = |bytes| tell(Progress::Fetched(bytes));
        match mirror.fetch(&[name], None, &path, MAX_BYTES, &progress).await? {
            // Nothing was said to be known, so this does not come.
            Fetched::NotModified | Fetched::Complete { .. } => {}
        }
        let installed = self.install_overlay(source.kind, &path, &origin, tell);
        let _ = std::fs::remove_file(&path);
        installed
    }

    fn install_overlay(
        &mut self,
        kind: Kind,
        path: &Path,
        origin: &Origin,
        tell: Tell<'_>,
    ) -> Result<(), DatabaseError> {
        tokio::task::block_in_place(|| {
            let wrong = |source| DatabaseError::Overlay { name: origin.name.clone(), source };
            let compiled = kind.compile(path).map_err(wrong)?;
            if let Some(note) = compiled.note.clone() {
                tell(Progress::Note(note));
            }
            let as_of = compiled.as_of.as_deref().and_then(|time| time.parse().ok()).or(origin.as_of);
            let origin = Origin { as_of, ..origin.clone() };
            let write = |mut out: &mut dyn std::io::Write| compiled.write(&mut out).map(drop);
            let (name, entries) = self.install(&kind.to_string(), &origin, None, write)?;
            tell(Progress::Installed(name, entries));
            Ok(())
        })
    }
}
