//! `placebench pending`: what waits for review, and what no case refers to.

use placebench_core::exit_code::ExitCode;
use placebench_runner::snapshot::{Pending, SnapshotContent, Unreferenced};
use serde_json::{Value, json};

use super::snapshots::refused;
use crate::args::{Format, PendingArgs};
use crate::error::CliError;
use crate::review::comparison::{self, Comparison, Token};
use crate::review::page;
use crate::summary::one_line;
use crate::terminal::{self, out, pretty_json, printable};
use crate::waiting::{self, Suites, number_of, shown};

/// Version of the JSON document; raised when a key changes its meaning or goes.
const SCHEMA_VERSION: u32 = 1;

/// Characters of a text in the list.
const SHOWN: usize = 200;

/// Characters that come before the first one that differs.
const BEFORE: usize = 40;

pub(crate) fn run(args: &PendingArgs) -> Result<ExitCode, CliError> {
    let waiting = waiting::find(&args.which)?;
    let mut suites = waiting::suites(&args.which.paths);
    if !args.which.filterset.is_empty() {
        // A filter asks about some cases, not about the suite.
        suites.unreferenced = None;
    }
    if args.format == Format::Json {
        let pending: Vec<Value> = waiting.pending.iter().map(|pending| entry(pending, &suites)).collect();
        let unreferenced = |list: &Vec<Unreferenced>| -> Vec<Value> {
            list.iter()
                .map(|found| json!({"file": shown(&found.path), "case": found.header.case}))
                .collect()
        };
        let refused: Vec<String> = waiting.refused.iter().map(|error| terminal::chain(error)).collect();
        out(&pretty_json(&json!({
            "schema_version": SCHEMA_VERSION,
            "pending": pending,
            "refused": refused,
            "unreferenced": suites.unreferenced.as_ref().map(unreferenced),
        })));
        return Ok(if waiting.refused.is_empty() {
            ExitCode::Passed
        } else {
            ExitCode::Setup
        });
    }
    for pending in &waiting.pending {
        print(pending, &suites);
    }
    match waiting.pending.len() {
        0 if waiting.refused.is_empty() => out("no pending snapshots"),
        0 => {}
        number => out(&format!(
            "{}: look at each with `placebench review`, or decide with `placebench accept` or `placebench reject`",
            number_of(number)
        )),
    }
    waiting::tell_unreferenced(suites.unreferenced.as_deref().unwrap_or_default());
    refused(&waiting.refused)
}

fn print(pending: &Pending, suites: &Suites) {
    let comparison = comparison::of(pending, suites.max_gap(pending));
    let case = pending.header.case.as_deref().unwrap_or("a case it does not name");
    let class = page::device_class(pending).map(|class| format!(", {}", printable(class)));
    out(&format!(
        "{} ({}{})",
        printable(case),
        comparison.change.word(),
        class.unwrap_or_default()
    ));
    out(&format!("  file: {}", printable(&pending.path.display().to_string())));
    if suites.is_referenced(pending) == Some(false) {
        out("  no case refers to it any more");
    }
    out(&format!("  {}", comparison.sentence));
    let (old, new) = texts(pending);
    for (name, text) in [("approved", old), ("new", Some(new))] {
        if let Some(Excerpt { from, text, is_end }) = text {
            let before = if from > 0 { "…" } else { "" };
            let after = if is_end { "" } else { "…" };
            let text = one_line(&printable(&format!("{text:?}")));
            out(&format!("  {name}: {before}{text}{after}"));
        }
    }
}

fn entry(pending: &Pending, suites: &Suites) -> Value {
    let Comparison {
        change,
        sentence,
        first,
    } = comparison::of(pending, suites.max_gap(pending));
    let token = |token: Token<'_>| json!({"id": token.id, "text": token.text});
    let (old, new) = texts(pending);
    json!({
        "case": pending.header.case,
        "device_class": page::device_class(pending),
        "file": pending.path,
        "approved_file": pending.approved_path,
        "source": pending.header.source,
        "run": pending.header.run,
        "change": change.word(),
        "sentence": sentence,
        "first_difference": first.map(|first| json!({
            "token": first.index,
            "approved": first.old.map(token),
            "new": first.new.map(token),
            "gap": first.gap,
            "near_tie": first.is_near_tie,
        })),
        "approved": pending.old.as_ref().zip(old).map(|(content, excerpt)| side(content, &excerpt)),
        "new": side(&pending.new, &new),
        "referenced": suites.is_referenced(pending),
    })
}

fn side(content: &SnapshotContent, excerpt: &Excerpt) -> Value {
    json!({
        "text": excerpt.text,
        "text_from_char": excerpt.from,
        "text_chars": content.text.chars().count(),
        "tokens": content.token_ids.len(),
        "finish_reason": content.finish_reason,
    })
}

/// A part of a text, around the first character that differs.
struct Excerpt {
    /// Characters before it.
    from: usize,
    text: String,
    /// Whether the text ends with it.
    is_end: bool,
}

fn texts(pending: &Pending) -> (Option<Excerpt>, Excerpt) {
    let new = &pending.new.text;
    let same = pending.old.as_ref().map_or(0, |old| {
        old.text.chars().zip(new.chars()).take_while(|(a, b)| a == b).count()
    });
    let from = same.saturating_sub(BEFORE);
    let excerpt = |text: &str| {
        let mut rest = text.chars().skip(from);
        Excerpt {
            from,
            text: rest.by_ref().take(SHOWN).collect(),
            is_end: rest.next().is_none(),
        }
    };
    (pending.old.as_ref().map(|old| excerpt(&old.text)), excerpt(new))
}
