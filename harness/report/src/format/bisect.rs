//! `bisect.md`: what a search found, for pasting into an issue.

use placebench_core::bisect::ProbeResult;
use placebench_core::bisect::record::{BisectRecord, Progress};
use placebench_core::units::human_seconds;

use super::markdown::escape;

/// What belongs to the failing attempt that shows the fault with the least.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Evidence {
    /// What happened to it, in a sentence.
    pub outcome: String,
    /// What was seen of the worker when its deadline had passed.
    pub seen: Option<String>,
    /// The file of its events, relative to the folder of the search.
    pub events: String,
}

/// The page. All texts are taken for untrusted: names of modules, and what workers said.
#[must_use]
pub fn render(record: &BisectRecord, evidence: Option<&Evidence>, has_reproducer: bool) -> String {
    let mut page = String::new();
    let case = &record.question.failing;
    let modules = record
        .confirmed
        .as_ref()
        .map(|confirmed| confirmed.space.modules.as_slice());
    let modules = modules.unwrap_or_default();
    let mut line = |text: &str| {
        page.push_str(text);
        page.push('\n');
    };
    line(&format!("## {}", escape(&case.case)));
    line("");
    match &record.progress {
        Progress::Found { answer, sentence } => {
            line(&format!("{}.", escape(sentence)));
            line("");
            let places = |configuration: &placebench_core::bisect::Configuration| escape(&configuration.words(modules));
            line(&format!("- fails: {}", places(&answer.failing)));
            line(&format!("- passes: {}", places(&answer.passing)));
        }
        Progress::Undecided { reason, nearest } => {
            line(&format!("Undecided: {}.", escape(reason)));
            if let Some(pair) = nearest {
                line("");
                line(&format!(
                    "- smallest that fails so far: {}",
                    escape(&pair.failing.words(modules))
                ));
                line(&format!(
                    "- nearest that passes: {}",
                    escape(&pair.passing.words(modules))
                ));
            }
        }
        Progress::Searching => line("Not finished."),
    }
    line(&format!(
        "- model: {}, engine: {}",
        escape(&case.model.label()),
        escape(&case.engine)
    ));
    if !case.faults.is_empty() {
        line(&format!(
            "- {} of the scenario injected: this shows that the search works, not that the machine is broken",
            match case.faults.len() {
                1 => "1 fault".to_owned(),
                count => format!("{count} faults"),
            }
        ));
    }
    if let Some(evidence) = evidence {
        line(&format!("- evidence: {}", escape(&evidence.outcome)));
        if let Some(seen) = &evidence.seen {
            line(&format!("- the worker then: {}", escape(seen)));
        }
        line(&format!("- its events: {}", escape(&evidence.events)));
    }
    if has_reproducer {
        line("- to see it again: `placebench run reproduce.toml` (fails while the fault is there)");
    }
    line("");
    line("| # | tried | result | took | what happened |");
    line("|---|---|---|---|---|");
    for (index, probe) in record.probes.iter().enumerate() {
        let result = match probe.result {
            ProbeResult::Fails => "**fails**",
            other => other.as_str(),
        };
        line(&format!(
            "| {} | {} | {result} | {} | {} |",
            index + 1,
            escape(&probe.tried),
            human_seconds(probe.wall_s),
            escape(&probe.sentence)
        ));
    }
    page
}
