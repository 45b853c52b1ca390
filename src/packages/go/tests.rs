use proptest::prelude::*;

use super::super::tests::{entry, source_of};
use super::passing::{TEXT_END, TEXT_START};
use super::*;
use crate::tree::{Budget, Layer, Limits, Tree as _};

const LINES: &str =
    "path\texample.com/app\nmod\texample.com/app\tv1.2.3\t\ndep\tgolang.org/x/net\tv0.38.0\th1:abc=\n";

/// What kind of machine a program is for.
#[derive(Clone, Copy)]
struct Machine {
    wide: bool,
    big_endian: bool,
}

const AMD64: Machine = Machine { wide: true, big_endian: false };

impl Machine {
    fn half(self, value: u16) -> Vec<u8> {
        if self.big_endian { value.to_be_bytes().to_vec() } else { value.to_le_bytes().to_vec() }
    }

    fn quad_half(self, value: u32) -> Vec<u8> {
        if self.big_endian { value.to_be_bytes().to_vec() } else { value.to_le_bytes().to_vec() }
    }

    fn word(self, value: u64) -> Vec<u8> {
        match (self.wide, self.big_endian) {
            (true, true) => value.to_be_bytes().to_vec(),
            (true, false) => value.to_le_bytes().to_vec(),
            (false, _) => self.quad_half(u32::try_from(value).expect("a small address")),
        }
    }

    fn pointer_size(self) -> u8 {
        if self.wide { 8 } else { 4 }
    }

    fn build_info(self, flags: u8) -> Vec<u8> {
        let endian = u8::from(self.big_endian);
        [b"\xff Go buildinf:", &[self.pointer_size(), flags | endian][..]].concat()
    }

    /// A program of these segments: address, whether it is writable, content. Each begins at a page of the file.
    fn program(self, segments: &[(u64, bool, &[u8])]) -> Vec<u8> {
        self.program_with_table_at(None, segments)
    }

    fn program_with_table_at(self, table_at: Option<u64>, segments: &[(u64, bool, &[u8])]) -> Vec<u8> {
        let header_length = if self.wide { 64 } else { 52 };
        let count = u16::try_from(segments.len()).expect("few");
        let (class, data) = (1 + u8::from(self.wide), 1 + u8::from(self.big_endian));
        let mut file = [b"\x7fELF", &[class, data, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0][..]].concat();
        file.extend([self.half(2), self.half(62), self.quad_half(1), self.word(0)].concat());
        file.extend([self.word(table_at.unwrap_or(header_length)), self.word(0), self.quad_half(0)].concat());
        let size = if self.wide { 56 } else { 32 };
        file.extend([self.half(52), self.half(size), self.half(count), vec![0; 6]].concat());
        let mut table = Vec::new();
        for (index, &(address, is_writable, content)) in segments.iter().enumerate() {
            let offset = PAGE * (index as u64 + 1);
            let flags = self.quad_half(if is_writable { 6 } else { 4 });
            let length = content.len() as u64;
            table.extend(self.quad_half(1));
            table.extend(if self.wide { flags.clone() } else { Vec::new() });
            table.extend([offset, address, address, length, length].map(|word| self.word(word)).concat());
            table.extend(if self.wide { self.word(PAGE) } else { [flags, self.word(PAGE)].concat() });
        }
        if table_at.is_none() {
            file.extend(&table);
        }
        for (index, (_, _, content)) in segments.iter().enumerate() {
            file.resize(PAGE_BYTES * (index + 1), 0);
            file.extend_from_slice(content);
        }
        if let Some(at) = table_at {
            file.resize(usize::try_from(at).expect("small"), 0);
            file.extend(&table);
        }
        file
    }

    /// As toolchains before 1.18 make them: strings, then variables and header in another segment.
    fn old_program(self, behind: bool) -> Vec<u8> {
        let text = [TEXT_START, LINES.as_bytes(), TEXT_END].concat();
        let strings = [b"go1.1", &b"go1.17.5"[..], b"heap", &text, b"more"].concat();
        let (strings_at, data_at) = (0x10_000, 0x20_000);
        let variables =
            [self.word(strings_at + 5), self.word(8), self.word(strings_at + 17), self.word(text.len() as u64)];
        let variables_at = data_at + if behind { 16 } else { 64 };
        let size = u64::from(self.pointer_size());
        let mut header = self.build_info(0);
        header.extend(self.word(variables_at));
        header.extend(self.word(variables_at + 2 * size));
        header.resize(32, 0);
        let mut variables = variables.concat();
        variables.resize(32, 0);
        // An address that 16 divides, a little further on.
        let data = if behind {
            [vec![1; 16], variables, header].concat()
        } else {
            [header, vec![2; 32], variables].concat()
        };
        self.program(&[(strings_at, false, &strings), (data_at, true, &data)])
    }
}

const PAGE: u64 = 0x2000;
const PAGE_BYTES: usize = 0x2000;

fn counted(text: &[u8]) -> Vec<u8> {
    let length = u16::try_from(text.len()).expect("short");
    let low = u8::try_from(length & 0x7f).expect("7 bits");
    let high = u8::try_from(length >> 7).expect("short");
    [&[low | 0x80, high][..], text].concat()
}

fn inline(machine: Machine, version: &str, lines: &str) -> Vec<u8> {
    let text = [TEXT_START, lines.as_bytes(), TEXT_END].concat();
    let mut info = machine.build_info(2);
    info.resize(32, 0);
    [info, counted(version.as_bytes()), counted(&text)].concat()
}

type Outcome = Result<Evidence, GapCause>;

fn from_mount(file: &[u8]) -> Outcome {
    read(&entry("app"), Source::Random(&source_of(file)))
}

/// As a member of a layer.
fn from_stream(file: &[u8]) -> Outcome {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(file.len() as u64);
    builder.append_data(&mut header, "app", file).expect("to memory");
    let tar = builder.into_inner().expect("to memory");
    let mut layer = Layer::new(&tar[..], &Limits::default(), &Budget::new(1 << 20));
    let mut outcome = None;
    let mut visit = |entry: &Entry, content: &mut dyn crate::tree::Content| {
        outcome = Some(read(entry, Source::Forward(content)));
        crate::tree::Step::Continue
    };
    layer.walk(&mut visit).expect("whole");
    outcome.expect("a file")
}

/// What both readers find, which is the same.
fn outcome_of(file: &[u8]) -> Outcome {
    let outcome = from_mount(file);
    assert_eq!(from_stream(file), outcome);
    outcome
}

fn versions(outcome: Outcome) -> Vec<String> {
    let program = match outcome.expect("readable") {
        Evidence::Go(program) => program,
        other => panic!("no Go program: {other:?}"),
    };
    let modules = program.main.iter().chain(&program.dependencies);
    let modules = modules.map(|module| format!("{} {}", module.path, module.version.as_deref().unwrap_or("-")));
    std::iter::once(format!("go {}", program.toolchain.as_deref().unwrap_or("-"))).chain(modules).collect()
}

fn with_toolchain(version: &str) -> [String; 3] {
    [format!("go {version}"), "example.com/app v1.2.3".to_owned(), "golang.org/x/net v0.38.0".to_owned()]
}

#[test]
fn strings_behind_the_header_are_read_wherever_in_the_writable_data_it_lies() {
    let info = inline(AMD64, "go1.24.1", LINES);
    let far = [vec![0; 200_000], info.clone()].concat();
    // Crosses the border of two chunks.
    let crossing = [vec![0; 0x10_000 - 16], info.clone()].concat();
    for data in [&info, &far, &crossing] {
        let file = AMD64.program(&[(0x40_0000, false, b"code"), (0x50_0000, true, data)]);
        assert_eq!(versions(outcome_of(&file)), with_toolchain("1.24.1"));
    }
    // Position-independent code: what is only written while it is relocated comes first.
    let file = AMD64.program(&[(0, false, b"code"), (0x5000, true, &[9; 100]), (0x9000, true, &info)]);
    assert_eq!(versions(outcome_of(&file)), with_toolchain("1.24.1"));
}

#[test]
fn addresses_of_older_toolchains_are_followed_in_every_layout() {
    for wide in [true, false] {
        for big_endian in [true, false] {
            for behind in [true, false] {
                let file = Machine { wide, big_endian }.old_program(behind);
                assert_eq!(versions(outcome_of(&file)), with_toolchain("1.17.5"));
            }
        }
    }
}

#[test]
fn a_header_counts_only_where_the_linker_puts_it() {
    let info = inline(AMD64, "go1.24.1", LINES);
    let aside = [&[0; 8][..], &info].concat();
    for file in [
        AMD64.program(&[(0x1000, false, &info), (0x5000, true, b"data")]),
        AMD64.program(&[(0x1000, true, &aside)]),
        AMD64.program(&[(0x1008, true, &info)]),
    ] {
        assert_eq!(outcome_of(&file), Ok(Evidence::Nothing));
    }
    // The magic alone, as programs hold it that look for it.
    let constant = [&b"\xff Go buildinf:some more"[..], &[0; 9], &info].concat();
    assert_eq!(constant.len() - info.len(), 32);
    let file = AMD64.program(&[(0x1000, true, &constant)]);
    assert_eq!(versions(outcome_of(&file)), with_toolchain("1.24.1"));
}

#[test]
fn programs_of_other_languages_and_what_cannot_be_run_are_nothing() {
    let object = {
        let mut file = AMD64.program(&[(0, true, &inline(AMD64, "go1.24.1", LINES))]);
        file[16] = 1;
        file
    };
    let files: [&[u8]; 5] = [
        &AMD64.program(&[(0x1000, true, b"data")]),
        &AMD64.program(&[]),
        &object,
        b"\x7fELF",
        b"\x7fELF\x09rubbish",
    ];
    for file in files {
        assert_eq!(outcome_of(file), Ok(Evidence::Nothing));
    }
}

#[test]
fn a_table_of_segments_at_the_end_of_the_file_hides_nothing() {
    let info = inline(AMD64, "go1.24.1", LINES);
    let file = AMD64.program_with_table_at(Some(0x9000), &[(0x1000, false, b"code"), (0x5000, true, &info)]);
    assert_eq!(versions(outcome_of(&file)), with_toolchain("1.24.1"));
}

#[test]
fn build_information_that_cannot_be_read_is_a_gap() {
    let info = inline(AMD64, "go1.24.1", LINES);
    let cut = AMD64.program(&[(0x1000, true, &info[..info.len() - 40])]);
    assert_eq!(outcome_of(&cut), Err(GapCause::Damaged("its Go build information is cut off".to_owned())));
    let long = [&AMD64.build_info(2)[..], &[0; 16], b"\x02go\xff\xff\xff\x7f"].concat();
    let why = "has 268435455 bytes of Go build information, more than the 4194304 that are read";
    let outcome = outcome_of(&AMD64.program(&[(0x1000, true, &long)]));
    assert_eq!(outcome, Err(GapCause::Limit(why.to_owned())));
    let nowhere = [AMD64.build_info(0), vec![0; 16]].concat();
    let outcome = outcome_of(&AMD64.program(&[(0x1000, true, &nowhere)]));
    assert_eq!(outcome, Err(GapCause::Damaged("its Go build information leads nowhere".to_owned())));
}

#[test]
fn a_packed_program_is_named_as_such() {
    let mut file = AMD64.program(&[(0x1000, false, b"packed")]);
    file[64 + 56 + 4..][..4].copy_from_slice(b"UPX!");
    let Err(cause) = outcome_of(&file) else { panic!("must be a gap") };
    assert_eq!(cause.to_string(), "is damaged: it is packed with UPX, and what it is made of cannot be seen");
}

#[test]
fn strings_are_found_across_reads_of_any_size() {
    // Strings that begin in one chunk and end in the next.
    let text = [TEXT_START, LINES.as_bytes(), TEXT_END].concat();
    for shift in [0, 3, 7, 20, 40, 150] {
        let start = 0x10_000 - PAGE_BYTES - shift;
        let strings = [vec![b'x'; start], b"go1.16.1".to_vec(), text.clone()].concat();
        let mut data = AMD64.build_info(0);
        data.extend([AMD64.word(0x90_0020), AMD64.word(0x90_0030)].concat());
        let at = 0x10_000 + start as u64;
        data.extend([at, 8, at + 8, text.len() as u64].map(|word| AMD64.word(word)).concat());
        let file = AMD64.program(&[(0x10_000, false, &strings)]);
        let file_at = file.len().next_multiple_of(PAGE_BYTES);
        let mut file = AMD64.program(&[(0x10_000, false, &strings), (0x90_0000, true, &data)]);
        // The builder puts segments at fixed pages; this one lies where the long one before it ends.
        file.truncate(PAGE_BYTES);
        file[64 + 56 + 8..][..8].copy_from_slice(&(file_at as u64).to_le_bytes());
        file.extend_from_slice(&strings);
        file.resize(file_at, 0);
        file.extend_from_slice(&data);
        assert_eq!(versions(outcome_of(&file)), with_toolchain("1.16.1"), "{shift}");
    }
}

#[test]
fn modules_become_packages_and_the_toolchain_stdlib() {
    let lines = "mod\texample.com/app\t(devel)\t\ndep\tgolang.org/x/net\tv0.38.0\th1:abc=\n";
    let file = AMD64.program(&[(0x1000, true, &inline(AMD64, "go1.24.1", lines))]);
    let mut builder = tar::Builder::new(Vec::new());
    for path in ["usr/bin/app", "app.py"] {
        let mut header = tar::Header::new_gnu();
        header.set_size(file.len() as u64);
        builder.append_data(&mut header, path, &file[..]).expect("to memory");
    }
    let tar = builder.into_inner().expect("to memory");
    let (limits, budget) = (Limits::default(), Budget::new(1 << 20));
    let context = super::super::ReadContext::new(&limits, &budget);
    let record = super::super::read_tree(&mut Layer::new(&tar[..], &limits, &budget), context).expect("whole");
    let stacked = crate::tree::squash::Stacked { record: std::sync::Arc::new(record), diff_id: None };
    let sbom = super::super::assemble(&super::super::squash(vec![stacked]));
    let purls: Vec<_> = sbom.packages.iter().map(|package| package.purl(None)).collect();
    assert_eq!(purls, ["pkg:golang/golang.org/x/net@v0.38.0", "pkg:golang/stdlib@1.24.1"]);
    // A program is known by its first bytes and not by its mode; a file with the suffix of a script is not opened.
    assert_eq!(sbom.packages[0].locations.len(), 1);
    assert_eq!(sbom.packages[0].locations[0].path, "usr/bin/app");
    assert_eq!(sbom.gaps, []);
}

#[test]
fn a_program_with_two_names_is_found_under_both_by_both_readers() {
    let file = AMD64.program(&[(0x1000, true, &inline(AMD64, "go1.24.1", LINES))]);
    let root = tempfile::tempdir().expect("a folder");
    std::fs::write(root.path().join("app"), &file).expect("writes");
    for name in ["other", "script.py"] {
        std::fs::hard_link(root.path().join("app"), root.path().join(name)).expect("links");
    }
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(file.len() as u64);
    builder.append_data(&mut header, "app", &file[..]).expect("to memory");
    header.set_size(0);
    header.set_entry_type(tar::EntryType::Link);
    for name in ["other", "script.py"] {
        builder.append_link(&mut header, name, "app").expect("to memory");
    }
    let tar = builder.into_inner().expect("to memory");
    let (limits, budget) = (Limits::default(), Budget::new(1 << 20));
    let context = super::super::ReadContext::new(&limits, &budget);
    let mut trees: [Box<dyn crate::tree::Tree>; 2] = [
        Box::new(crate::tree::Directory::open(root.path(), &limits).expect("opens")),
        Box::new(Layer::new(&tar[..], &limits, &budget)),
    ];
    for tree in &mut trees {
        let record = super::super::read_tree(&mut **tree, context).expect("whole");
        let stacked = crate::tree::squash::Stacked { record: std::sync::Arc::new(record), diff_id: None };
        let sbom = super::super::assemble(&super::super::squash(vec![stacked]));
        let locations = sbom.packages[0].locations.iter().map(|location| location.path.as_str());
        assert_eq!(locations.collect::<Vec<_>>(), ["app", "other"]);
        assert_eq!(sbom.gaps, []);
    }
}

proptest! {
    #[test]
    fn damaged_programs_never_panic_and_both_readers_agree(
        old in any::<bool>(), wide in any::<bool>(), big_endian in any::<bool>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let machine = Machine { wide, big_endian };
        let mut file = if old {
            machine.old_program(false)
        } else {
            machine.program(&[(0x1000, false, b"code"), (0x5000, true, &inline(machine, "go1.24.1", LINES))])
        };
        let whole = file.clone();
        // Where something is written: headers and data.
        let places: Vec<usize> = (0..file.len()).filter(|&at| at < 200 || file[at] != 0).collect();
        for (place, byte) in changes {
            file[places[place.index(places.len())]] = byte;
        }
        let (mount, stream) = (from_mount(&file), from_stream(&file));
        // A stream does not have a table of segments that lies far away, nor what an old program's damaged address leads back to.
        if file[28..60] == whole[28..60] && (!old || mount.is_ok() && stream.is_ok()) {
            prop_assert_eq!(mount, stream);
        }
    }

    #[test]
    fn arbitrary_bytes_behind_the_magic_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        for magic in [&b"\x7fELF"[..], b"\x7fELF\x02\x01", b"\x7fELF\x01\x02"] {
            let file = [magic, &bytes].concat();
            let _ = (from_mount(&file), from_stream(&file));
        }
    }
}
