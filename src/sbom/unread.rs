//! What a document lists and what is no package here: counted and named, never dropped.

use std::collections::BTreeMap;

/// How many components are named of each sort; the others are only counted.
const NAMED: usize = 3;
/// Longest name that is kept, in characters.
const MAX_NAME: usize = 80;
/// How many sorts are told apart: the types of package URLs are any words.
const SORTS: usize = 32;

/// What a component lacks to be a package that can be held against advisories.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Lack {
    /// A package URL.
    Purl,
    /// A package URL that is one.
    ValidPurl,
    /// A version.
    Version,
    /// A type that is known here; the type it has.
    KnownType(String),
    /// The distribution that the document is about; the one it has.
    SameDistro(String),
}

/// The components of one document that are no packages here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unread {
    sorts: BTreeMap<Lack, Sort>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Sort {
    count: usize,
    named: Vec<String>,
}

impl Unread {
    pub(super) fn add(&mut self, lack: Lack, name: &str) {
        let is_full = self.sorts.len() >= SORTS && !self.sorts.contains_key(&lack);
        let lack = match lack {
            Lack::KnownType(_) if is_full => Lack::KnownType("other types".to_owned()),
            Lack::SameDistro(_) if is_full => Lack::SameDistro("others".to_owned()),
            lack => lack,
        };
        let sort = self.sorts.entry(lack).or_default();
        sort.count += 1;
        let name: String = name.chars().take(MAX_NAME).collect();
        if sort.named.len() < NAMED && !name.is_empty() && !sort.named.contains(&name) {
            sort.named.push(name);
        }
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.sorts.values().map(|sort| sort.count).sum()
    }

    /// In words, one text for each sort: `3 components have no package URL: a, b, c`.
    pub fn in_words(&self) -> impl Iterator<Item = String> {
        self.sorts.iter().map(|(lack, Sort { count, named })| {
            let (noun, verb, be) =
                if *count == 1 { ("component", "has", "is") } else { ("components", "have", "are") };
            let text = match lack {
                Lack::Purl => format!("{count} {noun} {verb} no package URL"),
                Lack::ValidPurl => format!("{count} {noun} {verb} a package URL that cannot be read"),
                Lack::Version => format!("{count} {noun} {verb} no version"),
                Lack::KnownType(kind) => format!("{count} {noun} {be} of a type that is not known: {kind}"),
                Lack::SameDistro(other) => format!("{count} {noun} {be} of another distribution: {other}"),
            };
            let more = if named.len() < *count { ", …" } else { "" };
            if named.is_empty() { text } else { format!("{text} ({}{more})", named.join(", ")) }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_sort_is_counted_and_its_first_ones_are_named() {
        let mut unread = Unread::default();
        for name in ["a", "b", "c", "d"] {
            unread.add(Lack::Purl, name);
        }
        unread.add(Lack::KnownType("generic".to_owned()), "openssl");
        unread.add(Lack::Version, "");
        let words: Vec<String> = unread.in_words().collect();
        assert_eq!(
            words,
            [
                "4 components have no package URL (a, b, c, …)",
                "1 component has no version",
                "1 component is of a type that is not known: generic (openssl)",
            ]
        );
        assert_eq!(unread.count(), 6);
    }

    #[test]
    fn any_number_of_types_is_told_in_few_words() {
        let mut unread = Unread::default();
        for number in 0..1000 {
            unread.add(Lack::KnownType(format!("t{number}")), "x");
        }
        assert_eq!((unread.in_words().count(), unread.count()), (SORTS + 1, 1000));
    }
}
