//! Alpine's apk: `lib/apk/db/installed`, one letter a field (apk-tools, "apk-v2" and "apk-installed").

use super::dpkg::damage;
use super::installed::{InstalledDatabase, InstalledPackage, PACKAGES};
use super::lines::{Lines, text};
use super::ownership::{PathSet, PathSetBuilder, TooManyFiles};
use super::{Assembly, Cataloger, Evidence, Squashed, Want};
use crate::package::{Package, PackageType, SourcePackage};
use crate::tree::{Entry, GapCause, Source};

/// Largest database that is read. It lists every file of every package.
const CAP: u64 = 64 << 20;

/// Reads databases of apk.
pub(super) const CATALOGER: Cataloger = Cataloger {
    id: "apk",
    version: 2,
    sniffs: false,
    fixed: &["lib/apk/db/installed", "usr/lib/apk/db/installed"],
    wants,
    read: |entry, source, _| read(entry, source),
    assemble,
};

fn wants(entry: &Entry, _: &[u8]) -> Option<Want> {
    let is_wanted = matches!(entry.path.as_bytes(), b"lib/apk/db/installed" | b"usr/lib/apk/db/installed");
    is_wanted.then_some(Want::Forward { cap: CAP })
}

fn read(_: &Entry, source: Source<'_>) -> Result<Evidence, GapCause> {
    let mut lines = Lines::new(source);
    let mut database = InstalledDatabase::default();
    let mut package: Option<InstalledPackage> = None;
    let mut files = Files::default();
    while let Some(line) = lines.next()? {
        match line.split_first_chunk::<2>() {
            Some((b"F:" | b"R:", _)) => {
                package.get_or_insert_default();
                files.read_line(line).map_err(|error| GapCause::Limit(error.to_string()))?;
            }
            Some((&[field, b':'], value)) => read_field(package.get_or_insert_default(), field, value),
            _ if line.is_empty() => finish(package.take(), files.take(), &mut database)?,
            // Something stands here that is no field; if it is all there is, the entry is damaged.
            _ => {
                package.get_or_insert_default();
            }
        }
    }
    finish(package, files.take(), &mut database)?;
    Ok(Evidence::Apk(database))
}

/// The files of one package: `F:` names a folder, each `R:` after it a file in that folder.
#[derive(Default)]
struct Files {
    path: Vec<u8>,
    folder: usize,
    paths: PathSetBuilder,
}

impl Files {
    fn read_line(&mut self, line: &[u8]) -> Result<(), TooManyFiles> {
        let (field, value) = line.split_at(2);
        if field == b"F:" {
            self.path.clear();
            self.path.extend_from_slice(value);
            self.path.push(b'/');
            self.folder = self.path.len();
            return Ok(());
        }
        self.path.truncate(self.folder);
        self.path.extend_from_slice(value);
        self.paths.add(&self.path)
    }

    fn take(&mut self) -> PathSet {
        self.path.clear();
        self.folder = 0;
        self.paths.take()
    }
}

fn read_field(package: &mut InstalledPackage, field: u8, value: &[u8]) {
    match field {
        b'P' => package.name = text(value).unwrap_or_default(),
        b'V' => package.version = text(value).unwrap_or_default(),
        b'A' => package.architecture = text(value),
        b'o' => package.source = text(value),
        b'L' => package.license = text(value),
        b'm' => package.maintainer = text(value),
        _ => {}
    }
}

fn finish(
    package: Option<InstalledPackage>,
    files: PathSet,
    database: &mut InstalledDatabase,
) -> Result<(), GapCause> {
    let Some(package) = package else { return Ok(()) };
    if package.name.is_empty() || package.version.is_empty() {
        database.damaged = database.damaged.saturating_add(1);
        return Ok(());
    }
    if database.packages.len() >= PACKAGES {
        return Err(GapCause::Limit(format!("holds more than {PACKAGES} packages")));
    }
    database.packages.push(InstalledPackage { files, ..package });
    Ok(())
}

fn assemble(squashed: &Squashed, assembly: &mut Assembly) {
    for sighting in squashed.sightings() {
        let Evidence::Apk(database) = sighting.evidence else { continue };
        for installed in &database.packages {
            let source = SourcePackage {
                name: installed.source.clone().unwrap_or_else(|| installed.name.clone()),
                version: installed.version.clone(),
            };
            assembly.packages.push(Package {
                architecture: installed.architecture.clone(),
                source: Some(source),
                licenses: installed.license.iter().cloned().collect(),
                supplier: installed.maintainer.clone(),
                locations: vec![sighting.location()],
                ..Package::new(PackageType::Apk, installed.name.clone(), installed.version.clone())
            });
        }
        assembly.gaps.extend(damage(&sighting.path.to_string(), database));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::ownership::Owners;
    use super::super::tests::{entry, source_of, squashed_of};
    use super::*;

    fn parse(text: &[u8]) -> InstalledDatabase {
        let bytes = source_of(text);
        match read(&entry("lib/apk/db/installed"), Source::Random(&bytes)).expect("readable") {
            Evidence::Apk(database) => database,
            other => panic!("not apk: {other:?}"),
        }
    }

    #[test]
    fn entries_are_read_past_lines_of_any_length() {
        let long = "x".repeat(300_000);
        let text = format!(
            "C:Q1abc=\nP:musl\nV:1.2.4-r2\nA:x86_64\nL:MIT\no:musl\nm:Timo <timo@example.org>\nD:{long}\nF:lib\nR:libc.so\n\n\
             P:ssl_client\nV:1.36.1-r15\no:busybox\nF:usr\n"
        );
        let database = parse(text.as_bytes());
        let [musl, ssl] = &database.packages[..] else { panic!("two packages: {database:?}") };
        assert_eq!((musl.name.as_str(), musl.version.as_str()), ("musl", "1.2.4-r2"));
        assert_eq!(musl.license.as_deref(), Some("MIT"));
        assert_eq!(ssl.source.as_deref(), Some("busybox"));
        assert_eq!(database.damaged, 0);
    }

    #[test]
    fn files_belong_to_the_entry_that_lists_them() {
        let text = "P:musl\nV:1\nF:lib\nR:ld-musl-x86_64.so.1\nZ:Q1=\nR:libc.so\nF:\nR:init\n\n\
                    P:py3-six\nV:1\nR:stray\nF:usr/lib/python3.12/site-packages/six-1.16.0.dist-info\nR:METADATA\nR:six.py\n";
        let squashed = squashed_of(&[("lib/apk/db/installed", text)]);
        let owners = Owners::of(&squashed);
        for (path, owner) in [
            ("lib/libc.so", Some("musl")),
            ("lib/ld-musl-x86_64.so.1", Some("musl")),
            ("init", Some("musl")),
            ("stray", Some("py3-six")),
            ("lib/stray", None),
            ("usr/lib/python3.12/site-packages/six-1.16.0.dist-info/METADATA", Some("py3-six")),
        ] {
            assert_eq!(owners.owner_of(path.as_bytes()), owner, "{path}");
        }
    }

    #[test]
    fn entries_that_name_nothing_are_counted() {
        let database = parse(b"P:a\n\nrubbish\n\nP:b\nV:1\n\n\n");
        assert_eq!((database.packages.len(), database.damaged), (1, 2));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            parse(&bytes);
        }
    }
}
