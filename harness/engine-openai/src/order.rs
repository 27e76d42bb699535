//! What a server is asked for, and what is left out where it refuses.

use placebench_core::protocol::{GenerationSpec, Prompt};
use serde_json::{Map, Value, json};

use crate::dialect::Dialect;

/// Candidates asked for at each step.
const CANDIDATES: u32 = 5;

/// What is asked for besides the text. All of it can be done without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wishes {
    /// The likeliest tokens of each step.
    pub(crate) logprobs: bool,
    /// Keys of this kind of server.
    pub(crate) extras: bool,
    /// Counts of tokens at the end of the stream.
    pub(crate) usage: bool,
    /// `max_completion_tokens`, as newer models of OpenAI want it, instead of `max_tokens`.
    pub(crate) completion_limit: bool,
}

impl Default for Wishes {
    fn default() -> Self {
        Self {
            logprobs: true,
            extras: true,
            usage: true,
            completion_limit: false,
        }
    }
}

/// One request for one sequence.
pub(crate) struct Order<'a> {
    pub(crate) dialect: Dialect,
    pub(crate) model: &'a str,
    pub(crate) prompt: &'a Prompt,
    pub(crate) generation: &'a GenerationSpec,
    /// Unlike that of any other request.
    pub(crate) salt: u64,
}

impl Order<'_> {
    /// The path of the API that takes such a prompt.
    pub(crate) fn path(&self) -> &'static str {
        match self.prompt {
            Prompt::Messages(_) => "/chat/completions",
            Prompt::Text(_) | Prompt::InputIds(_) => "/completions",
        }
    }

    /// The document that is sent.
    pub(crate) fn body(&self, wishes: Wishes) -> Value {
        let GenerationSpec {
            max_new_tokens,
            sampling,
            ignore_eos,
            stop,
        } = self.generation;
        let mut body = Map::new();
        let mut set = |key: &str, value: Value| {
            body.insert(key.to_owned(), value);
        };
        set("model", self.model.into());
        match self.prompt {
            Prompt::Messages(messages) => set("messages", json!(messages)),
            Prompt::Text(text) => set("prompt", json!(text)),
            Prompt::InputIds(ids) => set("prompt", json!(ids)),
        }
        set("stream", true.into());
        let limit = if wishes.completion_limit {
            "max_completion_tokens"
        } else {
            "max_tokens"
        };
        set(limit, (*max_new_tokens).into());
        if wishes.extras {
            for (key, value) in self.dialect.extras(self.salt) {
                set(&key, value);
            }
        }
        match sampling {
            None => set("temperature", 0.into()),
            Some(sampling) => {
                for (key, value) in self.dialect.without_filters() {
                    set(&key, value);
                }
                set("temperature", sampling.temperature.into());
                set("seed", sampling.seed.into());
                if let Some(top_p) = sampling.top_p {
                    set("top_p", top_p.into());
                }
                if let Some(top_k) = sampling.top_k {
                    set("top_k", top_k.into());
                }
            }
        }
        if *ignore_eos {
            set("ignore_eos", true.into());
        }
        if !stop.is_empty() {
            set("stop", json!(stop));
        }
        if wishes.usage {
            set("stream_options", json!({"include_usage": true}));
        }
        if wishes.logprobs {
            match self.prompt {
                Prompt::Messages(_) => {
                    set("logprobs", true.into());
                    set("top_logprobs", CANDIDATES.into());
                }
                Prompt::Text(_) | Prompt::InputIds(_) => set("logprobs", CANDIDATES.into()),
            }
        }
        Value::Object(body)
    }

    /// Keys that cannot be done without, as a refusal writes them.
    fn needed(&self) -> Vec<&'static str> {
        let sampling = self.generation.sampling.as_ref();
        let keys = [
            ("temperature'", true),
            ("ignore_eos", self.generation.ignore_eos),
            ("top_k", sampling.is_some_and(|sampling| sampling.top_k.is_some())),
        ];
        keys.into_iter()
            .filter(|(_, is_asked)| *is_asked)
            .map(|(key, _)| key)
            .collect()
    }

    /// What to do without after a refusal, and how to say so; `None` where the refusal is about something else.
    pub(crate) fn less(&self, wishes: Wishes, status: u16, refusal: &[u8]) -> Option<(Wishes, &'static str)> {
        let refusal = String::from_utf8_lossy(refusal);
        let names = |word: &str| refusal.contains(word);
        // OpenAI forbids log-probabilities of some models; any other 403 is about the key.
        let is_about_keys = matches!(status, 400 | 422 | 501) || (status == 403 && wishes.logprobs && names("logprob"));
        // Without these the answer would be another one: nothing that is left out makes up for them.
        let is_needed = self.needed().into_iter().any(names) && !names("logprob");
        if !is_about_keys || is_needed {
            return None;
        }
        let has_extras = wishes.extras && !self.dialect.extras(0).is_empty();
        let without_logprobs = (
            Wishes {
                logprobs: false,
                ..wishes
            },
            "the server refuses log-probabilities: gaps and candidates of tokens are not known",
        );
        let without_usage = (
            Wishes { usage: false, ..wishes },
            "the server refuses to count tokens in a stream (stream_options)",
        );
        let without_extras = (
            Wishes {
                extras: false,
                ..wishes
            },
            "the server refuses the keys of its kind: prompts may come from a cache, and numbers of tokens are not told",
        );
        let with_completion_limit = (
            Wishes {
                completion_limit: true,
                ..wishes
            },
            "the server takes max_completion_tokens instead of max_tokens: tokens of reasoning count too",
        );
        let named = [
            (
                !wishes.completion_limit && names("max_completion_tokens"),
                with_completion_limit,
            ),
            (wishes.logprobs && names("logprob"), without_logprobs),
            (wishes.usage && names("stream_options"), without_usage),
        ];
        let unnamed = [
            (has_extras, without_extras),
            (wishes.logprobs, without_logprobs),
            (wishes.usage, without_usage),
        ];
        named
            .into_iter()
            .chain(unnamed)
            .find(|(applies, _)| *applies)
            .map(|(_, less)| less)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use placebench_core::protocol::{Message, Sampling};

    fn spec() -> GenerationSpec {
        GenerationSpec {
            max_new_tokens: 7,
            sampling: None,
            ignore_eos: false,
            stop: Vec::new(),
        }
    }

    fn order<'a>(dialect: Dialect, prompt: &'a Prompt, generation: &'a GenerationSpec) -> Order<'a> {
        Order {
            dialect,
            model: "m",
            prompt,
            generation,
            salt: 3,
        }
    }

    #[test]
    fn a_strict_server_is_asked_for_nothing_it_does_not_know() {
        let (prompt, spec) = (Prompt::Text("a".into()), spec());
        let body = order(Dialect::Other, &prompt, &spec).body(Wishes::default());
        assert_eq!(
            body,
            json!({"model": "m", "prompt": "a", "stream": true, "max_tokens": 7, "temperature": 0,
                   "stream_options": {"include_usage": true}, "logprobs": 5})
        );
    }

    #[test]
    fn prompts_go_where_they_are_taken_as_they_are() {
        let spec = spec();
        let messages = Prompt::Messages(vec![Message {
            role: "user".into(),
            content: "a".into(),
        }]);
        let chat = order(Dialect::LlamaCpp, &messages, &spec);
        assert_eq!(chat.path(), "/chat/completions");
        let body = chat.body(Wishes::default());
        assert_eq!(body["messages"], json!([{"role": "user", "content": "a"}]));
        assert_eq!((&body["logprobs"], &body["top_logprobs"]), (&json!(true), &json!(5)));
        assert_eq!(body["cache_prompt"], false);
        let ids = Prompt::InputIds(vec![1, 2]);
        let plain = order(Dialect::Other, &ids, &spec);
        assert_eq!(
            (plain.path(), &plain.body(Wishes::default())["prompt"]),
            ("/completions", &json!([1, 2]))
        );
    }

    #[test]
    fn sampling_has_the_filters_that_were_asked_for_and_no_others() {
        let prompt = Prompt::Text("a".into());
        let sampled = GenerationSpec {
            sampling: Some(Sampling {
                temperature: 0.5,
                top_k: Some(3),
                top_p: None,
                seed: 9,
            }),
            ignore_eos: true,
            stop: vec!["x".into()],
            ..spec()
        };
        let body = order(Dialect::LlamaCpp, &prompt, &sampled).body(Wishes::default());
        for (key, value) in [
            ("temperature", json!(0.5)),
            ("top_k", json!(3)),
            ("top_p", json!(1.0)),
            ("min_p", json!(0.0)),
            ("seed", json!(9)),
            ("ignore_eos", json!(true)),
            ("stop", json!(["x"])),
        ] {
            assert_eq!(body[key], value, "{key}");
        }
    }

    #[test]
    fn a_refusal_takes_away_what_it_names_and_else_one_thing_after_the_other() {
        let (prompt, spec) = (Prompt::Text("a".into()), spec());
        let order = order(Dialect::Vllm, &prompt, &spec);
        let less = |wishes, text: &str| order.less(wishes, 400, text.as_bytes()).map(|(wishes, _)| wishes);
        let all = Wishes::default();
        let named = less(all, "`top_logprobs` is not supported").unwrap();
        assert!(!named.logprobs && named.extras);
        assert!(less(all, "use max_completion_tokens").unwrap().completion_limit);
        let mut wishes = all;
        let mut steps = 0;
        while let Some(next) = less(wishes, "no") {
            (wishes, steps) = (next, steps + 1);
        }
        assert_eq!(
            (steps, wishes.logprobs, wishes.extras, wishes.usage),
            (3, false, false, false)
        );
        assert_eq!(order.less(all, 500, b"logprobs"), None);
        assert_eq!(order.less(all, 404, b"no"), None);
        let forbidden = order.less(all, 403, b"You are not allowed to request logprobs from this model.");
        assert!(forbidden.is_some_and(|(wishes, _)| !wishes.logprobs && wishes.usage));
        assert_eq!(order.less(all, 403, b"wrong key"), None);
        assert_eq!(less(all, "'temperature' does not support 0 with this model"), None);
        let bare = order.body(wishes);
        assert_eq!(
            bare,
            json!({"model": "m", "prompt": "a", "stream": true, "max_tokens": 7, "temperature": 0})
        );
    }
}
