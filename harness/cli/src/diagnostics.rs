//! Problems of files people wrote, shown with the lines they are about.

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use placebench_core::exit_code::ExitCode;
use placebench_core::scenario::Problem;
use placebench_report::view::words::hides_or_reorders;

use crate::error::CliError;
use crate::terminal;

/// The problems of one file.
#[derive(Debug)]
pub(crate) struct FileProblems {
    /// The file as people know it.
    pub(crate) file: String,
    /// Its text.
    pub(crate) text: String,
    /// What is wrong in it.
    pub(crate) problems: Vec<Problem>,
}

/// Shows them all on standard error.
pub(crate) fn show(files: &[FileProblems]) {
    let renderer = renderer();
    for file in files {
        for problem in &file.problems {
            terminal::err(&render(&renderer, file, problem));
        }
    }
    let problems: usize = files.iter().map(|file| file.problems.len()).sum();
    terminal::err(&format!(
        "{} in {}",
        terminal::counted(problems, "problem"),
        terminal::counted(files.len(), "file")
    ));
}

/// A filter that cannot be read: shown with its place, and the error for it. `name` says who gave it.
pub(crate) fn bad_filter(name: &str, text: &str, problem: Problem) -> CliError {
    let file = FileProblems {
        file: name.to_owned(),
        text: text.to_owned(),
        problems: Vec::new(),
    };
    terminal::err(&render(&renderer(), &file, &problem));
    CliError::with_code(ExitCode::BadFilter, "").hint("the language of filters is in `placebench run --help`")
}

fn renderer() -> Renderer {
    if console::colors_enabled_stderr() {
        Renderer::styled()
    } else {
        Renderer::plain()
    }
}

fn render(renderer: &Renderer, file: &FileProblems, problem: &Problem) -> String {
    // The message may quote the file, and the file may hold anything.
    let message = terminal::block(&problem.message);
    let name = terminal::printable(&file.file);
    let mut group = Group::with_title(Level::ERROR.primary_title(message.as_str()));
    let source = neutral_source(&file.text);
    if let Some(span) = &problem.span {
        let end = span.end.min(source.len());
        let start = span.start.min(end);
        group = group.element(
            Snippet::source(source.as_str())
                .path(name.as_str())
                .annotation(AnnotationKind::Primary.span(start..end)),
        );
    } else {
        group = group.element(annotate_snippets::Origin::path(name.as_str()));
    }
    let hint = problem.hint.as_deref().map(terminal::block);
    if let Some(hint) = &hint {
        group = group.element(Level::HELP.message(hint.as_str()));
    }
    renderer.render(&[group]).to_string()
}

/// The text with what hides or acts made harmless, each character by as many bytes as it had, so that spans still fit.
fn neutral_source(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        let ends_line = c == '\n' || (c == '\r' && rest.as_str().starts_with('\n'));
        if !ends_line && c != '\t' && (c.is_control() || hides_or_reorders(c)) {
            shown.extend(std::iter::repeat_n('?', c.len_utf8()));
        } else {
            shown.push(c);
        }
    }
    // One sign of three, so that the log's reader sees no command in it.
    shown.replace("##[", "##?").replace("##vso[", "##vso?")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quoted_file_is_harmless_and_keeps_its_places() {
        let text = "a\r\n\u{1b}[2J\u{9b}\u{202e}\r##[x]\tb é";
        let shown = neutral_source(text);
        assert_eq!(shown, "a\r\n?[2J??????##?x]\tb é");
        assert_eq!(shown.len(), text.len());
    }
}
