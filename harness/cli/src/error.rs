//! Errors of a command: what went wrong, what to do, and the exit code.

use placebench_core::exit_code::ExitCode;

use crate::terminal;

/// A command that could not do its work.
#[derive(Debug)]
pub(crate) struct CliError {
    code: ExitCode,
    message: String,
    hint: Option<String>,
}

impl CliError {
    /// The scenario, a file or the machine must be put right first.
    pub(crate) fn setup(message: impl Into<String>) -> Self {
        Self {
            code: ExitCode::Setup,
            message: message.into(),
            hint: None,
        }
    }

    /// An error with another exit code.
    pub(crate) fn with_code(code: ExitCode, message: impl Into<String>) -> Self {
        Self {
            code,
            ..Self::setup(message)
        }
    }

    /// The exit code.
    pub(crate) fn code(&self) -> ExitCode {
        self.code
    }

    /// What went wrong.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// Adds what to do about it.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Tells the person, and returns the exit code. A message may have been shown already and be empty.
    pub(crate) fn report(&self) -> u8 {
        if !self.message.is_empty() {
            terminal::error(&self.message);
        }
        if let Some(hint) = &self.hint {
            terminal::hint(hint);
        }
        self.code.number()
    }
}
