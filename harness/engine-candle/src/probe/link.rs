//! A link: patterns copied as a hop copies activations, compared with what arrives, and timed.

use std::collections::HashMap;

use candle_core::{DType, Tensor};
use placebench_core::device::{DeviceId, LogicalDevice};
use placebench_core::doctor::probe::{CopyFigures, ProbeEvent, hop_name};
use placebench_core::fault::FaultKind;
use placebench_core::outcome::Phase;
use placebench_core::placement::Transfer;
use placebench_core::planner::LinkRates;
use placebench_core::units::Bytes;
use placebench_engine::faults::{FaultPlan, Moment};

use super::pattern::{Damage, Pattern, SENTINEL};
use super::sampling::{Repeat, timed};
use super::{ProbeError, Reporter};
use crate::device::{Devices, Placed, Slot};
use crate::error::EngineError;
use crate::fault;

/// Copies that are compared, of each size. Stale data can show from the second on.
const ROUNDS: u32 = 3;

/// What the second slice is called where a link leads from a device to itself.
const SECOND_SLICE: &str = "second-slice:0";

/// A pair of open devices.
pub(crate) struct LinkProbe<'a> {
    devices: Devices,
    names: (DeviceId, DeviceId),
    from: Slot,
    to: Slot,
    faults: &'a FaultPlan,
    sizes: [usize; 3],
    repeat: Repeat,
}

/// The copies of one size.
struct Series<'a> {
    transfer: Transfer,
    hop: String,
    /// Position of the size; faults remember what was delivered by it.
    size: usize,
    words: usize,
    number: u32,
    delivered: HashMap<usize, Tensor>,
    probe: &'a LinkProbe<'a>,
}

impl<'a> LinkProbe<'a> {
    /// Opens both devices.
    ///
    /// # Errors
    /// When one is not there.
    pub(crate) fn open(
        logical: &[LogicalDevice],
        from: &DeviceId,
        to: &DeviceId,
        faults: &'a FaultPlan,
        quick: bool,
    ) -> Result<Self, ProbeError> {
        let unknown = |id: &DeviceId| ProbeError::Unusable(format!("{id} cannot be opened for copies"));
        let mut declared = logical.to_vec();
        let mut target = to.clone();
        if from == to {
            target = DeviceId::new(SECOND_SLICE).map_err(|_| unknown(to))?;
            declared.push(LogicalDevice {
                id: target.clone(),
                on: to.clone(),
                memory_bytes: None,
            });
        }
        let devices = Devices::open(&declared, &[from.clone(), target.clone()]).map_err(EngineError::from)?;
        Ok(Self {
            from: devices.slot(from).ok_or_else(|| unknown(from))?,
            to: devices.slot(&target).ok_or_else(|| unknown(to))?,
            names: (from.clone(), to.clone()),
            devices,
            faults,
            // A token's hidden state, a short prompt's, a long prompt's.
            sizes: if quick {
                [4 << 10, 256 << 10, 4 << 20]
            } else {
                [4 << 10, 1 << 20, 16 << 20]
            },
            repeat: Repeat::within_ms(if quick { 30 } else { 120 }, 50),
        })
    }

    /// Compares and times copies of all sizes one way.
    ///
    /// # Errors
    /// When a device does not take or give back data, which says nothing about the link.
    pub(crate) fn path(&self, transfer: Transfer, reporter: &mut Reporter<'_>) -> Result<(), ProbeError> {
        let hop = hop_name(&self.names.0, &self.names.1, transfer);
        let mut copies = Vec::new();
        for (size, bytes) in self.sizes.into_iter().enumerate() {
            let mut series = Series {
                transfer,
                hop: hop.clone(),
                size,
                words: bytes / 4,
                number: 0,
                delivered: HashMap::new(),
                probe: self,
            };
            let shown = Bytes(bytes as u64);
            reporter.step(format!("comparing copies of {shown} {hop}"));
            let worst = series.compare()?;
            let mut figures = CopyFigures {
                bytes: shown,
                compared: ROUNDS,
                wrong_bytes: Bytes(worst.map_or(0, |damage| damage.wrong_bytes)),
                first_wrong_byte: worst.map(|damage| damage.first_wrong_byte),
                arrived: worst.map(|damage| damage.arrived),
                median_s: None,
            };
            if worst.is_none() {
                reporter.step(format!("timing copies of {shown} {hop}"));
                figures.median_s = Some(series.time()?);
            }
            copies.push(figures);
        }
        let rates = rates(&copies);
        reporter.say(ProbeEvent::Path {
            transfer,
            copies,
            rates,
        });
        Ok(())
    }

    fn wait_for(&self, slot: Slot) -> Result<(), ProbeError> {
        let waited = self.devices.handle(slot).synchronize();
        Ok(waited.map_err(EngineError::candle("waiting for a device"))?)
    }

    fn filled(&self, words: usize) -> Result<Tensor, ProbeError> {
        let filled = Tensor::full(SENTINEL, (1, words), self.devices.handle(self.to));
        Ok(filled.map_err(EngineError::candle("filling the target"))?)
    }
}

impl Series<'_> {
    /// Copies one pattern after the other and returns the worst damage.
    fn compare(&mut self) -> Result<Option<Damage>, ProbeError> {
        let mut worst: Option<Damage> = None;
        let mut earlier = Vec::new();
        for round in 0..ROUNDS {
            let pattern = Pattern {
                seed: u32::try_from(self.size).unwrap_or(0) * ROUNDS + round,
            };
            let source = self.put(pattern)?;
            // The allocator gives the same memory to the copy, so a copy that never comes leaves the sentinel.
            drop(self.probe.filled(self.words)?);
            self.probe.wait_for(self.probe.to)?;
            let moved = self.carry(&source)?;
            let arrived = read(&moved, self.probe.to, &self.probe.devices)?;
            if let Some(damage) = pattern.damage(&arrived, &earlier)
                && worst.is_none_or(|known| damage.wrong_bytes > known.wrong_bytes)
            {
                worst = Some(damage);
            }
            earlier.push(pattern);
        }
        Ok(worst)
    }

    /// Median seconds of a copy, from a device that is done to one that is.
    fn time(&mut self) -> Result<f64, ProbeError> {
        let source = self.put(Pattern { seed: 0 })?;
        self.carry(&source)?;
        let repeat = self.probe.repeat;
        repeat.median_s(|| {
            self.probe.wait_for(self.probe.from)?;
            timed(|| {
                self.carry(&source)?;
                Ok(())
            })
        })
    }

    /// Puts a pattern on the sending device, and makes sure that it is there.
    fn put(&self, pattern: Pattern) -> Result<Placed, ProbeError> {
        let probe = self.probe;
        let words = pattern.words(self.words);
        let tensor = Tensor::from_vec(words, (1, self.words), probe.devices.handle(probe.from))
            .map_err(EngineError::candle("putting the pattern on the sending device"))?;
        probe.wait_for(probe.from)?;
        let placed = Placed::made_on(probe.from, tensor);
        let there = read(&placed, probe.from, &probe.devices)?;
        match pattern.damage(&there, &[]) {
            None => Ok(placed),
            Some(damage) => Err(ProbeError::Unusable(format!(
                "the pattern did not reach {} unharmed ({} of {} bytes wrong), so nothing can be said about what it sends",
                probe.names.0,
                damage.wrong_bytes,
                self.words * 4
            ))),
        }
    }

    /// One copy, as the decoder's hops are: injected faults strike, and the receiving end is waited for.
    fn carry(&mut self, source: &Placed) -> Result<Placed, ProbeError> {
        let probe = self.probe;
        let effect = probe.faults.at_hop(Moment {
            phase: Phase::Decode,
            token: Some(self.number),
            module: None,
            hop: Some(&self.hop),
            link: Some(&self.hop),
            device: None,
        });
        self.number += 1;
        let moved = source.moved_to(probe.to, self.transfer, &probe.devices)?;
        probe.wait_for(probe.to)?;
        // What was delivered is kept only for the fault that repeats it: it would hold memory the next copy could have.
        let delivered = probe
            .faults
            .present(FaultKind::StaleCopy)
            .then_some(&mut self.delivered);
        Ok(fault::on_hop(effect, self.size, moved, delivered)?)
    }
}

fn read(placed: &Placed, slot: Slot, devices: &Devices) -> Result<Vec<u32>, ProbeError> {
    let words = placed
        .on(slot, devices)?
        .flatten_all()
        .and_then(|flat| flat.to_dtype(DType::U32)?.to_vec1())
        .map_err(EngineError::candle("reading a pattern back"))?;
    Ok(words)
}

/// Bandwidth from the difference between the two larger sizes, latency from what the smallest takes on top; from the
/// largest and the smallest alone where noise makes the difference meaningless. Absent where a size was not timed.
fn rates(copies: &[CopyFigures]) -> Option<LinkRates> {
    let [small, middle, large] = copies else { return None };
    let (small_s, middle_s, large_s) = (small.median_s?, middle.median_s?, large.median_s?);
    let bytes_per_s = (large.bytes.as_f64() - middle.bytes.as_f64()) / (large_s - middle_s);
    if !bytes_per_s.is_finite() || bytes_per_s <= 0.0 {
        let bytes_per_s = large.bytes.as_f64() / large_s;
        return bytes_per_s.is_finite().then_some(LinkRates {
            latency_s: small_s,
            bytes_per_s,
        });
    }
    Some(LinkRates {
        latency_s: (small_s - small.bytes.as_f64() / bytes_per_s).max(0.0),
        bytes_per_s,
    })
}

#[cfg(test)]
#[path = "link_tests.rs"]
mod tests;
