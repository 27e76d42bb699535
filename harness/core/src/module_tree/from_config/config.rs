//! Reading the keys of a `config.json`.

use serde_json::{Map, Value};

use super::ConfigTreeError;

/// More than any dimension of any model, and small enough that the product of two is far from overflowing.
const MAX_DIMENSION: u64 = 1 << 28;

/// More layers than any model has. Each makes about a dozen modules, so a wrong number must not fill the memory.
const MAX_LAYERS: u64 = 10_000;

/// A configuration's keys.
pub(super) struct Config<'a> {
    keys: &'a Map<String, Value>,
}

impl<'a> Config<'a> {
    pub(super) fn new(config: &'a Value) -> Result<Self, ConfigTreeError> {
        let keys = config.as_object().ok_or(ConfigTreeError::NotAnObject)?;
        Ok(Self { keys })
    }

    /// The value; `None` where the key is absent or null.
    fn get(&self, key: &str) -> Option<&'a Value> {
        self.keys.get(key).filter(|value| !value.is_null())
    }

    /// True where the key is there but null.
    pub(super) fn is_null(&self, key: &str) -> bool {
        self.keys.get(key).is_some_and(Value::is_null)
    }

    /// A dimension, which is a whole number above zero; `None` where the key is absent or null.
    pub(super) fn dimension(&self, key: &'static str) -> Result<Option<u64>, ConfigTreeError> {
        self.whole_number(key, MAX_DIMENSION)
    }

    /// A dimension without which there is no model.
    pub(super) fn required_dimension(&self, key: &'static str) -> Result<u64, ConfigTreeError> {
        self.dimension(key)?.ok_or(ConfigTreeError::Missing { key })
    }

    /// A dimension that goes by two names.
    pub(super) fn dimension_also(&self, key: &'static str, also: &'static str) -> Result<u64, ConfigTreeError> {
        match self.dimension(key)? {
            Some(value) => Ok(value),
            None => self.dimension(also)?.ok_or(ConfigTreeError::Missing { key }),
        }
    }

    /// The number of layers, by the first of these names that is there.
    pub(super) fn layers(&self, names: &[&'static str]) -> Result<u64, ConfigTreeError> {
        for key in names {
            if let Some(layers) = self.whole_number(key, MAX_LAYERS)? {
                return Ok(layers);
            }
        }
        let key = names.first().copied().unwrap_or_default();
        Err(ConfigTreeError::Missing { key })
    }

    pub(super) fn flag(&self, key: &'static str, default: bool) -> Result<bool, ConfigTreeError> {
        let Some(value) = self.get(key) else {
            return Ok(default);
        };
        value.as_bool().ok_or_else(|| wrong_kind(key, "true or false", value))
    }

    /// A factor between 0 and 1.
    pub(super) fn fraction(&self, key: &'static str) -> Result<Option<f64>, ConfigTreeError> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        let factor = value.as_f64().filter(|factor| (0.0..=1.0).contains(factor));
        let factor = factor.ok_or_else(|| wrong_kind(key, "a number between 0 and 1", value))?;
        Ok(Some(factor))
    }

    pub(super) fn text(&self, key: &'static str) -> Result<Option<&'a str>, ConfigTreeError> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        let text = value.as_str().ok_or_else(|| wrong_kind(key, "a text", value))?;
        Ok(Some(text))
    }

    pub(super) fn required_text(&self, key: &'static str) -> Result<&'a str, ConfigTreeError> {
        self.text(key)?.ok_or(ConfigTreeError::Missing { key })
    }

    /// The class of the activation that a key names.
    pub(super) fn activation(&self, key: &'static str, default: &str) -> Result<&'static str, ConfigTreeError> {
        let name = self.text(key)?.unwrap_or(default);
        activation_class(name).ok_or_else(|| ConfigTreeError::UnknownActivation {
            key,
            name: name.to_owned(),
        })
    }

    fn whole_number(&self, key: &'static str, most: u64) -> Result<Option<u64>, ConfigTreeError> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        let number = value
            .as_u64()
            .ok_or_else(|| wrong_kind(key, "a whole number above zero", value))?;
        if !(1..=most).contains(&number) {
            return Err(ConfigTreeError::OutOfRange {
                key,
                value: number,
                least: 1,
                most,
            });
        }
        Ok(Some(number))
    }
}

fn wrong_kind(key: &'static str, expected: &'static str, value: &Value) -> ConfigTreeError {
    const SHOWN: usize = 40;
    let found: String = value.to_string().chars().take(SHOWN).collect();
    ConfigTreeError::WrongKind { key, expected, found }
}

/// Classes of activations by name (Transformers 4.49.0, `ACT2FN`), but for `prelu`, which has a weight of its own.
fn activation_class(name: &str) -> Option<&'static str> {
    Some(match name {
        "gelu" | "gelu_python" => "GELUActivation",
        "gelu_10" => "ClippedGELUActivation",
        "gelu_fast" => "FastGELUActivation",
        "gelu_new" => "NewGELUActivation",
        "gelu_pytorch_tanh" => "PytorchGELUTanh",
        "gelu_accurate" => "AccurateGELUActivation",
        "laplace" => "LaplaceActivation",
        "leaky_relu" => "LeakyReLU",
        "linear" => "LinearActivation",
        "mish" => "MishActivation",
        "quick_gelu" => "QuickGELUActivation",
        "relu" => "ReLU",
        "relu2" => "ReLUSquaredActivation",
        "relu6" => "ReLU6",
        "sigmoid" => "Sigmoid",
        "silu" | "swish" => "SiLU",
        "tanh" => "Tanh",
        _ => return None,
    })
}
