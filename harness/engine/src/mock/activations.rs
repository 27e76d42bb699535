//! The made-up tensors of the mock engine in an audit: numbers that follow from the tokens, module by module, and that
//! injected faults spoil as they spoil real ones.

use std::collections::HashMap;

use placebench_core::audit::TensorPrint;

use super::mix;
use crate::Context;
use crate::audit::changed;
use crate::faults::HopEffect;

/// Values in a row.
const WIDTH: usize = 64;

/// The activation on its way through the modules.
#[derive(Debug, Default)]
pub(super) struct MockActivations {
    rows: Vec<Vec<f32>>,
    /// What each hop delivered last.
    delivered: HashMap<usize, Vec<f32>>,
}

impl MockActivations {
    /// A step begins: rows of numbers that follow from its tokens. Only where `context` is audited does this, or any of what
    /// follows, do anything.
    pub(super) fn begin(&mut self, ids: &[u32], seed: u64, context: &mut Context) {
        if context.is_audited() {
            context.audit_input(ids);
            let row = |id: &u32| numbers(seed ^ (u64::from(*id) << 20));
            self.rows = ids.iter().map(row).collect();
        }
    }

    /// A module turns every row into another that follows from it.
    pub(super) fn compute(&mut self, module: usize, is_nan: bool, context: &mut Context) {
        if !context.is_audited() {
            return;
        }
        for row in &mut self.rows {
            let made = numbers(
                row.iter()
                    .fold(module as u64, |seed, x| mix(seed ^ u64::from(x.to_bits()))),
            );
            *row = if is_nan { vec![f32::NAN; WIDTH] } else { made };
        }
        context.audit_output(module, print(&self.rows));
    }

    /// What leaves a device; before the hop begins.
    pub(super) fn send(&mut self, hop: usize, context: &mut Context) {
        if context.is_audited() {
            context.audit_sent(hop, print(&self.rows));
        }
    }

    /// What comes to the other; the faults are those of real engines.
    pub(super) fn arrive(&mut self, hop: usize, effect: HopEffect, context: &mut Context) {
        if !context.is_audited() {
            return;
        }
        let sent = bytes(&self.rows);
        let previous = self.delivered.get(&hop).cloned().unwrap_or_else(|| vec![0.0; WIDTH]);
        for row in &mut self.rows {
            match effect {
                HopEffect::None => {}
                HopEffect::Zero => row.fill(0.0),
                HopEffect::Stale => row.clone_from(&previous),
                HopEffect::Corrupt => row.iter_mut().step_by(8).for_each(|x| *x *= -8.0),
            }
        }
        if let Some(last) = self.rows.last() {
            self.delivered.insert(hop, last.clone());
        }
        let changed = changed(&sent, &bytes(&self.rows), size_of::<f32>());
        context.audit_arrived(hop, print(&self.rows), changed);
    }
}

/// Numbers from -1 to 1 that follow from a seed.
fn numbers(seed: u64) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state = mix(state);
        // The upper 24 bits are what single precision holds exactly.
        (state >> 40) as f32 / (1_u32 << 23) as f32 - 1.0
    };
    (0..WIDTH).map(|_| next()).collect()
}

fn bytes(rows: &[Vec<f32>]) -> Vec<u8> {
    rows.iter().flatten().flat_map(|x| x.to_le_bytes()).collect()
}

fn print(rows: &[Vec<f32>]) -> TensorPrint {
    let shape = [rows.len() as u64, WIDTH as u64];
    let value = |element: &[u8]| element.try_into().map_or(f32::NAN, f32::from_le_bytes);
    TensorPrint::of("f32", &shape, &bytes(rows), value)
}
