use std::sync::Arc;

use super::*;
use crate::tree::{Budget, EntryPath, Kind, ReadAt};

/// A regular file of this path.
pub(super) fn entry(path: &str) -> Entry {
    let path = EntryPath::new(path.as_bytes()).expect("a path");
    Entry { path, kind: Kind::File, mode: 0o644, uid: 0, gid: 0 }
}

/// Bytes as a file.
pub(super) fn source_of(bytes: &[u8]) -> impl ReadAt {
    struct Bytes(Vec<u8>);
    impl ReadAt for Bytes {
        fn size(&self) -> u64 {
            self.0.len() as u64
        }
        fn read_at(&self, buf: &mut [u8], at: u64) -> std::io::Result<usize> {
            self.0.read_at(buf, at)
        }
    }
    Bytes(bytes.to_vec())
}

/// An image of one layer with these files.
pub(super) fn squashed_of(files: &[(&str, &str)]) -> Squashed {
    let mut builder = crate::tree::record::RecordBuilder::new(1 << 20);
    for (path, text) in files {
        let entry = entry(path);
        builder.add_entry(&entry, false);
        for cataloger in CATALOGERS.iter().filter(|cataloger| (cataloger.wants)(&entry, &[]).is_some()) {
            let source = source_of(text.as_bytes());
            let budget = Budget::new(1 << 20);
            let evidence = (cataloger.read)(&entry, Source::Random(&source), &Scratch::of(&budget));
            let evidence = evidence.expect("readable");
            builder.add_evidence(&entry.path, cataloger.id, evidence);
        }
    }
    squash(vec![Stacked { record: Arc::new(builder.finish()), diff_id: None }])
}

pub(super) mod reading {
    use std::fmt::Write as _;
    use std::fs;
    use std::io::Write as _;
    use std::os::unix::fs::symlink;
    use std::path::Path;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::tree::{Directory, Layer, Limits, Tree};

    const STATUS: &str = "Package: libc6\nStatus: install ok installed\nArchitecture: amd64\nSource: glibc\nVersion: 2.36-9\n\n\
                          Package: bash\nStatus: install ok installed\nVersion: 5.2-1\n";
    const RELEASE: &str = "ID=debian\nVERSION_ID=12\n";

    fn read_all(count: usize, open: &dyn Fn(usize) -> Box<dyn Tree>, limits: &Limits, budget: &Budget) -> Sbom {
        let context = ReadContext::new(limits, budget);
        let read = |index| read_tree(&mut *open(index), context).expect("whole");
        let layers = (0..count).map(|index| Stacked { record: Arc::new(read(index)), diff_id: None });
        let mut squashed = squash(layers.collect());
        for index in 0..count {
            let targets: Vec<_> =
                squashed.targets().iter().filter(|target| target.layer == index).cloned().collect();
            let replayed = replay(&mut *open(index), &targets, context).expect("whole");
            squashed.serve(&targets, replayed);
        }
        assemble(&squashed)
    }

    fn read_layers(blobs: &[Vec<u8>], limits: &Limits, budget: &Budget) -> Sbom {
        let open = |index: usize| -> Box<dyn Tree> {
            Box::new(Layer::new(std::io::Cursor::new(blobs[index].clone()), limits, budget))
        };
        read_all(blobs.len(), &open, limits, budget)
    }

    pub(in crate::packages) fn read_directory(path: &Path) -> Sbom {
        let limits = Limits::default();
        let open = |_| -> Box<dyn Tree> { Box::new(Directory::open(path, &limits).expect("opens")) };
        read_all(1, &open, &limits, &Budget::new(1 << 20))
    }

    pub(in crate::packages) fn plainly(blobs: &[Vec<u8>]) -> Sbom {
        read_layers(blobs, &Limits::default(), &Budget::new(8 << 20))
    }

    fn write(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().expect("has one")).expect("makes");
        fs::write(path, text).expect("writes");
    }

    pub(in crate::packages) fn tar(root: &Path) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        builder.follow_symlinks(false);
        builder.append_dir_all(".", root).expect("to memory");
        builder.into_inner().expect("to memory")
    }

    fn tar_of(files: &[(&str, &str)]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (path, text) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            header.set_mode(0o644);
            builder.append_data(&mut header, path, text.as_bytes()).expect("to memory");
        }
        builder.into_inner().expect("to memory")
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).expect("to memory");
        encoder.finish().expect("to memory")
    }

    fn names(sbom: &Sbom) -> Vec<String> {
        sbom.packages.iter().map(|package| format!("{} {}", package.name, package.version)).collect()
    }

    #[test]
    fn directory_and_stream_find_the_same() {
        let root = tempfile::tempdir().expect("a folder");
        let root = root.path();
        // The root of a distribution with everything that leads astray: merged folders, links for files and for databases.
        write(root, "usr/lib/os-release", RELEASE);
        fs::create_dir(root.join("etc")).expect("makes");
        symlink("../usr/lib/os-release", root.join("etc/os-release")).expect("links");
        write(root, "opt/dpkg/status", STATUS);
        write(root, "opt/dpkg/status.d/tzdata", "Package: tzdata\nVersion: 2024a-0\n");
        write(root, "opt/dpkg/status.d/tzdata.md5sums", "rubbish");
        fs::create_dir_all(root.join("var/lib")).expect("makes");
        symlink("/opt/dpkg", root.join("var/lib/dpkg")).expect("links");
        write(root, "srv/apk", "P:musl\nV:1.2.4-r2\nL:MIT\n");
        fs::create_dir_all(root.join("usr/lib/apk/db")).expect("makes");
        symlink("usr/lib", root.join("lib")).expect("links");
        fs::hard_link(root.join("srv/apk"), root.join("usr/lib/apk/db/installed")).expect("links");
        write(root, "usr/share/doc/glibc/copyright", "License: x\nsee /usr/share/common-licenses/LGPL-2.1.\n");
        symlink("glibc", root.join("usr/share/doc/libc6")).expect("links");

        let from_directory = read_directory(root);
        assert_eq!(names(&from_directory), ["bash 5.2-1", "libc6 2.36-9", "tzdata 2024a-0", "musl 1.2.4-r2"]);
        assert_eq!(from_directory.packages[1].licenses, ["LGPL-2.1"]);
        assert_eq!(from_directory.packages[1].locations[0].path, "opt/dpkg/status");
        assert_eq!(from_directory.distro.as_ref().map(|distro| distro.id.as_str()), Some("debian"));
        assert_eq!(from_directory.gaps, []);
        let tar = tar(root);
        for blob in [gzip(&tar), zstd::encode_all(&tar[..], 1).expect("to memory"), tar] {
            let from_stream = plainly(&[blob]);
            assert_eq!(from_stream.packages, from_directory.packages);
            assert_eq!(from_stream, from_directory);
        }
    }

    /// A Debian root with modules of the distribution, of pip and of npm, from before and after `usr` was merged.
    fn write_languages(root: &Path) {
        let metadata = |name: &str, version: &str| format!("Name: {name}\nVersion: {version}\n\nText.\n");
        let manifest = |name: &str, version: &str| format!(r#"{{"name": "{name}", "version": "{version}"}}"#);
        write(root, "var/lib/dpkg/status", STATUS);
        let debian = "usr/lib/python3/dist-packages";
        write(root, &format!("{debian}/foo-1.0.egg-info/PKG-INFO"), &metadata("foo", "1.0"));
        write(root, &format!("{debian}/bar-2.0.egg-info"), &metadata("bar", "2.0"));
        let list = format!(
            "/.\n/usr\n/usr/lib\n/{debian}\n/{debian}/foo-1.0.egg-info\n/{debian}/foo-1.0.egg-info/PKG-INFO\n"
        );
        write(root, "var/lib/dpkg/info/python3-foo.list", &list);
        write(root, "var/lib/dpkg/info/python3-bar:all.list", "/lib/python3/dist-packages/bar-2.0.egg-info\n");
        symlink("usr/lib", root.join("lib")).expect("links");
        let pip = "usr/local/lib/python3.11/dist-packages";
        write(root, &format!("{pip}/foo-1.0.dist-info/METADATA"), &metadata("foo", "1.0"));
        write(root, &format!("{pip}/pip/_vendor/rich-13.7.0.dist-info/METADATA"), &metadata("rich", "13.7.0"));
        symlink("foo-1.0.dist-info", root.join(pip).join("foo.egg-info")).expect("links");
        write(root, "usr/share/nodejs/acorn/package.json", &manifest("acorn", "8.8.1"));
        write(
            root,
            "var/lib/dpkg/info/node-acorn.list",
            "/usr/share/nodejs/acorn\n/usr/share/nodejs/acorn/package.json\n",
        );
        write(root, "app/package.json", &manifest("app", "0.1.0"));
        write(root, "app/node_modules/.pnpm/ms@2.1.3/node_modules/ms/package.json", &manifest("ms", "2.1.3"));
        symlink(".pnpm/ms@2.1.3/node_modules/ms", root.join("app/node_modules/ms")).expect("links");
        write(root, "srv/node_modules/@s/x/package.json", &manifest("@s/x", "3.0.0"));
        write(root, "srv/node_modules/@s/x/esm/package.json", r#"{"type": "module"}"#);
        write(root, "store/ms.json", &manifest("ms", "2.1.3"));
        fs::create_dir_all(root.join("srv/node_modules/ms")).expect("makes");
        fs::hard_link(root.join("store/ms.json"), root.join("srv/node_modules/ms/package.json"))
            .expect("links");
        symlink("../store/link", root.join("srv/loose")).expect("links");
    }

    #[test]
    fn packages_of_languages_know_their_owners_in_directory_and_stream() {
        let root = tempfile::tempdir().expect("a folder");
        write_languages(root.path());
        let from_directory = read_directory(root.path());
        let mut lines = String::new();
        for package in from_directory.packages.iter().filter(|p| !p.package_type.is_of_distribution()) {
            let owner = package.owner.as_deref().unwrap_or("-");
            writeln!(lines, "{} {} {owner}", package.name, package.version).expect("to memory");
            for location in &package.locations {
                writeln!(lines, "  {}", location.path).expect("to memory");
            }
        }
        insta::assert_snapshot!(lines, @r"
        bar 2.0 python3-bar
          usr/lib/python3/dist-packages/bar-2.0.egg-info
        foo 1.0 -
          usr/local/lib/python3.11/dist-packages/foo-1.0.dist-info/METADATA
        foo 1.0 python3-foo
          usr/lib/python3/dist-packages/foo-1.0.egg-info/PKG-INFO
        rich 13.7.0 -
          usr/local/lib/python3.11/dist-packages/pip/_vendor/rich-13.7.0.dist-info/METADATA
        @s/x 3.0.0 -
          srv/node_modules/@s/x/package.json
        acorn 8.8.1 node-acorn
          usr/share/nodejs/acorn/package.json
        app 0.1.0 -
          app/package.json
        ms 2.1.3 -
          app/node_modules/.pnpm/ms@2.1.3/node_modules/ms/package.json
          srv/node_modules/ms/package.json
        ");
        assert_eq!(from_directory.gaps, []);
        assert_eq!(plainly(&[gzip(&tar(root.path()))]), from_directory);
    }

    #[test]
    fn the_topmost_database_counts() {
        let lower = tar_of(&[("var/lib/dpkg/status", STATUS), ("etc/os-release", RELEASE)]);
        let upper = tar_of(&[("var/lib/dpkg/status", "Package: bash\nVersion: 5.3-1\n")]);
        let removed = tar_of(&[("var/lib/.wh.dpkg", "")]);
        assert_eq!(names(&plainly(&[lower.clone(), upper.clone()])), ["bash 5.3-1"]);
        assert_eq!(names(&plainly(&[lower, upper, removed])), [""; 0]);
    }

    #[test]
    fn what_hides_behind_a_link_in_place_of_a_database_is_read_from_its_layer() {
        let lower = tar_of(&[("data/blob", STATUS)]);
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(0);
        header.set_entry_type(tar::EntryType::Link);
        builder.append_link(&mut header, "var/lib/dpkg/status", "data/blob").expect("to memory");
        let upper = builder.into_inner().expect("to memory");
        let gone = tar_of(&[(".wh.data", "")]);
        let sbom = plainly(&[lower, upper, gone]);
        assert_eq!(names(&sbom), ["bash 5.2-1", "libc6 2.36-9"]);
        assert_eq!(sbom.packages[0].locations[0].path, "var/lib/dpkg/status");
        assert_eq!(sbom.gaps, []);
    }

    #[test]
    fn a_manifest_that_is_a_hard_link_into_a_store_is_read_from_there() {
        let manifest = r#"{"name": "ms", "version": "2.1.3"}"#;
        let store = tar_of(&[("root/store/v3/files/ab/cd-index", manifest)]);
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(0);
        header.set_entry_type(tar::EntryType::Link);
        let path = "app/node_modules/ms/package.json";
        builder.append_link(&mut header, path, "root/store/v3/files/ab/cd-index").expect("to memory");
        let sbom = plainly(&[store, builder.into_inner().expect("to memory")]);
        assert_eq!(names(&sbom), ["ms 2.1.3"]);
        assert_eq!(sbom.packages[0].locations[0].path, path);
        assert_eq!(sbom.gaps, []);
    }

    #[test]
    fn a_database_that_is_no_file_is_a_gap() {
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(0);
        header.set_entry_type(tar::EntryType::Fifo);
        builder.append_data(&mut header, "var/lib/dpkg/status", &[][..]).expect("to memory");
        let sbom = plainly(&[builder.into_inner().expect("to memory")]);
        assert_eq!(sbom.gaps[0].reason, "is damaged: it is no regular file");
        assert_eq!(sbom.gaps[0].path, "var/lib/dpkg/status");
    }

    #[test]
    fn a_database_over_its_cap_is_a_gap_and_no_other_is_lost() {
        let root = tempfile::tempdir().expect("a folder");
        write(root.path(), "lib/apk/db/installed", "P:musl\nV:1\n");
        write(root.path(), "var/lib/dpkg/status", "");
        let file =
            fs::File::options().write(true).open(root.path().join("var/lib/dpkg/status")).expect("opens");
        file.set_len(50 << 30).expect("sparse");
        let sbom = read_directory(root.path());
        assert_eq!(names(&sbom), ["musl 1"]);
        assert_eq!(sbom.gaps[0].reason, "has 53687091200 bytes, more than the 33554432 that are read");
    }

    #[test]
    fn what_exceeds_the_budget_says_how_much_it_needs() {
        let mut status = String::new();
        for number in 0..20_000 {
            writeln!(status, "Package: package-{number}\nVersion: 1\n").expect("to memory");
        }
        let blob = tar_of(&[("var/lib/dpkg/status", &status), ("etc/os-release", RELEASE)]);
        let limits = Limits { memory_wait: Duration::ZERO, ..Limits::default() };
        let budget = Budget::new(100_000);
        let record =
            read_tree(&mut Layer::new(&blob[..], &limits, &budget), ReadContext::new(&limits, &budget));
        let record = record.expect("whole");
        let needed = record.needs_memory().expect("more");
        assert!(needed > 1_000_000, "{needed}");
        assert_eq!(record.evidence.len(), 1);
        drop(record);
        assert_eq!(budget.free(), 100_000);
        let sbom = read_layers(&[blob], &limits, &Budget::new(2 * needed));
        assert_eq!((sbom.packages.len(), sbom.gaps), (20_000, Vec::new()));
    }

    #[test]
    fn a_file_that_several_want_is_held_in_memory_once_and_read_by_all() {
        #[allow(clippy::needless_pass_by_value, reason = "as catalogers have it")]
        fn read(_: &Entry, source: Source<'_>, _: &Scratch<'_>) -> Result<Evidence, GapCause> {
            let Source::Random(file) = source else { panic!("one of several readers") };
            let mut first = [0; 4];
            file.read_at(&mut first, 1).map_err(|error| GapCause::Unreadable(error.to_string()))?;
            Ok(Evidence::Copyright(vec![String::from_utf8_lossy(&first).into_owned()]))
        }
        let wants = |_: &Entry, head: &[u8]| head.starts_with(b"\x7fELF").then_some(Want::Forward { cap: 100 });
        let one =
            Cataloger { id: "one", version: 1, sniffs: true, fixed: &[], wants, read, assemble: |_, _| {} };
        let catalogers = [one, Cataloger { id: "two", ..one }];
        let (limits, budget) = (Limits::default(), Budget::new(2 << 20));
        let context = ReadContext { catalogers: &catalogers, limits: &limits, budget: &budget };
        let blob = tar_of(&[("bin/a", "\x7fELF..."), ("bin/b", "#!/bin/sh"), ("a.txt", "\x7fELF")]);
        let record = read_tree(&mut Layer::new(&blob[..], &limits, &budget), context).expect("whole");
        let found: Vec<_> =
            record.evidence.iter().map(|found| (found.path.to_string(), found.reader)).collect();
        assert_eq!(found, [("bin/a".to_owned(), "one"), ("bin/a".to_owned(), "two")]);
        assert_eq!(record.evidence[0].evidence, Evidence::Copyright(vec!["ELF.".to_owned()]));
    }

    #[test]
    fn a_file_wanted_either_way_is_read_at_any_place_in_a_mount_and_in_passing_in_a_stream() {
        #[allow(clippy::needless_pass_by_value, clippy::unnecessary_wraps, reason = "as catalogers have it")]
        fn read(_: &Entry, source: Source<'_>, _: &Scratch<'_>) -> Result<Evidence, GapCause> {
            let way = match source {
                Source::Random(_) => "random",
                Source::Forward(_) => "forward",
            };
            Ok(Evidence::Copyright(vec![way.to_owned()]))
        }
        let wants = |_: &Entry, _: &[u8]| Some(Want::Either { cap: u64::MAX });
        let catalogers =
            [Cataloger { id: "one", version: 1, sniffs: true, fixed: &[], wants, read, assemble: |_, _| {} }];
        // Less memory than the file has bytes: it is not held.
        let (limits, budget) = (Limits::default(), Budget::new(10_000));
        let context = ReadContext { catalogers: &catalogers, limits: &limits, budget: &budget };
        let root = tempfile::tempdir().expect("a folder");
        write(root.path(), "a", &"x".repeat(100_000));
        let tar = tar(root.path());
        let mut trees: [(&str, Box<dyn Tree>); 2] = [
            ("random", Box::new(Directory::open(root.path(), &limits).expect("opens"))),
            ("forward", Box::new(Layer::new(&tar[..], &limits, &budget))),
        ];
        for (way, tree) in &mut trees {
            let record = read_tree(&mut **tree, context).expect("whole");
            assert_eq!(record.evidence[0].evidence, Evidence::Copyright(vec![(*way).to_owned()]));
        }
    }

    #[test]
    fn evidence_survives_being_stored() {
        let squashed = squashed_of(&[
            ("var/lib/dpkg/status", STATUS),
            ("var/lib/dpkg/info/bash.list", "/bin/bash\n/usr/share/doc/bash\n"),
            ("lib/apk/db/installed", "P:musl\nV:1\nF:lib\nR:libc.so\n"),
            ("etc/os-release", RELEASE),
            ("a-1.dist-info/METADATA", "License: MIT\n"),
            ("node_modules/a/package.json", r#"{"name": "a", "version": "1.0.0", "license": "MIT"}"#),
            ("node_modules/b/package.json", "{}"),
            ("a.jar", "no zip"),
        ]);
        assert_eq!(squashed.sightings().count(), 8);
        for sighting in squashed.sightings() {
            let json = serde_json::to_string(sighting.evidence).expect("JSON");
            assert_eq!(serde_json::from_str::<Evidence>(&json).expect("JSON"), *sighting.evidence);
        }
    }

    proptest! {
        #[test]
        fn arbitrary_layers_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..1500)) {
            let (limits, budget) = (Limits { memory_wait: Duration::ZERO, ..Limits::default() }, Budget::new(1 << 20));
            let mut layer = Layer::new(&bytes[..], &limits, &budget);
            if let Ok(record) = read_tree(&mut layer, ReadContext::new(&limits, &budget)) {
                let sbom = assemble(&squash(vec![Stacked { record: Arc::new(record), diff_id: None }]));
                prop_assert!(sbom.packages.len() < 100);
            }
        }

        #[test]
        fn arbitrary_trees_of_links_end(
            layers in prop::collection::vec(prop::collection::vec(("[ab./]{1,6}", "[ab./]{0,6}", 0_u8..5), 0..8), 1..4),
        ) {
            let layers: Vec<_> = layers.iter().map(|entries| {
                let mut builder = crate::tree::record::RecordBuilder::new(1 << 20);
                for (path, target, kind) in entries {
                    let path = EntryPath::new(path.as_bytes()).expect("short");
                    let kind = match kind {
                        0 => Kind::File,
                        1 => Kind::Directory,
                        2 => Kind::Symlink { target: target.as_bytes().into() },
                        3 => Kind::Hardlink { target: EntryPath::new(target.as_bytes()).expect("short") },
                        _ => Kind::Whiteout,
                    };
                    builder.add_entry(&Entry { path, kind, mode: 0, uid: 0, gid: 0 }, true);
                }
                Stacked { record: Arc::new(builder.finish()), diff_id: None }
            }).collect();
            let squashed: Squashed = crate::tree::squash(layers, &["a/b", "b/a/"]);
            for path in ["a", "a/b", "b/a/b", "a/a"] {
                let _ = squashed.resolve(&EntryPath::new(path.as_bytes()).expect("short"));
            }
        }
    }
}
