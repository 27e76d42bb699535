//! What the model is asked to continue.

use toml::Spanned;

use super::{Origin, ReadText};
use crate::protocol::Prompt;
use crate::scenario::file::{PromptTable, ScenarioFile};
use crate::scenario::problem::Problem;
use crate::scenario::rules;

pub(super) fn resolve_prompts(
    file: &ScenarioFile,
    origin: &Origin,
    read_text: ReadText<'_>,
    problems: &mut Vec<Problem>,
) -> Vec<(String, Prompt)> {
    let tables = file.prompt.as_deref().unwrap_or_default();
    if tables.is_empty() {
        problems.push(
            Problem::general("the scenario has no prompt").hint("add [[prompt]] with name = \"…\" and text = \"…\""),
        );
    }
    let mut prompts: Vec<(String, Prompt)> = Vec::new();
    for table in tables {
        let name = if let Some(name) = &table.get_ref().name {
            rules::name(name, "prompt", problems);
            if prompts.iter().any(|(other, _)| other == name.get_ref()) {
                problems.push(Problem::at(
                    name.span(),
                    format!("two prompts are called `{}`", name.get_ref()),
                ));
            }
            name.get_ref().clone()
        } else {
            problems.push(Problem::at(table.span(), "the prompt has no name"));
            String::new()
        };
        if let Some(prompt) = resolve_prompt(table, origin, read_text, problems) {
            prompts.push((name, prompt));
        }
    }
    prompts
}

fn resolve_prompt(
    table: &Spanned<PromptTable>,
    origin: &Origin,
    read_text: ReadText<'_>,
    problems: &mut Vec<Problem>,
) -> Option<Prompt> {
    let prompt = table.get_ref();
    let mut sources = Vec::new();
    if let Some(text) = &prompt.text {
        sources.push((text.span(), Some(Prompt::Text(text.get_ref().clone()))));
    }
    if let Some(messages) = &prompt.messages {
        rules::messages(messages, problems);
        sources.push((messages.span(), Some(Prompt::Messages(messages.get_ref().clone()))));
    }
    if let Some(ids) = &prompt.input_ids {
        if ids.get_ref().is_empty() {
            problems.push(Problem::at(ids.span(), "a prompt needs at least one token"));
        }
        sources.push((ids.span(), Some(Prompt::InputIds(ids.get_ref().clone()))));
    }
    if let Some(path) = &prompt.file {
        let text = rules::text_inside_suite(path, origin, problems).and_then(|absolute| {
            read_text(&absolute)
                .map_err(|error| problems.push(Problem::at(path.span(), format!("{}: {error}", absolute.display()))))
                .ok()
        });
        sources.push((path.span(), text.map(Prompt::Text)));
    }
    if sources.len() != 1 {
        let place = sources.get(1).map_or_else(|| table.span(), |(span, _)| span.clone());
        problems.push(Problem::at(
            place,
            "a prompt has exactly one of text, messages, file and input_ids",
        ));
    }
    sources.into_iter().next().and_then(|(_, prompt)| prompt)
}
