//! The audit of an output: whether what a worker says of a generation adds up.
//!
//! Whoever counts tokens to get a speed relies on it. That the tokens are those that were streamed one by one is checked
//! by the supervisor, which sees both.

use crate::protocol::{FinishReason, Generation, GenerationSpec};
use crate::record::{Attempt, CaseSpec, Finding};

/// Every generation of every attempt, companions included; the first that does not add up is the finding.
pub(super) fn judge(case: &CaseSpec, attempts: &[&Attempt], findings: &mut Vec<Finding>) {
    let mut number = 0;
    let asked = case.generation_asked();
    for attempt in attempts {
        let eos = attempt.eos_token_ids.as_deref();
        for generation in &attempt.generations {
            let sequences = std::iter::once(generation).chain(&generation.companions);
            for (sequence, made) in sequences.enumerate() {
                if let Some(why) = contradiction(&asked, eos, made) {
                    let which = match sequence {
                        0 => format!("generation {number}"),
                        _ => format!("sequence {sequence} of generation {number}"),
                    };
                    findings.push(Finding {
                        check: "output".into(),
                        message: format!("the output of {which} does not add up: {why}"),
                        hint: Some(
                            "the engine counts or ends wrongly: figures per token cannot be trusted until it is right"
                                .into(),
                        ),
                    });
                    return;
                }
            }
            number += 1;
        }
    }
}

/// What contradicts the request, or itself. `eos` are the model's end tokens, where they are known.
fn contradiction(spec: &GenerationSpec, eos: Option<&[u32]>, made: &Generation) -> Option<String> {
    let (ids, most) = (&made.output_ids, spec.max_new_tokens as usize);
    let count = made.output_count();
    if count > most {
        return Some(format!("{count} tokens, where at most {most} were asked for"));
    }
    // Of an engine that is told texts only, what is known of each piece belongs to its stamp.
    let (pieces, what) = match made.has_ids() {
        true => (ids.len(), "tokens"),
        false => (made.token_stamps_s.len(), "pieces of text"),
    };
    for (of_each, length) in [("logits", made.top5.len()), ("text offsets", made.text_offsets.len())] {
        if length != 0 && length != pieces {
            return Some(format!("{pieces} {what}, and {of_each} of {length}"));
        }
    }
    // Pieces that nobody counted the tokens of may hold several each.
    let is_counted = made.has_ids() || made.output_tokens.is_some();
    let stops = || spec.stop.iter().filter(|stop| !stop.is_empty());
    let is_end = |id: &u32| eos.map(|eos| eos.contains(id));
    match made.finish_reason {
        FinishReason::Length if is_counted && count < most => {
            return Some(format!("it ended by length after {count} of {most} tokens"));
        }
        FinishReason::Eos if spec.ignore_eos => {
            return Some("it ended by an end token, which was to be ignored".into());
        }
        FinishReason::Eos => {
            if let Some(last) = ids.last()
                && is_end(last) == Some(false)
            {
                return Some(format!("it ended by an end token, but its last token {last} is none"));
            }
        }
        FinishReason::Stop if stops().next().is_none() => {
            return Some("it ended by a stop text, and none was asked for".into());
        }
        FinishReason::Length | FinishReason::Stop => {}
    }
    let end = ids.iter().position(|id| is_end(id) == Some(true));
    if let Some(end) = end.filter(|_| !spec.ignore_eos) {
        let id = ids.get(end).copied().unwrap_or_default();
        if end + 1 < ids.len() {
            let after = ids.len() - end - 1;
            return Some(format!(
                "{after} tokens come after the end token {id} at position {end}"
            ));
        }
        if made.finish_reason != FinishReason::Eos {
            let reason = made.finish_reason.as_str();
            return Some(format!("its last token {id} is an end token, but it ended by {reason}"));
        }
    }
    let held = stops().find(|stop| made.text.contains(stop.as_str()))?;
    Some(format!(
        "its text holds the stop text {held:?}, which ends it and is no part of it"
    ))
}

#[cfg(test)]
mod tests {
    use super::super::testing::generation;
    use super::*;

    const EOS: &[u32] = &[2, 3];

    fn spec(max_new_tokens: u32) -> GenerationSpec {
        GenerationSpec {
            max_new_tokens,
            sampling: None,
            ignore_eos: false,
            stop: Vec::new(),
        }
    }

    fn ended(ids: &[u32], finish_reason: FinishReason) -> Generation {
        Generation {
            finish_reason,
            ..generation(ids)
        }
    }

    fn found(spec: &GenerationSpec, made: &Generation) -> Option<String> {
        contradiction(spec, Some(EOS), made)
    }

    #[test]
    fn what_adds_up_is_not_found() {
        let stop = GenerationSpec {
            stop: vec!["end".into(), String::new()],
            ..spec(4)
        };
        let ignoring = GenerationSpec {
            ignore_eos: true,
            ..spec(4)
        };
        for (spec, ids, reason) in [
            (&spec(4), &[7, 8, 9, 7][..], FinishReason::Length),
            (&spec(4), &[7, 2], FinishReason::Eos),
            (&spec(4), &[7, 8, 9, 3], FinishReason::Eos),
            (&stop, &[7, 8], FinishReason::Stop),
            (&stop, &[7, 8, 9, 9], FinishReason::Stop),
            (&ignoring, &[7, 2, 9, 2], FinishReason::Length),
        ] {
            assert_eq!(found(spec, &ended(ids, reason)), None, "{ids:?} {reason:?}");
        }
    }

    #[test]
    fn every_contradiction_is_named() {
        let ignoring = GenerationSpec {
            ignore_eos: true,
            ..spec(4)
        };
        for (spec, ids, reason, words) in [
            (
                &spec(2),
                &[7, 8, 9][..],
                FinishReason::Length,
                "3 tokens, where at most 2",
            ),
            (&spec(4), &[7, 8], FinishReason::Length, "by length after 2 of 4"),
            (&spec(4), &[7, 8], FinishReason::Eos, "its last token 8 is none"),
            (&ignoring, &[7, 2], FinishReason::Eos, "was to be ignored"),
            (&spec(4), &[7, 8], FinishReason::Stop, "none was asked for"),
            (
                &spec(4),
                &[7, 2, 8, 9],
                FinishReason::Length,
                "2 tokens come after the end token 2 at position 1",
            ),
            (
                &spec(2),
                &[7, 2],
                FinishReason::Length,
                "is an end token, but it ended by length",
            ),
        ] {
            let why = found(spec, &ended(ids, reason)).unwrap_or_default();
            assert!(why.contains(words), "{ids:?} {reason:?}: {why:?}");
        }
    }

    #[test]
    fn a_stop_text_is_no_part_of_the_text() {
        let stop = GenerationSpec {
            stop: vec!["ex".into()],
            ..spec(2)
        };
        let why = found(&stop, &ended(&[7, 8], FinishReason::Length)).unwrap();
        assert!(why.contains("holds the stop text \"ex\""), "{why}");
    }

    #[test]
    fn lists_of_another_length_are_found() {
        let mut made = generation(&[7, 8]);
        made.text_offsets = vec![1];
        assert!(found(&spec(2), &made).unwrap().contains("text offsets of 1"));
        made.text_offsets = vec![1, 4];
        assert_eq!(found(&spec(2), &made), None);
    }

    #[test]
    fn without_end_tokens_only_what_is_known_is_asked() {
        let made = ended(&[7, 2, 8], FinishReason::Eos);
        assert_eq!(contradiction(&spec(4), None, &made), None);
        assert!(found(&spec(4), &made).is_some());
    }
}
