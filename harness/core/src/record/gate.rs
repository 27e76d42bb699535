//! What a run was held against beyond its own expectations, and the answer.

use serde::{Deserialize, Serialize};

use super::RunVerdict;
use crate::compare::Comparison;
use crate::exit_code::ExitCode;

/// What a run was held against.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum GateBase {
    /// A stored baseline (`--baseline`).
    Baseline {
        /// Its name.
        name: String,
        /// Its file.
        file: String,
    },
    /// Another program, whose attempts were made in turns with this one's (`--against`).
    Program {
        /// Its path.
        program: String,
        /// What it calls itself, as its workers said.
        version: String,
    },
}

/// The answer. On record in `verdict.json`, with everything it was decided by.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct GateVerdict {
    /// What the run was held against.
    pub base: GateBase,
    /// The figures.
    pub comparison: Comparison,
    /// What the figures do not say: cases that one side lacks, cases that broke, parts of a machine that differ. A sentence
    /// each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// The answer of the gate alone.
    pub exit: ExitCode,
    /// Its number.
    pub exit_code: u8,
}

impl RunVerdict {
    /// The same, held against something: the process exits with the weightier of the two answers. What is certain outweighs
    /// what is not known, and a wrong result a slow one.
    #[must_use]
    pub fn with_gate(self, gate: GateVerdict) -> Self {
        let exit = weightier(self.exit, gate.exit);
        Self {
            exit,
            exit_code: exit.number(),
            gate: Some(gate),
            ..self
        }
    }
}

fn weightier(own: ExitCode, gate: ExitCode) -> ExitCode {
    let weight = |exit: ExitCode| match exit {
        ExitCode::Passed => 0,
        ExitCode::PendingSnapshots => 1,
        ExitCode::NoVerdict => 2,
        ExitCode::Slower => 3,
        ExitCode::NothingSelected | ExitCode::BadFilter | ExitCode::Usage | ExitCode::Setup => 4,
        ExitCode::CaseFailed => 5,
    };
    if weight(gate) > weight(own) { gate } else { own }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_result_outweighs_a_slow_one_and_that_one_that_says_nothing() {
        let order = [
            ExitCode::Passed,
            ExitCode::PendingSnapshots,
            ExitCode::NoVerdict,
            ExitCode::Slower,
            ExitCode::Setup,
            ExitCode::CaseFailed,
        ];
        for (index, light) in order.iter().enumerate() {
            for heavy in &order[index..] {
                assert_eq!(weightier(*light, *heavy), *heavy);
                assert_eq!(weightier(*heavy, *light), *heavy);
            }
        }
    }
}
