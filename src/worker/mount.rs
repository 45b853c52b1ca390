//! Reading an image where the kubelet has mounted it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx};

use super::dir::squash_stack;
use crate::packages::{self, ReadContext};
use crate::sbom::Sbom;
use crate::tree::{Budget, Directory, Gap, GapCause, Limits, ReadError, Step, Tree, Visit};
use crate::wire::FailureKind;

/// What was read of a mount.
pub(super) struct Mounted {
    pub(super) sbom: Sbom,
    /// Files and folders that this user may not open.
    pub(super) closed: u64,
    /// The most memory that a file asked for in vain, in bytes.
    pub(super) needs_memory: Option<u64>,
}

/// Why a mount was not read.
#[derive(Debug, thiserror::Error)]
pub(super) enum MountError {
    /// The folder is there, but it is an ordinary one of the scanner's own image: a runtime that knows no image volumes, or
    /// a webhook, left the volume out. Reading it would find an empty image.
    #[error("nothing is mounted at {0:?}: this cluster did not mount the image")]
    Absent(PathBuf),
    /// It cannot be walked.
    #[error("cannot read the mounted image")]
    Read(#[from] ReadError),
}

impl MountError {
    /// What may help.
    pub(super) fn kind(&self) -> FailureKind {
        match self {
            Self::Absent(_) => FailureKind::NotMounted,
            Self::Read(_) => FailureKind::Damaged,
        }
    }
}

/// Tells a walk that nobody waits for it any more.
pub(super) struct Stop(Arc<AtomicBool>);

/// Stops the walk when it is dropped.
pub(super) struct Stopping(Arc<AtomicBool>);

impl Stop {
    pub(super) fn new() -> (Stopping, Self) {
        let flag = Arc::new(AtomicBool::new(false));
        (Stopping(Arc::clone(&flag)), Self(flag))
    }
}

impl Drop for Stopping {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Reads what is mounted at a folder.
pub(super) fn read(
    folder: &Path,
    limits: &Limits,
    budget: &Budget,
    stop: &Stop,
) -> Result<Mounted, MountError> {
    if !is_mount_point(folder) {
        return Err(MountError::Absent(folder.to_owned()));
    }
    read_directory(folder, limits, budget, stop)
}

/// Whether something is mounted at this very folder. Where the kernel does not tell (before Linux 5.8), a folder of another
/// file system than its parent's is taken for it.
fn is_mount_point(folder: &Path) -> bool {
    let look = |path: &Path| statx(CWD, path, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::BASIC_STATS);
    let Ok(here) = look(folder) else { return false };
    if here.stx_attributes_mask.contains(StatxAttributes::MOUNT_ROOT) {
        return here.stx_attributes.contains(StatxAttributes::MOUNT_ROOT);
    }
    let parent = folder.parent().and_then(|parent| look(parent).ok());
    parent.is_some_and(|parent| {
        (parent.stx_dev_major, parent.stx_dev_minor) != (here.stx_dev_major, here.stx_dev_minor)
    })
}

fn read_directory(folder: &Path, limits: &Limits, budget: &Budget, stop: &Stop) -> Result<Mounted, MountError> {
    let open = |_| {
        let tree = Stoppable { tree: Directory::open(folder, limits)?, stop };
        Ok(Box::new(tree) as Box<dyn Tree + '_>)
    };
    let squashed = squash_stack(&[0], ReadContext::new(limits, budget), &open).map_err(|(_, error)| error)?;
    let gaps = squashed.gaps();
    let closed = gaps.iter().filter(|gap| gap.cause == GapCause::Closed).count();
    let needs_memory = gaps.iter().filter_map(|gap| match gap.cause {
        GapCause::NeedsMemory { bytes } => Some(bytes),
        _ => None,
    });
    Ok(Mounted {
        closed: u64::try_from(closed).unwrap_or(u64::MAX),
        needs_memory: needs_memory.max(),
        sbom: packages::assemble(&squashed),
    })
}

/// A tree whose walk ends when nobody waits for it.
struct Stoppable<'a> {
    tree: Directory,
    stop: &'a Stop,
}

impl Tree for Stoppable<'_> {
    fn walk(&mut self, visit: &mut Visit<'_>) -> Result<(), ReadError> {
        let stop = self.stop;
        self.tree.walk(&mut |entry, content| {
            if stop.0.load(Ordering::Relaxed) { Step::Stop } else { visit(entry, content) }
        })
    }

    fn take_gaps(&mut self) -> Vec<Gap> {
        self.tree.take_gaps()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_here(folder: &Path) -> Result<Mounted, MountError> {
        let budget = Budget::of_memory_limit(256 << 20);
        read(folder, &Limits::default(), &budget, &Stop::new().1)
    }

    #[test]
    fn folder_where_nothing_is_mounted_is_no_image_without_packages() {
        let folder = tempfile::tempdir().expect("a folder");
        for path in [folder.path().to_owned(), folder.path().join("nowhere")] {
            let error = read_here(&path).err().expect("no mount");
            assert_eq!(error.kind(), FailureKind::NotMounted, "{error}");
        }
    }

    #[test]
    fn mounted_folder_is_read() {
        // Every Linux has this one.
        assert!(read_here(Path::new("/proc/sys")).is_err(), "a part of a file system is no mount");
        assert!(is_mount_point(Path::new("/proc")));
    }

    #[test]
    fn walk_that_nobody_waits_for_ends() {
        let folder = tempfile::tempdir().expect("a folder");
        let package = folder.path().join("node_modules/a");
        std::fs::create_dir_all(&package).expect("room");
        std::fs::write(package.join("package.json"), r#"{"name": "a", "version": "1"}"#).expect("room");
        let budget = Budget::of_memory_limit(256 << 20);
        let read =
            |stop: &Stop| read_directory(folder.path(), &Limits::default(), &budget, stop).expect("reads");
        let (stopping, stop) = Stop::new();
        assert_eq!(read(&stop).sbom.packages.len(), 1);
        drop(stopping);
        assert_eq!(read(&stop).sbom.packages.len(), 0);
    }
}
