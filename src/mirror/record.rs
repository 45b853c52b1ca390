//! What is known of a download that is under way, and what an answer means for it. Pure.

use reqwest::StatusCode;
use reqwest::header::{
    CONTENT_LENGTH, CONTENT_RANGE, ETAG, HeaderMap, HeaderName, HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH,
    IF_RANGE, LAST_MODIFIED, RANGE,
};
use serde::{Deserialize, Serialize};

use super::Validators;
use super::sums::{Md5Sum, md5_of_headers};

/// Longest record that is read, in bytes.
pub(super) const RECORD_LIMIT: u64 = 16 * 1024;
/// Longest validator that is kept, in bytes.
const VALIDATOR_LIMIT: usize = 1024;
/// Version of the record's format.
const FORMAT: u32 = 1;

/// Which version of which file a part is of. Lies beside it as `NAME.part.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    format: u32,
    /// Where it comes from: two mirrors may give different files the same tag.
    url: String,
    pub(super) validators: Validators,
    /// Size of the whole file, if the server said so.
    pub(super) size: Option<u64>,
    /// What the server says that the whole adds up to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) md5: Option<Md5Sum>,
}

/// What to do with an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Course {
    /// The version that is known is still the one.
    Unchanged,
    /// The body is the whole file.
    Begin(Record),
    /// The body is what comes after the part.
    GoOn(Record),
    /// The part is the whole file.
    Whole,
    /// The part and the answer do not go together.
    Anew,
}

impl Validators {
    fn of(headers: &HeaderMap) -> Self {
        let text = |name: HeaderName| {
            let text = headers.get(name)?.to_str().ok()?;
            (!text.is_empty() && text.len() <= VALIDATOR_LIMIT).then(|| text.to_owned())
        };
        Self { etag: text(ETAG), last_modified: text(LAST_MODIFIED) }
    }

    /// By what a server can tell that a part is of its version. A weak tag cannot. RFC 9110, section 13.1.5.
    fn for_range(&self) -> Option<&str> {
        let strong = self.etag.as_deref().filter(|etag| etag.starts_with('"'));
        strong.or(self.last_modified.as_deref())
    }

    /// Whether these may be of one version: nothing that both have differs.
    fn agree(&self, other: &Self) -> bool {
        let agree = |one: &Option<String>, two: &Option<String>| one.is_none() || two.is_none() || one == two;
        agree(&self.etag, &other.etag) && agree(&self.last_modified, &other.last_modified)
    }
}

impl Record {
    /// Reads a record of the given address; none if it is of no use for going on.
    pub(super) fn parse(text: &[u8], url: &str) -> Option<Self> {
        let record: Self = serde_json::from_slice(text).ok()?;
        let usable = record.format == FORMAT && record.url == url && record.validators.for_range().is_some();
        usable.then_some(record)
    }

    fn of(headers: &HeaderMap, status: StatusCode, size: Option<u64>, url: &str) -> Self {
        let md5 = md5_of_headers(headers, status == StatusCode::OK);
        Self { format: FORMAT, url: url.to_owned(), validators: Validators::of(headers), size, md5 }
    }

    /// Whether a later download could go on where this one breaks.
    pub(super) fn allows_ranges(&self) -> bool {
        self.validators.for_range().is_some()
    }
}

/// What is asked for: only what is newer than the known version, and only what is not there already.
pub(super) fn question(known: Option<&Validators>, record: Option<&Record>, have: u64) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let mut add = |name: HeaderName, text: &str| {
        // What came as a header goes as one; what was changed on disk since then is left out.
        if let Ok(value) = HeaderValue::from_str(text) {
            headers.insert(name, value);
        }
    };
    if let Some(etag) = known.and_then(|known| known.etag.as_deref()) {
        add(IF_NONE_MATCH, etag);
    }
    if let Some(date) = known.and_then(|known| known.last_modified.as_deref()) {
        add(IF_MODIFIED_SINCE, date);
    }
    if let Some(version) = record.and_then(|record| record.validators.for_range()).filter(|_| have > 0) {
        add(RANGE, &format!("bytes={have}-"));
        add(IF_RANGE, version);
    }
    headers
}

/// What an answer means for a part of so many bytes.
pub(super) fn course(
    status: StatusCode,
    headers: &HeaderMap,
    record: Option<&Record>,
    have: u64,
    url: &str,
) -> Course {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let (begins_at, total) = text(CONTENT_RANGE).and_then(content_range).unwrap_or_default();
    match status {
        StatusCode::NOT_MODIFIED => Course::Unchanged,
        StatusCode::OK => {
            let size = text(CONTENT_LENGTH).and_then(|text| text.trim().parse().ok());
            Course::Begin(Record::of(headers, status, size, url))
        }
        StatusCode::PARTIAL_CONTENT => {
            let now = Record::of(headers, status, total, url);
            match record {
                Some(before)
                    if have > 0
                        && begins_at == Some(have)
                        && before.validators.agree(&now.validators)
                        && (before.size.is_none() || now.size.is_none() || before.size == now.size) =>
                {
                    Course::GoOn(Record {
                        validators: Validators {
                            etag: before.validators.etag.clone().or(now.validators.etag),
                            last_modified: before
                                .validators
                                .last_modified
                                .clone()
                                .or(now.validators.last_modified),
                        },
                        size: before.size.or(now.size),
                        md5: before.md5.or(now.md5),
                        ..now
                    })
                }
                _ => Course::Anew,
            }
        }
        // Asked for what comes after the last byte, a server says by this that it still has that version.
        _ if have > 0 && total == Some(have) && record.is_some_and(|record| record.size == total) => {
            Course::Whole
        }
        _ => Course::Anew,
    }
}

/// Where a `Content-Range` begins, and the size of the whole. RFC 9110, section 14.4.
fn content_range(text: &str) -> Option<(Option<u64>, Option<u64>)> {
    let (range, total) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
    let begins_at = range.split_once('-').and_then(|(begin, _)| begin.trim().parse().ok());
    Some((begins_at, total.trim().parse().ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "https://a.test/x";

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |&(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        pairs.iter().map(pair).collect()
    }

    fn validators(etag: &str, last_modified: &str) -> Validators {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Validators { etag: some(etag), last_modified: some(last_modified) }
    }

    fn record(etag: &str, last_modified: &str, size: Option<u64>) -> Record {
        let validators = validators(etag, last_modified);
        Record { format: FORMAT, url: URL.to_owned(), validators, size, md5: None }
    }

    fn asked(known: Option<&Validators>, record: Option<&Record>, have: u64) -> Vec<String> {
        let asked = question(known, record, have);
        let mut lines: Vec<String> =
            asked.iter().map(|(name, value)| format!("{name}: {}", value.to_str().expect("text"))).collect();
        lines.sort();
        lines
    }

    #[test]
    fn a_first_question_has_no_conditions() {
        assert_eq!(asked(None, None, 0), Vec::<String>::new());
        assert_eq!(asked(Some(&Validators::default()), None, 0), Vec::<String>::new());
    }

    #[test]
    fn the_known_version_and_the_part_are_both_named() {
        let known = validators("\"old\"", "Mon, 01 Jan 2024 00:00:00 GMT");
        let part = record("\"new\"", "", Some(100));
        assert_eq!(
            asked(Some(&known), Some(&part), 40),
            [
                "if-modified-since: Mon, 01 Jan 2024 00:00:00 GMT",
                "if-none-match: \"old\"",
                "if-range: \"new\"",
                "range: bytes=40-",
            ]
        );
        assert_eq!(asked(None, Some(&part), 0), Vec::<String>::new(), "nothing is there to go on with");
    }

    #[test]
    fn a_weak_tag_is_no_ground_for_a_range_and_a_date_is() {
        let weak = record("W/\"new\"", "Mon, 01 Jan 2024 00:00:00 GMT", None);
        let lines = asked(None, Some(&weak), 40);
        assert_eq!(lines, ["if-range: Mon, 01 Jan 2024 00:00:00 GMT", "range: bytes=40-"]);
        assert_eq!(asked(None, Some(&record("W/\"new\"", "", None)), 40), Vec::<String>::new());
    }

    #[test]
    fn records_of_another_address_format_or_of_no_version_are_of_no_use() {
        let good = record("\"a\"", "", Some(7));
        let text = |record: &Record| serde_json::to_vec(record).expect("JSON");
        assert_eq!(Record::parse(&text(&good), URL), Some(good.clone()));
        assert_eq!(Record::parse(&text(&good), "https://b.test/x"), None);
        assert_eq!(Record::parse(&text(&Record { format: 2, ..good }), URL), None);
        assert_eq!(Record::parse(&text(&record("W/\"a\"", "", Some(7))), URL), None);
        assert_eq!(Record::parse(b"{", URL), None);
    }

    #[test]
    fn the_rest_is_taken_only_if_it_is_of_the_same_version_and_begins_at_the_end() {
        let before = record("\"a\"", "", Some(100));
        let answer = |pairs: &[(&'static str, &'static str)]| {
            course(StatusCode::PARTIAL_CONTENT, &headers(pairs), Some(&before), 40, URL)
        };
        assert_eq!(answer(&[("content-range", "bytes 40-99/100")]), Course::GoOn(before.clone()));
        assert_eq!(
            answer(&[("content-range", "bytes 40-99/100"), ("etag", "\"a\"")]),
            Course::GoOn(before.clone())
        );
        assert_eq!(answer(&[("content-range", "bytes 40-99/*")]), Course::GoOn(before.clone()));
        for wrong in [
            &[("content-range", "bytes 0-99/100")][..],
            &[("content-range", "bytes 41-99/100")],
            &[("content-range", "bytes 40-99/101")],
            &[("content-range", "bytes 40-99/100"), ("etag", "\"b\"")],
            &[("content-range", "lines 40-99/100")],
            &[],
        ] {
            assert_eq!(answer(wrong), Course::Anew, "{wrong:?}");
        }
        let unasked = course(StatusCode::PARTIAL_CONTENT, &headers(&[]), None, 0, URL);
        assert_eq!(unasked, Course::Anew);
    }

    #[test]
    fn nothing_beyond_the_end_means_that_the_part_is_whole() {
        let before = record("\"a\"", "", Some(100));
        let answer = |range: &'static str, have| {
            let headers = headers(&[("content-range", range)]);
            course(StatusCode::RANGE_NOT_SATISFIABLE, &headers, Some(&before), have, URL)
        };
        assert_eq!(answer("bytes */100", 100), Course::Whole);
        assert_eq!(answer("bytes */100", 40), Course::Anew);
        assert_eq!(answer("bytes */90", 100), Course::Anew);
        assert_eq!(answer("", 100), Course::Anew);
        let unknown = record("\"a\"", "", None);
        let headers = headers(&[("content-range", "bytes */100")]);
        assert_eq!(course(StatusCode::RANGE_NOT_SATISFIABLE, &headers, Some(&unknown), 100, URL), Course::Anew);
    }

    #[test]
    fn a_whole_answer_begins_anew_with_what_it_says_of_itself() {
        let sent = headers(&[("etag", "\"b\""), ("content-length", "90")]);
        let course = course(StatusCode::OK, &sent, Some(&record("\"a\"", "", Some(100))), 40, URL);
        assert_eq!(course, Course::Begin(record("\"b\"", "", Some(90))));
    }
}
