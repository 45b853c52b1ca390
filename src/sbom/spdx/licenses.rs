//! Licences as SPDX has them: an expression, in which what it does not know has a name of this document's own.

use std::collections::BTreeMap;

use cyclonedx_bom::external_models::spdx::{SpdxExpression, SpdxIdentifier};

use crate::image::Digest;

/// Says nothing.
pub(super) const NOTHING_SAID: &str = "NOASSERTION";

/// The licences of a document that are not SPDX's, by the name that they have in it.
#[derive(Debug, Default)]
pub(super) struct Extracted(pub(super) BTreeMap<String, String>);

impl Extracted {
    /// The expression for what a package states: all of it holds.
    pub(super) fn expression(&mut self, texts: &[String]) -> String {
        let is_one = texts.iter().filter(|text| !text.trim().is_empty()).count() == 1;
        let stated = texts.iter().map(|text| text.trim()).filter(|text| !text.is_empty());
        let parts: Vec<String> = stated
            .map(|text| match known(text) {
                Some(expression) if !is_one && expression.contains(' ') => format!("({expression})"),
                Some(expression) => expression,
                None => self.named(text),
            })
            .collect();
        if parts.is_empty() { NOTHING_SAID.to_owned() } else { parts.join(" AND ") }
    }

    /// A text that SPDX does not know, by a name that says as much of it as a name may.
    fn named(&mut self, text: &str) -> String {
        let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-') { c } else { '-' };
        let mut name: String = text.chars().take(60).map(plain).collect();
        if name != text {
            name = format!("{name}-{}", Digest::of(text.as_bytes()).short());
        }
        let name = format!("LicenseRef-{name}");
        self.0.insert(name.clone(), text.to_owned());
        name
    }
}

/// A text that is an expression of licences of SPDX's own list.
fn known(text: &str) -> Option<String> {
    // References to a text that is not at hand.
    if text.contains("Ref-") || text == NOTHING_SAID || text == "NONE" {
        return None;
    }
    let identifier = || SpdxIdentifier::try_from(text.to_owned()).is_ok();
    let expression = || SpdxExpression::try_from(text.to_owned()).is_ok();
    (identifier() || (text.contains(' ') && expression())).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_spdx_does_not_know_gets_a_name_of_its_own() {
        let mut extracted = Extracted::default();
        let mut of = |texts: &[&str]| {
            extracted.expression(&texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>())
        };
        assert_eq!(of(&[]), "NOASSERTION");
        assert_eq!(of(&["MIT"]), "MIT");
        assert_eq!(of(&["MIT OR Apache-2.0"]), "MIT OR Apache-2.0");
        assert_eq!(of(&["MIT OR Apache-2.0", "ISC", ""]), "(MIT OR Apache-2.0) AND ISC");
        assert_eq!(of(&["public-domain", "BSD"]), "LicenseRef-public-domain AND LicenseRef-BSD");
        assert_eq!(of(&["LicenseRef-x"]), "LicenseRef-LicenseRef-x");
        let odd = of(&["GPL (>= 2)"]);
        assert!(odd.starts_with("LicenseRef-GPL-----2--") && odd.len() > 30, "{odd}");
        assert_ne!(of(&["a b"]), of(&["a/b"]), "two texts are two names");
        assert_eq!(extracted.0["LicenseRef-BSD"], "BSD");
    }
}
