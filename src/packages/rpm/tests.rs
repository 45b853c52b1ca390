use proptest::prelude::*;

use super::super::ownership::PathSetBuilder;
use super::super::tests::{entry, source_of};
use super::super::{Owners, ReadContext, read_tree};
use super::header::Installed;
use super::*;
use crate::sbom::Sbom;
use crate::tree::squash::Stacked;
use crate::tree::{Budget, Layer, Limits, Source};

/// Made by rpm from packages made for it: one with an epoch and a module, one with 60 files, one with epoch 0, a key.
const DATABASE: &[u8] = include_bytes!("testdata/rpmdb.sqlite");
/// Its log with a transaction that took `zero` out; the same without the end of the transaction is not seen by anybody.
const LOG: &[u8] = include_bytes!("testdata/left-over.wal");
/// The same without `kernel-modules`.
const NDB: &[u8] = include_bytes!("testdata/Packages.db");
/// The same.
const BERKELEY: &[u8] = include_bytes!("testdata/Packages");

fn parse(file: &[u8]) -> RpmDatabase {
    match read::read(&entry("var/lib/rpm/rpmdb.sqlite"), Source::Random(&source_of(file))).expect("readable") {
        Evidence::Rpm(database) => database,
        other => panic!("not rpm: {other:?}"),
    }
}

/// What is found in a layer of these files.
fn sbom_of(files: &[(&str, &[u8])]) -> Sbom {
    super::super::assemble(&squashed_of(files))
}

fn squashed_of(files: &[(&str, &[u8])]) -> Squashed {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        builder.append_data(&mut header, path, *content).expect("to memory");
    }
    let tar = builder.into_inner().expect("to memory");
    let (limits, budget) = (Limits::default(), Budget::new(4 << 20));
    let mut layer = Layer::new(&tar[..], &limits, &budget);
    let record = read_tree(&mut layer, ReadContext::new(&limits, &budget)).expect("whole");
    let stacked = Stacked { record: std::sync::Arc::new(record), diff_id: None };
    super::super::squash(vec![stacked])
}

fn gaps(files: &[(&str, &[u8])]) -> Vec<String> {
    sbom_of(files).gaps.iter().map(|gap| format!("{} {}", gap.path, gap.reason)).collect()
}

#[test]
fn packages_have_epoch_source_and_licence_and_keys_are_none() {
    let sbom = sbom_of(&[("var/lib/rpm/rpmdb.sqlite", DATABASE), ("var/lib/rpm/rpmdb.sqlite-wal", b"")]);
    let versions: Vec<_> =
        sbom.packages.iter().map(|package| format!("{} {}", package.name, package.version)).collect();
    assert_eq!(
        versions,
        ["bind-libs 32:9.16.23-14.el9_3.4", "hello 1.2-3.el9", "kernel-modules 6.1.0-1.el9", "zero 0:0-1"]
    );
    let bind = &sbom.packages[0];
    assert_eq!(
        (bind.architecture.as_deref(), bind.supplier.as_deref()),
        (Some("x86_64"), Some("Example Project"))
    );
    assert_eq!(bind.licenses, ["MIT and BSD"]);
    assert_eq!(bind.modularity.as_deref(), Some("bind:9:1234:abcd"));
    let source = SourcePackage { name: "bind-libs".to_owned(), version: "9.16.23-14.el9_3.4".to_owned() };
    assert_eq!(bind.source, Some(source));
    assert_eq!(sbom.gaps, []);
}

#[test]
fn packages_own_their_files() {
    let squashed = squashed_of(&[("var/lib/rpm/rpmdb.sqlite", DATABASE)]);
    let owners = Owners::of(&squashed);
    for (path, owner) in [
        ("usr/lib64/libbind.so", Some("bind-libs")),
        ("usr/bin/hello", Some("hello")),
        ("lib/modules/6.1/module-number-60.ko", Some("kernel-modules")),
        ("lib/modules/6.1/module-number-61.ko", None),
    ] {
        assert_eq!(owners.owner_of(path.as_bytes()), owner, "{path}");
    }
    // The directories `/lib/modules` and `/lib/modules/6.1` are in the list too.
    assert_eq!(parse(DATABASE).packages[1].files.len(), 62);
}

#[test]
fn the_label_of_a_module_is_kept() {
    let labels = parse(DATABASE).packages.into_iter().map(|package| package.modularity);
    assert_eq!(labels.collect::<Vec<_>>(), [Some("bind:9:1234:abcd".to_owned()), None, None, None]);
}

#[test]
fn a_log_with_something_in_it_beside_the_database_is_a_gap() {
    let database = ("usr/lib/sysimage/rpm/rpmdb.sqlite", DATABASE);
    let log = "usr/lib/sysimage/rpm/rpmdb.sqlite-wal";
    let journal = "usr/lib/sysimage/rpm/rpmdb.sqlite-journal";
    assert_eq!(
        gaps(&[database, (log, LOG)]),
        [format!("{log} holds changes that are not in the database beside it, and were not read")]
    );
    assert_eq!(
        gaps(&[database, (journal, b"\xd9\xd5\x05\xf9 \xa1c\xd7")]),
        [format!("{journal} holds what is to be put back into the database beside it, and was not read")]
    );
    // A transaction that did not end, a journal that was made void, a log beside another database or none.
    assert_eq!(gaps(&[database, (log, &LOG[..LOG.len() - 1]), (journal, &[0; 512])]), [""; 0]);
    assert_eq!(gaps(&[("usr/share/rpm/Packages.db", NDB), ("usr/share/rpm/rpmdb.sqlite-wal", LOG)]), [""; 0]);
    assert_eq!(gaps(&[database, ("usr/share/rpm/rpmdb.sqlite-wal", LOG)]), [""; 0]);
}

/// The paths at which packages of this name were found.
fn places(sbom: &Sbom, name: &str) -> Vec<String> {
    let packages = sbom.packages.iter().filter(|package| package.name == name);
    packages.flat_map(|package| &package.locations).map(|location| location.path.clone()).collect()
}

#[test]
fn of_several_databases_in_a_directory_the_newest_counts() {
    let sqlite = ("var/lib/rpm/rpmdb.sqlite", DATABASE);
    let ndb = ("var/lib/rpm/Packages.db", NDB);
    let berkeley = ("var/lib/rpm/Packages", BERKELEY);
    for (files, newest, count) in [
        (&[berkeley, ndb, sqlite][..], sqlite.0, 4),
        (&[berkeley, sqlite], sqlite.0, 4),
        (&[ndb, berkeley], ndb.0, 3),
        (&[berkeley], berkeley.0, 4),
    ] {
        let sbom = sbom_of(files);
        assert_eq!((sbom.packages.len(), places(&sbom, "hello")), (count, vec![newest.to_owned()]));
        assert_eq!(sbom.gaps, []);
    }
    // Nor do files belong to packages that do not count.
    let module = b"lib/modules/6.1/module-number-60.ko";
    assert_eq!(Owners::of(&squashed_of(&[berkeley])).owner_of(module), Some("kernel-modules"));
    assert_eq!(Owners::of(&squashed_of(&[berkeley, ndb])).owner_of(module), None);
}

#[test]
fn databases_of_several_directories_all_count() {
    let sbom = sbom_of(&[("var/lib/rpm/Packages", BERKELEY), ("usr/lib/sysimage/rpm/Packages.db", NDB)]);
    assert_eq!(sbom.packages.len(), 4);
    assert_eq!(places(&sbom, "hello"), ["usr/lib/sysimage/rpm/Packages.db", "var/lib/rpm/Packages"]);
    assert_eq!(places(&sbom, "kernel-modules"), ["var/lib/rpm/Packages"]);
}

#[test]
fn a_newer_database_without_packages_or_that_cannot_be_read_hides_none() {
    // As `rpmdb --initdb` makes it: a page of slots, none of which is in use.
    let slots = [&b"Slot"[..], &[0; 12]].concat().repeat(254);
    let empty = [&b"RpmP\0\0\0\0\x01\0\0\0\x01\0\0\0\x01"[..], &[0; 15], &slots].concat();
    let berkeley = ("var/lib/rpm/Packages", BERKELEY);
    let sbom = sbom_of(&[berkeley, ("var/lib/rpm/Packages.db", &empty)]);
    assert_eq!((sbom.packages.len(), sbom.gaps.len()), (4, 0));
    let sbom = sbom_of(&[berkeley, ("var/lib/rpm/rpmdb.sqlite", &DATABASE[..5000])]);
    assert_eq!((sbom.packages.len(), sbom.gaps.len()), (4, 1));
}

#[test]
fn files_of_rpm_count_only_where_rpm_has_them() {
    assert_eq!(sbom_of(&[("opt/Packages", BERKELEY), ("var/lib/rpm/old/Packages", BERKELEY)]).packages, []);
    assert_eq!(gaps(&[("opt/Packages", b"x"), ("var/lib/rpm/Packages", b"")]), [""; 0]);
}

#[test]
fn a_damaged_database_is_a_gap() {
    assert_eq!(
        gaps(&[("var/lib/rpm/rpmdb.sqlite", b"rubbish")]),
        ["var/lib/rpm/rpmdb.sqlite is damaged: it is cut off"]
    );
    let mut file = DATABASE.to_vec();
    let name = file.windows(6).position(|window| window == b"hello\0").expect("a name");
    file[name] = 0;
    let sbom = sbom_of(&[("var/lib/rpm/rpmdb.sqlite", &file)]);
    assert_eq!(sbom.packages.len(), 3);
    assert_eq!(sbom.gaps[0].reason, "is damaged: 1 entries cannot be understood");
}

#[test]
fn lists_of_distroless_images_are_read() {
    let list = "filesystem\t1.1-9.cm2\t1653816591\t1653628924\tMicrosoft Corporation\t(none)\t7596\tx86_64\t0\tfilesystem-1.1-9.cm2.src.rpm\n\
                ca-certificates-base\t3.0.0-8.azl3\t1748892790\t1735838940\tMicrosoft Corporation\t(none)\t130628\tnoarch\t1\tca-certificates-3.0.0-8.azl3.src.rpm\n\
                short\t1.0-1\n\n";
    let sbom = sbom_of(&[("var/lib/rpmmanifest/container-manifest-2", list.as_bytes())]);
    let versions: Vec<_> = sbom
        .packages
        .iter()
        .map(|package| {
            let source = package.source.as_ref().map(|source| source.name.as_str());
            (package.name.as_str(), package.version.as_str(), source)
        })
        .collect();
    assert_eq!(
        versions,
        [
            ("ca-certificates-base", "1:3.0.0-8.azl3", Some("ca-certificates")),
            ("filesystem", "1.1-9.cm2", Some("filesystem")),
        ]
    );
    assert_eq!(sbom.gaps[0].reason, "is damaged: 1 entries cannot be understood");
}

/// A header of these tags: number, type, count and content.
fn header_of(tags: &[(u32, u32, u32, &[u8])]) -> Vec<u8> {
    let (mut index, mut store) = (Vec::new(), Vec::new());
    for &(tag, kind, count, content) in tags {
        let offset = u32::try_from(store.len()).expect("small");
        index.extend([tag, kind, offset, count].map(u32::to_be_bytes).concat());
        store.extend_from_slice(content);
    }
    let lengths = [tags.len(), store.len()].map(|length| u32::try_from(length).expect("small").to_be_bytes());
    [lengths.concat(), index, store].concat()
}

const NAMED: [(u32, u32, u32, &[u8]); 3] = [(1000, 6, 1, b"a\0"), (1001, 6, 1, b"1.0\0"), (1002, 6, 1, b"2\0")];

fn installed(blob: &[u8]) -> Installed {
    header::parse(blob, &mut PathSetBuilder::default()).expect("few files")
}

fn package_of(blob: &[u8]) -> Option<RpmPackage> {
    match installed(blob) {
        Installed::Package(package) => Some(*package),
        Installed::Key | Installed::Damaged => None,
    }
}

#[test]
fn headers_without_a_name_or_a_whole_store_are_damaged() {
    let whole = header_of(&NAMED);
    assert_eq!(package_of(&whole).expect("whole").full_version(), "1.0-2");
    for blob in [&whole[..whole.len() - 1], &header_of(&NAMED[..2]), &[], &[0xff; 8]] {
        assert_eq!(installed(blob), Installed::Damaged);
    }
    assert_eq!(installed(&header_of(&[(1000, 6, 1, b"gpg-pubkey\0")])), Installed::Key);
}

#[test]
fn a_tag_counts_only_in_the_type_that_rpm_gives_it() {
    let epoch = |kind, content| {
        let blob = header_of(&[&NAMED[..], &[(1003, kind, 1, content)]].concat());
        package_of(&blob).expect("named").epoch
    };
    assert_eq!(epoch(4, &[0, 0, 0, 7][..]), Some(7));
    assert_eq!(epoch(4, &[0, 0][..]), None);
    assert_eq!(epoch(6, &b"7\0\0\0"[..]), None);
}

#[test]
fn files_whose_directory_is_not_there_damage_the_header() {
    let files = |directory: u8| {
        let indexes = [0, 0, 0, 0, 0, 0, 0, directory];
        let lists: [(u32, u32, u32, &[u8]); 3] =
            [(1116, 4, 2, &indexes), (1117, 8, 2, b"ls\0cp\0"), (1118, 8, 2, b"/usr/bin/\0/bin/\0")];
        package_of(&header_of(&[&NAMED[..], &lists].concat())).map(|package| package.files.len())
    };
    assert_eq!(files(1), Some(2));
    assert_eq!(files(2), None);
}

proptest! {
    #[test]
    fn damaged_headers_never_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        rest in prop::collection::vec(any::<u8>(), 0..60),
    ) {
        let lists: [(u32, u32, u32, &[u8]); 3] =
            [(1116, 4, 2, &[0; 8]), (1117, 8, 2, b"ls\0cp\0"), (1118, 8, 1, b"/usr/bin/\0")];
        let mut blob = header_of(&[&NAMED[..], &lists].concat());
        for (index, byte) in changes {
            let at = index.index(blob.len());
            blob[at] = byte;
        }
        if let Some(package) = package_of(&blob) {
            prop_assert!(package.files.len() <= 2);
        }
        installed(&rest);
    }

    #[test]
    fn damaged_databases_never_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
    ) {
        let mut file = DATABASE.to_vec();
        for (index, byte) in changes {
            let at = index.index(file.len());
            file[at] = byte;
        }
        if let Ok(Evidence::Rpm(database)) = read::read(&entry("var/lib/rpm/rpmdb.sqlite"), Source::Random(&source_of(&file))) {
            // The key too, once its name is another.
            prop_assert!(database.packages.len() <= 5);
        }
    }
}
