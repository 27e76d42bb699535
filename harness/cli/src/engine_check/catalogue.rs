//! All checks, in the order they are made.

use super::check::Check;
use super::checks::{ends, faults, placement, refusals, speech, text};

/// Those that every other one rests on.
pub(crate) const FIRST: [&str; 3] = ["stdout", "hello", "run"];

/// A new check is a line here, and a row in `harness/workers/README.md`.
pub(crate) const CHECKS: [&Check; 47] = [
    &speech::STDOUT,
    &speech::HELLO,
    &speech::RUN,
    &speech::NEEDED_EVENTS,
    &speech::CLOCK,
    &speech::RESULT,
    &speech::NO_BREADCRUMB,
    &speech::PROTOCOL_VERSION_REFUSED,
    &speech::UNKNOWN_KEYS,
    &speech::UNREADABLE_REQUEST,
    &speech::LARGE_REQUEST,
    &text::REPEATABLE,
    &placement::SINGLE,
    &placement::SPLIT,
    &placement::LONGEST_KEY,
    &placement::SAME_TOKENS,
    &placement::TRANSFER_HOST,
    &placement::STRATEGY,
    &placement::WEIGHTS,
    &placement::DTYPE,
    &placement::BUDGETS,
    &placement::OVER_BUDGET,
    &text::ONE_TOKEN,
    &text::LONG_PROMPT_CHECK,
    &text::TEXT_PROMPT,
    &text::MESSAGES_PROMPT,
    &text::IGNORE_EOS,
    &text::STOP,
    &text::SAMPLING,
    &text::COMPANIONS,
    &text::PROBE,
    &text::AUDIT,
    &refusals::MODEL_MISSING,
    &refusals::MODEL_INVALID,
    &refusals::DEVICE_MISSING,
    &refusals::UNKNOWN_MODULE,
    &refusals::INCOMPLETE_MAP,
    &faults::UNKNOWN_FAULT,
    &faults::FAULTS,
    &faults::FLUSH,
    &faults::STALL,
    &faults::STALL_IN_MODULE,
    &faults::STALL_IN_HOP,
    &ends::SIGTERM,
    &ends::SUPERVISOR_GONE,
    &ends::CLOSED_PIPE,
    // Looks back on all refusals.
    &refusals::MESSAGES,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_what_a_check_rests_on_comes_before_it() {
        for (index, check) in CHECKS.iter().enumerate() {
            let before: Vec<&str> = CHECKS.iter().take(index).map(|check| check.name).collect();
            assert!(!before.contains(&check.name), "{}", check.name);
            for needed in check.after {
                assert!(before.contains(needed), "{} rests on {needed}", check.name);
            }
        }
        assert_eq!(
            FIRST.as_slice(),
            CHECKS.iter().take(3).map(|check| check.name).collect::<Vec<_>>()
        );
    }
}
