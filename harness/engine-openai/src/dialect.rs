//! What a server is, by what it says of itself, and what is asked of it beyond the API that all share.

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::http::{Answer, Client};
use crate::words::quoted;

/// How long a question may take that the generation does not depend on.
const PATIENCE: Duration = Duration::from_secs(5);
/// Characters of a version or name that are kept.
const MOST_NAME: usize = 120;

/// A family of servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    LlamaCpp,
    Vllm,
    Sglang,
    TextGenerationInference,
    /// Anything else: asked for nothing but what the API of OpenAI has.
    Other,
}

impl Dialect {
    fn name(self) -> Option<&'static str> {
        match self {
            Self::LlamaCpp => Some("llama.cpp"),
            Self::Vllm => Some("vLLM"),
            Self::Sglang => Some("SGLang"),
            Self::TextGenerationInference => Some("TGI"),
            Self::Other => None,
        }
    }

    /// Keys that make an answer comparable and its times honest: no prompt from a cache, numbers of tokens, no penalties
    /// that come from the model's own file. A server that refuses them is asked again without.
    pub(crate) fn extras(self, salt: u64) -> Map<String, Value> {
        let extras = match self {
            Self::LlamaCpp => json!({"cache_prompt": false, "repeat_penalty": 1.0}),
            Self::Vllm => json!({
                "return_tokens_as_token_ids": true, "cache_salt": format!("placebench-{salt:016x}"), "repetition_penalty": 1.0
            }),
            Self::Sglang => json!({"repetition_penalty": 1.0}),
            Self::TextGenerationInference | Self::Other => json!({}),
        };
        match extras {
            Value::Object(extras) => extras,
            _ => Map::new(),
        }
    }

    /// The same for sampling, where a filter that nobody asked for would be another distribution.
    pub(crate) fn without_filters(self) -> Map<String, Value> {
        let filters = match self {
            Self::LlamaCpp => json!({"min_p": 0.0, "top_k": 0, "top_p": 1.0}),
            Self::Vllm | Self::Sglang => json!({"min_p": 0.0, "top_k": -1, "top_p": 1.0}),
            Self::TextGenerationInference | Self::Other => json!({"top_p": 1.0}),
        };
        match filters {
            Value::Object(filters) => filters,
            _ => Map::new(),
        }
    }
}

/// What is known of a server before it is asked to generate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) dialect: Dialect,
    /// `llama.cpp b1-0c1e570`, or what its answers are headed with.
    pub(crate) name: String,
    /// The models it lists; nothing where it has no list.
    pub(crate) models: Vec<String>,
}

impl Identity {
    /// Asks the server who it is.
    ///
    /// # Errors
    /// When nobody answers, or not as such a server does.
    pub(crate) fn ask(client: &Client) -> Result<Self, String> {
        let url = client.api("/models");
        let listed = client.get(&url, None)?;
        if matches!(listed.head.status, 401 | 403) || (300..400).contains(&listed.head.status) {
            return Err(format!("{url} answered with {}", listed.words()));
        }
        // Some gateways have no list; that they are none of ours shows when they are asked to generate.
        let models = listed
            .json()
            .as_ref()
            .and_then(|list| list.get("data")?.as_array().cloned());
        if listed.head.status == 200 && models.is_none() {
            return Err(format!(
                "{url} lists no models, so that this is no server of that API: it answered with {}",
                quoted(&listed.body)
            ));
        }
        let models = models.unwrap_or_default();
        let text = |model: &Value, key: &str| Some(model.get(key)?.as_str()?.to_owned());
        let owner = models.first().and_then(|model| text(model, "owned_by"));
        let ask = |path: &str| client.get(&client.root(path), Some(PATIENCE)).ok();
        let (dialect, version) = told(&listed, owner.as_deref().unwrap_or_default(), &ask);
        let own = match dialect.name() {
            Some(name) => format!("{name} {}", version.unwrap_or_default()),
            None => listed.head.server.clone(),
        };
        Ok(Self {
            dialect,
            name: named(&own),
            models: models.iter().filter_map(|model| text(model, "id")).collect(),
        })
    }
}

/// A name as it goes into a record: short, one line, something.
fn named(text: &str) -> String {
    let plain: String = text
        .trim()
        .chars()
        .filter(|c| !c.is_control())
        .take(MOST_NAME)
        .collect();
    if plain.is_empty() {
        return "a server that does not say what it is".to_owned();
    }
    plain
}

fn told(listed: &Answer, owner: &str, ask: &dyn Fn(&str) -> Option<Answer>) -> (Dialect, Option<String>) {
    let text = |path: &str, key: &str| {
        let document = ask(path)?.json()?;
        Some(document.get(key)?.as_str()?.to_owned())
    };
    if owner == "llamacpp" || listed.head.server.eq_ignore_ascii_case("llama.cpp") {
        return (Dialect::LlamaCpp, text("/props", "build_info"));
    }
    match owner {
        "vllm" => return (Dialect::Vllm, text("/version", "version")),
        "sglang" => return (Dialect::Sglang, text("/get_server_info", "version")),
        _ => {}
    }
    let information = ask("/info").and_then(|answer| answer.json());
    let of_tgi = information.filter(|document| document.get("model_id").is_some() && document.get("router").is_some());
    match of_tgi {
        Some(document) => {
            let version = document.get("version").and_then(Value::as_str).map(str::to_owned);
            (Dialect::TextGenerationInference, version)
        }
        None => (Dialect::Other, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Head;

    fn answer(server: &str, body: &str) -> Answer {
        Answer {
            head: Head {
                status: 200,
                server: server.to_owned(),
                ..Head::default()
            },
            body: body.as_bytes().to_vec(),
        }
    }

    #[test]
    fn servers_are_told_apart_by_what_they_say() {
        let ask = |path: &str| match path {
            "/props" => Some(answer("", r#"{"build_info": "b1-0c1e570"}"#)),
            "/version" => Some(answer("", r#"{"version": "0.8.5"}"#)),
            _ => None,
        };
        let of = |server: &str, owner: &str| told(&answer(server, ""), owner, &ask);
        assert_eq!(of("llama.cpp", ""), (Dialect::LlamaCpp, Some("b1-0c1e570".into())));
        assert_eq!(of("uvicorn", "vllm"), (Dialect::Vllm, Some("0.8.5".into())));
        assert_eq!(of("uvicorn", "sglang"), (Dialect::Sglang, None));
        assert_eq!(of("uvicorn", "me"), (Dialect::Other, None));
        let info = |_: &str| {
            Some(answer(
                "",
                r#"{"model_id": "a/b", "version": "3.0.0", "router": "text-generation-router"}"#,
            ))
        };
        let tgi = told(&answer("", ""), "a/b", &info);
        assert_eq!(tgi, (Dialect::TextGenerationInference, Some("3.0.0".into())));
    }

    #[test]
    fn names_are_short_and_on_one_line() {
        assert_eq!(named(" a\nb "), "ab");
        assert!(named("").contains("does not say"));
        assert_eq!(named(&"x".repeat(1000)).len(), MOST_NAME);
    }

    #[test]
    fn only_known_servers_are_asked_for_more_than_the_api_has() {
        assert!(Dialect::Other.extras(1).is_empty());
        assert_eq!(Dialect::LlamaCpp.extras(1)["cache_prompt"], false);
        assert_ne!(
            Dialect::Vllm.extras(1)["cache_salt"],
            Dialect::Vllm.extras(2)["cache_salt"]
        );
    }
}
