//! Causal self-attention with grouped queries.

use candle_core::{D, DType, Device, Result, Tensor};

use super::activations::Scores;
use super::cache::LayerCache;
use super::linear::Linear;
use super::norm::Norm;
use super::rope::Rotation;
use crate::kernels;

/// The attention half of a block.
#[derive(Debug, Clone)]
pub struct Attention {
    /// The three maps of the input.
    pub qkv: Qkv,
    /// `self_attn.o_proj`.
    pub o: Linear,
    /// `self_attn.q_norm` and `self_attn.k_norm`, applied to every head before it is rotated.
    pub head_norms: Option<(Norm, Norm)>,
    /// Numbers and widths of heads.
    pub heads: Heads,
    /// What scores are multiplied by.
    pub scale: f64,
    /// Scores are softly limited to this.
    pub softcap: Option<f64>,
    /// How many of the last positions a row sees, its own included; `None`: all.
    pub window: Option<usize>,
}

/// Numbers and widths of heads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heads {
    /// Query heads.
    pub queries: usize,
    /// Key and value heads; divides `queries`.
    pub keys: usize,
    /// Elements of a head.
    pub dim: usize,
}

/// The three maps of the input, as they are stored.
#[derive(Debug, Clone)]
pub enum Qkv {
    /// Each by itself.
    Separate {
        /// `self_attn.q_proj`.
        q: Linear,
        /// `self_attn.k_proj`.
        k: Linear,
        /// `self_attn.v_proj`.
        v: Linear,
    },
    /// `self_attn.qkv_proj`: the rows of the queries, of the keys, of the values.
    Fused(Linear),
}

/// The rows of one sequence within a step, and what is its own.
#[derive(Debug)]
pub struct Segment<'a> {
    /// How many.
    pub rows: usize,
    /// Of its positions.
    pub rotation: Rotation,
    /// What its rows must not see: [`causal_mask`] for this layer's window. A single row needs none, and neither do scores
    /// that are passing.
    pub mask: Option<Tensor>,
    /// Of this layer.
    pub cache: &'a mut LayerCache,
}

impl Attention {
    /// Attends from the rows of `x`, which are those of the segments one after the other, to the positions of their own
    /// caches that they may see, and to themselves.
    ///
    /// # Errors
    /// When shapes or dtypes do not match, or a cache is full.
    pub fn forward(&self, x: &Tensor, segments: &mut [Segment<'_>]) -> Result<Tensor> {
        let (queries, keys, values) = self.qkv.forward(x, self.heads)?;
        let joined = match segments {
            [segment] => self.attend(&[queries, keys, values], segment)?,
            segments => {
                let mut first = 0;
                let mut parts = Vec::with_capacity(segments.len());
                for segment in segments {
                    let rows = segment.rows;
                    let own = |x: &Tensor| x.narrow(0, first, rows);
                    parts.push(self.attend(&[own(&queries)?, own(&keys)?, own(&values)?], segment)?);
                    first += rows;
                }
                Tensor::cat(&parts, 0)?
            }
        };
        self.o.forward(&joined)
    }

    /// What the rows of one sequence take from its past: `[rows, heads * head_dim]`, from its queries, keys and values.
    fn attend(&self, [queries, keys, values]: &[Tensor; 3], segment: &mut Segment<'_>) -> Result<Tensor> {
        let (rows, past, heads) = (segment.rows, segment.cache.len(), self.heads);
        let mut queries = split_heads(queries, heads.queries, heads.dim)?;
        let mut keys = split_heads(keys, heads.keys, heads.dim)?;
        let values = split_heads(values, heads.keys, heads.dim)?;
        if let Some((q_norm, k_norm)) = &self.head_norms {
            (queries, keys) = (q_norm.forward(&queries)?, k_norm.forward(&keys)?);
        }
        let rotation = &segment.rotation;
        let (queries, keys) = (rotation.apply(&queries)?, rotation.apply(&keys)?);
        let (keys, values) = segment.cache.append(&keys, &values)?;
        // What no row sees is left out of the views, so that decoding in a window reads no more than the window.
        let first = first_visible(past, self.window);
        let positions = past + rows - first;
        let (keys, values) = (keys.narrow(1, first, positions)?, values.narrow(1, first, positions)?);
        if let Some(joined) = self.fused(&queries, &keys, &values)? {
            return Ok(joined);
        }
        if rows > 1 && segment.mask.is_none() {
            candle_core::bail!("{rows} rows would see positions behind them: there is no mask");
        }

        // All query heads that share a key head are rows of one product, so keys and values are never repeated.
        let group = heads.queries / heads.keys;
        let queries = queries.reshape((heads.keys, group * rows, heads.dim))?;
        let scores = self.limited(queries.matmul(&keys.t()?)?)?;
        let weights =
            attention_weights(scores, segment.mask.as_ref(), (heads.queries, rows))?.to_dtype(values.dtype())?;
        let mixed = weights
            .reshape((heads.keys, group * rows, positions))?
            .matmul(&values)?;
        mixed
            .reshape((heads.queries, rows, heads.dim))?
            .transpose(0, 1)?
            .reshape((rows, heads.queries * heads.dim))
    }

    /// All of it in one pass over the cache, where the kernel knows this attention.
    fn fused(&self, queries: &Tensor, keys: &Tensor, values: &Tensor) -> Result<Option<Tensor>> {
        let (rows, positions) = (queries.dim(1)?, keys.dim(1)?);
        let limits = (self.softcap, self.window);
        match scores(limits, (rows, positions), queries.dtype(), queries.device()) {
            Scores::Stored => Ok(None),
            Scores::Passing => kernels::attend(queries, keys, values, self.scale),
        }
    }

    /// Scores scaled and, where there is a limit, softly limited.
    fn limited(&self, scores: Tensor) -> Result<Tensor> {
        softcap((scores * self.scale)?, self.softcap)
    }

    /// Bytes of its weights.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let norms = self.head_norms.as_ref();
        self.qkv.bytes() + self.o.bytes() + norms.map_or(0, |(q, k)| q.bytes() + k.bytes())
    }

    /// A copy in buffers of its own.
    ///
    /// # Errors
    /// When the backend cannot copy.
    pub fn copy_to(&self, device: &Device) -> Result<Self> {
        let norms = self.head_norms.as_ref();
        Ok(Self {
            qkv: self.qkv.copy_to(device)?,
            o: self.o.copy_to(device)?,
            head_norms: norms
                .map(|(q, k)| Ok::<_, candle_core::Error>((q.copy_to(device)?, k.copy_to(device)?)))
                .transpose()?,
            ..*self
        })
    }
}

/// What becomes of the scores of so many rows over so many positions, under a soft limit and a window. The kernel of the host
/// takes single precision, no soft limit, and no mask but the causal one; a window that hides nothing, as from a single row
/// whose view ends with it, is as good as none.
#[must_use]
pub fn scores(
    (softcap, window): (Option<f64>, Option<usize>),
    (rows, positions): (usize, usize),
    dtype: DType,
    device: &Device,
) -> Scores {
    let hides = rows > 1 && window.is_some_and(|window| positions > window);
    if device.is_cpu() && dtype == DType::F32 && softcap.is_none() && !hides {
        Scores::Passing
    } else {
        Scores::Stored
    }
}

impl Qkv {
    /// Queries, keys and values of the rows of `x`, heads side by side.
    fn forward(&self, x: &Tensor, heads: Heads) -> Result<(Tensor, Tensor, Tensor)> {
        match self {
            Self::Separate { q, k, v } => Ok((q.forward(x)?, k.forward(x)?, v.forward(x)?)),
            Self::Fused(all) => {
                let all = all.forward(x)?;
                let (queries, keys) = (heads.queries * heads.dim, heads.keys * heads.dim);
                Ok((
                    all.narrow(1, 0, queries)?,
                    all.narrow(1, queries, keys)?,
                    all.narrow(1, queries + keys, keys)?,
                ))
            }
        }
    }

    fn bytes(&self) -> u64 {
        match self {
            Self::Separate { q, k, v } => q.bytes() + k.bytes() + v.bytes(),
            Self::Fused(all) => all.bytes(),
        }
    }

    fn copy_to(&self, device: &Device) -> Result<Self> {
        Ok(match self {
            Self::Separate { q, k, v } => Self::Separate {
                q: q.copy_to(device)?,
                k: k.copy_to(device)?,
                v: v.copy_to(device)?,
            },
            Self::Fused(all) => Self::Fused(all.copy_to(device)?),
        })
    }
}

/// `[rows, heads * dim]` to contiguous `[heads, rows, dim]`.
fn split_heads(x: &Tensor, heads: usize, dim: usize) -> Result<Tensor> {
    let rows = x.dim(0)?;
    x.reshape((rows, heads, dim))?.transpose(0, 1)?.contiguous()
}

/// Softmax over the positions, in single precision whatever the model computes in.
///
/// The scores of a long prompt are what takes most memory: each tensor of them is freed before the one after the next is
/// made, so that there are never more than two.
fn attention_weights(mut scores: Tensor, mask: Option<&Tensor>, (heads, rows): (usize, usize)) -> Result<Tensor> {
    let positions = scores.dim(D::Minus1)?;
    scores = scores.to_dtype(DType::F32)?;
    if let Some(mask) = mask {
        scores = scores.reshape((heads, rows, positions))?.broadcast_add(mask)?;
    }
    candle_nn::ops::softmax_last_dim(&scores)
}

/// `cap * tanh(x / cap)`: between `-cap` and `cap`; nothing changes where there is no cap.
///
/// # Errors
/// When the device cannot allocate.
pub fn softcap(x: Tensor, cap: Option<f64>) -> Result<Tensor> {
    match cap {
        Some(cap) => (x / cap)?.tanh()? * cap,
        None => Ok(x),
    }
}

/// The first position that any row of a step after `past` positions sees: position `j` is visible from position `i` where
/// `i - window < j <= i`.
#[must_use]
pub fn first_visible(past: usize, window: Option<usize>) -> usize {
    window.map_or(0, |window| (past + 1).saturating_sub(window))
}

/// What row `i` of `rows` new positions after `past` old ones must not see: minus infinity above the diagonal, and below it
/// from `window` positions on. Columns begin at [`first_visible`].
///
/// # Errors
/// When the device cannot allocate.
pub fn causal_mask(past: usize, rows: usize, window: Option<usize>, device: &Device) -> Result<Tensor> {
    let (first, positions) = (first_visible(past, window), past + rows);
    let mask: Vec<f32> = (past..positions)
        .flat_map(|row| {
            let visible = first_visible(row, window)..=row;
            (first..positions).map(move |position| {
                if visible.contains(&position) {
                    0.0
                } else {
                    f32::NEG_INFINITY
                }
            })
        })
        .collect();
    Tensor::from_vec(mask, (rows, positions - first), device)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hidden(past: usize, rows: usize, window: Option<usize>) -> Vec<Vec<bool>> {
        let mask = causal_mask(past, rows, window, &Device::Cpu).unwrap();
        let mask = mask.to_vec2::<f32>().unwrap();
        mask.iter()
            .map(|row| row.iter().map(|x| x.is_infinite()).collect())
            .collect()
    }

    #[test]
    fn a_mask_hides_the_future_only() {
        assert_eq!(hidden(1, 2, None), [[false, false, true], [false, false, false]]);
    }

    #[test]
    fn a_window_hides_the_distant_past_too() {
        let (o, x) = (false, true);
        assert_eq!(hidden(0, 3, Some(2)), [[o, x, x], [o, o, x], [x, o, o]]);
        // Rows 3 and 4 of a window of two: columns begin at position 2.
        assert_eq!(hidden(3, 2, Some(2)), [[o, o, x], [x, o, o]]);
        assert_eq!(hidden(3, 2, Some(9)), hidden(3, 2, None));
    }

    #[test]
    fn masks_and_views_together_show_what_the_definition_says() {
        for (past, rows, window) in (0..6).flat_map(|past| {
            (1..5).flat_map(move |rows| (0..12).map(move |window| (past, rows, (window > 0).then_some(window))))
        }) {
            let first = first_visible(past, window);
            for (row, columns) in hidden(past, rows, window).into_iter().enumerate() {
                let query = past + row;
                for key in 0..past + rows {
                    let is_visible = key <= query && window.is_none_or(|window| key + window > query);
                    let is_shown = key >= first && !columns[key - first];
                    assert_eq!(is_shown, is_visible, "query {query}, key {key}, window {window:?}");
                }
                // A single row needs no mask: its view holds nothing that it must not see.
                assert!(rows > 1 || columns.iter().all(|is_hidden| !is_hidden));
            }
        }
    }

    #[test]
    fn a_window_counts_the_row_itself() {
        assert_eq!(first_visible(7, Some(8)), 0);
        assert_eq!(first_visible(8, Some(8)), 1);
        assert_eq!(first_visible(8, Some(1)), 8);
        assert_eq!(first_visible(8, None), 0);
    }

    #[test]
    fn a_soft_limit_bends_large_values_only() {
        let x = Tensor::new(&[0.01_f32, -500.0], &Device::Cpu).unwrap();
        let y = softcap(x.clone(), Some(5.0)).unwrap().to_vec1::<f32>().unwrap();
        assert!((y[0] - 0.01).abs() < 1e-6 && (y[1] + 5.0).abs() < 1e-6, "{y:?}");
        assert_eq!(softcap(x, None).unwrap().to_vec1::<f32>().unwrap()[1], -500.0);
    }
}
