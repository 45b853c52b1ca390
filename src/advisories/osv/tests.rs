//! Folders and archives as they come, good and bad.

use std::io::Write as _;

use serde_json::json;
use tempfile::TempDir;
use zip::write::SimpleFileOptions;

use super::*;
use crate::advisories::load;

fn record(id: &str, ecosystem: &str) -> String {
    json!({"id": id, "modified": "2024-01-01T00:00:00Z", "affected": [{
        "package": {"ecosystem": ecosystem, "name": "a"},
        "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}]}],
    }]})
    .to_string()
}

fn write(folder: &TempDir, path: &str, content: impl AsRef<[u8]>) {
    let path = folder.path().join(path);
    fs::create_dir_all(path.parent().expect("below the folder")).expect("folder");
    fs::write(path, content).expect("file");
}

fn zipped(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(io::Cursor::new(Vec::new()));
    for (name, content) in files {
        archive.start_file(*name, SimpleFileOptions::default()).expect("entry");
        archive.write_all(content).expect("content");
    }
    archive.finish().expect("archive").into_inner()
}

fn wanted() -> Wanted {
    Wanted::whole(["Debian:12".parse().expect("valid")])
}

/// Ids of what is read, and the notes.
fn read(path: &Path) -> Result<(Vec<String>, Vec<String>), SourceError> {
    let mut ids = Vec::new();
    let summary = OsvSource::open(path)?.records(&wanted(), &mut |advisory| ids.push(advisory.id))?;
    ids.sort();
    Ok((ids, summary.notes))
}

#[test]
fn bucket_layout_folders_loose_files_and_one_archive_are_read_alike() {
    let debian = record("DSA-1", "Debian:12");
    let archive = zipped(&[("DSA-1.json", debian.as_bytes()), ("README.md", b"no record")]);

    let bucket = TempDir::new().expect("folder");
    write(&bucket, "Debian/all.zip", &archive);
    let folders = TempDir::new().expect("folder");
    write(&folders, "mine/2024/DSA-1.json", &debian);
    let loose = TempDir::new().expect("folder");
    write(&loose, "DSA-1.json", &debian);
    let single = TempDir::new().expect("folder");
    write(&single, "debian.zip", &archive);

    for path in [bucket.path(), folders.path(), loose.path(), single.path(), &single.path().join("debian.zip")]
    {
        assert_eq!(read(path).expect("readable"), (vec!["DSA-1".to_owned()], Vec::new()), "{path:?}");
    }
}

#[test]
fn folders_of_other_ecosystems_are_not_opened() {
    let bucket = TempDir::new().expect("folder");
    write(&bucket, "Debian/DSA-1.json", record("DSA-1", "Debian:12"));
    write(&bucket, "npm/all.zip", "no archive");
    write(&bucket, "all.zip", "the whole bucket once more");
    assert_eq!(read(bucket.path()).expect("readable"), (vec!["DSA-1".to_owned()], Vec::new()));
}

#[test]
fn source_for_other_ecosystems_is_no_error_but_covers_nothing() {
    let bucket = TempDir::new().expect("folder");
    write(&bucket, "Go/all.zip", zipped(&[]));
    let source = OsvSource::open(bucket.path()).expect("it has a file");
    let index = load(&source, &wanted()).expect("readable");
    assert!(index.partition(&"Debian:12".parse().expect("valid")).is_none());
}

#[test]
fn mounted_config_map_is_read_once() {
    let folder = TempDir::new().expect("folder");
    write(&folder, "..2024_01_01/DSA-1.json", record("DSA-1", "Debian:12"));
    std::os::unix::fs::symlink("..2024_01_01", folder.path().join("..data")).expect("link");
    std::os::unix::fs::symlink("..data/DSA-1.json", folder.path().join("DSA-1.json")).expect("link");
    assert_eq!(read(folder.path()).expect("readable").0, ["DSA-1"]);
}

#[test]
fn damaged_records_are_counted_and_named_and_stop_nothing() {
    let folder = TempDir::new().expect("folder");
    write(&folder, "good.json", record("DSA-1", "Debian:12"));
    write(&folder, "half.json", &record("DSA-2", "Debian:12")[..40]);
    write(&folder, "bytes.json", [0xff, 0xfe]);
    write(&folder, "large.json", vec![b' '; usize::try_from(MAX_RECORD).expect("small") + 1]);
    let (ids, notes) = read(folder.path()).expect("readable");
    assert_eq!(ids, ["DSA-1"]);
    let note = notes.join("\n");
    assert!(note.starts_with("3 OSV records could not be read: bytes.json ("), "{note}");
    assert!(note.contains("large.json (larger than 4 MiB)") && note.contains("half.json (EOF"), "{note}");

    for number in 0..10 {
        write(&folder, &format!("other-{number}.json"), "{");
    }
    let (_, notes) = read(folder.path()).expect("readable");
    assert!(notes[0].starts_with("13 OSV records") && notes[0].ends_with("and 8 more"), "{notes:?}");
}

#[test]
fn nothing_to_read_is_an_error_in_words() {
    let folder = TempDir::new().expect("folder");
    let error = read(folder.path()).expect_err("empty").to_string();
    assert!(error.starts_with("no OSV records in ") && error.contains("<ecosystem>/all.zip"), "{error}");

    write(&folder, "empty.zip", zipped(&[]));
    assert!(matches!(read(folder.path()), Err(SourceError::Empty { .. })));
    assert!(matches!(read(&folder.path().join("missing")), Err(SourceError::Read { .. })));
}

#[test]
fn archive_that_is_none_is_an_error_that_names_it() {
    let folder = TempDir::new().expect("folder");
    write(&folder, "Debian/all.zip", "no archive");
    let error = read(folder.path()).expect_err("no archive");
    assert!(error.to_string().contains("Debian/all.zip as a zip archive"), "{error}");
}

#[test]
fn archive_that_inflates_beyond_measure_is_refused() {
    let folder = TempDir::new().expect("folder");
    let blanks = vec![b' '; 3 << 20];
    let files: Vec<(String, &[u8])> = (0..8).map(|i| (format!("{i}.json"), blanks.as_slice())).collect();
    let files: Vec<(&str, &[u8])> = files.iter().map(|(name, content)| (name.as_str(), *content)).collect();
    write(&folder, "bomb.zip", zipped(&files));
    assert!(matches!(read(folder.path()), Err(SourceError::Inflated { ratio: 200, .. })));
}

#[test]
fn truncated_entry_is_one_damaged_record() {
    let folder = TempDir::new().expect("folder");
    let (one, two) = (record("DSA-1", "Debian:12"), record("DSA-2", "Debian:12"));
    let mut archive = zipped(&[("DSA-1.json", one.as_bytes()), ("DSA-2.json", two.as_bytes())]);
    // Past the local header of the first entry: 30 bytes and its name.
    archive[45..60].fill(0xff);
    write(&folder, "all.zip", archive);
    let (ids, notes) = read(folder.path()).expect("readable");
    assert_eq!(ids, ["DSA-2"]);
    assert!(notes[0].starts_with("1 OSV record could not be read: DSA-1.json ("), "{notes:?}");
}
