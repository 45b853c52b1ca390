use proptest::prelude::*;

use super::super::super::tests::source_of;
use super::*;

/// Made by rpm 4.18 with its backend `ndb` from the database in SQLite beside it (`rpmdb --exportdb`, `--importdb`); then
/// `kernel-modules`, the second of five, was erased.
const FIXTURE: &[u8] = include_bytes!("../testdata/Packages.db");
/// Where the slots of the first and the third package are.
const FIRST: usize = 32;
const THIRD: usize = 64;
/// Where the last header ends; behind it is what an erased one left free.
const LAST: usize = 0x469 * BLOCK;

/// Lengths of all headers, none for a damaged one.
fn lengths_of(file: &[u8]) -> Result<Vec<Option<usize>>, GapCause> {
    let mut lengths = Vec::new();
    headers(&source_of(file), &mut |header| {
        lengths.push(header.map(<[u8]>::len));
        Ok(())
    })?;
    Ok(lengths)
}

fn damage(file: &[u8]) -> String {
    lengths_of(file).expect_err("damaged").to_string()
}

/// The fixture with these bytes at a place.
fn changed(at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut file = FIXTURE.to_vec();
    file[at..at + bytes.len()].copy_from_slice(bytes);
    file
}

#[test]
fn headers_are_read_in_the_order_of_the_file_and_erased_ones_are_none() {
    assert_eq!(lengths_of(&FIXTURE[..LAST]), lengths_of(FIXTURE));
    assert_eq!(lengths_of(FIXTURE), Ok([1904, 1592, 1284, 1892].map(Some).to_vec()));
}

#[test]
fn a_header_with_another_checksum_length_or_package_is_damaged_and_the_others_are_not() {
    let blob = 4096;
    for (at, bytes) in [
        (blob, &b"X"[..]),
        (blob + 4, &[2]),
        (blob + 12, &[0, 0]),
        (blob + 12, &[0xff; 4]),
        (blob + 100, &[0xff]),
        (FIRST + 4, &[9]),
        (FIRST + 12, &[1]),
    ] {
        let lengths = lengths_of(&changed(at, bytes)).expect("the others");
        assert_eq!(lengths, [None, Some(1592), Some(1284), Some(1892)], "{at}");
    }
}

#[test]
fn slots_that_overlap_or_lead_out_of_the_file_are_damaged() {
    let place: [u8; 8] = FIXTURE[FIRST + 8..FIRST + 16].try_into().expect("8");
    for (file, how) in [
        (changed(THIRD + 8, &place), "entries of it overlap"),
        (changed(FIRST + 8, &[2, 0]), "entries of it overlap"),
        (changed(THIRD + 8, &[0xff; 3]), "it is cut off"),
        (changed(THIRD + 4, &[0; 4]), "a slot of it holds nothing"),
        (changed(THIRD + 12, &[0; 4]), "a slot of it holds nothing"),
        (changed(THIRD, b"slot"), "a slot of it is none"),
        (changed(12, &[0xff; 4]), "a slot of it is none"),
    ] {
        assert_eq!(damage(&file), format!("is damaged: {how}"));
    }
}

#[test]
fn a_length_that_is_claimed_is_not_believed() {
    assert_eq!(damage(&changed(THIRD + 12, &[0xff; 4])), "is damaged: it is cut off");
}

#[test]
fn what_is_no_database_or_is_cut_off_is_damaged() {
    for (file, how) in [
        (vec![0; 600], "it is no database in NDB"),
        (FIXTURE[..31].to_vec(), "it is cut off"),
        (FIXTURE[..4095].to_vec(), "it is cut off"),
        (FIXTURE[..LAST - 1].to_vec(), "it is cut off"),
        (changed(4, &[1]), "it is of a later version of NDB"),
    ] {
        assert_eq!(damage(&file), format!("is damaged: {how}"));
    }
}

#[test]
fn checksums_are_those_of_zlib() {
    // RFC 1950 has no example; these are what zlib gives.
    assert_eq!(adler32(b""), 1);
    assert_eq!(adler32(b"Wikipedia"), 0x11e6_0398);
    assert_eq!(adler32(&vec![0xff; 100_000]), 0x149a_302c);
}

proptest! {
    #[test]
    fn damaged_databases_give_no_more_than_they_hold(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..30),
        in_slots in any::<bool>(),
    ) {
        let mut file = FIXTURE.to_vec();
        for (index, byte) in changes {
            file[index.index(if in_slots { 112 } else { FIXTURE.len() })] = byte;
        }
        if let Ok(lengths) = lengths_of(&file) {
            prop_assert!(lengths.iter().flatten().sum::<usize>() <= file.len());
        }
    }

    #[test]
    fn arbitrary_slots_never_panic(
        slots in prop::collection::vec(any::<(u32, u16, u8)>(), 254),
        bytes in prop::collection::vec(any::<u8>(), 0..600),
    ) {
        let slots = slots.into_iter().flat_map(|(package, block, blocks)| {
            [SLOT, &package.to_le_bytes(), &u32::from(block).to_le_bytes(), &u32::from(blocks).to_le_bytes()].concat()
        });
        let file = [&FIXTURE[..32], &slots.collect::<Vec<_>>(), &bytes].concat();
        let _ = lengths_of(&file);
        let _ = lengths_of(&bytes);
    }
}
