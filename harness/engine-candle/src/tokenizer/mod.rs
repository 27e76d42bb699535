//! Text to tokens and back, with the model's own tokenizer and chat template.
//!
//! A model without a tokenizer still runs from token ids: [`Tokenizer::open`] then answers `None`, and only a prompt of
//! text or messages is refused ([`input_ids`]).

mod chat_template;
mod folder;
mod gguf;

use std::path::PathBuf;

use placebench_core::outcome::FailureClass;
use placebench_core::protocol::{Message, Prompt};
use thiserror::Error;
use tokenizers::Tokenizer as Inner;

use crate::checkpoint::{Checkpoint, CheckpointFormat};
use crate::shown::shown;
pub use chat_template::{ChatTemplate, TemplateError};

/// A model's tokenizer.
pub struct Tokenizer {
    inner: Inner,
    /// Put before plain text; a GGUF file's way of asking for a begin token.
    prefix: Vec<u32>,
    template: Option<ChatTemplate>,
}

impl Tokenizer {
    /// The tokenizer of a model's files; `None` where there is none.
    ///
    /// # Errors
    /// When there is one that is broken or of a kind that is not read.
    pub fn open(checkpoint: &Checkpoint) -> Result<Option<Self>, TokenizerError> {
        match checkpoint.format {
            CheckpointFormat::Safetensors | CheckpointFormat::Dummy { .. } => Self::from_dir(&checkpoint.path),
            CheckpointFormat::Gguf => Self::from_gguf(&checkpoint.metadata),
        }
    }

    /// Tokens of a text as it is: special tokens in it are recognised, and those every text of this model begins or ends
    /// with are added.
    ///
    /// # Errors
    /// When the tokenizer refuses the text.
    pub fn encode_text(&self, text: &str) -> Result<Vec<u32>, TokenizerError> {
        let mut ids = self.prefix.clone();
        ids.extend(self.encode(text, true)?);
        Ok(ids)
    }

    /// Tokens of a chat put through the template, with the generation prompt. Nothing is added to what the template says.
    ///
    /// # Errors
    /// When the model has no template, or the template refuses the turns.
    pub fn encode_messages(&self, messages: &[Message]) -> Result<Vec<u32>, TokenizerError> {
        let text = self.render(messages)?;
        self.encode(&text, false)
    }

    fn encode(&self, text: &str, add_special_tokens: bool) -> Result<Vec<u32>, TokenizerError> {
        let encoding = self
            .inner
            .encode_fast(text, add_special_tokens)
            .map_err(|error| TokenizerError::Refused {
                doing: "encoding the prompt",
                reason: error.to_string(),
            })?;
        Ok(encoding.get_ids().to_vec())
    }

    /// The text the template makes of a chat, with the generation prompt.
    ///
    /// # Errors
    /// When the model has no template, or the template refuses the turns.
    pub fn render(&self, messages: &[Message]) -> Result<String, TokenizerError> {
        let template = self.template.as_ref().ok_or(TokenizerError::NoTemplate)?;
        Ok(template.render(messages)?)
    }

    /// The text of tokens without special ones. A character that is cut at the end shows as U+FFFD.
    ///
    /// # Errors
    /// When the tokenizer's decoder refuses the tokens.
    pub fn decode(&self, ids: &[u32]) -> Result<String, TokenizerError> {
        self.inner.decode(ids, true).map_err(|error| TokenizerError::Refused {
            doing: "decoding tokens",
            reason: error.to_string(),
        })
    }

    /// Tokens it can make, those added to its vocabulary included.
    #[must_use]
    pub fn size(&self) -> usize {
        self.inner.get_vocab_size(true)
    }

    /// Starts a text that grows token by token.
    #[must_use]
    pub fn stream(&self) -> TextStream<'_> {
        TextStream {
            tokenizer: self,
            ids: Vec::new(),
            text: String::new(),
            window: 0,
            window_text: 0,
        }
    }
}

/// The text of a generation while tokens arrive: it never shows half a character.
pub struct TextStream<'a> {
    tokenizer: &'a Tokenizer,
    ids: Vec<u32>,
    text: String,
    /// First token that is decoded again with each new one.
    window: usize,
    /// Bytes of `text` before the window's.
    window_text: usize,
}

impl TextStream<'_> {
    /// Adds a token; returns all complete text so far.
    ///
    /// # Errors
    /// When the tokenizer's decoder refuses the tokens.
    pub fn push(&mut self, id: u32) -> Result<&str, TokenizerError> {
        // Some decoders treat the first token of a text differently, so a few tokens are always decoded together.
        const CONTEXT: usize = 16;
        self.ids.push(id);
        let decoded = self.tokenizer.decode(self.ids.get(self.window..).unwrap_or_default())?;
        let complete = decoded.trim_end_matches(char::REPLACEMENT_CHARACTER);
        self.text.truncate(self.window_text);
        self.text.push_str(complete);
        if complete.len() == decoded.len() && self.ids.len() - self.window >= 2 * CONTEXT {
            self.move_window(self.ids.len() - CONTEXT)?;
        }
        Ok(&self.text)
    }

    /// Moves the window if the tokens after it decode to what they do in context.
    fn move_window(&mut self, start: usize) -> Result<(), TokenizerError> {
        let tail = self.tokenizer.decode(self.ids.get(start..).unwrap_or_default())?;
        if !tail.is_empty() && self.text.ends_with(&tail) {
            self.window = start;
            self.window_text = self.text.len() - tail.len();
        }
        Ok(())
    }

    /// All complete text so far.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// The tokens of a prompt, checked against the vocabulary of the model.
///
/// # Errors
/// When the prompt needs a tokenizer or a template that the model lacks, is empty, or holds a token the model does not know.
pub fn input_ids(
    tokenizer: Option<&Tokenizer>,
    prompt: &Prompt,
    vocab_size: usize,
) -> Result<Vec<u32>, TokenizerError> {
    let needed = || tokenizer.ok_or(TokenizerError::NoTokenizer);
    let ids = match prompt {
        Prompt::Text(text) => needed()?.encode_text(text)?,
        Prompt::Messages(messages) => needed()?.encode_messages(messages)?,
        Prompt::InputIds(ids) => ids.clone(),
    };
    if ids.is_empty() {
        return Err(TokenizerError::EmptyPrompt);
    }
    let beyond = |id: &&u32| usize::try_from(**id).map_or(true, |id| id >= vocab_size);
    match (ids.iter().find(beyond), tokenizer, prompt) {
        (None, _, _) => Ok(ids),
        (Some(id), Some(tokenizer), Prompt::Text(_) | Prompt::Messages(_)) => Err(TokenizerError::NotOfThisModel {
            id: *id,
            token: tokenizer
                .inner
                .id_to_token(*id)
                .map_or_else(String::new, |token| shown(&token)),
            tokens: tokenizer.size(),
            vocab_size,
        }),
        (Some(id), _, _) => Err(TokenizerError::OutOfVocabulary { id: *id, vocab_size }),
    }
}

/// Why text cannot be turned into tokens, or back.
#[derive(Debug, Error)]
pub enum TokenizerError {
    /// The model has no tokenizer and the prompt is text.
    #[error("the model has no tokenizer: give the prompt as input_ids, or add tokenizer.json to the model's folder")]
    NoTokenizer,
    /// The model has no chat template and the prompt is messages.
    #[error(
        "the model has no chat template: give the prompt as text, or add chat_template.jinja to the model's folder"
    )]
    NoTemplate,
    /// There are no tokens to continue.
    #[error("the prompt has no tokens")]
    EmptyPrompt,
    /// A token that the embedding has no row for.
    #[error("token {id} of the prompt is outside of the model's vocabulary of {vocab_size}")]
    OutOfVocabulary {
        /// The token.
        id: u32,
        /// Rows of the embedding.
        vocab_size: usize,
    },
    /// The tokenizer makes a token that the embedding has no row for.
    #[error(
        "the tokenizer does not fit the model: it has {tokens} tokens, the embedding {vocab_size} rows, and the prompt \
         needs token {id} (`{token}`); use the tokenizer the model was made with"
    )]
    NotOfThisModel {
        /// The token.
        id: u32,
        /// Its text.
        token: String,
        /// Tokens of the tokenizer.
        tokens: usize,
        /// Rows of the embedding.
        vocab_size: usize,
    },
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A file is malformed.
    #[error("{} is malformed: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A GGUF file's tokenizer is of a kind that is not read.
    #[error("GGUF metadata: tokenizers with {key} = \"{value}\" are not supported")]
    Kind {
        /// The key.
        key: &'static str,
        /// Its value.
        value: String,
    },
    /// A GGUF file's tokenizer contradicts itself.
    #[error("GGUF metadata: {0}")]
    Gguf(String),
    /// The tokenizer refused to work.
    #[error("{doing}: {reason}")]
    Refused {
        /// What was being done.
        doing: &'static str,
        /// What it said.
        reason: String,
    },
    /// The chat template.
    #[error(transparent)]
    Template(#[from] TemplateError),
}

impl TokenizerError {
    /// Whose fault it is.
    #[must_use]
    pub fn class(&self) -> FailureClass {
        match self {
            Self::EmptyPrompt | Self::OutOfVocabulary { .. } => FailureClass::RequestInvalid,
            Self::NoTokenizer
            | Self::NoTemplate
            | Self::NotOfThisModel { .. }
            | Self::Read { .. }
            | Self::Malformed { .. }
            | Self::Kind { .. }
            | Self::Gguf(_)
            | Self::Refused { .. }
            | Self::Template(_) => FailureClass::Tokenizer,
        }
    }
}
