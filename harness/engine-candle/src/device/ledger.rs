//! What is allocated on each device of a placement, against its budget.
//!
//! Weights and caches are charged with the bytes of their tensors. Activations are charged with an estimate of what a
//! module holds at once ([`crate::model::activations`]), because candle frees and reuses them on its own.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use placebench_core::device::{DeviceBytes, DeviceId};
use placebench_core::outcome::WorkerFailure;
use placebench_core::protocol::{MemoryFigure, MemoryKind};
use placebench_core::units::Bytes;
use placebench_engine::Context;

use super::{Devices, Slot};

/// What an allocation is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// Parameters.
    Weights,
    /// Keys and values of past tokens.
    KvCache,
    /// Everything that does not outlive a step, and what is copied in for one use.
    Activations,
}

/// The account of one device.
#[derive(Debug, Clone)]
struct Account {
    device: DeviceId,
    allowed: Option<u64>,
    weights: u64,
    kv_cache: u64,
    largest_kv_cache: u64,
    activations: u64,
    peak: u64,
}

impl Account {
    fn used(&self) -> u64 {
        self.weights + self.kv_cache + self.activations
    }

    fn entry(&mut self, purpose: Use) -> &mut u64 {
        match purpose {
            Use::Weights => &mut self.weights,
            Use::KvCache => &mut self.kv_cache,
            Use::Activations => &mut self.activations,
        }
    }
}

/// The accounts of all devices. Several threads may charge them.
#[derive(Debug)]
pub struct Ledger {
    accounts: Arc<Mutex<Vec<Account>>>,
}

/// The bytes of a cache, in use for as long as this lives: kept beside the tensors it stands for.
#[derive(Debug)]
pub struct CacheCharge {
    accounts: Arc<Mutex<Vec<Account>>>,
    slot: Slot,
    bytes: u64,
}

impl Drop for CacheCharge {
    fn drop(&mut self) {
        if let Some(account) = lock(&self.accounts).get_mut(self.slot.0) {
            account.kv_cache = account.kv_cache.saturating_sub(self.bytes);
        }
    }
}

fn lock(accounts: &Mutex<Vec<Account>>) -> MutexGuard<'_, Vec<Account>> {
    // An account is changed after everything that can panic.
    accounts.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Ledger {
    /// Empty accounts with the budgets of the logical devices.
    #[must_use]
    pub fn new(devices: &Devices) -> Self {
        let accounts = devices.slots().map(|slot| Account {
            device: devices.id(slot).clone(),
            allowed: devices.budget(slot).map(|bytes| bytes.0),
            weights: 0,
            kv_cache: 0,
            largest_kv_cache: 0,
            activations: 0,
            peak: 0,
        });
        Self {
            accounts: Arc::new(Mutex::new(accounts.collect())),
        }
    }

    /// The same accounts for something that leaves no trace: what is charged to them is not charged here.
    #[must_use]
    pub fn scratch(&self) -> Self {
        let accounts = self.accounts().clone();
        Self {
            accounts: Arc::new(Mutex::new(accounts)),
        }
    }

    fn accounts(&self) -> MutexGuard<'_, Vec<Account>> {
        lock(&self.accounts)
    }

    /// Takes `bytes` on a device before they are allocated.
    ///
    /// # Errors
    /// Out of memory, when they exceed the device's budget or an injected fault says so. Nothing is taken then.
    pub fn charge(
        &self,
        context: &Context,
        slot: Slot,
        purpose: Use,
        bytes: u64,
        what: &str,
    ) -> Result<(), WorkerFailure> {
        let mut accounts = self.accounts();
        let account = &mut accounts[slot.0];
        let needed = account.used().saturating_add(bytes);
        let exceeded = account.allowed.filter(|allowed| needed > *allowed).map(Bytes);
        let injected = || match bytes {
            0 => None,
            _ => context.fault_at_allocation(Bytes(needed)),
        };
        if let Some(allowed) = exceeded.or_else(injected) {
            return Err(context.out_of_memory(&account.device, what, Bytes(needed), allowed));
        }
        *account.entry(purpose) += bytes;
        account.peak = account.peak.max(needed);
        account.largest_kv_cache = account.largest_kv_cache.max(account.kv_cache);
        Ok(())
    }

    /// Gives back what was charged.
    pub fn release(&self, slot: Slot, purpose: Use, bytes: u64) {
        let mut accounts = self.accounts();
        let entry = accounts[slot.0].entry(purpose);
        *entry = entry.saturating_sub(bytes);
    }

    /// Takes the bytes of a cache; they are given back when what is returned is dropped, so that a cache that outlives its
    /// generation stays in the account.
    ///
    /// # Errors
    /// As [`Self::charge`].
    pub fn charge_cache(
        &self,
        context: &Context,
        slot: Slot,
        bytes: u64,
        what: &str,
    ) -> Result<CacheCharge, WorkerFailure> {
        self.charge(context, slot, Use::KvCache, bytes, what)?;
        Ok(CacheCharge {
            accounts: Arc::clone(&self.accounts),
            slot,
            bytes,
        })
    }

    /// Gives back all activations: a generation has ended, or failed half-way.
    pub fn end_generation(&self) {
        for account in self.accounts().iter_mut() {
            account.activations = 0;
        }
    }

    /// What is in use on a device between two generations, the weights as given by the caller.
    #[must_use]
    pub fn held(&self, slot: Slot, weights: u64) -> DeviceBytes {
        let account = &self.accounts()[slot.0];
        DeviceBytes {
            device: account.device.clone(),
            bytes: Bytes(weights + account.kv_cache + account.activations),
        }
    }

    /// The figures of a device: weights as given by the caller, who reads them back from the tensors; the largest cache;
    /// the peak.
    #[must_use]
    pub fn figures(&self, slot: Slot, weights: u64) -> [MemoryFigure; 3] {
        let account = &self.accounts()[slot.0];
        let figure = |kind, bytes| MemoryFigure {
            device: account.device.clone(),
            kind,
            bytes: Bytes(bytes),
            allowed_bytes: account.allowed.map(Bytes),
        };
        [
            figure(MemoryKind::Weights, weights),
            figure(MemoryKind::KvCache, account.largest_kv_cache),
            figure(MemoryKind::Peak, account.peak),
        ]
    }

    /// True where nothing was ever allocated on the device.
    #[must_use]
    pub fn untouched(&self, slot: Slot) -> bool {
        self.accounts()[slot.0].peak == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::tests::two_logical_devices;
    use placebench_core::outcome::{FailureClass, Phase};

    fn charge(ledger: &Ledger, purpose: Use, bytes: u64) -> Result<(), WorkerFailure> {
        let mut context = Context::unheard();
        context.phase(Phase::Load);
        ledger.charge(&context, Slot(1), purpose, bytes, "model.layers.3")
    }

    #[test]
    fn an_exact_fit_fits_and_one_byte_more_does_not() {
        let ledger = Ledger::new(&two_logical_devices());
        assert!(charge(&ledger, Use::Weights, 1000).is_ok());
        let failure = charge(&ledger, Use::KvCache, 25).unwrap_err();
        assert_eq!(failure.class, FailureClass::OutOfMemory);
        assert_eq!(failure.phase, Phase::Load);
        assert_eq!(failure.needed_bytes, Some(Bytes(1025)));
        assert_eq!(failure.allowed_bytes, Some(Bytes(1024)));
        assert!(failure.message.contains("sim:0") && failure.message.contains("model.layers.3"));
        assert!(charge(&ledger, Use::KvCache, 24).is_ok());
    }

    #[test]
    fn the_peak_outlives_what_was_given_back() {
        let ledger = Ledger::new(&two_logical_devices());
        charge(&ledger, Use::Weights, 100).unwrap();
        charge(&ledger, Use::Activations, 50).unwrap();
        ledger.release(Slot(1), Use::Activations, 50);
        let context = Context::unheard();
        drop(ledger.charge_cache(&context, Slot(1), 20, "a cache").unwrap());
        ledger.end_generation();
        assert_eq!(ledger.held(Slot(1), 100).bytes, Bytes(100));
        let bytes: Vec<u64> = ledger
            .figures(Slot(1), 100)
            .iter()
            .map(|figure| figure.bytes.0)
            .collect();
        assert_eq!(bytes, [100, 20, 150]);
        assert!(ledger.untouched(Slot(2)) && !ledger.untouched(Slot(1)));
    }

    #[test]
    fn a_cache_that_is_kept_runs_into_the_budget_and_one_that_is_dropped_does_not() {
        for (is_kept, survives) in [(false, true), (true, false)] {
            let ledger = Ledger::new(&two_logical_devices());
            let context = Context::unheard();
            let cache = |bytes| ledger.charge_cache(&context, Slot(1), bytes, "a cache");
            let mut kept = Some(cache(600).unwrap());
            ledger.end_generation();
            if !is_kept {
                kept = None;
            }
            assert_eq!(ledger.held(Slot(1), 0).bytes, Bytes(if is_kept { 600 } else { 0 }));
            assert_eq!(cache(600).is_ok(), survives);
            drop(kept);
            assert_eq!(ledger.held(Slot(1), 0).bytes, Bytes(0));
        }
    }

    #[test]
    fn a_scratch_keeps_to_the_budget_and_leaves_no_trace() {
        let ledger = Ledger::new(&two_logical_devices());
        charge(&ledger, Use::Weights, 1000).unwrap();
        let scratch = ledger.scratch();
        charge(&scratch, Use::KvCache, 24).unwrap();
        assert!(charge(&scratch, Use::Activations, 1).is_err());
        let bytes = ledger.figures(Slot(1), 1000).map(|figure| figure.bytes.0);
        assert_eq!(bytes, [1000, 0, 1000]);
    }

    #[test]
    fn devices_without_a_budget_take_anything() {
        let ledger = Ledger::new(&two_logical_devices());
        let context = Context::unheard();
        assert!(ledger.charge(&context, Slot(0), Use::Weights, 1 << 40, "all").is_ok());
    }
}
