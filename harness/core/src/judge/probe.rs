//! The logits of the prompt, before anything is timed, against those of the reference placement.
//!
//! Copies that silently deliver wrong data bend the first logits already: of a small model on four cards a top logit of
//! about 1.6 was seen instead of 26 (ctrl-gaurav/effGen#44).

use crate::protocol::{Precision, Probe};
use crate::record::{Attempt, CaseSpec, Finding, TextVerdict};

/// How far the largest logits of two placements may be apart, relative to the scale of the logits: a few times what
/// another kernel, order of additions or device makes of it.
///
/// Measured between this project's kernels and candle's own, on a model of 8 layers and one of 30: `f32` 3e-7, `f16` 1.3e-3,
/// `bf16` 1.4e-2, and 4.4e-2 for 4-bit weights, where one side rounds activations to 8 bits and the other does not. A
/// significand has 24, 11 and 8 bits, and errors of more layers add up.
pub(super) fn tolerance(precision: Option<Precision>) -> f64 {
    match precision {
        Some(Precision::F32) => 1e-3,
        Some(Precision::F16) => 1e-2,
        Some(Precision::Bf16) => 5e-2,
        Some(Precision::Quantised) | None => 0.15,
    }
}

/// Looks at the probes of all attempts. Returns what a wrong one says of the text.
pub(super) fn probe(
    case: &CaseSpec,
    attempts: &[&Attempt],
    reference: Option<&[&Attempt]>,
    findings: &mut Vec<Finding>,
) -> Option<TextVerdict> {
    let probes: Vec<&Probe> = attempts.iter().filter_map(|attempt| attempt.probe.as_ref()).collect();
    let agreement = case.expect.agreement.as_ref();
    let agreement = agreement.filter(|agreement| agreement.reference != case.placement);
    let theirs = reference
        .into_iter()
        .flatten()
        .filter_map(|attempt| attempt.probe.as_ref())
        .find(|probe| probe.non_finite == 0);
    let wrong = |ours: &&Probe| -> Option<(TextVerdict, String)> {
        if ours.non_finite > 0 {
            let (bad, all) = (ours.non_finite, ours.logits);
            return Some((
                TextVerdict::Garbage,
                format!("{bad} of {all} logits of the prompt are not finite"),
            ));
        }
        let difference = difference(ours, theirs?, &agreement?.reference, agreement?.max_gap)?;
        Some((TextVerdict::Diverged, difference))
    };
    let found: Vec<(TextVerdict, String)> = probes.iter().filter_map(wrong).collect();
    let (verdict, message) = found.first()?.clone();
    let rate = match (found.len(), probes.len()) {
        (1, 1) => String::new(),
        (some, all) => format!(" (in {some} of {all} processes)"),
    };
    findings.push(Finding {
        check: "probe".into(),
        message: format!("wrong before any timing: {message}{rate}"),
        hint: Some(
            "what the model computes is wrong from the first step: check the copies with `placebench doctor`, and repeat \
             with transfer = \"host\""
                .into(),
        ),
    });
    Some(verdict)
}

/// What is wrong with logits beside those of the reference, if something is.
fn difference(ours: &Probe, theirs: &Probe, reference: &str, max_gap: f32) -> Option<String> {
    if ours.input_tokens != theirs.input_tokens {
        let (own, other) = (ours.input_tokens, theirs.input_tokens);
        return Some(format!("the prompt has {own} tokens, with `{reference}` {other}"));
    }
    let (own, other) = (ours.top5.first()?, theirs.top5.first()?);
    if own.id != other.id {
        // As for a text: each side's token among the likeliest of the other, and the gap small on both.
        let gap = |probe: &Probe| Some((logit(probe, own.id)? - logit(probe, other.id)?).abs());
        let what = format!(
            "the likeliest first token is {}, with `{reference}` it is {}",
            own.id, other.id
        );
        match (gap(ours), gap(theirs)) {
            (Some(a), Some(b)) if a.max(b) <= max_gap => {}
            (Some(a), Some(b)) => return Some(format!("{what}, {:.3} apart in logits", a.max(b))),
            _ => return Some(format!("{what}, and not among the five likeliest of both")),
        }
    }
    let largest = theirs.top5.iter().map(|entry| f64::from(entry.logit.abs()));
    let scale = largest.fold(theirs.root_mean_square(), f64::max);
    let apart = ours.top5.iter().filter_map(|entry| {
        let other = logit(theirs, entry.id)?;
        Some(f64::from((entry.logit - other).abs()) / scale)
    });
    let apart = apart.fold(0.0, f64::max);
    let (own_size, other_size) = (ours.root_mean_square(), theirs.root_mean_square());
    let size_apart = (own_size - other_size).abs() / other_size;
    let allowed = tolerance(ours.precision).max(tolerance(theirs.precision));
    let percent = |part: f64| 100.0 * part;
    if apart > allowed {
        return Some(format!(
            "the largest logits of the prompt differ from those with `{reference}` by {:.2} % of their size, where {} % is \
             usual at most (top logit {:.3} instead of {:.3})",
            percent(apart),
            percent(allowed),
            own.logit,
            other.logit,
        ));
    }
    (size_apart > allowed).then(|| {
        format!(
            "the logits of the prompt are {own_size:.4} in the root mean square, with `{reference}` {other_size:.4}: {:.2} % \
             apart, where {} % is usual at most",
            percent(size_apart),
            percent(allowed),
        )
    })
}

fn logit(probe: &Probe, id: u32) -> Option<f32> {
    probe.top5.iter().find(|entry| entry.id == id).map(|entry| entry.logit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::TokenLogit;

    fn told(precision: Precision, top5: &[(u32, f32)]) -> Probe {
        Probe {
            input_tokens: 4,
            precision: Some(precision),
            top5: top5.iter().map(|&(id, logit)| TokenLogit { id, logit }).collect(),
            logits: 1000,
            non_finite: 0,
            logits_l2: 300.0,
        }
    }

    const REFERENCE: [(u32, f32); 5] = [(7, 26.0), (8, 25.98), (9, 20.0), (1, 12.0), (2, 11.0)];

    fn found(ours: &Probe, theirs: &Probe) -> Option<String> {
        difference(ours, theirs, "single", 0.05)
    }

    fn scaled(by: f32) -> Vec<(u32, f32)> {
        REFERENCE.iter().map(|&(id, logit)| (id, logit * by)).collect()
    }

    #[test]
    fn what_rounding_does_is_not_found_and_more_is() {
        for (precision, honest, wrong) in [
            (Precision::F32, 1.0002, 1.002),
            (Precision::F16, 1.004, 1.02),
            (Precision::Bf16, 1.02, 1.08),
            (Precision::Quantised, 1.05, 1.2),
        ] {
            let theirs = told(precision, &REFERENCE);
            assert_eq!(found(&theirs, &theirs), None);
            assert_eq!(found(&told(precision, &scaled(honest)), &theirs), None, "{precision:?}");
            let words = found(&told(precision, &scaled(wrong)), &theirs).unwrap();
            assert!(
                words.contains("the largest logits of the prompt differ"),
                "{precision:?}: {words}"
            );
        }
    }

    #[test]
    fn a_broken_link_as_it_was_seen() {
        let broken = told(Precision::Bf16, &[(7, 1.6), (3, 1.5), (4, 1.5), (5, 1.4), (6, 1.4)]);
        let words = found(&broken, &told(Precision::Bf16, &REFERENCE)).unwrap();
        assert!(words.contains("top logit 1.600 instead of 26.000"), "{words}");
    }

    #[test]
    fn another_likeliest_token_is_wrong_unless_it_is_a_near_tie() {
        let theirs = told(Precision::F32, &REFERENCE);
        let flipped = told(Precision::F32, &[(8, 26.0), (7, 25.99), (9, 20.0)]);
        assert_eq!(found(&flipped, &theirs), None, "both nearly the same on both sides");
        let other = told(Precision::F32, &[(9, 26.0), (7, 25.9)]);
        assert!(found(&other, &theirs).unwrap().contains("6.000 apart"));
        let unheard = told(Precision::F32, &[(55, 26.0), (56, 25.9)]);
        assert!(
            found(&unheard, &theirs)
                .unwrap()
                .contains("not among the five likeliest")
        );
    }

    #[test]
    fn logits_below_the_five_largest_count_too() {
        let theirs = told(Precision::F32, &REFERENCE);
        let mut ours = theirs.clone();
        ours.logits_l2 = 310.0;
        assert!(found(&ours, &theirs).unwrap().contains("root mean square"));
    }

    #[test]
    fn another_prompt_is_said_so() {
        let theirs = told(Precision::F32, &REFERENCE);
        let mut ours = theirs.clone();
        ours.input_tokens = 5;
        assert!(found(&ours, &theirs).unwrap().contains("5 tokens, with `single` 4"));
    }
}
