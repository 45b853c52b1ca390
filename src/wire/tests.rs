use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::image::Digest;
use crate::image::registered::{DigestNow, Registered, TagNow};

const SCAN: &str = "k7x2m";

fn outcome() -> Outcome {
    Outcome {
        reference: "registry.test/a:1".parse().expect("valid"),
        manifest: Some(Digest::of(b"manifest")),
        config: Some(Digest::of(b"config")),
        closed: 0,
        platform: Platform { os: "linux".into(), architecture: "amd64".into(), variant: None },
        approximate: None,
        partial: None,
        bytes: 7,
        millis: 3,
        registry: Vec::new(),
    }
}

/// Bytes that zstd cannot shrink, so that documents take several chunks.
fn noise(length: usize, mut seed: u32) -> Vec<u8> {
    let mut next = || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        seed.to_be_bytes()[0]
    };
    (0..length).map(|_| next()).collect()
}

/// A pod's log with two images read, one failed, and other output between.
fn log() -> String {
    let mut out = Vec::new();
    let mut sender = Sender::new(&mut out, SCAN.to_owned(), LOG_BUDGET);
    sender.begin(3, "0.1.0", &[]).expect("fits");
    for image in [0, 1] {
        sender.start(image).expect("fits");
        sender.progress(image, 5, 10).expect("fits");
        let sbom = noise(20_000, image);
        let documents = [
            Document { name: DocumentName::Sbom, version: 1, bytes: &sbom },
            Document { name: DocumentName::Config, version: 1, bytes: b"{}" },
        ];
        sender.done(image, &documents, outcome()).expect("fits");
    }
    sender.start(2).expect("fits");
    sender.failed(2, Failure::new(FailureKind::Gone, "gone".into())).expect("fits");
    sender.end().expect("fits");
    String::from_utf8(out).expect("text")
}

fn receive(lines: impl IntoIterator<Item = impl AsRef<str>>) -> (Vec<Event>, Reception) {
    let mut receiver = Receiver::new(SCAN, 3);
    let events = lines.into_iter().map(|line| receiver.accept(line.as_ref())).collect();
    (events, receiver.finish())
}

fn images(events: &[Event]) -> BTreeMap<u32, usize> {
    let read = |event: &Event| match event {
        Event::Image { image, documents, .. } => Some((*image, documents[&DocumentName::Sbom].1.len())),
        _ => None,
    };
    events.iter().filter_map(read).collect()
}

#[test]
fn what_is_sent_arrives() {
    let (events, reception) = receive(log().lines());
    assert_eq!(images(&events), BTreeMap::from([(0, 20_000), (1, 20_000)]));
    assert!(events.iter().any(|e| matches!(e, Event::Failed { image: 2, .. })));
    assert!(reception.complete);
    assert_eq!(reception.open, None);
}

#[test]
fn every_line_is_shorter_than_the_limit() {
    assert!(log().lines().all(|line| line.len() <= MAX_LINE));
}

#[test]
fn other_lines_are_diagnostics_and_change_nothing() {
    let mixed: Vec<String> =
        log().lines().flat_map(|line| ["panicked at …".to_owned(), line.to_owned()]).collect();
    let (events, reception) = receive(&mixed);
    assert_eq!(images(&events).len(), 2);
    assert_eq!(reception.diagnostics.last().map(String::as_str), Some("panicked at …"));
}

#[test]
fn log_cut_at_any_byte_and_read_again_from_any_line_is_whole() {
    let log = log();
    let starts: Vec<usize> = std::iter::once(0).chain(log.match_indices('\n').map(|(at, _)| at + 1)).collect();
    for cut in (0..log.len()).step_by(97) {
        let resumed_at = starts.iter().copied().filter(|start| *start <= cut).max().unwrap_or(0);
        let earlier = starts.iter().copied().filter(|start| *start <= cut / 2).max().unwrap_or(0);
        for from in [resumed_at, earlier] {
            let (events, reception) = receive(log[..cut].lines().chain(log[from..].lines()));
            assert_eq!(images(&events).len(), 2, "cut at {cut}, read again from {from}");
            assert!(reception.complete);
        }
    }
}

#[test]
fn a_cut_log_is_incomplete_and_names_the_open_image() {
    let log = log();
    let until_second_start = log.lines().take_while(|line| !matches!(started(line), Some(1))).count();
    let (events, reception) = receive(log.lines().take(until_second_start + 3));
    assert_eq!(images(&events), BTreeMap::from([(0, 20_000)]));
    assert!(!reception.complete);
    assert_eq!(reception.open, Some(1));
}

fn started(line: &str) -> Option<u32> {
    match parse_line(line, SCAN) {
        Line::Frame { frame: Frame::Message(Message::Start { image }), .. } => Some(image),
        _ => None,
    }
}

#[test]
fn a_missing_or_damaged_line_loses_its_image_and_no_other() {
    let log = log();
    let lines: Vec<&str> = log.lines().collect();
    for (at, line) in lines.iter().enumerate() {
        let damaged: String = line.replacen(|c: char| c.is_ascii_lowercase(), "Z", 60);
        for replacement in [None, Some(damaged.as_str())] {
            let kept =
                lines.iter().enumerate().filter_map(|(i, l)| if i == at { replacement } else { Some(*l) });
            let (events, _) = receive(kept);
            let got = images(&events);
            assert!(!got.is_empty(), "line {at}");
            assert!(got.values().all(|size| *size == 20_000), "line {at}: nothing damaged is believed");
        }
    }
}

#[test]
fn frames_of_another_scan_are_not_believed() {
    let mut receiver = Receiver::new("other", 3);
    assert!(log().lines().all(|line| receiver.accept(line) == Event::Nothing));
}

#[test]
fn documents_beyond_the_budget_are_refused_before_anything_is_sent() {
    let mut out = Vec::new();
    let mut sender = Sender::new(&mut out, SCAN.to_owned(), 300_000);
    sender.begin(1, "0.1.0", &[]).expect("fits");
    sender.start(0).expect("fits");
    let sbom = noise(400_000, 1);
    let documents = [Document { name: DocumentName::Sbom, version: 1, bytes: &sbom }];
    let refused = sender.done(0, &documents, outcome());
    assert!(matches!(refused, Err(SendError::Budget { .. })));
    sender.failed(0, Failure::new(FailureKind::NeedsOwnLog, "too large".into())).expect("fits");
    sender.end().expect("fits");
    assert!(out.len() < 2_000);
}

#[test]
fn a_reason_of_any_length_fits_a_frame() {
    let mut out = Vec::new();
    let mut sender = Sender::new(&mut out, SCAN.to_owned(), LOG_BUDGET);
    let reason = || "漢\u{1b}[31m".repeat(100_000);
    sender.failed(0, Failure::new(FailureKind::Other, reason())).expect("fits");
    let registered = |n: u8| {
        // As unlike each other as names can be, so that packing does not help.
        let name: String = noise(220, n.into()).iter().map(|byte| char::from(b'a' + byte % 26)).collect();
        let tag: String =
            noise(128, u32::from(n) + 100).iter().map(|byte| char::from(b'a' + byte % 26)).collect();
        Registered {
            reference: format!("registry.test/{name}:{tag}").parse().expect("valid"),
            tag: Some(TagNow::Moved),
            now: Some(Digest::of(&[n])),
            digest: Some(DigestNow::Gone),
        }
    };
    let registry: Vec<Registered> = (0..=3).map(registered).collect();
    assert_eq!(registry.len(), 1 + MAX_OTHERS);
    let outcome = Outcome {
        partial: Some(reason()),
        approximate: Some(reason()),
        registry: registry.clone(),
        ..outcome()
    };
    sender.done(1, &[], outcome).expect("fits");
    sender
        .failed(2, Failure { registry: registry.clone(), ..Failure::new(FailureKind::Gone, reason()) })
        .expect("fits");
    // Where it does not fit together, the reason is what counts.
    let noisy: String = noise(4_000, 7)
        .chunks(4)
        .filter_map(|c| char::from_u32(0x1_0000 + (u32::from(c[0]) << 8) + u32::from(c[1])))
        .collect();
    let outcome =
        Outcome { partial: Some(noisy.clone()), approximate: Some(noisy), registry, ..self::outcome() };
    sender.done(3, &[], outcome).expect("fits");
}

#[test]
fn what_registries_hold_is_received_as_far_as_it_was_asked_for() {
    let registered = Registered {
        reference: "registry.test/a:1".parse().expect("valid"),
        tag: Some(TagNow::Gone),
        now: None,
        digest: None,
    };
    let mut out = Vec::new();
    let mut sender = Sender::new(&mut out, SCAN.to_owned(), LOG_BUDGET);
    sender.begin(2, "0.1.0", &[]).expect("fits");
    sender.start(0).expect("fits");
    sender.done(0, &[], Outcome { registry: vec![registered.clone(); 9], ..outcome() }).expect("fits");
    sender.end().expect("fits");
    let log = String::from_utf8(out).expect("text");
    let (events, _) = receive(log.lines());
    let told = events.into_iter().find_map(|event| match event {
        Event::Image { outcome, .. } => Some(outcome.registry),
        _ => None,
    });
    assert_eq!(told, Some(vec![registered; 1 + MAX_OTHERS]));

    let mut older = serde_json::to_value(outcome()).expect("JSON");
    assert_eq!(older.get("registry"), None, "what is not known is not sent");
    older["unheard_of"] = 1.into();
    assert_eq!(serde_json::from_value::<Outcome>(older).expect("an outcome"), outcome());
}

#[test]
fn numbers_that_were_never_given_out_are_passed_over() {
    let mut receiver = Receiver::new(SCAN, 1);
    let line = Frame::Message(Message::Start { image: 1 }).encode(SCAN, 0).expect("fits");
    assert_eq!(receiver.accept(&line), Event::Nothing);
}

proptest! {
    #[test]
    fn arbitrary_lines_never_panic(line in "\\PC{0,200}", framed in any::<bool>()) {
        let mut receiver = Receiver::new(SCAN, 3);
        let line = if framed { format!("@clarity/2 {line}") } else { line };
        receiver.accept(&line);
    }

    #[test]
    fn lines_in_any_order_never_yield_a_wrong_document(order in prop::collection::vec(0_usize..22, 0..60)) {
        let log = log();
        let lines: Vec<&str> = log.lines().collect();
        let (events, _) = receive(order.iter().filter_map(|at| lines.get(*at)));
        prop_assert!(images(&events).values().all(|size| *size == 20_000));
    }
}
