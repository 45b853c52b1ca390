use super::*;

fn path(path: &str) -> EntryPath {
    EntryPath::new(path.as_bytes()).expect("a path")
}

fn record(entries: &[(&str, Kind)]) -> Record<()> {
    let mut builder = RecordBuilder::new(1 << 20);
    for (name, kind) in entries {
        builder.add_entry(&Entry { path: path(name), kind: kind.clone(), mode: 0, uid: 0, gid: 0 }, false);
    }
    builder.finish()
}

fn hashes(paths: &[&str]) -> Vec<u64> {
    let mut hashes: Vec<u64> = paths.iter().map(|path| path_hash(path.as_bytes())).collect();
    hashes.sort_unstable();
    hashes
}

#[test]
fn a_path_implies_all_directories_above_it() {
    let record = record(&[("a/b/c/d", Kind::File), ("a/b/x", Kind::File), ("e/f", Kind::Directory)]);
    assert_eq!(record.dirs, hashes(&["", "a", "a/b", "a/b/c", "e", "e/f"]));
    assert_eq!(record.files, hashes(&["a/b/c/d", "a/b/x"]));
}

#[test]
fn directories_that_became_a_file_are_implied_again_by_what_comes_after() {
    let record =
        record(&[("a/b/c", Kind::File), ("a", Kind::File), ("x/y", Kind::File), ("a/b/d", Kind::File)]);
    assert!(record.dirs.binary_search(&path_hash(b"a")).is_ok());
    assert!(record.files.binary_search(&path_hash(b"a")).is_err());
}

#[test]
fn a_file_over_a_directory_takes_what_is_below_and_nothing_beside() {
    let link = || Kind::Symlink { target: b"t".to_vec().into_boxed_slice() };
    let entries =
        [("a/b", link()), ("a-b", link()), ("a.b", link()), ("a0", link()), ("ab", link()), ("a", Kind::File)];
    let links = record(&entries).links;
    let left: Vec<String> = links.iter().map(|link| link.path.to_string()).collect();
    assert_eq!(left, ["a-b", "a.b", "a0", "ab"]);
}

#[test]
fn a_record_never_weighs_more_than_it_did_while_it_was_made() {
    let mut builder = RecordBuilder::<()>::new(1 << 20);
    for (name, kind) in [
        ("a/b/c", Kind::File),
        ("a/l", Kind::Symlink { target: b"target".to_vec().into_boxed_slice() }),
        ("a/w", Kind::Whiteout),
        ("o", Kind::Opaque),
    ] {
        builder.add_entry(&Entry { path: path(name), kind, mode: 0, uid: 0, gid: 0 }, true);
    }
    let before = builder.weight();
    let after = builder.finish().weight();
    assert!(after > 0 && after <= before, "{after} {before}");
}
