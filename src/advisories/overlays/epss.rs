//! FIRST's scores of how likely vulnerabilities are to be exploited, as the CSV that is published each day.
//!
//! ```text
//! #model_version:v2023.03.01,score_date:2024-05-01T00:00:00+0000
//! cve,epss,percentile
//! CVE-1999-0001,0.01025,0.83426
//! ```

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::MultiGzDecoder;
use jiff::civil::Date;

use super::bytes::{date, number, put_date, put_number};
use super::input::Limited;
use super::{Damaged, OverlayError, is_id};
use crate::finding::{Epss, Share};

/// What the document is called in errors and notes.
pub const NAME: &str = "the EPSS scores";

/// Version of the form of the values.
const FORM: u8 = 1;
/// Most bytes that are read once inflated; in 2025 it has 9 MB.
const MAX_BYTES: u64 = 256 << 20;
/// Most entries; in 2025 there are 290,000.
const MAX_ENTRIES: usize = 4_000_000;
/// Longest line, in bytes. What is longer is no entry.
const MAX_LINE: u64 = 400;

/// The scores of one day.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scores {
    /// The day.
    pub as_of: Option<Date>,
    by_id: BTreeMap<String, (Share, Share)>,
    /// Entries that could not be read.
    pub damaged: Damaged,
}

/// Which columns hold what.
#[derive(Clone, Copy)]
struct Columns {
    id: usize,
    probability: usize,
    percentile: usize,
}

impl Scores {
    /// Reads the document, compressed by gzip or plain.
    pub fn read(document: impl Read) -> Result<Self, OverlayError> {
        let wrong = |source| OverlayError::Read { what: NAME, source };
        let mut document = BufReader::new(document);
        let is_compressed = document.fill_buf().map_err(wrong)?.starts_with(&[0x1f, 0x8b]);
        let text: Box<dyn Read> =
            if is_compressed { Box::new(MultiGzDecoder::new(document)) } else { Box::new(document) };
        Self::read_lines(BufReader::new(Limited::new(text, MAX_BYTES)))
    }

    fn read_lines(mut text: impl BufRead) -> Result<Self, OverlayError> {
        let mut scores = Self::default();
        let mut columns = None;
        while let Some(line) = line(&mut text).map_err(|source| OverlayError::Read { what: NAME, source })? {
            match columns {
                None if line.starts_with('#') => scores.as_of = score_date(&line),
                None => columns = Some(Columns::of(&line)?),
                Some(_) if line.is_empty() => {}
                Some(columns) => scores.add(&line, columns),
            }
            if scores.by_id.len() > MAX_ENTRIES {
                return Err(OverlayError::TooMany { what: NAME, limit: MAX_ENTRIES });
            }
        }
        let none = OverlayError::Form { what: NAME, problem: "it is empty" };
        columns.map(|_| scores).ok_or(none)
    }

    /// The entries, sorted by CVE.
    pub fn entries(&self) -> impl Iterator<Item = (String, Vec<u8>)> {
        let value = |&(probability, percentile)| Epss { probability, percentile, as_of: self.as_of };
        self.by_id.iter().map(move |(id, scores)| (id.clone(), encode(value(scores))))
    }

    fn add(&mut self, line: &str, columns: Columns) {
        let cells: Vec<&str> = line.split(',').map(str::trim).collect();
        let id = cells.get(columns.id).copied().unwrap_or_default();
        let share = |column: usize| Share::of(cells.get(column)?.parse().ok()?);
        match (share(columns.probability), share(columns.percentile)) {
            (Some(probability), Some(percentile)) if is_id(id) => {
                self.by_id.insert(id.to_owned(), (probability, percentile));
            }
            _ => self.damaged.add(if id.is_empty() { "a line without a CVE" } else { id }),
        }
    }
}

impl Columns {
    fn of(line: &str) -> Result<Self, OverlayError> {
        let find = |name: &str| line.split(',').position(|cell| cell.trim() == name);
        let found = (find("cve"), find("epss"), find("percentile"));
        let (Some(id), Some(probability), Some(percentile)) = found else {
            let problem = "it has no line with the columns cve, epss and percentile";
            return Err(OverlayError::Form { what: NAME, problem });
        };
        Ok(Self { id, probability, percentile })
    }
}

/// The next line without its end; of one that is too long a part.
fn line(text: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    let count = text.take(MAX_LINE).read_until(b'\n', &mut line)?;
    Ok((count > 0).then(|| String::from_utf8_lossy(&line).trim_end().to_owned()))
}

/// The day in `#model_version:v2023.03.01,score_date:2024-05-01T00:00:00+0000`.
fn score_date(line: &str) -> Option<Date> {
    let (_, date) = line.split_once("score_date:")?;
    date.get(..10)?.parse().ok()
}

fn encode(Epss { probability, percentile, as_of }: Epss) -> Vec<u8> {
    let numbers = [probability, percentile].map(|share| put_number(share.millionths()));
    [&[FORM][..], &numbers.concat(), &put_date(as_of)].concat()
}

/// The value of an entry; none if the bytes are none.
#[must_use]
pub fn decode(bytes: &[u8]) -> Option<Epss> {
    let (&FORM, rest) = bytes.split_first()? else { return None };
    let (&[probability, percentile, as_of], &[]) = rest.as_chunks() else { return None };
    let share = |bytes| Share::of_millionths(number(bytes));
    Some(Epss { probability: share(probability)?, percentile: share(percentile)?, as_of: date(as_of).ok()? })
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use jiff::civil::date;
    use proptest::prelude::*;

    use super::*;

    const EXCERPT: &str = "#model_version:v2023.03.01,score_date:2024-05-01T00:00:00+0000\n\
        cve,epss,percentile\nCVE-2021-44228,0.97565,0.99998\nCVE-1999-0001,0.01025,0.83426\n";

    fn epss(probability: f64, percentile: f64) -> Epss {
        let share = |number| Share::of(number).expect("a share");
        Epss { probability: share(probability), percentile: share(percentile), as_of: Some(date(2024, 5, 1)) }
    }

    fn values(scores: &Scores) -> Vec<(String, Epss)> {
        scores.entries().map(|(id, bytes)| (id, decode(&bytes).expect("a value"))).collect()
    }

    #[test]
    fn scores_are_read_plain_and_compressed() {
        let expected = [
            ("CVE-1999-0001".to_owned(), epss(0.01025, 0.83426)),
            ("CVE-2021-44228".to_owned(), epss(0.97565, 0.99998)),
        ];
        let plain = Scores::read(EXCERPT.as_bytes()).expect("scores");
        assert_eq!(values(&plain), expected);
        // Two members, as appending tools write them.
        let mut compressed = Vec::new();
        for part in [&EXCERPT[..70], &EXCERPT[70..]] {
            let mut encoder = flate2::write::GzEncoder::new(&mut compressed, flate2::Compression::fast());
            encoder.write_all(part.as_bytes()).expect("memory");
            encoder.finish().expect("memory");
        }
        assert_eq!(Scores::read(&*compressed).expect("scores"), plain);
    }

    #[test]
    fn damaged_lines_are_named_and_the_others_used() {
        let long = "x".repeat(1000);
        let text = format!(
            "cve,epss,percentile\nCVE-1,1.5,0.5\nCVE-2,0.5\nno id,0.5,0.5\n,0.5,0.5\r\n\nCVE-3,nan,0\n{long}\nCVE-4,1,0\n"
        );
        let scores = Scores::read(text.as_bytes()).expect("scores");
        assert_eq!(values(&scores), [("CVE-4".to_owned(), Epss { as_of: None, ..epss(1.0, 0.0) })]);
        let note = scores.damaged.note(NAME).expect("a note");
        assert!(note.starts_with("8 entries of the EPSS scores cannot be read: CVE-1, CVE-2, no id"), "{note}");
        assert!(note.ends_with("a line without a CVE, CVE-3 and 3 more"), "{note}");
    }

    #[test]
    fn what_is_no_table_of_scores_is_refused() {
        for (bytes, message) in [
            (&b""[..], "this is not the EPSS scores: it is empty"),
            (b"#model_version:1\n", "this is not the EPSS scores: it is empty"),
            (
                b"<html>\n",
                "this is not the EPSS scores: it has no line with the columns cve, epss and percentile",
            ),
            (&[0x1f, 0x8b, 8, 0, 1], "cannot read the EPSS scores"),
        ] {
            assert_eq!(Scores::read(bytes).expect_err("refused").to_string(), message);
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..14)) {
            if let Some(epss) = decode(&bytes) {
                prop_assert_eq!(encode(epss), bytes);
            }
        }

        #[test]
        fn no_document_panics(text in "(#[a-z_:,0-9-]{0,30}\n)?cve,epss,percentile\n([CVE0-9.,-]{0,20}\n){0,5}|\\PC{0,40}") {
            let _ = Scores::read(text.as_bytes());
        }
    }
}
