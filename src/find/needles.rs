//! Texts without one of which a document does not hold a package, whoever wrote it.
//!
//! A package stands in a document by its name, as a JSON string or the end of one (`group:artifact`), by its package URL, and
//! as the source of another by a property or the qualifier `upstream`. Looking for these bytes costs a fiftieth of parsing, and
//! most documents do not even have the part that all of these share.

use std::collections::BTreeSet;

use memchr::memchr_iter;
use memchr::memmem::Finder;

use crate::package::{encoded, normalized_python_name};

/// With more of them than this, parsing costs no more than looking for all.
const MOST: usize = 96;

/// Texts, one of which has to be in a document.
#[derive(Clone, Debug)]
pub(super) struct Needles {
    /// None if any document may hold it.
    finders: Option<Vec<Finder<'static>>>,
    /// One of these is in each of the former.
    shared: Vec<Finder<'static>>,
}

impl Needles {
    /// Those for packages of these names, and for any of the package types of which names are not told apart by case.
    pub(super) fn of<'a>(names: impl IntoIterator<Item = &'a str>, types: &[&str]) -> Self {
        let mut texts: BTreeSet<String> = types.iter().map(|kind| format!("pkg:{kind}/")).collect();
        let mut shared = texts.clone();
        let mut is_plain = true;
        for name in names {
            // What JSON writes in another way is not worth the trouble.
            is_plain &= !name.chars().any(|c| c.is_control() || matches!(c, '"' | '\\'));
            for form in [name.to_owned(), name.to_lowercase(), normalized_python_name(name)] {
                texts.insert(format!("\"{form}\""));
                texts.insert(format!(":{form}\""));
                let last = form.rsplit(['/', ':']).next().unwrap_or(&form);
                texts.insert(format!("/{}@", encoded(last)));
                texts.insert(format!("upstream={}", encoded(&form)));
                shared.extend([encoded(last), last.to_owned()]);
            }
        }
        let finders = finders_of(&texts);
        let finders = Some(finders).filter(|finders| is_plain && finders.len() <= MOST);
        Self { finders, shared: finders_of(&shared) }
    }

    /// Whether a document has to be parsed.
    pub(super) fn may_be_in(&self, document: &[u8]) -> bool {
        let Some(finders) = &self.finders else { return true };
        let is_in = |finder: &Finder<'_>| finder.find(document).is_some();
        (self.shared.iter().any(is_in) && finders.iter().any(is_in)) || is_escaped(document)
    }

    /// Where in a document a part of it begins to be one that may hold it, in order: a part with none of these places does
    /// not. None if any part may.
    pub(super) fn places(&self, document: &[u8]) -> Option<Vec<usize>> {
        // One that reaches over the end of a part could hide another in the next part.
        let reaches_over = |finder: &Finder<'_>| finder.needle().iter().any(|byte| b"{}[],\"".contains(byte));
        if self.finders.is_none() || self.shared.iter().any(reaches_over) {
            return None;
        }
        let of_names = self.shared.iter().flat_map(|finder| finder.find_iter(document));
        let mut places: Vec<usize> = of_names.chain(escapes(document)).collect();
        places.sort_unstable();
        Some(places)
    }
}

fn finders_of(texts: &BTreeSet<String>) -> Vec<Finder<'static>> {
    texts.iter().map(|text| Finder::new(text).into_owned()).collect()
}

/// Whether a document says something in other bytes than it could.
fn is_escaped(document: &[u8]) -> bool {
    escapes(document).next().is_some()
}

/// Where it does.
fn escapes(document: &[u8]) -> impl Iterator<Item = usize> {
    memchr_iter(b'\\', document).filter(|at| matches!(document.get(at + 1), Some(b'u' | b'/')))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::package::{Package, PackageType, SourcePackage};
    use crate::sbom::cyclonedx::{Subject, write};
    use crate::sbom::{Sbom, spdx};

    #[test]
    fn a_package_is_not_passed_by_in_any_form() {
        let source = SourcePackage { name: "gcc-12".to_owned(), version: "12.2".to_owned() };
        for (package, name) in [
            (Package::new(PackageType::Npm, "@babel/core", "7"), "@babel/core"),
            (Package::new(PackageType::Pypi, "Zope.Interface", "7"), "zope_interface"),
            (Package::new(PackageType::Maven, "org.apache:log4j-core", "2"), "log4j-core"),
            (Package::new(PackageType::Maven, "org.apache:log4j-core", "2"), "org.apache:log4j-core"),
            (Package::new(PackageType::Golang, "golang.org/x/net", "0.1.0"), "golang.org/x/net"),
            (
                Package { source: Some(source), ..Package::new(PackageType::Deb, "libstdc++6", "12") },
                "libstdc++6",
            ),
            (
                Package {
                    source: Some(SourcePackage { name: "gcc-12".to_owned(), version: "1".to_owned() }),
                    ..Package::new(PackageType::Deb, "libstdc++6", "12")
                },
                "gcc-12",
            ),
        ] {
            let needles = Needles::of([name], &[]);
            let sbom = Sbom { packages: vec![package], ..Sbom::default() };
            let subject = Subject::default();
            assert!(needles.may_be_in(&write(&sbom, &subject).expect("written")), "{name}");
            let compact: serde_json::Value =
                serde_json::from_str(&spdx::write(&sbom, &subject, None)).expect("JSON");
            let plain = compact.to_string().replace("\\n", "");
            assert!(needles.may_be_in(plain.as_bytes()), "{name}");
        }
    }

    #[test]
    fn documents_without_the_name_are_passed_by() {
        let needles = Needles::of(["core"], &[]);
        assert!(!needles.may_be_in(br#"{"name":"log4j-core","purl":"pkg:maven/log4j/log4j-core@2"}"#));
        assert!(needles.may_be_in(br#"{"name":"\u0063ore"}"#), "it may say so in other bytes");
        assert!(Needles::of(["a\"b"], &[]).may_be_in(b"{}"));
        assert!(Needles::of(std::iter::repeat_n("a", 500), &["nuget"]).may_be_in(b"pkg:nuget/X@1"));
    }
}
