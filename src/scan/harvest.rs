//! What the pods of a scan have said so far, for somebody who did not start it: nothing that was read need be read again.

use std::collections::HashMap;

use super::coordinate::whole;
use super::recall::{Asked, STREAM, VOLUME, entry};
use crate::cache::Entry;
use crate::cluster::Connection;
use crate::job::{Heard, ImageEnd, JobState, SeenJob, SeenScan, hear};
use crate::wire::{TaskImage, Wanted};

/// One image of a scan that is under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenImage {
    /// The image, as it was asked for.
    pub image: String,
    /// The namespace of the pod that reads it.
    pub namespace: String,
    /// The Job that reads it.
    pub job: String,
    /// How far it is.
    pub state: ImageState,
}

/// How far an image is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImageState {
    /// Its turn has not come; what its pod waits for, in the cluster's own words.
    Waiting(Option<String>),
    /// Being read: bytes so far, and in all (0 while not known).
    Reading {
        /// Compressed bytes read.
        read: u64,
        /// Compressed bytes of all layers.
        total: u64,
    },
    /// Read.
    Read {
        /// Number of packages.
        packages: usize,
    },
    /// Not read by this pod; why.
    Failed(String),
}

/// What is there of a scan.
#[derive(Debug, Default)]
pub struct Harvest {
    /// Its images, in the order of its Jobs.
    pub images: Vec<SeenImage>,
    /// What was read whole, ready to be kept.
    pub entries: Vec<Entry>,
    /// What a person should know.
    pub notes: Vec<String>,
}

impl Harvest {
    /// Number of images that were read.
    #[must_use]
    pub fn read(&self) -> usize {
        self.images.iter().filter(|image| matches!(image.state, ImageState::Read { .. })).count()
    }
}

/// What the pod of a Job has told: its images, and what a person should know.
#[derive(Clone, Debug, Default)]
struct Told {
    images: Vec<(SeenImage, Option<Entry>)>,
    notes: Vec<String>,
}

/// Reads what the pods of scans have said, again and again: the log of a pod that has ended is read once.
#[derive(Debug, Default)]
pub struct Harvester {
    /// What Jobs have brought that are over, by their UIDs.
    over: HashMap<String, Told>,
    /// Whether nobody wants what was read, only how far it is.
    looks_only: bool,
}

impl Harvester {
    /// For who wants to know how far a scan is, and not what it has read.
    #[must_use]
    pub fn looking() -> Self {
        Self { over: HashMap::new(), looks_only: true }
    }

    /// What is there of a scan now.
    pub async fn harvest(&mut self, connection: &Connection, scan: &SeenScan) -> Harvest {
        let mut harvest = Harvest::default();
        for job in &scan.jobs {
            if let Some(known) = self.over.get(&job.uid) {
                harvest.take(known.clone());
                continue;
            }
            match hear(&connection.client, &scan.id, job).await {
                Ok(heard) => {
                    let mut told = told(job, heard);
                    if self.looks_only {
                        for (_, entry) in &mut told.images {
                            *entry = None;
                        }
                    }
                    if matches!(job.state, JobState::Done | JobState::Failed(_)) {
                        self.over.insert(job.uid.clone(), told.clone());
                    }
                    harvest.take(told);
                }
                Err(error) => {
                    harvest.notes.push(format!("{error}: {}", error.refusal));
                    let ends = job.images.iter().map(|_| None).collect();
                    harvest.take(told(job, Heard { ends, reading: None, notes: Vec::new() }));
                }
            }
        }
        harvest
    }
}

impl Harvest {
    /// Takes in the images of a Job. A second Job for an image is another attempt: the last word counts.
    fn take(&mut self, told: Told) {
        self.notes.extend(told.notes);
        for (image, entry) in told.images {
            self.images.retain(|earlier| earlier.image != image.image);
            self.images.push(image);
            self.entries.extend(entry);
        }
    }
}

/// What the pod of a Job has said of its images.
fn told(job: &SeenJob, heard: Heard) -> Told {
    let Heard { ends, reading, notes } = heard;
    let notes = notes.into_iter().map(|note| format!("namespace {}: {note}", job.namespace)).collect();
    let images = job.images.iter().zip(ends).enumerate().map(|(number, (image, end))| {
        let (state, entry) = match end {
            Some(ImageEnd::Read(outcome, documents)) => match whole(documents) {
                Ok(whole) => {
                    let asked = Asked {
                        reference: &image.reference,
                        wanted: &image.wanted,
                        platform: image.platform.as_ref(),
                    };
                    let reader = if image.mount.is_some() { VOLUME } else { STREAM };
                    let entry = entry(&asked, &outcome, &whole, reader);
                    (ImageState::Read { packages: whole.sbom.packages.len() }, entry)
                }
                Err(why) => (ImageState::Failed(why), None),
            },
            Some(ImageEnd::Failed(failure)) => (ImageState::Failed(failure.reason), None),
            Some(ImageEnd::NotMounted(why)) => (ImageState::Failed(why), None),
            Some(ImageEnd::Lost) => (ImageState::Failed("part of the scanner's log was lost".to_owned()), None),
            Some(ImageEnd::Open | ImageEnd::NotReached) | None => (unread(job, number, reading), None),
        };
        let seen = SeenImage {
            image: described(image),
            namespace: job.namespace.clone(),
            job: job.name.clone(),
            state,
        };
        (seen, entry)
    });
    Told { images: images.collect(), notes }
}

fn unread(job: &SeenJob, number: usize, reading: Option<(usize, u64, u64)>) -> ImageState {
    match (&job.state, reading) {
        (JobState::Failed(why), _) => ImageState::Failed(why.clone()),
        (JobState::Done, _) => ImageState::Failed("its pod ended without it".to_owned()),
        (_, Some((current, read, total))) if current == number => ImageState::Reading { read, total },
        (JobState::Waiting(what), _) => ImageState::Waiting(what.clone()),
        (JobState::Running, _) => ImageState::Waiting(None),
    }
}

fn described(image: &TaskImage) -> String {
    match &image.wanted {
        Wanted::Manifest(digest) => image.reference.at(digest.clone()).to_string(),
        Wanted::Config(_) | Wanted::Reference => image.reference.to_string(),
    }
}
