//! candle-transformers' models behind one interface.

mod dense;
mod limits;
mod quantised;

use candle_core::{DType, Device, Result as CandleResult, Tensor};

use crate::checkpoint::Checkpoint;
use crate::error::EngineError;
use crate::weights::Compute;

pub(super) use limits::check;

/// A model of candle-transformers with its cache.
trait Whole {
    /// The logits after `ids`, `[1, n]`, of which the first is at `position`.
    fn forward(&mut self, ids: &Tensor, position: usize) -> CandleResult<Tensor>;

    /// Forgets all past tokens.
    fn reset(&mut self);
}

/// Most of the models have the same two methods.
macro_rules! whole {
    ($($model:ty),+ $(,)?) => {
        $(impl Whole for $model {
            fn forward(&mut self, ids: &Tensor, position: usize) -> CandleResult<Tensor> {
                <$model>::forward(self, ids, position)
            }

            fn reset(&mut self) {
                self.clear_kv_cache();
            }
        })+
    };
}
use whole;

/// A model and where it is.
pub(super) struct WholeModel {
    model: Box<dyn Whole>,
    device: Device,
}

impl WholeModel {
    /// Loads a model for sequences of at most `capacity` tokens.
    pub(super) fn load(
        checkpoint: &Checkpoint,
        compute: Compute,
        capacity: usize,
        device: &Device,
    ) -> Result<Self, EngineError> {
        let model = match compute {
            Compute::Dense(dtype) => dense::load(checkpoint, dtype, capacity, device),
            Compute::Quantised => quantised::load(checkpoint, device),
        }?;
        Ok(Self {
            model,
            device: device.clone(),
        })
    }

    /// Forgets all past tokens.
    pub(super) fn reset(&mut self) {
        self.model.reset();
    }

    /// The logits after `ids`, of which the first is at `position`.
    pub(super) fn forward(&mut self, ids: &[u32], position: usize) -> CandleResult<Vec<f32>> {
        let ids = Tensor::new(ids, &self.device)?.unsqueeze(0)?;
        let logits = self.model.forward(&ids, position)?;
        self.device.synchronize()?;
        logits.to_dtype(DType::F32)?.flatten_all()?.to_vec1()
    }
}

/// For a family that is listed in one place and not in the other.
fn unknown(checkpoint: &Checkpoint) -> EngineError {
    limits::refusal(&format!("models of the family {:?}", checkpoint.config.family))
}
