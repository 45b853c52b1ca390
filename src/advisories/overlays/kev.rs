//! CISA's catalogue of known exploited vulnerabilities, as the JSON that CISA publishes.
//!
//! `{"vulnerabilities": [{"cveID", "dateAdded", "dueDate", "knownRansomwareCampaignUse", …}]}`

use std::collections::BTreeMap;
use std::io::{BufReader, Read};

use jiff::civil::Date;
use serde::de::{DeserializeSeed as _, Error as _, IgnoredAny, MapAccess, SeqAccess};

use super::bytes::{date, put_date};
use super::input::{Limited, Shape, Shaped, Text};
use super::{Damaged, OverlayError, is_id};
use crate::finding::Exploited;

/// What the document is called in errors and notes.
pub const NAME: &str = "the KEV catalogue";

/// Version of the form of the values.
const FORM: u8 = 1;
/// Largest document that is read, in bytes; in 2025 it has 1.3 MB.
const MAX_BYTES: u64 = 64 << 20;
/// Most entries; in 2025 there are 1,400.
const MAX_ENTRIES: usize = 200_000;

/// The catalogue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Catalog {
    exploited: BTreeMap<String, Exploited>,
    /// Entries that could not be read.
    pub damaged: Damaged,
}

impl Catalog {
    /// Reads the document.
    pub fn read(document: impl Read) -> Result<Self, OverlayError> {
        let mut input =
            serde_json::Deserializer::from_reader(BufReader::new(Limited::new(document, MAX_BYTES)));
        let wrong = |source| OverlayError::Json { what: NAME, source };
        let mut catalog = Document::default();
        Shaped(&mut catalog).deserialize(&mut input).map_err(wrong)?;
        input.end().map_err(wrong)?;
        let none = OverlayError::Form { what: NAME, problem: "it has no list of vulnerabilities" };
        catalog.0.ok_or(none)
    }

    /// The entries, sorted by CVE.
    pub fn entries(&self) -> impl Iterator<Item = (String, Vec<u8>)> {
        self.exploited.iter().map(|(id, exploited)| (id.clone(), encode(exploited)))
    }

    fn add(&mut self, entry: &Entry) {
        let day = |text: &Text| text.as_str().and_then(|text| text.parse::<Date>().ok());
        let id = entry.id.as_str().unwrap_or("an entry without a CVE");
        let Some(added) = day(&entry.added).filter(|_| is_id(id)) else { return self.damaged.add(id) };
        let ransomware = entry.ransomware.as_str().is_some_and(|word| word.eq_ignore_ascii_case("known"));
        self.exploited.insert(id.to_owned(), Exploited { added, due: day(&entry.due), ransomware });
    }
}

/// The whole document, of which only the list is kept.
#[derive(Default)]
struct Document(Option<Catalog>);

impl Shape for Document {
    fn member<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        if key == "vulnerabilities" {
            map.next_value_seed(Shaped(self.0.insert(Catalog::default())))
        } else {
            map.next_value::<IgnoredAny>().map(drop)
        }
    }

    fn other(&mut self) {}
}

impl Shape for Catalog {
    fn list<'de, A: SeqAccess<'de>>(&mut self, list: &mut A) -> Result<(), A::Error> {
        loop {
            let mut entry = Entry::default();
            if list.next_element_seed(Shaped(&mut entry))?.is_none() {
                return Ok(());
            }
            self.add(&entry);
            if self.exploited.len() > MAX_ENTRIES {
                return Err(A::Error::custom(format_args!("more than {MAX_ENTRIES} entries")));
            }
        }
    }

    fn member<'de, A: MapAccess<'de>>(&mut self, _: &str, _: &mut A) -> Result<(), A::Error> {
        Err(A::Error::custom("the vulnerabilities are no list"))
    }

    fn other(&mut self) {}
}

/// The members of an entry that matter.
#[derive(Default)]
struct Entry {
    id: Text,
    added: Text,
    due: Text,
    ransomware: Text,
}

impl Shape for Entry {
    fn member<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        let value: Text = map.next_value()?;
        match key {
            "cveID" => self.id = value,
            "dateAdded" => self.added = value,
            "dueDate" => self.due = value,
            "knownRansomwareCampaignUse" => self.ransomware = value,
            _ => {}
        }
        Ok(())
    }

    fn other(&mut self) {}
}

fn encode(exploited: &Exploited) -> Vec<u8> {
    let Exploited { added, due, ransomware } = exploited;
    let ransomware = u8::from(*ransomware);
    [&[FORM, ransomware][..], &put_date(Some(*added)), &put_date(*due)].concat()
}

/// The value of an entry; none if the bytes are none.
#[must_use]
pub fn decode(bytes: &[u8]) -> Option<Exploited> {
    let &[FORM, ransomware, ref dates @ ..] = bytes else { return None };
    let (&[added, due], &[]) = dates.as_chunks() else { return None };
    let ransomware = match ransomware {
        0 => false,
        1 => true,
        _ => return None,
    };
    Some(Exploited { added: date(added).ok()??, due: date(due).ok()?, ransomware })
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use proptest::prelude::*;

    use super::*;

    /// An excerpt of the real catalogue, 2025-08-25, with texts left out.
    const EXCERPT: &str = r#"{
        "title": "CISA Catalog of Known Exploited Vulnerabilities", "catalogVersion": "2025.08.25", "count": 1404,
        "vulnerabilities": [
            {"cveID": "CVE-2025-48384", "vendorProject": "Git", "product": "Git", "dateAdded": "2025-08-25",
             "dueDate": "2025-09-15", "knownRansomwareCampaignUse": "Unknown", "cwes": ["CWE-59", "CWE-436"]},
            {"cveID": "CVE-2021-44228", "vendorProject": "Apache", "product": "Log4j2", "dateAdded": "2021-12-10",
             "dueDate": "2021-12-24", "knownRansomwareCampaignUse": "Known", "cwes": ["CWE-20"]}
        ]}"#;

    fn values(catalog: &Catalog) -> Vec<(String, Exploited)> {
        catalog.entries().map(|(id, bytes)| (id, decode(&bytes).expect("a value"))).collect()
    }

    #[test]
    fn entries_are_sorted_and_say_since_when_and_by_whom() {
        let catalog = Catalog::read(EXCERPT.as_bytes()).expect("a catalogue");
        let log4shell =
            Exploited { added: date(2021, 12, 10), due: Some(date(2021, 12, 24)), ransomware: true };
        let git = Exploited { added: date(2025, 8, 25), due: Some(date(2025, 9, 15)), ransomware: false };
        assert_eq!(
            values(&catalog),
            [("CVE-2021-44228".to_owned(), log4shell), ("CVE-2025-48384".to_owned(), git)]
        );
        assert_eq!(catalog.damaged.note(NAME), None);
    }

    #[test]
    fn damaged_entries_are_named_and_the_others_used() {
        let json = r#"{"vulnerabilities": [7, {"cveID": "CVE-1", "dateAdded": "soon"},
            {"cveID": "no id", "dateAdded": "2021-12-10"}, {"cveID": "CVE-2", "dateAdded": "2021-12-10"}]}"#;
        let catalog = Catalog::read(json.as_bytes()).expect("a catalogue");
        assert_eq!(
            values(&catalog),
            [("CVE-2".to_owned(), Exploited { added: date(2021, 12, 10), due: None, ransomware: false })]
        );
        assert_eq!(
            catalog.damaged.note(NAME).as_deref(),
            Some("3 entries of the KEV catalogue cannot be read: an entry without a CVE, CVE-1, no id")
        );
    }

    #[test]
    fn what_is_no_catalogue_is_refused() {
        for (text, message) in [
            ("{}", "this is not the KEV catalogue: it has no list of vulnerabilities"),
            ("[]", "this is not the KEV catalogue: it has no list of vulnerabilities"),
            (r#"{"vulnerabilities": ["#, "the KEV catalogue cannot be read as JSON"),
            (r#"{"vulnerabilities": []} more"#, "the KEV catalogue cannot be read as JSON"),
            (r#"{"vulnerabilities": {"a": 1}}"#, "the KEV catalogue cannot be read as JSON"),
        ] {
            assert_eq!(Catalog::read(text.as_bytes()).expect_err(text).to_string(), message, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..12)) {
            if let Some(exploited) = decode(&bytes) {
                prop_assert_eq!(encode(&exploited), bytes);
            }
        }

        #[test]
        fn no_document_panics(text in "\\PC{0,60}|\\{\"vulnerabilities\": ?\\[[\\{\\}a-zA-Z\":, 0-9-]{0,60}\\]?\\}?") {
            let _ = Catalog::read(text.as_bytes());
        }
    }
}
