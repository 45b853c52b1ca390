//! Walks a tree and lets every cataloger read the files that it wants.

use std::cell::Cell;
use std::io::{self, Read};
use std::time::Duration;

use super::{CATALOGERS, Cataloger, Evidence, Record, Want};
use crate::tree::record::{Found, RecordBuilder};
use crate::tree::squash::Target;
use crate::tree::{
    Budget, Content, Entry, EntryPath, Gap, GapCause, Grant, Kind, Limits, ReadAt, ReadError, Source, Step,
    Tree,
};

/// First bytes that a sniffing cataloger sees.
const HEAD: u64 = 64;
/// Suffixes of files that hold no programs and are not opened just to look. One list, the same for streams and mounts.
const HARMLESS: [&[u8]; 24] = [
    b".h", b".c", b".py", b".pyc", b".js", b".ts", b".map", b".css", b".html", b".md", b".txt", b".json",
    b".xml", b".yml", b".yaml", b".gz", b".png", b".svg", b".mo", b".pm", b".pl", b".rb", b".hpp", b".pem",
];
/// Folders that distributions close to everybody but the daemon they are for, and that hold no software: downloads in
/// progress, private keys, queues.
const CLOSED_BY_DESIGN: [&[u8]; 8] = [
    b"etc/ssl/private",
    b"lost+found",
    b"var/cache/apt/archives/partial",
    b"var/cache/ldconfig",
    b"var/lib/apt/lists/auxfiles",
    b"var/lib/apt/lists/partial",
    b"var/spool/cron/crontabs",
    b"var/spool/rsyslog",
];
/// Memory for evidence is asked for in steps of this many bytes.
const MEMORY_STEP: u64 = 1 << 20;

/// With what a tree is read.
#[derive(Clone, Copy)]
pub struct ReadContext<'a> {
    /// Who reads.
    pub catalogers: &'a [Cataloger],
    /// Bounds of one tree.
    pub limits: &'a Limits,
    /// Memory that all readers share.
    pub budget: &'a Budget,
}

/// What a second pass found.
#[derive(Debug, Default)]
pub struct Replayed {
    /// What was read, with the target it was read for.
    pub found: Vec<(Target, Found<Evidence>)>,
    /// What could not be read.
    pub gaps: Vec<Gap>,
}

impl<'a> ReadContext<'a> {
    /// All catalogers.
    #[must_use]
    pub fn new(limits: &'a Limits, budget: &'a Budget) -> Self {
        Self { catalogers: CATALOGERS, limits, budget }
    }
}

/// Reads a whole tree once.
///
/// # Errors
/// The tree is damaged or its bytes did not arrive. What single files or limits left out is a gap of the record.
pub fn read_tree(tree: &mut dyn Tree, context: ReadContext<'_>) -> Result<Record, ReadError> {
    let mut builder = RecordBuilder::new(context.limits.link_bytes);
    let mut memory = Memory::new(context);
    tree.walk(&mut |entry, content| {
        let is_link = matches!(entry.kind, Kind::Symlink { .. } | Kind::Hardlink { .. });
        let is_wanted = is_link && context.catalogers.iter().any(|c| (c.wants)(entry, &[]).is_some())
            || is_read_by_content(entry, &builder, context);
        builder.add_entry(entry, is_wanted);
        if entry.kind == Kind::File {
            for (cataloger, result) in read_file(entry, content, context) {
                let held = result.and_then(|evidence| {
                    memory.hold(evidence.weight().saturating_add(200))?;
                    Ok(evidence)
                });
                match held {
                    Ok(evidence) => builder.add_evidence(&entry.path, cataloger, evidence),
                    Err(cause) => builder.add_gap(&entry.path, cause),
                }
            }
        } else if entry.kind == Kind::Other
            && context.catalogers.iter().any(|c| (c.wants)(entry, &[]).is_some())
        {
            builder.add_gap(&entry.path, GapCause::Damaged("it is no regular file".to_owned()));
        }
        Step::Continue
    })?;
    if let Err(cause) = memory.hold(builder.weight()) {
        builder.add_tree_gaps(vec![Gap { path: EntryPath::root(), cause }]);
    }
    let gaps = tree.take_gaps().into_iter().filter(|gap| !is_closed_by_design(gap));
    builder.add_tree_gaps(gaps.collect());
    let mut record = builder.finish();
    record.memory = memory.grants;
    Ok(record)
}

fn is_closed_by_design(gap: &Gap) -> bool {
    gap.cause == GapCause::Closed && CLOSED_BY_DESIGN.contains(&gap.path.as_bytes())
}

/// Whether an entry is another name of a file that somebody read because of its first bytes, and so under any name.
fn is_read_by_content(entry: &Entry, builder: &RecordBuilder<Evidence>, context: ReadContext<'_>) -> bool {
    let Kind::Hardlink { target } = &entry.kind else { return false };
    let sniffs = |reader| context.catalogers.iter().any(|c| c.id == reader && c.sniffs);
    !is_harmless(entry.path.name()) && builder.readers_of(target).any(sniffs)
}

/// Reads a layer (or directory) again for files that turned out to be wanted under another name.
///
/// # Errors
/// As [`read_tree`].
pub fn replay(
    tree: &mut dyn Tree,
    targets: &[Target],
    context: ReadContext<'_>,
) -> Result<Replayed, ReadError> {
    // By target and path: of a path that comes twice, the last one counts.
    let mut results = std::collections::BTreeMap::new();
    tree.walk(&mut |entry, content| {
        let mut matching = targets.iter().enumerate().filter(|(_, target)| is_meant(target, &entry.path));
        let Some((first, target)) = matching.next() else { return Step::Continue };
        if entry.kind == Kind::Directory {
            return Step::Continue;
        }
        let wanted_as = wanted_name(target, &entry.path);
        let wanted = Entry { path: wanted_as, ..entry.clone() };
        let read = match entry.kind {
            Kind::File => read_file(&wanted, content, context),
            _ if context.catalogers.iter().any(|c| (c.wants)(&wanted, &[]).is_some()) => {
                vec![("", Err(GapCause::Damaged("it is no regular file".to_owned())))]
            }
            _ => Vec::new(),
        };
        // The same bytes wanted under two names are read for the first and count for all.
        for index in std::iter::once(first).chain(matching.map(|(index, _)| index)) {
            results.insert((index, entry.path.clone()), read.clone());
        }
        Step::Continue
    })?;
    let mut replayed = Replayed { found: Vec::new(), gaps: tree.take_gaps() };
    for ((index, path), read) in results {
        for (reader, result) in read {
            match result {
                Ok(evidence) => {
                    let found = Found { path: path.clone(), reader, evidence };
                    replayed.found.push((targets[index].clone(), found));
                }
                Err(cause) => replayed.gaps.push(Gap { path: path.clone(), cause }),
            }
        }
    }
    Ok(replayed)
}

fn is_meant(target: &Target, path: &EntryPath) -> bool {
    if target.is_directory { path.parent() == Some(target.path.as_bytes()) } else { target.path == *path }
}

fn wanted_name(target: &Target, path: &EntryPath) -> EntryPath {
    if !target.is_directory {
        return target.wanted_as.clone();
    }
    target.wanted_as.join(path.name()).unwrap_or_else(|_| path.clone())
}

type FileResult = (&'static str, Result<Evidence, GapCause>);

/// Lets all catalogers that want a file read it.
fn read_file(entry: &Entry, file: &mut dyn Content, context: ReadContext<'_>) -> Vec<FileResult> {
    let mut head = Vec::new();
    let sniffers = context.catalogers.iter().any(|cataloger| cataloger.sniffs);
    if sniffers
        && !is_harmless(entry.path.name())
        && let Err(error) = file.take(HEAD).read_to_end(&mut head)
    {
        // Whoever wants the file meets the same failure again and says so; nobody may want it.
        head.clear();
        // A program that may not be opened would not be missed otherwise; without an x bit nobody can start it.
        let is_wanted = || context.catalogers.iter().any(|cataloger| (cataloger.wants)(entry, &[]).is_some());
        if error.kind() == io::ErrorKind::PermissionDenied && entry.mode & 0o111 != 0 && !is_wanted() {
            return vec![("", Err(GapCause::Closed))];
        }
    }
    let wanting: Vec<(&Cataloger, Want)> = context
        .catalogers
        .iter()
        .filter_map(|cataloger| (cataloger.wants)(entry, &head).map(|want| (cataloger, want)))
        .collect();
    if wanting.is_empty() {
        return Vec::new();
    }
    let mut file = Headed { head, position: 0, rest: file };
    let size = file.size();
    let (fitting, too_large): (Vec<_>, Vec<_>) = wanting.into_iter().partition(|(_, want)| size <= want.cap());
    let mut results: Vec<FileResult> = too_large
        .into_iter()
        .map(|(cataloger, want)| (cataloger.id, Err(GapCause::TooLarge { size, cap: want.cap() })))
        .collect();
    match &fitting[..] {
        [] => {}
        [(cataloger, Want::Forward { .. })] => {
            let scratch = Scratch::new(context, 0);
            results.push((cataloger.id, (cataloger.read)(entry, Source::Forward(&mut file), &scratch)));
        }
        _ => match file.rest.random() {
            Ok(Some(file)) => {
                results.extend(read_at_will(entry, &fitting, file, &Scratch::new(context, 0)));
            }
            Ok(None) if let [(cataloger, Want::Either { .. })] = &fitting[..] => {
                let scratch = Scratch::new(context, 0);
                results.push((cataloger.id, (cataloger.read)(entry, Source::Forward(&mut file), &scratch)));
            }
            Ok(None) => match spool(&mut file, context) {
                Ok((bytes, _grant)) => {
                    let scratch = Scratch::new(context, size);
                    results.extend(read_at_will(entry, &fitting, &Slice(&bytes), &scratch));
                }
                Err(cause) => results.extend(fitting.iter().map(|(c, _)| (c.id, Err(cause.clone())))),
            },
            Err(error) => {
                let cause = GapCause::from(error);
                results.extend(fitting.iter().map(|(c, _)| (c.id, Err(cause.clone()))));
            }
        },
    }
    results.retain(|(_, result)| !matches!(result, Ok(Evidence::Nothing)));
    let in_vain = results.iter().filter_map(|(id, result)| {
        let bytes = result.as_ref().ok()?.needs_memory()?;
        Some((*id, Err(GapCause::NeedsMemory { bytes })))
    });
    let in_vain: Vec<FileResult> = in_vain.collect();
    results.extend(in_vain);
    results
}

fn read_at_will(
    entry: &Entry,
    wanting: &[(&Cataloger, Want)],
    file: &dyn ReadAt,
    scratch: &Scratch<'_>,
) -> Vec<FileResult> {
    let read = |cataloger: &Cataloger| (cataloger.id, (cataloger.read)(entry, Source::Random(file), scratch));
    wanting.iter().map(|(cataloger, _)| read(cataloger)).collect()
}

/// Takes a whole file into memory, under the budget.
fn spool(file: &mut dyn Content, context: ReadContext<'_>) -> Result<(Vec<u8>, Grant), GapCause> {
    let size = file.size();
    let grant = context.budget.acquire(size, context.limits.memory_wait)?;
    let mut bytes = Vec::new();
    let read = file.take(size).read_to_end(&mut bytes);
    read.map_err(GapCause::from)?;
    Ok((bytes, grant))
}

/// Whether a file of this name holds no program.
pub(super) fn is_harmless(name: &[u8]) -> bool {
    HARMLESS.iter().any(|suffix| name.ends_with(suffix))
}

impl Want {
    fn cap(self) -> u64 {
        match self {
            Self::Forward { cap } | Self::Random { cap } | Self::Either { cap } => cap,
        }
    }
}

/// Memory for what a cataloger unpacks while it reads one file.
#[derive(Debug)]
pub struct Scratch<'a> {
    budget: &'a Budget,
    /// How long is waited for others to give back. After one wait in vain there is no other: a file may hold
    /// thousands of things to unpack.
    wait: Cell<Duration>,
    /// Bytes that the file itself takes.
    spooled: u64,
}

impl<'a> Scratch<'a> {
    fn new(context: ReadContext<'a>, spooled: u64) -> Self {
        Self { budget: context.budget, wait: Cell::new(context.limits.memory_wait), spooled }
    }

    /// Takes memory on top of the `held` bytes that the reader has taken before.
    ///
    /// # Errors
    /// [`GapCause::NeedsMemory`] with all that the file needs at once.
    pub fn acquire(&self, bytes: u64, held: u64) -> Result<Grant, GapCause> {
        self.budget.acquire(bytes, self.wait.get()).map_err(|_| {
            self.wait.set(Duration::ZERO);
            let bytes = self.spooled.saturating_add(held).saturating_add(bytes);
            GapCause::NeedsMemory { bytes }
        })
    }

    /// For tests of one cataloger: all that it asks for.
    #[cfg(test)]
    pub(super) fn of(budget: &'a Budget) -> Self {
        Self { budget, wait: Cell::new(Duration::ZERO), spooled: 0 }
    }
}

/// Memory for a record, taken step by step.
struct Memory<'a> {
    budget: &'a Budget,
    wait: Duration,
    needed: u64,
    granted: u64,
    grants: Vec<Grant>,
}

impl<'a> Memory<'a> {
    fn new(context: ReadContext<'a>) -> Self {
        let wait = context.limits.memory_wait;
        Self { budget: context.budget, wait, needed: 0, granted: 0, grants: Vec::new() }
    }

    fn hold(&mut self, bytes: u64) -> Result<(), GapCause> {
        let needed = self.needed.saturating_add(bytes);
        if needed > self.granted {
            let step = (needed - self.granted).max(MEMORY_STEP.min(self.budget.free()));
            self.grants.push(self.budget.acquire(step, self.wait)?);
            self.granted = self.granted.saturating_add(step);
        }
        self.needed = needed;
        Ok(())
    }
}

/// A content whose first bytes were already taken.
struct Headed<'a> {
    head: Vec<u8>,
    position: usize,
    rest: &'a mut dyn Content,
}

impl Read for Headed<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let head = &self.head[self.position..];
        if head.is_empty() {
            return self.rest.read(buf);
        }
        let count = head.len().min(buf.len());
        buf[..count].copy_from_slice(&head[..count]);
        self.position += count;
        Ok(count)
    }
}

impl Content for Headed<'_> {
    fn size(&self) -> u64 {
        self.rest.size()
    }

    fn skip_to(&mut self, at: u64) -> io::Result<()> {
        match usize::try_from(at) {
            Ok(at) if at < self.head.len() => {
                if at < self.position {
                    return Err(io::Error::new(io::ErrorKind::InvalidInput, "a stream cannot go back"));
                }
                self.position = at;
                Ok(())
            }
            _ => {
                self.position = self.head.len();
                self.rest.skip_to(at)
            }
        }
    }
}

/// Bytes in memory as a file.
pub(super) struct Slice<'a>(pub(super) &'a [u8]);

impl ReadAt for Slice<'_> {
    fn size(&self) -> u64 {
        ReadAt::size(self.0)
    }

    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize> {
        self.0.read_at(buf, at)
    }
}
