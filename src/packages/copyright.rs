//! Licences of Debian packages, from `usr/share/doc/NAME/copyright`.
//!
//! Read are the `License` fields of the machine-readable form (copyright-format 1.0), else the names of the common licences
//! that the text refers to. Nobody fails for a licence: a file that is too large has none.

use std::collections::BTreeSet;

use super::lines::{Lines, text};
use super::{Assembly, Cataloger, Evidence, Squashed, Want};
use crate::tree::{Entry, GapCause, Source};

/// Largest file that is read.
const CAP: u64 = 4 << 20;
/// Most licences of one file.
const LICENSES: usize = 100;
/// Longest name of a licence.
const NAME: usize = 200;
/// Where Debian keeps the texts that many packages share.
const COMMON: &[u8] = b"/usr/share/common-licenses/";

/// Reads copyright files.
pub(super) const CATALOGER: Cataloger = Cataloger {
    id: "dpkg-copyright",
    version: 1,
    sniffs: false,
    fixed: &[],
    wants,
    read: |entry, source, _| read(entry, source),
    // The licences are asked for by dpkg, package by package.
    assemble: |_: &Squashed, _: &mut Assembly| {},
};

fn wants(entry: &Entry, _: &[u8]) -> Option<Want> {
    let package = entry.path.as_bytes().strip_prefix(b"usr/share/doc/")?.strip_suffix(b"/copyright")?;
    (!package.contains(&b'/')).then_some(Want::Forward { cap: CAP })
}

fn read(_: &Entry, source: Source<'_>) -> Result<Evidence, GapCause> {
    let mut lines = Lines::new(source);
    let (mut is_machine_readable, mut fields, mut common) = (false, BTreeSet::new(), BTreeSet::new());
    while let Some(line) = lines.next()? {
        if fields.len() >= LICENSES || common.len() >= LICENSES {
            break;
        }
        if let Some(value) = field(line, b"format") {
            is_machine_readable |= value.windows(16).any(|part| part == b"copyright-format");
        } else if let Some(value) = field(line, b"license") {
            fields.extend(text(value).filter(|name| name.len() <= NAME));
        }
        common.extend(common_license(line));
    }
    let licenses = if is_machine_readable && !fields.is_empty() { fields } else { common };
    Ok(Evidence::Copyright(licenses.into_iter().collect()))
}

/// The value of a field, if the line is that field.
fn field<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (start, rest) = line.split_at_checked(name.len())?;
    start.eq_ignore_ascii_case(name).then_some(rest)?.strip_prefix(b":")
}

/// The name after the first mention of the folder of common licences.
fn common_license(line: &[u8]) -> Option<String> {
    let at = line.windows(COMMON.len()).position(|part| part == COMMON)?;
    let rest = &line[at + COMMON.len()..];
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'+');
    let length = rest.iter().position(|byte| !is_name(byte)).unwrap_or(rest.len());
    let name = text(rest.get(..length.min(NAME))?)?;
    // The full stop of a sentence is none of the name.
    let name = name.trim_end_matches('.');
    (!name.is_empty()).then(|| name.to_owned())
}

/// Licences of a package, sorted. Documentation folders are often links to that of another package of the same source.
pub(super) fn licenses(squashed: &Squashed, package: &str) -> Vec<String> {
    let found = squashed.at(&format!("usr/share/doc/{package}/copyright"));
    let licenses = found.filter_map(|sighting| match sighting.evidence {
        Evidence::Copyright(licenses) => Some(licenses),
        _ => None,
    });
    licenses.flatten().cloned().collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::{entry, source_of};
    use super::*;

    fn parse(text: &[u8]) -> Vec<String> {
        let bytes = source_of(text);
        match read(&entry("usr/share/doc/a/copyright"), Source::Random(&bytes)).expect("readable") {
            Evidence::Copyright(licenses) => licenses,
            other => panic!("not a copyright: {other:?}"),
        }
    }

    #[test]
    fn machine_readable_files_name_their_licences() {
        let text = b"Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\nFiles: *\nLicense: GPL-2+\n text\n\n\
                     License: Expat\n see /usr/share/common-licenses/GPL-2.\n\nLicense: GPL-2+\n";
        assert_eq!(parse(text), ["Expat", "GPL-2+"]);
    }

    #[test]
    fn other_files_refer_to_common_licences() {
        let text = b"License: see below\nOn Debian, see `/usr/share/common-licenses/LGPL-2.1'\nand /usr/share/common-licenses/GPL-3.\n";
        assert_eq!(parse(text), ["GPL-3", "LGPL-2.1"]);
        assert!(parse(b"All rights reserved").is_empty());
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(text in "((License|Format|x): ?[a-z/ -]{0,9}(/usr/share/common-licenses/)?[.A-Z]{0,3}\n){0,9}") {
            prop_assert!(parse(text.as_bytes()).len() <= LICENSES);
        }
    }
}
