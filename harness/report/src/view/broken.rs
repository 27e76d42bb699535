//! The module or hop of a placement at which a case broke.

use placebench_core::outcome::ranks::{behind, behind_words};
use placebench_core::outcome::{FailureClass, LastSeen, Outcome, Phase, Place};
use placebench_core::units::human_seconds;
use serde::Serialize;

use super::audit::AuditView;
use super::modules::ModuleView;
use super::words::line;

/// Where a case broke.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BrokenView {
    /// Position of the module, or of the first module behind the hop.
    pub at: usize,
    /// It is a hop.
    pub is_hop: bool,
    /// What happened there: `stalled here: token 3, for 2.01 s`.
    pub words: String,
    /// The modules behind were not reached in that step.
    pub is_cut_short: bool,
    /// The first of the ranks that are behind, in whose lane it is; absent in one process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rank: Option<u32>,
}

/// Where the last attempt ended, if that is a module or hop of the placement.
pub(super) fn view(outcome: Option<&Outcome>, modules: &[ModuleView]) -> Option<BrokenView> {
    let outcome = outcome?;
    let (name, is_hop) = match outcome.place()? {
        Place::Module { module, .. } => (line(module), false),
        Place::Hop(hop) => (line(&hop.to_module), true),
    };
    let at = modules.iter().position(|module| module.module == name)?;
    let running = matches!(outcome.phase(), Some(Phase::Prefill | Phase::Decode));
    let finished = matches!(outcome, Outcome::Failed { failure } if failure.class == FailureClass::NonFinite);
    Some(BrokenView {
        at,
        is_hop,
        words: words(outcome, is_hop),
        is_cut_short: running && !finished,
        rank: rank(outcome),
    })
}

/// Where an audit first parts from its reference.
pub(super) fn of_audit(audit: &AuditView, modules: &[ModuleView]) -> Option<BrokenView> {
    let mark = audit.mark.as_ref()?;
    // A column behind the last is what rests behind the last module.
    let column = mark.column.min(audit.modules.len().checked_sub(1)?);
    let name = &audit.modules.get(column)?.module;
    let token = audit.rows.get(mark.row).map(|(token, _)| format!(": token {token}"));
    Some(BrokenView {
        at: modules.iter().position(|module| module.module == *name)?,
        is_hop: mark.is_hop && column == mark.column && column > 0,
        words: format!("parts from {} here{}", audit.reference, token.unwrap_or_default()),
        is_cut_short: false,
        rank: None,
    })
}

fn rank(outcome: &Outcome) -> Option<u32> {
    match outcome {
        Outcome::Failed { failure } | Outcome::OutOfMemory { failure } => failure.rank,
        _ => (behind(&last_seen(outcome)?.ranks).first()).map(|seen| seen.rank),
    }
}

fn last_seen(outcome: &Outcome) -> Option<&LastSeen> {
    match outcome {
        Outcome::Timeout { last, .. } | Outcome::Stalled { last, .. } | Outcome::Crashed { last, .. } => Some(last),
        _ => None,
    }
}

fn words(outcome: &Outcome, is_hop: bool) -> String {
    let here = if is_hop { "on this hop" } else { "here" };
    let what = match outcome {
        Outcome::Completed => "ended",
        Outcome::Timeout { .. } => "timed out",
        Outcome::Stalled { .. } => "stalled",
        Outcome::OutOfMemory { .. } => "ran out of memory",
        Outcome::Crashed { .. } => "crashed",
        Outcome::Failed { failure } if failure.class == FailureClass::NonFinite => "not finite",
        Outcome::Failed { .. } => "failed",
        Outcome::Skipped { .. } => "skipped",
    };
    let last = last_seen(outcome);
    let mut details: Vec<String> = last.and_then(|last| behind_words(&last.ranks)).into_iter().collect();
    details.extend(moment(outcome.phase(), last));
    let is_hang = matches!(outcome, Outcome::Timeout { .. } | Outcome::Stalled { .. });
    if let Some(seconds) = last.and_then(|last| last.for_s).filter(|_| is_hang) {
        details.push(format!("for {}", human_seconds(seconds)));
    }
    if details.is_empty() {
        format!("{what} {here}")
    } else {
        format!("{what} {here}: {}", details.join(", "))
    }
}

/// `token 3`, or the phase where there is no token to name.
fn moment(phase: Option<Phase>, last: Option<&LastSeen>) -> Vec<String> {
    let token = last.and_then(|last| last.token).map(|token| format!("token {token}"));
    let phase = match phase {
        None => None,
        Some(Phase::Decode) if token.is_some() => None,
        Some(Phase::Load) => Some("while loading".to_owned()),
        Some(phase) => Some(format!("in {phase}")),
    };
    phase.into_iter().chain(token).collect()
}

#[cfg(test)]
mod tests {
    use placebench_core::outcome::{Deadline, ranks::RankSeen};

    use super::*;

    fn stalled(tokens_of_ranks: &[u32]) -> Outcome {
        let seen = tokens_of_ranks.iter().zip(0..).map(|(token, rank)| RankSeen {
            rank,
            phase: Some(Phase::Decode),
            generation: 0,
            token: Some(*token),
            place: None,
            for_s: None,
        });
        let last = LastSeen {
            token: Some(3),
            ranks: seen.collect(),
            ..LastSeen::default()
        };
        Outcome::Stalled {
            phase: Phase::Decode,
            deadline: Deadline::Token,
            limit_s: 1.0,
            last,
            tokens: 3,
        }
    }

    #[test]
    fn the_rank_that_is_behind_is_where_it_broke() {
        assert_eq!(rank(&stalled(&[4, 3])), Some(1));
        assert_eq!(words(&stalled(&[4, 3]), false), "stalled here: rank 1 of 2, token 3");
        assert_eq!(rank(&stalled(&[3, 3])), Some(0));
        assert_eq!(words(&stalled(&[3, 3]), false), "stalled here: all 2 ranks, token 3");
        assert_eq!(rank(&stalled(&[])), None);
        assert_eq!(words(&stalled(&[]), false), "stalled here: token 3");
    }
}
