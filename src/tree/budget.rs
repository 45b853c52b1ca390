//! Memory that the readers of all layers share.
//!
//! Counted are the things whose size an image decides: files held in memory, records, large decoder windows. Waiting here
//! slows the download, which is what is wanted. Who holds something may ask for more, so two readers could wait for
//! each other: a wait is bounded and ends as [`GapCause::NeedsMemory`], after which the image can be read alone.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::gap::GapCause;

/// A handle to the shared memory; clones share it.
#[derive(Clone, Debug)]
pub struct Budget(Arc<Shared>);

/// Memory taken from a budget; given back when dropped.
#[derive(Debug)]
pub struct Grant {
    budget: Budget,
    bytes: u64,
    is_window: bool,
}

#[derive(Debug)]
struct Shared {
    total: u64,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    free: u64,
    has_window: bool,
}

impl Budget {
    /// A budget of this many bytes.
    #[must_use]
    pub fn new(total: u64) -> Self {
        let state = Mutex::new(State { free: total, has_window: false });
        Self(Arc::new(Shared { total, state, changed: Condvar::new() }))
    }

    /// Half of what the process may use; the other half is for what is not counted.
    #[must_use]
    pub fn of_memory_limit(limit: u64) -> Self {
        Self::new(limit / 2)
    }

    /// Takes memory, waiting for others to give it back.
    ///
    /// # Errors
    /// [`GapCause::NeedsMemory`]: there never was so much, or it did not come free in time.
    pub fn acquire(&self, bytes: u64, wait: Duration) -> Result<Grant, GapCause> {
        self.take(bytes, wait, false)
    }

    /// Takes memory for a large decoder window: one at a time.
    ///
    /// # Errors
    /// As [`Self::acquire`].
    pub fn acquire_window(&self, bytes: u64, wait: Duration) -> Result<Grant, GapCause> {
        self.take(bytes, wait, true)
    }

    /// Bytes of all, held or not.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.total
    }

    /// Bytes that nobody holds.
    #[must_use]
    pub fn free(&self) -> u64 {
        self.lock().free
    }

    fn take(&self, bytes: u64, wait: Duration, is_window: bool) -> Result<Grant, GapCause> {
        if bytes > self.0.total {
            return Err(GapCause::NeedsMemory { bytes });
        }
        let must_wait = |state: &mut State| state.free < bytes || (is_window && state.has_window);
        let (mut state, _) = self
            .0
            .changed
            .wait_timeout_while(self.lock(), wait, must_wait)
            .unwrap_or_else(PoisonError::into_inner);
        if must_wait(&mut state) {
            return Err(GapCause::NeedsMemory { bytes });
        }
        state.free -= bytes;
        state.has_window |= is_window;
        Ok(Grant { budget: self.clone(), bytes, is_window })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The two fields are changed together by code that cannot panic, so a poisoned lock is still whole.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Grant {
    /// Gives a part back, at most all of it; how much that was.
    pub fn give_back(&mut self, bytes: u64) -> u64 {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        self.budget.lock().free += bytes;
        self.budget.0.changed.notify_all();
        bytes
    }
}

impl Drop for Grant {
    fn drop(&mut self) {
        let mut state = self.budget.lock();
        state.free += self.bytes;
        if self.is_window {
            state.has_window = false;
        }
        drop(state);
        self.budget.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NO_WAIT: Duration = Duration::ZERO;

    #[test]
    fn memory_comes_back_when_a_grant_is_dropped() {
        let budget = Budget::of_memory_limit(200);
        let grant = budget.acquire(60, NO_WAIT).expect("free");
        assert_eq!(budget.acquire(60, NO_WAIT).err(), Some(GapCause::NeedsMemory { bytes: 60 }));
        drop(grant);
        assert!(budget.acquire(100, NO_WAIT).is_ok());
        assert_eq!(budget.free(), 100);
    }

    #[test]
    fn a_part_can_be_given_back_once() {
        let budget = Budget::new(100);
        let mut grant = budget.acquire(60, NO_WAIT).expect("free");
        assert_eq!((grant.give_back(50), budget.free()), (50, 90));
        assert_eq!((grant.give_back(50), budget.free()), (10, 100));
        drop(grant);
        assert_eq!(budget.free(), 100);
    }

    #[test]
    fn more_than_there_is_fails_without_a_wait() {
        let budget = Budget::new(10);
        let cause = budget.acquire(11, Duration::from_hours(1)).err();
        assert_eq!(cause, Some(GapCause::NeedsMemory { bytes: 11 }));
    }

    #[test]
    fn large_windows_are_granted_one_at_a_time() {
        let budget = Budget::new(100);
        let window = budget.acquire_window(10, NO_WAIT).expect("free");
        assert!(budget.acquire_window(10, NO_WAIT).is_err());
        assert!(budget.acquire(10, NO_WAIT).is_ok());
        drop(window);
        assert!(budget.acquire_window(10, NO_WAIT).is_ok());
    }

    #[test]
    fn a_waiting_reader_goes_on_when_another_gives_back() {
        let budget = Budget::new(10);
        let grant = budget.acquire(10, NO_WAIT).expect("free");
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| budget.acquire(10, Duration::from_mins(1)).is_ok());
            drop(grant);
            assert!(waiting.join().expect("no panic"));
        });
    }
}
