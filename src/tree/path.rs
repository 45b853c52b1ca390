//! Where an entry stands in its tree: bytes, normalised, with no way out of the root.
//!
//! Container runtimes clean a tar member's name lexically and clamp `..` at the root (containerd `archive.Apply`), and so
//! does this type. A name that is no UTF-8 stays what it is; only its text for people escapes what cannot be shown.

use std::borrow::Borrow;
use std::fmt::{self, Write as _};

/// Longest path that Linux takes (`PATH_MAX`).
const MAX_PATH: usize = 4096;
/// Longest name of one component that Linux takes (`NAME_MAX`).
const MAX_NAME: usize = 255;

/// A path from the root of a tree: no leading slash, no `.`, no `..`, no empty component. The root is empty.
#[derive(Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EntryPath(Box<[u8]>);

/// A path that no file system could hold, or with a NUL in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the path is longer than a file system can hold, or has a NUL in it")]
pub struct PathError;

impl EntryPath {
    /// Cleans a path as an archive or a link has it.
    ///
    /// # Errors
    /// It is too long or has a NUL in it.
    pub fn new(raw: &[u8]) -> Result<Self, PathError> {
        let mut path = Vec::with_capacity(raw.len());
        append(&mut path, raw)?;
        Ok(Self(path.into_boxed_slice()))
    }

    /// The root.
    #[must_use]
    pub fn root() -> Self {
        Self::default()
    }

    /// What `relative` means in this directory; absolute means from the root.
    ///
    /// # Errors
    /// The result is too long or has a NUL in it.
    pub fn join(&self, relative: &[u8]) -> Result<Self, PathError> {
        let mut path = Vec::with_capacity(self.0.len() + relative.len() + 1);
        if !relative.starts_with(b"/") {
            path.extend_from_slice(&self.0);
        }
        append(&mut path, relative)?;
        Ok(Self(path.into_boxed_slice()))
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The last component; empty for the root.
    #[must_use]
    pub fn name(&self) -> &[u8] {
        self.0.rsplit(|&byte| byte == b'/').next().unwrap_or_default()
    }

    /// The path of the directory that it stands in; none for the root.
    #[must_use]
    pub fn parent(&self) -> Option<&[u8]> {
        (!self.0.is_empty()).then(|| parent_of(&self.0))
    }

    /// The paths of all directories above it, nearest first, the root last.
    pub fn ancestors(&self) -> impl Iterator<Item = &[u8]> {
        std::iter::successors(self.parent(), |path| (!path.is_empty()).then(|| parent_of(path)))
    }

    /// The components from the root on.
    pub fn components(&self) -> impl Iterator<Item = &[u8]> {
        self.0.split(|&byte| byte == b'/').filter(|name| !name.is_empty())
    }

    /// Whether it stands somewhere below `directory`.
    #[must_use]
    pub fn is_below(&self, directory: &[u8]) -> bool {
        match self.0.strip_prefix(directory) {
            Some(rest) => !rest.is_empty() && (directory.is_empty() || rest.starts_with(b"/")),
            None => false,
        }
    }
}

/// Compared and hashed as its bytes are.
impl Borrow<[u8]> for EntryPath {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

fn parent_of(path: &[u8]) -> &[u8] {
    path.iter().rposition(|&byte| byte == b'/').map_or(&[], |slash| &path[..slash])
}

fn append(path: &mut Vec<u8>, raw: &[u8]) -> Result<(), PathError> {
    // A raw path that is all `./` and `..` may be long and still come to nothing; this bounds the work.
    if raw.len() > 4 * MAX_PATH || raw.contains(&0) {
        return Err(PathError);
    }
    for name in raw.split(|&byte| byte == b'/') {
        match name {
            b"" | b"." => {}
            b".." => path.truncate(parent_of(path).len()),
            _ if name.len() > MAX_NAME => return Err(PathError),
            _ => {
                if !path.is_empty() {
                    path.push(b'/');
                }
                path.extend_from_slice(name);
            }
        }
    }
    if path.len() < MAX_PATH { Ok(()) } else { Err(PathError) }
}

impl fmt::Display for EntryPath {
    /// For people and documents: what is no UTF-8 and all control characters as `\xNN`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for character in chunk.valid().chars() {
                if character.is_control() {
                    write!(f, "\\x{:02x}", u32::from(character))?;
                } else {
                    f.write_char(character)?;
                }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for EntryPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn clean(raw: &str) -> String {
        EntryPath::new(raw.as_bytes()).expect("valid").to_string()
    }

    #[test]
    fn names_of_archives_are_cleaned_and_clamped_to_the_root() {
        for (raw, expected) in [
            ("./usr/lib/", "usr/lib"),
            ("/etc//os-release", "etc/os-release"),
            ("../../etc/passwd", "etc/passwd"),
            ("a/../../b/./c", "b/c"),
            (".", ""),
            ("/", ""),
            ("a/..", ""),
        ] {
            assert_eq!(clean(raw), expected, "{raw}");
        }
    }

    #[test]
    fn paths_that_no_file_system_holds_are_refused() {
        assert_eq!(EntryPath::new(&[b'a'; 256]), Err(PathError));
        assert_eq!(EntryPath::new("a/".repeat(2100).as_bytes()), Err(PathError));
        assert_eq!(EntryPath::new(b"a\0b"), Err(PathError));
        assert!(EntryPath::new("a/".repeat(2000).as_bytes()).is_ok());
    }

    #[test]
    fn bytes_that_are_no_utf8_stay_distinct_and_can_be_shown() {
        let one = EntryPath::new(b"a/\xff").expect("valid");
        let other = EntryPath::new(b"a/\xfe").expect("valid");
        assert_ne!(one, other);
        assert_eq!(one.to_string(), "a/\\xff");
        assert_eq!(EntryPath::new(b"a\x1b[31m").expect("valid").to_string(), "a\\x1b[31m");
    }

    #[test]
    fn links_are_relative_to_a_directory_or_to_the_root() {
        let directory = EntryPath::new(b"etc/alternatives").expect("valid");
        assert_eq!(directory.join(b"../x").expect("valid").to_string(), "etc/x");
        assert_eq!(directory.join(b"/usr/x").expect("valid").to_string(), "usr/x");
    }

    #[test]
    fn ancestors_end_with_the_root() {
        let path = EntryPath::new(b"a/b/c").expect("valid");
        assert_eq!(path.ancestors().collect::<Vec<_>>(), [&b"a/b"[..], b"a", b""]);
        assert_eq!(EntryPath::root().ancestors().count(), 0);
        assert!(
            path.is_below(b"a") && path.is_below(b"") && !path.is_below(b"a/b/c") && !path.is_below(b"a/bb")
        );
    }

    proptest! {
        #[test]
        fn cleaning_is_idempotent_and_never_leaves_the_root(raw in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(path) = EntryPath::new(&raw) {
                prop_assert_eq!(EntryPath::new(path.as_bytes()), Ok(path.clone()));
                prop_assert!(path.components().all(|name| name != b".." && name != b"." && !name.is_empty()));
            }
        }
    }
}
