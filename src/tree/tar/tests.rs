use std::fmt::Write as _;
use std::io::Read as _;

use proptest::prelude::*;

use super::*;

/// A ustar header with these fields and a right checksum.
fn header(name: &str, flag: u8, size: &[u8]) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    block[..name.len()].copy_from_slice(name.as_bytes());
    block[100..107].copy_from_slice(b"0000644");
    block[124..124 + size.len()].copy_from_slice(size);
    block[156] = flag;
    block[257..265].copy_from_slice(b"ustar\x0000");
    with_checksum(block)
}

fn gnu(mut block: [u8; BLOCK]) -> [u8; BLOCK] {
    block[257..265].copy_from_slice(b"ustar  \0");
    with_checksum(block)
}

fn with_checksum(mut block: [u8; BLOCK]) -> [u8; BLOCK] {
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

fn padded(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
    bytes
}

/// A member with its data.
fn member(name: &str, flag: u8, data: &[u8]) -> Vec<u8> {
    [&header(name, flag, format!("{:011o}", data.len()).as_bytes())[..], &padded(data)].concat()
}

fn pax(records: &[(&str, &str)]) -> Vec<u8> {
    let mut text = String::new();
    for (key, value) in records {
        // The length counts its own digits.
        let rest = key.len() + value.len() + 3;
        let length =
            (1..6).map(|digits| rest + digits).find(|length| length.to_string().len() + rest == *length);
        writeln!(text, "{} {key}={value}", length.expect("short")).expect("to memory");
    }
    member("PaxHeaders/x", b'x', text.as_bytes())
}

const END: [u8; 2 * BLOCK] = [0; 2 * BLOCK];

/// Names and contents of all members; contents are cut at 1000 bytes.
fn read_all(archive: &[u8]) -> Result<Vec<(String, Vec<u8>)>, Damage> {
    let mut tar = TarReader::new(archive, &Limits::default());
    let mut all = Vec::new();
    while let Some(member) = tar.next_member()? {
        let mut content = Vec::new();
        // What goes wrong here comes again from the next member.
        let _ = (&mut tar).take(1000).read_to_end(&mut content);
        all.push((String::from_utf8_lossy(&member.name).into_owned(), content));
    }
    Ok(all)
}

fn files(archive: &[&[u8]]) -> Vec<(String, String)> {
    let all = read_all(&archive.concat()).expect("whole");
    all.into_iter().map(|(name, content)| (name, String::from_utf8_lossy(&content).into_owned())).collect()
}

fn pair(name: &str, content: &str) -> (String, String) {
    (name.to_owned(), content.to_owned())
}

#[test]
fn members_are_read_one_after_the_other() {
    let archive =
        [member("a", b'0', b"one"), member("dir/", b'5', b""), member("b", b'0', &[b'x'; 512])].concat();
    let expected = [pair("a", "one"), pair("dir/", ""), pair("b", &"x".repeat(512))];
    assert_eq!(files(&[&archive, &END, b"rubbish after the end"]), expected);
    assert_eq!(files(&[&archive]), expected, "without an end mark");
    assert_eq!(files(&[&archive, &END[..BLOCK]]), expected, "with half an end mark");
}

#[test]
fn long_names_win_over_pax_and_pax_over_the_header() {
    let long = member("././@LongLink", b'L', b"long\0");
    let archive = [pax(&[("path", "from pax")]), member("c", b'0', b"1")].concat();
    assert_eq!(files(&[&archive])[0].0, "from pax");
    let archive = [pax(&[("path", "from pax")]), long, member("c", b'0', b"1")].concat();
    assert_eq!(files(&[&archive])[0].0, "long");
}

#[test]
fn ustar_prefix_comes_before_the_name() {
    let mut block = header("name", b'0', b"0");
    block[345..351].copy_from_slice(b"prefix");
    assert_eq!(files(&[&with_checksum(block)])[0].0, "prefix/name");
}

#[test]
fn pax_size_overrides_the_header() {
    let mut data = padded(b"12345");
    let archive = [pax(&[("size", "5")]), header("a", b'0', b"0").to_vec(), std::mem::take(&mut data)].concat();
    assert_eq!(files(&[&archive, &member("b", b'0', b"next")]), [pair("a", "12345"), pair("b", "next")]);
}

#[test]
fn global_headers_change_nothing_as_in_go() {
    let mut global = pax(&[("path", "everywhere"), ("size", "7")]);
    global[156] = b'g';
    let block: [u8; BLOCK] = global[..BLOCK].try_into().expect("a block");
    global[..BLOCK].copy_from_slice(&with_checksum(block));
    assert_eq!(
        files(&[&global, &member("a", b'0', b"one"), &member("b", b'0', b"")]),
        [pair("a", "one"), pair("b", "")]
    );
}

#[test]
fn links_have_no_data_whatever_their_size_says() {
    let link = header("link", b'1', b"00000001000");
    assert_eq!(files(&[&link, &member("b", b'0', b"next")]), [pair("link", ""), pair("b", "next")]);
}

#[test]
fn sizes_in_base_256_are_read() {
    let size = [0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4];
    let archive = [&gnu(header("a", b'0', &size))[..], &padded(b"data")].concat();
    assert_eq!(files(&[&archive, &member("b", b'0', b"")]), [pair("a", "data"), pair("b", "")]);
}

#[test]
fn old_gnu_sparse_files_expand_to_their_holes() {
    let mut block = header("sparse", b'S', b"00000000004");
    block[386..397].copy_from_slice(b"00000000002");
    block[398..409].copy_from_slice(b"00000000002");
    block[482] = 1;
    block[483..494].copy_from_slice(b"00000000012");
    let mut extension = [0; BLOCK];
    extension[..11].copy_from_slice(b"00000000006");
    extension[12..23].copy_from_slice(b"00000000002");
    let archive = [&gnu(block)[..], &extension, &padded(b"abcd")].concat();
    assert_eq!(
        files(&[&archive, &member("b", b'0', b"next")]),
        [pair("sparse", "\0\0ab\0\0cd\0\0"), pair("b", "next")]
    );
}

#[test]
fn pax_sparse_files_of_all_formats_expand_to_their_holes() {
    let data = member("made/up", b'0', b"abcd");
    let maps: [&[(&str, &str)]; 2] = [
        &[
            ("GNU.sparse.size", "10"),
            ("GNU.sparse.offset", "2"),
            ("GNU.sparse.numbytes", "2"),
            ("GNU.sparse.offset", "6"),
            ("GNU.sparse.numbytes", "2"),
            ("GNU.sparse.name", "real"),
        ],
        &[("GNU.sparse.size", "10"), ("GNU.sparse.map", "2,2,6,2"), ("GNU.sparse.name", "real")],
    ];
    let expected = [pair("real", "\0\0ab\0\0cd\0\0"), pair("b", "next")];
    for map in maps {
        assert_eq!(files(&[&pax(map), &data, &member("b", b'0', b"next")]), expected);
    }
    let format_1 = [
        ("GNU.sparse.major", "1"),
        ("GNU.sparse.minor", "0"),
        ("GNU.sparse.realsize", "10"),
        ("GNU.sparse.name", "real"),
    ];
    let data = member("made/up", b'0', &[padded(b"2\n2\n2\n6\n2\n"), b"abcd".to_vec()].concat());
    assert_eq!(files(&[&pax(&format_1), &data, &member("b", b'0', b"next")]), expected);
}

#[test]
fn a_sparse_file_of_too_many_pieces_is_unreadable_and_what_follows_is_not() {
    let limits = Limits { sparse_extents: 1, ..Limits::default() };
    let map = pax(&[("GNU.sparse.size", "10"), ("GNU.sparse.map", "2,2,6,2")]);
    let archive = [map, member("a", b'0', b"abcd"), member("b", b'0', b"next")].concat();
    let mut tar = TarReader::new(&archive[..], &limits);
    assert_eq!(tar.next_member().expect("whole").expect("there").name, b"a");
    assert!(tar.read(&mut [0; 10]).is_err());
    assert_eq!(tar.next_member().expect("whole").expect("there").name, b"b");
}

#[test]
fn content_can_be_skipped_forward_and_not_back() {
    let archive = [member("a", b'0', b"0123456789"), member("b", b'0', b"")].concat();
    let mut tar = TarReader::new(&archive[..], &Limits::default());
    tar.next_member().expect("whole");
    tar.skip_to(4).expect("forward");
    let mut two = [0; 2];
    tar.read_exact(&mut two).expect("there");
    assert_eq!(&two, b"45");
    assert!(tar.skip_to(1).is_err());
    tar.skip_to(100).expect("to the end");
    assert_eq!(tar.read(&mut two).expect("the end"), 0);
    assert_eq!(tar.next_member().expect("whole").expect("there").name, b"b");
}

#[test]
fn damage_is_named() {
    let whole = member("a", b'0', b"one");
    let mut wrong = whole.clone();
    wrong[0] = b'b';
    let huge = header("x", b'x', b"77777777777").to_vec();
    let only_extensions = pax(&[("path", "a")]).repeat(100);
    let damages: Vec<String> = [
        read_all(&wrong),
        read_all(&whole[..BLOCK + 2]),
        read_all(&whole[..100]),
        read_all(&[&END[..BLOCK], &whole].concat()),
        read_all(&huge),
        read_all(&only_extensions),
        read_all(&header("a", b'0', b"xyz")),
        read_all(&member("x", b'x', b"9 path\n")),
    ]
    .into_iter()
    .map(|result| result.expect_err("damaged").to_string())
    .collect();
    assert_eq!(
        damages,
        [
            "the checksum of a header is wrong",
            "it ends in the middle of an entry",
            "it ends in the middle of an entry",
            "an entry follows the mark of the end",
            "an extended header has 8589934591 bytes",
            "too many extended headers before one entry",
            "the size of a header is not a number",
            "an extended header is malformed",
        ]
    );
}

#[test]
fn archives_of_the_tar_crate_are_read_the_same() {
    let long = "very/".repeat(60) + "long";
    let mut builder = ::tar::Builder::new(Vec::new());
    for (name, content) in [("a", "one"), (&long, "two"), ("dir/b", "")] {
        let mut header = ::tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, content.as_bytes()).expect("to memory");
    }
    let archive = builder.into_inner().expect("to memory");
    assert_eq!(files(&[&archive]), [pair("a", "one"), pair(&long, "two"), pair("dir/b", "")]);
}

/// A block that passes as a header, with hostile fields.
fn hostile_block() -> impl Strategy<Value = Vec<u8>> {
    let flag = prop::sample::select(b"01234567xgLKS\0V".to_vec());
    let size = prop::sample::select(vec![
        &b"00000000000"[..],
        b"00000000003",
        b"00000001000",
        b"77777777777",
        b"\x80\x7f\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff",
        b"-1",
    ]);
    let tail = prop::collection::vec(any::<u8>(), 126);
    (flag, size, tail, any::<bool>(), prop::collection::vec(any::<u8>(), 0..20)).prop_map(
        |(flag, size, tail, is_gnu, data)| {
            let mut block = header("name", flag, size);
            block[386..].copy_from_slice(&tail);
            let block = if is_gnu { gnu(block) } else { with_checksum(block) };
            [&block[..], &padded(&data)].concat()
        },
    )
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        let _ = read_all(&bytes);
    }

    #[test]
    fn headers_that_pass_never_panic(blocks in prop::collection::vec(hostile_block(), 0..6)) {
        let _ = read_all(&blocks.concat());
    }

    #[test]
    fn extended_headers_that_pass_never_panic(
        records in prop::collection::vec(("(GNU.sparse.(map|size|offset|numbytes|major|minor|realsize|name)|size|path)", "[0-9,]{0,22}"), 0..6),
        data in "[0-9\n]{0,40}",
    ) {
        let records: Vec<_> = records.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        let _ = read_all(&[pax(&records), member("a", b'0', data.as_bytes()), member("b", b'0', b"")].concat());
    }
}
