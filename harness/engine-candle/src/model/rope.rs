//! Rotary positions: tables made once a device, rotations applied to queries and keys.

use candle_core::{DType, Device, Result, Tensor};

use crate::config::{ModelConfig, RopeLayout};

/// Cosines and sines of all positions of a generation, on one device.
#[derive(Debug, Clone)]
pub struct RotaryTables {
    cos: Tensor,
    sin: Tensor,
    layout: RopeLayout,
}

impl RotaryTables {
    /// Tables for positions `0..positions`, computed in single precision as the reference does, stored as `dtype`.
    ///
    /// # Errors
    /// When the device cannot allocate.
    pub fn new(config: &ModelConfig, positions: usize, dtype: DType, device: &Device) -> Result<Self> {
        let frequencies = config.rope_inv_freq();
        let pairs = frequencies.len();
        let angles: Vec<f32> = (0..positions)
            .flat_map(|position| frequencies.iter().map(move |frequency| position as f32 * frequency))
            .collect();
        let table = |values: Vec<f32>| Tensor::from_vec(values, (positions, pairs), device)?.to_dtype(dtype);
        Ok(Self {
            cos: table(angles.iter().map(|angle| angle.cos()).collect())?,
            sin: table(angles.iter().map(|angle| angle.sin()).collect())?,
            layout: config.rope_layout,
        })
    }

    /// The rotation of `rows` positions from `start`.
    ///
    /// # Errors
    /// When the tables are shorter.
    pub fn at(&self, start: usize, rows: usize) -> Result<Rotation> {
        Ok(Rotation {
            cos: self.cos.narrow(0, start, rows)?,
            sin: self.sin.narrow(0, start, rows)?,
            layout: self.layout,
        })
    }

    /// Bytes of both tables.
    #[must_use]
    pub fn bytes_for(config: &ModelConfig, positions: usize, dtype: DType) -> u64 {
        (config.head_dim * positions * dtype.size_in_bytes()) as u64
    }
}

/// The rotation of some consecutive positions.
#[derive(Debug, Clone)]
pub struct Rotation {
    cos: Tensor,
    sin: Tensor,
    layout: RopeLayout,
}

impl Rotation {
    /// Rotates contiguous `[heads, rows, head_dim]`.
    ///
    /// # Errors
    /// When shapes do not match.
    pub fn apply(&self, x: &Tensor) -> Result<Tensor> {
        let x = x.unsqueeze(0)?;
        match self.layout {
            RopeLayout::Halves => candle_nn::rotary_emb::rope(&x, &self.cos, &self.sin),
            RopeLayout::Interleaved => candle_nn::rotary_emb::rope_i(&x, &self.cos, &self.sin),
        }?
        .squeeze(0)
    }
}
