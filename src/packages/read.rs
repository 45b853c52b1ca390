//! Walks a tree and lets every cataloger read the files that it wants.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Read};
use std::time::Duration;

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
    builder.add_tree_gaps(tree.take_gaps());
    let mut record = builder.finish();
    record.memory = memory.keep(record.weight());
    Ok(record)
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
    let is_sniffed = sniffers && !is_harmless(entry.path.name());
    // Whoever wants the file meets the same failure again and says so; nobody may want it.
    let head = if is_sniffed { read_head(file).unwrap_or_default() } else { Vec::new() };
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
            results.push((cataloger.id, (cataloger.read)(entry, Source::Forward(&mut file))));
        }
        _ => match file.rest.random() {
            Ok(Some(file)) => results.extend(read_at_will(entry, &fitting, file)),
            Ok(None) if let [(cataloger, Want::Either { .. })] = &fitting[..] => {
                results.push((cataloger.id, (cataloger.read)(entry, Source::Forward(&mut file))));
            }
            Ok(None) => match spool(&mut file, context) {
                Ok((bytes, _grant)) => results.extend(read_at_will(entry, &fitting, &Slice(&bytes))),
                Err(cause) => results.extend(fitting.iter().map(|(c, _)| (c.id, Err(cause.clone())))),
            },
            Err(error) => {
                let cause = GapCause::Unreadable(error.to_string());
                results.extend(fitting.iter().map(|(c, _)| (c.id, Err(cause.clone()))));
            }
        },
    }
    results.retain(|(_, result)| !matches!(result, Ok(Evidence::Nothing)));
    results
}

/// The first bytes of a file. One read, where one is enough: most files of an image are looked at and no more.
fn read_head(file: &mut dyn Content) -> io::Result<Vec<u8>> {
    let mut head = vec![0; usize::try_from(file.size()).unwrap_or(HEAD).min(HEAD)];
    let mut filled = 0;
    while filled < head.len() {
        match file.read(&mut head[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    head.truncate(filled);
    Ok(head)
}

fn read_at_will(entry: &Entry, wanting: &[(&Cataloger, Want)], file: &dyn ReadAt) -> Vec<FileResult> {
    let read = |cataloger: &Cataloger| (cataloger.id, (cataloger.read)(entry, Source::Random(file)));
    wanting.iter().map(|(cataloger, _)| read(cataloger)).collect()
}

/// Takes a whole file into memory, under the budget.
fn spool(file: &mut dyn Content, context: ReadContext<'_>) -> Result<(Vec<u8>, Grant), GapCause> {
    let size = file.size();
    let grant = context.budget.acquire(size, context.limits.memory_wait)?;
    let mut bytes = Vec::new();
    let read = file.take(size).read_to_end(&mut bytes);
    read.map_err(|error| GapCause::Unreadable(error.to_string()))?;
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

/// Memory for a record, taken step by step.
struct Memory<'a> {
    budget: &'a Budget,
    wait: Duration,
    evidence: u64,
    tree: u64,
    granted: u64,
    grants: Vec<Grant>,
}

impl<'a> Memory<'a> {
    fn new(context: ReadContext<'a>) -> Self {
        let wait = context.limits.memory_wait;
        Self { budget: context.budget, wait, evidence: 0, tree: 0, granted: 0, grants: Vec::new() }
    }

    /// For more evidence.
    fn hold_evidence(&mut self, bytes: u64) -> Result<(), GapCause> {
        let evidence = self.evidence.saturating_add(bytes);
        self.take(evidence.saturating_add(self.tree))?;
        self.evidence = evidence;
        Ok(())
    }

    /// For all else, of which there are so many bytes now.
    fn hold_tree(&mut self, bytes: u64) -> Result<(), GapCause> {
        self.take(self.evidence.saturating_add(bytes))?;
        self.tree = bytes;
        Ok(())
    }

    fn take(&mut self, needed: u64) -> Result<(), GapCause> {
        if needed <= self.granted {
            return Ok(());
        }
        if needed > self.budget.total() {
            // Nobody could give back what this reader holds itself.
            return Err(GapCause::NeedsMemory { bytes: needed });
        }
        let step = (needed - self.granted).max(MEMORY_STEP.min(self.budget.free()));
        let granted = self.budget.acquire(step, self.wait).map_err(|_| GapCause::NeedsMemory { bytes: needed });
        self.grants.push(granted?);
        self.granted = self.granted.saturating_add(step);
        Ok(())
    }

    /// Gives back what is not needed once all is read, and hands out the rest.
    fn keep(mut self, tree: u64) -> Vec<Grant> {
        let mut surplus = self.granted.saturating_sub(self.evidence.saturating_add(tree));
        for grant in &mut self.grants {
            surplus -= grant.give_back(surplus);
        }
        self.grants
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
