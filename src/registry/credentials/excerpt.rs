//! The part of pull secrets that some images need, to be handed on without the rest.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::pattern::Pattern;
use super::{BrokenEntry, Format, Keyring, Secret};
use crate::image::Repository;

/// A credentials file as a Secret holds it.
#[derive(Clone, Copy)]
pub struct CredentialsFile<'a> {
    /// Where it was found, in words for people: `secret "pull"`.
    pub source: &'a str,
    /// Its shape.
    pub format: Format,
    /// What it holds.
    pub content: &'a [u8],
}

/// What some images need of credentials files.
#[derive(Debug)]
pub struct Excerpts {
    /// For each file, in their order: its entries that are for the images, as a file of the same shape; none if there are none.
    pub files: Vec<Option<Secret>>,
    /// What was left out although it might have been for them, because it cannot be used.
    pub broken: Vec<BrokenEntry>,
}

/// Takes out of files those entries with which the repositories are asked for when all the files are at hand. Nothing else of the
/// files is in the result, and the entries are in it as they were written.
#[must_use]
pub fn excerpts(files: &[CredentialsFile<'_>], repositories: &[Repository]) -> Excerpts {
    let mut keyring = Keyring::new();
    for (number, file) in files.iter().enumerate() {
        // Two files may have been found in places of the same name.
        keyring.add_file(&number.to_string(), file.format, file.content);
    }
    let needed: BTreeSet<(&str, &str)> = repositories
        .iter()
        .flat_map(|repository| keyring.lookup(repository))
        .map(|entry| (entry.source.as_str(), entry.location.as_str()))
        .collect();
    let cut = |(number, file): (usize, &CredentialsFile<'_>)| {
        let number = number.to_string();
        cut(file, |location| needed.contains(&(number.as_str(), location)))
    };
    let may_be_for = |entry: &&BrokenEntry| {
        let Some(location) = &entry.location else { return true };
        let Some(pattern) = Pattern::parse(location) else { return false };
        repositories.iter().any(|wanted| pattern.covers(&wanted.registry, &format!("/{}", wanted.path)))
    };
    let named = |entry: &BrokenEntry| {
        let file = entry.source.parse().ok().and_then(|number: usize| files.get(number));
        BrokenEntry { source: file.map_or("", |file| file.source).to_owned(), ..entry.clone() }
    };
    Excerpts {
        files: files.iter().enumerate().map(cut).collect(),
        broken: keyring.broken().iter().filter(may_be_for).map(named).collect(),
    }
}

/// The file with those of its entries that are needed; none if there are none, or if it is no such file.
fn cut(file: &CredentialsFile<'_>, is_needed: impl Fn(&str) -> bool) -> Option<Secret> {
    let whole: Entries<'_> = serde_json::from_slice(file.content).ok()?;
    let entries = match file.format {
        Format::DockerCfg => whole,
        Format::DockerConfigJson => {
            let (_, auths) = whole.0.iter().find(|(name, _)| name == "auths")?;
            serde_json::from_str::<Option<Entries<'_>>>(auths.get()).ok()??
        }
    };
    let needed: Vec<String> = entries
        .0
        .iter()
        .filter(|(location, _)| is_needed(location))
        .map(|(location, entry)| format!("{}:{}", serde_json::Value::from(location.as_str()), entry.get()))
        .collect();
    if needed.is_empty() {
        return None;
    }
    let entries = format!("{{{}}}", needed.join(","));
    Some(Secret::new(match file.format {
        Format::DockerCfg => entries,
        Format::DockerConfigJson => format!("{{\"auths\":{entries}}}"),
    }))
}

/// Names and what is written for each, in the order of the file. Of a name that is there twice the last one counts.
struct Entries<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Entries<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Entries<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                let mut places = BTreeMap::new();
                while let Some((name, entry)) = map.next_entry::<String, &'de RawValue>()? {
                    let place = *places.entry(name.clone()).or_insert(entries.len());
                    if place == entries.len() {
                        entries.push((name, entry));
                    } else {
                        entries[place].1 = entry;
                    }
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

#[cfg(test)]
mod tests;
