//! What an engine needs to know besides the request that all of them share.

use serde::{Deserialize, Serialize};

use super::server_address::{PORT, ServerAddress};

/// How `engine = "transformers"` is to be run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransformersSpec {
    /// Name of the Python environment (`ci/python-env.sh NAME`); absent: the interpreter in `PLACEBENCH_PYTHON`, else the
    /// environment `newest`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// `attn_implementation` of `from_pretrained`; absent: the library's own choice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attention: Option<String>,
    /// A device to call `model.to(…)` with once the model has been dispatched: what scripts of users do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub move_to: Option<String>,
    /// The device the inputs are put on; absent: that of the embedding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inputs_on: Option<String>,
}

/// The server that `engine = "openai"` speaks to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerSpec {
    /// The address that `/chat/completions` follows: `http://127.0.0.1:8000/v1`. `{port}` stands for a port that is free.
    pub url: String,
    /// Name of the model there; absent: the first it lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// What starts it; absent: it runs already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<ServerStart>,
    /// The variable that holds its key, as the shell that starts placebench has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_key_env: Option<String>,
}

impl ServerSpec {
    /// Its address; `port` is put in where one has been chosen for it.
    ///
    /// # Errors
    /// What is wrong with it, in words that follow its name.
    pub fn address(&self, port: u16) -> Result<ServerAddress, String> {
        ServerAddress::parse(&self.url.replace(PORT, &port.to_string()))
    }

    /// Whether only this machine can be meant. An address that makes no sense is of no machine.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.address(1).is_ok_and(|address| address.is_loopback())
    }
}

/// How a server is started.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerStart {
    /// The program and its arguments, as they are handed to the system. `{port}` and `{model}` are put in.
    pub command: Vec<String>,
    /// Absolute path of the folder it runs in: that of the scenario's file.
    pub folder: String,
    /// Path that answers 200 once it can generate: `/health`.
    pub ready: String,
    /// Line of the command in the scenario's file, from 1.
    pub line: usize,
    /// What makes the program where it is not there; such cases are then skipped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub get: Option<String>,
}
