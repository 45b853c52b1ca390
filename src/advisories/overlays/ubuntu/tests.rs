use std::io::Write as _;

use proptest::prelude::*;

use super::super::tracker::decode;
use super::*;

/// In the form of a real file; the texts are ours.
const FILE: &str = "\
PublicDateAtUSN: 2024-01-26 09:15:00 UTC
Candidate: CVE-2024-0727
PublicDate: 2024-01-26 09:15:00 UTC
References:
 https://example.org/noble_openssl: needed
Description:
 jammy_openssl: this is a text
Priority: low
 Only applications that read such files
Priority_edk2: medium
Priority_edk2_jammy: high
Priority_nodejs: untriaged
Assigned-to:

Patches_openssl:
upstream: https://example.org
upstream_openssl: released (3.2.1)
trusty_openssl: ignored (end of standard support)
trusty/esm_openssl: needed
esm-infra/xenial_openssl: needed
focal_openssl: released (1.1.1f-1ubuntu2.21)
jammy_openssl: ignored (changes too intrusive)
noble_openssl: not-affected (3.0.10-1ubuntu4)
devel_openssl: not-affected
mantic_openssl: DNE
jammy_edk2: needed
noble_edk2: deferred (2024-02-01)
noble_nodejs: needs-triage
noble_openssl1.0: pending (1.0.2n-1ubuntu5.14)
noble_odd: whatever
";

fn tracker(files: &[(&str, &str)]) -> Tracker {
    let mut tracker = Tracker::default();
    for (id, text) in files {
        parse(id, text, &mut tracker);
    }
    tracker
}

fn values(tracker: &Tracker) -> Vec<(String, Option<Fix>, Option<Severity>)> {
    let value = |(key, bytes): (String, Vec<u8>)| {
        let Tracked { state, severity } = decode(&bytes).expect("a value");
        (key.trim_end_matches("/CVE-2024-0727").to_owned(), state, severity)
    };
    tracker.entries().map(value).collect()
}

#[test]
fn states_and_priorities_are_those_of_each_package_and_release() {
    use Severity::{High, Low, Medium};
    let tracker = tracker(&[("CVE-2024-0727", FILE)]);
    let expected = [
        ("14.04/openssl", Some(Fix::EndOfLife), Some(Low)),
        ("20.04/openssl", None, Some(Low)),
        ("22.04/edk2", Some(Fix::Needed), Some(High)),
        ("22.04/openssl", Some(Fix::WontFix), Some(Low)),
        ("24.04/edk2", Some(Fix::Postponed), Some(Medium)),
        ("24.04/nodejs", Some(Fix::Undetermined), None),
        ("24.04/openssl1.0", Some(Fix::Pending), Some(Low)),
    ]
    .map(|(key, state, severity)| (key.to_owned(), state, severity));
    assert_eq!(values(&tracker), expected);
    assert_eq!(
        tracker.damaged.note(NAME).as_deref(),
        Some("1 entry of Ubuntu's CVE tracker cannot be read: odd CVE-2024-0727 noble")
    );
}

fn archive(files: &[(&str, &str)]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (path, text) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, path, text.as_bytes()).expect("memory");
    }
    archive.into_inner().expect("memory")
}

#[test]
fn folder_and_archive_give_the_same() {
    let files = [
        ("tracker/README", "x"),
        ("tracker/active/CVE-2024-0727", FILE),
        ("tracker/active/00boilerplate", "x"),
        ("tracker/retired/CVE-2000-1", "noble_old: needed\n"),
    ];
    let tar = archive(&files);
    let expected = tracker(&[("CVE-2024-0727", FILE)]);
    assert_eq!(read_archive(&*tar).expect("a tracker"), expected);
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(&tar).expect("memory");
    assert_eq!(read_archive(&*encoder.finish().expect("memory")).expect("a tracker"), expected);

    let folder = tempfile::tempdir().expect("a folder");
    for (path, text) in files {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        fs::write(path, text).expect("a file");
    }
    let root = folder.path().join("tracker");
    assert_eq!(read(&root).expect("a tracker"), expected);
    assert_eq!(read(&root.join("active")).expect("a tracker"), expected);
}

#[test]
fn what_is_no_tracker_is_refused_and_what_is_no_file_of_it_named() {
    let problem = "this is not Ubuntu's CVE tracker: it has no files CVE-… in active/";
    assert_eq!(read_archive(&*archive(&[("a/README", "x")])).expect_err("refused").to_string(), problem);
    assert_eq!(
        read_archive(&b"no archive at all"[..]).expect_err("refused").to_string(),
        "cannot read Ubuntu's CVE tracker"
    );
    let large = "x".repeat(usize::try_from(MAX_FILE).expect("small") + 1);
    let tar = archive(&[("active/CVE-1", &large), ("active/CVE-2", "nothing"), ("active/CVE-3", FILE)]);
    let tracker = read_archive(&*tar).expect("a tracker");
    let note = tracker.damaged.note(NAME).expect("a note");
    assert!(note.starts_with("3 entries") && note.contains(": CVE-1, CVE-2, odd"), "{note}");
}

proptest! {
    #[test]
    fn no_file_panics(text in "((noble|jammy|Priority)?[_a-z]{0,6}:? ?[a-z()-]{0,12}\n){0,8}|\\PC{0,60}") {
        let _ = tracker(&[("CVE-1", &text)]);
    }

    #[test]
    fn no_archive_panics(bytes in proptest::collection::vec(any::<u8>(), 0..1024)) {
        let _ = read_archive(&*bytes);
    }
}
