//! Keys and values of past tokens, one pair of buffers a layer, beside the layer that fills them.

use candle_core::{DType, Device, Result, Tensor};

use super::linear::tensor_bytes;

/// The buffers of one layer, allocated once for a whole generation: appending copies the new rows only.
#[derive(Debug)]
pub struct LayerCache {
    keys: Tensor,
    values: Tensor,
    len: usize,
}

impl LayerCache {
    /// Room for `capacity` positions.
    ///
    /// # Errors
    /// When the device cannot allocate.
    pub fn new(kv_heads: usize, capacity: usize, head_dim: usize, dtype: DType, device: &Device) -> Result<Self> {
        let shape = (kv_heads, capacity, head_dim);
        Ok(Self {
            keys: Tensor::zeros(shape, dtype, device)?,
            values: Tensor::zeros(shape, dtype, device)?,
            len: 0,
        })
    }

    /// Appends keys and values `[kv_heads, n, head_dim]` and returns all so far, as views.
    ///
    /// # Errors
    /// When there is no room or shapes do not match.
    pub fn append(&mut self, keys: &Tensor, values: &Tensor) -> Result<(Tensor, Tensor)> {
        let added = keys.dim(1)?;
        self.keys.slice_set(&keys.contiguous()?, 1, self.len)?;
        self.values.slice_set(&values.contiguous()?, 1, self.len)?;
        self.len += added;
        Ok((self.keys.narrow(1, 0, self.len)?, self.values.narrow(1, 0, self.len)?))
    }

    /// Forgets all positions; the buffers stay.
    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// Bytes of both buffers, filled or not.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        tensor_bytes(&self.keys) + tensor_bytes(&self.values)
    }

    /// Positions filled.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// True before the first token.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// Bytes of the buffers of one layer.
#[must_use]
pub fn layer_cache_bytes(kv_heads: usize, capacity: usize, head_dim: usize, dtype: DType) -> u64 {
    2 * (kv_heads * capacity * head_dim * dtype.size_in_bytes()) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_appended_comes_back_in_order() {
        let device = Device::Cpu;
        let mut cache = LayerCache::new(2, 4, 2, DType::F32, &device).unwrap();
        assert_eq!(cache.bytes(), layer_cache_bytes(2, 4, 2, DType::F32));
        let rows = |from: f32| {
            Tensor::arange(from, from + 4.0, &device)
                .unwrap()
                .reshape((2, 1, 2))
                .unwrap()
        };
        cache.append(&rows(0.0), &rows(100.0)).unwrap();
        let (keys, values) = cache.append(&rows(10.0), &rows(110.0)).unwrap();
        assert_eq!(
            keys.to_vec3::<f32>().unwrap(),
            [[[0.0, 1.0], [10.0, 11.0]], [[2.0, 3.0], [12.0, 13.0]]]
        );
        assert_eq!(values.to_vec3::<f32>().unwrap()[1], [[102.0, 103.0], [112.0, 113.0]]);
        assert_eq!(cache.len(), 2);
    }

    #[test]
    fn a_full_cache_refuses() {
        let device = Device::Cpu;
        let mut cache = LayerCache::new(1, 1, 2, DType::F32, &device).unwrap();
        let row = Tensor::ones((1, 1, 2), DType::F32, &device).unwrap();
        assert!(cache.append(&row, &row).is_ok());
        assert!(cache.append(&row, &row).is_err());
    }
}
