//! Trees that were made to harm whoever reads them, read by the scanner as a process: as a mount and as layers. Nothing from
//! outside of a tree may be said, nothing may be waited for, and the memory that the scanner is given has to be enough.

#[path = "hostile/archive.rs"]
mod archive;
#[path = "hostile/nest.rs"]
mod nest;
#[path = "hostile/scanner.rs"]
mod scanner;

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, mknodat};

use archive::{Archive, Written};
use nest::Nest;
use scanner::{Outcome, read_layer, read_layer_in_pod, read_mount};

/// Stands outside of every tree, and in the scanner's environment.
const CANARY: &str = "canary-7f3a";

const COMPLETE: i32 = 0;
const INCOMPLETE: i32 = 4;
const HUGE: u64 = 50 << 30;

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

/// For trees of so many files that a disk would take minutes.
fn folder_in_memory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| folder())
}

fn write(root: &Path, path: &str, content: &[u8]) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().expect("below the root")).expect("makes");
    fs::write(path, content).expect("writes");
}

fn read_one(layer: &Written) -> Outcome {
    read_layer(&layer.path())
}

impl Outcome {
    /// What was found: type and name of all packages.
    fn names(&self) -> Vec<String> {
        let document: serde_json::Value = serde_json::from_str(&self.out).expect("CycloneDX");
        let components = document["components"].as_array().cloned().unwrap_or_default();
        components.iter().map(|c| c["name"].as_str().expect("a name").to_owned()).collect()
    }

    fn has_gap(&self, path: &str, reason: &str) -> bool {
        self.errors.lines().any(|line| line.starts_with(&format!("incomplete: {path}: {reason}")))
    }

    fn assert_gap(&self, path: &str, reason: &str) {
        assert!(self.has_gap(path, reason), "no gap of {path}: {reason} in\n{}", self.errors);
        assert_eq!(self.code, INCOMPLETE);
    }

    fn assert_shows_nothing_of_outside(&self) {
        let said = [&self.out[..], &self.errors].concat();
        assert!(!said.contains(CANARY), "{said}");
        assert_eq!(self.names(), [""; 0], "{}", self.errors);
    }
}

/// Evidence of every kind that names the canary.
fn outside() -> tempfile::TempDir {
    let outside = folder();
    let status = format!("Package: {CANARY}\nStatus: install ok installed\nVersion: 1\n");
    for (path, content) in [
        ("etc/os-release", format!("ID={CANARY}\nPRETTY_NAME={CANARY}\n")),
        ("var/lib/dpkg/status", status),
        ("lib/apk/db/installed", format!("P:{CANARY}\nV:1\n")),
        ("node_modules/a/package.json", format!("{{\"name\":\"{CANARY}\",\"version\":\"1.0.0\"}}")),
        ("a.dist-info/METADATA", format!("Name: {CANARY}\nVersion: 1\n")),
        ("environ", CANARY.to_owned()),
    ] {
        write(outside.path(), path, content.as_bytes());
    }
    outside
}

/// Links that lead out, by the path at which they stand, for what lies outside in a folder `OUT`.
const LINKS: [(&str, &str); 12] = [
    ("root", "/"),
    ("up", ".."),
    ("proc", "/proc/self/root"),
    ("etc", "OUT/etc"),
    ("usr/lib/os-release", "/proc/self/environ"),
    ("var/lib/dpkg", "../../../../../../../../../../../..OUT/var/lib/dpkg"),
    ("lib/apk/db/installed", "OUT/lib/apk/db/installed"),
    ("node_modules", "OUT/node_modules"),
    ("srv/node_modules/a", "../../../../../../../../../../../..OUT/node_modules/a"),
    ("srv/node_modules/b/package.json", "OUT/node_modules/a/package.json"),
    ("opt/a.dist-info", "OUT/a.dist-info"),
    ("opt/b.dist-info/METADATA", "/proc/self/cwd/..OUT/a.dist-info/METADATA"),
];

#[test]
fn links_out_of_a_mount_show_nothing_of_what_is_there() {
    let (root, outside) = (folder(), outside());
    let out = outside.path().to_str().expect("text");
    for (path, target) in LINKS {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().expect("below the root")).expect("makes");
        symlink(target.replace("OUT", out), path).expect("links");
    }
    read_mount(root.path()).assert_shows_nothing_of_outside();
}

#[test]
fn links_and_paths_out_of_a_layer_show_nothing_of_what_is_there() {
    let outside = outside();
    let out = outside.path().to_str().expect("text");
    let mut layer = Archive::new();
    for (path, target) in LINKS {
        layer.symlink(path, &target.replace("OUT", out));
    }
    read_one(&layer.finish()).assert_shows_nothing_of_outside();

    let mut layer = Archive::new();
    layer.hard_link("var/lib/dpkg/status", &format!("{out}/var/lib/dpkg/status"));
    layer
        .hard_link("lib/apk/db/installed", &format!("../../../../../../../../../..{out}/lib/apk/db/installed"));
    layer.hard_link("etc/os-release", "/proc/self/environ");
    let outcome = read_one(&layer.finish());
    outcome.assert_shows_nothing_of_outside();
    for path in ["var/lib/dpkg/status", "lib/apk/db/installed", "etc/os-release"] {
        outcome.assert_gap(path, "is a link to");
    }

    // A name that leads out means what it would for a container runtime: the same below the root.
    let mut layer = Archive::new();
    layer.file("../../../lib/apk/db/installed", b"P:musl\nV:1\n");
    layer.file("/srv/../../node_modules/a/package.json", b"{\"name\":\"a\",\"version\":\"1.0.0\"}");
    let outcome = read_one(&layer.finish());
    assert_eq!((outcome.code, outcome.names()), (COMPLETE, vec!["musl".to_owned(), "a".to_owned()]));
    let untouched = fs::read_to_string(outside.path().join("lib/apk/db/installed")).expect("there");
    assert!(untouched.contains(CANARY));
}

#[test]
fn what_is_no_file_is_named_and_never_opened() {
    let paths = ["var/lib/dpkg/status", "lib/apk/db/installed", "etc/os-release", "a.dist-info/METADATA"];
    let root = folder();
    for path in paths {
        fs::create_dir_all(root.path().join(path).parent().expect("below the root")).expect("makes");
    }
    let node = |path, kind, device| mknodat(CWD, root.path().join(path), kind, Mode::RUSR, device);
    node(paths[0], FileType::Fifo, 0).expect("makes");
    UnixListener::bind(root.path().join(paths[1])).expect("makes");
    // Only root may make devices: the endless one, and one that nothing answers for.
    let has_devices = node(paths[2], FileType::CharacterDevice, rustix::fs::makedev(1, 5)).is_ok()
        && node(paths[3], FileType::BlockDevice, rustix::fs::makedev(250, 250)).is_ok();
    let outcome = read_mount(root.path());
    for path in &paths[..if has_devices { 4 } else { 2 }] {
        outcome.assert_gap(path, "is damaged: it is no regular file");
    }

    let mut layer = Archive::new();
    for (path, flag) in paths.iter().zip(*b"6634") {
        layer.member(flag, path.as_bytes(), b"", b"");
    }
    let outcome = read_one(&layer.finish());
    for path in paths {
        outcome.assert_gap(path, "is damaged: it is no regular file");
    }
}

#[test]
fn a_hundred_thousand_folders_in_each_other_end_at_the_longest_path() {
    let root = folder_in_memory();
    write(root.path(), "lib/apk/db/installed", b"P:musl\nV:1\n");
    let nest = Nest::new(root.path(), 100_000);
    let outcome = read_mount(root.path());
    drop(nest);
    assert_eq!(outcome.names(), ["musl"]);
    outcome
        .assert_gap(&vec!["d"; 2048].join("/"), "it holds a path that is longer than a file system can hold");
}

#[test]
fn folders_in_each_other_cost_a_layer_what_their_names_cost() {
    let path = "d/".repeat(100_000);
    let mut layer = Archive::new();
    // Each that has a path at all, then some of those that have none, which are as long as a hundred thousand folders are deep.
    for depth in (1..4_000).chain((4_000..=100_000).step_by(1_000)) {
        layer.member(b'5', &path.as_bytes()[..2 * depth], b"", b"");
    }
    layer.file("lib/apk/db/installed", b"P:musl\nV:1\n");
    let outcome = read_one(&layer.finish());
    assert_eq!(outcome.names(), ["musl"]);
    outcome.assert_gap(&vec!["d"; 100].join("/"), "a path is longer than a file system can hold");
    outcome.assert_gap("/", "1948 more files or folders could not be read");
}

/// A program of 50 GB all of which is data, as its only segment says: then nothing but a hole.
fn huge_program() -> Vec<u8> {
    let mut program = b"\x7fELF\x02\x01\x01".to_vec();
    program.resize(64, 0);
    program[16] = 2; // ET_EXEC
    program[32] = 64; // the table follows
    program[54] = 56;
    program[56] = 1;
    program.extend_from_slice(&[1, 0, 0, 0, 7, 0, 0, 0]); // PT_LOAD, all rights
    for field in [0, 0, 0, HUGE, HUGE, 0] {
        program.extend_from_slice(&u64::to_le_bytes(field));
    }
    program
}

/// Files of 50 GB, each with a name that somebody wants, how it begins, and why it is not read.
fn huge_files() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let too_large = "has 53687091200 bytes, more than the";
    vec![
        ("var/lib/dpkg/status", b"Package: a\nVersion: 1\n\n".to_vec(), too_large),
        ("var/lib/dpkg/info/a.list", Vec::new(), too_large),
        ("lib/apk/db/installed", b"P:musl\nV:1\n".to_vec(), too_large),
        ("usr/lib/os-release", b"ID=debian\n".to_vec(), too_large),
        ("usr/lib/sysimage/rpm/rpmdb.sqlite", b"SQLite format 3\0".to_vec(), too_large),
        ("usr/share/rpm/Packages.db", b"RpmP".to_vec(), too_large),
        ("srv/node_modules/a/package.json", b"{".to_vec(), too_large),
        ("srv/app.jar", b"PK\x03\x04".to_vec(), too_large),
        ("opt/a.dist-info/METADATA", b"Name: a\nVersion: 1\n".to_vec(), too_large),
        ("opt/a.egg", b"PK\x03\x04".to_vec(), too_large),
        ("usr/bin/server", huge_program(), "has more than the 536870912 bytes of data that are searched"),
    ]
}

#[test]
fn huge_files_of_holes_are_gaps_of_a_mount() {
    let root = folder();
    for (path, begin, _) in huge_files() {
        write(root.path(), path, &begin);
        let file = fs::File::options().write(true).open(root.path().join(path)).expect("opens");
        file.set_len(HUGE).expect("sparse");
    }
    let outcome = read_mount(root.path());
    for (path, _, reason) in huge_files() {
        outcome.assert_gap(path, reason);
    }
}

#[test]
fn huge_files_of_holes_are_gaps_of_a_layer() {
    let mut layer = Archive::new();
    for (path, begin, _) in huge_files() {
        layer.sparse(path, &begin, HUGE);
    }
    let outcome = read_one(&layer.finish());
    for (path, _, reason) in huge_files() {
        outcome.assert_gap(path, reason);
    }
}

#[test]
fn holes_are_read_for_so_many_files_only() {
    let mut layer = Archive::new();
    for number in 0..10_000 {
        layer.sparse(&format!("usr/bin/server-{number}"), &huge_program(), HUGE);
    }
    layer.file("lib/apk/db/installed", b"P:musl\nV:1\n");
    let outcome = read_one(&layer.finish());
    assert_eq!(outcome.names(), ["musl"]);
    outcome.assert_gap("/", "its sparse files have more than the 1073741824 bytes of holes that are read");
    outcome.assert_gap(
        "usr/bin/server-1000",
        "cannot be read: as much as may be was read of the holes of other files",
    );
}

#[test]
fn a_million_empty_files_of_a_mount_are_nothing_found() {
    let root = folder_in_memory();
    std::thread::scope(|scope| {
        for half in ["a", "b"] {
            let root = root.path().join(half);
            scope.spawn(move || {
                for folder in 0..500 {
                    let folder = root.join(folder.to_string());
                    fs::create_dir_all(&folder).expect("makes");
                    let folder = fs::File::open(folder).expect("opens");
                    for file in 0..1_000 {
                        let name = file.to_string();
                        mknodat(&folder, name, FileType::RegularFile, Mode::RUSR, 0).expect("makes");
                    }
                }
            });
        }
    });
    let outcome = read_mount(root.path());
    assert_eq!((outcome.code, outcome.errors.as_str()), (COMPLETE, ""));
}

#[test]
fn a_million_empty_files_of_a_layer_are_nothing_found() {
    let mut layer = Archive::new();
    for number in 0..1_000_000 {
        layer.file(&format!("a/{number}"), b"");
    }
    let outcome = read_one(&layer.finish());
    assert_eq!((outcome.code, outcome.errors.as_str()), (COMPLETE, ""));
}

/// A path of 4,000 bytes and 2,000 folders that begins with a number.
fn deep(number: u32) -> String {
    format!("{number}/{}", "d/".repeat(1_995))
}

#[test]
fn folders_that_paths_only_imply_take_no_more_memory_than_there_is() {
    let mut layer = Archive::new();
    for number in 0..10_000 {
        layer.file(&(deep(number) + "a"), b"");
    }
    read_one(&layer.finish()).assert_gap("/", "needs");
}

#[test]
fn removals_without_end_take_no_more_memory_than_there_is() {
    let mut layer = Archive::new();
    let folder = "a".repeat(250) + "/";
    let folder = folder.repeat(15);
    for number in 0..100_000 {
        layer.file(&format!("{folder}.wh.{number}"), b"");
    }
    read_one(&layer.finish()).assert_gap("/", "needs");
}

#[test]
fn links_that_lead_through_all_folders_again_and_again_are_followed_for_a_while_only() {
    let mut layer = Archive::new();
    let deep = deep(0);
    layer.member(b'5', deep.as_bytes(), b"", b"");
    for number in 0..40 {
        layer.symlink(&format!("{deep}{number}"), &format!("/{deep}{}", number + 1));
    }
    for number in 0..10_000 {
        layer.symlink(&format!("node_modules/{number}/package.json"), &format!("/{deep}0"));
    }
    read_one(&layer.finish()).assert_gap("/", "its links lead through more than");
}

#[test]
fn many_links_to_files_that_were_not_read_are_served_in_one_pass() {
    let mut layer = Archive::new();
    for number in 0..100_000 {
        layer.file(
            &format!("f/{number}.json"),
            format!("{{\"name\":\"n{number}\",\"version\":\"1.0.0\"}}").as_bytes(),
        );
    }
    for number in 0..9_000 {
        layer.symlink(&format!("node_modules/{number}/package.json"), &format!("/f/{number}.json"));
    }
    let outcome = read_one(&layer.finish());
    assert_eq!((outcome.code, outcome.names().len()), (COMPLETE, 9_000), "{}", outcome.errors);
}

#[test]
fn a_folder_that_becomes_a_file_and_back_costs_what_is_in_it() {
    let mut layer = Archive::new();
    for number in 0..50_000 {
        layer.symlink(&format!("a-{number}"), "b");
    }
    for _ in 0..50_000 {
        layer.file("a", b"").member(b'5', b"a", b"", b"");
    }
    let outcome = read_one(&layer.finish());
    assert_eq!((outcome.code, outcome.errors.as_str()), (COMPLETE, ""));
}

#[test]
fn packages_without_end_that_differ_in_little_are_written_up_to_a_limit() {
    let mut layer = Archive::new();
    for database in 0..10 {
        let stanza = |number| format!("Package: a\nVersion: 1\nMaintainer: {database}.{number}\n\n");
        let status: String = (0..20_000).map(stanza).collect();
        layer.file(&format!("var/lib/dpkg/status.d/{database}"), status.as_bytes());
    }
    let outcome = read_layer_in_pod(&layer.finish().path());
    assert_eq!(outcome.names().len(), 50_000);
    outcome.assert_gap("/", "it has more than 50000 packages; the others are left out");
}
