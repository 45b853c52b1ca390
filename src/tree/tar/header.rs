//! One header block: fixed fields, three ways to write a number.

use super::sparse::Extent;
use crate::tree::Damage;

/// Bytes of a block; everything in a tar is a multiple of it.
pub(super) const BLOCK: usize = 512;

/// A block of 512 bytes, read as a header.
pub(super) struct Block(pub(super) [u8; BLOCK]);

/// Which dialect a header is in; decides what stands after byte 257.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Dialect {
    V7,
    Ustar,
    Gnu,
}

impl Block {
    pub(super) fn is_zero(&self) -> bool {
        self.0.iter().all(|&byte| byte == 0)
    }

    /// Compares the sum of all bytes, the checksum's own as spaces. Old writers summed signed bytes.
    pub(super) fn check(&self) -> Result<(), Damage> {
        let expected = octal(&self.0[148..156]).ok_or(Damage::Checksum)?;
        let (mut unsigned, mut signed) = (0_i64, 0_i64);
        for (index, &byte) in self.0.iter().enumerate() {
            let byte = if (148..156).contains(&index) { b' ' } else { byte };
            unsigned += i64::from(byte);
            signed += i64::from(byte.cast_signed());
        }
        let expected = i64::try_from(expected).map_err(|_| Damage::Checksum)?;
        if expected == unsigned || expected == signed { Ok(()) } else { Err(Damage::Checksum) }
    }

    pub(super) fn type_flag(&self) -> u8 {
        self.0[156]
    }

    /// The name, with the prefix of ustar headers in front.
    pub(super) fn name(&self) -> Vec<u8> {
        let name = until_nul(&self.0[..100]);
        let prefix = until_nul(&self.0[345..500]);
        if self.dialect() == Dialect::Ustar && !prefix.is_empty() {
            [prefix, b"/", name].concat()
        } else {
            name.to_vec()
        }
    }

    pub(super) fn link(&self) -> &[u8] {
        until_nul(&self.0[157..257])
    }

    pub(super) fn size(&self) -> Result<u64, Damage> {
        number(&self.0[124..136], "size")
    }

    pub(super) fn mode(&self) -> Result<u32, Damage> {
        small(&self.0[100..108], "mode")
    }

    pub(super) fn uid(&self) -> Result<u32, Damage> {
        small(&self.0[108..116], "owner")
    }

    pub(super) fn gid(&self) -> Result<u32, Damage> {
        small(&self.0[116..124], "group")
    }

    /// The first four extents of an old GNU sparse file, whether more follow, and the file's size.
    pub(super) fn old_sparse(&self, extents: &mut Vec<Extent>) -> Result<(bool, u64), Damage> {
        if self.dialect() != Dialect::Gnu {
            return Err(Damage::SparseMap);
        }
        read_extents(&self.0[386..482], extents)?;
        Ok((self.0[482] != 0, number(&self.0[483..495], "size")?))
    }

    /// Up to 21 more extents, and whether more follow.
    pub(super) fn old_sparse_extension(&self, extents: &mut Vec<Extent>) -> Result<bool, Damage> {
        read_extents(&self.0[..504], extents)?;
        Ok(self.0[504] != 0)
    }

    fn dialect(&self) -> Dialect {
        match &self.0[257..265] {
            b"ustar  \0" => Dialect::Gnu,
            [b'u', b's', b't', b'a', b'r', 0, ..] => Dialect::Ustar,
            _ => Dialect::V7,
        }
    }
}

fn read_extents(table: &[u8], extents: &mut Vec<Extent>) -> Result<(), Damage> {
    for entry in table.chunks_exact(24) {
        if entry[0] == 0 {
            break;
        }
        let (offset, length) = entry.split_at(12);
        extents.push(Extent { offset: number(offset, "map")?, length: number(length, "map")? });
    }
    Ok(())
}

/// A string field up to its NUL.
pub(super) fn until_nul(field: &[u8]) -> &[u8] {
    field.split(|&byte| byte == 0).next().unwrap_or_default()
}

/// Octal digits, or base 256 when the first bit is set (GNU). Negative ones make no sense where this is used.
fn number(field: &[u8], what: &'static str) -> Result<u64, Damage> {
    let wrong = || Damage::Number(what);
    let Some((&first, rest)) = field.split_first() else { return Err(wrong()) };
    if first & 0x80 == 0 {
        return octal(field).ok_or_else(wrong);
    }
    if first & 0x40 != 0 {
        return Err(wrong());
    }
    let mut value = u64::from(first & 0x3f);
    for &byte in rest {
        value = value.checked_mul(256).ok_or_else(wrong)? + u64::from(byte);
    }
    // Go's reader keeps sizes in an i64 and refuses what does not fit.
    if i64::try_from(value).is_ok() { Ok(value) } else { Err(wrong()) }
}

/// A number that describes the owner or the mode: damage to it does not move the data, so it is cut to 32 bits.
fn small(field: &[u8], what: &'static str) -> Result<u32, Damage> {
    let is_negative = field.first().is_some_and(|first| first & 0xc0 == 0xc0);
    if is_negative {
        return Ok(u32::MAX);
    }
    number(field, what).map(|value| u32::try_from(value).unwrap_or(u32::MAX))
}

/// Octal digits between spaces and NULs; an empty field is 0.
fn octal(field: &[u8]) -> Option<u64> {
    let is_padding = |byte: &u8| matches!(byte, b' ' | 0);
    let start = field.iter().position(|byte| !is_padding(byte)).unwrap_or(field.len());
    let end = field[start..].iter().position(is_padding).map_or(field.len(), |length| start + length);
    field[start..end].iter().try_fold(0_u64, |value, &digit| match digit {
        b'0'..=b'7' => value.checked_mul(8)?.checked_add(u64::from(digit - b'0')),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_in_octal_and_base_256() {
        assert_eq!(number(b"00000001750\0", "size").expect("valid"), 1000);
        assert_eq!(number(b"  1750 \0", "size").expect("valid"), 1000);
        assert_eq!(number(&[0; 12], "size").expect("valid"), 0);
        assert_eq!(number(&[0x80, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0], "size").expect("valid"), 1 << 33);
    }

    #[test]
    fn numbers_that_are_none_are_refused() {
        for field in
            [&[0xff; 12][..], &[0x80, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], b"8\0", b"-1\0"]
        {
            assert!(number(field, "size").is_err(), "{field:?}");
        }
    }
}
