//! Which packages an archive is and holds.
//!
//! What Maven wrote is taken at its word. One of its artifacts may be the archive itself, the others were put into it (shaded). Where
//! none is, the archive is named by its file, as a repository names it: `ARTIFACT-VERSION[-CLASSIFIER].jar`, and by its
//! manifest, whose versions are those of a release more often than not, and whose titles are texts.

use super::pom::coordinate;
use super::{JavaArchive, JavaArtifact, JavaManifest, SUFFIXES, has_suffix};

/// Words within a version, which are no part of a name and no classifier.
const QUALIFIERS: [&str; 21] = [
    "snapshot",
    "alpha",
    "beta",
    "milestone",
    "rc",
    "cr",
    "sp",
    "pr",
    "pre",
    "preview",
    "ea",
    "final",
    "ga",
    "release",
    "incubating",
    "jre",
    "android",
    "build",
    "rev",
    "b",
    "m",
];
/// How the name of a file goes on behind the version where it is one of several that were released together.
const CLASSIFIERS: [&str; 18] = [
    "sources",
    "javadoc",
    "test",
    "tests",
    "all",
    "shaded",
    "uber",
    "fat",
    "exec",
    "boot",
    "standalone",
    "jar",
    "native",
    "natives",
    "linux",
    "osx",
    "macos",
    "windows",
];
/// Artifacts with no software in them, unless they hold classes.
const DOCUMENTS: [&str; 2] = ["-sources", "-javadoc"];

/// A package as it is told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// `group:artifact`, or the artifact alone.
    pub(super) name: String,
    /// Empty where nobody says.
    pub(super) version: String,
    /// Its licences.
    pub(super) licenses: Vec<String>,
    /// Who made it.
    pub(super) supplier: Option<String>,
}

/// All packages of an archive whose file has this name.
pub(super) fn of(archive: &JavaArchive, file: &str) -> Vec<Found> {
    let stem = SUFFIXES.iter().find(|suffix| has_suffix(file.as_bytes(), suffix));
    let stem = stem.map_or(file, |suffix| &file[..file.len() - suffix.len()]);
    if !archive.has_classes && DOCUMENTS.iter().any(|end| stem.ends_with(end)) {
        return Vec::new();
    }
    let named = Named::of(stem);
    let nothing = JavaManifest::default();
    let manifest = archive.manifest.as_ref().unwrap_or(&nothing);
    let main = main(&archive.artifacts, &named, manifest);
    let mut found: Vec<Found> = archive.artifacts.iter().map(Found::of).collect();
    let index = main.unwrap_or(found.len());
    if main.is_none() {
        found.push(Found { name: name(&named, manifest), ..Found::default() });
    }
    let own = &mut found[index];
    if own.version.is_empty() {
        own.version = version(&named, manifest);
    }
    if main.is_none() && own.version.is_empty() && index > 0 {
        // A file that somebody called so, and nothing known of it that the artifacts in it do not say better.
        found.pop();
        return found;
    }
    own.supplier.clone_from(&manifest.vendor);
    if own.licenses.is_empty() {
        own.licenses.clone_from(&manifest.licenses);
    }
    found
}

impl Found {
    fn of(artifact: &JavaArtifact) -> Self {
        let JavaArtifact { group, artifact, version, licenses } = artifact;
        let name = if group.is_empty() { artifact.clone() } else { format!("{group}:{artifact}") };
        Self { name, version: version.clone(), licenses: licenses.clone(), supplier: None }
    }
}

/// What the name of a file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Named<'a> {
    stem: &'a str,
    name: &'a str,
    /// With what follows it.
    version: &'a str,
}

impl<'a> Named<'a> {
    /// Splits before the part that begins with a digit. Of several the first, unless a word of a name stands between: `log4j-1.2-api`
    /// is a name, `1.0-beta-2` a version. Eclipse puts an underscore there.
    fn of(stem: &'a str) -> Self {
        let mut split = None;
        let mut before = None;
        for (at, part) in parts(stem) {
            let goes_on = before.is_some_and(|word: &str| is_word(word) && !is_qualifier(word));
            if at > 0 && begins_version(part) && (split.is_none() || goes_on) {
                split = Some(at);
            }
            before = Some(part);
        }
        let underscore = |may_split: &dyn Fn(&str, &str) -> bool| {
            let (name, version) = stem.split_once('_').filter(|(name, version)| may_split(name, version))?;
            (!name.is_empty() && begins_version(version)).then_some(name.len() + 1)
        };
        // `org.eclipse.osgi_3.18.0.v20220516-2155` is a bundle, `kafka_2.13-3.6.0` was built for Scala 2.13.
        let bundle = underscore(&|name, version| {
            let numbers =
                version.split('.').take(3).filter(|part| part.bytes().all(|byte| byte.is_ascii_digit()));
            name.contains('.') && numbers.count() == 3
        });
        let split = bundle.or(split).or_else(|| underscore(&|_, version| !version.contains('_')));
        match split {
            Some(at) => Self { stem, name: &stem[..at - 1], version: &stem[at..] },
            None => Self { stem, name: stem, version: "" },
        }
    }

    /// The version without a classifier behind it. The manifest knows better where the one ends and the other begins.
    fn version(&self, manifest: &JavaManifest) -> &'a str {
        let stated = manifest.implementation_version.as_deref().unwrap_or_default();
        if let Some(classifier) = self.version.strip_prefix(stated).and_then(|rest| rest.strip_prefix('-'))
            && !stated.is_empty()
            && !parts(classifier).next().is_some_and(|(_, word)| is_qualifier(word) || !is_word(word))
        {
            return &self.version[..stated.len()];
        }
        let mut parts = parts(self.version).skip(1);
        let classifier = parts.find(|(_, part)| CLASSIFIERS.contains(part));
        classifier.map_or(self.version, |(at, _)| &self.version[..at - 1])
    }
}

/// Parts between hyphens, with their places.
fn parts(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut at = 0;
    text.split('-').map(move |part| {
        let start = at;
        at += part.len() + 1;
        (start, part)
    })
}

/// Versions begin with a digit; some old ones with `r`.
fn begins_version(part: &str) -> bool {
    let is_revision = |rest: &str| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit());
    part.starts_with(|c: char| c.is_ascii_digit()) || part.strip_prefix('r').is_some_and(is_revision)
}

fn is_word(part: &str) -> bool {
    part.starts_with(|c: char| c.is_ascii_alphabetic())
}

/// `beta`, `RC1`, `M2`.
fn is_qualifier(word: &str) -> bool {
    let word = word.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
    QUALIFIERS.iter().any(|qualifier| word.eq_ignore_ascii_case(qualifier))
}

/// Which of its artifacts the archive itself is: what its file is called after, else what its manifest names, else the only
/// one, unless the file's name says that it is another.
fn main(artifacts: &[JavaArtifact], named: &Named<'_>, manifest: &JavaManifest) -> Option<usize> {
    // Of several with the longest name: `log4j-1.2-api` is not `log4j`.
    let by = |is_it: &dyn Fn(&JavaArtifact) -> bool| {
        let fitting = artifacts.iter().enumerate().filter(|(_, artifact)| is_it(artifact));
        fitting.max_by_key(|(_, artifact)| artifact.artifact.len()).map(|(index, _)| index)
    };
    let is_named = |artifact: &JavaArtifact| {
        let rest = named.stem.strip_prefix(artifact.artifact.as_str());
        let version = rest.and_then(|rest| rest.strip_prefix(['-', '_', '.']));
        rest == Some("") || named.name == artifact.artifact || version.is_some_and(begins_version)
    };
    let titles =
        [&manifest.artifact_id, &manifest.short_name, &manifest.extension_name, &manifest.implementation_title];
    let is_titled = |artifact: &JavaArtifact| {
        let is_title = titles.into_iter().flatten().any(|title| *title == artifact.artifact);
        let bundle = [&manifest.bundle_symbolic_name, &manifest.automatic_module_name];
        let full = format!("{}.{}", artifact.group, artifact.artifact);
        is_title || bundle.into_iter().flatten().any(|name| *name == artifact.artifact || *name == full)
    };
    let is_only = |artifact: &JavaArtifact| {
        artifacts.len() == 1 && (named.version.is_empty() || named.version(manifest) == artifact.version)
    };
    by(&is_named).or_else(|| by(&is_titled)).or_else(|| by(&is_only))
}

/// The name of an archive that Maven says nothing of.
fn name(named: &Named<'_>, manifest: &JavaManifest) -> String {
    let artifact = coordinate(named.name.as_bytes()).filter(|name| is_word(name));
    let titles = [
        &manifest.artifact_id,
        &manifest.short_name,
        &manifest.extension_name,
        &manifest.bundle_symbolic_name,
        &manifest.implementation_title,
    ];
    let mut titles = titles.into_iter().flatten().filter_map(|title| coordinate(title.as_bytes()));
    // A plugin of Jenkins is built by Maven, whose own plugin writes its group and artifact.
    if manifest.plugin_version.is_some()
        && let Some(group) = manifest.group_id.as_ref().and_then(|group| coordinate(group.as_bytes()))
        && let Some(artifact) = titles.next()
    {
        return format!("{group}:{artifact}");
    }
    let as_it_is = || named.stem.replace(|c: char| c == ':' || c.is_whitespace(), "_");
    artifact.or_else(|| titles.next()).unwrap_or_else(as_it_is)
}

/// The version of an archive that Maven says nothing of; empty if nobody does.
fn version(named: &Named<'_>, manifest: &JavaManifest) -> String {
    let stated = [
        &manifest.plugin_version,
        &manifest.implementation_version,
        &manifest.bundle_version,
        &manifest.specification_version,
    ];
    let from_file = Some(named.version(manifest)).filter(|version| !version.is_empty());
    // `1.2.3 (private-build)`, `1.2.3 2020-02-02`.
    let stated = stated.into_iter().flatten().filter_map(|version| version.split_whitespace().next());
    let mut versions = from_file.into_iter().chain(stated).filter_map(|version| coordinate(version.as_bytes()));
    versions.find(|version| version.bytes().any(|byte| byte.is_ascii_digit())).unwrap_or_default()
}

#[cfg(test)]
mod tests;
