//! `[profile.NAME.gate]`: by what a run is judged that is held against something (`--against`, `--baseline`).
//!
//! ```toml
//! [profile.ci.gate]
//! metrics = ["ttft_s", "tpot_s"]
//! min_effect = 0.03
//! pairs = 12
//! unclear = "warn"
//! ```

use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

use super::{Chosen, first, or};
use crate::compare::{GateSpec, SpecError, TimingMetric, TokenTolerance, UnclearResult};
use crate::record::{AgreementRule, EffectiveSetting, SettingSource};
use crate::scenario::{MOST_REPETITIONS, Problem};

/// The table. What it leaves out is taken from the profile `default`, then from what is built in.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GateTable {
    /// The gated timings: load_s, ttft_s and tpot_s if absent. Each is one question more, so none should follow from others.
    #[schemars(with = "Option<Vec<TimingMetric>>")]
    pub metrics: Option<Spanned<Vec<TimingMetric>>>,
    /// Changes no larger than this do not matter, however certain they are, as the logarithm of a ratio: 0.02 (default) is
    /// about 2 %.
    #[schemars(with = "Option<f64>")]
    pub min_effect: Option<Spanned<f64>>,
    /// The chance of a false alarm over all gated timings and looks together; 0.05 if absent.
    #[schemars(with = "Option<f64>")]
    pub alpha: Option<Spanned<f64>>,
    /// Confidence of the bootstrap interval; 0.95 if absent.
    #[schemars(with = "Option<f64>")]
    pub confidence: Option<Spanned<f64>>,
    /// Share of the pairs that must each show a change on their own; 0.8 if absent.
    #[schemars(with = "Option<f64>")]
    pub agreement: Option<Spanned<f64>>,
    /// Figures that change by more than this factor are not believed; 2 if absent.
    #[schemars(with = "Option<f64>")]
    pub implausible_factor: Option<Spanned<f64>>,
    /// Pairs of attempts of the first look; 10 if absent, more where many cases are compared.
    #[schemars(with = "Option<u32>")]
    pub pairs: Option<Spanned<u32>>,
    /// Pairs at which an unclear answer stays one; 20 if absent.
    #[schemars(with = "Option<u32>")]
    pub max_pairs: Option<Spanned<u32>>,
    /// Relative tolerance of peak bytes; 0 is exact; 0.01 if absent.
    #[schemars(with = "Option<f64>")]
    pub peak_tolerance: Option<Spanned<f64>>,
    /// How far token ids may differ.
    #[schemars(with = "Option<TokensTable>")]
    pub tokens: Option<Spanned<TokensTable>>,
    /// What it means where timings are unclear or cannot be judged: fail (default, exit code 112) or warn.
    #[schemars(with = "Option<UnclearResult>")]
    pub unclear: Option<Spanned<UnclearResult>>,
    /// Whether timings fail a gate whose two sides were measured in two sessions, as with a baseline; false if absent.
    #[schemars(with = "Option<bool>")]
    pub separate_timings_gate: Option<Spanned<bool>>,
    /// How much equal attempts differ on this machine, as `doctor --calibrate --output FILE` wrote it, relative to this file.
    #[schemars(with = "Option<String>")]
    pub noise: Option<Spanned<String>>,
}

/// `tokens = { rule = "near_tie", max_gap = 0.01 }`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TokensTable {
    /// exact, or near_tie (default): up to a step where both picks were nearly equally likely.
    pub rule: Option<AgreementRule>,
    /// near_tie: the largest gap between two logits that counts as a tie.
    pub max_gap: Option<f32>,
}

impl TokensTable {
    fn tolerance(&self) -> TokenTolerance {
        let absent = GateSpec::versions().tokens;
        TokenTolerance {
            rule: self.rule.unwrap_or(absent.rule),
            max_gap: self.max_gap.unwrap_or(absent.max_gap),
        }
    }
}

/// What one who may say so says of the gate.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GateGiven {
    /// The gated timings.
    pub metrics: Option<(Vec<TimingMetric>, SettingSource)>,
    /// The smallest change that matters.
    pub min_effect: Option<(f64, SettingSource)>,
    /// The chance of a false alarm.
    pub alpha: Option<(f64, SettingSource)>,
    /// Confidence of the interval.
    pub confidence: Option<(f64, SettingSource)>,
    /// Share of the pairs that must agree.
    pub agreement: Option<(f64, SettingSource)>,
    /// The largest factor that is believed.
    pub implausible_factor: Option<(f64, SettingSource)>,
    /// Pairs of the first look.
    pub pairs: Option<(u32, SettingSource)>,
    /// The cap.
    pub max_pairs: Option<(u32, SettingSource)>,
    /// Tolerance of peak bytes.
    pub peak_tolerance: Option<(f64, SettingSource)>,
    /// Tolerance of token ids.
    pub tokens: Option<(TokenTolerance, SettingSource)>,
    /// What unclear timings mean.
    pub unclear: Option<(UnclearResult, SettingSource)>,
    /// Whether timings of two sessions gate.
    pub separate_timings_gate: Option<(bool, SettingSource)>,
    /// The machine's noise: a file.
    pub noise: Option<(String, SettingSource)>,
}

/// What holds for the gate.
#[derive(Debug, Clone, PartialEq)]
pub struct GateSettings {
    /// The gated timings.
    pub metrics: Chosen<Vec<TimingMetric>>,
    /// The smallest change that matters.
    pub min_effect: Chosen<f64>,
    /// The chance of a false alarm.
    pub alpha: Chosen<f64>,
    /// Confidence of the interval.
    pub confidence: Chosen<f64>,
    /// Share of the pairs that must agree.
    pub agreement: Chosen<f64>,
    /// The largest factor that is believed.
    pub implausible_factor: Chosen<f64>,
    /// Pairs of the first look.
    pub pairs: Chosen<u32>,
    /// The cap.
    pub max_pairs: Chosen<u32>,
    /// Tolerance of peak bytes.
    pub peak_tolerance: Chosen<f64>,
    /// Tolerance of token ids.
    pub tokens: Chosen<TokenTolerance>,
    /// What unclear timings mean.
    pub unclear: Chosen<UnclearResult>,
    /// Whether timings of two sessions gate.
    pub separate_timings_gate: Chosen<bool>,
    /// The machine's noise: a file.
    pub noise: Chosen<Option<String>>,
}

impl GateSettings {
    /// The first word on each setting. Of `pairs` and `max_pairs` one alone moves the other along.
    pub(super) fn choose(layers: &[GateGiven]) -> Self {
        let absent = GateSpec::versions();
        let mut pairs = or(first(layers, |given| given.pairs.as_ref()), absent.pairs);
        let mut max_pairs = or(first(layers, |given| given.max_pairs.as_ref()), absent.max_pairs);
        if max_pairs.source == SettingSource::Default {
            max_pairs.value = max_pairs.value.max(pairs.value);
        } else if pairs.source == SettingSource::Default {
            pairs.value = pairs.value.min(max_pairs.value);
        }
        Self {
            metrics: or(first(layers, |given| given.metrics.as_ref()), absent.metrics),
            min_effect: or(first(layers, |given| given.min_effect.as_ref()), absent.min_effect),
            alpha: or(first(layers, |given| given.alpha.as_ref()), absent.alpha),
            confidence: or(first(layers, |given| given.confidence.as_ref()), absent.confidence),
            agreement: or(first(layers, |given| given.agreement.as_ref()), absent.agreement),
            implausible_factor: or(
                first(layers, |given| given.implausible_factor.as_ref()),
                absent.implausible_factor,
            ),
            pairs,
            max_pairs,
            peak_tolerance: or(
                first(layers, |given| given.peak_tolerance.as_ref()),
                absent.peak_tolerance,
            ),
            tokens: or(first(layers, |given| given.tokens.as_ref()), absent.tokens),
            unclear: or(first(layers, |given| given.unclear.as_ref()), absent.unclear),
            separate_timings_gate: or(
                first(layers, |given| given.separate_timings_gate.as_ref()),
                absent.separate_timings_gate,
            ),
            noise: or(
                first(layers, |given| given.noise.as_ref()).map(|(file, source)| (Some(file), source)),
                None,
            ),
        }
    }

    /// What a comparison of a case before and after a change is judged by. The arrangement is that of `--against`; whoever
    /// compares with another session says so.
    #[must_use]
    pub fn spec(&self) -> GateSpec {
        GateSpec {
            metrics: self.metrics.value.clone(),
            min_effect: self.min_effect.value,
            alpha: self.alpha.value,
            confidence: self.confidence.value,
            agreement: self.agreement.value,
            implausible_factor: self.implausible_factor.value,
            pairs: self.pairs.value,
            max_pairs: self.max_pairs.value,
            peak_tolerance: self.peak_tolerance.value,
            tokens: self.tokens.value,
            unclear: self.unclear.value,
            separate_timings_gate: self.separate_timings_gate.value,
            ..GateSpec::versions()
        }
    }

    /// A row each for `--show-config`.
    pub(super) fn explained(&self) -> Vec<EffectiveSetting> {
        fn row<T>(setting: &str, chosen: &Chosen<T>, value: String) -> EffectiveSetting {
            EffectiveSetting {
                setting: format!("gate.{setting}"),
                value,
                source: chosen.source.clone(),
                overridden_by: Vec::new(),
            }
        }
        let metrics: Vec<&str> = self.metrics.value.iter().map(|metric| metric.as_str()).collect();
        let metrics = match metrics.is_empty() {
            true => "none".to_owned(),
            false => metrics.join(", "),
        };
        let tokens = match self.tokens.value.rule {
            AgreementRule::Exact => "exact".to_owned(),
            AgreementRule::NearTie => format!("near_tie up to {}", self.tokens.value.max_gap),
        };
        let noise = self.noise.value.clone().unwrap_or_else(|| "not known".to_owned());
        let number = |name, chosen: &Chosen<f64>| row(name, chosen, chosen.value.to_string());
        vec![
            row("metrics", &self.metrics, metrics),
            number("min_effect", &self.min_effect),
            number("alpha", &self.alpha),
            number("confidence", &self.confidence),
            number("agreement", &self.agreement),
            number("implausible_factor", &self.implausible_factor),
            row("pairs", &self.pairs, self.pairs.value.to_string()),
            row("max_pairs", &self.max_pairs, self.max_pairs.value.to_string()),
            number("peak_tolerance", &self.peak_tolerance),
            row("tokens", &self.tokens, tokens),
            row("unclear", &self.unclear, self.unclear.value.as_str().to_owned()),
            row(
                "separate_timings_gate",
                &self.separate_timings_gate,
                self.separate_timings_gate.value.to_string(),
            ),
            row("noise", &self.noise, noise),
        ]
    }
}

/// What a table says. `source` gives the origin of a place.
pub(super) fn given(table: &GateTable, source: &dyn Fn(std::ops::Range<usize>) -> SettingSource) -> GateGiven {
    fn said<T: Clone>(
        value: Option<&Spanned<T>>,
        source: &dyn Fn(std::ops::Range<usize>) -> SettingSource,
    ) -> Option<(T, SettingSource)> {
        value.map(|value| (value.get_ref().clone(), source(value.span())))
    }
    GateGiven {
        metrics: said(table.metrics.as_ref(), source),
        min_effect: said(table.min_effect.as_ref(), source),
        alpha: said(table.alpha.as_ref(), source),
        confidence: said(table.confidence.as_ref(), source),
        agreement: said(table.agreement.as_ref(), source),
        implausible_factor: said(table.implausible_factor.as_ref(), source),
        pairs: said(table.pairs.as_ref(), source),
        max_pairs: said(table.max_pairs.as_ref(), source),
        peak_tolerance: said(table.peak_tolerance.as_ref(), source),
        tokens: said(table.tokens.as_ref(), source).map(|(tokens, source)| (tokens.tolerance(), source)),
        unclear: said(table.unclear.as_ref(), source),
        separate_timings_gate: said(table.separate_timings_gate.as_ref(), source),
        noise: said(table.noise.as_ref(), source),
    }
}

/// Checks a table by itself: every setting that makes no sense, at its place.
pub(super) fn check(table: &GateTable, problems: &mut Vec<Problem>) {
    let mut given = given(table, &|_| SettingSource::Flag);
    // One error at a time is what a spec tells, so that what is complained about is taken out before it is asked again.
    while let Err(error) = GateSettings::choose(std::slice::from_ref(&given)).spec().check() {
        let (span, is_known) = match &error {
            SpecError::OutOfRange { name, .. } => out_of_range(table, &mut given, name),
            SpecError::TooFewPairs(_) if given.pairs.take().is_some() => {
                (table.pairs.as_ref().map(Spanned::span), true)
            }
            SpecError::TooFewPairs(_) | SpecError::CapBelowPairs { .. } => (
                table.max_pairs.as_ref().map(Spanned::span),
                given.max_pairs.take().is_some(),
            ),
        };
        problems.push(Problem {
            span,
            ..Problem::general(error.to_string())
        });
        if !is_known {
            break;
        }
    }
    for (number, key) in [(&table.pairs, "pairs"), (&table.max_pairs, "max_pairs")] {
        if let Some(number) = number
            && *number.get_ref() > MOST_REPETITIONS
        {
            problems.push(Problem::at(
                number.span(),
                format!("{key} is at most {MOST_REPETITIONS}"),
            ));
        }
    }
    if let Some(metrics) = &table.metrics {
        let all = metrics.get_ref();
        let again = all
            .iter()
            .enumerate()
            .find(|(index, metric)| all[..*index].contains(metric));
        if let Some((_, metric)) = again {
            problems.push(
                Problem::at(metrics.span(), format!("{} is there twice", metric.as_str()))
                    .hint("each gated timing is one question more: name it once"),
            );
        }
    }
    if let Some(tokens) = &table.tokens
        && tokens
            .get_ref()
            .max_gap
            .is_some_and(|gap| !(gap.is_finite() && gap >= 0.0))
    {
        problems.push(Problem::at(tokens.span(), "max_gap must be a number of at least 0"));
    }
}

/// Where a number stands that is out of its range, which is taken out; whether it was there.
fn out_of_range(table: &GateTable, given: &mut GateGiven, name: &str) -> (Option<std::ops::Range<usize>>, bool) {
    let (written, taken) = match name {
        "min_effect" => (&table.min_effect, &mut given.min_effect),
        "alpha" => (&table.alpha, &mut given.alpha),
        "confidence" => (&table.confidence, &mut given.confidence),
        "agreement" => (&table.agreement, &mut given.agreement),
        "implausible_factor" => (&table.implausible_factor, &mut given.implausible_factor),
        "peak_tolerance" => (&table.peak_tolerance, &mut given.peak_tolerance),
        _ => return (None, false),
    };
    (written.as_ref().map(Spanned::span), taken.take().is_some())
}
