//! Causal self-attention with grouped queries.

use candle_core::{D, DType, Device, Result, Tensor};

use super::cache::LayerCache;
use super::linear::Linear;
use super::rope::Rotation;

/// The attention half of a block.
#[derive(Debug, Clone)]
pub struct Attention {
    /// `self_attn.q_proj`.
    pub q: Linear,
    /// `self_attn.k_proj`.
    pub k: Linear,
    /// `self_attn.v_proj`.
    pub v: Linear,
    /// `self_attn.o_proj`.
    pub o: Linear,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; divides `heads`.
    pub kv_heads: usize,
    /// Elements of a head.
    pub head_dim: usize,
}

/// The rows of one sequence within a step, and what is its own.
#[derive(Debug)]
pub struct Segment<'a> {
    /// How many.
    pub rows: usize,
    /// Of its positions.
    pub rotation: Rotation,
    /// What its rows must not see; a single row needs none.
    pub mask: Option<Tensor>,
    /// Of this layer.
    pub cache: &'a mut LayerCache,
}

impl Attention {
    /// Attends from the rows of `x`, which are those of the segments one after the other, to all positions of their own
    /// caches and to themselves.
    ///
    /// # Errors
    /// When shapes or dtypes do not match, or a cache is full.
    pub fn forward(&self, x: &Tensor, segments: &mut [Segment<'_>]) -> Result<Tensor> {
        let all = [self.q.forward(x)?, self.k.forward(x)?, self.v.forward(x)?];
        let joined = match segments {
            [segment] => self.attend(&all, segment)?,
            segments => {
                let mut first = 0;
                let mut parts = Vec::with_capacity(segments.len());
                for segment in segments {
                    let rows = segment.rows;
                    let own = |x: &Tensor| x.narrow(0, first, rows);
                    parts.push(self.attend(&[own(&all[0])?, own(&all[1])?, own(&all[2])?], segment)?);
                    first += rows;
                }
                Tensor::cat(&parts, 0)?
            }
        };
        self.o.forward(&joined)
    }

    /// What the rows of one sequence take from its past: `[rows, heads * head_dim]`, from its queries, keys and values.
    fn attend(&self, [queries, keys, values]: &[Tensor; 3], segment: &mut Segment<'_>) -> Result<Tensor> {
        let rows = segment.rows;
        let rotation = &segment.rotation;
        let queries = rotation.apply(&self.split_heads(queries, self.heads)?)?;
        let keys = rotation.apply(&self.split_heads(keys, self.kv_heads)?)?;
        let values = self.split_heads(values, self.kv_heads)?;
        let (keys, values) = segment.cache.append(&keys, &values)?;

        // All query heads that share a key head are rows of one product, so keys and values are never repeated.
        let group = self.heads / self.kv_heads;
        let queries = queries.reshape((self.kv_heads, group * rows, self.head_dim))?;
        let scale = 1.0 / (self.head_dim as f64).sqrt();
        let scores = (queries.matmul(&keys.t()?)? * scale)?;
        let weights = attention_weights(scores, segment.mask.as_ref(), (self.heads, rows))?.to_dtype(values.dtype())?;
        let mixed = weights
            .reshape((self.kv_heads, group * rows, values.dim(1)?))?
            .matmul(&values)?;
        mixed
            .reshape((self.heads, rows, self.head_dim))?
            .transpose(0, 1)?
            .reshape((rows, self.heads * self.head_dim))
    }

    /// `[rows, heads * head_dim]` to contiguous `[heads, rows, head_dim]`.
    fn split_heads(&self, x: &Tensor, heads: usize) -> Result<Tensor> {
        let rows = x.dim(0)?;
        x.reshape((rows, heads, self.head_dim))?.transpose(0, 1)?.contiguous()
    }

    /// Bytes of its weights.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.q.bytes() + self.k.bytes() + self.v.bytes() + self.o.bytes()
    }

    /// A copy in buffers of its own.
    ///
    /// # Errors
    /// When the backend cannot copy.
    pub fn copy_to(&self, device: &Device) -> Result<Self> {
        Ok(Self {
            q: self.q.copy_to(device)?,
            k: self.k.copy_to(device)?,
            v: self.v.copy_to(device)?,
            o: self.o.copy_to(device)?,
            ..*self
        })
    }
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

/// What row `i` of `rows` new positions after `past` old ones must not see: minus infinity above the diagonal.
///
/// # Errors
/// When the device cannot allocate.
pub fn causal_mask(past: usize, rows: usize, device: &Device) -> Result<Tensor> {
    let positions = past + rows;
    let mask: Vec<f32> = (0..rows)
        .flat_map(|row| (0..positions).map(move |position| if position > past + row { f32::NEG_INFINITY } else { 0.0 }))
        .collect();
    Tensor::from_vec(mask, (rows, positions), device)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_hides_the_future_only() {
        let mask = causal_mask(1, 2, &Device::Cpu).unwrap().to_vec2::<f32>().unwrap();
        let hidden: Vec<Vec<bool>> = mask
            .iter()
            .map(|row| row.iter().map(|x| x.is_infinite()).collect())
            .collect();
        assert_eq!(hidden, [[false, false, true], [false, false, false]]);
    }
}
