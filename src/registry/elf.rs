//! Just enough of ELF to know where a program runs and whether it needs a dynamic linker. System V ABI, chapter 4.

use crate::elf::Fields;
use crate::image::Platform;

/// Programs have around ten.
const HEADER_LIMIT: u16 = 256;
const PT_INTERP: u32 = 3;

/// What a program's headers say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Elf {
    /// Where it runs.
    pub(super) platform: Platform,
    /// The dynamic linker that it needs; none if it is static.
    pub(super) interpreter: Option<String>,
}

/// Why a file is no program that could go into an image.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ElfError {
    /// Something else, or cut short.
    #[error("it is no ELF program")]
    NotElf,
    /// For a machine that has no name here.
    #[error("it is for machine {machine}, for which there are no images")]
    Machine {
        /// `e_machine`.
        machine: u16,
    },
}

/// Reads the headers of a program.
pub(super) fn parse(bytes: &[u8]) -> Result<Elf, ElfError> {
    let file = Fields::of_file(bytes).ok_or(ElfError::NotElf)?;
    let machine = file.half(18).ok_or(ElfError::NotElf)?;
    let architecture = match (machine, file.layout.is_wide, file.layout.is_big_endian) {
        (3, false, false) => "386",
        (62, true, false) => "amd64",
        (183, true, false) => "arm64",
        (40, false, false) => "arm",
        (243, true, false) => "riscv64",
        (21, true, false) => "ppc64le",
        (22, true, true) => "s390x",
        (258, true, false) => "loong64",
        _ => return Err(ElfError::Machine { machine }),
    };
    let platform = Platform { os: "linux".to_owned(), architecture: architecture.to_owned(), variant: None };
    let interpreter = interpreter(&file).ok_or(ElfError::NotElf)?;
    Ok(Elf { platform, interpreter })
}

/// The content of the `PT_INTERP` segment; the outer none is a broken file.
#[expect(clippy::option_option, reason = "broken, absent and present are three things, and this is private")]
fn interpreter(file: &Fields<'_>) -> Option<Option<String>> {
    let (table, size_at, count_at) =
        if file.layout.is_wide { (file.address(32)?, 54, 56) } else { (file.address(28)?, 42, 44) };
    let size = u64::from(file.half(size_at)?);
    let count = file.half(count_at)?;
    if count > HEADER_LIMIT {
        return None;
    }
    for number in 0..u64::from(count) {
        let header = usize::try_from(table.checked_add(number.checked_mul(size)?)?).ok()?;
        if file.word(header)? != PT_INTERP {
            continue;
        }
        let (offset_at, length_at) = if file.layout.is_wide { (8, 32) } else { (4, 16) };
        let offset = usize::try_from(file.address(header.checked_add(offset_at)?)?).ok()?;
        let length = usize::try_from(file.address(header.checked_add(length_at)?)?).ok()?;
        let name = file.bytes.get(offset..offset.checked_add(length.min(256))?)?;
        let name = name.split(|&b| b == 0).next().unwrap_or_default();
        return Some(Some(String::from_utf8_lossy(name).chars().filter(|c| !c.is_control()).collect()));
    }
    Some(None)
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A 64-bit program of nothing but headers.
    pub(in crate::registry) fn program(machine: u16, interpreter: Option<&str>) -> Vec<u8> {
        let mut bytes = vec![0; 64];
        bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
        bytes[18..20].copy_from_slice(&machine.to_le_bytes());
        bytes[32..40].copy_from_slice(&64_u64.to_le_bytes());
        bytes[54..56].copy_from_slice(&56_u16.to_le_bytes());
        let Some(interpreter) = interpreter else { return bytes };
        bytes[56..58].copy_from_slice(&1_u16.to_le_bytes());
        let mut header = [0; 56];
        header[..4].copy_from_slice(&PT_INTERP.to_le_bytes());
        header[8..16].copy_from_slice(&120_u64.to_le_bytes());
        header[32..40].copy_from_slice(&(interpreter.len() as u64 + 1).to_le_bytes());
        bytes.extend_from_slice(&header);
        bytes.extend_from_slice(interpreter.as_bytes());
        bytes.push(0);
        bytes
    }

    #[test]
    fn platform_and_interpreter_are_read() {
        let elf = parse(&program(62, None)).expect("a program");
        assert_eq!((elf.platform.to_string().as_str(), elf.interpreter), ("linux/amd64", None));
        let elf = parse(&program(183, Some("/lib/ld-linux-aarch64.so.1"))).expect("a program");
        assert_eq!(elf.platform.to_string(), "linux/arm64");
        assert_eq!(elf.interpreter.as_deref(), Some("/lib/ld-linux-aarch64.so.1"));
    }

    #[test]
    fn this_very_test_is_a_program_of_this_machine() {
        let own = std::fs::read(std::env::current_exe().expect("a path")).expect("readable");
        assert_eq!(parse(&own).expect("a program").platform, Platform::of_this_program());
    }

    #[test]
    fn scripts_and_strange_machines_are_refused() {
        assert_eq!(parse(b"#!/bin/sh\necho hello there\n"), Err(ElfError::NotElf));
        assert_eq!(parse(&program(9999, None)), Err(ElfError::Machine { machine: 9999 }));
        assert_eq!(parse(&program(62, Some("/lib/ld.so"))[..70]), Err(ElfError::NotElf));
    }

    proptest! {
        #[test]
        fn any_bytes_are_refused_without_harm(tail in proptest::collection::vec(any::<u8>(), 0..200), at in 0..200_usize) {
            let mut bytes = program(62, Some("/lib/ld.so"));
            for (offset, byte) in tail.iter().enumerate() {
                if let Some(slot) = bytes.get_mut(at + offset) {
                    *slot = *byte;
                }
            }
            let _ = parse(&bytes);
            let _ = parse(&tail);
        }
    }
}
