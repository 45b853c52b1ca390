//! Reading documents of strangers: no more of them than a real one has, no more kept than is wanted, and no value of a
//! kind that is not expected ends the reading.

use std::fmt;
use std::io::{self, Read};

use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// Longest text that is kept, in bytes.
const MAX_TEXT: usize = 1_000;

/// A reader that fails once more than so many bytes came.
pub(super) struct Limited<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Limited<R> {
    pub(super) fn new(inner: R, limit: u64) -> Self {
        Self { inner, left: limit }
    }
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        match self.left.checked_sub(count as u64) {
            Some(left) => self.left = left,
            None => return Err(io::Error::other("it is larger than any real one")),
        }
        Ok(count)
    }
}

/// What is done with a value of JSON while it is read. What is not asked for is passed over.
pub(super) trait Shape {
    /// A member of an object, of which the value has to be read.
    fn member<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error>;

    /// A list. Without anything else said, it is a value of a kind that is not expected.
    fn list<'de, A: SeqAccess<'de>>(&mut self, list: &mut A) -> Result<(), A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        self.other();
        Ok(())
    }

    /// A value of a kind that is not expected.
    fn other(&mut self);
}

/// Reads a value as its shape has it.
pub(super) struct Shaped<'a, S>(pub(super) &'a mut S);

impl<'de, S: Shape> DeserializeSeed<'de> for Shaped<'_, S> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, S: Shape> Visitor<'de> for Shaped<'_, S> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            self.0.member(&key, &mut map)?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        self.0.list(&mut list)
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        self.0.other();
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        self.0.other();
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        self.0.other();
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        self.0.other();
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        self.0.other();
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.0.other();
        Ok(())
    }
}

/// A text of a sane length; none for any other value.
#[derive(Debug, Default)]
pub(super) struct Text(pub(super) Option<String>);

impl Text {
    pub(super) fn as_str(&self) -> Option<&str> {
        self.0.as_deref()
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextVisitor)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any value")
    }

    fn visit_str<E>(self, text: &str) -> Result<Text, E> {
        Ok(Text((text.len() <= MAX_TEXT).then(|| text.to_owned())))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Text, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Text(None))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Text, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Text(None))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Text, E> {
        Ok(Text(None))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Text, E> {
        Ok(Text(None))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Text, E> {
        Ok(Text(None))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Text, E> {
        Ok(Text(None))
    }

    fn visit_unit<E>(self) -> Result<Text, E> {
        Ok(Text(None))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_other_value_than_a_text_is_none() {
        let texts: Vec<Text> =
            serde_json::from_str(r#"["a", 1, -1, 1.5, true, null, ["b"], {"c": "d"}]"#).expect("values");
        let texts: Vec<_> = texts.iter().map(Text::as_str).collect();
        assert_eq!(texts, [Some("a"), None, None, None, None, None, None, None]);
        let long = format!("\"{}\"", "x".repeat(MAX_TEXT + 1));
        assert_eq!(serde_json::from_str::<Text>(&long).expect("a value").0, None);
    }

    #[test]
    fn reader_fails_after_so_many_bytes_and_not_before() {
        let read = |limit| io::copy(&mut Limited::new(&b"12345"[..], limit), &mut io::sink()).ok();
        assert_eq!((read(5), read(4)), (Some(5), None));
    }
}
