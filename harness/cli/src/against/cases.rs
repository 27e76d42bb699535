//! Which cases both programs run, and how often.

use placebench_core::compare::GateSpec;
use placebench_core::fault::{Fault, FaultKind, FaultPoint};
use placebench_core::outcome::{Outcome, OutcomeKind};
use placebench_core::record::{CaseSpec, Isolation, LeftOut};
use placebench_core::scenario::TRANSFORMERS;
use placebench_runner::run::skip_reason;

use crate::engines;

/// The cases that a comparison cannot judge, each with the reason.
pub(super) fn left_out(cases: &[CaseSpec]) -> Vec<LeftOut> {
    let cuda = engines::cuda_devices_for(cases);
    let unfit = cases.iter().filter_map(|case| {
        let reason = unfit(case).or_else(|| {
            let skipped = skip_reason(case, cuda)?;
            Some(format!("is skipped: {}", Outcome::sentence(&skipped)))
        })?;
        Some(LeftOut {
            case: case.case.clone(),
            reason,
        })
    });
    unfit.collect()
}

/// Why a case has no figures that could be compared, as the end of a sentence on it.
fn unfit(case: &CaseSpec) -> Option<String> {
    if case.foreign_program().is_some() {
        return Some("is executed by a program of its own, which is the same on both sides".to_owned());
    }
    if case.engine == TRANSFORMERS {
        return Some("is executed by the stack of Hugging Face, which is the same on both sides".to_owned());
    }
    if case.measure.isolation == Isolation::Shared {
        return Some(
            "does all repetitions in one process (isolation = \"shared\"), and only processes are independent"
                .to_owned(),
        );
    }
    if case.expect.outcome != OutcomeKind::Completed {
        let outcome = case.expect.outcome.as_str();
        return Some(format!("is expected to end as {outcome}, which makes no figures"));
    }
    let fails = case.expect.fails.join(", ");
    (!fails.is_empty()).then(|| format!("is expected to fail ({fails}), so its figures mean nothing"))
}

/// Cases that both programs run, as positions among those of the run.
pub(super) struct Comparable<'a> {
    cases: Vec<&'a CaseSpec>,
}

impl<'a> Comparable<'a> {
    pub(super) fn new(cases: &'a [CaseSpec], left_out: &[LeftOut]) -> Self {
        Self {
            cases: cases.iter().filter(|case| is_comparable(case, left_out)).collect(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.cases.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.cases.len()
    }

    /// A case of each engine.
    pub(super) fn one_of_each_engine(&self) -> Vec<&'a CaseSpec> {
        let mut one_of_each: Vec<&CaseSpec> = Vec::new();
        for case in &self.cases {
            if !one_of_each.iter().any(|known| known.engine == case.engine) {
                one_of_each.push(case);
            }
        }
        one_of_each
    }
}

/// The spec with as many pairs as the questions on that many cases need at least, however few were asked for.
pub(super) fn planned(spec: GateSpec, cases: usize) -> GateSpec {
    let pairs = spec.pairs.max(spec.fewest_pairs(cases));
    GateSpec {
        pairs,
        max_pairs: spec.max_pairs.max(pairs),
        ..spec
    }
}

fn is_comparable(case: &CaseSpec, left_out: &[LeftOut]) -> bool {
    !left_out.iter().any(|known| known.case == case.case)
}

/// Lets the cases that both programs run have the attempts a comparison needs: as many as the first look does, or as many as
/// the case asks for if that is more, and no more than the cap while its answer is unclear.
pub(super) fn repeat(cases: &mut [CaseSpec], left_out: &[LeftOut], spec: &GateSpec) {
    for case in cases.iter_mut().filter(|case| is_comparable(case, left_out)) {
        let first = spec.pairs.max(case.measure.repetitions);
        let cap = spec.max_pairs.max(first);
        case.measure.repetitions = cap;
        case.measure.first_look = Some(first);
    }
}

/// Lets every step of the cases that make figures take so many per cent longer: what a gate must find.
pub(crate) fn inject_slowdown(cases: &mut [CaseSpec], percent: f64) {
    for case in cases.iter_mut().filter(|case| unfit(case).is_none()) {
        case.faults.push(Fault {
            factor: Some(1.0 + percent / 100.0),
            ..Fault::new(FaultKind::SlowStep, FaultPoint::default())
        });
    }
}
