use std::io::Write as _;

use proptest::prelude::*;

use super::super::tests::{entry, source_of};
use super::*;

fn read_at(path: &str, bytes: &[u8]) -> Result<PythonDistribution, GapCause> {
    let bytes = source_of(bytes);
    read(&entry(path), Source::Random(&bytes)).map(|evidence| match evidence {
        Evidence::Python(distribution) => distribution.expect("a distribution"),
        other => panic!("not Python: {other:?}"),
    })
}

fn parse(text: &str) -> PythonDistribution {
    read_at("usr/lib/python3/dist-packages/x.dist-info/METADATA", text.as_bytes()).expect("readable")
}

fn licenses(headers: &str) -> Vec<String> {
    parse(&format!("Metadata-Version: 2.1\nName: a\nVersion: 1\n{headers}\n\nLicense: none of mine\n")).licenses
}

#[test]
fn metadata_are_found_in_all_forms_and_nowhere_else() {
    for (path, expected) in [
        ("usr/lib/python3.12/site-packages/six-1.16.0.dist-info/METADATA", Some(Form::Headers)),
        ("usr/lib/python3/site-packages/pip/_vendor/rich-13.0.dist-info/METADATA", Some(Form::Headers)),
        ("usr/lib/python3/dist-packages/PyJWT-2.6.0.egg-info/PKG-INFO", Some(Form::Headers)),
        ("usr/lib/python3/dist-packages/six-1.16.0.egg-info", Some(Form::Headers)),
        ("opt/a/tests/b.egg-info/PKG-INFO", Some(Form::Headers)),
        ("usr/lib/python3/site-packages/a-1-py3.8.egg/EGG-INFO/PKG-INFO", Some(Form::Headers)),
        ("usr/lib/python3/site-packages/a-1-py3.8.egg", Some(Form::Egg)),
        ("usr/lib/python3/site-packages/six-1.16.0.dist-info/RECORD", None),
        ("usr/lib/python3/site-packages/six/METADATA", None),
        ("src/six-1.16.0/PKG-INFO", None),
        ("usr/lib/python3/site-packages/pkg_resources/tests/data/a-1.egg/EGG-INFO/PKG-INFO", None),
        ("usr/lib/python3.13/test/test_importlib/metadata/data/example-21.12-py3.6.egg", None),
    ] {
        assert_eq!(form(&entry(path).path), expected, "{path}");
    }
}

#[test]
fn headers_end_at_the_empty_line() {
    let distribution = parse(
        "Metadata-Version: 2.1\r\nname: Flask_Login\r\nVERSION:  3.0.0 \r\n\r\nName: other\r\nVersion: 9\r\n",
    );
    assert_eq!((distribution.name.as_str(), distribution.version.as_str()), ("Flask_Login", "3.0.0"));
}

#[test]
fn folded_repeated_and_foreign_bytes_are_read_as_pip_does() {
    let path = "x.dist-info/METADATA";
    let text = b"Name:\n caf\xe9\nVersion: 1.0\nAuthor: x\nVersion: 2.0\nSummary: a\n Name: b\n\tVersion: 3\n";
    let distribution = read_at(path, text).expect("readable");
    assert_eq!((distribution.name.as_str(), distribution.version.as_str()), ("caf\u{fffd}", "1.0"));
}

#[test]
fn licences_are_taken_from_the_most_exact_header() {
    for (headers, expected) in [
        ("License-Expression: MIT OR Apache-2.0\nLicense: MIT", &["MIT OR Apache-2.0"][..]),
        ("License: BSD-3-Clause\nClassifier: License :: OSI Approved :: BSD License", &["BSD-3-Clause"]),
        ("License: UNKNOWN\nClassifier: License :: OSI Approved :: MIT License", &["MIT License"]),
        (
            "Classifier: License :: OSI Approved\nClassifier: Programming Language :: Python\n\
             Classifier: License :: Public Domain\nClassifier: License :: OSI Approved :: ISC License (ISCL)",
            &["ISC License (ISCL)", "Public Domain"],
        ),
        (
            "License: MIT License\n        \n        Copyright (c) 2024\nClassifier: License :: OSI Approved :: MIT License",
            &["MIT License"],
        ),
        ("License:", &[]),
    ] {
        assert_eq!(licenses(headers), expected, "{headers}");
    }
    assert!(licenses(&format!("License: {}", "x".repeat(9000))).is_empty());
}

#[test]
fn what_the_headers_leave_out_is_taken_from_the_path() {
    for (path, expected) in [
        ("a/typing_extensions-4.9.0.dist-info/METADATA", Some(("typing_extensions", "4.9.0"))),
        ("a/six-1.16.0-py3.11.egg-info", Some(("six", "1.16.0"))),
        ("a/six-1.16.0-py3.11.egg/EGG-INFO/PKG-INFO", Some(("six", "1.16.0"))),
        ("a/six.egg-info/PKG-INFO", None),
        ("EGG-INFO/PKG-INFO", None),
    ] {
        let read = read_at(path, b"Metadata-Version: 1.0\n").ok();
        let read = read.as_ref().map(|read| (read.name.as_str(), read.version.as_str()));
        assert_eq!(read, expected, "{path}");
    }
}

/// A zip as `zipfile` writes it; members are (name, compressed or not, bytes).
fn egg(members: &[(&str, bool, &[u8])], flags: u16) -> Vec<u8> {
    let mut zip = Vec::new();
    for (name, is_deflated, bytes) in members {
        let data = if *is_deflated {
            let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(bytes).expect("to memory");
            encoder.finish().expect("to memory")
        } else {
            bytes.to_vec()
        };
        let size = u32::try_from(data.len()).expect("small").to_le_bytes();
        let method = if *is_deflated { 8_u16 } else { 0 };
        zip.extend(b"PK\x03\x04\x14\0");
        zip.extend(flags.to_le_bytes());
        zip.extend(method.to_le_bytes());
        zip.extend([0; 8]);
        zip.extend(size);
        zip.extend([0; 4]);
        zip.extend(u16::try_from(name.len()).expect("short").to_le_bytes());
        zip.extend(3_u16.to_le_bytes());
        zip.extend(name.as_bytes());
        zip.extend(b"xyz");
        zip.extend(data);
    }
    zip.extend(b"PK\x01\x02");
    zip.extend([0; 60]);
    zip
}

#[test]
fn a_zipped_egg_is_read_from_its_front() {
    let headers = b"Name: example\nVersion: 21.12\n";
    for is_deflated in [false, true] {
        let zip = egg(&[("example.py", true, &[b'x'; 9000]), ("EGG-INFO/PKG-INFO", is_deflated, headers)], 0);
        let distribution = read_at("a/example-21.12-py3.6.egg", &zip).expect("readable");
        assert_eq!((distribution.name.as_str(), distribution.version.as_str()), ("example", "21.12"));
    }
}

#[test]
fn eggs_that_cannot_be_read_are_gaps() {
    let member: (&str, bool, &[u8]) = ("EGG-INFO/PKG-INFO", true, b"Name: a\nVersion: 1\n");
    let huge = vec![b'a'; usize::try_from(CAP).expect("small") + 1];
    for (zip, words) in [
        (egg(&[("a.py", false, b"")], 0), "has no EGG-INFO/PKG-INFO"),
        (egg(&[member], 8), "has no sizes before its members"),
        (b"PK\x03\x04 and no more".to_vec(), "has no EGG-INFO/PKG-INFO"),
        (egg(&[("EGG-INFO/PKG-INFO", true, &huge)], 0), "more than the 4194304 that are read"),
    ] {
        let cause = read_at("a/a-1-py3.8.egg", &zip).expect_err("damaged").to_string();
        assert!(cause.contains(words), "{cause}");
    }
}

#[test]
fn eggs_of_other_trades_are_no_gap() {
    for text in ["<CoordinateSystem> { Z-Up }", ""] {
        let bytes = source_of(text.as_bytes());
        let read = read(&entry("models/panda.egg"), Source::Random(&bytes));
        assert_eq!(read, Ok(Evidence::Python(None)), "{text}");
    }
}

fn read_any(path: &str, bytes: &[u8]) -> Option<PythonDistribution> {
    let bytes = source_of(bytes);
    match read(&entry(path), Source::Random(&bytes)) {
        Ok(Evidence::Python(distribution)) => distribution,
        _ => None,
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), is_zip in any::<bool>()) {
        let _ = read_any(if is_zip { "a-1.egg" } else { "a.egg-info" }, &bytes);
    }

    #[test]
    fn arbitrary_headers_never_panic(text in "((Name|Version|License|Classifier): ?[a-z:\u{0}\u{e9} ]{0,9}\r?\n( [a-z]{0,5}\n)?){0,9}") {
        if let Some(distribution) = read_any("a.egg-info", text.as_bytes()) {
            prop_assert!(!distribution.name.is_empty() && !distribution.version.is_empty());
            prop_assert!(distribution.licenses.len() <= LICENSES);
        }
    }

    #[test]
    fn arbitrary_changes_to_an_egg_never_panic(at in 0_usize..150, byte in any::<u8>(), length in 0_usize..200) {
        let mut zip = egg(&[("a.py", true, b"x"), ("EGG-INFO/PKG-INFO", true, b"Name: a\nVersion: 1\n")], 0);
        zip.truncate(length);
        if let Some(place) = zip.get_mut(at) {
            *place = byte;
        }
        let _ = read_any("a-1.egg", &zip);
    }
}
