//! One image from its registry to its documents.

mod error;

use std::collections::HashMap;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::runtime::Handle;
use tokio::task::JoinSet;

use super::LAYERS_AT_ONCE;
pub(super) use error::ImageError;

use super::mount::{self, Mounted, Stop};
use super::registered::{Asking, Registries, known};
use crate::image::registered::Registered;
use crate::image::{Digest, Platform, Reference};
use crate::packages::{self, ReadContext, Record, Squashed};
use crate::registry::{BlobReader, Image, Keyring, Layer, PullError, Registry};
use crate::sbom::{Gap, Sbom, cyclonedx};
use crate::tree::squash::{Stacked, Target};
use crate::tree::{self, Budget, Limits, ReadError};
use crate::wire::{DocumentName, TaskImage, Wanted};

/// Gaps that are named in the reason of a partial image; the SBOM names all.
const GAPS_NAMED: usize = 3;

/// Why an image whose container has not started is an approximation.
const NOT_STARTED: &str = "its container has not started, so no digest is known; its tag was read";

/// Reads the images of one pod. Keeps the records of layers, so that images that share one read it once.
pub(super) struct ImageReader {
    registry: Registry,
    keyring: Arc<Keyring>,
    limits: Limits,
    budget: Budget,
    may_ask_for_memory: bool,
    records: HashMap<Digest, Arc<Record>>,
    progress: Counter,
    registries: Registries,
    /// Of the image that was read last.
    registered: Vec<Registered>,
}

/// What was read of an image.
pub(super) struct ReadImage {
    /// The reference that was read, by digest where that is known.
    pub(super) reference: Reference,
    pub(super) manifest_digest: Option<Digest>,
    pub(super) config_digest: Option<Digest>,
    pub(super) platform: Platform,
    pub(super) approximate: Option<String>,
    pub(super) partial: Option<String>,
    /// Files and folders that may not be opened.
    pub(super) closed: u64,
    pub(super) sbom: Option<Vec<u8>>,
    pub(super) config: Option<Vec<u8>>,
    pub(super) explanation: Option<Vec<u8>>,
    pub(super) bytes: u64,
}

/// Compressed bytes read of the current image, and those of all its layers. Clones share it.
#[derive(Clone, Default)]
pub(super) struct Counter(Arc<(AtomicU64, AtomicU64)>);

impl Counter {
    /// Bytes read and bytes in all.
    pub(super) fn get(&self) -> (u64, u64) {
        (self.0.0.load(Ordering::Relaxed), self.0.1.load(Ordering::Relaxed))
    }

    fn begin(&self, total: u64) {
        self.0.0.store(0, Ordering::Relaxed);
        self.0.1.store(total, Ordering::Relaxed);
    }

    fn add(&self, bytes: usize) {
        self.0.0.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

/// A stream whose bytes are counted.
struct Counted<R> {
    stream: R,
    counter: Counter,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let count = self.stream.read(buf)?;
        self.counter.add(count);
        Ok(count)
    }
}

impl ImageReader {
    /// A reader for one pod with so many bytes of memory.
    pub(super) fn new(registry: Registry, keyring: Keyring, memory: u64, may_ask_for_memory: bool) -> Self {
        let keyring = Arc::new(keyring);
        Self {
            registries: Registries::new(registry.clone(), Arc::clone(&keyring)),
            registered: Vec::new(),
            registry,
            keyring,
            limits: Limits::default(),
            budget: Budget::of_memory_limit(memory),
            may_ask_for_memory,
            records: HashMap::new(),
            progress: Counter::default(),
        }
    }

    /// How far the current image is.
    pub(super) fn progress(&self) -> Counter {
        self.progress.clone()
    }

    /// What registries hold now of the image that was read last, or that could not be read.
    pub(super) fn take_registered(&mut self) -> Vec<Registered> {
        std::mem::take(&mut self.registered)
    }

    /// Makes these documents of one image.
    pub(super) async fn read(
        &mut self,
        asked: &TaskImage,
        documents: &[DocumentName],
    ) -> Result<ReadImage, ImageError> {
        self.progress.begin(0);
        self.registered.clear();
        match (&asked.mount, documents) {
            (Some(folder), _) => self.read_mount(asked, folder).await,
            (None, [DocumentName::Config]) => self.read_config(asked).await,
            (None, [DocumentName::Explanation]) => Ok(self.explain(asked).await),
            (None, _) => self.read_stream(asked).await,
        }
    }

    /// Reads the image where the kubelet has mounted it. Its manifest, layers and config are not there.
    async fn read_mount(&mut self, asked: &TaskImage, folder: &str) -> Result<ReadImage, ImageError> {
        let platform = asked.platform.clone().unwrap_or_else(Platform::of_this_program);
        let (limits, budget) = (self.limits.clone(), self.budget.clone());
        let folder = PathBuf::from(folder);
        let (stopping, stop) = Stop::new();
        let read = in_thread(move || mount::read(&folder, &limits, &budget, &stop)).await?;
        drop(stopping);
        let Mounted { sbom, closed, needs_memory } = read?;
        if let Some(bytes) = needs_memory.filter(|_| self.may_ask_for_memory) {
            return Err(ImageError::NeedsMemory(bytes));
        }
        let reference = match &asked.wanted {
            Wanted::Manifest(digest) => asked.reference.at(digest.clone()),
            Wanted::Config(_) | Wanted::Reference => asked.reference.clone(),
        };
        let is_by_tag = asked.wanted == Wanted::Reference && asked.reference.digest.is_none();
        let config_digest = match &asked.wanted {
            Wanted::Config(digest) => Some(digest.clone()),
            Wanted::Manifest(_) | Wanted::Reference => None,
        };
        let subject = cyclonedx::Subject {
            reference: Some(reference.clone()),
            config: config_digest.clone(),
            platform: Some(platform.clone()),
            analysers: Some(packages::analysers()),
            ..cyclonedx::Subject::default()
        };
        Ok(ReadImage {
            sbom: Some(cyclonedx::write(&sbom, &subject).map_err(ImageError::Sbom)?),
            config: None,
            explanation: None,
            partial: in_words(&sbom.gaps),
            closed,
            reference,
            manifest_digest: None,
            config_digest,
            platform,
            approximate: is_by_tag.then(|| NOT_STARTED.to_owned()),
            bytes: 0,
        })
    }

    /// Asks the registry for the config of the very image, and for nothing else.
    async fn read_config(&mut self, asked: &TaskImage) -> Result<ReadImage, ImageError> {
        let platform = asked.platform.clone().unwrap_or_else(Platform::of_this_program);
        let (image, approximate, asking) = self.look_up_and_ask(asked, &platform).await?;
        self.registered = asking.end().await;
        if let Some(another) = approximate.filter(|_| asked.wanted != Wanted::Reference) {
            return Err(ImageError::Another(another));
        }
        Ok(ReadImage {
            reference: asked.reference.at(image.manifest_digest.clone()),
            sbom: None,
            config: Some(super::config::document(&image.config)),
            explanation: None,
            partial: None,
            closed: 0,
            manifest_digest: Some(image.manifest_digest),
            config_digest: Some(image.config_digest),
            platform,
            approximate: None,
            bytes: 0,
        })
    }

    /// Asks the registry as a pull would, and tells how that went: an answer whatever it is.
    async fn explain(&mut self, asked: &TaskImage) -> ReadImage {
        let platform = asked.platform.clone().unwrap_or_else(Platform::of_this_program);
        let reference = match &asked.wanted {
            Wanted::Manifest(digest) => asked.reference.at(digest.clone()),
            Wanted::Config(_) | Wanted::Reference => asked.reference.clone(),
        };
        let explanation = self.registry.explain(&reference, &platform, &self.keyring).await;
        ReadImage {
            sbom: None,
            config: None,
            explanation: Some(serde_json::to_vec(&explanation).expect("it holds only strings and numbers")),
            partial: None,
            closed: 0,
            reference,
            manifest_digest: None,
            config_digest: None,
            platform,
            approximate: None,
            bytes: 0,
        }
    }

    /// Streams the layers of one image.
    async fn read_stream(&mut self, asked: &TaskImage) -> Result<ReadImage, ImageError> {
        let platform = asked.platform.clone().unwrap_or_else(Platform::of_this_program);
        let (image, approximate, asking) = self.look_up_and_ask(asked, &platform).await?;
        let reference = asked.reference.at(image.manifest_digest.clone());
        let has_earlier = !self.records.is_empty();
        let sbom = match self.packages(&reference, &image.layers).await {
            // Records of earlier images take memory too: once more without them.
            Err(ImageError::NeedsMemory(_)) if has_earlier => {
                self.records.clear();
                self.packages(&reference, &image.layers).await?
            }
            // What a mirror sent need not be what it should have been: once more without it.
            Err(ImageError::Pull(_) | ImageError::Layer { .. })
                if self.registry.distrust_mirrors(&reference.repository) =>
            {
                self.packages(&reference, &image.layers).await?
            }
            other => other?,
        };
        let subject = cyclonedx::Subject {
            reference: Some(reference.clone()),
            manifest: Some(image.manifest_digest.clone()),
            config: Some(image.config_digest.clone()),
            platform: Some(platform.clone()),
            layers: image.layers.iter().map(|layer| layer.diff_id.clone()).collect(),
            analysers: Some(packages::analysers()),
            created: None,
        };
        self.registered = asking.end().await;
        Ok(ReadImage {
            sbom: Some(cyclonedx::write(&sbom, &subject).map_err(ImageError::Sbom)?),
            config: Some(super::config::document(&image.config)),
            explanation: None,
            partial: in_words(&sbom.gaps),
            closed: 0,
            reference,
            manifest_digest: Some(image.manifest_digest),
            config_digest: Some(image.config_digest),
            platform,
            approximate,
            bytes: self.progress.get().0,
        })
    }

    /// Finds the image, and begins to ask what registries hold of it besides. That goes on beside what is read of it.
    async fn look_up_and_ask(
        &mut self,
        asked: &TaskImage,
        platform: &Platform,
    ) -> Result<(Image, Option<String>, Asking), ImageError> {
        let found = self.look_up(asked, platform).await;
        let known = known(asked, found.as_ref().map(|(image, approximate)| (image, approximate.is_some())));
        match found {
            Ok((image, approximate)) => {
                let asking = self.registries.ask(asked, platform, known);
                Ok((image, approximate, asking))
            }
            Err(error) => {
                self.registered = known.into_iter().map(|known| known.registered).collect();
                Err(error)
            }
        }
    }

    /// Finds the image that was asked for, or the nearest to it with the reason why it is not the same.
    async fn look_up(
        &self,
        asked: &TaskImage,
        platform: &Platform,
    ) -> Result<(Image, Option<String>), ImageError> {
        let by_tag = || self.registry.image(&asked.reference, platform, &self.keyring);
        match &asked.wanted {
            Wanted::Manifest(digest) => {
                let exact = asked.reference.at(digest.clone());
                match self.registry.image(&exact, platform, &self.keyring).await {
                    Ok(image) => Ok((image, None)),
                    Err(gone @ PullError::NotFound { .. }) => {
                        let Some(tag) = &asked.reference.tag else { return Err(gone.into()) };
                        match by_tag().await {
                            Ok(image) => Ok((
                                image,
                                Some(format!(
                                    "the digest that runs ({}) is not in the registry any more; its tag {tag:?} was read",
                                    digest.short()
                                )),
                            )),
                            Err(PullError::NotFound { .. }) => Err(ImageError::Gone(gone)),
                            Err(other) => Err(other.into()),
                        }
                    }
                    Err(other) => Err(other.into()),
                }
            }
            Wanted::Config(config) => {
                let image = by_tag().await?;
                let is_same = image.config_digest == *config || image.manifest_digest == *config;
                let why = || {
                    let tag = asked.reference.tag.as_deref().unwrap_or_default();
                    format!(
                        "the node knows its image by config {} only, and its tag {tag:?} leads to another one",
                        config.short()
                    )
                };
                Ok((image, (!is_same).then(why)))
            }
            Wanted::Reference => Ok((by_tag().await?, Some(NOT_STARTED.to_owned()))),
        }
    }

    /// Reads all layers and makes the bill of materials.
    async fn packages(&mut self, reference: &Reference, layers: &[Layer]) -> Result<Sbom, ImageError> {
        self.read_layers(reference, layers).await?;
        let record = |layer: &Layer| {
            self.records
                .get(&layer.descriptor.digest)
                .map(|record| Stacked { record: Arc::clone(record), diff_id: Some(layer.diff_id.clone()) })
        };
        let stack: Option<Vec<_>> = layers.iter().map(record).collect();
        let stack = stack.ok_or_else(|| ImageError::Internal("a layer was not read".to_owned()))?;
        if self.may_ask_for_memory
            && let Some(bytes) = stack.iter().filter_map(|layer| layer.record.needs_memory()).max()
        {
            return Err(ImageError::NeedsMemory(bytes));
        }
        let mut squashed = in_thread(move || packages::squash(stack)).await?;
        self.serve_targets(reference, layers, &mut squashed).await?;
        in_thread(move || packages::assemble(&squashed)).await
    }

    /// Reads those layers that no earlier image had, the largest first.
    async fn read_layers(&mut self, reference: &Reference, layers: &[Layer]) -> Result<(), ImageError> {
        let mut missing: Vec<&Layer> = Vec::new();
        for layer in layers {
            let digest = &layer.descriptor.digest;
            let known =
                self.records.contains_key(digest) || missing.iter().any(|l| l.descriptor.digest == *digest);
            if !known {
                missing.push(layer);
            }
        }
        missing.sort_by_key(|layer| std::cmp::Reverse(layer.descriptor.size));
        self.progress.begin(missing.iter().map(|layer| layer.descriptor.size).sum());
        let mut queue = missing.into_iter();
        let mut running = JoinSet::new();
        loop {
            while running.len() < LAYERS_AT_ONCE {
                let Some(layer) = queue.next() else { break };
                let (stream, context) =
                    (self.stream(reference, layer), (self.limits.clone(), self.budget.clone()));
                let digest = layer.descriptor.digest.clone();
                running.spawn_blocking(move || {
                    let (limits, budget) = context;
                    let mut tree = tree::Layer::new(stream, &limits, &budget);
                    (digest, packages::read_tree(&mut tree, ReadContext::new(&limits, &budget)))
                });
            }
            let Some(read) = running.join_next().await else { return Ok(()) };
            let (digest, record) = read.map_err(|error| ImageError::Internal(error.to_string()))?;
            let record = record.map_err(|error| layer_error(digest.clone(), error))?;
            self.records.insert(digest, Arc::new(record));
        }
    }

    /// Reads again those layers that hold files which only the finished tree showed to be wanted.
    async fn serve_targets(
        &self,
        reference: &Reference,
        layers: &[Layer],
        squashed: &mut Squashed,
    ) -> Result<(), ImageError> {
        let mut by_layer: HashMap<usize, Vec<Target>> = HashMap::new();
        for target in squashed.targets() {
            by_layer.entry(target.layer).or_default().push(target.clone());
        }
        for (index, targets) in by_layer {
            let Some(layer) = layers.get(index) else { continue };
            let (stream, limits, budget) =
                (self.stream(reference, layer), self.limits.clone(), self.budget.clone());
            let (targets, replayed) = in_thread(move || {
                let mut tree = tree::Layer::new(stream, &limits, &budget);
                let replayed = packages::replay(&mut tree, &targets, ReadContext::new(&limits, &budget));
                (targets, replayed)
            })
            .await?;
            let replayed = replayed.map_err(|error| layer_error(layer.descriptor.digest.clone(), error))?;
            squashed.serve(&targets, replayed);
        }
        Ok(())
    }

    fn stream(&self, reference: &Reference, layer: &Layer) -> Counted<BlobReader> {
        let stream = self.registry.blob_reader(
            &Handle::current(),
            &reference.repository,
            &layer.descriptor,
            &self.keyring,
        );
        Counted { stream, counter: self.progress.clone() }
    }
}

/// Runs what takes time on a thread that may be kept busy. A panic there is an error here.
async fn in_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, ImageError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| ImageError::Internal(error.to_string()))
}

/// Takes the registry's error out of the reader's, where the bytes did not arrive.
fn layer_error(layer: Digest, error: ReadError) -> ImageError {
    match error {
        ReadError::Input { at, source } => match source.downcast::<PullError>() {
            Ok(pull) => ImageError::Pull(pull),
            Err(source) => ImageError::Layer { layer, source: ReadError::Input { at, source } },
        },
        source => ImageError::Layer { layer, source },
    }
}

/// Names a few gaps and counts the others.
fn in_words(gaps: &[Gap]) -> Option<String> {
    if gaps.is_empty() {
        return None;
    }
    let short = |text: &str| match text.char_indices().nth(150) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    };
    let named = gaps.iter().take(GAPS_NAMED).map(|gap| format!("{}: {}", short(&gap.path), short(&gap.reason)));
    let more = gaps.len().saturating_sub(GAPS_NAMED);
    let more = (more > 0).then(|| format!("and {more} more"));
    Some(named.chain(more).collect::<Vec<_>>().join("; "))
}
