//! Code of others that a case would run: only where the command line allows it.

use serde::{Deserialize, Serialize};

use super::{CaseSpec, ServerSpec, ServerStart};
use crate::worker_variables::is_tuning;

/// The program that is the engine of a case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgramSpec {
    /// The program and its arguments, as they are handed to the system; no shell reads them. A program without `/` is
    /// looked for in `PATH`; any other is absolute.
    pub command: Vec<String>,
    /// Absolute path of the folder it runs in: that of the scenario's file.
    pub folder: String,
    /// Line of the command in that file, from 1.
    pub line: usize,
}

/// A reason why a case runs code that is neither this program nor chosen by the person who started it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ForeignCode<'a> {
    /// A program is its engine.
    Program(&'a ProgramSpec),
    /// Its `[env]` sets a variable that can make a worker run other code, or send what it knows elsewhere.
    Variable(&'a str),
    /// It starts a server.
    Server(&'a ServerStart),
    /// It speaks to a server on another machine: what it sends goes there.
    Address(&'a str),
    /// It hands the value of that variable to a server.
    Key {
        /// Name of the variable.
        variable: &'a str,
        /// Address of the server.
        url: &'a str,
    },
}

impl CaseSpec {
    /// The program that executes it, if that is not this one.
    #[must_use]
    pub fn foreign_program(&self) -> Option<&ProgramSpec> {
        self.program
            .as_ref()
            .filter(|_| self.engine == crate::scenario::PROGRAM)
    }

    /// All reasons why running it needs a permission.
    #[must_use]
    pub fn foreign_code(&self) -> Vec<ForeignCode<'_>> {
        let variables = self.env.iter().map(|(name, _)| name.as_str());
        let program = self.foreign_program().map(ForeignCode::Program);
        let variables = variables.filter(|name| !is_tuning(name)).map(ForeignCode::Variable);
        let server = self.server.as_ref().filter(|_| self.engine == crate::scenario::OPENAI);
        let of_server = server.map(of_server).unwrap_or_default();
        program.into_iter().chain(of_server).chain(variables).collect()
    }
}

/// What of a server needs a permission. One that runs on this machine already and is shown no key needs none: it is sent the
/// prompts of the suite, and nothing else.
fn of_server(server: &ServerSpec) -> Vec<ForeignCode<'_>> {
    let start = server.start.as_ref().map(ForeignCode::Server);
    let address = (!server.is_loopback()).then_some(ForeignCode::Address(&server.url));
    let key = server.api_key_env.as_deref().map(|variable| ForeignCode::Key {
        variable,
        url: &server.url,
    });
    start.into_iter().chain(address).chain(key).collect()
}
