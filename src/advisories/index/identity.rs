//! The ids, ratings and texts of an advisory, as they stand in an index.

use std::collections::BTreeSet;

use super::super::bytes::{Decoder, Encoder};
use super::super::rating::{Basis, Rating};
use super::super::{Advisory, Affected};
use crate::severity::Severity;

/// The ids of an advisory, and how its packages are rated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Its id in the source.
    pub id: String,
    /// The vulnerabilities it is about, see [`Advisory::vulnerabilities`].
    pub vulnerabilities: Vec<String>,
    /// All its other ids that are not among the former, sorted: one advisory may be about hundreds of vulnerabilities, and
    /// each is a finding of its own.
    pub aliases: Vec<String>,
    /// The ratings that its entries refer to by position.
    pub ratings: Vec<Rating>,
}

/// What an advisory says to people. OSV schema, `summary`, `references`, `published`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text {
    /// In a line, or the beginning of its details.
    pub summary: Option<String>,
    /// When it was first published, RFC 3339.
    pub published: Option<String>,
    /// Addresses of pages about it, those of advisories first.
    pub references: Vec<String>,
}

impl Identity {
    /// Whether an id is one of its own, in any case.
    pub(super) fn is_known_as(&self, id: &str) -> bool {
        let others = self.vulnerabilities.iter().chain(&self.aliases);
        std::iter::once(&self.id).chain(others).any(|own| own.eq_ignore_ascii_case(id))
    }

    /// Of an advisory with the ratings of its packages.
    pub(super) fn of(advisory: &Advisory) -> Self {
        let mut ratings: Vec<Rating> = Vec::new();
        for rating in advisory.affected.iter().filter_map(|Affected { rating, .. }| rating.as_ref()) {
            if !ratings.contains(rating) {
                ratings.push(rating.clone());
            }
        }
        let Advisory { id, vulnerabilities, aliases, .. } = advisory;
        let about: BTreeSet<&String> = vulnerabilities.iter().collect();
        let is_other = |alias: &&String| !about.contains(alias);
        let aliases = aliases.iter().filter(is_other).cloned().collect();
        Self { id: id.clone(), vulnerabilities: vulnerabilities.clone(), aliases, ratings }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let Self { id, vulnerabilities, aliases, ratings } = self;
        let mut encoder = Encoder::default();
        encoder.text(id);
        encoder.texts(vulnerabilities.iter());
        encoder.texts(aliases.iter());
        encoder.number(ratings.len());
        for Rating { basis, severity, source } in ratings {
            encoder.byte(match basis {
                Basis::Word => 0,
                Basis::Record => 1,
                Basis::Affected => 2,
            });
            let place = Severity::DESCENDING.iter().position(|known| known == severity);
            encoder.number(place.unwrap_or(Severity::DESCENDING.len()));
            encoder.text(source);
        }
        encoder.into_vec()
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut decoder = Decoder::new(bytes);
        let owned = |texts: Vec<&str>| texts.into_iter().map(ToOwned::to_owned).collect();
        let id = decoder.text()?.to_owned();
        let (vulnerabilities, aliases) = (owned(decoder.texts()?), owned(decoder.texts()?));
        let count = decoder.count()?;
        let mut rating = || {
            let basis = match decoder.byte()? {
                0 => Basis::Word,
                1 => Basis::Record,
                2 => Basis::Affected,
                _ => return None,
            };
            let severity = *Severity::DESCENDING.get(decoder.number()?)?;
            Some(Rating { basis, severity, source: decoder.text()?.to_owned() })
        };
        let ratings = (0..count).map(|_| rating()).collect::<Option<_>>()?;
        Some(Self { id, vulnerabilities, aliases, ratings })
    }
}

impl Text {
    pub(super) fn encode(&self) -> Vec<u8> {
        let Self { summary, published, references } = self;
        let mut encoder = Encoder::default();
        encoder.text(summary.as_deref().unwrap_or_default());
        encoder.text(published.as_deref().unwrap_or_default());
        encoder.texts(references.iter());
        encoder.into_vec()
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut decoder = Decoder::new(bytes);
        // What is missing was written as nothing.
        let owned = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        Some(Self {
            summary: owned(decoder.text()?),
            published: owned(decoder.text()?),
            references: decoder.texts()?.into_iter().map(ToOwned::to_owned).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rating() -> impl Strategy<Value = Rating> {
        let basis = prop::sample::select(vec![Basis::Word, Basis::Record, Basis::Affected]);
        let severity = prop::sample::select(Severity::DESCENDING.to_vec());
        (basis, severity, "\\PC{0,9}").prop_map(|(basis, severity, source)| Rating { basis, severity, source })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            id in "\\PC{0,9}",
            vulnerabilities in prop::collection::vec("\\PC{0,9}", 0..3),
            aliases in prop::collection::vec("\\PC{0,9}", 0..3),
            ratings in prop::collection::vec(rating(), 0..3),
            summary in prop::option::of("\\PC{1,9}"),
            published in prop::option::of("\\PC{1,9}"),
        ) {
            let text = Text { summary, published, references: aliases.clone() };
            prop_assert_eq!(Text::decode(&text.encode()), Some(text));
            let identity = Identity { id, vulnerabilities, aliases, ratings };
            prop_assert_eq!(Identity::decode(&identity.encode()), Some(identity));
        }

        #[test]
        fn any_bytes_do_no_harm(bytes in prop::collection::vec(prop_oneof![0_u8..8, any::<u8>()], 0..60)) {
            let _ = Identity::decode(&bytes);
            let _ = Text::decode(&bytes);
        }
    }
}
