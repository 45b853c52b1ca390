//! Reading what lies on this machine: a directory, or layers in files.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use comfy_table::{Table, presets};

use super::{LAYERS_AT_ONCE, WorkerError};
use crate::packages::{self, Evidence, ReadContext, Record, Squashed};
use crate::sbom::Sbom;
use crate::tree::squash::Stacked;
use crate::tree::{Budget, Directory, Layer, Limits, ReadError, Tree};

/// Reads a directory; `memory` is what the process may use, in bytes.
///
/// # Errors
/// The directory cannot be opened.
pub fn read_directory(path: &Path, memory: u64) -> Result<Sbom, WorkerError> {
    let limits = Limits::default();
    let budget = Budget::of_memory_limit(memory);
    let context = ReadContext::new(&limits, &budget);
    let open = |_| Ok(Box::new(Directory::open(path, &limits)?) as Box<dyn Tree + '_>);
    read_stack(&[0], context, &open).map_err(|(_, source)| WorkerError::Read { path: path.to_owned(), source })
}

/// Reads layers from files, the bottom one first, several at once as in a pod; `memory` is what the process may use, in
/// bytes.
///
/// # Errors
/// A file cannot be read or is no layer.
pub fn read_layers(paths: &[PathBuf], memory: u64) -> Result<Sbom, WorkerError> {
    let limits = Limits::default();
    let budget = Budget::of_memory_limit(memory);
    let context = ReadContext::new(&limits, &budget);
    let open = |index: usize| {
        let file = File::open(&paths[index]).map_err(|source| ReadError::Input { at: 0, source })?;
        Ok(Box::new(Layer::new(file, &limits, &budget)) as Box<dyn Tree + '_>)
    };
    let sizes = paths.iter().map(|path| path.metadata().map_or(0, |file| file.len()));
    read_stack(&sizes.collect::<Vec<_>>(), context, &open)
        .map_err(|(index, source)| WorkerError::Read { path: paths[index].clone(), source })
}

/// Opens the tree with a number.
pub(super) type Open<'a> = dyn Fn(usize) -> Result<Box<dyn Tree + 'a>, ReadError> + Sync + 'a;

/// Reads a stack of trees of these sizes and assembles what was found.
fn read_stack(sizes: &[u64], context: ReadContext<'_>, open: &Open<'_>) -> Result<Sbom, (usize, ReadError)> {
    squash_stack(sizes, context, open).map(|squashed| packages::assemble(&squashed))
}

/// Reads a stack of trees of these sizes, again where links ask for it; of an error, which tree it was.
pub(super) fn squash_stack(
    sizes: &[u64],
    context: ReadContext<'_>,
    open: &Open<'_>,
) -> Result<Squashed, (usize, ReadError)> {
    let layers = read_all(sizes, context, open)?;
    let mut squashed = packages::squash(layers);
    for index in 0..sizes.len() {
        let targets: Vec<_> =
            squashed.targets().iter().filter(|target| target.layer == index).cloned().collect();
        if targets.is_empty() {
            continue;
        }
        let mut tree = open(index).map_err(|error| (index, error))?;
        let replayed = packages::replay(&mut *tree, &targets, context).map_err(|error| (index, error))?;
        squashed.serve(&targets, replayed);
    }
    Ok(squashed)
}

/// Reads each tree once: as many at the same time as there are cores, the largest first.
fn read_all(
    sizes: &[u64],
    context: ReadContext<'_>,
    open: &Open<'_>,
) -> Result<Vec<Stacked<Evidence>>, (usize, ReadError)> {
    let mut order: Vec<usize> = (0..sizes.len()).collect();
    order.sort_by_key(|&index| Reverse(sizes[index]));
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let (next, read) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    let read_next = || {
        while let Some(&index) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
            let record = open(index).and_then(|mut tree| packages::read_tree(&mut *tree, context));
            read.lock().unwrap_or_else(PoisonError::into_inner).insert(index, record);
        }
    };
    thread::scope(|scope| {
        for _ in 1..sizes.len().min(cores).min(LAYERS_AT_ONCE) {
            scope.spawn(read_next);
        }
        read_next();
    });
    let read = read.into_inner().unwrap_or_else(PoisonError::into_inner);
    let stacked = |(index, record): (usize, Result<Record, ReadError>)| match record {
        Ok(record) => Ok(Stacked { record: Arc::new(record), diff_id: None }),
        Err(error) => Err((index, error)),
    };
    read.into_iter().map(stacked).collect()
}

/// A bill of materials for people.
#[must_use]
pub fn table(sbom: &Sbom) -> String {
    let mut text = String::new();
    let distro =
        sbom.distro.as_ref().map_or("unknown", |distro| distro.pretty_name.as_deref().unwrap_or(&distro.id));
    writeln!(text, "Distribution: {distro}\nPackages: {}", sbom.packages.len())
        .expect("writing to a string cannot fail");
    if sbom.packages.is_empty() {
        return text;
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(["PACKAGE", "VERSION", "TYPE", "ARCHITECTURE", "SOURCE"]);
    for package in &sbom.packages {
        let architecture = package.architecture.as_deref().unwrap_or_default();
        let source = package.source.as_ref().map(|source| source.name.as_str()).unwrap_or_default();
        table.add_row([&package.name, &package.version, package.package_type.as_str(), architecture, source]);
    }
    for line in table.lines() {
        writeln!(text, "{}", line.trim()).expect("writing to a string cannot fail");
    }
    text
}
