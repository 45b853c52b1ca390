//! Numbers in ELF files: their width and byte order are properties of the file. System V ABI, chapter 4.

/// First bytes of every ELF file.
pub(crate) const MAGIC: &[u8] = b"\x7fELF";

/// How a file writes its numbers. `e_ident`, `EI_CLASS` and `EI_DATA`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    /// 64 bits, not 32.
    pub(crate) is_wide: bool,
    /// Most significant byte first.
    pub(crate) is_big_endian: bool,
}

/// Bytes of a file whose layout is known.
pub(crate) struct Fields<'a> {
    /// The bytes; offsets count from their beginning.
    pub(crate) bytes: &'a [u8],
    /// How numbers are written in them.
    pub(crate) layout: Layout,
}

impl<'a> Fields<'a> {
    /// The beginning of a file; none if it is no ELF.
    pub(crate) fn of_file(bytes: &'a [u8]) -> Option<Self> {
        let ident = bytes.get(..16).filter(|ident| ident.starts_with(MAGIC))?;
        let second = |value| match value {
            1 => Some(false),
            2 => Some(true),
            _ => None,
        };
        let layout = Layout { is_wide: second(ident[4])?, is_big_endian: second(ident[5])? };
        Some(Self { bytes, layout })
    }

    /// Two bytes.
    pub(crate) fn half(&self, at: usize) -> Option<u16> {
        let bytes = self.take::<2>(at)?;
        Some(if self.layout.is_big_endian { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) })
    }

    /// Four bytes.
    pub(crate) fn word(&self, at: usize) -> Option<u32> {
        let bytes = self.take::<4>(at)?;
        Some(if self.layout.is_big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
    }

    /// An address or offset: four or eight bytes.
    pub(crate) fn address(&self, at: usize) -> Option<u64> {
        if !self.layout.is_wide {
            return self.word(at).map(u64::from);
        }
        let bytes = self.take::<8>(at)?;
        Some(if self.layout.is_big_endian { u64::from_be_bytes(bytes) } else { u64::from_le_bytes(bytes) })
    }

    fn take<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        self.bytes.get(at..at.checked_add(N)?)?.try_into().ok()
    }
}
