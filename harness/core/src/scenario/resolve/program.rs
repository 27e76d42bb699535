//! What of a scenario would run code of others: its program and its environment variables.

use std::path::{Component, Path};

use toml::Spanned;

use super::{Matrix, Origin};
use crate::record::ProgramSpec;
use crate::scenario::PROGRAM;
use crate::scenario::file::ScenarioFile;
use crate::scenario::problem::Problem;
use crate::scenario::rules;
use crate::scenario::value::Named;
use crate::worker_variables::{OWN_PREFIX, is_name, is_own, is_secret};

const EXAMPLE: &str = "add for example: [program] with command = [\"python3\", \"my_engine.py\"]";

/// The program, where an engine of the scenario is one.
pub(super) fn resolve_program(
    file: &ScenarioFile,
    engine: &str,
    matrix: &Matrix,
    text: &str,
    origin: &Origin,
    problems: &mut Vec<Problem>,
) -> Option<ProgramSpec> {
    let wanted = engine == PROGRAM || matrix.engine.iter().any(|engine| engine == PROGRAM);
    match (&file.program, wanted) {
        (None, false) => None,
        (None, true) => {
            let message = "engine `program` needs a [program] that says which";
            let problem = match &file.engine {
                Some(engine) if engine.get_ref() == PROGRAM => Problem::at(engine.span(), message),
                _ => Problem::general(message),
            };
            problems.push(problem.hint(EXAMPLE));
            None
        }
        (Some(table), false) => {
            problems.push(
                Problem::at(table.command.span(), "[program] is used by no engine of this scenario")
                    .hint(format!("write engine = \"{PROGRAM}\", or remove it")),
            );
            None
        }
        (Some(table), true) => command(&table.command, EXAMPLE, origin, problems).map(|command| ProgramSpec {
            command,
            folder: origin.folder.to_string_lossy().into_owned(),
            line: Problem::at(table.command.span(), "")
                .position(text)
                .map_or(1, |(line, _)| line),
        }),
    }
}

/// A command as it is handed to the system: its program located, its other words as they are.
pub(super) fn command(
    words: &Spanned<Vec<Spanned<String>>>,
    example: &str,
    origin: &Origin,
    problems: &mut Vec<Problem>,
) -> Option<Vec<String>> {
    let Some((program, arguments)) = words.get_ref().split_first() else {
        problems.push(Problem::at(words.span(), "the command is empty").hint(example));
        return None;
    };
    for word in words.get_ref() {
        if word.get_ref().contains('\0') {
            problems.push(Problem::at(word.span(), "no command can hold a NUL character"));
            return None;
        }
    }
    let first = located(program, origin, problems);
    let is_way_up = |argument: &str| {
        Path::new(argument)
            .components()
            .any(|part| part == Component::ParentDir)
    };
    for argument in arguments.iter().filter(|argument| is_way_up(argument.get_ref())) {
        rules::inside_suite(argument, origin, problems);
    }
    let rest = arguments.iter().map(|argument| argument.get_ref().clone());
    Some(std::iter::once(first?).chain(rest).collect())
}

/// The program: a bare name as it is, a path made absolute.
fn located(program: &Spanned<String>, origin: &Origin, problems: &mut Vec<Problem>) -> Option<String> {
    if !program.get_ref().is_empty() && !program.get_ref().contains('/') {
        return Some(program.get_ref().clone());
    }
    rules::inside_suite(program, origin, problems).map(|path| path.to_string_lossy().into_owned())
}

/// Variables that no scenario may set, whatever the command line allows.
pub(super) fn check_env(env: Option<&Named<String>>, problems: &mut Vec<Problem>) {
    for (name, value) in env.into_iter().flat_map(Named::iter) {
        let (span, name) = (name.span(), name.get_ref());
        if !is_name(name) || value.contains('\0') {
            problems.push(
                Problem::at(span, format!("`{name}` is no environment variable a worker could get"))
                    .hint("use letters, digits and `_`, and no NUL character in the value"),
            );
        } else if is_own(name) {
            problems.push(Problem::at(
                span,
                format!("`{name}` is not for scenarios: with {OWN_PREFIX}… the harness speaks to its workers"),
            ));
        } else if is_secret(name) {
            problems.push(
                Problem::at(
                    span,
                    format!("`{name}` looks like a secret, and scenarios and their records are shared"),
                )
                .hint("set it in the shell that starts placebench: workers inherit HF_… and OPENAI_… from there"),
            );
        }
    }
}
