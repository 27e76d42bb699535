//! Small decoders with weights made up in memory: differences between them tell what a layer takes.

use candle_core::{DType, Device, Tensor};
use placebench_core::device::DeviceId;
use placebench_core::placement::{Offload, Transfer};
use placebench_engine::Context;

use super::ProbeError;
use super::sampling::timed;
use crate::config::ModelConfig;
use crate::device::{Devices, Ledger, Slot};
use crate::error::EngineError;
use crate::model::decoder::Layout;
use crate::model::linear::Matrix;
use crate::model::step::{LogitRows, Pass};
use crate::model::{Decoder, Home, Sequence, module_names};
use crate::weights::{Compute, WeightSource, WeightsError};

/// Positions before a sequence is begun anew.
pub(crate) const POSITIONS: usize = 1024;

/// Dimensions of a small decoder.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dimensions {
    pub(crate) layers: usize,
    pub(crate) width: usize,
}

impl Dimensions {
    /// Rows of embedding and head.
    const VOCABULARY: usize = 64;

    /// Query heads; half as many hold keys and values.
    fn heads(self) -> usize {
        (self.width / 64).max(4)
    }

    fn config(self) -> Result<ModelConfig, ProbeError> {
        let config = serde_json::json!({
            "model_type": "llama",
            "architectures": ["LlamaForCausalLM"],
            "hidden_size": self.width,
            "intermediate_size": 2 * self.width,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads(),
            "num_key_value_heads": self.heads() / 2,
            "vocab_size": Self::VOCABULARY,
            "max_position_embeddings": POSITIONS,
            "rms_norm_eps": 1e-6,
            "rope_theta": 10000.0,
            "tie_word_embeddings": false,
        });
        ModelConfig::from_json(&config.to_string(), None)
            .map_err(|error| ProbeError::Unusable(format!("the small decoder's configuration: {error}")))
    }

    /// Bytes of one layer's matrices in single precision: query and output `w²`, key and value `w²/2` each, three of
    /// `2 w²`.
    pub(crate) fn layer_bytes(self) -> f64 {
        (self.width * self.width * 9 * 4) as f64
    }

    /// Operations of one layer on a prompt: its matrices, and scores and sums over half of all pairs of positions.
    pub(crate) fn layer_flops(self, tokens: usize) -> f64 {
        let matrices = 2 * tokens * self.width * self.width * 9;
        let attention = 2 * tokens * tokens * self.width;
        (matrices + attention) as f64
    }

    /// Bytes of the head's matrix in single precision.
    pub(crate) fn head_bytes(self) -> f64 {
        (self.width * Self::VOCABULARY * 4) as f64
    }
}

/// A decoder with weights made up in memory, and a generation that goes on in it.
pub(crate) struct SmallDecoder {
    decoder: Decoder,
    ledger: Ledger,
    context: Context,
    sequence: Sequence,
    position: usize,
}

impl SmallDecoder {
    /// A decoder that lies on one device as a whole.
    ///
    /// # Errors
    /// When the device is not there or has no room.
    pub(crate) fn on(device: &DeviceId, dimensions: Dimensions) -> Result<Self, ProbeError> {
        let devices = Devices::open(&[], std::slice::from_ref(device)).map_err(EngineError::from)?;
        let slot = devices
            .slot(device)
            .ok_or_else(|| ProbeError::Unusable(format!("{device} cannot hold a model")))?;
        let config = dimensions.config()?;
        let layout = Layout {
            homes: vec![Home::at(slot); module_names(&config).len()],
            transfer: Transfer::Direct,
            offload: Offload::Execute,
        };
        let mut context = Context::unheard();
        let ledger = Ledger::new(&devices);
        let decoder = Decoder::load(config, Box::new(MadeUp), devices, layout, &ledger, &mut context)?;
        let sequence = decoder.sequence(POSITIONS, &ledger, &context)?;
        Ok(Self {
            decoder,
            ledger,
            context,
            sequence,
            position: 0,
        })
    }

    /// Seconds of one step of so many tokens (at most [`POSITIONS`]), its logits read back as a generation does.
    pub(crate) fn step_s(&mut self, tokens: usize) -> Result<f64, ProbeError> {
        if self.position + tokens > POSITIONS {
            self.position = 0;
            self.ledger.end_generation();
            self.sequence = self.decoder.sequence(POSITIONS, &self.ledger, &self.context)?;
        }
        self.position += tokens;
        let ids = vec![1; tokens];
        timed(|| {
            let ids = self.decoder.place_ids(&ids)?;
            let mut pass = Pass::new(&mut self.context, &self.ledger);
            let logits = self
                .decoder
                .forward(&mut self.sequence, &ids, LogitRows::Last, &mut pass)?;
            let slot: Slot = logits.slot();
            let read = logits.on(slot, self.decoder.devices())?.flatten_all();
            let read = read.and_then(|flat| flat.to_vec1::<f32>());
            let values = read.map_err(EngineError::candle("reading the logits"))?;
            if values.iter().all(|value| value.is_finite()) {
                Ok(())
            } else {
                Err(ProbeError::Unusable(
                    "the small decoder's logits are not finite: the device computes wrongly".into(),
                ))
            }
        })
    }
}

/// Weights that are in no file: small random numbers.
struct MadeUp;

impl MadeUp {
    fn tensor(name: &str, shape: impl Into<candle_core::Shape>, device: &Device) -> Result<Tensor, WeightsError> {
        Tensor::rand(-0.1_f32, 0.1, shape, device).map_err(WeightsError::unreadable(name))
    }
}

impl WeightSource for MadeUp {
    fn matrix(&self, name: &str, shape: (usize, usize), device: &Device) -> Result<Matrix, WeightsError> {
        Self::tensor(name, shape, device).map(Matrix::Dense)
    }

    fn vector(&self, name: &str, len: usize, device: &Device) -> Result<Tensor, WeightsError> {
        Self::tensor(name, len, device)
    }

    fn compute(&self) -> Compute {
        Compute::Dense(DType::F32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_decoder_goes_on_beyond_its_positions() {
        let mut decoder = SmallDecoder::on(&DeviceId::cpu(), Dimensions { layers: 2, width: 16 }).unwrap();
        for tokens in [POSITIONS - 1, 1, 1] {
            assert!(decoder.step_s(tokens).unwrap() > 0.0);
        }
        assert_eq!(decoder.position, 1, "begun anew");
    }

    #[test]
    fn the_bytes_of_a_layer_are_those_that_are_loaded() {
        let dimensions = Dimensions { layers: 3, width: 32 };
        let decoder = SmallDecoder::on(&DeviceId::cpu(), dimensions).unwrap();
        let realised = decoder.decoder.realised();
        let bytes = |module: &str| {
            let found = realised.iter().find(|realised| realised.module == module).unwrap();
            found.bytes.as_f64()
        };
        let norms = (2 * 32 * 4) as f64;
        assert_eq!(bytes("model.layers.1"), dimensions.layer_bytes() + norms);
        assert_eq!(bytes("lm_head"), dimensions.head_bytes());
    }

    #[test]
    fn a_device_that_is_not_there_is_named() {
        let absent = DeviceId::new("cuda:99").unwrap();
        let error = SmallDecoder::on(&absent, Dimensions { layers: 1, width: 16 })
            .err()
            .unwrap();
        assert!(error.to_string().contains("cuda:99"), "{error}");
    }
}
