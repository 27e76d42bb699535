//! One ordered pair of devices: moving an activation over it, and finding out beforehand whether what arrives is what
//! was sent.
//!
//! The driver's word is not enough: on some machines it offers peer access and the copies arrive as zeros or as what was
//! in the memory before, or never. So a pattern is sent the way activations will go and read back through the host.

use std::collections::HashMap;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use candle_core::{Device, Result as CandleResult, Tensor};
use placebench_core::placement::Transfer;
use placebench_core::units::human_seconds;
use placebench_engine::faults::HopEffect;
use thiserror::Error;

use super::{Devices, Placed, Slot, backend};
use crate::error::{EngineError, first_line};
use crate::fault;
use crate::model::linear::copy_tensor;

/// An ordered pair of devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Link {
    /// Where activations come from.
    pub from: Slot,
    /// Where they go.
    pub to: Slot,
}

/// What the driver does between two devices without the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeerAccess {
    /// There is nothing to enable: the same hardware, or one end is the host.
    NotNeeded,
    /// Each of the two can reach the memory of the other, and is allowed to.
    Enabled,
    /// Why it cannot be had.
    Refused(String),
}

/// Why a link cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum LinkError {
    /// The driver lets neither end reach the other.
    #[error("{0}")]
    NoPeerAccess(String),
    /// What arrived is not what was sent.
    #[error("{wrong} of {total} values of a pattern arrived wrong")]
    Wrong {
        /// Values that differ.
        wrong: usize,
        /// Values sent.
        total: usize,
    },
    /// A copy has not ended.
    #[error("a pattern had not arrived after {}", human_seconds(.0.as_secs_f64()))]
    Late(Duration),
    /// The backend refused.
    #[error("a pattern could not be sent: {0}")]
    Refused(String),
}

impl Devices {
    /// Moves an activation over a link and waits until it is there. Only then may the sender's memory be used again: the
    /// copy is queued on the receiver, and nothing else makes the sender wait for it.
    ///
    /// # Errors
    /// When a backend cannot copy.
    pub(crate) fn carry(&self, x: &Placed, to: Slot, transfer: Transfer) -> Result<Placed, EngineError> {
        let moved = x.moved_to(to, transfer, self)?;
        self.wait_for(to)?;
        Ok(moved)
    }

    /// Waits until a device has done all it was given, so that work that never ends hangs here, where the breadcrumb says
    /// so, and not at some later operation.
    ///
    /// # Errors
    /// When an operation before has failed on the device.
    pub(crate) fn wait_for(&self, slot: Slot) -> Result<(), EngineError> {
        self.handle(slot)
            .synchronize()
            .map_err(EngineError::candle("waiting for a device"))
    }

    /// Lets both ends of a link reach each other's memory, where that takes a word to the driver.
    #[must_use]
    pub fn enable_peer_access(&self, link: Link) -> PeerAccess {
        backend::enable_peer_access(self.handle(link.from), self.handle(link.to))
    }

    /// Sends patterns of these sizes (in values) over a link and compares what comes back through the host, within a
    /// deadline. `strike` says what an injected fault does to the copies; it is asked on the thread that copies.
    ///
    /// A copy that never ends keeps its thread: it is left behind, as there is no way to call it back.
    ///
    /// # Errors
    /// When a pattern arrives changed, late or not at all.
    pub fn verify(
        &self,
        link: Link,
        transfer: Transfer,
        sizes: &[usize],
        deadline: Duration,
        strike: impl FnOnce() -> HopEffect + Send + 'static,
    ) -> Result<(), LinkError> {
        let (told, verdict) = mpsc::sync_channel(1);
        let (devices, sizes) = (self.clone(), sizes.to_vec());
        let check = move || {
            let effect = strike();
            let result = sizes
                .iter()
                .try_for_each(|&size| compare(&devices, link, transfer, size, effect));
            // Nobody listens any more after the deadline.
            drop(told.send(result));
        };
        std::thread::Builder::new()
            .name("link check".to_owned())
            .spawn(check)
            .map_err(|error| LinkError::Refused(error.to_string()))?;
        match verdict.recv_timeout(deadline) {
            Ok(result) => result,
            Err(RecvTimeoutError::Timeout) => Err(LinkError::Late(deadline)),
            Err(RecvTimeoutError::Disconnected) => Err(LinkError::Refused("the backend panicked".to_owned())),
        }
    }
}

/// Two patterns, so that the second is told from what the first left behind.
fn compare(devices: &Devices, link: Link, transfer: Transfer, size: usize, effect: HopEffect) -> Result<(), LinkError> {
    let mut delivered = HashMap::new();
    for seed in [1, 2] {
        let sent = pattern(size, seed);
        let arrived = there_and_back(devices, link, transfer, &sent, &mut delivered, effect)?;
        // Bit for bit: -0.0 equals 0.0, and NaN not even itself.
        let same = |(sent, arrived): (&f32, &f32)| sent.to_bits() == arrived.to_bits();
        let right = sent.iter().zip(&arrived).filter(|pair| same(*pair)).count();
        if right < size || arrived.len() != size {
            return Err(LinkError::Wrong {
                wrong: size - right,
                total: size,
            });
        }
    }
    Ok(())
}

fn there_and_back(
    devices: &Devices,
    link: Link,
    transfer: Transfer,
    values: &[f32],
    delivered: &mut HashMap<usize, Tensor>,
    effect: HopEffect,
) -> Result<Vec<f32>, LinkError> {
    let refused = |error: EngineError| LinkError::Refused(error.to_string());
    // What the receiver's memory holds beforehand is not what will be sent: its allocator may hand out the same block.
    let elsewhere = vec![f32::MAX; values.len()];
    drop(on_device(&elsewhere, devices.handle(link.to))?);
    let source = Placed::made_on(link.from, on_device(values, devices.handle(link.from))?);
    devices.wait_for(link.from).map_err(refused)?;
    let moved = devices.carry(&source, link.to, transfer).map_err(refused)?;
    // As in a generation: what was sent is gone, and its memory is in use again, before anybody looks at what arrived.
    drop(source);
    let reused = on_device(&elsewhere, devices.handle(link.from))?;
    let arrived = fault::on_hop(effect, 0, moved, Some(delivered)).map_err(refused)?;
    let read = |arrived: &Tensor| copy_tensor(arrived, &Device::Cpu)?.flatten_all()?.to_vec1();
    let values = arrived
        .on(link.to, devices)
        .map_err(refused)
        .and_then(|arrived| read(arrived).map_err(|error| LinkError::Refused(first_line(&error))));
    drop(reused);
    values
}

fn on_device(values: &[f32], device: &Device) -> Result<Tensor, LinkError> {
    let made: CandleResult<Tensor> = Tensor::from_slice(values, (1, values.len()), device);
    made.map_err(|error| LinkError::Refused(first_line(&error)))
}

/// Whole numbers below 2^24, which every backend carries exactly, in an order that repeats after 2^32 values only.
fn pattern(size: usize, seed: u32) -> Vec<f32> {
    // The multiplier of Knuth's multiplicative hashing (The Art of Computer Programming 3, section 6.4).
    (0..size)
        .map(|index| {
            let position = u32::try_from(index % (1 << 31)).unwrap_or(0);
            let mixed = (position ^ (seed << 29)).wrapping_add(seed).wrapping_mul(2_654_435_761);
            (mixed >> 8) as f32
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::tests::two_logical_devices;

    const LINK: Link = Link {
        from: Slot(1),
        to: Slot(2),
    };

    fn verify(transfer: Transfer, effect: HopEffect) -> Result<(), LinkError> {
        two_logical_devices().verify(LINK, transfer, &[1, 64, 5000], Duration::from_secs(60), move || effect)
    }

    #[test]
    fn a_faithful_link_passes_either_way() {
        for transfer in [Transfer::Direct, Transfer::Host] {
            assert_eq!(verify(transfer, HopEffect::None), Ok(()));
        }
    }

    #[test]
    fn every_kind_of_wrong_copy_is_seen() {
        for effect in [HopEffect::Zero, HopEffect::Stale, HopEffect::Corrupt] {
            let verdict = verify(Transfer::Direct, effect);
            assert!(
                matches!(verdict, Err(LinkError::Wrong { .. })),
                "{effect:?}: {verdict:?}"
            );
        }
    }

    #[test]
    fn a_copy_that_never_ends_is_given_up() {
        let deadline = Duration::from_millis(50);
        let never = || loop {
            std::thread::park();
        };
        let verdict = two_logical_devices().verify(LINK, Transfer::Direct, &[8], deadline, never);
        assert_eq!(verdict, Err(LinkError::Late(deadline)));
    }

    #[test]
    fn the_patterns_of_a_check_differ_nearly_everywhere() {
        let [first, second] = [pattern(5000, 1), pattern(5000, 2)];
        let same = first.iter().zip(&second).filter(|(a, b)| a == b).count();
        assert!(same < 10, "{same}");
        assert!(first.iter().filter(|x| **x == 0.0).count() < 10);
    }

    #[test]
    fn slices_of_one_processor_need_no_peer_access() {
        assert_eq!(two_logical_devices().enable_peer_access(LINK), PeerAccess::NotNeeded);
    }

    /// The sender frees its activation and uses the memory again as soon as it was carried (failure of cudarc's copies
    /// between cards, which wait for the sender and do not make it wait).
    #[test]
    fn what_was_carried_outlives_the_reuse_of_its_source() {
        let devices = two_logical_devices();
        for transfer in [Transfer::Direct, Transfer::Host] {
            let storage = on_device(&pattern(64, 1), &Device::Cpu).unwrap();
            let source = Placed::made_on(LINK.from, storage.clone());
            let moved = devices.carry(&source, LINK.to, transfer).unwrap();
            drop(source);
            let overwritten = on_device(&pattern(64, 2), &Device::Cpu).unwrap();
            storage.slice_set(&overwritten, 0, 0).unwrap();
            let arrived: Vec<f32> = moved
                .on(LINK.to, &devices)
                .unwrap()
                .flatten_all()
                .unwrap()
                .to_vec1()
                .unwrap();
            assert_eq!(arrived, pattern(64, 1), "{transfer:?}");
        }
    }
}
