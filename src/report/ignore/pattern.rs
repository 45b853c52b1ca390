//! What rules say of images, paths, namespaces and packages.

use std::collections::BTreeMap;

use globset::{GlobBuilder, GlobMatcher};
use percent_encoding::percent_decode_str;

use super::Subject;
use crate::report::Finding;

/// A text, or a glob of many.
#[derive(Clone, Debug)]
pub(super) enum Pattern {
    /// Exactly this.
    Text(String),
    /// What a glob matches.
    Glob(GlobMatcher),
}

/// A package by its name or by how its package URL begins.
#[derive(Clone, Debug)]
pub(super) enum PackagePattern {
    /// Its own name, or that of the source package that was looked up.
    Name(String),
    /// The beginning of its package URL, decoded.
    Purl(String),
    /// A whole package URL; without a version it stands for all of them, and qualifiers that it leaves out may be any.
    Exactly(Purl),
}

/// An image by what it is called, or by what it is.
#[derive(Clone, Debug)]
pub(super) enum ImagePattern {
    /// Without tag and digest.
    Name(Pattern),
    /// That of its manifest or index.
    Digest(String),
}

/// The parts of a package URL, decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Purl {
    /// Type, namespace and name.
    pub(super) name: String,
    pub(super) version: Option<String>,
    pub(super) qualifiers: BTreeMap<String, String>,
}

/// Whether `*` stands for slashes too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Star {
    /// For any text.
    Anything,
    /// For a part of a path; `**` stands for any number of them.
    PathPart,
}

impl Pattern {
    /// Reads a pattern; the error is what is wrong with it.
    pub(super) fn parse(text: &str, star: Star) -> Result<Self, String> {
        if !text.contains(['*', '?', '[', '{', '\\']) {
            return Ok(Self::Text(text.to_owned()));
        }
        let glob = GlobBuilder::new(text).literal_separator(star == Star::PathPart).build();
        glob.map(|glob| Self::Glob(glob.compile_matcher())).map_err(|error| error.kind().to_string())
    }

    pub(super) fn matches(&self, text: &str) -> bool {
        match self {
            Self::Text(own) => own == text,
            Self::Glob(glob) => glob.is_match(text),
        }
    }
}

impl ImagePattern {
    pub(super) fn matches(&self, subject: &Subject<'_>) -> bool {
        match self {
            Self::Name(pattern) => subject.names.iter().any(|name| pattern.matches(name)),
            Self::Digest(digest) => subject.digest.is_some_and(|own| own.as_str() == digest),
        }
    }
}

impl Purl {
    /// Takes a package URL apart; none if it is none.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.strip_prefix("pkg:")?.split('#').next()?;
        let (text, qualifiers) = text.split_once('?').unwrap_or((text, ""));
        // A scope such as `@babel` is at the beginning of a part, a version at the end of the last.
        let is_version = |at: &usize| !text[..*at].ends_with('/') && !text[*at..].contains('/');
        let at = text.rfind('@').filter(is_version);
        let (name, version) = at.map_or((text, None), |at| (&text[..at], Some(&text[at + 1..])));
        let qualifiers = qualifiers.split('&').filter_map(|pair| pair.split_once('='));
        Some(Self {
            name: decoded(name.trim_matches('/')),
            version: version.map(decoded),
            qualifiers: qualifiers.map(|(key, value)| (key.to_owned(), decoded(value))).collect(),
        })
    }

    /// Whether another one is all that this one says.
    fn covers(&self, other: &Self) -> bool {
        self.name == other.name
            && (self.version.is_none() || self.version == other.version)
            && self.qualifiers.iter().all(|(key, value)| other.qualifiers.get(key) == Some(value))
    }
}

impl PackagePattern {
    pub(super) fn parse(text: &str) -> Self {
        if text.starts_with("pkg:") { Self::Purl(decoded(text)) } else { Self::Name(text.to_owned()) }
    }

    pub(super) fn matches(&self, finding: &Finding) -> bool {
        match self {
            Self::Name(name) => {
                let source = finding.matched_as.as_deref().and_then(|text| text.split(' ').next());
                finding.package == *name || source == Some(name)
            }
            Self::Exactly(own) => Purl::parse(&finding.purl).is_some_and(|purl| own.covers(&purl)),
            Self::Purl(beginning) => {
                let purl = decoded(&finding.purl);
                let rest = purl.strip_prefix(beginning.as_str());
                // `pkg:deb/debian/openssl` is not the beginning of `openssl-tool`, nor `@1.2` of `@1.2.3`.
                let is_whole = beginning.ends_with(['/', '@', '?', '&']);
                rest.is_some_and(|rest| {
                    is_whole || rest.is_empty() || rest.starts_with(['/', '@', '?', '&', '#'])
                })
            }
        }
    }
}

fn decoded(purl: &str) -> String {
    percent_decode_str(purl).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::counts::tests::report;
    use crate::severity::Severity;

    #[test]
    fn stars_of_paths_stop_at_slashes_and_others_do_not() {
        for (text, star, place, expected) in [
            ("usr/lib/*", Star::PathPart, "usr/lib/a.so", true),
            ("usr/lib/*", Star::PathPart, "usr/lib/x/a.so", false),
            ("usr/**/a.so", Star::PathPart, "usr/lib/x/a.so", true),
            ("usr/**", Star::PathPart, "usr", false),
            ("registry.test/*", Star::Anything, "registry.test/shop/cart", true),
            ("*/cart", Star::Anything, "registry.test/shop/cart", true),
            ("registry.test/cart", Star::Anything, "registry.test/cart-2", false),
            ("team-[ab]", Star::Anything, "team-b", true),
            ("team-{x,y}", Star::Anything, "team-b", false),
        ] {
            let pattern = Pattern::parse(text, star).expect(text);
            assert_eq!(pattern.matches(place), expected, "{text} {place}");
        }
        assert!(Pattern::parse("usr/[", Star::PathPart).is_err());
    }

    #[test]
    fn whole_package_urls_match_what_they_leave_open() {
        let mut finding = report(&[(Severity::Low, false)]).images[0].findings[0].clone();
        finding.purl = "pkg:npm/%40babel/core@7.1.0?arch=amd64&distro=debian-12".to_owned();
        for (text, expected) in [
            ("pkg:npm/@babel/core", true),
            ("pkg:npm/%40babel/core@7.1.0", true),
            ("pkg:npm/%40babel/core@7.1.0?distro=debian-12", true),
            ("pkg:npm/%40babel/core@7.1.0?arch=arm64", false),
            ("pkg:npm/%40babel/core@7.1", false),
            ("pkg:npm/%40babel", false),
            ("pkg:npm/core@7.1.0", false),
        ] {
            let pattern = PackagePattern::Exactly(Purl::parse(text).expect(text));
            assert_eq!(pattern.matches(&finding), expected, "{text}");
        }
        assert_eq!(Purl::parse("cpe:2.3:a"), None);
    }

    #[test]
    fn package_urls_match_by_whole_parts() {
        let mut finding = report(&[(Severity::Low, false)]).images[0].findings[0].clone();
        finding.purl =
            "pkg:deb/debian/libstdc%2B%2B6@12.2.0-14%2Bdeb12u1?arch=amd64&distro=debian-12".to_owned();
        finding.package = "libstdc++6".to_owned();
        finding.matched_as = Some("gcc-12 12.2.0-14".to_owned());
        for (text, expected) in [
            ("libstdc++6", true),
            ("gcc-12", true),
            ("libstdc++", false),
            ("pkg:deb/debian", true),
            ("pkg:deb/deb", false),
            ("pkg:deb/debian/libstdc++6", true),
            ("pkg:deb/debian/libstdc%2B%2B6@12.2.0-14%2Bdeb12u1", true),
            ("pkg:deb/debian/libstdc%2B%2B", false),
            ("pkg:deb/debian/libstdc++6@12.2", false),
            ("pkg:deb/debian/libstdc++6@", true),
        ] {
            assert_eq!(PackagePattern::parse(text).matches(&finding), expected, "{text}");
        }
    }
}
