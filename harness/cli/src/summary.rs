//! The closing words of a run: what failed, why, and what to do.

use std::path::{Path, PathBuf};

use console::Style;
use placebench_core::exit_code::ExitCode;
use placebench_core::judge::answer::{Blame, leading};
use placebench_core::record::{CaseStatus, CaseVerdict, GateVerdict, RunRecord};
use placebench_core::units::human_seconds;
use placebench_report::view::changes;
use placebench_report::view::divergence;
use placebench_report::view::gate::GateWords;
use placebench_report::view::modules::request_words;

use crate::args::Tables;
use crate::compare::human;
use crate::progress::status_word;
use crate::terminal::{self, block, out, printable};
use crate::{audit, foreign, neighbours, placement_table};

/// Processes whose stacks are told of; the page has those of all ranks.
const MOST_STACKS: usize = 4;

/// What the summary speaks of besides the record.
pub(crate) struct Closing<'a> {
    /// Folder of the run.
    pub(crate) folder: &'a Path,
    /// Snapshots that wait for review.
    pub(crate) pending: &'a [PathBuf],
    /// Seconds the run took.
    pub(crate) took_s: f64,
    /// Which placements are shown beside each other.
    pub(crate) tables: Tables,
}

/// Prints the summary.
pub(crate) fn print(record: &RunRecord, closing: &Closing<'_>) {
    let verdict = &record.verdict;
    let with = |status: CaseStatus| verdict.cases.iter().filter(move |case| case.status == status);
    for judged in with(CaseStatus::Failed).chain(with(CaseStatus::Setup)) {
        print_failure(record, judged);
    }
    for judged in verdict.cases.iter().filter(|case| case.status == CaseStatus::Flaky) {
        print_flaky(judged);
    }
    audit::print(record);
    print_skipped(record);
    print_not_recovered(record);
    neighbours::print(record);
    placement_table::print(record, closing.tables);
    print_answers(record);
    let count = |status: CaseStatus| with(status).count();
    let mut words = Vec::new();
    for (status, word) in [
        (CaseStatus::Passed, "passed"),
        (CaseStatus::Flaky, "flaky"),
        (CaseStatus::Failed, "failed"),
        (CaseStatus::Setup, "not set up"),
        (CaseStatus::Pending, "with a snapshot to review"),
        (CaseStatus::Skipped, "skipped"),
    ] {
        let number = count(status);
        if number > 0 {
            words.push(format!("{number} {word}"));
        }
    }
    if let Some(gate) = &verdict.gate {
        print_gate(gate);
    }
    out("");
    let cases = terminal::counted(verdict.cases.len(), "case");
    let line = format!("{cases}: {}; took {}", words.join(", "), human_seconds(closing.took_s));
    out(&Style::new().bold().apply_to(line).to_string());
    if !verdict.complete {
        print_incomplete(record);
    }
    for path in closing.pending {
        out(&format!("review: {}", printable(&path.display().to_string())));
    }
    if !closing.pending.is_empty() {
        out("look at each with `placebench review PATH`, or approve them with `placebench accept PATH`");
    }
    if record.info.tool.profile == "debug" {
        out(
            "built with debug assertions: compare placements with these figures, but publish those of a --release build",
        );
    }
    out(&format!(
        "report: {}",
        printable(&closing.folder.join("report.html").display().to_string())
    ));
    if verdict.exit != ExitCode::Passed {
        let of_gate = verdict.gate.as_ref().filter(|gate| gate.exit == verdict.exit);
        let meaning = of_gate.map_or_else(|| meaning(verdict.exit), |gate| changes::meaning(gate.exit));
        out(&format!("exit code {}: {meaning}", verdict.exit_code));
    }
}

/// Is it the placement, the library, or the machine? Where that is the question.
fn print_answers(record: &RunRecord) {
    const MOST: usize = 6;
    let answers = leading(&record.info, &record.verdict);
    for answer in answers.iter().take(MOST) {
        out("");
        let style = match answer.blame {
            Blame::Nothing => Style::new().green(),
            Blame::Undecided | Blame::Injected => Style::new().yellow(),
            Blame::Placement | Blame::Library | Blame::Machine | Blame::Model => Style::new().red(),
        };
        out(&format!(
            "{} {}/{}: {}",
            style.bold().apply_to(format!("{}:", answer.blame.as_str())),
            printable(&answer.scenario),
            printable(&answer.prompt),
            one_line(&block(&answer.sentence))
        ));
        if let Some(next) = &answer.next {
            out(&format!(
                "         {} {}",
                Style::new().cyan().apply_to("what would decide:"),
                one_line(&block(next))
            ));
        }
    }
    if answers.len() > MOST {
        let more = terminal::counted(answers.len() - MOST, "more answer");
        out(&format!("{more} in the report"));
    }
}

/// What the run was held against, only what differs, and the answer.
fn print_gate(gate: &GateVerdict) {
    let words = GateWords::new(gate);
    out("");
    let base = format!("held against {}", printable(&words.base));
    out(&Style::new().bold().apply_to(base).to_string());
    let lines = human::case_lines(&words.cases, human::width());
    lines.iter().for_each(|line| out(line));
    if !words.cases.is_empty() && !words.sentences.is_empty() {
        out("");
    }
    words.sentences.iter().for_each(|sentence| out(&printable(sentence)));
    let style = match gate.exit {
        ExitCode::Passed => Style::new().green(),
        ExitCode::CaseFailed | ExitCode::Slower => Style::new().red(),
        _ => Style::new().yellow(),
    };
    out(&format!(
        "{} {}",
        style.bold().apply_to("gate:"),
        printable(&words.closing)
    ));
}

/// A run that stopped before its end, why, and how it goes on.
fn print_incomplete(record: &RunRecord) {
    let failed = |case: &&CaseVerdict| matches!(case.status, CaseStatus::Failed | CaseStatus::Setup);
    let failures = record.verdict.cases.iter().filter(failed).count();
    let why = match record.info.control.max_fail {
        Some(most) if failures >= most as usize => {
            format!("stopped after {}, as asked for", terminal::counted(failures, "failure"))
        }
        _ if !record.info.shards.is_empty() => {
            out("cases are missing: nothing can be said about the whole");
            return;
        }
        _ => "the run was interrupted".to_owned(),
    };
    let id = printable(&record.info.run_id);
    let flags = foreign::flags_to_resume(&record.info);
    out(&format!("{why}; go on with: placebench run --resume {id}{flags}"));
}

fn print_flaky(judged: &CaseVerdict) {
    out("");
    out(&format!("{} {}", status_word(judged.status), printable(&judged.case)));
    print_earlier_tries(judged);
    out(&format!("         retry {}: passed", judged.decided_by_retry));
}

/// What a case failed with before it was tried again.
fn print_earlier_tries(judged: &CaseVerdict) {
    for earlier in &judged.earlier_tries {
        let which = match earlier.retry {
            0 => "first try".to_owned(),
            retry => format!("retry {retry}"),
        };
        out(&format!(
            "         {which}: {}",
            one_line(&printable(&earlier.reason()))
        ));
    }
}

fn print_failure(record: &RunRecord, judged: &CaseVerdict) {
    out("");
    let spec = record.info.cases.iter().find(|case| case.case == judged.case);
    let place = spec
        .map(|case| format!("  ({}:{})", printable(&case.file), case.line))
        .unwrap_or_default();
    out(&format!(
        "{} {}{place}",
        status_word(judged.status),
        printable(&judged.case)
    ));
    if let Some(spec) = spec {
        let request = request_words(&spec.request);
        out(&format!("         requested: {}", one_line(&block(&request))));
    }
    print_earlier_tries(judged);
    for finding in &judged.findings {
        out(&format!(
            "         {}: {}",
            finding.check,
            one_line(&block(&finding.message))
        ));
        if let Some(hint) = &finding.hint {
            out(&format!(
                "         {} {}",
                Style::new().cyan().apply_to("help:"),
                block(hint)
            ));
        }
    }
    for divergence in &judged.divergences {
        for line in divergence::lines(divergence) {
            out(&format!("         {}", printable(&line)));
        }
    }
    for note in &judged.notes {
        out(&format!("         note: {}", one_line(&printable(note))));
    }
    if let Some(evidence) = record
        .attempts_of(&judged.case)
        .find_map(|attempt| attempt.evidence.as_ref())
    {
        out(&format!(
            "         evidence: {}",
            one_line(&block(&evidence.sentence()))
        ));
        for stacks in evidence.stacks.iter().take(MOST_STACKS) {
            out(&format!("         stacks: {}", one_line(&block(&stacks.sentence()))));
        }
    }
    let stderr = record
        .attempts_of(&judged.case)
        .map(|attempt| attempt.stderr_tail.trim())
        .find(|text| !text.is_empty());
    if let Some(text) = stderr {
        let last: Vec<&str> = text.lines().rev().take(3).collect();
        for line in last.iter().rev() {
            out(&format!("         stderr: {}", one_line(&block(line))));
        }
    }
}

/// Skipped cases by reason: a suite for another machine is one line, not thirty.
fn print_skipped(record: &RunRecord) {
    let mut reasons: Vec<(String, Option<String>, usize)> = Vec::new();
    for judged in record
        .verdict
        .cases
        .iter()
        .filter(|case| case.status == CaseStatus::Skipped)
    {
        let hint = record
            .attempts_of(&judged.case)
            .find_map(|attempt| match &attempt.outcome {
                placebench_core::outcome::Outcome::Skipped { hint, .. } => hint.clone(),
                _ => None,
            });
        match reasons.iter_mut().find(|(reason, _, _)| *reason == judged.sentence) {
            Some((_, _, count)) => *count += 1,
            None => reasons.push((judged.sentence.clone(), hint, 1)),
        }
    }
    if !reasons.is_empty() {
        out("");
    }
    for (reason, hint, count) in reasons {
        let cases = terminal::counted(count, "case");
        let hint = hint
            .map(|hint| format!("; to run: {}", printable(&hint)))
            .unwrap_or_default();
        out(&format!(
            "{} {cases}: {}{hint}",
            status_word(CaseStatus::Skipped),
            one_line(&block(&reason))
        ));
    }
}

/// Devices and processes that did not come back, whether or not a later case was skipped for it.
fn print_not_recovered(record: &RunRecord) {
    for attempt in &record.attempts {
        let Some(recovery) = attempt.recovery.as_ref().filter(|recovery| !recovery.is_complete()) else {
            continue;
        };
        let mut left: Vec<String> = recovery
            .gpus
            .iter()
            .filter(|gpu| !gpu.recovered)
            .map(|gpu| format!("GPU {} ({}), quarantined from then on", gpu.index, printable(&gpu.name)))
            .collect();
        if recovery.processes_left > 0 {
            let count = recovery.processes_left;
            let held = recovery
                .rss_left_bytes
                .map(|bytes| format!(" with {bytes}"))
                .unwrap_or_default();
            let noun = if count == 1 { "process" } else { "processes" };
            left.push(format!("{count} {noun}{held}"));
        }
        out("");
        out(&format!(
            "{} did not recover within {} of attempt {} of {}",
            left.join(" and "),
            human_seconds(recovery.after_s),
            attempt.attempt,
            printable(&attempt.case)
        ));
    }
}

/// Newlines become spaces, and what is too long for a terminal is cut.
pub(crate) fn one_line(text: &str) -> String {
    const MOST: usize = 400;
    let flat: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if flat.chars().count() <= MOST {
        return flat;
    }
    flat.chars().take(MOST).chain(['…']).collect()
}

fn meaning(exit: ExitCode) -> &'static str {
    match exit {
        ExitCode::Passed => "all passed",
        ExitCode::Usage => "the command line makes no sense",
        ExitCode::NothingSelected => "nothing was selected",
        ExitCode::BadFilter => "the filter is malformed",
        ExitCode::Setup => "a scenario, a model's files or the machine must be put right first",
        ExitCode::CaseFailed => "a case failed",
        ExitCode::Slower => "slower than the baseline",
        ExitCode::NoVerdict => "nothing can be said",
        ExitCode::PendingSnapshots => "snapshots wait for review",
    }
}
