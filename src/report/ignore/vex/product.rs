//! What a statement is about, in terms of a report.

use super::super::pattern::{ImagePattern, PackagePattern, Pattern};
use super::Purl;

/// Types of package URLs that name an image.
const IMAGE_TYPES: [&str; 2] = ["oci/", "docker/"];

/// An image, a package, or a package in an image.
#[derive(Clone, Debug, Default)]
pub(super) struct Extent {
    pub(super) image: Option<ImagePattern>,
    pub(super) package: Option<PackagePattern>,
}

/// What a package URL names.
pub(super) enum Named {
    Image(ImagePattern),
    Package(PackagePattern),
}

impl Named {
    /// Reads `pkg:oci/cart@sha256:…?repository_url=registry.example.com/shop/cart` or that of a package. None if it is no
    /// package URL, or one of an image that says neither its digest nor its registry: many are called `cart`.
    pub(super) fn of(text: &str) -> Option<Self> {
        let purl = Purl::parse(text)?;
        let Some(kind) = IMAGE_TYPES.into_iter().find(|kind| purl.name.starts_with(kind)) else {
            return Some(Self::Package(PackagePattern::Exactly(purl)));
        };
        if let Some(digest) = purl.version.filter(|version| version.starts_with("sha256:")) {
            return Some(Self::Image(ImagePattern::Digest(digest)));
        }
        let name = &purl.name[kind.len()..];
        let repository = match (kind, purl.qualifiers.get("repository_url")) {
            // For these it names the registry, for those the whole repository.
            ("docker/", Some(registry)) => format!("{}/{name}", registry.trim_end_matches('/')),
            ("docker/", None) => name.to_owned(),
            (_, Some(repository)) => repository.to_owned(),
            (_, None) => return None,
        };
        let repository = repository.trim_start_matches("https://").to_owned();
        Some(Self::Image(ImagePattern::Name(Pattern::Text(repository))))
    }
}

/// An image by a reference, of which tag and digest are left out.
pub(super) fn image_called(name: &str) -> ImagePattern {
    let name = name.split('@').next().unwrap_or(name);
    let tag = name.rfind(':').filter(|colon| !name[*colon..].contains('/'));
    ImagePattern::Name(Pattern::Text(tag.map_or(name, |colon| &name[..colon]).to_owned()))
}
