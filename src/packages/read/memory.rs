//! Memory that reading takes, counted against the budget.

use std::cell::Cell;
use std::time::Duration;

use super::ReadContext;
use crate::tree::{Budget, GapCause, Grant};

/// Memory for evidence is asked for in steps of this many bytes.
const MEMORY_STEP: u64 = 1 << 20;

/// Memory for what a cataloger unpacks while it reads one file.
#[derive(Debug)]
pub struct Scratch<'a> {
    budget: &'a Budget,
    /// How long is waited for others to give back. After one wait in vain there is no other: a file may hold
    /// thousands of things to unpack.
    wait: Cell<Duration>,
    /// Bytes that the file itself takes.
    spooled: u64,
}

impl<'a> Scratch<'a> {
    pub(super) fn new(context: ReadContext<'a>, spooled: u64) -> Self {
        Self { budget: context.budget, wait: Cell::new(context.limits.memory_wait), spooled }
    }

    /// Takes memory on top of the `held` bytes that the reader has taken before.
    ///
    /// # Errors
    /// [`GapCause::NeedsMemory`] with all that the file needs at once.
    pub fn acquire(&self, bytes: u64, held: u64) -> Result<Grant, GapCause> {
        self.budget.acquire(bytes, self.wait.get()).map_err(|_| {
            self.wait.set(Duration::ZERO);
            let bytes = self.spooled.saturating_add(held).saturating_add(bytes);
            GapCause::NeedsMemory { bytes }
        })
    }

    /// For tests of one cataloger: all that it asks for.
    #[cfg(test)]
    pub(in crate::packages) fn of(budget: &'a Budget) -> Self {
        Self { budget, wait: Cell::new(Duration::ZERO), spooled: 0 }
    }
}

/// Memory for a record, taken step by step.
pub(super) struct Memory<'a> {
    budget: &'a Budget,
    wait: Duration,
    evidence: u64,
    tree: u64,
    granted: u64,
    grants: Vec<Grant>,
}

impl<'a> Memory<'a> {
    pub(super) fn new(context: ReadContext<'a>) -> Self {
        let wait = context.limits.memory_wait;
        Self { budget: context.budget, wait, evidence: 0, tree: 0, granted: 0, grants: Vec::new() }
    }

    /// For more evidence.
    pub(super) fn hold_evidence(&mut self, bytes: u64) -> Result<(), GapCause> {
        let evidence = self.evidence.saturating_add(bytes);
        self.take(evidence.saturating_add(self.tree))?;
        self.evidence = evidence;
        Ok(())
    }

    /// For all else, of which there are so many bytes now.
    pub(super) fn hold_tree(&mut self, bytes: u64) -> Result<(), GapCause> {
        self.take(self.evidence.saturating_add(bytes))?;
        self.tree = bytes;
        Ok(())
    }

    fn take(&mut self, needed: u64) -> Result<(), GapCause> {
        if needed <= self.granted {
            return Ok(());
        }
        if needed > self.budget.total() {
            // Nobody could give back what this reader holds itself.
            return Err(GapCause::NeedsMemory { bytes: needed });
        }
        let step = (needed - self.granted).max(MEMORY_STEP.min(self.budget.free()));
        let granted = self.budget.acquire(step, self.wait).map_err(|_| GapCause::NeedsMemory { bytes: needed });
        self.grants.push(granted?);
        self.granted = self.granted.saturating_add(step);
        Ok(())
    }

    /// Gives back what is not needed once all is read, and hands out the rest.
    pub(super) fn keep(mut self, tree: u64) -> Vec<Grant> {
        let mut surplus = self.granted.saturating_sub(self.evidence.saturating_add(tree));
        for grant in &mut self.grants {
            surplus -= grant.give_back(surplus);
        }
        self.grants
    }
}
