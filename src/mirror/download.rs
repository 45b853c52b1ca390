//! One file on its way from a mirror to the disk.

use std::path::{Path, PathBuf};

use reqwest::{Response, Url};
use tokio::fs;

use super::error::{MirrorError, shown};
use super::exchange::protocol;
use super::record::{Course, RECORD_LIMIT, Record, course, question};
use super::sums::Sums;
use super::{Fetched, Mirror, Validators};
use crate::part_file::{PartFile, beside};
use crate::registry::{Cause, FileError, Patience, Setback};

/// An attempt that brought this much before it broke does not count as failed.
const PROGRESS: u64 = 64 * 1024;

/// What is wanted.
pub(super) struct Order<'a> {
    pub(super) url: Url,
    pub(super) known: Option<&'a Validators>,
    pub(super) into: &'a Path,
    pub(super) max_bytes: u64,
    pub(super) progress: &'a (dyn Fn(u64) + Send + Sync),
}

/// A download under way.
pub(super) struct Download<'a> {
    mirror: &'a Mirror,
    order: Order<'a>,
    part: PartFile,
    record_path: PathBuf,
    /// Of which version the part is; none if it is empty or cannot be gone on with.
    record: Option<Record>,
    sums: Sums,
    /// The part, or some of it, was here before.
    begun_before: bool,
}

/// How a download ends well.
enum End {
    /// The version that is known is still the one.
    Unchanged,
    /// The part is the whole file.
    Whole,
}

/// Where one attempt led.
enum Step {
    End(End),
    /// The part was of no use and is empty now.
    Anew,
}

impl<'a> Download<'a> {
    /// Opens the part, and hashes what is in it if it can be gone on with.
    pub(super) async fn begin(mirror: &'a Mirror, order: Order<'a>) -> Result<Self, MirrorError> {
        let part = PartFile::open(order.into).await?;
        let record_path = beside(order.into, ".part.json");
        let record = match part.length() {
            0 => None,
            _ => read_record(&record_path, &shown(&order.url)).await,
        };
        let is_sound = |record: &Record| record.size.is_none_or(|size| part.length() <= size);
        let record = record.filter(is_sound).filter(|_| part.length() <= order.max_bytes);
        let begun_before = record.is_some();
        let sums = Sums::default();
        let mut download = Self { mirror, order, part, record_path, record, sums, begun_before };
        if download.record.is_some() {
            download.part.read_back(|bytes| download.sums.update(bytes)).await?;
            (download.order.progress)(download.part.length());
        } else if download.part.length() > 0 {
            download.part.clear().await?;
        }
        Ok(download)
    }

    pub(super) async fn run(mut self) -> Result<Fetched, MirrorError> {
        match self.finish().await {
            Ok(End::Whole) => self.place().await,
            Ok(End::Unchanged) => {
                self.discard().await;
                Ok(Fetched::NotModified)
            }
            Err(error) => {
                // The error is what counts; what cannot be flushed now is fetched again.
                let _ = self.part.flush().await;
                if self.part.length() == 0 || !self.record.as_ref().is_some_and(Record::allows_ranges) {
                    self.discard().await;
                }
                Err(error)
            }
        }
    }

    /// Tries until the part is the whole file, or need not be.
    async fn finish(&mut self) -> Result<End, MirrorError> {
        let settings = &self.mirror.settings;
        let mut patience = Patience::of(settings);
        // Bytes that come a second time, since the server cannot go on, are no progress.
        let mut furthest = self.part.length();
        loop {
            match self.attempt().await {
                Ok(Step::End(End::Unchanged)) => return Ok(End::Unchanged),
                Ok(Step::End(End::Whole)) if self.is_right() => return Ok(End::Whole),
                Ok(Step::End(End::Whole)) => {
                    self.clear().await?;
                    if !std::mem::take(&mut self.begun_before) {
                        return Err(MirrorError::Damaged { url: shown(&self.order.url) });
                    }
                }
                Ok(Step::Anew) => {}
                Err(setback) => {
                    if self.part.length() >= furthest.saturating_add(PROGRESS) {
                        furthest = self.part.length();
                        patience = Patience::of(settings);
                    }
                    patience.wait_after(setback).await?;
                }
            }
        }
    }

    async fn attempt(&mut self) -> Result<Step, Setback<MirrorError>> {
        let (url, have) = (self.order.url.clone(), self.part.length());
        let headers = question(self.order.known, self.record.as_ref(), have);
        let response = self.mirror.ask(&url, &headers).await?;
        let is_conditional =
            self.order.known.is_some_and(|known| known.etag.is_some() || known.last_modified.is_some());
        match course(response.status(), response.headers(), self.record.as_ref(), have, &shown(&url)) {
            Course::Unchanged if is_conditional => Ok(Step::End(End::Unchanged)),
            Course::Unchanged => Err(protocol(&url, "nothing has changed since a version that was not named")),
            Course::Whole => Ok(Step::End(End::Whole)),
            Course::GoOn(record) => {
                self.record = Some(record);
                self.receive(response).await
            }
            Course::Begin(record) => {
                self.check_size(record.size.unwrap_or(0)).await?;
                self.clear().await.map_err(Setback::lasting)?;
                self.begun_before = false;
                self.keep(record).await.map_err(Setback::lasting)?;
                self.receive(response).await
            }
            Course::Anew if have == 0 => {
                Err(protocol(&url, "a part of the file, where the whole was asked for"))
            }
            Course::Anew => {
                self.clear().await.map_err(Setback::lasting)?;
                Ok(Step::Anew)
            }
        }
    }

    async fn receive(&mut self, response: Response) -> Result<Step, Setback<MirrorError>> {
        let size = self.record.as_ref().and_then(|record| record.size);
        self.check_size(size.unwrap_or(0)).await?;
        let url = self.order.url.clone();
        let mut body = self.mirror.body(&url, response);
        while let Some(bytes) = self.mirror.chunk(&mut body).await? {
            let length = self.part.length().saturating_add(bytes.len() as u64);
            self.check_size(length).await?;
            if size.is_some_and(|size| length > size) {
                self.clear().await.map_err(Setback::lasting)?;
                return Err(protocol(&url, "more bytes came than were announced"));
            }
            self.part.append(&bytes).await.map_err(lasting)?;
            self.sums.update(&bytes);
            (self.order.progress)(length);
        }
        match size {
            Some(size) if size != self.part.length() => {
                let source = Cause::saying("it ended before its time");
                Err(Setback::passing(MirrorError::Broken { url: shown(&url), source }))
            }
            _ => Ok(Step::End(End::Whole)),
        }
    }

    /// A file that is too large is given up with all that has come of it: it would be too large the next time.
    async fn check_size(&mut self, size: u64) -> Result<(), Setback<MirrorError>> {
        let limit = self.order.max_bytes;
        if size <= limit {
            return Ok(());
        }
        self.clear().await.map_err(Setback::lasting)?;
        Err(Setback::lasting(MirrorError::TooLarge { url: shown(&self.order.url), limit }))
    }

    fn is_right(&self) -> bool {
        let expected = self.record.as_ref().and_then(|record| record.md5);
        expected.is_none_or(|expected| expected == self.sums.md5())
    }

    async fn clear(&mut self) -> Result<(), MirrorError> {
        if self.part.length() > 0 {
            self.part.clear().await?;
        }
        (self.record, self.sums) = (None, Sums::default());
        Ok(())
    }

    /// Writes down of which version the bytes will be, before there are any.
    async fn keep(&mut self, record: Record) -> Result<(), MirrorError> {
        let unwritten = |source| FileError::Write { path: self.record_path.clone(), source };
        let text = serde_json::to_vec(&record).map_err(|error| unwritten(error.into()))?;
        fs::write(&self.record_path, text).await.map_err(unwritten)?;
        self.record = Some(record);
        Ok(())
    }

    async fn place(self) -> Result<Fetched, MirrorError> {
        let (size, sha256) = (self.part.length(), self.sums.sha256());
        let validators = self.record.map(|record| record.validators).unwrap_or_default();
        self.part.place().await?;
        let _ = fs::remove_file(&self.record_path).await;
        Ok(Fetched::Complete { validators, size, sha256 })
    }

    async fn discard(self) {
        let _ = fs::remove_file(&self.record_path).await;
        self.part.discard().await;
    }
}

fn lasting(error: FileError) -> Setback<MirrorError> {
    Setback::lasting(error.into())
}

/// A record that cannot be read is none: the download begins anew.
async fn read_record(path: &Path, url: &str) -> Option<Record> {
    let is_small = fs::metadata(path).await.is_ok_and(|found| found.len() <= RECORD_LIMIT);
    let text = if is_small { fs::read(path).await.ok()? } else { return None };
    Record::parse(&text, url)
}
