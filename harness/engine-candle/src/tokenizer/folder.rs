//! The tokenizer of a folder: `tokenizer.json`, and the template in `chat_template.jinja` or `tokenizer_config.json`.

use std::path::Path;

use serde_json::Value;
use tokenizers::Tokenizer as Inner;

use super::chat_template::{ChatTemplate, SpecialTokens};
use super::{Tokenizer, TokenizerError};

const TOKENIZER: &str = "tokenizer.json";
const CONFIG: &str = "tokenizer_config.json";
const TEMPLATE: &str = "chat_template.jinja";

impl Tokenizer {
    /// The tokenizer of a folder; `None` where it has no `tokenizer.json`.
    ///
    /// # Errors
    /// When a file of the tokenizer cannot be read or is malformed.
    pub fn from_dir(folder: &Path) -> Result<Option<Self>, TokenizerError> {
        let Some(json) = read(folder, TOKENIZER)? else {
            return Ok(None);
        };
        let malformed = |name: &str, reason: String| TokenizerError::Malformed {
            path: folder.join(name),
            reason,
        };
        let mut inner = Inner::from_bytes(json).map_err(|error| malformed(TOKENIZER, error.to_string()))?;
        // Files saved after training keep its limits, which would cut or fill up a prompt without a word.
        inner
            .with_truncation(None)
            .map_err(|error| malformed(TOKENIZER, error.to_string()))?
            .with_padding(None);
        let config = match read(folder, CONFIG)? {
            Some(text) => serde_json::from_str(&text).map_err(|error| malformed(CONFIG, error.to_string()))?,
            None => Value::Null,
        };
        let source = match read(folder, TEMPLATE)? {
            Some(source) => Some(source),
            None => template_of(&config),
        };
        let tokens = special_tokens(&config);
        Ok(Some(Self {
            inner,
            prefix: Vec::new(),
            template: source.map(|source| ChatTemplate::new(source, tokens)),
        }))
    }
}

fn read(folder: &Path, name: &str) -> Result<Option<String>, TokenizerError> {
    let path = folder.join(name);
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(TokenizerError::Read { path, source }),
    }
}

/// One template, or a list of named ones of which `default` is meant.
fn template_of(config: &Value) -> Option<String> {
    match config.get("chat_template")? {
        Value::String(source) => Some(source.clone()),
        Value::Array(named) => named
            .iter()
            .find(|entry| entry.get("name").and_then(Value::as_str) == Some("default"))
            .and_then(|entry| entry.get("template"))
            .and_then(Value::as_str)
            .map(str::to_owned),
        _ => None,
    }
}

fn special_tokens(config: &Value) -> SpecialTokens {
    let token = |key: &str| {
        let value = config.get(key)?;
        // A plain text, or an added token with its options.
        value
            .as_str()
            .or_else(|| value.get("content")?.as_str())
            .map(str::to_owned)
    };
    SpecialTokens {
        bos_token: token("bos_token"),
        eos_token: token("eos_token"),
        unk_token: token("unk_token"),
        pad_token: token("pad_token"),
    }
}
