//! Indexes in a registry: one artifact, one layer an index, so that only those are fetched that are needed.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use futures::StreamExt as _;
use jiff::Timestamp;

use super::install::sum;
use super::{
    Change, Database, DatabaseError, Installed, Origin, Outcome, Progress, Tell, read_error, write_error,
};
use crate::advisories::overlays::Kind;
use crate::advisories::{Ecosystem, Wanted};
use crate::image::{Digest, Reference};
use crate::registry::{Artifact, ArtifactLayer, FetchedLayer, Keyring, Registry};

/// Media type of the artifact. Its number changes when older versions could not read it.
const ARTIFACT: &str = "application/vnd.kubectl-clarity.advisories.v1";
/// Media type of an index, compressed.
const LAYER: &str = "application/vnd.kubectl-clarity.index.v1+zstd";
/// Annotation of a layer: what the index is about.
const NAME: &str = "io.kubectl-clarity.index";
/// Annotation of a layer: SHA-256 of the index itself, in hex.
const DIGEST: &str = "io.kubectl-clarity.sha256";
/// Annotation of a layer: when its data were all that there were, RFC 3339.
const AS_OF: &str = "io.kubectl-clarity.as-of";
/// Annotation of the artifact. OCI image-spec, "Pre-Defined Annotation Keys".
const CREATED: &str = "org.opencontainers.image.created";
/// Layers that are on their way at the same time.
const DOWNLOADS: usize = 4;
/// Largest index in bytes.
const MAX_INDEX: u64 = 2 << 30;
const LEVEL: i32 = 12;

/// A registry as the person reaches it.
#[derive(Clone, Debug)]
pub struct Way {
    /// The transport.
    pub registry: Registry,
    /// The person's credentials.
    pub keyring: Keyring,
}

/// An index as an artifact describes it.
struct Offered {
    name: String,
    digest: String,
    as_of: Option<Timestamp>,
    layer: FetchedLayer,
}

impl Offered {
    /// None if the layer is something else, which a later version may have put there.
    fn of(layer: FetchedLayer) -> Option<Self> {
        let text = |key: &str| layer.annotations.get(key).cloned();
        let (name, digest) = (text(NAME)?, text(DIGEST)?);
        let as_of = text(AS_OF).and_then(|time| time.parse().ok());
        (layer.descriptor.media_type == LAYER).then_some(Self { name, digest, as_of, layer })
    }

    fn is_wanted(&self, wanted: &Wanted) -> bool {
        if let Ok(kind) = self.name.parse::<Kind>() {
            // They are small, and nobody names them.
            return kind.ecosystem().is_none_or(|name| wanted.holds_release_of(name));
        }
        self.name.parse::<Ecosystem>().is_ok_and(|ecosystem| wanted.holds(&ecosystem))
    }
}

impl Change<'_> {
    /// Fetches the wanted indexes of an artifact that are not here yet, and installs them.
    pub(super) async fn fetch(
        &mut self,
        way: &Way,
        reference: &Reference,
        wanted: &Wanted,
        tell: Tell<'_>,
    ) -> Result<Outcome, DatabaseError> {
        let artifact = way.registry.artifact(reference, ARTIFACT, &way.keyring).await.map_err(Box::new)?;
        let from = reference.at(artifact.digest.clone()).to_string();
        let offered = artifact.layers.into_iter().filter_map(Offered::of);
        let offered: Vec<Offered> = offered.filter(|offered| offered.is_wanted(wanted)).collect();
        let mut outcome = Outcome::default();
        let names: Vec<String> = offered.iter().map(|offered| offered.name.clone()).collect();
        outcome.missing = wanted.lacking(&names);

        let mut needed = Vec::new();
        for offered in offered {
            let installed = self.state().indexes.get(&offered.name);
            if installed.is_some_and(|known| known.digest == offered.digest) && self.is_whole(&offered.name) {
                self.confirm(&offered.name, &Origin { name: from.clone(), as_of: offered.as_of });
                tell(Progress::Unchanged(offered.name.clone()));
                outcome.unchanged.push(offered.name);
            } else {
                needed.push(offered);
            }
        }
        if needed.is_empty() {
            return Ok(outcome);
        }
        let size = needed.iter().map(|offered| offered.layer.descriptor.size).sum();
        tell(Progress::Fetching { from: from.clone(), size: Some(size), count: needed.len() });
        let parts = self.parts()?;
        let done = AtomicU64::new(0);
        let downloads =
            needed.into_iter().map(|offered| download(way, reference, &parts, offered, &done, tell));
        let mut downloads = futures::stream::iter(downloads).buffer_unordered(DOWNLOADS);
        while let Some(downloaded) = downloads.next().await {
            let installed = match downloaded {
                Ok((offered, path)) => {
                    let origin = Origin { name: from.clone(), as_of: offered.as_of };
                    let installed = tokio::task::block_in_place(|| {
                        let mut content = inflated(&path)?;
                        let copy = |out: &mut dyn Write| io::copy(&mut content, out).map(drop);
                        self.install(&offered.name, &origin, Some(&offered.digest), copy)
                    });
                    let _ = std::fs::remove_file(&path);
                    installed
                }
                Err(error) => Err(error),
            };
            match installed {
                Ok((name, records)) => {
                    tell(Progress::Installed(name.clone(), records));
                    outcome.installed.push(name);
                }
                // The others are not lost with it.
                Err(error) => outcome.failed = outcome.failed.take().or_else(|| Some(Box::new(error))),
            }
        }
        Ok(outcome)
    }
}

async fn download(
    way: &Way,
    reference: &Reference,
    parts: &Path,
    offered: Offered,
    done: &AtomicU64,
    tell: Tell<'_>,
) -> Result<(Offered, PathBuf), DatabaseError> {
    let descriptor = &offered.layer.descriptor;
    let path = parts.join(format!("{}.zst", descriptor.digest.hex()));
    if sum(&path).is_ok_and(|sum| sum == descriptor.digest.hex()) {
        return Ok((offered, path));
    }
    let before = AtomicU64::new(0);
    let progress = |bytes: u64| {
        let last = before.swap(bytes, Ordering::Relaxed);
        // A part that was begun anew has become shorter.
        let all = done.fetch_add(bytes.wrapping_sub(last), Ordering::Relaxed);
        tell(Progress::Fetched(all.wrapping_add(bytes.wrapping_sub(last))));
    };
    way.registry.fetch_blob(&reference.repository, descriptor, &way.keyring, &path, &progress).await?;
    Ok((offered, path))
}

/// The content of a compressed file, of which no more comes than an index may have.
fn inflated(path: &Path) -> Result<impl Read, DatabaseError> {
    let file = File::open(path).map_err(read_error(path))?;
    let mut decoder = zstd::Decoder::new(BufReader::new(file)).map_err(read_error(path))?;
    decoder.window_log_max(27).map_err(read_error(path))?;
    Ok(decoder.take(MAX_INDEX))
}

impl Database {
    /// Writes the indexes of these names, or all of them, to a registry; gives the digest of the artifact.
    pub async fn push(
        &self,
        way: &Way,
        target: &Reference,
        names: &[String],
        tell: Tell<'_>,
    ) -> Result<Digest, DatabaseError> {
        // Nobody may remove the indexes under the push.
        let change = tokio::task::block_in_place(|| self.change(tell))?;
        let indexes = change.state().indexes.clone();
        let unknown: Vec<String> = names.iter().filter(|name| !indexes.contains_key(*name)).cloned().collect();
        if !unknown.is_empty() {
            return Err(DatabaseError::Unknown(unknown));
        }
        let chosen: Vec<(String, Installed)> =
            indexes.into_iter().filter(|(name, _)| names.is_empty() || names.contains(name)).collect();
        let folder = change.parts()?;
        let created = chosen.iter().filter_map(|(_, installed)| installed.as_of).max();
        let layers: Vec<ArtifactLayer> = tokio::task::block_in_place(|| {
            chosen
                .into_iter()
                .map(|(name, installed)| self.layer(name, installed, &folder))
                .collect::<Result<_, _>>()
        })?;
        let size = layers.iter().map(|layer| layer.size).sum();
        tell(Progress::Pushing { to: target.to_string(), size, count: layers.len() });
        let annotations = created.map(|time| (CREATED.to_owned(), time.to_string()));
        let artifact = Artifact {
            artifact_type: ARTIFACT.to_owned(),
            annotations: annotations.into_iter().collect(),
            layers,
        };
        let progress = |bytes| tell(Progress::Fetched(bytes));
        let pushed = way.registry.push_artifact(&artifact, target, &way.keyring, &progress).await;
        for layer in &artifact.layers {
            let _ = std::fs::remove_file(&layer.content);
        }
        Ok(pushed?)
    }

    /// Compresses an index into a file.
    fn layer(&self, name: String, installed: Installed, folder: &Path) -> Result<ArtifactLayer, DatabaseError> {
        let (origin, content) =
            (self.path_of(&installed.digest), folder.join(format!("{}.zst", installed.digest)));
        if sum(&origin).map_err(read_error(&origin))? != installed.digest {
            return Err(DatabaseError::Digest { name });
        }
        let input = File::open(&origin).map_err(read_error(&origin))?;
        let compress = || {
            let mut encoder = zstd::Encoder::new(BufWriter::new(File::create(&content)?), LEVEL)?;
            io::copy(&mut BufReader::new(input), &mut encoder)?;
            encoder.finish()?.into_inner().map_err(io::IntoInnerError::into_error)?.metadata()
        };
        let size = compress().map_err(write_error(&content))?.len();
        let digest = sum(&content).map_err(read_error(&content))?;
        let mut annotations = BTreeMap::from([(NAME.to_owned(), name), (DIGEST.to_owned(), installed.digest)]);
        annotations.extend(installed.as_of.map(|time| (AS_OF.to_owned(), time.to_string())));
        let digest = format!("sha256:{digest}").parse().map_err(|_| DatabaseError::Digest { name: digest })?;
        Ok(ArtifactLayer { media_type: LAYER.to_owned(), digest, size, annotations, content })
    }
}
