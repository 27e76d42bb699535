//! One streamed answer as it comes in: its tokens, its text, and whether what the server says of it adds up.
//!
//! Tokens are counted by their log-probabilities where the server tells them, else by the pieces of text that arrive,
//! which its own count then corrects: `token_stamps_s` has an entry for each arrival, `output_tokens` says how many tokens
//! they were. Tokens that came in one piece share a stamp. An end token has no text and mostly no entry; servers count it.
//! Some tokens are counted and never told: llama.cpp sends nothing until a character is whole, and then tells the token that
//! completed it only; vLLM tells none of the marks around reasoning. A list of tokens with holes is not the answer's, so such
//! an answer is known by its text.

use placebench_core::outcome::FailureClass;
use placebench_core::protocol::{FinishReason, Generation, GenerationSpec, Prompt, TokenLogit};
use serde_json::Value;

use crate::chunk::{Choice, Chunk, Delta, Told, Usage};
use crate::words::{counted, quoted};

/// Bytes of text that are kept. The longest answers of any model are far below.
const MOST_TEXT: usize = 16 << 20;

/// Tokens of a character that the limit cut off: all but the last of four bytes.
const UNFINISHED: u32 = 3;

/// What is wrong with an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wrong {
    pub(crate) class: FailureClass,
    pub(crate) message: String,
}

/// The server did not do what its API promises.
pub(crate) fn broken(message: impl Into<String>) -> Wrong {
    Wrong {
        class: FailureClass::Server,
        message: message.into(),
    }
}

/// A token, or a piece of text where tokens are not told.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Arrival {
    pub(crate) index: u32,
    pub(crate) id: Option<u32>,
    pub(crate) top2_gap: Option<f32>,
}

/// How tokens are counted; settled by the first of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Counting {
    Tokens { with_ids: bool },
    Pieces,
}

/// An answer that is under way.
#[derive(Debug)]
pub(crate) struct Sequence {
    asked: u32,
    counting: Option<Counting>,
    text: String,
    offsets: Vec<u32>,
    stamps_s: Vec<f64>,
    ids: Vec<u32>,
    gaps: Vec<f32>,
    top5: Vec<Vec<TokenLogit>>,
    finish: Option<String>,
    stop_reason: Option<Value>,
    usage: Option<Usage>,
    has_reasoning: bool,
    /// Bytes of all tokens that were told.
    told_bytes: usize,
    fingerprint: Option<String>,
    is_done: bool,
}

impl Sequence {
    /// Nothing has come yet of at most `asked` tokens.
    pub(crate) fn new(asked: u32) -> Self {
        Self {
            asked,
            counting: None,
            text: String::new(),
            offsets: Vec::new(),
            stamps_s: Vec::new(),
            ids: Vec::new(),
            gaps: Vec::new(),
            top5: Vec::new(),
            finish: None,
            stop_reason: None,
            usage: None,
            has_reasoning: false,
            told_bytes: 0,
            fingerprint: None,
            is_done: false,
        }
    }

    /// How many tokens or pieces have come.
    pub(crate) fn len(&self) -> usize {
        self.stamps_s.len()
    }

    /// `[DONE]` has come.
    pub(crate) fn is_done(&self) -> bool {
        self.is_done
    }

    /// What the server calls the configuration it runs in.
    pub(crate) fn fingerprint(&self) -> Option<&str> {
        self.fingerprint.as_deref()
    }

    /// Takes the data of an event that came `at_s` seconds after the request was sent.
    pub(crate) fn take(&mut self, data: &[u8], at_s: f64) -> Result<Vec<Arrival>, Wrong> {
        if data.trim_ascii() == b"[DONE]" {
            self.is_done = true;
            return Ok(Vec::new());
        }
        if std::str::from_utf8(data).is_err() {
            return Err(broken(format!("the server sent what is not UTF-8: {}", quoted(data))));
        }
        let chunk: Chunk = serde_json::from_slice(data).map_err(|error| {
            broken(format!(
                "the server sent what is no piece of an answer ({error}): {}",
                quoted(data)
            ))
        })?;
        let whole =
            (chunk.object.as_deref() == Some("error")).then(|| Value::String(chunk.message.unwrap_or_default()));
        if let Some(error) = chunk.error.filter(|error| !error.is_null()).or(whole) {
            let said = quoted(error.to_string().as_bytes());
            return Err(broken(format!(
                "the server gave up in the middle of its answer: {said}"
            )));
        }
        if chunk.usage.is_some() {
            self.usage = chunk.usage;
        }
        if self.fingerprint.is_none() {
            self.fingerprint = chunk.system_fingerprint;
        }
        let first = chunk
            .choices
            .unwrap_or_default()
            .into_iter()
            .find(|choice| choice.index == 0);
        first.map_or_else(|| Ok(Vec::new()), |choice| self.add(choice, at_s))
    }

    fn add(&mut self, choice: Choice, at_s: f64) -> Result<Vec<Arrival>, Wrong> {
        let told = choice.logprobs.as_ref().map(crate::chunk::Logprobs::tokens);
        let told = told.unwrap_or_default();
        let text = self.text_of(choice.text, choice.delta)?;
        if self.finish.is_some() && (!text.is_empty() || !told.is_empty()) {
            return Err(broken(
                "the server went on with its answer after it had said why it ended",
            ));
        }
        // Some servers write an empty reason until there is one.
        if let Some(reason) = choice.finish_reason.filter(|reason| !reason.is_empty()) {
            self.finish = Some(reason);
            self.stop_reason = choice.stop_reason.or(choice.matched_stop);
        }
        if self.text.len() + text.len() > MOST_TEXT {
            return Err(broken(format!(
                "the server sent more than {} MiB of text for at most {}",
                MOST_TEXT >> 20,
                counted(self.asked as usize, "token")
            )));
        }
        let counting = *match (told.first(), text.is_empty()) {
            (None, true) => return Ok(Vec::new()),
            (Some(first), _) => self.counting.get_or_insert(Counting::Tokens {
                with_ids: first.id.is_some(),
            }),
            (None, false) => self.counting.get_or_insert(Counting::Pieces),
        };
        let before = self.text.len();
        self.text.push_str(&text);
        match counting {
            Counting::Tokens { with_ids } => self.add_tokens(&told, with_ids, before, at_s),
            Counting::Pieces => self
                .arrive(None, None, self.text.len(), at_s)
                .map(|arrival| vec![arrival]),
        }
    }

    /// The text of a piece. What a model thinks before it answers are tokens like any others.
    fn text_of(&mut self, plain: Option<String>, delta: Option<Delta>) -> Result<String, Wrong> {
        let mut text = plain.unwrap_or_default();
        let Some(delta) = delta else { return Ok(text) };
        if delta.tool_calls.is_some_and(|calls| !calls.is_empty()) {
            return Err(broken(
                "the server answered with a call of a tool, and was offered none",
            ));
        }
        if let Some(reasoning) = delta
            .reasoning_content
            .or(delta.reasoning)
            .filter(|text| !text.is_empty())
        {
            self.has_reasoning = true;
            text.push_str(&reasoning);
        }
        text.push_str(&delta.content.unwrap_or_default());
        Ok(text)
    }

    fn add_tokens(&mut self, told: &[Told], with_ids: bool, before: usize, at_s: f64) -> Result<Vec<Arrival>, Wrong> {
        let mut arrivals = Vec::new();
        let mut end = before;
        for (at, token) in told.iter().enumerate() {
            if token.id.is_some() != with_ids {
                return Err(broken("the server told the numbers of some tokens and not of others"));
            }
            end += token.bytes;
            self.told_bytes += token.bytes;
            let is_last = at + 1 == told.len();
            let offset = if is_last { self.text.len() } else { self.boundary(end) };
            arrivals.push(self.arrive(token.id, gap(&token.top), offset, at_s)?);
            self.ids.extend(token.id);
            self.gaps.extend(gap(&token.top));
            let candidates = token.top.iter();
            let known: Option<Vec<TokenLogit>> = candidates
                .map(|(id, logit)| {
                    Some(TokenLogit {
                        id: (*id)?,
                        logit: *logit,
                    })
                })
                .collect();
            self.top5.extend(known.filter(|known| !known.is_empty()));
        }
        Ok(arrivals)
    }

    /// The last place at or before `end` where the text can be cut.
    fn boundary(&self, end: usize) -> usize {
        let end = end.min(self.text.len());
        (0..=end).rev().find(|at| self.text.is_char_boundary(*at)).unwrap_or(0)
    }

    fn arrive(&mut self, id: Option<u32>, top2_gap: Option<f32>, offset: usize, at_s: f64) -> Result<Arrival, Wrong> {
        let index = u32::try_from(self.stamps_s.len()).unwrap_or(u32::MAX);
        if index >= self.asked {
            let what = match self.counting {
                Some(Counting::Pieces) => "pieces of text",
                Some(Counting::Tokens { .. }) | None => "tokens",
            };
            return Err(broken(format!(
                "the server sent more than {} {what}, where at most {} were asked for",
                self.asked,
                counted(self.asked as usize, "token")
            )));
        }
        self.stamps_s.push(at_s);
        self.offsets.push(u32::try_from(offset).unwrap_or(u32::MAX));
        Ok(Arrival { index, id, top2_gap })
    }

    /// The stream is over: what was generated, and what a person should know of it.
    pub(crate) fn end(
        self,
        order: &GenerationSpec,
        prompt: &Prompt,
        start_s: f64,
    ) -> Result<(Generation, Vec<String>), Wrong> {
        let finish_reason = self.finish_reason(order)?;
        let mut notes = Vec::new();
        let output_tokens = self.counted(finish_reason, &mut notes)?;
        let has_all = !self.has_holes(finish_reason);
        if self.has_reasoning {
            notes.push(
                "part of the answer came as reasoning: it is part of the text, without the marks around it".to_owned(),
            );
        }
        let input_tokens = self.usage.and_then(|usage| usage.prompt_tokens);
        let input_ids = match prompt {
            Prompt::InputIds(ids) => ids.clone(),
            Prompt::Text(_) | Prompt::Messages(_) => Vec::new(),
        };
        let differs = |counted: &u32| !input_ids.is_empty() && usize::try_from(*counted) != Ok(input_ids.len());
        if let Some(read) = input_tokens.filter(differs) {
            notes.push(format!(
                "the server counts {read} tokens in a prompt of {}",
                input_ids.len()
            ));
        }
        if let Some(cached) = self.usage.and_then(|usage| usage.cached()).filter(|cached| *cached > 0) {
            notes.push(format!(
                "{cached} of the tokens of a prompt came from the server's cache: the time to its first token is not that of the whole prompt"
            ));
        }
        let tokens = self.stamps_s.len();
        let whole = |length: usize| has_all && length == tokens;
        let made = Generation {
            input_tokens: input_tokens.filter(|counted| input_ids.is_empty() || differs(counted)),
            input_ids,
            output_ids: if has_all { self.ids } else { Vec::new() },
            text: self.text,
            finish_reason,
            start_s,
            token_stamps_s: self.stamps_s,
            top2_gaps: if whole(self.gaps.len()) { self.gaps } else { Vec::new() },
            top5: if whole(self.top5.len()) { self.top5 } else { Vec::new() },
            hops: Vec::new(),
            transfer_bytes: Vec::new(),
            streamed_bytes: Vec::new(),
            stage_times_s: Vec::new(),
            text_offsets: self.offsets,
            companions: Vec::new(),
            output_tokens,
        };
        Ok((made, notes))
    }

    fn finish_reason(&self, order: &GenerationSpec) -> Result<FinishReason, Wrong> {
        let Some(said) = self.finish.as_deref() else {
            return Err(broken(
                "the server ended its answer and did not say why (finish_reason)",
            ));
        };
        let reason = match said {
            "length" => FinishReason::Length,
            "eos_token" => FinishReason::Eos,
            "stop_sequence" => FinishReason::Stop,
            // One word for an end token and a stop text. vLLM and SGLang say which; of others a stop text that was asked for is believed.
            "stop" => match &self.stop_reason {
                Some(Value::String(_)) => FinishReason::Stop,
                Some(Value::Number(_)) => FinishReason::Eos,
                _ if order.stop.is_empty() => FinishReason::Eos,
                _ => FinishReason::Stop,
            },
            other => {
                return Err(broken(format!(
                    "the server ended its answer for a reason of its own: {}",
                    quoted(other.as_bytes())
                )));
            }
        };
        if order.ignore_eos && reason == FinishReason::Eos {
            return Err(Wrong {
                class: FailureClass::Unsupported,
                message: format!(
                    "the server ended by an end token after {}: it does not know ignore_eos; leave it out",
                    counted(self.stamps_s.len(), "token")
                ),
            });
        }
        Ok(reason)
    }

    /// The server's own count, where it says more than the tokens it told; a count that contradicts them is an error.
    fn counted(&self, reason: FinishReason, notes: &mut Vec<String>) -> Result<Option<u32>, Wrong> {
        let came = u32::try_from(self.stamps_s.len()).unwrap_or(u32::MAX);
        let is_by_piece = self.counting == Some(Counting::Pieces);
        let Some(count) = self.usage.and_then(|usage| usage.completion_tokens) else {
            if is_by_piece {
                notes.push(
                    "the server tells neither tokens nor their number: each piece of text that came counts as one"
                        .to_owned(),
                );
            }
            return Ok(None);
        };
        let told = if is_by_piece { "pieces of text" } else { "tokens" };
        if count > self.asked {
            return Err(broken(format!(
                "the server counts {count} tokens in its answer, where at most {} were asked for",
                self.asked
            )));
        }
        let hidden = hidden(reason);
        let is_told_in_part = !is_by_piece && self.has_holes(reason);
        let most = match reason {
            _ if is_by_piece || self.has_reasoning || self.lacks_text() => u32::MAX,
            FinishReason::Length => came.saturating_add(UNFINISHED).saturating_add(self.parts()),
            FinishReason::Eos | FinishReason::Stop => came.saturating_add(hidden).saturating_add(self.parts()),
        };
        if count < came || count > most {
            return Err(broken(format!(
                "the server counts {count} tokens in its answer, and sent {came} {told}"
            )));
        }
        if is_by_piece && count > came.saturating_add(hidden.min(1)) {
            notes.push(format!(
                "{count} tokens came in {came} pieces of text: gaps are those between pieces"
            ));
        }
        if is_told_in_part {
            notes.push(format!(
                "of {count} tokens the server told {came}, as servers do where a character takes several tokens or reasoning is \
                 marked: the answer is known by its text, and gaps are those between pieces of it"
            ));
        }
        Ok((is_by_piece || count != came).then_some(count))
    }

    /// Bytes of characters that may take several tokens.
    fn parts(&self) -> u32 {
        let parts = self.text.bytes().filter(|byte| !byte.is_ascii()).count();
        u32::try_from(parts).unwrap_or(u32::MAX)
    }

    /// Whether text has come of tokens that were not told.
    fn lacks_text(&self) -> bool {
        matches!(self.counting, Some(Counting::Tokens { .. })) && self.told_bytes < self.text.len()
    }

    /// Whether tokens are missing among those that were told, by the text or by the server's count.
    fn has_holes(&self, reason: FinishReason) -> bool {
        let came = u32::try_from(self.stamps_s.len()).unwrap_or(u32::MAX);
        let count = self.usage.and_then(|usage| usage.completion_tokens);
        self.lacks_text() || count.is_some_and(|count| count > came.saturating_add(hidden(reason)))
    }
}

/// What ends an answer is counted and not told: one end token, or the tokens of a stop text.
fn hidden(reason: FinishReason) -> u32 {
    match reason {
        FinishReason::Length => 0,
        FinishReason::Eos => 1,
        FinishReason::Stop => u32::MAX,
    }
}

/// How far the likeliest token is ahead of the next.
fn gap(top: &[(Option<u32>, f32)]) -> Option<f32> {
    match top {
        [(_, first), (_, second), ..] => Some(first - second),
        _ => None,
    }
}

#[cfg(test)]
#[path = "sequence_tests.rs"]
mod tests;
