use proptest::prelude::*;

use super::super::super::tests::source_of;
use super::*;

/// Five headers in pages of 512 bytes: overflow chains, and a tree with two leaves.
const FIXTURE: &[u8] = include_bytes!("../testdata/rpmdb.sqlite");

fn rows_of(file: &[u8], table: &str) -> Result<Vec<usize>, GapCause> {
    let file = source_of(file);
    let mut lengths = Vec::new();
    Database::open(&file)?.rows(table, &mut |row| {
        lengths
            .push(row.iter().map(|value| if let Value::Bytes(bytes) = value { bytes.len() } else { 0 }).sum());
        Ok(())
    })?;
    Ok(lengths)
}

fn damage(file: &[u8]) -> String {
    rows_of(file, "Packages").expect_err("damaged").to_string()
}

fn page_of(file: &mut [u8], number: usize) -> &mut [u8] {
    &mut file[(number - 1) * 512..number * 512]
}

#[test]
fn rows_are_read_in_order_and_whole() {
    assert_eq!(rows_of(FIXTURE, "Packages"), Ok(vec![1904, 10_084, 1892, 1284, 1592]));
}

#[test]
fn values_of_every_kind_are_told_apart() {
    // Header of 8 bytes: null, 1 byte, 2 bytes, the constants, 3 bytes of blob, 2 of text; as "Record Format" has it.
    let payload = [8, 0, 1, 2, 8, 9, 18, 17, 0xff, 0x01, 0x00, b'a', b'b', b'c', b'd', b'e'];
    assert_eq!(
        values(&payload),
        Ok(vec![
            Value::Other,
            Value::Integer(-1),
            Value::Integer(256),
            Value::Integer(0),
            Value::Integer(1),
            Value::Bytes(b"abc"),
            Value::Bytes(b"de"),
        ])
    );
    assert!(values(&payload[..15]).is_err());
    assert!(values(&[3, 10, 1]).is_err());
}

#[test]
fn payloads_are_split_as_sqlite_splits_them() {
    // Pages of 4096 bytes: X is 4061 and M is 489.
    for (length, local) in [(0, 0), (4061, 4061), (4062, 489), (4581, 489), (4582, 490), (9000, 816)] {
        assert_eq!(local_length(length, 4096), local, "{length}");
    }
}

#[test]
fn a_tree_or_chain_that_leads_in_circles_is_damaged() {
    let mut file = FIXTURE.to_vec();
    // The root of the table is interior; its last child becomes the root itself.
    assert_eq!(page_of(&mut file, 2)[0], INTERIOR);
    for (child, how) in [
        (2, "its page 2 is referred to twice"),
        (0, "it refers to page 0, which it has not"),
        (u32::MAX, "it refers to page 4294967295, which it has not"),
    ] {
        page_of(&mut file, 2)[8..12].copy_from_slice(&child.to_be_bytes());
        assert_eq!(damage(&file), format!("is damaged: {how}"));
    }
}

#[test]
fn what_is_no_database_or_is_cut_off_is_damaged() {
    assert_eq!(damage(&[0; 200]), "is damaged: it is no SQLite database");
    assert_eq!(damage(b"SQLite format 3\0"), "is damaged: it is cut off");
    assert_eq!(damage(&FIXTURE[..FIXTURE.len() / 2]).split(" page").next(), Some("is damaged: it refers to"));
    let mut file = FIXTURE.to_vec();
    file[16] = 3;
    assert_eq!(damage(&file), "is damaged: its pages have an impossible size");
    assert_eq!(
        rows_of(FIXTURE, "Other").expect_err("no such table").to_string(),
        "is damaged: it has no table \"Other\""
    );
}

#[test]
fn cells_that_overlap_are_damaged() {
    let mut file = FIXTURE.to_vec();
    // The leaf of the schema: its list of cells names the first one again and again.
    let page = page_of(&mut file, 6);
    assert_eq!(page[0], LEAF);
    page[3..5].copy_from_slice(&20_u16.to_be_bytes());
    for index in 1..20 {
        page.copy_within(8..10, 8 + 2 * index);
    }
    assert_eq!(damage(&file), "is damaged: entries of it overlap");
}

proptest! {
    #[test]
    fn damaged_databases_end_with_what_they_hold_or_a_gap(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..30),
        in_headers in any::<bool>(),
    ) {
        let mut file = FIXTURE.to_vec();
        for (index, byte) in changes {
            // Most of the file is content; pages begin with what leads through it.
            let at = if in_headers { index.index(file.len() / 512) * 512 + index.index(24) } else { index.index(file.len()) };
            file[at] = byte;
        }
        if let Ok(rows) = rows_of(&file, "Packages") {
            // No page is read twice, so no more can come out than goes in.
            prop_assert!(rows.iter().sum::<usize>() <= file.len());
        }
    }

    #[test]
    fn arbitrary_pages_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        let file = [&FIXTURE[..100], &bytes].concat();
        let _ = rows_of(&file, "Packages");
    }

    #[test]
    fn varints_end_within_nine_bytes(bytes in prop::collection::vec(any::<u8>(), 0..12)) {
        if let Some((_, rest)) = varint(&bytes) {
            prop_assert!((1..=9).contains(&(bytes.len() - rest.len())));
        }
    }
}
