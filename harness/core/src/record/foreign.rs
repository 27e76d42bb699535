//! Code of others that a case would run: only where the command line allows it.

use serde::{Deserialize, Serialize};

use super::CaseSpec;
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
        program.into_iter().chain(variables).collect()
    }
}
