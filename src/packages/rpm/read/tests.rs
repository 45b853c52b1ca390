use std::os::unix::fs::symlink;
use std::path::Path;

use proptest::prelude::*;

use super::super::super::tests::reading::{plainly, read_directory, tar};
use super::super::super::tests::{entry, source_of};
use super::super::RpmPackage;
use super::*;
use crate::sbom::Sbom;

const SQLITE: &[u8] = include_bytes!("../testdata/rpmdb.sqlite");
const NDB: &[u8] = include_bytes!("../testdata/Packages.db");
const LITTLE: &[u8] = include_bytes!("../testdata/Packages");
const BIG: &[u8] = include_bytes!("../testdata/Packages.big-endian");

fn evidence_of(path: &str, file: &[u8]) -> Result<Evidence, GapCause> {
    read(&entry(path), Source::Random(&source_of(file)))
}

fn database_of(name: &str, file: &[u8]) -> RpmDatabase {
    match evidence_of(&format!("var/lib/rpm/{name}"), file) {
        Ok(Evidence::Rpm(database)) => database,
        other => panic!("no database: {other:?}"),
    }
}

/// Its packages without those of these names, sorted.
fn packages_of(database: RpmDatabase, without: &[&str]) -> Vec<RpmPackage> {
    let mut packages = database.packages;
    packages.retain(|package| !without.contains(&package.name.as_str()));
    packages.sort_by(|a, b| a.name.cmp(&b.name));
    packages
}

fn write(root: &Path, path: &str, content: &[u8]) {
    let path = root.join(path);
    std::fs::create_dir_all(path.parent().expect("has one")).expect("makes");
    std::fs::write(path, content).expect("writes");
}

/// What a directory says, which must be what a layer of it says.
fn sbom_of(root: &Path) -> Sbom {
    let from_directory = read_directory(root);
    assert_eq!(plainly(&[tar(root)]), from_directory);
    from_directory
}

fn names(sbom: &Sbom) -> Vec<String> {
    let located = sbom.packages.iter().map(|package| {
        let paths = package.locations.iter().map(|location| location.path.as_str());
        format!("{} {}", package.name, paths.collect::<Vec<_>>().join(","))
    });
    located.collect()
}

#[test]
fn every_format_says_the_same_of_the_same_packages() {
    let sqlite = database_of("rpmdb.sqlite", SQLITE);
    let berkeley = database_of("Packages", LITTLE);
    assert_eq!((sqlite.format, berkeley.format), (RpmFormat::Sqlite, RpmFormat::BerkeleyDb));
    assert_eq!((sqlite.damaged, berkeley.damaged, sqlite.packages.len()), (0, 0, 4));
    let all = packages_of(sqlite.clone(), &[]);
    assert_eq!(packages_of(berkeley, &[]), all);

    let ndb = database_of("Packages.db", NDB);
    assert_eq!((ndb.format, ndb.damaged), (RpmFormat::Ndb, 0));
    assert_eq!(packages_of(ndb, &[]), packages_of(sqlite.clone(), &["kernel-modules"]));

    let big = database_of("Packages", BIG);
    assert_eq!((big.format, big.damaged), (RpmFormat::BerkeleyDb, 0));
    let stripped = RpmPackage { vendor: None, ..all[3].clone() };
    assert_eq!(packages_of(big, &[]), [all[0].clone(), all[1].clone(), stripped]);
}

#[test]
fn directory_and_stream_find_the_same_in_every_format() {
    for (name, file, count) in
        [("rpmdb.sqlite", SQLITE, 4), ("Packages.db", NDB, 3), ("Packages", LITTLE, 4), ("Packages", BIG, 3)]
    {
        let root = tempfile::tempdir().expect("a folder");
        write(root.path(), &format!("var/lib/rpm/{name}"), file);
        write(root.path(), "var/lib/rpm/rpmdb.sqlite-wal", include_bytes!("../testdata/left-over.wal"));
        let sbom = sbom_of(root.path());
        assert_eq!(
            (sbom.packages.len(), sbom.gaps.len()),
            (count, usize::from(name == "rpmdb.sqlite")),
            "{name}"
        );
    }
}

#[test]
fn a_database_counts_once_whichever_of_its_directories_is_a_link() {
    for (real, link, target) in [
        ("usr/lib/sysimage/rpm", "var/lib/rpm", "../../usr/lib/sysimage/rpm"),
        ("var/lib/rpm", "usr/lib/sysimage/rpm", "/var/lib/rpm"),
        ("opt/rpm", "usr/lib/sysimage/rpm", "../../../opt/rpm"),
    ] {
        let root = tempfile::tempdir().expect("a folder");
        write(root.path(), &format!("{real}/Packages.db"), NDB);
        write(root.path(), &format!("{real}/Packages"), LITTLE);
        let link = root.path().join(link);
        std::fs::create_dir_all(link.parent().expect("has one")).expect("makes");
        symlink(target, link).expect("links");
        let sbom = sbom_of(root.path());
        assert_eq!(
            names(&sbom),
            ["bind-libs", "hello", "zero"].map(|name| format!("{name} {real}/Packages.db"))
        );
        assert_eq!(sbom.gaps, []);
    }
}

#[test]
fn evidence_survives_being_stored() {
    for (name, file) in [
        ("rpmdb.sqlite", SQLITE),
        ("rpmdb.sqlite-wal", include_bytes!("../testdata/left-over.wal")),
        ("Packages.db", NDB),
        ("Packages", LITTLE),
    ] {
        let evidence = evidence_of(&format!("var/lib/rpm/{name}"), file).expect("readable");
        let json = serde_json::to_string(&evidence).expect("JSON");
        assert_eq!(serde_json::from_str::<Evidence>(&json).expect("JSON"), evidence);
    }
}

#[test]
fn a_file_is_what_its_name_says() {
    for (name, file) in
        [("Packages", NDB), ("Packages.db", LITTLE), ("Packages", SQLITE), ("rpmdb.sqlite", NDB)]
    {
        let evidence = evidence_of(&format!("var/lib/rpm/{name}"), file);
        assert!(matches!(evidence, Err(GapCause::Damaged(_))), "{name}");
    }
    for name in ["Packages", "Packages.db", "rpmdb.sqlite-wal", "rpmdb.sqlite-journal"] {
        assert_eq!(evidence_of(&format!("var/lib/rpm/{name}"), b""), Ok(Evidence::Nothing));
    }
}

proptest! {
    #[test]
    fn damaged_databases_never_give_more_packages_than_they_had(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
        which in 0_usize..3,
    ) {
        let (name, file) = [("Packages.db", NDB), ("Packages", LITTLE), ("Packages", BIG)][which];
        let mut file = file.to_vec();
        for (index, byte) in changes {
            let at = index.index(file.len());
            file[at] = byte;
        }
        if let Ok(Evidence::Rpm(database)) = evidence_of(&format!("var/lib/rpm/{name}"), &file) {
            // The key too, once its name is another, and the counter, once its key is another.
            prop_assert!(database.packages.len() <= 6);
        }
    }
}
