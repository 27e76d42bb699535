//! The dimensions of a decoder, from a Hugging Face configuration.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

/// The numbers from which cache sizes, working sets and operations follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelShape {
    /// Decoder layers.
    pub layers: u64,
    /// Elements of the hidden state of one token.
    pub hidden: u64,
    /// Width of the feed-forward part.
    pub intermediate: u64,
    /// Query heads.
    pub heads: u64,
    /// Key and value heads; several query heads share one where there are fewer.
    pub kv_heads: u64,
    /// Elements of one head.
    pub head_dim: u64,
    /// Entries of the vocabulary.
    pub vocab: u64,
    /// Positions the model was made for; no cache grows beyond.
    pub max_positions: u64,
    /// Whether the head is the embedding's tensor.
    pub tied: bool,
    /// Kind of the feed-forward part.
    pub mlp: Mlp,
}

/// Kind of a layer's feed-forward part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mlp {
    /// Two projections up whose product goes down (llama and its relatives).
    Gated,
    /// One projection up, an activation, one down (gpt2).
    Plain,
}

/// Why a configuration tells no shape.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ShapeError {
    /// The configuration is no JSON object.
    #[error("a model configuration is a JSON object")]
    NotAnObject,
    /// A family whose key names are not known.
    #[error("`model_type` = `{found}` is not known: there are {}", names())]
    UnknownFamily {
        /// The family as written.
        found: String,
    },
    /// A key that the family needs is absent or null.
    #[error("`{key}` is missing")]
    Missing {
        /// The key.
        key: &'static str,
    },
    /// A value of another kind than the key's.
    #[error("`{key}` = `{found}` is not {wanted}")]
    Wrong {
        /// The key.
        key: &'static str,
        /// The value as JSON, cut where it is long.
        found: String,
        /// What it has to be.
        wanted: &'static str,
    },
    /// Two values that do not fit together.
    #[error("`{key}` = {value} must divide `{of}` = {total}")]
    Indivisible {
        /// The divisor's key.
        key: &'static str,
        /// The divisor.
        value: u64,
        /// The other key.
        of: &'static str,
        /// The other value.
        total: u64,
    },
}

/// Larger numbers are a mistake in any dimension.
const MAX_DIMENSION: u64 = u32::MAX as u64;

/// Where a family writes its numbers, and what an absent key means in Transformers.
struct Family {
    name: &'static str,
    layers: &'static str,
    hidden: &'static str,
    intermediate: &'static str,
    heads: &'static str,
    positions: &'static str,
    /// `None`: the family has no such key, every query head has its own keys.
    kv_heads: Option<&'static str>,
    /// Whether the family's own default for an absent `kv_heads` is the number of heads.
    kv_heads_default: Absent,
    /// `None`: the family has no such key; always `hidden / heads`.
    head_dim: Option<&'static str>,
    head_dim_default: Absent,
    tied_default: bool,
    mlp: Mlp,
}

/// What an absent key means.
#[derive(Clone, Copy, PartialEq)]
enum Absent {
    /// The value follows from others. Null always means this.
    Derived,
    /// The family has a number of its own as default; every published file writes the key, so its absence is refused.
    Refused,
}

const LLAMA: Family = Family {
    name: "llama",
    layers: "num_hidden_layers",
    hidden: "hidden_size",
    intermediate: "intermediate_size",
    heads: "num_attention_heads",
    positions: "max_position_embeddings",
    kv_heads: Some("num_key_value_heads"),
    kv_heads_default: Absent::Derived,
    head_dim: Some("head_dim"),
    head_dim_default: Absent::Derived,
    tied_default: false,
    mlp: Mlp::Gated,
};

const FAMILIES: [Family; 7] = [
    LLAMA,
    Family {
        name: "qwen2",
        kv_heads_default: Absent::Refused,
        ..LLAMA
    },
    Family {
        name: "qwen3",
        kv_heads_default: Absent::Refused,
        head_dim_default: Absent::Refused,
        ..LLAMA
    },
    Family {
        name: "mistral",
        kv_heads_default: Absent::Refused,
        ..LLAMA
    },
    Family { name: "phi3", ..LLAMA },
    Family {
        name: "gemma2",
        kv_heads_default: Absent::Refused,
        head_dim_default: Absent::Refused,
        tied_default: true,
        ..LLAMA
    },
    Family {
        name: "gpt2",
        layers: "n_layer",
        hidden: "n_embd",
        intermediate: "n_inner",
        heads: "n_head",
        positions: "n_positions",
        kv_heads: None,
        kv_heads_default: Absent::Derived,
        head_dim: None,
        head_dim_default: Absent::Derived,
        tied_default: true,
        mlp: Mlp::Plain,
    },
];

fn names() -> String {
    FAMILIES.map(|family| family.name).join(", ")
}

impl ModelShape {
    /// Reads a `config.json` of one of the families llama, qwen2, qwen3, mistral, phi3, gemma2, gpt2.
    ///
    /// Keys that are absent mean what they mean in Transformers where that follows from other keys (key heads as many
    /// as heads, head size `hidden / heads`, four times `n_embd`, tying by family).
    ///
    /// # Errors
    /// When a key is missing, is no positive whole number, or contradicts another; the error names the key.
    pub fn from_config(config: &Value) -> Result<Self, ShapeError> {
        let config = Config(config.as_object().ok_or(ShapeError::NotAnObject)?);
        let family = config.family()?;
        let hidden = config.required(family.hidden)?;
        let heads = config.required(family.heads)?;
        let intermediate = match family.mlp {
            Mlp::Gated => config.required(family.intermediate)?,
            Mlp::Plain => config.number(family.intermediate)?.unwrap_or(hidden.saturating_mul(4)),
        };
        let kv_heads = config
            .derived(family.kv_heads, family.kv_heads_default)?
            .unwrap_or(heads);
        divides(
            (family.kv_heads.unwrap_or(family.heads), kv_heads),
            (family.heads, heads),
        )?;
        let head_dim = match config.derived(family.head_dim, family.head_dim_default)? {
            Some(head_dim) => head_dim,
            None => {
                divides((family.heads, heads), (family.hidden, hidden))?;
                hidden / heads
            }
        };
        Ok(Self {
            layers: config.required(family.layers)?,
            hidden,
            intermediate,
            heads,
            kv_heads,
            head_dim,
            vocab: config.required("vocab_size")?,
            max_positions: config.required(family.positions)?,
            tied: config.flag("tie_word_embeddings")?.unwrap_or(family.tied_default),
            mlp: family.mlp,
        })
    }
}

fn divides((key, value): (&'static str, u64), (of, total): (&'static str, u64)) -> Result<(), ShapeError> {
    if total.is_multiple_of(value) {
        return Ok(());
    }
    Err(ShapeError::Indivisible { key, value, of, total })
}

struct Config<'a>(&'a serde_json::Map<String, Value>);

impl Config<'_> {
    fn family(&self) -> Result<&'static Family, ShapeError> {
        const KEY: &str = "model_type";
        let value = self.0.get(KEY).ok_or(ShapeError::Missing { key: KEY })?;
        let name = value.as_str().ok_or_else(|| wrong(KEY, value, "a text"))?;
        let family = FAMILIES.iter().find(|family| family.name == name);
        family.ok_or_else(|| ShapeError::UnknownFamily { found: shortened(name) })
    }

    /// A positive whole number; `None` where the key is absent or null.
    fn number(&self, key: &'static str) -> Result<Option<u64>, ShapeError> {
        let Some(value) = self.0.get(key).filter(|value| !value.is_null()) else {
            return Ok(None);
        };
        let number = value.as_u64().filter(|number| (1..=MAX_DIMENSION).contains(number));
        let number = number.ok_or_else(|| wrong(key, value, "a whole number from 1 to 4294967295"))?;
        Ok(Some(number))
    }

    fn required(&self, key: &'static str) -> Result<u64, ShapeError> {
        self.number(key)?.ok_or(ShapeError::Missing { key })
    }

    /// A number that follows from others where it is not given.
    fn derived(&self, key: Option<&'static str>, absent: Absent) -> Result<Option<u64>, ShapeError> {
        match key {
            None => Ok(None),
            Some(key) if absent == Absent::Refused && !self.0.contains_key(key) => Err(ShapeError::Missing { key }),
            Some(key) => self.number(key),
        }
    }

    fn flag(&self, key: &'static str) -> Result<Option<bool>, ShapeError> {
        match self.0.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(value) => Err(wrong(key, value, "true or false")),
        }
    }
}

fn wrong(key: &'static str, value: &Value, wanted: &'static str) -> ShapeError {
    ShapeError::Wrong {
        key,
        found: shortened(&value.to_string()),
        wanted,
    }
}

/// A configuration is other people's text: only so much of it is repeated in a message.
fn shortened(text: &str) -> String {
    text.chars().take(40).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn llama() -> Value {
        json!({
            "model_type": "llama", "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
            "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 128_256,
            "max_position_embeddings": 131_072, "tie_word_embeddings": false,
        })
    }

    fn with(key: &str, value: Value) -> Value {
        let mut config = llama();
        config[key] = value;
        config
    }

    fn without(key: &str) -> Value {
        let mut config = llama();
        config.as_object_mut().unwrap().shift_remove(key);
        config
    }

    #[test]
    fn published_configurations_are_read() {
        let shape = ModelShape::from_config(&llama()).unwrap();
        assert_eq!((shape.layers, shape.kv_heads, shape.head_dim), (32, 8, 128));
        assert_eq!((shape.tied, shape.mlp), (false, Mlp::Gated));
        let gemma2 = json!({
            "model_type": "gemma2", "hidden_size": 2304, "intermediate_size": 9216, "num_hidden_layers": 26,
            "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256, "vocab_size": 256_000,
            "max_position_embeddings": 8192,
        });
        let shape = ModelShape::from_config(&gemma2).unwrap();
        assert_eq!((shape.head_dim, shape.heads * shape.head_dim), (256, 2048));
        assert!(shape.tied, "gemma2 is tied unless it says otherwise");
        let gpt2 = json!({
            "model_type": "gpt2", "n_embd": 768, "n_layer": 12, "n_head": 12, "n_positions": 1024,
            "vocab_size": 50257, "n_inner": null,
        });
        let shape = ModelShape::from_config(&gpt2).unwrap();
        assert_eq!((shape.intermediate, shape.kv_heads, shape.head_dim), (3072, 12, 64));
        assert_eq!((shape.max_positions, shape.tied, shape.mlp), (1024, true, Mlp::Plain));
        for family in ["qwen2", "qwen3", "mistral", "phi3"] {
            let mut config = with("model_type", json!(family));
            config["head_dim"] = json!(128);
            assert_eq!(ModelShape::from_config(&config).unwrap().kv_heads, 8, "{family}");
        }
    }

    #[test]
    fn absent_keys_mean_what_transformers_means() {
        for config in [without("num_key_value_heads"), with("num_key_value_heads", Value::Null)] {
            assert_eq!(ModelShape::from_config(&config).unwrap().kv_heads, 32);
        }
        let mut qwen3 = without("num_key_value_heads");
        qwen3["model_type"] = json!("qwen3");
        let missing = |key| Err(ShapeError::Missing { key });
        assert_eq!(ModelShape::from_config(&qwen3), missing("num_key_value_heads"));
        qwen3["num_key_value_heads"] = json!(8);
        assert_eq!(ModelShape::from_config(&qwen3), missing("head_dim"));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let cases = [
            (json!([]), "a model configuration is a JSON object"),
            (json!({}), "`model_type` is missing"),
            (without("hidden_size"), "`hidden_size` is missing"),
            (with("vocab_size", Value::Null), "`vocab_size` is missing"),
            (
                with("num_hidden_layers", json!(-1)),
                "`num_hidden_layers` = `-1` is not a whole number from 1 to 4294967295",
            ),
            (
                with("num_attention_heads", json!(0)),
                "`num_attention_heads` = `0` is not a whole number from 1 to 4294967295",
            ),
            (
                with("tie_word_embeddings", json!("yes")),
                "`tie_word_embeddings` = `\\\"yes\\\"` is not true or false",
            ),
            (
                with("num_key_value_heads", json!(5)),
                "`num_key_value_heads` = 5 must divide `num_attention_heads` = 32",
            ),
            (
                with("hidden_size", json!(4100)),
                "`num_attention_heads` = 32 must divide `hidden_size` = 4100",
            ),
            (with("model_type", json!(7)), "`model_type` = `7` is not a text"),
        ];
        for (config, message) in cases {
            assert_eq!(ModelShape::from_config(&config).unwrap_err().to_string(), message);
        }
        let unknown = ModelShape::from_config(&with("model_type", json!("mamba"))).unwrap_err();
        assert!(
            unknown
                .to_string()
                .ends_with("there are llama, qwen2, qwen3, mistral, phi3, gemma2, gpt2")
        );
    }
}
