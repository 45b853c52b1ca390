//! Watching that a connection is not fed drop by drop.

use std::time::Duration;

use super::settings::Rate;

/// How fast the bytes of one connection come. Only time spent waiting for the network counts.
pub(crate) struct Pace {
    least: Rate,
    waited: Duration,
    bytes: u64,
}

impl Pace {
    pub(crate) fn of(least: Rate) -> Self {
        Self { least, waited: Duration::ZERO, bytes: 0 }
    }

    pub(crate) fn is_too_slow(&mut self, waited: Duration, bytes: usize) -> bool {
        self.waited += waited;
        self.bytes = self.bytes.saturating_add(bytes as u64);
        if self.waited < self.least.window {
            return false;
        }
        let too_slow = self.bytes < self.least.bytes;
        (self.waited, self.bytes) = (Duration::ZERO, 0);
        too_slow
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_fed_drop_by_drop_is_too_slow() {
        let mut pace = Pace::of(Rate { bytes: 100, window: Duration::from_secs(10) });
        let verdicts: Vec<bool> = (0..10).map(|_| pace.is_too_slow(Duration::from_secs(2), 1)).collect();
        assert_eq!(verdicts, [false, false, false, false, true, false, false, false, false, true]);
    }

    #[test]
    fn waiting_for_the_reader_does_not_make_a_connection_slow() {
        let mut pace = Pace::of(Rate { bytes: 100, window: Duration::from_secs(10) });
        assert!((0..1000).all(|_| !pace.is_too_slow(Duration::ZERO, 0)));
    }
}
