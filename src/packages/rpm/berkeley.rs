//! Just enough of Berkeley DB to read all values of one hash. Oracle, "Berkeley DB", `db_page.h`.
//!
//! rpm before 4.16 keeps a hash of headers by the package's number in it. The pages of its buckets say themselves what they
//! are, so they are read from the first to the last, and no bucket is looked up. Numbers are in the order of the machine that
//! made the file.

use super::header::Visit;
use super::pages::{BLOB, Pages, damaged, outside, read_full, too_large};
use crate::tree::{GapCause, ReadAt};

/// Bytes of the page that describes the file.
const META: usize = 512;
/// What hashes have at byte 12 of that page.
const MAGIC: u32 = 0x0006_1561;
/// Layouts of a hash that are read, which do not differ in what is looked at here. rpm's own reader (`bdb_ro.c`) has the same.
const VERSIONS: std::ops::RangeInclusive<u32> = 8..=10;
/// Bytes of a page in front of its content.
const HEADER: usize = 26;

/// Kinds of pages: of a bucket, as made before Berkeley DB 4.6 and since; of a value that has pages of its own.
const UNSORTED: u8 = 2;
const SORTED: u8 = 13;
const OVERFLOW: u8 = 7;

/// Kinds of items of a bucket: one that stands there, and one that has pages of its own.
const HERE: u8 = 1;
const ELSEWHERE: u8 = 3;
/// The key of the number that the next package gets.
const COUNTER: &[u8] = &[HERE, 0, 0, 0, 0];

/// Order of the bytes of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Little,
    Big,
}

/// A key and its value, each with its kind in front.
type Pair<'p> = (&'p [u8], &'p [u8]);

/// A file with a hash.
struct Hash<'a> {
    pages: Pages<'a>,
    order: Order,
    /// Number of the last page in use.
    last: u32,
}

/// Visits all headers of packages in the order of the file.
pub(super) fn headers(file: &dyn ReadAt, visit: &mut Visit<'_>) -> Result<(), GapCause> {
    let mut hash = Hash::open(file)?;
    for number in 1..=hash.last {
        if hash.pages.is_taken(number) || !matches!(hash.kind(number)?, UNSORTED | SORTED) {
            continue;
        }
        let page = hash.pages.take(number)?;
        for (key, value) in hash.pairs(number, &page)? {
            if key != COUNTER {
                hash.visit_value(value, visit)?;
            }
        }
    }
    Ok(())
}

impl<'a> Hash<'a> {
    fn open(file: &'a dyn ReadAt) -> Result<Self, GapCause> {
        let mut meta = [0; META];
        read_full(file, &mut meta, 0)?;
        let order = [Order::Little, Order::Big].into_iter().find(|order| order.word(&meta, 12) == Some(MAGIC));
        let order = order.ok_or_else(|| damaged("it is no hash of Berkeley DB"))?;
        let word = |at| order.word(&meta, at).ok_or_else(outside);
        if !VERSIONS.contains(&word(16)?) {
            return Err(damaged("it is of a version of Berkeley DB that is not read"));
        }
        // Which algorithm encrypts it, and whether its pages have checksums: their content begins elsewhere.
        if meta[24] != 0 || meta[26] & 1 != 0 {
            return Err(damaged("its pages are encrypted or have checksums"));
        }
        let page_size = usize::try_from(word(20)?).unwrap_or(usize::MAX);
        if !(512..=65_536).contains(&page_size) || !page_size.is_power_of_two() {
            return Err(damaged("its pages have an impossible size"));
        }
        let (pages, last) = (Pages::new(file, page_size, 0), word(32)?);
        if last >= pages.count() {
            return Err(damaged("it is cut off"));
        }
        Ok(Self { pages, order, last })
    }

    /// The keys and values of a bucket's page: they lie one in front of the other, the first one at the end of the page.
    fn pairs<'p>(&self, number: u32, page: &'p [u8]) -> Result<Vec<Pair<'p>>, GapCause> {
        self.check_number(number, page)?;
        let items = self.order.half(page, 20).ok_or_else(outside)?;
        let list = page.get(HEADER..HEADER + 2 * items).ok_or_else(outside)?;
        let mut end = page.len();
        let mut item = |index| {
            let start =
                self.order.half(list, 2 * index).filter(|&start| start >= HEADER + list.len() && start < end);
            let bytes = start.and_then(|start| page.get(start..end)).ok_or_else(outside)?;
            end -= bytes.len();
            Ok::<_, GapCause>(bytes)
        };
        if items % 2 != 0 {
            return Err(damaged("a key of it has no value"));
        }
        (0..items / 2).map(|pair| Ok((item(2 * pair)?, item(2 * pair + 1)?))).collect()
    }

    fn visit_value(&mut self, value: &[u8], visit: &mut Visit<'_>) -> Result<(), GapCause> {
        match value {
            [HERE, header @ ..] => visit(Some(header)),
            [ELSEWHERE, _, _, _, place @ ..] => match self.chain(place) {
                Ok(header) => visit(Some(&header)),
                // The other packages can still be read.
                Err(GapCause::Damaged(_)) => visit(None),
                Err(cause) => Err(cause),
            },
            // Several values of one key, which rpm does not have.
            _ => visit(None),
        }
    }

    /// A value that has pages of its own: the number of the first one and the length of all.
    fn chain(&mut self, place: &[u8]) -> Result<Vec<u8>, GapCause> {
        let mut next = self.order.word(place, 0).ok_or_else(outside)?;
        let length = self.order.word(place, 4).ok_or_else(outside)?;
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length > BLOB {
            return Err(too_large());
        }
        let mut value = Vec::new();
        while value.len() < length {
            // Not taken yet: if it is a bucket, it is still to be read as one.
            if self.kind(next)? != OVERFLOW {
                return Err(damaged("a page of a value is of another kind"));
            }
            let page = self.pages.take(next)?;
            self.check_number(next, &page)?;
            let held = self.order.half(&page, 22).filter(|&held| held > 0 && held <= length - value.len());
            let held = held.and_then(|held| page.get(HEADER..HEADER + held)).ok_or_else(outside)?;
            value.extend_from_slice(held);
            next = self.order.word(&page, 16).ok_or_else(outside)?;
        }
        Ok(value)
    }

    /// What kind of page one is.
    fn kind(&self, number: u32) -> Result<u8, GapCause> {
        let mut header = [0; HEADER];
        self.pages.peek(number, &mut header)?;
        Ok(header[25])
    }

    /// Each page has its own number in it.
    fn check_number(&self, number: u32, page: &[u8]) -> Result<(), GapCause> {
        match self.order.word(page, 8) {
            Some(found) if found == number => Ok(()),
            _ => Err(damaged(&format!("its page {number} is another one"))),
        }
    }
}

impl Order {
    fn word(self, bytes: &[u8], at: usize) -> Option<u32> {
        let bytes = bytes.get(at..)?.first_chunk()?;
        Some(if self == Self::Little { u32::from_le_bytes(*bytes) } else { u32::from_be_bytes(*bytes) })
    }

    fn half(self, bytes: &[u8], at: usize) -> Option<usize> {
        let bytes = bytes.get(at..)?.first_chunk()?;
        Some(usize::from(if self == Self::Little {
            u16::from_le_bytes(*bytes)
        } else {
            u16::from_be_bytes(*bytes)
        }))
    }
}

#[cfg(test)]
mod tests;
