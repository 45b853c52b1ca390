//! The index of one ecosystem.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use super::super::bytes::Decoder;
use super::super::ecosystem::Ecosystem;
use super::super::table::{Storage, Table, TableError, Value};
use super::entry::{self, Entry};
use super::header::{Header, Holds};
use super::identity::{Identity, Text};

const PACKAGES: usize = 0;
const ADVISORIES: usize = 1;
const TEXTS: usize = 2;

const CONTRADICTION: TableError = TableError::Damaged("an entry contradicts itself");

/// The index of one ecosystem.
#[derive(Debug)]
pub struct Partition {
    ecosystem: Ecosystem,
    header: Header,
    table: Table,
}

/// What is said about one package.
#[derive(Clone, Debug)]
pub struct Entries(Value);

impl Partition {
    /// Opens a file; reads its directory alone.
    ///
    /// # Errors
    /// It cannot be read, or is no such index.
    pub fn open(path: &Path) -> Result<Self, TableError> {
        let file = File::open(path).map_err(TableError::Read)?;
        Self::of(Table::open(Storage::File(Arc::new(file)))?)
    }

    pub(super) fn of(table: Table) -> Result<Self, TableError> {
        let header = Header::decode(table.about());
        let header = header.ok_or(TableError::Damaged("it does not say what it holds"))?;
        let Holds::Advisories(name) = &header.holds else {
            return Err(TableError::Damaged("it holds no advisories"));
        };
        let ecosystem = name.parse().map_err(|_| TableError::Damaged("it is about no ecosystem"))?;
        Ok(Self { ecosystem, header, table })
    }

    /// The ecosystem.
    #[must_use]
    pub fn ecosystem(&self) -> &Ecosystem {
        &self.ecosystem
    }

    /// What the file says about itself.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Reads all of it once.
    ///
    /// # Errors
    /// Something in it is not as it was written.
    pub fn verify(&self) -> Result<(), TableError> {
        self.table.verify()?;
        for entries in self.table.get_all(PACKAGES, b"")? {
            for entry in Entries(entries).iter() {
                self.identity(entry?.advisory)?;
            }
        }
        Ok(())
    }

    /// What is said about a package.
    pub(in crate::advisories) fn entries(&self, package: &str) -> Result<Option<Entries>, TableError> {
        let found = self.table.get(PACKAGES, key(&self.ecosystem, package).as_bytes())?;
        Ok(found.map(Entries))
    }

    /// The names of all packages that an advisory is about, by any id of it: its own, a vulnerability, an alias.
    ///
    /// # Errors
    /// Something in it cannot be read.
    pub(super) fn packages_of(&self, id: &str) -> Result<BTreeSet<String>, TableError> {
        let mut advisories = BTreeSet::new();
        self.table.each(ADVISORIES, |key, value| {
            // Decoding costs far more than looking whether the id is in it at all.
            if contains_without_case(value, id.as_bytes()) {
                let identity = Identity::decode(value).ok_or(CONTRADICTION)?;
                if identity.is_known_as(id) {
                    let number: [u8; 4] = key.try_into().map_err(|_| CONTRADICTION)?;
                    advisories.insert(u32::from_be_bytes(number));
                }
            }
            Ok(())
        })?;
        let mut packages = BTreeSet::new();
        if advisories.is_empty() {
            return Ok(packages);
        }
        self.table.each(PACKAGES, |key, value| {
            for entry in entries_in(value) {
                if advisories.contains(&entry?.advisory) {
                    packages.insert(package_of(&self.ecosystem, &String::from_utf8_lossy(key)));
                    break;
                }
            }
            Ok(())
        })?;
        Ok(packages)
    }

    /// What is said about an artifact of Maven under the names of all its groups.
    pub(in crate::advisories) fn entries_of_artifact(
        &self,
        artifact: &str,
    ) -> Result<Vec<Entries>, TableError> {
        let found = self.table.get_all(PACKAGES, format!("{artifact}:").as_bytes())?;
        Ok(found.into_iter().map(Entries).collect())
    }

    /// The ids and ratings of an advisory.
    pub(in crate::advisories) fn identity(&self, advisory: u32) -> Result<Identity, TableError> {
        let value = self.table.get(ADVISORIES, &number_key(advisory))?;
        value.and_then(|value| Identity::decode(&value)).ok_or(CONTRADICTION)
    }

    /// The texts of an advisory.
    pub(in crate::advisories) fn text(&self, advisory: u32) -> Result<Text, TableError> {
        let value = self.table.get(TEXTS, &number_key(advisory))?;
        value.and_then(|value| Text::decode(&value)).ok_or(CONTRADICTION)
    }
}

impl Entries {
    /// The entries, in the order of the ids of their advisories. Ends after the first that cannot be read.
    pub(in crate::advisories) fn iter(&self) -> impl Iterator<Item = Result<Entry<'_>, TableError>> {
        entries_in(&self.0)
    }
}

fn entries_in(value: &[u8]) -> impl Iterator<Item = Result<Entry<'_>, TableError>> {
    let mut decoder = Decoder::new(value);
    let count = decoder.count();
    let mut last = 0_u32;
    let mut left = count.unwrap_or(1);
    std::iter::from_fn(move || {
        left = left.checked_sub(1)?;
        let mut next = || {
            count?;
            let step = u32::try_from(decoder.number()?).ok()?;
            last = last.checked_add(step)?;
            entry::decode(last, &mut decoder)
        };
        let entry = next().ok_or(CONTRADICTION);
        if entry.is_err() {
            left = 0;
        }
        Some(entry)
    })
}

fn contains_without_case(text: &[u8], part: &[u8]) -> bool {
    part.is_empty() || text.windows(part.len()).any(|window| window.eq_ignore_ascii_case(part))
}

/// What a package is filed under. An artifact of Maven comes before its group, so that all groups of one lie together.
pub(super) fn key(ecosystem: &Ecosystem, package: &str) -> String {
    match package.split_once(':').filter(|_| ecosystem.name() == "Maven") {
        Some((group, artifact)) => format!("{artifact}:{group}"),
        None => package.to_owned(),
    }
}

/// The package that is filed under a key.
fn package_of(ecosystem: &Ecosystem, key: &str) -> String {
    match key.split_once(':').filter(|_| ecosystem.name() == "Maven") {
        Some((artifact, group)) => format!("{group}:{artifact}"),
        None => key.to_owned(),
    }
}

/// What an advisory is filed under: numbers in the order of their bytes.
pub(super) fn number_key(advisory: u32) -> [u8; 4] {
    advisory.to_be_bytes()
}
