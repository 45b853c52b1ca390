//! The packages of a bill of materials, for people and for pipes.

use std::collections::BTreeSet;

use super::table::{TableOptions, columns};
use super::text::{first_of, plural, sanitize, wrap};
use crate::package::Package;
use crate::sbom::Sbom;

/// How many licences of a package are named: those of a distribution's may have some dozens.
const LICENCES: usize = 2;
/// How many gaps are named.
const NAMED: usize = 8;

/// A line `NAME@VERSION` for each package, sorted and each once.
#[must_use]
pub fn names(sbom: &Sbom) -> String {
    let name = |package: &Package| match package.version.as_str() {
        "" => sanitize(&package.name),
        version => sanitize(&format!("{}@{version}", package.name)),
    };
    let names: BTreeSet<String> = sbom.packages.iter().map(name).collect();
    names.into_iter().map(|name| name + "\n").collect()
}

/// What it is about, a row for each package, and what could not be read.
#[must_use]
pub fn table(sbom: &Sbom, subject: &str, options: &TableOptions) -> String {
    let distro = sbom.distro.as_ref().map(|distro| {
        let pretty = distro.pretty_name.clone().or_else(|| distro.release());
        format!("{}, ", pretty.unwrap_or_default())
    });
    let facts = format!("{}{}", distro.unwrap_or_default(), plural(sbom.packages.len(), "package"));
    let mut text = wrap(&sanitize(&format!("{subject} ({facts})")), 0, options.width);
    let row = |package: &Package| {
        let or_none = |text: String| if text.is_empty() { "-".to_owned() } else { text };
        let paths: Vec<String> = package.locations.iter().map(|location| location.path.clone()).collect();
        let shown = if options.all { usize::MAX } else { 1 };
        vec![
            package.package_type.as_str().to_owned(),
            package.name.clone(),
            or_none(package.version.clone()),
            or_none(first_of(&package.licenses, shown.max(LICENCES))),
            or_none(first_of(&paths, shown)),
        ]
    };
    if !sbom.packages.is_empty() {
        let heads =
            [("TYPE", false), ("PACKAGE", false), ("VERSION", false), ("LICENCES", false), ("FOUND IN", false)];
        text.push_str(&columns(&heads, &sbom.packages.iter().map(row).collect::<Vec<_>>(), *options));
    }
    if !sbom.gaps.is_empty() {
        text.push_str("\nNot read\n");
        let limit = if options.all { usize::MAX } else { NAMED };
        for gap in sbom.gaps.iter().take(limit) {
            text.push_str(&wrap(&sanitize(&format!("{}: {}", gap.path, gap.reason)), 2, options.width));
        }
        if sbom.gaps.len() > limit {
            text.push_str(&wrap(&format!("and {} more", sbom.gaps.len() - limit), 2, options.width));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;
    use crate::package::{Location, PackageType};
    use crate::sbom::Gap;

    fn sbom() -> Sbom {
        let location = |path: &str| Location { path: path.to_owned(), layer: None };
        let pad = Package {
            licenses: vec!["MIT".to_owned()],
            locations: vec![location("app/node_modules/left-pad/package.json"), location("b")],
            ..Package::new(PackageType::Npm, "left-pad\u{1b}[2J", "1.0.0")
        };
        let again = Package { locations: vec![location("c")], ..pad.clone() };
        let gaps = vec![Gap { path: "opt/big.jar".to_owned(), reason: "it is too large".to_owned() }];
        let packages = vec![Package::new(PackageType::Maven, "log4j-core", ""), pad, again];
        Sbom { distro: None, packages, gaps }
    }

    #[test]
    fn names_are_sorted_and_each_once() {
        assert_eq!(names(&sbom()), "left-pad\u{fffd}[2J@1.0.0\nlog4j-core\n");
    }

    #[test]
    fn table_names_packages_and_what_was_not_read() {
        assert_snapshot!(table(&sbom(), "cart:1", &TableOptions::default()), @r"
        cart:1 (3 packages)
        TYPE   PACKAGE       VERSION  LICENCES  FOUND IN
        maven  log4j-core    -        -         -
        npm    left-pad�[2J  1.0.0    MIT       app/node_modules/left-pad/package.json and 1 more
        npm    left-pad�[2J  1.0.0    MIT       c

        Not read
          opt/big.jar: it is too large
        ");
    }
}
