//! CycloneDX as VEX: `vulnerabilities[].analysis` of a bill of materials, or of a document that has nothing else.

use std::collections::HashMap;

use percent_encoding::percent_decode_str;
use serde::Deserialize;

use super::super::pattern::ImagePattern;
use super::product::{Extent, Named, image_called};
use super::{Statement, Verdict, reason};

/// Components are read this deep in each other.
const MAX_DEPTH: usize = 16;

#[derive(Deserialize)]
struct Document {
    metadata: Option<Metadata>,
    #[serde(default)]
    components: Vec<Component>,
    #[serde(default)]
    vulnerabilities: Vec<Vulnerability>,
}

#[derive(Deserialize)]
struct Metadata {
    component: Option<Component>,
}

#[derive(Deserialize)]
struct Component {
    #[serde(rename = "bom-ref")]
    reference: Option<String>,
    name: Option<String>,
    purl: Option<String>,
    #[serde(default)]
    components: Vec<Component>,
}

#[derive(Deserialize)]
struct Vulnerability {
    id: Option<String>,
    #[serde(default)]
    references: Vec<Reference>,
    analysis: Option<Analysis>,
    #[serde(default)]
    affects: Vec<Affects>,
}

#[derive(Deserialize)]
struct Reference {
    id: Option<String>,
}

#[derive(Deserialize)]
struct Analysis {
    state: Option<String>,
    justification: Option<String>,
    detail: Option<String>,
}

#[derive(Deserialize)]
struct Affects {
    #[serde(rename = "ref")]
    reference: String,
}

/// The statements; those that let a finding count come first, since a document has no order in time.
pub(super) fn read(text: &str) -> Result<Vec<Statement>, serde_json::Error> {
    let document: Document = serde_json::from_str(text)?;
    let subject = document.metadata.as_ref().and_then(|metadata| metadata.component.as_ref());
    let mut packages = HashMap::new();
    add_packages(&document.components, &mut packages, 0);
    let place = Place {
        subject: subject.and_then(|subject| subject.reference.as_deref()),
        has_subject: subject.is_some(),
        image: subject.and_then(Component::image),
        packages,
    };
    let analysed = document.vulnerabilities.iter().filter(|one| one.analysis.is_some());
    let mut statements: Vec<Statement> = analysed.map(|one| one.read(&place)).collect();
    statements.sort_by_key(|statement| statement.verdict != Verdict::Count);
    Ok(statements)
}

/// What references of a document mean.
struct Place<'a> {
    subject: Option<&'a str>,
    has_subject: bool,
    /// What the whole document is about.
    image: Option<ImagePattern>,
    /// Package URLs by the references of their components.
    packages: HashMap<&'a str, &'a str>,
}

fn add_packages<'a>(components: &'a [Component], packages: &mut HashMap<&'a str, &'a str>, depth: usize) {
    for component in components {
        if let (Some(reference), Some(purl)) = (&component.reference, &component.purl) {
            packages.insert(reference, purl);
        }
        if depth < MAX_DEPTH {
            add_packages(&component.components, packages, depth + 1);
        }
    }
}

impl Component {
    /// The image that it is, by its package URL or its name.
    fn image(&self) -> Option<ImagePattern> {
        match self.purl.as_deref().and_then(Named::of) {
            Some(Named::Image(image)) => Some(image),
            _ => self.name.as_deref().map(image_called),
        }
    }
}

impl Vulnerability {
    fn read(&self, place: &Place<'_>) -> Statement {
        let ids = self.references.iter().filter_map(|reference| reference.id.clone());
        let analysis = self.analysis.as_ref();
        let state = analysis.and_then(|analysis| analysis.state.as_deref());
        let word = match state {
            Some("not_affected") => Some("not affected"),
            Some("false_positive") => Some("false positive"),
            Some("resolved" | "resolved_with_pedigree") => Some("resolved"),
            _ => None,
        };
        let justification = analysis.and_then(|analysis| analysis.justification.as_deref());
        let detail = analysis.and_then(|analysis| analysis.detail.as_deref());
        let verdict = match word {
            Some(_) => Verdict::Ignore(reason(&[word, justification, detail])),
            None => Verdict::Count,
        };
        let extents: Vec<Extent> =
            self.affects.iter().filter_map(|affects| place.extent(&affects.reference)).collect();
        let unknown = self.affects.len() - extents.len();
        Statement { ids: self.id.iter().cloned().chain(ids).collect(), verdict, extents, unknown }
    }
}

impl Place<'_> {
    /// What a reference stands for: a component, its package URL, or a link into another document
    /// (`urn:cdx:…/1#pkg:…`).
    fn extent(&self, reference: &str) -> Option<Extent> {
        // Of a subject that cannot be told nothing is known to be a part.
        if self.has_subject && self.image.is_none() {
            return None;
        }
        if self.subject == Some(reference) {
            return Some(Extent { image: self.image.clone(), package: None });
        }
        let linked = reference.strip_prefix("urn:cdx:").and_then(|link| link.split_once('#'));
        // Which image the other document is about is not known here.
        if linked.is_some() && !self.has_subject {
            return None;
        }
        let decoded = linked.map(|(_, reference)| percent_decode_str(reference).decode_utf8_lossy());
        let reference = decoded.as_deref().unwrap_or(reference);
        let purl = self.packages.get(reference).copied().unwrap_or(reference);
        match Named::of(purl)? {
            Named::Package(package) => Some(Extent { image: self.image.clone(), package: Some(package) }),
            Named::Image(image) => Some(Extent { image: Some(image), package: None }),
        }
    }
}
