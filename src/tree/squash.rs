//! Layers laid over each other: which of the files that were read are in the image, and under which names.
//!
//! OCI image-spec, "Applying Changesets": bottom to top by literal path; whiteouts hide what is below; anything but a
//! directory hides a directory with all that is in it, and a directory replaces anything else. Links are
//! resolved when all layers lie in place, clamped to the root, as the kernel would for a process in the container.

mod resolve;

use std::cell::Cell;
use std::collections::HashSet;
use std::sync::Arc;

pub use resolve::Resolved;

use super::budget::Grant;
use super::gap::{Gap, GapCause};
use super::hash::path_hash;
use super::path::EntryPath;
use super::record::{Found, LinkTarget, Record};
use crate::image::Digest;

/// Most links that are followed for one path (`MAXSYMLINKS`).
const LINKS: usize = 40;
/// Most lookups of a name in a layer that following links may take. Large images need some hundred thousand.
const LOOKUPS: u64 = 4_000_000;
/// Most files that are asked for in a second pass.
const TARGETS: usize = 10_000;

/// One layer in an image's stack; a directory is a stack of one.
#[derive(Debug)]
pub struct Stacked<E> {
    /// What was found in it.
    pub record: Arc<Record<E>>,
    /// Digest of the uncompressed layer; a directory has none.
    pub diff_id: Option<Digest>,
}

impl<E> Clone for Stacked<E> {
    fn clone(&self) -> Self {
        Self { record: Arc::clone(&self.record), diff_id: self.diff_id.clone() }
    }
}

/// All layers of an image, seen from above.
#[derive(Debug)]
pub struct Squashed<E> {
    layers: Vec<Stacked<E>>,
    visible: Vec<Visible>,
    served: Vec<Found<E>>,
    targets: Vec<Target>,
    gaps: Vec<Gap>,
    lookups: Cell<u64>,
    /// The memory that `served` takes, given back with it.
    memory: Vec<Grant>,
}

/// Evidence that is part of the image.
#[derive(Clone, Debug)]
struct Visible {
    path: EntryPath,
    /// Index of the layer that brought the path.
    layer: usize,
    source: Location,
}

#[derive(Clone, Copy, Debug)]
enum Location {
    /// Index of layer and of its evidence.
    Record(usize, usize),
    /// Index of what was read in the second pass.
    Served(usize),
}

/// A file that nobody knew to be wanted when its layer was read, since the wanted name is a link to it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// Index of the layer to read again.
    pub layer: usize,
    /// The file, or the directory whose files are meant.
    pub path: EntryPath,
    /// All files that stand directly in `path` are meant.
    pub is_directory: bool,
    /// The name under which it is wanted.
    pub wanted_as: EntryPath,
    /// Index of the layer that brought the name under which it counts, and that name.
    pub counts_as: (usize, EntryPath),
}

/// What a second pass over one layer read.
#[derive(Debug)]
pub struct Served<E> {
    /// What was found, with the target it was read for.
    pub found: Vec<(Target, Found<E>)>,
    /// What could not be read.
    pub gaps: Vec<Gap>,
    /// The memory that it takes, given back with it.
    pub(crate) memory: Vec<Grant>,
}

/// Evidence in the image, with where it came from.
#[derive(Clone, Copy, Debug)]
pub struct Sighting<'a, E> {
    /// Where the file stands.
    pub path: &'a EntryPath,
    /// Diff id of the layer that brought it.
    pub diff_id: Option<&'a Digest>,
    /// Who read it.
    pub reader: &'static str,
    /// What it says.
    pub evidence: &'a E,
}

/// Lays layers over each other, the bottom one first.
///
/// `fixed` are the paths that somebody looks up by name; where one ends in `/`, all files of that directory. Links
/// on the way to them are followed, and what they lead to becomes a [`Target`] if it was not read.
#[must_use]
pub fn squash<E>(layers: Vec<Stacked<E>>, fixed: &[&str]) -> Squashed<E> {
    let gaps = layers.iter().flat_map(|layer| layer.record.gaps.iter().cloned());
    let mut squashed = Squashed {
        gaps: gaps.collect(),
        layers,
        visible: Vec::new(),
        served: Vec::new(),
        targets: Vec::new(),
        lookups: Cell::new(0),
        memory: Vec::new(),
    };
    squashed.drop_hidden_gaps();
    squashed.see_evidence();
    squashed.see_hard_links();
    squashed.visible.sort_by(|a, b| a.path.cmp(&b.path));
    squashed.follow_links();
    for path in fixed {
        squashed.follow_fixed(path);
    }
    squashed.targets.sort_by(|a, b| (a.layer, &a.path, &a.wanted_as).cmp(&(b.layer, &b.path, &b.wanted_as)));
    squashed.targets.dedup();
    squashed
}

impl<E> Squashed<E> {
    /// All evidence in the image, sorted by path.
    pub fn sightings(&self) -> impl Iterator<Item = Sighting<'_, E>> {
        self.visible.iter().map(|visible| self.sighting(visible))
    }

    /// The evidence at a path, through links.
    pub fn at<'a>(&'a self, path: &str) -> impl Iterator<Item = Sighting<'a, E>> + use<'a, E> {
        let real = match EntryPath::new(path.as_bytes()).map(|path| self.resolve(&path)) {
            Ok(Resolved::File { path, .. }) => Some(path),
            _ => None,
        };
        real.into_iter().flat_map(|real| self.visible_at(&real)).map(|visible| self.sighting(visible))
    }

    /// The evidence of the files that stand directly in a directory, through links.
    pub fn within<'a>(&'a self, directory: &str) -> impl Iterator<Item = Sighting<'a, E>> + use<'a, E> {
        let real = match EntryPath::new(directory.as_bytes()).map(|path| self.resolve(&path)) {
            Ok(Resolved::Directory { path }) => Some(path),
            _ => None,
        };
        real.into_iter().flat_map(|real| self.visible_below(real)).map(|visible| self.sighting(visible))
    }

    /// Files to be read in a second pass, sorted by layer; hand what was read of them to [`Self::serve`].
    #[must_use]
    pub fn targets(&self) -> &[Target] {
        &self.targets
    }

    /// Takes in what a second pass read of some targets; those targets are then done with.
    pub fn serve(&mut self, targets: &[Target], served: Served<E>) {
        let done: HashSet<&Target> = targets.iter().collect();
        self.targets.retain(|target| !done.contains(target));
        for (target, found) in served.found {
            let (layer, mut path) = target.counts_as;
            if target.is_directory {
                path = found.path.clone();
                if self.is_hidden(layer, &path) {
                    continue;
                }
            }
            self.visible.push(Visible { path, layer, source: Location::Served(self.served.len()) });
            self.served.push(found);
        }
        self.visible.sort_by(|a, b| a.path.cmp(&b.path));
        self.gaps.extend(served.gaps);
        self.memory.extend(served.memory);
    }

    /// What could not be read, sorted. Targets that were not served are among it.
    #[must_use]
    pub fn gaps(&self) -> Vec<Gap> {
        let unserved = self.targets.iter().map(|target| Gap {
            path: target.wanted_as.clone(),
            cause: GapCause::LinkTarget(target.path.clone()),
        });
        let endless = (self.lookups.get() > LOOKUPS).then(|| {
            let why = format!("its links lead through more than {LOOKUPS} folders; some were not followed");
            Gap { path: EntryPath::root(), cause: GapCause::Limit(why) }
        });
        let mut gaps: Vec<Gap> = self.gaps.iter().cloned().chain(unserved).chain(endless).collect();
        gaps.sort_unstable();
        gaps.dedup();
        gaps
    }

    /// Diff ids, bottom to top.
    pub fn diff_ids(&self) -> impl Iterator<Item = &Digest> {
        self.layers.iter().filter_map(|layer| layer.diff_id.as_ref())
    }

    fn sighting<'a>(&'a self, visible: &'a Visible) -> Sighting<'a, E> {
        let found = match visible.source {
            Location::Record(layer, index) => &self.layers[layer].record.evidence[index],
            Location::Served(index) => &self.served[index],
        };
        let diff_id = self.layers[visible.layer].diff_id.as_ref();
        Sighting { path: &visible.path, diff_id, reader: found.reader, evidence: &found.evidence }
    }

    fn visible_at(&self, path: &EntryPath) -> &[Visible] {
        let start = self.visible.partition_point(|visible| visible.path < *path);
        let end = self.visible.partition_point(|visible| visible.path <= *path);
        &self.visible[start..end]
    }

    fn visible_below(&self, directory: EntryPath) -> impl Iterator<Item = &Visible> {
        let start = self.visible.partition_point(|visible| visible.path <= directory);
        let prefix = directory.clone();
        self.visible[start..]
            .iter()
            .take_while(move |visible| visible.path.as_bytes().starts_with(prefix.as_bytes()))
            .filter(move |visible| visible.path.parent() == Some(directory.as_bytes()))
    }

    /// A gap of a file that is not in the image is none of the image.
    fn drop_hidden_gaps(&mut self) {
        let mut gaps = Vec::new();
        for (index, layer) in self.layers.iter().enumerate() {
            let is_seen = |gap: &&Gap| gap.path.as_bytes().is_empty() || !self.is_hidden(index, &gap.path);
            gaps.extend(layer.record.gaps.iter().filter(is_seen).cloned());
        }
        self.gaps = gaps;
    }

    fn see_evidence(&mut self) {
        let mut visible = Vec::new();
        for (layer, stacked) in self.layers.iter().enumerate() {
            for (index, found) in stacked.record.evidence.iter().enumerate() {
                if !self.is_hidden(layer, &found.path) {
                    let source = Location::Record(layer, index);
                    visible.push(Visible { path: found.path.clone(), layer, source });
                }
            }
        }
        self.visible = visible;
    }

    /// Wanted names that are hard links: the file was read under its other name, or must be.
    fn see_hard_links(&mut self) {
        let (mut visible, mut targets, mut gaps) = (Vec::new(), Vec::new(), Vec::new());
        for (layer, stacked) in self.layers.iter().enumerate() {
            for link in stacked.record.links.iter().filter(|link| link.is_wanted) {
                let LinkTarget::Hard(target) = &link.target else { continue };
                if self.is_hidden(layer, &link.path) {
                    continue;
                }
                let Some((from, path)) = self.content_of(layer, &link.path) else {
                    let cause = GapCause::LinkTarget(target.clone());
                    gaps.push(Gap { path: link.path.clone(), cause });
                    continue;
                };
                let evidence = self.layers[from].record.evidence_at(&path);
                if evidence.is_empty() {
                    let counts_as = (layer, link.path.clone());
                    let wanted_as = link.path.clone();
                    targets.push(Target { layer: from, path, is_directory: false, wanted_as, counts_as });
                }
                for index in evidence {
                    let source = Location::Record(from, index);
                    visible.push(Visible { path: link.path.clone(), layer, source });
                }
            }
        }
        self.visible.extend(visible);
        self.gaps.extend(gaps);
        self.add_targets(targets);
    }

    /// Wanted names that are symbolic links.
    fn follow_links(&mut self) {
        let mut targets = Vec::new();
        for (layer, stacked) in self.layers.iter().enumerate() {
            for link in stacked.record.links.iter().filter(|link| link.is_wanted) {
                if matches!(link.target, LinkTarget::Symbolic(_)) && !self.is_hidden(layer, &link.path) {
                    targets.extend(self.file_target(&link.path));
                }
            }
        }
        self.add_targets(targets);
    }

    fn follow_fixed(&mut self, fixed: &str) {
        let Ok(path) = EntryPath::new(fixed.as_bytes()) else { return };
        if !fixed.ends_with('/') {
            let target = self.file_target(&path);
            return self.add_targets(target.into_iter().collect());
        }
        let Resolved::Directory { path: real } = self.resolve(&path) else { return };
        if real == path {
            return;
        }
        let hash = path_hash(real.as_bytes());
        let has_it = |layer: &Stacked<E>| layer.record.dirs.binary_search(&hash).is_ok();
        let layers = self.layers.iter().enumerate().filter(|(_, layer)| has_it(layer));
        let targets = layers.map(|(layer, _)| Target {
            layer,
            path: real.clone(),
            is_directory: true,
            wanted_as: path.clone(),
            counts_as: (layer, real.clone()),
        });
        let targets = targets.collect();
        self.add_targets(targets);
    }

    /// What must be read so that a wanted name is known, if it leads to a file that was not read.
    fn file_target(&self, wanted: &EntryPath) -> Option<Target> {
        let Resolved::File { layer, path } = self.resolve(wanted) else { return None };
        if path == *wanted || !self.visible_at(&path).is_empty() {
            return None;
        }
        let (from, file) = self.content_of(layer, &path)?;
        let wanted_as = wanted.clone();
        Some(Target { layer: from, path: file, is_directory: false, wanted_as, counts_as: (layer, path) })
    }

    fn add_targets(&mut self, targets: Vec<Target>) {
        for target in targets {
            if self.targets.len() >= TARGETS {
                let why = format!("more than {TARGETS} links lead to files that were not read");
                self.gaps.push(Gap { path: target.wanted_as, cause: GapCause::Limit(why) });
                return;
            }
            self.targets.push(target);
        }
    }
}

#[cfg(test)]
mod tests;
