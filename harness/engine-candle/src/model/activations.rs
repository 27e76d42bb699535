//! How many bytes a module needs besides weights and cache: an estimate, the same on every machine.
//!
//! It counts the tensors that exist at once at the fullest moment of a module, with the element size that is computed in,
//! and leaves out what a backend allocates for itself (workspaces, freed buffers it keeps).

use candle_core::DType;

use crate::config::{ModelConfig, Projections};

/// The size of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StepShape {
    /// New positions of all sequences.
    pub rows: usize,
    /// New positions of the sequence that has most of them: sequences attend one after the other.
    pub attending_rows: usize,
    /// All positions of the longest sequence, the new ones included.
    pub positions: usize,
    /// Rows that logits are made for.
    pub logit_rows: usize,
}

/// What becomes of the scores of attention.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scores {
    /// They are a tensor, and their softmax is another.
    Stored,
    /// A kernel looks at a few of them at a time; its scratch memory does not grow with the sequence and is not counted.
    Passing,
}

/// Bytes of activations.
#[derive(Debug, Clone, Copy)]
pub struct Activations<'a> {
    config: &'a ModelConfig,
    element: usize,
}

impl<'a> Activations<'a> {
    /// For a model whose activations have that dtype.
    #[must_use]
    pub fn new(config: &'a ModelConfig, dtype: DType) -> Self {
        Self {
            config,
            element: dtype.size_in_bytes(),
        }
    }

    /// The hidden state: what a hop moves.
    #[must_use]
    pub fn hidden(&self, rows: usize) -> u64 {
        (rows * self.config.hidden_size * self.element) as u64
    }

    /// The embedding: token numbers and the hidden state.
    #[must_use]
    pub fn embedding(&self, step: StepShape) -> u64 {
        (step.rows * size_of::<u32>()) as u64 + self.hidden(step.rows)
    }

    /// A block: the residual and its normalised copy, the mask, and either attention (queries, keys, values, scores and their
    /// softmax in single precision where they are stored, the mixed values) or the feed-forward part (gate, up and their product). A layer with a
    /// window is counted as one without.
    #[must_use]
    pub fn block(&self, step: StepShape, scores: Scores) -> u64 {
        let config = self.config;
        let projected = config.query_size() + 2 * config.key_value_size();
        // What is projected in one piece lies beside the pieces it is cut into.
        let whole = match config.block.projections {
            Projections::Separate => 0,
            Projections::Fused => projected,
        };
        let projections = step.rows * (projected + config.query_size() + whole) * self.element;
        let table = step.attending_rows * step.positions * size_of::<f32>();
        let (scores, mask) = match scores {
            Scores::Stored if step.attending_rows > 1 => (2 * config.num_heads * table, table),
            Scores::Stored => (2 * config.num_heads * table, 0),
            Scores::Passing => (0, 0),
        };
        let attention = projections + scores;
        let feed_forward = 3 * step.rows * config.intermediate_size * self.element;
        2 * self.hidden(step.rows) + (mask + attention.max(feed_forward)) as u64
    }

    /// The last norm: in and out.
    #[must_use]
    pub fn norm(&self, step: StepShape) -> u64 {
        2 * self.hidden(step.logit_rows)
    }

    /// The head: in, logits, and their copy in single precision.
    #[must_use]
    pub fn head(&self, step: StepShape) -> u64 {
        let logits = step.logit_rows * self.config.vocab_size * (self.element + size_of::<f32>());
        self.hidden(step.logit_rows) + logits as u64
    }
}
