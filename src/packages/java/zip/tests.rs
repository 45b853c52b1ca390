use std::io::Write as _;

use ::zip::CompressionMethod;
use ::zip::write::{SimpleFileOptions, ZipWriter};
use proptest::prelude::*;

use super::super::super::read::Slice;
use super::*;

/// A zip of members (name, is compressed, bytes).
pub(in super::super) fn zip_of(members: &[(&str, bool, &[u8])]) -> Vec<u8> {
    let mut writer = ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, is_deflated, bytes) in members {
        let method = if *is_deflated { CompressionMethod::Deflated } else { CompressionMethod::Stored };
        writer.start_file(*name, SimpleFileOptions::default().compression_method(method)).expect("to memory");
        writer.write_all(bytes).expect("to memory");
    }
    writer.finish().expect("to memory").into_inner()
}

fn two() -> Vec<u8> {
    zip_of(&[("a", true, &[b'a'; 5000]), ("b/c", false, b"stored")])
}

type Members = Result<Vec<(String, Result<Vec<u8>, String>)>, String>;

/// Names with their unpacked bytes, or why they could not be had.
fn members(bytes: &[u8]) -> Members {
    let file = Slice(bytes);
    let zip = Zip::open(&file).map_err(|cause| cause.to_string())?.ok_or("no zip")?;
    let mut found = Vec::new();
    let ended = zip.members(&mut |member| {
        let unpacked = zip.packed(member).map_err(|cause| cause.to_string()).and_then(|packed| {
            let mut bytes = Vec::new();
            let read = packed.reader().take(10_000).read_to_end(&mut bytes);
            read.map(|_| bytes).map_err(|error| error.to_string())
        });
        found.push((String::from_utf8_lossy(member.name).into_owned(), unpacked));
        Ok(())
    });
    ended.map_err(|cause| cause.to_string())?;
    Ok(found)
}

#[allow(clippy::unnecessary_wraps, reason = "to compare with")]
fn whole() -> Members {
    Ok(vec![("a".to_owned(), Ok(vec![b'a'; 5000])), ("b/c".to_owned(), Ok(b"stored".to_vec()))])
}

/// Where the record that ends the zip stands.
fn end(zip: &[u8]) -> usize {
    memchr::memmem::rfind(zip, b"PK\x05\x06").expect("an end")
}

#[test]
fn members_are_found_whatever_stands_before_and_after_the_zip() {
    let zip = two();
    assert_eq!(members(&zip), whole());
    assert_eq!(members(&[b"#!/bin/sh\nexec java -jar $0\n", &zip[..]].concat()), whole());
    assert_eq!(members(&[&zip[..], b"rubbish"].concat()), whole());
    let mut commented = zip.clone();
    let comment = b"PK\x05\x06 is what this comment says, and goes on for longer than an end";
    let at = commented.len() - 2;
    commented[at..].copy_from_slice(&u16::try_from(comment.len()).expect("short").to_le_bytes());
    commented.extend(comment);
    assert_eq!(members(&commented), whole());
}

#[test]
fn offsets_may_count_what_was_put_before_the_zip() {
    let script = b"#!/bin/sh\n";
    let mut zip = [&script[..], &two()[..]].concat();
    let shift = u32::try_from(script.len()).expect("short");
    let records: Vec<usize> = memchr::memmem::find_iter(&zip, b"PK\x01\x02").collect();
    assert_eq!(records.len(), 2);
    for at in records.iter().map(|record| record + 42).chain([end(&zip) + 16]) {
        let old = u32::from_le_bytes(zip[at..at + 4].try_into().expect("four"));
        zip[at..at + 4].copy_from_slice(&(old + shift).to_le_bytes());
    }
    assert_eq!(members(&zip), whole());
}

#[test]
fn wide_numbers_are_read_where_the_narrow_ones_are_full() {
    let zip = two();
    let end = end(&zip);
    let (size, offset) = (number(&zip, end + 12, 4), number(&zip, end + 16, 4));
    let mut wide = zip[..end].to_vec();
    wide.extend(b"PK\x06\x06");
    wide.extend(44_u64.to_le_bytes());
    wide.extend([45, 0, 45, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    wide.extend([2_u64, 2, size, offset].iter().flat_map(|number| number.to_le_bytes()));
    wide.extend(b"PK\x06\x07\0\0\0\0");
    wide.extend(u64::try_from(end).expect("small").to_le_bytes());
    wide.extend([1, 0, 0, 0]);
    wide.extend(b"PK\x05\x06\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\0\0");
    assert_eq!(members(&wide), whole());
    assert_eq!(members(&[b"#!/bin/sh\n", &wide[..]].concat()), whole());
    let mut record = [0; RECORD];
    for at in [20, 24, 42] {
        record[at..at + 4].fill(0xff);
    }
    let extra = [&[9, 9, 1, 0, 7, 1, 0, 24, 0][..], &[[1; 8], [2; 8], [3; 8]].concat()].concat();
    let member = Member::of(&record, b"a", &extra);
    assert_eq!(
        (member.size, member.packed, member.header),
        (0x0101_0101_0101_0101, 0x0202_0202_0202_0202, 0x0303_0303_0303_0303)
    );
}

#[test]
fn what_cannot_be_unpacked_says_why_and_no_other_member_is_lost() {
    let directory = memchr::memmem::find(&two(), b"PK\x01\x02").expect("a directory");
    for (at, byte, why) in [
        (8, 1, "cannot be read: it is encrypted"),
        (10, 93, "cannot be read: it is compressed by method 93, which is not known"),
        (26, 1, "is damaged: the directory of the zip gives it an impossible size"),
        (22, 9, "is damaged: a member of the zip lies outside of it"),
        (45, 9, "is damaged: no member of the zip lies where its directory says"),
        (42, 9, "is damaged: no member of the zip lies where its directory says"),
    ] {
        let mut zip = two();
        zip[directory + at] = byte;
        let found = members(&zip).expect("a zip");
        assert_eq!(found[0].1, Err(why.to_owned()), "{at}");
        assert_eq!(found[1].1, Ok(b"stored".to_vec()), "{at}");
    }
}

#[test]
fn what_is_no_zip_is_none() {
    for bytes in [&b""[..], b"version https://git-lfs.github.com/spec/v1\n", b"PK\x05\x06", &[0; 9_000]] {
        assert_eq!(members(bytes), Err("no zip".to_owned()));
    }
    let zip = two();
    assert_eq!(members(&zip[..zip.len() - 1]), Err("no zip".to_owned()));
    assert_eq!(members(&zip_of(&[])), Ok(Vec::new()));
}

#[test]
fn a_directory_that_is_cut_short_is_damage() {
    let mut zip = two();
    let second = memchr::memmem::rfind(&zip, b"PK\x01\x02").expect("a directory");
    zip[second] = b'X';
    assert_eq!(
        members(&zip),
        Err("is damaged: the directory of the zip is cut short or overwritten".to_owned())
    );
}

#[test]
fn a_large_member_is_not_read_to_find_the_others() {
    struct Counting<'a>(&'a [u8], std::cell::Cell<usize>);
    impl ReadAt for Counting<'_> {
        fn size(&self) -> u64 {
            ReadAt::size(self.0)
        }
        fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize> {
            let count = self.0.read_at(buf, at)?;
            self.1.set(self.1.get() + count);
            Ok(count)
        }
    }
    let bytes = zip_of(&[("large", false, &vec![7; 3 << 20]), ("small", true, b"small")]);
    let file = Counting(&bytes, std::cell::Cell::new(0));
    let zip = Zip::open(&file).expect("readable").expect("a zip");
    let mut names = 0;
    zip.members(&mut |_| {
        names += 1;
        Ok(())
    })
    .expect("whole");
    assert_eq!(names, 2);
    assert!(file.1.get() < 400, "{} bytes", file.1.get());
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), is_end in any::<bool>()) {
        let end: &[u8] = if is_end { b"PK\x05\x06\0\0\0\0\x01\0\x01\0\x2e\0\0\0\x05\0\0\0\0\0" } else { b"" };
        let _ = members(&[b"PK\x01\x02", &bytes[..], end].concat());
    }

    #[test]
    fn arbitrary_changes_to_a_zip_never_panic(
        changes in prop::collection::vec((0_usize..400, any::<u8>()), 1..4),
        cut in 0_usize..400,
    ) {
        let mut zip = two();
        for (at, byte) in changes {
            if let Some(place) = zip.get_mut(at) {
                *place = byte;
            }
        }
        let _ = members(&zip[cut.min(zip.len()) * usize::from(cut % 3 == 0)..]);
    }
}
