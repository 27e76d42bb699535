//! What the mock engine takes for a model: a number of layers.

use std::path::Path;
use std::time::Duration;

use placebench_core::module_tree::{ModuleTree, TensorKind, TreeError};
use placebench_core::outcome::{FailureClass, WorkerFailure};
use placebench_core::planner::{Mlp, ModelShape};
use placebench_core::protocol::{ModelSource, Prompt};
use serde_json::Value;

use super::{HIDDEN_BYTES, KV_BYTES_PER_TOKEN, VOCABULARY};
use crate::Context;

pub(super) const EMBEDDING: &str = "model.embed_tokens";
pub(super) const HEAD: &str = "lm_head";

/// An hour: no `Duration` overflows.
const MOST_STEP_MS: u64 = 3_600_000;

/// All that is read of a configuration.
#[derive(Debug, Clone, Copy)]
pub(super) struct MockModel {
    layers: usize,
    /// The head's weight is the embedding's.
    pub(super) tied: bool,
    /// What a step takes at least, asleep: as on a device of its own, whatever else the processor does.
    pub(super) step: Duration,
}

impl MockModel {
    /// A mock model is any folder with a `config.json` that says how many layers there are.
    pub(super) fn read(source: &ModelSource, context: &Context) -> Result<Self, WorkerFailure> {
        let Some(path) = source.path().map(Path::new) else {
            return Err(context.failure(
                FailureClass::Unsupported,
                "the mock engine downloads nothing: give it a path",
            ));
        };
        // A configuration alone may have any name; the weights of a mock are dummies anyway.
        let config = match source {
            ModelSource::Dummy { .. } if path.is_file() => path.to_owned(),
            _ => path.join("config.json"),
        };
        let text = std::fs::read_to_string(&config)
            .map_err(|error| context.failure(FailureClass::ModelMissing, format!("{}: {error}", config.display())))?;
        let json: Value = serde_json::from_str(&text).unwrap_or_default();
        let layers = json["num_hidden_layers"].as_u64().and_then(|n| usize::try_from(n).ok());
        match layers {
            Some(layers) if (1..=1000).contains(&layers) => Ok(Self {
                layers,
                tied: json["tie_word_embeddings"].as_bool().unwrap_or(false),
                step: Duration::from_millis(json["mock_step_ms"].as_u64().unwrap_or(0).min(MOST_STEP_MS)),
            }),
            _ => Err(context.failure(
                FailureClass::ModelInvalid,
                format!(
                    "{}: num_hidden_layers must be a number from 1 to 1000",
                    config.display()
                ),
            )),
        }
    }

    /// 64 KiB of embedding, as much for the head, 32 KiB a layer: large enough for budgets to matter.
    pub(super) fn tree(self) -> Result<ModuleTree, TreeError> {
        let mut tree = ModuleTree::builder("mock", "MockForCausalLM")
            .no_split_classes(["MockDecoderLayer"])
            .module("model", "MockModel")
            .module(EMBEDDING, "Embedding")
            .module("model.layers", "ModuleList");
        for layer in 0..self.layers {
            tree.push_module(format!("model.layers.{layer}"), "MockDecoderLayer");
        }
        tree.push_module("model.norm", "MockNorm");
        tree.push_module(HEAD, "Linear");
        let mut weight = |module: &str, elements: u64| {
            tree.push_tensor(
                format!("{module}.weight"),
                TensorKind::Param,
                "float32",
                vec![elements],
                None,
            );
        };
        weight(EMBEDDING, 16 * 1024);
        for layer in 0..self.layers {
            weight(&format!("model.layers.{layer}"), 8 * 1024);
        }
        weight("model.norm", 64);
        weight(HEAD, 16 * 1024);
        if self.tied {
            tree.push_tie([format!("{EMBEDDING}.weight"), format!("{HEAD}.weight")]);
        }
        tree.build()
    }

    /// Dimensions that give the sizes above.
    pub(super) fn shape(self) -> ModelShape {
        ModelShape {
            layers: self.layers as u64,
            hidden: HIDDEN_BYTES / 4,
            intermediate: HIDDEN_BYTES / 4,
            heads: 1,
            kv_heads: 1,
            head_dim: KV_BYTES_PER_TOKEN / (2 * 4),
            vocab: VOCABULARY,
            max_positions: 1 << 20,
            tied: self.tied,
            mlp: Mlp::Gated,
        }
    }

    /// Modules in order of execution.
    pub(super) fn execution_order(self) -> Vec<String> {
        let layers = (0..self.layers).map(|layer| format!("model.layers.{layer}"));
        std::iter::once(EMBEDDING.to_owned())
            .chain(layers)
            .chain(["model.norm".to_owned(), HEAD.to_owned()])
            .collect()
    }
}

/// One token a character, so that prompts of different text differ.
pub(super) fn tokens(prompt: &Prompt) -> Vec<u32> {
    let of_text = |text: &str| text.chars().map(u32::from).collect();
    match prompt {
        Prompt::Text(text) => of_text(text),
        Prompt::Messages(messages) => messages
            .iter()
            .flat_map(|message| of_text(&message.content))
            .collect::<Vec<u32>>(),
        Prompt::InputIds(ids) => ids.clone(),
    }
}
