//! VEX documents: what the makers of software say about vulnerabilities in it. OpenVEX and CycloneDX, both in JSON.
//!
//! A statement is about a product. It is applied where that can be told: an image by digest or name, a package by its URL. To an
//! image that the document may not mean, nothing is applied.

mod cyclonedx;
mod openvex;
mod product;

use serde::Deserialize;

use super::pattern::Purl;
use super::{Kind, Rule, RuleSet, Verdict};
use product::Extent;

/// Largest document that is read, in bytes.
pub const MAX_BYTES: usize = 64 << 20;
/// Most rules that the statements of a document come to.
const MAX_RULES: usize = 500_000;
/// Longest reason that is kept, in characters.
const MAX_REASON: usize = 400;

/// A document that says nothing.
#[derive(Debug, thiserror::Error)]
pub enum VexError {
    /// It is no JSON, or has not the form of either.
    #[error("{0}")]
    Form(#[from] serde_json::Error),
    /// It is JSON of another kind.
    #[error("it is neither OpenVEX nor CycloneDX")]
    Format,
    /// It speaks of more than any real one.
    #[error("it has more than {MAX_RULES} statements about products")]
    Statements,
}

/// What a statement comes to, before its products are looked at.
struct Statement {
    /// All names of the vulnerability.
    ids: Vec<String>,
    verdict: Verdict,
    extents: Vec<Extent>,
    /// How many products it speaks of that cannot be told here.
    unknown: usize,
}

/// The members that tell what a document is.
#[derive(Deserialize)]
struct Head {
    #[serde(rename = "@context")]
    context: Option<serde_json::Value>,
    #[serde(rename = "bomFormat")]
    format: Option<String>,
}

/// Reads the statements of a document; `source` is what it is called to people.
pub fn read(text: &str, source: &str) -> Result<RuleSet, VexError> {
    let head: Head = serde_json::from_str(text)?;
    let is_open = head.context.as_ref().and_then(|context| context.as_str());
    let statements = match (is_open, head.format.as_deref()) {
        (Some(context), _) if context.starts_with("https://openvex.dev/ns") => openvex::read(text)?,
        (_, Some("CycloneDX")) => cyclonedx::read(text)?,
        _ => return Err(VexError::Format),
    };
    let mut rules = Vec::new();
    let mut unknown = 0;
    for statement in statements {
        unknown += usize::from(statement.unknown > 0);
        for extent in &statement.extents {
            // Without an id it would be about everything.
            if !statement.ids.is_empty() {
                rules.push(statement.rule(extent));
            }
            if rules.len() > MAX_RULES {
                return Err(VexError::Statements);
            }
        }
    }
    Ok(RuleSet::new(source.to_owned(), Kind::Vex { unknown }, rules))
}

impl Statement {
    fn rule(&self, extent: &Extent) -> Rule {
        Rule {
            name: self.ids.first().cloned().unwrap_or_default(),
            ids: self.ids.clone(),
            package: extent.package.clone(),
            image: extent.image.clone(),
            path: None,
            namespace: None,
            verdict: self.verdict.clone(),
            until: None,
        }
    }
}

/// `not affected: component_not_present: the code is not built`, of which any part may be missing.
fn reason(parts: &[Option<&str>]) -> String {
    let parts: Vec<&str> =
        parts.iter().flatten().map(|part| part.trim()).filter(|part| !part.is_empty()).collect();
    parts.join(": ").chars().take(MAX_REASON).collect()
}

#[cfg(test)]
mod tests;
