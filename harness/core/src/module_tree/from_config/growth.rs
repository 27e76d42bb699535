//! A tree in the making: the module kinds of which all families consist.

use crate::module_tree::{ModuleTree, ModuleTreeBuilder, TensorKind};

/// What the reference calls the dtype of everything that is built without being asked for another.
const FLOAT32: &str = "float32";

/// Whether a linear layer adds a bias.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bias {
    With,
    Without,
}

impl From<bool> for Bias {
    fn from(has_bias: bool) -> Self {
        if has_bias { Self::With } else { Self::Without }
    }
}

/// A builder that knows modules with their tensors. Modules keep the order in which they are added.
pub(super) struct Growth {
    builder: ModuleTreeBuilder,
}

impl Growth {
    pub(super) fn new(id: &str, root_class: &str) -> Self {
        Self {
            builder: ModuleTree::builder(id, root_class),
        }
    }

    pub(super) fn into_builder(self) -> ModuleTreeBuilder {
        self.builder
    }

    /// A module without tensors of its own.
    pub(super) fn module(&mut self, path: &str, class: &str) {
        self.builder.push_module(path, class);
    }

    /// A module with one weight of that shape.
    pub(super) fn weight(&mut self, path: &str, class: &str, shape: &[u64]) {
        self.module(path, class);
        self.param(path, "weight", shape);
    }

    /// A linear layer, whose weight has a row for each output.
    pub(super) fn linear(&mut self, path: &str, inputs: u64, outputs: u64, bias: Bias) {
        self.weight(path, "Linear", &[outputs, inputs]);
        if bias == Bias::With {
            self.param(path, "bias", &[outputs]);
        }
    }

    /// A module with a weight of that shape and a bias of the length of its last dimension.
    pub(super) fn weight_and_bias(&mut self, path: &str, class: &str, shape: &[u64]) {
        self.weight(path, class, shape);
        self.param(path, "bias", shape.get(shape.len().saturating_sub(1)..).unwrap_or(&[]));
    }

    /// A buffer that no file holds.
    pub(super) fn computed_buffer(&mut self, path: &str, name: &str, dtype: &str, shape: &[u64]) {
        let name = format!("{path}.{name}");
        self.builder.push_tensor(name, TensorKind::BufferNp, dtype, shape, None);
    }

    /// Rotary position embeddings over `dimensions` of each head: one frequency for two of them.
    pub(super) fn rotary(&mut self, path: &str, class: &str, dimensions: u64) {
        self.module(path, class);
        self.computed_buffer(path, "inv_freq", FLOAT32, &[dimensions.div_ceil(2)]);
    }

    /// Makes two parameters one.
    pub(super) fn tie(&mut self, a: &str, b: &str) {
        self.builder.push_tie([a, b]);
    }

    fn param(&mut self, path: &str, name: &str, shape: &[u64]) {
        let name = format!("{path}.{name}");
        self.builder.push_tensor(name, TensorKind::Param, FLOAT32, shape, None);
    }
}
