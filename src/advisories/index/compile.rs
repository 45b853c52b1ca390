//! From records to one index for each ecosystem.
//!
//! Records come in any order and more than once: mirrors keep one both under its ecosystem and under each of its
//! releases. What is kept of them is already in the form of the index, so that a dump of a GiB takes a tenth of that.
//! The same records give the same bytes, whatever their order was.

use std::collections::hash_map::Entry as Slot;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{self, Write};

use super::super::bytes::Encoder;
use super::super::ecosystem::Ecosystem;
use super::super::table::{Compression, TableWriter};
use super::super::{Advisory, Affected};
use super::entry;
use super::header::{Header, Holds};
use super::identity::Identity;
use super::partition::{key, number_key};

/// Most ecosystems that are told apart. SUSE alone has some 300 products.
const MAX_ECOSYSTEMS: usize = 5000;
/// What is read at once when a package is looked up.
const PACKAGES_BLOCK: usize = 4 << 10;
/// What is read at once when an advisory is shown.
const ADVISORIES_BLOCK: usize = 4 << 10;
/// What is inflated at once when a text is shown.
const TEXTS_BLOCK: usize = 16 << 10;
const TEXTS_LEVEL: i32 = 9;

/// Collects the records of a source.
#[derive(Debug, Default)]
pub(in crate::advisories) struct Compiler {
    ecosystems: Vec<Part>,
    positions: HashMap<Ecosystem, usize>,
    by_id: HashMap<Box<str>, usize>,
    records: Vec<Record>,
    /// Ecosystems beyond the limit.
    dropped: usize,
}

/// A record. There are hundreds of thousands of which nothing but the id is wanted.
#[derive(Debug)]
struct Record {
    id: Box<str>,
    modified: Option<Box<str>>,
    /// Positions of its ecosystems.
    ecosystems: Box<[usize]>,
    identity: Box<[u8]>,
    text: Box<[u8]>,
    /// Whether another record of the same id was changed later.
    is_displaced: bool,
}

/// What belongs to one ecosystem.
#[derive(Debug)]
struct Part {
    ecosystem: Ecosystem,
    packages: BTreeMap<Box<str>, Vec<Row>>,
}

/// What a record says about a package.
#[derive(Debug)]
struct Row {
    record: usize,
    said: Box<[u8]>,
}

/// The records of a source, in order.
#[derive(Debug)]
pub struct Compiled {
    records: Vec<Record>,
    parts: Vec<Part>,
}

impl Compiler {
    /// Takes a record. Of those with the same id the one changed last stays.
    pub(in crate::advisories) fn add(&mut self, advisory: Advisory) {
        let number = self.records.len();
        match self.by_id.entry(advisory.id.as_str().into()) {
            Slot::Vacant(slot) => {
                slot.insert(number);
            }
            Slot::Occupied(mut slot) => {
                let Some(known) = self.records.get_mut(*slot.get()) else { return };
                if known.modified.as_deref() >= advisory.modified.as_deref() {
                    return;
                }
                known.is_displaced = true;
                slot.insert(number);
            }
        }
        let ecosystems = advisory.ecosystems.iter().filter_map(|ecosystem| self.position(ecosystem)).collect();
        let mut record = Record {
            id: advisory.id.as_str().into(),
            modified: advisory.modified.as_deref().map(Into::into),
            ecosystems,
            identity: Box::default(),
            text: Box::default(),
            is_displaced: false,
        };
        if !advisory.affected.is_empty() {
            let identity = Identity::of(&advisory);
            record.identity = identity.encode().into();
            record.text = advisory.text.encode().into();
            for affected in advisory.affected {
                self.add_affected(number, affected, &identity);
            }
        }
        self.records.push(record);
    }

    fn add_affected(&mut self, record: usize, affected: Affected, identity: &Identity) {
        let Affected { ecosystem, package, streams, versions, rating } = affected;
        let rating = rating.and_then(|rating| identity.ratings.iter().position(|known| *known == rating));
        let Some(position) = self.position(&ecosystem) else { return };
        let Some(part) = self.ecosystems.get_mut(position) else { return };
        let said = entry::encode(rating, streams.as_ref(), &versions).into();
        part.packages.entry(package.into()).or_default().push(Row { record, said });
    }

    fn position(&mut self, ecosystem: &Ecosystem) -> Option<usize> {
        if let Some(position) = self.positions.get(ecosystem) {
            return Some(*position);
        }
        if self.ecosystems.len() >= MAX_ECOSYSTEMS {
            self.dropped += 1;
            return None;
        }
        self.ecosystems.push(Part { ecosystem: ecosystem.clone(), packages: BTreeMap::new() });
        self.positions.insert(ecosystem.clone(), self.ecosystems.len() - 1);
        Some(self.ecosystems.len() - 1)
    }

    /// What was collected, and what a person should know about it.
    pub(in crate::advisories) fn finish(self) -> (Compiled, Vec<String>) {
        let Self { mut ecosystems, records, dropped, .. } = self;
        let note = || format!("more than {MAX_ECOSYSTEMS} ecosystems: what {dropped} records say was left out");
        let notes = (dropped > 0).then(note).into_iter().collect();
        for part in &mut ecosystems {
            for rows in part.packages.values_mut() {
                rows.retain(|row| records.get(row.record).is_some_and(|record| !record.is_displaced));
            }
            part.packages.retain(|_, rows| !rows.is_empty());
        }
        (Compiled { records, parts: ecosystems }, notes)
    }
}

impl Compiled {
    /// The ecosystems about which there are records, with their positions.
    pub fn ecosystems(&self) -> impl Iterator<Item = (usize, &Ecosystem)> {
        let counts: BTreeSet<usize> =
            self.standing().flat_map(|(_, record)| record.ecosystems.iter().copied()).collect();
        let parts = self.parts.iter().enumerate();
        parts.filter(move |(position, _)| counts.contains(position)).map(|(at, part)| (at, &part.ecosystem))
    }

    /// Newest change of all records, RFC 3339.
    #[must_use]
    pub fn newest(&self) -> Option<&str> {
        self.standing().filter_map(|(_, record)| record.modified.as_deref()).max()
    }

    fn standing(&self) -> impl Iterator<Item = (usize, &Record)> {
        self.records.iter().enumerate().filter(|(_, record)| !record.is_displaced)
    }

    /// Writes the index of the ecosystem at a position.
    pub fn write<W: Write>(&self, position: usize, out: W) -> io::Result<W> {
        let wrong = || io::Error::new(io::ErrorKind::InvalidInput, "no such ecosystem");
        let part = self.parts.get(position).ok_or_else(wrong)?;
        let of_part = || self.standing().map(|(_, r)| r).filter(|record| record.ecosystems.contains(&position));
        let about = Header {
            holds: Holds::Advisories(part.ecosystem.to_string()),
            records: of_part().count(),
            keys: part.packages.len(),
            newest: of_part().filter_map(|record| record.modified.as_deref()).max().map(ToOwned::to_owned),
        };

        // The order of what is said is that of the ids, whatever that of the records was.
        let used: BTreeSet<usize> = part.packages.values().flatten().map(|row| row.record).collect();
        let mut used: Vec<(usize, &Record)> =
            used.into_iter().filter_map(|number| Some((number, self.records.get(number)?))).collect();
        used.sort_unstable_by(|(_, a), (_, b)| a.id.cmp(&b.id));
        let numbers: HashMap<usize, u32> = used.iter().map(|(number, _)| *number).zip(0..).collect();

        let mut writer = TableWriter::new(out);
        writer.section(Compression::None, PACKAGES_BLOCK)?;
        let mut packages: Vec<(String, &Vec<Row>)> =
            part.packages.iter().map(|(name, rows)| (key(&part.ecosystem, name), rows)).collect();
        packages.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        for (key, rows) in packages {
            writer.push(key.as_bytes(), &entries(rows, &numbers))?;
        }
        writer.section(Compression::None, ADVISORIES_BLOCK)?;
        for ((_, record), number) in used.iter().zip(0..) {
            writer.push(&number_key(number), &record.identity)?;
        }
        writer.section(Compression::Zstd(TEXTS_LEVEL), TEXTS_BLOCK)?;
        for ((_, record), number) in used.iter().zip(0..) {
            writer.push(&number_key(number), &record.text)?;
        }
        writer.finish(&about.encode())
    }
}

/// What all records say about one package: how many entries, then each with the distance of its advisory's number to
/// that of the one before.
fn entries(rows: &[Row], numbers: &HashMap<usize, u32>) -> Vec<u8> {
    let mut rows: Vec<(u32, &[u8])> =
        rows.iter().filter_map(|row| Some((*numbers.get(&row.record)?, &*row.said))).collect();
    rows.sort_by_key(|(number, _)| *number);
    let mut encoder = Encoder::default();
    encoder.number(rows.len());
    let mut last = 0;
    for (number, said) in rows {
        encoder.number(usize::try_from(number - last).unwrap_or_default());
        encoder.append(said);
        last = number;
    }
    encoder.into_vec()
}
