//! Rotary positions: which frequencies a model turns with, by the formulas of transformers' `ROPE_INIT_FUNCTIONS`.

use super::ModelConfig;

/// Which elements of a head rotate together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RopeLayout {
    /// Element `i` with `i + rotary_dim / 2`: Hugging Face's layout (`candle_nn::rotary_emb::rope`), and GGUF's for most
    /// families.
    Halves,
    /// Element `2 i` with `2 i + 1`: Llama in GGUF files, whose query and key rows are permuted for it (`rope_i`).
    Interleaved,
}

/// How rotary frequencies are stretched for long contexts.
#[derive(Debug, Clone, PartialEq)]
pub enum RopeScaling {
    /// All frequencies divided by `factor`.
    Linear {
        /// The divisor.
        factor: f64,
    },
    /// A base that grows with the sequence once it is longer than the model was trained on (dynamic NTK). Keys keep the
    /// rotation they were made with, as in transformers.
    Dynamic {
        /// How much the base grows.
        factor: f64,
        /// The context the model was trained on.
        original_max_position_embeddings: usize,
    },
    /// Llama 3.1's: low frequencies divided by `factor`, high ones kept, those between blended.
    Llama3 {
        /// The divisor of low frequencies.
        factor: f64,
        /// Wavelengths above `original_max_position_embeddings / low_freq_factor` are divided.
        low_freq_factor: f64,
        /// Wavelengths below `original_max_position_embeddings / high_freq_factor` are kept.
        high_freq_factor: f64,
        /// The context the model was first trained on.
        original_max_position_embeddings: usize,
    },
    /// YaRN (<https://arxiv.org/abs/2309.00071>): as `Llama3`, blended by the number of turns in the original context,
    /// and cosines and sines multiplied by a factor.
    Yarn {
        /// The divisor of low frequencies.
        factor: f64,
        /// What cosines and sines are multiplied by.
        attention_factor: f64,
        /// Frequencies with more turns than this are kept.
        beta_fast: f64,
        /// Frequencies with fewer turns than this are divided.
        beta_slow: f64,
        /// The bounds of the blend are whole dimensions.
        truncate: bool,
        /// The context the model was first trained on.
        original_max_position_embeddings: usize,
    },
    /// LongRoPE (<https://arxiv.org/abs/2402.13753>): one divisor for each frequency, from one of two lists. Once a
    /// sequence outgrows the original context, all its positions turn by the long list.
    LongRope {
        /// Divisors up to the original context.
        short_factor: Vec<f32>,
        /// Divisors beyond it.
        long_factor: Vec<f32>,
        /// What cosines and sines are multiplied by.
        attention_factor: f64,
        /// The context the model was first trained on.
        original_max_position_embeddings: usize,
    },
    /// One divisor for each frequency: the tensor `rope_freqs.weight` of a GGUF file.
    Divisors(Vec<f32>),
}

impl RopeScaling {
    /// The attention factor that YaRN's paper suggests.
    pub(super) fn yarn_attention_factor(factor: f64) -> f64 {
        if factor <= 1.0 { 1.0 } else { 0.1 * factor.ln() + 1.0 }
    }

    /// The attention factor that LongRoPE's paper suggests for a context of `longest` after training on `original`.
    pub(super) fn longrope_attention_factor(longest: usize, original: usize) -> f64 {
        let factor = longest as f64 / original as f64;
        if factor <= 1.0 {
            1.0
        } else {
            (1.0 + factor.ln() / (original as f64).ln()).sqrt()
        }
    }

    /// The longest sequence for a model whose configuration names `configured` positions: some kinds of scaling stretch
    /// the context without changing that number.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "factors are positive, and a context is far below the range of either type"
    )]
    pub(super) fn stretched(&self, configured: usize) -> usize {
        let times = |positions: usize, factor: f64| (positions as f64 * factor) as usize;
        let stretched = match self {
            Self::Dynamic {
                factor,
                original_max_position_embeddings: original,
            }
            | Self::Yarn {
                factor,
                original_max_position_embeddings: original,
                ..
            } => times(*original, *factor),
            Self::Linear { .. } | Self::Llama3 { .. } | Self::LongRope { .. } | Self::Divisors(_) => 0,
        };
        stretched.max(configured)
    }

    /// Checks the numbers for a head of which `rotary_dim` elements rotate.
    pub(super) fn check(&self, rotary_dim: usize) -> Result<(), String> {
        let positive = |value: f64| value.is_finite() && value > 0.0;
        let factors = |name: &str, values: &[f32]| {
            if values.len() != rotary_dim / 2 {
                return Err(format!(
                    "{name} has {} values, {rotary_dim} rotating elements of a head need {}",
                    values.len(),
                    rotary_dim / 2
                ));
            }
            if values.iter().all(|by| positive(f64::from(*by))) {
                Ok(())
            } else {
                Err(format!("{name} holds a value that is not positive"))
            }
        };
        let original = |positions: usize| {
            if positions > 1 {
                Ok(())
            } else {
                Err(format!(
                    "rope scaling: original_max_position_embeddings is {positions}, should be more than 1"
                ))
            }
        };
        match self {
            Self::Linear { factor } if !positive(*factor) => {
                Err(format!("rope scaling factor is {factor}, should be positive"))
            }
            Self::Linear { .. } => Ok(()),
            Self::Dynamic { factor, .. } | Self::Yarn { factor, .. } if !(positive(*factor) && *factor >= 1.0) => {
                Err(format!("rope scaling factor is {factor}, should be at least 1"))
            }
            Self::Dynamic { .. } if rotary_dim <= 2 => Err(format!(
                "dynamic rope scaling needs more than {rotary_dim} rotating elements"
            )),
            Self::Dynamic {
                original_max_position_embeddings,
                ..
            } => original(*original_max_position_embeddings),
            Self::Llama3 {
                factor,
                low_freq_factor,
                high_freq_factor,
                ..
            } if !(positive(*factor) && positive(*low_freq_factor) && high_freq_factor > low_freq_factor) => {
                Err(format!(
                    "rope scaling factors are {factor}, low {low_freq_factor}, high {high_freq_factor}; \
                 they should be positive and high above low"
                ))
            }
            Self::Llama3 { .. } => Ok(()),
            Self::Yarn {
                attention_factor,
                beta_fast,
                beta_slow,
                ..
            } if !(positive(*attention_factor) && positive(*beta_slow) && beta_fast >= beta_slow) => Err(format!(
                "rope scaling: attention_factor is {attention_factor}, beta_fast {beta_fast}, beta_slow {beta_slow}; \
                 they should be positive and beta_fast not below beta_slow"
            )),
            Self::Yarn {
                original_max_position_embeddings,
                ..
            } => original(*original_max_position_embeddings),
            Self::LongRope {
                short_factor,
                long_factor,
                attention_factor,
                original_max_position_embeddings,
            } => {
                factors("short_factor", short_factor)?;
                factors("long_factor", long_factor)?;
                if !positive(*attention_factor) {
                    return Err(format!(
                        "rope scaling: attention_factor is {attention_factor}, should be positive"
                    ));
                }
                original(*original_max_position_embeddings)
            }
            Self::Divisors(divisors) => factors("rope_freqs", divisors),
        }
    }
}

impl ModelConfig {
    /// Angular frequency of each rotating pair (`rotary_dim / 2` of them) in a sequence of `length` positions, scaling
    /// included, computed in float32 as transformers does: `theta^(-2 i / rotary_dim)`.
    #[must_use]
    pub fn rope_inv_freq(&self, length: usize) -> Vec<f32> {
        let base = self.frequencies(self.rope_theta);
        match &self.rope_scaling {
            None => base,
            Some(RopeScaling::Linear { factor }) => base.into_iter().map(|freq| freq / single(*factor)).collect(),
            Some(RopeScaling::Divisors(divisors)) => divided(&base, divisors),
            Some(RopeScaling::Dynamic {
                factor,
                original_max_position_embeddings: original,
            }) => {
                let (dim, length) = (self.rotary_dim as f64, length.max(*original) as f64);
                let growth = factor * length / *original as f64 - (factor - 1.0);
                self.frequencies(self.rope_theta * growth.powf(dim / (dim - 2.0)))
            }
            Some(RopeScaling::Llama3 {
                factor,
                low_freq_factor,
                high_freq_factor,
                original_max_position_embeddings,
            }) => {
                let (factor, low, high) = (single(*factor), single(*low_freq_factor), single(*high_freq_factor));
                let original = *original_max_position_embeddings as f32;
                base.into_iter()
                    .map(|freq| llama3_frequency(freq, factor, low, high, original))
                    .collect()
            }
            Some(RopeScaling::Yarn {
                factor,
                beta_fast,
                beta_slow,
                truncate,
                original_max_position_embeddings: original,
                ..
            }) => {
                let (low, high) = self.yarn_range((*beta_fast, *beta_slow), *truncate, *original);
                base.iter()
                    .enumerate()
                    .map(|(pair, freq)| {
                        let kept = 1.0 - ((pair as f32 - low) / (high - low)).clamp(0.0, 1.0);
                        freq / single(*factor) * (1.0 - kept) + freq * kept
                    })
                    .collect()
            }
            Some(RopeScaling::LongRope {
                short_factor,
                long_factor,
                original_max_position_embeddings: original,
                ..
            }) => divided(&base, if length > *original { long_factor } else { short_factor }),
        }
    }

    /// What cosines and sines are multiplied by.
    #[must_use]
    pub fn rope_attention_factor(&self) -> f32 {
        match &self.rope_scaling {
            Some(RopeScaling::Yarn { attention_factor, .. } | RopeScaling::LongRope { attention_factor, .. }) => {
                single(*attention_factor)
            }
            _ => 1.0,
        }
    }

    /// The length beyond which all positions of a sequence turn by other frequencies, the cached ones too.
    #[must_use]
    pub fn rope_switch(&self) -> Option<usize> {
        match &self.rope_scaling {
            Some(RopeScaling::LongRope {
                original_max_position_embeddings: original,
                ..
            }) => Some(*original),
            _ => None,
        }
    }

    fn frequencies(&self, theta: f64) -> Vec<f32> {
        (0..self.rotary_dim / 2)
            .map(|pair| 1.0 / single(theta).powf((2 * pair) as f32 / self.rotary_dim as f32))
            .collect()
    }

    /// Between which pairs YaRN blends: `find_correction_range` of transformers.
    fn yarn_range(&self, (fast, slow): (f64, f64), truncate: bool, original: usize) -> (f32, f32) {
        let dim = self.rotary_dim as f64;
        let pair = |turns: f64| {
            let positions = original as f64 / (turns * 2.0 * std::f64::consts::PI);
            dim * positions.ln() / (2.0 * self.rope_theta.ln())
        };
        let (mut low, mut high) = (pair(fast), pair(slow));
        if truncate {
            (low, high) = (low.floor(), high.ceil());
        }
        (low, high) = (low.max(0.0), high.min(dim - 1.0));
        // Where both are one, transformers avoids the division by zero in the same way.
        if (high - low).abs() < f64::EPSILON {
            high += 0.001;
        }
        (single(low), single(high))
    }
}

fn divided(frequencies: &[f32], divisors: &[f32]) -> Vec<f32> {
    frequencies.iter().zip(divisors).map(|(freq, by)| freq / by).collect()
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "transformers computes frequencies in single precision"
)]
fn single(number: f64) -> f32 {
    number as f32
}

/// `_compute_llama3_parameters` of transformers 4.49 for one frequency.
fn llama3_frequency(freq: f32, factor: f32, low: f32, high: f32, original: f32) -> f32 {
    let wavelength = 2.0 * std::f32::consts::PI / freq;
    if wavelength > original / low {
        freq / factor
    } else if wavelength < original / high {
        freq
    } else {
        let smooth = (original / wavelength - low) / (high - low);
        (1.0 - smooth) * freq / factor + smooth * freq
    }
}
