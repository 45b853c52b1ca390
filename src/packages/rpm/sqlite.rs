//! Just enough of SQLite to read all rows of one table. SQLite, "Database File Format".
//!
//! Nothing is written, nothing locked and no SQL spoken: a table is a tree of pages, and its rows are walked in order.

use super::pages::{BLOB, Pages, ROWS, damaged, outside, read_full, too_large};
use crate::tree::{GapCause, ReadAt};

const MAGIC: &[u8] = b"SQLite format 3\0";
/// Bytes of the file header, in front of the first page's own.
const HEADER: usize = 100;
/// Deepest tree that SQLite itself walks (`BTCURSOR_MAX_DEPTH`).
const DEPTH: usize = 20;
/// Bytes that a cell takes besides its payload, at least: its place in the list, and two numbers.
const CELL: usize = 4;

/// Kinds of pages of tables.
const INTERIOR: u8 = 0x05;
const LEAF: u8 = 0x0d;

/// A database file.
pub(super) struct Database<'a> {
    pages: Pages<'a>,
    /// Bytes of a page that hold data.
    usable: usize,
    /// Rows read so far.
    rows: usize,
}

/// A value of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value<'a> {
    /// Of no bytes or a number that nobody asks for.
    Other,
    /// A number.
    Integer(i64),
    /// Text in the encoding of the database, or bytes.
    Bytes(&'a [u8]),
}

/// Called with the values of each row.
pub(super) type Visit<'v> = dyn FnMut(&[Value<'_>]) -> Result<(), GapCause> + 'v;

impl<'a> Database<'a> {
    /// Reads the file header.
    pub(super) fn open(file: &'a dyn ReadAt) -> Result<Self, GapCause> {
        let mut header = [0; HEADER];
        read_full(file, &mut header, 0)?;
        if !header.starts_with(MAGIC) {
            return Err(damaged("it is no SQLite database"));
        }
        let page_size = match u16::from_be_bytes([header[16], header[17]]) {
            1 => 65_536,
            size if size >= 512 && size.is_power_of_two() => usize::from(size),
            _ => return Err(damaged("its pages have an impossible size")),
        };
        // 1: rollback journal, 2: write-ahead log.
        if !matches!(header[19], 1 | 2) {
            return Err(damaged("it is of a later version of SQLite"));
        }
        // 0: nothing was written yet, 1: UTF-8.
        if !matches!(number(&header, 56), Some(0 | 1)) {
            return Err(damaged("its text is not UTF-8"));
        }
        let usable = page_size - usize::from(header[20]);
        if usable < 480 {
            return Err(damaged("its pages have an impossible size"));
        }
        Ok(Self { pages: Pages::new(file, page_size, 1), usable, rows: 0 })
    }

    /// Visits all rows of a table.
    pub(super) fn rows(&mut self, table: &str, visit: &mut Visit<'_>) -> Result<(), GapCause> {
        let mut root = None;
        // The schema: type, name, table, root page, SQL.
        self.walk(1, &mut |row| {
            if let [Value::Bytes(b"table"), Value::Bytes(name), _, Value::Integer(page), ..] = row
                && *name == table.as_bytes()
            {
                root = u32::try_from(*page).ok();
            }
            Ok(())
        })?;
        let root = root.ok_or_else(|| damaged(&format!("it has no table {table:?}")))?;
        self.walk(root, visit)
    }

    /// Walks the tree of a table. A list of pages still to come, not recursion.
    fn walk(&mut self, root: u32, visit: &mut Visit<'_>) -> Result<(), GapCause> {
        let mut pending = vec![(root, 0)];
        while let Some((number, depth)) = pending.pop() {
            let page = self.pages.take(number)?;
            let start = if number == 1 { HEADER } else { 0 };
            let page = Page::parse(&page, start, self.usable)?;
            match page.kind {
                LEAF => {
                    // Cells share the page: without this, all could be the same large one.
                    let mut space = self.usable;
                    for index in 0..page.cells {
                        let payload = self.payload(page.cell(index)?, &mut space)?;
                        self.rows += 1;
                        if self.rows > ROWS {
                            return Err(GapCause::Limit(format!("holds more than {ROWS} rows")));
                        }
                        visit(&values(&payload)?)?;
                    }
                }
                _ if depth >= DEPTH => return Err(damaged("its tree is deeper than any that SQLite makes")),
                _ => {
                    pending.push((page.right, depth + 1));
                    for index in (0..page.cells).rev() {
                        let child = self::number(page.cell(index)?, 0).ok_or_else(outside)?;
                        pending.push((child, depth + 1));
                    }
                }
            }
        }
        Ok(())
    }

    /// The payload of a cell of a leaf: what does not fit on its page goes on in a chain of others.
    fn payload(&mut self, cell: &[u8], space: &mut usize) -> Result<Vec<u8>, GapCause> {
        let (length, rest) = varint(cell).ok_or_else(outside)?;
        let (_row_id, rest) = varint(rest).ok_or_else(outside)?;
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length > BLOB {
            return Err(too_large());
        }
        let local = local_length(length, self.usable);
        *space = space.checked_sub(local + CELL).ok_or_else(|| damaged("entries of it overlap"))?;
        let mut payload = Vec::with_capacity(length);
        payload.extend_from_slice(rest.get(..local).ok_or_else(outside)?);
        let mut next = number(rest, local).unwrap_or_default();
        while payload.len() < length {
            let page = self.pages.take(next)?;
            next = number(&page, 0).ok_or_else(outside)?;
            let content = page.get(4..self.usable).ok_or_else(outside)?;
            payload.extend_from_slice(&content[..content.len().min(length - payload.len())]);
        }
        Ok(payload)
    }
}

/// A page of a table.
struct Page<'a> {
    bytes: &'a [u8],
    kind: u8,
    cells: usize,
    /// Where the list of cells begins.
    list: usize,
    /// The last child of an interior page.
    right: u32,
}

impl<'a> Page<'a> {
    fn parse(page: &'a [u8], start: usize, usable: usize) -> Result<Self, GapCause> {
        let bytes = page.get(..usable).ok_or_else(outside)?;
        let kind = bytes[start];
        let header = match kind {
            INTERIOR => 12,
            LEAF => 8,
            _ => return Err(damaged("a page of its table is of another kind")),
        };
        let cells = bytes.get(start + 3..start + 5).ok_or_else(outside)?;
        let cells = usize::from(u16::from_be_bytes([cells[0], cells[1]]));
        let right = if kind == INTERIOR { number(bytes, start + 8).ok_or_else(outside)? } else { 0 };
        Ok(Self { bytes, kind, cells, list: start + header, right })
    }

    /// From where a cell begins to the end of the page.
    fn cell(&self, index: usize) -> Result<&'a [u8], GapCause> {
        let at = self.list + 2 * index;
        let pointer = self.bytes.get(at..at + 2).ok_or_else(outside)?;
        let cell = self.bytes.get(usize::from(u16::from_be_bytes([pointer[0], pointer[1]]))..);
        cell.ok_or_else(outside)
    }
}

/// How much of a payload lies on the leaf itself. "B-tree Pages", the calculation of X, M and K.
fn local_length(length: usize, usable: usize) -> usize {
    let most = usable - 35;
    if length <= most {
        return length;
    }
    let least = (usable - 12) * 32 / 255 - 23;
    let fitting = least + (length - least) % (usable - 4);
    if fitting <= most { fitting } else { least }
}

/// Splits a row into its values. "Record Format".
fn values(payload: &[u8]) -> Result<Vec<Value<'_>>, GapCause> {
    let (header_length, _) = varint(payload).ok_or_else(outside)?;
    let header_length = usize::try_from(header_length).unwrap_or(usize::MAX);
    let mut types = payload.get(..header_length).and_then(|header| varint(header)).ok_or_else(outside)?.1;
    let mut content = &payload[header_length..];
    let mut values = Vec::new();
    while !types.is_empty() {
        let (kind, rest) = varint(types).ok_or_else(outside)?;
        types = rest;
        let length = match kind {
            0 | 8 | 9 => 0,
            1..=4 => kind,
            5 => 6,
            6 | 7 => 8,
            10 | 11 => return Err(damaged("a value of its table is of no known kind")),
            _ => (kind - 12) / 2,
        };
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let (bytes, rest) = content.split_at_checked(length).ok_or_else(outside)?;
        content = rest;
        values.push(match kind {
            1..=6 => Value::Integer(integer(bytes)),
            8 => Value::Integer(0),
            9 => Value::Integer(1),
            12.. => Value::Bytes(bytes),
            _ => Value::Other,
        });
    }
    Ok(values)
}

/// A number in two's complement, of at most 8 bytes.
fn integer(bytes: &[u8]) -> i64 {
    let sign = if bytes.first().is_some_and(|byte| byte & 0x80 != 0) { -1 } else { 0 };
    bytes.iter().fold(sign, |sum, &byte| sum << 8 | i64::from(byte))
}

/// 7 bits a byte, the highest first; of a ninth byte all 8. And what follows it.
fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0;
    for (index, &byte) in bytes.iter().enumerate().take(9) {
        if index == 8 {
            return Some((value << 8 | u64::from(byte), &bytes[9..]));
        }
        value = value << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Some((value, &bytes[index + 1..]));
        }
    }
    None
}

/// Four bytes, the highest first.
fn number(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests;
