use proptest::prelude::*;

use super::super::super::tests::source_of;
use super::*;

/// Both were written by `db_load` of Berkeley DB 5.3 from headers of the database in SQLite beside them, and rpm itself lists
/// them with its backend `bdb_ro`. Little-endian, pages of 512 bytes: all five headers have pages of their own.
const LITTLE: &[u8] = include_bytes!("../testdata/Packages");
/// Pages of 1024 bytes; the header of `zero` was stripped to what names it, so that it stands on the page of its bucket.
const BIG: &[u8] = include_bytes!("../testdata/Packages.big-endian");

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

/// A file with these bytes at a place.
fn changed(file: &[u8], at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut file = file.to_vec();
    file[at..at + bytes.len()].copy_from_slice(bytes);
    file
}

/// Number of the first page of a kind, which has 512 bytes.
fn page_of(kind: u8) -> usize {
    LITTLE.chunks(512).skip(1).position(|page| page[25] == kind && page[20] > 0).expect("one") + 1
}

#[test]
fn headers_are_read_whole_wherever_they_lie_and_the_counter_is_none() {
    let sorted = |file| {
        let mut lengths = lengths_of(file).expect("whole");
        lengths.sort_unstable();
        lengths
    };
    assert_eq!(sorted(LITTLE), [1284, 1592, 1892, 1904, 10_084].map(Some));
    assert_eq!(sorted(BIG), [172, 1592, 1892, 1904].map(Some));
}

#[test]
fn buckets_made_before_they_were_sorted_are_read_too() {
    let mut file = LITTLE.to_vec();
    for page in file.chunks_mut(512).skip(1).filter(|page| page[25] == SORTED) {
        page[25] = UNSORTED;
    }
    assert_eq!(lengths_of(&file), lengths_of(LITTLE));
}

#[test]
fn a_value_that_leads_in_circles_is_damaged_and_the_others_are_not() {
    let page = page_of(OVERFLOW);
    for next in [page, 0, 1, 9999] {
        let next = u32::try_from(next).expect("small").to_le_bytes();
        let lengths = lengths_of(&changed(LITTLE, page * 512 + 16, &next)).expect("the others");
        assert_eq!(lengths.iter().filter(|length| length.is_none()).count(), 1, "{next:?}");
        assert_eq!(lengths.len(), 5);
    }
}

#[test]
fn a_value_that_leads_to_a_bucket_does_not_take_it() {
    // The second bucket, which is read after the first one with all its values.
    let page = page_of(OVERFLOW);
    let lengths = lengths_of(&changed(LITTLE, page * 512 + 16, &[2])).expect("the others");
    assert_eq!(lengths.iter().flatten().count(), 4);
}

#[test]
fn a_length_that_is_claimed_is_not_believed() {
    let page = page_of(SORTED);
    let bucket = &LITTLE[page * 512..][..512];
    let mut values =
        (0..bucket[20] / 2).filter_map(|pair| Order::Little.half(bucket, 28 + 4 * usize::from(pair)));
    let item = values.find(|&value| bucket[value] == ELSEWHERE).expect("one");
    let claim = |length: u32| changed(LITTLE, page * 512 + item + 8, &length.to_le_bytes());
    assert_eq!(lengths_of(&claim(30 << 20)).expect("the others").iter().flatten().count(), 4);
    assert_eq!(damage(&claim(u32::MAX)), "holds an entry of more than the 33554432 bytes that are read");
}

#[test]
fn items_that_overlap_or_have_no_value_are_damaged() {
    let page = page_of(SORTED) * 512;
    let first = [LITTLE[page + 26], LITTLE[page + 27]];
    let overlapping = changed(LITTLE, page + 28, &first);
    assert_eq!(damage(&overlapping), "is damaged: something in it lies outside of its page");
    assert_eq!(damage(&changed(LITTLE, page + 20, &[1, 0])), "is damaged: a key of it has no value");
    assert_eq!(
        damage(&changed(LITTLE, page + 20, &[0xfe, 0xff])),
        "is damaged: something in it lies outside of its page"
    );
}

#[test]
fn what_is_no_hash_or_is_cut_off_is_damaged() {
    for (file, how) in [
        (vec![0; 600], "it is no hash of Berkeley DB"),
        (LITTLE[..511].to_vec(), "it is cut off"),
        (LITTLE[..LITTLE.len() - 1].to_vec(), "it is cut off"),
        (changed(LITTLE, 16, &[7]), "it is of a version of Berkeley DB that is not read"),
        (changed(LITTLE, 24, &[1]), "its pages are encrypted or have checksums"),
        (changed(LITTLE, 26, &[1]), "its pages are encrypted or have checksums"),
        (changed(LITTLE, 20, &[1]), "its pages have an impossible size"),
        (changed(LITTLE, 20, &[0, 0]), "its pages have an impossible size"),
        (changed(LITTLE, 512 + 8, &[99]), "its page 1 is another one"),
    ] {
        assert_eq!(damage(&file), format!("is damaged: {how}"));
    }
}

proptest! {
    #[test]
    fn damaged_hashes_give_no_more_than_they_hold(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..30),
        in_headers in any::<bool>(),
        is_big in any::<bool>(),
    ) {
        let (mut file, page) = if is_big { (BIG.to_vec(), 1024) } else { (LITTLE.to_vec(), 512) };
        for (index, byte) in changes {
            // Most of the file is content; pages begin with what leads through it.
            let at = if in_headers { index.index(file.len() / page) * page + index.index(60) } else { index.index(file.len()) };
            file[at] = byte;
        }
        if let Ok(lengths) = lengths_of(&file) {
            prop_assert!(lengths.iter().flatten().sum::<usize>() <= file.len());
        }
    }

    #[test]
    fn arbitrary_pages_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..3000)) {
        let mut file = [&LITTLE[..512], &bytes].concat();
        let last = u32::try_from((file.len() / 512).saturating_sub(1)).expect("small");
        file[32..36].copy_from_slice(&last.to_le_bytes());
        for (number, page) in file.chunks_exact_mut(512).enumerate().skip(1) {
            page[8..12].copy_from_slice(&u32::try_from(number).expect("small").to_le_bytes());
            page[25] = [UNSORTED, SORTED, OVERFLOW][usize::from(page[25] % 3)];
            page[21] = 0;
        }
        let _ = lengths_of(&file);
        let _ = lengths_of(&bytes);
    }
}
