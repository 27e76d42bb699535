//! Format 1: the tables of single engines.

use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

use crate::placement::{Launcher, Parallelism};

/// How the stack of Hugging Face is run.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TransformersTable {
    /// The Python environment: incident, newest, or another that `ci/python-env.sh` has made. Absent: the interpreter in PLACEBENCH_PYTHON, else newest.
    #[schemars(with = "Option<String>")]
    pub environment: Option<Spanned<String>>,
    /// attn_implementation of from_pretrained: eager, sdpa, … Absent: the library's choice.
    #[schemars(with = "Option<String>")]
    pub attention: Option<Spanned<String>>,
    /// Call model.to(…) with this device once the model is dispatched, as scripts do.
    #[schemars(with = "Option<String>")]
    pub move_to: Option<Spanned<String>>,
    /// Put the inputs on this device. Absent: on that of the embedding.
    #[schemars(with = "Option<String>")]
    pub inputs_on: Option<Spanned<String>>,
}

/// A server that speaks the API of OpenAI: one that runs, or one that is started for each attempt.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServerTable {
    /// The address that /chat/completions and /completions follow: http://127.0.0.1:8000/v1. `{port}` stands for a free port.
    #[schemars(with = "String")]
    pub url: Spanned<String>,
    /// Name of the model there. Absent: the first it lists.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub model: Option<Spanned<String>>,
    /// What starts it; `{port}` and `{model}` (the path of the model) are put in, and no shell reads it. Absent: it runs already. Run only with `--allow-exec`.
    #[serde(default)]
    #[schemars(with = "Option<Vec<String>>")]
    pub command: Option<Spanned<Vec<Spanned<String>>>>,
    /// With command: path that answers 200 once the server can generate; /health if absent. timeout.load is how long that may take.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub ready: Option<Spanned<String>>,
    /// What makes the program of command; where the program is absent, cases are skipped with this hint.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub get: Option<Spanned<String>>,
    /// The environment variable that holds the key, with KEY, TOKEN or SECRET in its name. Used only with `--allow-exec`.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub api_key_env: Option<Spanned<String>>,
}

/// What is different about the server under a placement.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PlacementServerTable {
    /// Another address.
    #[schemars(with = "Option<String>")]
    pub url: Option<Spanned<String>>,
    /// Arguments that are added to the command: --tensor-parallel-size 2.
    #[schemars(with = "Option<Vec<String>>")]
    pub args: Option<Spanned<Vec<Spanned<String>>>>,
}

/// A distributed configuration: several processes, each with a rank and a device of its own, instead of a device map.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LaunchTable {
    /// torchrun (default) or accelerate.
    pub with: Option<Launcher>,
    /// How many processes; 2 if absent.
    #[schemars(with = "Option<u32>")]
    pub processes: Option<Spanned<u32>>,
    /// Backend of the process group. Absent: nccl on GPUs, else gloo.
    #[schemars(with = "Option<String>")]
    pub backend: Option<Spanned<String>>,
    /// data (default): each rank holds the whole model. tensor: each holds a part of every layer.
    pub parallel: Option<Parallelism>,
}
