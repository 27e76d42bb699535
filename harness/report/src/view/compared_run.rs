//! The comparison of all placements of a run, made once, and what of it concerns one prompt.

use std::collections::HashMap;

use placebench_core::compare::{
    CaseComparison, Change, Comparison, GateSpec, PlacementComparison, TimingMetric, TimingRow, compare_placements,
    compare_with,
};
use placebench_core::record::{CaseSpec, IndexedRun};

use super::CaseView;
use super::changes::without_verdict;
use super::words::message;

/// The comparison of a whole run, made once.
#[derive(Debug)]
pub(super) struct RunComparison {
    spec: GateSpec,
    compared: Option<PlacementComparison>,
    /// Of rates of several sequences, which follow from no time that is judged.
    rates: Option<PlacementComparison>,
    at: HashMap<String, usize>,
}

impl RunComparison {
    pub(super) fn new(run: &IndexedRun<'_>) -> Self {
        let spec = GateSpec::placements();
        let compared = compare_placements(run, None, None, &spec);
        let has_batches = run.info.cases.iter().any(|case| !case.companion_inputs.is_empty());
        let rates = has_batches.then(|| {
            let metrics = vec![TimingMetric::OutputTokensPerS];
            let spec = GateSpec {
                metrics,
                ..spec.clone()
            };
            compare_placements(run, None, None, &spec)
        });
        let cases = compared.iter().flat_map(|compared| &compared.comparison.cases);
        let at = cases.enumerate().map(|(index, case)| (case.case.clone(), index));
        Self {
            at: at.collect(),
            spec,
            compared,
            rates: rates.flatten(),
        }
    }

    fn of<'a>(&self, case: &str, of: Option<&'a PlacementComparison>) -> Option<&'a CaseComparison> {
        let index = self.at.get(case)?;
        of?.comparison.cases.get(*index)
    }

    /// The floor of all times, as a ratio above 1.
    pub(super) fn floor(&self) -> f64 {
        self.spec.min_effect.exp()
    }

    /// A timing of a case against its reference.
    pub(super) fn timing(&self, case: &str, metric: TimingMetric) -> Option<&TimingRow> {
        let of = match metric {
            TimingMetric::OutputTokensPerS => self.rates.as_ref(),
            _ => self.compared.as_ref(),
        };
        let mut timings = self.of(case, of)?.timings.iter();
        timings.find(|row| row.metric == metric)
    }

    /// How some cases compare with one that is not their reference, by one timing.
    pub(super) fn directly(
        &self,
        run: &IndexedRun<'_>,
        metric: TimingMetric,
        base: &CaseSpec,
        others: &[&CaseSpec],
    ) -> Vec<Change> {
        let spec = GateSpec {
            metrics: vec![metric],
            ..self.spec.clone()
        };
        let compared = compare_with(run, base, others, &spec);
        let timings = compared.cases.iter().flat_map(|case| &case.timings);
        timings
            .filter(|row| row.metric == metric)
            .map(|row| row.change)
            .collect()
    }

    /// Why something of these cases is not judged.
    pub(super) fn notes(&self, cases: &[(&CaseSpec, &CaseView)]) -> Vec<String> {
        let Some(compared) = &self.compared else {
            return Vec::new();
        };
        // Why a case without any figure has none stands in its row.
        let measured = cases.iter().filter(|(_, view)| view.ttft.measured().is_some());
        let of_prompt = measured
            .clone()
            .filter_map(|(spec, _)| self.of(&spec.case, Some(compared)));
        let whole = &compared.comparison;
        let is_shown = |row: &TimingRow| matches!(row.metric, TimingMetric::TtftS | TimingMetric::TpotS);
        let part = Comparison {
            cases: of_prompt
                .map(|case| CaseComparison {
                    timings: case.timings.iter().filter(|row| is_shown(row)).cloned().collect(),
                    ..case.clone()
                })
                .collect(),
            spec: self.spec.clone(),
            ..*whole
        };
        let mut notes = without_verdict(&part, &|_| String::new());
        let has_figures = |(case, _): &&(String, String)| measured.clone().any(|(spec, _)| spec.case == *case);
        let left_out = compared.left_out.iter().filter(has_figures);
        notes.extend(left_out.map(|(case, why)| format!("not compared: {case}: {why}")));
        notes.iter().map(|note| message(note)).collect()
    }
}
