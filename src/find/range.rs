//! Versions that are looked for: `>=2.0 <2.17.1`.

use std::fmt;

use crate::advisories::versions::Comparator;

/// Most bounds of a range.
const MAX_BOUNDS: usize = 16;

/// Bounds of versions, all of which hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    bounds: Vec<(Operator, String)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    AtLeast,
    AtMost,
    Above,
    Below,
    Exactly,
}

/// Text that is no range of versions.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RangeError {
    /// A bound without a version.
    #[error("{0:?} has no version behind {1}")]
    NoVersion(String, &'static str),
    /// A version without a bound, among others.
    #[error("{0:?} is a version without >=, >, <, <= or =")]
    NoOperator(String),
    /// Nothing at all.
    #[error("a range has at least one bound and at most {MAX_BOUNDS}")]
    Count,
}

impl Operator {
    const ALL: [(&'static str, Self); 6] = [
        (">=", Self::AtLeast),
        ("<=", Self::AtMost),
        (">", Self::Above),
        ("<", Self::Below),
        ("==", Self::Exactly),
        ("=", Self::Exactly),
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::AtLeast => ">=",
            Self::AtMost => "<=",
            Self::Above => ">",
            Self::Below => "<",
            Self::Exactly => "=",
        }
    }
}

impl Range {
    /// Reads a version alone, which means exactly that one, or bounds with spaces or commas between.
    ///
    /// # Errors
    /// It is neither.
    pub fn parse(text: &str) -> Result<Self, RangeError> {
        let mut words = text.split([' ', ',']).filter(|word| !word.is_empty());
        let mut bounds = Vec::new();
        let is_bound = |text: &str| Operator::ALL.iter().any(|(sign, _)| text.starts_with(sign));
        let mut alone = text.split([' ', ',']).filter(|word| !word.is_empty());
        if let (Some(version), None) = (alone.next(), alone.next())
            && !is_bound(version)
        {
            return Ok(Self { bounds: vec![(Operator::Exactly, version.to_owned())] });
        }
        while let Some(word) = words.next() {
            let found = Operator::ALL
                .iter()
                .find_map(|(sign, operator)| Some((*sign, *operator, word.strip_prefix(sign)?)));
            let cut = || word.chars().take(40).collect::<String>();
            let (sign, operator, version) = found.ok_or_else(|| RangeError::NoOperator(cut()))?;
            // `>= 1.0` is as good as `>=1.0`.
            let version = if version.is_empty() { words.next().unwrap_or_default() } else { version };
            if version.is_empty() || is_bound(version) {
                return Err(RangeError::NoVersion(cut(), sign));
            }
            bounds.push((operator, version.to_owned()));
        }
        if (1..=MAX_BOUNDS).contains(&bounds.len()) { Ok(Self { bounds }) } else { Err(RangeError::Count) }
    }

    /// Whether a version is in it; none if that cannot be told: the order of the versions is not known, or there is no version.
    #[must_use]
    pub fn holds(&self, version: &str, comparator: Option<Comparator>) -> Option<bool> {
        if version.is_empty() {
            return None;
        }
        let Some(comparator) = comparator else {
            let [(Operator::Exactly, wanted)] = self.bounds.as_slice() else { return None };
            return Some(version == wanted);
        };
        Some(self.bounds.iter().all(|(operator, bound)| {
            let order = comparator.compare(version, bound);
            match operator {
                Operator::AtLeast => order.is_ge(),
                Operator::AtMost => order.is_le(),
                Operator::Above => order.is_gt(),
                Operator::Below => order.is_lt(),
                Operator::Exactly => comparator.compare_installed(version, bound).is_eq(),
            }
        }))
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<String> =
            self.bounds.iter().map(|(operator, version)| format!("{}{version}", operator.as_str())).collect();
        f.write_str(&words.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn comparator(ecosystem: &str) -> Option<Comparator> {
        Comparator::of(&ecosystem.parse().expect("an ecosystem"))
    }

    #[test]
    fn versions_are_compared_as_their_ecosystem_does() {
        for (ecosystem, range, version, expected) in [
            ("Maven", ">=2.0-beta9 <2.15.0", "2.14.1", true),
            ("Maven", ">=2.0-beta9 <2.15.0", "2.15.0", false),
            ("npm", ">= 1.0, < 2", "1.10.0", true),
            ("npm", "1.2.3", "1.2.3", true),
            ("npm", ">1.2.3", "1.2.3", false),
            ("Debian:12", "<1:2.3-1", "2.4-1", true),
            ("Debian:12", "<3.0.12", "3.0.11-1~deb12u2", true),
            ("PyPI", "=1.0", "1.0.0", true),
        ] {
            let holds = Range::parse(range).expect(range).holds(version, comparator(ecosystem));
            assert_eq!(holds, Some(expected), "{ecosystem} {version} {range}");
        }
    }

    #[test]
    fn what_cannot_be_compared_is_not_decided() {
        let range = |text: &str| Range::parse(text).expect(text);
        assert_eq!(range("<2").holds("", comparator("npm")), None);
        assert_eq!(range("<2").holds("1", None), None);
        assert_eq!((range("1").holds("1", None), range("1").holds("2", None)), (Some(true), Some(false)));
    }

    #[test]
    fn what_is_no_range_says_why() {
        for (text, why) in [
            ("", "a range has at least one bound and at most 16"),
            (">=", "\">=\" has no version behind >="),
            (">=1 2", "\"2\" is a version without >=, >, <, <= or ="),
            ("> <2", "\">\" has no version behind >"),
        ] {
            assert_eq!(Range::parse(text).expect_err(text).to_string(), why);
        }
    }

    proptest! {
        #[test]
        fn no_range_panics(text in "[<>=, 0-9.a-z]{0,30}", version in "\\PC{0,10}") {
            if let Ok(range) = Range::parse(&text) {
                let _ = range.holds(&version, comparator("npm"));
                prop_assert_eq!(Range::parse(&range.to_string()), Ok(range));
            }
        }
    }
}
