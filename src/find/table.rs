//! What was found, for people.

use super::answer::{Answer, Found, Hit, Known, NotSearched};
use crate::report::table::{TableOptions, columns};
use crate::report::text::{first_of, plural, sanitize, wrap};

/// How many users or images of a kind are named.
const NAMED: usize = 8;

/// Renders an answer: the images that have it, those that nobody has looked into, and the sum.
#[must_use]
pub fn render(answer: &Answer, options: &TableOptions) -> String {
    let options = *options;
    let mut sections: Vec<String> =
        answer.images.iter().map(|found| image(found, &answer.query, options)).collect();
    sections.push(not_searched(&answer.not_searched, options));
    let note = |note: &String| wrap(&format!("Note: {}", sanitize(note)), 0, options.width);
    sections.push(answer.notes.iter().map(note).collect());
    sections.push(sum(answer, options));
    sections.retain(|section| !section.is_empty());
    sections.join("\n")
}

fn image(found: &Found, query: &str, options: TableOptions) -> String {
    let digest = found.digest.strip_prefix("sha256:").unwrap_or(&found.digest);
    let digest: String = digest.chars().take(12).collect();
    let mut text =
        wrap(&sanitize(&format!("{} ({}, sha256:{digest})", found.image, found.platform)), 0, options.width);
    let users: Vec<String> = found.used_by.iter().map(|user| sanitize(user)).collect();
    let users = match users.len() {
        0 => "not running".to_owned(),
        _ => format!("used by {}", first_of(&users, if options.all { usize::MAX } else { NAMED })),
    };
    text.push_str(&wrap(&users, 2, options.width));
    let is_affected = found.hits.iter().any(|hit| matches!(hit.known, Known::Affected { .. }));
    let mut heads = vec![("PACKAGE", false), ("VERSION", false)];
    // An advisory may be about several vulnerabilities.
    let is_other = |hit: &Hit| matches!(&hit.known, Known::Affected { vulnerability, .. } if !vulnerability.eq_ignore_ascii_case(query));
    let is_named = found.hits.iter().any(is_other);
    if is_named {
        heads.push(("VULNERABILITY", false));
    }
    if is_affected {
        heads.extend([("SEVERITY", false), ("FIXED IN", false)]);
    }
    heads.push(("FOUND IN", false));
    let rows: Vec<Vec<String>> =
        found.hits.iter().map(|hit| row(hit, is_named, is_affected, options)).collect();
    text.push_str(&columns(&heads, &rows, options));
    text
}

fn row(hit: &Hit, is_named: bool, is_affected: bool, options: TableOptions) -> Vec<String> {
    let or_none = |text: String| if text.is_empty() { "-".to_owned() } else { text };
    let version = match hit.known {
        Known::Name => format!("{} (not compared)", or_none(hit.version.clone())),
        _ => or_none(hit.version.clone()),
    };
    let package = match &hit.source {
        Some(source) => format!("{} (of {source})", hit.package),
        None => hit.package.clone(),
    };
    let mut row = vec![package, version];
    if is_named {
        row.push(match &hit.known {
            Known::Affected { vulnerability, .. } => vulnerability.clone(),
            Known::Package | Known::Name => "-".to_owned(),
        });
    }
    if is_affected {
        row.extend(match &hit.known {
            Known::Affected { severity, fixed, .. } => {
                [severity.to_string(), fixed.clone().unwrap_or_else(|| "-".to_owned())]
            }
            Known::Package | Known::Name => ["-".to_owned(), "-".to_owned()],
        });
    }
    let paths: Vec<String> = hit.locations.iter().map(|location| location.path.clone()).collect();
    row.push(or_none(first_of(&paths, if options.all { usize::MAX } else { 1 })));
    row
}

fn not_searched(images: &[NotSearched], options: TableOptions) -> String {
    if images.is_empty() {
        return String::new();
    }
    let mut text = "Not searched\n".to_owned();
    let limit = if options.all { usize::MAX } else { NAMED };
    for NotSearched { image, used_by, reason } in images.iter().take(limit) {
        let users: Vec<String> = used_by.iter().cloned().collect();
        let line = format!("{image}, used by {}: {reason}", first_of(&users, 2));
        text.push_str(&wrap(&sanitize(&line), 2, options.width));
    }
    if images.len() > limit {
        text.push_str(&wrap(&format!("and {} more", images.len() - limit), 2, options.width));
    }
    text
}

fn sum(answer: &Answer, options: TableOptions) -> String {
    let in_images = match answer.images.len() {
        0 => "not found in".to_owned(),
        count => format!("found in {count} of"),
    };
    let left = match answer.not_searched.len() {
        0 => String::new(),
        count => format!("; {count} not searched"),
    };
    let searched = plural(answer.searched, "image");
    let words = format!("{}: {in_images} {searched} searched{left}", answer.query);
    wrap(&sanitize(&words), 0, options.width)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use insta::assert_snapshot;

    use super::*;
    use crate::image::Platform;
    use crate::package::{Location, PackageType};
    use crate::severity::Severity;

    #[test]
    fn table_at_80_columns() {
        let hit = Hit {
            package: "org.apache.logging.log4j:log4j-core".to_owned(),
            version: "2.14.1".to_owned(),
            kind: PackageType::Maven,
            purl: "pkg:maven/x".to_owned(),
            source: None,
            owner: None,
            locations: vec![Location { path: "app/lib/log4j-core-2.14.1.jar".to_owned(), layer: None }],
            known: Known::Affected {
                vulnerability: "CVE-2021-44228".to_owned(),
                advisory: "GHSA-1".to_owned(),
                severity: Severity::Critical,
                fixed: Some("2.15.0".to_owned()),
            },
        };
        let mut answer = Answer {
            version: 1,
            query: "CVE-2021-44228".to_owned(),
            images: vec![Found {
                image: "registry.test/shop/cart:1.2".to_owned(),
                digest: format!("sha256:{}", "a".repeat(64)),
                platform: Platform { os: "linux".to_owned(), architecture: "amd64".to_owned(), variant: None },
                used_by: BTreeSet::from(["shop/deployment/cart (web)".to_owned()]),
                hits: vec![hit],
            }],
            searched: 12,
            not_searched: vec![NotSearched {
                image: "registry.test/new:1".to_owned(),
                used_by: BTreeSet::from(["shop/job/new (main)".to_owned()]),
                reason: "no list of its packages is kept: scan it".to_owned(),
            }],
            notes: vec!["CVE-2021-44228 is in the advisories of Maven".to_owned()],
        };
        answer.sort();
        assert_snapshot!(render(&answer, &TableOptions { width: Some(80), ..TableOptions::default() }), @r"
        registry.test/shop/cart:1.2 (linux/amd64, sha256:aaaaaaaaaaaa)
          used by shop/deployment/cart (web)
        PACKAGE                    VERSION  SEVERITY  FIXED IN  FOUND IN
        org.apache.logging.log4j:  2.14.1   critical  2.15.0    app/lib/log4j-core-2.14.
        log4j-core                                              1.jar

        Not searched
          registry.test/new:1, used by shop/job/new (main): no list of its packages is
          kept: scan it

        Note: CVE-2021-44228 is in the advisories of Maven

        CVE-2021-44228: found in 1 of 12 images searched; 1 not searched
        ");
    }
}
