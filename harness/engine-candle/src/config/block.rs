//! What the blocks of the families differ in. Llama's is the default of everything here.

/// The function between the two halves of a feed-forward part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Activation {
    /// `x * sigmoid(x)`.
    #[default]
    Silu,
    /// The tanh approximation of GELU.
    GeluTanh,
    /// GELU by the error function.
    Gelu,
}

impl Activation {
    /// By its name in `config.json`; `None` for one that the decoder does not compute.
    pub(super) fn from_name(name: &str) -> Option<Self> {
        match name {
            "silu" | "swish" => Some(Self::Silu),
            "gelu_pytorch_tanh" | "gelu_new" => Some(Self::GeluTanh),
            "gelu" => Some(Self::Gelu),
            _ => None,
        }
    }

    /// Its name in `config.json`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Silu => "silu",
            Self::GeluTanh => "gelu_pytorch_tanh",
            Self::Gelu => "gelu",
        }
    }
}

/// Which linear maps of a block have biases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Biases {
    /// Query, key and value projections.
    pub qkv: bool,
    /// The output projection of attention.
    pub output: bool,
    /// The three projections of the feed-forward part.
    pub mlp: bool,
}

/// How the maps that read the same input are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Projections {
    /// Each by itself: `q_proj, k_proj, v_proj` and `gate_proj, up_proj`.
    #[default]
    Separate,
    /// Rows of one matrix, in that order: `qkv_proj` and `gate_up_proj`.
    Fused,
}

/// Where a block normalises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BlockNorms {
    /// Before attention (`input_layernorm`) and before the feed-forward part (`post_attention_layernorm`).
    #[default]
    Before,
    /// Also behind each of the two, before the residual is added (`post_attention_layernorm`,
    /// `post_feedforward_layernorm`); `pre_feedforward_layernorm` is the one before the feed-forward part.
    BeforeAndAfter,
}

/// What a norm multiplies with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NormWeight {
    /// The stored weight.
    #[default]
    Plain,
    /// One more than the stored weight.
    OnePlus,
}

/// All of it together.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct BlockConfig {
    /// Which linear maps have biases.
    pub biases: Biases,
    /// How projections are stored.
    pub projections: Projections,
    /// Where a block normalises.
    pub norms: BlockNorms,
    /// What its norms, and the last one of the model, multiply with.
    pub norm_weight: NormWeight,
    /// Queries and keys are normalised head by head (`q_norm`, `k_norm`) before they are rotated.
    pub head_norms: bool,
    /// The function of the feed-forward part.
    pub activation: Activation,
    /// Scores of attention are softly limited to this: `cap * tanh(score / cap)`.
    pub attention_softcap: Option<f64>,
}
