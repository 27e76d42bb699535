//! What an audit makes of a case.

use serde::{Deserialize, Serialize};

use crate::protocol::GenerationSpec;
use crate::record::{CaseSpec, Isolation, MeasureSpec};

/// How a case is audited.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditSpec {
    /// Generate no more tokens than this; absent: as many as the scenario asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u32>,
}

impl CaseSpec {
    /// The case as an audit runs it: one generation without warm-up in one process.
    #[must_use]
    pub fn audited(self, audit: AuditSpec) -> Self {
        Self {
            measure: MeasureSpec {
                warmup: 0,
                repetitions: 1,
                isolation: Isolation::Process,
                probe: false,
                first_look: None,
            },
            audit: Some(audit),
            ..self
        }
    }

    /// How a worker is asked to generate: as the scenario says, but for the limit of an audit.
    #[must_use]
    pub fn generation_asked(&self) -> GenerationSpec {
        let asked = &self.generation;
        let limit = self.audit.and_then(|audit| audit.max_tokens).unwrap_or(u32::MAX);
        GenerationSpec {
            max_new_tokens: asked.max_new_tokens.min(limit),
            ..asked.clone()
        }
    }

    /// True where the audit ends before the scenario would: the end of its text is then unknown.
    #[must_use]
    pub fn is_cut_by_audit(&self) -> bool {
        let limit = self.audit.and_then(|audit| audit.max_tokens);
        limit.is_some_and(|limit| limit < self.generation.max_new_tokens)
    }
}
