//! What each module does in one step, and how long a device takes for it.

use std::ops::{AddAssign, Range};

use super::footprint::whole;
use super::footprint_workload::{Workload, kv_bytes_per_position};
use super::predict::Objective;
use super::predict_rates::{DeviceRates, LinkRates};
use super::shape_decoder::{Decoder, DecoderModule, ModuleRole};

/// Time in picoseconds; 2^64 of them are seven months, where sums stop.
pub(super) type Ticks = u64;

/// Rounded to the nearest picosecond.
pub(super) fn ticks_of(seconds: f64) -> Ticks {
    whole(seconds * 1e12)
}

pub(super) fn seconds_of(ticks: Ticks) -> f64 {
    ticks as f64 / 1e12
}

/// The terms of a module or a stage.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct StageTicks {
    pub(super) weights: Ticks,
    pub(super) kv: Ticks,
    pub(super) compute: Ticks,
    pub(super) overhead: Ticks,
}

impl StageTicks {
    /// A stage before its first module.
    pub(super) fn empty(rates: &DeviceRates) -> Self {
        Self {
            overhead: ticks_of(rates.step_overhead_s),
            ..Self::default()
        }
    }

    pub(super) fn memory(self) -> Ticks {
        self.weights.saturating_add(self.kv)
    }

    pub(super) fn total(self) -> Ticks {
        self.memory().max(self.compute).saturating_add(self.overhead)
    }
}

impl AddAssign for StageTicks {
    fn add_assign(&mut self, other: Self) {
        self.weights = self.weights.saturating_add(other.weights);
        self.kv = self.kv.saturating_add(other.kv);
        self.compute = self.compute.saturating_add(other.compute);
        self.overhead = self.overhead.saturating_add(other.overhead);
    }
}

/// What one module does in one step, whatever device it is on.
#[derive(Debug, Clone, Copy)]
struct ModuleWork {
    weight_bytes: f64,
    kv_bytes: f64,
    flops: f64,
    layers: f64,
}

/// One step as work per module.
pub(super) struct Step {
    modules: Vec<ModuleWork>,
    hop_bytes: f64,
}

impl Step {
    pub(super) fn new(decoder: &Decoder, workload: &Workload, objective: Objective) -> Self {
        let pass = Pass::new(workload, objective);
        let modules = decoder.modules.iter();
        Self {
            modules: modules.map(|module| pass.work(module, decoder, workload)).collect(),
            hop_bytes: workload.hidden_bytes(&decoder.shape, pass.tokens) as f64,
        }
    }

    /// The terms of one module, each rounded by itself so that any stages add up to the same.
    pub(super) fn module(&self, position: usize, rates: &DeviceRates) -> StageTicks {
        let Some(work) = self.modules.get(position) else {
            return StageTicks::default();
        };
        StageTicks {
            weights: ticks_of(work.weight_bytes / rates.memory_bytes_per_s),
            kv: ticks_of(work.kv_bytes / rates.memory_bytes_per_s),
            compute: ticks_of(work.flops / rates.flops_per_s),
            overhead: ticks_of(work.layers * rates.layer_overhead_s),
        }
    }

    pub(super) fn stage(&self, modules: Range<usize>, rates: &DeviceRates) -> StageTicks {
        let mut stage = StageTicks::empty(rates);
        for position in modules {
            stage += self.module(position, rates);
        }
        stage
    }

    pub(super) fn hop(&self, link: LinkRates) -> Ticks {
        ticks_of(link.latency_s).saturating_add(ticks_of(self.hop_bytes / link.bytes_per_s))
    }
}

/// The positions of one step.
struct Pass {
    /// New positions of each sequence.
    tokens: u64,
    /// Positions that are attended to; a mean, so it may be a half.
    kv_tokens: f64,
    /// Rows of the head, all sequences together.
    logit_rows: u64,
}

impl Pass {
    /// The k-th token after the first attends to `prompt + k` positions, k from 1 to n - 1: `prompt + n / 2` on average.
    fn new(workload: &Workload, objective: Objective) -> Self {
        match objective {
            Objective::Ttft => Self {
                tokens: workload.prompt_tokens,
                kv_tokens: workload.prompt_tokens as f64,
                logit_rows: workload.logit_rows(),
            },
            Objective::Tpot => Self {
                tokens: 1,
                kv_tokens: workload.prompt_tokens as f64 + workload.output_tokens.max(2) as f64 / 2.0,
                logit_rows: workload.batch,
            },
        }
    }

    /// A multiplication of a matrix of `e` weights with `t` rows takes `2 e t` operations; attention takes two such
    /// products over all positions, `4 t positions heads x head size` (masked ones are computed too). An embedding reads
    /// one row per token.
    fn work(&self, module: &DecoderModule, decoder: &Decoder, workload: &Workload) -> ModuleWork {
        let shape = &decoder.shape;
        let rows = workload.batch as f64 * self.tokens as f64;
        let weights = module.weight_bytes.0 as f64;
        let products = 2.0 * module.weight_elements as f64;
        match module.role {
            ModuleRole::Embedding => ModuleWork {
                weight_bytes: weights * (rows / module.rows.max(1) as f64).min(1.0),
                kv_bytes: 0.0,
                flops: 0.0,
                layers: 0.0,
            },
            ModuleRole::Layer => ModuleWork {
                weight_bytes: weights,
                kv_bytes: kv_bytes_per_position(shape, workload) as f64 * self.kv_tokens,
                flops: products * rows + 4.0 * rows * self.kv_tokens * (shape.heads as f64 * shape.head_dim as f64),
                layers: 1.0,
            },
            ModuleRole::Head => ModuleWork {
                weight_bytes: weights,
                kv_bytes: 0.0,
                flops: products * self.logit_rows as f64,
                layers: 0.0,
            },
            ModuleRole::Other => ModuleWork {
                weight_bytes: weights,
                kv_bytes: 0.0,
                flops: products * rows,
                layers: 0.0,
            },
        }
    }
}
