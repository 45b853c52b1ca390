//! Reading what lies on this machine: a directory, or layers in files.

use std::fmt::Write as _;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use comfy_table::{Table, presets};

use super::WorkerError;
use crate::packages::{self, ReadContext, Record};
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
    let open = |_| Ok(Box::new(Directory::open(path, &limits)?) as Box<dyn Tree>);
    read_stack(1, context, open).map_err(|(_, source)| WorkerError::Read { path: path.to_owned(), source })
}

/// Reads layers from files, the bottom one first; `memory` is what the process may use, in bytes.
///
/// # Errors
/// A file cannot be read or is no layer.
pub fn read_layers(paths: &[PathBuf], memory: u64) -> Result<Sbom, WorkerError> {
    let limits = Limits::default();
    let budget = Budget::of_memory_limit(memory);
    let context = ReadContext::new(&limits, &budget);
    let open = |index: usize| {
        let file = File::open(&paths[index]).map_err(|source| ReadError::Input { at: 0, source })?;
        Ok(Box::new(Layer::new(file, &limits, &budget)) as Box<dyn Tree>)
    };
    read_stack(paths.len(), context, open)
        .map_err(|(index, source)| WorkerError::Read { path: paths[index].clone(), source })
}

/// Reads a stack of trees one after the other, again where links ask for it, and assembles what was found.
fn read_stack(
    count: usize,
    context: ReadContext<'_>,
    open: impl Fn(usize) -> Result<Box<dyn Tree>, ReadError>,
) -> Result<Sbom, (usize, ReadError)> {
    let mut layers = Vec::with_capacity(count);
    for index in 0..count {
        let mut tree = open(index).map_err(|error| (index, error))?;
        let record: Record = packages::read_tree(&mut *tree, context).map_err(|error| (index, error))?;
        layers.push(Stacked { record: Arc::new(record), diff_id: None });
    }
    let mut squashed = packages::squash(layers);
    for index in 0..count {
        let targets: Vec<_> =
            squashed.targets().iter().filter(|target| target.layer == index).cloned().collect();
        if targets.is_empty() {
            continue;
        }
        let mut tree = open(index).map_err(|error| (index, error))?;
        let replayed = packages::replay(&mut *tree, &targets, context).map_err(|error| (index, error))?;
        squashed.serve(&targets, replayed);
    }
    Ok(packages::assemble(&squashed))
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
