//! Debian's security tracker, as the JSON that it publishes: `https://security-tracker.debian.org/tracker/data/json`.
//!
//! ```text
//! {package: {id: {"releases": {codename: {"status", "urgency", "nodsa", "nodsa_reason", "fixed_version", …}, …}, …}, …}, …}
//! ```
//!
//! It has some 60 MB, so nothing of it is kept but what says anything about a release that has a number.

use std::io::{BufReader, Read};

use serde::de::{DeserializeSeed as _, Error as _, IgnoredAny, MapAccess};

use super::OverlayError;
use super::end_of_life::version_of;
use super::input::{Limited, Shape, Shaped, Text};
use super::tracker::{Tracked, Tracker};
use crate::finding::Fix;
use crate::severity::Severity;

/// What the document is called in errors and notes.
pub const NAME: &str = "Debian's security tracker";

/// Largest document that is read, in bytes.
const MAX_BYTES: u64 = 1 << 30;
/// Most entries that are kept.
const MAX_ENTRIES: usize = 4_000_000;
/// Releases without a number, about which there are no advisories.
const UNNUMBERED: [&str; 2] = ["sid", "experimental"];

/// Reads the document.
pub fn read(document: impl Read) -> Result<Tracker, OverlayError> {
    let mut input = serde_json::Deserializer::from_reader(BufReader::new(Limited::new(document, MAX_BYTES)));
    let wrong = |source| OverlayError::Json { what: NAME, source };
    let mut packages = Packages::default();
    Shaped(&mut packages).deserialize(&mut input).map_err(wrong)?;
    input.end().map_err(wrong)?;
    let none = OverlayError::Form { what: NAME, problem: "it has no packages" };
    if packages.is_any { Ok(packages.tracker) } else { Err(none) }
}

/// The whole document: packages by name.
#[derive(Default)]
struct Packages {
    tracker: Tracker,
    is_any: bool,
}

/// A package: its vulnerabilities by id.
struct Package<'a> {
    tracker: &'a mut Tracker,
    name: &'a str,
}

/// A vulnerability in a package; what matters are its releases.
struct Vulnerability<'a> {
    tracker: &'a mut Tracker,
    package: &'a str,
    id: &'a str,
}

/// Those releases by codename.
struct Releases<'a, 'b>(&'a mut Vulnerability<'b>);

/// What is said of a release.
#[derive(Default)]
struct Release {
    status: Text,
    urgency: Text,
    /// In words why there is no advisory; there is one or the other.
    remark: Text,
    /// One word for that, which may be empty.
    reason: Text,
    fixed: Text,
}

impl Shape for Packages {
    fn member<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        self.is_any = true;
        map.next_value_seed(Shaped(&mut Package { tracker: &mut self.tracker, name }))?;
        if self.tracker.len() > MAX_ENTRIES {
            return Err(A::Error::custom(format_args!("more than {MAX_ENTRIES} entries")));
        }
        Ok(())
    }

    fn other(&mut self) {}
}

impl Shape for Package<'_> {
    fn member<'de, A: MapAccess<'de>>(&mut self, id: &str, map: &mut A) -> Result<(), A::Error> {
        // What has no CVE yet is called so here only: no advisory names it.
        if id.starts_with("TEMP-") {
            return map.next_value::<IgnoredAny>().map(drop);
        }
        map.next_value_seed(Shaped(&mut Vulnerability { tracker: self.tracker, package: self.name, id }))
    }

    fn other(&mut self) {
        self.tracker.damaged.add(self.name);
    }
}

impl Shape for Vulnerability<'_> {
    fn member<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        if key == "releases" {
            map.next_value_seed(Shaped(&mut Releases(self)))
        } else {
            map.next_value::<IgnoredAny>().map(drop)
        }
    }

    fn other(&mut self) {
        self.tracker.damaged.add(&format!("{} {}", self.package, self.id));
    }
}

impl Shape for Releases<'_, '_> {
    fn member<'de, A: MapAccess<'de>>(&mut self, codename: &str, map: &mut A) -> Result<(), A::Error> {
        let mut release = Release::default();
        map.next_value_seed(Shaped(&mut release))?;
        let Vulnerability { tracker, package, id } = &mut *self.0;
        match (version_of("debian", codename), release.tracked()) {
            (Some(version), Some(tracked)) => tracker.add(version, package, id, tracked),
            (None, _) if UNNUMBERED.contains(&codename) => {}
            _ => tracker.damaged.add(&format!("{package} {id} {codename}")),
        }
        Ok(())
    }

    fn other(&mut self) {
        self.0.other();
    }
}

impl Shape for Release {
    fn member<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        let value: Text = map.next_value()?;
        match key {
            "status" => self.status = value,
            "urgency" => self.urgency = value,
            "nodsa" => self.remark = value,
            "nodsa_reason" => self.reason = value,
            "fixed_version" => self.fixed = value,
            _ => {}
        }
        Ok(())
    }

    fn other(&mut self) {}
}

impl Release {
    /// What it comes to; none if it has no status that is known.
    fn tracked(&self) -> Option<Tracked> {
        // The urgencies with stars are old, and were guessed by a program.
        let urgency = self.urgency.as_str().unwrap_or_default();
        let severity = Severity::from_word(urgency.trim_end_matches('*'));
        let state = match self.status.as_str()? {
            // `0` means that it was never affected, so no finding is about it.
            "resolved" if self.fixed.as_str() == Some("0") => return Some(Tracked::default()),
            "resolved" => None,
            "open" | "undetermined" => self.state(urgency),
            _ => return None,
        };
        Some(Tracked { state, severity })
    }

    fn state(&self, urgency: &str) -> Option<Fix> {
        match (urgency, self.reason.as_str()) {
            ("end-of-life", _) => Some(Fix::EndOfLife),
            (_, Some("ignored")) => Some(Fix::WontFix),
            (_, Some("postponed")) => Some(Fix::Postponed),
            ("unimportant", _) => Some(Fix::Unimportant),
            _ if self.status.as_str() == Some("undetermined") => Some(Fix::Undetermined),
            _ => self.remark.as_str().map(|_| Fix::Minor),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tracker::decode;
    use super::*;

    /// A document with one vulnerability in one release.
    fn tracked(release: &str) -> Option<Tracked> {
        let json = format!(
            r#"{{"openssl": {{"CVE-2024-1": {{"description": "d", "scope": "local", "debianbug": 1,
                "releases": {{"bookworm": {release}}}}}}}}}"#
        );
        let tracker = read(json.as_bytes()).expect("a tracker");
        assert_eq!(tracker.damaged.count(), 0, "{release}");
        let entries: Vec<_> = tracker.entries().collect();
        assert!(entries.iter().all(|(key, _)| key == "12/openssl/CVE-2024-1"), "{entries:?}");
        entries.first().map(|(_, bytes)| decode(bytes).expect("a value"))
    }

    #[test]
    fn states_and_urgencies_are_those_of_the_tracker() {
        let of = |state, severity| Some(Tracked { state, severity });
        let low = Some(Severity::Low);
        for (release, expected) in [
            (r#""status": "open", "urgency": "not yet assigned""#, None),
            (r#""status": "open", "urgency": "low""#, of(None, low)),
            (r#""status": "open", "urgency": "low**""#, of(None, low)),
            (
                r#""status": "open", "urgency": "not yet assigned", "nodsa": "Minor issue", "nodsa_reason": """#,
                of(Some(Fix::Minor), None),
            ),
            (
                r#""status": "open", "urgency": "low", "nodsa": "Too intrusive", "nodsa_reason": "ignored""#,
                of(Some(Fix::WontFix), low),
            ),
            (
                r#""status": "open", "urgency": "low", "nodsa": "Later", "nodsa_reason": "postponed""#,
                of(Some(Fix::Postponed), low),
            ),
            (
                r#""status": "open", "urgency": "unimportant""#,
                of(Some(Fix::Unimportant), Some(Severity::Negligible)),
            ),
            (r#""status": "open", "urgency": "end-of-life""#, of(Some(Fix::EndOfLife), None)),
            (r#""status": "undetermined", "urgency": "not yet assigned""#, of(Some(Fix::Undetermined), None)),
            (
                r#""status": "resolved", "urgency": "high", "fixed_version": "3.0.1-1""#,
                of(None, Some(Severity::High)),
            ),
            (r#""status": "resolved", "urgency": "high", "fixed_version": "0""#, None),
        ] {
            assert_eq!(tracked(&format!("{{{release}}}")), expected, "{release}");
        }
    }

    #[test]
    fn only_releases_with_a_number_and_ids_that_others_know_are_kept() {
        let open = r#"{"status": "open", "urgency": "low", "repositories": {"bookworm": "1-1"}}"#;
        let json = format!(
            r#"{{"a": {{"TEMP-0841856-B18BAF": {{"releases": {{"bookworm": {open}}}}},
                "CVE-1": {{"releases": {{"sid": {open}, "trixie": {open}, "bullseye": {open}}}}}}}}}"#
        );
        let tracker = read(json.as_bytes()).expect("a tracker");
        let keys: Vec<_> = tracker.entries().map(|(key, _)| key).collect();
        assert_eq!(keys, ["11/a/CVE-1", "13/a/CVE-1"]);
        assert_eq!(tracker.damaged.note(NAME), None);
    }

    #[test]
    fn damaged_entries_are_named_and_the_others_used() {
        let json = r#"{"p": 1, "q": [], "a": {"CVE-1": null, "CVE-2": {"releases": "x"},
            "CVE-3": {"releases": {"bookworm": {"status": "odd"}, "nova": {"status": "open"}}},
            "CVE-4": {"releases": {"bookworm": {"status": "open", "urgency": "low"}}}}}"#;
        let tracker = read(json.as_bytes()).expect("a tracker");
        assert_eq!(tracker.entries().count(), 1);
        assert_eq!(
            tracker.damaged.note(NAME).as_deref(),
            Some(
                "6 entries of Debian's security tracker cannot be read: p, q, a CVE-1, a CVE-2, \
                 a CVE-3 bookworm and 1 more"
            )
        );
    }

    #[test]
    fn what_is_no_tracker_is_refused() {
        for (text, message) in [
            ("{}", "this is not Debian's security tracker: it has no packages"),
            ("[1]", "this is not Debian's security tracker: it has no packages"),
            (r#"{"a": {"#, "Debian's security tracker cannot be read as JSON"),
            ("", "Debian's security tracker cannot be read as JSON"),
        ] {
            assert_eq!(read(text.as_bytes()).expect_err(text).to_string(), message, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_document_panics(text in "\\PC{0,40}|\\{\"a\":\\{\"CVE-1\":\\{\"releases\":[\\{\\}\\[\\]a-z\":,0-9]{0,60}\\}\\}\\}") {
            let _ = read(text.as_bytes());
        }
    }
}
