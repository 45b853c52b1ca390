use std::io::Write as _;

use proptest::prelude::*;

use super::*;

/// A tar of files with one byte each.
fn tar_of(names: &[&str]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for name in names {
        let mut header = tar::Header::new_gnu();
        header.set_size(1);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, &b"x"[..]).expect("to memory");
    }
    builder.into_inner().expect("to memory")
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).expect("to memory");
    encoder.finish().expect("to memory")
}

/// Counts what was taken of the stream, and may fail at the end.
struct Counted<'a> {
    rest: &'a [u8],
    taken: &'a mut usize,
    fails: bool,
}

impl Read for Counted<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let count = self.rest.read(buf)?;
        *self.taken += count;
        if count == 0 && self.fails {
            return Err(io::Error::new(io::ErrorKind::ConnectionReset, "reset"));
        }
        Ok(count)
    }
}

struct Outcome {
    names: Vec<String>,
    gaps: Vec<String>,
    result: Result<(), ReadError>,
    taken: usize,
}

fn walk_with(blob: &[u8], limits: &Limits, stop_at: Option<&str>, fails: bool) -> Outcome {
    let (mut names, mut taken) = (Vec::new(), 0);
    let mut layer = Layer::new(Counted { rest: blob, taken: &mut taken, fails }, limits, &Budget::new(1 << 20));
    let result = layer.walk(&mut |entry, _| {
        names.push(entry.path.to_string());
        if stop_at == names.last().map(String::as_str) { Step::Stop } else { Step::Continue }
    });
    let gaps = layer.take_gaps().iter().map(|gap| gap.cause.to_string()).collect();
    drop(layer);
    Outcome { names, gaps, result, taken }
}

fn walk(blob: &[u8]) -> Outcome {
    walk_with(blob, &Limits::default(), None, false)
}

#[test]
fn the_first_bytes_decide_how_a_layer_is_read() {
    let tar = tar_of(&["a", "./b/./c"]);
    let zstd = zstd::encode_all(&tar[..], 1).expect("to memory");
    for blob in [tar.clone(), gzip(&tar), zstd] {
        let outcome = walk(&blob);
        assert!(outcome.result.is_ok());
        assert_eq!(outcome.names, ["a", "b/c"]);
    }
    assert!(walk(b"").result.is_ok());
}

#[test]
fn every_byte_is_taken_whatever_happens() {
    let tar = tar_of(&["a", "b"]);
    let rubbish = vec![0x55; 300_000];
    let with_rubbish = [&tar[..], &rubbish].concat();
    let gzip_with_rubbish = [gzip(&tar), rubbish.clone()].concat();
    let mut damaged = with_rubbish.clone();
    damaged[1024 + 3] ^= 1;
    for (blob, is_whole) in
        [(&with_rubbish, true), (&gzip_with_rubbish, true), (&damaged, false), (&rubbish, false)]
    {
        let outcome = walk(blob);
        assert_eq!(outcome.result.is_ok(), is_whole);
        assert_eq!(outcome.taken, blob.len());
    }
    assert_eq!(walk_with(&with_rubbish, &Limits::default(), Some("a"), false).taken, with_rubbish.len());
}

#[test]
fn damage_names_its_place_and_cause() {
    let mut tar = tar_of(&["a", "b"]);
    tar[1024 + 3] ^= 1;
    let error = walk(&tar).result.expect_err("damaged");
    assert_eq!(error.to_string(), "the layer is damaged at byte 1536 of its tar");
    assert_eq!(
        std::error::Error::source(&error).expect("a cause").to_string(),
        "the checksum of a header is wrong"
    );
    let blob = gzip(&tar_of(&vec!["a"; 2000]));
    let error = walk(&blob[..blob.len() / 2]).result.expect_err("damaged");
    let ReadError::Damaged { source: Damage::Compression(_), .. } = error else { panic!("{error:?}") };
}

#[test]
fn a_stream_that_fails_is_no_damaged_layer() {
    let blob = gzip(&tar_of(&vec!["a"; 2000]));
    let half = walk_with(&blob[..blob.len() / 2], &Limits::default(), None, true);
    assert!(
        matches!(half.result, Err(ReadError::Input { source, .. }) if source.kind() == io::ErrorKind::ConnectionReset)
    );
    let at_the_end = walk_with(&blob, &Limits::default(), None, true);
    assert!(matches!(at_the_end.result, Err(ReadError::Input { .. })), "the digest is checked there");
}

#[test]
fn too_many_entries_are_a_gap_and_the_rest_is_taken() {
    let limits = Limits { entries: 2, ..Limits::default() };
    let blob = gzip(&tar_of(&["a", "b", "c"]));
    let outcome = walk_with(&blob, &limits, None, false);
    assert!(outcome.result.is_ok());
    assert_eq!(outcome.names, ["a", "b"]);
    assert_eq!(outcome.gaps, ["the layer has more than 2 entries"]);
    assert_eq!(outcome.taken, blob.len());
}

#[test]
fn a_layer_that_grows_too_large_is_a_gap_and_the_rest_is_taken() {
    let limits = Limits { inflated: 4096, ..Limits::default() };
    let blob = gzip(&tar_of(&["a"; 1000]));
    let outcome = walk_with(&blob, &limits, None, false);
    assert!(outcome.result.is_ok());
    assert_eq!(outcome.gaps, ["the layer has more than 4096 bytes; what comes after was not read"]);
    assert_eq!(outcome.taken, blob.len());
}

#[test]
fn paths_no_file_system_holds_are_gaps_and_what_follows_is_read() {
    let outcome = walk(&tar_of(&[&("deep/".repeat(1000) + "x"), "a"]));
    outcome.result.expect("whole");
    assert_eq!(outcome.names, ["a"]);
    assert_eq!(outcome.gaps, ["a path is longer than a file system can hold"]);
}

#[test]
fn holes_without_end_are_a_gap() {
    // "PAX Format, Version 0.1" of the GNU tar manual: a file that is one hole.
    let records = "23 GNU.sparse.size=999\n22 GNU.sparse.map=0,0\n";
    let mut builder = tar::Builder::new(Vec::new());
    for (kind, name, data) in [(b'x', "x", records), (b'0', "hole", ""), (b'0', "a", "content")] {
        let mut header = tar::Header::new_gnu();
        header.set_size(data.len() as u64);
        header.set_entry_type(tar::EntryType::new(kind));
        builder.append_data(&mut header, name, data.as_bytes()).expect("to memory");
    }
    let blob = builder.into_inner().expect("to memory");
    for (holes, gaps) in
        [(999, None), (998, Some("its sparse files have more than the 998 bytes of holes that are read"))]
    {
        let limits = Limits { holes, ..Limits::default() };
        let mut layer = Layer::new(&blob[..], &limits, &Budget::new(1 << 20));
        let mut sizes = Vec::new();
        let walked = layer.walk(&mut |_, content| {
            let mut bytes = Vec::new();
            sizes.push(content.read_to_end(&mut bytes).ok());
            Step::Continue
        });
        walked.expect("whole");
        assert_eq!(sizes, [gaps.is_none().then_some(999), Some(7)]);
        assert_eq!(layer.take_gaps().first().map(|gap| gap.cause.to_string()).as_deref(), gaps);
    }
}

#[test]
fn a_stream_can_be_walked_once() {
    let tar = tar_of(&["a"]);
    let mut layer = Layer::new(&tar[..], &Limits::default(), &Budget::new(0));
    assert!(layer.walk(&mut |_, _| Step::Continue).is_ok());
    assert!(matches!(layer.walk(&mut |_, _| Step::Continue), Err(ReadError::AlreadyRead)));
}

proptest! {
    #[test]
    fn a_layer_changed_anywhere_never_panics(at in 0_usize..4000, byte in any::<u8>(), is_compressed in any::<bool>()) {
        let mut blob = tar_of(&["a", "b", ".wh.c", "d/.wh..wh..opq"]);
        if is_compressed {
            blob = gzip(&blob);
        }
        let at = at % blob.len();
        blob[at] = byte;
        prop_assert_eq!(walk(&blob).taken, blob.len());
    }
}
