//! The tokenizer in a GGUF file: byte-level BPE, rebuilt from its tokens and merges.
//!
//! The file names its way of splitting text (`tokenizer.ggml.pre`) and leaves what the name means to the reader; the
//! patterns here are those of the models' own `tokenizer.json`, and llama.cpp's for the same names.

use std::collections::{HashMap, HashSet};

use candle_core::quantized::gguf_file::Value;
use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::normalizers::NFC;
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{AddedToken, SplitDelimiterBehavior, Tokenizer as Inner};

use super::chat_template::{ChatTemplate, SpecialTokens};
use super::{Tokenizer, TokenizerError};
use crate::shown::shown;

const MODEL: &str = "tokenizer.ggml.model";
const PRE: &str = "tokenizer.ggml.pre";
const TOKENS: &str = "tokenizer.ggml.tokens";
const TOKEN_TYPE: &str = "tokenizer.ggml.token_type";
const MERGES: &str = "tokenizer.ggml.merges";

/// Numbers of `tokenizer.ggml.token_type`: markers of the chat format, and words added by the model's makers. Both are
/// recognised in a text; only markers are left out of decoded text.
const CONTROL: i64 = 3;
const USER_DEFINED: i64 = 4;

/// How text is cut before merging.
struct Splitting {
    pre_tokenizer: PreTokenizerWrapper,
    /// Unicode composition first, as Qwen's `tokenizer.json` has it.
    nfc: bool,
    /// A piece that is a token is that token, whatever the merges say.
    ignore_merges: bool,
    /// Whether texts begin with a begin token where the file does not say.
    begins: bool,
}

impl Tokenizer {
    /// The tokenizer in the metadata of a GGUF file; `None` where there is none.
    ///
    /// # Errors
    /// When it is of a kind that is not read, or contradicts itself.
    pub(crate) fn from_gguf(metadata: &HashMap<String, Value>) -> Result<Option<Self>, TokenizerError> {
        let Some(model) = text(metadata, MODEL)? else {
            return Ok(None);
        };
        match model {
            "gpt2" => {}
            "none" | "no_vocab" => return Ok(None),
            other => {
                return Err(TokenizerError::Kind {
                    key: MODEL,
                    value: shown(other),
                });
            }
        }
        let splitting = splitting(text(metadata, PRE)?.unwrap_or("default"))?;
        let tokens = texts(metadata, TOKENS)?;
        let mut inner = Inner::new(merging(&tokens, texts(metadata, MERGES)?, splitting.ignore_merges)?);
        if splitting.nfc {
            inner.with_normalizer(Some(NFC)).map_err(refused)?;
        }
        inner.with_pre_tokenizer(Some(splitting.pre_tokenizer));
        inner.with_decoder(Some(ByteLevel::default()));
        add_marked_tokens(&mut inner, &tokens, metadata)?;

        let named = |key: &str| -> Result<Option<(u32, String)>, TokenizerError> {
            let Some(id) = token_id(metadata, key)? else {
                return Ok(None);
            };
            let token = usize::try_from(id).ok().and_then(|id| tokens.get(id));
            let token = token.ok_or_else(|| wrong(format!("{key} is {id}, of {} tokens", tokens.len())))?;
            Ok(Some((id, (*token).to_owned())))
        };
        let bos = named("tokenizer.ggml.bos_token_id")?;
        let begins = flag(metadata, "tokenizer.ggml.add_bos_token")?.unwrap_or(splitting.begins);
        let prefix = match (&bos, begins) {
            (Some((id, _)), true) => vec![*id],
            _ => Vec::new(),
        };
        let token = |entry: Option<(u32, String)>| entry.map(|(_, token)| token);
        let special = SpecialTokens {
            bos_token: token(bos),
            eos_token: token(named("tokenizer.ggml.eos_token_id")?),
            unk_token: token(named("tokenizer.ggml.unknown_token_id")?),
            pad_token: token(named("tokenizer.ggml.padding_token_id")?),
        };
        let template = text(metadata, "tokenizer.chat_template")?;
        Ok(Some(Self {
            inner,
            prefix,
            template: template.map(|source| ChatTemplate::new(source.to_owned(), special)),
        }))
    }
}

fn splitting(name: &str) -> Result<Splitting, TokenizerError> {
    // Llama 3 and Qwen2 differ only in how many digits go together.
    let pattern = |digits: &str| {
        format!(
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|{digits}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
        )
    };
    let split = |digits: &str| -> Result<PreTokenizerWrapper, TokenizerError> {
        let pattern = SplitPattern::Regex(pattern(digits));
        let split = Split::new(pattern, SplitDelimiterBehavior::Isolated, false).map_err(refused)?;
        Ok(Sequence::new(vec![split.into(), ByteLevel::new(false, true, false).into()]).into())
    };
    let gpt2 = || ByteLevel::new(false, true, true);
    let (pre_tokenizer, nfc, llama3) = match name {
        "default" | "gpt-2" | "gpt2" => (gpt2().into(), false, false),
        "smollm" => (
            Sequence::new(vec![Digits::new(true).into(), gpt2().into()]).into(),
            false,
            false,
        ),
        "qwen2" => (split(r"\p{N}")?, true, false),
        "llama-bpe" | "llama3" | "llama-v3" => (split(r"\p{N}{1,3}")?, false, true),
        other => {
            return Err(TokenizerError::Kind {
                key: PRE,
                value: shown(other),
            });
        }
    };
    Ok(Splitting {
        pre_tokenizer,
        nfc,
        ignore_merges: llama3,
        begins: llama3,
    })
}

/// The model of tokens and merges. All merges are checked here: the library takes their results for granted.
fn merging(tokens: &[&str], merges: Vec<&str>, ignore_merges: bool) -> Result<BPE, TokenizerError> {
    let mut vocab = Vocab::default();
    for (id, token) in tokens.iter().enumerate() {
        let id = u32::try_from(id).map_err(|_| wrong(format!("{TOKENS} has more than 2^32 entries")))?;
        if vocab.insert((*token).to_owned(), id).is_some() {
            return Err(wrong(format!("the token `{}` is there twice", shown(token))));
        }
    }
    let merges = merges
        .into_iter()
        .map(|merge| {
            // A space inside a token is written as another character.
            let pair = merge.split_once(' ').filter(|(left, right)| {
                [*left, *right, &format!("{left}{right}")]
                    .iter()
                    .all(|part| vocab.contains_key(*part))
            });
            pair.map(|(left, right)| (left.to_owned(), right.to_owned()))
                .ok_or_else(|| {
                    wrong(format!(
                        "the merge `{}` is no pair of tokens that makes a token",
                        shown(merge)
                    ))
                })
        })
        .collect::<Result<Vec<_>, _>>()?;
    BPE::builder()
        .vocab_and_merges(vocab, merges)
        .ignore_merges(ignore_merges)
        .build()
        .map_err(refused)
}

/// Makes the tokens that the file marks recognisable in a text.
fn add_marked_tokens(
    inner: &mut Inner,
    tokens: &[&str],
    metadata: &HashMap<String, Value>,
) -> Result<(), TokenizerError> {
    let Some(types) = metadata.get(TOKEN_TYPE) else {
        return Ok(());
    };
    let types = types.to_vec().map_err(|_| wrong(format!("{TOKEN_TYPE} is no list")))?;
    if types.len() != tokens.len() {
        return Err(wrong(format!("{} tokens have {} types", tokens.len(), types.len())));
    }
    let (mut special, mut added, mut seen) = (Vec::new(), Vec::new(), HashSet::new());
    for (token, kind) in tokens.iter().zip(types) {
        let kind = integer(kind).ok_or_else(|| wrong(format!("{TOKEN_TYPE} holds something else than numbers")))?;
        if token.is_empty() || !seen.insert(*token) {
            continue;
        }
        match kind {
            CONTROL => special.push(AddedToken::from(*token, true)),
            USER_DEFINED => added.push(AddedToken::from(*token, false).normalized(false)),
            _ => {}
        }
    }
    inner.add_special_tokens(special).map_err(refused)?;
    inner.add_tokens(added).map_err(refused)?;
    Ok(())
}

fn wrong(what: String) -> TokenizerError {
    TokenizerError::Gguf(what)
}

fn refused(error: tokenizers::Error) -> TokenizerError {
    TokenizerError::Refused {
        doing: "building the tokenizer of the GGUF file",
        reason: error.to_string(),
    }
}

fn text<'a>(metadata: &'a HashMap<String, Value>, key: &str) -> Result<Option<&'a str>, TokenizerError> {
    let found = metadata.get(key).map(Value::to_string).transpose();
    found
        .map(|found| found.map(String::as_str))
        .map_err(|_| wrong(format!("{key} is no text")))
}

fn texts<'a>(metadata: &'a HashMap<String, Value>, key: &str) -> Result<Vec<&'a str>, TokenizerError> {
    let list = metadata.get(key).ok_or_else(|| wrong(format!("{key} is missing")))?;
    let list = list.to_vec().map_err(|_| wrong(format!("{key} is no list")))?;
    list.iter()
        .map(|entry| {
            entry
                .to_string()
                .map(String::as_str)
                .map_err(|_| wrong(format!("{key} is no list of texts")))
        })
        .collect()
}

fn flag(metadata: &HashMap<String, Value>, key: &str) -> Result<Option<bool>, TokenizerError> {
    let found = metadata.get(key).map(Value::to_bool).transpose();
    found.map_err(|_| wrong(format!("{key} is neither true nor false")))
}

fn token_id(metadata: &HashMap<String, Value>, key: &str) -> Result<Option<u32>, TokenizerError> {
    let Some(value) = metadata.get(key) else {
        return Ok(None);
    };
    let id = integer(value).and_then(|id| u32::try_from(id).ok());
    id.map(Some).ok_or_else(|| wrong(format!("{key} is no token id")))
}

fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::I8(number) => Some(i64::from(*number)),
        Value::I16(number) => Some(i64::from(*number)),
        Value::I32(number) => Some(i64::from(*number)),
        Value::I64(number) => Some(*number),
        other => other.to_u64().ok().and_then(|number| i64::try_from(number).ok()),
    }
}
