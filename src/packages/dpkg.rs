//! dpkg, its distroless form without dpkg, and opkg, which writes the same files.
//!
//! `status` holds one paragraph a package (dpkg(1), deb-control(5)); distroless images have one file a package in
//! `status.d`, without a `Status` field and beside `.md5sums` files.

use super::installed::{InstalledDatabase, InstalledPackage, PACKAGES};
use super::lines::{Lines, text};
use super::{Assembly, Cataloger, Evidence, Squashed, Want};
use crate::package::{Package, PackageType, SourcePackage};
use crate::sbom::Gap;
use crate::tree::{Entry, GapCause, Source};

/// Largest database that is read.
const CAP: u64 = 32 << 20;

/// Reads databases of dpkg and opkg.
pub(super) const CATALOGER: Cataloger = Cataloger {
    id: "dpkg",
    version: 1,
    sniffs: false,
    fixed: &["var/lib/dpkg/status", "var/lib/dpkg/status.d/", "usr/lib/opkg/status", "usr/lib/opkg/info/"],
    wants,
    read: |entry, source, _| read(entry, source),
    assemble,
};

fn wants(entry: &Entry, _: &[u8]) -> Option<Want> {
    let is_wanted = match entry.path.as_bytes() {
        b"var/lib/dpkg/status" | b"usr/lib/opkg/status" => true,
        _ => match entry.path.parent()? {
            b"var/lib/dpkg/status.d" => !entry.path.name().ends_with(b".md5sums"),
            b"usr/lib/opkg/info" => entry.path.name().ends_with(b".control"),
            _ => false,
        },
    };
    is_wanted.then_some(Want::Forward { cap: CAP })
}

fn read(_: &Entry, source: Source<'_>) -> Result<Evidence, GapCause> {
    let mut lines = Lines::new(source);
    let mut database = InstalledDatabase::default();
    let mut paragraph = Paragraph::default();
    while let Some(line) = lines.next()? {
        if line.trim_ascii().is_empty() {
            std::mem::take(&mut paragraph).finish(&mut database)?;
        } else {
            paragraph.read_line(line);
        }
    }
    paragraph.finish(&mut database)?;
    Ok(Evidence::Dpkg(database))
}

/// The fields of one package that matter.
#[derive(Default)]
struct Paragraph {
    has_lines: bool,
    status: Option<String>,
    package: InstalledPackage,
}

impl Paragraph {
    fn read_line(&mut self, line: &[u8]) {
        self.has_lines = true;
        // A continuation begins with white space and has no field name; none of the fields below is folded.
        if line.starts_with(b" ") || line.starts_with(b"\t") {
            return;
        }
        let Some(colon) = line.iter().position(|&byte| byte == b':') else { return };
        let (name, value) = (&line[..colon], &line[colon + 1..]);
        let is = |field: &str| name.eq_ignore_ascii_case(field.as_bytes());
        let package = &mut self.package;
        if is("Package") {
            package.name = text(value).unwrap_or_default();
        } else if is("Status") {
            self.status = text(value);
        } else if is("Version") {
            package.version = text(value).unwrap_or_default();
        } else if is("Architecture") {
            package.architecture = text(value);
        } else if is("Source") {
            (package.source, package.source_version) = text(value).map(|source| split_source(&source)).unzip();
            package.source_version = package.source_version.take().filter(|version| !version.is_empty());
        } else if is("Maintainer") {
            package.maintainer = text(value);
        }
    }

    fn finish(self, database: &mut InstalledDatabase) -> Result<(), GapCause> {
        if !self.has_lines || self.status.as_deref().is_some_and(|status| !is_installed(status)) {
            return Ok(());
        }
        if self.package.name.is_empty() || self.package.version.is_empty() {
            database.damaged = database.damaged.saturating_add(1);
            return Ok(());
        }
        if database.packages.len() >= PACKAGES {
            return Err(GapCause::Limit(format!("holds more than {PACKAGES} packages")));
        }
        database.packages.push(self.package);
        Ok(())
    }
}

/// `want flag state`, dpkg-query(1). Files are gone, or about to go, where it is not wanted any more.
fn is_installed(status: &str) -> bool {
    let mut words = status.split_ascii_whitespace();
    let (want, state) = (words.next(), words.nth(1));
    let is_wanted = !matches!(want, Some("deinstall" | "purge"));
    is_wanted && !matches!(state, Some("not-installed" | "config-files"))
}

/// `glibc` or `glibc (2.36-9)`; the version is empty if there is none.
fn split_source(source: &str) -> (String, String) {
    match source.split_once('(') {
        Some((name, version)) => {
            (name.trim().to_owned(), version.trim_end_matches([')', ' ']).trim().to_owned())
        }
        None => (source.to_owned(), String::new()),
    }
}

fn assemble(squashed: &Squashed, assembly: &mut Assembly) {
    for sighting in squashed.sightings() {
        let Evidence::Dpkg(database) = sighting.evidence else { continue };
        for installed in &database.packages {
            let source = SourcePackage {
                name: installed.source.clone().unwrap_or_else(|| installed.name.clone()),
                version: installed.source_version.clone().unwrap_or_else(|| installed.version.clone()),
            };
            assembly.packages.push(Package {
                architecture: installed.architecture.clone(),
                source: Some(source),
                licenses: super::copyright::licenses(squashed, &installed.name),
                supplier: installed.maintainer.clone(),
                locations: vec![sighting.location()],
                ..Package::new(PackageType::Deb, installed.name.clone(), installed.version.clone())
            });
        }
        assembly.gaps.extend(damage(&sighting.path.to_string(), database));
    }
}

/// What a database says that could not be understood.
pub(super) fn damage(path: &str, database: &InstalledDatabase) -> Option<Gap> {
    let reason = format!("{} of its entries name no package or no version", database.damaged);
    (database.damaged > 0).then(|| Gap { path: path.to_owned(), reason })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::{entry, source_of};
    use super::*;

    fn parse(path: &str, text: &[u8]) -> InstalledDatabase {
        let bytes = source_of(text);
        match read(&entry(path), Source::Random(&bytes)).expect("readable") {
            Evidence::Dpkg(database) => database,
            other => panic!("not dpkg: {other:?}"),
        }
    }

    #[test]
    fn status_gives_installed_packages_with_their_source() {
        let database = parse(
            "var/lib/dpkg/status",
            b"Package: libc6\nStatus: install ok installed\nArchitecture: amd64\nSource: glibc\nVersion: 2.36-9+deb12u4\n\
              Maintainer: GNU Libc Maintainers <debian-glibc@lists.debian.org>\nDescription: GNU C Library\n Version: 9\n\n\
              Package: gcc-12-base\nStatus: hold ok installed\nVersion: 12.2.0-14\nSource: gcc-12 (12.2.0-13)\n",
        );
        let [libc, gcc] = &database.packages[..] else { panic!("two packages") };
        assert_eq!((libc.name.as_str(), libc.version.as_str()), ("libc6", "2.36-9+deb12u4"));
        assert_eq!((libc.source.as_deref(), libc.source_version.as_deref()), (Some("glibc"), None));
        assert_eq!(libc.architecture.as_deref(), Some("amd64"));
        assert_eq!((gcc.source.as_deref(), gcc.source_version.as_deref()), (Some("gcc-12"), Some("12.2.0-13")));
        assert_eq!(database.damaged, 0);
    }

    #[test]
    fn packages_that_are_gone_are_left_out() {
        for status in [
            "deinstall ok config-files",
            "purge ok not-installed",
            "unknown ok not-installed",
            "install ok config-files",
        ] {
            let text = format!("Package: a\nStatus: {status}\nVersion: 1\n");
            assert_eq!(parse("var/lib/dpkg/status", text.as_bytes()), InstalledDatabase::default(), "{status}");
        }
        let text = b"Package: a\nStatus: install ok half-configured\nVersion: 1\n";
        assert_eq!(parse("var/lib/dpkg/status", text).packages.len(), 1);
    }

    #[test]
    fn entries_without_status_are_installed() {
        assert_eq!(
            parse("var/lib/dpkg/status.d/tzdata", b"Package: tzdata\nVersion: 2024a-0\r\n\r\n").packages.len(),
            1
        );
    }

    #[test]
    fn entries_that_name_nothing_are_counted() {
        let database =
            parse("var/lib/dpkg/status", b"Package: a\n\nVersion: 1\n\nPackage: b\nVersion: 2\n\n\n");
        assert_eq!((database.packages.len(), database.damaged), (1, 2));
    }

    #[test]
    fn only_databases_are_wanted() {
        for (path, is_wanted) in [
            ("var/lib/dpkg/status", true),
            ("var/lib/dpkg/status-old", false),
            ("var/lib/dpkg/status.d/base", true),
            ("var/lib/dpkg/status.d/base.md5sums", false),
            ("usr/lib/opkg/info/busybox.control", true),
            ("usr/lib/opkg/info/busybox.list", false),
            ("srv/var/lib/dpkg/status", false),
        ] {
            assert_eq!(wants(&entry(path), &[]).is_some(), is_wanted, "{path}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            parse("var/lib/dpkg/status", &bytes);
        }

        #[test]
        fn arbitrary_fields_never_panic(text in "((Package|Version|Status|Source): ?[ ()a-z0-9:~+-]{0,12}\n{1,2}){0,12}") {
            parse("var/lib/dpkg/status", text.as_bytes());
        }
    }
}
