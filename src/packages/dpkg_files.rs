//! Lists of the files that each package of dpkg or opkg brought.
//!
//! `info/NAME.list`, for packages of several architectures `info/NAME:ARCH.list`, has a path a line (dpkg-query(1),
//! `--listfiles`). Distroless images have `status.d/NAME.md5sums` instead, which omits links; evidence is never a link.

use super::lines::{Lines, text};
use super::ownership::{OwnedFiles, PathSetBuilder};
use super::{Assembly, Cataloger, Evidence, Squashed, Want};
use crate::tree::{Entry, GapCause, Source};

/// Largest list that is read; the largest known has 8 MiB.
const CAP: u64 = 32 << 20;

/// Reads lists of files.
pub(super) const CATALOGER: Cataloger = Cataloger {
    id: "dpkg-files",
    version: 1,
    sniffs: false,
    // The other folders are looked up by dpkg itself.
    fixed: &["var/lib/dpkg/info/"],
    wants,
    read: |entry, source, _| read(entry, source),
    // The owners are asked for when all packages are found.
    assemble: |_: &Squashed, _: &mut Assembly| {},
};

/// How a list is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// A path a line.
    Paths,
    /// A checksum and a path a line.
    Checksums,
}

fn form(entry: &Entry) -> Option<(Form, &[u8])> {
    match entry.path.parent()? {
        b"var/lib/dpkg/info" | b"usr/lib/opkg/info" => {
            let name = entry.path.name().strip_suffix(b".list")?;
            let architecture = name.iter().position(|&byte| byte == b':');
            Some((Form::Paths, &name[..architecture.unwrap_or(name.len())]))
        }
        b"var/lib/dpkg/status.d" => Some((Form::Checksums, entry.path.name().strip_suffix(b".md5sums")?)),
        _ => None,
    }
}

fn wants(entry: &Entry, _: &[u8]) -> Option<Want> {
    form(entry).map(|_| Want::Forward { cap: CAP })
}

fn read(entry: &Entry, source: Source<'_>) -> Result<Evidence, GapCause> {
    let Some((form, name)) = form(entry) else {
        return Err(GapCause::Damaged("its name is not that of a list of files".to_owned()));
    };
    let mut files = PathSetBuilder::default();
    let mut lines = Lines::new(source);
    while let Some(line) = lines.next()? {
        let path = match form {
            Form::Paths => line,
            Form::Checksums => after_checksum(line).unwrap_or_default(),
        };
        files.add(path).map_err(|error| GapCause::Limit(error.to_string()))?;
    }
    let package = text(name).unwrap_or_default();
    Ok(Evidence::OwnedFiles(OwnedFiles { package, files: files.take() }))
}

/// md5sum(1): the sum, a space, a space or an asterisk, the path.
fn after_checksum(line: &[u8]) -> Option<&[u8]> {
    let (sum, path) = line.split_at_checked(32)?;
    let is_sum = sum.iter().all(u8::is_ascii_hexdigit);
    let path = path.strip_prefix(b"  ").or_else(|| path.strip_prefix(b" *"))?;
    is_sum.then_some(path)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::ownership::Owners;
    use super::super::tests::{entry, source_of, squashed_of};
    use super::*;

    fn owner(files: &[(&str, &str)], path: &str) -> Option<String> {
        Owners::of(&squashed_of(files)).owner_of(path.as_bytes()).map(ToOwned::to_owned)
    }

    #[test]
    fn lists_of_dpkg_and_opkg_name_their_package() {
        let files = [
            ("var/lib/dpkg/info/libc6:amd64.list", "/.\n/lib\n/lib/libc.so.6\n"),
            ("var/lib/dpkg/info/bash.list", "/bin\n/bin/bash\n"),
            ("var/lib/dpkg/info/bash.md5sums", "00000000000000000000000000000000  bin/other\n"),
            ("usr/lib/opkg/info/busybox.list", "/bin/busybox\r\n"),
        ];
        assert_eq!(owner(&files, "lib/libc.so.6").as_deref(), Some("libc6"));
        assert_eq!(owner(&files, "bin/bash").as_deref(), Some("bash"));
        assert_eq!(owner(&files, "bin/busybox").as_deref(), Some("busybox"));
        assert_eq!(owner(&files, "bin/other"), None);
    }

    #[test]
    fn checksums_of_distroless_images_belong_to_the_package_beside_them() {
        let files = [
            ("var/lib/dpkg/status.d/base", "Package: base-files\nVersion: 12\n"),
            ("var/lib/dpkg/status.d/base.md5sums", "d41d8cd98f00b204e9800998ecf8427e  usr/bin/a\nrubbish\n"),
            ("var/lib/dpkg/status.d/lone.md5sums", "d41d8cd98f00b204e9800998ecf8427e *usr/bin/b\n"),
        ];
        assert_eq!(owner(&files, "usr/bin/a").as_deref(), Some("base-files"));
        assert_eq!(owner(&files, "usr/bin/b").as_deref(), Some("lone"));
        assert_eq!(owner(&files, "rubbish"), None);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), sums in any::<bool>()) {
            let path = if sums { "var/lib/dpkg/status.d/a.md5sums" } else { "var/lib/dpkg/info/a.list" };
            let bytes = source_of(&bytes);
            prop_assert!(read(&entry(path), Source::Random(&bytes)).is_ok());
        }
    }
}
