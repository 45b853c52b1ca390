use proptest::prelude::*;

use super::*;

/// Left behind by a process that took a package out of the database in SQLite beside it and was killed: seven frames, the last
/// one of which ends the transaction.
const FIXTURE: &[u8] = include_bytes!("../testdata/left-over.wal");
/// Bytes of a frame with its page.
const WHOLE_FRAME: usize = FRAME + 512;

fn holds(log: &[u8]) -> bool {
    holds_changes(&mut &log[..]).expect("readable")
}

fn changed(at: usize) -> Vec<u8> {
    let mut log = FIXTURE.to_vec();
    log[at] ^= 1;
    log
}

#[test]
fn a_transaction_that_ended_is_a_change() {
    assert!(holds(FIXTURE));
    assert!(holds(&[FIXTURE, &[0; 100]].concat()));
}

#[test]
fn a_transaction_that_did_not_end_is_none() {
    assert_eq!(FIXTURE.len(), HEADER + 7 * WHOLE_FRAME);
    for length in [0, HEADER, HEADER + WHOLE_FRAME, HEADER + 6 * WHOLE_FRAME, FIXTURE.len() - 1] {
        assert!(!holds(&FIXTURE[..length]), "{length}");
    }
}

#[test]
fn frames_with_another_checksum_or_of_the_time_before_are_none() {
    let second = HEADER + WHOLE_FRAME;
    // The number of its page, its salt, its checksum, its page.
    for at in [second + 3, second + 8, second + 16, second + FRAME + 100] {
        assert!(!holds(&changed(at)), "{at}");
    }
    // A log that was begun anew has another salt and the old frames.
    let mut log = FIXTURE.to_vec();
    log[16] ^= 1;
    let sum = sum_of(&log[..24]);
    log[24..32].copy_from_slice(&sum);
    assert!(!holds(&log));
}

#[test]
fn what_sqlite_takes_for_no_log_is_none() {
    for at in [0, 8, 16, 24] {
        assert!(!holds(&changed(at)), "{at}");
    }
    assert!(!holds(&[7; 5000]));
}

#[test]
fn a_log_of_another_version_may_hold_anything() {
    let mut log = FIXTURE.to_vec();
    log[7] += 1;
    let sum = sum_of(&log[..24]);
    log[24..32].copy_from_slice(&sum);
    assert!(holds(&log));
}

#[test]
fn checksums_may_be_of_numbers_with_the_highest_byte_first() {
    let mut log = FIXTURE.to_vec();
    log[3] |= 1;
    let mut sum = Checksum { is_big_endian: true, low: 0, high: 0 };
    sum.add(&log[..24]);
    log[24..32].copy_from_slice(&[sum.low, sum.high].map(u32::to_be_bytes).concat());
    for frame in log[HEADER..].chunks_mut(WHOLE_FRAME) {
        sum.add(&frame[..8]);
        sum.add(&frame[FRAME..]);
        frame[16..24].copy_from_slice(&[sum.low, sum.high].map(u32::to_be_bytes).concat());
    }
    assert!(holds(&log));
}

/// The checksum as it is stored, of numbers with the lowest byte first.
fn sum_of(bytes: &[u8]) -> [u8; 8] {
    let mut sum = Checksum { is_big_endian: false, low: 0, high: 0 };
    sum.add(bytes);
    [sum.low, sum.high].map(u32::to_be_bytes).concat().try_into().expect("8")
}

proptest! {
    #[test]
    fn no_change_to_what_is_checked_goes_unseen(at in HEADER..HEADER + 7 * WHOLE_FRAME, bit in 0_u32..8) {
        let mut log = FIXTURE.to_vec();
        log[at] ^= 1 << bit;
        prop_assert!(!holds(&log));
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..1500)) {
        let _ = holds(&bytes);
        let _ = holds(&[&FIXTURE[..HEADER], &bytes].concat());
    }
}
