use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;

type Pairs = BTreeMap<Vec<u8>, Vec<u8>>;

fn written(sections: &[(Compression, &Pairs)]) -> Vec<u8> {
    let mut writer = TableWriter::new(Vec::new());
    for (compression, pairs) in sections {
        writer.section(*compression, 64).expect("memory");
        for (key, value) in *pairs {
            writer.push(key, value).expect("in order");
        }
    }
    writer.finish(b"about").expect("memory")
}

fn open(bytes: &[u8]) -> Result<Table, TableError> {
    Table::open(Storage::Memory(Arc::from(bytes)))
}

fn numbers(count: u32) -> Pairs {
    (0..count).map(|number| (number.to_be_bytes().to_vec(), number.to_string().into_bytes())).collect()
}

/// Everything that a table says, or that it is not to be believed.
fn all(bytes: &[u8], keys: &Pairs) -> Result<Vec<Option<Vec<u8>>>, TableError> {
    let table = open(bytes)?;
    let get = |key: &Vec<u8>| Ok(table.get(0, key)?.map(|value| value.to_vec()));
    keys.keys().map(get).collect()
}

#[test]
fn keys_have_the_values_that_were_written() {
    let pairs = numbers(1000);
    let bytes = written(&[(Compression::None, &pairs), (Compression::Zstd(3), &pairs)]);
    let table = open(&bytes).expect("a table");
    assert_eq!(table.about(), b"about");
    table.verify().expect("whole");
    for section in [0, 1] {
        for (key, value) in &pairs {
            assert_eq!(table.get(section, key).expect("whole").as_deref(), Some(value.as_slice()));
        }
        for missing in [&[][..], b"zzzzz", &[0, 0, 0, 5, 0]] {
            assert!(table.get(section, missing).expect("whole").is_none());
        }
    }
    assert!(table.get(7, b"a").expect("whole").is_none());
}

#[test]
fn keys_of_a_prefix_are_found_in_all_blocks() {
    let keys = ["a", "log4j:1", "log4j:2", "log4j-api:1", "log4j:", "m"];
    let mut pairs: Pairs = keys.iter().map(|key| (key.as_bytes().to_vec(), key.as_bytes().to_vec())).collect();
    for number in 100..300 {
        pairs.insert(format!("many:{number}").into_bytes(), vec![b'x'; 20]);
    }
    let table = open(&written(&[(Compression::None, &pairs)])).map(|table| {
        let texts = |prefix: &str| {
            let values = table.get_all(0, prefix.as_bytes()).expect("whole");
            values.iter().map(|value| String::from_utf8_lossy(value).into_owned()).collect::<Vec<_>>()
        };
        assert_eq!(texts("log4j:"), ["log4j:", "log4j:1", "log4j:2"]);
        assert_eq!(texts("many:").len(), 200);
        assert_eq!((texts("zz").len(), texts("A").len()), (0, 0));
        assert_eq!(texts("").len(), pairs.len());
    });
    table.expect("a table");
}

#[test]
fn table_without_keys_is_a_table() {
    let empty = Pairs::new();
    let table = open(&written(&[(Compression::None, &empty)])).expect("a table");
    assert!(table.get(0, b"a").expect("whole").is_none() && table.get_all(0, b"").expect("whole").is_empty());
    table.verify().expect("whole");
}

#[test]
fn keys_out_of_order_are_refused() {
    let mut writer = TableWriter::new(Vec::new());
    assert!(writer.push(b"a", b"").is_err());
    writer.section(Compression::None, 64).expect("memory");
    writer.push(b"b", b"").expect("the first");
    assert!(writer.push(b"b", b"").is_err() && writer.push(b"a", b"").is_err());
}

#[test]
fn shorter_file_and_other_file_are_refused() {
    let pairs = numbers(100);
    let bytes = written(&[(Compression::None, &pairs)]);
    for length in 0..bytes.len() {
        assert!(matches!(open(&bytes[..length]), Err(TableError::Damaged(_))), "{length}");
    }
    assert!(matches!(open(&[0; 4096]), Err(TableError::Damaged(_))));
    let mut longer = bytes.clone();
    longer.insert(0, 0);
    assert!(open(&longer).is_err());
}

#[test]
fn later_format_is_named() {
    let mut bytes = written(&[]);
    let trailer = bytes.len() - TRAILER;
    bytes[trailer + 16] = 9;
    let crc = crc32fast::hash(&bytes[trailer..trailer + 20]).to_le_bytes();
    bytes[trailer + 20..trailer + 24].copy_from_slice(&crc);
    assert!(matches!(open(&bytes), Err(TableError::Format { found: 9 })));
}

#[test]
fn each_fallen_bit_is_noticed_by_who_would_have_believed_it() {
    let pairs = numbers(40);
    let bytes = written(&[(Compression::None, &pairs)]);
    let whole = all(&bytes, &pairs).expect("whole");
    for position in 0..bytes.len() {
        for bit in 0..8 {
            let mut damaged = bytes.clone();
            damaged[position] ^= 1 << bit;
            // A CRC finds every single bit.
            match all(&damaged, &pairs) {
                Err(_) => {}
                Ok(said) => panic!("bit {bit} of byte {position} went unnoticed: {}", said == whole),
            }
        }
    }
}

/// A file whose checksums are right and whose content is made to do harm.
fn signed(directory: &[u8], blocks: &[u8]) -> Vec<u8> {
    let mut bytes = blocks.to_vec();
    bytes.extend_from_slice(directory);
    let mut trailer = Vec::new();
    trailer.extend_from_slice(&(blocks.len() as u64).to_le_bytes());
    trailer.extend_from_slice(&u32::try_from(directory.len()).expect("short").to_le_bytes());
    trailer.extend_from_slice(&crc32fast::hash(directory).to_le_bytes());
    trailer.extend_from_slice(&FORMAT.to_le_bytes());
    trailer.extend_from_slice(&crc32fast::hash(&trailer).to_le_bytes());
    trailer.extend_from_slice(&MAGIC);
    bytes.extend(trailer);
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn directory_of_any_bytes_does_no_harm(
        directory in prop::collection::vec(any::<u8>(), 0..60),
        blocks in prop::collection::vec(any::<u8>(), 0..60),
    ) {
        if let Ok(table) = open(&signed(&directory, &blocks)) {
            let _ = table.verify();
            let _ = table.get(0, b"a");
            let _ = table.get_all(0, b"");
        }
    }

    #[test]
    fn block_of_any_bytes_does_no_harm(
        block in prop::collection::vec(prop_oneof![0_u8..4, any::<u8>()], 0..80),
        inflated in 0_u8..127,
        is_compressed in 0_u8..2,
        key in prop::collection::vec(0_u8..4, 0..3),
    ) {
        let mut section = vec![is_compressed, 1, 0, u8::try_from(block.len()).expect("short"), inflated];
        section.extend(crc32fast::hash(&block).to_le_bytes());
        let mut directory = vec![0, 1, u8::try_from(section.len()).expect("short")];
        directory.extend(section);
        let table = open(&signed(&directory, &block)).expect("a directory");
        let _ = table.verify();
        let _ = table.get(0, &key);
        let _ = table.get_all(0, &key);
    }

    #[test]
    fn what_was_written_is_found(
        pairs in prop::collection::btree_map(
            prop::collection::vec(any::<u8>(), 0..6),
            prop::collection::vec(any::<u8>(), 0..90),
            0..60,
        ),
        other in prop::collection::vec(any::<u8>(), 0..6),
    ) {
        for compression in [Compression::None, Compression::Zstd(1)] {
            let table = open(&written(&[(compression, &pairs)])).expect("a table");
            table.verify().expect("whole");
            for key in pairs.keys().chain([&other]) {
                let found = table.get(0, key).expect("whole");
                prop_assert_eq!(found.as_deref(), pairs.get(key).map(Vec::as_slice));
            }
            let with_prefix = pairs.iter().filter(|(key, _)| key.starts_with(&other));
            let expected: Vec<_> = with_prefix.map(|(_, value)| value.clone()).collect();
            let found: Vec<_> = table.get_all(0, &other).expect("whole").iter().map(|v| v.to_vec()).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
