//! A device: what the decoder achieves on it, and what there is to achieve.

use candle_core::{DType, Device, Tensor};
use placebench_core::device::{DeviceId, DeviceKind};
use placebench_core::doctor::probe::DeviceFigures;
use placebench_core::judge::median;
use placebench_core::planner::DeviceRates;
use placebench_core::units::Bytes;

use super::decoder::{Dimensions, POSITIONS, SmallDecoder};
use super::sampling::{Repeat, timed};
use super::{ProbeError, Reporter};
use crate::device::{Devices, available_memory};
use crate::error::EngineError;
use crate::model::linear::{Linear, Matrix};

/// Columns of the matrices that vectors are multiplied with: the hidden size of a model of a few billion parameters.
const COLUMNS: usize = 2048;
/// Rows: 32 MiB a matrix in single precision.
const ROWS: usize = 4096;
const MATRIX_BYTES: u64 = (COLUMNS * ROWS * 4) as u64;

/// Layers of the two small decoders, and their width: so narrow that a layer's 9 KiB of weights take no time.
const FEW_LAYERS: usize = 2;
const MANY_LAYERS: usize = 18;
const WIDTH: usize = 16;

/// Layers of the wider decoder that a prompt goes through.
const WIDE_LAYERS: usize = 2;

/// Measures a device.
///
/// # Errors
/// When it is not there, has no room, or computes wrongly.
pub(crate) fn measure(id: &DeviceId, quick: bool, reporter: &mut Reporter<'_>) -> Result<DeviceFigures, ProbeError> {
    let devices = Devices::open(&[], std::slice::from_ref(id)).map_err(EngineError::from)?;
    let slot = devices
        .slot(id)
        .ok_or_else(|| ProbeError::Unusable(format!("{id} cannot be measured")))?;
    let bench = Bench {
        device: devices.handle(slot),
        is_host: id.kind() == DeviceKind::Cpu,
        quick,
    };
    let free = available_memory();
    reporter.step(format!("filling {id} with weights"));
    let weights = bench.weights(free)?;
    reporter.step(format!("matrix-vector products on {id}"));
    let memory_bytes_per_s = bench.matrix_vector(&weights)?;
    reporter.step(format!("matrix products on {id}"));
    let matmul_flops_per_s = bench.matrix_matrix(&weights)?;
    let weights_bytes = Bytes(weights.iter().map(Linear::bytes).sum());
    drop(weights);
    reporter.step(format!("copies within the memory of {id}"));
    let copy_bytes_per_s = bench.copy()?;
    reporter.step(format!("small decoders on {id}"));
    let (step_overhead_s, layer_overhead_s) = bench.overheads(id, memory_bytes_per_s)?;
    reporter.step(format!("a prompt through decoders on {id}"));
    let flops_per_s = bench.prompt(id, layer_overhead_s)?;
    Ok(DeviceFigures {
        rates: DeviceRates {
            memory_bytes_per_s,
            flops_per_s,
            step_overhead_s,
            layer_overhead_s,
        },
        copy_bytes_per_s,
        matmul_flops_per_s,
        weights_bytes,
    })
}

/// A device that is being measured.
struct Bench<'a> {
    device: &'a Device,
    is_host: bool,
    quick: bool,
}

impl Bench<'_> {
    fn repeat(&self, budget_ms: u64, most: usize) -> Repeat {
        Repeat::within_ms(if self.quick { budget_ms / 4 } else { budget_ms }, most)
    }

    fn wait(&self) -> Result<(), ProbeError> {
        let waited = self.device.synchronize();
        Ok(waited.map_err(EngineError::candle("waiting for the device"))?)
    }

    /// Matrices that together are several times the largest cache, each in a buffer of its own.
    fn weights(&self, free: Option<Bytes>) -> Result<Vec<Linear>, ProbeError> {
        let allocating = || EngineError::candle("allocating weights");
        let count = matrices(self.is_host.then(largest_cache).flatten(), free);
        let first = Tensor::rand(-0.1_f32, 0.1, (ROWS, COLUMNS), self.device).map_err(allocating())?;
        (0..count)
            .map(|_| {
                let matrix = first.force_contiguous().map_err(allocating())?;
                Ok(Linear::new(Matrix::Dense(matrix), None).map_err(allocating())?)
            })
            .collect()
    }

    /// Bytes of weights a second while one vector goes through all matrices, as in a step of one token.
    fn matrix_vector(&self, weights: &[Linear]) -> Result<f64, ProbeError> {
        let seconds = self.products(weights, 1, self.repeat(1200, 30))?;
        let bytes: u64 = weights.iter().map(Linear::bytes).sum();
        Ok(bytes as f64 / seconds)
    }

    /// Operations a second while a prompt goes through a matrix.
    fn matrix_matrix(&self, weights: &[Linear]) -> Result<f64, ProbeError> {
        let tokens = if self.is_host { 128 } else { 1024 };
        let some = weights.get(..1).unwrap_or(weights);
        let seconds = self.products(some, tokens, self.repeat(800, 30))?;
        Ok((2 * tokens * COLUMNS * ROWS) as f64 / seconds)
    }

    /// Median seconds for `tokens` rows through each of the matrices.
    fn products(&self, weights: &[Linear], tokens: usize, repeat: Repeat) -> Result<f64, ProbeError> {
        let multiplying = || EngineError::candle("multiplying");
        let x = Tensor::rand(-1.0_f32, 1.0, (tokens, COLUMNS), self.device).map_err(multiplying())?;
        let pass = || -> Result<(), ProbeError> {
            for linear in weights {
                linear.forward(&x).map_err(multiplying())?;
            }
            self.wait()
        };
        // The first products load kernels and start threads.
        pass()?;
        repeat.median_s(|| timed(pass))
    }

    /// Bytes read and written a second by a copy that all of the device takes part in.
    fn copy(&self) -> Result<f64, ProbeError> {
        let repeat = self.repeat(400, 30);
        if self.is_host {
            return host_copy(repeat, candle_core::utils::get_num_threads());
        }
        let copying = || EngineError::candle("copying");
        let source = Tensor::zeros(
            usize::try_from(4 * MATRIX_BYTES).unwrap_or(ROWS * COLUMNS),
            DType::U8,
            self.device,
        )
        .map_err(copying())?;
        let copy = || -> Result<(), ProbeError> {
            source.force_contiguous().map_err(copying())?;
            self.wait()
        };
        copy()?;
        let seconds = repeat.median_s(|| timed(copy))?;
        Ok(2.0 * source.elem_count() as f64 / seconds)
    }

    /// Seconds a step and a layer take beside what their weights account for, from decoders with few and many layers.
    fn overheads(&self, id: &DeviceId, bytes_per_s: f64) -> Result<(f64, f64), ProbeError> {
        let dimensions = |layers| Dimensions { layers, width: WIDTH };
        let pair = Pair {
            few: dimensions(FEW_LAYERS),
            many: dimensions(MANY_LAYERS),
        };
        let (few_s, layer_s) = pair.measure(id, self.repeat(1200, 200))?;
        let layer_work_s = dimensions(1).layer_bytes() / bytes_per_s;
        let step_s = few_s - FEW_LAYERS as f64 * layer_s - dimensions(1).head_bytes() / bytes_per_s;
        Ok((step_s.max(0.0), (layer_s - layer_work_s).max(0.0)))
    }

    /// Operations a second while a prompt goes through a layer with all that belongs to it: less than a product alone
    /// achieves, and what a prefill takes.
    fn prompt(&self, id: &DeviceId, layer_overhead_s: f64) -> Result<f64, ProbeError> {
        let (width, tokens) = if self.is_host { (1024, 128) } else { (2048, POSITIONS) };
        let dimensions = Dimensions {
            layers: WIDE_LAYERS,
            width,
        };
        let mut decoder = SmallDecoder::on(id, dimensions)?;
        decoder.step_s(tokens)?;
        let step_s = self.repeat(2500, 30).median_s(|| decoder.step_s(tokens))?;
        let layers = WIDE_LAYERS as f64;
        let work_s = step_s - layers * layer_overhead_s;
        if work_s > 0.0 {
            return Ok(layers * dimensions.layer_flops(tokens) / work_s);
        }
        Err(ProbeError::Unusable(
            "a prompt took no longer than its overheads: something disturbs the clock".into(),
        ))
    }
}

/// Two decoders that differ in their number of layers.
struct Pair {
    few: Dimensions,
    many: Dimensions,
}

impl Pair {
    /// Median seconds of a one-token step of the one with few layers, and of a layer: the difference shared out. They take turns, so
    /// that a drift of the machine falls on both alike.
    fn measure(&self, id: &DeviceId, repeat: Repeat) -> Result<(f64, f64), ProbeError> {
        let mut few = SmallDecoder::on(id, self.few)?;
        let mut many = SmallDecoder::on(id, self.many)?;
        // The first steps load kernels and start threads.
        for _ in 0..8 {
            few.step_s(1)?;
            many.step_s(1)?;
        }
        let more_layers = (self.many.layers - self.few.layers) as f64;
        let mut layers_s = Vec::new();
        let few_s = repeat.median_s(|| {
            let (short, long) = (few.step_s(1)?, many.step_s(1)?);
            layers_s.push((long - short) / more_layers);
            Ok(short)
        })?;
        let layer_s = median(&layers_s).ok_or_else(|| ProbeError::Unusable("no step was timed".into()))?;
        Ok((few_s, layer_s))
    }
}

/// How many matrices make four times the cache (at least four), within a quarter of the free memory.
fn matrices(cache: Option<u64>, free: Option<Bytes>) -> usize {
    let wanted = cache.map_or(16 * MATRIX_BYTES, |cache| {
        (4 * cache).clamp(4 * MATRIX_BYTES, 64 * MATRIX_BYTES)
    });
    let room = free.map_or(wanted, |free| free.0 / 4);
    usize::try_from(wanted.min(room).div_ceil(MATRIX_BYTES))
        .unwrap_or(1)
        .max(1)
}

/// Bytes of the processor's largest cache, where the system says.
fn largest_cache() -> Option<u64> {
    let folder = std::fs::read_dir("/sys/devices/system/cpu/cpu0/cache").ok()?;
    folder
        .flatten()
        .filter_map(|entry| cache_bytes(&std::fs::read_to_string(entry.path().join("size")).ok()?))
        .max()
}

/// `32768K`.
fn cache_bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let (digits, unit) = match text.as_bytes().last()? {
        b'K' => (text.strip_suffix('K')?, 1 << 10),
        b'M' => (text.strip_suffix('M')?, 1 << 20),
        _ => (text, 1),
    };
    digits.parse::<u64>().ok()?.checked_mul(unit)
}

/// Every thread copies a part of its own; reading and writing both count.
fn host_copy(repeat: Repeat, threads: usize) -> Result<f64, ProbeError> {
    let len = usize::try_from(4 * MATRIX_BYTES).unwrap_or(ROWS * COLUMNS);
    let source = vec![1_u8; len];
    let mut target = vec![2_u8; len];
    let part = len.div_ceil(threads.max(1));
    let seconds = repeat.median_s(|| {
        timed(|| {
            std::thread::scope(|scope| {
                for (to, from) in target.chunks_mut(part).zip(source.chunks(part)) {
                    scope.spawn(|| to.copy_from_slice(from));
                }
            });
            std::hint::black_box(&target);
            Ok(())
        })
    })?;
    Ok(2.0 * len as f64 / seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_of_caches_are_read() {
        let read = ["32768K\n", "8M", "512", "", "many"].map(cache_bytes);
        assert_eq!(read, [Some(32 << 20), Some(8 << 20), Some(512), None, None]);
    }

    #[test]
    fn weights_exceed_the_cache_and_leave_memory_to_others() {
        let gib = |n: u64| Some(Bytes(n << 30));
        assert_eq!(matrices(Some(1 << 20), gib(8)), 4);
        assert_eq!(matrices(Some(64 << 20), gib(8)), 8);
        assert_eq!(matrices(Some(4 << 30), gib(64)), 64, "2 GiB are enough");
        assert_eq!(matrices(None, gib(64)), 16);
        assert_eq!(matrices(Some(64 << 20), Some(Bytes(1 << 20))), 1);
    }
}
