//! A `package.json`, as far as it matters (npm manual, "package.json").
//!
//! People write it by hand and npm forgives much: fields of any type, twice the same field, a byte order mark. So no field
//! that is odd spoils the others; only what is no JSON object at all, or nested beyond all use, is an error.

use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// Longest text that is kept.
const TEXT: usize = 1024;
/// Longest name that npm takes, older packages included.
const NAME: usize = 214;
/// Longest version that npm takes (node-semver `MAX_LENGTH`).
const VERSION: usize = 256;
/// Longest name of a licence.
const LICENSE: usize = 200;
/// Most licences of one package.
const LICENSES: usize = 20;

/// The fields that matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Manifest {
    pub(super) name: Option<String>,
    pub(super) version: Option<String>,
    pub(super) licenses: Vec<String>,
    pub(super) is_private: bool,
    /// It says what it gives to others or needs from them.
    pub(super) has_purpose: bool,
}

/// Reads a manifest.
pub(super) fn parse(bytes: &[u8]) -> serde_json::Result<Manifest> {
    serde_json::from_slice(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes))
}

/// Whether npm would install a package of this name. Placeholders of templates are none.
pub(super) fn is_name(name: &str) -> bool {
    let is_part = |part: &str| {
        let is_known = |c: char| c.is_ascii_alphanumeric() || "-._~!'()*".contains(c);
        !part.is_empty() && !part.starts_with('.') && part.chars().all(is_known)
    };
    let is_whole = match name.strip_prefix('@') {
        Some(scoped) => scoped.split_once('/').is_some_and(|(scope, name)| is_part(scope) && is_part(name)),
        None => is_part(name),
    };
    is_whole && name.len() <= NAME
}

/// The version as npm cleans it: without white space and a leading `v` or `=`. None if it is none.
pub(super) fn clean_version(version: &str) -> Option<&str> {
    let version = version.trim().trim_start_matches(['v', '=', ' ']);
    let is_known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '+');
    let is_version = version.starts_with(|c: char| c.is_ascii_digit())
        && version.chars().all(is_known)
        && version.len() <= VERSION;
    is_version.then_some(version)
}

impl<'de> Deserialize<'de> for Manifest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Fields)
    }
}

struct Fields;

impl<'de> Visitor<'de> for Fields {
    type Value = Manifest;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Manifest, A::Error> {
        let mut manifest = Manifest::default();
        let mut listed = Vec::new();
        // Keys are texts of any length here too.
        while let Some(key) = fields.next_key_seed(AnyTexts("name"))? {
            match key.own.as_deref().unwrap_or_default() {
                "name" => manifest.name = fields.next_value_seed(AnyTexts("name"))?.own,
                "version" => manifest.version = fields.next_value_seed(AnyTexts("version"))?.own,
                "license" => manifest.licenses = fields.next_value_seed(AnyTexts("type"))?.licenses(),
                "licenses" => listed = fields.next_value_seed(AnyTexts("type"))?.licenses(),
                "private" => manifest.is_private = fields.next_value_seed(AnyTexts("private"))?.is_true,
                "main" | "module" | "browser" | "bin" | "exports" | "types" | "dependencies" => {
                    manifest.has_purpose = true;
                    fields.next_value::<IgnoredAny>()?;
                }
                _ => {
                    fields.next_value::<IgnoredAny>()?;
                }
            }
        }
        if manifest.licenses.is_empty() {
            manifest.licenses = listed;
        }
        Ok(manifest)
    }
}

/// The texts of a value of any type.
#[derive(Default)]
struct Texts {
    /// The value itself is a text.
    own: Option<String>,
    /// Those in it: of one key of an object, or of a list.
    inner: Vec<String>,
    /// The value itself is true.
    is_true: bool,
}

impl Texts {
    fn all(self) -> impl Iterator<Item = String> {
        self.own.into_iter().chain(self.inner)
    }

    fn licenses(self) -> Vec<String> {
        let known = self.all().map(|text| text.trim().to_owned());
        known.filter(|text| !text.is_empty() && text.len() <= LICENSE).collect()
    }
}

/// Reads [`Texts`] from a value of any type; the word is the key that counts in objects.
#[derive(Clone, Copy)]
struct AnyTexts(&'static str);

impl<'de> DeserializeSeed<'de> for AnyTexts {
    type Value = Texts;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Texts, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for AnyTexts {
    type Value = Texts;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_str<E>(self, text: &str) -> Result<Texts, E> {
        let is_kept = text.len() <= TEXT && !text.contains(|c: char| c.is_control());
        Ok(Texts { own: is_kept.then(|| text.to_owned()), ..Texts::default() })
    }

    fn visit_bool<E>(self, is_true: bool) -> Result<Texts, E> {
        Ok(Texts { is_true, ..Texts::default() })
    }

    fn visit_i64<E>(self, _: i64) -> Result<Texts, E> {
        Ok(Texts::default())
    }

    fn visit_u64<E>(self, _: u64) -> Result<Texts, E> {
        Ok(Texts::default())
    }

    fn visit_f64<E>(self, _: f64) -> Result<Texts, E> {
        Ok(Texts::default())
    }

    fn visit_unit<E>(self) -> Result<Texts, E> {
        Ok(Texts::default())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Texts, A::Error> {
        let mut texts = Texts::default();
        while let Some(key) = fields.next_key_seed(self)? {
            if key.own.as_deref() == Some(self.0) {
                texts.inner = fields.next_value_seed(self)?.all().collect();
            } else {
                fields.next_value::<IgnoredAny>()?;
            }
        }
        Ok(texts)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Texts, A::Error> {
        let mut texts = Texts::default();
        while let Some(more) = values.next_element_seed(self)? {
            let room = LICENSES.saturating_sub(texts.inner.len());
            texts.inner.extend(more.all().take(room));
        }
        Ok(texts)
    }
}
