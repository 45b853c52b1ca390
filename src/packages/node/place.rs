//! Where a `package.json` lies, and what that says about it.

use crate::tree::EntryPath;

/// Folders of what is written for others to copy or to test with.
const SAMPLES: [&[u8]; 17] = [
    b"test",
    b"tests",
    b"__tests__",
    b"__mocks__",
    b"testdata",
    b"test-data",
    b"fixture",
    b"fixtures",
    b"__fixtures__",
    b"example",
    b"examples",
    b"demo",
    b"demos",
    b"sample",
    b"samples",
    b"template",
    b"templates",
];
/// Folders into which other languages install libraries, some of which carry a `package.json` that nobody installed from npm.
const FOREIGN: [&[u8]; 4] = [b"site-packages", b"dist-packages", b"vendor", b"gems"];

/// What a place says about the `package.json` there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Where Node loads a package from.
    Installed,
    /// Perhaps the root of an application.
    Anywhere,
    /// Hardly the root of anything that runs.
    Unlikely,
}

/// None if it is no `package.json`, or not at the root of a package.
pub(super) fn of(path: &EntryPath) -> Option<Place> {
    if path.name() != b"package.json" {
        return None;
    }
    let folders: Vec<&[u8]> = path.components().collect();
    let folders = folders.split_last().map_or(&[][..], |(_, folders)| folders);
    let Some(first) = (0..folders.len()).find(|&index| is_modules(folders, index)) else {
        let is_unlikely = folders.iter().any(|name| SAMPLES.contains(name) || FOREIGN.contains(name));
        return Some(if is_unlikely { Place::Unlikely } else { Place::Anywhere });
    };
    let mut inner = &folders[first + 1..];
    while let Some(next) = inner.iter().position(|name| *name == b"node_modules") {
        let (package, deeper) = (&inner[..next], &inner[next + 1..]);
        // Names of packages may be any word; only what lies deeper in them tells.
        let within = &package[name_length(package).min(package.len())..];
        if within.iter().any(|name| SAMPLES.contains(name)) {
            return None;
        }
        inner = deeper;
    }
    let is_package = match inner {
        [b".store", _, b"package"] => true,
        [name, ..] if name.starts_with(b".") => false,
        _ => !inner.is_empty() && inner.len() == name_length(inner),
    };
    is_package.then_some(Place::Installed)
}

/// Whether packages are loaded from this folder: `node_modules`, or what Debian has in its place (Debian JavaScript policy).
fn is_modules(folders: &[&[u8]], index: usize) -> bool {
    match folders[index] {
        b"node_modules" => true,
        b"nodejs" => matches!(&folders[..index], [b"usr", b"share" | b"lib"] | [b"usr", b"lib", _]),
        _ => false,
    }
}

/// How many folders the name of a package takes.
fn name_length(folders: &[&[u8]]) -> usize {
    if folders.first().is_some_and(|name| name.starts_with(b"@")) { 2 } else { 1 }
}
