//! An entry as ConfigMaps, and what the metadata of ConfigMaps say about entries. Pure.

use std::collections::{BTreeMap, HashMap};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::super::form::{self, FormError};
use super::super::{About, Entry, in_words};
use crate::cluster::{KIND_LABEL, NAME, Owned, PART_BYTES};
use crate::image::Digest;

/// Most objects of one entry.
const MAX_PARTS: usize = 16;
/// After this time nobody is still writing the first object of an entry.
const ABANDONED: SignedDuration = SignedDuration::from_hours(1);

/// Label with as much of the digest as fits.
pub(super) const DIGEST_LABEL: &str = "kubectl-clarity.io/digest";
/// Value of [`KIND_LABEL`] of the first object of an entry.
pub(super) const KIND: &str = "sbom";
/// Value of [`KIND_LABEL`] of the others.
pub(super) const KIND_PART: &str = "sbom-part";
/// Annotation with what is known of an entry.
const ABOUT: &str = "kubectl-clarity.io/about";
/// Annotation that tells when an entry was used last.
pub(super) const USED: &str = "kubectl-clarity.io/used";
/// Annotation with the number of objects of an entry.
const PARTS: &str = "kubectl-clarity.io/parts";
/// Annotation of all objects of an entry with the digest of their document.
const DOCUMENT: &str = "kubectl-clarity.io/document";
/// Key of the document.
const DATA: &str = "sbom.json.zst";
/// Most characters of a label's value.
const MAX_LABEL: usize = 63;

/// An entry as objects.
pub(super) struct Objects {
    pub(super) name: String,
    pub(super) about: About,
    /// Bytes of the document as it is stored.
    pub(super) bytes: u64,
    /// What makes the entry be there.
    pub(super) first: ConfigMap,
    pub(super) parts: Vec<ConfigMap>,
}

/// What the first object of an entry says of it.
pub(super) struct Head {
    pub(super) about: About,
    /// Number of objects.
    pub(super) parts: usize,
}

/// What was seen in a namespace.
#[derive(Default)]
pub(super) struct Seen {
    entries: Vec<(Owned, About)>,
    /// Names of first objects that do not say what they are.
    damaged: Vec<Owned>,
    /// Parts of no entry, and since when.
    orphans: Vec<(Owned, Option<Timestamp>)>,
}

/// The name of the first object of an entry.
pub(super) fn name_of(entry: &str) -> String {
    format!("clarity-sbom-{entry}")
}

/// The name of another object of the entry whose first one has this name.
pub(super) fn part_name(name: &str, number: usize, document: &Digest) -> String {
    let entry = name.strip_prefix("clarity-sbom-").unwrap_or(name);
    format!("clarity-sbom-part{number}-{entry}-{}", document.hex())
}

/// Whether an object is a part of the entry whose first one has this name.
pub(super) fn is_part_of(part: &ObjectMeta, name: &str) -> bool {
    let entry = name.strip_prefix("clarity-sbom-").unwrap_or(name);
    let named = part.name.as_deref().and_then(|part| part.strip_prefix("clarity-sbom-part"));
    let rest = named.map(|named| named.trim_start_matches(|c: char| c.is_ascii_digit()));
    let hex = rest.and_then(|rest| rest.strip_prefix('-')?.strip_prefix(entry)?.strip_prefix('-'));
    hex.is_some_and(|hex| format!("sha256:{hex}").parse::<Digest>().is_ok())
}

impl Objects {
    /// The objects of an entry.
    pub(super) fn of(entry: &Entry) -> Result<Self, FormError> {
        let about = &entry.about;
        let name = name_of(&form::name(&about.key)?);
        let packed = form::pack(entry)?;
        let count = packed.document.len().div_ceil(PART_BYTES).max(1);
        if count > MAX_PARTS {
            return Err(FormError::LargePacked);
        }
        let meta = |name: String, kind: &str, annotations: BTreeMap<String, String>| ObjectMeta {
            name: Some(name),
            labels: Some(labels(kind, &about.key.digest)),
            annotations: Some(annotations),
            ..ObjectMeta::default()
        };
        let document = (DOCUMENT.to_owned(), about.document.to_string());
        let annotations = BTreeMap::from([
            (ABOUT.to_owned(), packed.header),
            (USED.to_owned(), about.used.to_string()),
            (PARTS.to_owned(), count.to_string()),
            document.clone(),
        ]);
        let mut chunks = packed.document.chunks(PART_BYTES);
        let first = object(meta(name.clone(), KIND, annotations), chunks.next().unwrap_or_default());
        let parts = chunks.zip(2..).map(|(chunk, number)| {
            let name = part_name(&name, number, &about.document);
            object(meta(name, KIND_PART, BTreeMap::from([document.clone()])), chunk)
        });
        let parts = parts.collect();
        let bytes = packed.document.len() as u64;
        Ok(Self { name, about: About { stored: bytes, ..about.clone() }, bytes, first, parts })
    }
}

fn object(metadata: ObjectMeta, bytes: &[u8]) -> ConfigMap {
    let data = BTreeMap::from([(DATA.to_owned(), ByteString(bytes.to_vec()))]);
    ConfigMap { metadata, binary_data: Some(data), immutable: Some(true), ..ConfigMap::default() }
}

fn labels(kind: &str, digest: &Digest) -> BTreeMap<String, String> {
    let pairs = [
        ("app.kubernetes.io/name", NAME),
        ("app.kubernetes.io/managed-by", NAME),
        (KIND_LABEL, kind),
        (DIGEST_LABEL, digest_label(digest)),
    ];
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// As much of a digest as a label may have.
pub(super) fn digest_label(digest: &Digest) -> &str {
    &digest.hex()[..MAX_LABEL]
}

/// Reads what the first object of an entry says, which must be of this name; why not, in words.
pub(super) fn read_head(metadata: &ObjectMeta, name: &str) -> Result<Head, String> {
    let annotation = |name: &str| {
        let value = metadata.annotations.as_ref().and_then(|annotations| annotations.get(name));
        value.ok_or_else(|| format!("it has no annotation {name}"))
    };
    let entry = name.strip_prefix("clarity-sbom-").ok_or("it has another name")?;
    let about = form::read_header(annotation(ABOUT)?.as_bytes(), entry).map_err(|error| in_words(&error))?;
    let parts = usize::try_from(about.stored).unwrap_or(usize::MAX).div_ceil(PART_BYTES).max(1);
    let said = annotation(PARTS)?.parse::<usize>().ok();
    if said != Some(parts) || parts > MAX_PARTS {
        return Err("the number of its parts is not that of its size".to_owned());
    }
    // What was made by hand, or by a later version, is as old as the entry.
    let used = annotation(USED).ok().and_then(|time| time.parse().ok()).unwrap_or(about.created);
    Ok(Head { about: About { used: Timestamp::min(used, Timestamp::now()), ..about }, parts })
}

/// The bytes of an entry's document, which must be so many; why not, in words.
pub(super) fn assemble(objects: Vec<ConfigMap>, stored: u64) -> Result<Vec<u8>, String> {
    let mut packed = Vec::new();
    for object in objects {
        let data = object.binary_data.and_then(|mut data| data.remove(DATA));
        let data = data.ok_or_else(|| format!("it has no {DATA}"))?;
        packed.extend(data.0);
        if packed.len() as u64 > stored {
            break;
        }
    }
    Ok(packed)
}

impl Seen {
    /// Sorts what was listed.
    pub(super) fn of(listed: &[ObjectMeta]) -> Self {
        let mut seen = Self::default();
        let kind = |metadata: &ObjectMeta| metadata.labels.as_ref()?.get(KIND_LABEL).cloned();
        let is_part = |metadata: &&ObjectMeta| kind(metadata).as_deref() == Some(KIND_PART);
        let mut parts: HashMap<String, &ObjectMeta> =
            listed.iter().filter(is_part).map(|part| (part.name.clone().unwrap_or_default(), part)).collect();
        for first in listed.iter().filter(|metadata| !is_part(metadata)) {
            let (name, mut owned) = (first.name.clone().unwrap_or_default(), Owned::of(first));
            let Ok(Head { about, parts: count }) = read_head(first, &name) else {
                seen.damaged.push(owned);
                continue;
            };
            let names = (2..=count).map(|number| part_name(&name, number, &about.document));
            owned
                .objects
                .extend(names.filter_map(|name| parts.remove(&name)).flat_map(|part| Owned::of(part).objects));
            seen.entries.push((owned, about));
        }
        let orphan = |part: &ObjectMeta| {
            let created = part.creation_timestamp.as_ref().map(|time| time.0);
            (Owned::of(part), created)
        };
        seen.orphans = parts.into_values().map(orphan).collect();
        seen
    }

    /// What is known of all entries.
    pub(super) fn into_abouts(self) -> Vec<About> {
        self.entries.into_iter().map(|(_, about)| about).collect()
    }

    /// Entries with their objects.
    pub(super) fn entries(&self) -> &[(Owned, About)] {
        &self.entries
    }

    /// What nobody can use, and has not just been begun.
    pub(super) fn useless(&self, now: Timestamp) -> Vec<Owned> {
        let is_old =
            |since: &Option<Timestamp>| since.is_some_and(|since| now.duration_since(since) > ABANDONED);
        let orphans = self.orphans.iter().filter(|(_, since)| is_old(since)).map(|(owned, _)| owned);
        self.damaged.iter().chain(orphans).cloned().collect()
    }

    /// Names of all first objects, damaged ones too.
    pub(super) fn names(&self) -> Vec<String> {
        let owned = self.entries.iter().map(|(owned, _)| owned).chain(&self.damaged);
        owned.filter_map(Owned::name).map(ToOwned::to_owned).collect()
    }
}
