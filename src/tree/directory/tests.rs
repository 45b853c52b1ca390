use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use rustix::fs::mkfifoat;

use super::*;

struct Seen {
    entries: Vec<String>,
    gaps: Vec<String>,
}

fn walk_with(path: &Path, limits: &Limits, read: bool) -> Seen {
    let mut directory = Directory::open(path, limits).expect("opens");
    let mut entries = Vec::new();
    directory
        .walk(&mut |entry, content| {
            let kind = match &entry.kind {
                Kind::File => format!("{} bytes", content.size()),
                other => format!("{other:?}"),
            };
            let mut bytes = Vec::new();
            if read {
                let _ = content.take(100).read_to_end(&mut bytes);
            }
            entries.push(
                format!("{} {kind} {}", entry.path, String::from_utf8_lossy(&bytes)).trim_end().to_owned(),
            );
            Step::Continue
        })
        .expect("walks");
    entries.sort();
    let gaps = directory.take_gaps().iter().map(|gap| format!("{}: {}", gap.path, gap.cause)).collect();
    Seen { entries, gaps }
}

fn walk(path: &Path) -> Seen {
    walk_with(path, &Limits::default(), true)
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

#[test]
fn files_folders_and_links_are_seen_and_links_not_followed() {
    let (root, outside) = (folder(), folder());
    fs::write(outside.path().join("secret"), "secret").expect("writes");
    fs::create_dir(root.path().join("etc")).expect("makes");
    fs::write(root.path().join("etc/name"), "content").expect("writes");
    symlink("/", root.path().join("root")).expect("links");
    symlink("..", root.path().join("etc/up")).expect("links");
    symlink(outside.path().join("secret"), root.path().join("out")).expect("links");
    let seen = walk(root.path());
    assert!(seen.gaps.is_empty());
    assert_eq!(seen.entries.len(), 5);
    assert_eq!(seen.entries[0], "etc Directory");
    assert_eq!(seen.entries[1], "etc/name 7 bytes content");
    assert!(seen.entries.iter().all(|entry| !entry.contains("secret ") && !entry.ends_with("secret")));
}

#[test]
fn a_fifo_is_seen_and_never_opened() {
    let root = folder();
    let fd = rustix::fs::open(root.path(), OFlags::PATH, Mode::empty()).expect("opens");
    mkfifoat(&fd, "status", Mode::RUSR).expect("makes");
    assert_eq!(walk(root.path()).entries, ["status Other"]);
}

#[test]
fn deep_folders_take_no_stack_and_end_at_the_longest_path() {
    // Beyond the longest path, where the walk ends; each more costs the disk and shows nothing.
    const DEPTH: usize = 3_000;
    let root = folder();
    let mut fd = rustix::fs::open(root.path(), OFlags::PATH, Mode::empty()).expect("opens");
    for _ in 0..DEPTH {
        rustix::fs::mkdirat(&fd, "d", Mode::RWXU).expect("makes");
        fd = openat(&fd, "d", OFlags::PATH, Mode::empty()).expect("opens");
    }
    let seen = walk(root.path());
    // From the innermost up, before anything can fail: the standard library removes folders by recursion.
    for _ in 0..DEPTH {
        fd = openat(&fd, "..", OFlags::PATH, Mode::empty()).expect("opens");
        rustix::fs::unlinkat(&fd, "d", AtFlags::REMOVEDIR).expect("empty");
    }
    assert_eq!(seen.entries.len(), 2048);
    let [gap] = &seen.gaps[..] else { panic!("{} gaps", seen.gaps.len()) };
    assert!(gap.ends_with("it holds a path that is longer than a file system can hold"));
}

#[test]
fn sparse_files_cost_nothing_unless_read() {
    let root = folder();
    let file = File::create(root.path().join("huge")).expect("makes");
    file.set_len(50 << 30).expect("sparse");
    assert_eq!(walk_with(root.path(), &Limits::default(), false).entries, ["huge 53687091200 bytes"]);
}

#[test]
fn a_file_of_many_names_is_read_for_some_of_them() {
    let root = folder();
    fs::write(root.path().join("0"), "x".repeat(100)).expect("writes");
    for name in ["1", "2", "3"] {
        fs::hard_link(root.path().join("0"), root.path().join(name)).expect("links");
    }
    let seen = walk_with(root.path(), &Limits { content: 200, ..Limits::default() }, true);
    assert_eq!(seen.entries.iter().filter(|entry| entry.ends_with("xxx")).count(), 2);
    assert_eq!(seen.gaps, [": its files have more than the 200 bytes that are read"]);
}

#[test]
fn content_is_read_forward_or_anywhere() {
    let root = folder();
    fs::write(root.path().join("file"), "0123456789").expect("writes");
    let mut directory = Directory::open(root.path(), &Limits::default()).expect("opens");
    let mut checked = 0;
    directory
        .walk(&mut |_, content| {
            content.skip_to(7).expect("forward");
            assert!(content.skip_to(3).is_err());
            let mut two = [0; 2];
            let file = content.random().expect("opens").expect("a file");
            assert_eq!(file.read_at(&mut two, 2).expect("reads"), 2);
            assert_eq!(&two, b"23");
            assert_eq!(file.read_at(&mut two, 9).expect("reads"), 1);
            assert_eq!(file.read_at(&mut two, 99).expect("reads"), 0);
            let mut rest = String::new();
            content.read_to_string(&mut rest).expect("reads");
            assert_eq!(rest, "789");
            checked += 1;
            Step::Continue
        })
        .expect("walks");
    assert_eq!(checked, 1);
}

#[test]
fn a_file_that_is_swapped_for_another_is_not_read() {
    let root = folder();
    fs::write(root.path().join("file"), "one").expect("writes");
    let folder_fd = rustix::fs::open(root.path(), OFlags::PATH, Mode::empty()).expect("opens");
    let stat = statat(&folder_fd, c"file", AtFlags::SYMLINK_NOFOLLOW).expect("there");
    let allowance = Allowance { left: Cell::new(100), was_short: Cell::new(false) };
    let mut content = FileContent::new(folder_fd.as_fd(), c"file", &stat, &allowance);
    fs::write(root.path().join("other"), "two").expect("writes");
    fs::rename(root.path().join("other"), root.path().join("file")).expect("renames");
    assert!(content.read(&mut [0; 3]).is_err());
    fs::remove_file(root.path().join("file")).expect("removes");
    symlink("/etc/passwd", root.path().join("file")).expect("links");
    assert!(content.read(&mut [0; 3]).is_err());
}

#[test]
fn folders_that_are_closed_are_gaps() {
    let root = folder();
    let closed = root.path().join("closed");
    fs::create_dir(&closed).expect("makes");
    fs::write(root.path().join("open"), "").expect("writes");
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).expect("closes");
    let seen = walk(root.path());
    // Who runs the tests as root may enter all the same.
    let expected: &[&str] =
        if fs::read_dir(&closed).is_ok() { &[] } else { &["closed: cannot be read: permission denied"] };
    assert_eq!(seen.gaps, expected);
    assert_eq!(seen.entries.len(), 2);
}

#[test]
fn another_file_system_below_is_a_gap_and_not_entered() {
    // `/proc` is mounted on every machine that runs these tests, and a folder of the root.
    let mut directory = Directory::open(Path::new("/"), &Limits::default()).expect("opens");
    let proc = EntryPath::new(b"proc").expect("a path");
    let cause = match directory.visit_folder(&proc, &mut Pending::default(), &mut |_, _| Step::Stop) {
        Err(cause) => cause.to_string(),
        Ok(step) => panic!("entered: {step:?}"),
    };
    assert_eq!(cause, "cannot be read: another file system is mounted there");
}

#[test]
fn limits_are_gaps() {
    let root = folder();
    for name in ["a", "b", "c"] {
        fs::create_dir(root.path().join(name)).expect("makes");
    }
    let seen = walk_with(root.path(), &Limits { entries: 2, ..Limits::default() }, false);
    assert_eq!(seen.entries.len(), 2);
    assert_eq!(seen.gaps, [": the directory has more than 2 entries"]);
    let seen = walk_with(root.path(), &Limits { pending_bytes: 40, ..Limits::default() }, false);
    assert_eq!(seen.entries.len(), 3);
    assert_eq!(seen.gaps.len(), 1);
}

#[test]
fn what_is_no_folder_is_an_error() {
    let root = folder();
    assert!(matches!(
        Directory::open(&root.path().join("none"), &Limits::default()),
        Err(ReadError::Directory { .. })
    ));
}
