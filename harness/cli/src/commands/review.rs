//! `placebench review`: pending snapshots one after the other. A decision is carried out at once, so that whatever ends the
//! review takes none back.

use console::Term;
use placebench_core::exit_code::ExitCode;
use placebench_runner::snapshot::{self, Pending, SnapshotError};

use crate::args::SnapshotArgs;
use crate::error::CliError;
use crate::review::answers::{Answer, Answers};
use crate::review::comparison;
use crate::review::page::{self, View};
use crate::terminal::{self, out, printable};
use crate::waiting::{self, Suites};

use super::snapshots::refused;

const QUESTION: &str = "[a]ccept [r]eject [s]kip [d]iff [q]uit ";
const HELP: &str = "  a  approve the new text: it replaces the approved file\n  r  throw the new text away\n  s  decide later\n  \
    d  show less or more of what differs, or the new text alone\n  q  decide the rest later";

#[derive(Default)]
struct Decided {
    accepted: u64,
    rejected: u64,
    left: u64,
}

pub(crate) fn run(args: &SnapshotArgs) -> Result<ExitCode, CliError> {
    let mut waiting = waiting::find(args)?;
    if waiting.pending.is_empty() {
        if waiting.refused.is_empty() {
            out("no pending snapshots");
        }
        return refused(&waiting.refused);
    }
    let unreadable = |error: std::io::Error| CliError::setup(format!("cannot read what is answered: {error}"));
    let Some(mut answers) = Answers::open().map_err(unreadable)? else {
        return Err(CliError::with_code(
            ExitCode::Usage,
            "a review asks questions, and standard input is no terminal and holds no answers",
        )
        .hint(
            "list what waits with `placebench pending`, decide with `placebench accept` or `placebench reject` and a path or \
             -E, or give an answer a line: a, r, s, d or q",
        ));
    };
    let suites = waiting::suites(&args.paths);
    let (mut decided, mut view, number) = (Decided::default(), View::Short, waiting.pending.len());
    let mut is_over = false;
    for (index, pending) in waiting.pending.into_iter().enumerate() {
        if is_over {
            decided.left += 1;
            continue;
        }
        out(&format!("\nsnapshot {} of {number}", index + 1));
        match review(pending, &suites, &mut view, &mut answers).map_err(unreadable)? {
            Ok(Some(Answer::Accept)) => decided.accepted += 1,
            Ok(Some(Answer::Reject)) => decided.rejected += 1,
            Ok(Some(Answer::Quit)) => {
                decided.left += 1;
                is_over = true;
            }
            Ok(Some(_)) => decided.left += 1,
            Ok(None) => {}
            Err(error) => waiting.refused.push(error),
        }
    }
    let Decided {
        accepted,
        rejected,
        left,
    } = decided;
    out(&format!(
        "\n{accepted} accepted, {rejected} rejected, {left} left to review"
    ));
    refused(&waiting.refused)
}

/// Shows one snapshot until it is decided on, and carries that out. `None` where somebody else has dealt with it.
fn review(
    mut pending: Pending,
    suites: &Suites,
    view: &mut View,
    answers: &mut Answers,
) -> std::io::Result<Result<Option<Answer>, SnapshotError>> {
    let mut is_shown = false;
    loop {
        if !is_shown {
            show(&pending, suites, *view);
            is_shown = true;
        }
        let answer = answers.next(QUESTION)?.unwrap_or(Answer::Quit);
        let done = match answer {
            Answer::Accept => snapshot::accept(&pending),
            Answer::Reject => snapshot::reject(&pending),
            Answer::View => {
                *view = view.next();
                is_shown = false;
                continue;
            }
            Answer::Help => {
                out(HELP);
                continue;
            }
            Answer::Skip | Answer::Quit => return Ok(Ok(Some(answer))),
        };
        let path = printable(&pending.path.display().to_string());
        match done {
            Ok(()) => {
                let word = if answer == Answer::Accept {
                    "accepted"
                } else {
                    "rejected"
                };
                out(&format!("{word} {path}"));
                return Ok(Ok(Some(answer)));
            }
            Err(error @ SnapshotError::Changed { .. }) => {
                terminal::warning(&format!("{}; nothing was done", terminal::chain(&error)));
                match snapshot::read_pending(&pending.path) {
                    Ok(now) => (pending, is_shown) = (now, false),
                    Err(SnapshotError::Changed { .. }) => return Ok(Ok(None)),
                    Err(error) => return Ok(Err(error)),
                }
            }
            Err(error) => return Ok(Err(error)),
        }
    }
}

fn show(pending: &Pending, suites: &Suites, view: View) {
    let comparison = comparison::of(pending, suites.max_gap(pending));
    let mut rows = page::heading(pending, &comparison, suites.is_referenced(pending));
    rows.extend(page::body(pending, &comparison, view));
    let (_, columns) = Term::stdout().size_checked().unwrap_or((24, 100));
    for line in page::lines(&rows, usize::from(columns)) {
        out(&line);
    }
}
