//! OpenVEX 0.2.0: <https://github.com/openvex/spec>.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;

use super::product::{Extent, Named};
use super::{Statement, Verdict, reason};

#[derive(Deserialize)]
struct Document {
    timestamp: Option<String>,
    #[serde(default)]
    statements: Vec<Written>,
}

#[derive(Deserialize)]
struct Written {
    vulnerability: Vulnerability,
    timestamp: Option<String>,
    #[serde(default)]
    products: Vec<Component>,
    status: String,
    justification: Option<String>,
    impact_statement: Option<String>,
    status_notes: Option<String>,
}

/// Before 0.2 only a name.
#[derive(Deserialize)]
#[serde(untagged)]
enum Vulnerability {
    Name(String),
    Names {
        name: Option<String>,
        #[serde(default)]
        aliases: Vec<String>,
    },
}

/// Before 0.2 a product was only its id.
#[derive(Deserialize)]
#[serde(untagged)]
enum Component {
    Id(String),
    Names {
        #[serde(rename = "@id")]
        id: Option<String>,
        #[serde(default)]
        identifiers: BTreeMap<String, String>,
        #[serde(default)]
        subcomponents: Vec<Component>,
    },
}

/// The statements, the newest first: each of them takes the place of those before it.
pub(super) fn read(text: &str) -> Result<Vec<Statement>, serde_json::Error> {
    let Document { timestamp, statements } = serde_json::from_str(text)?;
    let instant = |text: &Option<String>| text.as_ref().and_then(|text| text.parse::<Timestamp>().ok());
    let of_document = instant(&timestamp);
    let mut statements: Vec<(Option<Timestamp>, Written)> =
        statements.into_iter().map(|written| (instant(&written.timestamp).or(of_document), written)).collect();
    // Of the same time, the later in the document is the newer.
    statements.reverse();
    statements.sort_by_key(|(time, _)| Reverse(*time));
    Ok(statements.into_iter().map(|(_, written)| written.read()).collect())
}

impl Written {
    fn read(self) -> Statement {
        let ids = match self.vulnerability {
            Vulnerability::Name(name) => vec![name],
            Vulnerability::Names { name, aliases } => name.into_iter().chain(aliases).collect(),
        };
        let details = [&self.justification, &self.impact_statement, &self.status_notes].map(Option::as_deref);
        let because = |word| Verdict::Ignore(reason(&[&[Some(word)], &details[..]].concat()));
        let verdict = match self.status.as_str() {
            "not_affected" => because("not affected"),
            "fixed" => because("fixed"),
            _ => Verdict::Count,
        };
        let mut extents = Vec::new();
        let mut unknown = 0;
        for product in &self.products {
            let known = product.extents();
            unknown += usize::from(known.is_empty());
            extents.extend(known);
        }
        Statement { ids, verdict, extents, unknown }
    }
}

impl Component {
    fn named(&self) -> Option<Named> {
        let (id, identifiers) = match self {
            Self::Id(id) => (Some(id), None),
            Self::Names { id, identifiers, .. } => (id.as_ref(), identifiers.get("purl")),
        };
        [identifiers, id].into_iter().flatten().find_map(|text| Named::of(text))
    }

    /// What it is here. Parts of something that is no image are left out: that they are parts of it cannot be told.
    fn extents(&self) -> Vec<Extent> {
        let parts: &[Self] = match self {
            Self::Id(_) => &[],
            Self::Names { subcomponents, .. } => subcomponents,
        };
        let of = |image, package| Extent { image, package };
        match self.named() {
            Some(Named::Package(package)) if parts.is_empty() => vec![of(None, Some(package))],
            Some(Named::Image(image)) if parts.is_empty() => vec![of(Some(image), None)],
            Some(Named::Image(image)) => {
                let packages = parts.iter().filter_map(|part| match part.named()? {
                    Named::Package(package) => Some(package),
                    Named::Image(_) => None,
                });
                packages.map(|package| of(Some(image.clone()), Some(package))).collect()
            }
            Some(Named::Package(_)) | None => Vec::new(),
        }
    }
}
