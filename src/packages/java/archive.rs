//! Archives in archives: what is looked at in each, and how much of it all.
//!
//! An archive that is stored in another one, as Spring Boot has it, is read where it lies. One that is compressed is unpacked into
//! memory, under the budget that all readers share and one in each depth at a time. Since members may overlap, and so
//! make up far more than the file has bytes, bounds hold for the file as a whole.

use std::collections::BTreeMap;
use std::io::{self, Read};

use super::super::Scratch;
use super::super::lines::text;
use super::super::read::Slice;
use super::zip::{Member, Packed, Zip};
use super::{JavaArchive, JavaArchives, JavaArtifact, JavaUnread, manifest, may_hold_packages, pom};
use crate::tree::{GapCause, Grant, ReadAt};

/// How deep archives are opened in each other.
const DEPTH: u32 = 5;
/// Most archives of one file; the largest distributions have some thousand.
const ARCHIVES: u32 = 20_000;
/// Most bytes of directories of one file: five million members with short names.
const DIRECTORIES: u64 = 256 << 20;
/// Most bytes that are unpacked of one file: so many of any file, and so many times its own. Archives hardly shrink when they are
/// packed once more, so what lies in five of them takes five times the space.
const UNPACKED: u64 = 64 << 20;
const UNPACKED_TIMES: u64 = 20;
/// Largest manifest, as far as its main section goes, and largest file of Maven.
const TEXT: u64 = 1 << 20;
/// Most bytes of evidence of one file: some ten thousand archives.
const EVIDENCE: usize = 4 << 20;
/// Longest place within a file, in bytes.
const PLACE: usize = 4096;
/// Most things of one file that are named where they could not be read.
const UNREAD: usize = 50;

/// Reads a file and all archives in it.
pub(super) fn read(file: &dyn ReadAt, scratch: &Scratch<'_>) -> JavaArchives {
    let mut walk = Walk {
        scratch,
        found: JavaArchives::default(),
        archives: 0,
        directories: 0,
        unpackable: file.size().saturating_mul(UNPACKED_TIMES).saturating_add(UNPACKED),
        held: 0,
        evidence: 0,
    };
    match walk.archive(file, "", 0) {
        Ok(is_zip) => walk.found.is_zip = is_zip,
        Err(cause) => walk.note("", &cause),
    }
    walk.found
}

/// What was found so far, and what that took.
struct Walk<'a> {
    scratch: &'a Scratch<'a>,
    found: JavaArchives,
    archives: u32,
    directories: u64,
    /// Bytes that may still be unpacked.
    unpackable: u64,
    /// Bytes of the archives that are unpacked now.
    held: u64,
    evidence: usize,
}

/// The two files of one project of Maven.
#[derive(Default)]
struct Poms {
    properties: JavaArtifact,
    project: Option<pom::Project>,
}

/// What an archive says that is being read.
#[derive(Default)]
struct Said {
    archive: JavaArchive,
    /// By their folder.
    poms: BTreeMap<Vec<u8>, Poms>,
}

/// What is looked at in an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Interest {
    Manifest,
    Properties,
    Project,
    Archive,
    Class,
}

fn interest(path: &[u8]) -> Option<Interest> {
    let name = path.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
    let is_of_maven = || {
        // What lies there for newer versions of Java is the same artifact once more.
        let is_version = path.starts_with(b"META-INF/versions/");
        !is_version && memchr::memmem::find(path, b"META-INF/maven/").is_some()
    };
    match name {
        _ if path.eq_ignore_ascii_case(b"META-INF/MANIFEST.MF") => Some(Interest::Manifest),
        b"pom.properties" if is_of_maven() => Some(Interest::Properties),
        b"pom.xml" if is_of_maven() => Some(Interest::Project),
        _ if name.ends_with(b".class") => Some(Interest::Class),
        _ if may_hold_packages(name) => Some(Interest::Archive),
        _ => None,
    }
}

impl Walk<'_> {
    /// Reads an archive; false if it is none. Fails if nothing of it could be read.
    fn archive(&mut self, file: &dyn ReadAt, within: &str, depth: u32) -> Result<bool, GapCause> {
        let Some(zip) = Zip::open(file)? else { return Ok(false) };
        self.archives += 1;
        self.directories = self.directories.saturating_add(zip.directory_size());
        if self.archives > ARCHIVES || self.directories > DIRECTORIES {
            return Err(limit("the file that it is part of holds more archives than are read"));
        }
        let mut said = Said::default();
        let ended = zip.members(&mut |member| {
            let Some(interest) = interest(member.name) else { return Ok(()) };
            let read = match interest {
                Interest::Class => {
                    said.archive.has_classes = true;
                    Ok(())
                }
                Interest::Archive => self.nested(&zip, member, within, depth),
                _ => self.text(&zip, member, interest, &mut said),
            };
            if let Err(cause) = read {
                self.note(&place(within, member.name), &cause);
            }
            if self.evidence > EVIDENCE { Err(limit("says more of packages than is kept")) } else { Ok(()) }
        });
        if let Err(cause) = ended {
            self.note(within, &cause);
        }
        self.keep(said, within);
        Ok(true)
    }

    /// Reads an archive in an archive.
    fn nested(&mut self, zip: &Zip<'_>, member: &Member<'_>, within: &str, depth: u32) -> Result<(), GapCause> {
        if member.size == 0 {
            return Ok(());
        }
        if depth >= DEPTH {
            return Err(limit("lies in more archives than are opened in each other"));
        }
        let place = place(within, member.name);
        if place.len() > PLACE {
            return Err(limit("has a longer path than a file system can hold"));
        }
        let is_zip = match zip.packed(member)? {
            Packed::Stored(window) => self.archive(&window, &place, depth + 1)?,
            packed @ Packed::Deflated(_) => {
                let (bytes, _grant) = self.unpack(&packed, member.size)?;
                self.held += member.size;
                let read = self.archive(&Slice(&bytes), &place, depth + 1);
                self.held -= member.size;
                read?
            }
        };
        if is_zip || member.name.to_ascii_lowercase().ends_with(super::CARRIER.as_bytes()) {
            return Ok(());
        }
        Err(GapCause::Damaged("it is no zip".to_owned()))
    }

    /// Unpacks an archive whole, which then has the size that the directory gave.
    fn unpack(&mut self, packed: &Packed<'_>, size: u64) -> Result<(Vec<u8>, Grant), GapCause> {
        self.count(size)?;
        let grant = self.scratch.acquire(size, self.held)?;
        let mut bytes = Vec::new();
        let reserved = usize::try_from(size).map(|size| bytes.try_reserve_exact(size));
        if !matches!(reserved, Ok(Ok(()))) {
            return Err(GapCause::NeedsMemory { bytes: size });
        }
        let mut reader = packed.reader();
        (&mut reader).take(size).read_to_end(&mut bytes).map_err(unpacking)?;
        let is_more = matches!(reader.read(&mut [0]), Ok(1..));
        if is_more || u64::try_from(bytes.len()) != Ok(size) {
            return Err(GapCause::Damaged("it has another size than the zip around it says".to_owned()));
        }
        Ok((bytes, grant))
    }

    /// Reads a manifest or a file of Maven.
    fn text(
        &mut self,
        zip: &Zip<'_>,
        member: &Member<'_>,
        interest: Interest,
        said: &mut Said,
    ) -> Result<(), GapCause> {
        let packed = zip.packed(member)?;
        let mut bytes = Vec::new();
        packed.reader().take(TEXT + 1).read_to_end(&mut bytes).map_err(unpacking)?;
        let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.count(size)?;
        let is_cut = size > TEXT;
        if !is_cut && size < member.size {
            return Err(GapCause::Damaged("it ends too early".to_owned()));
        }
        let too_large = GapCause::TooLarge { size: member.size.max(size), cap: TEXT };
        if interest == Interest::Manifest {
            // The last one counts, as for the JVM.
            said.archive.manifest = Some(manifest::parse(&bytes, is_cut).ok_or(too_large)?);
            return Ok(());
        }
        if is_cut {
            return Err(too_large);
        }
        let end = member.name.iter().rposition(|&byte| byte == b'/').unwrap_or_default();
        let folder = member.name[..end].to_vec();
        self.evidence += folder.len();
        let poms = said.poms.entry(folder).or_default();
        if interest == Interest::Properties {
            poms.properties = pom::properties(&bytes);
            self.evidence += poms.properties.weight();
        } else {
            let project = pom::project(&bytes);
            self.evidence += project.weight();
            poms.project = Some(project);
        }
        Ok(())
    }

    fn count(&mut self, unpacked: u64) -> Result<(), GapCause> {
        let left = self.unpackable.checked_sub(unpacked);
        self.unpackable =
            left.ok_or_else(|| limit("the file that it is part of unpacks to more than is read"))?;
        Ok(())
    }

    fn keep(&mut self, said: Said, within: &str) {
        let Said { mut archive, poms } = said;
        let artifacts = poms.into_values().map(|poms| pom::join(poms.properties, poms.project));
        archive.artifacts = artifacts.filter(|artifact| !artifact.artifact.is_empty()).collect();
        within.clone_into(&mut archive.within);
        self.evidence += archive.weight();
        if self.evidence <= EVIDENCE {
            self.found.archives.push(archive);
        } else {
            self.note(within, &limit("says more of packages than is kept"));
        }
    }

    fn note(&mut self, within: &str, cause: &GapCause) {
        if let GapCause::NeedsMemory { bytes } = cause {
            self.found.needs_memory = self.found.needs_memory.max(Some(*bytes));
        }
        if self.found.unread.len() < UNREAD {
            let within = within.chars().take(PLACE).collect();
            self.found.unread.push(JavaUnread { within, reason: cause.to_string() });
        } else {
            self.found.more_unread = self.found.more_unread.saturating_add(1);
        }
    }
}

/// Where a member lies in the file.
fn place(within: &str, name: &[u8]) -> String {
    let name = text(name).unwrap_or_else(|| "?".to_owned());
    let name = name.trim_start_matches('/');
    if within.is_empty() { name.to_owned() } else { format!("{within}!/{name}") }
}

fn limit(why: &str) -> GapCause {
    GapCause::Limit(why.to_owned())
}

/// Why a member could not be unpacked.
fn unpacking(error: io::Error) -> GapCause {
    match error.kind() {
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => {
            GapCause::Damaged("its compressed data cannot be decoded".to_owned())
        }
        _ => error.into(),
    }
}
