//! `engine = "openai"`: a server that speaks the API of OpenAI.
//!
//! vLLM, SGLang, TGI, llama.cpp's server, mistral.rs and many others stream their answers over `/chat/completions` (prompts
//! with `messages`, put through the server's own template) and `/completions` (prompts with `text`, as it is, or
//! `input_ids`). This engine asks for a stream, and reports from it what any engine reports: the time to the first token, every
//! gap, texts, counts, and, where the server tells them, tokens and their likeliest competitors.
//!
//! # What is known and what is not
//!
//! A server places its model by itself. So the placement of a case is *stated* by the scenario (`stated = "tensor parallel
//! over 2 GPUs"`), and nothing of it is read back: `loaded` has an empty list, and there are no figures of memory. Tokens are
//! known by number where log-probabilities name them (llama.cpp's `id`, vLLM's `return_tokens_as_token_ids`), else by text
//! only. Times are those of a client: the connection, the server's queue and the network are in them.
//!
//! First tokens from a cache of prompts would be no measurement. llama.cpp is asked not to use one (`cache_prompt`), vLLM gets
//! a salt of its own for each request (`cache_salt`); of others the report says where the server tells that part of a prompt came
//! from its cache. Keys that only some servers know are sent to those only, and left out after a refusal, which is noted
//! (`planned.warnings`).
//!
//! # A server that is started
//!
//! With `[server] command` each attempt starts a server and ends it: `isolation = "process"` means one server for each
//! repetition, `"shared"` one for all of them. It is ready when its `ready` path answers 200; `timeout.load` is how long that may
//! take. Whatever becomes of the worker, the server does not outlive it: see [`guardian`].
//!
//! # Models that outgrow one machine
//!
//! They are tested through this engine, by an existing server that spans the machines: for instance vLLM on Ray with
//! `--tensor-parallel-size 8 --pipeline-parallel-size 2`. The server runs already (its start takes minutes, and its nodes are
//! for the cluster to give); the scenario names its address, and a placement says `stated = "tensor 8 × pipeline 2 over two
//! nodes, vLLM on Ray"`. Deadlines name a stall by its phase as for any engine; on which node it is, the server's own logs
//! must tell.

mod chunk;
mod dialect;
pub mod guardian;
mod http;
mod open;
mod order;
mod sequence;
mod session;
mod sse;
mod started;
mod transport;
mod words;

pub use open::OpenAiEngine;
