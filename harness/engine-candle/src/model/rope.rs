//! Rotary positions: tables made once a device, rotations applied to queries and keys.

use candle_core::{DType, Device, Result, Tensor};

use crate::config::{ModelConfig, RopeLayout, RopeScaling};

/// Cosines and sines of all positions of a generation, on one device.
#[derive(Debug, Clone)]
pub struct RotaryTables {
    /// By the frequencies of a sequence no longer than the model was first trained on.
    usual: Table,
    further: Further,
    layout: RopeLayout,
}

/// What turns the positions of a longer sequence.
#[derive(Debug, Clone)]
enum Further {
    /// The same table.
    Same,
    /// Another table, for all positions of a sequence longer than this.
    Other { beyond: usize, table: Table },
    /// Frequencies that grow with every position: no table holds for two steps.
    Growing { beyond: usize, config: Box<ModelConfig> },
}

/// Cosines and sines, `[positions, rotary_dim / 2]`.
#[derive(Debug, Clone)]
struct Table {
    cos: Tensor,
    sin: Tensor,
}

impl Table {
    /// For the positions `start..end` of a sequence of `length`, computed in single precision as the reference does,
    /// stored as `dtype`.
    fn new(
        config: &ModelConfig,
        (start, end): (usize, usize),
        length: usize,
        dtype: DType,
        device: &Device,
    ) -> Result<Self> {
        let (frequencies, factor) = (config.rope_inv_freq(length), config.rope_attention_factor());
        let shape = (end - start, frequencies.len());
        let angles: Vec<f32> = (start..end)
            .flat_map(|position| frequencies.iter().map(move |frequency| position as f32 * frequency))
            .collect();
        let table = |values: Vec<f32>| Tensor::from_vec(values, shape, device)?.to_dtype(dtype);
        Ok(Self {
            cos: table(angles.iter().map(|angle| angle.cos() * factor).collect())?,
            sin: table(angles.iter().map(|angle| angle.sin() * factor).collect())?,
        })
    }
}

impl RotaryTables {
    /// Tables for sequences of at most `positions`.
    ///
    /// # Errors
    /// When the device cannot allocate.
    pub fn new(config: &ModelConfig, positions: usize, dtype: DType, device: &Device) -> Result<Self> {
        let table = |length: usize| Table::new(config, (0, positions), length, dtype, device);
        let further = match (config.rope_switch(), &config.rope_scaling) {
            (Some(beyond), _) if positions > beyond => Further::Other {
                beyond,
                table: table(positions)?,
            },
            (
                None,
                Some(RopeScaling::Dynamic {
                    original_max_position_embeddings: beyond,
                    ..
                }),
            ) if positions > *beyond => Further::Growing {
                beyond: *beyond,
                config: Box::new(config.clone()),
            },
            _ => Further::Same,
        };
        Ok(Self {
            usual: table(0)?,
            further,
            layout: config.rope_layout,
        })
    }

    /// The rotation of `rows` positions from `start`, the last ones of a sequence.
    ///
    /// # Errors
    /// When the tables are shorter.
    pub fn at(&self, start: usize, rows: usize) -> Result<Rotation> {
        let length = start + rows;
        let table = match &self.further {
            Further::Other { beyond, table } if length > *beyond => table,
            Further::Growing { beyond, config } if length > *beyond => {
                let (dtype, device) = (self.usual.cos.dtype(), self.usual.cos.device());
                let Table { cos, sin } = Table::new(config, (start, length), length, dtype, device)?;
                let layout = self.layout;
                return Ok(Rotation { cos, sin, layout });
            }
            _ => &self.usual,
        };
        Ok(Rotation {
            cos: table.cos.narrow(0, start, rows)?,
            sin: table.sin.narrow(0, start, rows)?,
            layout: self.layout,
        })
    }

    /// Bytes of all tables.
    #[must_use]
    pub fn bytes_for(config: &ModelConfig, positions: usize, dtype: DType) -> u64 {
        let tables = match config.rope_switch() {
            Some(beyond) if positions > beyond => 2,
            _ => 1,
        };
        (tables * config.rotary_dim * positions * dtype.size_in_bytes()) as u64
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
    /// Rotates contiguous `[heads, rows, head_dim]`; where the tables are narrower, the rest of a head stays as it is.
    ///
    /// # Errors
    /// When shapes do not match.
    pub fn apply(&self, x: &Tensor) -> Result<Tensor> {
        let (head_dim, rotary_dim) = (x.dim(2)?, 2 * self.cos.dim(1)?);
        if rotary_dim == head_dim {
            return self.rotated(x);
        }
        let turning = self.rotated(&x.narrow(2, 0, rotary_dim)?.contiguous()?)?;
        Tensor::cat(&[&turning, &x.narrow(2, rotary_dim, head_dim - rotary_dim)?], 2)
    }

    fn rotated(&self, x: &Tensor) -> Result<Tensor> {
        let x = x.unsqueeze(0)?;
        match self.layout {
            RopeLayout::Halves => candle_nn::rotary_emb::rope(&x, &self.cos, &self.sin),
            RopeLayout::Interleaved => candle_nn::rotary_emb::rope_i(&x, &self.cos, &self.sin),
        }?
        .squeeze(0)
    }
}
