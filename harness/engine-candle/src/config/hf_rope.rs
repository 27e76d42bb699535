//! Rotary positions in `config.json`: `rope_theta` and `rope_scaling` (transformers 4) or `rope_parameters` (5).

use super::family::{Family, RopeKinds};
use super::json::Object;
use super::{ConfigError, ModelConfig, RopeScaling};
use crate::shown::shown;

/// What a configuration says about rotary positions.
pub(super) struct Rope {
    pub(super) theta: f64,
    pub(super) scaling: Option<RopeScaling>,
    /// The part of a head that rotates, where it is not all of it.
    pub(super) partial_factor: Option<f64>,
}

/// Reads it. `positions` is `max_position_embeddings`.
pub(super) fn read(json: &Object, family: &Family, positions: usize) -> Result<Rope, ConfigError> {
    let parameters = json.object("rope_parameters")?;
    let either = |key: &str| match parameters.as_ref().map(|own| own.number(key)).transpose()?.flatten() {
        Some(value) => Ok(Some(value)),
        None => json.number(key),
    };
    let theta = either("rope_theta")?.unwrap_or(10_000.0);
    let partial_factor = either("partial_rotary_factor")?.filter(|factor| *factor != 1.0);
    let scaling = match &parameters {
        Some(parameters) => Some(parameters.clone()),
        None => json.object("rope_scaling")?,
    };
    let scaling = match scaling {
        Some(scaling) => read_scaling(json, &scaling, family, positions)?,
        None => None,
    };
    Ok(Rope {
        theta,
        scaling,
        partial_factor,
    })
}

impl ModelConfig {
    /// Takes over what was read; a head of which only a part rotates is refused unless the family has such heads.
    pub(super) fn set_rope(&mut self, rope: Rope, json: &Object) -> Result<(), ConfigError> {
        self.rope_theta = rope.theta;
        self.rope_scaling = rope.scaling;
        let Some(factor) = rope.partial_factor else {
            return Ok(());
        };
        if !self.family.partial_rotary {
            return Err(json.feature(format!(
                "rotary positions on a part of the head (partial_rotary_factor = {factor})"
            )));
        }
        if !(0.0..1.0).contains(&factor) {
            return Err(json.implausible(format!(
                "partial_rotary_factor is {factor}, should be above 0 and at most 1"
            )));
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the factor is between 0 and 1, and cutting the fraction off is what transformers does"
        )]
        let rotary_dim = (self.head_dim as f64 * factor) as usize;
        self.rotary_dim = rotary_dim;
        Ok(())
    }
}

fn read_scaling(
    json: &Object,
    scaling: &Object,
    family: &Family,
    positions: usize,
) -> Result<Option<RopeScaling>, ConfigError> {
    let kind = match scaling.text("rope_type")? {
        Some(kind) => kind,
        None => scaling.text("type")?.unwrap_or("default"),
    };
    let required = |key: &str| {
        let value = scaling.number(key)?;
        value.ok_or_else(|| scaling.missing(format!("rope_scaling.{key}")))
    };
    let original = scaling.size("original_max_position_embeddings")?;
    let scaling = match (kind, family.rope_kinds) {
        ("default", _) => return Ok(None),
        // Phi-3 was published with LongRoPE under three names.
        ("longrope" | "su" | "yarn", RopeKinds::LongRope) => longrope(json, scaling, positions)?,
        ("linear", RopeKinds::General) => RopeScaling::Linear {
            factor: required("factor")?,
        },
        ("dynamic", RopeKinds::General) => RopeScaling::Dynamic {
            factor: required("factor")?,
            original_max_position_embeddings: original.unwrap_or(positions),
        },
        ("llama3", RopeKinds::General) => RopeScaling::Llama3 {
            factor: required("factor")?,
            low_freq_factor: required("low_freq_factor")?,
            high_freq_factor: required("high_freq_factor")?,
            original_max_position_embeddings: original
                .ok_or_else(|| scaling.missing("rope_scaling.original_max_position_embeddings"))?,
        },
        ("yarn", RopeKinds::General) => yarn(scaling, required("factor")?, original.unwrap_or(positions))?,
        (other, kinds) => {
            return Err(json.feature(format!(
                "rope scaling of the type `{}` (for {}: {})",
                shown(other),
                family.model_type,
                kinds.names()
            )));
        }
    };
    Ok(Some(scaling))
}

fn yarn(scaling: &Object, factor: f64, original: usize) -> Result<RopeScaling, ConfigError> {
    // DeepSeek's way to say the attention factor by two others.
    for key in ["mscale", "mscale_all_dim"] {
        if scaling.number(key)?.is_some() {
            return Err(scaling.feature(format!("rope scaling of the type `yarn` with {key}")));
        }
    }
    let attention_factor = scaling.number("attention_factor")?;
    Ok(RopeScaling::Yarn {
        factor,
        attention_factor: attention_factor.unwrap_or_else(|| RopeScaling::yarn_attention_factor(factor)),
        // As transformers reads them: a zero is none.
        beta_fast: scaling.number("beta_fast")?.filter(|beta| *beta != 0.0).unwrap_or(32.0),
        beta_slow: scaling.number("beta_slow")?.filter(|beta| *beta != 0.0).unwrap_or(1.0),
        truncate: scaling.flag("truncate", true)?,
        original_max_position_embeddings: original,
    })
}

fn longrope(json: &Object, scaling: &Object, positions: usize) -> Result<RopeScaling, ConfigError> {
    let factors = |key: &str| {
        let values = scaling.numbers(key)?;
        let values = values.ok_or_else(|| scaling.missing(format!("rope_scaling.{key}")))?;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "transformers keeps the factors in single precision"
        )]
        let single = values.into_iter().map(|value| value as f32).collect();
        Ok::<Vec<f32>, ConfigError>(single)
    };
    let original = match json.size("original_max_position_embeddings")? {
        Some(original) => Some(original),
        None => scaling.size("original_max_position_embeddings")?,
    };
    // The default of `Phi3Config`.
    let original = original.unwrap_or(4096);
    let attention_factor = scaling.number("attention_factor")?;
    Ok(RopeScaling::LongRope {
        short_factor: factors("short_factor")?,
        long_factor: factors("long_factor")?,
        attention_factor: attention_factor
            .unwrap_or_else(|| RopeScaling::longrope_attention_factor(positions, original)),
        original_max_position_embeddings: original,
    })
}
