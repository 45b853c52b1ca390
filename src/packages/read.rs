//! Walks a tree and lets every cataloger read the files that it wants.

mod memory;

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Read};

use memory::Memory;
pub use memory::Scratch;

use super::filling::fill;
use super::{CATALOGERS, Cataloger, Evidence, Record, Want};
use crate::tree::record::{Found, RecordBuilder};
use crate::tree::squash::{Served, Target};
use crate::tree::{
    Budget, Content, Entry, EntryPath, Gap, GapCause, Grant, Kind, Limits, ReadAt, ReadError, Source, Step,
    Tree,
};

/// First bytes that a sniffing cataloger sees.
const HEAD: usize = 64;
/// Suffixes of files that hold no programs and are not opened just to look. One list, the same for streams and mounts.
const HARMLESS: [&[u8]; 30] = [
    b".h", b".c", b".py", b".pyc", b".pyi", b".js", b".cjs", b".mjs", b".ts", b".cts", b".mts", b".map",
    b".css", b".html", b".md", b".txt", b".json", b".xml", b".yml", b".yaml", b".gz", b".png", b".svg", b".mo",
    b".po", b".pm", b".pl", b".rb", b".hpp", b".pem",
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
    let mut stopped = None;
    tree.walk(&mut |entry, content| {
        let is_link = matches!(entry.kind, Kind::Symlink { .. } | Kind::Hardlink { .. });
        let is_wanted = is_link && context.catalogers.iter().any(|c| (c.wants)(entry, &[]).is_some())
            || is_read_by_content(entry, &builder, context);
        builder.add_entry(entry, is_wanted);
        if entry.kind == Kind::File {
            for (cataloger, result) in read_file(entry, content, context) {
                let held = result.and_then(|evidence| {
                    memory.hold_evidence(held_by(&entry.path, &evidence))?;
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
        match memory.hold_tree(builder.weight()) {
            Ok(()) => Step::Continue,
            Err(cause) => {
                stopped = Some(Gap { path: EntryPath::root(), cause });
                Step::Stop
            }
        }
    })?;
    builder.add_tree_gaps(stopped.into_iter().collect());
    let gaps = tree.take_gaps().into_iter().filter(|gap| !is_closed_by_design(gap));
    builder.add_tree_gaps(gaps.collect());
    let mut record = builder.finish();
    record.memory = memory.keep(record.weight());
    Ok(record)
}

fn is_closed_by_design(gap: &Gap) -> bool {
    gap.cause == GapCause::Closed && CLOSED_BY_DESIGN.contains(&gap.path.as_bytes())
}

/// About how many bytes of memory evidence takes with the path that it is kept by.
fn held_by(path: &EntryPath, evidence: &Evidence) -> u64 {
    let path = u64::try_from(2 * path.as_bytes().len()).unwrap_or(u64::MAX);
    evidence.weight().saturating_add(path).saturating_add(200)
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
) -> Result<Served<Evidence>, ReadError> {
    // By target and path: of a path that comes twice, the last one counts.
    let mut results = BTreeMap::new();
    let meant = Meant::new(targets);
    let mut memory = Memory::new(context);
    tree.walk(&mut |entry, content| {
        let mut matching = meant.by(&entry.path);
        let Some(first) = matching.next() else { return Step::Continue };
        let target = &targets[first];
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
        for index in std::iter::once(first).chain(matching) {
            let mut held = read.clone();
            for (_, result) in &mut held {
                let bytes = result.as_ref().map_or(0, |evidence| held_by(&entry.path, evidence));
                if let Err(cause) = memory.hold_evidence(bytes) {
                    *result = Err(cause);
                }
            }
            results.insert((index, entry.path.clone()), held);
        }
        Step::Continue
    })?;
    let mut replayed = Served { found: Vec::new(), gaps: tree.take_gaps(), memory: memory.keep(0) };
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

/// Targets by the paths that they mean: indices, the first one first.
struct Meant<'a> {
    files: HashMap<&'a [u8], Vec<usize>>,
    directories: HashMap<&'a [u8], Vec<usize>>,
}

impl<'a> Meant<'a> {
    fn new(targets: &'a [Target]) -> Self {
        let mut meant = Self { files: HashMap::new(), directories: HashMap::new() };
        for (index, target) in targets.iter().enumerate() {
            let map = if target.is_directory { &mut meant.directories } else { &mut meant.files };
            map.entry(target.path.as_bytes()).or_default().push(index);
        }
        meant
    }

    fn by(&self, path: &EntryPath) -> impl Iterator<Item = usize> {
        let within = path.parent().and_then(|parent| self.directories.get(parent));
        within.into_iter().chain(self.files.get(path.as_bytes())).flatten().copied()
    }
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
    let sniffers = context.catalogers.iter().any(|cataloger| cataloger.sniffs);
    let mut head = Vec::new();
    if sniffers && !is_harmless(entry.path.name()) {
        match read_head(file) {
            Ok(read) => head = read,
            // A program that may not be opened would not be missed otherwise; without an x bit nobody can start it.
            Err(error)
                if error.kind() == io::ErrorKind::PermissionDenied
                    && entry.mode & 0o111 != 0
                    && !context.catalogers.iter().any(|c| (c.wants)(entry, &[]).is_some()) =>
            {
                return vec![("", Err(GapCause::Closed))];
            }
            // Whoever wants the file meets the same failure again and says so; nobody may want it.
            Err(_) => {}
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

/// The first bytes of a file. One read, where one is enough: most files of an image are looked at and no more.
fn read_head(file: &mut dyn Content) -> io::Result<Vec<u8>> {
    let mut head = vec![0; usize::try_from(file.size()).unwrap_or(HEAD).min(HEAD)];
    let filled = fill(file, &mut head)?;
    head.truncate(filled);
    Ok(head)
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
    read?;
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
