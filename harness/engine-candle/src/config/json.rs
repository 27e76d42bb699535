//! A JSON object of a configuration file, with getters that name the key when a value is of the wrong type.

use serde_json::{Map, Value};

use super::ConfigError;
use crate::shown::shown;

/// An object of a file. `null` is absent.
#[derive(Clone)]
pub(super) struct Object {
    map: Map<String, Value>,
    file: &'static str,
}

impl Object {
    pub(super) fn parse(file: &'static str, text: &str) -> Result<Self, ConfigError> {
        let not_json = |reason: String| ConfigError::NotJson { file, reason };
        match serde_json::from_str(text) {
            Ok(Value::Object(map)) => Ok(Self { map, file }),
            Ok(other) => Err(not_json(format!("it holds {}", shown(&other.to_string())))),
            Err(error) => Err(not_json(error.to_string())),
        }
    }

    /// True where the key is there, even as `null`.
    pub(super) fn has(&self, key: &str) -> bool {
        self.map.contains_key(key)
    }

    pub(super) fn get(&self, key: &str) -> Option<&Value> {
        self.map.get(key).filter(|value| !value.is_null())
    }

    fn typed<'a, T>(
        &'a self,
        key: &str,
        expected: &'static str,
        convert: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, ConfigError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        convert(value).map(Some).ok_or_else(|| ConfigError::WrongType {
            file: self.file,
            key: key.to_owned(),
            expected,
            found: shown(&value.to_string()),
        })
    }

    pub(super) fn size(&self, key: &str) -> Result<Option<usize>, ConfigError> {
        self.typed(key, "a whole number", |value| {
            value.as_u64().and_then(|size| size.try_into().ok())
        })
    }

    pub(super) fn size_or(&self, key: &str, default: usize) -> Result<usize, ConfigError> {
        Ok(self.size(key)?.unwrap_or(default))
    }

    /// A whole number: `default` where the key is absent, none where it is `null`.
    pub(super) fn size_unless_null(&self, key: &str, default: usize) -> Result<Option<usize>, ConfigError> {
        if self.has(key) {
            self.size(key)
        } else {
            Ok(Some(default))
        }
    }

    pub(super) fn number(&self, key: &str) -> Result<Option<f64>, ConfigError> {
        self.typed(key, "a number", Value::as_f64)
    }

    /// A number: `default` where the key is absent, none where it is `null`.
    pub(super) fn number_unless_null(&self, key: &str, default: f64) -> Result<Option<f64>, ConfigError> {
        if self.has(key) {
            self.number(key)
        } else {
            Ok(Some(default))
        }
    }

    pub(super) fn numbers(&self, key: &str) -> Result<Option<Vec<f64>>, ConfigError> {
        self.typed(key, "a list of numbers", |value| {
            value.as_array()?.iter().map(Value::as_f64).collect()
        })
    }

    pub(super) fn flag(&self, key: &str, default: bool) -> Result<bool, ConfigError> {
        Ok(self.typed(key, "true or false", Value::as_bool)?.unwrap_or(default))
    }

    pub(super) fn text(&self, key: &str) -> Result<Option<&str>, ConfigError> {
        self.typed(key, "a text", Value::as_str)
    }

    pub(super) fn texts(&self, key: &str) -> Result<Option<Vec<&str>>, ConfigError> {
        self.typed(key, "a list of texts", |value| {
            value.as_array()?.iter().map(Value::as_str).collect()
        })
    }

    pub(super) fn object(&self, key: &str) -> Result<Option<Self>, ConfigError> {
        self.typed(key, "an object", |value| {
            let map = value.as_object()?.clone();
            Some(Self { map, file: self.file })
        })
    }

    /// One token or a list of them.
    pub(super) fn tokens(&self, key: &str) -> Result<Vec<u32>, ConfigError> {
        let token = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
        let tokens = self.typed(key, "a token id or a list of them", |value| match value {
            Value::Array(list) => list.iter().map(token).collect(),
            one => token(one).map(|id| vec![id]),
        })?;
        Ok(tokens.unwrap_or_default())
    }

    pub(super) fn missing(&self, key: impl Into<String>) -> ConfigError {
        ConfigError::Missing {
            file: self.file,
            key: key.into(),
        }
    }

    pub(super) fn implausible(&self, problem: String) -> ConfigError {
        ConfigError::Implausible {
            file: self.file,
            problem,
        }
    }

    pub(super) fn feature(&self, feature: String) -> ConfigError {
        ConfigError::Feature {
            file: self.file,
            feature,
        }
    }
}
