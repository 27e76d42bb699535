//! Where two texts part.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::TextVerdict;
use crate::protocol::TokenLogit;

/// What a text was compared with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ComparedWith {
    /// An approved snapshot.
    Snapshot {
        /// The device class it was approved for; absent for one that serves all.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        class: Option<String>,
    },
    /// The text of the reference placement.
    Reference {
        /// Its name.
        placement: String,
    },
    /// The first generation of the same case.
    FirstGeneration,
    /// The text of another engine.
    Engine {
        /// Its name.
        engine: String,
        /// The placement it was under there.
        placement: String,
    },
}

impl fmt::Display for ComparedWith {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Snapshot { class: Some(class) } => write!(f, "the approved snapshot of class {class}"),
            Self::Snapshot { class: None } => f.write_str("the approved snapshot for all device classes"),
            Self::Reference { placement } => write!(f, "placement `{placement}`"),
            Self::FirstGeneration => f.write_str("the first generation"),
            Self::Engine { engine, placement } => write!(f, "engine `{engine}` (placement `{placement}`)"),
        }
    }
}

/// How the texts around a token were found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TextPlacing {
    /// By the offsets of the tokens in the text.
    Offsets,
    /// By the first character in which the texts differ, which may be one of a later token: an approximation.
    Characters,
}

/// What two texts were compared by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ComparedBy {
    /// By their tokens.
    #[default]
    Tokens,
    /// By their texts, for of one of them no tokens are known. The place is told in tokens, for where the tokens of one end is
    /// known.
    Text,
    /// By their texts, and the place is told in characters.
    Characters,
}

impl ComparedBy {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
    fn is_tokens(&self) -> bool {
        *self == Self::Tokens
    }

    /// What a place is counted in: `token` or `character`.
    #[must_use]
    pub fn unit(self) -> &'static str {
        match self {
            Self::Tokens | Self::Text => "token",
            Self::Characters => "character",
        }
    }
}

/// A token that was among the likeliest of a step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct LikelyToken {
    /// The token with its logit, or the logarithm of its probability where an engine tells that.
    #[serde(flatten)]
    pub token: TokenLogit,
    /// What it reads as, where one of the two texts holds it. Text of a model: escape it wherever it is shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// One of two texts, around the token at which they part. Text of a model: escape it wherever it is shown.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct DivergentText {
    /// The token; absent where this text had ended, and where texts were compared and not tokens.
    pub id: Option<u32>,
    /// The end of the text before it.
    pub before: String,
    /// Its own text; empty where it shows nothing or is not known.
    pub token: String,
    /// The beginning of the text after it.
    pub after: String,
    /// The five tokens that this side thought likeliest there, the likeliest first. Only where two engines were compared, and
    /// this one told them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub top5: Vec<LikelyToken>,
}

/// The first token at which a text parts from another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Divergence {
    /// What it was compared with.
    pub with: ComparedWith,
    /// Which of the measured generations of the case, from 0.
    #[serde(default)]
    pub generation: u32,
    /// Which of the sequences that were generated together: 0, or the number of a companion, from 1.
    #[serde(default)]
    pub sequence: u32,
    /// Position of the first token that differs, from 0; of the first character where `by` is `characters`.
    pub index: u32,
    /// `near_tie` or `diverged`.
    pub verdict: TextVerdict,
    /// The logit gap between the two tokens there, the larger of the two sides; absent where one of them was not among the
    /// likeliest of the other side, or a text had ended, or no logits are on record.
    pub gap: Option<f32>,
    /// The text of this case.
    pub ours: DivergentText,
    /// The text it was compared with.
    pub theirs: DivergentText,
    /// How the texts around the token were found.
    pub placed_by: TextPlacing,
    /// What was compared, and what `index` counts.
    #[serde(default, skip_serializing_if = "ComparedBy::is_tokens")]
    pub by: ComparedBy,
}
