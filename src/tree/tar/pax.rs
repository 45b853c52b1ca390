//! PAX extended headers: `length key=value\n` records (POSIX.1-2017, pax, "pax Header Block").

use super::sparse::Extent;
use crate::tree::Damage;

/// What an extended header says about the next member.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Pax {
    pub(super) path: Option<Vec<u8>>,
    pub(super) linkpath: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) sparse: Option<PaxSparse>,
}

/// A sparse file in one of GNU tar's three PAX formats.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct PaxSparse {
    /// The real name; the member's own is a made-up one for readers that know nothing of this.
    pub(super) name: Option<Vec<u8>>,
    /// Size with all holes.
    pub(super) size: Option<u64>,
    /// The map of formats 0.0 and 0.1; in 1.0 it stands before the data.
    pub(super) map: Option<Vec<Extent>>,
}

impl Pax {
    /// Reads all records.
    pub(super) fn parse(mut bytes: &[u8]) -> Result<Self, Damage> {
        let mut pax = Self::default();
        let mut sparse = PaxSparse::default();
        let (mut major, mut minor) = (None, None);
        let mut pairs = Vec::new();
        while !bytes.is_empty() {
            let (key, value, rest) = record(bytes).ok_or(Damage::ExtendedHeader)?;
            bytes = rest;
            // An empty value takes back what an earlier header said (POSIX); the plain header counts then.
            let is_set = !value.is_empty();
            match key {
                b"path" => pax.path = text(value)?,
                b"linkpath" => pax.linkpath = text(value)?,
                b"size" => pax.size = if is_set { Some(decimal(value)?) } else { None },
                b"GNU.sparse.major" => major = Some(value),
                b"GNU.sparse.minor" => minor = Some(value),
                b"GNU.sparse.name" => sparse.name = text(value)?,
                b"GNU.sparse.size" | b"GNU.sparse.realsize" if is_set => sparse.size = Some(decimal(value)?),
                b"GNU.sparse.map" if is_set => {
                    let numbers =
                        value.split(|&byte| byte == b',').map(decimal).collect::<Result<Vec<_>, _>>()?;
                    sparse.map = Some(extents(&numbers)?);
                }
                b"GNU.sparse.offset" | b"GNU.sparse.numbytes" => pairs.push(decimal(value)?),
                _ => {}
            }
        }
        if !pairs.is_empty() {
            sparse.map = Some(extents(&pairs)?);
        }
        let is_format_1 = major == Some(b"1") && minor == Some(b"0");
        if is_format_1 {
            sparse.map = None;
        }
        if is_format_1 || sparse.map.is_some() {
            pax.sparse = Some(sparse);
        }
        Ok(pax)
    }
}

/// Splits one record off: key, value, rest.
fn record(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    // Twenty digits are more than any length that fits.
    let space = bytes.iter().take(20).position(|&byte| byte == b' ')?;
    let length = usize::try_from(decimal(&bytes[..space]).ok()?).ok()?;
    let (record, rest) = bytes.split_at_checked(length)?;
    let record = record.get(space + 1..)?.strip_suffix(b"\n")?;
    let equals = record.iter().position(|&byte| byte == b'=')?;
    let (key, value) = (&record[..equals], &record[equals + 1..]);
    (!key.is_empty() && !key.contains(&0)).then_some((key, value, rest))
}

fn text(value: &[u8]) -> Result<Option<Vec<u8>>, Damage> {
    if value.contains(&0) {
        return Err(Damage::ExtendedHeader);
    }
    Ok((!value.is_empty()).then(|| value.to_vec()))
}

/// A decimal number of digits only.
pub(super) fn decimal(digits: &[u8]) -> Result<u64, Damage> {
    let value = digits.iter().try_fold(0_u64, |value, &digit| match digit {
        b'0'..=b'9' => value.checked_mul(10)?.checked_add(u64::from(digit - b'0')),
        _ => None,
    });
    let fits = |value: &u64| !digits.is_empty() && i64::try_from(*value).is_ok();
    value.filter(fits).ok_or(Damage::ExtendedHeader)
}

fn extents(numbers: &[u64]) -> Result<Vec<Extent>, Damage> {
    if !numbers.len().is_multiple_of(2) {
        return Err(Damage::SparseMap);
    }
    Ok(numbers.chunks_exact(2).map(|pair| Extent { offset: pair[0], length: pair[1] }).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn records_are_split_by_their_length_not_by_lines() {
        let pax = Pax::parse(b"14 path=a\nb=c\n12 size=123\n11 x=y=z\n\n\n").expect("valid");
        assert_eq!(pax.path.as_deref(), Some(&b"a\nb=c"[..]));
        assert_eq!(pax.size, Some(123));
    }

    #[test]
    fn malformed_records_are_damage() {
        for bytes in [
            &b"99 path=a\n"[..],
            b"4 a=\n",
            b"path=a\n",
            b"-1 path=a\n",
            b"10 path=a\0\n",
            b"12 size=1x3\n",
            b"0 ",
        ] {
            assert!(Pax::parse(bytes).is_err(), "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Pax::parse(&bytes);
        }

        #[test]
        fn records_that_look_right_never_panic(text in "([0-9]{1,2} (path|size|GNU.sparse.(map|major|offset))=[0-9,]{0,9}\n){0,5}") {
            let _ = Pax::parse(text.as_bytes());
        }
    }
}
