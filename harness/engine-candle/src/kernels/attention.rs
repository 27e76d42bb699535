//! Causal attention of a few or many new positions on the host, in single precision, without a tensor for scores.

use std::cell::RefCell;

use candle_core::{CpuStorage, CustomOp3, DType, Layout, Result, Shape, Tensor, bail};

use super::gemm::{self, Strided};
use super::isa::Isa;
use super::linear::elements;
use super::panels::{Panel, for_each_panel};

/// Elements of the scores that are looked at together: what fits in the second-level cache.
const SCORES: usize = 64 << 10;

/// From this many rows on products go through `gemm`.
const MANY_ROWS: usize = 4;

/// Attends from queries `[heads, rows, head_dim]`, the last positions, to keys and values `[kv_heads, positions, head_dim]`;
/// row `i` sees all positions but the `rows - 1 - i` last. Query heads share key heads in groups of neighbours. Returns
/// `[rows, heads * head_dim]`, or `None` where the tensors are not ones this computes with.
///
/// # Errors
/// When the shapes do not match.
pub(crate) fn attend(queries: &Tensor, keys: &Tensor, values: &Tensor, scale: f64) -> Result<Option<Tensor>> {
    let tensors = [queries, keys, values];
    let is_served = tensors
        .iter()
        .all(|t| t.device().is_cpu() && t.dtype() == DType::F32 && t.rank() == 3);
    // Heads may lie apart, the positions of one may not.
    let lies_row_by_row = |t: &Tensor| t.dims().last().is_some_and(|width| t.stride()[1..] == [*width, 1]);
    if !is_served || !queries.is_contiguous() || !lies_row_by_row(keys) || !lies_row_by_row(values) {
        return Ok(None);
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "what is computed is computed in single precision"
    )]
    let operation = Attend { scale: scale as f32 };
    queries.apply_op3_no_bwd(keys, values, &operation).map(Some)
}

struct Attend {
    scale: f32,
}

impl CustomOp3 for Attend {
    fn name(&self) -> &'static str {
        "attend"
    }

    fn cpu_fwd(
        &self,
        queries: &CpuStorage,
        queries_layout: &Layout,
        keys: &CpuStorage,
        keys_layout: &Layout,
        values: &CpuStorage,
        values_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (heads, rows, width) = queries_layout.shape().dims3()?;
        let (kv_heads, positions, key_width) = keys_layout.shape().dims3()?;
        let fits = keys_layout.shape() == values_layout.shape() && key_width == width && rows <= positions;
        if !fits || width == 0 || kv_heads == 0 || !heads.is_multiple_of(kv_heads) {
            let shapes = [queries_layout, keys_layout, values_layout].map(Layout::shape);
            bail!("queries, keys and values of the shapes {shapes:?} do not fit together");
        }
        let queries = elements::<f32>(queries, queries_layout)?;
        let (keys, values) = (head_slices(keys, keys_layout)?, head_slices(values, values_layout)?);
        let mut output = vec![0.0; rows * heads * width];
        for_each_panel(&mut output, heads * width, width, |mut panel| {
            let head = panel.columns().start / width;
            let shared = head / (heads / kv_heads);
            let head = Head {
                queries: &queries[head * rows * width..(head + 1) * rows * width],
                keys: keys[shared],
                values: values[shared],
                width,
                scale: self.scale,
            };
            head.attend(&mut panel, Isa::best());
        });
        Ok((CpuStorage::F32(output), Shape::from((rows, heads * width))))
    }
}

/// The elements of each head.
fn head_slices<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<Vec<&'a [f32]>> {
    let (heads, positions, width) = layout.shape().dims3()?;
    let all = storage.as_slice::<f32>()?;
    let stride = layout.stride().first().copied().unwrap_or(0);
    (0..heads)
        .map(|head| {
            let start = layout.start_offset() + head * stride;
            let slice = all.get(start..start + positions * width);
            slice.ok_or_else(|| candle_core::Error::Msg("a tensor is shorter than its shape".into()))
        })
        .collect()
}

/// One query head with the keys and values it looks at.
struct Head<'a> {
    queries: &'a [f32],
    keys: &'a [f32],
    values: &'a [f32],
    width: usize,
    scale: f32,
}

impl Head<'_> {
    /// Some rows at a time, so that their scores stay in the cache and nothing is computed for what none of them sees.
    fn attend(&self, output: &mut Panel<'_>, isa: Isa) {
        thread_local! {
            static SCRATCH: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
        }
        let (rows, positions) = (self.queries.len() / self.width, self.keys.len() / self.width);
        let past = positions - rows;
        let tile = (SCORES / positions.max(1)).clamp(1, 64);
        for first in (0..rows).step_by(tile) {
            let end = rows.min(first + tile);
            let seen = past + end;
            SCRATCH.with_borrow_mut(|scratch| {
                if scratch.len() < (end - first) * seen {
                    scratch.resize((end - first) * seen, 0.0);
                }
                let scores = &mut scratch[..(end - first) * seen];
                self.score(&self.queries[first * self.width..end * self.width], scores, seen, isa);
                for (row, scores) in scores.chunks_exact_mut(seen).enumerate() {
                    let (seen, hidden) = scores.split_at_mut(past + first + row + 1);
                    isa.softmax(seen, self.scale);
                    hidden.fill(0.0);
                }
                self.mix(scores, seen, first, output, isa);
            });
        }
    }

    /// `queries · keysᵀ` for the first `seen` positions.
    fn score(&self, queries: &[f32], scores: &mut [f32], seen: usize, isa: Isa) {
        let keys = &self.keys[..seen * self.width];
        if queries.len() / self.width >= MANY_ROWS {
            let keys = Strided::rows(keys, self.width).transposed();
            gemm::into_slice(Strided::rows(queries, self.width), keys, scores);
            return;
        }
        for (query, scores) in queries.chunks_exact(self.width).zip(scores.chunks_exact_mut(seen)) {
            for (scores, first) in scores.chunks_mut(4).zip((0..seen).step_by(4)) {
                let keys: [&[f32]; 4] = std::array::from_fn(|i| {
                    let position = (first + i).min(seen - 1);
                    &keys[position * self.width..(position + 1) * self.width]
                });
                for (score, product) in scores.iter_mut().zip(isa.dot_f32(keys, query)) {
                    *score = product;
                }
            }
        }
    }

    /// `weights · values`, into the rows of the output from `first`.
    fn mix(&self, weights: &[f32], seen: usize, first: usize, output: &mut Panel<'_>, isa: Isa) {
        let values = &self.values[..seen * self.width];
        if weights.len() / seen >= MANY_ROWS {
            gemm::into_panel(
                Strided::rows(weights, seen),
                Strided::rows(values, self.width),
                output,
                first,
            );
            return;
        }
        for (row, weights) in weights.chunks_exact(seen).enumerate() {
            isa.add_rows(output.row(first + row), weights, values);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{D, Device};
    use proptest::prelude::*;

    fn tensor(shape: (usize, usize, usize), seed: u32) -> Tensor {
        let element = |i: usize| ((i as f32 + seed as f32 * 17.3) * 12.9898).sin() * 1.5;
        let elements: Vec<f32> = (0..shape.0 * shape.1 * shape.2).map(element).collect();
        Tensor::from_vec(elements, shape, &Device::Cpu).unwrap()
    }

    /// The same by candle's operations.
    fn expected(queries: &Tensor, keys: &Tensor, values: &Tensor, scale: f64) -> Tensor {
        let (heads, rows, width) = queries.dims3().unwrap();
        let (kv_heads, positions, _) = keys.dims3().unwrap();
        let repeat = |t: &Tensor| {
            let wide = t.unsqueeze(1).unwrap();
            let wide = wide
                .broadcast_as((kv_heads, heads / kv_heads, positions, width))
                .unwrap();
            wide.contiguous().unwrap().reshape((heads, positions, width)).unwrap()
        };
        let mask: Vec<f32> = (0..rows * positions)
            .map(|i| {
                if i % positions > positions - rows + i / positions {
                    f32::NEG_INFINITY
                } else {
                    0.0
                }
            })
            .collect();
        let mask = Tensor::from_vec(mask, (1, rows, positions), &Device::Cpu).unwrap();
        let scores = queries.matmul(&repeat(keys).t().unwrap()).unwrap();
        let scores = (scores * scale).unwrap().broadcast_add(&mask).unwrap();
        let weights = candle_nn::ops::softmax(&scores, D::Minus1).unwrap();
        let mixed = weights.matmul(&repeat(values)).unwrap().transpose(0, 1).unwrap();
        mixed.reshape((rows, heads * width)).unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn mixes_as_candle_does(
            kv_heads in 1_usize..4, group in 1_usize..4, width in 1_usize..40,
            rows in 1_usize..90, past in 0_usize..50, spare in 0_usize..3, seed in 0_u32..100,
        ) {
            let positions = past + rows;
            let queries = tensor((kv_heads * group, rows, width), seed);
            let cache = |seed| tensor((kv_heads, positions + spare, width), seed).narrow(1, 0, positions).unwrap();
            let (keys, values) = (cache(seed + 1), cache(seed + 2));
            let found = attend(&queries, &keys, &values, 0.3).unwrap().unwrap();
            let difference = (found - expected(&queries, &keys, &values, 0.3)).unwrap().abs().unwrap();
            let largest = difference.flatten_all().unwrap().max(0).unwrap().to_scalar::<f32>().unwrap();
            prop_assert!(largest < 1e-5, "{largest}");
        }
    }

    #[test]
    fn shapes_that_do_not_fit_are_refused_and_other_dtypes_left_to_candle() {
        let (queries, keys) = (tensor((4, 2, 8), 1), tensor((2, 5, 8), 2));
        assert!(attend(&queries, &keys, &tensor((2, 4, 8), 3), 1.0).is_err());
        assert!(attend(&queries, &tensor((3, 5, 8), 2), &tensor((3, 5, 8), 3), 1.0).is_err());
        assert!(attend(&tensor((4, 6, 8), 1), &keys, &keys, 1.0).is_err());
        let half = keys.to_dtype(DType::F16).unwrap();
        assert!(
            attend(&queries.to_dtype(DType::F16).unwrap(), &half, &half, 1.0)
                .unwrap()
                .is_none()
        );
    }
}
