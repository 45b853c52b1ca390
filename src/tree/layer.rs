//! One layer of an image, from a stream of its blob.
//!
//! Nothing is written to disk and nothing is kept but what the visitor keeps. The stream is always read to its end, also
//! after damage or a limit, so that the caller's check of the blob's digest sees every byte.

use std::io::{self, BufReader, Read};

use super::budget::Budget;
use super::gap::{Gap, GapCause, Gaps};
use super::inflate::{Inflate, Stopped};
use super::input::Input;
use super::limits::Limits;
use super::path::EntryPath;
use super::tar::{Member, MemberKind, TarReader};
use super::{Content, Damage, Entry, Kind, ReadError, Step, Tree, Visit};

/// Inflated bytes held at once: large enough that headers and small files are taken from memory, small enough for the
/// second-level cache.
const WINDOW: usize = 128 * 1024;
/// Marks a path that is removed. OCI image-spec, "Whiteouts".
const WHITEOUT: &[u8] = b".wh.";
/// Names that AUFS kept for itself; runtimes pass over them.
const WHITEOUT_META: &[u8] = b".wh..wh.";
/// Marks a directory whose content in the layers below is hidden. OCI image-spec, "Opaque Whiteout".
const OPAQUE: &[u8] = b".wh..wh..opq";

/// A layer that has not been read yet: plain tar, gzip or zstd.
pub struct Layer<R> {
    stream: Option<R>,
    limits: Limits,
    budget: Budget,
    gaps: Gaps,
}

impl<R: Read> Layer<R> {
    /// A layer from its blob.
    pub fn new(stream: R, limits: &Limits, budget: &Budget) -> Self {
        Self { stream: Some(stream), limits: limits.clone(), budget: budget.clone(), gaps: Gaps::default() }
    }

    fn visit_members<S: Read>(
        &mut self,
        tar: &mut TarReader<BufReader<S>>,
        visit: &mut Visit<'_>,
    ) -> Result<(), Damage> {
        let mut entries = 0_u64;
        while let Some(member) = tar.next_member()? {
            entries += 1;
            if entries > self.limits.entries {
                let why = format!("the layer has more than {} entries", self.limits.entries);
                self.gaps.push(EntryPath::root(), GapCause::Limit(why));
                return Ok(());
            }
            let entry = match entry_of(member) {
                Ok(Some(entry)) => entry,
                Ok(None) => continue,
                Err(gap) => {
                    self.gaps.push(gap.path, gap.cause);
                    continue;
                }
            };
            let step = match entry.kind {
                Kind::File => visit(&entry, tar),
                _ => visit(&entry, &mut Nothing),
            };
            if step == Step::Stop {
                return Ok(());
            }
        }
        Ok(())
    }
}

impl<R: Read> Tree for Layer<R> {
    fn walk(&mut self, visit: &mut Visit<'_>) -> Result<(), ReadError> {
        let input = Input::new(self.stream.take().ok_or(ReadError::AlreadyRead)?);
        let inflate = Inflate::new(input, &self.limits, &self.budget)
            .map_err(|source| ReadError::Damaged { offset: 0, source: Damage::Compression(source) })?;
        let mut tar = TarReader::new(BufReader::with_capacity(WINDOW, inflate), &self.limits);
        let result = self.visit_members(&mut tar, visit);
        let offset = tar.offset();
        if tar.was_short_of_holes() {
            let why = format!(
                "its sparse files have more than the {} bytes of holes that are read",
                self.limits.holes
            );
            self.gaps.push(EntryPath::root(), GapCause::Limit(why));
        }
        let mut input = tar.into_source().into_inner().into_input();
        let drained = input.drain();
        if let Some(source) = input.take_failure().or(drained.err()) {
            return Err(ReadError::Input { at: input.taken(), source });
        }
        match result {
            Ok(()) => Ok(()),
            Err(damage) => match stopped(&damage) {
                Some(cause) => {
                    self.gaps.push(EntryPath::root(), cause.clone());
                    Ok(())
                }
                None => Err(ReadError::Damaged { offset, source: damage }),
            },
        }
    }

    fn take_gaps(&mut self) -> Vec<Gap> {
        std::mem::take(&mut self.gaps).into_vec()
    }
}

/// The limit behind what looks like damage, if it was one.
fn stopped(damage: &Damage) -> Option<&GapCause> {
    let Damage::Compression(error) = damage else { return None };
    let stopped = error.get_ref()?.downcast_ref::<Stopped>()?;
    Some(&stopped.0)
}

/// Reads a member's names. None for what is no part of the image.
fn entry_of(member: Member) -> Result<Option<Entry>, Gap> {
    let Member { name, link, kind, mode, uid, gid } = member;
    let Ok(path) = EntryPath::new(&name) else {
        let cause = GapCause::Limit("a path is longer than a file system can hold".to_owned());
        return Err(Gap { path: shortened(&name), cause });
    };
    let (path, kind) = match whiteout(&path) {
        Marker::None => {
            let kind = match kind {
                MemberKind::File => Kind::File,
                MemberKind::Directory => Kind::Directory,
                MemberKind::Other => Kind::Other,
                MemberKind::Symlink => Kind::Symlink { target: link.into_boxed_slice() },
                MemberKind::Hardlink => {
                    let Ok(target) = EntryPath::new(&link) else {
                        let cause = GapCause::Damaged("it is a link to an impossible path".to_owned());
                        return Err(Gap { path, cause });
                    };
                    Kind::Hardlink { target }
                }
            };
            (path, kind)
        }
        Marker::Removes(removed) => (removed, Kind::Whiteout),
        Marker::Hides(directory) => (directory, Kind::Opaque),
        Marker::Noise => return Ok(None),
    };
    Ok(Some(Entry { path, kind, mode, uid, gid }))
}

enum Marker {
    None,
    Removes(EntryPath),
    Hides(EntryPath),
    Noise,
}

fn whiteout(path: &EntryPath) -> Marker {
    let name = path.name();
    let directory = EntryPath::new(path.parent().unwrap_or_default()).unwrap_or_default();
    if name == OPAQUE {
        return Marker::Hides(directory);
    }
    if path.components().any(|name| name.starts_with(WHITEOUT_META)) {
        return Marker::Noise;
    }
    match name.strip_prefix(WHITEOUT) {
        None => Marker::None,
        // What such a name removes would be the directory itself, or the one above.
        Some(b"" | b"." | b"..") => Marker::Noise,
        Some(removed) => directory.join(removed).map_or(Marker::Noise, Marker::Removes),
    }
}

/// The beginning of a path that is too long, to name it.
fn shortened(name: &[u8]) -> EntryPath {
    EntryPath::new(&name[..name.len().min(200)]).unwrap_or_default()
}

/// The content of what is no file.
pub(super) struct Nothing;

impl Read for Nothing {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Ok(0)
    }
}

impl Content for Nothing {
    fn size(&self) -> u64 {
        0
    }

    fn skip_to(&mut self, _: u64) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
