//! One piece of a streamed answer, as servers write it.
//!
//! Chat and plain completions, and the dialects of log-probabilities: `content` with one object a token (OpenAI's chat,
//! llama.cpp for both), and parallel lists (OpenAI's plain completions, vLLM, SGLang).

use serde::Deserialize;
use serde_json::{Map, Value};

/// A piece.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Chunk {
    #[serde(default)]
    pub(crate) choices: Option<Vec<Choice>>,
    #[serde(default)]
    pub(crate) usage: Option<Usage>,
    /// Sent instead of an answer where one fails on its way.
    #[serde(default)]
    pub(crate) error: Option<Value>,
    /// `error` where the whole piece is one, as older versions of vLLM write it, with `message`.
    #[serde(default)]
    pub(crate) object: Option<String>,
    #[serde(default)]
    pub(crate) message: Option<String>,
    #[serde(default)]
    pub(crate) system_fingerprint: Option<String>,
}

/// One of the answers asked for; this engine asks for one.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Choice {
    #[serde(default)]
    pub(crate) index: u32,
    #[serde(default)]
    pub(crate) delta: Option<Delta>,
    #[serde(default)]
    pub(crate) text: Option<String>,
    #[serde(default)]
    pub(crate) logprobs: Option<Logprobs>,
    #[serde(default)]
    pub(crate) finish_reason: Option<String>,
    /// vLLM: the text that ended the answer, or the number of a token that did.
    #[serde(default)]
    pub(crate) stop_reason: Option<Value>,
    /// The same of SGLang.
    #[serde(default)]
    pub(crate) matched_stop: Option<Value>,
}

/// What a chat adds.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Delta {
    #[serde(default)]
    pub(crate) content: Option<String>,
    #[serde(default)]
    pub(crate) reasoning_content: Option<String>,
    /// Another name of the same.
    #[serde(default)]
    pub(crate) reasoning: Option<String>,
    #[serde(default)]
    pub(crate) tool_calls: Option<Vec<Value>>,
}

/// Counts of tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct Usage {
    #[serde(default)]
    pub(crate) prompt_tokens: Option<u32>,
    #[serde(default)]
    pub(crate) completion_tokens: Option<u32>,
    #[serde(default)]
    pub(crate) prompt_tokens_details: Option<PromptDetails>,
}

impl Usage {
    /// Tokens of the prompt that were not computed anew.
    pub(crate) fn cached(&self) -> Option<u32> {
        self.prompt_tokens_details.and_then(|details| details.cached_tokens)
    }
}

/// Where tokens of the prompt came from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct PromptDetails {
    #[serde(default)]
    pub(crate) cached_tokens: Option<u32>,
}

/// Log-probabilities in whichever dialect.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Logprobs {
    #[serde(default)]
    content: Option<Vec<Entry>>,
    #[serde(default)]
    tokens: Option<Vec<String>>,
    #[serde(default)]
    top_logprobs: Option<Vec<Option<Map<String, Value>>>>,
}

#[derive(Debug, Deserialize)]
struct Entry {
    #[serde(default)]
    id: Option<u32>,
    #[serde(default)]
    token: String,
    #[serde(default)]
    bytes: Option<Vec<u8>>,
    #[serde(default)]
    logprob: Option<f32>,
    #[serde(default)]
    top_logprobs: Vec<Self>,
}

/// What is told of one token.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Told {
    /// The token, where a server says its number.
    pub(crate) id: Option<u32>,
    /// Bytes of its text, as far as that is told.
    pub(crate) bytes: usize,
    /// The likeliest tokens, likeliest first, with logarithms of their probabilities.
    pub(crate) top: Vec<(Option<u32>, f32)>,
}

impl Logprobs {
    /// The tokens it speaks of, in order.
    pub(crate) fn tokens(&self) -> Vec<Told> {
        match (&self.content, &self.tokens) {
            (Some(entries), _) => entries.iter().map(of_entry).collect(),
            (None, Some(tokens)) => {
                let top = |at: usize| self.top_logprobs.as_ref()?.get(at)?.as_ref();
                let told = |(at, token): (usize, &String)| Told {
                    id: numbered(token),
                    bytes: token.len(),
                    top: top(at).map(of_map).unwrap_or_default(),
                };
                tokens.iter().enumerate().map(told).collect()
            }
            (None, None) => Vec::new(),
        }
    }
}

fn of_entry(entry: &Entry) -> Told {
    let id = |entry: &Entry| entry.id.or_else(|| numbered(&entry.token));
    let candidates = entry.top_logprobs.iter();
    let length = |entry: &Entry| entry.bytes.as_ref().map_or(entry.token.len(), Vec::len);
    // llama.cpp writes a whole character to the token that completed it; what the token is itself, its candidate says.
    let own = candidates
        .clone()
        .find(|other| id(other).is_some() && id(other) == id(entry));
    Told {
        id: id(entry),
        bytes: length(own.unwrap_or(entry)),
        top: sorted(
            candidates
                .filter_map(|candidate| Some((id(candidate), candidate.logprob?)))
                .collect(),
        ),
    }
}

fn of_map(map: &Map<String, Value>) -> Vec<(Option<u32>, f32)> {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "logarithms of probabilities are recorded with 32 bits"
    )]
    let number = |value: &Value| value.as_f64().map(|number| number as f32);
    sorted(
        map.iter()
            .filter_map(|(token, value)| Some((numbered(token), number(value)?)))
            .collect(),
    )
}

/// The five likeliest. Numbers that are none would make a record that cannot be read again.
fn sorted(mut top: Vec<(Option<u32>, f32)>) -> Vec<(Option<u32>, f32)> {
    top.retain(|(_, logprob)| logprob.is_finite());
    top.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    top.truncate(5);
    top
}

/// `token_id:42`, as vLLM writes tokens where it is asked to.
fn numbered(token: &str) -> Option<u32> {
    token.strip_prefix("token_id:")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(logprobs: &str) -> Vec<Told> {
        serde_json::from_str::<Logprobs>(logprobs).unwrap().tokens()
    }

    #[test]
    fn llama_cpp_tells_numbers() {
        let told = tokens(
            r#"{"content":[{"id":39614,"token":"É","bytes":[195,137],"logprob":-0.9,"top_logprobs":[
               {"id":39614,"token":"É","bytes":[195,137],"logprob":-0.9},{"id":2219,"token":"Al","bytes":[65,108],"logprob":-1.9}]}]}"#,
        );
        assert_eq!(
            told,
            [Told {
                id: Some(39614),
                bytes: 2,
                top: vec![(Some(39614), -0.9), (Some(2219), -1.9)],
            }]
        );
    }

    #[test]
    fn a_token_that_completes_a_character_is_as_long_as_itself() {
        let told = tokens(
            r#"{"content":[{"id":233,"token":"😏","bytes":[240,159,152,143],"logprob":-1.4,"top_logprobs":[
               {"id":233,"token":"\ufffd","bytes":[143],"logprob":-1.4}]}]}"#,
        );
        assert_eq!(told[0].bytes, 1);
    }

    #[test]
    fn vllm_writes_numbers_into_the_names_of_tokens() {
        let told = tokens(
            r#"{"text_offset":[0],"token_logprobs":[-0.5],"tokens":["token_id:12"],"top_logprobs":[
               {"token_id:9":-3.5,"token_id:12":-0.5,"token_id:1":-9999.0}]}"#,
        );
        assert_eq!(told[0].id, Some(12));
        assert_eq!(told[0].top, [(Some(12), -0.5), (Some(9), -3.5), (Some(1), -9999.0)]);
        let chat = tokens(r#"{"content":[{"token":"token_id:7","logprob":-1,"bytes":[97],"top_logprobs":[]}]}"#);
        assert_eq!((chat[0].id, chat[0].bytes), (Some(7), 1));
    }

    #[test]
    fn openai_tells_texts_only() {
        let told = tokens(
            r#"{"content":[{"token":"a","logprob":-0.1,"bytes":null,"top_logprobs":[{"token":"a","logprob":-0.1}]}],"refusal":null}"#,
        );
        assert_eq!(
            (told[0].id, told[0].bytes, told[0].top.as_slice()),
            (None, 1, [(None, -0.1)].as_slice())
        );
        assert_eq!(tokens("{}"), []);
        // Without candidates, as for the first token of an echoed prompt.
        assert_eq!(tokens(r#"{"tokens":["a"],"top_logprobs":[null]}"#)[0].top, []);
    }
}
